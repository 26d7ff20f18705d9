"""The parts of presets: filters and sources that several vendors need."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import wraps
from typing import Any
from urllib.parse import unquote_plus, urlsplit

from airflow_provider_impactcall.records import normalize
from airflow_provider_impactcall.records.columns import Row, from_json
from airflow_provider_impactcall.records.readers import Computed, OfValue, Reader
from airflow_provider_impactcall.records.sources import Source, folded, in_words, reader_of
from airflow_provider_impactcall.records.vendors.filters import Filter, Guard
from airflow_provider_impactcall.records.vendors.model import Join, VendorPreset, preset_of, reads

__all__ = [
    "Filter",
    "Guard",
    "Join",
    "VendorPreset",
    "anonymous",
    "click_id",
    "country_beside",
    "flag",
    "latest",
    "marked",
    "of_value",
    "preset_of",
    "reads",
    "spam",
    "stated",
    "unique",
    "whole_id",
    "word",
    "yes_or_no",
    "zero_of_unanswered",
]


def of_value(source: Source) -> Callable[[Callable[[Any], Any]], Callable[[Row], Any]]:
    """Turns a function of one value into a function of the row: a source, or a filter's source.

    :param source: gives the value; for None, the function must return None or False
    """
    reader = reader_of(source)

    def of(function: Callable[[Any], Any]) -> Callable[[Row], Any]:
        @reads(source)
        @wraps(function)
        def of_row(row: Row) -> Any:
            return function(reader.read(row))

        of_row.told_by = OfValue(function, reader)  # type: ignore[attr-defined]
        return of_row

    return of


def anonymous(caller: Source) -> Filter:
    """The filter of calls whose caller hid the number, as impact.com matches conversions by this number.

    :param caller: the source of the number, or of the mark in its place
    """
    hidden = of_value(caller)(normalize.is_anonymous)
    hidden.__doc__ = f"Whether {in_words(caller)} is a mark such as ``anonymous`` instead of a number"
    return Filter("an anonymous caller", hidden, (True,))


def marked(reason: str, column: str, *, unfinished: bool = False, guard: Guard | None = None) -> Filter:
    """The filter of calls that a column of yes or no marks.

    :param reason: a name for such a call
    :param column: the column's name; a value that is neither yes nor no rejects the call
    :param unfinished: see :class:`Filter`
    :param guard: see :class:`Filter`
    """

    @of_value(column)
    def is_marked(value: Any) -> bool:
        return _stated(value, column) is True

    is_marked.__doc__ = f"Whether ``{column}`` says yes"
    return Filter(reason, is_marked, (True,), unfinished=unfinished, guard=guard)


def spam(column: str) -> Filter:
    """The filter of calls that the vendor marks as spam.

    :param column: the mark
    """
    return marked("a call marked as spam", column)


def word(value: Any) -> str:
    """A vendor's word in the form of :func:`folded`; ``''`` if there is none."""
    if type(value) is str:  # the common case, for speed
        return folded(value) if value else ""
    return "" if value is None or normalize.is_absent(value) else folded(value)


def flag(value: Any) -> bool | None:
    """A value of yes or no, in any form, as a boolean; None for any other value."""
    if value is None:
        return None
    try:
        return normalize.boolean(value)
    except normalize.UnfitValue:
        return None


def click_id(landing_page: Source) -> Callable[[Row], str | None]:
    """A source of ``ClickId``: the ``irclickid`` in the URL of the landing page.

    impact.com's tracking links add it (integrations.impact.com, API Tracking Integration). Its case is kept.

    :param landing_page: the source of the URL
    """

    @of_value(landing_page)
    def irclickid(url: Any) -> str | None:
        if not isinstance(url, str):
            return None
        # As parse_qs does, but without decoding the whole query.
        for part in _query(url).split("&"):
            name, _, value = part.partition("=")
            if value and (name == "irclickid" or ("%" in name and unquote_plus(name) == "irclickid")):
                return unquote_plus(value) if "%" in value or "+" in value else value
        return None

    irclickid.__doc__ = f"``irclickid`` of the URL in {in_words(landing_page)}"
    return irclickid


def _query(url: str) -> str:
    """The query of a URL. For a value that is not a URL it is ``''``: a bad URL must not reject the call."""
    # These characters have a meaning for urlsplit, or are removed by it. For speed: isprintable() takes far longer.
    odd = "[" in url or "]" in url or "\n" in url or "\r" in url or "\t" in url
    if url.isascii() and not odd:
        return url.partition("#")[0].partition("?")[2]
    try:
        return urlsplit(url).query
    except ValueError:
        return ""


def whole_id(source: Source) -> Callable[[Row], Any]:
    """A source of a numeric id, without the ``.0`` that pandas adds in a column with gaps.

    :param source: the source of the id
    """

    @of_value(source)
    def without_fraction(value: Any) -> Any:
        return re.sub(r"(?<=[0-9])\.0+$", "", value) if isinstance(value, str) else value

    without_fraction.__doc__ = in_words(source)
    return without_fraction


