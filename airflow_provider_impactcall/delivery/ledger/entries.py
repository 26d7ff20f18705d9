"""What the ledger holds of calls: looked up, and changed, each in one statement for all of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Dialect

from airflow_provider_impactcall.delivery.identity import Claim
from airflow_provider_impactcall.delivery.ledger.batch_sizes import in_parts
from airflow_provider_impactcall.delivery.ledger.schema import LONGEST_REASON, Now, calls, events, runs
from airflow_provider_impactcall.delivery.ledger.states import IN_DOUBT
from airflow_provider_impactcall.delivery.outcome import Attempt, CallState, ReasonCode

ALIVE = sa.func.coalesce(runs.c.lease_until, 0.0) > Now()
"""Whether the run of a call holds its lease; of calls joined with :data:`WITH_RUNS`."""

WITH_RUNS = calls.outerjoin(runs, runs.c.run_id == calls.c.run_id)

_SHOWN = ("CallSessionId", "CampaignId", "ActionTrackerId", "CallProvider", "MediaId", "EventDate")
_CHANGING = (
    *("state", "reason_code", "status", "reason", "uncertain", "attempts", "deaths", "fence", "run_id", "fingerprint"),
    *("first_answer", "changed_at"),
)
_KEPT = ("key", *_CHANGING, "first_at")

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
"""All that happened to calls, in the columns of ``events``: what their rows alone tell, and the events. A call's own
order is that of ``event_id``."""


class Entry(NamedTuple):
    """What the ledger holds of a call, and whether the run that changed it last holds its lease."""

    state: CallState
    reason_code: str | None
    status: int | None
    reason: str
    uncertain: bool
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
        """Whether the run that sent it ended before it knew what came of it."""
        return self.state is CallState.OPEN and not self.alive

    @property
    def in_doubt(self) -> bool:
        """Whether it may have been processed, and nobody knows."""
        return self.died or self.state in IN_DOUBT

    @property
    def code(self) -> ReasonCode:
        """Why it is in its state; a code of a newer version is as none."""
        return _CODES.get(self.reason_code or "", ReasonCode.NOT_KEPT)


# Taken once, as each call needs it: a member's value is a property.
_OPEN = CallState.OPEN.value
# A dict finds a member in a tenth of the time that its class takes.
_STATES = {state.value: state for state in CallState}
_CODES = {code.value: code for code in ReasonCode}

# Built once: SQLAlchemy takes three times as long to build one of these as to execute it.
_OF_KEYS = calls.c.key.in_(sa.bindparam("keys", expanding=True))
_LOOK_UP = sa.select(*(calls.c[name] for name in _KEPT), ALIVE.label("alive")).select_from(WITH_RUNS).where(_OF_KEYS)
_LOCK = sa.select(calls.c.key).where(_OF_KEYS).order_by(calls.c.key).with_for_update()
_UNTOUCHED = sa.and_(
    calls.c.run_id == sa.bindparam("run"), calls.c.state == CallState.OPEN.value, calls.c.first_answer == 0
)
_DELIVER = (
    sa.update(calls)
    .where(_OF_KEYS, _UNTOUCHED)
    .values(
        state=CallState.DELIVERED.value,
        reason_code=ReasonCode.OK.value,
        status=sa.bindparam("answer"),
        reason=sa.bindparam("why"),
        first_answer=sa.bindparam("answer"),
        changed_at=sa.bindparam("at"),
    )
)
_NEW_VALUES: Mapping[str, Any] = {name: sa.bindparam(f"new_{name}") for name in _CHANGING}
_CHANGE = sa.update(calls).where(calls.c.key == sa.bindparam("of_key")).values(**_NEW_VALUES)


def look_up(connection: Connection, keys: Sequence[str]) -> dict[str, Entry]:
    """The entries of these calls, by key; of calls that were never seen there is none."""
    found: dict[str, Entry] = {}
    for part in in_parts(keys):
        for key, state, *values in connection.execute(_LOOK_UP, {"keys": part}):
            found[key] = Entry(_STATES[state], *values)
    return found


def lock(connection: Connection, keys: Collection[str]) -> list[str]:
    """Have nobody else change these calls until the transaction ends.

    To be done before they are looked up: a statement that had to wait sees a row anew, but the run beside it as it was.

    :return: those that there are. What others insert meanwhile is not locked, and must not be seen: our own insertion
        fails, and is repeated
    """
    ordered = sorted(keys)
    if connection.dialect.name == "sqlite":  # Its transactions that write are one at a time.
        return ordered
    return list(connection.execute(_LOCK, {"keys": ordered}).scalars())


class Changes:
    """What one transaction does to the calls, gathered so that each statement is sent once for all of them.

    The first intent of a call, and a delivery at the first attempt, are told by its row alone: nearly all calls need no
    more, and an event costs as much as the row. As soon as anything else happens, the events are written that say so.

    :param run_id: whose changes they are
    :param moment: when, by the database's clock
    :param actor: the person who makes them, if one does
    """

    def __init__(self, run_id: str, namespace: str, moment: float, actor: str | None = None) -> None:
        self.run_id = run_id
        self._namespace = namespace
        self._moment = moment
        self._actor = actor
        self._new: list[tuple[Any, ...]] = []
        self._delivered: dict[tuple[str, int | None], list[str]] = {}
        self._changed: list[dict[str, Any]] = []
        self._earlier: list[tuple[Any, ...]] = []
        self._events: list[tuple[Any, ...]] = []

    def open(self, claim: Claim) -> None:
        """A call that was never seen is about to be sent."""
        self._add(claim, _OPEN, None, "", attempts=1, fence=1, first_answer=0)

    def adopt(self, claim: Claim, reason: str) -> None:
        """A call that was never seen was delivered by other means."""
        adopted = (CallState.DELIVERED.value, ReasonCode.ADOPTED.value, reason)
        self._add(claim, *adopted, attempts=0, fence=0, first_answer=None)

    def deliver(self, key: str, attempt: Attempt) -> None:
        """A call that this run opened, and that nobody touched since, was delivered at the first attempt."""
        self._delivered.setdefault((attempt.reason, attempt.status), []).append(key)

    def change(self, key: str, entry: Entry, **changes: Any) -> Entry:
        """Other values for a call, by column; the entry that it is then."""
        if entry.first_answer is not None:
            opened = (CallState.OPEN.value, None, None, "")
            self._earlier.append((key, entry.first_at, entry.fence, entry.run_id, *opened, None))
            if entry.state is not CallState.OPEN:
                answer = (entry.state.value, entry.reason_code, entry.first_answer, entry.reason)
                self._earlier.append((key, entry.changed_at, entry.fence, entry.run_id, *answer, None))
        changed = entry._replace(**changes, changed_at=self._moment, first_answer=None)
        changed = changed._replace(reason=changed.reason[:LONGEST_REASON])
        # As plain text: a driver may convert a value by the name of its class.
        values = {f"new_{name}": getattr(changed, name) for name in _CHANGING} | {"new_state": changed.state.value}
        self._changed.append({"of_key": key, **values})
        return changed

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
        """An event in a call's history.

        :param state: what the call is in from now on, or what an attempt came to
        """
        event = (str(state), None if code is None else code.value, status, reason[:LONGEST_REASON], self._actor)
        self._events.append((key, self._moment, fence, run_id or self.run_id, *event))

    def write(self, connection: Connection) -> bool:
        """Send them to the database.

        :return: whether all calls that are delivered at the first attempt are as they were opened; if not, the
            transaction must not be committed
        """
        for (reason, status), keys in self._delivered.items():
            answer = {"answer": status or 0, "why": reason[:LONGEST_REASON], "at": self._moment}
            if connection.execute(_DELIVER, {"keys": keys, "run": self.run_id, **answer}).rowcount != len(keys):
                return False
        # In one order, so that two runs with the same new calls wait for each other and do not deadlock.
        _insert(connection, _CALL, sorted(self._new))
        if self._changed:
            connection.execute(_CHANGE, self._changed)
        _insert(connection, _EVENT, self._earlier + self._events)
        return True

    def _add(
        self,
        claim: Claim,
        state: str,
        code: str | None,
        reason: str,
        *,
        attempts: int,
        fence: int,
        first_answer: int | None,
    ) -> None:
        shown = claim.call.key(_SHOWN)
        why = (code, None, reason[:LONGEST_REASON])
        known = (claim.fingerprint, state, *why, False, attempts, 0, fence, self.run_id)
        moments = (self._moment, self._moment)
        self._new.append((claim.key, self._namespace, *shown, *known, *moments, first_answer))


_CALL = tuple(calls.c)
_EVENT = tuple(column for column in events.c if column.name != "event_id")


def _insert(connection: Connection, columns: tuple[sa.Column[Any], ...], rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows whose values are in the order of the columns.

    By the driver: SQLAlchemy's own insertion of 32 calls takes three times as long on SQLite, and on PostgreSQL sends a
    statement a row (both with SQLAlchemy 2.0).
    """
    if not rows:
        return
    dialect = connection.dialect
    head, row = _insertion(dialect, columns)
    if dialect.name == "sqlite":
        connection.exec_driver_sql(head + row, list(rows))
    else:
        connection.exec_driver_sql(head + ", ".join([row] * len(rows)), tuple(chain.from_iterable(rows)))


@lru_cache(maxsize=16)
def _insertion(dialect: Dialect, columns: tuple[sa.Column[Any], ...]) -> tuple[str, str]:
    """An insertion up to its values, and the marks of one row of these."""
    named = ", ".join(map(dialect.identifier_preparer.format_column, columns))
    mark = "?" if dialect.paramstyle == "qmark" else "%s"
    return f"INSERT INTO {columns[0].table.name} ({named}) VALUES ", f"({', '.join([mark] * len(columns))})"  # noqa: S608
