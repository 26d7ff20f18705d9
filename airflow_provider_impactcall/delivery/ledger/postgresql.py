"""What PostgreSQL and its drivers need to have a ledger, and so that a pooler may stand before the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from airflow_provider_impactcall.exceptions import LedgerUnfit


def never_prepare(engine: Engine) -> None:
    """Have psycopg 3 keep no prepared statements on the server.

    PgBouncer, where it pools transactions, gives each to any server session, which has those of other clients; one of
    them may have as many parameters as ours. https://www.psycopg.org/psycopg3/docs/advanced/prepare.html#pgbouncer
    """
    if engine.driver == "psycopg":
        _on_connecting(engine, _configure)


def refuse_other_encodings(engine: Engine) -> None:
    """Have no connection lead to a database that cannot hold every call: each raises a :class:`.LedgerUnfit`."""
    if engine.driver in ("psycopg", "psycopg2"):
        _on_connecting(engine, _refuse)


def _on_connecting(engine: Engine, act: Callable[[Any, Any], None]) -> None:
    # Before SQLAlchemy asks for the server's version: of SQL_ASCII, psycopg 3 gives bytes, at which it fails.
    if not event.contains(engine, "connect", act):
        event.listen(engine, "connect", act, insert=True)


def _configure(connection: Any, _: Any) -> None:
    connection.prepare_threshold = None


def _refuse(connection: Any, _: Any) -> None:
    # The server says so by itself as it is connected to: nothing is asked. A pooler may keep it back.
    encoding = connection.info.parameter_status("server_encoding")
    if encoding not in (None, "UTF8"):
        connection.close()
        raise LedgerUnfit(
            f"the ledger's database has the encoding {encoding}, which cannot hold every call: create another with "
            "ENCODING 'UTF8' TEMPLATE template0, and have ledger_conn_id name a connection to it"
        )
