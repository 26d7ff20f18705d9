"""The page's queries about a ledger: each uses the ledger's indexes, and none reads the whole ledger."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement

from airflow_provider_impactcall.delivery.ledger.entries import ALIVE, WITH_RUNS
from airflow_provider_impactcall.delivery.ledger.listing import Listing
from airflow_provider_impactcall.delivery.ledger.periods import (
    DAY,
    HOUR,
    Period,
    moment_of,
    start_of,
    steps_of,
    zulu,
)
from airflow_provider_impactcall.delivery.ledger.queries import CallQueries
from airflow_provider_impactcall.delivery.ledger.row_overview import RowOverview
from airflow_provider_impactcall.delivery.ledger.rules import DIED
from airflow_provider_impactcall.delivery.ledger.schema import UNDELIVERED, calls, runs
from airflow_provider_impactcall.delivery.ledger.selection import INVALID, MOMENTS, STATE, STATES, Selection
from airflow_provider_impactcall.delivery.ledger.states import PENDING
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import CallState, ReasonCode

BREAKDOWN = ("delivered", "rejected", "unknown", "not_sent")
"""The states that counts are broken down by; ``unknown`` includes the calls that a person requeued."""

_SETTLED_UNDELIVERED = ("rejected", "unknown", "not_sent", "requeued")

# A delivery has no kind. The other runs that count delivered calls only looked them up or forgot them: follow, purge.
_DELIVERS = sa.or_(runs.c.kind.is_(None), runs.c.kind.in_(("adopt", "resolve", "reconcile")))

_MOST_GROUPS = 200

_MOST_REASONS = 100
_MOST_SENTENCES = 1_000
_SENTENCES = 3


class _Since1970(FunctionElement):  # type: ignore[type-arg] # SQLAlchemy 1.4, Airflow 2.11's, has no type for it
    """Which hour or day since 1970 a time is in: ``_Since1970(column, seconds)``."""

    type = sa.Integer()
    inherit_cache = True


@compiles(_Since1970)
def _floor(element: Any, compiler: Any, **options: Any) -> str:
    moment, seconds = (compiler.process(clause, **options) for clause in element.clauses)
    return f"floor({moment} / {seconds})"


@compiles(_Since1970, "sqlite")
def _sqlite_floor(element: Any, compiler: Any, **options: Any) -> str:
    # Not every SQLite has floor().
    moment, seconds = (compiler.process(clause, **options) for clause in element.clauses)
    return f"CAST({moment} / {seconds} AS INTEGER)"


@dataclass
class _Group:
    """The calls of one reason code and status."""

    calls: int = 0
    last_at: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, calls: int, last_at: float) -> None:
        self.calls += calls
        self.last_at = max(self.last_at, last_at)

    def as_dict(self) -> dict[str, Any]:
        sentences = [{"reason": reason, "calls": number} for reason, number in self.reasons.most_common(_SENTENCES)]
        return {
            "calls": self.calls,
            "last_at": zulu(moment_of(self.last_at)),
            "reason": sentences[0]["reason"] if sentences else "",
            "reasons": sentences,
        }


class Overview:
    """What people see of the calls of a ledger's namespace. Times are ISO 8601 in UTC, with a ``Z``.

    Calls are counted by the state that they are in now, and by the time at which they came into it.

    :param ledger: prepared by the runs that deliver; nothing is written here
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._queries = CallQueries(ledger)
        self._listing = Listing(ledger)
        self._rows = RowOverview(ledger)
        self._ours = calls.c.namespace == ledger.namespace

    def states(self, period: Period) -> dict[str, int]:
        """How many calls came into each of the states.

        If the period is too long to count calls one by one, the delivered calls are those that its runs counted.
        """
        with self._ledger.reading() as connection:
            counts: Counter[str] = Counter()
            if period.countable:
                counts["delivered"] = self._count(connection, period)
            else:
                counts["delivered"] = sum(self._delivered_by_runs(connection, period, DAY).values())
            for (_, state), number in self._undelivered(connection, sa.literal(0), period).items():
                counts[state] += number
                if period.countable:
                    counts["delivered"] -= number
        return {state: max(counts[state], 0) for state in STATES}

    def oldest_undelivered(self) -> dict[str, Any] | None:
        """The call that has waited longest: not sent, of unknown fate, or in flight. Rejected calls do not wait.

        :return: ``CallSessionId``, ``state``, ``reason``, ``EventDate`` and ``changed_at``; None if no call waits
        """
        shown = (calls.c.CallSessionId, STATE.label("state"), calls.c.reason, calls.c.EventDate, calls.c.changed_at)
        found: list[Any] = []
        with self._ledger.reading() as connection:
            for state in PENDING:  # One query per state: an index yields the oldest at once.
                query = (
                    sa.select(*shown)
                    .select_from(WITH_RUNS)
                    .where(self._ours, calls.c.state == state.value, UNDELIVERED)
                )
                found += connection.execute(query.order_by(calls.c.changed_at).limit(1)).mappings()
        return _shown(min(found, key=lambda row: row["changed_at"])) if found else None

    def open_unknowns(self) -> int:
        """How many calls, of any time, are of unknown fate."""
        return self._of_any_time(CallState.UNKNOWN)

    def refused(self) -> int:
        """How many calls, of any time, impact.com has rejected."""
        return self._of_any_time(CallState.REJECTED)

    def over_time(self, period: Period) -> dict[str, Any]:
        """By hour, day or month (UTC), zeros too: how many calls came into each of :data:`BREAKDOWN`, and how many
        ``invalid`` rows were read last.

        If the period is too long to count calls one by one, the delivered calls are those that its runs counted, at the
        time that each run began.

        :return: ``step`` and ``steps``; each of the steps has ``at``, when it begins, and the counts
        """
        step, starts = steps_of(period)
        seconds = HOUR if step == "hour" else DAY
        parts = [
            Period(max(start, period.since), min(end, period.until)) for start, end in pairwise([*starts, period.until])
        ]
        invalid = self._rows.invalid_by(parts)
        counts = {start: Counter({INVALID: number}) for start, number in zip(starts, invalid, strict=True)}
        with self._ledger.reading() as connection:
            if period.countable:
                # One query per step: to group calls by hour or day takes SQLite three times as long.
                for start, part in zip(starts, parts, strict=True):
                    counts[start]["delivered"] = self._count(connection, part)
            else:
                for number, delivered in self._delivered_by_runs(connection, period, seconds).items():
                    counts[start_of(step, moment_of(number * seconds))]["delivered"] += delivered
            which = _Since1970(calls.c.changed_at, sa.literal_column(str(seconds)))
            for (number, state), count in self._undelivered(connection, which, period).items():
                at = counts[start_of(step, moment_of(int(number) * seconds))]
                if period.countable:
                    at["delivered"] -= count
                at[_broken_down_as(state)] += count
        names = (*BREAKDOWN, INVALID)
        steps = [{"at": zulu(at), **{name: max(of[name], 0) for name in names}} for at, of in counts.items()]
        return {"step": step, "steps": steps}

    def partners(self, period: Period) -> list[dict[str, Any]]:
        """By partner (``MediaId``): how many calls came into each of :data:`BREAKDOWN`; all ``calls``, including those
        in flight; and how many rows are ``invalid``. The 200 partners that have the most, the most first.

        :raises InvalidOption: if the period is longer than :data:`.LONGEST_COUNT`
        """
        return self._by(calls.c.MediaId, period, self._rows.invalid_by_partner)

    def campaigns(self, period: Period) -> list[dict[str, Any]]:
        """The same by ``CampaignId``, without rows: the campaign of an invalid row is not known."""
        return self._by(calls.c.CampaignId, period)

    def reasons(self, state: str, period: Period) -> list[dict[str, Any]]:
        """Why calls came into a state: the 100 most frequent pairs of code and status, the most frequent first.

        :param state: ``rejected`` or ``unknown``
        :return: ``reason_code``; ``status``; ``calls``; ``last_at``, when the last call came into the state;
            ``reasons``, the three most frequent sentences, each as ``reason`` and ``calls``; and ``reason``, the first
            of them
        """
        shown = (sa.func.count().label("calls"), sa.func.max(calls.c.changed_at).label("last_at"))
        of_period = (self._ours, *period.has(calls.c.changed_at), UNDELIVERED)
        why = (calls.c.reason_code, calls.c.status)
        of_state = sa.select(*why, *shown).where(*of_period, calls.c.state == state).group_by(*why)
        sentences = sa.select(*why, calls.c.reason, shown[0]).where(*of_period, calls.c.state == state)
        sentences = sentences.group_by(*why, calls.c.reason).order_by(sa.desc("calls")).limit(_MOST_SENTENCES)
        died = sa.select(sa.literal(ReasonCode.RUN_DIED.value), sa.null(), *shown).select_from(WITH_RUNS)
        died = died.where(*of_period, calls.c.state == CallState.OPEN.value, sa.not_(ALIVE))
        groups: dict[tuple[str, int | None], _Group] = defaultdict(_Group)
        with self._ledger.reading() as connection:
            for each in (of_state, died) if state == CallState.UNKNOWN else (of_state,):
                for code, status, number, last_at in connection.execute(each):
                    if number:  # A count of no calls is a row, too.
                        groups[code or ReasonCode.NOT_KEPT.value, status].add(number, last_at)
            for code, status, reason, number in connection.execute(sentences):
                groups[code or ReasonCode.NOT_KEPT.value, status].reasons[reason] += number
        if (died_group := groups.get((ReasonCode.RUN_DIED.value, None))) is not None:
            died_group.reasons[DIED] = died_group.calls
        most = sorted(groups.items(), key=lambda each: (-each[1].calls, each[0][0], each[0][1] or 0))
        return [{"reason_code": code, "status": status, **group.as_dict()} for (code, status), group in most][
            :_MOST_REASONS
        ]

    def calls(self, selection: Selection, limit: int) -> tuple[list[dict[str, Any]], bool]:
        """The calls and dead letters that changed last, as :class:`.Listing` has them, and whether there are more.

        :param limit: at most so many
        """
        found = self._listing.latest(selection, limit + 1)
        return [_shown(row) for row in found[:limit]], len(found) > limit

    def each_call(self, selection: Selection) -> Iterator[dict[str, Any]]:
        """All of them, as :meth:`.Listing.newest` gives them."""
        return map(_shown, self._listing.newest(selection))

    def history(self, call_session_id: str) -> list[dict[str, Any]]:
        """The history of the calls of an id, in order."""
        return [_shown(row) for row in self._queries.history(Selection(call_session_ids=[call_session_id]))]

    def _count(self, connection: Connection, period: Period) -> int:
        query = sa.select(sa.func.count()).select_from(calls).where(self._ours, *period.has(calls.c.changed_at))
        return int(connection.execute(query).scalar_one())

    def _of_any_time(self, state: CallState) -> int:
        with self._ledger.reading() as connection:
            counted = self._undelivered(connection, sa.literal(0), None, [state.value]).items()
            return sum(number for (_, found), number in counted if found == state)

    def _undelivered(
        self,
        connection: Connection,
        by: ColumnElement[Any],
        period: Period | None,
        states: Sequence[str] = _SETTLED_UNDELIVERED,
    ) -> Counter[tuple[Any, str]]:
        """How many calls are not delivered, by an expression and the state that they are in; open calls too.

        :param period: None for the whole ledger
        :param states: which to count, beside open calls
        """
        of_period = (self._ours, UNDELIVERED, *(() if period is None else period.has(calls.c.changed_at)))
        value = by.label("value")
        settled = sa.select(value, calls.c.state, sa.func.count()).where(*of_period, calls.c.state.in_(states))
        # Only open calls have to be joined with their runs.
        in_flight = sa.select(value, STATE.label("now"), sa.func.count()).select_from(WITH_RUNS)
        in_flight = in_flight.where(*of_period, calls.c.state == CallState.OPEN.value)
        counts: Counter[tuple[Any, str]] = Counter()
        for query in (settled.group_by("value", calls.c.state), in_flight.group_by("value", "now")):
            for found, state, number in connection.execute(query):
                counts[found, str(state)] += number
        return counts

    def _delivered_by_runs(self, connection: Connection, period: Period, seconds: int) -> dict[int, int]:
        """How many calls the runs delivered, or recorded as delivered, by the hour or day since 1970 in which they
        began.
        """
        which = _Since1970(runs.c.started_at, sa.literal_column(str(seconds))).label("value")
        of_period = (runs.c.namespace == self._ledger.namespace, *period.has(runs.c.started_at))
        delivering = (_DELIVERS, runs.c.delivered_rows > 0)
        query = sa.select(which, sa.func.sum(runs.c.delivered_rows)).where(*of_period, *delivering)
        return {int(number): int(total) for number, total in connection.execute(query.group_by("value"))}

    def _by(
        self,
        column: sa.Column[Any],
        period: Period,
        invalid: Callable[[Period], Mapping[str, int]] | None = None,
    ) -> list[dict[str, Any]]:
        of_period = (self._ours, *period.counted_one_by_one().has(calls.c.changed_at))
        settled = sa.select(column, calls.c.state, sa.func.count()).where(
            *of_period, calls.c.state != CallState.OPEN.value
        )
        in_flight = sa.select(column, STATE.label("now"), sa.func.count()).select_from(WITH_RUNS)
        in_flight = in_flight.where(*of_period, UNDELIVERED, calls.c.state == CallState.OPEN.value)
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        with self._ledger.reading() as connection:
            for query in (settled.group_by(column, calls.c.state), in_flight.group_by(column, "now")):
                for value, state, number in connection.execute(query):
                    counts[value]["calls"] += number
                    counts[value][_broken_down_as(state)] += number
        names: tuple[str, ...] = ("calls", *BREAKDOWN)
        if invalid is not None:
            names = (*names, INVALID)
            for value, number in invalid(period).items():
                counts[value][INVALID] = number
        most = sorted(counts.items(), key=lambda each: (-each[1]["calls"] - each[1][INVALID], each[0]))[:_MOST_GROUPS]
        return [{str(column.name): value, **{name: of[name] for name in names}} for value, of in most]


def _broken_down_as(state: str) -> str:
    return CallState.UNKNOWN.value if state == "requeued" else state


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    shown = dict(row)
    for name in MOMENTS:
        value = shown.get(name)
        if isinstance(value, float):
            shown[name] = zulu(moment_of(value))
        elif isinstance(value, str):
            shown[name] = value.replace("+00:00", "Z")
    return shown
