"""Reads options that are not texts, but become texts if a template renders them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.integration.options import Problems, at_least_zero, whole


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


def tolerance(option: str, value: float | str | None) -> float | None:
    """How many rows a task tolerates: an int is a count, a float a share of the rows; None for any number.

    :raises InvalidOption: naming the option
    """
    if value is None or (value == "None" and option == "max_changed"):
        return None
    if isinstance(value, str):
        try:
            value = float(value) if "." in value else int(value)
        except ValueError:
            raise InvalidOption(f"{option} must be a count or a share of the rows, and is neither") from None
    tolerated = at_least_zero(option, value)
    if isinstance(tolerated, float) and tolerated > 1:
        raise InvalidOption(f"{option} is a share of the rows if it has a fraction, and must be at most 1.0")
    return tolerated


def rendered_limit(limit: int | str | None) -> int | None:
    """The value of ``limit``.

    :raises InvalidOption: if it is a text that is not a whole number. The text ``None`` is not "no limit", either: a
        template that should have given the limit found none
    """
    if not isinstance(limit, str):
        return limit
    _refuse_none("limit", limit)
    if not limit.isdecimal():
        raise InvalidOption("limit must be a whole number")
    return int(limit)


def refuse_missing(task: Any, *options: str) -> None:
    """Refuses options of a task that say what is sent, and to whom, if a template found no value for them. Else the
    namespace ``None``, for one, would have all past calls sent again. A real None still means "not given".

    :param task: the operator, once its fields are rendered
    :param options: names of its attributes. Of a dict, each value is looked at
    :raises InvalidOption: with all that are the text ``None``, and ``vendor`` if it is an empty text: without a preset,
        no row would be filtered
    """
    problems = Problems()
    for option in options:
        value = getattr(task, option)
        values = {f"{option}: {name}": each for name, each in value.items()} if isinstance(value, Mapping) else {}
        for name, each in (values or {option: value}).items():
            with problems.noted():
                _refuse_none(name, each)
        with problems.noted():
            if option == "vendor" and isinstance(value, str) and not value.strip():
                raise InvalidOption("vendor is an empty text: give the name of a preset, or leave it out")
    problems.refuse()


def _refuse_none(option: str, value: Any) -> None:
    if isinstance(value, str) and value == "None":
        raise InvalidOption(f"{option} is the text None: a template found no value for it")
