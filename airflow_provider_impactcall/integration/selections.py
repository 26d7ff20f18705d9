"""The selection of calls that a task's options or a form's fields stand for."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, TypeAlias

from airflow_provider_impactcall.delivery.ledger.selection import Selection, status_of
from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.integration.options import Problems

Several: TypeAlias = Iterable[str | int] | str | int | None
"""One, a list, or a text of several, separated by commas or line breaks; None or an empty text if not given."""

MOST = 10_000
"""The most ids that a query of every database takes."""

_Condition: TypeAlias = tuple[str, str, Callable[[str, Any], Any], Any]


def selection_of(
    *,
    call_session_ids: Several = None,
    state: Several = None,
    reason_code: str | None = None,
    run_id: str | None = None,
    since: datetime | str | None = None,
    until: datetime | str | None = None,
    reason: str | None = None,
    status: int | str | None = None,
    media_ids: Several = None,
    campaign_ids: Several = None,
) -> Selection:
    """The selection of the calls that are meant. None and an empty text mean: not given.

    :param since: also as ISO 8601; in UTC if it has no offset
    :param until: likewise
    :raises InvalidOption: with everything that is wrong, also if no option is given
    """
    conditions: tuple[_Condition, ...] = (
        ("call_session_ids", "call_session_ids", _several, call_session_ids),
        ("states", "state", _several, state),
        ("reason_code", "reason_code", _text, reason_code),
        ("run_id", "run_id", _text, run_id),
        ("since", "since", moment_of, since),
        ("until", "until", moment_of, until),
        ("reason", "reason", _text, reason),
        ("status", "status", _status, status),
        ("media_ids", "media_ids", _several, media_ids),
        ("campaign_ids", "campaign_ids", _several, campaign_ids),
    )
    problems = Problems()
    found: dict[str, Any] = {}
    given = False
    for field, option, read, value in conditions:
        if value is None or (isinstance(value, str) and not value.strip()):
            continue
        given = True
        with problems.noted():
            found[field] = read(option, value)
            # ``Selection`` has rules of its own: with one field at a time, all that are broken are reported.
            Selection(**{field: found[field]})
    with problems.noted():
        if not given:
            options = ", ".join(option for _, option, *_ in conditions)
            raise InvalidOption(f"nothing selects calls: give at least one of {options}")
    problems.refuse()
    return Selection(**found)


def _several(option: str, value: Any) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(_each(option, value)))
    if not found:
        # An empty list would select every call, as if the option were not given.
        raise InvalidOption(f"{option} is an empty list: leave it out, or give at least one")
    if len(found) > MOST:
        raise InvalidOption(f"{option} has {len(found)} entries, and may have {MOST}: use several tasks")
    return found


def _each(option: str, value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from filter(None, map(str.strip, re.split(r"[,\r\n]", value)))
        return
    for each in value if isinstance(value, Iterable) else (value,):
        if isinstance(each, bool) or not isinstance(each, (str, int)) or not str(each).strip():
            raise InvalidOption(f"{option} must be a text or a list of texts, and holds something else")
        yield str(each).strip()


def _text(option: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidOption(f"{option} must be a text")
    return value.strip()


def _status(option: str, value: Any) -> int:
    return status_of(value.strip() if isinstance(value, str) else value)


def moment_of(option: str, value: Any) -> datetime:
    """A datetime or a text in ISO 8601, converted to UTC; without an offset, it is taken as UTC.

    :param option: its name, for the error
    :raises InvalidOption: if it is neither
    """
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value.strip())
        # Near the first and the last year, a time may have no equal in UTC.
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (AttributeError, ValueError, OverflowError):
        raise InvalidOption(
            f"{option} must be a date or time in ISO 8601, such as 2026-09-10 or 2026-09-10T22:55Z"
        ) from None
