"""A value that a database has and Python has not costs only the calls that need it."""

from __future__ import annotations

import errno
import json
import os
import resource
import sqlite3
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import psycopg2  # type: ignore[import-untyped]
import psycopg2.extras  # type: ignore[import-untyped]
import pytest
import sqlalchemy as sa
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException
from airflow.providers.sqlite.hooks.sqlite import SqliteHook

from airflow_provider_impactcall.delivery.items import Call, Rejected
from airflow_provider_impactcall.delivery.reading import read
from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.integration.drivers import columns_named, lenient, with_plain_lists
from airflow_provider_impactcall.integration.sql import drained, fetched
from airflow_provider_impactcall.records import CallMapping
from airflow_provider_impactcall.records.unreadable import UnreadableValue
from airflow_provider_impactcall.sandbox import Sandbox
from airflow_provider_impactcall.transfers.sql_to_impactcall import SqlToImpactCallOperator
from tests import examples
from tests.databases import as_connection
from tests.delivery import canary
from tests.facts import named

FIELD = Path(__file__).parents[1] / "field"

NO_TIMES = [
    "'infinity'::timestamptz",
    "'-infinity'::timestamptz",
    "'infinity'::timestamp",
    "'infinity'::date",
    "'10000-01-01'::timestamp",
    "'294276-12-31 00:00+00'::timestamptz",
    "'0044-03-15 BC'::date",
    "'4713-01-01 00:00+00 BC'::timestamptz",
    "'2000000000 days'::interval",
]
"""PostgreSQL's, that Python has none for."""

LISTS = ["ARRAY['infinity'::timestamptz]", "ARRAY['10000-01-01'::timestamp, NULL]", "ARRAY['infinity'::date]"]
GOOD = "now() AS t, '2026-11-20'::date AS d, '10:00'::time AS c, '90 seconds'::interval AS i, NULL::timestamptz AS n"

Connect = Callable[[], Any]


@pytest.fixture(params=["psycopg", "psycopg2"])
def connect(request: pytest.FixtureRequest, postgres: sa.engine.URL) -> Connect:
    """Connects to PostgreSQL, with each of its drivers."""
    module = {"psycopg": psycopg, "psycopg2": psycopg2}[request.param]
    url = postgres.set(drivername="postgresql").render_as_string(hide_password=False)
    return lambda: module.connect(url)


@pytest.fixture(params=["server's", "client's", "dict"])
def select(request: pytest.FixtureRequest, connect: Connect) -> Callable[[str], list[Any]]:
    def rows(sql: str) -> list[Any]:
        with closing(connect()) as connection:
            kind: dict[str, Any] = {}
            if request.param == "dict":
                is_new = isinstance(connection, psycopg.Connection)
                kind = (
                    {"row_factory": psycopg.rows.dict_row}
                    if is_new
                    else {"cursor_factory": psycopg2.extras.RealDictCursor}
                )
            named = ("named",) if request.param == "server's" else ()
            with closing(connection.cursor(*named, **kind)) as cursor:
                lenient(connection, cursor)
                cursor.execute(sql)
                return [list(row.values()) if isinstance(row, dict) else list(row) for row in cursor.fetchall()]

    return rows


@pytest.mark.parametrize("value", ["'24:00:00'::time", "'24:00:00+00'::timetz"])
def test_the_end_of_a_day_is_midnight_or_none(value: str, select: Callable[[str], list[Any]]) -> None:
    ((found,),) = select(f"SELECT {value} AS bad")
    assert isinstance(found, UnreadableValue) or found.hour == 0


@pytest.mark.parametrize("value", NO_TIMES)
def test_a_time_that_python_has_none_for(value: str, select: Callable[[str], list[Any]]) -> None:
    sql = f"SELECT n, CASE WHEN n = 2 THEN {value} END AS bad FROM generate_series(1, 3) n"
    assert [row[0] for row in select(sql)] == [1, 2, 3]
    first, bad, last = [row[1] for row in select(sql)]
    assert (first, last) == (None, None)
    assert isinstance(bad, UnreadableValue)


@pytest.mark.parametrize("value", LISTS)
def test_lists_of_such_times(value: str, select: Callable[[str], list[Any]]) -> None:
    ((found,),) = select(f"SELECT {value} AS bad")
    assert isinstance(found[0], UnreadableValue)


