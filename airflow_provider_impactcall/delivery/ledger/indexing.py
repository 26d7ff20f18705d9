"""Builds the indexes that a ledger of an earlier version of this package lacks, without blocking deliveries.

Only the speed of people's queries depends on these indexes. So versions that know them and versions that do not can use
one ledger side by side, and a failure is only a warning.
"""

from __future__ import annotations

import logging

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateIndex

from airflow_provider_impactcall.delivery.ledger.mysql import waiting_at_most
from airflow_provider_impactcall.delivery.ledger.schema import INDEXES, Now, calls, marks, runs
from airflow_provider_impactcall.delivery.ledger.store import Ledger

log = logging.getLogger(__name__)

# An arbitrary number, which other users of the database are not likely to take.
_LOCK = 0x696D70616374

_BUILT = """
SELECT relname FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
WHERE indrelid IN (to_regclass('impactcall_call'), to_regclass('impactcall_run')) AND (indisvalid OR NOT :valid)
"""


def build_missing(ledger: Ledger) -> None:
    """Build the indexes that the ledger lacks, if nobody has to wait for that.

    On PostgreSQL, MySQL and MariaDB, building takes no lock that a writer would notice. SQLite has one writer: while a
    run delivers, building is left to a later time. Never fails: an error is logged.

    :param ledger: prepared
    """
    try:
        with ledger.reading() as connection:
            lacking = _lacking(connection)
        if lacking and ledger.engine.dialect.name == "postgresql":
            _build_beside_writers(ledger)
        elif lacking and ledger.engine.dialect.name == "sqlite":
            _build_if_idle(ledger)
        elif lacking:
            _build_online(ledger)
    except SQLAlchemyError as error:
        log.warning(
            "An index of the ledger could not be built (%s); impactcall ledger migrate tries again. "
            "Looking at calls may be slow",
            type(error).__name__,
        )


def missing(ledger: Ledger) -> list[str]:
    """The names of the indexes that the ledger lacks.

    :param ledger: not an empty one
    """
    with ledger.reading() as connection:
        return [str(index.name) for index in _lacking(connection)]


def _lacking(connection: Connection) -> list[sa.Index]:
    if connection.dialect.name == "postgresql":
        there = _postgresql_indexes(connection, valid=True)
    else:
        found = sa.inspect(connection)
        there = {str(index["name"]) for table in (calls, runs) for index in found.get_indexes(table.name)}
    return [index for index in INDEXES if index.name not in there]


def _postgresql_indexes(connection: Connection, *, valid: bool) -> set[str]:
    """The indexes of calls and runs: only valid ones, or also those whose building was cut off."""
    return set(connection.execute(sa.text(_BUILT), {"valid": valid}).scalars())


def _build_beside_writers(ledger: Ledger) -> None:
    # The guard must not keep a snapshot: building would wait for the snapshot's end, and the guard for the building.
    guarding = ledger.engine.connect().execution_options(isolation_level="READ COMMITTED")
    with guarding as guard, guard.begin():
        if not guard.execute(sa.select(sa.func.pg_try_advisory_xact_lock(_LOCK))).scalar():
            return  # Another process does it.
        # psycopg leaves the last statement open, with its snapshot. SET LOCAL takes its place, and has no snapshot.
        guard.execute(sa.text("SET LOCAL application_name = 'impactcall'"))
        building = ledger.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        with building as connection:
            # CREATE INDEX CONCURRENTLY waits for all older transactions, and one may be open for hours.
            connection.execute(sa.text(f"SET lock_timeout = '{ledger.timings.lock_wait * 1000:.0f}ms'"))
            try:
                unfinished = _postgresql_indexes(connection, valid=False)
                for index in _lacking(connection):
                    _say(index)
                    if index.name in unfinished:
                        connection.execute(sa.text(f"DROP INDEX CONCURRENTLY {index.name}"))
                    statement = str(CreateIndex(index).compile(dialect=connection.dialect))
                    connection.execute(sa.text(statement.replace("CREATE INDEX", "CREATE INDEX CONCURRENTLY", 1)))
            finally:
                connection.execute(sa.text("RESET lock_timeout"))


def _build_if_idle(ledger: Ledger) -> None:
    with ledger.reading() as connection:
        lacking = _lacking(connection)
    for index in lacking:
        with ledger.writing() as connection:
            alive = connection.execute(sa.select(runs.c.run_id).where(runs.c.lease_until > Now()).limit(1)).first()
            if alive is not None:
                return
            if index in _lacking(connection):  # Another may have done it meanwhile.
                _say(index)
                connection.execute(CreateIndex(index))


def _build_online(ledger: Ledger) -> None:
    """On MySQL and MariaDB: InnoDB lets others write meanwhile, and commits each statement that builds by itself."""
    alone = sa.select(marks.c.version).limit(1).with_for_update(skip_locked=True)
    with ledger.writing() as guard:
        if guard.execute(alone).first() is None:
            return  # Another process does it.
        with ledger.writing() as connection, waiting_at_most(connection, ledger.timings.lock_wait):
            for index in _lacking(connection):
                _say(index)
                connection.execute(CreateIndex(index))


def _say(index: sa.Index) -> None:
    log.info("Building the index %s of the ledger, once", index.name)
