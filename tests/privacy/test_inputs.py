"""Whatever an input looks like, none of its values is shown as what it was taken for: a name, or a driver's words."""

from __future__ import annotations

import csv
import json
import re
import sqlite3
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
import sqlalchemy as sa
from airflow.providers.common.compat.sdk import AirflowException
from airflow.providers.sqlite.hooks.sqlite import SqliteHook

from airflow_provider_impactcall.delivery.dry_run.page import page_of
from airflow_provider_impactcall.exceptions import ImpactCallError
from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from airflow_provider_impactcall.integration import sql
from airflow_provider_impactcall.records.column_names import LOOK_LIKE_VALUES
from airflow_provider_impactcall.sandbox import Sandbox
from airflow_provider_impactcall.transfers.sql_to_impactcall import SqlToImpactCallOperator
from tests.databases import as_connection, empty_database
from tests.delivery import canary
from tests.delivery.canary import no_canary_in_logs
from tests.facts import named

__all__ = ["no_canary_in_logs"]

MAPPING = {name: name for name in canary.row()}
VALUES = list(dict.fromkeys(map(str, canary.row().values())))


def headerless_csv(folder: Path) -> Any:
    path = folder / "calls.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([VALUES, VALUES])
    return str(path)


def dict_reader_without_header(folder: Path) -> Any:
    with Path(headerless_csv(folder)).open(newline="") as file:
        return list(csv.DictReader(file))


def json_by_phone_number(folder: Path) -> Any:
    path = folder / "calls.jsonl"
    path.write_text(json.dumps({**canary.row(), canary.CALLER: 1, "agent": "Bob"}) + "\n")
    return str(path)


def rows_by_recording(folder: Path) -> Any:
    return [{**canary.row(), canary.RECORDING: 1, "agent": "Bob"}]


def parquet_of_values(folder: Path) -> Any:
    path = folder / "calls.parquet"
    pa.parquet.write_table(pa.table({value: [value] for value in VALUES}), path)
    return str(path)


INPUTS: list[Callable[[Path], Any]] = [
    headerless_csv,
    dict_reader_without_header,
    json_by_phone_number,
    rows_by_recording,
    parquet_of_values,
]


@pytest.mark.parametrize("mapping", [None, MAPPING], ids=["by name", "mapped"])
@pytest.mark.parametrize("given", INPUTS)
def test_no_value_that_was_taken_for_a_name_is_shown(
    given: Callable[[Path], Any],
    mapping: dict[str, Any] | None,
    sandbox: Sandbox,
    tmp_path: Path,
    no_canary_in_logs: list[str],
) -> None:
    rows = given(tmp_path)
    hook = ImpactCallHook()
    try:
        findings = hook.check(rows, mapping=mapping, rejects_path=str(tmp_path / "rejects.jsonl"))
        shown = json.dumps({**findings.as_dict(), "requests": []}) + page_of(findings, anyone=True)
        assert (tmp_path / "rejects.jsonl").exists()
        shown += (tmp_path / "rejects.jsonl").read_text().replace(str(canary.row()["CallSessionId"]), "")
    except ImpactCallError as error:
        shown = "".join(traceback.format_exception(error))
    shown = shown.replace(json.dumps(canary.row()["CallSessionId"]), "")
    assert LOOK_LIKE_VALUES in shown
    assert "Bob" not in shown
    assert "agent" not in shown
    assert canary.found_in(shown) == []


CREATE = "CREATE TABLE calls (id INTEGER, caller TEXT)"
SHOUT = """CREATE FUNCTION shout(caller TEXT) RETURNS TEXT LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'no such caller: %', caller; END $$"""


@pytest.fixture(params=["sqlite", "postgresql"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database of some kind as the connection ``warehouse``, with a caller's number in its second row."""
    if request.param == "sqlite":
        connection = json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "warehouse.db")})
        engine = sa.create_engine(f"sqlite:///{tmp_path}/warehouse.db")
    else:
        url = empty_database(request.getfixturevalue("postgres"))
        connection, engine = as_connection(url), sa.create_engine(url)
    with engine.begin() as database:
        database.execute(sa.text(CREATE))
        if request.param == "postgresql":
            database.execute(sa.text(SHOUT))
        database.execute(sa.text(f"INSERT INTO calls VALUES (1, '1'), (2, '+1{canary.CALLER}')"))
    engine.dispose()
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", connection)
    return str(request.param)


