"""Rows that were rejected here, and calls that came again with other content: looked for, dismissed and accepted."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples
from tests.cli.conftest import WHY, Command

CONTENT = {"TalkDuration": 7}


@pytest.fixture
def mixed(ledger: Sandbox) -> Sandbox:
    """The sandbox that three calls were sent to, of which one came again otherwise, beside two invalid rows."""
    rows = [examples.call("delivered", **CONTENT), examples.call("bad", CallDuration=None, CallerId="canary-no-number")]
    report = ImpactCallHook().deliver([*rows, examples.call("worse", CallDuration=None)])
    assert (report.changed, report.rejected) == (1, 2)
    return ledger


def test_they_are_listed_counted_and_exported(mixed: Sandbox, impactcall: Command, tmp_path: Path) -> None:
    [changed] = impactcall("list", "--state", "changed", "-o", "json").rows
    assert (changed["CallSessionId"], changed["state"], changed["came_again_times"]) == ("delivered", "delivered", "1")
    invalid = {row["CallSessionId"]: row for row in impactcall("list", "--state", "invalid", "-o", "json").rows}
    assert invalid.keys() == {"bad", "worse"}
    assert {row["state"] for row in invalid.values()} == {"invalid"}
    assert [problem["parameter"] for problem in invalid["bad"]["problems"]] == ["CallerId", "CallDuration"]
    [worse] = impactcall("list", "--reason-code", "missing", "--state", "invalid", "-o", "json").rows
    assert (worse["CallSessionId"], worse["reason_code"]) == ("worse", "missing")
    counts = {row["state"]: row["calls"] for row in impactcall("count", "-o", "json").rows}
    assert counts == {"delivered": "1", "rejected": "1", "unknown": "1", "invalid": "2", "changed": "1"}
    file = tmp_path / "rows.csv"
    assert impactcall("export", str(file), "--state", "invalid,changed").status == 0
    exported = {row["CallSessionId"]: row for row in csv.DictReader(file.open(newline=""))}
    assert exported.keys() == {"delivered", "bad", "worse"}
    assert exported["worse"]["problems"].count("missing") == 1
    assert exported["delivered"]["problems"] == ""
    lines = tmp_path / "rows.jsonl"
    assert impactcall("export", str(lines), "--state", "invalid").status == 0
    assert all(json.loads(line)["problems"] for line in lines.read_text().splitlines())


def test_a_table_of_changed_calls_says_when_they_came_again(mixed: Sandbox, impactcall: Command) -> None:
    assert "came_again_at" in impactcall("list", "--state", "changed").out.splitlines()[0]
    assert "came_again_at" not in impactcall("list").out.splitlines()[0]


def test_it_is_said_that_there_are_more(mixed: Sandbox, impactcall: Command) -> None:
    assert impactcall("list", "--limit", "5").err == ""
    assert "5" in impactcall("list", "--limit", "4").err


@pytest.mark.parametrize(
    ("command", "selected", "of"),
    [("accept", ("--since", "2026-01-01"), "changed"), ("dismiss", ("--call-session-id", "bad"), "invalid")],
)
def test_a_person_is_asked_before_they_are_settled(
    mixed: Sandbox, impactcall: Command, command: str, selected: tuple[str, ...], of: str
) -> None:
    before = impactcall("count", "-o", "json").rows
    dry = impactcall(command, *selected, *WHY, "--dry-run")
    assert (dry.status, dry.counts) == (0, [[f"1 {of}"]])
    refused = impactcall(command, *selected, *WHY, stdin="n\n")
    assert (refused.status, refused.out) == (1, dry.out)
    assert impactcall(command, *WHY, "-y").status == 2, "without any condition"
    assert impactcall(command, *selected).status == 2, "without a reason"
    assert impactcall(command, "--state", "rejected", *WHY, "-y").status == 1
    assert impactcall("count", "-o", "json").rows == before
    done = impactcall(command, *selected, *WHY, stdin="y\n")
    assert (done.status, done.counts) == (0, [[f"1 {of}"], ["1"]])
    assert impactcall(command, *selected, *WHY, "--dry-run").counts == [[]]
    [run, *_] = impactcall("runs", "-o", "json").rows
    assert (run["kind"], run["actor"], run["why"]) == (command, "alice", "ticket 4711")


def test_an_accepted_call_is_known_as_it_came_and_its_history_says_who(mixed: Sandbox, impactcall: Command) -> None:
    assert impactcall("accept", "--state", "changed", *WHY, "-y").status == 0
    assert ImpactCallHook().deliver([examples.call("delivered", **CONTENT)]).already_delivered == 1
    last = impactcall("history", "--call-session-id", "delivered", "-o", "json").rows[-1]
    assert (last["state"], last["reason_code"], last["actor"]) == ("delivered", "accepted", "alice")
