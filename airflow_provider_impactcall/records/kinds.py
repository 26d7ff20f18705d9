"""How each kind of parameter is read, and what impact.com's page says of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from enum import StrEnum
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypedDict, TypeVar

from airflow_provider_impactcall.exceptions import ProblemCode
from airflow_provider_impactcall.records import normalize
from airflow_provider_impactcall.records.normalize import CallerIdFormat
from airflow_provider_impactcall.records.readers import DerivedElse

T_co = TypeVar("T_co", covariant=True)


class CallStatus(StrEnum):
    """How a call ended. impact.com takes a call without one as ``ANSWER``, so this package never omits it."""

    UNKNOWN_CALLERID = "UNKNOWN_CALLERID"
    CONGESTION = "CONGESTION"
    INCOMPLETE = "INCOMPLETE"
    CANCEL = "CANCEL"
    IVR_DROPOFF = "IVR_DROPOFF"
    NO_TRANSFER_ATTEMPT = "NO_TRANSFER_ATTEMPT"
    ANSWER = "ANSWER"
    FAILURE = "FAILURE"


class Conventions(TypedDict, total=False):
    """What a value alone does not say.

    :param timezone: the zone of times without an offset; without it they are refused
    :param caller_id_format: ``national`` (the default) or ``e164``: how a NANP ``CallerId`` leaves
    :param clock: gives the time in seconds since the epoch; the system's if it is left out
    """

    timezone: tzinfo | None
    caller_id_format: CallerIdFormat
    clock: Callable[[], float]


class Beside(NamedTuple):
    """What some values need to be read.

    :param given: the call's values by parameter, as they were given
    :param found: the text of the parameters before this one, of those that could be read
    :param conventions: how values are to be read
    """

    given: Mapping[str, Any]
    found: Mapping[str, str]
    conventions: Conventions


class Kind(NamedTuple, Generic[T_co]):
    """What parameters of one kind have in common.

    :param read: makes of a value that is not absent the one that leaves, or None if nothing is to leave; raises
        :class:`.UnfitValue` only
    :param needs_others: whether that takes a :class:`Beside` too
    :param whole: whether what leaves is a whole number
    :param type: impact.com's placeholder: ``integer``, ``number`` or ``string``
    :param limit: the most characters, or None
    :param allowed: the only words, or empty
    :param number: of a country, the parameter of its number, which tells the country if the value is absent
    :param blanks_stay: whether text of nothing but blanks is a value; else it is as good as absent
    :param may_be_empty: whether text of no characters is a value
    :param tells_apart: whether it tells calls apart, so that blanks around it mean nothing
    """

    read: Callable[..., T_co]
    needs_others: bool = False
    whole: bool = False
    type: str = "string"
    limit: int | None = None
    allowed: tuple[str, ...] = ()
    number: str | None = None
    blanks_stay: bool = False
    may_be_empty: bool = False
    tells_apart: bool = False


def is_blank(value: Any) -> bool:
    """Whether a value is text of nothing but blanks."""
    return issubclass(type(value), str) and not normalize.bare(value)  # Its class may be what it says it is.


def _limited_text(value: Any) -> str:
    spelled = normalize.text(value)
    if len(spelled) > _LIMIT:
        raise _too_long(spelled, _LIMIT, _WHY_64)
    return spelled


def _identifier(longest: int, why: str) -> Callable[[Any], str]:
    """A reader of what tells calls apart.

    :param longest: in characters
    :param why: no more
    """

    def read(value: Any) -> str:
        # the common case, for speed
        is_bare = type(value) is str and value.isalnum() and value.isascii()
        spelled = value if is_bare else normalize.identifier(value)
        if 0 < len(spelled) <= longest:
            return spelled
        if spelled:
            raise _too_long(spelled, longest, why)
        raise normalize.UnfitValue("is blank", ProblemCode.MISSING)

    return read


def _too_long(spelled: str, longest: int, why: str) -> normalize.UnfitValue:
    message = f"must have at most {longest} characters, and has {len(spelled)}{why}"
    return normalize.UnfitValue(message, ProblemCode.TEXT_TOO_LONG)


def readable_id(value: Any) -> str | None:
    """An id as it is shown beside a row that may be wrong; None if the value is not an id."""
    try:
        spelled = normalize.identifier(value)
        return spelled if 0 < len(spelled) <= LONGEST_ID else None
    except ValueError:
        return None


def _one_of(allowed: Sequence[str]) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        # the common case, for speed
        return value if type(value) is str and value in allowed else normalize.one_of(value, allowed)

    return parse


def _event_date(value: Any, beside: Beside) -> str:
    conventions = beside.conventions
    return normalize.event_date(value, conventions.get("timezone"), conventions.get("clock", time.time)())


def _caller_id(value: Any, beside: Beside) -> str:
    country = _country_beside(value, beside.given.get("CallerPhoneNumberCountry"))
    return normalize.phone_number(value, country, beside.conventions.get("caller_id_format", "national"))


def _called_number(value: Any, beside: Beside) -> str:
    return normalize.phone_number(value, _country_beside(value, beside.given.get("CalledPhoneNumberCountry")))


def _country_beside(number: Any, value: Any) -> str | None:
    """The country that is given beside a number, and may be needed to read it; None if it is not a country."""
    if value is None or (type(value) is str and value in normalize.REGIONS):
        return value
    if type(value) is DerivedElse:
        try:
            alone = normalize.phone_number(number)
        except ValueError:
            return value.country  # The number alone cannot be read.
        # Ten digits of another country, as France's are.
        return value.country if normalize.is_no_nanp(alone) else None
    try:
        return None if normalize.is_absent(value) else normalize.country(value)
    except ValueError:
        return None  # The country's own parameter says so.


def _country_of(number: str, derive: Callable[[str], str | None]) -> Callable[[Any, Beside], str]:
    def resolve(value: Any, beside: Beside) -> str:
        if value is not None and type(value) is not DerivedElse:
            try:
                return normalize.country(value)
            except normalize.UnfitValue:
                if not is_blank(value):
                    raise
            value = None
        if number not in beside.found:
            return ""  # The number itself is wrong or missing, and that is the problem to report.
        derived = derive(beside.found[number])
        if derived is None and value is not None:
            if normalize.is_no_nanp(beside.found[number]):
                raise normalize.UnfitValue(
                    f"cannot be known: no area code begins with 0 or 1, as {number} does; write the number with "
                    "+ and its country code",
                    ProblemCode.COUNTRY_NOT_DERIVABLE,
                )
            return normalize.country(value.country)
        if derived is None:
            raise normalize.UnfitValue(
                f"cannot be known from {number}; give it, since impact.com takes a missing country as US, or map it to "
                f"{{'derived_else': 'US'}}, which is the country that the number tells, else US",
                ProblemCode.COUNTRY_NOT_DERIVABLE,
            )
        return derived

    return resolve


def _talk_duration(value: Any, beside: Beside) -> int:
    talk = normalize.seconds(value)
    call = beside.found.get("CallDuration")
    if call is not None and talk > int(call):
        # Without the figures: one may be a phone number.
        raise normalize.UnfitValue("must not exceed CallDuration", ProblemCode.LONGER_THAN_THE_CALL)
    return talk


_LIMIT = 64
_WHY_64 = " (impact.com: 64 character UTF-8)"
LONGEST_ID = 1000
"""Characters of a ``CallSessionId``, and of a ``VendorEventId``, which may tell calls apart in its place.

