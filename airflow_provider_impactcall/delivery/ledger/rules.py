"""What may be done with a call, given what the ledger holds of it. Pure: the rules of the promise are here."""

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

    :param fence: the number under which it may be sent
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
    :param reason: the same as a sentence
    :param uncertain: an earlier attempt's fate is unknown
    """

    code: ReasonCode
    reason: str
    uncertain: bool = False


Decision = Send | Settled | Wait
"""What may be done with a call."""

_FIRST = Send(1)
_KNOWN = Settled(
    Outcome(RowOutcome.ALREADY_DELIVERED, ReasonCode.DELIVERED_BEFORE, "delivered by an earlier run"),
)
_CHANGED = Settled(Outcome(RowOutcome.CHANGED, ReasonCode.DELIVERED_BEFORE, "delivered by an earlier run"))
_OTHER_RUN = Wait(ReasonCode.OTHER_RUN, "another run is sending it")
_DIED = Settled(Outcome(RowOutcome.UNKNOWN, ReasonCode.RUN_DIED, DIED))


class Settlement(NamedTuple):
    """What came of an attempt."""

    key: str
    fence: int
    attempt: Attempt

    @property
    def is_first_delivery(self) -> bool:
        """Whether the first attempt that there ever was delivered the call."""
        return self.fence == 1 and self.attempt.result is AttemptResult.DELIVERED


Recorded = tuple[list[Decision] | None, list[CallState]]
"""What may be done with calls that were claimed, None if the lease has run out; and the states of calls settled."""


def decide(entry: Entry | None, claim: Claim, run_id: str, *, resend: bool) -> Decision:
    """What may be done with a call, given what the ledger holds of it. Pure: the rules of the promise are here."""
    if entry is None:
        return _FIRST
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
    """The claim for a call as the ledger knows it: by what its row gave, if that is how an earlier version sent it.

    Of two entries for one call, the one counts that keeps it from being sent.

    :param entries: of all the claim's keys, as far as there are any
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
