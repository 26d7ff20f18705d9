"""The commands that change the ledger: each keeps who and why, and changes nothing that nobody agreed to."""

from __future__ import annotations

import gzip
import io
import json
import re
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_provider_impactcall.delivery.ledger.corrections import Corrections
from airflow_provider_impactcall.delivery.ledger.edits import Author
from airflow_provider_impactcall.delivery.ledger.schema import calls
from airflow_provider_impactcall.delivery.ledger.selection import Selection
from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from airflow_provider_impactcall.hooks.ledger import ImpactCallLedgerHook
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples
from tests.cli.conftest import SCRIPT, WHY, Command, numbers, states

AS_DELIVERED = {state: state for state in SCRIPT}


def send_again() -> dict[str, object]:
    """What a run that reads all the calls does with them."""
    counts = ImpactCallHook().deliver([examples.call(state) for state in SCRIPT]).as_dict()
    return {name: count for name, count in counts.items() if name in ("delivered", "already_delivered", "unknown")}


def csv_file(path: Path, rows: Iterable[Mapping[str, Any]]) -> str:
    rows = list(rows)
    lines: list[Iterable[Any]] = [rows[0].keys(), *(row.values() for row in rows)]
    path.write_text("\n".join(",".join(f'"{value}"' for value in line) for line in lines) + "\n")
    return str(path)


def test_requeued_calls_are_sent_by_the_next_run(ledger: Sandbox, impactcall: Command) -> None:
    done = impactcall("requeue", "--state", "rejected,unknown", *WHY, stdin="y\n")
    assert done.counts == [["1 rejected", "1 unknown"], ["2"]]
    assert "unknown" in done.err, "the warning"
    assert send_again() == {"delivered": 2, "already_delivered": 1, "unknown": 0}
    assert examples.session_ids(ledger) == ["delivered", "rejected", "unknown", "unknown"]


def test_only_unknown_calls_can_arrive_twice(ledger: Sandbox, impactcall: Command) -> None:
    for state, lines in (("unknown", 1), ("rejected", 0)):
        warning = impactcall("requeue", "--state", state, *WHY, "--dry-run").err
        assert (warning.count("\n"), warning.count("unknown")) == (lines, lines)


@pytest.mark.parametrize(
    "command",
    [
        ("requeue", "--since", "2026-01-01"),
        ("resolve", "--as", "delivered", "--reason", "502"),
        ("purge", "--older-than", "0.0000001"),
    ],
)
def test_nothing_is_changed_unless_someone_says_yes(ledger: Sandbox, impactcall: Command, command: list[str]) -> None:
    dry = impactcall(*command, *WHY, "--dry-run")
    assert dry.status == 0
    for answer in ("", "\n", "n\n", "yesterday\n"):
        refused = impactcall(*command, *WHY, stdin=answer)
        assert refused.status == 1
        assert refused.out == dry.out
        assert "-y" in refused.err.splitlines()[-1], "how to say yes"
    assert states(impactcall) == AS_DELIVERED
    assert len(impactcall("runs", "-o", "json").rows) == 1
    assert impactcall(*command, *WHY, "-y").out.startswith(dry.out)
    assert states(impactcall) != AS_DELIVERED


@pytest.mark.parametrize("command", [("requeue",), ("resolve", "--as", "delivered")])
def test_a_change_needs_a_condition(ledger: Sandbox, impactcall: Command, command: list[str]) -> None:
    done = impactcall(*command, *WHY, "-y")
    assert done.status == 2
    assert done.err.count("\n") == 1
    for condition in ("--state", "--reason", "--run-id", "--since", "--until", "--call-session-id"):
        assert condition in done.err
    for unset in (("--reason", ""), ("--run-id", " "), ("--call-session-id", "")):
        assert impactcall(*command, *unset, *WHY, "-y").status == 2
    assert states(impactcall) == AS_DELIVERED


