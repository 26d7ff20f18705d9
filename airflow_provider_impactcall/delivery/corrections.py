"""What people do with the ledger after the fact: look, requeue, resolve, adopt, purge; always with who and why."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.sql.elements import ColumnElement

from airflow_provider_impactcall.delivery.claims import Claim
from airflow_provider_impactcall.delivery.clock import SYSTEM_CLOCK
from airflow_provider_impactcall.delivery.entries import (
    ALIVE,
    DIED,
    HISTORY,
    KEYS_A_QUERY,
    OPEN,
    REQUEUED,
    WITH_RUNS,
    Changes,
    Entry,
    lock,
    look_up,
)
from airflow_provider_impactcall.delivery.ledger import Ledger
from airflow_provider_impactcall.delivery.outcome import ENDS, State
from airflow_provider_impactcall.delivery.patience import Patience
from airflow_provider_impactcall.delivery.portions import PORTIONS, Portions
from airflow_provider_impactcall.delivery.schema import (
    LONGEST_ACTOR,
    LONGEST_REASON,
    UNDELIVERED,
    Now,
    calls,
    events,
    runs,
)
from airflow_provider_impactcall.exceptions import InvalidOption

STATES = ("delivered", "rejected", "unknown", "not_sent", "requeued", "open")
"""What the ledger can have a call in; a call that a dead run left open is ``unknown``."""

REQUEUABLE = ("rejected", "unknown")
RESOLVABLE = {True: ("unknown", "requeued", "rejected", "not_sent"), False: ("unknown", "requeued", "delivered")}
"""What may be resolved as delivered, and as not delivered."""

UNSETTLED = ("unknown", "requeued")
"""What may have been processed, and nobody knows."""
PURGEABLE = ("delivered", "rejected", "not_sent")

_LEFT_OPEN = sa.and_(calls.c.state == OPEN, sa.not_(ALIVE))
STATE = sa.case((_LEFT_OPEN, State.UNKNOWN.value), else_=calls.c.state)
"""The state of calls that are joined with their runs; what :data:`STATES` says of an open one."""

_SHOWN = (
    calls.c.CallSessionId,
    calls.c.CampaignId,
    calls.c.ActionTrackerId,
    calls.c.CallProvider,
    calls.c.MediaId,
    calls.c.EventDate,
    STATE.label("state"),
    sa.case((_LEFT_OPEN, DIED), else_=calls.c.reason).label("reason"),
    calls.c.attempts,
    calls.c.run_id,
    calls.c.first_at,
    calls.c.changed_at,
    calls.c.key,
)
MOMENTS = ("first_at", "changed_at", "at", "started_at", "ended_at")
"""The columns that are times."""

_ATTEMPTS = 10
_LONGEST_PAUSES = 6  # of a turn

_T = TypeVar("_T")

CALL_COLUMNS = tuple(column.name for column in _SHOWN)
"""The columns of a call, as they are listed and exported."""


@dataclass(frozen=True)
class Selection:
    """Which calls. Every condition that is given holds.

    :param states: any of :data:`STATES`; empty for all
    :param reason: a part of the reason, in any case
    :param run_id: the run that changed it last
    :param since: changed at this time or later
    :param until: changed before this time
    :param call_session_ids: any of these; empty for all
    :param media_ids: any of these partners; empty for all
    :param campaign_ids: any of these; empty for all
    :param exact_reason: the whole reason
    :raises InvalidOption: for a state that there is not, or a time without an offset from UTC
    """

    states: Collection[str] = ()
    reason: str | None = None
    run_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    call_session_ids: Collection[str] = ()
    media_ids: Collection[str] = ()
    campaign_ids: Collection[str] = ()
    exact_reason: str | None = None

    def __post_init__(self) -> None:
        strange = sorted(set(self.states) - set(STATES))
        if strange:
            raise InvalidOption(f"state must be one of {', '.join(STATES)}, and not {', '.join(map(repr, strange))}")
        if any(moment is not None and moment.tzinfo is None for moment in (self.since, self.until)):
            raise InvalidOption("since and until must have an offset from UTC")

    @property
    def stored_states(self) -> set[str]:
        """The states that the ledger may hold such calls in; none for all."""
        return {*self.states, OPEN} if State.UNKNOWN in self.states else set(self.states)

    def conditions(self, *, settled: bool = False) -> Iterator[ColumnElement[bool]]:
        """What holds of the calls, joined with their runs.

        :param settled: only of calls that are not open, which need no run beside them
        """
        if settled:
            yield calls.c.state != OPEN
        if self.states:
            if not settled:
                yield STATE.in_(tuple(self.states))
            # What it means for the column itself, which indexes are of.
            yield calls.c.state.in_(sorted(self.stored_states))
            if State.DELIVERED not in self.states:
                yield UNDELIVERED
        if self.reason is not None:
            part = sa.func.lower(calls.c.reason).contains(self.reason.lower(), autoescape=True)
            yield _or_left_open(part, not settled and self.reason.lower() in DIED.lower())
        if self.exact_reason is not None:
            yield _or_left_open(calls.c.reason == self.exact_reason, not settled and self.exact_reason == DIED)
        if self.run_id is not None:
            yield calls.c.run_id == self.run_id
            # No run has changed a call before it began; when its last answer came, nothing says as surely.
            began = sa.select(runs.c.started_at).where(runs.c.run_id == self.run_id).scalar_subquery()
            yield calls.c.changed_at >= sa.func.coalesce(began, 0.0)
        if self.since is not None:
            yield calls.c.changed_at >= self.since.timestamp()
        if self.until is not None:
            yield calls.c.changed_at < self.until.timestamp()
        if self.call_session_ids:
            yield calls.c.CallSessionId.in_(tuple(self.call_session_ids))
        if self.media_ids:
            yield calls.c.MediaId.in_(tuple(self.media_ids))
        if self.campaign_ids:
            yield calls.c.CampaignId.in_(tuple(self.campaign_ids))


def _or_left_open(of_reason: ColumnElement[bool], died: bool) -> ColumnElement[bool]:
    return sa.or_(of_reason, _LEFT_OPEN) if died else of_reason


@dataclass(frozen=True)
class Author:
    """Who changes the ledger, and why; both are kept.

    :raises InvalidOption: if either is blank or too long
    """

    actor: str
    why: str

    def __post_init__(self) -> None:
        for name, text, longest in (("actor", self.actor, LONGEST_ACTOR), ("why", self.why, LONGEST_REASON)):
            if not text.strip() or len(text) > longest:
                raise InvalidOption(f"{name} must be given, in at most {longest} characters")


_ARRIVED = {"state": State.DELIVERED.value, "uncertain": False}
_NEVER_ARRIVED = {"state": State.NOT_SENT.value, "uncertain": False}
_REQUEUED_FROM = {"rejected": _NEVER_ARRIVED, "unknown": {"state": REQUEUED, "uncertain": True}}


class Corrections:
    """What people may see and change of the calls of a ledger's namespace.

    Every change is a run of its own in the ledger, with who and why. Calls that a live run has in flight are left
    alone.

    :param portions: how much is done at once
    """

    def __init__(self, ledger: Ledger, portions: Portions = PORTIONS) -> None:
        self._ledger = ledger
        self._portions = portions

    def latest(self, selection: Selection, limit: int) -> list[dict[str, Any]]:
        """The calls that changed last, by column; times are ISO 8601 in UTC."""
        found: list[Any] = []
        with self._ledger.reading() as connection:
            for of_state in _one_after_the_other(selection):
                query = self._query(selection, *of_state).order_by(calls.c.changed_at.desc(), calls.c.key).limit(limit)
                found += connection.execute(query).mappings()
        found.sort(key=lambda row: (-row["changed_at"], row["key"]))
        return [_readable(row) for row in found[:limit]]

    def each(self, selection: Selection) -> Iterator[dict[str, Any]]:
        """All the calls, each once, in no order that means anything, in short transactions and little memory."""
        for of_keys in self._pages(selection):
            with self._ledger.reading() as connection:
                page = [_readable(row) for row in connection.execute(self._query(selection, of_keys)).mappings()]
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
                    page = connection.execute(query.limit(self._portions.fetched)).mappings().all()
                if not page:
                    break
                last_at, last = page[-1]["changed_at"], page[-1]["key"]
                yield from map(_readable, page)

    def _pages(self, selection: Selection) -> Iterator[ColumnElement[bool]]:
        """Conditions that hold of some of the calls each, and together of all.

        Few calls are looked up by their keys. Of many, the whole ledger is walked through: in an order that no change
        of a call changes, which is none in which an index could find them.
        """
        with self._ledger.reading() as connection:
            some = self._query(selection).with_only_columns(calls.c.key).limit(self._portions.keys + 1)
            keys = sorted(connection.execute(some).scalars())
        if len(keys) <= self._portions.keys:
            yield from map(calls.c.key.in_, _some(keys))
            return
        del keys
        last = ""
        while True:
            following = (
                sa.select(calls.c.key).where(calls.c.key > last).order_by(calls.c.key).limit(self._portions.walked)
            )
            with self._ledger.reading() as connection:
                until = connection.execute(sa.select(sa.func.max(following.subquery().c.key))).scalar()
            if until is None:
                return
            yield sa.and_(calls.c.key > last, calls.c.key <= until)
            last = until

    def count(self, selection: Selection) -> Counter[str]:
        """How many calls, by state."""
        ours = calls.c.namespace == self._ledger.namespace
        # An index tells of nearly all; beside their runs, only those that are open have to be looked at.
        settled = sa.select(calls.c.state, sa.func.count()).where(ours, *selection.conditions(settled=True))
        rest = sa.select(STATE, sa.func.count()).select_from(WITH_RUNS).where(*self._conditions(selection))
        rest = rest.where(calls.c.state == OPEN, UNDELIVERED)
        counts: Counter[str] = Counter()
        with self._ledger.reading() as connection:
            for query in (settled.group_by(calls.c.state), rest.group_by(STATE)):
                for state, number in connection.execute(query):
                    counts[str(state)] += number
        return counts

    def history(self, selection: Selection) -> list[dict[str, Any]]:
        """All that happened to the calls, in its order: each intent, outcome and change, with who and why."""
        told = [HISTORY.c[name] for name in ("at", "state", "status", "reason", "actor")]
        query = sa.select(*told, HISTORY.c.fence.label("attempt"), HISTORY.c.run_id, HISTORY.c.key)
        query = query.order_by(HISTORY.c.key, HISTORY.c.event_id)
        found: list[dict[str, Any]] = []
        for of_keys in self._pages(selection):
            with self._ledger.reading() as connection:
                known = self._query(selection, of_keys).with_only_columns(calls.c.key, calls.c.CallSessionId)
                session_ids = dict(connection.execute(known.order_by(calls.c.key)).all())
                # Of these keys, not of the calls: for those, SQLite would first gather the history of all.
                for keys in _some(list(session_ids)):
                    rows = connection.execute(query.where(HISTORY.c.key.in_(keys))).mappings()
                    found += ({"CallSessionId": session_ids[row["key"]], **_readable(row)} for row in rows)
        return found

    def runs(self, limit: int) -> list[dict[str, Any]]:
        """The runs that began last, of every namespace."""
        shown = [column for column in runs.c if column.name not in ("config", "lease_until")]
        query = sa.select(*shown).order_by(runs.c.started_at.desc()).limit(limit)
        with self._ledger.reading() as connection:
            rows = [_readable(row) for row in connection.execute(query).mappings()]
        return [{**row, "kind": row["kind"] or "deliver"} for row in rows]

    def possibly_arrived(self, campaign_id: str, first_day: date, last_day: date) -> Iterator[tuple[str, str, str]]:
        """Key, ActionTrackerId and EventDate of a campaign's calls that impact.com has, or may have.

        :param first_day: of EventDate as it was sent, at whatever offset
        :param last_day: the same
        """
        states = ("delivered", *UNSETTLED, OPEN)
        of_days = (
            calls.c.namespace == self._ledger.namespace,
            calls.c.CampaignId == campaign_id,
            calls.c.EventDate >= first_day.isoformat(),
            calls.c.EventDate < (last_day + timedelta(days=1)).isoformat(),
            calls.c.state.in_(states),
        )
        query = sa.select(calls.c.key, calls.c.ActionTrackerId, calls.c.EventDate).where(*of_days)
        with self._ledger.reading() as connection:
            rows = connection.execution_options(stream_results=True).execute(query).yield_per(self._portions.fetched)
            yield from ((key, tracker_id, event_date) for key, tracker_id, event_date in rows)

    def requeue(self, selection: Selection, author: Author) -> int:
        """Have the next run that reads these calls send them: rejected ones anew, and unknown ones although they may
        have been processed and may arrive twice.

        :return: how many
        :raises InvalidOption: if the selection names a state that cannot be requeued
        """
        keys = self._keys(selection, REQUEUABLE, REQUEUABLE, "be requeued")
        return self._amend("requeue", keys, author, _REQUEUED_FROM)

    def resolve(self, selection: Selection, author: Author, *, delivered: bool) -> int:
        """Record what someone learnt from impact.com of calls of unknown fate.

        :param delivered: impact.com has them. If not, the next run that reads them sends them. A delivery that a person
            recorded can be taken back by selecting the state ``delivered``; one that an answer proved cannot
        :return: how many
        :raises InvalidOption: if the selection names a state that cannot be resolved so
        """
        allowed = RESOLVABLE[delivered]
        keys = self._keys(selection, UNSETTLED, allowed, f"be resolved as {'' if delivered else 'not '}delivered")
        end = _ARRIVED if delivered else _NEVER_ARRIVED
        return self._amend("resolve", keys, author, dict.fromkeys(allowed, end))

    def prove(self, keys: Iterable[str], author: Author) -> int:
        """Record that calls of unknown fate were found at impact.com.

        :return: how many; what is not of unknown fate any more is left alone
        """
        return self._amend("reconcile", iter(keys), author, dict.fromkeys(UNSETTLED, _ARRIVED))

    def adopt(self, claims: Iterable[Claim], author: Author) -> Counter[str]:
        """Record calls as delivered that were sent by other means than this ledger.

        :return: how many were adopted, by what they were: ``new``, or a state; ``delivered`` and ``open`` ones were
            left alone
        """
        found: Counter[str] = Counter()
        ends: Counter[str] = Counter()
        remaining = iter(claims)
        with self._run("adopt", author, ends) as run_id:
            while page := {claim.key: claim for claim in islice(remaining, KEYS_A_QUERY)}:
                found.update(self._repeatedly(partial(self._adopt_page, run_id, page, author)))
                ends[State.DELIVERED] = found.total() - found[State.DELIVERED] - found[OPEN]
        return found

    def purge(self, before: datetime, author: Author) -> Counter[str]:
        """Forget calls that were settled before a time, with their history, and the runs that are left without any.

        A delivered call that is forgotten and read again is sent again. Calls of unknown fate are never forgotten.

        It is done in short transactions, between which live runs have their turn. What was forgotten before it is
        stopped stays so, and is told as a note to what stopped it; beginning anew goes on from there.

        :param before: with an offset from UTC
        :return: how many calls, by state, and ``runs``
        """
        purged: Counter[str] = Counter()
        with self._run("purge", author, purged) as run_id:
            try:
                for page in self._aged(before):
                    purged.update(self._repeatedly(partial(self._purge_page, page, before)))
                    SYSTEM_CLOCK.sleep(self._ledger.timings.turn)
                purged["runs"] = 0
                for page in self._idle_runs(before, run_id):
                    purged["runs"] += self._repeatedly(partial(self._purge_runs, page))
            except BaseException as error:
                error.add_note(f"forgotten so far: {purged.total() - purged['runs']} calls, {purged['runs']} runs")
                raise
        return purged

    def _conditions(self, selection: Selection) -> list[ColumnElement[bool]]:
        return [calls.c.namespace == self._ledger.namespace, *selection.conditions()]

    def _query(self, selection: Selection, *more: ColumnElement[bool]) -> Any:
        return sa.select(*_SHOWN).select_from(WITH_RUNS).where(*self._conditions(selection), *more)

    def _keys(self, selection: Selection, usual: Sequence[str], allowed: Sequence[str], what: str) -> Iterator[str]:
        """The keys of a selection, which means the usual states if it names none."""
        strange = sorted(set(selection.states) - set(allowed))
        if strange:
            raise InvalidOption(f"{' and '.join(strange)} calls cannot {what}: only {', '.join(allowed)} ones can")
        return (row["key"] for row in self.each(replace(selection, states=selection.states or usual)))

    def _amend(self, kind: str, keys: Iterator[str], author: Author, becomes: Mapping[str, Mapping[str, Any]]) -> int:
        """Give calls other values, by the state that they are in; those of any other state are left alone."""
        ends: Counter[str] = Counter()
        with self._run(kind, author, ends) as run_id:
            while page := sorted(islice(keys, KEYS_A_QUERY)):
                ends.update(self._repeatedly(partial(self._amend_page, kind, run_id, page, author, becomes)))
        return ends.total()

    def _amend_page(
        self,
        kind: str,
        run_id: str,
        page: Sequence[str],
        author: Author,
        becomes: Mapping[str, Mapping[str, Any]],
        connection: Connection,
    ) -> Counter[str]:
        ends: Counter[str] = Counter()
        entries = look_up(connection, lock(connection, page))
        changes = self._changes(connection, run_id, author)
        proven = _proven_by_answers(connection, page, entries)
        for key, entry in entries.items():
            end = becomes.get(State.UNKNOWN if entry.died else entry.state)
            if end is not None and key not in proven:
                _change(changes, key, entry, author, kind, **end)
                ends[end["state"]] += 1
        changes.write(connection)
        return ends

    def _adopt_page(
        self, run_id: str, page: Mapping[str, Claim], author: Author, connection: Connection
    ) -> Counter[str]:
        found: Counter[str] = Counter()
        entries = look_up(connection, lock(connection, page))
        changes = self._changes(connection, run_id, author)
        for key, claim in page.items():
            entry = entries.get(key)
            if entry is None:
                changes.note(key, 0, State.DELIVERED, author.why)
                changes.adopt(claim, _reason("adopt", author))
            elif entry.died or entry.state not in (OPEN, State.DELIVERED):
                _change(changes, key, entry, author, "adopt", **_ARRIVED, fingerprint=claim.fingerprint)
            found["new" if entry is None else State.UNKNOWN if entry.died else entry.state] += 1
        changes.write(connection)
        return found

    def _aged(self, before: datetime) -> Iterator[list[str]]:
        """The keys of calls that may be purged, the oldest first, some at a time."""
        last_at, last = 0.0, ""
        while True:
            after = (calls.c.changed_at >= last_at, sa.or_(calls.c.changed_at > last_at, calls.c.key > last))
            query = (
                sa.select(calls.c.key, calls.c.changed_at)
                .where(*self._conditions(Selection(until=before)), *after, calls.c.state.in_(PURGEABLE))
                .order_by(calls.c.changed_at, calls.c.key)
                .limit(self._portions.purged)
            )
            with self._ledger.reading() as connection:
                page = connection.execute(query).all()
            if not page:
                return
            yield [key for key, _ in page]
            last, last_at = page[-1]

    def _purge_page(self, keys: Sequence[str], before: datetime, connection: Connection) -> Counter[str]:
        aged = sa.and_(
            calls.c.key.in_(keys),
            calls.c.state.in_(PURGEABLE),
            calls.c.changed_at < before.timestamp(),
            # A live run may have more to say of its calls.
            calls.c.run_id.notin_(sa.select(runs.c.run_id).where(runs.c.lease_until > Now())),
        )
        locking = sa.select(calls.c.key, calls.c.state).where(aged).order_by(calls.c.key).with_for_update()
        states = dict(connection.execute(locking).all())
        connection.execute(sa.delete(events).where(events.c.key.in_(list(states))))
        connection.execute(sa.delete(calls).where(calls.c.key.in_(list(states))))
        return Counter(states.values())

    def _idle_runs(self, before: datetime, this: str) -> Iterator[list[str]]:
        """The runs that no call and no event is of, some at a time. Reads all of both: nobody waits for that."""
        idle = sa.select(runs.c.run_id).where(
            runs.c.namespace == self._ledger.namespace,
            runs.c.started_at < before.timestamp(),
            runs.c.lease_until <= Now(),
            runs.c.run_id != this,
        )
        with self._ledger.reading() as connection:
            ids = set(connection.execute(idle).scalars())
            for column in (calls.c.run_id, events.c.run_id):
                if ids:
                    ids.difference_update(connection.execute(sa.select(column).distinct()).scalars())
        yield from _some(sorted(ids))

    def _purge_runs(self, run_ids: Sequence[str], connection: Connection) -> int:
        idle = sa.and_(runs.c.run_id.in_(run_ids), runs.c.lease_until <= Now())
        return int(connection.execute(sa.delete(runs).where(idle)).rowcount)

    def _repeatedly(self, act: Callable[[Connection], _T]) -> _T:
        """Do it in a transaction; again, if that collided with those of live runs."""

        def once() -> _T:
            with self._ledger.writing() as connection:
                return act(connection)

        turn = self._ledger.timings.turn
        patience = Patience(turn, _LONGEST_PAUSES * turn, monotonic=SYSTEM_CLOCK.monotonic, attempts=_ATTEMPTS)
        return patience.repeat(once, (IntegrityError, OperationalError), SYSTEM_CLOCK.sleep)

    def _changes(self, connection: Connection, run_id: str, author: Author) -> Changes:
        moment = connection.execute(sa.select(Now())).scalar_one()
        return Changes(run_id, self._ledger.namespace, moment, author.actor)

    @contextmanager
    def _run(self, kind: str, author: Author, ends: Mapping[str, int]) -> Iterator[str]:
        """A run that is no delivery.

        :param ends: how many calls ended in which state, once the context ends
        """
        run_id = uuid.uuid4().hex
        with self._ledger.writing() as connection:
            connection.execute(
                sa.insert(runs).values(
                    run_id=run_id,
                    namespace=self._ledger.namespace,
                    source=kind,
                    config="",
                    lease_until=0.0,
                    started_at=Now(),
                    kind=kind,
                    actor=author.actor,
                    why=author.why,
                )
            )
        try:
            yield run_id
        finally:
            counts = {f"{end}_rows": ends.get(end, 0) for end in ENDS}
            counts["unknown_rows"] += ends.get(REQUEUED, 0)
            with self._ledger.writing() as connection:
                connection.execute(sa.update(runs).where(runs.c.run_id == run_id).values(ended_at=Now(), **counts))


def _change(changes: Changes, key: str, entry: Entry, author: Author, kind: str, **values: Any) -> None:
    changes.note(key, entry.fence, values["state"], author.why)
    changes.change(key, entry, reason=_reason(kind, author), deaths=0, run_id=changes.run_id, **values)


def _reason(kind: str, author: Author) -> str:
    return f"{kind} by {author.actor}: {author.why}"


def _proven_by_answers(connection: Connection, keys: Sequence[str], entries: Mapping[str, Entry]) -> set[str]:
    """Those of the calls that impact.com itself answered OK to."""
    answered = (events.c.key.in_(keys), events.c.state == State.DELIVERED.value, events.c.actor.is_(None))
    told = connection.execute(sa.select(events.c.key).where(*answered)).scalars()
    return {*told, *(key for key, entry in entries.items() if entry.first_answer)}


def _one_after_the_other(selection: Selection) -> list[list[ColumnElement[bool]]]:
    """What holds of the calls of one state at a time.

    An index has the last of each at hand, and the last of several only once all are sorted.
    """
    return [[calls.c.state == state] for state in sorted(selection.stored_states)] or [[]]


def _some(keys: list[str]) -> Iterator[list[str]]:
    """As many at a time as a query may name."""
    return (keys[start : start + KEYS_A_QUERY] for start in range(0, len(keys), KEYS_A_QUERY))


def _readable(row: Any) -> dict[str, Any]:
    # As str itself: SQLAlchemy's names of columns are a type of its own, which YAML's writers refuse.
    return {str(name): _utc(value) if name in MOMENTS and value is not None else value for name, value in row.items()}


def _utc(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
