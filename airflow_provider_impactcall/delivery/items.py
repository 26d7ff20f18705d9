"""A row after mapping: a call, or the reason why it is not a call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from airflow_provider_impactcall.delivery.identity import Claim
from airflow_provider_impactcall.delivery.outcome import Outcome
from airflow_provider_impactcall.exceptions import Problem
from airflow_provider_impactcall.records import CallRecord

NO_KEY = "has none of the parameters of the option key"

MOST_DEAD_LETTERS = 10_000
"""So many invalid rows of an input get an entry each in the ledger; further rows are only counted."""


class Call(NamedTuple):
    """A valid row.

    :param row: its number in the input, from 1
    :param claim: the call's claim, or None if it was not made yet
    """

    row: int
    record: CallRecord
    claim: Claim | None = None


class Traces(NamedTuple):
    """Identifies an invalid row when it is read again, and when its call is delivered. Never leaves this process.

    :param legible: the text of the requested parameters that can be read; ``''`` for a parameter that is absent
    :param content: a digest of the row's values
    """

    legible: Mapping[str, str]
    content: bytes


@dataclass(frozen=True)
class Rejected:
    """A row that is not a valid call, and cannot be delivered until the row changes.

    :param row: its number in the input, from 1
    :param call_session_id: the call's id, if it has a readable one
    :param problems: every reason
    :param traces: what identifies the row, or None if that was not asked for
    """

    row: int
    call_session_id: str | None
    problems: tuple[Problem, ...]
    traces: Traces | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Skipped:
    """A row that is left out on purpose.

    :param row: its number in the input, from 1
    :param call_session_id: the call's id, if it has a readable one
    :param reason: why
    """

    row: int
    call_session_id: str | None
    reason: str


Item = Call | Rejected | Skipped

Listener = Callable[[Item, Outcome], None]