FAILING = {
    "sqlite": [
        f"SELECT id, CAST(x'ff' || '{canary.CALLER[0]}' || substr(caller, 4) AS TEXT) AS caller FROM calls",
        "SELECT id, CASE WHEN id = 2 THEN json_extract(caller || '{', '$') END FROM calls",
        "SELECT id, CASE WHEN id = 2 THEN abs(-9223372036854775808) END FROM calls",
    ],
    "postgresql": [
        "SELECT id, caller::int FROM calls",
        "SELECT id, caller::timestamptz FROM calls",
        "SELECT id, (caller || '{')::json FROM calls",
        "SELECT id, CASE WHEN id = 2 THEN xmlparse(document '<' || caller) END FROM calls",
        "SELECT shout(caller) FROM calls",
        f"SELECT * FROM calls WHERE caller = '+1{canary.CALLER}' AND nothing",
    ],
}


def failure_of(query: str) -> str:
    try:
        SqlToImpactCallOperator(task_id="deliver", sql=query, sql_conn_id="warehouse").execute({})
    except Exception as error:
        return "".join(traceback.format_exception(error))
    pytest.fail("it does not fail, so that it shows nothing")


def test_no_driver_quotes_a_value(warehouse: str, sandbox: Sandbox, no_canary_in_logs: list[str]) -> None:
    for query in FAILING[warehouse]:
        said = failure_of(query)
        # SQLite's text that is not UTF-8 costs its own row alone, so that the query itself does not fail.
        expected = "MediaId" if "x'ff'" in query else r"\(\w+\)"
        assert re.search(expected, said.splitlines()[-1]), query
        assert canary.found_in(said) == [], query


TOWN = "Santa Barbara"
SPELLINGS = [
    "2125550101",
    "212/555/0101",
    "030/901820",
    "212\u2010555\u20100101",
    "212\u2011555\u20110101",
    "212\u00a0555\u00a00101",
    "212\u202f555\u202f0101",
    "212 - 555 - 0101",
    "(212) - 555 - 0101",
    "[212] 555.0101",
    "212\u00b7555\u00b70101",
    "212\u200b555\u200b0101",
    "\uff12\uff11\uff12\uff15\uff15\uff15\uff10\uff11\uff10\uff11",
    "\u0662\u0661\u0662\u0665\u0665\u0665\u0660\u0661\u0660\u0661",
    TOWN,
    "O'Brien",
]


@pytest.fixture
def values_in_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a value into the warehouse's only row, and into its search index."""
    file = tmp_path / "warehouse.db"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(file)}))
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE calls (id INTEGER, held TEXT)")
        database.execute("INSERT INTO calls VALUES (1, '')")
        database.execute("CREATE VIRTUAL TABLE found USING fts5(held)")
        database.commit()

    def put(value: str) -> None:
        with closing(sqlite3.connect(file)) as database:
            database.execute("UPDATE calls SET held = ?", (value,))
            database.commit()

    return put


@pytest.mark.parametrize("value", SPELLINGS)
def test_nor_does_sqlite_before_any_row(
    value: str, values_in_sqlite: Callable[[str], None], sandbox: Sandbox, no_canary_in_logs: list[str]
) -> None:
    """Of most errors, SQLite says by no class and no code that they are about a value."""
    values_in_sqlite(value)
    for query in (
        "SELECT json_extract('{}', held) FROM calls",
        "SELECT calls.id FROM calls, found WHERE found MATCH calls.held || ':x'",
    ):
        said = failure_of(query)
        assert named(said.splitlines()[-1], "OperationalError"), query
        parts = {value, *re.findall(r"[^\W\d]{4,}", value)}
        assert [each for each in (said, *no_canary_in_logs) for part in parts if part in each] == [], query