def test_other_values_are_as_they_were(select: Callable[[str], list[Any]], connect: Connect) -> None:
    with closing(connect()) as connection, closing(connection.cursor()) as cursor:
        cursor.execute("SELECT '2026-11-20 10:00:00.5+00'::timestamptz, '2026-11-20'::date, '10:00'::time, "
                       "'90 seconds'::interval, NULL::timestamptz, ARRAY['2026-11-20'::date], 'x', 1.5")  # fmt: skip
        expected = list(cursor.fetchone())
    assert select(
        "SELECT '2026-11-20 10:00:00.5+00'::timestamptz AS a, '2026-11-20'::date AS b, '10:00'::time AS c, "
        "'90 seconds'::interval AS d, NULL::timestamptz AS e, ARRAY['2026-11-20'::date] AS f, 'x' AS g, 1.5 AS h"
    ) == [expected]


def test_other_cursors_of_the_connection_are_left_alone(connect: Connect) -> None:
    with closing(connect()) as connection:
        with closing(connection.cursor("named")) as cursor:
            lenient(connection, cursor)
        with closing(connection.cursor()) as cursor:
            cursor.execute("SELECT '10000-01-01'::timestamp")
            with pytest.raises((ValueError, psycopg.DataError)):
                cursor.fetchone()


