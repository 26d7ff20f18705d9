"""A preset as data: the facts about one call-tracking vendor's calls."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar

from airflow_provider_impactcall.exceptions import InvalidOption, ProblemCode
from airflow_provider_impactcall.records import normalize
from airflow_provider_impactcall.records.columns import (
    Found,
    FromValues,
    OpenedRow,
    Row,
    but_nulls,
    in_any_style,
    is_short,
    object_in,
    unwrapped,
    with_heads,
)
from airflow_provider_impactcall.records.readers import Held, Reader
from airflow_provider_impactcall.records.sources import Source, names_in, reader_of, tells_columns
from airflow_provider_impactcall.records.vendors.filters import Filter, Guarding, guards_of

Join = Callable[[Sequence[Row]], Sequence[Row | str]]
"""Takes the rows of one call, two or more, in the order of the input. Returns one result for each row: the row to
deliver instead, or the reason why it is left out."""

_Function = TypeVar("_Function", bound=Callable[..., Any])

_MOST_SHAPES = 1024
_SEVERAL = 2
# A value of another type may be text in disguise.
_KNOWN_TYPES = frozenset({str, int, float, bool, type(None), dict, list, datetime, Decimal})


def reads(*sources: Source) -> Callable[[_Function], _Function]:
    """Declares the columns that a function reads. The function finds them under these names in rows of any style.

    :param sources: the columns, or sources that name them
    """

    def said(function: _Function) -> _Function:
        function.columns = tuple(names_in({"first_of": sources}))  # type: ignore[attr-defined]
        return function

    return said


class _Shape(NamedTuple):
    """The result of comparing a row's columns with a preset.

    :param known: whether the columns belong to a call's record
    :param aliases: the real column, by each name in the preset that differs from it
    :param problems: each name that could mean several columns, in words
    """

    known: bool
    aliases: Mapping[str, str]
    problems: Sequence[str]


@dataclass(frozen=True)
class VendorPreset:
    """How one vendor's calls become impact.com's.

    :param name: the preset's name for the option ``vendor``, in lower case
    :param title: the vendor's own spelling
    :param facts: the public documents behind the preset, with their URLs
    :param mapping: a source by parameter name; a user's own mapping goes before it
    :param filters: the calls that are left out
    :param known_by: the columns that identify a call's record, such as its id. A row without any of them, but with a
        JSON object in another column (``call``, ``payload``) that has one, is read as that object
    :param join: how the rows of one call become one; None if the vendor gives only one row for each call
    :param call: the id that rows of the same call share; the source of ``CallSessionId`` if None
    :param notes: facts that a user must know, a sentence each
    :param blanks: the words that the vendor writes for a missing value
    :param wrapper: the column in which the vendor gives a call's record. A loader that flattens it puts its name
        before each column (``call__uuid``). None if the vendor gives the record itself
    """

    name: str
    title: str
    facts: Sequence[str]
    mapping: Mapping[str, Source]
    known_by: Sequence[str]
    filters: Sequence[Filter] = ()
    join: Join | None = None
    call: Source | None = None
    notes: Sequence[str] = ()
    blanks: Collection[str] = ()
    wrapper: str | None = None

    def opened(self, row: Row) -> Row:
        """The row with the call's columns, also if they were inside a column of JSON, and with None for a word in
        ``blanks``.

        The columns have the preset's names, in whatever style the row has them.

        :raises UnfitValue: if one of these names could mean two columns
        """
        if type(row) is OpenedRow:
            return row
        columns = tuple(row)
        shape = self._shape(columns)
        within = None
        if not shape.known:
            for column, value in row.items():
                inner = object_in(value)
                if inner is not None and (found := self._shape(tuple(inner), columns)).known:
                    row, within, shape = {**row, **inner}, column, found
                    break
        if shape.problems:
            raise normalize.UnfitValue("; ".join(shape.problems), ProblemCode.AMBIGUOUS_COLUMN)
        blank = self._blank(row) if self.blanks else ()
        if not (shape.aliases or blank or within):
            return row
        opened = OpenedRow(row, shape.aliases, within)
        for name in blank:
            opened[name] = None
        for name, column in shape.aliases.items():
            opened[name] = None if column in blank else row[column]
        return opened

    def _blank(self, row: Row) -> Collection[Any]:
        """The columns of a row that hold a word in ``blanks``."""
        bare, blanks, ends = normalize.bare, self.blanks, self._ends_of_blanks
        return [
            name
            for name, value in row.items()
            if (type(value) is not str or value[-1:] in ends) and isinstance(value, str) and bare(value) in blanks
        ]

    @cached_property
    def _ends_of_blanks(self) -> Collection[str]:
        """The last characters of a word in ``blanks``, or blanks after it. For speed: other values need no check."""
        return frozenset(normalize.BLANKS).union(word[-1:] for word in self.blanks)

    def opens(self, columns: tuple[Any, ...]) -> bool:
        """Whether opening a row with these columns may change it."""
        shape = self._shape(columns)
        return not shape.known or bool(shape.aliases or shape.problems or self.blanks)

    def unopened(self, columns: tuple[Any, ...], asked_for: Collection[str]) -> Callable[[Row], bool] | None:
        """A function that says whether opening a row with these columns would leave the requested columns unchanged;
        None if only opening the row can show that.
        """
        shape = self._shape(columns)
        sources = [*self.mapping.values(), *(each.source for each in self.filters)]
        names = [column for column in columns if column in asked_for]
        if not shape.known or shape.aliases or shape.problems or len(names) < _SEVERAL:
            return None
        if not all(map(tells_columns, sources)):
            return None
        values_of, are_kept = itemgetter(*names), self.are_kept
        return lambda row: are_kept(values_of(row))

    def names_of(self, columns: tuple[Any, ...]) -> Mapping[str, str] | None:
        """The real column, by each name in the preset that differs from it, in rows with these columns; None if only
        opening such a row can show that.
        """
        shape = self._shape(columns)
        return shape.aliases if shape.known and not shape.problems else None

    @cached_property
    def are_kept(self) -> Callable[[Sequence[Any]], bool]:
        """Says whether opening a row surely leaves these values of it unchanged, as none is a word in ``blanks``."""
        blanks = tuple(self.blanks)

        def are_kept(values: Sequence[Any]) -> bool:
            if not _KNOWN_TYPES.issuperset(map(type, values)):
                return False
            written = "\0".join([value for value in values if type(value) is str])
            for word in blanks:  # noqa: SIM110 - a loop, for speed
                if word in written:
                    return False
            return True

        return are_kept

    def missing_guards(self, columns: Collection[str], passed: Collection[str] = ()) -> list[str]:
        """The problem of each guard whose columns are missing, to be read after ``row``.

        :param columns: the columns of opened rows
        :param passed: the guards that the rows have passed already
        """
        return [
            each.problem(columns) for each in self.guards if each.guard not in passed and not each.is_told_by(columns)
        ]

    def untold(self, columns: Collection[str]) -> list[str]:
        """The filters, guards excepted, that cannot work as opened rows lack their columns, in words."""
        return [
            f"{each.reason}: no row has a column {' or '.join(map(repr, each.told_by))}"
            for each in self.filters
            if each.guard is None and each.told_by and not any(name in columns for name in each.told_by)
        ]

    def names_with(self, sources: Iterable[Source]) -> Sequence[str]:
        """All columns that the preset asks for, with these sources of parameters."""
        all_sources = [*sources, *(each.source for each in self.filters), self.call, self.join]
        told_by = (name for each in self.filters for name in each.told_by)
        named = (name for source in all_sources for name in names_in(source))
        return tuple(dict.fromkeys([*self.known_by, *told_by, *named]))

    def resolved(self, columns: Sequence[Any]) -> tuple[bool, set[str], Sequence[str]]:
        """Whether rows with these columns are calls' records, their columns once opened, and the ambiguous names."""
        shape = self._shape(tuple(columns))
        return shape.known, {*columns, *shape.aliases}, shape.problems

    def unfinished(self, row: Row) -> str | None:
        """The reason if a row is only a version of a call that will come again; None if it is not, or if unknown.

        :param row: an opened row
        """
        try:
            return next((each.reason for each in self.filters if each.unfinished and each.leaves_out(row)), None)
        except Exception:
            # The problem is reported when the row is read.
            return None

    def call_of(self, row: Row) -> str | None:
        """The id that rows of the same call share; None if the row has none.

        :param row: an opened row
        """
        try:
            return normalize.identifier(self._call.read(row)) or None
        except Exception:
            # The problem is reported when the row is read.
            return None

    def call_from(self, columns: tuple[Any, ...]) -> FromValues[str] | None:
        """Gives the result of :meth:`call_of` for unopened rows with these columns; None if a row must be opened
        first.
        """
        if columns not in self._calls_from:
            if len(self._calls_from) >= _MOST_SHAPES:
                self._calls_from.clear()
            found = self._new_call_from(columns)
            if not is_short(columns):
                return found
            self._calls_from[columns] = found
        return self._calls_from[columns]

    def _new_call_from(self, columns: tuple[Any, ...]) -> FromValues[str] | None:
        shape = self._shape(columns)
        if not shape.known or shape.problems or not tells_columns(self._call_source):
            return None
        placed = {column: place for place, column in enumerate(columns)}
        asked_for = ((name, shape.aliases.get(name, name)) for name in with_heads(names_in(self._call_source)))
        places = {name: placed[column] for name, column in asked_for if column in placed}
        left, identifier, blanks = self._call.within(places), normalize.identifier, self.blanks

        def read_of_few(values: Sequence[Any]) -> Any:
            row = dict(zip(places, values, strict=True))
            return left.read({name: but_nulls(value, blanks) for name, value in row.items()} if blanks else row)

        # The common case is one column, for speed.
        if isinstance(left, Held) and not blanks:
            places = {left.name: places[left.name]}
            read: Callable[[Sequence[Any]], Any] = itemgetter(0)
        else:
            read = read_of_few

        def call_from(values: Sequence[Any]) -> str | None:
            try:
                return identifier(read(values)) or None
            except Exception:
                return None  # As call_of does.

        return FromValues([*places.values()], call_from)

    @cached_property
    def _calls_from(self) -> dict[tuple[Any, ...], FromValues[str] | None]:
        return {}

    def _shape(self, columns: tuple[Any, ...], others: tuple[Any, ...] = ()) -> _Shape:
        """The result of comparing columns with the preset.

        :param columns: the row's columns or, if ``others`` are given, the keys of the JSON object in one of those
        :param others: the row's columns, if the call is in a JSON object
        """
        shape = self._shapes.get((columns, others))
        if shape is None:
            shape = self._shaped(in_any_style(self._names, columns, others), columns)
            if not (shape.known or others or self.wrapper is None):
                wrapped = self._unwrapped(columns, self.wrapper)
                shape = wrapped if wrapped.known else shape
            if len(self._shapes) >= _MOST_SHAPES:
                self._shapes.clear()
            if is_short(columns) and is_short(others):
                self._shapes[columns, others] = shape
        return shape

    def _unwrapped(self, columns: tuple[Any, ...], wrapper: str) -> _Shape:
        """As :meth:`_shape`, for columns that have the wrapper's name before their own (``call__uuid``)."""
        inner = unwrapped(columns, wrapper)
        taken = {column for each in inner.values() for column in each}
        found = in_any_style(self._names, inner, [column for column in columns if column not in taken])
        shape = self._shaped(found, tuple(inner))
        own = {name: each[0] for name, each in inner.items()}
        aliases = {**own, **{name: own.get(column, column) for name, column in shape.aliases.items()}}
        twice = Found({}, {name: each for name, each in inner.items() if len(each) > 1}, columns)
        return _Shape(shape.known, aliases, (*shape.problems, *twice.problems()))

    def _shaped(self, found: Found, columns: tuple[Any, ...]) -> _Shape:
        known = {*columns, *(name for name, column in found.aliases.items() if column in columns)}
        known.update(name for name, meant in found.doubts.items() if meant[0] in columns)
        return _Shape(any(name in known for name in self.known_by), found.aliases, tuple(found.problems()))

    @cached_property
    def _shapes(self) -> dict[tuple[tuple[Any, ...], tuple[Any, ...]], _Shape]:
        return {}

    @cached_property
    def _names(self) -> Sequence[str]:
        """All columns that the preset asks for."""
        return self.names_with(self.mapping.values())

    @cached_property
    def guards(self) -> Sequence[Guarding]:
        """The guards: what a row must have to be told from calls that must never be sent."""
        return guards_of(self.filters)

    @cached_property
    def _call(self) -> Reader:
        return reader_of(self._call_source)

    @property
    def _call_source(self) -> Source:
        return self.mapping["CallSessionId"] if self.call is None else self.call


def preset_of(given: Any) -> VendorPreset:
    """The preset, after a check of its type.

    :raises InvalidOption: if it is not a preset
    """
    if not isinstance(given, VendorPreset):
        raise InvalidOption(f"a vendor's preset must be a VendorPreset, and is {normalize.described(given)}")
    return given
