"""A source's hook is one for SQL, and gets the parameters that it is given."""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import sqlalchemy as sa
from airflow.providers.common.compat.sdk import AirflowFailException
from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.providers.sqlite.hooks.sqlite import SqliteHook

from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.integration.sql import drained
from airflow_provider_impactcall.integration.sql_hooks import sql_hook
from airflow_provider_impactcall.operators.ledger import AdoptCallsOperator, ExportLedgerOperator
from airflow_provider_impactcall.sandbox import Sandbox
from airflow_provider_impactcall.transfers.sql_to_impactcall import SqlToImpactCallOperator
from tests import examples
from tests.databases import as_connection, empty_database
from tests.facts import named

OTHER = {"options": "-c search_path=other"}


@pytest.fixture
def warehouse(postgres: sa.engine.URL, monkeypatch: pytest.MonkeyPatch) -> sa.engine.URL:
    """PostgreSQL with a call in the schema ``other``, as the connection ``warehouse``."""
    url = empty_database(postgres)
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", as_connection(url))
    engine = sa.create_engine(url)
    call = examples.call("A-1")
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE SCHEMA other"))
        columns = ", ".join(f'"{name}" text' for name in call)
        connection.execute(sa.text(f"CREATE TABLE other.calls ({columns})"))
        values = ", ".join(f":{name}" for name in call)
        given = {name: str(value) for name, value in call.items()}
        connection.execute(sa.text(f"INSERT INTO other.calls VALUES ({values})"), given)
    engine.dispose()
    return url


@pytest.mark.short
def test_the_hook_gets_its_parameters(sandbox: Sandbox, warehouse: sa.engine.URL) -> None:
    given: dict[str, Any] = {"task_id": "t", "sql": "SELECT * FROM calls", "sql_conn_id": "warehouse"}
    assert SqlToImpactCallOperator(**given, hook_params=OTHER).execute({})["delivered"] == 1
    adopt = AdoptCallsOperator(**given, why="the switch", hook_params=OTHER, ledger_namespace="another")
    assert adopt.execute({})["adopted"] == 1
    ExportLedgerOperator(task_id="t", sql_conn_id="warehouse", table="results").execute({})
    engine = sa.create_engine(warehouse)
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM results")).scalar() == 1
    engine.dispose()


