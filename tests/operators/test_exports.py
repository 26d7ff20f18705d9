"""The export of the ledger as a task: into real tables, files and an object store."""

from __future__ import annotations

import csv
import inspect
import json
import logging
import stat
import traceback
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import sqlalchemy as sa
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, ObjectStoragePath
from fsspec.implementations.memory import MemoryFileSystem

from airflow_provider_impactcall.delivery.ledger.listing import LISTED_COLUMNS
from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from airflow_provider_impactcall.operators.ledger import ExportLedgerOperator
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples
from tests.databases import as_connection
from tests.delivery import canary

attach = import_module(f"airflow{'' if version('apache-airflow').startswith('2.') else '.sdk'}.io.store").attach

NONE = dict.fromkeys(("delivered", "rejected", "unknown", "not_sent", "requeued", "open", "invalid", "changed"), 0)
EXPORTED = {**NONE, "exported": 4, "delivered": 2, "rejected": 1, "unknown": 1, "changed": 1}


@pytest.fixture
def delivered(sandbox: Sandbox) -> Sandbox:
    """Four calls in the ledger, one of them changed, and one row that is invalid."""
    rows = [examples.call(name, CallerId=canary.CALLER) for name in ("a", "b", "c", "d")]
    sandbox.script = ["ok", "ok", "400-errors", "502"]
    ImpactCallHook().deliver(rows, concurrency=1)
    ImpactCallHook().deliver([{**rows[0], "CallDuration": 999}, examples.call("e", CallDuration="soon")])
    return sandbox


@pytest.fixture
def warehouse(ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[sa.engine.Engine]:
    url = sa.engine.make_url(ledger_url)
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", as_connection(url))
    engine = sa.create_engine(url)
    yield engine
    engine.dispose()


def export(**options: Any) -> dict[str, int]:
    return ExportLedgerOperator(task_id="export", **options).execute({})


def test_into_a_table_that_analysts_join_with_their_own(delivered: Sandbox, warehouse: sa.engine.Engine) -> None:
    into = {"sql_conn_id": "warehouse", "table": "impact_calls"}
    assert export(**into) == EXPORTED
    assert export(**into) == {**NONE, "exported": 0}
    with warehouse.begin() as connection:
        connection.execute(sa.text("CREATE TABLE sales (call_id VARCHAR(64), amount INTEGER)"))
        connection.execute(sa.text("INSERT INTO sales VALUES ('a', 100), ('b', 10), ('c', 1)"))
        session_id = warehouse.dialect.identifier_preparer.quote("CallSessionId")
        paid = (
            f"SELECT calls.state, SUM(sales.amount) FROM sales JOIN impact_calls calls ON calls.{session_id} = "
            "sales.call_id GROUP BY calls.state"
        )
        assert dict(connection.execute(sa.text(paid)).all()) == {"delivered": 110, "rejected": 1}
        rows = connection.execute(sa.text("SELECT * FROM impact_calls")).mappings().all()
    assert canary.found_in(str(rows)) == []


def rows_of(file: Path) -> list[Mapping[str, Any]]:
    """The rows of a file, as anyone reads it."""
    if file.suffix == ".parquet":
        return list(pyarrow.parquet.read_table(file).to_pylist())
    if file.suffix == ".csv":
        return list(csv.DictReader(file.read_text().splitlines()))
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.parametrize("name", ["calls.csv", "calls.jsonl", "CALLS.NDJSON", "calls.parquet"])
def test_into_a_file(name: str, delivered: Sandbox, tmp_path: Path) -> None:
    file = tmp_path / name
    exported = export(path=str(file))
    assert exported == {**EXPORTED, "exported": 5, "invalid": 1}
    rows = rows_of(file)
    assert {row["CallSessionId"]: row["state"] for row in rows} == {
        **dict.fromkeys("ab", "delivered"),
        "c": "rejected",
        "d": "unknown",
        "e": "invalid",
    }
    assert all(tuple(row) == LISTED_COLUMNS for row in rows)
    (letter,) = [row for row in rows if row["state"] == "invalid"]
    assert "CallDuration" in str(letter["problems"])
    assert canary.found_in(str(rows)) == []
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert export(path=str(file), state=["rejected", "invalid"])["exported"] == 2
    assert {row["state"] for row in rows_of(file)} == {"rejected", "invalid"}


def test_parquet_has_numbers_and_times(delivered: Sandbox, tmp_path: Path) -> None:
    export(path=str(tmp_path / "calls.parquet"), state="delivered,invalid")
    rows = {row["CallSessionId"]: row for row in rows_of(tmp_path / "calls.parquet")}
    assert rows["a"]["EventDate"] == datetime(2026, 9, 11, 6, 55, 32, tzinfo=UTC)
    assert rows["a"]["came_again_at"] > rows["a"]["changed_at"] > rows["a"]["first_at"]
    assert (rows["a"]["status"], rows["a"]["attempts"], rows["a"]["came_again_times"]) == (200, 1, 1)
    assert (rows["b"]["came_again_at"], rows["b"]["problems"]) == (None, None)
    (problem,) = rows["e"]["problems"]
    assert (problem["parameter"], rows["e"]["row"], rows["e"]["times"]) == ("CallDuration", 2, 1)


def test_a_file_without_rows_has_its_columns(sandbox: Sandbox, tmp_path: Path) -> None:
    for name in ("calls.csv", "calls.parquet"):
        assert export(path=str(tmp_path / name)) == {**NONE, "exported": 0}
    assert tuple(pyarrow.parquet.read_table(tmp_path / "calls.parquet").column_names) == LISTED_COLUMNS
    assert (tmp_path / "calls.csv").read_text() == ",".join(LISTED_COLUMNS) + "\n"


def test_by_a_url(delivered: Sandbox, tmp_path: Path) -> None:
    attach("memory", fs=MemoryFileSystem())
    path: Any = ObjectStoragePath("memory://exports/calls.jsonl")
    assert export(path=str(path))["exported"] == 5
    with path.open() as file:
        assert len(file.read().splitlines()) == 5
    path.unlink()
    assert export(path=f"file://{tmp_path}/calls.jsonl")["exported"] == 5
    assert stat.S_IMODE((tmp_path / "calls.jsonl").stat().st_mode) == 0o600


def test_a_file_that_is_there_stays_until_the_new_one_is_complete(delivered: Sandbox, tmp_path: Path) -> None:
    file = tmp_path / "calls.parquet"
    file.write_text("before")

    def torn(_: Any, __: Any, statement: str, *___: Any) -> None:
        if "impactcall_dead_letter" in statement:
            raise sa.exc.OperationalError(statement, {}, Exception(canary.WORD))

    sa.event.listen(sa.engine.Engine, "before_cursor_execute", torn)
    try:
        with pytest.raises(AirflowException) as raised:
            export(path=str(file))
    finally:
        sa.event.remove(sa.engine.Engine, "before_cursor_execute", torn)
    assert not isinstance(raised.value, AirflowFailException)
    assert canary.found_in("".join(traceback.format_exception(raised.value))) == []
    assert [each.name for each in tmp_path.iterdir()] == ["calls.parquet"]
    assert file.read_text() == "before"


def test_times_as_templates_give_them(delivered: Sandbox, tmp_path: Path) -> None:
    file = str(tmp_path / "calls.csv")
    now = datetime.now(UTC)
    assert export(path=file, since=now - timedelta(hours=1), until="")["exported"] == 5
    assert export(path=file, since=(now + timedelta(hours=1)).isoformat())["exported"] == 0
    assert export(path=file, until="2026-01-01")["exported"] == 0


WAREHOUSE = {"sql_conn_id": "warehouse", "table": "calls"}


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({}, "path"),
        ({"path": ""}, "path"),
        ({"table": "calls"}, "sql_conn_id"),
        ({"sql_conn_id": "warehouse"}, "table"),
        ({**WAREHOUSE, "path": "calls.csv"}, "path"),
        ({"path": "calls.txt"}, ".parquet"),
        ({"path": "s3://user:secret@bucket/calls.csv"}, "***"),
        ({"path": "nowhere://bucket/calls.csv"}, "nowhere"),
        ({**WAREHOUSE, "state": "invalid"}, "path"),
        ({**WAREHOUSE, "state": ["sent"]}, "state"),
        ({**WAREHOUSE, "since": "soon"}, "since"),
        ({**WAREHOUSE, "until": 5}, "until"),
        ({**WAREHOUSE, "table": "a.b.c"}, "table"),
        ({**WAREHOUSE, "sql_conn_id": "impactcall_default"}, "sql_conn_id"),
    ],
    ids=str,
)
def test_an_option_that_is_wrong_is_not_tried_again(
    options: dict[str, Any],
    option: str,
    sandbox: Sandbox,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "w.db")}))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AirflowFailException) as raised:
        export(**options)
    assert option in str(raised.value)
    assert "secret" not in str(raised.value)
    assert not [each for each in tmp_path.iterdir() if each.name != "w.db"]


