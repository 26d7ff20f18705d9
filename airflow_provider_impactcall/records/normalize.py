"""Values as warehouses hold them, into the text that impact.com takes.

Every function raises :class:`ValueError` with what would be right and never with the value itself: a
message ends in logs, and a value may be a caller's number that stands in the wrong column.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from numbers import Integral, Real
from typing import Any, Literal
from uuid import UUID

import phonenumbers

CallerIdFormat = Literal["national", "e164"]

_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")
_DECIMAL_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_DIALLED = re.compile(r"\+?[0-9 ().\-]+")
_WORD = re.compile(r"[A-Za-z][A-Za-z _-]{0,30}")
_NANP = 1


def is_absent(value: Any) -> bool:
    """Whether a value stands for "nothing": ``None``, ``''``, NaN, NaT or pandas' ``NA``."""
    if value is None:
        return True
    if isinstance(value, str):
        return value == ""
    if type(value).__name__ == "NAType":
        return True
    try:
        return bool(value != value)
    except Exception:
        # An object that cannot even be compared (an array, a signalling NaN) is something, not nothing.
        return False


def described(value: Any) -> str:
    """A value in a message: its type, and its length if it is text."""
    if isinstance(value, str):
        return f"text of {len(value)} characters"
    return f"a value of type {type(value).__name__}"


def word(value: Any) -> str:
    """A value in a message about a fixed vocabulary: the word itself if it is nothing but one."""
    if isinstance(value, str) and _WORD.fullmatch(value):
        return repr(str(value))
    return described(value)


def text(value: Any) -> str:
    """Text as it is, never trimmed or cut; numbers, dates and UUIDs in their plain spelling.

    A whole float loses its ``.0``, as a column of ids with gaps is one of floats in pandas. Lists are
    joined with ``,``.

    :raises ValueError: for a boolean (impact.com gives no words for it), bytes, a nested object, or
        text that cannot be UTF-8
    """
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str):
        spelled = str(value)
    elif isinstance(value, (bool, bytes, bytearray, memoryview, Mapping)):
        raise ValueError(f"must be text, and is {described(value)}; map it to the words that you want sent")
    elif isinstance(value, (list, tuple)):
        spelled = ",".join(text(item) for item in value if not is_absent(item))
    elif isinstance(value, Integral):
        spelled = str(int(value))
    elif isinstance(value, (Real, Decimal)):
        number_value = _decimal(value)
        whole = isinstance(value, Real) and number_value == number_value.to_integral_value()
        spelled = format(number_value.to_integral_value() if whole else number_value, "f")
    elif isinstance(value, (date, datetime)):
        spelled = value.isoformat()
    elif isinstance(value, UUID):
        spelled = str(value)
    else:
        raise ValueError(f"must be text, and is {described(value)}")
    try:
        spelled.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("holds a lone surrogate, which cannot be sent as UTF-8") from None
    return spelled


def integer(value: Any) -> int:
    """A whole number of zero or more, from an integer, a whole float or decimal, or its digits as text.

    :raises ValueError: for anything else; a boolean is not a number here
    """
    if isinstance(value, bool):
        raise ValueError("must be a whole number, and is a boolean")
    if isinstance(value, Integral):
        whole = int(value)
    elif isinstance(value, (Real, Decimal)):
        exact = _decimal(value)
        if exact != exact.to_integral_value():
            raise ValueError("must be a whole number, and has a fraction")
        whole = int(exact)
    elif isinstance(value, str) and len(value) <= 64 and _WHOLE_NUMBER.fullmatch(value):
        whole = int(value)
    else:
        raise ValueError(f"must be a whole number, and is {described(value)}")
    if whole < 0:
        raise ValueError("must be zero or more, and is negative")
    return whole


def number(value: Any) -> str:
    """A decimal number as plain text (``-12.50``, no exponent, no separators); text keeps its zeros.

    :raises ValueError: for anything else; a boolean is not a number here
    """
    if isinstance(value, str):
        if len(value) > 64 or not _DECIMAL_NUMBER.fullmatch(value):
            raise ValueError(f"must be a number such as 12.50, and is {described(value)}")
        return value
    if isinstance(value, bool) or not isinstance(value, (Real, Decimal)):
        raise ValueError(f"must be a number such as 12.50, and is {described(value)}")
    return format(_decimal(value), "f")


