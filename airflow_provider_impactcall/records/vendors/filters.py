"""Filters: which calls a preset leaves out. Guards: filters whose columns must exist."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, get_args

from airflow_provider_impactcall.exceptions import ProblemCode
from airflow_provider_impactcall.records import normalize
from airflow_provider_impactcall.records.columns import Row, is_among
from airflow_provider_impactcall.records.readers import Column, Reader
from airflow_provider_impactcall.records.sources import Source, folded, in_words, names_in, reader_of
from airflow_provider_impactcall.records.wording import may_be_kept

Guard = Literal["direction", "ended"]
"""A kind of filter that calls must have passed. Without it, calls that must never be sent look like all others."""

GUARDS: Sequence[Guard] = get_args(Guard)

_MOST_VERDICTS = 256


@dataclass(frozen=True)
class Filter:
    """Calls that are left out on purpose, such as those that have not ended.

    :param reason: a name for such a call in the report: ``an outbound call``
    :param source: gives the value that marks such a call
    :param values: the values that mark such a call, in any case; a call without a value stays
    :param stays: the values of calls that stay: any other value rejects the row with a message; None: all others stay
    :param unfinished: whether such a row is a version of a call that will come again: any other version of the call in
        the same input is preferred to it
    :param guard: the kind of guard, if the filter is one: rows without a value in any of its columns are rejected,
        unless the filter leaves them out
    :param columns: the columns that this filter needs, one of which is enough; None: the columns of ``source``
    """

    reason: str
    source: Source
    values: Collection[Any]
    stays: Collection[Any] | None = None
    unfinished: bool = False
    guard: Guard | None = None
    columns: Sequence[str] | None = None

    @cached_property
    def told_by(self) -> Sequence[str]:
        """The columns that this filter needs, one of which is enough; empty if they are unknown."""
        return tuple(names_in(self.source)) if self.columns is None else self.columns

    def leaves_out(self, row: Row) -> bool:
        """Whether a row is such a call.

        :raises UnfitValue: if the value neither marks a call nor lets it stay
        """
        return self.marks(self.reader.read(row))

    def marks(self, value: Any) -> bool:
        """Whether a value marks such a call.

        :param value: the value that :attr:`reader` reads from the row
        :raises UnfitValue: if the value neither marks a call nor lets it stay
        """
        if value is None:
            return False
        if type(value) is str or type(value) is bool:
            found = self._verdicts.get(value)
            if found is not None:
                return found
        if normalize.is_absent(value):
            return False
        word = folded(value)
        marked = word in self._values
        if marked or not word or self._staying is None or word in self._staying:
            if type(value) is bool or (type(value) is str and may_be_kept(value)):
                if len(self._verdicts) >= _MOST_VERDICTS:
                    self._verdicts.clear()
                self._verdicts[value] = marked
            return marked
        told = in_words(self.source).replace("`", "")
        raise normalize.UnfitValue(
            f"may be {self.reason}: {told} is {normalize.word(value, [*self.values, *(self.stays or ())])}",
            ProblemCode.UNKNOWN_WORD,
        )

    @cached_property
    def reader(self) -> Reader:
        """Reads the value that marks such a call."""
        return reader_of(self.source)

    @cached_property
    def _verdicts(self) -> dict[str | bool, bool]:
        return {}

    @cached_property
    def _values(self) -> Collection[str]:
        return frozenset(map(folded, self.values))

    @cached_property
    def _staying(self) -> Collection[str] | None:
        return None if self.stays is None else frozenset(map(folded, self.stays))


class Guarding(NamedTuple):
    """The needs of a preset's filters of one kind of guard.

    :param reason: a name for the calls that they leave out
    :param names: the columns that they need, one of which is enough
    :param readers: the readers of these columns
    """

    guard: Guard
    reason: str
    names: Sequence[str]
    readers: Sequence[Reader]

    def is_told_by(self, columns: Collection[str]) -> bool:
        """Whether one of the guard's columns is among these."""
        return any(is_among(name, columns) for name in self.names)

    def problem(self, columns: Collection[str]) -> str:
        """The problem of a row that the guard cannot judge, to be read after ``row``: the guard's column is missing or,
        if the row has one of its columns, empty.
        """
        empty = [name for name in self.names if is_among(name, columns)]
        return _unset(self.guard, self.reason, empty) if empty else _untold(self.guard, self.reason, self.names)


def guards_of(filters: Iterable[Filter]) -> Sequence[Guarding]:
    """The needs of those filters that are guards, for each kind of guard."""
    found = []
    for guard in GUARDS:
        of_kind = [each for each in filters if each.guard == guard and each.told_by]
        if of_kind:
            names = tuple(dict.fromkeys(name for each in of_kind for name in each.told_by))
            found.append(Guarding(guard, of_kind[0].reason, names, tuple(map(Column, names))))
    return found


def _untold(guard: Guard, reason: str, names: Iterable[str]) -> str:
    return (
        f"has no column {' or '.join(map(repr, names))}, needed to recognize {reason}; "
        f'give it, or the option prefiltered=("{guard}",) if there are no such calls among the rows'
    )


def _unset(guard: Guard, reason: str, names: Iterable[str]) -> str:
    return (
        f"has nothing in its column {' or '.join(map(repr, names))}, needed to recognize {reason}; "
        f'give it, or the option prefiltered=("{guard}",) if there are no such calls among the rows'
    )
