"""What may be done with a call, given what the ledger holds of it. Pure: the rules of the promise are here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from airflow_provider_impactcall.delivery.identity import Claim
from airflow_provider_impactcall.delivery.ledger.entries import (
    DIED,
    OPEN,
    Entry,
)
from airflow_provider_impactcall.delivery.outcome import Outcome, State

_DEATHS_BEFORE_HOLD = 3

LEASE_RAN_OUT = "the lease on the ledger ran out, as it was not renewed in time: another run may have taken over"


@dataclass(frozen=True)
class Decision:
    """What may be done with a call.

    :param state: the state that it ends in, or None if that is not settled yet
    :param fence: the number under which it may be sent, or None if it may not
    :param uncertain: an earlier attempt's fate is unknown
    :param reason: why it may not be sent
    """

    state: State | None = None
    fence: int | None = None
    uncertain: bool = False
    reason: str = ""


_FIRST = Decision(fence=1)

_KNOWN = Decision(State.ALREADY_DELIVERED, reason="delivered by an earlier run")

_CHANGED = Decision(State.CHANGED, reason="delivered by an earlier run")


class Settlement(NamedTuple):
    """What came of an attempt."""

    key: str
    fence: int
    outcome: Outcome

    @property
    def is_first_delivery(self) -> bool:
        """Whether the first attempt that there ever was delivered the call."""
        return self.fence == 1 and self.outcome.state is State.DELIVERED


def decide(entry: Entry | None, claim: Claim, run_id: str, *, resend: bool) -> Decision:
    """What may be done with a call, given what the ledger holds of it. Pure: the rules of the promise are here."""
    if entry is None:
        return _FIRST
    same = entry.fingerprint == claim.fingerprint
    match entry.state:
        case State.DELIVERED:
            return _KNOWN if same else _CHANGED
        case State.REJECTED if same:
            return Decision(State.REJECTED, reason=f"rejected by an earlier run: {entry.reason}")
        case State.REJECTED | State.NOT_SENT | "requeued":
            return Decision(fence=entry.fence + 1, uncertain=entry.uncertain)
        case "open" if entry.run_id == run_id:
            return Decision(fence=entry.fence, uncertain=entry.uncertain)
        case "open" if entry.alive:
            return Decision(reason="another run is sending it")
        case "open":
            held = not resend or entry.deaths + 1 >= _DEATHS_BEFORE_HOLD
            return Decision(State.UNKNOWN, reason=DIED) if held else Decision(fence=entry.fence + 1, uncertain=True)
        case _:
            held = not resend or entry.deaths >= _DEATHS_BEFORE_HOLD
            again = Decision(fence=entry.fence + 1, uncertain=True)
            return Decision(State.UNKNOWN, reason=entry.reason) if held else again


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
    return 2 if entry.state == State.DELIVERED else 1 if entry.unsettled or entry.state == OPEN else 0
