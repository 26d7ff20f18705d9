"""One valid row, and the values of it that no message may have. All phone numbers are reserved or cannot exist."""

from __future__ import annotations

from typing import Any, Final

from airflow_provider_impactcall.exceptions import InvalidCall
from airflow_provider_impactcall.records import CallMapping

CALLER = "212-555-0142"
RECORDING = "https://recordings.example.com/7731.mp3"
SESSION = "session-5150"
PRIVATE = (CALLER, CALLER.replace("-", ""), "555-0142", RECORDING, "7731", SESSION, "5150")

REQUIRED: Final = (
    "CampaignId",
    "MediaId",
    "EventDate",
    "ActionTrackerId",
    "CallProvider",
    "CallSessionId",
    "CallerId",
    "CalledPhoneNumber",
    "CallDuration",
    "TalkDuration",
)


class _NoColumn:
    """Takes a column out of the row."""


NO_COLUMN: Final = _NoColumn()


def good_row(changes: dict[Any, Any] | None = None) -> dict[Any, Any]:
    """A row that is a valid call, except for these changes."""
    row = {
        "CampaignId": 1000,
        "MediaId": 10000,
        "EventDate": "2026-09-10T22:55:32-08:00",
        "ActionTrackerId": 4000,
        "CallProvider": "ExampleVendor",
        "CallSessionId": SESSION,
        "CallerId": CALLER,
        "CalledPhoneNumber": "(303) 555-0191",
        "CallDuration": 180,
        "TalkDuration": 120,
        "CallStatus": "ANSWER",
        "CallRecording": RECORDING,
        **(changes or {}),
    }
    return {column: value for column, value in row.items() if value is not NO_COLUMN}


def problems_of(row: Any, **options: Any) -> list[tuple[str, str]]:
    """The problems of a row, as (parameter, message); empty for a valid one."""
    return [(parameter, message) for parameter, _, message in coded_problems_of(row, **options)]


def coded_problems_of(row: Any, **options: Any) -> list[tuple[str, str, str]]:
    """The problems of a row, as (parameter, code, message)."""
    try:
        CallMapping(**options).record(row)
    except InvalidCall as error:
        return [(problem.parameter, problem.code, problem.message) for problem in error.problems]
    return []


def wire_text(row: Any, **options: Any) -> dict[str, str]:
    """The parameters that a valid row is sent with."""
    return CallMapping(**options).record(row).parameters()