def test_a_change_needs_a_reason_and_keeps_who_made_it(
    ledger: Sandbox, impactcall: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert impactcall("requeue", "--state", "unknown", "-y").status == 2
    assert impactcall("requeue", "--state", "unknown", "--why", " ", "-y").status == 1
    assert impactcall("requeue", "--state", "unknown", "--why", "w" * 251, "-y").status == 1
    monkeypatch.setenv("LOGNAME", "mallory")
    assert impactcall("requeue", "--state", "unknown", "--why", "ticket 4711", "-y").status == 0
    (row,) = impactcall("list", "--call-session-id", "unknown", "-o", "json").rows
    assert re.findall("mallory|ticket 4711", row["reason"]) == ["mallory", "ticket 4711"]


class Hesitating(io.StringIO):
    """A person who answers y, and what happens before that."""

    def __init__(self, happens: Callable[[], object]) -> None:
        super().__init__("y\n")
        self.happens = happens

    def readline(self, *size: int) -> str:  # type: ignore[override]
        self.happens()
        return super().readline(*size)


@pytest.mark.parametrize(
    ("command", "shown", "after"),
    [
        (("requeue",), ["1 rejected", "1 unknown"], {"rejected": "not_sent", "unknown": "unknown"}),
        (("resolve", "--as", "delivered"), ["1 unknown"], {"rejected": "rejected", "unknown": "unknown"}),
        (("resolve", "--as", "not-delivered"), ["1 unknown"], {"rejected": "rejected", "unknown": "unknown"}),
    ],
)
def test_only_what_was_shown_is_changed_however_long_the_answer_takes(
    ledger: Sandbox, impactcall: Command, command: tuple[str, ...], shown: list[str], after: dict[str, str]
) -> None:
    def calls_get_lost() -> None:
        # One is new. Somebody else has the other, which was shown, sent again, and it is of the same state again.
        with ImpactCallLedgerHook().ledger() as books:
            assert Corrections(books).requeue(Selection(states=["unknown"]), Author("bob", "a test")) == 1
        ledger.script = ["502-after-processing"] * 2
        assert ImpactCallHook().deliver([examples.call("unknown"), examples.call("new")]).unknown == 2

    done = impactcall(*command, "--since", "2026-01-01", *WHY, stdin=Hesitating(calls_get_lost))
    assert done.counts == [shown, [str(len(shown) - 1)]]
    assert numbers(done.err)[-1] == ["1"], "the call that was left alone"
    assert states(impactcall) == {"delivered": "delivered", "new": "unknown", **after}


def test_rows_and_marks_that_are_new_are_neither_accepted_nor_dismissed(sandbox: Sandbox, impactcall: Command) -> None:
    def read(seconds: int) -> None:
        rows = [examples.call(name, CallDuration=seconds) for name in "ab"]
        ImpactCallHook().deliver([*rows, examples.call("bad", CallDuration="long")])

    read(500)
    read(600)
    for command, shown in (("accept", "2 changed"), ("dismiss", "1 invalid")):
        done = impactcall(command, "--since", "2026-01-01", *WHY, stdin=Hesitating(lambda: read(700)))
        assert done.counts == [[shown], ["0"]]
        assert numbers(done.err)[-1] == [shown.split()[0]], "what was left alone"
    assert impactcall("accept", "--state", "changed", *WHY, stdin="y\n").counts == [["2 changed"], ["2"]]


def test_a_state_that_cannot_be_changed_so_is_an_error_before_anyone_is_asked(
    ledger: Sandbox, impactcall: Command
) -> None:
    for command in (("requeue", "--state", "delivered"), ("resolve", "--as", "delivered", "--state", "open")):
        done = impactcall(*command, *WHY, "--dry-run")
        assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
    done = impactcall("list", "--state", "lost")
    assert (done.status, done.err.count("\n")) == (1, 1)
    assert "requeued" in done.err, "the states that there are"


def test_calls_are_resolved_either_way(ledger: Sandbox, impactcall: Command) -> None:
    done = impactcall("resolve", "--as", "delivered", "--call-session-id", "unknown", *WHY, "-y")
    assert done.counts == [["1 unknown"], ["1"]]
    assert done.err == "", "none was left alone"
    assert send_again() == {"delivered": 0, "already_delivered": 2, "unknown": 0}
    taken_back = ("resolve", "--as", "not-delivered", "--state", "delivered", *WHY, "-y")
    done = impactcall(*taken_back)
    assert done.counts == [["2 delivered"], ["1"]]
    assert numbers(done.err)[-1] == ["1"], "the call that was left alone"
    assert send_again() == {"delivered": 1, "already_delivered": 1, "unknown": 0}


def test_by_itself_resolve_means_calls_of_unknown_fate(ledger: Sandbox, impactcall: Command) -> None:
    done = impactcall("resolve", "--as", "delivered", "--since", "2026-01-01", *WHY, "-y")
    assert done.counts[0] == ["1 unknown"]
    assert states(impactcall) == {"delivered": "delivered", "rejected": "rejected", "unknown": "delivered"}


def test_that_there_is_no_such_call_is_no_question(ledger: Sandbox, impactcall: Command) -> None:
    done = impactcall("requeue", "--call-session-id", "nobody", *WHY)
    assert (done.status, done.counts, done.err) == (0, [[]], "")


def test_calls_of_a_csv_file_are_adopted_and_never_sent(sandbox: Sandbox, impactcall: Command, tmp_path: Path) -> None:
    rows = [examples.call(name) for name in ("a", "b", "ü, \u2028 and more")]
    file = csv_file(tmp_path / "calls.csv", [*rows, examples.call("late", CallerId="canary-no-number")])
    done = impactcall("adopt", "--file", file, *WHY, "-o", "json")
    assert done.status == 1
    assert done.rows == [
        {"rows": "4", "adopted": "3", "already_delivered": "0", "in_flight": "0", "filtered": "0", "rejected": "1"},
    ]
    assert "not_a_phone_number: CallerId" in done.err
    assert numbers(done.err)[-1] == ["1"], "the rows that were not adopted"
    assert ImpactCallHook().deliver(rows).already_delivered == 3
    assert sandbox.calls == []


def test_the_same_calls_are_read_from_every_source(sandbox: Sandbox, impactcall: Command, tmp_path: Path) -> None:
    rows = [{"from": examples.CALLER, **examples.call(name)} for name in ("a", "b")]
    for row in rows:
        del row["CallerId"], row["CampaignId"], row["CallStatus"]
        row["EventDate"] = "2026-09-10 22:55:32"
    lines, query = tmp_path / "calls.jsonl", tmp_path / "calls.sql"
    lines.write_text("\n\n".join(json.dumps(row) for row in rows))
    csv_text = Path(csv_file(tmp_path / "calls.csv", rows)).read_text()
    (tmp_path / "marked.csv").write_text("\ufeff" + csv_text)
    database = sqlite3.connect(tmp_path / "warehouse.db")
    columns = ", ".join(f'"{name}"' for name in rows[0])
    database.execute(f"CREATE TABLE calls ({columns})")
    places = ", ".join("?" for _ in rows[0])
    database.executemany(f"INSERT INTO calls VALUES ({places})", [tuple(row.values()) for row in rows])
    database.commit()
    database.close()
    query.write_text("SELECT * FROM calls")
    warehouse = ("--sql-conn-id", "warehouse", "--sql")
    options = (
        *("--mapping", '{"CallerId": "from"}', "--constants", '{"CampaignId": 1000, "CallStatus": "ANSWER"}'),
        *("--timezone", "America/New_York", "--key", "CampaignId, CallSessionId", *WHY, "-o", "json"),
    )
    sources = [
        ("--file", str(lines)),
        ("--file", str(tmp_path / "calls.csv")),
        ("--file", str(tmp_path / "marked.csv")),
        ("--file", "-"),
        (*warehouse, "SELECT * FROM calls"),
        (*warehouse, str(query)),
    ]
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv(
            "AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": f"{tmp_path}/warehouse.db"})
        )
        for number, source in enumerate(sources):
            done = impactcall("adopt", *source, *options, stdin=csv_text)
            assert (done.status, done.err) == (0, ""), source
            counts = (done.rows[0]["adopted"], done.rows[0]["already_delivered"])
            assert counts == (("2", "0") if number == 0 else ("0", "2")), source
    assert len(impactcall("list", "-o", "json").rows) == 2


