"""Durations in whole seconds."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter

from airflow_provider_impactcall.exceptions import ProblemCode
from airflow_provider_impactcall.records.normalize.numbers import (
    LONGEST_NUMBER,
    TOO_LARGE,
    decimal,
    integer,
    is_number,
    whole_number,
)
from airflow_provider_impactcall.records.normalize.values import UnfitValue, bare, described, reader

_WHAT = "a whole number of seconds"
_REMEDY = "; a source {'rounded_down': ...} leaves it out"
_FRACTION = f"must be {_WHAT}, and has a fraction{_REMEDY}"
# Python and pandas write a timedelta of more than a day as "1 day, 0:03:00" and "1 days 00:03:00".
_CLOCK = re.compile(r"(?:([0-9]{1,9}) days?,? )?([0-9]{1,9}):([0-5][0-9]):([0-5][0-9])(?:[.,]([0-9]{1,9}))?")
_DIGITS = re.compile(r"([0-9]{1,64})\.[0-9]{1,64}")
_TWO_PARTS = re.compile(r"[0-9]{1,9}:[0-5][0-9]")
# Years and months are not a fixed number of seconds.
_ISO = re.compile(r"P(?=[0-9T])(?:[0-9]{1,6}W)?(?:[0-9]{1,6}D)?(?:T(?=[0-9])(?:[0-9]{1,6}H)?(?:[0-9]{1,9}M)?"
                  r"(?:[0-9]{1,9}(?:\.[0-9]{1,9})?S)?)?")  # fmt: skip
_ISO_DURATION = TypeAdapter(timedelta)


def seconds(value: Any, *, rounded_down: bool = False) -> int:
    """A duration in whole seconds, zero or more.

    Takes a whole number, its digits as text (``180``, ``180.0``), ``H:MM:SS``, ISO 8601 (``PT3M``), and a
    ``timedelta`` of Python, pandas or numpy.

    :param rounded_down: drop a fraction of a second; without this, a fraction is refused
    :raises UnfitValue: for any other value, such as a fraction of a second, ``MM:SS`` (it may be ``HH:MM``), years and
        months (their length varies), and a numpy timedelta without a unit
    """
    if type(value) is int and 0 <= value < TOO_LARGE:  # the common cases, for speed
        return value
    if type(value) is int or (type(value) is str and value.isdecimal()):
        return integer(value, _WHAT)
    return _seconds(value, rounded_down)


@reader
def _seconds(value: Any, rounded_down: bool) -> int:
    if isinstance(value, str):
        return _of_text(bare(value), rounded_down)
    if type(value).__name__ == "timedelta64":
        value = _of_numpy(value, rounded_down)
    if isinstance(value, timedelta):
        value, rest = divmod(value, timedelta(seconds=1))
        if rest and not rounded_down:
            raise UnfitValue(_FRACTION, ProblemCode.FRACTION)
    return _whole(value, rounded_down)


def _whole(value: Any, rounded_down: bool) -> int:
    if rounded_down and isinstance(value, str) and (digits := _DIGITS.fullmatch(value)) is not None:
        value = digits[1]
    elif rounded_down and not isinstance(value, bool) and is_number(value) and whole_number(value) is None:
        exact = decimal(value)
        if exact >= 0:
            value = int(exact)
    return integer(value, _WHAT, _REMEDY)


def _of_text(value: str, rounded_down: bool) -> int:
    if len(value) <= LONGEST_NUMBER:
        if (clock := _CLOCK.fullmatch(value)) is not None:
            days, hours, minutes, whole, fraction = clock.groups("0")
            if int(fraction) and not rounded_down:
                raise UnfitValue(_FRACTION, ProblemCode.FRACTION)
            return ((int(days) * 24 + int(hours)) * 60 + int(minutes)) * 60 + int(whole)
        if _ISO.fullmatch(value):
            return seconds(_ISO_DURATION.validate_python(value), rounded_down=rounded_down)
        if _TWO_PARTS.fullmatch(value):
            raise UnfitValue(
                f"must be {_WHAT}, and has two parts, which may be hours or minutes; write H:MM:SS",
                ProblemCode.NOT_A_NUMBER,
            )
    return _whole(value, rounded_down)


def _of_numpy(value: Any, rounded_down: bool) -> Any:
    """A numpy timedelta64 as a timedelta, or as seconds where a timedelta is too coarse."""
    unit = value.dtype.name.removeprefix("timedelta64").strip("[]0123456789")
    if unit in ("", "Y", "M"):
        raise UnfitValue(
            f"must be {_WHAT}, and is {described(value)} without a unit of a fixed length", ProblemCode.NOT_A_NUMBER
        )
    plain = value.item()
    if plain is None or isinstance(plain, timedelta):
        return plain
    second = type(value)(1, "s")
    if value % second != type(value)(0, "s") and not rounded_down:
        raise UnfitValue(_FRACTION, ProblemCode.FRACTION)
    return int(value // second)
