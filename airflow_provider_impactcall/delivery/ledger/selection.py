"""Selections of a ledger's calls, and the columns that people see."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement

from airflow_provider_impactcall.delivery.ledger.entries import (
    ALIVE,
    WITH_RUNS,
)
from airflow_provider_impactcall.delivery.ledger.rules import DIED
from airflow_provider_impactcall.delivery.ledger.schema import (
    UNDELIVERED,
    call_actions,
    calls,
    changed_calls,
    runs,
)
from airflow_provider_impactcall.delivery.outcome import ActionState, CallState, ReasonCode
from airflow_provider_impactcall.exceptions import InvalidOption, ProblemCode

STATES = tuple(state.value for state in CallState)
"""The states of a call in the ledger. A call that a dead run left open is ``unknown``."""

INVALID, CHANGED = "invalid", "changed"
LISTED = (*STATES, INVALID, CHANGED)
"""The states that can be selected: the states of calls; ``invalid``, rows that were rejected here (dead letters); and
``changed``, delivered calls that came again with other content."""


CLEARED, NOT_FOLLOWED = "cleared", "not_followed"
ACTIONS = (*(state.value for state in ActionState), CLEARED, NOT_FOLLOWED)
"""What delivered calls can be selected by: what became of them at impact.com; ``cleared``, approved and released for
payment; and ``not_followed``, not looked for among impact.com's actions yet."""


_LEFT_OPEN = sa.and_(calls.c.state == CallState.OPEN.value, sa.not_(ALIVE))
STATE = sa.case((_LEFT_OPEN, CallState.UNKNOWN.value), else_=calls.c.state)
"""The state of calls that are joined with their runs; one of :data:`STATES`."""
REASON_CODE = sa.case((_LEFT_OPEN, ReasonCode.RUN_DIED.value), else_=calls.c.reason_code)
"""The reason code of that state, likewise."""

_MARK = sa.and_(
    changed_calls.c.key == calls.c.key,
    calls.c.state == CallState.DELIVERED.value,
    # A run may write the mark after a person has accepted the same content.
    changed_calls.c.fingerprint != calls.c.fingerprint,
)
WITH_MARKS = WITH_RUNS.outerjoin(changed_calls, _MARK)
"""Calls with their runs, and with their marks *changed*."""
MARKED = changed_calls.join(calls, _MARK).outerjoin(runs, runs.c.run_id == calls.c.run_id)
"""Calls with their runs; only those that have a mark."""


SHOWN = (
    calls.c.CallSessionId,
    calls.c.CampaignId,
    calls.c.ActionTrackerId,
    calls.c.CallProvider,
    calls.c.MediaId,
    calls.c.EventDate,
    STATE.label("state"),
    REASON_CODE.label("reason_code"),
    calls.c.status,
    sa.case((_LEFT_OPEN, DIED), else_=calls.c.reason).label("reason"),
    calls.c.attempts,
    calls.c.run_id,
    calls.c.first_at,
    calls.c.changed_at,
    calls.c.key,
    changed_calls.c.last_at.label("came_again_at"),
    changed_calls.c.times.label("came_again_times"),
)
"""What people see of a call; selected from :data:`WITH_MARKS` or :data:`MARKED`."""


MOMENTS = (
    *("first_at", "changed_at", "came_again_at", "at", "started_at", "ended_at"),
    *("action_created_at", "action_locking_at", "action_cleared_at", "action_changed_at"),
)
"""The columns that are times."""


# As plain str: SQLAlchemy's column names are a subclass of str, which YAML writers refuse.
CALL_COLUMNS = tuple(str(column.name) for column in SHOWN)
"""The columns of a call, as they are listed and exported."""


_OF_DELIVERED = (
    *(ReasonCode.OK, ReasonCode.ADOPTED, ReasonCode.RESOLVED, ReasonCode.RECONCILED),
    ReasonCode.NOT_KEPT,
)
"""The codes that delivered calls can have. Calls with other codes are few, and an index has them."""


