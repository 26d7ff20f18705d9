"""Sets up MySQL and MariaDB for a ledger."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

from airflow_provider_impactcall.delivery.ledger.schema import tables
from airflow_provider_impactcall.exceptions import LedgerUnfit

_DIALECTS = ("mysql", "mariadb")
_SESSION = (
    # TRADITIONAL: a value that does not fit is an error, and is never truncated.
    "SET SESSION sql_mode = 'TRADITIONAL', SESSION time_zone = '+00:00'",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
)
_VARIABLES = sa.text(
    "SHOW SESSION VARIABLES WHERE Variable_name IN ('character_set_database', 'log_bin', 'binlog_format')"
)
# The columns' character sets, as columns hold the values: a table's own is only the default of a new column.
_TABLES = sa.text(
    "SELECT table_name FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name IN :names "
    "AND character_set_name <> 'utf8mb4' ORDER BY table_name LIMIT 1"
).bindparams(sa.bindparam("names", expanding=True))
_OTHER_TABLES = sa.text(
    "SELECT DISTINCT t.table_name FROM information_schema.tables t JOIN information_schema.columns c "
    "ON c.table_schema = t.table_schema AND c.table_name = t.table_name "
    "WHERE t.table_schema = DATABASE() AND t.table_name IN :names "
    "AND (c.collation_name <> 'utf8mb4_bin' OR t.engine <> 'InnoDB') ORDER BY t.table_name"
).bindparams(sa.bindparam("names", expanding=True))
_CONVERT = "CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"


def settle_sessions(engine: Engine) -> None:
    """Give each connection the settings with which the ledger is proven, whatever the server's defaults are.

    Strict mode: otherwise, a value that does not fit would be truncated. UTC: the server's local time jumps by an hour
    twice a year. READ COMMITTED: otherwise, a locking read of calls that do not exist would lock the gaps between
    existing calls, and two runs that have both read could not insert.
    """
    if engine.dialect.name in _DIALECTS and not event.contains(engine, "connect", _settle):
        # Before SQLAlchemy reads the session's settings.
        event.listen(engine, "connect", _settle, insert=True)


def _settle(connection: Any, _: Any) -> None:
    with closing(connection.cursor()) as cursor:
        for statement in _SESSION:
            cursor.execute(statement)


def refuse_what_cannot_hold_a_ledger(connection: Connection) -> None:
    """Refuse a database in which the ledger cannot work.

    Either the character set of the database, or of a table of the ledger, cannot hold every call; or the server cannot
    write what a session of the ledger changes.

    :raises LedgerUnfit: in these cases
    """
    if connection.dialect.name not in _DIALECTS:
        return
    variables = dict(tuple(row) for row in connection.execute(_VARIABLES))
    found = variables["character_set_database"]
    if found != "utf8mb4":
        raise LedgerUnfit(
            f"the ledger's database has the character set {found}, which cannot hold every call: run ALTER DATABASE "
            "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin in it"
        )
    # MySQL and MariaDB then refuse to write in READ COMMITTED. Later versions no longer have this variable.
    if variables.get("log_bin") == "ON" and variables.get("binlog_format") == "STATEMENT":
        raise LedgerUnfit(
            "the server of the ledger's database has the binlog_format STATEMENT, which does not allow READ "
            "COMMITTED: set it to ROW or MIXED"
        )
    table = connection.execute(_TABLES, {"names": _names()}).scalar()
    if table is not None:
        raise LedgerUnfit(
            f"the ledger's table {table} has another character set than utf8mb4, and cannot hold every call: run ALTER "
            f"TABLE {table} {_CONVERT}"
        )


def never_ping(engine: Engine) -> None:
    """Stop MySQL's own driver from pinging the server before each statement, which takes as long as the statement.

    If the server is down, the statement itself fails.
    """
    if engine.driver == "mysqlconnector" and not event.contains(engine, "connect", _trust):
        event.listen(engine, "connect", _trust)


def _trust(connection: Any, _: Any) -> None:
    connection.is_connected = lambda: True


def compares_otherwise(connection: Connection) -> list[str]:
    """The tables of the ledger that do not compare texts byte by byte, or do not use InnoDB: earlier versions of this
    package left both to the server's defaults.
    """
    return list(connection.execute(_OTHER_TABLES, {"names": _names()}).scalars())


def convert(connection: Connection, table: str) -> None:
    """Have a table compare texts byte by byte, and use InnoDB. While it is copied for that, nobody can write to it."""
    connection.execute(sa.text(f"ALTER TABLE {table} ENGINE = InnoDB, {_CONVERT}"))


@contextmanager
def waiting_at_most(connection: Connection, seconds: float) -> Iterator[None]:
    """In this context, a change of a table waits at most so long for other transactions to end; else without end.

    :param seconds: rounded up to whole seconds, at least one, as the server requires
    """
    if connection.dialect.name not in _DIALECTS:
        yield
        return
    connection.exec_driver_sql(f"SET SESSION lock_wait_timeout = {max(1, math.ceil(seconds))}")
    try:
        yield
    finally:
        if not connection.invalidated:
            connection.exec_driver_sql("SET SESSION lock_wait_timeout = DEFAULT")


def _names() -> list[str]:
    return [table.name for table in tables.sorted_tables]
