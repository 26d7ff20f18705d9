"""The two kinds of transactions on a ledger's database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.engine import Connection, Engine

from airflow_provider_impactcall.delivery.ledger.sqlite import READS


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction: all of it is durable once the context ends, or none of it."""
    with engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that changes nothing, and on SQLite waits for no writer."""
    with engine.connect() as connection:
        reader = connection.execution_options(**{READS: True})
        with reader.begin():
            yield reader
