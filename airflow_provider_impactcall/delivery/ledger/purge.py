"""Old calls are forgotten, with their history and their runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from airflow_provider_impactcall.delivery.clock import SYSTEM_CLOCK
from airflow_provider_impactcall.delivery.ledger.batch_sizes import BATCH_SIZES, BatchSizes, in_parts
from airflow_provider_impactcall.delivery.ledger.edits import Author, Edit
from airflow_provider_impactcall.delivery.ledger.queries import CallQueries
from airflow_provider_impactcall.delivery.ledger.schema import (
    Now,
    calls,
    events,
    runs,
)
from airflow_provider_impactcall.delivery.ledger.selection import Selection
from airflow_provider_impactcall.delivery.ledger.states import PURGEABLE
from airflow_provider_impactcall.delivery.ledger.store import Ledger

_PURGEABLE = [state.value for state in PURGEABLE]


def purge(ledger: Ledger, before: datetime, author: Author, batch_sizes: BatchSizes = BATCH_SIZES) -> Counter[str]:
    """Forget calls that were settled before a time, with their history, and the runs that are left without any.

    A delivered call that is forgotten and read again is sent again. Calls of unknown fate are never forgotten.

    It is done in short transactions, between which live runs have their turn. What was forgotten before it is
    stopped stays so, and is told as a note to what stopped it; beginning anew goes on from there.

    :param before: with an offset from UTC
    :return: how many calls, by state, and ``runs``
    """
    purged: Counter[str] = Counter()
    edit = Edit(ledger, author)
    with edit.run("purge", purged) as run_id:
        try:
            for keys in _aged(ledger, before, batch_sizes):
                purged.update(edit.repeatedly(partial(_purge_calls, keys, before)))
                SYSTEM_CLOCK.sleep(ledger.timings.turn)
            purged["runs"] = 0
            for run_ids in _idle_runs(ledger, before, run_id):
                purged["runs"] += edit.repeatedly(partial(_purge_runs, run_ids))
        except BaseException as error:
            error.add_note(f"forgotten so far: {purged.total() - purged['runs']} calls, {purged['runs']} runs")
            raise
    return purged


def _aged(ledger: Ledger, before: datetime, batch_sizes: BatchSizes) -> Iterator[list[str]]:
    """The keys of calls that may be purged, the oldest first, some at a time."""
    last_at, last = 0.0, ""
    while True:
        after = (calls.c.changed_at >= last_at, sa.or_(calls.c.changed_at > last_at, calls.c.key > last))
        query = (
            sa.select(calls.c.key, calls.c.changed_at)
            .where(
                *CallQueries(ledger).conditions(Selection(until=before)),
                *after,
                calls.c.state.in_(_PURGEABLE),
            )
            .order_by(calls.c.changed_at, calls.c.key)
            .limit(batch_sizes.purged)
        )
        with ledger.reading() as connection:
            page = connection.execute(query).all()
        if not page:
            return
        yield [key for key, _ in page]
        last, last_at = page[-1]


def _purge_calls(keys: Sequence[str], before: datetime, connection: Connection) -> Counter[str]:
    aged = sa.and_(
        calls.c.key.in_(keys),
        calls.c.state.in_(_PURGEABLE),
        calls.c.changed_at < before.timestamp(),
        # A live run may have more to say of its calls.
        calls.c.run_id.notin_(sa.select(runs.c.run_id).where(runs.c.lease_until > Now())),
    )
    locking = sa.select(calls.c.key, calls.c.state).where(aged).order_by(calls.c.key).with_for_update()
    states = dict(connection.execute(locking).all())
    connection.execute(sa.delete(events).where(events.c.key.in_(list(states))))
    connection.execute(sa.delete(calls).where(calls.c.key.in_(list(states))))
    return Counter(states.values())


def _idle_runs(ledger: Ledger, before: datetime, this: str) -> Iterator[Sequence[str]]:
    """The runs that no call and no event is of, some at a time. Reads all of both: nobody waits for that."""
    idle = sa.select(runs.c.run_id).where(
        runs.c.namespace == ledger.namespace,
        runs.c.started_at < before.timestamp(),
        runs.c.lease_until <= Now(),
        runs.c.run_id != this,
    )
    with ledger.reading() as connection:
        ids = set(connection.execute(idle).scalars())
        for column in (calls.c.run_id, events.c.run_id):
            if ids:
                ids.difference_update(connection.execute(sa.select(column).distinct()).scalars())
    yield from in_parts(sorted(ids))


def _purge_runs(run_ids: Sequence[str], connection: Connection) -> int:
    idle = sa.and_(runs.c.run_id.in_(run_ids), runs.c.lease_until <= Now())
    return int(connection.execute(sa.delete(runs).where(idle)).rowcount)
