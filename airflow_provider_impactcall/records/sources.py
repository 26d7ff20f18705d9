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
``lambda row: row["end"] - row["start"]``                      what a function of the row returns
=============================================================  =======================================================

Where a source names another (``from``, ``first_of``), that may be any of these. ``values`` and ``lookup`` take a
``default``, the value of what the table lacks. Files and queries are read before, by the hooks: here a table is a dict.
"""

from __future__ import annotations

import difflib
import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Protocol

from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.records import normalize

Row = Mapping[str, Any]
Source = str | Callable[[Row], Any] | Mapping[str, Any]

_ABSENT = object()
_SHORT = 256
_SHORT_JSON = 256 * 1024
_PLACE = re.compile(r"-?[0-9]{1,9}")
_FORMS = (("constant",), ("first_of",), ("from", "values"), ("from", "lookup"))
_KEYS = ("constant", "first_of", "from", "values", "lookup", "default")


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
    """A column, or a dotted path that begins with one and leads into its JSON; ``-1`` is the last item of a list."""

    name: str

    def read(self, row: Row) -> Any:
        """The column's value, or what the path leads to."""
        value = row.get(self.name, _ABSENT)
        if value is not _ABSENT:
            return value
        column, steps = self._path
        return _led_to(row.get(column), steps) if steps else None

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
        return next((value for reader in self.readers if not normalize.is_absent(value := reader.read(row))), None)

    def columns(self) -> Iterator[str]:
        """None: that one of them is missing is what the others are for."""
        yield from ()


@dataclass(frozen=True)
class Table:
    """What stands in a table for what another source gives.

    :param reader: gives the key
    :param table: value by key
    :param default: the value of rows without a key, and of keys that the table lacks
    """

    reader: Reader
    table: Mapping[Any, Any]
    default: Any = _ABSENT

    def read(self, row: Row) -> Any:
        """The key's value; None without a key, unless there is a default."""
        key = self.reader.read(row)
        if normalize.is_absent(key):
            return None if self.default is _ABSENT else self.default
        value = self._find(key)
        if value is _ABSENT:
            raise normalize.UnfitValue(self._lacks(key))
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


def reader_of(source: Any, inherited: Source | None = None) -> Reader:
    """A source, checked and ready to read rows.

    :param source: in one of the forms above
    :param inherited: what a vendor preset has for the same parameter: ``{"values": ...}`` without ``from`` adds to its
        table
    :raises InvalidOption: with everything that is wrong with it, to be read behind the parameter's name
    """
    if isinstance(source, str):
        if not source:
            raise InvalidOption("must not be empty")
        return Column(source)
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
        return FirstOf(_readers(source["first_of"]))
    default = source.get("default", _ABSENT)
    if "lookup" in source:
        reader, lookup = _reader_and_table(source, "lookup", _key)
        return Lookup(reader, lookup, default)
    if "from" in source:
        reader, values = _reader_and_table(source, "values", folded)
        return Values(reader, values, default)
    values = _table(source, "values", folded)
    if not isinstance(inherited, Mapping) or "values" not in inherited:
        raise InvalidOption("has values and no 'from' that says of what: only a vendor's table can be added to")
    extended = {folded(word): value for word, value in {**inherited["values"], **values}.items()}
    return Values(reader_of(inherited["from"]), extended, source.get("default", inherited.get("default", _ABSENT)))


def folded(word: Any) -> str:
    """A word without what differs between one place of a vendor's and another: case, and ``-``, ``_`` for spaces."""
    if isinstance(word, bool):
        return str(word).casefold()
    text = normalize.text(word)
    return _folded_again(text) if len(text) <= _SHORT else _folded(text)


def _folded(text: str) -> str:
    return " ".join(text.casefold().replace("-", " ").replace("_", " ").split())


# Longer ones are no words of a table, and must not stay in memory.
_folded_again = lru_cache(maxsize=512)(_folded)


def in_words(source: Source) -> str:
    """A source as documentation says it: names in double backticks, of a function the first of its docstring."""
    if isinstance(source, str):
        return f"``{source}``"
    if callable(source):
        sentence = (inspect.getdoc(source) or "a function of the row").partition("\n\n")[0]
        said = " ".join(sentence.split()).removesuffix(".")
        return said[:1].lower() + said[1:] if said[1:2].islower() else said
    if "constant" in source:
        return f"always ``{source['constant']}``"
    if "first_of" in source:
        return ", else ".join(map(in_words, source["first_of"]))
    if "lookup" in source:
        return f"by {in_words(source['from'])}, from a table"
    words: dict[Any, list[str]] = {}
    for word, value in source["values"].items():
        words.setdefault(value, []).append(f"``{word}``")
    table = [f"{', '.join(each)} → ``{value}``" for value, each in words.items()]
    if "default" in source:
        default = source["default"]
        table.append("any other is not sent" if default is None else f"any other → ``{default}``")
    return f"{in_words(source['from'])}: {'; '.join(table)}"


def object_in(value: Any) -> Mapping[str, Any] | None:
    """The JSON object that a value is or, being text, holds; None if there is none."""
    found = from_json(value)
    return found if isinstance(found, Mapping) else None


def from_json(value: Any) -> Any:
    """The list or object that a value holds, being JSON text; any other value as it is."""
    if type(value) is dict:  # the common case, for speed
        return value
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        text = normalize.plain(value)
        return _parsed_again(text) if len(text) <= _SHORT_JSON else _parsed(text)
    return value


def _parsed(text: str) -> Any:
    """What JSON text holds; None if it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


# Remembered, since the paths of a mapping lead into the same text of a row one by one.
_parsed_again = lru_cache(maxsize=4)(_parsed)


def _led_to(value: Any, steps: Sequence[str]) -> Any:
    for step in steps:
        value = from_json(value)
        if type(value) is dict or isinstance(value, Mapping):  # the common case, for speed
            value = value.get(step)
        elif isinstance(value, (list, tuple)) and _PLACE.fullmatch(step) and -len(value) <= int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def _key(value: Any) -> str:
    """What of a lookup's key tells it from another: of a phone number, the number in whatever form."""
    text = normalize.text(value)
    try:
        return normalize.phone_number(text)
    except ValueError:
        return text


def _readers(sources: Any) -> Sequence[Reader]:
    if isinstance(sources, str) or not isinstance(sources, Sequence) or not sources:
        raise InvalidOption(f"first_of must be a list of sources, and is {normalize.described(sources)}")
    readers: list[Reader] = []
    problems: list[str] = []
    for number, source in enumerate(sources, start=1):
        try:
            readers.append(reader_of(source))
        except InvalidOption as error:
            problems.append(f"first_of: source {number} {error}")
    if problems:
        raise InvalidOption(", ".join(problems))
    return tuple(readers)


def _reader_and_table(
    source: Mapping[str, Any], kind: str, spelled: Callable[[Any], str]
) -> tuple[Reader, Mapping[Any, Any]]:
    problems: list[str] = []
    try:
        reader = reader_of(source["from"])
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
