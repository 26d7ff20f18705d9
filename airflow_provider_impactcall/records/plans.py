"""Plans: how a mapping reads rows of one shape (the same columns). A plan is made once for each shape."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from airflow_provider_impactcall.exceptions import Problem
from airflow_provider_impactcall.records.call_record import PARAMETERS, fields_of
from airflow_provider_impactcall.records.columns import Row
from airflow_provider_impactcall.records.parameters import Field
from airflow_provider_impactcall.records.readers import NOTHING, Constant, FirstOf, Held, Reader
from airflow_provider_impactcall.records.straight import Left, Straight
from airflow_provider_impactcall.records.vendors import VendorPreset

_Read = Callable[[Row], Any]


class Reading(NamedTuple):
    """How the parameters of a row are read.

    :param filters: for each filter: the reason for leaving a call out, the function that says whether a value marks
        such a call, and the reader of the value
    :param guards: for each guard that rows have not passed: the readers of its columns, and the problem of a row
        without a value in any of them
    :param columns: the parameters that a column gives as it is, each with the column
    :param computed: the other parameters that a row gives, each with its reader
    :param fixed: value by parameter, for parameters that are the same in all rows
    :param defaults: the parameters with a default for rows without a value, each with the default
    :param fields: the fields of all these parameters
    """

    filters: Sequence[tuple[str, Callable[[Any], bool], _Read]]
    guards: Sequence[tuple[Sequence[_Read], str]]
    columns: Sequence[tuple[str, str]]
    computed: Sequence[tuple[str, _Read]]
    fixed: Mapping[str, Any]
    defaults: Sequence[tuple[str, Any]]
    fields: Sequence[Field]


class Plan(NamedTuple):
    """How a mapping reads opened rows with the same columns.

    :param aliases: the real column, by each name in the mapping that differs from it only in case
    :param problems: the problems of every row with these columns
    :param opens: whether opening such a row may change it
    :param unopened: says whether opening a given row would change nothing; None if that is unknown
    :param written: how to read a row of any type: it asks for every column in the mapping
    :param compiled: how to read a dict: it asks only for the columns that exist
    :param left: the same sources as ``compiled``
    :param straight: the fast path for an ordinary dict; None if there is none
    """

    aliases: Mapping[str, str]
    problems: Sequence[Problem]
    opens: bool
    unopened: Callable[[Row], bool] | None
    written: Reading
    compiled: Reading
    left: Left
    straight: Straight | None


class Sources(NamedTuple):
    """The sources of a mapping, independent of a row's columns.

    :param readers: by parameter
    :param constants: value by parameter
    :param preset: the preset whose filters leave calls out
    :param passed: the guards of the preset that rows have passed already
    """

    readers: Mapping[str, Reader]
    constants: Mapping[str, Any]
    preset: VendorPreset | None
    passed: Collection[str]


def as_written(
    sources: Sources,
    columns: Collection[str],
    by_name: Sequence[tuple[str, str]],
    defaults: Sequence[tuple[str, Any]],
) -> Reading:
    """How a row of any type is read.

    :param columns: the row's columns, with aliases
    :param by_name: the parameters with a column of their own name, each with the column
    """
    filters, guards = _told_apart(sources, columns)
    names = {*dict(by_name), *sources.readers, *sources.constants, *dict(defaults)}
    return Reading(
        [(reason, marks, reader.read) for reason, marks, reader in filters],
        [([reader.read for reader in readers], problem) for readers, problem in guards],
        by_name,
        [(name, reader.read) for name, reader in sources.readers.items()],
        sources.constants,
        defaults,
        fields_of(names),
    )


def left_of(
    sources: Sources,
    columns: Collection[str],
    by_name: Sequence[tuple[str, str]],
    defaults: Sequence[tuple[str, Any]],
) -> Left:
    """The sources, reduced for rows that are dicts. For the parameters, see :func:`as_written`."""
    filters, guards = _told_apart(sources, columns)
    left = {name: _within(name, reader, columns) for name, reader in sources.readers.items()}
    constant = {name: each.value for name, each in left.items() if isinstance(each, Constant) and each is not NOTHING}
    return Left(
        {
            **{name: Held(column) for name, column in by_name},
            **{name: each for name, each in left.items() if not isinstance(each, Constant)},
        },
        {**constant, **sources.constants},
        dict(defaults),
        [(reason, marks, each) for reason, marks, r in filters if (each := r.within(columns)) is not NOTHING],
        [([each for r in rs if (each := r.within(columns)) is not NOTHING], problem) for rs, problem in guards],
    )


def _within(name: str, reader: Reader, columns: Collection[str]) -> Reader:
    left = reader.within(columns)
    # For this parameter the empty text is a value, but FirstOf never gives it. So a FirstOf of one reader stays one.
    kept = isinstance(reader, FirstOf) and PARAMETERS[name].allowed and "" in PARAMETERS[name].allowed
    return FirstOf([left]) if kept and not isinstance(left, (FirstOf, Constant)) else left


def compiled(left: Left) -> Reading:
    """How a row that is a dict is read."""
    alone = {
        name: default for name, default in left.defaults.items() if name not in left.readers and name not in left.fixed
    }
    return Reading(
        [(reason, marks, each.read) for reason, marks, each in left.filters],
        [([each.read for each in readers], problem) for readers, problem in left.guards],
        [(name, each.name) for name, each in left.readers.items() if isinstance(each, Held)],
        [(name, each.read) for name, each in left.readers.items() if not isinstance(each, Held)],
        {**left.fixed, **alone},
        [(name, default) for name, default in left.defaults.items() if name not in alone],
        fields_of({*left.readers, *left.fixed, *alone}),
    )


def _told_apart(
    sources: Sources, columns: Collection[str]
) -> tuple[list[tuple[str, Callable[[Any], bool], Reader]], list[tuple[Sequence[Reader], str]]]:
    """The filters and guards of the preset, as :class:`Reading` has them, with readers."""
    preset = sources.preset
    if preset is None:
        return [], []
    guards = [each for each in preset.guards if each.guard not in sources.passed]
    return (
        [(each.reason, each.marks, each.reader) for each in preset.filters],
        [(each.readers, each.problem(columns)) for each in guards],
    )
