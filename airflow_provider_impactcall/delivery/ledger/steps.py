"""The steps of migrations: short transactions that can be repeated, and that block nobody for long."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.schema import CreateColumn

from airflow_provider_impactcall.delivery.clock import SYSTEM_CLOCK
from airflow_provider_impactcall.delivery.ledger.batch_sizes import BATCH_SIZES, BatchSizes
from airflow_provider_impactcall.delivery.ledger.mysql import waiting_at_most
from airflow_provider_impactcall.delivery.ledger.transactions import COLLISIONS, reading, repeatedly
from airflow_provider_impactcall.delivery.timings import TIMINGS, Timings

_T = TypeVar("_T")


class Steps:
    """The steps of a migration on one database.

    :param timings: how long to wait for locks, and how long others may write between two transactions
    :param batch_sizes: how many rows a transaction changes
    """

    def __init__(self, engine: Engine, timings: Timings = TIMINGS, batch_sizes: BatchSizes = BATCH_SIZES) -> None:
        self.engine = engine
        self._timings = timings
        self.rows = batch_sizes.migrated

    def repeatedly(self, act: Callable[[Connection], _T]) -> _T:
        """Do it in a transaction; repeat it if it collides with another transaction.

        :param act: checks first what is done already, as another process may do the same at once
        """

        def bounded(connection: Connection) -> _T:
            with self._bounded(connection):
                return act(connection)

        # ProgrammingError: another process has created the table or column meanwhile.
        return repeatedly(self.engine, bounded, self._timings.turn, (*COLLISIONS, ProgrammingError))

    def create(self, tables: Iterable[sa.Table]) -> None:
        """Create what is missing of these tables and their indexes."""
        for table in tables:
            self.repeatedly(partial(create, tables=[table]))

    def add(self, table: str, column: sa.Column[Any]) -> None:
        """Add a column, unless the table has it. The column is nullable without a default, so no row is rewritten."""

        def act(connection: Connection) -> None:
            if column.name not in {each["name"] for each in sa.inspect(connection).get_columns(table)}:
                definition = CreateColumn(column).compile(dialect=connection.dialect)
                connection.execute(sa.text(f"ALTER TABLE {table} ADD COLUMN {definition}"))

        self.repeatedly(act)

    def drop_index(self, table: str, index: sa.Index) -> None:
        """Drop an index, if it exists."""

        def act(connection: Connection) -> None:
            if index.name in {each["name"] for each in sa.inspect(connection).get_indexes(table)}:
                index.drop(connection)

        self.repeatedly(act)

    def walk(self, key: sa.Column[Any], *more: Any, of: sa.FromClause | None = None) -> Iterator[list[Any]]:
        """All rows of a table, page by page, by its primary key; each page is read in a transaction of its own.

        Others can write before the next page is read.

        :param more: further columns to read; the key comes first
        :param of: the table, joined with others
        """
        last: Any = None
        while True:
            query = sa.select(key, *more).order_by(key).limit(self.rows)
            if of is not None:
                query = query.select_from(of)
            with reading(self.engine) as connection:
                page = connection.execute(query if last is None else query.where(key > last)).all()
            if not page:
                return
            yield list(page)
            last = page[-1][0]

    def give_way(self) -> None:
        """Let others write, after a transaction that may have held them up."""
        SYSTEM_CLOCK.sleep(self._timings.turn)

    @contextmanager
    def _bounded(self, connection: Connection) -> Iterator[None]:
        # A session that waits to change a table blocks all later sessions, which must renew their leases in time.
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text(f"SET LOCAL lock_timeout = '{self._timings.table_wait * 1000:.0f}ms'"))
        with waiting_at_most(connection, self._timings.table_wait):
            yield


def create(connection: Connection, tables: Iterable[sa.Table]) -> None:
    """Create what is missing of these tables and their indexes.

    On a database that commits each statement by itself, a table may exist without its indexes.
    """
    for table in tables:
        if not sa.inspect(connection).has_table(table.name):
            table.create(connection)
            continue
        there = {each["name"] for each in sa.inspect(connection).get_indexes(table.name)}
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            if index.name not in there:
                index.create(connection)
