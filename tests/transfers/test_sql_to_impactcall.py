from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, BaseHook

from airflow_provider_impactcall.sandbox import Sandbox
from airflow_provider_impactcall.transfers.sql_to_impactcall import SqlToImpactCallOperator
from tests.databases import as_connection, empty_database
from tests.examples import call, session_ids
from tests.facts import named

CREATE = """
CREATE TABLE calls (
    call_session_id TEXT, campaign_id INTEGER, media_id NUMERIC(12, 0), event_date {timestamp},
    action_tracker_id INTEGER, call_provider TEXT, caller_id TEXT, called_phone_number TEXT,
    call_duration INTEGER, talk_duration NUMERIC(8, 2), call_status TEXT, town TEXT, keypresses {keys}
)
"""
MOMENT = "2026-09-10 22:55:32-08:00"
ROW = (1000, 10000, MOMENT, 4000, "ExampleVendor", "+12125550177", "3035550191", 180, 120, "ANSWER")


def filled(server: sa.engine.URL, calls: int) -> str:
    """A database with a table of so many calls, as a connection in JSON."""
    url = empty_database(server)
    values = ", ".join(repr(value) for value in ROW)
    engine = sa.create_engine(url)
    with engine.begin() as database:
        database.exec_driver_sql(CREATE.format(timestamp="TIMESTAMPTZ", keys="TEXT[]"))
        database.exec_driver_sql(
            f"INSERT INTO calls SELECT 'call-' || n, {values}, 'Springfield %%s', ARRAY['1', '2'] "
            f"FROM generate_series(1, {calls}) AS n"
        )
    engine.dispose()
    return as_connection(url)


@pytest.fixture(scope="module")
def in_postgresql(postgres: sa.engine.URL) -> str:
    """A warehouse of 200 calls."""
    return filled(postgres, 200)


@pytest.fixture
def warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A SQLite warehouse of five calls, as the connection ``warehouse``."""
    path = tmp_path / "warehouse.db"
    connection = json.dumps({"conn_type": "sqlite", "host": str(path)})
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", connection)
    hook: Any = BaseHook.get_connection("warehouse")
    with hook.get_hook().get_conn() as database:
        database.execute(CREATE.format(timestamp="TEXT", keys="TEXT"))
        database.executemany(
            f"INSERT INTO calls VALUES ({', '.join('?' * 13)})",
            [(f"call-{number}", *ROW, "Springfield", "1,2") for number in range(5)],
        )
    database.close()
    return path


def transfer(sql: str, parameters: Any = None, **options: Any) -> dict[str, Any]:
    operator = SqlToImpactCallOperator(
        task_id="deliver", sql=sql, sql_conn_id="warehouse", parameters=parameters, **options
    )
    return operator.execute({})


EXPECTED = {
    name: str(value)
    for name, value in call("call-1", EventDate="2026-09-10T22:55:32-08:00", CalledPhoneNumber="3035550191").items()
    if name != "CallRecording"
} | {
    "City": "Springfield",
    "Keypresses": "1,2",
    "CallerPhoneNumberCountry": "US",
    "CalledPhoneNumberCountry": "US",
}


@pytest.mark.short
def test_rows_of_sqlite_arrive_parameter_by_parameter(sandbox: Sandbox, warehouse: Path) -> None:
    report = transfer("SELECT * FROM calls", mapping={"City": "town"})
    assert (report["rows"], report["delivered"]) == (5, 5)
    arrived = {each["parameters"]["CallSessionId"]: each["parameters"] for each in sandbox.calls}
    assert arrived["call-1"] == EXPECTED
    assert sorted(arrived) == [f"call-{number}" for number in range(5)]


@pytest.mark.parametrize("cursor", [None, "dictcursor", "namedtuplecursor"])
def test_rows_of_postgresql_arrive_parameter_by_parameter(
    sandbox: Sandbox, in_postgresql: str, monkeypatch: pytest.MonkeyPatch, cursor: str | None
) -> None:
    extra = {} if cursor is None else {"cursor": cursor}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(json.loads(in_postgresql) | {"extra": extra}))
    report = transfer(
        "SELECT * FROM calls WHERE call_session_id = ANY(%(ids)s)",
        {"ids": ["call-1", "call-200"]},
        mapping={"City": "town"},
    )
    assert report["delivered"] == 2
    arrived = {each["parameters"]["CallSessionId"]: each["parameters"] for each in sandbox.calls}
    # The server's zone decides in which offset a TIMESTAMPTZ is read; it is the same moment.
    assert arrived["call-1"].pop("EventDate") == "2026-09-11T06:55:32+00:00"
    assert arrived["call-1"] == {name: text for name, text in EXPECTED.items() if name != "EventDate"} | {
        "City": "Springfield %s"
    }
    assert set(arrived) == {"call-1", "call-200"}


def test_a_percent_sign_needs_no_doubling_without_parameters(
    sandbox: Sandbox, in_postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", in_postgresql)
    report = transfer("SELECT * FROM calls WHERE call_session_id LIKE 'call-19%'")
    assert report["delivered"] == len(session_ids(sandbox)) == 1 + 10


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [({"first": "call-3"}, ["call-3", "call-4"]), (None, [f"call-{number}" for number in range(5)])],
)
def test_parameters_are_the_drivers_own(
    sandbox: Sandbox, warehouse: Path, parameters: dict[str, Any] | None, expected: list[str]
) -> None:
    condition = "" if parameters is None else " WHERE call_session_id >= :first"
    transfer(f"SELECT * FROM calls{condition}", parameters)
    assert session_ids(sandbox) == expected


PARTNERS = """
CREATE TABLE partners (tracking_number TEXT, media_id INTEGER, campaign TEXT);
INSERT INTO partners VALUES
    ('+13035550191', 20001, 'spring'), ('303-555-0192', 20002, 'spring'), ('3035550193', 20003, NULL);
