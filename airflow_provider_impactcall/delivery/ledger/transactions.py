"""The kinds of transactions on a ledger's database, and how to repeat one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from airflow_provider_impactcall.delivery.clock import SYSTEM_CLOCK
from airflow_provider_impactcall.delivery.ledger.retries import Retries
from airflow_provider_impactcall.delivery.ledger.sqlite import READS

_ATTEMPTS = 10
_LONGEST_PAUSES = 6  # in turns

COLLISIONS = (IntegrityError, OperationalError)
"""The errors of two transactions that collide."""

_DEADLOCK_ON_POSTGRESQL = "40P01"
_DEADLOCK_ON_MYSQL = 1213

_T = TypeVar("_T")


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction: all of it is durable once the context ends, or none of it."""
    with engine.connect() as connection, connection.begin():
        yield connection


@contextmanager
def committing(engine: Engine) -> Iterator[Connection]:
    """A connection to PostgreSQL in autocommit mode: each statement is a transaction, without BEGIN and COMMIT."""
    with engine.connect() as connection:
        # Not by SQLAlchemy's isolation level: psycopg 2 would then set the session's defaults on the server, and behind
        # PgBouncer other clients use the same session.
        driver: Any = connection.connection.dbapi_connection
        driver.autocommit = True
        try:
            with connection.begin():
                yield connection
        finally:
            try:
                driver.autocommit = False
            except Exception:  # The connection is lost, or still busy.
                connection.invalidate()


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that only reads; on SQLite it does not wait for a writer."""
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
    """Do it in a transaction; repeat it if it collides with another transaction, in at most ten attempts.

    :param turn: seconds of the first pause
    :param collisions: what a collision raises
    """

    def once() -> _T:
        with writing(engine) as connection:
            return act(connection)

    retries = Retries(turn, _LONGEST_PAUSES * turn, monotonic=SYSTEM_CLOCK.monotonic, attempts=_ATTEMPTS)
    return retries.repeat(once, collisions, SYSTEM_CLOCK.sleep)


def is_collision(error: Exception) -> bool:
    """Whether a transaction failed only because it collided with another one: repeating it is enough."""
    if isinstance(error, IntegrityError):
        return True
    raised = error.orig if isinstance(error, DBAPIError) else None
    # psycopg 2 calls it pgcode, psycopg 3 sqlstate.
    code = getattr(raised, "pgcode", None) or getattr(raised, "sqlstate", None)
    return code == _DEADLOCK_ON_POSTGRESQL or getattr(raised, "args", ())[:1] == (_DEADLOCK_ON_MYSQL,)
