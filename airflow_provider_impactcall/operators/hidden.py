"""Keeps rows out of what Airflow renders, stores and shows."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any

from airflow.providers.common.compat.sdk import XComArg


class Hidden:
    """A value of a template field that shows no more of itself than how much there is of it, unless it is a path.

    Airflow stores the text of every rendered template field in its database and shows it, and rows hold
    callers' numbers. It still renders templates inside the value.

    :param value: anything
    """

    template_fields = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        from airflow_provider_impactcall.hooks.files import is_path

        if is_path(self.value):
            return str(self.value)
        size = f" of {len(self.value)}" if isinstance(self.value, Sized) and not isinstance(self.value, str) else ""
        return f"<{type(self.value).__name__}{size}, hidden>"


def hide(value: Any) -> Any:
    """The value, hidden, but for the references in it, which Airflow has yet to resolve and shows as such."""
    if isinstance(value, (Hidden, XComArg)):
        return value
    if not any(True for _ in XComArg.iter_xcom_references(value)):
        return Hidden(value)
    return [hide(item) for item in value] if isinstance(value, (list, tuple)) else value


def reveal(value: Any) -> Any:
    """What :func:`hide` was given, once Airflow has resolved the references in it."""
    if isinstance(value, Hidden):
        return reveal(value.value)
    if isinstance(value, list) and any(isinstance(item, Hidden) for item in value):
        return [reveal(item) for item in value]
    return value
