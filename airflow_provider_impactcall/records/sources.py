"""Where a parameter's value comes from: a column, a path into JSON, a constant, a table, a function of the row.

A source is written as data, so that a whole mapping is one literal and can be kept in a YAML or JSON file:

=============================================================  =======================================================
source                                                         the value
=============================================================  =======================================================
``"from_number"``                                              a column's
``"caller.geo.city"``                                          what a dotted path leads to in a column of JSON
``{"constant": 4000}``                                         the same for every call
``{"first_of": ["mobile", "landline"]}``                       the first that is there
``{"from": "status", "values": {"completed": "ANSWER"}}``      a word's, by a table; a word that it lacks is an error
``{"from": "tracking_number", "lookup": {"3035550191": 20}}``  a key's, by a table: a dict, a CSV file or a query
``{"rounded_down": "seconds"}``                                a duration's, without its fraction of a second
``{"derived_else": "US"}``                                     of a number's country: what the number tells, else this
``lambda row: row["end"] - row["start"]``                      what a function of the row returns
=============================================================  =======================================================

Where a source names another (``from``, ``first_of``), that may be any of these. ``values`` and ``lookup`` take a
``default``, the value of what the table lacks; that of a lookup may be ``"leave out"``, which leaves the call out.
Files and queries are read before, by the hooks: here a table is a dict.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Protocol

from airflow_provider_impactcall.exceptions import CallLeftOut, InvalidOption, ProblemCode
from airflow_provider_impactcall.records import normalize
from airflow_provider_impactcall.records.columns import ABSENT as _ABSENT
from airflow_provider_impactcall.records.columns import Row as Row
from airflow_provider_impactcall.records.columns import but_nulls, hint, is_among, led_to
from airflow_provider_impactcall.records.wording import adds as adds
from airflow_provider_impactcall.records.wording import derives as derives
from airflow_provider_impactcall.records.wording import folded as folded
from airflow_provider_impactcall.records.wording import in_words as in_words
from airflow_provider_impactcall.records.wording import names_in as names_in

_LEFT_OUT = object()

Source = str | Callable[[Row], Any] | Mapping[str, Any]

_FORMS = (
    *(("constant",), ("first_of",), ("rounded_down",), ("derived_else",)),
    *(("from", "values"), ("from", "lookup")),
)
_KEYS = ("constant", "first_of", "rounded_down", "derived_else", "from", "values", "lookup", "default")

LEAVE_OUT = "leave out"
"""The default of a lookup that leaves out the calls which its table lacks."""


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


@dataclass(frozen=True)
class Column:
    """A column, or a dotted path that begins with one and leads into its JSON; ``-1`` is the last item of a list.

    :param nulls: the words that stand for nothing in that JSON
    """

    name: str
    nulls: Collection[str] = ()

    def read(self, row: Row) -> Any:
        """The column's value, or what the path leads to."""
        value = row.get(self.name, _ABSENT)
        if value is not _ABSENT:
            return value
        column, steps = self._path
        found = led_to(row.get(column), steps) if steps else None
        return but_nulls(found, self.nulls) if self.nulls else found

    def columns(self) -> Iterator[str]:
        """Its name."""
        yield self.name

    @cached_property
    def _path(self) -> tuple[str, Sequence[str]]:
        column, *steps = self.name.split(".")
        return column, steps


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


