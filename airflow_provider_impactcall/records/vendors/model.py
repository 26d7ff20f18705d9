"""What a preset knows of a call-tracking vendor's calls, as data."""

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
"""The rows of one call, two or more, in the order of the input, into as many: each the row to deliver instead, or why
it is left out."""

_Function = TypeVar("_Function", bound=Callable[..., Any])

_MOST_SHAPES = 1024
_SEVERAL = 2
# Of other types a value may be text.
_KNOWN_TYPES = frozenset({str, int, float, bool, type(None), dict, list, datetime, Decimal})


def reads(*sources: Source) -> Callable[[_Function], _Function]:
    """Says which columns a function reads, so that it gets them by these names whatever the style of a row's own.

    :param sources: the columns, or sources that name them
    """

    def said(function: _Function) -> _Function:
        function.columns = tuple(names_in({"first_of": sources}))  # type: ignore[attr-defined]
        return function

    return said


class _Shape(NamedTuple):
    """What the columns of a row are to a preset.

    :param known: whether a call's record is known by them
    :param aliases: the column that is meant, by each name that is not a column's own
    :param problems: each name that could mean several, in words
    """

    known: bool
    aliases: Mapping[str, str]
    problems: Sequence[str]


@dataclass(frozen=True)
class VendorPreset:
    """How one vendor's calls become impact.com's.

    :param name: what the option ``vendor`` calls it, in lower case
    :param title: the vendor's own spelling
    :param facts: where each thing that it says of the vendor can be read
    :param mapping: a source by parameter name; a user's own mapping goes before it
    :param filters: the calls that are left out
    :param known_by: the columns by which a call's record is known, such as its id. A row that has none of them, and
        a JSON object with one in another column (``call``, ``payload``), is read as that object
    :param join: how the rows of one call become one; None if the vendor never has two of one call
    :param call: the id by which rows are of one call; that of ``CallSessionId`` if None
    :param notes: what a user has to know, a sentence each
    :param blanks: the words that the vendor writes where there is no value
    :param wrapper: the column that the vendor gives a call's record in, so that a loader that flattens it puts that
        before the name of each (``call__uuid``); None if it gives the record itself
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
        """The row with the call's own columns in it, wherever they lay, and nothing in them where there is no value.

        They are there under the names that the preset has for them, whatever the style of the row's own.

        :raises UnfitValue: if two columns could be meant by one of these names
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
        """The columns of a row that hold a word for nothing."""
        bare, blanks, ends = normalize.bare, self.blanks, self._ends_of_blanks
        return [
            name
            for name, value in row.items()
            if (type(value) is not str or value[-1:] in ends) and isinstance(value, str) and bare(value) in blanks
        ]

    @cached_property
    def _ends_of_blanks(self) -> Collection[str]:
        """The last letters of what may be a word for nothing, so that all else needs no closer look."""
        return frozenset(normalize.BLANKS).union(word[-1:] for word in self.blanks)

    def opens(self, columns: tuple[Any, ...]) -> bool:
        """Whether a row with these columns may be another once it is opened."""
        shape = self._shape(columns)
        return not shape.known or bool(shape.aliases or shape.problems or self.blanks)

    def unopened(self, columns: tuple[Any, ...], asked_for: Collection[str]) -> Callable[[Row], bool] | None:
        """What tells of a row with these columns that opening it would change nothing of those that are asked for; None
        if that is not known before it is opened.
        """
        shape = self._shape(columns)
        sources = [*self.mapping.values(), *(each.source for each in self.filters)]
        names = [column for column in columns if column in asked_for]
        if not shape.known or shape.aliases or shape.problems or len(names) < _SEVERAL:
            return None
        if not all(map(tells_columns, sources)):
            return None
        values_of, blanks = itemgetter(*names), tuple(self.blanks)

        def is_unchanged(row: Row) -> bool:
            values = values_of(row)
            if not _KNOWN_TYPES.issuperset(map(type, values)):
                return False
            written = "\0".join([value for value in values if type(value) is str])
            for word in blanks:  # noqa: SIM110 - a loop, for speed
                if word in written:
                    return False
            return True

        return is_unchanged

    def missing_guards(self, columns: Collection[str], passed: Collection[str] = ()) -> list[str]:
        """What keeps rows from being told from calls that must never be sent, to be read after ``row``.

        :param columns: of opened rows
        :param passed: the guards that the rows have passed already
        """
        return [
            each.problem(columns) for each in self.guards if each.guard not in passed and not each.is_told_by(columns)
        ]

    def untold(self, columns: Collection[str]) -> list[str]:
        """What no column of opened rows tells, of the calls that are left out beside those of the guards."""
        return [
            f"{each.reason}: no row has a column {' or '.join(map(repr, each.told_by))}"
            for each in self.filters
            if each.guard is None and each.told_by and not any(name in columns for name in each.told_by)
        ]

    def names_with(self, sources: Iterable[Source]) -> Sequence[str]:
        """All columns that the preset asks for if these are its sources of parameters."""
        all_sources = [*sources, *(each.source for each in self.filters), self.call, self.join]
        told_by = (name for each in self.filters for name in each.told_by)
        named = (name for source in all_sources for name in names_in(source))
        return tuple(dict.fromkeys([*self.known_by, *told_by, *named]))

    def resolved(self, columns: Sequence[Any]) -> tuple[bool, set[str], Sequence[str]]:
        """Whether rows with these columns are calls' records, their columns once opened, and what is in doubt."""
        shape = self._shape(tuple(columns))
        return shape.known, {*columns, *shape.aliases}, shape.problems

    def unfinished(self, row: Row) -> str | None:
        """Why a row is only a version of a call that will come again, or None if it is not, or nobody knows.

        :param row: opened
        """
        try:
            return next((each.reason for each in self.filters if each.unfinished and each.leaves_out(row)), None)
        except Exception:
            # Its problem is reported when the row is read.
            return None

    def call_of(self, row: Row) -> str | None:
        """By what a row is known to be of the same call as another; None if it has nothing of that kind.

        :param row: opened
        """
        try:
            return normalize.identifier(self._call.read(row)) or None
        except Exception:
            # Its problem is reported when the row is read.
            return None

    def call_from(self, columns: tuple[Any, ...]) -> Callable[[Sequence[Any]], str | None] | None:
        """What gives the call of a row with these columns, from its values and without opening it, as :meth:`call_of`
        tells it; None if the row has to be opened.
        """
        if columns not in self._calls_from:
            if len(self._calls_from) >= _MOST_SHAPES:
                self._calls_from.clear()
            found = self._new_call_from(columns)
            if not is_short(columns):
                return found
            self._calls_from[columns] = found
        return self._calls_from[columns]

    def _new_call_from(self, columns: tuple[Any, ...]) -> Callable[[Sequence[Any]], str | None] | None:
        shape = self._shape(columns)
        if not shape.known or shape.problems or not tells_columns(self._call_source):
            return None
        placed = {column: place for place, column in enumerate(columns)}
        asked_for = ((name, shape.aliases.get(name, name)) for name in with_heads(names_in(self._call_source)))
        places = {name: placed[column] for name, column in asked_for if column in placed}
        left, identifier, blanks = self._call.within(places), normalize.identifier, self.blanks

        def read_of_few(values: Sequence[Any]) -> Any:
            row = {name: values[place] for name, place in places.items()}
            return left.read({name: but_nulls(value, blanks) for name, value in row.items()} if blanks else row)

        # The common case is one column, for speed.
        read = itemgetter(places[left.name]) if isinstance(left, Held) and not blanks else read_of_few

        def call_from(values: Sequence[Any]) -> str | None:
            try:
                return identifier(read(values)) or None
            except Exception:
                return None  # As call_of has it.

        return call_from

    @cached_property
    def _calls_from(self) -> dict[tuple[Any, ...], Callable[[Sequence[Any]], str | None] | None]:
        return {}

    def _shape(self, columns: tuple[Any, ...], others: tuple[Any, ...] = ()) -> _Shape:
        """What columns are to the preset.

        :param columns: of the row or, if others are given, of the JSON object in one of those
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
        """What columns are to the preset if each of a call's record has its wrapper before its name."""
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
        """What must tell a row from calls that must never be sent."""
        return guards_of(self.filters)

    @cached_property
    def _call(self) -> Reader:
        return reader_of(self._call_source)

    @property
    def _call_source(self) -> Source:
        return self.mapping["CallSessionId"] if self.call is None else self.call


def preset_of(given: Any) -> VendorPreset:
    """A preset, after a check that it is one.

    :raises InvalidOption: if it is not a preset
    """
    if not isinstance(given, VendorPreset):
        raise InvalidOption(f"a vendor's preset must be a VendorPreset, and is {normalize.described(given)}")
    return given
