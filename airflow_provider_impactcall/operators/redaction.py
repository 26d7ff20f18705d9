"""Keeps rows out of what Airflow renders, stores and shows."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sized
from copy import copy
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import AirflowException, XComArg

from airflow_provider_impactcall.phone_like import looks_like_phone_number

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

log = logging.getLogger(__name__)


class Templates(Enum):
    """Which text of a hidden value is a template. References to other tasks are resolved in any case."""

    ALL = "all"
    """All text, as in other operators: the arguments of a function."""
    OUTSIDE_ROWS = "outside rows"
    """A text, and the texts of a list: the paths of files. Text in a row may hold any characters."""
    NONE = "none"
    """No text: a value of a row."""


class Redacted:
    """A value of a template field that shows only its type and size, unless it is a path.

    Airflow stores the text of every rendered template field in its database and shows it, and rows hold
    callers' numbers. :class:`HiddenFields` renders it.

    :param value: anything
    :param templates: which text of it is a template
    """

    def __init__(self, value: Any, templates: Templates = Templates.OUTSIDE_ROWS) -> None:
        self.value = value
        self.templates = templates

    def __repr__(self) -> str:
        from airflow_provider_impactcall.integration.files import is_path
        from airflow_provider_impactcall.integration.paths import shown

        if is_path(self.value):
            return shown(self.value)
        size = f" of {len(self.value)}" if isinstance(self.value, Sized) and not isinstance(self.value, str) else ""
        return f"<{type(self.value).__name__}{size}, hidden>"


class HiddenFields:
    """An operator with :class:`Redacted` values in its template fields."""

    def render_template(
        self, content: Any, context: Context, jinja_env: Any = None, seen_oids: set[int] | None = None
    ) -> Any:
        """Render a value as Airflow does, but of a hidden value a copy, as several task instances of one process share
        the value.

        :param content: the value; Airflow calls this method for each part of a field
        :param context: Airflow's, of the task
        :param jinja_env: Airflow's environment for templates
        :param seen_oids: ids of the objects that are not templates: what other tasks gave
        :raises AirflowException: if a template in a hidden value fails. The error that Jinja raises quotes the template
        """
        render: Callable[..., Any] = super().render_template  # type: ignore[misc]
        if not isinstance(content, Redacted):
            return render(content, context, jinja_env, seen_oids)
        given = set() if seen_oids is None else seen_oids
        rendering = _Rendering(partial(render, context=context, jinja_env=jinja_env, seen_oids=given), given)
        try:
            value = rendering.of(content.value, content.templates)
        except AirflowException:
            raise
        except Exception as error:
            raise AirflowException(f"{content!r}: its template cannot be rendered ({type(error).__name__})") from None
        if rendering.left_alone:
            log.warning(
                "%d values of rows look like templates, and are sent as they are: only text outside a row is a "
                "template",
                rendering.left_alone,
            )
        return Redacted(value, content.templates)


class _Rendering:
    """Renders a copy of one hidden value.

    :param render: renders a value as Airflow does
    :param given: ids of the objects that are not templates
    :ivar left_alone: how many values of rows look like templates
    """

    def __init__(self, render: Callable[[Any], Any], given: Collection[int]) -> None:
        self.left_alone = 0
        self._render = render
        self._given = given

    def of(self, value: Any, templates: Templates) -> Any:
        from airflow.providers.common.compat.sdk import ObjectStoragePath

        if id(value) in self._given:
            return value
        if isinstance(value, Redacted):
            return Redacted(self.of(value.value, value.templates), value.templates)
        if templates is Templates.ALL or _is_reference(value):
            return self._render(value)
        if isinstance(value, (str, ObjectStoragePath)):
            if templates is Templates.OUTSIDE_ROWS:
                return self._render(value)
            self.left_alone += "{{" in str(value) or "{%" in str(value)
            return value
        if type(value) in (list, tuple, set):
            return type(value)(self.of(item, templates) for item in value)
        if type(value) is dict:
            return {name: self.of(item, Templates.NONE) for name, item in value.items()}
        # Airflow renders an object with template fields of its own in place.
        return self._render(copy(value)) if hasattr(type(value), "template_fields") else value


def _is_reference(value: Any) -> bool:
    """Whether Airflow resolves it to what another task gave, an argument of a task group, or a parameter."""
    return hasattr(type(value), "iter_references")


def redact(value: Any, templates: Templates = Templates.OUTSIDE_ROWS) -> Any:
    """The value, hidden except for the references in it, which Airflow still has to resolve and shows as references."""
    if isinstance(value, (Redacted, XComArg)):
        return value
    if not any(True for _ in XComArg.iter_xcom_references(value)):
        return Redacted(value, templates)
    if isinstance(value, Mapping):
        # The names stay visible, as Airflow has to see the references.
        within = templates if templates is Templates.ALL else Templates.NONE
        return {name: redact(item, within) for name, item in value.items()}
    return [redact(item, templates) for item in value] if isinstance(value, (list, tuple)) else value


def redact_phone_numbers(value: Any) -> Any:
    """Parameters of a query; those that look like phone numbers are hidden, the days of its window stay readable."""
    if looks_like_phone_number(value):
        return Redacted(value, Templates.ALL)
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
