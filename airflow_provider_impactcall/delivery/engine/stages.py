"""What a call has been through on its way, a type a stage."""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple

from airflow_provider_impactcall.delivery.identity import Claim
from airflow_provider_impactcall.delivery.items import Call
from airflow_provider_impactcall.delivery.outcome import Attempt


class Pending(NamedTuple):
    """A call that is to be sent.

    :param uncertain: whether an earlier attempt of unknown fate may have been processed
    :param attempts: how often this run has tried it
    :param waited: seconds for which it waited for another run
    """

    call: Call
    claim: Claim
    uncertain: bool
    attempts: int = 0
    waited: float = 0.0


class Claimed(NamedTuple):
    """A call whose intent the ledger holds: it may leave.

    :param fence: the number under which the ledger knows of that
    :param uncertain: whether an attempt of unknown fate may have been processed, be it an earlier one or this
    """

    pending: Pending
    fence: int
    uncertain: bool


class Then(Enum):
    """What follows once the ledger has recorded an attempt."""

    END = auto()
    """The call's row ends."""
    CONFIRM = auto()
    """The row of a call ends that was held back: the ledger has its attempt as not sent."""
    HOLD_BACK = auto()
    """Nothing, until others show whose fault the refusal was."""
    AGAIN = auto()
    """The call is sent again, after a back-off of its own."""
    RETURN = auto()
    """The call did not leave, and waits for its turn."""


class Settling(NamedTuple):
    """What came of a claimed call, for the ledger to record."""

    claimed: Claimed
    attempt: Attempt
    then: Then