@dataclass(frozen=True)
class Selection:
    """Which calls and dead letters: those for which every given condition holds. A dead letter has no ``status``, no
    campaign and no action.

    :param states: any of :data:`LISTED`; empty for all
    :param reason: a part of the reason, in any case
    :param run_id: the run that changed the call last, or that read the dead letter last
    :param since: changed at this time or later; for ``changed``, came again then; for a dead letter, was read last
        then. Without states, each of these
    :param until: the same, before this time
    :param call_session_ids: any of these; empty for all
    :param media_ids: any of these partners; empty for all
    :param campaign_ids: any of these; empty for all
    :param reason_code: a :class:`.ReasonCode`, or the :class:`.ProblemCode` of a dead letter's first problem
    :param status: the HTTP status of the answer that decided it; 0 if no answer did
    :param actions: what became of a delivered call at impact.com, any of :data:`ACTIONS`; empty for all calls
    :param as_of: not changed, and not left open by a run that died, after this time, in seconds since 1970 by the
        ledger's clock; for ``changed`` and for a dead letter, not come again after it
    :raises InvalidOption: for an unknown state, action or code, a wrong status, or a time without an offset from UTC
    """

    states: Collection[str] = ()
    reason: str | None = None
    run_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    call_session_ids: Collection[str] = ()
    media_ids: Collection[str] = ()
    campaign_ids: Collection[str] = ()
    reason_code: str | None = None
    status: int | None = None
    actions: Collection[str] = ()
    as_of: float | None = None

    def __post_init__(self) -> None:
        # As plain str: a driver may convert a value by the name of its class.
        object.__setattr__(self, "states", tuple(map(str, self.states)))
        strange = sorted(set(self.states) - set(LISTED))
        if strange:
            raise InvalidOption(f"state must be one of {', '.join(LISTED)}, and not {', '.join(map(repr, strange))}")
        object.__setattr__(self, "actions", tuple(map(str, self.actions)))
        strange = sorted(set(self.actions) - set(ACTIONS))
        if strange:
            raise InvalidOption(f"action must be one of {', '.join(ACTIONS)}, and not {', '.join(map(repr, strange))}")
        codes = dict.fromkeys((*ReasonCode, *ProblemCode))
        if self.reason_code is not None and self.reason_code not in codes:
            raise InvalidOption(f"reason_code must be one of {', '.join(codes)}, and not {self.reason_code!r}")
        if self.status is not None:
            status_of(self.status)
        if any(moment is not None and moment.tzinfo is None for moment in (self.since, self.until)):
            raise InvalidOption("since and until must have an offset from UTC")

    @property
    def call_states(self) -> tuple[str, ...]:
        """The selected states that are states of calls."""
        return tuple(state for state in self.states if state in STATES)

    def includes(self, listed: str) -> bool:
        """Whether this state is selected; a selection without states selects all."""
        return not self.states or listed in self.states

    def limited_to(self, allowed: Collection[str], usual: Collection[str], what: str = "be changed so") -> Selection:
        """The same selection, for a correction that is possible only in some states.

        :param allowed: the states in which it is possible
        :param usual: the states to select if the selection names none
        :param what: the correction, for the error: ``be requeued``
        :raises InvalidOption: if the selection names another state
        """
        strange = sorted(set(self.states) - set(allowed))
        if strange:
            raise InvalidOption(f"{' and '.join(strange)} calls cannot {what}: only {', '.join(allowed)} ones can")
        return replace(self, states=self.states or tuple(usual))

    @property
    def stored_states(self) -> set[str]:
        """The states in which the ledger may store such calls; empty for all."""
        states = set(self.call_states)
        return {*states, CallState.OPEN.value} if CallState.UNKNOWN in states else states

    def conditions(self, *, settled: bool = False) -> Iterator[ColumnElement[bool]]:
        """The conditions for the calls, joined with their runs. :meth:`of_marks` has the conditions for ``changed``.

        :param settled: only for calls that are not open: these need not be joined with their runs
        """
        if settled:
            yield calls.c.state != CallState.OPEN.value
        elif self.as_of is not None:
            yield sa.or_(calls.c.state != CallState.OPEN.value, _ended_by(self.as_of))
        if self.states and not self.call_states:
            yield sa.false()
        elif self.states:
            if not settled:
                yield STATE.in_(self.call_states)
            # The same for the stored column, which is in the indexes.
            yield calls.c.state.in_(sorted(self.stored_states))
            if CallState.DELIVERED not in self.states:
                yield UNDELIVERED
        if self.reason is not None:
            part = sa.func.lower(calls.c.reason).contains(self.reason.lower(), autoescape=True)
            yield _or_left_open(part, not settled and self.reason.lower() in DIED.lower())
        if self.reason_code is not None:
            if self.reason_code == ReasonCode.NOT_KEPT:
                yield sa.and_(calls.c.reason_code.is_(None), calls.c.state != CallState.OPEN.value)
            else:
                died = not settled and self.reason_code == ReasonCode.RUN_DIED
                yield _or_left_open(calls.c.reason_code == str(self.reason_code), died)
            if self.reason_code not in _OF_DELIVERED:
                yield UNDELIVERED
        if self.status == 0:
            yield calls.c.status.is_(None)
        elif self.status is not None:
            yield calls.c.status == self.status
            if self.status >= 300:
                yield UNDELIVERED
        yield from self.run_of(calls.c.run_id, calls.c.changed_at)
        yield from self.period_of(calls.c.changed_at)
        if self.call_session_ids:
            yield calls.c.CallSessionId.in_(tuple(self.call_session_ids))
        if self.actions:
            yield calls.c.state == CallState.DELIVERED.value
            yield sa.or_(*map(_became, self.actions))
        if self.media_ids:
            yield calls.c.MediaId.in_(tuple(self.media_ids))
        if self.campaign_ids:
            yield calls.c.CampaignId.in_(tuple(self.campaign_ids))

    def of_marks(self, namespace: str) -> Iterator[ColumnElement[bool]]:
        """The conditions for the marked calls that ``changed`` selects, beside the calls that other states select."""
        of_calls = replace(self, states=(CallState.DELIVERED,), since=None, until=None, as_of=None)
        yield calls.c.namespace == namespace
        yield from of_calls.conditions(settled=True)
        yield from self.period_of(changed_calls.c.last_at)

    def run_of(self, run_id: ColumnElement[Any], moment: ColumnElement[Any]) -> Iterator[ColumnElement[bool]]:
        """The conditions that a row's run is the selected one, given the columns of its run and its time."""
        if self.run_id is not None:
            yield run_id == self.run_id
            # A run cannot have changed a call before the run began. There is no bound as certain for its last answer.
            began = sa.select(runs.c.started_at).where(runs.c.run_id == self.run_id).scalar_subquery()
            yield moment >= sa.func.coalesce(began, 0.0)

    def period_of(self, moment: ColumnElement[Any]) -> Iterator[ColumnElement[bool]]:
        """The conditions that a time is in the selected period."""
        if self.since is not None:
            yield moment >= self.since.timestamp()
        if self.until is not None:
            yield moment < self.until.timestamp()
        if self.as_of is not None:
            yield moment <= self.as_of


