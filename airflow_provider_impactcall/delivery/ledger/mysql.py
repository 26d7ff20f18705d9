"""What MySQL and MariaDB need to have a ledger."""

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
    # TRADITIONAL: a value that does not fit is an error, and never cut.
    "SET SESSION sql_mode = 'TRADITIONAL', SESSION time_zone = '+00:00'",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
)
_VARIABLES = sa.text(
    "SHOW SESSION VARIABLES WHERE Variable_name IN ('character_set_database', 'log_bin', 'binlog_format')"
)
# Of the columns, as these hold the values: a table's own is only what a new column gets.
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
    """Have each connection be as the ledger is proven, whatever the server's defaults are.

    Strict, as a value would be cut else; in UTC, as the server's local time leaps by an hour twice a year; and READ
    COMMITTED, as a look at calls that are not there would lock the gaps between those that are, and two runs that have
    both looked could not insert.
    """
    if engine.dialect.name in _DIALECTS and not event.contains(engine, "connect", _settle):
        # Before SQLAlchemy looks what the session is like.
        event.listen(engine, "connect", _settle, insert=True)


def _settle(connection: Any, _: Any) -> None:
    with closing(connection.cursor()) as cursor:
        for statement in _SESSION:
            cursor.execute(statement)


def refuse_what_cannot_hold_a_ledger(connection: Connection) -> None:
    """Refuse a database that cannot hold every call, by its character set or by that of a table of the ledger, and a
    server that could not write what such a session changes.

    :raises LedgerUnfit: if it is one
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
    # MySQL and MariaDB refuse to write in READ COMMITTED then. Later versions have no such variable any more.
    if variables.get("log_bin") == "ON" and variables.get("binlog_format") == "STATEMENT":
        raise LedgerUnfit(
            "the server of the ledger's database has the binlog_format STATEMENT, with which it takes no READ "
            "COMMITTED: have it be ROW or MIXED"
        )
    table = connection.execute(_TABLES, {"names": _names()}).scalar()
    if table is not None:
        raise LedgerUnfit(
            f"the ledger's table {table} has another character set than utf8mb4, and cannot hold every call: run ALTER "
            f"TABLE {table} {_CONVERT}"
        )


def never_ping(engine: Engine) -> None:
    """Have MySQL's own driver not ask for each statement first whether the server is there, which takes as long again.

    A statement fails if it is not.
    """
    if engine.driver == "mysqlconnector" and not event.contains(engine, "connect", _trust):
        event.listen(engine, "connect", _trust)


def _trust(connection: Any, _: Any) -> None:
    connection.is_connected = lambda: True


def compares_otherwise(connection: Connection) -> list[str]:
    """The tables of the ledger that do not compare texts byte by byte, or are not of InnoDB, as earlier versions of
    this package left them to the server's defaults.
    """
    return list(connection.execute(_OTHER_TABLES, {"names": _names()}).scalars())


def convert(connection: Connection, table: str) -> None:
    """Have a table compare texts byte by byte, and be of InnoDB. Nobody can write to it while it is copied for that."""
    connection.execute(sa.text(f"ALTER TABLE {table} ENGINE = InnoDB, {_CONVERT}"))


@contextmanager
def waiting_at_most(connection: Connection, seconds: float) -> Iterator[None]:
    """Within it, a change of a table waits so long for other transactions to end. Else it would wait without end.

    :param seconds: whole ones, at least one, is what the server knows
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