def country_beside(number: Source, country: Source) -> Callable[[Row], Any]:
    """A source of a number's country: the vendor's country, if the number does not show its own.

    The vendor's country may belong to an address. It must not cause a number to be refused or read differently.

    :param number: the source of the phone number
    :param country: the source of the vendor's country
    """
    number_reader, country_reader = reader_of(number), reader_of(country)

    @reads(number, country)
    def unless_known(row: Row) -> Any:
        said = country_reader.read(row)
        if said is None:
            return None
        try:
            known = normalize.country_of(normalize.phone_number(number_reader.read(row)))
        except normalize.UnfitValue:
            known = None
        return said if known is None else None

    unless_known.told_by = Computed(unless_known, country_reader)  # type: ignore[attr-defined]
    unless_known.__doc__ = f"{in_words(country)}, if the number does not show its own"
    return unless_known


def zero_of_unanswered(ended: Callable[[Row], Any], statuses: Mapping[str, str]) -> Callable[[Row], int | None]:
    """A source of a duration: 0 for a call that nobody answered, None for any other call.

    :param ended: gives the vendor's word for how a call ended
    :param statuses: impact.com's status by such a word; any status but ``ANSWER`` means that nobody answered
    """
    unanswered = frozenset(folded(each) for each, status in statuses.items() if status != "ANSWER")

    @reads(ended)
    def zero(row: Row) -> int | None:
        """0 if nobody answered the call"""
        try:
            return 0 if word(ended(row)) in unanswered else None
        except normalize.UnfitValue:
            return None  # CallStatus reports the problem.

    return zero


def unique(values: Source) -> Callable[[Row], Any]:
    """A source of a list without duplicates.

    :param values: the source of the list, which may be JSON text; any other value is left as it is
    """

    @of_value(values)
    def each_once(value: Any) -> Any:
        found = from_json(value)
        return list(dict.fromkeys(map(normalize.text, found))) if isinstance(found, (list, tuple)) else found

    each_once.__doc__ = f"{in_words(values)}, without duplicates"
    return each_once


def stated(row: Row, column: str) -> bool | None:
    """The boolean of a column of yes or no; None without a value.

    :raises UnfitValue: if the value is neither yes nor no
    """
    value = row.get(column)
    # the common case, for speed
    return value if value is True or value is False else _stated(value, column)


def _stated(value: Any, column: str) -> bool | None:
    if value is True or value is False or value is None:
        return value
    try:
        return None if type(value) is not int and normalize.is_blank(value) else normalize.boolean(value)
    except normalize.UnfitValue as error:
        raise normalize.UnfitValue(f"cannot be known: the column {column!r} {error}", error.code) from None


def yes_or_no(column: str, yes: str, no: str) -> Callable[[Row], str | None]:
    """A source of one of two words, by a column of yes or no.

    :param column: the column's name
    :param yes: the word for yes
    :param no: the word for no
    """

    @of_value(column)
    def chosen(value: Any) -> str | None:
        said = _stated(value, column)
        return None if said is None else yes if said else no

    chosen.__doc__ = f"``{yes}`` if ``{column}`` says yes, ``{no}`` if it says no"
    return chosen


def latest(updated_at: Source | None = None) -> Join:
    """A join for a vendor that gives a call again with corrections: the last version counts.

    :param updated_at: the source of a version's time, or of text that sorts by time. If None, or if a row has no such
        value, the order of the input decides
    """
    reader = None if updated_at is None else reader_of(updated_at)

    @reads(*([] if updated_at is None else [updated_at]))
    def join(rows: Sequence[Row]) -> Sequence[Row | str]:
        last = max(range(len(rows)), key=lambda place: (_sortable(reader, rows[place]), place))
        return [
            row if place == last or _are_same(row, rows[last]) else "a call with a later version in this input"
            for place, row in enumerate(rows)
        ]

    by = "that comes last in the input" if updated_at is None else f"with the latest {in_words(updated_at)}"
    join.__doc__ = f"If a call comes more than once, the version {by} counts; the others are left out."
    return join


def _are_same(one: Row, other: Row) -> bool:
    """Whether two rows have the same columns and values. Values that cannot be compared count as different."""
    try:
        others = dict(other)
        return one.keys() == others.keys() and all(_are_equal(value, others[column]) for column, value in one.items())
    except Exception:
        return False


def _are_equal(one: Any, other: Any) -> bool:
    # NaN is not equal to itself, and rows that were read from disk hold copies of it.
    return one is other or bool(one == other) or (normalize.is_absent(one) and normalize.is_absent(other))


def _sortable(reader: Reader | None, row: Row) -> tuple[float, str]:
    value = None if reader is None else reader.read(row)
    if normalize.is_absent(value):
        return 0.0, ""
    try:
        return datetime.fromisoformat(normalize.event_date(value, UTC)).timestamp(), normalize.text(value)
    except normalize.UnfitValue:
        return float(value) if isinstance(value, (int, float)) else 0.0, normalize.text(value)