def seconds(value: Any) -> int:
    """A duration in whole seconds, of zero or more; a ``timedelta`` counts if it has no fraction.

    :raises ValueError: for anything else
    """
    if isinstance(value, timedelta):
        value = Decimal(value // timedelta(microseconds=1)) / 1_000_000
    try:
        return integer(value)
    except ValueError as error:
        raise ValueError(str(error).replace("a whole number", "a whole number of seconds")) from None


def event_date(value: Any, zone: tzinfo | None = None) -> str:
    """The time of a call as ``YYYY-MM-DDTHH:MM:SS±hh:mm``, at the offset it came with.

    Takes a ``datetime`` or ISO 8601 text. A fraction of a second is dropped. A local time that a clock
    change repeats is the first of the two (or what ``fold`` says).

    :param zone: the zone of times that carry no offset; without it such a time is refused
    :raises ValueError: for ``NOW`` (a retry would move the call), a date without a time, a time without
        an offset when there is no ``zone``, or a local time that a clock change skips
    """
    if isinstance(value, str):
        if value.strip().upper() == "NOW":
            raise ValueError("must be the time of the call; NOW is refused, since a retry would move the call")
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError("must be an ISO 8601 time such as 2026-09-10T22:55:32-08:00") from None
        if len(value) <= len("2026-09-10"):
            raise ValueError("must be a time, and is a date without one")
    elif isinstance(value, datetime):
        moment = value
    else:
        raise ValueError(f"must be a datetime or ISO 8601 text, and is {described(value)}")
    moment = datetime.combine(moment.date(), moment.time(), moment.tzinfo).replace(microsecond=0)
    if moment.utcoffset() is None:
        if zone is None:
            raise ValueError("has no offset from UTC; add one, or give the option timezone")
        moment = moment.replace(tzinfo=zone)
        if _to_utc(moment).astimezone(zone).replace(tzinfo=None) != moment.replace(tzinfo=None):
            raise ValueError(f"is a local time that a clock change skips in {zone}")
    offset = moment.utcoffset()
    if offset is not None and offset % timedelta(minutes=1):
        moment = _to_utc(moment)
    return moment.isoformat(timespec="seconds")


def _to_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is outside the years 1 to 9999") from None


def country(value: Any) -> str:
    """A country as its two letters in capitals (ISO 3166-1 alpha-2, the codes that phone numbers use).

    :raises ValueError: for anything else
    """
    code = value.upper() if isinstance(value, str) else ""
    if code not in phonenumbers.SUPPORTED_REGIONS:
        raise ValueError(f"must be a two-letter country code such as US, and is {word(value)}")
    return code


def phone_number(value: Any, country: str | None = None, form: CallerIdFormat = "national") -> str:
    """A phone number in the one form that it always leaves in.

    Ten digits, or eleven that start with 1, are a NANP number and leave as ten digits (``national``) or
    as ``+1`` and ten digits (``e164``). Any other number leaves as ``+`` and its digits. Spaces, dots,
    dashes and brackets are left out; whatever else a value holds makes it no number.

    :param country: two letters; needed for a number that is neither NANP nor starts with ``+``
    :raises ValueError: for what is no phone number, or one whose country cannot be known, or that is
        not one of ``country``
    """
    if isinstance(value, bool) or not isinstance(value, (str, Real, Decimal)):
        raise ValueError(f"must be a phone number, and is {described(value)}")
    dialled = text(value)
    if len(dialled) > 64 or not _DIALLED.fullmatch(dialled):
        raise ValueError("must be a phone number of digits, + ( ) - . and spaces, and holds something else")
    return _phone_number(dialled, country, form)


@lru_cache(maxsize=65_536)
def _phone_number(dialled: str, country: str | None, form: CallerIdFormat) -> str:
    digits = re.sub(r"[^0-9]", "", dialled)
    international = dialled.startswith("+")
    nanp_country = country is None or phonenumbers.country_code_for_region(country) == _NANP
    if not international and nanp_country:
        if len(digits) != 10 and not (len(digits) == 11 and digits.startswith("1")):
            remedy = "write it with + and its country code" + ("" if country else ", or give its country")
            raise ValueError(f"is not a NANP number of ten digits; {remedy}")
        calling_code, national = _NANP, digits[-10:]
    else:
        try:
            parsed = phonenumbers.parse(dialled, None if international else country)
        except phonenumbers.NumberParseException:
            raise ValueError("is no phone number of any country") from None
        if not phonenumbers.is_possible_number(parsed):
            raise ValueError("is too short or too long for a phone number of its country")
        calling_code = parsed.country_code or 0
        if country is not None and phonenumbers.country_code_for_region(country) != calling_code:
            raise ValueError(f"starts with +{calling_code}, which is not the calling code of {country}")
        national = phonenumbers.national_significant_number(parsed)
    if calling_code == _NANP and form == "national":
        return national
    return f"+{calling_code}{national}"


@lru_cache(maxsize=65_536)
def country_of(phone_number: str) -> str | None:
    """The country of a number in the form that :func:`phone_number` gives, or None if it has no one country."""
    parsed = phonenumbers.parse(phone_number, "US")
    candidates = phonenumbers.region_codes_for_country_code(parsed.country_code or 0)
    region = candidates[0] if len(candidates) == 1 else phonenumbers.region_code_for_number(parsed)
    return region if region in phonenumbers.SUPPORTED_REGIONS else None


def _decimal(value: Real | Decimal) -> Decimal:
    exact = value if isinstance(value, Decimal) else Decimal(repr(float(value)))
    if not exact.is_finite():
        raise ValueError("must be a number, and is infinite or not a number")
    return exact
