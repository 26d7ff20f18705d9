"""How each kind of parameter is read, and what impact.com's page says about it."""

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
    """How a call ended. impact.com takes a missing status as ``ANSWER``, so this package always sends one."""

    UNKNOWN_CALLERID = "UNKNOWN_CALLERID"
    CONGESTION = "CONGESTION"
    INCOMPLETE = "INCOMPLETE"
    CANCEL = "CANCEL"
    IVR_DROPOFF = "IVR_DROPOFF"
    NO_TRANSFER_ATTEMPT = "NO_TRANSFER_ATTEMPT"
    ANSWER = "ANSWER"
    FAILURE = "FAILURE"


class Conventions(TypedDict, total=False):
    """Settings that values are read with.

    :param timezone: the zone of times without an offset; without this setting, such times are refused
    :param caller_id_format: ``national`` (the default) or ``e164``: the form in which a NANP ``CallerId`` is sent
    :param clock: gives the time in seconds since the epoch; the system's clock by default
    """

    timezone: tzinfo | None
    caller_id_format: CallerIdFormat
    clock: Callable[[], float]


class Beside(NamedTuple):
    """The context that some values need to be read.

    :param given: the call's original values by parameter
    :param found: the text by parameter, for those parameters before this one that could be read
    :param conventions: the settings to read with
    """

    given: Mapping[str, Any]
    found: Mapping[str, str]
    conventions: Conventions


class Kind(NamedTuple, Generic[T_co]):
    """What parameters of one kind have in common.

    :param read: turns a value that is not absent into the value to send, or into None to send nothing; raises only
        :class:`.UnfitValue`
    :param needs_others: whether ``read`` takes a :class:`Beside` too
    :param whole: whether the value to send is a whole number
    :param type: impact.com's placeholder: ``integer``, ``number`` or ``string``
    :param limit: the most characters, or None
    :param allowed: the only words, or empty
    :param number: for a country, the parameter of its phone number, which shows the country if the value is absent
    :param blanks_stay: whether text of only blanks is a value; otherwise it counts as absent
    :param may_be_empty: whether the empty text is a value
    :param tells_apart: whether it tells calls apart, so that blanks around it mean nothing and are removed
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
    """Whether a value is text of only blanks."""
    return issubclass(type(value), str) and not normalize.bare(value)  # isinstance() trusts a fake __class__.


def _limited_text(value: Any) -> str:
    spelled = normalize.text(value)
    if len(spelled) > _LIMIT:
        raise _too_long(spelled, _LIMIT, _WHY_64)
    return spelled


def _identifier(longest: int, why: str) -> Callable[[Any], str]:
    """A reader of ids and of other text that tells calls apart.

    :param longest: the most characters
    :param why: the reason for this limit, the end of a message
    """

    def read(value: Any) -> str:
        spelled = normalize.identifier(value)
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
    """The id to show with a row that may be invalid; None if the value is not an id."""
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
    """The country given for a number, which may be needed to read the number; None if it is not a country."""
    if value is None or (type(value) is str and value in normalize.REGIONS):
        return value
    if type(value) is DerivedElse:
        try:
            alone = normalize.phone_number(number)
        except ValueError:
            return value.country  # The number cannot be read without a country.
        # Ten digits may be a number of another country, such as France.
        return value.country if normalize.is_no_nanp(alone) else None
    try:
        return None if normalize.is_absent(value) else normalize.country(value)
    except ValueError:
        return None  # The country's own parameter reports the problem.


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
            return ""  # The number is wrong or missing, and that is the problem to report.
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
        # The message has no figures: one may be a phone number in the wrong column.
        raise normalize.UnfitValue("must not exceed CallDuration", ProblemCode.LONGER_THAN_THE_CALL)
    return talk


_LIMIT = 64
_WHY_64 = " (impact.com: 64 character UTF-8)"
LONGEST_ID = 1000
"""The most characters of a ``CallSessionId``, and of a ``VendorEventId``, which may tell calls apart instead of it.

impact.com's page gives no limit. The limit is the ledger's, which stores the ``CallSessionId``.
"""
COUNTRY_OF = {"CallerId": "CallerPhoneNumberCountry", "CalledPhoneNumber": "CalledPhoneNumberCountry"}
_STATUSES = tuple(status.value for status in CallStatus)
_PHONE_TYPES = ("Landline", "Mobile", "")
# Called numbers are few and come again and again, so they are cached. Callers' numbers must not stay in memory.
_country_of_a_called_number = lru_cache(maxsize=1024)(normalize.country_of)
nanp_called = lru_cache(maxsize=1024)(normalize.nanp)
"""As :func:`.normalize.nanp`, cached, for called numbers only."""

INTEGER = Kind(normalize.whole_id, whole=True, type="integer")
NUMBER = Kind(normalize.number, type="number")
AMOUNT = Kind(normalize.amount, type="number")
SECONDS = Kind(normalize.seconds, whole=True, type="integer")
TALK_SECONDS = Kind(_talk_duration, needs_others=True, whole=True, type="integer")
TEXT = Kind(normalize.text, blanks_stay=True)
LISTED_TEXT = Kind(normalize.listed_text, blanks_stay=True)
TEXT_64 = Kind(_limited_text, limit=_LIMIT, blanks_stay=True)
# Blanks around an id mean nothing and are removed; blanks around other text are sent as they are.
_read_id = _identifier(LONGEST_ID, ": the ledger keeps it")
SESSION_ID = Kind(_read_id, blanks_stay=True, tells_apart=True)
EVENT_ID = Kind(_read_id, tells_apart=True)
PROVIDER = Kind(_identifier(_LIMIT, _WHY_64), limit=_LIMIT, blanks_stay=True, tells_apart=True)
# impact.com's page calls Zip an integer. As an integer, 02139 would lose its zero, and no Canadian code could be sent.
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
