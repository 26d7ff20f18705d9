"""Rows that are no calls: each gives every reason at once, none of its values, and delays no good row beside it."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from airflow_provider_impactcall.delivery.items import Call, Rejected
from airflow_provider_impactcall.delivery.outcome import AttemptResult, ReasonCode
from airflow_provider_impactcall.delivery.reading import mapped
from airflow_provider_impactcall.delivery.wire.endpoint import Endpoint
from airflow_provider_impactcall.exceptions import InvalidCall, InvalidOption, ProblemCode
from airflow_provider_impactcall.records import PARAMETERS, CallMapping, CallRecord
from airflow_provider_impactcall.records.unreadable import UnreadableValue
from airflow_provider_impactcall.sandbox import Sandbox
from tests.records.rows import (
    CALLER,
    NO_COLUMN,
    PRIVATE,
    RECORDING,
    REQUIRED,
    SESSION,
    coded_problems_of,
    good_row,
    problems_of,
)
from tests.tables import table

MISSING = "is missing"
NO_STATUS = "is missing, and impact.com would take that as ANSWER, an answered and payable call"
NO_COLUMN_STATUS = "; the row has no column 'status' (did you mean 'CallStatus'?)"
NOT_WHOLE = "must be a whole number, and "
NOT_SECONDS = "must be a whole number of seconds, and "
TWO_PARTS = NOT_SECONDS + "has two parts, which may be hours or minutes; write H:MM:SS"
FRACTION = NOT_SECONDS + "has a fraction; a source {'rounded_down': ...} leaves it out"
NO_UNIT = NOT_SECONDS + "is a value of type timedelta64 without a unit of a fixed length"
NOT_A_NUMBER = "must be a number such as 12.50, and is "
NEGATIVE = "must be zero or more, and is negative"
INFINITE = "must be a number, and is infinite or not a number"
TOO_LONG = "must have at most 64 characters, and has 65 (impact.com: 64 character UTF-8)"
SURROGATE = "holds a lone surrogate, which cannot be sent as UTF-8"
NUL = "holds a NUL character, which databases refuse in text"
INEXACT = "is a float too large to be exact; read it as a decimal or as text"
NOT_ISO = "must be an ISO 8601 time such as 2026-09-10T22:55:32-08:00"
NOT_EPOCH = "is a number, and must be the epoch in seconds (10 digits) or milliseconds (13 digits)"
MARKS_NOTHING = "is not the time of a call: databases and programs write such values where a time is missing"
NO_OFFSET = "has no offset from UTC; add one, or give the option timezone"
NO_TIME = "must be a time, and is a date without one"
NOW = "must be the time of the call; NOW is refused, since a retry would move the call"
SKIPPED = "is a local time that a clock change skips in America/New_York"
NOT_DIGITS = "must be a phone number of digits, + ( ) - . and spaces, and holds something else"
ANONYMOUS = "stands for an anonymous caller; such a call cannot be matched, and must not be sent"
NO_USER = "is an address whose user part is not a phone number"
NO_CONTEXT = "is a number of a phone-context; write it with + and its country code"
NOT_TEN = "is not a NANP number of ten digits; write it with + and its country code, or give its country"
NOT_TEN_IN = "is not a NANP number of ten digits; write it with + and its country code"
NO_LENGTH = "is too short or too long for a phone number of its country"
NOT_PHONE = "must be a phone number, and "
NO_COUNTRY = (
    "cannot be known from CallerId; give it, since impact.com takes a missing country as US, or map it to "
    "{'derived_else': 'US'}, which is the country that the number tells, else US"
)
TOO_EARLY = (
    "is before 1990-01-01, and no call is that old: databases and programs write such times where a time is missing"
)
TOO_LATE = "is more than a day ahead of the clock: it stands for a missing time, or its format is not the one it seems"
BAD_COUNTRY = "must be a country such as US, USA or United States, and is "
STATUSES = (
    "must be one of 'UNKNOWN_CALLERID', 'CONGESTION', 'INCOMPLETE', 'CANCEL', 'IVR_DROPOFF', "
    "'NO_TRANSFER_ATTEMPT', 'ANSWER', 'FAILURE', and is "
)
PHONE_TYPES = "must be one of 'Landline', 'Mobile', '', and is "
MAP_IT = "; map it to the words that you want sent"
TWO_COLUMNS = "has two columns, 'CampaignId' and 'campaign_id'; name the right one in mapping"
EXCEEDS = "must not exceed CallDuration"


class Case(NamedTuple):
    """The changes to the good row, and its problems then: each the parameter, the code, and what is said of it."""

    name: str
    changes: dict[Any, Any]
    problems: list[tuple[str, str, str]]
    options: dict[str, Any]


def bad(name: str, changes: dict[Any, Any], *problems: tuple[str, str, str], **options: Any) -> Case:
    return Case(name, changes, list(problems), options)


def lookup(_: Any) -> int:
    # As a mistake in a DAG's lambda does it, with the row's value in the error's text.
    raise KeyError(CALLER)


MISSING_ROWS = [
    *[bad(f"{name}-no-column", {name: NO_COLUMN}, (name, "missing", MISSING)) for name in REQUIRED],
    *[bad(f"{name}-null", {name: None}, (name, "missing", MISSING)) for name in REQUIRED],
    *[bad(f"{name}-empty", {name: ""}, (name, "missing", MISSING)) for name in REQUIRED],
    *[bad(f"{name}-nan", {name: float("nan")}, (name, "missing", MISSING)) for name in REQUIRED],
    bad("status-missing", {"CallStatus": None}, ("CallStatus", "missing", NO_STATUS)),
    bad("all-missing", dict.fromkeys([*REQUIRED, "CallStatus"]), *[(name, "missing", MISSING) for name in REQUIRED],
        ("CallStatus", "missing", NO_STATUS)),
]  # fmt: skip

BLANK_ROWS = [
    bad("CampaignId-blank", {"CampaignId": "  "}, ("CampaignId", "missing", MISSING)),
    bad("MediaId-blank", {"MediaId": "  "}, ("MediaId", "missing", MISSING)),
    bad("EventDate-blank", {"EventDate": "  "}, ("EventDate", "missing", MISSING)),
    bad("ActionTrackerId-blank", {"ActionTrackerId": "\t"}, ("ActionTrackerId", "missing", MISSING)),
    bad("CallProvider-blank", {"CallProvider": "  "}, ("CallProvider", "missing", "is blank")),
    bad("CallSessionId-blank", {"CallSessionId": "\n\u00a0"}, ("CallSessionId", "missing", "is blank")),
    bad("CallerId-blank", {"CallerId": "  "}, ("CallerId", "missing", MISSING)),
    bad("CalledPhoneNumber-blank", {"CalledPhoneNumber": "  "}, ("CalledPhoneNumber", "missing", MISSING)),
    bad("CallDuration-blank", {"CallDuration": " "}, ("CallDuration", "missing", MISSING)),
    bad("TalkDuration-blank", {"TalkDuration": " "}, ("TalkDuration", "missing", MISSING)),
]

ID_ROWS = [
    bad("id-word", {"CampaignId": "spring sale"},
        ("CampaignId", "not_a_number", NOT_WHOLE + "is text of 11 characters")),
    bad("id-boolean", {"CampaignId": True}, ("CampaignId", "wrong_type", NOT_WHOLE + "is a boolean")),
    bad("id-negative", {"MediaId": -1}, ("MediaId", "out_of_range", NEGATIVE)),
    bad("id-negative-text", {"MediaId": "-1"}, ("MediaId", "out_of_range", NEGATIVE)),
    bad("id-fraction", {"ActionTrackerId": 4000.5}, ("ActionTrackerId", "fraction", NOT_WHOLE + "has a fraction")),
    bad("id-decimal-fraction", {"AdId": Decimal("0.1")}, ("AdId", "fraction", NOT_WHOLE + "has a fraction")),
    bad("id-fraction-text", {"AdId": "1.5"}, ("AdId", "fraction", NOT_WHOLE + "has a fraction")),
    bad("id-point-at-the-end", {"AdId": "1."}, ("AdId", "not_a_number", NOT_WHOLE + "is text of 2 characters")),
    bad("id-two-points", {"AdId": "1.000.000"}, ("AdId", "not_a_number", NOT_WHOLE + "is text of 9 characters")),
    bad("id-exponent-text", {"AdId": "1e3"}, ("AdId", "not_a_number", NOT_WHOLE + "is text of 3 characters")),
    bad("id-separator", {"AdId": "1,000"}, ("AdId", "not_a_number", NOT_WHOLE + "is text of 5 characters")),
    bad("id-hexadecimal", {"AdId": "0x1F"}, ("AdId", "not_a_number", NOT_WHOLE + "is text of 4 characters")),
    bad("id-arabic-digits", {"AdId": "١٢٣"}, ("AdId", "not_a_number", NOT_WHOLE + "is text of 3 characters")),
    bad("id-wide-digits", {"AdId": "１２３"}, ("AdId", "not_a_number", NOT_WHOLE + "is text of 3 characters")),
    bad("id-infinite", {"AdId": float("inf")}, ("AdId", "not_a_number", INFINITE)),
    bad("id-list", {"AdId": [1]}, ("AdId", "wrong_type", NOT_WHOLE + "is a value of type list")),
    bad("id-dict", {"AdId": {"id": 1}}, ("AdId", "wrong_type", NOT_WHOLE + "is a value of type dict")),
    bad("id-bytes", {"AdId": b"1"}, ("AdId", "wrong_type", NOT_WHOLE + "is a value of type bytes")),
    bad("id-date", {"AdId": date(2026, 9, 10)}, ("AdId", "wrong_type", NOT_WHOLE + "is a value of type date")),
    bad("id-65-digits", {"AdId": 10**64}, ("AdId", "out_of_range", "has more than 64 digits")),
    bad("id-65-digits-text", {"AdId": "1" * 65}, ("AdId", "not_a_number", NOT_WHOLE + "is text of 65 characters")),
    bad("id-float-of-2-to-53", {"AdId": 2.0**53}, ("AdId", "out_of_range", INEXACT)),
    bad("reference-not-numeric", {"ReferenceId": "A-7"},
        ("ReferenceId", "not_a_number", NOT_A_NUMBER + "text of 3 characters")),
]  # fmt: skip

DURATION_ROWS = [
    bad("duration-of-two-parts", {"CallDuration": "3:00"}, ("CallDuration", "not_a_number", TWO_PARTS)),
    bad("duration-of-two-parts-padded", {"CallDuration": "03:00"}, ("CallDuration", "not_a_number", TWO_PARTS)),
    bad("duration-clock-of-60-minutes", {"CallDuration": "0:60:00"},
        ("CallDuration", "not_a_number", NOT_SECONDS + "is text of 7 characters")),
    bad("duration-clock-with-fraction", {"CallDuration": "0:03:00.5"},
        ("CallDuration", "fraction", FRACTION)),
    bad("duration-clock-negative", {"CallDuration": "-0:03:00"},
        ("CallDuration", "not_a_number", NOT_SECONDS + "is text of 8 characters")),
    bad("duration-clock-with-days-of-dotnet", {"CallDuration": "1.00:03:00"},
        ("CallDuration", "not_a_number", NOT_SECONDS + "is text of 10 characters")),
    bad("duration-iso-with-fraction", {"CallDuration": "PT1.5S"}, ("CallDuration", "fraction", FRACTION)),
    bad("duration-iso-month", {"CallDuration": "P1M"},
        ("CallDuration", "not_a_number", NOT_SECONDS + "is text of 3 characters")),
    bad("duration-iso-empty", {"CallDuration": "PT"},
        ("CallDuration", "not_a_number", NOT_SECONDS + "is text of 2 characters")),
    bad("duration-fraction-text", {"CallDuration": "180.5"}, ("CallDuration", "fraction", FRACTION)),
    bad("duration-words", {"CallDuration": "3 min"},
        ("CallDuration", "not_a_number", NOT_SECONDS + "is text of 5 characters")),
    bad("duration-numpy-fraction", {"IvrDuration": np.timedelta64(1500, "ms")},
        ("IvrDuration", "fraction", FRACTION)),
    bad("duration-numpy-fraction-of-nanoseconds", {"IvrDuration": np.timedelta64(1, "ns")},
        ("IvrDuration", "fraction", FRACTION)),
    bad("duration-numpy-without-unit", {"IvrDuration": np.timedelta64(180)}, ("IvrDuration", "not_a_number", NO_UNIT)),
    bad("duration-numpy-months", {"IvrDuration": np.timedelta64(1, "M")}, ("IvrDuration", "not_a_number", NO_UNIT)),
    bad("duration-fraction", {"CallDuration": 180.5}, ("CallDuration", "fraction", FRACTION)),
    bad("duration-negative", {"TalkDuration": -5}, ("TalkDuration", "out_of_range", NEGATIVE)),
    bad("duration-boolean", {"TalkDuration": False}, ("TalkDuration", "wrong_type", NOT_SECONDS + "is a boolean")),
    bad("duration-timedelta-fraction", {"IvrDuration": timedelta(milliseconds=1500)},
        ("IvrDuration", "fraction", FRACTION)),
    bad("duration-timedelta-negative", {"IvrDuration": timedelta(seconds=-1)},
        ("IvrDuration", "out_of_range", NEGATIVE)),
    bad("talk-over-call", {"CallDuration": 60, "TalkDuration": 61}, ("TalkDuration", "longer_than_the_call", EXCEEDS)),
    bad("talk-over-call-as-text", {"CallDuration": "99", "TalkDuration": "100"},
        ("TalkDuration", "longer_than_the_call", EXCEEDS)),
    bad("talk-without-call", {"CallDuration": None, "TalkDuration": 61}, ("CallDuration", "missing", MISSING)),
]  # fmt: skip

AMOUNT_ROWS = [
    *[bad(f"amount-{number}", {"SaleAmount": text},
          ("SaleAmount", "not_a_number", NOT_A_NUMBER + f"text of {len(text)} characters"))
      for number, text in enumerate([
          "1.234,500", "0,125", "1234,567", "1,23,456", "1,234,56", "1.234.5", "1 234.5.0", "1 234,567", "12 34",
          "1'234 567", "1,234 567", "12,", "12.", ",5", "--12", "(-12.50)", "((12.50))", "(12.50", "12.50-", "$", "$-",
          "12.50 usd", "ALL", "QTY 12", "12 %", "12.50 per month", "12.50 / 3", "12:50", "$1.2e3", "NaN", "$Infinity",
          "１２.50", "1\t234", "$-€12", "€1.234", "1.234 €", "EUR 1.234", "USD1,234.50 CAD", "$12 €",
      ])],
    bad("amount-exponent", {"SaleAmount": "1e3"},
        ("SaleAmount", "not_a_number", NOT_A_NUMBER + "text of 3 characters")),
    bad("amount-word-nan", {"SaleAmount": "NaN"},
        ("SaleAmount", "not_a_number", NOT_A_NUMBER + "text of 3 characters")),
    bad("amount-boolean", {"SaleAmount": True}, ("SaleAmount", "wrong_type", NOT_A_NUMBER + "a value of type bool")),
    bad("amount-infinite", {"SaleAmount": Decimal("-Infinity")}, ("SaleAmount", "not_a_number", INFINITE)),
    bad("amount-gigantic", {"SaleAmount": Decimal("1E+999999")},
        ("SaleAmount", "out_of_range", "has more than 64 digits")),
    bad("amount-65-digits", {"SaleAmount": Decimal("9" * 63 + ".99")},
        ("SaleAmount", "out_of_range", "has more than 64 digits")),
    bad("amount-65-decimals", {"SaleAmount": Decimal("1E-64")},
        ("SaleAmount", "out_of_range", "has more than 64 digits")),
    bad("amount-over-66", {"SaleAmount": "9" * 67},
        ("SaleAmount", "not_a_number", NOT_A_NUMBER + "text of 67 characters")),
]  # fmt: skip

TIME_ROWS = [
    bad("time-now", {"EventDate": "NOW"}, ("EventDate", "not_a_time", NOW)),
    bad("time-now-in-lower-case", {"EventDate": " now "}, ("EventDate", "not_a_time", NOW)),
    bad("time-date-alone", {"EventDate": "2026-09-10"}, ("EventDate", "not_a_time", NO_TIME)),
    bad("time-date-alone-basic", {"EventDate": "20260910"}, ("EventDate", "not_a_time", NO_TIME)),
    bad("time-date-object", {"EventDate": date(2026, 9, 10)},
        ("EventDate", "wrong_type", "must be a datetime or ISO 8601 text, and is a value of type date")),
    *[bad(f"time-epoch-of-{len(str(value))}-as-{type(value).__name__}", {"EventDate": value},
          ("EventDate", "not_a_time", NOT_EPOCH))
      for value in (1, "178909173", 178909173, 17890917320, "178909173200", 17890917320000, "1789091732000000",
                    1789091732000000000, 1.5, Decimal("1789091732e6"))],
    *[bad(f"time-that-no-call-has-as-{type(value).__name__}-{len(str(value))}", {"EventDate": value},
          ("EventDate", "out_of_range", MARKS_NOTHING)) for value in (0, -1789091732, "-1789091732")],
    bad("time-epoch-compact-date", {"EventDate": 20260910}, ("EventDate", "not_a_time", NO_TIME)),
    bad("time-epoch-compact-date-as-float", {"EventDate": 20260910.0}, ("EventDate", "not_a_time", NO_TIME)),
    bad("time-epoch-compact-date-from-a-file", {"EventDate": "20260910.0"}, ("EventDate", "not_a_time", NO_TIME)),
    bad("time-epoch-boolean", {"EventDate": True},
        ("EventDate", "wrong_type", "must be a datetime or ISO 8601 text, and is a value of type bool")),
    bad("time-epoch-exponent", {"EventDate": "1.789091732e9"}, ("EventDate", "not_a_time", NOT_ISO)),
    bad("time-epoch-infinite", {"EventDate": float("inf")}, ("EventDate", "not_a_number", INFINITE)),
    bad("time-numpy-date", {"EventDate": np.datetime64("2026-09-10")}, ("EventDate", "not_a_time", NO_TIME)),
    bad("time-numpy-month", {"EventDate": np.datetime64("2026-09")}, ("EventDate", "not_a_time", NO_TIME)),
    bad("time-numpy-without-offset", {"EventDate": np.datetime64("2026-09-10T22:55:32")},
        ("EventDate", "time_without_offset", NO_OFFSET)),
    bad("time-numpy-year-20000", {"EventDate": np.datetime64("20000-01-01T00:00:00")},
        ("EventDate", "out_of_range", "is outside the years 1 to 9999"), timezone="UTC"),
    bad("time-pandas-without-offset", {"EventDate": pd.Timestamp("2026-09-10 22:55:32")},
        ("EventDate", "time_without_offset", NO_OFFSET)),
    bad("time-pandas-skipped", {"EventDate": pd.Timestamp("2026-03-08 02:30")},
        ("EventDate", "time_without_offset", SKIPPED),
        timezone="America/New_York"),
    bad("time-without-offset", {"EventDate": "2026-09-10T22:55:32"}, ("EventDate", "time_without_offset", NO_OFFSET)),
    bad("time-naive-datetime", {"EventDate": datetime(2026, 9, 10, 22, 55, 32)},
        ("EventDate", "time_without_offset", NO_OFFSET)),
    # An XML date: its offset would be read as the time, eight in the morning.
    bad("time-date-with-offset", {"EventDate": "2026-09-10-08:00"},
        ("EventDate", "not_a_time", NOT_ISO), timezone="UTC"),
    bad("time-odd-separator", {"EventDate": "2026-09-10x22:55:32Z"}, ("EventDate", "not_a_time", NOT_ISO)),
    bad("time-slashes", {"EventDate": "09/10/2026 22:55:32"}, ("EventDate", "not_a_time", NOT_ISO)),
    bad("time-rfc-2822-without-zone", {"EventDate": "Thu, 10 Sep 2026 22:55:32"},
        ("EventDate", "time_without_offset", NO_OFFSET)),
    bad("time-rfc-2822-without-time", {"EventDate": "Thu, 10 Sep 2026"}, ("EventDate", "not_a_time", NOT_ISO)),
    bad("time-rfc-2822-offset-of-a-day", {"EventDate": "Thu, 10 Sep 2026 22:55:32 +2400"},
        ("EventDate", "not_a_time", NOT_ISO)),
    bad("time-rfc-2822-day-32", {"EventDate": "Thu, 32 Sep 2026 22:55:32 +0000"}, ("EventDate", "not_a_time", NOT_ISO)),
    bad("time-rfc-2822-second-61", {"EventDate": "Thu, 10 Sep 2026 22:55:61 +0000"},
        ("EventDate", "not_a_time", NOT_ISO)),
    bad("time-rfc-2822-military-zone", {"EventDate": "Thu, 10 Sep 2026 22:55:32 A"},
        ("EventDate", "not_a_time", NOT_ISO)),
    bad("time-rfc-2822-year-of-two-digits", {"EventDate": "Thu, 10 Sep 26 22:55:32 +0000"},
        ("EventDate", "not_a_time", NOT_ISO)),
    bad("time-rfc-2822-skipped", {"EventDate": "Sun, 8 Mar 2026 02:30:00"},
        ("EventDate", "time_without_offset", SKIPPED),
        timezone="America/New_York"),
    bad("time-zone-by-name", {"EventDate": "2026-09-10 22:55:32 EST"}, ("EventDate", "not_a_time", NOT_ISO)),
    bad("time-utc-with-offset", {"EventDate": "2026-09-10 22:55:32 UTC+02:00"}, ("EventDate", "not_a_time", NOT_ISO)),
    bad("time-month-13", {"EventDate": "2026-13-10T22:55:32Z"}, ("EventDate", "not_a_time", NOT_ISO)),
    bad("time-february-30", {"EventDate": "2026-02-30T22:55:32Z"}, ("EventDate", "not_a_time", NOT_ISO)),
    bad("time-odd-separator-before-the-offset", {"EventDate": "2026-09-10 22:55:32x-08:00"},
        ("EventDate", "not_a_time", NOT_ISO)),
    bad("time-fraction-of-an-hour", {"EventDate": "2026-09-10T22.5Z"}, ("EventDate", "not_a_time", NOT_ISO)),
    bad("time-twelve-hours-without-offset", {"EventDate": "2013-05-01 11:48 PM"},
        ("EventDate", "time_without_offset", NO_OFFSET)),
    bad("time-twelve-hours-of-13", {"EventDate": "2013-05-01 13:48 PM -04:00"}, ("EventDate", "not_a_time", NOT_ISO)),
    bad("time-twelve-hours-of-0", {"EventDate": "2013-05-01 00:48 AM -04:00"}, ("EventDate", "not_a_time", NOT_ISO)),
    bad("time-twelve-hours-minute-60", {"EventDate": "2013-05-01 11:60 PM -04:00"},
        ("EventDate", "not_a_time", NOT_ISO)),
    bad("time-twelve-hours-with-slashes", {"EventDate": "05/01/2013 11:48 PM -04:00"},
        ("EventDate", "not_a_time", NOT_ISO)),
    bad("time-twelve-hours-skipped", {"EventDate": "2026-03-08 02:30 AM"},
        ("EventDate", "time_without_offset", SKIPPED),
        timezone="America/New_York"),
    bad("time-offset-of-a-day", {"EventDate": "2026-09-10T22:55:32+24:00"}, ("EventDate", "not_a_time", NOT_ISO)),
    bad("time-wide-digits", {"EventDate": "２０２６-09-10T22:55:32Z"}, ("EventDate", "not_a_time", NOT_ISO)),
    bad("time-skipped", {"EventDate": "2026-03-08 02:30:00"},
        ("EventDate", "time_without_offset", SKIPPED), timezone="America/New_York"),
    bad("time-skipped-datetime", {"EventDate": datetime(2026, 3, 8, 2, 30)},
        ("EventDate", "time_without_offset", SKIPPED),
        timezone="America/New_York"),
    bad("time-skipped-second-fold", {"EventDate": datetime(2026, 3, 8, 2, 30, fold=1)},
        ("EventDate", "time_without_offset", SKIPPED),
        timezone="America/New_York"),
    bad("time-past-the-last-year", {"EventDate": datetime.max}, ("EventDate", "time_in_the_future", TOO_LATE),
        timezone="America/New_York"),
    bad("time-before-the-first-year", {"EventDate": datetime.min}, ("EventDate", "out_of_range", TOO_EARLY),
        timezone="Asia/Tokyo"),
    bad("time-list", {"EventDate": ["2026-09-10T22:55:32Z"]},
        ("EventDate", "wrong_type", "must be a datetime or ISO 8601 text, and is a value of type list")),
]  # fmt: skip

# The digits are the words on a keypad, as Twilio gives them.
WITHHELD = [
    "anonymous", "Anonymous", "RESTRICTED", "private", "unavailable", "Unknown", "blocked", "withheld",
    "Anonymous Caller", "unknown-caller", "Caller ID blocked", "No Caller ID", "private_number", "Not Available",
    "+266696687", "266696687", 266696687, "+7378742833", "+7 378 742 833", "+86282452253", "86282452253",
    "+8656696", "8656696", "+2562533", "2562533", "+464", "464", "266696687.0", "+266 696 687",
    "sip:anonymous@anonymous.invalid", "sips:Anonymous@anonymous.invalid", "sip:restricted@example.com",
    "sip:+266696687@example.com;user=phone", "tel:anonymous", "\u202aanonymous\u202c", "<unknown>",
]  # fmt: skip

PHONE_ROWS = [
    *[bad(f"phone-withheld-{value}", {"CallerId": value},
          ("CallerId", "anonymous_caller", ANONYMOUS)) for value in WITHHELD],
    *[bad(f"phone-address-{number}", {"CallerId": value},
          ("CallerId", "not_a_phone_number", NO_USER)) for number, value in enumerate([
        "sip:alice@example.com", "sip:example.com", "sip:@example.com", "sips:example.com;user=phone", "tel:",
        "tel:2125550142@example.com", "sip:2125550142", "tel:555-HELP",
    ])],
    bad("phone-address-of-a-desk", {"CallerId": "sip:1001@pbx.example.com"},
        ("CallerId", "without_country_code", NOT_TEN)),
    bad("phone-address-of-a-context", {"CallerId": "tel:2079460018;phone-context=+44"},
        ("CallerId", "without_country_code", NO_CONTEXT)),
    bad("phone-address-of-two-hosts", {"CallerId": "sip:+12125550142@a@example.com"},
        ("CallerId", "not_a_phone_number", NOT_DIGITS)),
    bad("phone-client", {"CallerId": "client:alice"}, ("CallerId", "not_a_phone_number", NOT_DIGITS)),
    bad("phone-address-over-255", {"CallerId": "sip:+12125550142@" + "x" * 255},
        ("CallerId", "not_a_phone_number", NOT_DIGITS)),
    bad("phone-second-number", {"CallerId": "2125550142,3035550191"}, ("CallerId", "not_a_phone_number", NOT_DIGITS)),
    bad("phone-second-number-written-out", {"CallerId": "212-555-0142, 303-555-0191"},
        ("CallerId", "not_a_phone_number", NOT_DIGITS)),
    bad("phone-second-number-after-slash", {"CallerId": "212-555-0142 / 303-555-0191"},
        ("CallerId", "not_a_phone_number", NOT_DIGITS)),
    *[bad(f"phone-masked-{value}", {"CallerId": value}, ("CallerId", "not_a_phone_number", NOT_DIGITS))
      for value in ("212-555-****", "+49 30 2312****", "+49302312####", "+49302312xxxx", "+49302312…")],
    bad("phone-extension-of-letters", {"CallerId": "212-555-0142 x"}, ("CallerId", "not_a_phone_number", NOT_DIGITS)),
    bad("phone-extension-alone", {"CallerId": "x42"}, ("CallerId", "not_a_phone_number", NOT_DIGITS)),
    bad("phone-extension-of-ten-digits", {"CallerId": "212-555-0142 x3035550191"},
        ("CallerId", "not_a_phone_number", NOT_DIGITS)),
    bad("phone-prefix-that-withholds", {"CallerId": "*67 212-555-0142"},
        ("CallerId", "not_a_phone_number", NOT_DIGITS)),
    bad("phone-superscript-digits", {"CallerId": "²12-555-0142"}, ("CallerId", "not_a_phone_number", NOT_DIGITS)),
    bad("phone-float-of-nine-digits", {"CallerId": "212555014.0"}, ("CallerId", "without_country_code", NOT_TEN)),
    bad("phone-vanity", {"CalledPhoneNumber": "303-555-HELP"}, ("CalledPhoneNumber", "not_a_phone_number", NOT_DIGITS)),
    bad("phone-plus-inside", {"CallerId": "1+212-555-0142"}, ("CallerId", "not_a_phone_number", NOT_DIGITS)),
    bad("phone-over-64", {"CallerId": "212" + " " * 55 + "5550142"}, ("CallerId", "not_a_phone_number", NOT_DIGITS)),
    bad("phone-seven-digits", {"CallerId": "555-0142"}, ("CallerId", "without_country_code", NOT_TEN)),
    bad("phone-eleven-without-1", {"CallerId": "22125550142"}, ("CallerId", "without_country_code", NOT_TEN)),
    bad("phone-twelve-digits", {"CallerId": "112125550142"}, ("CallerId", "without_country_code", NOT_TEN)),
    bad("phone-uk-without-country", {"CallerId": "020 7946 0018"}, ("CallerId", "without_country_code", NOT_TEN)),
    bad("phone-uk-with-us", {"CallerId": "020 7946 0018", "CallerPhoneNumberCountry": "US"},
        ("CallerId", "without_country_code", NOT_TEN_IN)),
    # is_possible_number of phonenumbers takes both for numbers, as a neighbour could dial them.
    bad("phone-plus-1-without-area-code", {"CallerId": "+1 555-0142"}, ("CallerId", "not_a_phone_number", NO_LENGTH)),
    bad("phone-plus-44-without-area-code", {"CallerId": "+44 7946 0018"},
        ("CallerId", "not_a_phone_number", NO_LENGTH)),
    bad("phone-uk-without-area-code", {"CalledPhoneNumber": "7946 0018", "CalledPhoneNumberCountry": "GB"},
        ("CalledPhoneNumber", "not_a_phone_number", NO_LENGTH)),
    bad("phone-plus-too-long", {"CallerId": "+1 212 555 0142 999"}, ("CallerId", "not_a_phone_number", NO_LENGTH)),
    bad("phone-plus-unknown-code", {"CallerId": "+999 2125550142"},
        ("CallerId", "not_a_phone_number", "is not a phone number of any country")),
    bad("phone-plus-49-with-two-zeros", {"CallerId": "+49 00 30 23125 012"},
        ("CallerId", "not_a_phone_number", "is not a phone number of any country")),
    bad("phone-plus-alone", {"CallerId": "+ ()"},
        ("CallerId", "not_a_phone_number", "is not a phone number of any country")),
    bad("phone-boolean", {"CallerId": True}, ("CallerId", "wrong_type", NOT_PHONE + "is a boolean")),
    bad("phone-list", {"CallerId": ["2125550142"]}, ("CallerId", "wrong_type", NOT_PHONE + "is a value of type list")),
    bad("phone-tuple", {"CallerId": ("2125550142", "US")},
        ("CallerId", "wrong_type", NOT_PHONE + "is a value of type tuple")),
    # Without care, the sign and the point pass for the punctuation of a phone number.
    bad("phone-negative", {"CallerId": -2125550142}, ("CallerId", "out_of_range", NEGATIVE)),
    bad("phone-fraction", {"CallerId": 212555014.2}, ("CallerId", "fraction", NOT_PHONE + "has a fraction")),
    bad("phone-infinite", {"CallerId": float("inf")}, ("CallerId", "not_a_number", INFINITE)),
]  # fmt: skip

COUNTRY_ROWS = [
    bad("country-unknown", {"CallerPhoneNumberCountry": "XX"},
        ("CallerPhoneNumberCountry", "unknown_word", BAD_COUNTRY + "text of 2 characters")),
    bad("country-sharp-s", {"CallerPhoneNumberCountry": "ß"},
        ("CallerPhoneNumberCountry", "unknown_word", BAD_COUNTRY + "text of 1 characters")),
    bad("country-wide-letters", {"CallerPhoneNumberCountry": "ＵＳ"},
        ("CallerPhoneNumberCountry", "unknown_word", BAD_COUNTRY + "text of 2 characters")),
    *[bad(f"country-{name}", {"CallerPhoneNumberCountry": name},
          ("CallerPhoneNumberCountry", "unknown_word", f"{BAD_COUNTRY}text of {len(name)} characters"))
      for name in ("XYZ", "Congo", "Korea", "Virgin Islands", "Antarctica", "ATA", "America", "U S", "EU", "the")],
    *[bad(f"country-{name}", {"CallerPhoneNumberCountry": name},
          ("CallerPhoneNumberCountry", "unknown_word", f"{BAD_COUNTRY}text of {len(name)} characters"))
      for name in ("USA 1", "840", "Deutschland!", "Россия")],
    bad("country-calling-code", {"CallerPhoneNumberCountry": 1},
        ("CallerPhoneNumberCountry", "wrong_type", BAD_COUNTRY + "a value of type int")),
    bad("country-over-64", {"CallerPhoneNumberCountry": "U" * 65},
        ("CallerPhoneNumberCountry", "unknown_word", BAD_COUNTRY + "text of 65 characters")),
    bad("country-over-64-called", {"CalledPhoneNumberCountry": "U" * 65},
        ("CalledPhoneNumberCountry", "unknown_word", BAD_COUNTRY + "text of 65 characters")),
    bad("country-contradicts-plus-44", {"CallerId": "+44 20 7946 0018", "CallerPhoneNumberCountry": "US"},
        ("CallerId", "not_a_phone_number", "starts with +44, which is not the calling code of US")),
    bad("country-contradicts-plus-1", {"CallerId": "+1 212 555 0142", "CallerPhoneNumberCountry": "GB"},
        ("CallerId", "not_a_phone_number", "starts with +1, which is not the calling code of GB")),
    bad("country-not-derivable", {"CallerId": "555 555 0142"},
        ("CallerPhoneNumberCountry", "country_not_derivable", NO_COUNTRY)),
    # Ten digits that look like the dialling of a number in Germany.
    bad("country-not-derivable-from-011", {"CallerId": "0114930123"},
        ("CallerPhoneNumberCountry", "country_not_derivable", NO_COUNTRY)),
    bad("country-wrong-number-needs-it", {"CallerId": "020 7946 0018", "CallerPhoneNumberCountry": "GBX"},
        ("CallerId", "without_country_code", NOT_TEN),
        ("CallerPhoneNumberCountry", "unknown_word", BAD_COUNTRY + "text of 3 characters")),
]  # fmt: skip

TEXT_ROWS = [
    *[bad(f"{name}-over-64", {name: "x" * 65},
          (name, "text_too_long", TOO_LONG)) for name in ("CallProvider", "SubId1", "SubId2")],
    bad("SubId3-over-64-in-chinese", {"SubId3": "电" * 65}, ("SubId3", "text_too_long", TOO_LONG)),
    bad("SubId1-over-64-joined", {"SubId1": ["x" * 32, "y" * 32]}, ("SubId1", "text_too_long", TOO_LONG)),
    bad("text-boolean", {"RepeatCaller": True},
        ("RepeatCaller", "wrong_type", "must be text, and is a value of type bool" + MAP_IT)),
    bad("text-bytes", {"City": b"Oslo"}, ("City", "wrong_type", "must be text, and is a value of type bytes" + MAP_IT)),
    bad("text-dict", {"City": {"name": "Oslo"}},
        ("City", "wrong_type", "must be text, and is a value of type dict" + MAP_IT)),
    bad("text-set", {"Keypresses": {"1", "2"}},
        ("Keypresses", "wrong_type", "must be text, and is a value of type set")),
    bad("text-list-of-dicts", {"Keypresses": [{"key": "1"}]},
        ("Keypresses", "wrong_type", "must be text, and is a value of type dict" + MAP_IT)),
    bad("text-list-in-a-list", {"Keypresses": [["1"], "2"]},
        ("Keypresses", "wrong_type", "must be text or a list of it, and is a list that holds a list")),
    bad("text-list-with-boolean", {"Keypresses": ["1", False]},
        ("Keypresses", "wrong_type", "must be text, and is a value of type bool" + MAP_IT)),
    bad("text-surrogate", {"City": "Oslo\ud83d"}, ("City", "invalid_character", SURROGATE)),
    bad("text-surrogate-in-session", {"CallSessionId": "\udcff"}, ("CallSessionId", "invalid_character", SURROGATE)),
    bad("text-surrogate-in-list", {"Keypresses": ["1", "\ud83d"]}, ("Keypresses", "invalid_character", SURROGATE)),
    *[bad(f"text-list-as-json-{text}", {"Keypresses": text}, ("Keypresses", code, message)) for text, code, message in [
        ('[["1"], "2"]', "wrong_type", "must be text or a list of it, and is a list that holds a list"),
        ("[" * 100 + "]" * 100, "wrong_type", "must be text or a list of it, and is a list that holds a list"),
        ('[{"key": "1"}]', "wrong_type", "must be text, and is a value of type dict" + MAP_IT),
        ('["1", false]', "wrong_type", "must be text, and is a value of type bool" + MAP_IT),
        ('["1", "\\ud83d"]', "invalid_character", SURROGATE),
        ('["1\\u0000"]', "invalid_character", NUL),
        ("[1, Infinity]", "not_a_number", INFINITE),
        ("[1e20]", "out_of_range", INEXACT),
    ]],
    bad("text-nul", {"CallSessionId": "call\x001"}, ("CallSessionId", "invalid_character", NUL)),
    bad("text-infinite", {"City": float("inf")}, ("City", "not_a_number", INFINITE)),
    bad("text-unreadable", {"City": UnreadableValue("is text that is not UTF-8")},
        ("City", "unreadable", "is text that is not UTF-8")),
    # Two ids beyond 2**53 may be one float: as text, both calls would have one id, and one would be lost.
    bad("session-float-of-2-to-53", {"CallSessionId": 2.0**53}, ("CallSessionId", "out_of_range", INEXACT)),
    bad("session-negative-float", {"CallSessionId": -(2.0**60)}, ("CallSessionId", "out_of_range", INEXACT)),
]  # fmt: skip

WORD_ROWS = [
    bad("status-lower-case", {"CallStatus": "answer"}, ("CallStatus", "unknown_word", STATUSES + "'answer'")),
    bad("status-vendor-word", {"CallStatus": "no-answer"}, ("CallStatus", "unknown_word", STATUSES + "'no-answer'")),
    bad("status-number", {"CallStatus": 6}, ("CallStatus", "wrong_type", STATUSES + "a value of type int")),
    bad("status-list", {"CallStatus": ["ANSWER"]}, ("CallStatus", "wrong_type", STATUSES + "a value of type list")),
    bad("phone-type-lower-case", {"PhoneType": "mobile"}, ("PhoneType", "unknown_word", PHONE_TYPES + "'mobile'")),
    bad("phone-type-boolean", {"PhoneType": False}, ("PhoneType", "wrong_type", PHONE_TYPES + "a value of type bool")),
]  # fmt: skip

MAPPED_ROWS = [
    bad("mapped-column-missing", {}, ("CallerId", "missing", "is missing; the row has no column 'phone'"),
        mapping={"CallerId": "phone"}),
    bad("mapped-status-column-missing", {}, ("CallStatus", "missing", NO_STATUS + NO_COLUMN_STATUS),
        mapping={"CallStatus": "status"}),
    bad("mapped-column-null", {"phone": None}, ("CallerId", "missing", MISSING), mapping={"CallerId": "phone"}),
    bad("mapped-callable-raises", {},
        ("MediaId", "mapping_failed", "could not be computed: its mapping raised KeyError"),
        mapping={"MediaId": lookup}),
    bad("mapped-callable-of-optional-raises", {},
        ("City", "mapping_failed", "could not be computed: its mapping raised KeyError"),
        mapping={"City": lookup}),
    bad("mapped-callable-gives-nothing", {},
        ("MediaId", "missing", MISSING), mapping={"MediaId": lambda row: row.get("media")}),
    bad("mapped-word-not-in-its-table", {"ended": "busy"},
        ("CallStatus", "not_in_table", "has no value for 'busy'; add it to its values"),
        mapping={"CallStatus": {"from": "ended", "values": {"done": "ANSWER"}}}),
    bad("mapped-key-not-in-its-table", {"line": "7"},
        ("MediaId", "not_in_table", "has no entry for what 'line' holds; add it to its lookup"),
        mapping={"MediaId": {"from": "line", "lookup": {"8": 10000}}}),
    bad("two-columns", {"campaign_id": 1},
        ("CampaignId", "ambiguous_column", TWO_COLUMNS)),
    bad("two-columns-for-an-optional", {"subid1": "a", "SUB_ID_1": "b"},
        ("SubId1", "ambiguous_column", "has two columns, 'subid1' and 'SUB_ID_1'; name the right one in mapping")),
    bad("three-columns", {"campaign_id": 1, "CAMPAIGNID": 1},
        ("CampaignId", "ambiguous_column", "has two columns, 'CampaignId' and 'campaign_id' and 'CAMPAIGNID'; "
                       "name the right one in mapping")),
    bad("wrong-constant", {}, ("CampaignId", "not_a_number", NOT_WHOLE + "is text of 6 characters"),
        constants={"CampaignId": "spring"}),
]  # fmt: skip

SEVERAL_ROWS = [
    bad("several-with-talk-over-call",
        {"CampaignId": "x", "MediaId": None, "EventDate": "NOW", "CallerId": "anonymous?", "CallDuration": 60,
         "TalkDuration": 90, "CallStatus": "?", "SubId1": "x" * 65},
        ("CampaignId", "not_a_number", NOT_WHOLE + "is text of 1 characters"), ("MediaId", "missing", MISSING),
        ("EventDate", "not_a_time", NOW),
        ("CallerId", "not_a_phone_number", NOT_DIGITS), ("TalkDuration", "longer_than_the_call", EXCEEDS),
        ("CallStatus", "unknown_word", STATUSES + "text of 1 characters"),
        ("SubId1", "text_too_long", TOO_LONG)),
    bad("several-in-the-mapping-and-in-values",
        {"campaign_id": 1, "CallDuration": 60, "TalkDuration": 90, "PhoneType": "Tablet"},
        ("CampaignId", "ambiguous_column", TWO_COLUMNS),
        ("CallProvider", "mapping_failed", "could not be computed: its mapping raised KeyError"),
        ("CallSessionId", "missing", "is missing; the row has no column 'uuid'"),
        ("TalkDuration", "longer_than_the_call", EXCEEDS), ("PhoneType", "unknown_word", PHONE_TYPES + "'Tablet'"),
        mapping={"CallSessionId": "uuid", "CallProvider": lookup}),
    bad("several-phone-numbers",
        {"CallerId": "+44 20 7946 0018", "CallerPhoneNumberCountry": "US", "CalledPhoneNumber": "555 555 0191"},
        ("CallerId", "not_a_phone_number", "starts with +44, which is not the calling code of US"),
        ("CalledPhoneNumberCountry", "country_not_derivable", NO_COUNTRY.replace("CallerId", "CalledPhoneNumber"))),
    bad("several-durations", {"CallDuration": -1, "TalkDuration": 0.5, "IvrDuration": True},
        ("CallDuration", "out_of_range", NEGATIVE), ("TalkDuration", "fraction", FRACTION),
        ("IvrDuration", "wrong_type", NOT_SECONDS + "is a boolean")),
    bad("values-in-each-other-s-columns",
        {"CallStatus": RECORDING, "CallDuration": 60, "TalkDuration": "2125550142", "MediaId": CALLER,
         "CallerId": RECORDING, "CalledPhoneNumber": SESSION, "PhoneType": SESSION, "EventDate": RECORDING},
        ("MediaId", "not_a_number", NOT_WHOLE + "is text of 12 characters"), ("EventDate", "not_a_time", NOT_ISO),
        ("CallerId", "not_a_phone_number", NOT_DIGITS),
        ("CalledPhoneNumber", "not_a_phone_number", NOT_DIGITS), ("TalkDuration", "longer_than_the_call", EXCEEDS),
        ("CallStatus", "unknown_word", STATUSES + f"text of {len(RECORDING)} characters"),
        ("PhoneType", "unknown_word", PHONE_TYPES + "text of 12 characters")),
]  # fmt: skip

BAD_ROWS = {
    "missing": MISSING_ROWS,
    "blank": BLANK_ROWS,
    "ids": ID_ROWS,
    "durations": DURATION_ROWS,
    "amounts": AMOUNT_ROWS,
    "times": TIME_ROWS,
    "phone numbers": PHONE_ROWS,
    "countries": COUNTRY_ROWS,
    "texts": TEXT_ROWS,
    "words": WORD_ROWS,
    "mapping": MAPPED_ROWS,
    "several": SEVERAL_ROWS,
}

NO_ROWS = [
    ("a,b,c", "text of 5 characters"),
    (CALLER, "text of 12 characters"),
    ([good_row()], "a value of type list"),
    (tuple(good_row().values()), "a value of type tuple"),
    (None, "nothing"),
    (1000, "a value of type int"),
]


@pytest.mark.parametrize("kind", BAD_ROWS)
def test_bad_rows_give_every_reason_at_once(kind: str) -> None:
    with table() as row:
        for case in BAD_ROWS[kind]:
            with row((case.name, case.changes)):
                assert coded_problems_of(good_row(case.changes), **case.options) == case.problems


@pytest.mark.parametrize("kind", BAD_ROWS)
def test_no_reason_quotes_what_may_be_private(kind: str) -> None:
    with table() as row:
        for case in BAD_ROWS[kind]:
            with row((case.name, case.changes)):
                with pytest.raises(InvalidCall) as caught:
                    CallMapping(**case.options).record(good_row(case.changes))
                said = str(caught.value) + "".join(str(problem) for problem in caught.value.problems)
                assert not [private for private in PRIVATE if private in said]


def test_no_reason_quotes_what_may_be_private_in_whatever_column_it_stands() -> None:
    with table() as row:
        for private in (CALLER, 2125550142, RECORDING, SESSION, {"a": RECORDING}, [CALLER, SESSION]):
            for name in PARAMETERS:
                with row((name, private)):
                    said = str(problems_of(good_row({name: private})))
                    assert not [secret for secret in PRIVATE if secret in said]


def test_what_is_no_dict_is_no_row() -> None:
    with table() as row:
        for given, described in NO_ROWS:
            with row(given):
                message = f"must be a dict by column name, and is {described}"
                assert coded_problems_of(given) == [("row", "not_a_row", message)]


def test_a_name_that_is_not_a_parameter_s() -> None:
    with pytest.raises(InvalidCall) as caught:
        CallRecord.of(good_row({"CallDurration": 180}))
    assert [(each.parameter, each.code) for each in caught.value.problems] == [("CallDurration", "unknown_parameter")]


def test_each_code_is_that_of_a_bad_row() -> None:
    """Of a row of the tables, or of the tests before this one: no code is dead. None has the name of a reason code."""
    given = {code for case in chain.from_iterable(BAD_ROWS.values()) for _, code, _ in case.problems}
    assert given | {"not_a_row", "unknown_parameter"} == set(ProblemCode)
    assert set(ProblemCode).isdisjoint(ReasonCode)


def test_a_bad_row_is_known_by_its_session_id_if_that_can_be_read() -> None:
    for session_id, known_as in [("abc", "abc"), (17.0, "17"), (None, None), ("", None), (b"abc", None), ([], None)]:
        with pytest.raises(InvalidCall) as caught:
            CallMapping().record(good_row({"CallSessionId": session_id, "CampaignId": None}))
        assert caught.value.call_session_id == known_as


def test_a_call_record_in_a_row_s_place_is_taken_as_it_is() -> None:
    record = CallRecord.of(good_row())
    assert CallMapping(constants={"CampaignId": 2}).record(record) is record


async def test_the_good_rows_beside_the_bad_ones_are_delivered() -> None:
    """Before, between and after the bad rows, the good ones arrive, each once and in full."""
    rows: list[Any] = []
    for case in chain.from_iterable(BAD_ROWS.values()):
        if not case.options:  # the same input has one mapping; the other cases have tests of their own
            rows += [good_row({"CallSessionId": f"good-{len(rows)}"}), good_row(case.changes)]
    for given, _ in NO_ROWS:
        rows += [good_row({"CallSessionId": f"good-{len(rows)}"}), given]
    rows.append(good_row({"CallSessionId": f"good-{len(rows)}"}))

    items = list(mapped(enumerate(rows, start=1), CallMapping()))

    calls = [item for item in items if isinstance(item, Call)]
    assert [item.row for item in items] == list(range(1, len(rows) + 1))
    assert [call.row for call in calls] == list(range(1, len(rows) + 1, 2))
    assert all(isinstance(item, Rejected) and item.problems for item in items[1::2])
    async with Sandbox() as sandbox:
        endpoint = Endpoint(origin=sandbox.url)
        async with endpoint.connections(1) as connections:
            attempts = [await connections.send(endpoint.request(call.record)) for call in calls]
    assert {attempt.result for attempt in attempts} == {AttemptResult.DELIVERED}
    arrived = [processed["parameters"]["CallSessionId"] for processed in sandbox.calls]
    assert arrived == [f"good-{number}" for number in range(0, len(rows), 2)]
    assert sandbox.calls[0]["parameters"] == {
        "CampaignId": "1000",
        "MediaId": "10000",
        "EventDate": "2026-09-10T22:55:32-08:00",
        "ActionTrackerId": "4000",
        "CallProvider": "ExampleVendor",
        "CallSessionId": "good-0",
        "CallerId": "2125550142",
        "CalledPhoneNumber": "3035550191",
        "CallDuration": "180",
        "TalkDuration": "120",
        "CallStatus": "ANSWER",
        "CallerPhoneNumberCountry": "US",
        "CalledPhoneNumberCountry": "US",
        "CallRecording": RECORDING,
    }


UNKNOWN = "is not one of impact.com's 50 parameters"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param(
            {"mapping": {"CallerID": "phone"}},
            f"mapping: 'CallerID' {UNKNOWN}; did you mean CallerId?",
            id="mapping-case",
        ),
        pytest.param(
            {"mapping": {"campaign_id": "campaign"}},
            f"mapping: 'campaign_id' {UNKNOWN}; did you mean CampaignId?",
            id="mapping-underscores",
        ),
        pytest.param(
            {"constants": {"CampainId": 1}},
            f"constants: 'CampainId' {UNKNOWN}; did you mean CampaignId?",
            id="constants-typo",
        ),
        pytest.param(
            {"mapping": {"ActionTrackerID": "a"}, "constants": {"Qqqq": 1}},
            f"mapping: 'ActionTrackerID' {UNKNOWN}; did you mean ActionTrackerId?; constants: 'Qqqq' {UNKNOWN}",
            id="both-at-once",
        ),
        pytest.param({"mapping": {7: "a"}}, f"mapping: 7 {UNKNOWN}", id="mapping-number"),
        pytest.param(
            {"mapping": {"MediaId": "media"}, "constants": {"MediaId": 1}},
            "MediaId is in mapping and in constants",
            id="mapping-and-constants",
        ),
        pytest.param(
            {"mapping": {"MediaId": 1}},
            "mapping: MediaId must be a column name, a callable of the row, or a dict such as {'constant': ...}, and "
            "is a value of type int",
            id="no-source",
        ),
        pytest.param(
            {"mapping": ["MediaId"]},
            "mapping must be a dict by parameter name, and is a value of type list",
            id="mapping-list",
        ),
        pytest.param(
            {"constants": "MediaId=1"},
            "constants must be a dict by parameter name, and is text of 9 characters",
            id="constants-text",
        ),
        pytest.param(
            {"caller_id_format": "E.164"}, "caller_id_format must be 'national' or 'e164'", id="caller-id-format"
        ),
        pytest.param(
            {"timezone": "Mars/Olympus"},
            "timezone: 'Mars/Olympus' is not an IANA time zone such as America/New_York",
            id="timezone-unknown",
        ),
        pytest.param(
            {"timezone": "../etc/passwd"},
            "timezone: '../etc/passwd' is not an IANA time zone such as America/New_York",
            id="timezone-path",
        ),
        pytest.param(
            {"timezone": ""}, "timezone: '' is not an IANA time zone such as America/New_York", id="timezone-empty"
        ),
        pytest.param(
            {"timezone": -5}, "timezone must be an IANA name or a tzinfo, and is a value of type int", id="timezone-int"
        ),
    ],
)
def test_an_option_that_cannot_be_is_refused_before_any_row(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption) as caught:
        CallMapping(**options)
    assert str(caught.value) == message


def test_missing_columns_are_known_before_any_row() -> None:
    mapping = CallMapping({"CallerId": "phone", "City": "town", "MediaId": lambda row: 1})
    assert mapping.missing_columns(["phone", "Phone"]) == ["town"]
    assert mapping.missing_columns(["phone", "town"]) == []