"""
BY_NUMBER = {"sql": "SELECT tracking_number, media_id FROM partners", "sql_conn_id": "warehouse"}


def partners(warehouse: Path) -> None:
    """Five calls to four tracking numbers; the partners of three are known, in another form of the number."""
    with sqlite3.connect(warehouse) as database:
        database.executescript(PARTNERS)
        database.execute(
            "UPDATE calls SET media_id = NULL, called_phone_number = '303555019' || substr(call_session_id, 6)"
        )
        database.execute("UPDATE calls SET called_phone_number = '3035550193' WHERE call_session_id = 'call-0'")
    database.close()


def credited(sandbox: Sandbox) -> dict[str, str]:
    return {each["parameters"]["CallSessionId"]: each["parameters"]["MediaId"] for each in sandbox.calls}


def test_each_call_is_credited_to_the_partner_of_its_tracking_number(sandbox: Sandbox, warehouse: Path) -> None:
    partners(warehouse)
    mapping = {"MediaId": {"from": "called_phone_number", "lookup": BY_NUMBER}}
    report = transfer("SELECT * FROM calls", mapping=mapping, max_rejected=1)
    assert (report["delivered"], report["rejected"]) == (4, 1)
    assert credited(sandbox) == {"call-0": "20003", "call-1": "20001", "call-2": "20002", "call-3": "20003"}


def test_partners_of_postgresql(
    sandbox: Sandbox, in_postgresql: str, warehouse: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The calls of one database, the partners of another."""
    partners(warehouse)
    monkeypatch.setenv("AIRFLOW_CONN_PARTNERS", in_postgresql)
    values = "VALUES ('303-555-0191', 7), ('+1 303 555 0192', 8)"
    lookup = {"sql": f"SELECT * FROM ({values}) AS partners (number, media_id)", "sql_conn_id": "partners"}
    transfer(
        "SELECT * FROM calls WHERE call_session_id IN ('call-1', 'call-2')",
        mapping={"MediaId": {"from": "called_phone_number", "lookup": lookup}},
    )
    assert credited(sandbox) == {"call-1": "7", "call-2": "8"}


@pytest.mark.parametrize("given_as", [str, Path])
def test_a_mapping_kept_in_a_file(
    sandbox: Sandbox, warehouse: Path, tmp_path: Path, given_as: type[str] | type[Path]
) -> None:
    partners(warehouse)
    file = tmp_path / "calls.yaml"
    file.write_text(
        """
        MediaId:
          from: called_phone_number
          lookup: {sql: "SELECT tracking_number, media_id FROM partners", sql_conn_id: warehouse}
        City: town
        RepeatCaller: {constant: no}
        """
    )
    operator = SqlToImpactCallOperator(
        task_id="deliver", sql="SELECT * FROM calls", sql_conn_id="warehouse", mapping=given_as(file), max_rejected=1
    )
    file.write_text(file.read_text().replace("constant: no", "constant: off"))
    assert operator.execute({})["delivered"] == 4, "what counts is the file as the task runs"
    assert credited(sandbox)["call-2"] == "20002"
    assert {(each["parameters"]["City"], each["parameters"]["RepeatCaller"]) for each in sandbox.calls} == {
        ("Springfield", "off")
    }


