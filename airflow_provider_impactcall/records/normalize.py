"""Values as warehouses hold them, into the text that impact.com takes.

Every function raises :class:`ValueError` with what would be right and never with the value itself: a
message ends in logs, and a value may be a caller's number that stands in the wrong column.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal, InvalidOperation
from enum import Enum
from functools import lru_cache, wraps
from numbers import Integral, Real
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar
from uuid import UUID

import phonenumbers

CallerIdFormat = Literal["national", "e164"]

_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]+")
_DECIMAL_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_DIALLED = re.compile(r"\+?[0-9 ().\-]+")
_WORD = re.compile(r"[A-Za-z][A-Za-z _-]{0,30}")
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8}"
# What datetime.fromisoformat reads rightly. It also takes any character between date and time, so that the date
# 2026-09-10-08:00 would be eight o'clock, and T22.5 as half a second past ten.
_TIME = re.compile(rf"({_DATE})[Tt ]([0-9]{{2}}(?::?[0-9]{{2}}(?::?[0-9]{{2}}(?:[.,][0-9]+)?)?)?) ?(Z|[+-][0-9:]+)?")
_NANP = 1
# No id, amount or duration comes near; Decimal("1E+999999") would take up the memory that its digits need.
_LONGEST_NUMBER = 64
_TOO_LARGE = 10**_LONGEST_NUMBER
_TOO_LONG = f"has more than {_LONGEST_NUMBER} digits"

_P = ParamSpec("_P")
_T = TypeVar("_T")


class UnfitValue(ValueError):
    """What is wrong with a value, in words of this package: they never hold the value."""


def _reader(read: Callable[Concatenate[Any, _P], _T]) -> Callable[Concatenate[Any, _P], _T]:
    """Makes of a function one that raises nothing but :class:`UnfitValue`.

    Values bring code of their own (a lazy string, a zone, a driver's type). What it raises is anything, and
    its text may quote the value.
    """

    @wraps(read)
    def guarded(value: Any, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return read(plain(value), *args, **kwargs)
        except UnfitValue:
            raise
        except Exception as error:
            raise UnfitValue(f"cannot be read: {type(error).__name__}") from None

    return guarded


def plain(value: Any) -> Any:
    """An enum's value, and text as ``str`` itself; a subclass of it may spell or compare itself as anything."""
    if type(value) is str or type(value) is int:  # the common cases, for speed
        return value
    if isinstance(value, Enum):
        value = value.value
    return str.__str__(value) if isinstance(value, str) else value


def is_absent(value: Any) -> bool:
    """Whether a value stands for "nothing": ``None``, ``''``, NaN, NaT, pandas' ``NA``, or a list of only such."""
    if value is None or type(value) is str:  # the common cases, for speed
        return not value
    if type(value) is int:
        return False
    try:
        bare = plain(value)
        if isinstance(bare, (list, tuple)):
            return all(map(_is_nothing, bare))
        return _is_nothing(bare)
    except Exception:
        # An object that cannot even be compared (an array, a signalling NaN) is something, not nothing.
        return False


def _is_nothing(value: Any) -> bool:
    if value is None or type(value).__name__ == "NAType":
        return True
    return value == "" if isinstance(value, str) else bool(value != value)


def described(value: Any) -> str:
    """A value in a message: its type, and its length if it is text."""
    if isinstance(value, str):
        return f"text of {str.__len__(value)} characters"
    return f"a value of type {type(value).__name__}"


def word(value: Any) -> str:
    """A value in a message about a fixed vocabulary: the word itself if it is nothing but one."""
    if isinstance(value, str) and _WORD.fullmatch(value):
        return repr(value)
    return described(value)


@_reader
def text(value: Any) -> str:
    """Text as it is, never trimmed or cut; numbers, dates and UUIDs in their plain spelling.

    A whole float loses its ``.0``, as a column of ids with gaps is one of floats in pandas. Lists are
    joined with ``,``.

    :raises ValueError: for a boolean (impact.com gives no words for it), bytes, a nested object, a float too
        large to be exact, or text that cannot be UTF-8 or holds a NUL
    """
    if isinstance(value, str):
        spelled = value
    elif isinstance(value, (list, tuple)):
        return ",".join(_item(item) for item in value if not is_absent(item))
    elif isinstance(value, (bool, bytes, bytearray, memoryview, Mapping)):
        raise UnfitValue(f"must be text, and is {described(value)}; map it to the words that you want sent")
    elif _is_number(value):
        whole = None if isinstance(value, Decimal) else _whole(value)
        spelled = format(_decimal(value), "f") if whole is None else str(whole)
    elif isinstance(value, (date, datetime)):
        spelled = value.isoformat()
    elif isinstance(value, UUID):
        spelled = str(value)
    else:
        raise UnfitValue(f"must be text, and is {described(value)}")
    try:
        spelled.isascii() or spelled.encode("utf-8")
    except UnicodeEncodeError:
        raise UnfitValue("holds a lone surrogate, which cannot be sent as UTF-8") from None
    if "\0" in spelled:
        raise UnfitValue("holds a NUL character, which databases refuse in text")
    return spelled


def _item(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        raise UnfitValue("must be text or a list of it, and is a list that holds a list")
    return text(value)


@_reader
def integer(value: Any, what: str = "a whole number") -> int:
    """A whole number of zero or more, from an integer, a whole float or decimal, or its digits as text.

    :param what: what it is to be, in a message
    :raises ValueError: for anything else, such as a float too large to be exact; a boolean is not a number here
    """
    if isinstance(value, bool):
        raise UnfitValue(f"must be {what}, and is a boolean")
    if _is_number(value):
        whole = _whole(value)
        if whole is None:
            raise UnfitValue(f"must be {what}, and has a fraction")
    elif isinstance(value, str) and len(value) <= _LONGEST_NUMBER and _WHOLE_NUMBER.fullmatch(value):
        whole = int(value)
    else:
        raise UnfitValue(f"must be {what}, and is {described(value)}")
    if whole < 0:
        raise UnfitValue("must be zero or more, and is negative")
    return whole


@_reader
def number(value: Any) -> str:
    """A decimal number as plain text (``-12.50``, no exponent, no separators); text and decimals keep their zeros.

    :raises ValueError: for anything else; a boolean is not a number here
    """
    if isinstance(value, str) and len(value) <= _LONGEST_NUMBER + len("-.") and _DECIMAL_NUMBER.fullmatch(value):
        return value
    if isinstance(value, bool) or not _is_number(value):
        raise UnfitValue(f"must be a number such as 12.50, and is {described(value)}")
    spelled = format(_decimal(value), "f")
    return spelled if isinstance(value, Decimal) else spelled.removesuffix(".0")


@_reader
def seconds(value: Any) -> int:
    """A duration in whole seconds, of zero or more; a ``timedelta`` counts if it has no fraction.

    :raises ValueError: for anything else
    """
    what = "a whole number of seconds"
    if isinstance(value, timedelta):
        value, rest = divmod(value, timedelta(seconds=1))
        if rest:
            raise UnfitValue(f"must be {what}, and has a fraction")
    return integer(value, what)


@_reader
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
            raise UnfitValue("must be the time of the call; NOW is refused, since a retry would move the call")
        moment = _parsed_time(value)
    elif isinstance(value, datetime):
        moment = value
    else:
        raise UnfitValue(f"must be a datetime or ISO 8601 text, and is {described(value)}")
    moment = datetime.combine(moment.date(), moment.time(), moment.tzinfo)
    if moment.utcoffset() is None:
        if zone is None:
            raise UnfitValue("has no offset from UTC; add one, or give the option timezone")
        moment = moment.replace(tzinfo=zone)
        if moment.utcoffset() is None:
            raise UnfitValue("has no offset from UTC, and the option timezone gives none for this time")
        if _to_utc(moment).astimezone(zone).replace(tzinfo=None) != moment.replace(tzinfo=None):
            raise UnfitValue(f"is a local time that a clock change skips in {zone}")
    offset = moment.utcoffset()
    if offset is not None and offset % timedelta(minutes=1):
        moment = _to_utc(moment)
    return moment.isoformat(timespec="seconds")


def _parsed_time(value: str) -> datetime:
    parts = _TIME.fullmatch(value)
    if parts is None and re.fullmatch(_DATE, value):
        raise UnfitValue("must be a time, and is a date without one")
    try:
        if parts is not None:
            return datetime.fromisoformat("{}T{}{}".format(*parts.groups("")))
    except ValueError:
        pass
    raise UnfitValue("must be an ISO 8601 time such as 2026-09-10T22:55:32-08:00")


def _to_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise UnfitValue("is outside the years 1 to 9999") from None


@_reader
def country(value: Any) -> str:
    """A country as its two letters in capitals (ISO 3166-1 alpha-2, the codes that phone numbers use).

    :raises ValueError: for anything else
    """
    code = value.upper() if isinstance(value, str) else ""
    if code not in phonenumbers.SUPPORTED_REGIONS:
        raise UnfitValue(f"must be a two-letter country code such as US, and is {word(value)}")
    return code


@_reader
def one_of(value: Any, allowed: Sequence[str]) -> str:
    """One word of a fixed vocabulary, letter for letter.

    :raises ValueError: for anything else
    """
    if not isinstance(value, str) or value not in allowed:
        raise UnfitValue(f"must be one of {', '.join(map(repr, allowed))}, and is {word(value)}")
    return value


@_reader
def phone_number(value: Any, country: str | None = None, form: CallerIdFormat = "national") -> str:
    """A phone number in the one form that it always leaves in.

    Ten digits, or eleven that start with 1, are a NANP number and leave as ten digits (``national``) or
    as ``+1`` and ten digits (``e164``). Any other number leaves as ``+`` and its digits. Spaces, dots,
    dashes and brackets are left out; whatever else a value holds makes it no number.

    :param country: two letters; needed for a number that is neither NANP nor starts with ``+``
    :raises ValueError: for what is no phone number, or one whose country cannot be known, or that is
        not one of ``country``
    """
    # A number's sign or point must not pass for the punctuation of a phone number.
    dialled = value if isinstance(value, str) else str(integer(value, "a phone number"))
    if len(dialled) > _LONGEST_NUMBER or not _DIALLED.fullmatch(dialled):
        raise UnfitValue("must be a phone number of digits, + ( ) - . and spaces, and holds something else")
    return _phone_number(dialled, country, form)


@lru_cache(maxsize=65_536)
def _phone_number(dialled: str, country: str | None, form: CallerIdFormat) -> str:
    digits = re.sub(r"[^0-9]", "", dialled)
    international = dialled.startswith("+")
    nanp_country = country is None or phonenumbers.country_code_for_region(country) == _NANP
    if not international and nanp_country:
        if len(digits) != 10 and not (len(digits) == 11 and digits.startswith("1")):
            remedy = "write it with + and its country code" + ("" if country else ", or give its country")
            raise UnfitValue(f"is not a NANP number of ten digits; {remedy}")
        calling_code, national = _NANP, digits[-10:]
    else:
        try:
            parsed = phonenumbers.parse(dialled, None if international else country)
        except phonenumbers.NumberParseException:
            raise UnfitValue("is no phone number of any country") from None
        # Not is_possible_number, which also takes a number without its area code, as dialled next door.
        if phonenumbers.is_possible_number_with_reason(parsed) != phonenumbers.ValidationResult.IS_POSSIBLE:
            raise UnfitValue("is too short or too long for a phone number of its country")
        calling_code = parsed.country_code or 0
        if country is not None and phonenumbers.country_code_for_region(country) != calling_code:
            raise UnfitValue(f"starts with +{calling_code}, which is not the calling code of {country}")
        national = phonenumbers.national_significant_number(parsed)
        # Written as +49 00..., each reading would take off one more zero as Germany's trunk prefix.
        if phonenumbers.parse(f"+{calling_code}{national}") != parsed:
            raise UnfitValue("is no phone number of any country")
    if calling_code == _NANP and form == "national":
        return national
    return f"+{calling_code}{national}"


@lru_cache(maxsize=65_536)
def country_of(phone_number: str) -> str | None:
    """The country of a number in the form that :func:`phone_number` gives, or None if it has no one country."""
    # With its calling code: a NANP number that starts with 011 would be read as dialled abroad.
    parsed = phonenumbers.parse(phone_number if phone_number.startswith("+") else f"+{_NANP}{phone_number}")
    region = phonenumbers.region_code_for_number(parsed)
    return region if region in phonenumbers.SUPPORTED_REGIONS else None


def _is_number(value: Any) -> bool:
    if type(value) is int:  # the common case, for speed
        return True
    # numpy's timedelta64 calls itself an integer, of a unit that it does not say.
    return isinstance(value, (Real, Decimal)) and getattr(getattr(value, "dtype", None), "kind", None) != "m"


def _whole(value: Any) -> int | None:
    """The whole number that a value is, or None if it has a fraction."""
    if type(value) is int or isinstance(value, Integral):
        whole = int(value)
        if abs(whole) >= _TOO_LARGE:
            raise UnfitValue(_TOO_LONG)
        return whole
    exact = _decimal(value)
    if exact != exact.to_integral_value():
        return None
    if not isinstance(value, Decimal) and abs(value) + 1 - abs(value) != 1:
        # From 2**53 on, neighbouring whole numbers share a float: the ids of two calls would be one.
        raise UnfitValue("is a float too large to be exact; read it as a decimal or as text")
    return int(exact)


def _decimal(value: Any) -> Decimal:
    if isinstance(value, Decimal):
        exact = value
    elif isinstance(value, float):
        exact = Decimal(float.__repr__(value))
    else:
        try:
            # numpy's other floats show what was meant in their own precision: 19.99, not 19.989999771118164.
            exact = Decimal(str(value))
        except InvalidOperation:
            exact = Decimal(repr(float(value)))
    if not exact.is_finite():
        raise UnfitValue("must be a number, and is infinite or not a number")
    before, after = max(exact.adjusted() + 1, 1), max(-int(exact.as_tuple().exponent), 0)
    if before + after > _LONGEST_NUMBER:
        raise UnfitValue(_TOO_LONG)
    return exact
