"""What a preset knows of a call-tracking vendor's calls, as data."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from urllib.parse import parse_qs, urlsplit

from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.records import normalize
from airflow_provider_impactcall.records.sources import (
    Reader,
    Row,
    Source,
    folded,
    from_json,
    in_words,
    object_in,
    reader_of,
)

Join = Callable[[Sequence[Row]], Sequence[Row | str]]
"""The rows of one call, two or more, in the order of the input, into as many: each the row to deliver instead, or why
it is left out."""


@dataclass(frozen=True)
class Filter:
    """Calls that are left out on purpose, such as those that have not ended.

    :param reason: what such a call is, for the report: ``an outbound call``
    :param source: what tells it
    :param values: the values that do, whatever their case; a call without one stays
    :param stays: the values of calls that stay, if any other is to reject the row and be named; all others stay if None
    :param unfinished: whether such a row is one version of a call that will come again: another version of the same
        input always goes before it
    """

    reason: str
    source: Source
    values: Collection[Any]
    stays: Collection[Any] | None = None
    unfinished: bool = False

    def leaves_out(self, row: Row) -> bool:
        """Whether it is such a call.

        :raises UnfitValue: if nobody knows
        """
        value = self._reader.read(row)
        if normalize.is_absent(value):
            return False
        if folded(value) in self._values:
            return True
        if self._staying is not None and folded(value) not in self._staying:
            told = in_words(self.source).replace("`", "")
            raise normalize.UnfitValue(f"may be {self.reason}: {told} is {normalize.word(value)}")
        return False

    @cached_property
    def _reader(self) -> Reader:
        return reader_of(self.source)

    @cached_property
    def _values(self) -> Collection[str]:
        return frozenset(map(folded, self.values))

    @cached_property
    def _staying(self) -> Collection[str] | None:
        return None if self.stays is None else frozenset(map(folded, self.stays))


@dataclass(frozen=True)
class VendorPreset:
    """How one vendor's calls become impact.com's.

    :param name: what the option ``vendor`` calls it, in lower case
    :param title: the vendor's own spelling
    :param facts: where each thing that it says of the vendor can be read
    :param mapping: a source by parameter name; a user's own mapping goes before it
    :param filters: the calls that are left out
    :param known_by: the columns by which a call's record is known, such as its id. A row that has none of them, and
        a JSON object with one in another column (``call``, ``payload``), is read as that object
    :param join: how the rows of one call become one; None if the vendor never has two of one call
    :param call: the id by which rows are of one call; that of ``CallSessionId`` if None
    :param notes: what a user has to know, a sentence each
    :param blanks: the words that the vendor writes where there is no value
    """

    name: str
    title: str
    facts: Sequence[str]
    mapping: Mapping[str, Source]
    known_by: Sequence[str]
    filters: Sequence[Filter] = ()
    join: Join | None = None
    call: Source | None = None
    notes: Sequence[str] = ()
    blanks: Collection[str] = ()

    def opened(self, row: Row) -> Row:
        """The row with the call's own columns in it, wherever they lay, and nothing in them where there is no value."""
        found = self._unwrapped(row)
        if not self.blanks:
            return found
        return {
            name: None if isinstance(value, str) and value in self.blanks else value for name, value in found.items()
        }

    def left_out(self, row: Row) -> str | None:
        """Why a call is left out, or None if it is not.

        :param row: opened
        """
        return next((each.reason for each in self.filters if each.leaves_out(row)), None)

    def unfinished(self, row: Row) -> str | None:
        """Why a row is only a version of a call that will come again, or None if it is not, or nobody knows.

        :param row: opened
        """
        try:
            return next((each.reason for each in self.filters if each.unfinished and each.leaves_out(row)), None)
        except Exception:
            # What is wrong with it is said when the row is read as a call.
            return None

    def call_of(self, row: Row) -> str | None:
        """By what a row is known to be of the same call as another; None if it has nothing of that kind.

        :param row: opened
        """
        try:
            return normalize.text(self._call.read(row)) or None
        except Exception:
            # What is wrong with it is said when the row is read as a call.
            return None

    def _unwrapped(self, row: Row) -> Row:
        if any(name in row for name in self.known_by):
            return row
        for value in row.values():
            found = object_in(value)
            if found is not None and any(name in found for name in self.known_by):
                return {**row, **found}
        return row

    @cached_property
    def _call(self) -> Reader:
        return reader_of(self.mapping["CallSessionId"] if self.call is None else self.call)


def anonymous(caller: Source) -> Filter:
    """The filter of calls whose caller hid the number: impact.com matches conversions by it.

    :param caller: what is there in place of the number
    """
    reader = reader_of(caller)

    def hidden(row: Row) -> bool:
        return normalize.is_anonymous(reader.read(row))

    hidden.__doc__ = f"Whether {in_words(caller)} is a marker such as ``anonymous`` and no number"
    return Filter("an anonymous caller", hidden, (True,))


def marked(reason: str, column: str, *, unfinished: bool = False) -> Filter:
    """The filter of calls that a column of yes or no marks.

    :param reason: what such a call is
    :param column: its name; where it says neither, the call is rejected
    :param unfinished: as :class:`Filter` has it
    """

    def is_marked(row: Row) -> bool:
        return stated(row, column) is True

    is_marked.__doc__ = f"Whether ``{column}`` says yes"
    return Filter(reason, is_marked, (True,), unfinished=unfinished)


def spam(column: str) -> Filter:
    """The filter of calls that the vendor marks as spam.

    :param column: the mark
    """
    return marked("a call marked as spam", column)


def word(value: Any) -> str:
    """A vendor's word, as :func:`folded` has it; ``''`` if there is none."""
    return "" if normalize.is_absent(value) else folded(value)


