"""From a call to its payout, as a task over a real warehouse, ledger and endpoint."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import sqlalchemy as sa
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from requests.auth import HTTPBasicAuth

from airflow_provider_impactcall.delivery.ledger.action_queries import ActionQueries
from airflow_provider_impactcall.delivery.ledger.batch_sizes import KEYS_A_QUERY
from airflow_provider_impactcall.delivery.ledger.edits import Author
from airflow_provider_impactcall.delivery.ledger.listing import Listing
from airflow_provider_impactcall.delivery.ledger.run_queries import last_runs
from airflow_provider_impactcall.delivery.ledger.schema import action_readings
from airflow_provider_impactcall.delivery.ledger.selection import Selection
from airflow_provider_impactcall.hooks.ledger import ImpactCallLedgerHook
from airflow_provider_impactcall.operators.ledger import FollowActionsOperator, ReconcileCallsOperator
from airflow_provider_impactcall.sandbox import Sandbox
from airflow_provider_impactcall.transfers.sql_to_impactcall import SqlToImpactCallOperator
from tests import examples
from tests.operators.actions_scene import COLUMNS, SID, api, warehouse

__all__ = ["api", "warehouse"]

OPTIONS: dict[str, Any] = {
    "sql": "SELECT * FROM calls ORDER BY CallSessionId",
    "sql_conn_id": "warehouse",
    "constants": {"CampaignId": 1000, "ActionTrackerId": 4000, "CallProvider": "ExampleVendor"},
}
NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


def add(warehouse: sqlite3.Connection, *session_ids: str, days_ago: float = 1, **changes: Any) -> None:
    """Calls, each of a second of its own."""
    (there,) = warehouse.execute("SELECT count(*) FROM calls").fetchone()
    for number, session_id in enumerate(session_ids, start=there):
        happened = NOW - days_ago * DAY + number * timedelta(seconds=1)
        row = examples.call(session_id, **{"EventDate": happened.isoformat(), **changes})
        marks = ", ".join("?" * len(COLUMNS))
        warehouse.execute(f"INSERT INTO calls VALUES ({marks})", [row.get(name) for name in COLUMNS])
    warehouse.commit()


def deliver(**options: Any) -> dict[str, Any]:
    return SqlToImpactCallOperator(task_id="deliver", max_unknown=100, **{**OPTIONS, **options}).execute({})


def follow(**options: Any) -> dict[str, int]:
    return FollowActionsOperator(task_id="follow", **{**OPTIONS, **options}).execute({})


def states() -> dict[str, str | None]:
    with ImpactCallLedgerHook().ledger() as ledger:
        return {row["CallSessionId"]: row["action_state"] for row in Listing(ledger).each(Selection())}


def counted(**counts: int) -> dict[str, int]:
    names = ("rows", "filtered", "rejected", "unknown", "proven", "delivered", "pending", "approved", "cleared")
    return {**dict.fromkeys((*names, "reversed", "other", "none", "ambiguous", "updated"), 0), **counts}


def of_sandbox(sandbox: Sandbox, campaign: str = "1000") -> Counter[str]:
    """What the sandbox itself says of its actions."""
    session = requests.Session()
    session.trust_env = False
    asked = {"CampaignId": campaign, "StartDate": (NOW - 2 * DAY).isoformat(), "EndDate": (NOW + DAY).isoformat()}
    answer = session.get(
        f"{sandbox.url}/Advertisers/{SID}/Actions",
        params=asked,
        auth=HTTPBasicAuth(SID.encode(), examples.PASSWORD.encode()),
        headers={"Accept": "application/json"},
    )
    actions = answer.json()["Actions"]
    counts = Counter(action["State"].lower() for action in actions)
    counts["cleared"] = sum(action["ClearedDate"] != "" for action in actions)
    counts["actions"] = len(actions)
    return counts


def test_a_month_of_calls_is_followed_from_pending_to_paid(warehouse: sqlite3.Connection, sandbox: Sandbox) -> None:
    for day in range(1, 31):
        add(warehouse, *(f"CA{day:02}-{number}" for number in range(4)), days_ago=day, MediaId=10000 + day % 3)
        add(warehouse, f"CA{day:02}-missed", days_ago=day, CallStatus="CANCEL")
    deliver()
    assert follow() == counted(rows=150, delivered=150, pending=120, none=30)
    sandbox.decide("APPROVED", range(1, 90))
    sandbox.decide("REVERSED", range(90, 131))
    sandbox.decide("CLEARED", range(1, 30))
    told = follow()
    expected = of_sandbox(sandbox)
    names = ("pending", "approved", "reversed", "cleared")
    assert told == counted(rows=150, delivered=150, none=30, **{name: expected[name] for name in names})
    with ImpactCallLedgerHook().ledger() as ledger:
        ways = ActionQueries(ledger).ways()
    assert len(ways) == 3
    assert {name: sum(way[name] for way in ways) for name in (*names, "actions")} == {
        name: expected[name] for name in (*names, "actions")
    }
    assert [sum(way[name] for way in ways) for name in ("delivered", "none", "not_followed")] == [150, 30, 0]
    assert Counter(states().values()) == {name: expected[name] for name in names[:3]} | {"none": 30}


def test_changes_of_calls_that_are_not_asked_for_any_more_come_by_when_they_changed(
    warehouse: sqlite3.Connection, sandbox: Sandbox
) -> None:
    add(warehouse, "old-1", "old-2", days_ago=60)
    add(warehouse, "new", days_ago=1)
    deliver()
    assert follow()["pending"] == 3
    numbers = {call["parameters"]["CallSessionId"]: number for number, call in enumerate(sandbox.calls, start=1)}
    sandbox.decide("REVERSED", [numbers["old-2"]])
    sandbox.decide("APPROVED", [numbers["old-1"]])
    assert follow(since=NOW - 2 * DAY) == counted(rows=3, delivered=1, pending=1, updated=2)
    assert states() == {"old-1": "approved", "old-2": "reversed", "new": "pending"}
    assert follow(since=NOW - 2 * DAY)["updated"] == 0


def test_changes_are_read_after_a_reading_that_was_noted_for_the_future(
    warehouse: sqlite3.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """The clock of a worker was wrong once."""
    add(warehouse, "a")
    deliver()
    follow()
    with ImpactCallLedgerHook().ledger() as ledger, ledger.writing() as connection:
        connection.execute(sa.update(action_readings).values(updates_until=(NOW + 100 * DAY).timestamp()))
    caplog.set_level(logging.DEBUG, logger="urllib3")
    follow()
    asked = [_asked(record.getMessage()) for record in caplog.records if "Actions?" in record.getMessage()]
    (query,) = [query for query in asked if "StartDate" in query]
    assert datetime.fromisoformat(query["StartDate"]) <= datetime.now(UTC) - DAY
    with ImpactCallLedgerHook().ledger() as ledger, ledger.reading() as connection:
        noted = connection.execute(sa.select(action_readings.c.updates_until)).scalar_one()
    assert noted <= datetime.now(UTC).timestamp(), "so this is mended"


def test_the_list_is_asked_for_by_event_and_in_windows_of_at_most_45_days(
    warehouse: sqlite3.Connection, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    add(warehouse, "first", days_ago=100)
    add(warehouse, "last", days_ago=10)
    sandbox.script = ["reset-after-processing", "ok"]
    deliver(concurrency=1)
    caplog.set_level(logging.DEBUG, logger="urllib3")
    follow()
    asked = [_asked(record.getMessage()) for record in caplog.records if "Actions?" in record.getMessage()]
    assert all("StartDate" not in query for query in asked), "none was followed before"
    ranges = [
        tuple(datetime.fromisoformat(query[name]) for name in ("ActionDateStart", "ActionDateEnd")) for query in asked
    ]
    assert all(end - start <= 45 * DAY for start, end in ranges)
    assert (ranges[0][0], ranges[-1][1]) == (NOW - 101 * DAY, NOW - 9 * DAY + timedelta(seconds=1))
    assert [end for _, end in ranges[:-1]] == [start for start, _ in ranges[1:]]
    caplog.clear()
    add(warehouse, "doubt", days_ago=3)
    sandbox.script = ["reset-after-processing"]
    deliver()
    ReconcileCallsOperator(task_id="reconcile", **OPTIONS).execute({})
    (query,) = [_asked(record.getMessage()) for record in caplog.records if "Actions?" in record.getMessage()]
    doubted = NOW - 3 * DAY + timedelta(seconds=2)
    assert query["ActionDateStart"] == f"{doubted - DAY:%Y-%m-%dT%H:%M:%SZ}", "reconcile asks so as well"


def _asked(line: str) -> dict[str, str]:
    query = urlsplit(line.split('"')[1].split()[1]).query
    return {name: values[0] for name, values in parse_qs(query).items()}


def test_only_calls_of_the_time_that_is_asked_for_are_looked_for(warehouse: sqlite3.Connection) -> None:
    for number, days in enumerate((5, 3, 1)):
        add(warehouse, f"CA{number}", days_ago=days)
    deliver()
    told = follow(since=(NOW - 4 * DAY).isoformat(), until=f"{NOW - 2 * DAY:%Y-%m-%d %H:%M:%S}")
    assert told == counted(rows=3, delivered=1, pending=1)
    assert states() == {"CA0": None, "CA1": "pending", "CA2": None}
    assert follow(since="", until=None)["pending"] == 3


def test_what_reconcile_proves_is_proven(warehouse: sqlite3.Connection, sandbox: Sandbox) -> None:
    add(warehouse, "arrived", "delivered", "vanished")
    sandbox.script = ["reset-after-processing", "ok", "reset-before-reading"]
    assert deliver(concurrency=1)["unknown"] == 2
    assert follow() == counted(rows=3, unknown=2, proven=1, delivered=2, pending=2)
    assert states() == {"delivered": "pending", "arrived": "pending", "vanished": None}
    with ImpactCallLedgerHook().ledger() as ledger:
        (proven,) = Listing(ledger).each(Selection(reason_code="reconciled"))
        assert [run["kind"] for run in last_runs(ledger, 2)] == ["follow", "reconcile"]
    assert (proven["CallSessionId"], proven["state"]) == ("arrived", "delivered")


def test_what_cannot_be_told_apart_is_counted_and_not_guessed(warehouse: sqlite3.Connection, sandbox: Sandbox) -> None:
    at = (NOW - DAY).isoformat()
    add(warehouse, "twin-1", "twin-2", EventDate=at)
    add(warehouse, "alone", days_ago=2)
    deliver()
    sandbox.decide("APPROVED", [2])
    assert follow() == counted(rows=3, delivered=3, pending=1, ambiguous=2)
    assert states() == {"twin-1": "ambiguous", "twin-2": "ambiguous", "alone": "pending"}
    only_first = "SELECT * FROM calls WHERE CallSessionId = 'twin-1'"
    assert follow(sql=only_first)["ambiguous"] == 1, "the ledger has the other one"


def test_a_call_keeps_its_own_action_where_another_looks_alike(warehouse: sqlite3.Connection, sandbox: Sandbox) -> None:
    """And what is counted of it is what its action says now, as the ledger has it."""
    at = (NOW - DAY).isoformat()
    add(warehouse, "first", EventDate=at)
    deliver()
    assert follow() == counted(rows=1, delivered=1, pending=1)
    add(warehouse, "second", EventDate=at)
    deliver()
    sandbox.decide("REVERSED", [1])
    assert follow() == counted(rows=2, delivered=2, reversed=1, ambiguous=1)
    assert states() == {"first": "reversed", "second": "ambiguous"}


def test_a_call_that_is_delivered_while_the_rows_are_read_is_looked_for_the_next_time(
    warehouse: sqlite3.Connection, sandbox: Sandbox
) -> None:
    """The actions of its time were not asked for, so that it has none cannot be said of it."""
    add(warehouse, "early", days_ago=1)
    add(warehouse, "late", days_ago=10)
    sandbox.script = ["ok", "503"]
    with pytest.raises(AirflowException):
        deliver(concurrency=1, max_wait=0)
    names = [name for name in examples.call("x") if name in COLUMNS]
    rows = warehouse.execute(f"SELECT {', '.join(names)} FROM calls ORDER BY CallSessionId").fetchall()
    early, late = ({**dict(zip(names, row, strict=True)), **OPTIONS["constants"]} for row in rows)

    def as_they_come() -> Iterator[dict[str, Any]]:
        yield early
        yield from [late] * (KEYS_A_QUERY - 1)
        assert deliver()["delivered"] == 1

    told = ImpactCallLedgerHook().follow(as_they_come(), Author("alice", "daily")).as_dict()
    assert told == counted(rows=KEYS_A_QUERY, delivered=1, pending=1)
    assert states() == {"early": "pending", "late": None}
    assert follow() == counted(rows=2, delivered=2, pending=2)


def test_amounts_are_kept_only_on_request(warehouse: sqlite3.Connection) -> None:
    add(warehouse, "a")
    deliver()

    def amounts() -> list[Any]:
        with ImpactCallLedgerHook().ledger() as ledger:
            (row,) = Listing(ledger).each(Selection())
        return [row[name] for name in ("payout", "amount", "currency")]

    follow()
    assert amounts() == [None, None, None]
    follow(keep_amounts=True)
    assert amounts() == ["25.00", "0.00", "USD"]
    elsewhere = NOW - DAY / 2
    assert follow(since=elsewhere) == counted(rows=1), "that they are kept no more is no change at impact.com"
    assert amounts() == [None, None, None]


def test_no_caller_is_kept_nor_logged(
    warehouse: sqlite3.Connection, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    add(warehouse, "a", "b")
    deliver()
    follow(keep_amounts=True)
    assert "'pending': 2" in caplog.text
    with ImpactCallLedgerHook().ledger() as ledger:
        file = Path(str(ledger.engine.url.database))
        kept = b"".join(each.read_bytes() for each in file.parent.glob(f"{file.name}*"))
    assert b"1000.4000.1" in kept
    for private in (examples.CALLER, SID, examples.PASSWORD):
        assert private not in caplog.text
        assert private.encode() not in kept


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"since": "yesterday"}, "since"),
        ({"until": "soon"}, "until"),
        ({"since": NOW, "until": NOW}, "since"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
    ],
)
def test_options_that_are_wrong(options: dict[str, Any], name: str) -> None:
    """It is said before the query is run, which may take long."""
    with pytest.raises(AirflowFailException, match=name):
        follow(**options, sql="SELECT * FROM nothing")


def test_what_was_recorded_before_the_list_failed_is_kept_and_the_task_is_tried_again(
    warehouse: sqlite3.Connection, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(warehouse, "a")
    deliver()
    follow()
    fields = {"conn_type": "http", "host": f"http://{sandbox.host}", "port": sandbox.port, "login": ""}
    monkeypatch.setenv("AIRFLOW_CONN_IMPACT_API_DEFAULT", json.dumps(fields))
    with pytest.raises(AirflowException, match=r"40[14]") as raised:
        follow()
    assert not isinstance(raised.value, AirflowFailException)
    assert states() == {"a": "pending"}
