"""Forgets old calls and dead letters, with all that the ledger has of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql.elements import ColumnElement

from airflow_provider_impactcall.delivery.clock import SYSTEM_CLOCK
from airflow_provider_impactcall.delivery.ledger.batch_sizes import BATCH_SIZES, BatchSizes, in_parts
from airflow_provider_impactcall.delivery.ledger.edits import Author, Edit
from airflow_provider_impactcall.delivery.ledger.paging import now
from airflow_provider_impactcall.delivery.ledger.queries import CallQueries
from airflow_provider_impactcall.delivery.ledger.schema import (
    Now,
    call_actions,
    calls,
    changed_calls,
    dead_letters,
    events,
    run_rows,
    runs,
)
from airflow_provider_impactcall.delivery.ledger.selection import INVALID, Selection
from airflow_provider_impactcall.delivery.ledger.states import PURGEABLE
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import ReasonCode

KEPT = "kept"
"""What counts call the calls of that age that a purge keeps, as a query still reads them."""

_PURGEABLE = [state.value for state in PURGEABLE]


def so_long_ago(ledger: Ledger, age: timedelta) -> datetime:
    """The moment so long ago, in UTC, by the clock of the ledger's database, which also told when calls changed. By the
    clock of a worker with a wrong date, calls would be forgotten that are not of that age.

    :return: 1970 at the earliest
    """
    return datetime.fromtimestamp(max(0.0, now(ledger) - age.total_seconds()), UTC)


def purgeable(ledger: Ledger, before: datetime) -> Counter[str]:
    """How many :func:`purge` would forget: calls by state, and dead letters as ``invalid``; and, if there are any, the
    calls that it would keep, as ``kept``.

    :param before: with an offset from UTC; :func:`so_long_ago` gives it
    """
    counts = CallQueries(ledger).count(Selection(states=_PURGEABLE, until=before))
    with ledger.reading() as connection:
        came_again = calls.c.key.in_(sa.union(*_came_again(before)))
        aged_calls = (*CallQueries(ledger).conditions(Selection(until=before)), calls.c.state.in_(_PURGEABLE))
        query = sa.select(calls.c.state, sa.func.count()).where(*aged_calls, came_again).group_by(calls.c.state)
        kept: Counter[str] = Counter(dict(connection.execute(query).all()))
        counts -= kept
        if kept:
            counts[KEPT] = kept.total()
        aged = sa.select(sa.func.count()).select_from(dead_letters).where(*_aged_letters(ledger, before))
        if letters := connection.execute(aged).scalar_one():
            counts[INVALID] = letters
    return counts


def purge(ledger: Ledger, before: datetime, author: Author, batch_sizes: BatchSizes = BATCH_SIZES) -> Counter[str]:
    """Forget calls that were settled before a time, dead letters that were read last before it, and the runs that are
    then left without any.

    With a call, its history, its mark and what became of it at impact.com are forgotten; with a run, its counts. Dead
    letters are forgotten even if nobody has dismissed them. A delivered call that is forgotten and read again is sent
    again. So a call is kept if the ledger knows that it was read since that time: it was marked *changed* since, or a
    person accepted its mark since. Calls of unknown fate are never forgotten.

    The purge works in short transactions, and live runs can write between them. If the purge is stopped, all that was
    forgotten by then stays forgotten, and the exception gets a note with the counts. The next purge goes on from there.

    :param before: with an offset from UTC; :func:`so_long_ago` gives it
    :return: how many calls, by state; dead letters, as ``invalid``, and calls that were ``kept`` although they are of
        that age, if there were any; and ``runs``
    """
    purged: Counter[str] = Counter()
    edit = Edit(ledger, author)
    with edit.run("purge", purged) as run_id:
        try:
            for keys in _aged(ledger, before, batch_sizes):
                purged.update(edit.repeatedly(partial(_purge_calls, keys, before)))
                SYSTEM_CLOCK.sleep(ledger.timings.turn)
            for letters in _aged_keys(ledger, before, batch_sizes):
                purged.update(edit.repeatedly(partial(_purge_letters, letters, before)))
                SYSTEM_CLOCK.sleep(ledger.timings.turn)
            purged["runs"] = 0
            for run_ids in _idle_runs(ledger, before, run_id):
                purged["runs"] += edit.repeatedly(partial(_purge_runs, run_ids))
        except BaseException as error:
            done, rows, of_calls = purged["runs"], purged[INVALID], sum(purged[state] for state in _PURGEABLE)
            error.add_note(f"forgotten so far: {of_calls} calls, {rows} invalid rows, {done} runs")
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
        # A live run may still change its calls.
        calls.c.run_id.notin_(sa.select(runs.c.run_id).where(runs.c.lease_until > Now())),
    )
    locking = sa.select(calls.c.key, calls.c.state).where(aged).order_by(calls.c.key).with_for_update()
    states = dict(connection.execute(locking).all())
    kept: set[str] = set()
    for query in _came_again(before, list(states)):
        kept.update(connection.execute(query).scalars())
    for key in kept:
        del states[key]
    for of_calls in (events, changed_calls, call_actions):
        connection.execute(sa.delete(of_calls).where(of_calls.c.key.in_(list(states))))
    connection.execute(sa.delete(calls).where(calls.c.key.in_(list(states))))
    return Counter(states.values()) + Counter({KEPT: len(kept)})


def _came_again(before: datetime, keys: Collection[str] | None = None) -> list[Any]:
    """Statements for the keys of calls that were read since, as far as the ledger knows.

    :param keys: only of these; None for all
    """
    since = before.timestamp()
    accepted = events.c.reason_code == ReasonCode.ACCEPTED.value
    found = [
        sa.select(changed_calls.c.key).where(changed_calls.c.last_at >= since),
        # The mark is gone once a person has accepted it.
        sa.select(events.c.key).where(events.c.at >= since, accepted),
    ]
    return found if keys is None else [query.where(query.selected_columns["key"].in_(keys)) for query in found]


def _aged_letters(ledger: Ledger, before: datetime) -> tuple[ColumnElement[bool], ...]:
    return dead_letters.c.namespace == ledger.namespace, dead_letters.c.last_at < before.timestamp()


def _aged_keys(ledger: Ledger, before: datetime, batch_sizes: BatchSizes) -> Iterator[Sequence[str]]:
    """The keys of dead letters that may be purged, the oldest first, in pages: purge each before you take the next."""
    query = sa.select(dead_letters.c.key).where(*_aged_letters(ledger, before))
    query = query.order_by(dead_letters.c.last_at).limit(batch_sizes.purged)
    while True:
        with ledger.reading() as connection:
            keys = connection.execute(query).scalars().all()
        if not keys:
            return
        yield keys


def _purge_letters(keys: Sequence[str], before: datetime, connection: Connection) -> Counter[str]:
    # A row may have been read again meanwhile.
    aged = (dead_letters.c.key.in_(keys), dead_letters.c.last_at < before.timestamp())
    locking = sa.select(dead_letters.c.key).where(*aged).order_by(dead_letters.c.key).with_for_update()
    locked = list(connection.execute(locking).scalars())
    connection.execute(sa.delete(dead_letters).where(dead_letters.c.key.in_(locked)))
    return Counter({INVALID: len(locked)})


def _idle_runs(ledger: Ledger, before: datetime, this: str) -> Iterator[Sequence[str]]:
    """The runs without a call, an event or a dead letter, some at a time. Reads all rows of these: nobody waits for
    that.
    """
    idle = sa.select(runs.c.run_id).where(
        runs.c.namespace == ledger.namespace,
        runs.c.started_at < before.timestamp(),
        runs.c.lease_until <= Now(),
        runs.c.run_id != this,
    )
    with ledger.reading() as connection:
        ids = set(connection.execute(idle).scalars())
        for column in (calls.c.run_id, events.c.run_id, dead_letters.c.run_id):
            if ids:
                ids.difference_update(connection.execute(sa.select(column).distinct()).scalars())
    yield from in_parts(sorted(ids))


def _purge_runs(run_ids: Sequence[str], connection: Connection) -> int:
    idle = sa.and_(runs.c.run_id.in_(run_ids), runs.c.lease_until <= Now())
    locking = sa.select(runs.c.run_id).where(idle).order_by(runs.c.run_id).with_for_update()
    locked = list(connection.execute(locking).scalars())
    for table in (run_rows, runs):
        connection.execute(sa.delete(table).where(table.c.run_id.in_(locked)))
    return len(locked)
