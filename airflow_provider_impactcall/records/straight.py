"""The straight way from a row to a call, of rows in which nothing is out of the ordinary, as nearly all are.

It asks the same readers as the full way of :mod:`~airflow_provider_impactcall.records.mapping`, and explains nothing:
of a row that has a problem, or is left out, or raises, the full way says why.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from airflow_provider_impactcall.records import normalize
from airflow_provider_impactcall.records.call_record import PARAMETERS, CallRecord, Conventions, fields_of
from airflow_provider_impactcall.records.kinds import COUNTRY_OF, TEXT, ZIP, Beside, Kind, nanp_called
from airflow_provider_impactcall.records.parameters import Field, is_absent
from airflow_provider_impactcall.records.readers import Held, OfValue, Reader
from airflow_provider_impactcall.records.wording import may_be_kept

# Without the function in Python that a named tuple has of its own, for speed.
_beside: Callable[[tuple[Any, ...]], Beside] = partial(tuple.__new__, Beside)
_TEXTS = (TEXT, ZIP)
_TELL_APART = frozenset(name for name, *_, kind in fields_of(PARAMETERS) if kind.tells_apart)
_NO_TEXT = ""
_MOST_WORDS = 256
_NOTHING_GIVEN: Mapping[str, str] = {}

_Read = Callable[[Any], Any]
# A tuple as such, as Field is one.
_Entry = tuple[str, str | None, _Read | None, Callable[..., Any], str | None, Kind[Any]]
"""A parameter, the column that gives it, what makes a value of that (of the row if there is no such column), and of its
:data:`~airflow_provider_impactcall.records.parameters.Field` how that is read."""


class Straight(NamedTuple):
    """How rows of one shape are read where nothing is out of the ordinary.

    :param same: text by parameter, in the order of impact.com's page: that of all rows, else ``''``
    :param same_given: what of that was given otherwise
    :param filters: for each kind of call that is left out: the column that tells it, or None; what reads what tells it;
        whether such a value marks one; and the words, of those seen, that do not
    :param guards: for each guard, what reads its columns
    :param countries: the numbers' countries that a row gives
    :param given_countries: those that are the same in all rows
    :param texts: parameters of text that a column gives as it is, with the column
    :param alone: other parameters that are read without others
    :param ids: the parameters that tell calls apart
    :param numbers: phone numbers: each with the parameter of its country, and how that is read
    :param others: parameters that are read beside others, which come before them
    :param instead: text by parameter, of those that have a default
    """

    same: dict[str, str]
    same_given: Mapping[str, str]
    filters: Sequence[tuple[str | None, _Read, _Read, dict[str | bool, bool]]]
    guards: Sequence[Sequence[_Read]]
    countries: Sequence[tuple[str, str | None, _Read | None]]
    given_countries: dict[str, Any]
    texts: Sequence[tuple[str, str]]
    alone: Sequence[_Entry]
    ids: Collection[str]
    numbers: Sequence[tuple[str, str | None, _Read | None, _Read, str, str, Field, Field]]
    others: Sequence[_Entry]
    instead: Mapping[str, str]

    def record(self, row: Mapping[str, Any], conventions: Conventions) -> CallRecord | None:
        """The call that a row is; None of any row that needs another look.

        :param row: a dict with the columns of this shape
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
                    if value is True or value is False or (type(value) is str and value.isalnum()):
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
                if value is None or (type(value) is str and not value and not kind.may_be_empty):
                    absent = True
                else:
                    absent = type(value) is not str and type(value) is not int and is_absent(value, kind)
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
            return None  # The full way meets the problem too, and reports it.


def _remember(passing: dict[str | bool, bool], word: Any) -> None:
    if type(word) is bool or (type(word) is str and may_be_kept(word)):
        if len(passing) >= _MOST_WORDS:
            passing.clear()
        passing[word] = True


class Left(NamedTuple):
    """What is left of a mapping's sources for rows that are dicts of known columns.

    :param readers: by parameter
    :param fixed: value by parameter, of those that are the same in all rows
    :param defaults: value by parameter, of those that have it where a row has none
    :param filters: for each kind of call that is left out: what such a call is, whether a value marks one, what reads
        the value
    :param guards: for each guard that rows have not passed: what reads its columns, and what is wrong with a row that
        has nothing in any
    """

    readers: Mapping[str, Reader]
    fixed: Mapping[str, Any]
    defaults: Mapping[str, Any]
    filters: Sequence[tuple[str, Callable[[Any], bool], Reader]]
    guards: Sequence[tuple[Sequence[Reader], str]]


def straight(left: Left, conventions: Conventions) -> Straight | None:
    """The straight way of what is left of sources; None if every row needs another look."""
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
    texts: dict[str, str] = {}
    alone: list[_Entry] = []
    others: list[_Entry] = []
    for name, (_, read, needs_others, lacking, kind) in fields.items():
        if name in instead and name in entries:
            stands = instead[name]
            if needs_others or kind.may_be_empty or (kind.tells_apart and normalize.text(stands) != read(stands)):
                return None  # Few mappings have such a default.
        if kind.number is not None:
            same[name] = _NO_TEXT  # Read with its number.
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
            if name in entries and (text := fields[name][1](value)) is not None
        },
    )


def _is_default(name: str, value: Any, defaults: Mapping[str, Any]) -> bool:
    """Whether the default is what calls have in the place of a value that is the same in all rows."""
    return name in defaults and normalize.is_absent(value)


def _entry(reader: Reader) -> tuple[str | None, _Read | None]:
    """What of an :data:`_Entry` a reader is."""
    if isinstance(reader, Held):
        return reader.name, None
    if isinstance(reader, OfValue) and isinstance(reader.reader, Held):
        return reader.reader.name, reader.function
    return None, reader.read


def _always(value: Any) -> _Read:
    return lambda row: value


def _filter(marks: _Read, reader: Reader) -> tuple[str | None, _Read, _Read, dict[str | bool, bool]]:
    column, told = _entry(reader)
    if column is None or told is normalize.is_anonymous:  # Of callers' numbers none may stay in memory.
        return None, reader.read, marks, {}
    return column, reader.read, marks if told is None else lambda value: marks(told(value)), {}


def _is_met_by_caller(reader: Reader, readers: Mapping[str, Reader]) -> bool:
    """Whether a filter is that of anonymous callers, whose marks ``CallerId`` refuses wherever it reads the same."""
    told_by = isinstance(reader, OfValue) and reader.function is normalize.is_anonymous and reader.reader
    return bool(told_by) and told_by == readers.get("CallerId")
