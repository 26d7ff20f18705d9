"""How each kind of parameter is read, and what impact.com's page says of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from enum import StrEnum
from typing import Annotated, Any, NamedTuple, Protocol, TypedDict

from pydantic import BeforeValidator

from airflow_provider_impactcall.exceptions import ProblemCode
from airflow_provider_impactcall.records import normalize
from airflow_provider_impactcall.records.normalize import CallerIdFormat
from airflow_provider_impactcall.records.sources import DerivedElse


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


class Beside(Protocol):
    """What some values need to be read: the part of pydantic's ``ValidationInfo`` that is used here."""

    @property
    def data(self) -> Mapping[str, Any]:
        """The parameters before this one, as they were read."""

    @property
    def context(self) -> Conventions | None:
        """How values are to be read."""


class BesideOf(NamedTuple):
    """The same without pydantic."""

    data: Mapping[str, Any]
    context: Conventions


class Documented(NamedTuple):
    """What impact.com's page says of a type: its placeholder, its limit in characters, its words."""

    type: str
    limit: int | None = None
    allowed: tuple[str, ...] = ()


_Dialled = tuple[Any, str | None]
"""A number with the country beside it, which may be needed to read it."""


def _limited(spelled: str) -> str:
    if len(spelled) > _LIMIT:
        raise normalize.UnfitValue(
            f"must have at most {_LIMIT} characters, and has {len(spelled)} (impact.com: 64 character UTF-8)",
            ProblemCode.TEXT_TOO_LONG,
        )
    return spelled


def limited_text(value: Any) -> str:
    if type(value) is str and len(value) <= _LIMIT and value.isascii() and "\0" not in value:  # as text does, for speed
        return value
    return _limited(normalize.text(value))


def _filled(value: Any) -> str:
    spelled = normalize.identifier(value)
    if not spelled:
        raise normalize.UnfitValue("is blank", ProblemCode.MISSING)
    return spelled


def _identifier(value: Any) -> str:
    if type(value) is str and value.isalnum() and value.isascii() and len(value) <= LONGEST_ID:  # common, for speed
        return value
    spelled = _filled(value)
    if len(spelled) > LONGEST_ID:
        raise normalize.UnfitValue(
            f"must have at most {LONGEST_ID} characters, and has {len(spelled)}: the ledger keeps it",
            ProblemCode.TEXT_TOO_LONG,
        )
    return spelled


def readable_id(value: Any) -> str | None:
    """An id as it is shown beside a row that may be none; None if it is none itself."""
    try:
        spelled = normalize.identifier(value)
        return spelled if 0 < len(spelled) <= LONGEST_ID else None
    except ValueError:
        return None


def _limited_identifier(value: Any) -> str:
    if type(value) is str and value.isalnum() and value.isascii() and len(value) <= _LIMIT:  # likewise
        return value
    return _limited(_filled(value))


def _one_of(allowed: Sequence[str]) -> Callable[[Any], str]:
    words = frozenset(allowed)

    def parse(value: Any) -> str:
        return value if type(value) is str and value in words else normalize.one_of(value, allowed)  # for speed

    return parse


def _event_date(value: Any, beside: Beside) -> str:
    conventions = beside.context or NO_CONVENTIONS
    return normalize.event_date(value, conventions.get("timezone"), conventions.get("clock", time.time)())


def _caller_id(value: _Dialled, beside: Beside) -> str:
    form = _conventions(beside).get("caller_id_format", "national")
    number, country = value
    return normalize.phone_number(number, country, form)


def _called_number(value: _Dialled) -> str:
    number, country = value
    return normalize.phone_number(number, country)


def _country_of(number: str) -> Callable[[Any, Beside], str]:
    def resolve(value: Any, beside: Beside) -> str:
        if type(value) is str and value in normalize.REGIONS:  # the common case, for speed
            return value
        if value is not None and type(value) is not DerivedElse:
            return normalize.country(value)
        if number not in beside.data:
            return ""  # The number itself is wrong or missing, and that is the problem to report.
        derived = normalize.country_of(beside.data[number])
        if derived is None and value is not None:
            if normalize.is_no_nanp(beside.data[number]):
                raise normalize.UnfitValue(
                    f"cannot be known: no area code begins with 0 or 1, as {number} does; write that with + and its "
                    "country code",
                    ProblemCode.COUNTRY_NOT_DERIVABLE,
                )
            return normalize.country(value.country)
        if derived is None:
            raise normalize.UnfitValue(
                f"cannot be known from {number}; give it, since impact.com takes none as US, or map it to "
                f"{{'derived_else': 'US'}}, which is what the number tells, else that",
                ProblemCode.COUNTRY_NOT_DERIVABLE,
            )
        return derived

    return resolve


def _talk_duration(value: Any, beside: Beside) -> int:
    talk = normalize.seconds(value)
    call = beside.data.get("CallDuration")
    if call is not None and talk > call:
        # Without the figures: one may be a phone number.
        raise normalize.UnfitValue("must not exceed CallDuration", ProblemCode.LONGER_THAN_THE_CALL)
    return talk


def _conventions(beside: Beside) -> Conventions:
    return beside.context or NO_CONVENTIONS


NO_CONVENTIONS = Conventions()

_LIMIT = 64
LONGEST_ID = 1000
"""Characters of a ``CallSessionId``, and of a ``VendorEventId``, which may tell calls apart in its place.

impact.com's page has no limit; the ledger, which keeps the former, has.
"""
COUNTRY_OF = {"CallerId": "CallerPhoneNumberCountry", "CalledPhoneNumber": "CalledPhoneNumberCountry"}
_STATUSES = tuple(status.value for status in CallStatus)
_PHONE_TYPES = ("Landline", "Mobile", "")

Integer = Annotated[int, BeforeValidator(normalize.whole_id), Documented("integer")]
Number = Annotated[str, BeforeValidator(normalize.number), Documented("number")]
Amount = Annotated[str, BeforeValidator(normalize.amount), Documented("number")]
Seconds = Annotated[int, BeforeValidator(normalize.seconds), Documented("integer")]
TalkSeconds = Annotated[int, BeforeValidator(_talk_duration), Documented("integer")]
Text = Annotated[str, BeforeValidator(normalize.text), Documented("string")]
Text64 = Annotated[str, BeforeValidator(limited_text), Documented("string", _LIMIT)]
# Blanks around what tells calls apart mean nothing; those around other text leave as they are.
Identifier = Annotated[str, BeforeValidator(_identifier), Documented("string")]
Identifier64 = Annotated[str, BeforeValidator(_limited_identifier), Documented("string", _LIMIT)]
# impact.com's page calls Zip an integer; as one it would lose the zero of 02139 and every Canadian code.
ZipText = Annotated[str, BeforeValidator(normalize.text), Documented("integer")]
Time = Annotated[str, BeforeValidator(_event_date), Documented("string")]
CallerNumber = Annotated[str, BeforeValidator(_caller_id), Documented("string", _LIMIT)]
CalledNumber = Annotated[str, BeforeValidator(_called_number), Documented("string")]
CallerCountry = Annotated[str, BeforeValidator(_country_of("CallerId")), Documented("string", _LIMIT)]
CalledCountry = Annotated[str, BeforeValidator(_country_of("CalledPhoneNumber")), Documented("string", _LIMIT)]
Status = Annotated[str, BeforeValidator(_one_of(_STATUSES)), Documented("string", allowed=_STATUSES)]
PhoneKind = Annotated[str, BeforeValidator(_one_of(_PHONE_TYPES)), Documented("string", allowed=_PHONE_TYPES)]
