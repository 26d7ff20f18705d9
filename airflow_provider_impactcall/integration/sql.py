"""The rows of a query of a warehouse, on disk."""

from __future__ import annotations

import logging
import re
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException
from airflow.providers.common.sql.hooks.sql import DbApiHook

from airflow_provider_impactcall.delivery.spool import Spool
from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.integration.drivers import (
    columns_named,
    fetched_of_sqlite,
    lenient,
    number_of_mysql,
    with_plain_lists,
)
from airflow_provider_impactcall.integration.query_parameters import parameters_explained
from airflow_provider_impactcall.integration.sql_hooks import sql_hook
from airflow_provider_impactcall.records.column_names import may_be_shown

log = logging.getLogger(__name__)

_ROWS_A_FETCH = 1000
# For SQLite, whose fetch does not go to a server: few enough to stay in the processor's cache until they are written.
_ROWS_A_FETCH_OF_A_FILE = 128
# DB-API 2.0's errors about values. In the text of any other error, such as an unknown column, a phone number or a URL
# is a value.
_OF_VALUES = frozenset({"DataError", "IntegrityError", "InternalError"})
# The classes of SQLSTATE for errors about values, in standard SQL. Snowflake raises a ProgrammingError for these.
_STATES_OF_VALUES = ("22", "23")
# MySQL's error numbers about a query's text, rights, or the server itself. Any other error may be about a value,
# whatever its class: a stored function's error is an OperationalError, and can come before any row.
_OF_NO_VALUE = frozenset(
    {
        *(1040, 1041, 1044, 1045, 1046, 1049, 1052, 1053, 1054, 1055, 1064, 1065, 1066, 1109, 1111, 1140, 1142, 1143),
        *(1146, 1149, 1176, 1205, 1213, 1221, 1222, 1227, 1235, 1241, 1242, 1247, 1248, 1267, 1271, 1305, 1317, 1318),
        *(1356, 1370, 1582, 1583, 1584, 1630, 1969, 3024),
    }
)
_OF_MYSQLS_CLIENT = range(2000, 3000)
# Digits that are not a value: a date, and the prefix of each message of Connector/Python.
_NO_VALUE = re.compile(r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}\b|^[0-9]{4} \([0-9A-Z]{5}\): ")
_VALUE = re.compile(r"[0-9]([_. ()-]{0,2}[0-9]){6}|://")


@contextmanager
def drained(
    sql_conn_id: str, sql: str, parameters: Any = None, hook_params: Mapping[str, Any] | None = None
) -> Iterator[Spool]:
    """The rows of a query, on disk; gone once the context ends.

    The result is read with a server-side cursor where the database has one. A value that Python cannot hold, such as
    PostgreSQL's ``infinity``, is an :class:`.UnreadableValue`.

    :param sql: one query. Its transaction is rolled back where the hook can turn autocommit off
    :param parameters: in the driver's own style, see :data:`.query_parameters.STYLES`
    :param hook_params: further parameters of the hook's constructor
    :raises InvalidOption: if the query does not return rows, or returns two columns of one name, or a value at which
        its driver fails; or if its parameters are in another style than the driver's
    :raises AirflowException: if the query fails because of a value, or while rows are fetched. The message leaves out
        the driver's text, which may quote a value. Any other error of the query is raised as the driver raises it
    """
    hook = sql_hook("sql_conn_id", sql_conn_id, hook_params)
    with _open(hook.get_conn()) as connection:
        _have_not_committed(hook, connection)
        with _executed(connection, sql, parameters) as cursor:
            spool = fetched(cursor)
    log.info("%d rows read", len(spool))
    with spool:
        yield spool


def _have_not_committed(hook: DbApiHook, connection: Any) -> None:
    """Turn off the driver's autocommit, such as Snowflake's, if the hook can."""
    if hook.supports_autocommit:
        try:
            hook.set_autocommit(connection, False)
        except Exception as error:
            log.info("The driver may commit what the query changes (%s)", type(error).__name__)


@contextmanager
def _executed(connection: Any, sql: str, parameters: Any) -> Iterator[Any]:
    with _open(_cursor(connection)) as cursor:
        lenient(connection, cursor)
        with (
            _values_unquoted(_is_of_a_value),
            _query_unquoted(),
            parameters_explained(connection, sql, parameters),
        ):
            # Not DbApiHook.run: it holds the whole result in memory, and logs the parameters.
            cursor.execute(sql, parameters) if parameters else cursor.execute(sql)
        yield cursor


