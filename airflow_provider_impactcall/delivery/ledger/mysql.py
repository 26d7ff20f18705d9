"""What MySQL and MariaDB need to have a ledger."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

from airflow_provider_impactcall.delivery.ledger.schema import tables
from airflow_provider_impactcall.exceptions import LedgerUnfit

_DATABASE = sa.text("SELECT @@character_set_database")
# Of the columns, as these hold the values: a table's own is only what a new column gets.
_TABLES = sa.text(
    "SELECT table_name FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name IN :names "
    "AND character_set_name <> 'utf8mb4' ORDER BY table_name LIMIT 1"
).bindparams(sa.bindparam("names", expanding=True))


def refuse_other_character_sets(connection: Connection) -> None:
    """Refuse a database that cannot hold every call, by its character set or by that of a table of the ledger.

    :raises LedgerUnfit: if it is one
    """
    if connection.dialect.name not in ("mysql", "mariadb"):
        return
    found = connection.execute(_DATABASE).scalar_one()
    if found != "utf8mb4":
        raise LedgerUnfit(
            f"the ledger's database has the character set {found}, which cannot hold every call: run ALTER DATABASE "
            "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin in it"
        )
    table = connection.execute(_TABLES, {"names": [table.name for table in tables.sorted_tables]}).scalar()
    if table is not None:
        raise LedgerUnfit(
            f"the ledger's table {table} has another character set than utf8mb4, and cannot hold every call: run ALTER "
            f"TABLE {table} CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"
        )


def never_ping(engine: Engine) -> None:
    """Have MySQL's own driver not ask for each statement first whether the server is there, which takes as long again.

    A statement fails if it is not.
    """
    if engine.driver == "mysqlconnector" and not event.contains(engine, "connect", _trust):
        event.listen(engine, "connect", _trust)


def _trust(connection: Any, _: Any) -> None:
    connection.is_connected = lambda: True
