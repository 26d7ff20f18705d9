"""Finds the columns that are named like a parameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from airflow_provider_impactcall.exceptions import Problem, ProblemCode
from airflow_provider_impactcall.records.call_record import PARAMETERS
from airflow_provider_impactcall.records.column_names import in_their_style


@lru_cache(maxsize=64)
def columns_by_parameter(columns: tuple[Any, ...]) -> Mapping[str, tuple[str, ...]]:
    """The columns that are named like a parameter, in any case or underscore style, by parameter."""
    found: dict[str, tuple[str, ...]] = {}
    for column in columns:
        name = _BY_FOLDED_NAME.get(_folded(column)) if isinstance(column, str) else None
        if name is not None:
            found[name] = (*found.get(name, ()), column)
    return found


@lru_cache(maxsize=64)
def read_by_name(
    columns: tuple[Any, ...], sourced: frozenset[str]
) -> tuple[Sequence[tuple[str, str]], Sequence[Problem]]:
    """The parameters with a column of their own name, each with its column, and a problem if two columns fit.

    :param sourced: the parameters with another source, which are skipped
    """
    found = {name: each for name, each in columns_by_parameter(columns).items() if name not in sourced}
    problems = tuple(
        Problem(name, ProblemCode.AMBIGUOUS_COLUMN, f"has two columns, {meant}; name the right one in mapping")
        for name, each in found.items()
        if len(each) > 1
        for meant in [" and ".join(in_their_style(each, columns))]
    )
    return tuple((name, each[0]) for name, each in found.items()), problems


def _folded(name: str) -> str:
    return name.replace("_", "").casefold()


_BY_FOLDED_NAME = {_folded(name): name for name in PARAMETERS}
