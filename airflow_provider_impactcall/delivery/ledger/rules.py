"""Decides what a run may do with a call, given the call's entry in the ledger.

Pure: the rules of the delivery guarantee are here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from airflow_provider_impactcall.delivery.identity import Claim
from airflow_provider_impactcall.delivery.ledger.entries import Entry
from airflow_provider_impactcall.delivery.outcome import (
    Attempt,
    AttemptResult,
    CallState,
    Outcome,
    ReasonCode,
    RowOutcome,
)

_DEATHS_BEFORE_HOLD = 3

DIED = "the run that sent it ended before it knew what came of it"
LEASE_RAN_OUT = "the lease on the ledger ran out, as it was not renewed in time: another run may have taken over"


@dataclass(frozen=True)
class Send:
    """The call may be sent.

    :param fence: the fencing token under which it may be sent
    :param uncertain: an earlier attempt's fate is unknown
    """

    fence: int
    uncertain: bool = False


@dataclass(frozen=True)
class Settled:
    """The row has ended, and nothing is sent."""

    outcome: Outcome


@dataclass(frozen=True)
class Wait:
    """The call may not be sent now.

    :param code: why
    :param reason: why, as a sentence
    :param uncertain: an earlier attempt's fate is unknown
    """

    code: ReasonCode
    reason: str
    uncertain: bool = False


Decision = Send | Settled | Wait
"""A run's next step with a call."""

FIRST = Send(1)
"""The decision on a call that the ledger has never seen."""

_KNOWN = Settled(
    Outcome(RowOutcome.ALREADY_DELIVERED, ReasonCode.DELIVERED_BEFORE, "delivered by an earlier run"),
)
_CHANGED = Settled(Outcome(RowOutcome.CHANGED, ReasonCode.DELIVERED_BEFORE, "delivered by an earlier run"))
_OTHER_RUN = Wait(ReasonCode.OTHER_RUN, "another run is sending it")
_DIED = Settled(Outcome(RowOutcome.UNKNOWN, ReasonCode.RUN_DIED, DIED))


class Settlement(NamedTuple):
    """The outcome of an attempt."""

    key: str
    fence: int
    attempt: Attempt

    @property
    def is_first_delivery(self) -> bool:
        """Whether the call's very first attempt delivered it."""
        return self.fence == 1 and self.attempt.result is AttemptResult.DELIVERED


Recorded = tuple[list[Decision] | None, list[CallState]]
"""The decisions on the claimed calls, None if the lease has run out; and the states of the settled calls."""


def decide(entry: Entry | None, claim: Claim, run_id: str, *, resend: bool) -> Decision:
    """Decide what a run may do with a call, given the call's entry in the ledger."""
    if entry is None:
        return FIRST
    same = entry.fingerprint == claim.fingerprint
    match entry.state:
        case CallState.DELIVERED:
            return _KNOWN if same else _CHANGED
        case CallState.REJECTED if same:
            reason = f"rejected by an earlier run: {entry.reason}"
            return Settled(Outcome(RowOutcome.REJECTED, ReasonCode.REFUSED_BEFORE, reason, entry.status))
        case CallState.REJECTED | CallState.NOT_SENT | CallState.REQUEUED:
            return Send(entry.fence + 1, entry.uncertain)
        case CallState.OPEN if entry.run_id == run_id:
            return Send(entry.fence, entry.uncertain)
        case CallState.OPEN if entry.alive:
            return _OTHER_RUN
        case CallState.OPEN:
            held = not resend or entry.deaths + 1 >= _DEATHS_BEFORE_HOLD
            return _DIED if held else Send(entry.fence + 1, uncertain=True)
        case CallState.UNKNOWN:
            if resend and entry.deaths < _DEATHS_BEFORE_HOLD:
                return Send(entry.fence + 1, uncertain=True)
            return Settled(Outcome(RowOutcome.UNKNOWN, entry.code, entry.reason, entry.status))


def as_known(claim: Claim, entries: Mapping[str, Entry]) -> Claim:
    """The claim with the key and fingerprint under which the ledger knows the call.

    These are made from the values as the row gave them, if an earlier version sent the call so. If there are two
    entries for one call, the entry that keeps the call from being sent counts.

    :param entries: those that exist for the claim's keys
    """
    if claim.as_given is None:
        return claim
    key, fingerprint = claim.as_given
    entry, earlier = entries.get(claim.key), entries.get(key)
    given = claim._replace(key=key, fingerprint=fingerprint)
    if key == claim.key:
        return given if entry is not None and entry.fingerprint == fingerprint else claim
    if earlier is None:
        return claim
    return claim if entry is not None and _hindrance(entry) >= _hindrance(earlier) else given


def _hindrance(entry: Entry) -> int:
    return 2 if entry.state is CallState.DELIVERED else 1 if entry.in_doubt or entry.state is CallState.OPEN else 0