@pytest.mark.parametrize("away", ["warehouse", "ledger"])
def test_a_database_that_is_away_is_tried_again(
    away: str, sandbox: Sandbox, tmp_path: Path, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = {"conn_type": "postgres", "host": "127.0.0.1", "port": closed_port, "login": "u", "password": "p4ss"}
    here = {"conn_type": "sqlite", "host": str(tmp_path / "here.db")}
    for conn_id in ("warehouse", "ledger"):
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(nowhere if conn_id == away else here))
    with pytest.raises(AirflowException) as raised:
        export(**WAREHOUSE, ledger_conn_id="ledger")
    assert not isinstance(raised.value, AirflowFailException)
    assert not {"p4ss", str(closed_port)} & set("".join(traceback.format_exception(raised.value)).split())


def test_the_log_has_counts_and_nothing_private(
    delivered: Sandbox, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.clear()
    export(path=str(tmp_path / "calls.csv"))
    assert "'exported': 5" in caplog.text
    assert canary.found_in(caplog.text) == []


def test_every_option_is_named_and_templated() -> None:
    named = inspect.signature(ExportLedgerOperator).parameters
    assert set(ExportLedgerOperator.template_fields) == named.keys() - {"kwargs"}


def test_a_namespace_that_a_template_found_no_value_for_exports_nothing(delivered: Sandbox, tmp_path: Path) -> None:
    file = tmp_path / "calls.csv"
    with pytest.raises(AirflowFailException, match="ledger_namespace is the text None"):
        export(path=str(file), ledger_namespace="None")
    assert not file.exists()
