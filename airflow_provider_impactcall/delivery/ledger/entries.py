"""The ledger's rows of calls: looked up and changed, many calls in one statement."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from airflow_provider_impactcall.delivery.identity import Claim
from airflow_provider_impactcall.delivery.ledger.batch_sizes import in_parts
from airflow_provider_impactcall.delivery.ledger.schema import LONGEST_REASON, Now, calls, events, runs
from airflow_provider_impactcall.delivery.ledger.statements import Delivered, NewCalls, Row, statements_of
from airflow_provider_impactcall.delivery.ledger.states import IN_DOUBT
from airflow_provider_impactcall.delivery.outcome import Attempt, CallState, ReasonCode

ALIVE = sa.func.coalesce(runs.c.lease_until, 0.0) > Now()
"""Whether the run of a call holds its lease; for calls joined with their runs (:data:`WITH_RUNS`)."""

WITH_RUNS = calls.outerjoin(runs, runs.c.run_id == calls.c.run_id)

_SHOWN = ("CallSessionId", "CampaignId", "ActionTrackerId", "CallProvider", "MediaId", "EventDate")
# Every call has these parameters.
_shown = itemgetter(*_SHOWN)
_WITHOUT_EVENTS = calls.c.first_answer.is_not(None)
_FIRST_INTENT = sa.select(
    calls.c.key,
    sa.literal(-2).label("event_id"),
    calls.c.first_at.label("at"),
    calls.c.fence,
    calls.c.run_id,
    sa.literal(CallState.OPEN.value).label("state"),
    sa.null().label("reason_code"),
    sa.null().label("status"),
    sa.literal("").label("reason"),
    sa.null().label("actor"),
).where(_WITHOUT_EVENTS)
_FIRST_ANSWER = sa.select(
    calls.c.key,
    sa.literal(-1),
    calls.c.changed_at,
    calls.c.fence,
    calls.c.run_id,
    calls.c.state,
    calls.c.reason_code,
    calls.c.first_answer,
    calls.c.reason,
    sa.null(),
).where(_WITHOUT_EVENTS, calls.c.state != CallState.OPEN.value)
_EVENTS = sa.select(*(events.c[column.name] for column in _FIRST_INTENT.selected_columns))

HISTORY = sa.union_all(_FIRST_INTENT, _FIRST_ANSWER, _EVENTS).subquery("history")
"""The history of calls, in the columns of ``events``: what the calls' own rows imply, and the events. ``event_id``
orders the history of a call."""


class Entry(NamedTuple):
    """The ledger's row of a call. ``alive``: whether the run that sends it holds its lease; only of an open call."""

    state: CallState
    uncertain: bool
    reason_code: str | None
    status: int | None
    reason: str
    attempts: int
    deaths: int
    fence: int
    run_id: str
    fingerprint: int
    first_answer: int | None
    changed_at: float
    first_at: float
    alive: bool

    @property
    def died(self) -> bool:
        """Whether the run that sent the call ended before it recorded the outcome."""
        return self.state is CallState.OPEN and not self.alive

    @property
    def in_doubt(self) -> bool:
        """Whether the call may have been processed, and nobody knows."""
        return self.died or self.state in IN_DOUBT

    @property
    def code(self) -> ReasonCode:
        """Why the call is in its state; a code of a newer version counts as not kept."""
        return _CODES.get(self.reason_code or "", ReasonCode.NOT_KEPT)


# Read once, as each call needs it: the value of an enum's member is a property, and slow.
_OPEN = CallState.OPEN.value
# A dict finds an enum's member in a tenth of the time that the enum takes.
_STATES = {state.value: state for state in CallState}
_CODES = {code.value: code for code in ReasonCode}

