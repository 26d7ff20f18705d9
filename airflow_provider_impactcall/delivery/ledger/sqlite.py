"""What SQLite needs to keep the promise: every commit on disk, and writers that wait for each other."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from sqlalchemy import event, exc
from sqlalchemy.engine import Connection, Engine

from airflow_provider_impactcall.delivery.clock import SYSTEM_CLOCK
from airflow_provider_impactcall.delivery.ledger.retries import Retries

READS = "impactcall_reads"

_PATIENCE = 30.0  # seconds to wait for others
_FIRST_PAUSE = 0.005
_LONGEST_PAUSE = 0.1
_CHECKPOINT_PAGES = 4000  # of 4 kB
_PRIMARY = 0xFF  # mask of the primary code in a result code of SQLite; higher bits are details


def make_durable(engine: Engine) -> None:
    """What SQLite needs to keep the promise: every commit on disk, and writers that wait for each other."""
    if not event.contains(engine, "begin", _begin):
        event.listen(engine, "connect", _configure)
        event.listen(engine, "begin", _begin)


class Driver(NamedTuple):
    """SQLite's driver, in the place of a connection."""

    exec_driver_sql: Callable[..., sqlite3.Cursor]


@contextmanager
def by_driver(connection: Connection) -> Iterator[Driver]:
    """Execute by the driver itself, within the connection's transaction, what each group of calls needs.

    For a statement, SQLAlchemy takes as long as SQLite for two calls.

    :raises sqlalchemy.exc.DBAPIError: as the connection does
    """
    driver: Any = connection.connection.dbapi_connection
    try:
        yield Driver(driver.execute)
    except sqlite3.Error as error:
        # SQLAlchemy's errors have the names of the driver's.
        kind = getattr(exc, type(error).__name__, exc.DBAPIError)
        raise kind(None, None, error) from error


def _configure(connection: Any, _: Any) -> None:
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout={_PATIENCE * 1000:.0f}")
    _write_ahead(connection)
    connection.execute("PRAGMA synchronous=FULL")
    # Keys come in random order and change many pages. A checkpoint writes each page once, however often it changed.
    connection.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Have SQLite write ahead to a log (WAL). If the file is in this mode already, nothing is changed.

    SQLite does not wait here, whatever its busy timeout is: it has a lock for reading, and then asks for an exclusive
    one. https://www.sqlite.org/c3ref/busy_handler.html

    :raises sqlite3.OperationalError: if others keep a new file busy for half a minute
    """
    retries = Retries(_FIRST_PAUSE, _LONGEST_PAUSE, monotonic=SYSTEM_CLOCK.monotonic, seconds=_PATIENCE)
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & _PRIMARY == sqlite3.SQLITE_BUSY
            pause = retries.pause() if busy else None
            if pause is None:
                raise
        else:
            return
        SYSTEM_CLOCK.sleep(pause)


def _begin(connection: Connection) -> None:
    # sqlite3 would begin only at the first write: two transactions that first read and then write would both fail.
    reads = connection.get_execution_options().get(READS)
    with by_driver(connection) as driver:
        driver.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
