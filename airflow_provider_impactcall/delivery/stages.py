"""What a call has been through on its way, a type a stage."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import NamedTuple

from airflow_provider_impactcall.delivery.identity import Claim
from airflow_provider_impactcall.delivery.items import Call
from airflow_provider_impactcall.delivery.ledger.rules import Settlement
from airflow_provider_impactcall.delivery.outcome import Attempt, CallState
from airflow_provider_impactcall.delivery.run_ledger import RunLedger


class Pending(NamedTuple):
    """A call that is to be sent, and whether an earlier attempt of unknown fate may have been processed."""

    call: Call
    claim: Claim
    uncertain: bool


class Attempted(NamedTuple):
    """A call that was sent, and the number under which the ledger knows of that."""

    call: Call
    claim: Claim
    fence: int
    uncertain: bool


class Settling(NamedTuple):
    """What the ledger is asked to record of an attempt.

    :param recorded: to be awaited: the state that the ledger has the call in from then on
    :param held_back: it is not the last word on the call
    """

    attempted: Attempted
    attempt: Attempt
    recorded: Awaitable[CallState]
    held_back: bool = False


class Sent(NamedTuple):
    """What the ledger is asked to record after an attempt.

    :param settling: of this call or others; more than one if others show whose fault a refusal was
    :param again: of this call, which is to be sent again
    """

    attempted: Attempted
    settling: Sequence[Settling] = ()
    again: Settling | None = None


def begin_settling(ledger: RunLedger, attempted: Attempted, attempt: Attempt, *, held_back: bool = False) -> Settling:
    """Ask the ledger to record what came of an attempt."""
    recorded = ledger.settle(Settlement(attempted.claim.key, attempted.fence, attempt))
    return Settling(attempted, attempt, recorded, held_back)
