"""The fast path from a row to a call, for ordinary rows, as nearly all rows are.

It uses the same readers as the full path in :mod:`~airflow_provider_impactcall.records.mapping`, but explains nothing.
If a row has a problem, is left out or raises an error, the full path reads it again and says why.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from airflow_provider_impactcall.records import normalize
from airflow_provider_impactcall.records.call_record import PARAMETERS, CallRecord, Conventions, fields_of
from airflow_provider_impactcall.records.kinds import COUNTRY_OF, TEXT, ZIP, Beside, Kind, nanp_called
from airflow_provider_impactcall.records.parameters import Field, is_absent
from airflow_provider_impactcall.records.readers import Held, OfRow, OfValue, Placed, Reader
from airflow_provider_impactcall.records.wording import may_be_kept

# For speed: this skips the Python-level __new__ of a named tuple.
_beside: Callable[[tuple[Any, ...]], Beside] = partial(tuple.__new__, Beside)
_TEXTS = (TEXT, ZIP)
_TELL_APART = frozenset(name for name, *_, kind in fields_of(PARAMETERS) if kind.tells_apart)
_NO_TEXT = ""
_MOST_WORDS = 256
_NOTHING_GIVEN: Mapping[str, str] = {}

_Read = Callable[[Any], Any]
# A plain tuple, for the same reason as Field.
_Place = str | int | None
"""The column that gives a value: its name in a row that is a dict, or its place among values; None for the row itself.
"""
_Entry = tuple[str, _Place, _Read | None, Callable[..., Any], str | None, Kind[Any]]
"""A parameter; the column that gives it, or None; the function that turns this column's value (or, without a column,
the row) into a value, or None; and three items of the parameter's
:data:`~airflow_provider_impactcall.records.parameters.Field`: its reader, the problem if it is missing, its kind."""


class Straight(NamedTuple):
    """How ordinary rows of one shape (the same columns) are read.

    :param same: text by parameter, in the order of impact.com's page: the text if all rows have the same, else ``''``
    :param same_given: the original text of those that lost blanks or the like
    :param filters: for each filter: its column, or None; the reader of its value; the function that says whether a
        value marks a call to leave out; and the words seen so far that do not
    :param guards: for each guard, the readers of its columns
    :param countries: the countries of phone numbers that a row gives
    :param given_countries: the countries of phone numbers that are the same in all rows
    :param texts: parameters of plain text, each with the column that gives it
    :param alone: further parameters that are read without a :class:`.Beside`
    :param ids: the parameters that tell calls apart
    :param numbers: phone numbers, each with the parameter of its country, and how both are read
    :param others: parameters that are read with a :class:`.Beside`
    :param instead: the default's text by parameter
    """

    same: dict[str, str]
    same_given: Mapping[str, str]
    filters: Sequence[tuple[_Place, _Read, _Read, dict[str | bool, bool]]]
    guards: Sequence[Sequence[_Read]]
    countries: Sequence[tuple[str, _Place, _Read | None]]
    given_countries: dict[str, Any]
    texts: Sequence[tuple[str, str | int]]
    alone: Sequence[_Entry]
    ids: Collection[str]
    numbers: Sequence[tuple[str, _Place, _Read | None, _Read, str, str, Field, Field]]
    others: Sequence[_Entry]
    instead: Mapping[str, str]

    def record(self, row: Any, conventions: Conventions) -> CallRecord | None:
        """The call of a row; None if the row needs the full path.

        :param row: a dict with the columns of this shape; or values, if the columns are places
        """
        try:
            value: Any
            for column, read, marks, passing in self.filters:
                value = row[column] if column is not None else read(row)
                if value is None or ((type(value) is bool or type(value) is str) and value in passing):
                    continue
                if marks(value):
                    return None
                _remember(passing, value)
            for reads in self.guards:
                for read in reads:
                    value = read(row)
                    if value is True or value is False or (type(value) is str and value.isascii() and value.isalnum()):
                        break
                    if not normalize.is_blank(value):
                        break
                else:
                    return None
            sent = self.same.copy()
            for name, column in self.texts:
                value = row[column]
                if type(value) is str and value and value.isascii() and "\0" not in value:  # the common case of a text
                    sent[name] = value
                elif value is None or (type(value) is str and not value) or is_absent(value, TEXT):
                    del sent[name]
                else:
                    sent[name] = normalize.text(value)
            given, ids, instead = self.same_given, self.ids, self.instead
            for name, place, told, parse, lacking, kind in self.alone:
                value = row if place is None else row[place]
                if told is not None:
                    value = told(value)
                of = type(value)
                if of is str:  # the common types come first, for speed
                    absent = not value and not kind.may_be_empty
                else:
                    absent = of is not int and (value is None or is_absent(value, kind))
                if absent:
                    if name in instead:
                        sent[name] = instead[name]
                    elif lacking is None:
                        del sent[name]
                    else:
                        return None
                    continue
                text = parse(value)
                if type(text) is str:
                    sent[name] = text
                elif text is None:
                    del sent[name]
                else:
                    sent[name] = str(text)
                if text is not value and name in ids and (spelled := normalize.text(value)) != text:
                    given = {**given, name: spelled}
            countries: dict[str, Any] = self.given_countries
            if self.countries:
                countries = dict(countries)
                for name, place, told in self.countries:
                    value = row if place is None else row[place]
                    countries[name] = value if told is None else told(value)
            beside = _beside((countries, sent, conventions))
            for name, place, told, nanp, prefix, beside_it, number, country in self.numbers:
                value = row if place is None else row[place]
                if told is not None:
                    value = told(value)
                said = countries.get(beside_it)
                found = nanp(value) if said is None and type(value) is str else None
                if found is not None:
                    sent[name], sent[beside_it] = prefix + found[0], found[1]
                elif normalize.is_absent(value):
                    return None
                else:
                    sent[name] = number[1](value, beside)
                    sent[beside_it] = country[1](None if is_absent(said, country[4]) else said, beside)
            for name, place, told, parse, _, kind in self.others:
                value = row if place is None else row[place]
                if told is not None:
                    value = told(value)
                if type(value) is not int and is_absent(value, kind):
                    return None
                text = parse(value, beside)
                sent[name] = text if type(text) is str else str(text)
            return CallRecord.of_texts(sent, given)
        except Exception:
            return None  # The full path meets the problem too, and reports it.


def _remember(passing: dict[str | bool, bool], word: Any) -> None:
    if type(word) is bool or (type(word) is str and may_be_kept(word)):
        if len(passing) >= _MOST_WORDS:
            passing.clear()
        passing[word] = True


class Left(NamedTuple):
    """A mapping's sources, reduced for rows that are dicts of known columns.

    :param readers: by parameter
    :param fixed: value by parameter, for parameters that are the same in all rows
    :param defaults: value by parameter, for rows without a value of their own
    :param filters: for each filter: the reason for leaving a call out, the function that says whether a value marks
        such a call, and the reader of the value
    :param guards: for each guard that rows have not passed: the readers of its columns, and the problem of a row
        without a value in any of them
    """

    readers: Mapping[str, Reader]
    fixed: Mapping[str, Any]
    defaults: Mapping[str, Any]
    filters: Sequence[tuple[str, Callable[[Any], bool], Reader]]
    guards: Sequence[tuple[Sequence[Reader], str]]


def straight(left: Left, conventions: Conventions) -> Straight | None:
    """The fast path for reduced sources; None if every row needs the full path."""
    try:
        return _straight(left, conventions)
    except normalize.UnfitValue:
        return None  # A value that is the same in all rows is wrong in all rows.


def _straight(left: Left, conventions: Conventions) -> Straight | None:
    instead = left.defaults
    fields = {field[0]: field for field in fields_of({*left.readers, *left.fixed, *instead})}
    entries = {name: _entry(reader) for name, reader in left.readers.items()}
    fixed = {**instead, **{name: value for name, value in left.fixed.items() if not _is_default(name, value, instead)}}
    same: dict[str, str] = {}
    same_given: dict[str, str] = {}
    texts: dict[str, str | int] = {}
    alone: list[_Entry] = []
    others: list[_Entry] = []
    for name, (_, read, needs_others, lacking, kind) in fields.items():
        if name in instead and name in entries:
            stands = instead[name]
            if needs_others or kind.may_be_empty or (kind.tells_apart and normalize.text(stands) != read(stands)):
                return None  # Few mappings have such a default.
        if kind.number is not None:
            same[name] = _NO_TEXT  # A country is read with its number.
        elif name in entries or (needs_others and name in fixed):
            same[name] = _NO_TEXT
            place, told = entries.setdefault(name, (None, _always(fixed.get(name))))
            if name in COUNTRY_OF:
                continue
            if kind in _TEXTS and place is not None and told is None and name not in instead:
                texts[name] = place
            else:
                (others if needs_others else alone).append((name, place, told, read, lacking, kind))
        elif name in fixed and not is_absent(fixed[name], kind):
            if (text := read(fixed[name])) is None:
                continue
            same[name] = str(text)
            if kind.tells_apart and (spelled := normalize.text(fixed[name])) != same[name]:
                same_given[name] = spelled
        elif lacking is not None:
            return None
    if not COUNTRY_OF.keys() <= entries.keys():
        return None
    prefix = "+1" if conventions.get("caller_id_format") == "e164" else ""
    told_at_once: Sequence[tuple[_Read, str]] = ((normalize.nanp, prefix), (nanp_called, ""))
    return Straight(
        same,
        same_given or _NOTHING_GIVEN,
        [_filter(marks, each) for _, marks, each in left.filters if not _is_met_by_caller(each, left.readers)],
        [[reader.read for reader in readers] for readers, _ in left.guards],
        [(name, *entries[name]) for name in COUNTRY_OF.values() if name in entries],
        {name: fixed[name] for name in COUNTRY_OF.values() if name in fixed},
        tuple(texts.items()),
        alone,
        _TELL_APART,
        [
            (name, *entries[name], *tells, beside, fields[name], fields[beside])
            for (name, beside), tells in zip(COUNTRY_OF.items(), told_at_once, strict=True)
        ],
        others,
        {
            name: str(text)
            for name, value in instead.items()
            if name in left.readers
            and not is_absent(value, fields[name][4])
            and (text := fields[name][1](value)) is not None
        },
    )


def _is_default(name: str, value: Any, defaults: Mapping[str, Any]) -> bool:
    """Whether the value that all rows share is absent, so that the default replaces it."""
    return name in defaults and normalize.is_absent(value)


def _entry(reader: Reader) -> tuple[_Place, _Read | None]:
    """The column and the function of a reader, as :data:`_Entry` has them."""
    match reader:
        case Held():
            return reader.name, None
        case Placed():
            return reader.place, None
        case OfRow():
            return -1, reader.reader.read
        case OfValue(function, Held() | Placed() as column):
            return _entry(column)[0], function
        case _:
            return None, reader.read


def _always(value: Any) -> _Read:
    return lambda row: value


def _filter(marks: _Read, reader: Reader) -> tuple[_Place, _Read, _Read, dict[str | bool, bool]]:
    column, told = _entry(reader)
    # Only words of a column are remembered, and no caller's number may stay in memory.
    if column is None or isinstance(reader, OfRow) or told is normalize.is_anonymous:
        return None, reader.read, marks, {}
    return column, reader.read, marks if told is None else lambda value: marks(told(value)), {}


def _is_met_by_caller(reader: Reader, readers: Mapping[str, Reader]) -> bool:
    """Whether this is the filter of anonymous callers, and ``CallerId`` has the same source.

    ``CallerId`` then refuses the marks of anonymous callers itself, and the fast path can skip the filter.
    """
    told_by = isinstance(reader, OfValue) and reader.function is normalize.is_anonymous and reader.reader
    return bool(told_by) and told_by == readers.get("CallerId")