def test_only_the_call_that_needs_it_is_rejected(postgres: sa.engine.URL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", as_connection(postgres))
    sql = (FIELD / "04_postgres_infinity.sql").read_text()
    mapping = CallMapping({"EventDate": "valid_to"}, {"CampaignId": 1, "ActionTrackerId": 2, "CallProvider": "x"})
    with drained("warehouse", sql) as rows:
        first, bad, last = read(rows, mapping)
    assert isinstance(bad, Rejected)
    assert isinstance(first, Call)
    assert isinstance(last, Call)
    assert [problem.parameter for problem in bad.problems] == ["EventDate"]


CONSTANTS = {"CampaignId": 1, "ActionTrackerId": 2, "CallProvider": "x"}


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_the_query_of_the_field_delivers_every_call(
    driver: str, sandbox: Sandbox, postgres: sa.engine.URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One infinity in a column that nothing reads failed the query, and every retry of it."""
    if driver == "psycopg2":
        monkeypatch.setattr("airflow.providers.postgres.hooks.postgres.USE_PSYCOPG3", False)
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", as_connection(postgres))
    sql = (FIELD / "04_postgres_infinity.sql").read_text()
    operator = SqlToImpactCallOperator(task_id="t", sql=sql, sql_conn_id="warehouse", constants=CONSTANTS)
    assert operator.execute({})["delivered"] == 3
    assert examples.session_ids(sandbox) == ["P-1", "P-2", "P-3"]


@pytest.fixture
def lite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sqlite3.Connection]:
    path = tmp_path / "warehouse.db"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    with closing(sqlite3.connect(path)) as database:
        row = canary.row()
        database.execute(f"CREATE TABLE calls ({', '.join(row)}, note TEXT, valid_to TIMESTAMP)")
        for number in range(3):
            values = [*canary.row(number).values(), "ü", "2026-11-20 10:00:00"]
            database.execute(f"INSERT INTO calls VALUES ({', '.join('?' * len(values))})", values)
        database.commit()
        yield database


def deliver_sqlite(**options: Any) -> Any:
    operator = SqlToImpactCallOperator(task_id="t", sql="SELECT * FROM calls", sql_conn_id="warehouse", **options)
    return operator.execute({})


def test_text_of_sqlite_that_is_not_utf_8(lite: sqlite3.Connection, sandbox: Sandbox) -> None:
    lite.execute("UPDATE calls SET note = CAST(x'fc' AS TEXT), City = CASE rowid WHEN 2 THEN CAST(x'fc' AS TEXT) END")
    lite.commit()
    report = deliver_sqlite(max_rejected=1)
    assert (report["delivered"], report["rejected"]) == (2, 1)
    mapping = {"SubId2": "note"}
    with pytest.raises(AirflowFailException, match=r"\b3\b"):
        deliver_sqlite(mapping=mapping, ledger_namespace="another")


@pytest.mark.parametrize("bad", [[1], [150], [300], [128, 129, 300], [*range(1, 301)]])
@pytest.mark.parametrize("factory", [None, sqlite3.Row, lambda cursor, row: {"a": row[0], "b": row[1]}])
def test_each_row_of_sqlite_is_read_once_wherever_text_is_not_utf_8(bad: list[int], factory: Any) -> None:
    with closing(sqlite3.connect(":memory:")) as database:
        database.row_factory = factory
        database.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")
        texts = [(number, b"\xfc" if number in bad else b"\xc3\xbc") for number in range(1, 301)]
        database.executemany("INSERT INTO t VALUES (?, CAST(? AS TEXT))", texts)
        with fetched(database.execute("SELECT a, b FROM t ORDER BY a")) as spool:
            rows = [*spool]
    assert [row["a"] for row in rows] == [*range(1, 301)]
    assert [row["a"] for row in rows if isinstance(row["b"], UnreadableValue)] == bad
    assert {row["b"] for row in rows if row["a"] not in bad} <= {"ü"}


def test_a_query_of_sqlite_that_fails_midway_fails() -> None:
    with closing(sqlite3.connect(":memory:")) as database:
        query = "WITH RECURSIVE n(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM n WHERE a < 300) SELECT f(a) AS a FROM n"

        def failing(number: int) -> int:
            return 1 // (200 - number)

        database.create_function("f", 1, failing)
        with pytest.raises(AirflowException, match="OperationalError"):
            fetched(database.execute(query))


@pytest.mark.parametrize("query", ["SELECT b FROM nowhere", "SELECT b FROM t"])
def test_a_row_that_is_lost_on_its_way_is_never_taken_for_text_that_is_not_utf_8(query: str) -> None:
    """The row after it has such text, and would stand for both."""

    def looking_up(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> tuple[Any, ...]:
        if row[0] == 2:
            cursor.connection.execute(query).fetchall()
        return row

    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT)")
        texts = [(number, b"\xfc" if number == 3 else b"x") for number in range(1, 6)]
        database.executemany("INSERT INTO t VALUES (?, CAST(? AS TEXT))", texts)
        database.row_factory = looking_up
        with pytest.raises(AirflowException, match="OperationalError"):
            fetched(database.execute("SELECT a, b FROM t ORDER BY a"))


class Trimming(sqlite3.Cursor):
    """Of a hook that takes off what fills up columns of a fixed width."""

    def fetchmany(self, size: int | None = 1) -> list[Any]:
        return [tuple(map(str.strip, row)) for row in super().fetchmany(size)]


def test_a_cursor_of_sqlite_that_fetches_in_its_own_way_does_so() -> None:
    with closing(sqlite3.connect(":memory:")) as database:
        cursor = database.cursor(Trimming)
        with fetched(cursor.execute("SELECT 'x  ' AS a UNION ALL SELECT 'y  '")) as spool:
            assert [*spool] == [{"a": "x"}, {"a": "y"}]


class StrictHook(SqliteHook):
    """As people have it who want times of SQLite: its own converter fails at any other text."""

    def get_conn(self) -> Any:
        path = self.get_connection("warehouse").host
        return sqlite3.connect(path or "", detect_types=sqlite3.PARSE_DECLTYPES)


@pytest.mark.filterwarnings("ignore:The default timestamp converter is deprecated")
@pytest.mark.parametrize("value", ["infinity", "10000-01-01 00:00:00", "2026-11-20T10:00", canary.CALLER])
def test_a_driver_that_fails_as_a_whole_fails_the_task_for_good_and_names_the_column(
    value: str, lite: sqlite3.Connection, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow.providers.sqlite.hooks.sqlite.SqliteHook", StrictHook)
    lite.execute("UPDATE calls SET valid_to = ? WHERE rowid = 2", [value])
    lite.commit()
    with pytest.raises(AirflowFailException, match=r"'valid_to'.*CAST\(\.\.\. AS TEXT\)") as raised:
        deliver_sqlite()
    assert canary.found_in("".join(traceback.format_exception(raised.value))) == []
    assert not sandbox.requests


def test_columns_of_times_are_named_if_a_driver_knows_them(connect: Connect) -> None:
    with closing(connect()) as connection, closing(connection.cursor()) as cursor:
        cursor.execute("SELECT 1 AS id, now() AS started, '2026-11-20'::date AS day, 'x' AS city")
        columns = ["'id'", "'started'", "'day'", "'city'"]
        with pytest.raises(InvalidOption) as raised, columns_named(cursor):
            raise ValueError(canary.WORD)
        assert named(str(raised.value), *columns) == columns[1:3]
        with pytest.raises(InvalidOption) as raised, columns_named(cursor):
            b"\xff".decode()
        assert named(str(raised.value), *columns) == columns


@pytest.mark.parametrize("error", [psycopg.DataError(canary.WORD), psycopg2.DataError(canary.WORD), OverflowError()])
def test_a_drivers_own_error_of_a_value_fails_for_good(error: Exception, lite: sqlite3.Connection) -> None:
    with pytest.raises(InvalidOption) as raised, columns_named(lite.execute("SELECT 1 AS a")):
        raise error
    assert named(str(raised.value), "sql", "'a'", type(error).__name__) == ["sql", "'a'", type(error).__name__]
    assert canary.found_in(str(raised.value)) == []


class DataError(Exception):
    """A server's, as MySQL's drivers raise it: with its number."""

    __module__ = "pymysql.err"


@pytest.mark.parametrize(
    "error",
    [psycopg.errors.DivisionByZero("x"), psycopg.OperationalError("x"), OSError("x"), DataError(1264, "x")],
)
def test_any_other_error_is_left_as_it_is(error: Exception, lite: sqlite3.Connection) -> None:
    with pytest.raises(type(error)), columns_named(lite.cursor()):
        raise error


class OfAnother:
    """The cursor of a driver that is not installed here; tests/drivers has the real ones."""


@pytest.mark.parametrize(
    ("module", "given", "expected"),
    [
        ("airflow.providers.google.cloud.hooks.bigquery", [{"v": "1"}, {"v": None}], ["1", None]),
        ("airflow.providers.google.cloud.hooks.bigquery", [{"w": "1"}, "2"], [{"w": "1"}, "2"]),
        ("databricks.sql.client", np.array(["1", None], dtype=object), ["1", None]),
        ("databricks.sql.client", np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        ("psycopg", [{"v": "1"}], [{"v": "1"}]),
    ],
)
def test_lists_are_those_of_python(module: str, given: Any, expected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OfAnother, "__module__", module)
    rows: Any = with_plain_lists(OfAnother(), [(given, "text", None)])
    assert [list(row) for row in rows] == [[expected, "text", None]]


@contextmanager
def no_room() -> Iterator[None]:
    """No file can grow beyond 16 kB, as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16 * 1024, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_told_as_what_it_is() -> None:
    """And not as a value at which the query fails: nothing about the query would help."""
    with closing(sqlite3.connect(":memory:")) as database:
        many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 2000)"
        cursor = database.execute(f"{many} SELECT i, '{canary.WORD}' FROM n")
        with no_room(), pytest.raises(AirflowException, match=r"\bdisk\b.*\bTMPDIR\b") as raised:
            fetched(cursor)
    said = "".join(traceback.format_exception(raised.value))
    assert named(said, os.strerror(errno.EFBIG)) != []
    assert canary.found_in(said) == []


def test_and_so_is_a_folder_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with (
        closing(sqlite3.connect(":memory:")) as database,
        pytest.raises(AirflowException, match=r"\bdisk\b.*\bTMPDIR\b") as raised,
    ):
        fetched(database.execute("SELECT 1 AS id"))
    assert named(str(raised.value), os.strerror(errno.ENOENT)) != []


def test_but_an_error_of_a_driver_is_none_of_the_disk() -> None:
    class Lost(sqlite3.Cursor):
        def fetchmany(self, size: int | None = 1) -> list[Any]:
            raise ConnectionResetError(errno.ECONNRESET, canary.WORD)

    with closing(sqlite3.connect(":memory:")) as database:
        cursor = database.cursor(Lost)
        cursor.execute("SELECT 1 AS id")
        with pytest.raises(AirflowException) as raised:
            fetched(cursor)
    assert named(str(raised.value), "ConnectionResetError", "disk", canary.WORD) == ["ConnectionResetError"]
