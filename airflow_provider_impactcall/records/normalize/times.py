"""The time of a call, with its original offset from UTC."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Any

from airflow_provider_impactcall.exceptions import ProblemCode
from airflow_provider_impactcall.records.normalize.numbers import decimal, is_number
from airflow_provider_impactcall.records.normalize.values import UnfitValue, bare, described, reader

_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8}"
_OFFSET = r" ?(Z|UTC|GMT|[+-][0-9:]+)?"
# The forms that datetime.fromisoformat reads correctly. It also takes any character between date and time: it would
# read 2026-09-10-08:00 (a date with an offset) as eight o'clock, and T22.5 as half a second past ten.
_TIME = re.compile(rf"((?:{_DATE})[Tt ][0-9]{{2}}(?::?[0-9]{{2}}(?::?[0-9]{{2}}(?:[.,][0-9]+)?)?)?){_OFFSET}")
# The form of most texts. Only the day can be wrong in it.
_USUAL = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:[.][0-9]+)?"
    r" ?(Z|UTC|GMT|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
)
_TWELVE_HOURS = re.compile(
    rf"({_DATE}) (0?[1-9]|1[0-2]):([0-9]{{2}})(?::([0-9]{{2}})(?:[.,][0-9]+)?)? ?([AP])M{_OFFSET}", re.IGNORECASE
)
# email.utils would accept more: an offset of 99 hours, half a date, and the year 0099 as 1999.
_RFC_2822 = re.compile(
    r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), )?([0-9]{1,2}) (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) ([0-9]{4}) "
    r"([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?"
    r"(?: (UTC?|GMT|Z|[ECMP][SD]T|[+-](?:[01][0-9]|2[0-3])[0-5][0-9])(?: \([A-Z]{1,5}\))?)?",
    re.IGNORECASE | re.ASCII,
)
_MONTHS = {"jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6, "jul": 7, "aug": 8, "sep": 9, "oct": 10,
           "nov": 11, "dec": 12}  # fmt: skip
# RFC 2822, 4.3. A time with -0000 is in UTC; its local zone is unknown.
_HOURS = {
    **{"UT": "+0000", "UTC": "+0000", "GMT": "+0000", "Z": "+0000"},
    **{"EST": "-0500", "EDT": "-0400", "CST": "-0600", "CDT": "-0500", "MST": "-0700", "MDT": "-0600", "PST": "-0800",
       "PDT": "-0700"},
}  # fmt: skip
_EPOCH = re.compile(r"([0-9]{10}|[0-9]{13})(?:\.[0-9]+)?")
_SECONDS = range(10**9, 10**10)
_MILLISECONDS = range(10**12, 10**13)
_DIGITS = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_MINUTE = timedelta(minutes=1)
_TWO = tuple(f"{number:02}" for number in range(60))
_DAY = 86_400.0
# No call-tracking vendor is older. Databases, languages and programs write earlier times where a time is missing, such
# as 0001-01-01, 1753-01-01, 1899-12-30, 1970-01-01 and 1980-01-01, and in the future 2079-06-06 and 9999-12-31.
_EARLIEST = datetime(1990, 1, 1, tzinfo=UTC).timestamp()
_SECOND_DAY = date(1990, 1, 2).toordinal()
_DAYS_BEFORE = date(1970, 1, 1).toordinal() - 1
_FIRST_DAYS = _SECOND_DAY - _DAYS_BEFORE
_NO_OFFSET = dict.fromkeys(("Z", "UTC", "GMT", "-00:00"), "+00:00")
_NEVER = re.compile(
    r"[+-]?inf(?:inity)?|0000-00-00.*|[+-]?[0-9]{5,}-[0-9]{2}-[0-9]{2}.*|[+-][0-9]{4,}-[0-9]{2}-[0-9]{2}.*|"
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}.* BC|(?:[A-Z]{3}, )?[0-9]{1,2} [A-Z]{3} 00[0-9]{2} .*|"
    # The epoch itself and times before it, the end of the year 9999, and the largest 64-bit number.
    r"-?0+(?:\.0+)?|-[0-9]+(?:\.[0-9]+)?|253402300(?:799|800)(?:000|999)?(?:\.[0-9]+)?|9223372036854775807",
    re.IGNORECASE,
)
_NO_TIME = "must be a time, and is a date without one"
_NOW = "must be the time of the call; NOW is refused, since a retry would move the call"
_NOT_EPOCH = "is a number, and must be the epoch in seconds (10 digits) or milliseconds (13 digits)"
_NEVER_AT_ALL = "is not the time of a call: databases and programs write such values where a time is missing"
_TOO_EARLY = (
    "is before 1990-01-01, and no call is that old: databases and programs write such times where a time is missing"
)
_TOO_LATE = "is more than a day ahead of the clock: it stands for a missing time, or its format is not the one it seems"
_OUTSIDE = "is outside the years 1 to 9999"


def event_date(value: Any, zone: tzinfo | None = None, now: float | None = None) -> str:
    """The time of a call as ``YYYY-MM-DDTHH:MM:SS±hh:mm``, with its original offset.

    Takes a ``datetime`` of Python, pandas or numpy. Takes text in ISO 8601 (``Z``, ``UTC`` or ``GMT`` for an offset of
    zero), the same with a 12-hour clock (``2013-05-01 11:48 PM -04:00``), and RFC 2822 (the weekday is not checked, and
    ``-0000`` is UTC). Takes the epoch as a number or as digits: ten digits are seconds, 13 are milliseconds; both are
    sent with ``+00:00``. A fraction of a second is dropped. If a clock change repeats a local time, it is the first of
    the two, unless ``fold`` says otherwise.

    :param zone: the zone of times without an offset; without a zone, such a time is refused
    :param now: the clock's time, in seconds since the epoch: a time more than a day after it, or before 1990, is
        refused. None switches both limits off
    :raises UnfitValue: for ``NOW`` (a retry would move the call), a date without a time, an epoch with another number
        of digits, or a local time that a clock change skips; without a ``zone``, for a time without an offset
    """
    moment = value
    if type(value) is str:
        usual = _USUAL.fullmatch(value)
        if usual is not None and now is not None:
            day, offset = value[:10], usual[1]
            if _is_surely_a_day_of_calls(day, now // _DAY):
                return f"{day}T{value[11:19]}{_NO_OFFSET.get(offset, offset)}"
        moment = _of_text(value)
    elif type(value) is int:
        whole = value // 1000 if value in _MILLISECONDS else value
        if now is not None and whole in _SECONDS:
            days, second = divmod(whole, 86_400)
            if days < now // _DAY and days > _FIRST_DAYS:
                minute, second = divmod(second, 60)
                hour, minute = divmod(minute, 60)
                return f"{_day(days + _DAYS_BEFORE + 1)}T{_TWO[hour]}:{_TWO[minute]}:{_TWO[second]}+00:00"
        if whole in _SECONDS:
            moment = datetime.fromtimestamp(whole, UTC)
    if type(moment) is datetime and type(moment.tzinfo) is timezone:
        offset = _offset(moment.tzinfo)
        if offset is not None and (now is None or _is_surely_a_call_s(moment, now)):
            clock = f"{_TWO[moment.hour]}:{_TWO[moment.minute]}:{_TWO[moment.second]}"
            return f"{_day(moment.toordinal())}T{clock}{offset}"
    return _event_date(moment, zone, now)


@lru_cache(maxsize=1024)
def _is_surely_a_day_of_calls(day: str, today: float) -> bool:
    """Whether a day is within both limits at any offset.

    :param day: in ISO 8601
    :param today: in days since the epoch
    """
    try:
        return _SECOND_DAY < date.fromisoformat(day).toordinal() <= today + _DAYS_BEFORE
    except ValueError:
        return False  # The month has no such day.


# Many calls in a row share a day and an offset.
@lru_cache(maxsize=1024)
def _day(ordinal: int) -> str:
    return date.fromordinal(ordinal).isoformat()


@lru_cache(maxsize=256)
def _offset(fixed: timezone) -> str | None:
    """An offset in the form to send; None if it is not a whole number of minutes."""
    return None if fixed.utcoffset(None) % _MINUTE else datetime(2000, 1, 1, tzinfo=fixed).isoformat()[-len("+00:00") :]


def _is_surely_a_call_s(moment: datetime, now: float) -> bool:
    """Whether the day of a time is within both limits at any offset. That is faster than comparing the time itself."""
    return _SECOND_DAY < moment.toordinal() <= now / _DAY + _DAYS_BEFORE


@reader
def _event_date(value: Any, zone: tzinfo | None, now: float | None) -> str:
    if isinstance(value, str):
        moment = _of_text(value)
    elif isinstance(value, datetime):
        moment = value
    elif type(value).__name__ == "datetime64":
        moment = _of_numpy(value)
    elif is_number(value) and not isinstance(value, bool):
        moment = _of_digits(format(decimal(value), "f"))
    else:
        raise UnfitValue(f"must be a datetime or ISO 8601 text, and is {described(value)}", ProblemCode.WRONG_TYPE)
    if type(moment) is not datetime:
        moment = datetime.combine(moment.date(), moment.time(), moment.tzinfo)
    offset = moment.utcoffset()
    if now is not None:
        _check(moment, now, 0.0 if offset is not None else _DAY)
    if offset is None:
        if zone is None:
            raise UnfitValue(
                "has no offset from UTC; add one, or give the option timezone", ProblemCode.TIME_WITHOUT_OFFSET
            )
        moment = moment.replace(tzinfo=zone)
        if moment.utcoffset() is None:
            raise UnfitValue(
                "has no offset from UTC, and the option timezone gives no offset for this time",
                ProblemCode.TIME_WITHOUT_OFFSET,
            )
        if _to_utc(moment).astimezone(zone).replace(tzinfo=None) != moment.replace(tzinfo=None):
            raise UnfitValue(f"is a local time that a clock change skips in {zone}", ProblemCode.TIME_WITHOUT_OFFSET)
        offset = moment.utcoffset()
        if now is not None:
            _check(moment, now)
    if offset is not None and offset % _MINUTE:
        moment = _to_utc(moment)
    return moment.isoformat(timespec="seconds")


def _check(moment: datetime, now: float, margin: float = 0.0) -> None:
    """Refuse a time that a call cannot have.

    :param margin: seconds by which the time may be off while its offset is unknown
    """
    if _is_surely_a_call_s(moment, now):
        return
    at = (moment if moment.utcoffset() is not None else moment.replace(tzinfo=UTC)).timestamp()
    if at < _EARLIEST - margin:
        raise UnfitValue(_TOO_EARLY, ProblemCode.OUT_OF_RANGE)
    if at > now + _DAY + margin:
        raise UnfitValue(_TOO_LATE, ProblemCode.TIME_IN_THE_FUTURE)


def _of_text(value: str) -> datetime:
    parts = _TIME.fullmatch(value)
    if parts is None and (without_blanks := bare(value)) is not value:
        value = without_blanks
        parts = _TIME.fullmatch(value)
    try:
        if parts is not None:
            offset = parts[2]
            return datetime.fromisoformat(value if offset is None else parts[1] + _ZERO.get(offset, offset))
        if (parts := _TWELVE_HOURS.fullmatch(value)) is not None:
            day, hour, minute, second, half, offset = parts.groups("")
            in_24_hours = int(hour) % 12 + (12 if half in "Pp" else 0)
            clock = f"{_TWO[in_24_hours]}:{minute}:{second or '00'}"
            offset = offset.upper()
            return datetime.fromisoformat(f"{_with_dashes(day)}T{clock}{_ZERO.get(offset, offset)}")
        if (parts := _RFC_2822.fullmatch(value)) is not None:
            return _of_mail(*parts.groups(""))
    except ValueError:
        parts = None
    if _NEVER.fullmatch(value):
        raise UnfitValue(_NEVER_AT_ALL, ProblemCode.OUT_OF_RANGE)
    if _DIGITS.fullmatch(value):
        return _of_digits(value)
    if re.fullmatch(_DATE, value):
        raise UnfitValue(_NO_TIME, ProblemCode.NOT_A_TIME)
    if value.strip().upper() == "NOW":
        raise UnfitValue(_NOW, ProblemCode.NOT_A_TIME)
    raise UnfitValue("must be an ISO 8601 time such as 2026-09-10T22:55:32-08:00", ProblemCode.NOT_A_TIME)


_ZERO = {"UTC": "Z", "GMT": "Z"}


def _of_mail(day: str, month: str, year: str, hour: str, minute: str, second: str, offset: str) -> datetime:
    if year < "0100":
        raise ValueError  # A year of two digits.
    in_order = (int(year), _MONTHS[month.lower()], int(day), int(hour), int(minute), int(second or 0))
    return datetime(*in_order, tzinfo=_zone_of_mail(offset.upper()) if offset else None)


@lru_cache(maxsize=256)
def _zone_of_mail(offset: str) -> timezone:
    """The zone of an offset, or of a zone name, of RFC 2822, in capitals."""
    written = _HOURS.get(offset, offset)
    away = timedelta(hours=int(written[1:3]), minutes=int(written[3:]))
    return timezone(-away if written.startswith("-") else away) if away else UTC


def _with_dashes(day: str) -> str:
    # Some versions of Python refuse a day without dashes beside a clock with colons.
    return day if "-" in day else f"{day[:4]}-{day[4:6]}-{day[6:]}"


def _of_digits(value: str) -> datetime:
    epoch = _EPOCH.fullmatch(value)
    if epoch is None:
        if _NEVER.fullmatch(value):
            raise UnfitValue(_NEVER_AT_ALL, ProblemCode.OUT_OF_RANGE)
        if re.fullmatch(_DATE, value.removesuffix(".0")):
            raise UnfitValue(_NO_TIME, ProblemCode.NOT_A_TIME)
        raise UnfitValue(_NOT_EPOCH, ProblemCode.NOT_A_TIME)
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=int(epoch[1][:10]))


def _of_numpy(value: Any) -> datetime:
    plain = value.item()
    if isinstance(plain, int):  # finer than a datetime, or outside the years of a datetime
        plain = value.astype("datetime64[us]").item()
    if isinstance(plain, datetime):
        return plain
    if isinstance(plain, date):
        raise UnfitValue(_NO_TIME, ProblemCode.NOT_A_TIME)
    if isinstance(plain, int):
        raise UnfitValue(_OUTSIDE, ProblemCode.OUT_OF_RANGE)
    raise UnfitValue("must be a time, and is NaT", ProblemCode.NOT_A_TIME)


def _to_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise UnfitValue(_OUTSIDE, ProblemCode.OUT_OF_RANGE) from None