def test_the_mapping_may_be_the_file_that_the_task_has(sandbox: Sandbox, impactcall: Command, tmp_path: Path) -> None:
    rows = [{**examples.call(name), "tracking_number": "+1 303-555-0191", "MediaId": ""} for name in ("a", "b")]
    rows[1]["tracking_number"] = "+1 303-555-0100"
    (tmp_path / "partners.csv").write_text("number,media_id\n3035550191,20001\n")
    mapping = tmp_path / "calls.yaml"
    mapping.write_text("MediaId: {from: tracking_number, lookup: partners.csv}")
    calls = ("adopt", "--file", csv_file(tmp_path / "calls.csv", rows), *WHY, "-o", "json", "--mapping")
    done = impactcall(*calls, str(mapping))
    assert (done.status, done.rows[0]["adopted"], done.rows[0]["rejected"]) == (1, "1", "1")
    assert "not_in_table: MediaId" in done.err
    assert "'tracking_number'" in done.err
    assert [row["MediaId"] for row in impactcall("list", "-o", "json").rows] == ["20001"]
    as_json = {"MediaId": {"from": "tracking_number", "lookup": str(tmp_path / "partners.csv")}}
    assert impactcall(*calls, json.dumps(as_json)).rows[0]["already_delivered"] == "1"
    mapping.write_text(f"CallerId: a\nCity: [{examples.CALLER}")
    done = impactcall(*calls, str(mapping))
    assert (done.status, done.err.count("\n")) == (1, 1)
    assert str(mapping) in done.err
    assert "line 2" in done.err