@pytest.mark.parametrize(
    ("mapping", "facts"),
    [
        ("nowhere/calls.yaml", ["nowhere/calls.yaml", "No such file or directory"]),
        ({"MediaId": {"from": "town", "lookup": {**BY_NUMBER, "sql": "SELECT 1 AS one"}}}, ["MediaId", 1]),
        ({"MediaId": {"from": "town", "lookup": "partners"}}, ["MediaId", ".csv"]),
    ],
)
def test_a_mapping_that_cannot_be_right_fails_for_good_before_anything_is_sent(
    sandbox: Sandbox, warehouse: Path, mapping: Any, facts: list[object]
) -> None:
    with pytest.raises(AirflowFailException) as raised:
        transfer("SELECT * FROM calls", mapping=mapping)
    assert named(str(raised.value), "mapping", *facts) == ["mapping", *facts]
    assert not sandbox.requests


def test_a_value_that_the_database_cannot_cast_is_not_quoted(
    sandbox: Sandbox, in_postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", in_postgresql)
    with pytest.raises(AirflowException, match=r"\bInvalidTextRepresentation\b") as raised:
        transfer("SELECT *, substr(caller_id, 1)::uuid FROM calls")
    shown = "".join(traceback.format_exception(raised.value))
    assert "2125550177" not in shown
    assert not isinstance(raised.value, AirflowFailException)


def test_a_lookup_whose_database_fails_may_be_tried_again(sandbox: Sandbox, warehouse: Path) -> None:
    mapping = {"MediaId": {"from": "town", "lookup": BY_NUMBER}}
    with pytest.raises(AirflowException, match=r"\bmapping\b.*\bOperationalError\b") as raised:
        transfer("SELECT * FROM calls", mapping=mapping)
    assert not isinstance(raised.value, AirflowFailException)
    assert not sandbox.requests


def test_no_rows_is_a_good_end(sandbox: Sandbox, warehouse: Path) -> None:
    assert transfer("SELECT * FROM calls WHERE 1 = 0")["rows"] == 0


@pytest.mark.parametrize(
    ("sql", "options", "message"),
    [
        ("SELECT *, 'x' AS call_session_id FROM calls", {}, r"\bsql\b.*'call_session_id'"),
        ("DELETE FROM calls WHERE 1 = 0", {}, r"\bsql\b"),
        ("SELECT * FROM calls", {"mapping": {"City": "twon", "Zip": "zip"}}, r"\bmapping\b.*'twon'.*'town'.*'zip'"),
    ],
)
def test_a_query_that_cannot_be_right_fails_for_good_before_anything_is_sent(
    sandbox: Sandbox, warehouse: Path, sql: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(AirflowFailException, match=message):
        transfer(sql, **options)
    assert not sandbox.requests


def test_a_connection_of_another_kind_fails_for_good(sandbox: Sandbox) -> None:
    operator = SqlToImpactCallOperator(task_id="deliver", sql="SELECT 1", sql_conn_id="impactcall_default")
    with pytest.raises(AirflowFailException, match=r"\bsql_conn_id\b.*'impactcall_default'"):
        operator.execute({})


_PEAK = """
import resource, sys
from airflow_provider_impactcall.transfers.sql_to_impactcall import SqlToImpactCallOperator
operator = SqlToImpactCallOperator(
    task_id="deliver", sql=f"SELECT * FROM calls LIMIT {sys.argv[1]}", sql_conn_id="warehouse", dry_run=True
)
report = operator.execute({})
assert report["not_sent"] == int(sys.argv[1]), report
print("peak", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.long
def test_memory_does_not_grow_with_the_result(
    sandbox: Sandbox, postgres: sa.engine.URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading 200,000 rows from PostgreSQL takes at most 50 MB more than reading 2,000."""
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", filled(postgres, 200_000))

    def peak(rows: int) -> int:
        done = subprocess.run([sys.executable, "-c", _PEAK, str(rows)], capture_output=True, text=True, check=True)
        return int(done.stdout.rpartition("peak ")[2])

    few, many = peak(2_000), peak(200_000)
    print(f"peak for 2,000 rows {few} MB, for 200,000 rows {many} MB")
    assert many - few <= 50


@pytest.mark.parametrize("sql", [["SELECT 1", "SELECT 2"], None, 7])
def test_a_query_that_is_not_text_fails_the_task_for_good(sandbox: Sandbox, warehouse: Path, sql: Any) -> None:
    with pytest.raises(AirflowFailException, match="sql must be one query as text"):
        transfer(sql)
    assert not sandbox.requests
