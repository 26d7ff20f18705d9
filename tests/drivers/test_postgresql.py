"""PostgreSQL as a source, by each driver that Airflow's hook has for it."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from airflow_provider_impactcall.integration.sql import drained
from airflow_provider_impactcall.integration.sql_hooks import sql_hook
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples
from tests.databases import as_connection, empty_database
from tests.drivers.conftest import Deliver, statements

pytestmark = pytest.mark.databases


@pytest.fixture(params=["psycopg", "psycopg2"])
def warehouse(request: pytest.FixtureRequest, postgres: sa.engine.URL, monkeypatch: pytest.MonkeyPatch) -> str:
    """The connection ``warehouse``, and the driver that it is read with."""
    monkeypatch.setattr("airflow.providers.postgres.hooks.postgres.USE_PSYCOPG3", request.param == "psycopg")
    url = empty_database(postgres)
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for statement in statements('"', "text"):
            connection.exec_driver_sql(statement)
        emptied = "CREATE FUNCTION emptied() RETURNS int AS 'DELETE FROM calls; SELECT 1' LANGUAGE sql"
        connection.exec_driver_sql(emptied)
    engine.dispose()
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", as_connection(url))
    opened = sql_hook("sql_conn_id", "warehouse").get_conn()
    assert type(opened).__module__.partition(".")[0] == request.param
    opened.close()
    return str(request.param)


PROVIDED = [
    ("EventDate", "'2026-09-10 22:55:32-08'::timestamptz", {"2026-09-11T06:55:32+00:00", "2026-09-10T22:55:32-08:00"}),
    ("EventDate", "'2026-09-10 22:55:32'::timestamp", {"2026-09-10T22:55:32-04:00"}),
    ("CallSessionId", "'0f7aa4c9-8a4e-4f0c-9d52-1f0f3c1a7b11'::uuid", {"0f7aa4c9-8a4e-4f0c-9d52-1f0f3c1a7b11"}),
    ("MediaId", "10000::bigint", {"10000"}),
    ("TalkDuration", "120.00::numeric", {"120"}),
    ("CallDuration", "180::double precision", {"180"}),
    ("CallDuration", "'3 minutes'::interval", {"180"}),
    ("City", "NULL::text", {None}),
    ("Keypresses", "ARRAY['1', '2']", {"1,2"}),
    ("Keypresses", '\'["1", "2"]\'::jsonb', {"1,2"}),
    ("Keypresses", '\'["1", "2"]\'::text', {"1,2"}),
]


@pytest.mark.parametrize(("parameter", "value", "sent"), PROVIDED, ids=[f"{name} {sql}" for name, sql, _ in PROVIDED])
def test_its_types(
    parameter: str, value: str, sent: set[Any], warehouse: str, deliver: Deliver, sandbox: Sandbox
) -> None:
    sql = f"SELECT calls.*, {value} AS given FROM calls"
    assert deliver(sql, mapping={parameter: "given"}, timezone="America/New_York")["delivered"] == 1
    (arrived,) = [each["parameters"].get(parameter) for each in sandbox.calls]
    assert arrived in sent


def test_what_a_query_changes_is_rolled_back(warehouse: str) -> None:
    """As only a function that is called by a SELECT can change anything."""
    with drained("warehouse", "SELECT emptied() AS one") as rows:
        assert len(rows) == 1
    with drained("warehouse", "SELECT day FROM calls") as rows:
        assert len(rows) == 1


def test_a_change_cannot_be_in_its_cursor(warehouse: str) -> None:
    with pytest.raises(Exception, match=r"\bsyntax\b"), drained("warehouse", "DELETE FROM calls RETURNING day"):
        pass


def test_the_result_is_left_on_the_server(warehouse: str, deliver: Deliver, sandbox: Sandbox) -> None:
    """More rows than a fetch has."""
    number = "SELECT calls.*, 'B-' || n AS id FROM calls, generate_series(1, 1500) n"
    assert deliver(number, mapping={"CallSessionId": "id"}, limit=3)["delivered"] == 3
    assert examples.session_ids(sandbox) == ["B-1", "B-2", "B-3"]
