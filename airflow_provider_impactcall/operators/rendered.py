"""Options that are not texts, and become one where a template stands for them."""

from __future__ import annotations

from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.integration.options import whole


def flag(option: str, value: bool | str) -> bool:
    """The value of an option that is true or false.

    :raises InvalidOption: naming the option
    """
    if isinstance(value, bool):
        return value
    if value not in ("True", "False", "true", "false"):
        raise InvalidOption(f"{option} must be True or False")
    return value in ("True", "true")


def count(option: str, value: int | str | None) -> int | None:
    """The value of an option that is a whole number of zero or more; None if it is None or an empty text.

    :raises InvalidOption: naming the option
    """
    if not isinstance(value, str):
        return whole(option, value)
    text = value.strip()
    if text and not text.isdecimal():
        raise InvalidOption(f"{option} must be a whole number")
    return int(text) if text else None
