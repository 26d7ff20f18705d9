"""Sources that are checked and ready to read rows, and what is left of each for rows of known columns."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

from airflow_provider_impactcall.exceptions import CallLeftOut, ProblemCode
from airflow_provider_impactcall.records import normalize
from airflow_provider_impactcall.records.columns import ABSENT, Row, but_nulls, hint, is_among, led_to
from airflow_provider_impactcall.records.wording import folded

LEFT_OUT = object()
"""Stands in the place of a table's default that leaves calls out."""


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
        and asks for no column that they do not have.
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

    @property
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

    def read(self, row: Row) -> Any:
        """The first value that is not absent."""
        for reader in self.readers:
            value = reader.read(row)
            if value is not None and (type(value) is int or not normalize.is_absent(value)):
                return value
        return None

    def columns(self) -> Iterator[str]:
        """None: that one of them is missing is what the others are for."""
        yield from ()

    def within(self, columns: Collection[str]) -> Reader:
        """The first of those that may be there."""
        left = [each for reader in self.readers if (each := reader.within(columns)) is not NOTHING]
        return FirstOf(left) if left else NOTHING


@dataclass(frozen=True)
class RoundedDown:
    """A duration without its fraction of a second."""

    reader: Reader

    def read(self, row: Row) -> int | None:
        """Whole seconds; None if there is no duration."""
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
class Table:
    """What stands in a table for what another source gives.

    :param reader: gives the key
    :param table: value by key
    :param default: the value of rows without a key, and of keys that the table lacks
    :param names: the columns that may hold the key, if they are known
    """

    reader: Reader
    table: Mapping[Any, Any]
    default: Any = ABSENT
    names: Sequence[str] = ()

    def read(self, row: Row) -> Any:
        """The key's value; None without a key, unless there is a default and a column that could have held it.

        :raises CallLeftOut: if the default says so
        """
        return self.value_of(self.reader.read(row), row)

    def value_of(self, key: Any, row: Row) -> Any:
        """The value of a key, as :meth:`read` has it."""
        if normalize.is_absent(key):
            if self.default is ABSENT or self.default is None:
                return None
            if self.names and not any(is_among(name, row) for name in self.names):
                # As a rule a name is misspelled, and the default would stand for all calls.
                named = " nor ".join(f"{name!r}{hint(name, row)}" for name in self.names)
                raise normalize.UnfitValue(f"cannot be known: the row has no column {named}", ProblemCode.MISSING)
            value = self.default
        else:
            value = self._find(key)
            if value is ABSENT:
                raise normalize.UnfitValue(self._lacks(key), ProblemCode.NOT_IN_TABLE)
        if value is LEFT_OUT:
            named = " and ".join(map(repr, self.columns())) or "this row"
            raise CallLeftOut(f"a call without an entry in the lookup for what {named} holds")
        return value

    def columns(self) -> Iterator[str]:
        """Those of the key."""
        yield from self.reader.columns()

    def within(self, columns: Collection[str]) -> Reader:
        """The table for what is left of the key."""
        left = self.reader.within(columns)
        return NOTHING if left is NOTHING and (self.default is ABSENT or self.default is None) else KeyOf(left, self)

    def _find(self, key: Any) -> Any:
        raise NotImplementedError

    def _lacks(self, key: Any) -> str:
        raise NotImplementedError


@dataclass(frozen=True)
class KeyOf:
    """A table whose key another reader gives than its own."""

    reader: Reader
    table: Table

    def read(self, row: Row) -> Any:
        """As the table does."""
        return self.table.value_of(self.reader.read(row), row)

    def columns(self) -> Iterator[str]:
        """The table's."""
        yield from self.table.columns()

    def within(self, columns: Collection[str]) -> Reader:
        """Itself."""
        return self


class Values(Table):
    """A word of one vocabulary into one of another; :func:`folded` says what does not tell two words apart."""

    def _find(self, key: Any) -> Any:
        return self._by_word.get(folded(key), self.default)

    def _lacks(self, key: Any) -> str:
        return f"has no value for {normalize.word(key, self.table)}; add it to its values"

    @cached_property
    def _by_word(self) -> Mapping[str, Any]:
        return {folded(word): value for word, value in self.table.items()}


class Lookup(Table):
    """A key into a value, as of a tracking number into its partner's MediaId.

    A key is looked up as it is, and if it is a phone number, in whatever form it and the table's are written.
    """

    def _find(self, key: Any) -> Any:
        value = self._by_text.get(normalize.text(key), ABSENT)
        return self._by_key.get(key_of(key), self.default) if value is ABSENT else value

    def _lacks(self, key: Any) -> str:
        # Without the key: it may be a caller's number that stands in the wrong column.
        named = " and ".join(map(repr, self.columns())) or "this row"
        return f"has no entry for what {named} holds; add it to its lookup"

    @cached_property
    def _by_text(self) -> Mapping[str, Any]:
        return {normalize.text(key): value for key, value in self.table.items()}

    @cached_property
    def _by_key(self) -> Mapping[str, Any]:
        return {key_of(key): value for key, value in self.table.items()}


@dataclass(frozen=True)
class Computed:
    """What a function of the row returns."""

    function: Callable[[Row], Any]

    @property
    def read(self) -> Callable[[Row], Any]:
        """The function itself."""
        return self.function

    def columns(self) -> Iterator[str]:
        """None that anyone could know."""
        yield from ()

    def within(self, columns: Collection[str]) -> Reader:
        """Itself: nobody knows what it asks for."""
        return self


def key_of(value: Any) -> str:
    """What of a lookup's key tells it from another: of a phone number, the number in whatever form."""
    text = normalize.text(value)
    try:
        return normalize.phone_number(text)
    except ValueError:
        return normalize.identifier(text)
