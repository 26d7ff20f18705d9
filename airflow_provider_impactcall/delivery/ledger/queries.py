"""What people ask of the calls of a ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement

from airflow_provider_impactcall.delivery.ledger.batch_sizes import BATCH_SIZES, BatchSizes, in_parts
from airflow_provider_impactcall.delivery.ledger.entries import (
    HISTORY,
    WITH_RUNS,
)
from airflow_provider_impactcall.delivery.ledger.schema import (
    UNDELIVERED,
    Now,
    calls,
)
from airflow_provider_impactcall.delivery.ledger.selection import MOMENTS, SHOWN, STATE, Selection
from airflow_provider_impactcall.delivery.ledger.states import IN_DOUBT
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import CallState


class CallQueries:
    """The calls of a ledger's namespace, as people see them.

    :param batch_sizes: how much is read at once
    """

    def __init__(self, ledger: Ledger, batch_sizes: BatchSizes = BATCH_SIZES) -> None:
        self._ledger = ledger
        self._sizes = batch_sizes

    def latest(self, selection: Selection, limit: int) -> list[dict[str, Any]]:
        """The calls that changed last, by column; times are ISO 8601 in UTC."""
        found: list[Any] = []
        with self._ledger.reading() as connection:
            for of_state in _one_after_the_other(selection):
                query = self._query(selection, *of_state).order_by(calls.c.changed_at.desc(), calls.c.key).limit(limit)
                found += connection.execute(query).mappings()
        found.sort(key=lambda row: (-row["changed_at"], row["key"]))
        return [readable(row) for row in found[:limit]]

    def each(self, selection: Selection) -> Iterator[dict[str, Any]]:
        """All the calls, each once, in no order that means anything, in short transactions and little memory."""
        for of_keys in self._pages(selection):
            with self._ledger.reading() as connection:
                page = [readable(row) for row in connection.execute(self._query(selection, of_keys)).mappings()]
            yield from page

    def newest(self, selection: Selection) -> Iterator[dict[str, Any]]:
        """All the calls as they were when this began, those of one state after those of another and each the newest
        first, in short transactions and little memory. One that changes meanwhile may be left out; none comes twice.
        """
        with self._ledger.reading() as connection:
            began = connection.execute(sa.select(Now())).scalar_one()
        for of_state in _one_after_the_other(selection):
            last_at, last = began, ""
            while True:
                before = (calls.c.changed_at <= last_at, sa.or_(calls.c.changed_at < last_at, calls.c.key > last))
                query = self._query(selection, *of_state, *before).order_by(calls.c.changed_at.desc(), calls.c.key)
                with self._ledger.reading() as connection:
                    page = connection.execute(query.limit(self._sizes.fetched)).mappings().all()
                if not page:
                    break
                last_at, last = page[-1]["changed_at"], page[-1]["key"]
                yield from map(readable, page)

    def count(self, selection: Selection) -> Counter[str]:
        """How many calls, by state."""
        ours = calls.c.namespace == self._ledger.namespace
        # An index tells of nearly all; beside their runs, only those that are open have to be looked at.
        settled = sa.select(calls.c.state, sa.func.count()).where(ours, *selection.conditions(settled=True))
        rest = sa.select(STATE, sa.func.count()).select_from(WITH_RUNS).where(*self.conditions(selection))
        rest = rest.where(calls.c.state == CallState.OPEN.value, UNDELIVERED)
        counts: Counter[str] = Counter()
        with self._ledger.reading() as connection:
            for query in (settled.group_by(calls.c.state), rest.group_by(STATE)):
                for state, number in connection.execute(query):
                    counts[str(state)] += number
        return counts

    def history(self, selection: Selection) -> list[dict[str, Any]]:
        """All that happened to the calls, in its order: each intent, outcome and change, with who and why."""
        shown = [HISTORY.c[name] for name in ("at", "state", "reason_code", "status", "reason", "actor")]
        query = sa.select(*shown, HISTORY.c.fence.label("attempt"), HISTORY.c.run_id, HISTORY.c.key)
        query = query.order_by(HISTORY.c.key, HISTORY.c.event_id)
        found: list[dict[str, Any]] = []
        for of_keys in self._pages(selection):
            with self._ledger.reading() as connection:
                known = self._query(selection, of_keys).with_only_columns(calls.c.key, calls.c.CallSessionId)
                session_ids = dict(connection.execute(known.order_by(calls.c.key)).all())
                # Of these keys, not of the calls: for those, SQLite would first gather the history of all.
                for keys in in_parts(list(session_ids)):
                    rows = connection.execute(query.where(HISTORY.c.key.in_(keys))).mappings()
                    found += ({"CallSessionId": session_ids[row["key"]], **readable(row)} for row in rows)
        return found

    def possibly_arrived(self, campaign_id: str, first_day: date, last_day: date) -> Iterator[tuple[str, str, str]]:
        """Key, ActionTrackerId and EventDate of a campaign's calls that impact.com has, or may have.

        :param first_day: of EventDate as it was sent, at whatever offset
        :param last_day: the same
        """
        states = [state.value for state in (CallState.DELIVERED, *IN_DOUBT, CallState.OPEN)]
        of_days = (
            calls.c.namespace == self._ledger.namespace,
            calls.c.CampaignId == campaign_id,
            calls.c.EventDate >= first_day.isoformat(),
            calls.c.EventDate < (last_day + timedelta(days=1)).isoformat(),
            calls.c.state.in_(states),
        )
        query = sa.select(calls.c.key, calls.c.ActionTrackerId, calls.c.EventDate).where(*of_days)
        with self._ledger.reading() as connection:
            rows = connection.execution_options(stream_results=True).execute(query).yield_per(self._sizes.fetched)
            yield from ((key, tracker_id, event_date) for key, tracker_id, event_date in rows)

    def _pages(self, selection: Selection) -> Iterator[ColumnElement[bool]]:
        """Conditions that hold of some of the calls each, and together of all.

        Few calls are looked up by their keys. Of many, the whole ledger is walked through: in an order that no change
        of a call changes, which is none in which an index could find them.
        """
        with self._ledger.reading() as connection:
            few = self._query(selection).with_only_columns(calls.c.key).limit(self._sizes.keys + 1)
            keys = sorted(connection.execute(few).scalars())
        if len(keys) <= self._sizes.keys:
            yield from map(calls.c.key.in_, in_parts(keys))
            return
        del keys
        last = ""
        while True:
            following = sa.select(calls.c.key).where(calls.c.key > last).order_by(calls.c.key).limit(self._sizes.walked)
            with self._ledger.reading() as connection:
                until = connection.execute(sa.select(sa.func.max(following.subquery().c.key))).scalar()
            if until is None:
                return
            yield sa.and_(calls.c.key > last, calls.c.key <= until)
            last = until

    def conditions(self, selection: Selection) -> list[ColumnElement[bool]]:
        """What holds of the calls of the ledger's namespace that are selected."""
        return [calls.c.namespace == self._ledger.namespace, *selection.conditions()]

    def _query(self, selection: Selection, *more: ColumnElement[bool]) -> Any:
        return sa.select(*SHOWN).select_from(WITH_RUNS).where(*self.conditions(selection), *more)


def _one_after_the_other(selection: Selection) -> list[list[ColumnElement[bool]]]:
    """What holds of the calls of one state at a time.

    An index has the last of each at hand, and the last of several only once all are sorted.
    """
    return [[calls.c.state == state] for state in sorted(selection.stored_states)] or [[]]


def readable(row: Any) -> dict[str, Any]:
    """A row by column, with its times as ISO 8601 in UTC."""
    # As str itself: SQLAlchemy's names of columns are a type of its own, which YAML's writers refuse.
    return {str(name): _utc(value) if name in MOMENTS and value is not None else value for name, value in row.items()}


def _utc(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
