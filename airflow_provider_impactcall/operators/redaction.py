"""Keeps rows out of what Airflow renders, stores and shows."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import Any

from airflow.providers.common.compat.sdk import XComArg

from airflow_provider_impactcall.phone_like import looks_like_phone_number


class Redacted:
    """A value of a template field that shows only its type and size, unless it is a path.

    Airflow stores the text of every rendered template field in its database and shows it, and rows hold
    callers' numbers. It still renders templates inside the value.

    :param value: anything
    """

    template_fields = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        from airflow_provider_impactcall.integration.files import is_path
        from airflow_provider_impactcall.integration.paths import shown

        if is_path(self.value):
            return shown(self.value)
        size = f" of {len(self.value)}" if isinstance(self.value, Sized) and not isinstance(self.value, str) else ""
        return f"<{type(self.value).__name__}{size}, hidden>"


def redact(value: Any) -> Any:
    """The value, hidden except for the references in it, which Airflow still has to resolve and shows as references."""
    if isinstance(value, (Redacted, XComArg)):
        return value
    if not any(True for _ in XComArg.iter_xcom_references(value)):
        return Redacted(value)
    if isinstance(value, Mapping):
        # The names stay visible, as Airflow has to see the references.
        return {name: redact(item) for name, item in value.items()}
    return [redact(item) for item in value] if isinstance(value, (list, tuple)) else value


def redact_phone_numbers(value: Any) -> Any:
    """Parameters of a query; those that look like phone numbers are hidden, the days of its window stay readable."""
    if looks_like_phone_number(value):
        return Redacted(value)
    if isinstance(value, Mapping):
        return {name: redact_phone_numbers(item) for name, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(redact_phone_numbers(item) for item in value)
    return value


def reveal(value: Any) -> Any:
    """The value that :func:`redact` or :func:`redact_phone_numbers` hid, with the references in it resolved."""
    if isinstance(value, Redacted):
        return reveal(value.value)
    if type(value) in (list, tuple) and any(map(_holds_redacted, value)):
        return type(value)(reveal(item) for item in value)
    if type(value) is dict and any(map(_holds_redacted, value.values())):
        return {name: reveal(item) for name, item in value.items()}
    return value


def _holds_redacted(value: Any) -> bool:
    if type(value) is dict:
        value = list(value.values())
    return isinstance(value, Redacted) or (type(value) in (list, tuple) and any(map(_holds_redacted, value)))
