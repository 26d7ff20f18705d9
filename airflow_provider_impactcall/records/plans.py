"""What rows of one shape are to a mapping: all that the names of their columns decide, so that it is decided once."""

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
    """How all that a row holds is read.

    :param filters: for each kind of call that is left out: what such a call is, whether a value marks one, what reads
        the value
    :param guards: for each guard that rows have not passed: what reads its columns, and what is wrong with a row that
        has nothing in any
    :param columns: the parameters that a column gives as it is, with the column
    :param computed: the other parameters that a row gives, with what reads them
    :param fixed: value by parameter, of those that are the same in all rows
    :param defaults: the parameters that have a value where a row has none, with the value
    :param fields: of all these parameters
    """

    filters: Sequence[tuple[str, Callable[[Any], bool], _Read]]
    guards: Sequence[tuple[Sequence[_Read], str]]
    columns: Sequence[tuple[str, str]]
    computed: Sequence[tuple[str, _Read]]
    fixed: Mapping[str, Any]
    defaults: Sequence[tuple[str, Any]]
    fields: Sequence[Field]


class Plan(NamedTuple):
    """What the columns of a row, once it is opened, are to a mapping.

    :param aliases: the column that is meant, by each name of the mapping's that differs from it in case alone
    :param problems: what is wrong with every row of these columns
    :param opens: whether such a row may be another once it is opened
    :param unopened: tells of a row that is not opened that it would be the same; None if that is not known
    :param written: how a row of any type is read: each column that is asked for, whether or not it is there
    :param compiled: how a row that is a dict is read: only the columns that are there
    :param straight: how such a row is read in which nothing is out of the ordinary; None if none is such
    """

    aliases: Mapping[str, str]
    problems: Sequence[Problem]
    opens: bool
    unopened: Callable[[Row], bool] | None
    written: Reading
    compiled: Reading
    straight: Straight | None


class Sources(NamedTuple):
    """Where a mapping has values from, whatever a row's columns.

    :param readers: of parameters, by name
    :param constants: value by parameter
    :param preset: that tells calls which are left out
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

    :param columns: of the row, with aliases
    :param by_name: the parameters that columns named like them give, with the column
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
    """What is left of sources for rows that are dicts; see :func:`as_written`."""
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
    # Text of no characters is a value of its own to this parameter, but the first of several is never such.
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