impact.com's page has no limit; the ledger, which keeps the former, has.
"""
COUNTRY_OF = {"CallerId": "CallerPhoneNumberCountry", "CalledPhoneNumber": "CalledPhoneNumberCountry"}
_STATUSES = tuple(status.value for status in CallStatus)
_PHONE_TYPES = ("Landline", "Mobile", "")
# A company's own numbers are few, and come in call after call; a caller's must not stay in memory.
_country_of_a_called_number = lru_cache(maxsize=1024)(normalize.country_of)
nanp_called = lru_cache(maxsize=1024)(normalize.nanp)
"""As :func:`.normalize.nanp`, of a called number."""

INTEGER = Kind(normalize.whole_id, whole=True, type="integer")
NUMBER = Kind(normalize.number, type="number")
AMOUNT = Kind(normalize.amount, type="number")
SECONDS = Kind(normalize.seconds, whole=True, type="integer")
TALK_SECONDS = Kind(_talk_duration, needs_others=True, whole=True, type="integer")
TEXT = Kind(normalize.text, blanks_stay=True)
LISTED_TEXT = Kind(normalize.listed_text, blanks_stay=True)
TEXT_64 = Kind(_limited_text, limit=_LIMIT, blanks_stay=True)
# Blanks around what tells calls apart mean nothing; those around other text leave as they are.
_read_id = _identifier(LONGEST_ID, ": the ledger keeps it")
SESSION_ID = Kind(_read_id, blanks_stay=True, tells_apart=True)
EVENT_ID = Kind(_read_id, tells_apart=True)
PROVIDER = Kind(_identifier(_LIMIT, _WHY_64), limit=_LIMIT, blanks_stay=True, tells_apart=True)
# impact.com's page calls Zip an integer; as one it would lose the zero of 02139 and every Canadian code.
ZIP = Kind(normalize.text, type="integer", blanks_stay=True)
TIME = Kind(_event_date, needs_others=True)
CALLER = Kind(_caller_id, needs_others=True, limit=_LIMIT)
CALLED = Kind(_called_number, needs_others=True)
CALLER_COUNTRY = Kind(_country_of("CallerId", normalize.country_of), needs_others=True, limit=_LIMIT, number="CallerId")
CALLED_COUNTRY = Kind(
    _country_of("CalledPhoneNumber", _country_of_a_called_number),
    needs_others=True,
    limit=_LIMIT,
    number="CalledPhoneNumber",
)
STATUS = Kind(_one_of(_STATUSES), allowed=_STATUSES)
PHONE_TYPE = Kind(_one_of(_PHONE_TYPES), allowed=_PHONE_TYPES, blanks_stay=True, may_be_empty=True)
