"""A SQL connection's hook, for what reads a warehouse and for what keeps the ledger."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException, BaseHook
from airflow.providers.common.sql.hooks.sql import DbApiHook

from airflow_provider_impactcall.delivery.spool import Spool
from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.hooks.drivers import columns_named, lenient

log = logging.getLogger(__name__)

_ROWS_A_FETCH = 1000


def sql_hook(option: str, conn_id: str) -> DbApiHook:
    """The hook of a SQL connection.

    :param option: the option that names the connection, for the message
    :raises InvalidOption: if it is one of something else
    """
    connection: Any = BaseHook.get_connection(conn_id)
    hook = connection.get_hook()
    if not isinstance(hook, DbApiHook):
        raise InvalidOption(f"{option}: the connection {conn_id!r} is none of a SQL database")
    return hook


@contextmanager
def drained(sql_conn_id: str, sql: str, parameters: Any = None) -> Iterator[Spool]:
    """The rows of a query, on disk; gone once the context ends.

    The result is read with a server-side cursor where the database has one. A value that Python has none for, such as
    PostgreSQL's ``infinity``, is an :class:`.UnreadableValue`.

    :param sql: one query; its transaction is rolled back
    :param parameters: in the driver's own style
    :raises InvalidOption: if it gives no rows, or two columns of one name, or a value at which its driver fails
    :raises AirflowException: if the database cannot compute a value; whatever else it says against the query is raised
        as its driver has it
    """
    hook = sql_hook("sql_conn_id", sql_conn_id)
    with closing(hook.get_conn()) as connection, closing(_cursor(connection)) as cursor, _values_unquoted():
        lenient(connection, cursor)
        # Not DbApiHook.run, which has the driver hold the whole result, and logs the parameters.
        cursor.execute(sql, parameters) if parameters else cursor.execute(sql)
        # psycopg2 knows the columns of a server-side cursor only once rows were fetched.
        rows = _fetched(cursor) if cursor.description is not None or _is_named(cursor) else []
        spool = Spool(_columns(cursor))
        while rows:
            spool.write(_values(row, spool.columns) for row in rows)
            rows = _fetched(cursor)
    log.info("%d rows read", len(spool))
    with spool:
        yield spool


@contextmanager
def _values_unquoted() -> Iterator[None]:
    """Within it, a DataError of DB-API 2.0 is raised by its name alone: it is about a value, and quotes it."""
    try:
        yield
    except Exception as error:
        if all(kind.__name__ != "DataError" for kind in type(error).__mro__):
            raise
        problem = f"the query fails for a value ({type(error).__name__}); the database's own client says which"
        raise AirflowException(problem) from None


def _cursor(connection: Any) -> Any:
    """A cursor that leaves the result on the server, where the driver's own would hold all of it in memory."""
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
        return cursor.fetchmany(_ROWS_A_FETCH)


def _is_named(cursor: Any) -> bool:
    return getattr(cursor, "name", None) is not None


def _columns(cursor: Any) -> list[str]:
    if cursor.description is None:
        raise InvalidOption("sql is no query: it returns no rows")
    columns = [column[0] for column in cursor.description]
    repeated = [name for name, count in Counter(columns).items() if count > 1]
    if repeated:
        raise InvalidOption(f"sql has two columns named {', '.join(map(repr, repeated))}; name them apart with AS")
    return columns


def _values(row: Any, columns: Sequence[str]) -> Sequence[Any]:
    # The connection's extra may ask for a dict cursor.
    return [row[column] for column in columns] if isinstance(row, Mapping) else row
