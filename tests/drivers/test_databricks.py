"""Databricks as a source: its own connector, which talks to a server here in the place of Databricks'."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_impactcall.integration.sql import drained
from airflow_provider_impactcall.integration.sql_hooks import sql_hook
from airflow_provider_impactcall.operators.impactcall import ImpactCallOperator
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples
from tests.drivers.conftest import Deliver, statements
from tests.drivers.warehouses import DatabricksServer

pytestmark = pytest.mark.databases


@pytest.fixture
def warehouse(monkeypatch: pytest.MonkeyPatch) -> Iterator[DatabricksServer]:
    """The connection ``warehouse``."""
    with DatabricksServer().in_thread() as server:
        extra = {"http_path": "/sql/1.0/warehouses/one", "_connection_uri": server.url, "enable_telemetry": False}
        whole = {"conn_type": "databricks", "host": "127.0.0.1", "password": "token-of-nobody", "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(whole))
        for statement in statements('"', "VARCHAR"):
            server.tables.execute(statement)
        yield server


def test_batch_by_batch(warehouse: DatabricksServer, deliver: Deliver, sandbox: Sandbox) -> None:
    more = "INSERT INTO calls SELECT calls.* REPLACE ('A-' || n AS CallSessionId) FROM calls, range(2, 6) AS r(n)"
    warehouse.tables.execute(more)
    assert deliver("SELECT * FROM calls")["delivered"] == 5
    assert examples.session_ids(sandbox) == [f"A-{number}" for number in range(1, 6)]
    assert warehouse.pages >= 3
    assert warehouse.statements == ["SELECT * FROM calls"], "and nothing about commits"


def test_the_hook_gets_its_parameters(warehouse: DatabricksServer, deliver: Deliver, sandbox: Sandbox) -> None:
    hook_params = {"catalog": "main", "schema": "calls", "session_configuration": {"ansi_mode": "true"}}
    assert deliver("SELECT * FROM calls", hook_params=hook_params)["delivered"] == 1
    (session,) = warehouse.sessions
    assert (session.initialNamespace.catalogName, session.initialNamespace.schemaName) == ("main", "calls")
    assert session.configuration["ansi_mode"] == "true"


@pytest.mark.parametrize(
    ("written", "given", "asked"),
    [
        (":day", {"day": "2026-09-10"}, ":day"),
        ("?", ["2026-09-10"], "?"),
        # Of earlier versions of the connector, which this one takes over.
        ("%(day)s", {"day": "2026-09-10"}, ":day"),
    ],
)
def test_parameters_in_its_style(
    written: str, given: Any, asked: str, warehouse: DatabricksServer, deliver: Deliver, sandbox: Sandbox
) -> None:
    assert deliver(f"SELECT * FROM calls WHERE day = {written}", given)["delivered"] == 1
    assert warehouse.statements == [f"SELECT * FROM calls WHERE day = {asked}"], "its server puts them in"


@pytest.mark.parametrize(
    ("written", "given", "right"),
    [
        ("@day", {"day": "2026-09-10"}, ":day"),
        ("%s", ["2026-09-10"], r"\?"),
    ],
)
def test_parameters_in_another(
    written: str, given: Any, right: str, warehouse: DatabricksServer, deliver: Deliver, sandbox: Sandbox
) -> None:
    with pytest.raises(AirflowFailException, match=rf"\bparameters\b.*\bDatabricks\b.* {right},"):
        deliver(f"SELECT * FROM calls WHERE day = {written}", given)
    assert not sandbox.requests


def test_its_types(warehouse: DatabricksServer, deliver: Deliver, sandbox: Sandbox) -> None:
    sql = (
        "SELECT calls.* REPLACE (TIMESTAMPTZ '2026-09-10 22:55:32-08' AS EventDate, 10000 AS MediaId, "
        "180.0::DOUBLE AS CallDuration, 120.00::DECIMAL(8, 2) AS TalkDuration), true AS flag, NULL::VARCHAR AS City "
        "FROM calls"
    )
    with drained("warehouse", sql) as rows:
        (row,) = list(rows)
    assert row["EventDate"].tzinfo is not None
    assert (row["MediaId"], row["flag"], row["City"]) == (10000, True, None)
    assert deliver(sql)["delivered"] == 1
    (arrived,) = [each["parameters"] for each in sandbox.calls]
    assert arrived["EventDate"] in ("2026-09-11T06:55:32+00:00", "2026-09-10T22:55:32-08:00")
    assert (arrived["MediaId"], arrived["CallDuration"], arrived["TalkDuration"]) == ("10000", "180", "120")


@pytest.mark.parametrize("keys", ["['1', '2']", '\'["1", "2"]\''], ids=["array", "text"])
def test_a_list(keys: str, warehouse: DatabricksServer, deliver: Deliver, sandbox: Sandbox) -> None:
    assert deliver(f"SELECT calls.*, {keys} AS Keypresses FROM calls")["delivered"] == 1
    assert [each["parameters"]["Keypresses"] for each in sandbox.calls] == ["1,2"]


def test_no_rows(warehouse: DatabricksServer, deliver: Deliver, sandbox: Sandbox) -> None:
    assert deliver("SELECT * FROM calls WHERE false")["rows"] == 0


def test_a_query_that_fails_sends_nothing(warehouse: DatabricksServer, deliver: Deliver, sandbox: Sandbox) -> None:
    with pytest.raises(Exception, match=r"\bnowhere\b|\bquery\b"):
        deliver("SELECT * FROM nowhere")
    assert not sandbox.requests


def test_a_value_that_it_cannot_cast_is_not_quoted(
    warehouse: DatabricksServer, deliver: Deliver, sandbox: Sandbox
) -> None:
    with pytest.raises(AirflowException) as raised:
        deliver("SELECT calls.*, CAST(CallerId || 'x' AS INTEGER) AS x FROM calls")
    assert examples.CALLER not in str(raised.value)
    assert not sandbox.requests


def test_what_a_query_changes_is_kept_as_the_documentation_says(warehouse: DatabricksServer) -> None:
    with drained("warehouse", "INSERT INTO calls (day) VALUES ('2026-09-11') RETURNING day") as rows:
        assert len(rows) == 1
    with drained("warehouse", "SELECT day FROM calls") as rows:
        assert len(rows) == 2


def test_rows_of_its_own_cursor(warehouse: DatabricksServer, sandbox: Sandbox) -> None:
    """What a task of one's own may give: the connector's rows are refused as such, and taken as dicts."""
    connection = sql_hook("sql_conn_id", "warehouse").get_conn()
    with closing(connection), closing(connection.cursor()) as cursor:
        cursor.execute("SELECT * FROM calls")
        rows = cursor.fetchall()
    assert type(rows[0]).__module__.startswith("databricks.")
    with pytest.raises(AirflowFailException, match=r"\bwithout names\b"):
        ImpactCallOperator(task_id="t", calls=rows).execute({})
    assert ImpactCallOperator(task_id="t", calls=[row.asDict() for row in rows]).execute({})["delivered"] == 1
