"""The periods that people ask about, and the steps that they are counted by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement

from airflow_provider_impactcall.exceptions import InvalidOption

LONGEST_COUNT = timedelta(days=31)
"""The longest period in which the delivered calls are counted one by one. With ten million calls in 18 months, it has
half a million."""

HOUR, DAY = 3600, 86_400

_LONGEST_BY_HOUR, _LONGEST_BY_DAY = timedelta(days=2), timedelta(days=92)


@dataclass(frozen=True)
class Period:
    """A period of time, with its first moment and without its last.

    :param since: with an offset from UTC
    :param until: the same, and later
    :raises InvalidOption: if one has no offset, or ``until`` is not later
    """

    since: datetime
    until: datetime

    def __post_init__(self) -> None:
        if any(moment.tzinfo is None for moment in (self.since, self.until)):
            raise InvalidOption("since and until must have an offset from UTC")
        if self.since >= self.until:
            raise InvalidOption("since must be before until")

    @property
    def countable(self) -> bool:
        """Whether the period's delivered calls can be counted one by one while someone waits."""
        return self.until - self.since <= LONGEST_COUNT

    def counted_one_by_one(self) -> Period:
        """The same period, in which delivered calls are counted one by one.

        :raises InvalidOption: if it is longer than :data:`LONGEST_COUNT`
        """
        if not self.countable:
            days = LONGEST_COUNT.days
            raise InvalidOption(f"calls are counted so for at most {days} days: choose a shorter period")
        return self

    def has(self, moment: sa.Column[Any]) -> tuple[ColumnElement[bool], ...]:
        """The conditions that a column's time is in the period."""
        return (moment >= self.since.timestamp(), moment < self.until.timestamp())


def steps_of(period: Period) -> tuple[str, list[datetime]]:
    """The step that a period is counted by (``hour``, ``day`` or ``month``), and when each step begins."""
    length = period.until - period.since
    step = "hour" if length <= _LONGEST_BY_HOUR else "day" if length <= _LONGEST_BY_DAY else "month"
    starts = [start_of(step, period.since)]
    while (following := _next(step, starts[-1])) < period.until:
        starts.append(following)
    return step, starts


def start_of(step: str, moment: datetime) -> datetime:
    """When the step begins that a time is in."""
    moment = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if step == "hour":
        return moment
    return moment.replace(hour=0) if step == "day" else moment.replace(hour=0, day=1)


_NEXT: Mapping[str, Callable[[datetime], datetime]] = {
    "hour": lambda start: start + timedelta(hours=1),
    "day": lambda start: start + timedelta(days=1),
    # 32 days after the first day of any month, it is the next month.
    "month": lambda start: start_of("month", start + timedelta(days=32)),
}


def _next(step: str, start: datetime) -> datetime:
    return _NEXT[step](start)


def moment_of(seconds: float) -> datetime:
    """A time of the ledger, in UTC.

    :param seconds: since 1970
    """
    return datetime.fromtimestamp(seconds, UTC)


def zulu(moment: datetime) -> str:
    """A time as the page shows it: ISO 8601 in UTC, with a ``Z``."""
    # Milliseconds only if there are any: a step begins at a whole hour.
    spec = "milliseconds" if moment.microsecond else "seconds"
    return moment.astimezone(UTC).isoformat(timespec=spec).replace("+00:00", "Z")
