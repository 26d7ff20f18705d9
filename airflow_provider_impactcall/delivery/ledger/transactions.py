"""The kinds of transactions on a ledger's database, and how one is repeated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import IntegrityError, OperationalError

from airflow_provider_impactcall.delivery.clock import SYSTEM_CLOCK
from airflow_provider_impactcall.delivery.ledger.retries import Retries
from airflow_provider_impactcall.delivery.ledger.sqlite import READS

_ATTEMPTS = 10
_LONGEST_PAUSES = 6  # of a turn

COLLISIONS = (IntegrityError, OperationalError)
"""What two transactions that meet raise."""

_T = TypeVar("_T")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction: all of it is durable once the context ends, or none of it."""
    with engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def committing(engine: Engine) -> Iterator[Connection]:
    """A connection to PostgreSQL on which each statement is a transaction, with neither BEGIN nor COMMIT."""
    with engine.connect() as connection:
        # Not by SQLAlchemy's isolation level: psycopg 2 would say to the server then what its sessions begin with, and
        # behind PgBouncer these are other clients' too.
        driver: Any = connection.connection.dbapi_connection
        driver.autocommit = True
        try:
            with connection.begin():
                yield connection
        finally:
            try:
                driver.autocommit = False
            except Exception:  # It is lost, or still at something.
                connection.invalidate()


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that changes nothing, and on SQLite waits for no writer."""
    with engine.connect() as connection:
        reader = connection.execution_options(**{READS: True})
        with reader.begin():
            yield reader


def repeatedly(
    engine: Engine,
    act: Callable[[Connection], _T],
    turn: float,
    collisions: tuple[type[Exception], ...] = COLLISIONS,
) -> _T:
    """Do it in a transaction; again, up to ten times, if that collided with another's.

    :param turn: seconds of the first pause
    :param collisions: what a collision raises
    """

    def once() -> _T:
        with writing(engine) as connection:
            return act(connection)

    retries = Retries(turn, _LONGEST_PAUSES * turn, monotonic=SYSTEM_CLOCK.monotonic, attempts=_ATTEMPTS)
    return retries.repeat(once, collisions, SYSTEM_CLOCK.sleep)
