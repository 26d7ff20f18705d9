"""People's queries about the calls of a ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import FromClause

from airflow_provider_impactcall.delivery.ledger.batch_sizes import BATCH_SIZES, BatchSizes, in_parts
from airflow_provider_impactcall.delivery.ledger.entries import (
    HISTORY,
    WITH_RUNS,
)
from airflow_provider_impactcall.delivery.ledger.paging import dated, newest_first, now
from airflow_provider_impactcall.delivery.ledger.schema import (
    UNDELIVERED,
    calls,
    changed_calls,
    events,
)
from airflow_provider_impactcall.delivery.ledger.selection import (
    CHANGED,
    MARKED,
    MOMENTS,
    SHOWN,
    STATE,
    WITH_MARKS,
    Selection,
)
from airflow_provider_impactcall.delivery.ledger.states import IN_DOUBT
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import CallState, ReasonCode


class _Part(NamedTuple):
    """Calls that one query finds.

    :param source: their tables
    :param moment: the time by which they are ordered; an index has them in this order
    :param key: the column by which they are walked through
    :param conditions: what selects them
    :param found_by: a further condition, on the first column of an index: only for a query without keys. SQLite has no
        statistics, and would use this index rather than the one of the keys
    """

    source: FromClause
    moment: sa.Column[Any]
    key: sa.Column[Any]
    conditions: list[ColumnElement[bool]]
    found_by: list[ColumnElement[bool]]

    def all(self) -> Any:
        return self.some(*self.found_by)

    def some(self, *more: ColumnElement[bool]) -> Any:
        return sa.select(*SHOWN).select_from(self.source).where(*self.conditions, *more)


class CallQueries:
    """The calls of a ledger's namespace, as people see them. A selection's states may be states of calls, and
    ``changed``; without states, a period has the calls that changed in it, and those that came again in it.
    :class:`.Listing` has dead letters as well.

    :param batch_sizes: how much is read at once
    """

    def __init__(self, ledger: Ledger, batch_sizes: BatchSizes = BATCH_SIZES) -> None:
        self._ledger = ledger
        self._sizes = batch_sizes

    def latest(self, selection: Selection, limit: int) -> list[dict[str, Any]]:
        """The calls that changed last, each by column; times are ISO 8601 in UTC. For ``changed``: the calls that came
        again last.
        """
        return [row for _, row in self.latest_dated(selection, limit)]

    def latest_dated(self, selection: Selection, limit: int) -> list[tuple[float, dict[str, Any]]]:
        """As :meth:`latest`, each with the time by which it is ordered, in seconds since 1970."""
        found: list[tuple[float, dict[str, Any]]] = []
        with self._ledger.reading() as connection:
            for part in self._parts(selection, by_state=True):
                found += dated(connection, part.all(), part.moment, part.key, limit)
        found.sort(key=lambda each: (-each[0], each[1]["key"]))
        return [(moment, readable(row)) for moment, row in found[:limit]]

    def each(self, selection: Selection) -> Iterator[dict[str, Any]]:
        """All the calls, each once, in no particular order, in short transactions and little memory."""
        for part in self._parts(selection):
            for of_keys in self._pages(part):
                with self._ledger.reading() as connection:
                    page = [readable(row) for row in connection.execute(part.some(of_keys)).mappings()]
                yield from page

    def versions(self, selection: Selection) -> Iterator[tuple[str, str, float]]:
        """Key, state and version of all the calls, as :meth:`each` gives them. The version is the time of the call's
        last change, in seconds since 1970; for ``changed``, the time when the call came again last.
        """
        for part in self._parts(selection):
            state = sa.literal(CHANGED) if part.source is MARKED else STATE
            for of_keys in self._pages(part):
                query = part.some(of_keys).with_only_columns(part.key, state, part.moment)
                with self._ledger.reading() as connection:
                    page = connection.execute(query).all()
                yield from ((key, str(state), moment) for key, state, moment in page)

    def newest(self, selection: Selection) -> Iterator[dict[str, Any]]:
        """All the calls as they were when this began: state by state, in each state the newest first, in short
        transactions and little memory. A call that changes meanwhile may be left out; no call comes twice.
        """
        began = now(self._ledger)
        for part in self._parts(selection, by_state=True):
            rows = newest_first(self._ledger, part.all(), part.moment, part.key, began, self._sizes.fetched)
            yield from map(readable, rows)

    def count(self, selection: Selection) -> Counter[str]:
        """How many calls, by state. If ``changed`` is selected, it has a count of its own: these calls are delivered,
        too.
        """
        counts: Counter[str] = Counter()
        with self._ledger.reading() as connection:
            for query in self._counting(selection):
                for state, number in connection.execute(query):
                    if number:
                        counts[str(state)] += number
        return counts

    def total(self, selection: Selection) -> int:
        """How many calls; a call in two of the counts is counted once."""
        counts = self.count(selection)
        if _marks_select(selection) and selection.includes(CallState.DELIVERED):
            found_by = self._found_by(selection)
            marked = sa.select(sa.func.count()).select_from(MARKED).where(*self._of_marks(selection), *found_by)
            with self._ledger.reading() as connection:
                counts[CHANGED] = connection.execute(marked).scalar_one()
        return counts.total()

    def _counting(self, selection: Selection) -> Iterator[Any]:
        """Statements that count calls by state."""
        if not selection.states or selection.call_states:
            ours = calls.c.namespace == self._ledger.namespace
            # An index alone counts nearly all calls; only open calls have to be joined with their runs.
            settled = sa.select(calls.c.state, sa.func.count()).where(ours, *selection.conditions(settled=True))
            yield settled.group_by(calls.c.state)
            rest = sa.select(STATE, sa.func.count()).select_from(WITH_RUNS).where(*self.conditions(selection))
            yield rest.where(calls.c.state == CallState.OPEN.value, UNDELIVERED).group_by(STATE)
        if CHANGED in selection.states:
            marked = sa.select(sa.literal(CHANGED), sa.func.count()).select_from(MARKED)
            yield marked.where(*selection.of_marks(self._ledger.namespace), *self._found_by(selection))

    def history(self, selection: Selection) -> list[dict[str, Any]]:
        """The history of the calls, in order: each intent, outcome and change, with who and why."""
        shown = [HISTORY.c[name] for name in ("at", "state", "reason_code", "status", "reason", "actor")]
        query = sa.select(*shown, HISTORY.c.fence.label("attempt"), HISTORY.c.run_id, HISTORY.c.key)
        query = query.order_by(HISTORY.c.key, HISTORY.c.event_id)
        found: list[dict[str, Any]] = []
        for part in self._parts(selection):
            for of_keys in self._pages(part):
                with self._ledger.reading() as connection:
                    known = part.some(of_keys).with_only_columns(calls.c.key, calls.c.CallSessionId)
                    session_ids = dict(connection.execute(known.order_by(calls.c.key)).all())
                    # By keys, not by a join with calls: for a join, SQLite would first gather the history of all calls.
                    for keys in in_parts(list(session_ids)):
                        rows = connection.execute(query.where(HISTORY.c.key.in_(keys))).mappings()
                        found += ({"CallSessionId": session_ids[row["key"]], **readable(row)} for row in rows)
        return found

    def possibly_arrived(
        self, campaign_id: str, first_day: date, last_day: date
    ) -> Iterator[tuple[str, str, str, int | None]]:
        """Key, ActionTrackerId, EventDate and fingerprint of a campaign's calls that impact.com has, or may have, as
        they were sent. The fingerprint is None if a person accepted other content since.

        :param first_day: of EventDate as it was sent, whatever its offset from UTC
        :param last_day: the same, included
        """
        states = [state.value for state in (CallState.DELIVERED, *IN_DOUBT, CallState.OPEN)]
        of_days = (
            calls.c.namespace == self._ledger.namespace,
            calls.c.CampaignId == campaign_id,
            calls.c.EventDate >= first_day.isoformat(),
            calls.c.EventDate < (last_day + timedelta(days=1)).isoformat(),
            calls.c.state.in_(states),
        )
        accepted = (events.c.key == calls.c.key, events.c.reason_code == ReasonCode.ACCEPTED.value)
        is_accepted = sa.select(events.c.event_id).where(*accepted).exists()
        fingerprint = sa.case((is_accepted, sa.null()), else_=calls.c.fingerprint)
        query = sa.select(calls.c.key, calls.c.ActionTrackerId, calls.c.EventDate, fingerprint).where(*of_days)
        with self._ledger.reading() as connection:
            rows = connection.execution_options(stream_results=True).execute(query).yield_per(self._sizes.fetched)
            yield from ((key, tracker, event_date, came) for key, tracker, event_date, came in rows)

    def _parts(self, selection: Selection, *, by_state: bool = False) -> Iterator[_Part]:
        """The calls of a selection, each in one part.

        :param by_state: one part per state: an index yields the newest calls of one state at once; the newest of
            several states would be known only after sorting all their calls
        """
        if not selection.states or selection.call_states:
            of_calls = self.conditions(selection)
            states = sorted(selection.stored_states) if by_state else []
            for of_state in [[calls.c.state == state] for state in states] or [[]]:
                yield _Part(WITH_MARKS, calls.c.changed_at, calls.c.key, [*of_calls, *of_state], [])
        if _marks_select(selection):
            of_marks, found_by = [*self._of_marks(selection)], self._found_by(selection)
            yield _Part(MARKED, changed_calls.c.last_at, changed_calls.c.key, of_marks, found_by)

    def _found_by(self, selection: Selection) -> list[ColumnElement[bool]]:
        """The condition by which an index finds marks; none if another index finds their calls by id."""
        return [] if selection.call_session_ids else [changed_calls.c.namespace == self._ledger.namespace]

    def _of_marks(self, selection: Selection) -> Iterator[ColumnElement[bool]]:
        """The conditions for the calls that only ``changed`` selects."""
        yield from selection.of_marks(self._ledger.namespace)
        if selection.includes(CallState.DELIVERED):
            yield sa.not_(sa.and_(sa.true(), *selection.period_of(calls.c.changed_at)))

    def _pages(self, part: _Part) -> Iterator[ColumnElement[bool]]:
        """Conditions that each select some of the calls, and together all of them.

        Few calls are looked up by their keys. For many calls, the whole table is walked through by key: this order
        stays the same when a call changes. An index that finds the calls does not have such an order.
        """
        with self._ledger.reading() as connection:
            few = part.all().with_only_columns(part.key).limit(self._sizes.keys + 1)
            keys = sorted(connection.execute(few).scalars())
        if len(keys) <= self._sizes.keys:
            yield from map(part.key.in_, in_parts(keys))
            return
        del keys
        last = ""
        while True:
            following = sa.select(part.key).where(part.key > last).order_by(part.key).limit(self._sizes.walked)
            with self._ledger.reading() as connection:
                until = connection.execute(sa.select(sa.func.max(following.subquery().c.key))).scalar()
            if until is None:
                return
            yield sa.and_(part.key > last, part.key <= until)
            last = until

    def conditions(self, selection: Selection) -> list[ColumnElement[bool]]:
        """The conditions for the calls of the ledger's namespace that a selection selects by states of calls."""
        return [calls.c.namespace == self._ledger.namespace, *selection.conditions()]


def _marks_select(selection: Selection) -> bool:
    """Whether calls are selected by their marks, too: all calls include these, unless a time limits them."""
    in_period = selection.since is not None or selection.until is not None
    return CHANGED in selection.states or (in_period and not selection.states)


def readable(row: Any) -> dict[str, Any]:
    """A row by column, with its times as ISO 8601 in UTC."""
    # As plain str: SQLAlchemy's column names are a subclass of str, which YAML writers refuse.
    return {str(name): _utc(value) if name in MOMENTS and value is not None else value for name, value in row.items()}


def _utc(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