# The row of a call that was never seen: first its own values, then the values that it shares with others.
_CALL = tuple(
    calls.c[name]
    for name in (
        *("key", *_SHOWN, "fingerprint"),
        *("namespace", "state", "reason_code", "status", "reason", "uncertain", "attempts", "deaths", "fence"),
        *("run_id", "first_answer", "first_at", "changed_at"),
    )
)
_EVENT = tuple(column for column in events.c if column.name != "event_id")
_ENTRY = (calls.c.key, *(calls.c[name] for name in Entry._fields if name != "alive"))
# All but first_at, which never changes.
_CHANGING = _ENTRY[:-1]
# A call that is sent with other content, also has other values of its own.
_CHANGING_WITH_CONTENT = (*_CHANGING, *(calls.c[name] for name in _SHOWN))

_KEPT = sa.select(*_ENTRY)
_LEASE = sa.select(runs.c.lease_until).where(runs.c.run_id == calls.c.run_id).scalar_subquery()
# Only an open call needs it, and looking up the run of each call would cost as much as the call.
_WITH_LIFE = _KEPT.add_columns(
    sa.case((calls.c.state == _OPEN, sa.func.coalesce(_LEASE, 0.0) > Now()), else_=sa.false()).label("alive")
)
_HOLDERS = sa.select(runs.c.run_id).where(
    runs.c.run_id.in_(sa.bindparam("runs", expanding=True)), runs.c.lease_until > Now()
)


def look_up(connection: Connection, keys: Sequence[str]) -> dict[str, Entry]:
    """The entries of these calls, by key; a call that was never seen has none. Nothing is locked."""
    statements = statements_of(connection)
    found: dict[str, Entry] = {}
    for part in in_parts(keys):
        for key, state, uncertain, *values, alive in statements.select(connection, _WITH_LIFE, part):
            found[key] = Entry._make((_STATES[state], uncertain == 1, *values, alive == 1))
    return found


def locked(connection: Connection, keys: Collection[str], run_id: str) -> dict[str, Entry]:
    """The entries of these calls, which nobody else changes until the transaction ends.

    A call that another run inserts meanwhile is not among them: our own insert then fails, and is repeated.

    :param run_id: of the run that asks, and is alive
    """
    statements = statements_of(connection)
    ordered = sorted(keys)
    if not statements.locks:
        return look_up(connection, ordered)
    found = {
        key: Entry._make((_STATES[state], uncertain == 1, *values, True))
        for key, state, uncertain, *values in statements.select(connection, _KEPT, ordered, locking=True)
    }
    # Not in the same statement: a statement that waited for a lock sees the call's new row, but its run's old row.
    opened = {entry.run_id for entry in found.values() if entry.state is CallState.OPEN} - {run_id}
    if opened:
        holders = set(connection.execute(_HOLDERS, {"runs": sorted(opened)}).scalars())
        dead = opened - holders
        found = {key: entry._replace(alive=entry.run_id not in dead) for key, entry in found.items()}
    return found


