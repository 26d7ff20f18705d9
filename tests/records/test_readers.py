"""What holds for every reader of values: it reads or says why not, and what it read is read again as itself."""

from __future__ import annotations

import string
import subprocess
import sys
from calendar import month_abbr
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_impactcall.exceptions import ProblemCode
from airflow_provider_impactcall.records import normalize
from airflow_provider_impactcall.records.vendors import click_id
from tests.effort import scaled
from tests.facts import named
from tests.records.test_any_rows import values
from tests.tables import table

NEW_YORK = ZoneInfo("America/New_York")
MAIL_DAYS = ["", "Mon, ", "fri, "]
MAIL_ZONES = ["", " +0000", " -0000", " -0530", " +2359", " GMT", " UT", " z", " est", " EDT (EDT)", " PST", " MDT"]
READERS: dict[str, Callable[[Any], Any]] = {
    "text": normalize.text,
    "listed_text": normalize.listed_text,
    "integer": normalize.integer,
    "number": normalize.number,
    "amount": normalize.amount,
    "seconds": normalize.seconds,
    "event_date": normalize.event_date,
    "event_date-in-a-zone": partial(normalize.event_date, zone=NEW_YORK),
    "country": normalize.country,
    "boolean": normalize.boolean,
    "one_of": partial(normalize.one_of, allowed=("Landline", "Mobile")),
    **{
        f"phone_number-{country}-{form}": partial(normalize.phone_number, country=country, form=form)
        for country in (None, "US", "GB", "DE", "CN", "SC")
        for form in ("national", "e164")
    },
}


def message_of(read: Callable[[Any], Any], value: Any) -> str:
    try:
        read(value)
    except normalize.UnfitValue as unfit:
        return str(unfit)
    return ""


# Pieces of which vendors' values are made, so that chance meets the edges of each form.
pieces = st.sampled_from([
    "0", "00", "1", "12", "59", "60", "0123", "555", "2026", "7378742833", "266696687", "86282452253", "+", "-", "(",
    ")", ".", ",", ":", ";", "#", "*", "'", "/", "@", "%", "%2B", "x", "ext.", ";ext=", "w", "sip:", "sips:",
    "tel:", ";phone-context=", "@example.com", ";user=phone", "anonymous", "T", "Z", "UTC", "EST", "AM", "PM", "P",
    "PT", "D", "H", "M", "S", "W", "$", "€", "USD", "Fri, ", " Oct ", "-0400", "+0000", " days ", "true", "US", "USA",
    "Korea", "the", " ", "\u00a0", "\u2011", "\u0662", "\uff12", "\u202a", "\u2212",
])  # fmt: skip
vendor_texts = st.lists(st.one_of(pieces, st.text(string.digits, max_size=4)), max_size=10).map("".join)
anything = st.one_of(values, vendor_texts)


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@settings(max_examples=scaled(375), deadline=None)
@given(value=anything)
@example(value="7378742833 x42")
@example(value="282452253")
@example(value="PT999999H999999999M999999999S")
@example(value="P999999W999999DT999999H")
@example(value="[]")
@example(value=["[1]"])
@example(value='["[\\"[1]\\"]"]')
def test_a_reader_reads_or_says_why_not_and_reads_what_it_read_as_itself(
    read: Callable[[Any], Any], value: object
) -> None:
    try:
        once = read(value)
    except normalize.UnfitValue:  # any other error fails the test
        return
    if once is not None:  # There is nothing that could be read.
        assert read(once) == once


@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
@settings(max_examples=scaled(250), deadline=None)
@given(value=st.text("0123456789+-().,:;@#* ", min_size=6, max_size=300))
def test_a_message_never_holds_the_value(read: Callable[[Any], Any], value: str) -> None:
    for held in (value, value + "?", [value], {value: value}, value.encode()):
        assert value not in message_of(read, held)


@given(anything)
def test_whether_a_caller_is_anonymous_can_be_asked_of_anything(value: object) -> None:
    if normalize.is_anonymous(value):
        with pytest.raises(normalize.UnfitValue, match="anonymous caller"):
            normalize.phone_number(value)


TRUE = [True, 1, 1.0, Decimal(1), np.bool_(True), np.int64(1), "true", "TRUE", "True", "t", "yes", "Yes", "y", "Y", "1",
        np.str_("yes")]  # fmt: skip
FALSE = [False, 0, 0.0, Decimal(0), np.bool_(False), np.int64(0), "false", "FALSE", "f", "no", "No", "n", "N", "0"]
NEITHER: list[Any] = [None, "", 2, -1, 0.5, "on", "off", "maybe", "tr ue", "1.0", "ｙ", "İ", [True], {}, b"true",
                      float("nan"), float("inf"), np.array([True])]  # fmt: skip


def test_what_is_true_or_false() -> None:
    with table() as row:
        for expected, values_of_it in ((True, TRUE), (False, FALSE)):
            for value in values_of_it:
                with row(repr(value)):
                    assert normalize.boolean(value) is expected


def test_what_is_neither() -> None:
    with table() as row:
        for value in NEITHER:
            with row(repr(value)), pytest.raises(normalize.UnfitValue):
                normalize.boolean(value)


def test_what_is_neither_is_not_quoted() -> None:
    assert named(message_of(normalize.boolean, "212-555-0142"), 12, 212, 555, "0142") == [12]


def test_two_letters_need_no_list_of_names() -> None:
    """Reading the list costs ten milliseconds, and rows that hold codes never need it."""
    code = (
        "import sys; from airflow_provider_impactcall.records import normalize as n; assert n.country('us') == 'US'; "
        "assert 'iso3166' not in sys.modules; assert n.country('USA') == 'US'; assert 'iso3166' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_whatever_python_takes_for_a_blank_is_one() -> None:
    blanks = "".join(letter for letter in map(chr, range(sys.maxunicode + 1)) if letter.isspace())
    assert normalize.integer(f"{blanks}1000{blanks}") == 1000


@given(
    st.datetimes(datetime(1, 1, 1)),
    st.sampled_from(MAIL_DAYS),
    st.sampled_from(MAIL_ZONES),
    st.sampled_from(["%H:%M:%S", "%H:%M"]),
)
def test_rfc_2822_is_read_as_email_utils_reads_it(moment: datetime, day: str, zone: str, clock: str) -> None:
    """But for years of less than four digits, of which email.utils makes others."""
    moment = moment.replace(year=max(moment.year, 100))
    month = month_abbr[moment.month]
    written = f"{day}{moment.day:02} {month} {moment.year:04} {moment.strftime(clock)}{zone}"
    expected = parsedate_to_datetime(written)
    if expected.tzinfo is None:
        expected = expected.replace(tzinfo=UTC)
    assert normalize.event_date(written, UTC) == expected.isoformat()


@given(
    st.lists(st.sampled_from(["irclickid", "%69rclickid", "x", "=", "&", "a%3Ab", "+", "#", "?", "%", ";", "\n", "é"]))
)
def test_a_click_id_is_read_as_parse_qs_reads_it(parts: list[str]) -> None:
    url = f"https://example.com/?{''.join(parts)}"
    expected = parse_qs(urlsplit(url).query).get("irclickid", [None])[0]
    assert click_id("url")({"url": url}) == expected


def test_a_local_time_that_is_in_no_year_of_utc() -> None:
    with pytest.raises(normalize.UnfitValue) as raised:
        normalize.event_date("0001-01-01T00:00:00", ZoneInfo("Asia/Tokyo"))
    assert raised.value.code is ProblemCode.OUT_OF_RANGE