@pytest.mark.parametrize(
    ("name", "good", "bad", "said"),
    [
        ("calls.csv", examples.call("good"), "canary-1,canary-2\n", {"2", "12"}),
        ("calls.jsonl", examples.call("good"), '{"CallerId": canary-1}\n', set()),
        ("calls.ndjson.gz", examples.call("good"), '["canary-1"]\n', set()),
    ],
)
def test_a_line_that_is_no_row_is_not_adopted_and_the_others_are(
    sandbox: Sandbox, impactcall: Command, tmp_path: Path, name: str, good: dict[str, Any], bad: str, said: set[str]
) -> None:
    file = tmp_path / name
    if name == "calls.csv":
        csv_file(file, [good])
        line = 3
    else:
        file.write_text(json.dumps(good) + "\n")
        line = 2
    text = (file.read_text() + bad).encode()
    file.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    done = impactcall("adopt", "--file", str(file), *WHY, "-o", "json")
    assert done.status == 1
    assert (done.rows[0]["adopted"], done.rows[0]["rejected"]) == ("1", "1")
    rejected, _ = done.err.splitlines()
    assert "not_a_row: row " in rejected
    assert str(file) in rejected
    assert {"1", str(line)} | said == set(numbers(rejected.replace(str(file), ""))[0]), "of values, and of columns"
    assert "canary" not in done.err


def test_an_empty_file_has_no_rows(sandbox: Sandbox, impactcall: Command, tmp_path: Path) -> None:
    file = tmp_path / "calls.csv"
    file.touch()
    done = impactcall("adopt", "--file", str(file), *WHY, "-o", "json")
    assert (done.status, done.rows[0]["rows"]) == (0, "0")


