"""Checks the options of a mapping."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.records import normalize
from airflow_provider_impactcall.records.call_record import PARAMETERS, no_parameter
from airflow_provider_impactcall.records.vendors import GUARDS, VendorPreset

MOST_PARTS = 100_000
"""The most parts of a mapping: its sources, and everything inside them."""

DEEPEST = 50
"""The most levels of sources inside sources: each level is a nested function call when a row is read."""


def is_small(document: Any, *, lookups: bool = True) -> bool:
    """Whether a mapping is within these bounds. A YAML alias counts as often as it is used, with all of its content.

    :param lookups: whether the tables of lookups count; these may be as large as a table of a database
    """
    ahead = [(document, 1)]
    seen = 0
    while ahead:
        part, level = ahead.pop()
        seen += 1
        if seen > MOST_PARTS or level > DEEPEST:
            return False
        if isinstance(part, Mapping):
            ahead += [(each, level + 1) for name, each in part.items() if lookups or name != "lookup"]
        elif isinstance(part, (list, tuple)):
            ahead += [(each, level + 1) for each in part]
        if len(ahead) > MOST_PARTS:
            return False
    return True


def refuse_large(mapping: Mapping[str, Any]) -> None:
    """Refuses a mapping that exceeds the bounds. The size of its lookups does not count.

    :raises InvalidOption: with the bounds
    """
    if not is_small(mapping, lookups=False):
        raise InvalidOption(f"mapping has more than {MOST_PARTS} parts, or {DEEPEST} levels")


def passed_of(prefiltered: Any, preset: VendorPreset | None) -> tuple[Collection[str], list[str]]:
    """The guards that rows have passed, and the problems of this option."""
    if prefiltered is None:
        return (), []
    if isinstance(prefiltered, str) or not isinstance(prefiltered, Collection):
        return (), [f"prefiltered must be a list of guards, and is {normalize.described(prefiltered)}"]
    problems = [
        f"prefiltered: {guard!r} is not a guard (there are {', '.join(GUARDS)})"
        for guard in prefiltered
        if guard not in GUARDS
    ]
    if prefiltered and preset is None:
        problems.append("prefiltered names guards of a preset, and there is no vendor")
    return tuple(prefiltered), problems


def nulls_of(nulls: Any) -> tuple[Collection[str], list[str]]:
    """The words that stand for nothing, and the problems of this option."""
    if nulls is None:
        return (), []
    if isinstance(nulls, str) or not isinstance(nulls, Collection):
        return (), [f"nulls must be a list of words, and is {normalize.described(nulls)}"]
    if any(not isinstance(word, str) or not word or word != word.strip() for word in nulls):
        return (), ["nulls must be a list of words, without blanks around them"]
    return frozenset(nulls), []


def misnamed(option: str, names: Iterable[str]) -> list[str]:
    """The problems of an option that has parameters as its keys: one for each key that is not a parameter."""
    return [f"{option}: {name!r} {no_parameter(str(name))}" for name in names if name not in PARAMETERS]


def zone(timezone: str | tzinfo | None) -> tzinfo | None:
    """The time zone of times without an offset; None if none is given.

    :param timezone: an IANA name such as ``America/New_York``, or a time zone
    :raises InvalidOption: if it is another type, or this machine has no such zone
    """
    if timezone is None or isinstance(timezone, tzinfo):
        return timezone
    if not isinstance(timezone, str):
        raise InvalidOption(f"timezone must be an IANA name or a tzinfo, and is {normalize.described(timezone)}")
    try:
        return ZoneInfo(timezone)
    except (KeyError, OSError, ValueError):
        raise InvalidOption(f"timezone: {timezone!r} is not an IANA time zone such as America/New_York") from None
