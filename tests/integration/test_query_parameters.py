"""Parameters in another style than the driver's: the task says the right one, and is not retried."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.integration.query_parameters import STYLES, parameters_explained
from airflow_provider_impactcall.sandbox import Sandbox
from airflow_provider_impactcall.transfers.sql_to_impactcall import SqlToImpactCallOperator
from tests import examples
from tests.databases import as_connection, empty_database
from tests.documentation import ROOT

DRIVERS = ["sqlite3", "psycopg", "psycopg2"]
CALL = {name: str(value) for name, value in examples.call("A-1").items()}
NAMED = [":day", "%(day)s", "$day", "@day", "{{day}}"]
POSITIONAL = ["?", "%s", "$1", ":1"]
RIGHT = {driver: (style.named, style.positional) for driver, style in STYLES.items() if driver in DRIVERS}


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A driver; the connection ``warehouse`` leads by it to a table ``calls`` of one call of the day 2026-09-10."""
    columns = ", ".join(f'"{name}" text' for name in (*CALL, "day"))
    values = ", ".join(f"'{value}'" for value in (*CALL.values(), "2026-09-10"))
    statements = (f"CREATE TABLE calls ({columns})", f"INSERT INTO calls VALUES ({values})")
    if request.param == "sqlite3":
        path = tmp_path / "warehouse.db"
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(path)}))
        with closing(sqlite3.connect(path)) as lite:
            for statement in statements:
                lite.execute(statement)
            lite.commit()
        return "sqlite3"
    if request.param == "psycopg2":
        monkeypatch.setattr("airflow.providers.postgres.hooks.postgres.USE_PSYCOPG3", False)
    url = empty_database(request.getfixturevalue("postgres"))
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", as_connection(url))
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()
    return str(request.param)


def deliver(sql: str, parameters: Any) -> dict[str, Any]:
    operator = SqlToImpactCallOperator(task_id="t", sql=sql, sql_conn_id="warehouse", parameters=parameters)
    return operator.execute({})


def test_a_parameter_by_name_in_any_style(driver: str, sandbox: Sandbox) -> None:
    right = RIGHT[driver][0]
    for written in NAMED:
        sql = f"SELECT * FROM calls WHERE day = {written}"
        if written == right or (driver == "sqlite3" and written in ("$day", "@day")):
            assert deliver(sql, {"day": "2026-09-10"})["rows"] == 1
            continue
        with pytest.raises(AirflowFailException) as raised:
            deliver(sql, {"day": "2026-09-10"})
        message = str(raised.value)
        assert "parameters" in message
        assert f" {right}," in message
        assert message.endswith(written)
        assert "2026-09-10" not in message
    assert len(sandbox.calls) == 1


def test_a_parameter_by_its_place_in_any_style(driver: str, sandbox: Sandbox) -> None:
    right = RIGHT[driver][1]
    for written in POSITIONAL:
        sql = f"SELECT * FROM calls WHERE day = {written}"
        if written == right or (driver == "sqlite3" and written in (":1", "$1")):
            # sqlite3 takes any of its own for a list, and warns where that ends.
            continue
        with pytest.raises(AirflowFailException) as raised:
            deliver(sql, ["2026-09-10"])
        assert f" {right}," in str(raised.value)
        assert str(raised.value).endswith(written)
    assert deliver(f"SELECT * FROM calls WHERE day = {right}", ["2026-09-10"])["delivered"] == 1


def test_a_percent_sign_beside_parameters(driver: str, sandbox: Sandbox) -> None:
    right = RIGHT[driver][0]
    sql = f"SELECT * FROM calls WHERE day = {right} AND \"CallProvider\" LIKE 'Example%'"
    if driver == "sqlite3":
        assert deliver(sql, {"day": "2026-09-10"})["delivered"] == 1
        return
    with pytest.raises(AirflowFailException, match=r"\bparameters\b.*%%"):
        deliver(sql, {"day": "2026-09-10"})
    assert deliver(sql.replace("Example%", "Example%%"), {"day": "2026-09-10"})["delivered"] == 1


@pytest.mark.parametrize("what", ["FROM nowhere", "FROM calls WHERE nowhere = 1"])
def test_any_other_error_is_left_as_it_is(what: str, driver: str, sandbox: Sandbox) -> None:
    with pytest.raises(Exception, match=r"\bnowhere\b") as raised:
        deliver(f"SELECT *, {RIGHT[driver][0]} AS asked {what}", {"day": "2026-09-10"})
    assert not isinstance(raised.value, AirflowException)


class Connection:
    """Of a driver that is not installed."""


@pytest.mark.parametrize(
    ("module", "sql", "parameters", "fact"),
    [
        ("trino.dbapi", "SELECT :day", {"day": 1}, "?"),
        ("trino.dbapi", "SELECT %s", [1], "?"),
        ("airflow.providers.google.cloud.hooks.bigquery", "SELECT ?", [1], "%(day)s"),
        ("airflow.providers.google.cloud.hooks.bigquery", "SELECT @day", {"day": 1}, "%(day)s"),
        ("databricks.sql.client", "SELECT %(first)s", {"first": 1}, ":first"),
        ("_duckdb", "SELECT :day", {"day": 1}, "$day"),
        ("snowflake.connector.connection", "SELECT :day", {"day": 1}, "%(day)s"),
        ("MySQLdb.connections", "SELECT :day", {"day": 1}, "%(day)s"),
        ("MySQLdb.connections", "SELECT a LIKE 'x%' AND b = %s", [1], "%%"),
        ("mysql.connector.connection_cext", "SELECT ?", [1], "%s"),
        ("pymysql.connections", "SELECT $day", {"day": 1}, "%(day)s"),
    ],
)
def test_the_right_style_of_each_driver(
    module: str, sql: str, parameters: Any, fact: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "__module__", module)
    with pytest.raises(InvalidOption) as raised, parameters_explained(Connection(), sql, parameters):
        raise ValueError(examples.CALLER)
    assert re.search(rf" {re.escape(fact)}(,|$)", str(raised.value))
    assert examples.CALLER not in str(raised.value)


@pytest.mark.parametrize(
    ("module", "sql", "parameters"),
    [
        ("jaydebeapi", "SELECT :day", {"day": 1}),
        ("trino_of_another", "SELECT %s", [1]),
        ("psycopg", "SELECT '2026'::day, %(day)s", {"day": 1}),
        ("psycopg", "SELECT '%%', %(day)s", {"day": 1}),
        ("psycopg", "SELECT ':day'", None),
        ("trino.dbapi", "SELECT '%s', ?", [1]),
        ("_duckdb", "SELECT a:b, $day", {"day": 1}),
    ],
)
def test_nothing_is_said_where_nothing_is_known(
    module: str, sql: str, parameters: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "__module__", module)
    with pytest.raises(KeyError), parameters_explained(Connection(), sql, parameters):
        raise KeyError


def test_the_documentation_has_them_all() -> None:
    page = (ROOT / "docs" / "operators.md").read_text()
    rows = re.findall(r"^\| (\w+) \| (?:`([^`]+)`)?[^|]*\| (?:`([^`]+)`)?[^|]*\| `", page, re.MULTILINE)
    shown = {database: (named or None, positional or None) for database, named, positional in rows}
    assert shown == {style.database: (style.named, style.positional) for style in STYLES.values()}
