"""Values of a database that its driver cannot give as Python values, driver by driver.

A database has times that Python cannot hold: ``infinity``, the year 10000, ``24:00:00``. At such a value, a driver
fails for all rows of the fetch, or returns the last moment of the year 9999.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.records.column_names import quoted
from airflow_provider_impactcall.records.unreadable import UnreadableValue

# PostgreSQL's OIDs of its types of times, and of arrays of each; they never change.
_TIMES = {"date": 1082, "time": 1083, "timestamp": 1114, "timestamptz": 1184, "interval": 1186, "timetz": 1266}
_LISTS = {"date": 1182, "time": 1183, "timestamp": 1115, "timestamptz": 1185, "interval": 1187, "timetz": 1270}
# MySQL's drivers: mysqlclient, PyMySQL and Connector/Python.
_MYSQLS = ("MySQLdb", "pymysql", "mysql")
_INFINITE = ("infinity", "-infinity")
_NONE_OF_PYTHON = "is a time that Python cannot represent, such as infinity or a time in the year 10000"
_NO_TEXT = "is text that is not UTF-8"


def lenient(connection: Any, cursor: Any) -> None:
    """Have a cursor return an :class:`.UnreadableValue` for a value that Python cannot hold, if its driver allows that.

    :param connection: the cursor's connection
    :param cursor: has not executed anything yet
    """
    match type(connection).__module__.partition(".")[0]:
        case "psycopg":
            _psycopg(cursor)
        case "psycopg2":
            _psycopg2(cursor)


@contextmanager
def columns_named(cursor: Any) -> Iterator[None]:
    """Within this context, the error for a value at which a driver fails names the columns that may hold the value.

    :raises InvalidOption: in place of the driver's error about a value: each retry would fail again
    """
    try:
        yield
    except Exception as error:
        if not _is_of_a_value(error):
            raise
        shown = ", ".join(_suspects(cursor, error)) or "its columns"
        raise InvalidOption(
            f"sql: the driver cannot give Python a value of one of {shown} ({type(error).__name__}); have the query "
            "give it as text, with CAST(... AS TEXT), or NULL in its place, or leave the column out"
        ) from None


def fetched_of_sqlite(cursor: sqlite3.Cursor, most: int) -> Sequence[Any]:
    """The next rows of a query. An :class:`.UnreadableValue` stands for text that is not UTF-8.

    :param most: at most so many
    """
    rows: list[Any] = []
    try:
        # One by one, to keep the rows before one that cannot be read.
        for row in islice(cursor, most):
            rows.append(row)
    except sqlite3.OperationalError as error:
        if cursor.connection.text_factory is not str or _has_frames_of_others(error):
            raise
        # Not from the first row on: a Python function for each text costs a third of a fetch's time.
        cursor.connection.text_factory = _text
        row = cursor.fetchone()
        # The cursor stays at a row that it could not return. If it moved on, a row would be missing.
        if row is None or not any(type(each) is UnreadableValue for each in _values(row)):
            raise
        rows.append(row)
    return rows


def with_plain_lists(cursor: Any, rows: Sequence[Any]) -> Sequence[Any]:
    """The rows of a fetch, with Python's lists in place of a driver's own types for lists."""
    module = type(cursor).__module__
    if module.startswith("airflow.providers.google."):
        return [[_of_bigquery(value) for value in row] for row in rows]
    if module.startswith("databricks."):
        return [[_of_databricks(value) for value in row] for row in rows]
    return rows


def _of_bigquery(value: Any) -> Any:
    """Airflow's hook leaves a REPEATED column as BigQuery's API has it: each item in an object."""
    if type(value) is not list:
        return value
    return [each["v"] if isinstance(each, Mapping) and list(each) == ["v"] else each for each in value]


def _of_databricks(value: Any) -> Any:
    """Where pandas is installed, Databricks' connector returns an ARRAY as a numpy array."""
    if type(value).__name__ == "ndarray":
        return [_of_databricks(each) for each in value.tolist()]
    return value


