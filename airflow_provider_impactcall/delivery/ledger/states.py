"""The state machine of a call: which state can follow which, and by what cause. One table. Pure.

The rules of a delivery, the corrections that a person may make, the documentation's diagram and the page's labels
derive from this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from airflow_provider_impactcall.delivery.outcome import AttemptResult, CallState


class Cause(StrEnum):
    """What changes the state of a call."""

    INTENT = "intent"
    """A run is about to send the call."""
    OK = "ok"
    """impact.com answered 2xx with Status OK, in time or late."""
    REFUSAL = "refusal"
    """impact.com refused the call, and no earlier attempt is in doubt."""
    NOT_PROCESSED = "not_processed"
    """The attempt provably was not processed, and no earlier attempt is in doubt."""
    NOT_PROCESSED_IN_DOUBT = "not_processed_in_doubt"
    """The attempt provably was not processed, but an earlier one may have been, and the run holds such calls."""
    DOUBT = "doubt"
    """This attempt may have been processed, or an earlier one."""
    DEATH = "death"
    """The run that sent the call ended before it recorded the outcome."""
    REQUEUE = "requeue"
    """A person asks for the call to be sent once more."""
    RESOLVE_AS_DELIVERED = "resolve_as_delivered"
    """A person learnt that impact.com has the call."""
    RESOLVE_AS_NOT_DELIVERED = "resolve_as_not_delivered"
    """A person learnt that impact.com does not have the call."""
    ADOPT = "adopt"
    """The call was delivered by other means than this ledger."""
    RECONCILE = "reconcile"
    """The call was found among impact.com's actions."""


_SENT = (CallState.OPEN, CallState.UNKNOWN, CallState.NOT_SENT)
"""The states that an attempt's outcome can change. ``unknown``: the death of the attempt's run was noted before the
answer came. ``not_sent``: a refusal was held back as not sent until other calls showed whose fault it was."""
_UNDELIVERED = (CallState.OPEN, CallState.REJECTED, CallState.UNKNOWN, CallState.NOT_SENT, CallState.REQUEUED)

SETTLED_AS: Mapping[Cause, CallState] = {
    Cause.OK: CallState.DELIVERED,
    Cause.REFUSAL: CallState.REJECTED,
    Cause.NOT_PROCESSED: CallState.NOT_SENT,
    # Under hold, only a person's requeue lets such a call leave. The requeue holds until an attempt has arrived.
    Cause.NOT_PROCESSED_IN_DOUBT: CallState.REQUEUED,
    Cause.DOUBT: CallState.UNKNOWN,
}
"""The state that the outcome of an attempt leads to."""

TRANSITIONS: Mapping[Cause, Mapping[CallState | None, CallState]] = {
    Cause.INTENT: {
        # A rejected call only with other content; one in doubt, or left open by a dead run, only under resend.
        **dict.fromkeys((None, *_UNDELIVERED), CallState.OPEN),
    },
    **{cause: dict.fromkeys(_UNDELIVERED if cause is Cause.OK else _SENT, end) for cause, end in SETTLED_AS.items()},
    Cause.DEATH: {CallState.OPEN: CallState.UNKNOWN},
    Cause.REQUEUE: {CallState.REJECTED: CallState.NOT_SENT, CallState.UNKNOWN: CallState.REQUEUED},
    Cause.RESOLVE_AS_DELIVERED: dict.fromkeys(
        (CallState.UNKNOWN, CallState.REQUEUED, CallState.REJECTED, CallState.NOT_SENT), CallState.DELIVERED
    ),
    Cause.RESOLVE_AS_NOT_DELIVERED: dict.fromkeys(
        (CallState.UNKNOWN, CallState.REQUEUED, CallState.DELIVERED), CallState.NOT_SENT
    ),
    Cause.ADOPT: dict.fromkeys(
        (None, CallState.UNKNOWN, CallState.REQUEUED, CallState.REJECTED, CallState.NOT_SENT), CallState.DELIVERED
    ),
    Cause.RECONCILE: dict.fromkeys((CallState.UNKNOWN, CallState.REQUEUED), CallState.DELIVERED),
}
"""By cause: each state in which the cause can occur, and the state that follows. None is a call that the ledger does
not have."""

IN_DOUBT = (CallState.UNKNOWN, CallState.REQUEUED)
"""States of calls that impact.com may have processed."""

PENDING = (CallState.UNKNOWN, CallState.REQUEUED, CallState.NOT_SENT, CallState.OPEN)
"""The states of a call that is still to be delivered, or may not have been."""

PURGEABLE = (CallState.DELIVERED, CallState.REJECTED, CallState.NOT_SENT)
"""The states of calls that a purge may forget."""


def correctable(cause: Cause) -> tuple[CallState, ...]:
    """The states from which a person may bring a call into another one by this cause."""
    return tuple(state for state in TRANSITIONS[cause] if state is not None)


def cause_of(result: AttemptResult, *, uncertain: bool, resend: bool) -> Cause:
    """The cause by which the result of an attempt changes its call.

    :param result: any but ``ABORT``, which says nothing about the call
    :param uncertain: whether this attempt, or an earlier one, may have been processed
    """
    match result:
        case AttemptResult.DELIVERED:
            return Cause.OK
        case AttemptResult.REJECTED if not uncertain:
            return Cause.REFUSAL
        case AttemptResult.NOT_SENT | AttemptResult.AGAIN if not uncertain:
            return Cause.NOT_PROCESSED
        case AttemptResult.NOT_SENT | AttemptResult.AGAIN if not resend:
            return Cause.NOT_PROCESSED_IN_DOUBT
        case _:
            return Cause.DOUBT
