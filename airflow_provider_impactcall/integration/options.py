"""Options that are numbers, as they must be. DAG files import this with the operators, so it imports no library."""

from __future__ import annotations

import math

from airflow_provider_impactcall.exceptions import InvalidOption


def positive(option: str, value: float | None) -> float | None:
    """The value of an option that is a finite number over zero, or None.

    :raises InvalidOption: naming the option
    """
    if value is not None and not 0 < at_least_zero(option, value) < math.inf:
        raise InvalidOption(f"{option} must be more than zero, and finite")
    return value


def whole(option: str, value: float | None) -> int | None:
    """The value of an option that is a whole number of zero or more, or None.

    :raises InvalidOption: naming the option
    """
    if value is None:
        return None
    if isinstance(at_least_zero(option, value), float) and not value.is_integer():
        raise InvalidOption(f"{option} must be a whole number")
    return int(value)


def at_least_zero(option: str, value: float) -> float:
    """The value of an option that is a number of zero or more.

    :raises InvalidOption: naming the option
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
        raise InvalidOption(f"{option} must be a number of zero or more")
    return value