@pytest.mark.parametrize("form", [dict, str], ids=["python", "yaml"])
def test_a_lookups_hook_gets_them_too(
    form: type, sandbox: Sandbox, warehouse: sa.engine.URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged: list[Any] = []
    monkeypatch.setattr(PostgresHook, "get_conn", seen(logged, PostgresHook.get_conn))
    sql = "SELECT \"CalledPhoneNumber\", '20001' FROM calls"
    mapping: Any = {
        "MediaId": {
            "from": "CalledPhoneNumber",
            "lookup": {
                "sql": sql,
                "sql_conn_id": "warehouse",
                "hook_params": {**OTHER, "enable_log_db_messages": False},
            },
        }
    }
    if form is str:
        file = tmp_path / "calls.yaml"
        file.write_text(json.dumps(mapping))  # which is YAML
        mapping = file
    given: dict[str, Any] = {"task_id": "t", "sql": "SELECT * FROM calls", "sql_conn_id": "warehouse"}
    SqlToImpactCallOperator(**given, hook_params=OTHER, mapping=mapping).execute({})
    assert [each["parameters"]["MediaId"] for each in sandbox.calls] == ["20001"]
    assert logged == [False, False], "and not a text that is true"


def seen(noted: list[Any], get_conn: Any) -> Any:
    def opened(hook: Any) -> Any:
        noted.append(hook.enable_log_db_messages)
        return get_conn(hook)

    return opened


def test_hook_params_are_rendered(sandbox: Sandbox, warehouse: sa.engine.URL) -> None:
    given: dict[str, Any] = {"task_id": "t", "sql": "SELECT * FROM calls", "sql_conn_id": "warehouse"}
    operator = SqlToImpactCallOperator(**given, hook_params={"options": "-c search_path={{ params.schema }}"})
    operator.render_template_fields({"params": {"schema": "other"}})
    assert operator.hook_params == OTHER
    assert operator.execute({})["delivered"] == 1


@pytest.mark.parametrize("hook_params", ["schema=other", ["schema"]])
def test_hook_params_that_are_not_a_dict_fail_for_good(
    hook_params: Any, sandbox: Sandbox, warehouse: sa.engine.URL
) -> None:
    operator = SqlToImpactCallOperator(task_id="t", sql="SELECT 1", sql_conn_id="warehouse", hook_params=hook_params)
    with pytest.raises(AirflowFailException, match=r"\bhook_params\b"):
        operator.execute({})


class StrictHook(PostgresHook):
    """A hook that has no such parameter. Airflow's own take any, and some forget it."""

    def __init__(self, postgres_conn_id: str) -> None:
        super().__init__(postgres_conn_id)


def test_hook_params_that_a_hook_does_not_take_fail_for_good(
    warehouse: sa.engine.URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow.providers.postgres.hooks.postgres.PostgresHook", StrictHook)
    with pytest.raises(InvalidOption) as raised:
        sql_hook("sql_conn_id", "warehouse", {"role": "REPORTER"})
    assert named(str(raised.value), "hook_params", "'warehouse'", "'role'") == ["hook_params", "'warehouse'", "'role'"]


@pytest.mark.parametrize("conn_type", ["clickhouse", "generic"])
def test_a_type_without_a_hook_fails_for_good(conn_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": conn_type, "host": "127.0.0.1"}))
    with pytest.raises(InvalidOption) as raised:
        sql_hook("sql_conn_id", "warehouse")
    facts = ["sql_conn_id", "'warehouse'", f"'{conn_type}'"]
    assert named(str(raised.value), *facts) == facts


class AutocommittingHook(PostgresHook):
    """As Snowflake's: the connection commits by itself unless it is told not to."""

    def get_conn(self) -> Any:
        connection: Any = super().get_conn()
        connection.autocommit = True
        return connection


def test_a_driver_that_commits_by_itself_is_told_not_to(
    warehouse: sa.engine.URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow.providers.postgres.hooks.postgres.PostgresHook", AutocommittingHook)
    engine = sa.create_engine(warehouse)
    with engine.begin() as connection:
        changing = "CREATE FUNCTION changing() RETURNS int AS 'DELETE FROM other.calls; SELECT 1' LANGUAGE sql"
        connection.execute(sa.text(changing))
    with drained("warehouse", "SELECT changing() AS one") as rows:
        assert len(rows) == 1
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM other.calls")).scalar() == 1
    engine.dispose()


class StubbornHook(SqliteHook):
    """A hook that says that it can, of a driver that cannot."""

    supports_autocommit = True

    def set_autocommit(self, conn: Any, autocommit: bool) -> None:
        raise NotImplementedError


def test_a_driver_that_cannot_is_read_from_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_LITE", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "w.db")}))
    monkeypatch.setattr("airflow.providers.sqlite.hooks.sqlite.SqliteHook", StubbornHook)
    with drained("lite", "SELECT 1 AS one") as rows:
        assert len(rows) == 1


class StandIn(SqliteHook):
    """In the place of a hook whose provider is not installed here, by its own name and parameters."""

    conn_name_attr = "its_conn_id"

    def __init__(self, *, its_conn_id: str, warehouse: str) -> None:
        super().__init__(its_conn_id)  # type: ignore[no-untyped-call]
        self.its_conn_id = its_conn_id
        self.warehouse = warehouse

    def get_conn(self) -> Any:
        assert self.get_connection(self.its_conn_id).password == examples.PASSWORD
        return sqlite3.connect(self.warehouse)


@pytest.mark.parametrize(
    ("conn_type", "module", "name"),
    [
        ("databricks", "airflow.providers.databricks.hooks.databricks_sql", "DatabricksSqlHook"),
        ("google_cloud_platform", "airflow.providers.google.cloud.hooks.bigquery", "BigQueryHook"),
    ],
)
def test_a_type_whose_hook_is_of_something_else_is_read_with_the_one_for_sql(
    conn_type: str, module: str, name: str, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provided = ModuleType(module)
    setattr(provided, name, StandIn)
    monkeypatch.setitem(sys.modules, module, provided)
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": conn_type, "password": examples.PASSWORD}))
    path = str(tmp_path / "warehouse.db")
    with closing(sqlite3.connect(path)) as lite:
        call = examples.call("A-1")
        lite.execute(f"CREATE TABLE calls ({', '.join(call)})")
        lite.execute(f"INSERT INTO calls VALUES ({', '.join('?' * len(call))})", list(call.values()))
        lite.commit()
    operator = SqlToImpactCallOperator(
        task_id="t", sql="SELECT * FROM calls", sql_conn_id="warehouse", hook_params={"warehouse": path}
    )
    assert operator.execute({})["delivered"] == 1


def test_without_its_provider_it_fails_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "airflow.providers.databricks.hooks.databricks_sql", None)
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "databricks"}))
    with pytest.raises(InvalidOption, match=r"\bsql_conn_id\b.*'databricks'.*\bprovider\b"):
        sql_hook("sql_conn_id", "warehouse")
