"""Sources that are checked and ready to read rows, and what is left of each for rows of known columns."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

from airflow_provider_impactcall.records import normalize
from airflow_provider_impactcall.records.columns import ABSENT, Row, but_nulls, led_to


class DerivedElse(NamedTuple):
    """Stands for a number's country: what the number tells, else this one."""

    country: str


class Reader(Protocol):
    """A source, ready to read rows."""

    def read(self, row: Row) -> Any:
        """The value for this row; None if there is none.

        :raises normalize.UnfitValue: if a table lacks what the row has
        :raises Exception: whatever a function of the row raises
        """

    def columns(self) -> Iterator[str]:
        """The columns that it names, as they are written."""

    def within(self, columns: Collection[str]) -> Reader:
        """What is left of it for rows, each a dict, that have these columns and no others: it reads the same of them,
        and asks only for columns that they have.
        """


@dataclass(frozen=True)
class Column:
    """A column, or a dotted path that begins with one and leads into its JSON; ``-1`` is the last item of a list.

    :param nulls: the words that stand for nothing in that JSON
    """

    name: str
    nulls: Collection[str] = ()

    def read(self, row: Row) -> Any:
        """The column's value, or what the path leads to."""
        value = row.get(self.name, ABSENT)
        if value is not ABSENT:
            return value
        return self._path.read(row) if self._path.steps else None

    def columns(self) -> Iterator[str]:
        """Its name."""
        yield self.name

    def within(self, columns: Collection[str]) -> Reader:
        """The column, or the path, or nothing."""
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
        """Gives its value."""
        return itemgetter(self.name)

    def columns(self) -> Iterator[str]:
        """Its name."""
        yield self.name

    def within(self, columns: Collection[str]) -> Reader:
        """Itself."""
        return self


@dataclass(frozen=True)
class Path:
    """What steps lead to in the JSON of a column.

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
        """The whole of it."""
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
        """None."""
        yield from ()

    def within(self, columns: Collection[str]) -> Reader:
        """Itself."""
        return self


NOTHING = Constant(None)
"""What is left of a source whose column is not there."""


@dataclass(frozen=True)
class FirstOf:
    """The first of several that is there."""

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
        """None: that one of them is missing is what the others are for."""
        yield from ()

    def within(self, columns: Collection[str]) -> Reader:
        """The first of those that may be there; of one alone, that one."""
        left = [each for reader in self.readers if (each := reader.within(columns)) is not NOTHING]
        return NOTHING if not left else left[0] if len(left) == 1 else FirstOf(left)


@dataclass(frozen=True)
class OfValue:
    """What a function makes of a value that another source gives.

    :param function: gives None of None
    :param reader: gives the value
    """

    function: Callable[[Any], Any]
    reader: Reader

    @cached_property
    def read(self) -> Callable[[Row], Any]:
        """Gives what the function makes of a row's value."""
        function, read = self.function, self.reader.read
        return lambda row: function(read(row))

    def columns(self) -> Iterator[str]:
        """None: a row need not have them."""
        yield from ()

    def within(self, columns: Collection[str]) -> Reader:
        """The function of what is left of the value."""
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
        """Those of the duration."""
        yield from self.reader.columns()

    def within(self, columns: Collection[str]) -> Reader:
        """What is left of the duration, rounded down."""
        left = self.reader.within(columns)
        return NOTHING if left is NOTHING else RoundedDown(left)


@dataclass(frozen=True)
class Computed:
    """What a function of the row returns.

    :param function: of the row
    :param needed: gives nothing of rows for which the function gives nothing either; None if nobody knows of such
    """

    function: Callable[[Row], Any]
    needed: Reader | None = None

    @property
    def read(self) -> Callable[[Row], Any]:
        """The function itself."""
        return self.function

    def columns(self) -> Iterator[str]:
        """None that anyone could know."""
        yield from ()

    def within(self, columns: Collection[str]) -> Reader:
        """Itself, unless rows cannot have what it needs."""
        return NOTHING if self.needed is not None and self.needed.within(columns) is NOTHING else self
