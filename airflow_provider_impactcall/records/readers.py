"""Readers: sources that are checked and ready to read rows, and their reduced forms for rows of known columns."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

from airflow_provider_impactcall.records import normalize
from airflow_provider_impactcall.records.columns import ABSENT, Row, but_nulls, led_to


class DerivedElse(NamedTuple):
    """Stands for a number's country: the country that the number shows, else this one."""

    country: str


class Reader(Protocol):
    """A source, ready to read rows."""

    def read(self, row: Row) -> Any:
        """The value for this row; None if there is none.

        :raises normalize.UnfitValue: if a table lacks the row's key
        :raises Exception: any error that a function of the row raises
        """

    def columns(self) -> Iterator[str]:
        """The columns that the source needs, as they are written in it."""

    def within(self, columns: Collection[str]) -> Reader:
        """A reduced reader for rows that are dicts with exactly these columns.

        It gives the same values for such rows, and asks only for columns that they have.
        """


@dataclass(frozen=True)
class Column:
    """A column, or a dotted path from a column into its JSON; ``-1`` is the last item of a list.

    :param nulls: the words that stand for nothing in that JSON
    """

    name: str
    nulls: Collection[str] = ()

    def read(self, row: Row) -> Any:
        """The column's value, or the value at the end of the path."""
        value = row.get(self.name, ABSENT)
        if value is not ABSENT:
            return value
        return self._path.read(row) if self._path.steps else None

    def columns(self) -> Iterator[str]:
        """Its name."""
        yield self.name

    def within(self, columns: Collection[str]) -> Reader:
        """The column, the path, or :data:`NOTHING`."""
        if self.name in columns:
            return Held(self.name)
        return self._path if self._path.steps and self._path.head in columns else NOTHING

    @cached_property
    def _path(self) -> Path:
        head, *steps = self.name.split(".")
        return Path(head, steps, self.nulls)


@dataclass(frozen=True)
class Held:
    """A column that every row has."""

    name: str

    @cached_property
    def read(self) -> Callable[[Row], Any]:
        """Gives the column's value."""
        return itemgetter(self.name)

    def columns(self) -> Iterator[str]:
        """Its name."""
        yield self.name

    def within(self, columns: Collection[str]) -> Reader:
        """Itself."""
        return self


@dataclass(frozen=True)
class Placed:
    """A column by its place. It reads the values of rows, not rows."""

    place: int

    @cached_property
    def read(self) -> Callable[[Any], Any]:
        """Gives the column's value."""
        return itemgetter(self.place)

    def columns(self) -> Iterator[str]:
        """No columns: names are gone."""
        yield from ()

    def within(self, columns: Collection[str]) -> Reader:
        """Itself."""
        return self


@dataclass(frozen=True)
class OfRow:
    """A reader that needs a row, which comes last among the values.

    :param reader: reads the row
    """

    reader: Reader

    @cached_property
    def read(self) -> Callable[[Any], Any]:
        """Gives the reader's value."""
        read = self.reader.read
        return lambda values: read(values[-1])

    def columns(self) -> Iterator[str]:
        """No columns."""
        yield from ()

    def within(self, columns: Collection[str]) -> Reader:
        """Itself."""
        return self


@dataclass(frozen=True)
class Path:
    """The value that steps lead to in a column of JSON.

    :param head: the column
    :param nulls: the words that stand for nothing there
    """

    head: str
    steps: Sequence[str]
    nulls: Collection[str]

    def read(self, row: Row) -> Any:
        """The value there; None if the steps lead nowhere."""
        value = row.get(self.head)
        if value is None:
            return None
        found = led_to(value, self.steps)
        return but_nulls(found, self.nulls) if self.nulls else found

    def columns(self) -> Iterator[str]:
        """The whole path, with dots."""
        yield ".".join([self.head, *self.steps])

    def within(self, columns: Collection[str]) -> Reader:
        """Itself."""
        return self


@dataclass(frozen=True)
class Constant:
    """The same value for every row."""

    value: Any

    def read(self, row: Row) -> Any:
        """The value."""
        return self.value

    def columns(self) -> Iterator[str]:
        """No columns."""
        yield from ()

    def within(self, columns: Collection[str]) -> Reader:
        """Itself."""
        return self


NOTHING = Constant(None)
"""The reduced form of a source whose columns are missing."""


@dataclass(frozen=True)
class FirstOf:
    """The first of several values that is not absent."""

    readers: Sequence[Reader]

    @cached_property
    def read(self) -> Callable[[Row], Any]:
        """Gives the first value that is not absent."""
        reads = [reader.read for reader in self.readers]

        def read(row: Row) -> Any:
            for each in reads:
                value = each(row)
                if type(value) is str:  # the common cases, for speed
                    if value:
                        return value
                elif value is not None and (type(value) is int or not normalize.is_absent(value)):
                    return value
            return None

        return read

    def columns(self) -> Iterator[str]:
        """No columns: each may be missing, as the others take its place."""
        yield from ()

    def within(self, columns: Collection[str]) -> Reader:
        """The readers that may give a value; if only one is left, that reader itself."""
        left = [each for reader in self.readers if not _gives_nothing(each := reader.within(columns))]
        return NOTHING if not left else left[0] if len(left) == 1 else FirstOf(left)


def _gives_nothing(reader: Reader) -> bool:
    return isinstance(reader, Constant) and normalize.is_absent(reader.value)


@dataclass(frozen=True)
class OfValue:
    """The result of a function of one value, which another source gives.

    :param function: must return None for None
    :param reader: gives the value
    """

    function: Callable[[Any], Any]
    reader: Reader

    @cached_property
    def read(self) -> Callable[[Row], Any]:
        """Gives the function's result for a row."""
        function, read = self.function, self.reader.read
        return lambda row: function(read(row))

    def columns(self) -> Iterator[str]:
        """No columns: a row need not have those of the value."""
        yield from ()

    def within(self, columns: Collection[str]) -> Reader:
        """The function of the reduced value."""
        left = self.reader.within(columns)
        return NOTHING if left is NOTHING else OfValue(self.function, left)


@dataclass(frozen=True)
class RoundedDown:
    """A duration without its fraction of a second."""

    reader: Reader

    def read(self, row: Row) -> int | None:
        """Whole seconds; None if the duration is absent."""
        value = self.reader.read(row)
        return None if normalize.is_absent(value) else normalize.seconds(value, rounded_down=True)

    def columns(self) -> Iterator[str]:
        """The duration's columns."""
        yield from self.reader.columns()

    def within(self, columns: Collection[str]) -> Reader:
        """The reduced duration, rounded down."""
        left = self.reader.within(columns)
        return NOTHING if left is NOTHING else RoundedDown(left)


@dataclass(frozen=True)
class Computed:
    """The result of a function of the row.

    :param function: takes the row
    :param needed: a source without which the function returns None too; None if no such source is known
    """

    function: Callable[[Row], Any]
    needed: Reader | None = None

    @property
    def read(self) -> Callable[[Row], Any]:
        """The function itself."""
        return self.function

    def columns(self) -> Iterator[str]:
        """No columns: a function does not tell which columns it needs."""
        yield from ()

    def within(self, columns: Collection[str]) -> Reader:
        """Itself; :data:`NOTHING` if the rows have no columns for ``needed``."""
        return NOTHING if self.needed is not None and self.needed.within(columns) is NOTHING else self
