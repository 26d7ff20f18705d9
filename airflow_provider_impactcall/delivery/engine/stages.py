"""The stages of a call on its way, one type for each stage."""

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
    :param waited: seconds that it waited for another run
    """

    call: Call
    claim: Claim
    uncertain: bool = False
    attempts: int = 0
    waited: float = 0.0


class Claimed(NamedTuple):
    """A call whose intent the ledger holds: it may leave.

    :param fence: the fencing token of this intent
    :param uncertain: whether an attempt of unknown fate, an earlier one or this one, may have been processed
    """

    pending: Pending
    fence: int
    uncertain: bool


class Then(Enum):
    """What follows once the ledger has recorded an attempt."""

    END = auto()
    """The call's row ends."""
    CONFIRM = auto()
    """The row ends of a call that was held back; until now the ledger held its attempt as not sent."""
    HOLD_BACK = auto()
    """Nothing, until other attempts show whose fault the refusal was."""
    AGAIN = auto()
    """The call is sent again, after a back-off of its own."""
    RETURN = auto()
    """The call did not leave, and waits for its turn again."""


class Settling(NamedTuple):
    """The outcome of a claimed call, for the ledger to record."""

    claimed: Claimed
    attempt: Attempt
    then: Then
