"""Where a parameter's value comes from: a column, a path into JSON, a constant, a table, a function of the row.

A source is written as data, so that a whole mapping is one literal and can be kept in a YAML or JSON file:

=============================================================  =======================================================
source                                                         the value
=============================================================  =======================================================
``"from_number"``                                              of a column
``"caller.geo.city"``                                          at the end of a dotted path in a column of JSON
``{"constant": 4000}``                                         the same for every call
``{"first_of": ["mobile", "landline"]}``                       the first that is not absent
``{"from": "status", "values": {"completed": "ANSWER"}}``      of a word in a table; any other word is an error
``{"from": "tracking_number", "lookup": {"3035550191": 20}}``  of a key in a table: a dict, a CSV file or a query
``{"rounded_down": "seconds"}``                                a duration without its fraction of a second
``{"derived_else": "US"}``                                     the country that the number shows, else this country
``lambda row: row["end"] - row["start"]``                      returned by a function of the row
=============================================================  =======================================================

Where a source contains another (``from``, ``first_of``), the inner source may be any of these. ``values`` and
``lookup`` take a ``default``, the value for a key that the table lacks. A lookup's default may be ``"leave out"``:
the call is then left out. The hooks read files and queries beforehand: here a table is a dict.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.records import normalize
from airflow_provider_impactcall.records.columns import ABSENT
from airflow_provider_impactcall.records.columns import Row as Row
from airflow_provider_impactcall.records.readers import (
    Column,
    Computed,
    Constant,
    DerivedElse,
    FirstOf,
    OfValue,
    Reader,
    RoundedDown,
)
from airflow_provider_impactcall.records.tables import LEFT_OUT, Lookup, Values, key_of
from airflow_provider_impactcall.records.wording import adds as adds
from airflow_provider_impactcall.records.wording import derives as derives
from airflow_provider_impactcall.records.wording import folded as folded
from airflow_provider_impactcall.records.wording import in_words as in_words
from airflow_provider_impactcall.records.wording import names_in as names_in
from airflow_provider_impactcall.records.wording import tells_columns as tells_columns

Source = str | Callable[[Row], Any] | Mapping[str, Any]

_FORMS = (
    *(("constant",), ("first_of",), ("rounded_down",), ("derived_else",)),
    *(("from", "values"), ("from", "lookup")),
)
_KEYS = ("constant", "first_of", "rounded_down", "derived_else", "from", "values", "lookup", "default")

LEAVE_OUT = "leave out"
"""The default of a lookup that leaves out each call whose key its table lacks."""


def reader_of(source: Any, inherited: Source | None = None, nulls: Collection[str] = ()) -> Reader:
    """A source, checked and ready to read rows.

    :param source: in one of the forms above
    :param inherited: the preset's source of the same parameter: ``{"values": ...}`` without ``from`` adds to its table
    :param nulls: the words that stand for nothing
    :raises InvalidOption: with every problem of the source, to be read after the parameter's name
    """
    if isinstance(source, str):
        if not source:
            raise InvalidOption("must not be empty")
        return Column(source, nulls)
    if callable(source):
        told = getattr(source, "told_by", None)
        return told if isinstance(told, (OfValue, Computed)) else Computed(source)
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
    default = source.get("default", ABSENT)
    if "lookup" in source:
        default = LEFT_OUT if default == LEAVE_OUT else default
        reader, lookup = _reader_and_table(source, "lookup", key_of, nulls)
        return Lookup(reader, lookup, default, tuple(names_in(source["from"])))
    if "from" in source:
        reader, values = _reader_and_table(source, "values", folded, nulls)
        return Values(reader, values, default, tuple(names_in(source["from"])))
    values = _table(source, "values", folded)
    if not isinstance(inherited, Mapping) or "values" not in inherited:
        raise InvalidOption(
            "has values but no 'from' for their column: only an addition to a vendor's table may leave it out"
        )
    extended = {folded(word): value for word, value in {**inherited["values"], **values}.items()}
    default = source.get("default", inherited.get("default", ABSENT))
    return Values(reader_of(inherited["from"], nulls=nulls), extended, default, tuple(names_in(inherited["from"])))


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
    """The table of a source, after a check that each of its keys can be looked up and has only one value.

    :param kind: the table's key in the source
    :param spelled: gives the form in which keys are compared
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