@pytest.mark.parametrize(
    "query",
    [
        "SELECT nothing FROM calls",
        "SELECT id FROM nothing",
        "SELECT nothing(id) FROM calls",
        "SELECT id FROM calls AS nothing nothing",
        "SELECT id AS nothing, held AS 'nothing FROM calls",
        "SELECT id FROM calls, calls AS other WHERE nothing = 1",
    ],
)
def test_and_what_sqlite_says_of_a_querys_text_is_said(
    query: str, values_in_sqlite: Callable[[str], None], sandbox: Sandbox
) -> None:
    assert named(failure_of(query).splitlines()[-1], "sqlite3.OperationalError", "nothing") != []


def test_nor_a_function_of_postgresql_that_fails_as_the_query_is_planned(
    postgres: sa.URL, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """psycopg calls it a ProgrammingError, as it calls an unknown column."""
    url = empty_database(postgres)
    engine = sa.create_engine(url)
    with engine.begin() as database:
        database.execute(sa.text(CREATE))
        database.execute(sa.text(f"INSERT INTO calls VALUES (1, '{TOWN}')"))
        database.execute(
            sa.text(
                "CREATE FUNCTION first_caller() RETURNS TEXT IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN"
                " RAISE EXCEPTION 'no such caller %', (SELECT caller FROM calls); END $$"
            )
        )
    engine.dispose()
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", as_connection(url))
    said = failure_of("SELECT * FROM calls WHERE caller = first_caller()")
    assert named(said.splitlines()[-1], "RaiseException")
    assert TOWN not in said


def test_nor_does_duckdbs_driver_but_what_it_says_of_a_querys_text(
    fail: Callable[..., str], no_canary_in_logs: list[str]
) -> None:
    """Its words, as DuckDB 2.0 says them: all three are a ProgrammingError."""

    class ProgrammingError(Exception):
        pass

    class InvalidInputException(ProgrammingError):
        pass

    class BinderException(ProgrammingError):
        pass

    for text in (f'Invalid Input Error: Could not parse string "{TOWN}"', f"Invalid Input Error: missing ): {TOWN}("):
        said = fail(InvalidInputException(text), "execute")
        assert named(said.splitlines()[-1], "InvalidInputException")
        assert TOWN not in said
    text = 'Binder Error: Referenced column "nothing" not found in FROM clause!\nCandidate bindings: "city"'
    assert text in fail(BinderException(text), "execute")


def test_and_what_is_wrong_with_a_query_is_said(warehouse: str, sandbox: Sandbox) -> None:
    said = failure_of("SELECT nothing FROM calls WHERE caller > '2026-09-10' AND caller < '2026/09/11'")
    assert "nothing" in said
    with pytest.raises(AirflowException, match=r"\bsql\b.*\b1\b.*\b2\b.*\bAS\b"):
        SqlToImpactCallOperator(task_id="deliver", sql=_twice(warehouse), sql_conn_id="warehouse").execute({})


def _twice(warehouse: str) -> str:
    name = f'"{canary.CALLER}"'
    return f"SELECT id AS {name}, id AS {name} FROM calls"


class _Cursor:
    """A cursor of a driver that cannot be had here: MySQL's words, as its documentation prints them."""

    description = (("caller",),)
    error: Exception

    def execute(self, sql: str) -> None:
        """Nothing: a server-side cursor has no row yet."""

    def fetchmany(self, _: int) -> list[Any]:
        raise self.error

    def close(self) -> None:
        """Nothing is open."""


class OperationalError(Exception):
    """As MySQL's drivers call most of what a server says."""


@pytest.mark.parametrize(
    "text",
    [
        f"(1292, \"Truncated incorrect DOUBLE value: '+1{canary.CALLER}'\")",
        f"(1690, \"BIGINT UNSIGNED value is out of range in '({canary.CALLER} - 1)'\")",
        f"(3141, 'Invalid JSON text in argument 1 to function json_extract: \"{canary.WORD}\"')",
    ],
)
def test_nor_does_mysqls(text: str) -> None:
    cursor = _Cursor()
    cursor.error = OperationalError(text)
    with pytest.raises(AirflowException) as raised:
        sql.fetched(cursor)
    assert named(str(raised.value), "OperationalError")
    assert canary.found_in("".join(traceback.format_exception(raised.value)).replace(repr(text), "")) == []


class MySqlError(Exception):
    """As all of MySQL's drivers number what a server says."""

    __module__ = "MySQLdb"


class _OfMySql(sqlite3.Cursor):
    """As MySQLdb's server-side cursor was seen to be: what is wrong with a row can be raised before any row, and what
    was raised while rows were fetched is raised once more as it is closed.
    """

    fails_at: frozenset[str]
    error: Exception

    def execute(self, *query: Any) -> Any:
        self._fail("execute")
        return super().execute(*query)

    def fetchmany(self, size: int | None = 1) -> list[Any]:
        self._fail("fetchmany")
        return super().fetchmany(size)

    def close(self) -> None:
        super().close()
        self._fail("close")

    def _fail(self, at: str) -> None:
        if at in self.fails_at:
            raise self.error


@pytest.fixture
def fail(tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What is said of a query that fails with an error at some steps of its cursor."""
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "w.db")}))

    def failed(raised: Exception, *steps: str) -> str:
        class Cursor(_OfMySql):
            fails_at = frozenset(steps)
            error = raised

        class Connection(sqlite3.Connection):
            def cursor(self, factory: Any = Cursor) -> Any:
                return super().cursor(factory)

        class Hook(SqliteHook):
            def get_conn(self) -> Any:
                return sqlite3.connect(":memory:", factory=Connection)

        monkeypatch.setattr("airflow.providers.sqlite.hooks.sqlite.SqliteHook", Hook)
        return failure_of("SELECT 1 AS id")

    return failed


OVER_VALUES = [
    (1644, f"no such caller: {canary.WORD}"),
    (1366, f"Incorrect integer value: '{canary.WORD}' for column ``.``.`i` at row 0"),
    (1105, f"XPATH syntax error: '~{canary.WORD}'"),
    (1690, f"BIGINT UNSIGNED value is out of range in '1 - {canary.CALLER}'"),
]


@pytest.mark.parametrize("steps", [["execute"], ["execute", "close"], ["fetchmany", "close"], ["close"]])
def test_nor_does_a_driver_of_mysql_at_any_step(
    steps: list[str], fail: Callable[..., str], no_canary_in_logs: list[str]
) -> None:
    for number, text in OVER_VALUES:
        said = fail(MySqlError(number, text), *steps)
        assert named(said.splitlines()[-1], "MySqlError"), text
        assert canary.found_in(said) == [], text


def test_nor_does_snowflakes_driver(fail: Callable[..., str], no_canary_in_logs: list[str]) -> None:
    class ProgrammingError(Exception):
        sqlstate = "22018"

    said = fail(ProgrammingError(f"100038 (22018): Numeric value '{canary.WORD}' is not recognized"), "execute")
    assert named(said.splitlines()[-1], "ProgrammingError")
    assert canary.found_in(said) == []


@pytest.mark.parametrize(
    ("number", "text"),
    [(1054, "Unknown column 'nothing' in 'SELECT'"), (1146, "Table 'nothing' doesn't exist"), (2006, "nothing there")],
)
def test_and_what_mysql_says_of_a_querys_text_is_said(number: int, text: str, fail: Callable[..., str]) -> None:
    assert text in fail(MySqlError(number, text), "execute", "close")


@pytest.mark.parametrize(
    ("state", "text"),
    [
        ("02000", "002003 (02000): Object 'NOTHING' does not exist or not authorized"),
        ("21000", "more than one row returned by a subquery used as an expression: 'nothing'"),
    ],
)
def test_and_what_a_sqlstate_says_of_a_querys_text_is_said(state: str, text: str, fail: Callable[..., str]) -> None:
    class ProgrammingError(Exception):
        sqlstate = state

    assert text in fail(ProgrammingError(text), "execute")


def test_and_what_odbc_says_of_it(fail: Callable[..., str]) -> None:
    class ProgrammingError(Exception):
        """pyodbc's errors have the SQLSTATE as their first argument."""

        __module__ = "pyodbc"

    assert "Invalid object name 'nothing'" in fail(
        ProgrammingError("42S02", "Invalid object name 'nothing'"), "execute"
    )
