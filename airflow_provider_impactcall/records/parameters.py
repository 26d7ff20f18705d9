"""What is known of a parameter, and the one loop that reads a call's values: into text, or every reason why not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from airflow_provider_impactcall.exceptions import Problem, ProblemCode
from airflow_provider_impactcall.records import normalize
from airflow_provider_impactcall.records.kinds import Beside, Conventions, Kind, is_blank


class Parameter(NamedTuple):
    """What is known of one parameter.

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
"""How a parameter is read: its name, the reader of its kind, whether that needs others, what is wrong with a call that
lacks it (None if a call need not have it), and its kind. A tuple as such: of a named one, Python unpacks each item by
an iterator, which took as long as to read the value.
"""


def read_each(
    fields: Iterable[Field], values: Mapping[str, Any], conventions: Conventions
) -> tuple[dict[str, str], list[Problem]]:
    """The text that leaves for each value, and what is wrong with the others.

    :param fields: in the order of impact.com's page: some values need others, which come before them
    :param values: by parameter; ``None``, NaN and ``''`` count as absent, and so do blanks where they mean nothing
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
    """What can be read of each value though others are wrong, as text; ``''`` for one that is absent.

    :param fields: those to read; one whose value is wrong is left out
    :param values: as :func:`read_each` has them
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
    """Whether a value stands for "nothing", of a parameter of a kind."""
    return normalize.is_absent(value) and not (kind.may_be_empty and isinstance(normalize.plain(value), str))
