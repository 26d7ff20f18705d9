"""Rows as a warehouse holds them: 20 parameters a call. All phone numbers are reserved ones (555-0100 to 555-0199).

Vendors' rows are in :mod:`benchmarks.vendor_rows`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

_AREA_CODES = ("206", "212", "303", "305", "312", "404", "415", "512", "602", "617", "702", "713", "801", "916")
_FIRST = datetime(2026, 9, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Rows:
    """Rows of one shape, in any number.

    :param name: their name in a benchmark's ``--rows``
    :param title: their name in a heading
    :param row: makes the row with a number; no two numbers have the same call
    :param ordered_by: the column that sorts the rows by their numbers
    :param options: how the rows become calls: options of a delivery, and of :class:`.CallMapping`
    """

    name: str
    title: str
    row: Callable[[int], dict[str, Any]]
    ordered_by: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def of(self, count: int, first: int = 0) -> Iterator[dict[str, Any]]:
        """Make ``count`` rows, each of a different call."""
        return map(self.row, range(first, first + count))


def row(number: int) -> dict[str, Any]:
    """The row of the call with this number."""
    caller = f"{_AREA_CODES[number // 100 % len(_AREA_CODES)]}55501{number % 100:02d}"
    talk = number * 37 % 900
    return {
        "campaign_id": 1000 + number % 3,
        "media_id": 20000 + number % 500,
        "event_date": _FIRST + timedelta(seconds=number * 3),
        "action_tracker_id": 4000,
        "call_provider": "ExampleVendor",
        "call_session_id": session_id(number),
        "caller_id": caller,
        "called_phone_number": f"866-555-01{number % 20:02d}",
        "call_duration": talk + 15,
        "talk_duration": talk,
        "call_status": "ANSWER",
        "caller_phone_number_country": "US",
        "called_phone_number_country": "US",
        "sub_id1": f"spring-{number % 40}",
        "sub_id2": f"landing-{number % 7}",
        "click_id": f"click{number:012x}",
        "city": "Springfield",
        "region": "IL",
        "zip": f"{number % 100_000:05d}",
        "repeat_caller": "new",
    }


def session_id(number: int) -> str:
    """The id of the call with this number."""
    return f"CA{number:030d}"


PLAIN = Rows("plain", "Plain rows", row, "event_date")
rows = PLAIN.of