@dataclass(frozen=True)
class FirstOf:
    """The first of several that is there."""

    readers: Sequence[Reader]

    def read(self, row: Row) -> Any:
        """The first value that is not absent."""
        for reader in self.readers:
            value = reader.read(row)
            if value is not None and not normalize.is_absent(value):
                return value
        return None

    def columns(self) -> Iterator[str]:
        """None: that one of them is missing is what the others are for."""
        yield from ()


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
    default: Any = _ABSENT
    names: Sequence[str] = ()

    def read(self, row: Row) -> Any:
        """The key's value; None without a key, unless there is a default and a column that could have held it.

        :raises CallLeftOut: if the default says so
        """
        key = self.reader.read(row)
        if normalize.is_absent(key):
            if self.default is _ABSENT or self.default is None:
                return None
            if self.names and not any(is_among(name, row) for name in self.names):
                # As a rule a name is misspelled, and the default would stand for all calls.
                named = " nor ".join(f"{name!r}{hint(name, row)}" for name in self.names)
                raise normalize.UnfitValue(f"cannot be known: the row has no column {named}", ProblemCode.MISSING)
            value = self.default
        else:
            value = self._find(key)
            if value is _ABSENT:
                raise normalize.UnfitValue(self._lacks(key), ProblemCode.NOT_IN_TABLE)
        if value is _LEFT_OUT:
            named = " and ".join(map(repr, self.columns())) or "this row"
            raise CallLeftOut(f"a call without an entry in the lookup for what {named} holds")
        return value

    def columns(self) -> Iterator[str]:
        """Those of the key."""
        yield from self.reader.columns()

    def _find(self, key: Any) -> Any:
        raise NotImplementedError

    def _lacks(self, key: Any) -> str:
        raise NotImplementedError


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
        value = self._by_text.get(normalize.text(key), _ABSENT)
        return self._by_key.get(_key(key), self.default) if value is _ABSENT else value

    def _lacks(self, key: Any) -> str:
        # Without the key: it may be a caller's number that stands in the wrong column.
        named = " and ".join(map(repr, self.columns())) or "this row"
        return f"has no entry for what {named} holds; add it to its lookup"

    @cached_property
    def _by_text(self) -> Mapping[str, Any]:
        return {normalize.text(key): value for key, value in self.table.items()}

    @cached_property
    def _by_key(self) -> Mapping[str, Any]:
        return {_key(key): value for key, value in self.table.items()}


@dataclass(frozen=True)
class Computed:
    """What a function of the row returns."""

    function: Callable[[Row], Any]

    def read(self, row: Row) -> Any:
        """Its result."""
        return self.function(row)

    def columns(self) -> Iterator[str]:
        """None that anyone could know."""
        yield from ()


def reader_of(source: Any, inherited: Source | None = None, nulls: Collection[str] = ()) -> Reader:
    """A source, checked and ready to read rows.

    :param source: in one of the forms above
    :param inherited: what a vendor preset has for the same parameter: ``{"values": ...}`` without ``from`` adds to its
        table
    :param nulls: the words that stand for nothing
    :raises InvalidOption: with everything that is wrong with it, to be read behind the parameter's name
    """
    if isinstance(source, str):
        if not source:
            raise InvalidOption("must not be empty")
        return Column(source, nulls)
    if callable(source):
        return Computed(source)
    if not isinstance(source, Mapping):
        raise InvalidOption(
            f"must be a column name, a callable of the row, or a dict such as {{'constant': ...}}, and is "
            f"{normalize.described(source)}"
        )
    _check_keys(source)
    if "constant" in source:
        return Constant(source["constant"])
    if "first_of" in source:
        return FirstOf(_readers(source["first_of"], nulls))
    if "rounded_down" in source:
        return RoundedDown(_reader_within(source, "rounded_down", nulls))
    if "derived_else" in source:
        return Constant(DerivedElse(_country_in(source)))
    default = source.get("default", _ABSENT)
    if "lookup" in source:
        default = _LEFT_OUT if default == LEAVE_OUT else default
        reader, lookup = _reader_and_table(source, "lookup", _key, nulls)
        return Lookup(reader, lookup, default, tuple(names_in(source["from"])))
    if "from" in source:
        reader, values = _reader_and_table(source, "values", folded, nulls)
        return Values(reader, values, default, tuple(names_in(source["from"])))
    values = _table(source, "values", folded)
    if not isinstance(inherited, Mapping) or "values" not in inherited:
        raise InvalidOption("has values and no 'from' that says of what: only a vendor's table can be added to")
    extended = {folded(word): value for word, value in {**inherited["values"], **values}.items()}
    default = source.get("default", inherited.get("default", _ABSENT))
    return Values(reader_of(inherited["from"], nulls=nulls), extended, default, tuple(names_in(inherited["from"])))


