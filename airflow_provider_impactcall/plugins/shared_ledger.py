"""The ledger that the page reads: one object, kept from request to request."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects.mysql.base import MySQLDialect
from sqlalchemy.engine import Connection, ExceptionContext

from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.exceptions import InvalidOption, LedgerUnusable
from airflow_provider_impactcall.integration.drivers import number_of_mysql
from airflow_provider_impactcall.integration.ledger import configured, existing_ledger, reachable

log = logging.getLogger(__name__)

_KEPT_SECONDS = 300.0
"""How long the ledger is kept: after that, the connection may lead elsewhere."""


_LONGEST_WAIT_SECONDS = 5.0
"""While the database is down, only one request waits for it, and the others get the cached failure: the same threads
serve Airflow's own pages."""


_QUERY_CANCELED = "57014"  # of PostgreSQL
_QUERY_TIMED_OUT = (1969, 3024)  # of MariaDB and MySQL
_INSTRUCTIONS_A_LOOK = 100_000


class SharedLedger:
    """The configured ledger. Threads share it.

    :param longest_answer: seconds after which a query is cancelled and its caller gets an error, as the threads also
        serve Airflow's own pages
    """

    def __init__(self, longest_answer: float = 30.0) -> None:
        self._longest_answer = longest_answer
        self._lock = threading.Lock()
        self._ledger: Ledger | None = None
        self._since = 0.0
        self._failure: tuple[float, str] | None = None

    @contextmanager
    def opened(self) -> Iterator[Ledger]:
        """The ledger, without a namespace; an empty one in memory if no delivery has made one yet.

        :raises LedgerUnusable: if there is no ledger to read, or it fails within the context
        """
        ledger = self._current()
        if ledger is None:
            with _nothing() as empty:
                yield empty
            return
        try:
            with reachable():
                yield ledger
        except LedgerUnusable:
            self._forget(ledger)
            raise

    @property
    def name(self) -> str:
        """``embedded``, or the id of its connection.

        :raises LedgerUnusable: if none is configured
        """
        try:
            return configured()
        except InvalidOption as error:
            raise LedgerUnusable(str(error)) from None

    def close(self) -> None:
        """Close its connections, until the next request."""
        self._forget(self._ledger)

    def _current(self) -> Ledger | None:
        if not self._lock.acquire(timeout=_LONGEST_WAIT_SECONDS):
            raise LedgerUnusable("the ledger cannot be reached: it does not answer")
        try:
            now = time.monotonic()
            if self._ledger is not None and now - self._since < _KEPT_SECONDS:
                return self._ledger
            if self._failure is not None and now - self._failure[0] < _LONGEST_WAIT_SECONDS:
                raise LedgerUnusable(self._failure[1])
            before, self._ledger, self._failure = self._ledger, None, None
            if before is not None:
                before.close()  # Queries that are running still finish.
            try:
                self._ledger = self._look()
            except LedgerUnusable as error:
                self._failure = (time.monotonic(), str(error))
                raise
            self._since = time.monotonic()
            return self._ledger
        finally:
            self._lock.release()

    def _forget(self, ledger: Ledger | None) -> None:
        with self._lock:
            if ledger is not None and ledger is self._ledger:
                self._ledger = None
                ledger.close()

    def _look(self) -> Ledger | None:
        try:
            ledger = existing_ledger(configured())
            if ledger is not None:
                event.listen(ledger.engine, "begin", self._bound)
                event.listen(ledger.engine, "handle_error", self._say_that_it_was_ended)
            return ledger
        except LedgerUnusable:
            raise
        except InvalidOption as error:
            raise LedgerUnusable(str(error)) from None
        except Exception as error:  # From a missing connection, or a driver: the text may hold anything.
            log.warning("The ledger cannot be looked at (%s)", type(error).__name__)
            raise LedgerUnusable(f"the ledger cannot be reached ({type(error).__name__})") from None

    def _bound(self, connection: Connection) -> None:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {self._longest_answer * 1000:.0f}")
        elif isinstance(connection.dialect, MySQLDialect):
            seconds = self._longest_answer
            in_its_words = (
                f"max_statement_time = {seconds:f}"
                if connection.dialect.is_mariadb
                else f"max_execution_time = {seconds * 1000:.0f}"
            )
            connection.exec_driver_sql(f"SET SESSION {in_its_words}")
        elif connection.dialect.name == "sqlite":
            end = time.monotonic() + self._longest_answer
            sqlite: Any = connection.connection.dbapi_connection
            sqlite.set_progress_handler(lambda: time.monotonic() > end, _INSTRUCTIONS_A_LOOK)

    def _say_that_it_was_ended(self, context: ExceptionContext) -> None:
        error: Any = context.original_exception
        # psycopg2 and psycopg name the code differently.
        code = getattr(error, "pgcode", None) or getattr(error, "sqlstate", None)
        ended = code == _QUERY_CANCELED or number_of_mysql(error) in _QUERY_TIMED_OUT or str(error) == "interrupted"
        if ended:
            raise LedgerUnusable(
                f"the ledger takes longer than {self._longest_answer:.0f} s to answer this: choose a shorter period"
            ) from None


@contextmanager
def _nothing() -> Iterator[Ledger]:
    ledger = Ledger(sa.create_engine("sqlite://"), "")
    try:
        ledger.prepare()
        yield ledger
    finally:
        ledger.close()
