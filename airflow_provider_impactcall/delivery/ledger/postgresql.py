"""What PostgreSQL's drivers need so that a pooler may stand before the server."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine


def never_prepare(engine: Engine) -> None:
    """Have psycopg 3 keep no prepared statements on the server.

    PgBouncer, where it pools transactions, gives each to any server session, which has those of other clients; one of
    them may have as many parameters as ours. https://www.psycopg.org/psycopg3/docs/advanced/prepare.html#pgbouncer
    """
    if engine.driver == "psycopg" and not event.contains(engine, "connect", _configure):
        event.listen(engine, "connect", _configure)


def _configure(connection: Any, _: Any) -> None:
    connection.prepare_threshold = None
