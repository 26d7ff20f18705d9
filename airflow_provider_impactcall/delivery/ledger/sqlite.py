"""What SQLite needs to keep the promise: every commit on disk, and writers that wait for each other."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine

READS = "impactcall_reads"


def make_durable(engine: Engine) -> None:
    """What SQLite needs to keep the promise: every commit on disk, and writers that wait for each other."""
    if not event.contains(engine, "begin", _begin):
        event.listen(engine, "connect", _configure)
        event.listen(engine, "begin", _begin)


def _configure(connection: Any, _: Any) -> None:
    connection.isolation_level = None
    for pragma in ("busy_timeout=30000", "journal_mode=WAL", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}")


def _begin(connection: Connection) -> None:
    # sqlite3 would begin with the first write, and two that read first and then write would both fail.
    reads = connection.get_execution_options().get(READS)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