class Changes:
    """The changes of one transaction to calls, collected so that each statement is sent once for all calls.

    The call's row implies its first intent, and a delivery at the first attempt. Nearly all calls need only the row:
    an event costs as much as the row. When anything else happens to a call, its events are written.

    :param run_id: of the run that makes the changes
    :param moment: the time of the changes, by the database's clock
    :param actor: the person who makes them, if one does
    """

    def __init__(self, run_id: str, namespace: str, moment: float, actor: str | None = None) -> None:
        self.run_id = run_id
        self._namespace = namespace
        self._moment = moment
        self._actor = actor
        self._opened: list[Claim] = []
        self._adopted: dict[str, list[Claim]] = {}
        self._delivered: dict[tuple[int | None, str], list[str]] = {}
        self._changed: dict[str, Row] = {}
        self._contents: dict[str, Row] = {}
        self._earlier: list[Row] = []
        self._events: list[Row] = []

    def open(self, claim: Claim) -> None:
        """A call that was never seen is about to be sent."""
        self._opened.append(claim)

    def adopt(self, claim: Claim, reason: str) -> None:
        """A call that was never seen was delivered by other means."""
        self._adopted.setdefault(reason, []).append(claim)

    def deliver(self, key: str, attempt: Attempt) -> None:
        """A call that this run opened, and that nobody touched since, was delivered at the first attempt."""
        self._delivered.setdefault((attempt.status, attempt.reason), []).append(key)

    def change(self, key: str, entry: Entry, **changes: Any) -> Entry:
        """Give a call other values, by column, and return its new entry."""
        if entry.first_answer is not None:
            opened = (CallState.OPEN.value, None, None, "")
            self._earlier.append((key, entry.first_at, entry.fence, entry.run_id, *opened, None))
            if entry.state is not CallState.OPEN:
                answer = (entry.state.value, entry.reason_code, entry.first_answer, entry.reason)
                self._earlier.append((key, entry.changed_at, entry.fence, entry.run_id, *answer, None))
        changed = entry._replace(**changes, changed_at=self._moment, first_answer=None)
        changed = changed._replace(reason=changed.reason[:LONGEST_REASON])
        # As plain str: a driver may convert a value by the name of its class.
        state, *values, _, _ = changed
        self._changed[key] = (key, state.value, *values)
        return changed

    def describe(self, claim: Claim) -> None:
        """A call that also changes (:meth:`change`) has the claim's content from now on: the ledger shows each call as
        it was sent last.
        """
        self._contents[claim.key] = _shown(claim.call.sent)

    def note(
        self,
        key: str,
        fence: int,
        state: str,
        code: ReasonCode | None,
        reason: str,
        status: int | None = None,
        run_id: str | None = None,
    ) -> None:
        """Add an event to a call's history.

        :param state: the call's state from now on, or the result of an attempt
        """
        event = (str(state), None if code is None else code.value, status, reason[:LONGEST_REASON], self._actor)
        self._events.append((key, self._moment, fence, run_id or self.run_id, *event))

    def write(self, connection: Connection) -> bool:
        """Send the changes to the database.

        :return: whether all calls that were delivered at the first attempt are still as this run opened them; if not,
            the transaction must not be committed
        """
        statements = statements_of(connection)
        for answer, keys in self._delivered.items():
            if not statements.deliver(connection, self.run_id, Delivered(keys, *answer), self._moment):
                return False
        statements.insert_new(connection, new_calls(self._opened, self._namespace, self.run_id), self._moment)
        for reason, claims in self._adopted.items():
            why = (CallState.DELIVERED.value, ReasonCode.ADOPTED.value, reason[:LONGEST_REASON])
            adopted = _new(claims, self._namespace, self.run_id, *why, attempts=0, fence=0, answer=None)
            statements.insert_new(connection, adopted, self._moment)
        as_before = [row for key, row in self._changed.items() if key not in self._contents]
        statements.change(connection, _CHANGING, as_before)
        anew = [(*self._changed[key], *content) for key, content in self._contents.items()]
        statements.change(connection, _CHANGING_WITH_CONTENT, anew)
        statements.insert(connection, _EVENT, self._earlier + self._events)
        return True


def new_calls(claims: Sequence[Claim], namespace: str, run_id: str) -> NewCalls:
    """The rows of calls that were never seen, when a run is about to send them."""
    return _new(claims, namespace, run_id, _OPEN, attempts=1, fence=1, answer=0)


def _new(
    claims: Sequence[Claim],
    namespace: str,
    run_id: str,
    state: str,
    code: str | None = None,
    reason: str = "",
    *,
    attempts: int,
    fence: int,
    answer: int | None,
) -> NewCalls:
    # Sorted, so that two runs with the same new calls wait for each other and do not deadlock.
    rows = sorted([(key, *_shown(call.sent), fingerprint) for key, fingerprint, _, call, *_ in claims])
    common = (namespace, state, code, None, reason, False, attempts, 0, fence, run_id, answer)
    return NewCalls(_CALL, rows, common)
