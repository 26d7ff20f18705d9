"""Sets up PostgreSQL and its drivers for a ledger, also behind a connection pooler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from airflow_provider_impactcall.exceptions import LedgerUnfit


def never_prepare(engine: Engine) -> None:
    """Have psycopg 3 keep no prepared statements on the server.

    When PgBouncer pools transactions, each transaction may get another server session, with the prepared statements of
    other clients. One of these may have the same name and as many parameters as ours.
    https://www.psycopg.org/psycopg3/docs/advanced/prepare.html#pgbouncer
    """
    if engine.driver == "psycopg":
        _on_connecting(engine, _configure)


def refuse_other_encodings(engine: Engine) -> None:
    """Refuse a database whose encoding cannot hold every call: each connection to it raises :class:`.LedgerUnfit`."""
    if engine.driver in ("psycopg", "psycopg2"):
        _on_connecting(engine, _refuse)


def _on_connecting(engine: Engine, act: Callable[[Any, Any], None]) -> None:
    # Before SQLAlchemy asks for the server's version: with SQL_ASCII, psycopg 3 returns bytes, and SQLAlchemy fails.
    if not event.contains(engine, "connect", act):
        event.listen(engine, "connect", act, insert=True)


def _configure(connection: Any, _: Any) -> None:
    connection.prepare_threshold = None


def _refuse(connection: Any, _: Any) -> None:
    # The server reports its encoding when a client connects: no query is needed. A pooler may not pass it on.
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in (None, "UTF8"):
        connection.close()
        raise LedgerUnfit(
            f"the ledger's database has the encoding {encoding}, which cannot hold every call: create another with "
            "ENCODING 'UTF8' TEMPLATE template0, and have ledger_conn_id name a connection to it"
        )
