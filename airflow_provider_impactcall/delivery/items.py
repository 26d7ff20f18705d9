"""A row after mapping: a call, or why there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from airflow_provider_impactcall.delivery.outcome import Outcome
from airflow_provider_impactcall.exceptions import Problem
from airflow_provider_impactcall.records import CallRecord

NO_KEY = "has none of the parameters of the option key"


class Call(NamedTuple):
    """A valid row.

    :param row: its number in the input, from 1
    """

    row: int
    record: CallRecord


@dataclass(frozen=True)
class Rejected:
    """A row that is not delivered, and will not be until it changes.

    :param row: its number in the input, from 1
    :param call_session_id: the call's id, if it has a readable one
    :param problems: every reason
    """

    row: int
    call_session_id: str | None
    problems: tuple[Problem, ...]


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
