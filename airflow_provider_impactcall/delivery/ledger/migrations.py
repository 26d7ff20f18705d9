"""Creates and changes the ledger's tables by named migrations, each recorded in a table once it is done.

A migration can be repeated at any point: before each step, it looks whether that step is done already. So a migration
that was cut off goes on where it stopped, even on a database that commits each change of a table by itself. If two
processes migrate at once, both succeed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from airflow_provider_impactcall.delivery.ledger.mysql import (
    compares_otherwise,
    convert,
    refuse_what_cannot_hold_a_ledger,
)
from airflow_provider_impactcall.delivery.ledger.schema import (
    Now,
    action_readings,
    call_actions,
    changed_calls,
    dead_letters,
    marks,
    migrated,
    run_rows,
    secrets,
    tables,
)
from airflow_provider_impactcall.delivery.ledger.steps import Steps, create
from airflow_provider_impactcall.delivery.ledger.take_over import MARK, take_over
from airflow_provider_impactcall.delivery.ledger.transactions import reading
from airflow_provider_impactcall.delivery.timings import TIMINGS, Timings
from airflow_provider_impactcall.exceptions import LedgerUnusable

_BEGUN = " (begun)"


def _nothing(_: Steps) -> None:
    """Does nothing: an older ledger has come to this state by the migrations before."""


def _add_rows(steps: Steps) -> None:
    """Add the tables for dead letters, changed calls, counts of rows by run, and secrets."""
    steps.create([dead_letters, changed_calls, run_rows, secrets])


def _compare_exactly(steps: Steps) -> None:
    """Convert tables of MySQL and MariaDB that take ``A-1`` and ``a-1`` for equal."""

    def convert_one(connection: Connection) -> bool:
        left = compares_otherwise(connection)
        for table in left[:1]:
            convert(connection, table)
        return bool(left)

    while steps.repeatedly(convert_one):
        steps.give_way()


def _add_actions(steps: Steps) -> None:
    """Add the tables for what became of delivered calls at impact.com."""
    steps.create([call_actions, action_readings])


@dataclass(frozen=True)
class Migration:
    """A change of the tables, or of what they hold.

    :param name: under which it is recorded, at most 56 characters; never changed once it is released
    :param apply: migrates a ledger that has all migrations before this one. It can be repeated, and goes on where it
        was cut off. It is not called for a new ledger, which has today's tables from the start
    :param dialect: the only one whose databases need it; None if all do
    """

    name: str
    apply: Callable[[Steps], None] = _nothing
    dialect: str | None = None


MIGRATIONS: Sequence[Migration] = (
    Migration("0000_take_over_version_3", take_over),
    Migration("0001_first_release"),
    Migration("0002_dead_letters", _add_rows),
    Migration("0003_compare_exactly", _compare_exactly, dialect="mysql"),
    Migration("0004_actions", _add_actions),
)
"""All migrations, in order. A new one is added at the end."""


@dataclass(frozen=True)
class Standing:
    """How far a database is migrated.

    :param empty: it has no ledger yet
    :param pending: names of the migrations that it lacks, in order; all if it is empty
    """

    empty: bool
    pending: Sequence[str]

    @property
    def older(self) -> bool:
        """Whether it has a ledger of an earlier version."""
        return bool(self.pending) and not self.empty


def standing(engine: Engine, migrations: Sequence[Migration] = MIGRATIONS) -> Standing:
    """How far a database is migrated. Nothing is written.

    :raises LedgerUnfit: if it cannot hold every call
    :raises LedgerUnusable: if a newer version of this package made the ledger
    """
    with reading(engine) as connection:
        refuse_what_cannot_hold_a_ledger(connection)
        return _standing(connection, migrations)


def migrate(engine: Engine, timings: Timings = TIMINGS, migrations: Sequence[Migration] = MIGRATIONS) -> Sequence[str]:
    """Create the tables, or bring the tables of an earlier version up to date. Several processes may do so at once.

    :return: names of the migrations that were applied
    :raises LedgerUnfit: before anything is created, if the database cannot hold every call
    :raises LedgerUnusable: if a newer version of this package made the ledger
    """
    before = standing(engine, migrations)
    steps = Steps(engine, timings)
    if before.empty:
        return steps.repeatedly(partial(_create, migrations))
    for migration in migrations:
        if migration.name in before.pending:
            # Recorded first, so that no task of an earlier version begins while rows are filled.
            steps.repeatedly(partial(_record, [f"{migration.name}{_BEGUN}"]))
            migration.apply(steps)
            steps.repeatedly(partial(_finish, migration.name))
    return before.pending


def _standing(connection: Connection, migrations: Sequence[Migration]) -> Standing:
    known = [migration.name for migration in migrations]
    applied = _applied(connection)
    for name in sorted(applied - {*known, *(f"{name}{_BEGUN}" for name in known)}):
        raise LedgerUnusable(
            f"the ledger has the migration {name}, which this package does not know: update this package"
        )
    # If its creation was cut off, a ledger has neither; if its take-over was cut off, it has a mark.
    empty = not applied and not _has_mark(connection)
    needed = [each.name for each in migrations if each.dialect in (None, connection.dialect.name)]
    return Standing(empty, [name for name in needed if name not in applied])


def _applied(connection: Connection) -> set[str]:
    if not sa.inspect(connection).has_table(migrated.name):
        return set()
    return set(connection.execute(sa.select(migrated.c.name)).scalars())


def _has_mark(connection: Connection) -> bool:
    if not sa.inspect(connection).has_table(marks.name):
        return False
    return connection.execute(sa.select(marks.c.version).limit(1)).first() is not None


def _create(migrations: Sequence[Migration], connection: Connection) -> Sequence[str]:
    before = _standing(connection, migrations)
    if not before.empty:
        return ()  # Another process did it in the same moment.
    create(connection, tables.sorted_tables)
    connection.execute(sa.insert(marks).values(version=MARK))
    _record(before.pending, connection)
    return before.pending


def _finish(name: str, connection: Connection) -> None:
    _record([name], connection)
    connection.execute(sa.delete(migrated).where(migrated.c.name == f"{name}{_BEGUN}"))


def _record(names: Sequence[str], connection: Connection) -> None:
    create(connection, [migrated])
    applied = _applied(connection)
    for name in names:
        if name not in applied:
            connection.execute(sa.insert(migrated).values(name=name, applied_at=Now()))
