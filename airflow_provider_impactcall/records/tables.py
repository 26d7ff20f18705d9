"""Sources that look up a value in a table, by a word (``values``) or by a key (``lookup``)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from airflow_provider_impactcall.exceptions import CallLeftOut, ProblemCode
from airflow_provider_impactcall.records import normalize
from airflow_provider_impactcall.records.columns import ABSENT, Row, hint, is_among
from airflow_provider_impactcall.records.readers import NOTHING, Reader
from airflow_provider_impactcall.records.wording import folded

LEFT_OUT = object()
"""The default of a lookup that leaves calls out."""


@dataclass(frozen=True)
class Table:
    """A table, and the source of the key to look up in it.

    :param reader: gives the key
    :param table: value by key
    :param default: the value for rows without a key, and for keys that the table lacks
    :param names: the columns that may hold the key, if they are known
    """

    reader: Reader
    table: Mapping[Any, Any]
    default: Any = ABSENT
    names: Sequence[str] = ()

    def read(self, row: Row) -> Any:
        """The key's value. Without a key, the default if the row has a column for the key; without a default, None.

        :raises CallLeftOut: if the default leaves calls out
        :raises UnfitValue: if the table lacks the key, or if there is a default and the row has no column for the key
        """
        return self.value_of(self.reader.read(row), row)

    def value_of(self, key: Any, row: Row) -> Any:
        """The value of a key, as :meth:`read` has it."""
        if normalize.is_absent(key):
            if self.default is ABSENT or self.default is None:
                return None
            if self.names and not any(is_among(name, row) for name in self.names):
                # Usually the column's name is misspelled: the default would then apply to every call.
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
        """The key's columns."""
        yield from self.reader.columns()

    def within(self, columns: Collection[str]) -> Reader:
        """The table with the reduced key."""
        left = self.reader.within(columns)
        return NOTHING if left is NOTHING and (self.default is ABSENT or self.default is None) else KeyOf(left, self)

    @property
    def at_once(self) -> Mapping[str, Any]:
        """The values of those text keys that need no conversion to be found."""
        raise NotImplementedError

    def _find(self, key: Any) -> Any:
        raise NotImplementedError

    def _lacks(self, key: Any) -> str:
        raise NotImplementedError


@dataclass(frozen=True)
class KeyOf:
    """A table whose key comes from another reader than its own."""

    reader: Reader
    table: Table

    @cached_property
    def read(self) -> Callable[[Row], Any]:
        """Gives the table's value."""
        read_key, table, value_of = self.reader.read, self.table.at_once, self.table.value_of

        def read(row: Row) -> Any:
            key = read_key(row)
            if type(key) is str and key:  # the common case, for speed
                found = table.get(key)
                if found is not None:
                    return found
            return value_of(key, row)

        return read

    def columns(self) -> Iterator[str]:
        """The table's columns."""
        yield from self.table.columns()

    def within(self, columns: Collection[str]) -> Reader:
        """Itself."""
        return self


class Values(Table):
    """Translates a word of one vocabulary into another. Words are compared as :func:`folded` gives them."""

    @cached_property
    def at_once(self) -> Mapping[str, Any]:
        """The values by word, as the table writes the words and in folded form."""
        return {**{word: value for word, value in self.table.items() if type(word) is str}, **self._by_word}

    def _find(self, key: Any) -> Any:
        return self._by_word.get(folded(key), self.default)

    def _lacks(self, key: Any) -> str:
        return f"has no value for {normalize.word(key, self.table)}; add it to its values"

    @cached_property
    def _by_word(self) -> Mapping[str, Any]:
        return {folded(word): value for word, value in self.table.items()}


class Lookup(Table):
    """Looks up the value of a key, such as the MediaId of the partner with a tracking number.

    A key is looked up as it is. A phone number is also found if the table writes it in another form.
    """

    @property
    def at_once(self) -> Mapping[str, Any]:
        """The values by key, as the table writes the keys."""
        return self._by_text

    def _find(self, key: Any) -> Any:
        value = self._by_text.get(normalize.text(key), ABSENT)
        return self._by_key.get(key_of(key), self.default) if value is ABSENT else value

    def _lacks(self, key: Any) -> str:
        # The message does not quote the key: it may be a caller's number in the wrong column.
        named = " and ".join(map(repr, self.columns())) or "this row"
        return f"has no entry for what {named} holds; add it to its lookup"

    @cached_property
    def _by_text(self) -> Mapping[str, Any]:
        return {normalize.text(key): value for key, value in self.table.items()}

    @cached_property
    def _by_key(self) -> Mapping[str, Any]:
        return {key_of(key): value for key, value in self.table.items()}


def key_of(value: Any) -> str:
    """The form in which a lookup's keys are compared. All forms of one phone number give the same result."""
    text = normalize.text(value)
    try:
        return normalize.phone_number(text)
    except ValueError:
        return normalize.identifier(text)