def _key(value: Any) -> str:
    """What of a lookup's key tells it from another: of a phone number, the number in whatever form."""
    text = normalize.text(value)
    try:
        return normalize.phone_number(text)
    except ValueError:
        return normalize.identifier(text)


def _reader_within(source: Mapping[str, Any], key: str, nulls: Collection[str]) -> Reader:
    try:
        return reader_of(source[key], nulls=nulls)
    except InvalidOption as error:
        raise InvalidOption(f"{key} {error}") from None


def _country_in(source: Mapping[str, Any]) -> str:
    try:
        return normalize.country(source["derived_else"])
    except normalize.UnfitValue as error:
        raise InvalidOption(f"derived_else {error}") from None


def _readers(sources: Any, nulls: Collection[str]) -> Sequence[Reader]:
    if isinstance(sources, str) or not isinstance(sources, Sequence) or not sources:
        raise InvalidOption(f"first_of must be a list of sources, and is {normalize.described(sources)}")
    readers: list[Reader] = []
    problems: list[str] = []
    for number, source in enumerate(sources, start=1):
        try:
            readers.append(reader_of(source, nulls=nulls))
        except InvalidOption as error:
            problems.append(f"first_of: source {number} {error}")
    if problems:
        raise InvalidOption(", ".join(problems))
    return tuple(readers)


def _reader_and_table(
    source: Mapping[str, Any], kind: str, spelled: Callable[[Any], str], nulls: Collection[str]
) -> tuple[Reader, Mapping[Any, Any]]:
    problems: list[str] = []
    try:
        reader = reader_of(source["from"], nulls=nulls)
    except InvalidOption as error:
        problems.append(f"from {error}")
    try:
        table = _table(source, kind, spelled)
    except InvalidOption as error:
        problems.append(str(error))
    if problems:
        raise InvalidOption(", ".join(problems))
    return reader, table


def _check_keys(source: Mapping[str, Any]) -> None:
    problems = []
    for key in source:
        if key not in _KEYS:
            near = difflib.get_close_matches(str(key), _KEYS, n=1)
            problems.append(f"has the key {key!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    named = set(source) - {"default"}
    fits = named == {"values"} or any(named == set(form) for form in _FORMS)
    if not problems and (not fits or ("default" in source and not named & {"values", "lookup"})):
        problems.append("has keys that do not go together")
    if problems:
        forms = "; ".join(" and ".join(map(repr, form)) for form in _FORMS)
        raise InvalidOption(f"{', '.join(problems)} (a source has {forms}; the last two may have 'default')")


def _table(source: Mapping[str, Any], kind: str, spelled: Callable[[Any], str]) -> Mapping[Any, Any]:
    """The table of a source, every key of which can be found, and has one value.

    :param kind: its key in the source
    :param spelled: what of a key tells it from another
    """
    table = source[kind]
    if not isinstance(table, Mapping) or not table:
        found = "has none" if isinstance(table, Mapping) else f"is {normalize.described(table)}"
        raise InvalidOption(f"{kind} must be a dict with at least one entry, and {found}")
    values: dict[str, Any] = {}
    problems: list[str] = []
    for key, value in table.items():
        try:
            first = values.setdefault(spelled(key), value)
        except normalize.UnfitValue as error:
            problems.append(f"has a key in its {kind} that {error}")
        else:
            if first is not value and first != value:
                problems.append(f"has two values for {normalize.word(key, table)} in its {kind}")
    if problems:
        raise InvalidOption(", ".join(dict.fromkeys(problems)))
    return table
