"""The facts about a parameter, and the loop that reads a call's values into text or into problems."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from airflow_provider_impactcall.exceptions import Problem, ProblemCode
from airflow_provider_impactcall.records import normalize
from airflow_provider_impactcall.records.kinds import Beside, Conventions, Kind, is_blank


class Parameter(NamedTuple):
    """The facts about one parameter.

    :param name: impact.com's spelling
    :param type: impact.com's placeholder: ``integer``, ``number`` or ``string``
    :param required: whether impact.com requires it
    :param limit: the most characters, or None (impact.com: 64 character UTF-8)
    :param allowed: the only words, or empty
    :param description: what it means
    """

    name: str
    type: str
    required: bool
    limit: int | None
    allowed: tuple[str, ...]
    description: str


Field = tuple[str, Callable[..., Any], bool, str | None, Kind[Any]]
"""How a parameter is read: its name, the reader of its kind, whether the reader needs a :class:`.Beside`, the problem
if it is missing (None if it may be absent), and its kind. A plain tuple for speed: unpacking a named tuple took as long
as reading the value.
"""


def read_each(
    fields: Iterable[Field], values: Mapping[str, Any], conventions: Conventions
) -> tuple[dict[str, str], list[Problem]]:
    """The text to send for each valid value, and the problems of the other values.

    :param fields: in the order of impact.com's page: some values need other values, which come before them
    :param values: by parameter; ``None``, NaN and ``''`` count as absent, and so do blanks unless the kind keeps them
    """
    found: dict[str, str] = {}
    problems: list[Problem] = []
    beside = Beside(values, found, conventions)
    get = values.get
    for name, read, needs_others, lacking, kind in fields:
        value = get(name)
        if value is None or (
            (type(value) is not str or not value) and type(value) is not int and is_absent(value, kind)
        ):
            value = None
            if kind.number is None:
                if lacking is not None:
                    problems.append(Problem(name, ProblemCode.MISSING, lacking))
                continue
        try:
            sent = read(value, beside) if needs_others else read(value)
        except normalize.UnfitValue as error:
            if kind.blanks_stay or kind.number is not None or not is_blank(value):
                problems.append(Problem(name, error.code, str(error)))
            elif lacking is not None:
                problems.append(Problem(name, ProblemCode.MISSING, lacking))
        else:
            if type(sent) is str:
                found[name] = sent
            elif sent is not None:
                found[name] = str(sent)
    return found, problems


def read_alone(fields: Iterable[Field], values: Mapping[str, Any], conventions: Conventions) -> dict[str, str]:
    """The text of each value that can be read, though others may be wrong; ``''`` for an absent value.

    :param fields: the fields to read; the result leaves out each whose value is wrong
    :param values: see :func:`read_each`
    """
    found: dict[str, str] = {}
    for name, read, needs_others, _, kind in fields:
        value = values.get(name)
        if is_absent(value, kind) or (not kind.blanks_stay and is_blank(value)):
            found[name] = ""
            continue
        with suppress(normalize.UnfitValue):
            sent = read(value, Beside(values, {}, conventions)) if needs_others else read(value)
            found[name] = "" if sent is None else str(sent)
    return found


def is_absent(value: Any, kind: Kind[Any]) -> bool:
    """Whether a value counts as absent for a parameter of this kind."""
    return normalize.is_absent(value) and not (kind.may_be_empty and isinstance(normalize.plain(value), str))