@pytest.mark.parametrize(
    ("name", "content", "lines", "named"),
    [
        ("calls.csv", 'CallSessionId\n"a\n', ["line 2"], "unexpected end of data"),
        ("calls.csv", "CallerId,CallerId\n", [], ""),
        ("calls.csv", b"CallSessionId\n\xff\xfe\n", ["line 2"], "csv_encoding"),
        ("calls.csv.gz", b"CallSessionId\n", [], ""),
        ("calls.parquet", b"PAR1", [], "ArrowInvalid"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_by_line_and_nothing_of_it_is_adopted(
    sandbox: Sandbox, impactcall: Command, tmp_path: Path, name: str, content: str | bytes, lines: list[str], named: str
) -> None:
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    done = impactcall("adopt", "--file", str(file), *WHY)
    assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
    assert str(file) in done.err
    assert re.findall(r"\bline \d+", done.err) == lines
    assert named in done.err
    assert impactcall("runs", "-o", "json").rows == []


def test_rows_come_from_one_source(sandbox: Sandbox, impactcall: Command, tmp_path: Path) -> None:
    sql = ("--sql-conn-id", "warehouse", "--sql", "SELECT 1")
    for source in ((), sql[:2], sql[2:], ("--file", "calls.csv", *sql)):
        done = impactcall("adopt", *source, *WHY)
        assert (done.status, done.err.count("\n")) == (2, 1)
    done = impactcall("adopt", "--file", str(tmp_path / "nowhere.csv"), *WHY)
    assert (done.status, done.err) == (1, f"impactcall: {tmp_path}/nowhere.csv: No such file or directory\n")
    assert impactcall("adopt", "--file", "-", "--mapping", "CallerId", *WHY).status == 2
    assert impactcall("adopt", "--file", "-", "--mapping", '{"CallerIdd": "x"}', *WHY).status == 1


def test_what_a_driver_says_of_values_is_not_printed(
    sandbox: Sandbox, impactcall: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": ":memory:"}))
    done = impactcall("adopt", "--sql-conn-id", "warehouse", "--sql", f"SELECT canary-{examples.CALLER}x", *WHY)
    assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
    assert "(OperationalError)" in done.err


def test_unknown_calls_that_are_actions_are_proven_delivered(
    ledger: Sandbox, impactcall: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = json.loads(examples.connection(ledger)) | {"login": "IRabc123", "extra": {}}
    monkeypatch.setenv("AIRFLOW_CONN_IMPACT_API", json.dumps(api))
    ledger.script = ["502", "502-after-processing"]
    arrived = examples.call("arrived", CallerId="2125550145")
    ImpactCallHook().deliver([examples.call("lost", CallerId="2125550143"), arrived])
    rows = [examples.call("unknown", CallerId="(212) 555-0144"), examples.call("lost", CallerId="2125550143")]
    file = csv_file(tmp_path / "calls.csv", rows)
    ask = ("reconcile", "--file", file, *WHY, "-o", "json", "--api-conn-id")
    done = impactcall(*ask, "impact_api")
    assert (done.status, done.err) == (0, "")
    assert done.rows == [
        {"rows": "2", "filtered": "0", "rejected": "0", "unknown": "2", "proven": "0", "ambiguous": "0"}
    ]

    rows = [examples.call("unknown"), examples.call("lost", CallerId="2125550143")]
    csv_file(tmp_path / "calls.csv", rows)
    assert impactcall(*ask, "impact_api").rows[0]["ambiguous"] == "1", "the action may be of a call that was not given"
    csv_file(tmp_path / "calls.csv", [examples.call("delivered"), *rows, arrived])
    (found,) = impactcall(*ask, "impact_api").rows
    assert [found[name] for name in ("unknown", "proven", "ambiguous")] == ["3", "1", "1"], "two actions of two twins"
    assert states(impactcall) == AS_DELIVERED | {"arrived": "delivered", "lost": "unknown"}

    monkeypatch.setenv("AIRFLOW_CONN_IMPACT_API", json.dumps(api | {"login": ""}))
    refused = impactcall(*ask, "impact_api")
    assert (refused.status, refused.out, refused.err.count("\n")) == (1, "", 1)
    assert impactcall(*ask, "nowhere").status == 1


def test_delivered_calls_are_followed_to_their_payout(
    ledger: Sandbox, impactcall: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = json.loads(examples.connection(ledger)) | {"login": "IRabc123", "extra": {}}
    monkeypatch.setenv("AIRFLOW_CONN_IMPACT_API", json.dumps(api))
    paid = examples.call("paid", EventDate="2026-09-11T10:00:00+00:00")
    ImpactCallHook().deliver([paid])
    ledger.decide("APPROVED", [3])
    file = csv_file(tmp_path / "calls.csv", [paid, examples.call("delivered"), examples.call("unknown")])
    since = ("--since", "2026-09-11T07:00", "--until", "2026-09-12")
    done = impactcall("follow", "--file", file, *WHY, "-o", "json", "--api-conn-id", "impact_api", *since)
    assert (done.status, done.err) == (0, "")
    assert {name: count for name, count in done.rows[0].items() if count != "0"} == {
        "rows": "3",
        "delivered": "1",
        "approved": "1",
    }
    (row,) = impactcall("list", "--action", "approved,cleared", "-o", "json").rows
    assert (row["CallSessionId"], row["action_id"], row["payout"]) == ("paid", "1000.4000.3", None)
    impactcall("follow", "--file", file, *WHY, "--api-conn-id", "impact_api", "--keep-amounts")
    (row,) = impactcall("list", "--action", "approved", "-o", "json").rows
    assert (row["payout"], row["currency"]) == ("25.00", "USD")
    (way,) = impactcall("count", "--actions", "--since", "2026-01-01", "-o", "json").rows
    counts = [int(way[name]) for name in ("delivered", "actions", "approved", "ambiguous", "not_followed")]
    assert counts == [2, 1, 1, 1, 0], "both actions of the other caller and second may be of the delivered call"
    assert impactcall("count", "--actions", "--until", "2026-01-01", "-o", "json").rows == []
    for where in (("--since", "2126-01-01"), ("--until", "1926-01-01")):
        none = impactcall("count", "--actions", *where, "-o", "json")
        assert (none.status, none.rows) == (0, []), "a time with one end has no other"
    refused = impactcall("follow", "--file", "nowhere.csv", *WHY, "--since", "2026-09-12", "--until", "2026-09-11")
    assert (refused.status, refused.err.count("since must be before until")) == (1, 1), "before the calls are read"
    assert impactcall("count", "--actions", "--state", "delivered").status == 2
    assert impactcall("list", "--action", "paid").status == 1


def test_a_purge_forgets_what_is_settled_and_says_so_first(ledger: Sandbox, impactcall: Command) -> None:
    assert impactcall("purge", "--older-than", "1", *WHY).counts == [[]]
    done = impactcall("purge", "--older-than", "0.0000001", *WHY, stdin="yes\n")
    assert done.counts == [["1 delivered", "1 rejected"], ["2", "0"]]
    assert "delivered" in done.err, "the warning"
    assert states(impactcall) == {"unknown": "unknown"}
    for days in ("0", "-1", "nan", "inf", "a week", "1e9"):
        assert impactcall("purge", "--older-than", days, *WHY, "-y").status == 2


def test_a_purge_keeps_a_call_that_came_again_and_says_so(ledger: Sandbox, impactcall: Command) -> None:
    with ImpactCallLedgerHook().ledger() as held, held.writing() as connection:
        connection.execute(sa.update(calls).values(changed_at=calls.c.changed_at - 10 * 86_400))
    ImpactCallHook().deliver([examples.call("delivered", TalkDuration=1)])
    done = impactcall("purge", "--older-than", "5", *WHY, "-y")
    assert done.counts == [["1 rejected"], ["1", "0"]]
    assert numbers(done.err.splitlines()[0]) == [["1"]]
    assert states(impactcall).keys() == {"delivered", "unknown"}


def test_a_ledger_that_cannot_be_reached_is_one_line(
    ledger: Sandbox, impactcall: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "no.db").touch(0o600)
    (tmp_path / "no.db").write_text("this is no database, whatever it is called" * 100)
    nowhere = {"conn_type": "sqlite", "host": str(tmp_path / "no.db")}
    monkeypatch.setenv("AIRFLOW_CONN_BOOKS", json.dumps(nowhere))
    for command in (("list",), ("count",), ("runs",), ("export", "-"), ("requeue", "--state", "unknown", *WHY, "-y")):
        done = impactcall(*command, "--ledger-conn-id", "books")
        assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
        assert "(DatabaseError)" in done.err
    done = impactcall("list", "--impactcall-conn-id", "nobody")
    assert (done.status, done.err.count("\n")) == (1, 1)