def _values(row: Any) -> Iterable[Any]:
    return row.values() if isinstance(row, Mapping) else row


def _has_frames_of_others(error: Exception) -> bool:
    """Whether Python code raised the caught error, such as a hook's row factory. The cursor has then moved past the
    row.
    """
    return error.__traceback__ is not None and error.__traceback__.tb_next is not None


def number_of_mysql(error: Exception) -> int | None:
    """The number of an error of MySQL's server or client library; None for a driver's own error, and for any other."""
    if type(error).__module__.partition(".")[0] not in _MYSQLS:
        return None
    number = getattr(error, "errno", None) or next(iter(error.args), None)
    return number if isinstance(number, int) and number > 0 else None


def _is_of_a_value(error: Exception) -> bool:
    """Whether the error is the driver's own about a value, and not about a connection, nor the server's."""
    if isinstance(error, (ValueError, ArithmeticError, TypeError, KeyError, IndexError)):
        return True
    if not any(kind.__name__ == "DataError" for kind in type(error).__mro__):
        return False
    codes = [*(getattr(error, code, None) for code in ("sqlstate", "pgcode")), number_of_mysql(error)]
    return all(code is None for code in codes)


def _suspects(cursor: Any, error: Exception) -> Sequence[str]:
    """The columns of times, if the driver knows any; else all columns. Each in a form that may be shown."""
    try:
        columns = [(column[0], column[1]) for column in cursor.description or ()]
    except Exception:
        return ()
    times = [name for name, kind in columns if kind in _TIMES.values() or kind in _LISTS.values()]
    names = [name for name, _ in columns]
    return quoted(times if times and not isinstance(error, UnicodeError) else names, names)


def _psycopg(cursor: Any) -> None:
    from psycopg import Cursor, ServerCursor
    from psycopg.adapt import Loader
    from psycopg.pq import Format

    if not isinstance(cursor, (Cursor, ServerCursor)):
        return

    def lenient_of(strict: Any) -> type[Loader]:
        class LenientLoader(Loader):
            """A driver's own reader of a type, with an UnreadableValue for what it cannot read."""

            format = strict.format

            def __init__(self, oid: int, context: Any = None) -> None:
                super().__init__(oid, context)
                self._read = strict(oid, context).load

            def load(self, data: Any) -> Any:
                try:
                    return self._read(data)
                except Exception:
                    # The error's text quotes the value.
                    return UnreadableValue(_NONE_OF_PYTHON)

        return LenientLoader

    for oid in _TIMES.values():
        for form in (Format.TEXT, Format.BINARY):
            strict = cursor.adapters.get_loader(oid, form)
            if strict is not None:
                cursor.adapters.register_loader(oid, lenient_of(strict))


def _psycopg2(cursor: Any) -> None:
    from psycopg2 import extensions  # type: ignore[import-untyped]

    known = {**extensions.string_types, **cursor.connection.string_types}
    for name, oid in _TIMES.items():
        if oid not in known:
            continue
        kind = extensions.new_type((oid,), name.upper(), _lenient_caster(known[oid]))
        extensions.register_type(kind, cursor)
        extensions.register_type(extensions.new_array_type((_LISTS[name],), f"{name.upper()}[]", kind), cursor)


def _lenient_caster(strict: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def cast(text: str | None, cursor: Any) -> Any:
        if text in _INFINITE:
            # psycopg2 would return the last moment of Python's range, as if it were a real time.
            return UnreadableValue(_NONE_OF_PYTHON)
        try:
            return strict(text, cursor)
        except Exception:
            return UnreadableValue(_NONE_OF_PYTHON)

    return cast


def _text(written: bytes) -> Any:
    try:
        return written.decode()
    except UnicodeDecodeError:
        return UnreadableValue(_NO_TEXT)