def _ended_by(moment: float) -> ColumnElement[bool]:
    """The condition for the calls whose run was over at that time."""
    lease, ended = (sa.func.coalesce(column, 0.0) <= moment for column in (runs.c.lease_until, runs.c.ended_at))
    return sa.and_(lease, ended)


def _became(action: str) -> ColumnElement[bool]:
    """The condition for the calls that became this at impact.com."""
    row = sa.select(call_actions.c.key).where(call_actions.c.key == calls.c.key)
    if action == NOT_FOLLOWED:
        return sa.not_(row.exists())
    if action == CLEARED:
        cleared = (call_actions.c.state == ActionState.APPROVED.value, call_actions.c.cleared_at.is_not(None))
        return row.where(*cleared).exists()
    return row.where(call_actions.c.state == action).exists()


def status_of(given: int | str) -> int:
    """The HTTP status that a number or its digits stand for; 0 stands for none.

    :raises InvalidOption: if it is not one
    """
    digits = str(given)
    status = int(digits) if digits.isdecimal() and len(digits) <= 3 else -1
    if status != 0 and not 100 <= status <= 599:
        raise InvalidOption("status must be an HTTP status from 100 to 599, or 0")
    return status


def _or_left_open(of_reason: ColumnElement[bool], died: bool) -> ColumnElement[bool]:
    return sa.or_(of_reason, _LEFT_OPEN) if died else of_reason
