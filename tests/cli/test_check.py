"""``impactcall check``: what a delivery would do, for a person and as data."""

from __future__ import annotations

import csv
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples
from tests.cli.conftest import Command, numbers
from tests.databases import as_connection


@pytest.fixture
def warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> sqlite3.Connection:
    database = sqlite3.connect(tmp_path / "warehouse.db")
    monkeypatch.setenv(
        "AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "warehouse.db")})
    )
    return database


def calls_csv(path: Path, *rows: dict[str, Any]) -> str:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def test_a_file_is_checked_and_nothing_is_sent(ledger: Sandbox, impactcall: Command, tmp_path: Path) -> None:
    sent = len(ledger.calls)
    file = calls_csv(tmp_path / "calls.csv", *(examples.call(name) for name in ("delivered", "unknown", "new")))
    done = impactcall("check", file)
    assert (done.status, done.err) == (0, "")
    for words in ("would be sent      1", "already delivered  1", "unknown            1", "********77"):
        assert words in done.out
    assert len(ledger.calls) == sent


def test_rows_that_would_be_rejected_fail_it(ledger: Sandbox, impactcall: Command, tmp_path: Path) -> None:
    file = calls_csv(tmp_path / "calls.csv", examples.call("a"), examples.call("b", CallerId="canary-no-number"))
    done = impactcall("check", file)
    assert (done.status, numbers(done.err)) == (1, [["1"]])
    (example,) = [line for line in done.out.splitlines() if "row 2" in line]
    assert "CallSessionId b" in example
    assert "aaaaaa-aa-aaaaaa" in example, "the shape of its number"


def test_the_same_as_data(ledger: Sandbox, impactcall: Command, tmp_path: Path) -> None:
    file = tmp_path / "calls.jsonl"
    file.write_text("".join(json.dumps(examples.call(name)) + "\n" for name in ("delivered", "new")))
    done = impactcall("check", str(file), "--json")
    found = json.loads(done.out)
    assert (done.status, done.err) == (0, "")
    assert (found["rows"], found["would_send"], found["already_delivered"]) == (2, 1, 1)
    assert found["requests"][0]["CallSessionId"] == "new"
    assert found["url"] == f"http://{ledger.host}:{ledger.port}/calldata/logCallData"


def test_the_rows_of_a_query(ledger: Sandbox, impactcall: Command, warehouse: sqlite3.Connection) -> None:
    columns = examples.call("a")
    warehouse.execute(f"CREATE TABLE calls ({', '.join(columns)})")
    warehouse.execute(f"INSERT INTO calls VALUES ({', '.join('?' * len(columns))})", list(columns.values()))
    warehouse.commit()
    done = impactcall("check", "--sql-conn-id", "warehouse", "--sql", "SELECT * FROM calls", "--json")
    assert (done.status, json.loads(done.out)["would_send"]) == (0, 1)


def test_a_query_that_lacks_what_every_call_needs_is_refused_at_once(
    ledger: Sandbox, impactcall: Command, warehouse: sqlite3.Connection
) -> None:
    done = impactcall("check", "--sql-conn-id", "warehouse", "--sql", "SELECT 1 AS media_id, 2 AS call_duration")
    assert (done.status, done.err.count("\n")) == (1, 1)
    lacking, _, how = done.err.removeprefix("impactcall: ").partition(": ")
    assert lacking.split(", ") == [
        *("CampaignId", "EventDate", "ActionTrackerId", "CallProvider", "CallSessionId"),
        *("CallerId", "CalledPhoneNumber", "TalkDuration", "CallStatus"),
    ]
    for where in ("mapping", "constants", "campaign_id", "action_tracker_id", "call_provider"):
        assert where in how


@pytest.mark.parametrize("arguments", [[], ["calls.csv", "--sql", "SELECT 1", "--sql-conn-id", "warehouse"]])
def test_one_place_of_calls_is_needed(ledger: Sandbox, impactcall: Command, arguments: list[str]) -> None:
    done = impactcall("check", *arguments)
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert {"--sql-conn-id", "--sql"} <= {*done.err.split()}


def test_an_unknown_vendor_is_named_with_those_that_there_are(
    ledger: Sandbox, impactcall: Command, tmp_path: Path
) -> None:
    file = calls_csv(tmp_path / "calls.csv", examples.call("a"))
    done = impactcall("check", file, "--vendor", "calrail")
    assert done.status == 1
    assert "'calrail'" in done.err
    assert "'callrail'" in done.err


def test_a_ledger_that_cannot_be_is_refused_by_name(
    sandbox: Sandbox, impactcall: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({"conn_type": "oracle"}))
    file = calls_csv(tmp_path / "calls.csv", examples.call("a"))
    for command in (["check", file], ["list", "--state", "unknown"], ["ledger", "migrate"]):
        done = impactcall(*command, "--ledger-conn-id", "ledger")
        assert done.status == 1
        assert "Oracle" in done.err


def test_the_hook_of_a_query_gets_its_parameters(
    ledger: Sandbox, impactcall: Command, postgres: sa.engine.URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", as_connection(postgres))
    sql = "SELECT 1 / (current_setting('search_path') = 'other')::int AS city"
    query = ["check", "--sql-conn-id", "warehouse", "--sql", sql]
    assert "DivisionByZero" in impactcall(*query).err
    done = impactcall(*query, "--hook-params", '{"options": "-c search_path=other"}')
    assert "DivisionByZero" not in done.err
    assert impactcall(*query, "--hook-params", "other").status == 2
