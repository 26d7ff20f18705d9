"""The rows of a query of a warehouse, on disk."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException
from airflow.providers.common.sql.hooks.sql import DbApiHook

from airflow_provider_impactcall.delivery.spool import Spool
from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.integration.driver_errors import is_of_a_value, may_be_shown
from airflow_provider_impactcall.integration.drivers import (
    columns_named,
    fetched_of_sqlite,
    lenient,
    with_plain_lists,
)
from airflow_provider_impactcall.integration.query_parameters import parameters_explained
from airflow_provider_impactcall.integration.sql_hooks import sql_hook
from airflow_provider_impactcall.records import column_names

log = logging.getLogger(__name__)

_ROWS_A_FETCH = 1000
# For SQLite, whose fetch does not go to a server: few enough to stay in the processor's cache until they are written.
_ROWS_A_FETCH_OF_A_FILE = 128


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
    :raises AirflowException: if the query fails because of a value, or while rows are fetched, or with a text that may
        quote a value. The message leaves out the driver's text. Any other error of the query is raised as the driver
        raises it
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
            _values_unquoted(is_of_a_value),
            _query_unquoted(sql),
            parameters_explained(connection, sql, parameters),
        ):
            # Not DbApiHook.run: it holds the whole result in memory, and logs the parameters.
            cursor.execute(sql, parameters) if parameters else cursor.execute(sql)
        yield cursor


def fetched(cursor: Any) -> Spool:
    """The rows of an executed query, on disk. The caller closes the spool.

    :raises InvalidOption: if the query does not return rows, or returns two columns of one name, or a value at which
        its driver fails
    :raises AirflowException: if the query fails, without the driver's text; or if the rows cannot be written to disk
    """
    with _values_unquoted():
        # psycopg2 knows the columns of a server-side cursor only once rows were fetched.
        rows = _fetched(cursor) if cursor.description is not None or _is_named(cursor) else []
        columns = _columns(cursor)
        with _on_disk():
            spool = Spool(columns)
        while rows:
            with _on_disk():
                spool.write(_values(rows, columns))
            rows = _fetched(cursor)
        return spool


class _NotOnDisk(AirflowException):
    """The rows cannot be written to disk. The query is right."""


@contextmanager
def _on_disk() -> Iterator[None]:
    """Within this context, an error of the disk, such as a full one, is raised as what it is."""
    try:
        yield
    except OSError as error:
        why = type(error).__name__ if error.errno is None else os.strerror(error.errno)
        raise _NotOnDisk(f"the rows cannot be written to disk ({why}); TMPDIR names another folder") from None


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
    except (InvalidOption, _NotOnDisk):
        raise
    except Exception as error:
        if not is_about_a_value(error):
            raise
        problem = f"the query fails for a value ({type(error).__name__}); the database's own client says which"
        raise AirflowException(problem) from None


@contextmanager
def _query_unquoted(sql: str) -> Iterator[None]:
    """Within this context, a driver's error is raised by its class name alone if its text may quote a value."""
    try:
        yield
    except InvalidOption:
        raise
    except Exception as error:
        if is_of_a_value(error) or may_be_shown(error, sql):
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
    if repeated and column_names.may_be_shown(columns):
        raise InvalidOption(f"sql has two columns named {', '.join(map(repr, repeated))}; name them apart with AS")
    if repeated:
        # An expression without AS is named by its text, which may quote a value.
        places = [str(place) for place, name in enumerate(columns, start=1) if name in repeated]
        raise InvalidOption(f"sql has columns of one name: columns {', '.join(places)}; name them apart with AS")
    return columns


def _values(rows: Sequence[Any], columns: Sequence[str]) -> Iterable[Sequence[Any]]:
    # The connection's extra may ask for a dict cursor, whose rows are all of one type.
    return ([row[column] for column in columns] for row in rows) if isinstance(rows[0], Mapping) else rows