def flag(value: Any) -> bool | None:
    """Yes or no, in any form; None if it is neither."""
    try:
        return normalize.boolean(value)
    except normalize.UnfitValue:
        return None


def click_id(landing_page: Source) -> Callable[[Row], str | None]:
    """A source of ``ClickId``: the ``irclickid`` in the URL of the page that the visitor came to.

    impact.com's tracking links add it (integrations.impact.com, API Tracking Integration). Its case is kept.

    :param landing_page: the URL
    """
    reader = reader_of(landing_page)

    def irclickid(row: Row) -> str | None:
        url = reader.read(row)
        try:
            query = parse_qs(urlsplit(url).query) if isinstance(url, str) else {}
        except ValueError:
            return None  # What is no URL has no click id, and must not cost the call.
        return query.get("irclickid", [None])[0]

    irclickid.__doc__ = f"``irclickid`` of the URL in {in_words(landing_page)}"
    return irclickid


def whole_id(source: Source) -> Callable[[Row], Any]:
    """A source of an id that is a number, without the ``.0`` that a column of numbers with gaps gives it.

    :param source: the id
    """
    reader = reader_of(source)

    def without_fraction(row: Row) -> Any:
        value = reader.read(row)
        return re.sub(r"(?<=[0-9])\.0+$", "", value) if isinstance(value, str) else value

    without_fraction.__doc__ = in_words(source)
    return without_fraction


def country_beside(number: Source, country: Source) -> Callable[[Row], Any]:
    """A source of a number's country: what the vendor says, where the number does not tell it.

    The vendor's may be of an address, and a number must not be refused or read otherwise for that.

    :param number: the phone number
    :param country: what the vendor says
    """
    number_reader, country_reader = reader_of(number), reader_of(country)

    def unless_known(row: Row) -> Any:
        try:
            known = normalize.country_of(normalize.phone_number(number_reader.read(row)))
        except normalize.UnfitValue:
            known = None
        return country_reader.read(row) if known is None else None

    unless_known.__doc__ = f"{in_words(country)}, where the number does not tell its own"
    return unless_known


def zero_of_unanswered(ended: Callable[[Row], Any], statuses: Mapping[str, str]) -> Callable[[Row], int | None]:
    """A source of a duration: 0 of a call that nobody answered, and nothing of any other.

    :param ended: gives the vendor's word for how a call ended
    :param statuses: impact.com's status by such a word; those of other than ``ANSWER`` were not answered
    """
    unanswered = frozenset(folded(each) for each, status in statuses.items() if status != "ANSWER")

    def zero(row: Row) -> int | None:
        """0 if nobody answered the call"""
        try:
            return 0 if word(ended(row)) in unanswered else None
        except normalize.UnfitValue:
            return None  # CallStatus says so.

    return zero


def unique(values: Source) -> Callable[[Row], Any]:
    """A source of a list in which nothing stands twice.

    :param values: a list, as such or as JSON; any other value is left as it is
    """
    reader = reader_of(values)

    def each_once(row: Row) -> Any:
        found = from_json(reader.read(row))
        return list(dict.fromkeys(map(normalize.text, found))) if isinstance(found, (list, tuple)) else found

    each_once.__doc__ = f"{in_words(values)}, each once"
    return each_once


def stated(row: Row, column: str) -> bool | None:
    """What a column of yes or no says; None without a value.

    :raises UnfitValue: if it says neither
    """
    value = row.get(column)
    try:
        return None if normalize.is_absent(value) else normalize.boolean(value)
    except normalize.UnfitValue as error:
        raise normalize.UnfitValue(f"cannot be known: the column {column!r} {error}") from None


def yes_or_no(column: str, yes: str, no: str) -> Callable[[Row], str | None]:
    """A source of one of two words, by a column of yes or no.

    :param column: its name
    :param yes: the word for yes
    :param no: the word for no
    """

    def chosen(row: Row) -> str | None:
        said = stated(row, column)
        return None if said is None else yes if said else no

    chosen.__doc__ = f"``{yes}`` if ``{column}`` says yes, ``{no}`` if it says no"
    return chosen


def latest(updated_at: Source | None = None) -> Join:
    """A join for a vendor that gives a call again with corrections: the last version of it counts.

    :param updated_at: what tells which version is later: a time, or text that sorts as its time does; the order of the
        input if None, or if a row has none
    """
    reader = None if updated_at is None else reader_of(updated_at)

    def join(rows: Sequence[Row]) -> Sequence[Row | str]:
        last = max(range(len(rows)), key=lambda place: (_sortable(reader, rows[place]), place))
        return [
            row if place == last or row == rows[last] else "an earlier version of a call that this input has again"
            for place, row in enumerate(rows)
        ]

    by = "that comes last in the input" if updated_at is None else f"with the latest {in_words(updated_at)}"
    join.__doc__ = f"Of a call that comes again, the version {by} counts; the others are left out."
    return join


def _sortable(reader: Reader | None, row: Row) -> tuple[float, str]:
    value = None if reader is None else reader.read(row)
    if normalize.is_absent(value):
        return 0.0, ""
    try:
        return datetime.fromisoformat(normalize.event_date(value, UTC)).timestamp(), normalize.text(value)
    except normalize.UnfitValue:
        return float(value) if isinstance(value, (int, float)) else 0.0, normalize.text(value)


def preset_of(given: Any) -> VendorPreset:
    """A preset that is one.

    :raises InvalidOption: if it is none
    """
    if not isinstance(given, VendorPreset):
        raise InvalidOption(f"a vendor's preset must be a VendorPreset, and is {normalize.described(given)}")
    return given