def fetched(cursor: Any) -> Spool:
    """The rows of an executed query, on disk. The caller closes the spool.

    :raises InvalidOption: if the query does not return rows, or returns two columns of one name, or a value at which
        its driver fails
    :raises AirflowException: if the query fails, without the driver's text
    """
    with _values_unquoted():
        # psycopg2 knows the columns of a server-side cursor only once rows were fetched.
        rows = _fetched(cursor) if cursor.description is not None or _is_named(cursor) else []
        columns = _columns(cursor)
        spool = Spool(columns)
        while rows:
            spool.write(_values(rows, columns))
            rows = _fetched(cursor)
        return spool


def may_quote_a_value(text: str) -> bool:
    """Whether a query's text, or an error about it, has what may be a phone number or a URL."""
    return _VALUE.search(_NO_VALUE.sub("", text)) is not None


@contextmanager
def _open(opened: Any) -> Iterator[Any]:
    """Closes a connection or a cursor when the context ends. An error while closing is raised by its class name alone.
    After an earlier error it is dropped: MySQLdb's cursor repeats its error about the rows as it is closed.
    """
    try:
        yield opened
    except BaseException:
        with suppress(Exception):
            opened.close()
        raise
    with _values_unquoted():
        opened.close()


@contextmanager
def _values_unquoted(is_about_a_value: Callable[[Exception], bool] = lambda _: True) -> Iterator[None]:
    """Within this context, a driver's error about a value is raised by its class name alone, as its text quotes it."""
    try:
        yield
    except InvalidOption:
        raise
    except Exception as error:
        if not is_about_a_value(error):
            raise
        problem = f"the query fails for a value ({type(error).__name__}); the database's own client says which"
        raise AirflowException(problem) from None


def _is_of_a_value(error: Exception) -> bool:
    """Whether an error of a query that has given no row yet is about a value, and not about the query's text."""
    if any(kind.__name__ in _OF_VALUES for kind in type(error).__mro__):
        return True
    if str(getattr(error, "sqlstate", None)).startswith(_STATES_OF_VALUES):
        return True
    number = number_of_mysql(error)
    return number is not None and number not in _OF_NO_VALUE and number not in _OF_MYSQLS_CLIENT


@contextmanager
def _query_unquoted() -> Iterator[None]:
    """Within this context, an error about a query's text is raised by its class name alone if it may quote a value."""
    try:
        yield
    except Exception as error:
        if _is_of_a_value(error) or not may_quote_a_value(str(error)):
            raise
        raise AirflowException(f"the query failed ({type(error).__name__}); its own client says why") from None


def _cursor(connection: Any) -> Any:
    """A server-side cursor for drivers whose default cursor would hold the whole result in memory."""
    match type(connection).__module__.partition(".")[0]:
        case "psycopg" | "psycopg2":
            return connection.cursor("airflow_provider_impactcall")
        case "MySQLdb":
            from MySQLdb.cursors import SSCursor

            return connection.cursor(SSCursor)
        case "pymysql":
            from pymysql.cursors import SSCursor

            return connection.cursor(SSCursor)
        case _:
            return connection.cursor()


def _fetched(cursor: Any) -> Any:
    with columns_named(cursor):
        # Of exactly this class: a hook's subclass may build other rows.
        if type(cursor) is sqlite3.Cursor:
            return fetched_of_sqlite(cursor, _ROWS_A_FETCH_OF_A_FILE)
        return with_plain_lists(cursor, cursor.fetchmany(_ROWS_A_FETCH))


def _is_named(cursor: Any) -> bool:
    return getattr(cursor, "name", None) is not None


def _columns(cursor: Any) -> list[str]:
    if cursor.description is None:
        raise InvalidOption("sql is not a query: it returns no rows")
    columns = [column[0] for column in cursor.description]
    repeated = [name for name, count in Counter(columns).items() if count > 1]
    if repeated and may_be_shown(columns):
        raise InvalidOption(f"sql has two columns named {', '.join(map(repr, repeated))}; name them apart with AS")
    if repeated:
        # An expression without AS is named by its text, which may quote a value.
        places = [str(place) for place, name in enumerate(columns, start=1) if name in repeated]
        raise InvalidOption(f"sql has columns of one name: columns {', '.join(places)}; name them apart with AS")
    return columns


def _values(rows: Sequence[Any], columns: Sequence[str]) -> Iterable[Sequence[Any]]:
    # The connection's extra may ask for a dict cursor, whose rows are all of one type.
    return ([row[column] for column in columns] for row in rows) if isinstance(rows[0], Mapping) else rows
