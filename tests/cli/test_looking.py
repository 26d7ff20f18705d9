"""The commands that change nothing: list, count, history, runs, export."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import stat
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import sqlalchemy as sa

from airflow_provider_impactcall.delivery.ledger.batch_sizes import KEYS_A_QUERY
from airflow_provider_impactcall.delivery.ledger.edits import Author
from airflow_provider_impactcall.delivery.ledger.listing import LISTED_COLUMNS
from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from airflow_provider_impactcall.hooks.ledger import ImpactCallLedgerHook
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples
from tests.cli.conftest import WHY, Command, numbers


def listed(impactcall: Command, *selection: str) -> set[str]:
    """The calls that are selected, by every command that selects some."""
    rows = impactcall("list", *selection, "-o", "json").rows
    names = {row["CallSessionId"] for row in rows}
    exported = csv.DictReader(impactcall("export", "-", *selection).out.splitlines())
    assert {row["CallSessionId"] for row in exported} == names
    counted = impactcall("count", *selection, "-o", "json").rows
    assert sum(int(row["calls"]) for row in counted) == len(rows)
    assert {row["state"] for row in counted} == {row["state"] for row in rows}
    return names


def test_calls_are_found_by_all_that_they_are_known_by(ledger: Sandbox, impactcall: Command) -> None:
    everything = listed(impactcall)
    run_id = impactcall("list", "-o", "json").rows[0]["run_id"]
    assert everything == {"delivered", "rejected", "unknown"}
    assert listed(impactcall, "--state", "unknown") == {"unknown"}
    assert listed(impactcall, "--state", "unknown,rejected") == {"unknown", "rejected"}
    assert listed(impactcall, "--state", "unknown", "--state", "delivered") == {"unknown", "delivered"}
    assert listed(impactcall, "--reason", "502") == {"unknown"}
    assert listed(impactcall, "--reason-code", "no_verdict") == {"unknown"}
    assert listed(impactcall, "--status", "502") == {"unknown"}
    assert listed(impactcall, "--reason-code", "no_verdict", "--status", "400") == set()
    asked_wrongly = impactcall("list", "--reason-code", "502")
    assert (asked_wrongly.status, asked_wrongly.err.count("\n")) == (1, 1)
    assert "reason_code" in asked_wrongly.err
    assert "no_verdict" in asked_wrongly.err, "the codes that there are"
    assert listed(impactcall, "--run-id", run_id) == everything
    assert listed(impactcall, "--run-id", "another") == set()
    assert listed(impactcall, "--call-session-id", "unknown", "--call-session-id", "rejected") == {
        "unknown",
        "rejected",
    }
    assert listed(impactcall, "--since", "2026-01-01", "--until", "9999-01-01T00:00:00+02:00") == everything
    assert listed(impactcall, "--until", "2026-01-01") == set()
    assert listed(impactcall, "--ledger-namespace", "https://elsewhere.example.com") == set()


def test_a_time_without_an_offset_is_in_utc(
    ledger: Sandbox, impactcall: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed_at = impactcall("list", "--call-session-id", "unknown", "-o", "json").rows[0]["changed_at"]
    second = changed_at[:19]
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        assert "unknown" in listed(impactcall, "--since", second)
        assert "unknown" not in listed(impactcall, "--until", second)
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()
    assert "unknown" not in listed(impactcall, "--since", f"{second}-00:01"), "that is a minute later"


def test_a_table_has_what_a_person_needs_and_json_has_all(ledger: Sandbox, impactcall: Command) -> None:
    table = impactcall("list")
    header = table.out.splitlines()[0]
    assert [name.strip() for name in header.split("|")] == [
        *("CallSessionId", "CampaignId", "ActionTrackerId", "CallProvider", "MediaId", "EventDate"),
        *("state", "reason_code", "reason", "attempts", "changed_at"),
    ]
    assert table.err == ""
    assert list(impactcall("list", "-o", "json").rows[0]) == list(LISTED_COLUMNS)
    assert impactcall("list", "-o", "plain").out.split()[0] == "CallSessionId"
    assert "CallSessionId: unknown\n" in impactcall("list", "-o", "yaml").out


def test_an_id_in_a_table_is_never_taken_for_markup(sandbox: Sandbox, impactcall: Command) -> None:
    ImpactCallHook().deliver([examples.call("[red]a[/]"), examples.call("[/b]")])
    table = impactcall("list").out
    assert "[red]a[/]" in table
    assert "[/b]" in table


def test_the_latest_come_first_and_it_is_said_that_there_are_more(ledger: Sandbox, impactcall: Command) -> None:
    assert impactcall("requeue", "--state", "rejected", *WHY, "-y").status == 0
    done = impactcall("list", "--limit", "1", "-o", "json")
    assert [row["CallSessionId"] for row in done.rows] == ["rejected"]
    assert numbers(done.err) == [["1", "3"]]
    assert "--limit" in done.err
    assert impactcall("list", "--limit", "3", "-o", "json").err == ""


def test_all_that_happened_to_a_call_is_shown(ledger: Sandbox, impactcall: Command) -> None:
    impactcall("requeue", "--call-session-id", "unknown", *WHY, "-y")
    events = impactcall("history", "--call-session-id", "unknown", "-o", "json").rows
    assert [(event["state"], event["actor"]) for event in events] == [
        ("open", None),
        ("unknown", None),
        ("requeued", "alice"),
    ]
    assert "502" in events[1]["reason"]
    assert events[2]["reason"] == "ticket 4711"
    asked_wrongly = impactcall("history", "--state", "unknown")
    assert asked_wrongly.status == 2
    assert "--call-session-id" in asked_wrongly.err


def test_runs_are_shown_with_who_and_why(ledger: Sandbox, impactcall: Command) -> None:
    impactcall("requeue", "--state", "rejected,unknown", *WHY, "-y")
    change, delivery = impactcall("runs", "-o", "json").rows
    assert (change["kind"], change["actor"], change["why"]) == ("requeue", "alice", "ticket 4711")
    assert (delivery["kind"], delivery["delivered_rows"], delivery["unknown_rows"]) == ("deliver", "1", "1")
    assert len(impactcall("runs", "--limit", "1", "-o", "json").rows) == 1
    assert "1 delivered, 1 rejected, 1 unknown" in impactcall("runs", "-o", "plain").out


@pytest.mark.parametrize("name", ["calls.csv", "calls.jsonl", "calls.NDJSON"])
def test_all_calls_are_exported(ledger: Sandbox, impactcall: Command, tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text("what was there before")
    file.chmod(0o600)
    done = impactcall("export", str(file))
    assert (done.out, numbers(done.err)) == ("", [["3"]])
    text = file.read_text()
    rows = (
        [json.loads(line) for line in text.splitlines()]
        if "j" in name.lower().rpartition(".")[2]
        else list(csv.DictReader(text.splitlines()))
    )
    expected = impactcall("list", "-o", "json").rows
    assert sorted([str(value or "") for value in row.values()] for row in rows) == sorted(
        [str(value or "") for value in row.values()] for row in expected
    )
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted([name, "stdin"])


def test_into_parquet_too(ledger: Sandbox, impactcall: Command, tmp_path: Path) -> None:
    assert impactcall("export", str(tmp_path / "calls.parquet"), "--state", "unknown").status == 0
    (row,) = pyarrow.parquet.read_table(tmp_path / "calls.parquet").to_pylist()
    (expected,) = impactcall("list", "--state", "unknown", "-o", "json").rows
    assert row["changed_at"] == datetime.fromisoformat(expected["changed_at"])
    assert (row["CallSessionId"], row["attempts"]) == ("unknown", 1)


def test_a_file_stays_as_it_was_if_not_all_could_be_exported(
    sandbox: Sandbox, impactcall: Command, tmp_path: Path
) -> None:
    ImpactCallLedgerHook().adopt(examples.calls(KEYS_A_QUERY + 1), Author("alice", "ticket 4711"))
    file = tmp_path / "calls.csv"
    file.write_text("what was there before")
    pages: list[str] = []

    def torn(_: Any, __: Any, statement: str, *___: Any) -> None:
        if re.search(r'impactcall_call\."?key"? IN', statement):
            pages.append(statement)
            if len(pages) == 2:  # The first one has been written by then.
                raise KeyboardInterrupt

    sa.event.listen(sa.engine.Engine, "before_cursor_execute", torn)
    try:
        assert impactcall("export", str(file)).status == 130
    finally:
        sa.event.remove(sa.engine.Engine, "before_cursor_execute", torn)
    assert len(pages) == 2
    assert file.read_text() == "what was there before"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["calls.csv", "stdin"]
    nowhere = impactcall("export", str(tmp_path / "nowhere" / "calls.csv"))
    assert (nowhere.status, nowhere.err.count("\n")) == (1, 1)
    assert "No such file or directory" in nowhere.err


def test_a_link_is_refused_and_a_device_is_not_replaced(ledger: Sandbox, impactcall: Command, tmp_path: Path) -> None:
    target, link, pipe = tmp_path / "target.csv", tmp_path / "link.csv", tmp_path / "pipe"
    link.symlink_to(target)
    refused = impactcall("export", str(link))
    assert (refused.status, refused.err.count("\n")) == (1, 1)
    assert str(link) in refused.err
    assert link.is_symlink()
    assert impactcall("export", str(target)).status == 0
    assert len(target.read_text().splitlines()) == 4
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert impactcall("export", str(pipe)).status == 0
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert os.read(reader, 1_000_000).decode() == target.read_text()
    os.close(reader)


def test_a_reader_that_has_seen_enough_causes_no_traceback(sandbox: Sandbox) -> None:
    ImpactCallLedgerHook().adopt(examples.calls(2000), Author("alice", "ticket 4711"))
    command = [sys.executable, "-m", "airflow_provider_impactcall.cli", "export", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith("CallSessionId,")
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 1


HOSTILE = ["\x1b[2Jesc", "two\nlines", "c1\x9b31m", "turned\u202eround", "=1+1", "x;=1+1", "\t@x"]


@pytest.fixture
def hostile(sandbox: Sandbox) -> Sandbox:
    """Calls whose ids would do something to a terminal or a spreadsheet."""
    report = ImpactCallHook().deliver([examples.call(name) for name in HOSTILE])
    assert report.delivered == len(HOSTILE)
    return sandbox


@pytest.mark.parametrize(
    "arguments", [("list",), ("list", "-o", "plain"), ("list", "-o", "json"), ("list", "-o", "yaml")], ids=" ".join
)
def test_no_id_does_anything_to_a_terminal(hostile: Sandbox, impactcall: Command, arguments: tuple[str, ...]) -> None:
    shown = impactcall(*arguments).out
    assert "esc" in shown
    assert all(line.isprintable() for line in shown.splitlines())
    assert not any(mark in shown for mark in ("\x1b", "\x9b", "\u202e"))


def test_nor_does_one_that_is_exported_to_it(
    hostile: Sandbox, impactcall: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    with monkeypatch.context() as patched:
        patched.setattr("sys.stdout", terminal)
        assert impactcall("export", "-").status == 0
    assert "esc" in terminal.getvalue()
    assert all(line.isprintable() for line in terminal.getvalue().split("\n"))
    assert "\x1b" in impactcall("export", "-").out  # A pipe gets the ids as they are.


def test_nor_does_one_that_is_checked(hostile: Sandbox, impactcall: Command, tmp_path: Path) -> None:
    file = tmp_path / "calls.jsonl"
    rows = [examples.call(name, MediaId="\x1b[2J\n1", CallStatus="\x1b[2J") for name in HOSTILE]
    file.write_text("".join(json.dumps(row) + "\n" for row in [*rows, examples.call("new", SubId1="\x1b[2J\nx")]))
    for arguments in ((), ("--json",)):
        done = impactcall("check", str(file), *arguments)
        assert "esc" in done.out
        for line in (done.out + done.err).split("\n"):
            assert line.isprintable()


def test_an_export_is_text_to_a_spreadsheet_and_its_owners_alone(
    hostile: Sandbox, impactcall: Command, tmp_path: Path
) -> None:
    assert impactcall("export", str(tmp_path / "calls.csv")).status == 0
    rows = csv.DictReader((tmp_path / "calls.csv").open(newline=""))
    ids = {row["CallSessionId"] for row in rows}
    assert {"'=1+1", "x;'=1+1", "'@x"} <= ids
    assert stat.S_IMODE((tmp_path / "calls.csv").stat().st_mode) == 0o600
