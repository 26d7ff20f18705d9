"""What warehouses hold, and the text that it leaves as: every expectation is written from the rules by hand."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from fractions import Fraction
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import parse_qs
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest

from airflow_provider_impactcall.delivery.wire.endpoint import encode
from airflow_provider_impactcall.records import PARAMETERS, CallStatus
from airflow_provider_impactcall.sandbox.validation import find_problems
from tests.records.rows import NO_COLUMN, good_row, wire_text
from tests.tables import table

NEW_YORK = ZoneInfo("America/New_York")


class Case(NamedTuple):
    """The changes to the good row, and what then leaves; None for what must not."""

    name: str
    changes: dict[Any, Any]
    expected: Mapping[str, str | None]
    options: dict[str, Any]


def good(name: str, changes: dict[Any, Any], expected: Mapping[str, str | None], **options: Any) -> Case:
    return Case(name, changes, expected, options)


def nanp(name: str, value: Any) -> Case:
    return good(name, {"CallerId": value}, {"CallerId": "2125550142", "CallerPhoneNumberCountry": "US"})


class Program(IntEnum):
    SPRING = 1001


class Label(str, Enum):  # noqa: UP042 - unlike a StrEnum's, its str() is "Label.SALE", which must never leave
    SALE = "spring sale"
    AMOUNT = "12.50"
    CALLER = "+12125550142"
    ANSWERED = "ANSWER"
    MOBILE = "Mobile"
    START = "2026-09-10T22:55:32Z"


NANP_NUMBERS = [
    nanp("plus-1", "+12125550142"),
    nanp("plus-1-spaced", "+1 212 555 0142"),
    nanp("plus-1-bracketed", "+1 (212) 555-0142"),
    nanp("dashes", "212-555-0142"),
    nanp("brackets-and-dash", "(212) 555-0142"),
    nanp("brackets-and-spaces", "(212) 555 0142"),
    nanp("dots", "212.555.0142"),
    nanp("ten-digits", "2125550142"),
    nanp("eleven-digits", "12125550142"),
    nanp("eleven-dashed", "1-212-555-0142"),
    nanp("integer", 2125550142),
    nanp("integer-of-eleven", 12125550142),
    nanp("float", 2125550142.0),
    nanp("numpy-float", np.float64(2125550142)),
    nanp("numpy-integer", np.int64(2125550142)),
    nanp("decimal", Decimal("2125550142")),
    nanp("decimal-of-zero-scale", Decimal("2125550142.00")),
    nanp("padded-to-64", "2125550142" + " " * 54),
    nanp("numpy-text", np.str_("212-555-0142")),
    nanp("enum", Label.CALLER),
    nanp("extension", "212-555-0142 x42"),
    nanp("extension-in-words", "(212) 555-0142 ext. 42"),
    nanp("extension-of-rfc-3966", "+12125550142;ext=42"),
    nanp("keys-to-press", "2125550142,42#"),
    nanp("keys-to-press-of-invoca", "212-555-0142,,#1*"),
    nanp("sip", "sip:+12125550142@example.com;user=phone"),
    nanp("sips", "sips:2125550142@example.com:5061"),
    nanp("sip-percent-encoded", "sip:%2B12125550142@example.com"),
    nanp("tel", "tel:+1-212-555-0142;ext=42"),
    nanp("plus-in-brackets", "(+1) 212-555-0142"),
    nanp("unicode-dashes", "212\u2011555\u20130142"),
    nanp("no-break-spaces", "212\u00a0555\u202f0142"),
    nanp("wide-digits", "\uff0b\uff11 \uff12\uff11\uff12-5550142"),
    nanp("arabic-indic-digits", "\u0662\u0661\u0662\u0665\u0665\u0665\u0660\u0661\u0664\u0662"),
    nanp("invisible-marks-of-a-phone-s-clipboard", "\u202a+1 (212) 555-0142\u202c"),
    nanp("float-from-a-file", "2125550142.0"),
    good("called-number-of-invoca", {"CalledPhoneNumber": "866-555-0134,,#1*"}, {"CalledPhoneNumber": "8665550134"}),
    good("toll-free", {"CalledPhoneNumber": "866-555-0134"},
         {"CalledPhoneNumber": "8665550134", "CalledPhoneNumberCountry": "US"}),
    good("canada-derived", {"CallerId": "416-555-0134"},
         {"CallerId": "4165550134", "CallerPhoneNumberCountry": "CA"}),
    good("canada-derived-of-plus-1", {"CallerId": "+16045550134"},
         {"CallerId": "6045550134", "CallerPhoneNumberCountry": "CA"}),
    good("canada-given", {"CallerId": "4165550134", "CallerPhoneNumberCountry": "ca"},
         {"CallerId": "4165550134", "CallerPhoneNumberCountry": "CA"}),
    good("country-given-for-555", {"CallerId": "5555550134", "CallerPhoneNumberCountry": "US"},
         {"CallerId": "5555550134", "CallerPhoneNumberCountry": "US"}),
    good("e164", {"CallerId": "212-555-0142"},
         {"CallerId": "+12125550142", "CalledPhoneNumber": "3035550191", "CallerPhoneNumberCountry": "US"},
         caller_id_format="e164"),
    good("e164-eleven", {"CallerId": "12125550142"}, {"CallerId": "+12125550142"}, caller_id_format="e164"),
    good("e164-abroad", {"CallerId": "+442079460018"},
         {"CallerId": "+442079460018", "CallerPhoneNumberCountry": "GB"}, caller_id_format="e164"),
    good("national", {"CallerId": "+12125550142"}, {"CallerId": "2125550142"}, caller_id_format="national"),
]  # fmt: skip

# Reserved for fiction: +44 20 7946 0xxx, +49 30 23125 xxx, +33 1 99 00 xx xx, +61 2 5550 xxxx. In Mexico none is;
# no number there starts with 0 after its area code, so this one cannot exist.
NUMBERS_ABROAD = [
    good("uk-with-plus", {"CallerId": "+44 20 7946 0018"},
         {"CallerId": "+442079460018", "CallerPhoneNumberCountry": "GB"}),
    good("uk-with-plus-and-trunk-zero", {"CallerId": "+44 (0)20 7946 0018"},
         {"CallerId": "+442079460018", "CallerPhoneNumberCountry": "GB"}),
    good("uk-with-country", {"CallerId": "020 7946 0018", "CallerPhoneNumberCountry": "GB"},
         {"CallerId": "+442079460018", "CallerPhoneNumberCountry": "GB"}),
    good("uk-ten-digits-with-country", {"CallerId": "2079460018", "CallerPhoneNumberCountry": "gb"},
         {"CallerId": "+442079460018", "CallerPhoneNumberCountry": "GB"}),
    good("uk-as-integer-with-country", {"CallerId": 2079460018, "CallerPhoneNumberCountry": "GB"},
         {"CallerId": "+442079460018", "CallerPhoneNumberCountry": "GB"}),
    good("uk-dialled-from-abroad", {"CallerId": "0044 20 7946 0018", "CallerPhoneNumberCountry": "GB"},
         {"CallerId": "+442079460018"}),
    good("uk-with-plus-and-country", {"CallerId": "+442079460018", "CallerPhoneNumberCountry": "GB"},
         {"CallerId": "+442079460018", "CallerPhoneNumberCountry": "GB"}),
    good("jersey-shares-the-uk-s-code", {"CallerId": "+442079460018", "CallerPhoneNumberCountry": "JE"},
         {"CallerPhoneNumberCountry": "JE"}),
    good("germany-with-plus", {"CalledPhoneNumber": "+49 30 23125 012"},
         {"CalledPhoneNumber": "+493023125012", "CalledPhoneNumberCountry": "DE"}),
    good("germany-with-country", {"CalledPhoneNumber": "030 23125-012", "CalledPhoneNumberCountry": "DE"},
         {"CalledPhoneNumber": "+493023125012", "CalledPhoneNumberCountry": "DE"}),
    good("mexico-with-plus", {"CallerId": "+525500000123"},
         {"CallerId": "+525500000123", "CallerPhoneNumberCountry": "MX"}),
    good("mexico-with-country", {"CallerId": "55 0000 0123", "CallerPhoneNumberCountry": "MX"},
         {"CallerId": "+525500000123", "CallerPhoneNumberCountry": "MX"}),
    good("uk-with-plus-in-brackets", {"CallerId": "(+44) 20 7946 0018"}, {"CallerId": "+442079460018"}),
    good("uk-by-sip", {"CallerId": "sip:+442079460018@example.com"},
         {"CallerId": "+442079460018", "CallerPhoneNumberCountry": "GB"}),
    good("uk-with-extension", {"CallerId": "020 7946 0018 x42", "CallerPhoneNumberCountry": "GB"},
         {"CallerId": "+442079460018"}),
    good("germany-from-a-file", {"CallerId": "+493023125012.0"}, {"CallerId": "+493023125012"}),
    *[good(f"country-{name}", {"CallerId": number, "CallerPhoneNumberCountry": name},
           {"CallerPhoneNumberCountry": code})
      for code, number, names in [
          ("US", "2125550142", ["us", "USA", "usa", "U.S.", "U.S.A.", "United States", "UNITED STATES OF AMERICA",
                                "the United States"]),
          ("GB", "020 7946 0018", ["UK", "uk", "GBR", "Great Britain", "United Kingdom", "england",
                                   "United Kingdom of Great Britain and Northern Ireland"]),
          ("KR", "02-212-3456", ["KOR", "South Korea", "Korea, Republic of", "Republic of Korea"]),
          ("CI", "25 21 23 45 67", ["Ivory Coast", "Côte d'Ivoire", "cote d’ivoire"]),
          ("NL", "010 123 4567", ["Netherlands", "The Netherlands", "Holland"]),
          ("VN", "0210 1234 567", ["Vietnam", "Viet Nam"]),
          ("TR", "(0212) 345 67 89", ["Turkey", "Türkiye", "TURKIYE"]),
          ("CZ", "212 345 678", ["Czechia", "Czech Republic"]),
          ("RU", "8 (301) 112-34-56", ["Russia", "Russian Federation"]),
          ("BA", "030 212-345", ["Bosnia and Herzegovina", "Bosnia & Herzegovina"]),
          ("CD", "0991 234 567", ["DR Congo", "Democratic Republic of the Congo"]),
          ("LC", "758 555 0123", ["St. Lucia", "Saint Lucia"]),
          ("VI", "340 555 0123", ["U.S. Virgin Islands", "Virgin Islands, U.S."]),
      ] for name in names],
    good("france", {"CallerId": "+33 1 99 00 12 34"}, {"CallerId": "+33199001234", "CallerPhoneNumberCountry": "FR"}),
    good("australia", {"CallerId": "(02) 5550 1234", "CallerPhoneNumberCountry": "AU"},
         {"CallerId": "+61255501234", "CallerPhoneNumberCountry": "AU"}),
]  # fmt: skip


def at(name: str, value: Any, expected: str, **options: Any) -> Case:
    return good(name, {"EventDate": value}, {"EventDate": expected}, **options)


LOCAL_MEAN = timezone(-timedelta(hours=4, minutes=56, seconds=2))
TIMES = [
    at("offset", "2026-09-10T22:55:32-08:00", "2026-09-10T22:55:32-08:00"),
    at("offset-positive", "2026-09-10T22:55:32+05:30", "2026-09-10T22:55:32+05:30"),
    at("offset-compact", "2026-09-10T22:55:32+0530", "2026-09-10T22:55:32+05:30"),
    at("offset-hours", "2026-09-10 22:55:32-08", "2026-09-10T22:55:32-08:00"),
    at("offset-after-space", "2026-09-10 22:55:32 -0800", "2026-09-10T22:55:32-08:00"),
    at("offset-after-space-and-fraction", "2026-09-10 22:55:32.000 -0800", "2026-09-10T22:55:32-08:00"),
    at("offset-of-odd-minutes", "2026-09-10T22:55:32+05:45", "2026-09-10T22:55:32+05:45"),
    at("z", "2026-09-10T22:55:32Z", "2026-09-10T22:55:32+00:00"),
    at("space", "2026-09-10 22:55:32Z", "2026-09-10T22:55:32+00:00"),
    at("basic-form", "20260910T225532Z", "2026-09-10T22:55:32+00:00"),
    at("minutes", "2026-09-10T22:55Z", "2026-09-10T22:55:00+00:00"),
    at("milliseconds-dropped", "2026-09-10T22:55:32.999Z", "2026-09-10T22:55:32+00:00"),
    at("nanoseconds-dropped", "2026-09-10T22:55:32.999999999Z", "2026-09-10T22:55:32+00:00"),
    at("last-second-is-not-rounded-up", "2025-12-31T23:59:59.999999Z", "2025-12-31T23:59:59+00:00"),
    at("offset-with-seconds-to-utc", "2026-09-10T22:55:32+01:00:30", "2026-09-10T21:55:02+00:00"),
    at("datetime-utc", datetime(2026, 9, 10, 22, 55, 32, 999999, UTC), "2026-09-10T22:55:32+00:00"),
    at("datetime-fixed", datetime(2026, 9, 10, 22, 55, 32, tzinfo=timezone(timedelta(hours=-8))),
       "2026-09-10T22:55:32-08:00"),
    at("datetime-zone-summer", datetime(2026, 7, 1, 12, tzinfo=NEW_YORK), "2026-07-01T12:00:00-04:00"),
    at("datetime-zone-winter", datetime(2026, 1, 1, 12, tzinfo=NEW_YORK), "2026-01-01T12:00:00-05:00"),
    # New York's local mean time, four hours, 56 minutes and two seconds behind Greenwich.
    at("datetime-offset-with-seconds", datetime(2026, 1, 1, 12, tzinfo=LOCAL_MEAN), "2026-01-01T16:56:02+00:00"),
    at("pandas-utc", pd.Timestamp("2026-09-10T22:55:32.123456789Z"), "2026-09-10T22:55:32+00:00"),
    at("pandas-zone", pd.Timestamp("2026-07-01 12:00", tz="America/New_York"), "2026-07-01T12:00:00-04:00"),
    at("pandas-naive", pd.Timestamp("2026-07-01 12:00"), "2026-07-01T12:00:00-04:00", timezone="America/New_York"),
    at("naive-text-summer", "2026-07-01T12:00:00", "2026-07-01T12:00:00-04:00", timezone="America/New_York"),
    at("naive-text-winter", "2026-01-01 12:00:00", "2026-01-01T12:00:00-05:00", timezone="America/New_York"),
    at("naive-summer", datetime(2026, 7, 1, 12), "2026-07-01T12:00:00+01:00", timezone="Europe/London"),
    at("naive-winter", datetime(2026, 1, 1, 12), "2026-01-01T12:00:00+00:00", timezone="Europe/London"),
    at("naive-with-tzinfo", datetime(2026, 1, 1, 12), "2026-01-01T12:00:00+09:00", timezone=ZoneInfo("Asia/Tokyo")),
    at("naive-with-fixed", datetime(2026, 1, 1, 12), "2026-01-01T12:00:00-03:00",
       timezone=timezone(timedelta(hours=-3))),
    at("own-offset-beats-the-option", "2026-07-01T12:00:00Z", "2026-07-01T12:00:00+00:00", timezone="Asia/Tokyo"),
    # Clocks went back at 2:00 on 1 November 2026: 1:30 came twice.
    at("repeated-text-is-the-first", "2026-11-01T01:30:00", "2026-11-01T01:30:00-04:00", timezone="America/New_York"),
    at("repeated-first", datetime(2026, 11, 1, 1, 30), "2026-11-01T01:30:00-04:00", timezone="America/New_York"),
    at("repeated-second", datetime(2026, 11, 1, 1, 30, fold=1), "2026-11-01T01:30:00-05:00",
       timezone="America/New_York"),
    at("repeated-aware-first", datetime(2026, 11, 1, 1, 30, tzinfo=NEW_YORK), "2026-11-01T01:30:00-04:00"),
    at("repeated-aware-second", datetime(2026, 11, 1, 1, 30, tzinfo=NEW_YORK, fold=1), "2026-11-01T01:30:00-05:00"),
    at("repeated-pandas-second", pd.Timestamp("2026-11-01 01:30").replace(fold=1), "2026-11-01T01:30:00-05:00",
       timezone="America/New_York"),
    at("before-the-skipped-hour", "2026-03-08T01:59:59", "2026-03-08T01:59:59-05:00", timezone="America/New_York"),
    at("after-the-skipped-hour", "2026-03-08T03:00:00", "2026-03-08T03:00:00-04:00", timezone="America/New_York"),
    at("utc", "2026-09-10 22:55:32 UTC", "2026-09-10T22:55:32+00:00"),
    at("utc-of-bigquery", "2026-09-10 22:55:32.123456 UTC", "2026-09-10T22:55:32+00:00"),
    at("gmt", "2026-09-10T22:55:32 GMT", "2026-09-10T22:55:32+00:00"),
    at("z-after-space", "2026-09-10 22:55:32 Z", "2026-09-10T22:55:32+00:00"),
    at("rfc-2822", "Fri, 18 Oct 2019 17:02:00 +0000", "2019-10-18T17:02:00+00:00"),
    at("rfc-2822-offset", "Fri, 18 Oct 2019 17:02:00 -0700", "2019-10-18T17:02:00-07:00"),
    at("rfc-2822-gmt", "Fri, 18 Oct 2019 17:02:00 GMT", "2019-10-18T17:02:00+00:00"),
    at("rfc-2822-zone-of-the-us", "Fri, 18 Oct 2019 17:02:00 EDT", "2019-10-18T17:02:00-04:00"),
    at("rfc-2822-comment", "Fri, 18 Oct 2019 17:02:00 -0700 (PDT)", "2019-10-18T17:02:00-07:00"),
    at("rfc-2822-without-weekday-and-seconds", "18 Oct 2019 17:02 +0000", "2019-10-18T17:02:00+00:00"),
    at("rfc-2822-day-of-one-digit", "tue, 1 oct 2019 17:02:00 +0000", "2019-10-01T17:02:00+00:00"),
    # As the standard library, which leaves the weekday unread.
    at("rfc-2822-wrong-weekday", "Mon, 18 Oct 2019 17:02:00 +0000", "2019-10-18T17:02:00+00:00"),
    # RFC 5322: Universal Time, of a system that says nothing of its own zone.
    at("rfc-2822-minus-zero", "Fri, 18 Oct 2019 17:02:00 -0000", "2019-10-18T17:02:00+00:00", timezone="Asia/Tokyo"),
    at("rfc-2822-without-zone", "Fri, 18 Oct 2019 17:02:00", "2019-10-18T17:02:00+09:00", timezone="Asia/Tokyo"),
    *[at(f"epoch-{type(value).__name__}-{value}", value, "2026-09-11T01:55:32+00:00", timezone="Asia/Tokyo")
      for value in (1789091732, 1789091732000, 1789091732.0, 1789091732.999, 1789091732000.0, 1789091732999.0,
                    "1789091732", "1789091732000", "1789091732.0", "1789091732.123456", "1789091732000.0",
                    Decimal("1789091732.5"), Decimal("1789091732000"), np.int64(1789091732000),
                    np.float64(1789091732.5), Fraction(1789091732))],
    at("epoch-first-of-ten-digits", 1000000000, "2001-09-09T01:46:40+00:00"),
    at("epoch-last-of-ten-digits", 9999999999, "2286-11-20T17:46:39+00:00", clock=lambda: 1e10),
    at("epoch-last-of-13-digits", 9999999999999, "2286-11-20T17:46:39+00:00", clock=lambda: 1e10),
    at("twelve-hours", "2013-05-01 11:48 PM -04:00", "2013-05-01T23:48:00-04:00"),
    at("twelve-hours-with-seconds", "2013-05-01 11:48:09 pm -0400", "2013-05-01T23:48:09-04:00"),
    at("twelve-hours-of-one-digit", "2013-05-01 1:48AM Z", "2013-05-01T01:48:00+00:00"),
    at("twelve-hours-midnight", "2013-05-01 12:00 AM UTC", "2013-05-01T00:00:00+00:00"),
    at("twelve-hours-noon", "2013-05-01 12:00 PM GMT", "2013-05-01T12:00:00+00:00"),
    at("twelve-hours-without-offset", "2013-05-01 11:48 PM", "2013-05-01T23:48:00-04:00", timezone="America/New_York"),
    at("twelve-hours-compact-date", "20130501 11:48:09.5 PM -04:00", "2013-05-01T23:48:09-04:00"),
    at("numpy", np.datetime64("2026-07-01T12:00:00.999999999"), "2026-07-01T12:00:00-04:00",
       timezone="America/New_York"),
    at("numpy-minutes", np.datetime64("2026-07-01T12:00"), "2026-07-01T12:00:00+00:00", timezone="UTC"),
    at("numpy-milliseconds", np.datetime64(1789091732999, "ms"), "2026-09-11T01:55:32+00:00", timezone="UTC"),
    at("enum-text", Label.START, "2026-09-10T22:55:32+00:00"),
]  # fmt: skip

IDS = [
    good("id-text", {"CampaignId": "1001"}, {"CampaignId": "1001"}),
    good("id-text-with-zeros", {"CampaignId": "0001001"}, {"CampaignId": "1001"}),
    good("id-float", {"CampaignId": 1001.0}, {"CampaignId": "1001"}),
    good("id-decimal", {"MediaId": Decimal("10000")}, {"MediaId": "10000"}),
    good("id-decimal-with-scale", {"MediaId": Decimal("10000.000")}, {"MediaId": "10000"}),
    good("id-decimal-with-exponent", {"MediaId": Decimal("1E+4")}, {"MediaId": "10000"}),
    good("id-numpy-int", {"ActionTrackerId": np.int32(4000)}, {"ActionTrackerId": "4000"}),
    good("id-numpy-unsigned", {"AdId": np.uint64(2**64 - 1)}, {"AdId": "18446744073709551615"}),
    good("id-numpy-float", {"AdId": np.float64(77)}, {"AdId": "77"}),
    good("id-numpy-narrow-float", {"AdId": np.float32(77)}, {"AdId": "77"}),
    good("id-beyond-64-bits", {"AdId": 10**40}, {"AdId": "1" + "0" * 40}),
    good("id-last-exact-float", {"AdId": 2.0**53 - 1}, {"AdId": "9007199254740991"}),
    good("id-decimal-beyond-floats", {"AdId": Decimal(2**53 + 1)}, {"AdId": "9007199254740993"}),
    good("id-of-64-digits", {"AdId": "9" * 64}, {"AdId": "9" * 64}),
    good("id-of-64-digits-as-integer", {"AdId": 10**64 - 1}, {"AdId": "9" * 64}),
    good("id-zero", {"AdId": 0}, {"AdId": "0"}),
    good("id-minus-zero", {"AdId": -0.0}, {"AdId": "0"}),
    good("id-enum", {"CampaignId": Program.SPRING}, {"CampaignId": "1001"}),
    good("id-fraction-type", {"AdId": Fraction(14, 2)}, {"AdId": "7"}),
    good("id-from-a-file", {"MediaId": "10000.0"}, {"MediaId": "10000"}),
    good("id-from-a-file-with-scale", {"MediaId": "10000.000"}, {"MediaId": "10000"}),
    good("reference-number", {"ReferenceId": 3}, {"ReferenceId": "3"}),
    good("reference-float", {"ReferenceId": 3.0}, {"ReferenceId": "3"}),
]  # fmt: skip

DURATIONS = [
    *[good(f"duration-{value}", {"CallDuration": value}, {"CallDuration": expected}) for value, expected in [
        ("180.0", "180"), ("00:03:00", "180"), ("0:03:00", "180"), ("1:00:01", "3601"), ("100:00:00", "360000"),
        ("00:03:00.000", "180"), ("1 day, 0:00:01", "86401"), ("0 days 00:03:00", "180"), ("PT3M", "180"),
        ("PT180S", "180"), ("PT1H2M3S", "3723"), ("P1DT1S", "86401"), ("P1W", "604800"), ("PT180.0S", "180"),
        (np.timedelta64(180, "s"), "180"), (np.timedelta64(3, "m"), "180"),
        (np.timedelta64(180_000_000_000, "ns"), "180"), (np.timedelta64(1, "D"), "86400"),
        (str(pd.Timedelta("2 days 1s")), "172801"), (str(timedelta(days=2, seconds=1)), "172801"),
    ]],
    good("duration-text", {"CallDuration": "0180"}, {"CallDuration": "180"}),
    good("duration-float", {"TalkDuration": 120.0}, {"TalkDuration": "120"}),
    good("duration-timedelta", {"CallDuration": timedelta(minutes=3)}, {"CallDuration": "180"}),
    good("duration-timedelta-of-days", {"CallDuration": timedelta(days=1, seconds=1)}, {"CallDuration": "86401"}),
    good("duration-pandas", {"CallDuration": pd.Timedelta("3min")}, {"CallDuration": "180"}),
    good("duration-all-talk", {"CallDuration": 60, "TalkDuration": 60}, {"TalkDuration": "60"}),
    good("duration-zero", {"CallDuration": 0, "TalkDuration": 0}, {"CallDuration": "0", "TalkDuration": "0"}),
    good("ivr-longer-than-call", {"IvrDuration": 999}, {"IvrDuration": "999"}),
]  # fmt: skip

AMOUNTS = [
    good("amount-text", {"SaleAmount": "012.50"}, {"SaleAmount": "012.50"}),
    good("amount-negative", {"SaleAmount": "-12.50"}, {"SaleAmount": "-12.50"}),
    good("amount-decimal", {"SaleAmount": Decimal("12.50")}, {"SaleAmount": "12.50"}),
    good("amount-decimal-exponent", {"SaleAmount": Decimal("1.2E+3")}, {"SaleAmount": "1200"}),
    good("amount-integer", {"SaleAmount": 12}, {"SaleAmount": "12"}),
    good("amount-float", {"SaleAmount": 0.1}, {"SaleAmount": "0.1"}),
    good("amount-small-float", {"SaleAmount": 1e-7}, {"SaleAmount": "0.0000001"}),
    good("amount-numpy", {"SaleAmount": np.float64("19.99")}, {"SaleAmount": "19.99"}),
    good("amount-numpy-narrow", {"SaleAmount": np.float32("19.99")}, {"SaleAmount": "19.99"}),
    good("amount-of-64-digits", {"SaleAmount": Decimal("-" + "9" * 62 + ".99")},
         {"SaleAmount": "-" + "9" * 62 + ".99"}),
    good("amount-of-64-digits-as-text", {"SaleAmount": "-" + "9" * 62 + ".99"},
         {"SaleAmount": "-" + "9" * 62 + ".99"}),
    good("amount-of-64-decimals", {"SaleAmount": Decimal("1E-63")}, {"SaleAmount": "0." + "0" * 62 + "1"}),
    *[good(f"amount-{text}", {"SaleAmount": text}, {"SaleAmount": expected}) for text, expected in [
        ("$12.50", "12.50"), ("$1,234.50", "1234.50"), ("1 234.50", "1234.50"), ("1 234,50", "1234.50"),
        ("1\u00a0234,50\u00a0€", "1234.50"), ("1\u202f234\u202f567,5", "1234567.5"), ("1.234,50 €", "1234.50"),
        ("USD 12.50", "12.50"), ("12.50 USD", "12.50"), ("US$12.50", "12.50"), ("$12.50 USD", "12.50"),
        ("12,50", "12.50"), ("12,5", "12.5"), ("1234,50", "1234.50"), ("1,234", "1234"), ("1,234,567", "1234567"),
        ("1.234", "1.234"), ("€1.2345", "1.2345"), ("1.234.567", "1234567"), ("1.234.567,89", "1234567.89"),
        ("1'234.50", "1234.50"), ("CHF 1’234.50", "1234.50"), ("£1,234.567", "1234.567"), (".50", "0.50"),
        ("(12.50)", "-12.50"), ("($1,234.50)", "-1234.50"), ("$(12.50)", "-12.50"), ("-$12.50", "-12.50"),
        ("$-12.50", "-12.50"), ("\u221212.50", "-12.50"), (" 12.50 ", "12.50"), ("+12.50", "+12.50"),
        ("₹500", "500"), ("¥1,000", "1000"),
    ]],
    good("amount-enum", {"SaleAmount": Label.AMOUNT}, {"SaleAmount": "12.50"}),
    good("amount-whole-float", {"SaleAmount": 120.0}, {"SaleAmount": "120"}),
    good("amount-decimal-keeps-its-zeros", {"SaleAmount": Decimal("120.0")}, {"SaleAmount": "120.0"}),
]  # fmt: skip

TEXTS = [
    good("text-untrimmed", {"City": "  Oslo\n"}, {"City": "  Oslo\n"}),
    good("text-blank-optional", {"City": " "}, {"City": " "}),
    good("text-everything", {"UserAgent": "a+b & c=d %2B : ; ' \" \\ é 电 🦊\u200d"},
         {"UserAgent": "a+b & c=d %2B : ; ' \" \\ é 电 🦊\u200d"}),
    good("click-id-as-it-is", {"ClickId": "aB:c%2Bd"}, {"ClickId": "aB:c%2Bd"}),
    good("zip-text", {"Zip": "02139"}, {"Zip": "02139"}),
    good("zip-canadian", {"Zip": "K1A 0B1"}, {"Zip": "K1A 0B1"}),
    good("zip-integer", {"Zip": 94105}, {"Zip": "94105"}),
    good("zip-float", {"Zip": 94105.0}, {"Zip": "94105"}),
    good("session-uuid", {"CallSessionId": UUID("12345678-1234-5678-1234-567812345678")},
         {"CallSessionId": "12345678-1234-5678-1234-567812345678"}),
    good("session-integer", {"CallSessionId": 2**63}, {"CallSessionId": "9223372036854775808"}),
    good("session-float", {"CallSessionId": 17.0}, {"CallSessionId": "17"}),
    good("session-decimal", {"CallSessionId": Decimal("17")}, {"CallSessionId": "17"}),
    good("session-decimal-with-scale", {"CallSessionId": Decimal("17.50")}, {"CallSessionId": "17.50"}),
    good("text-float", {"SubId1": 1.5}, {"SubId1": "1.5"}),
    good("text-date", {"SubId2": date(2026, 9, 10)}, {"SubId2": "2026-09-10"}),
    good("text-datetime", {"SubId3": datetime(2026, 9, 10, 1, 2, 3)}, {"SubId3": "2026-09-10T01:02:03"}),
    good("text-enum", {"TrafficSource": Label.SALE}, {"TrafficSource": "spring sale"}),
    good("text-numpy", {"Region": np.str_("NY")}, {"Region": "NY"}),
    good("text-64", {"SubId1": "x" * 64}, {"SubId1": "x" * 64}),
    good("text-64-chinese", {"CallProvider": "电" * 64}, {"CallProvider": "电" * 64}),
    good("text-unlimited", {"UserAgent": "x" * 5000}, {"UserAgent": "x" * 5000}),
    good("list-joined", {"Keypresses": ["1", "2", "#"]}, {"Keypresses": "1,2,#"}),
    good("list-of-numbers", {"Keypresses": (1, 2.0)}, {"Keypresses": "1,2"}),
    good("list-with-gaps", {"Keypresses": ["1", None, "", float("nan"), "2"]}, {"Keypresses": "1,2"}),
    good("list-that-holds-its-text", {"Keypresses": ["[1]"]}, {"Keypresses": "1"}),
    *[good(f"list-as-json-{text!r}", {"Keypresses": text}, {"Keypresses": expected}) for text, expected in [
        ('["1","2"]', "1,2"), ("[1, null, 2]", "1,2"), ('["1", "", NaN, "2"]', "1,2"), ("[1.0, 2.50]", "1,2.5"),
        ('["Sales, West", "#"]', "Sales, West,#"), ('["caf\\u00e9", "é"]', "café,é"), ('["01"]', "01"),
        (' ["1",\n "2"]\r\n', "1,2"), ('\ufeff["1"]\u00a0', "1"), ('["[\\"1\\", 2]"]', "1,2"),
        ("[]", None), (" [ ] ", None), ("[null]", None), ('["", null]', None), ('["[]"]', None),
    ]],
    good("list-as-json-of-a-subclass-of-text", {"Keypresses": np.str_('["1", "2"]')}, {"Keypresses": "1,2"}),
    *[good(f"no-list-as-json-{text[:20]!r}", {"Keypresses": text}, {"Keypresses": text}) for text in [
        "[1,2", "1,2]", "[Sales]", "[01]", "['1', '2']", '["1"] ["2"]', '["1"],', '"[1]"', "[", "]", "{1,2}",
        '{"1": "Sales"}', '{"keys": ["1"]}', "[" * 100_000, "[" * 100_000 + "]" * 100_000, "[" + "9" * 5000 + "]",
    ]],
    *[good(f"no-list-{name}", {name: '["1", "2"]'}, {name: '["1", "2"]'})
      for name in ("City", "Key1", "SubId1", "CallSessionId")],
]  # fmt: skip

WORDS = [
    good("status-enum", {"CallStatus": CallStatus.IVR_DROPOFF}, {"CallStatus": "IVR_DROPOFF"}),
    good("status-other-enum", {"CallStatus": Label.ANSWERED}, {"CallStatus": "ANSWER"}),
    good("status-numpy", {"CallStatus": np.str_("CANCEL")}, {"CallStatus": "CANCEL"}),
    *[good(f"status-{status}", {"CallStatus": status.value}, {"CallStatus": status.value}) for status in CallStatus],
    good("phone-type-landline", {"PhoneType": "Landline"}, {"PhoneType": "Landline"}),
    good("phone-type-mobile", {"PhoneType": Label.MOBILE}, {"PhoneType": "Mobile"}),
    good("phone-type-empty-survives", {"PhoneType": ""}, {"PhoneType": ""}),
    good("phone-type-empty-numpy-survives", {"PhoneType": np.str_("")}, {"PhoneType": ""}),
]  # fmt: skip

ABSENT_VALUES = {
    "None": None,
    "empty": "",
    "numpy-empty": np.str_(""),
    "nan": float("nan"),
    "numpy-nan": np.float32("nan"),
    "decimal-nan": Decimal("NaN"),
    "NaT": pd.NaT,
    "NA": pd.NA,
    "numpy-NaT": np.datetime64("NaT"),
    "empty-list": [],
    "list-of-nothing": [None, "", pd.NA],
}

OPTIONAL = [name for name in PARAMETERS if name not in good_row() or name == "CallRecording"]

COLUMN_NAMES = [
    good("snake-case", {"SubId1": NO_COLUMN, "sub_id1": "a"}, {"SubId1": "a"}),
    good("snake-case-to-the-last", {"sub_id_1": "a"}, {"SubId1": "a"}),
    good("lower-case", {"AdId": NO_COLUMN, "adid": 5}, {"AdId": "5"}),
    good("upper-case", {"CAMPAIGNID": 7, "CampaignId": NO_COLUMN}, {"CampaignId": "7"}),
    good("upper-snake-case", {"CALL_SESSION_ID": "abc", "CallSessionId": NO_COLUMN}, {"CallSessionId": "abc"}),
    good("odd-underscores", {"_ip__": 1, "_City_": "Oslo"}, {"City": "Oslo"}),
    good("country-columns", {"caller_phone_number_country": "ca", "CallerId": "4165550134"},
         {"CallerPhoneNumberCountry": "CA"}),
    good("long-name", {"custom_conversion_event_1_name": "a"}, {"CustomConversionEvent1Name": "a"}),
    good("other-columns-are-ignored", {"colour": "red", "cost": 5, None: 1, 7: 2, ("a", "b"): 3, b"AdId": 4},
         {"AdId": None}),
    good("dashes-are-another-name", {"ad-id": 5}, {"AdId": None}),
]  # fmt: skip

SOURCES = [
    good("mapped-column", {"phone": "303-555-0155"}, {"CallerId": "3035550155"}, mapping={"CallerId": "phone"}),
    good("mapped-column-beats-one-of-its-name", {"AdId": 1, "ad": 2}, {"AdId": "2"}, mapping={"AdId": "ad"}),
    good("mapped-column-settles-two", {"campaign_id": 2}, {"CampaignId": "2"}, mapping={"CampaignId": "campaign_id"}),
    good("constant-settles-two", {"campaign_id": 2}, {"CampaignId": "3"}, constants={"CampaignId": 3}),
    good("mapped-empty-column-is-absent", {"AdId": 1, "ad": None}, {"AdId": None}, mapping={"AdId": "ad"}),
    good("mapped-missing-column-of-an-optional", {"AdId": 1}, {"AdId": None}, mapping={"AdId": "ad"}),
    good("one-column-for-two", {"tag": "x"}, {"SubId1": "x", "SubId2": "x"},
         mapping={"SubId1": "tag", "SubId2": "tag"}),
    good("callable", {"answered": True}, {"CallStatus": "ANSWER"},
         mapping={"CallStatus": lambda row: "ANSWER" if row["answered"] else "CANCEL"}),
    good("callable-gives-nothing", {"AdId": 1}, {"AdId": None}, mapping={"AdId": lambda row: None}),
    good("callable-gives-an-object", {"when": 1_000_000_000}, {"EventDate": "2001-09-09T01:46:40+00:00"},
         mapping={"EventDate": lambda row: datetime.fromtimestamp(row["when"], UTC)}),
    good("constant", {}, {"TrafficSource": "radio"}, constants={"TrafficSource": "radio"}),
    good("constant-beats-the-column", {"TrafficSource": "tv"}, {"TrafficSource": "radio"},
         constants={"TrafficSource": "radio"}),
    good("constant-phone-type-empty", {}, {"PhoneType": ""}, constants={"PhoneType": ""}),
    good("default-for-an-absent-one", {"CampaignId": NO_COLUMN}, {"CampaignId": "5"}, defaults={"CampaignId": 5}),
    good("default-for-null", {"CampaignId": None}, {"CampaignId": "5"}, defaults={"CampaignId": 5}),
    good("default-for-nan", {"CampaignId": np.nan}, {"CampaignId": "5"}, defaults={"CampaignId": 5}),
    good("default-for-empty", {"CallProvider": ""}, {"CallProvider": "b"}, defaults={"CallProvider": "b"}),
    good("default-yields-to-a-column", {"CampaignId": 1}, {"CampaignId": "1"}, defaults={"CampaignId": 5}),
    good("default-yields-to-zero", {"CampaignId": 0}, {"CampaignId": "0"}, defaults={"CampaignId": 5}),
    good("default-yields-to-a-mapping", {"c": 2}, {"CampaignId": "2"}, mapping={"CampaignId": "c"},
         defaults={"CampaignId": 5}),
    good("default-yields-to-a-constant", {}, {"CampaignId": "3"}, constants={"CampaignId": 3},
         defaults={"CampaignId": 5}),
    good("default-fills-an-empty-mapped-column", {"c": None}, {"CampaignId": "5"}, mapping={"CampaignId": "c"},
         defaults={"CampaignId": 5}),
]  # fmt: skip

GOOD_ROWS = {
    "numbers of the NANP": NANP_NUMBERS,
    "numbers abroad": NUMBERS_ABROAD,
    "times": TIMES,
    "ids": IDS,
    "durations": DURATIONS,
    "amounts": AMOUNTS,
    "texts": TEXTS,
    "words": WORDS,
    "column names": COLUMN_NAMES,
    "sources": SOURCES,
}


def sent(parameters: dict[str, str], names: Mapping[str, str | None]) -> dict[str, str | None]:
    return {name: parameters.get(name) for name in names}


@pytest.mark.parametrize("kind", GOOD_ROWS)
def test_good_rows_leave_as_this_text(kind: str) -> None:
    with table() as row:
        for case in GOOD_ROWS[kind]:
            with row((case.name, case.changes)):
                assert sent(wire_text(good_row(case.changes), **case.options), case.expected) == case.expected


@pytest.mark.parametrize("kind", GOOD_ROWS)
def test_what_leaves_is_what_the_endpoint_takes(kind: str) -> None:
    """The sandbox reads the text by rules of its own, so that one mistake is not excused by the other."""
    with table() as row:
        for case in GOOD_ROWS[kind]:
            with row((case.name, case.changes)):
                body = encode(wire_text(good_row(case.changes), **case.options)).decode()
                values = parse_qs(body, keep_blank_values=True, strict_parsing=True)
                arrived = {name: value for name, (value,) in values.items()}
                assert sent(arrived, case.expected) == case.expected
                assert find_problems(list(arrived.items())) == []


def test_what_stands_for_nothing_is_not_sent() -> None:
    expected = wire_text(good_row({"CallRecording": NO_COLUMN}))
    optional = [name for name in OPTIONAL if name != "PhoneType"]
    with table() as row:
        for name, absent in ABSENT_VALUES.items():
            with row(name):
                assert wire_text(good_row(dict.fromkeys(optional, absent))) == expected
                if not isinstance(absent, str):
                    assert wire_text(good_row({"CallRecording": NO_COLUMN, "PhoneType": absent})) == expected


@pytest.mark.parametrize(
    "row", [OrderedDict(good_row()), MappingProxyType(good_row()), pd.Series(good_row()).to_dict()], ids=type
)
def test_any_mapping_is_a_row(row: Mapping[Any, Any]) -> None:
    assert wire_text(row) == wire_text(good_row())


def test_the_rows_of_a_dataframe_with_gaps_are_good_rows() -> None:
    """As pandas holds them: gaps make floats of integers, and NaN, NaT and None of what is missing."""
    frame = pd.DataFrame([good_row({"AdId": 12, "Zip": "02139", "City": "Oslo"}), good_row({"CallSessionId": "b"})])
    frame["EventDate"] = pd.to_datetime(frame["EventDate"])
    first, second = (wire_text(row) for row in frame.to_dict("records"))
    assert sent(first, dict.fromkeys(["AdId", "Zip", "City", "EventDate"])) == {
        "AdId": "12",
        "Zip": "02139",
        "City": "Oslo",
        "EventDate": "2026-09-10T22:55:32-08:00",
    }
    assert second == wire_text(good_row({"CallSessionId": "b"}))
