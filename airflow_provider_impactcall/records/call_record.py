"""The one table of impact.com's 50 call parameters; validation, documentation and tests derive from it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import tzinfo
from enum import StrEnum
from inspect import signature
from typing import Annotated, Any, NamedTuple, Protocol, TypedDict, TypeVar, final, get_args, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from airflow_provider_impactcall.exceptions import InvalidCall, Problem
from airflow_provider_impactcall.records import normalize
from airflow_provider_impactcall.records.column_names import label
from airflow_provider_impactcall.records.normalize import CallerIdFormat


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
    """

    timezone: tzinfo | None
    caller_id_format: CallerIdFormat


class _Beside(Protocol):
    """What some values need to be read: the part of pydantic's ``ValidationInfo`` that is used here."""

    @property
    def data(self) -> Mapping[str, Any]:
        """The parameters before this one, as they were read."""

    @property
    def context(self) -> Conventions | None:
        """How values are to be read."""


class _BesideOf(NamedTuple):
    """The same without pydantic."""

    data: Mapping[str, Any]
    context: Conventions


class _Documented(NamedTuple):
    """What impact.com's page says of a type: its placeholder, its limit in characters, its words."""

    type: str
    limit: int | None = None
    allowed: tuple[str, ...] = ()


_Dialled = tuple[Any, str | None]
"""A number with the country beside it, which may be needed to read it."""


def _limited_text(value: Any) -> str:
    spelled = normalize.text(value)
    if len(spelled) > _LIMIT:
        raise ValueError(
            f"must have at most {_LIMIT} characters, and has {len(spelled)} (impact.com: 64 character UTF-8)"
        )
    return spelled


def _session_id(value: Any) -> str:
    spelled = normalize.text(value)
    if len(spelled) > LONGEST_ID:
        raise ValueError(f"must have at most {LONGEST_ID} characters, and has {len(spelled)}: the ledger keeps it")
    return spelled


def _required(parse: Callable[[Any], str]) -> Callable[[Any], str]:
    def parse_filled(value: Any) -> str:
        spelled = parse(value)
        if not spelled.strip():
            raise ValueError("is blank")
        return spelled

    return parse_filled


def _one_of(allowed: Sequence[str]) -> Callable[[Any], str]:
    def parse(value: Any) -> str:
        return normalize.one_of(value, allowed)

    return parse


def _event_date(value: Any, beside: _Beside) -> str:
    return normalize.event_date(value, _conventions(beside).get("timezone"))


def _caller_id(value: _Dialled, beside: _Beside) -> str:
    form = _conventions(beside).get("caller_id_format", "national")
    number, country = value
    return normalize.phone_number(number, country, form)


def _called_number(value: _Dialled) -> str:
    number, country = value
    return normalize.phone_number(number, country)


def _country_of(number: str) -> Callable[[Any, _Beside], str]:
    def resolve(value: Any, beside: _Beside) -> str:
        if value is not None:
            return normalize.country(value)
        if number not in beside.data:
            return ""  # The number itself is wrong or missing, and that is the problem to report.
        derived = normalize.country_of(beside.data[number])
        if derived is None:
            raise ValueError(f"cannot be known from {number}; give it, since impact.com takes none as US")
        return derived

    return resolve


def _talk_duration(value: Any, beside: _Beside) -> int:
    talk = normalize.seconds(value)
    call = beside.data.get("CallDuration")
    if call is not None and talk > call:
        raise ValueError("must not exceed CallDuration")  # Without the figures: one may be a phone number.
    return talk


def _conventions(beside: _Beside) -> Conventions:
    return beside.context or _NO_CONVENTIONS


_Note = TypeVar("_Note")

_NO_CONVENTIONS = Conventions()

_LIMIT = 64
LONGEST_ID = 1000
"""Characters of a ``CallSessionId``. impact.com's page has no limit; the ledger, which keeps it, has."""
_COUNTRY_OF = {"CallerId": "CallerPhoneNumberCountry", "CalledPhoneNumber": "CalledPhoneNumberCountry"}
_STATUSES = tuple(status.value for status in CallStatus)
_PHONE_TYPES = ("Landline", "Mobile", "")

Integer = Annotated[int, BeforeValidator(normalize.integer), _Documented("integer")]
Number = Annotated[str, BeforeValidator(normalize.number), _Documented("number")]
Amount = Annotated[str, BeforeValidator(normalize.amount), _Documented("number")]
Seconds = Annotated[int, BeforeValidator(normalize.seconds), _Documented("integer")]
TalkSeconds = Annotated[int, BeforeValidator(_talk_duration), _Documented("integer")]
Text = Annotated[str, BeforeValidator(normalize.text), _Documented("string")]
Text64 = Annotated[str, BeforeValidator(_limited_text), _Documented("string", _LIMIT)]
SessionId = Annotated[str, BeforeValidator(_required(_session_id)), _Documented("string")]
Filled64 = Annotated[str, BeforeValidator(_required(_limited_text)), _Documented("string", _LIMIT)]
# impact.com's page calls Zip an integer; as one it would lose the zero of 02139 and every Canadian code.
ZipText = Annotated[str, BeforeValidator(normalize.text), _Documented("integer")]
Time = Annotated[str, BeforeValidator(_event_date), _Documented("string")]
CallerNumber = Annotated[str, BeforeValidator(_caller_id), _Documented("string", _LIMIT)]
CalledNumber = Annotated[str, BeforeValidator(_called_number), _Documented("string")]
CallerCountry = Annotated[str, BeforeValidator(_country_of("CallerId")), _Documented("string", _LIMIT)]
CalledCountry = Annotated[str, BeforeValidator(_country_of("CalledPhoneNumber")), _Documented("string", _LIMIT)]
Status = Annotated[str, BeforeValidator(_one_of(_STATUSES)), _Documented("string", allowed=_STATUSES)]
PhoneKind = Annotated[str, BeforeValidator(_one_of(_PHONE_TYPES)), _Documented("string", allowed=_PHONE_TYPES)]


@final
class CallRecord(BaseModel):
    """One phone call, valid and in the form in which it leaves.

    Construct it from the parameters by name, with values as a warehouse holds them: numbers, text,
    ``datetime``, ``Decimal``, UUID. ``None``, NaN and ``''`` count as absent (except ``PhoneType=''``).
    Its ``repr`` shows ``CallSessionId`` and nothing else of the call.

    :raises pydantic.ValidationError: with every problem; :meth:`of` raises :class:`InvalidCall` instead
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    CampaignId: Integer = Field(description="The program's id.")
    MediaId: Integer = Field(description="The partner (media source) that the call is credited to.")
    EventDate: Time = Field(description="When the call took place: ISO 8601 with its offset from UTC.")
    ActionTrackerId: Integer = Field(description="The event type's id (Phone_Action_Tracker_ID).")
    CallProvider: Filled64 = Field(description="The vendor or client that sends the event.")
    CallSessionId: SessionId = Field(description="The vendor's unique id of the call.")
    CallerId: CallerNumber = Field(description="The originating number; matches the final conversion.")
    CalledPhoneNumber: CalledNumber = Field(description="The number that was called.")
    CallDuration: Seconds = Field(description="The whole call, in seconds.")
    TalkDuration: TalkSeconds = Field(description="Actual talk, in seconds; never more than CallDuration.")
    AdId: Integer | None = Field(None, description="The hosted ad.")
    CallStatus: Status = Field(description="How the call ended; impact.com takes none as ANSWER.")
    CallerPhoneNumberCountry: CallerCountry = Field(
        None, validate_default=True, description="CallerId's country; derived if absent."
    )
    CalledPhoneNumberCountry: CalledCountry = Field(
        None, validate_default=True, description="CalledPhoneNumber's country; derived if absent."
    )
    SubId1: Text64 | None = Field(None, description="The partner's own value.")
    SubId2: Text64 | None = Field(None, description="The partner's own value.")
    SubId3: Text64 | None = Field(None, description="The partner's own value.")
    ClickId: Text | None = Field(None, description="The click id from the landing page's URL, case-sensitive.")
    City: Text | None = Field(None, description="The caller's city.")
    Region: Text | None = Field(None, description="The caller's region.")
    Zip: ZipText | None = Field(None, description="The caller's postal code, as text.")
    RepeatCaller: Text | None = Field(None, description="Whether the caller is repeat or new.")
    PhoneType: PhoneKind | None = Field(None, description="Landline, Mobile or the empty string.")
    CallRecording: Text | None = Field(None, description="The URL of the recording.")
    IvrDuration: Seconds | None = Field(None, description="Time in the IVR, in seconds.")
    Keypresses: Text | None = Field(None, description="The keys pressed, by unique name; a list is joined with ','.")
    Key1: Text | None = Field(None, description="The name of the first key pressed.")
    Key2: Text | None = Field(None, description="The name of the second key pressed.")
    Key3: Text | None = Field(None, description="The name of the third key pressed.")
    Key4: Text | None = Field(None, description="The name of the fourth key pressed.")
    TrafficSource: Text | None = Field(None, description="Where the traffic came from.")
    OptInSms: Text | None = Field(None, description="Whether the caller opted in to text messages.")
    UserAgent: Text | None = Field(None, description="The caller's browser.")
    DispositionName: Text | None = Field(None, description="The conversion event's name.")
    SaleAmount: Amount | None = Field(None, description="The sale's amount; no parameter names its currency.")
    ReferenceId: Number | None = Field(None, description="The customer's disposition code.")
    CustomConversionEvent1Name: Text | None = Field(None, description="The first custom conversion event's name.")
    CustomConversionEvent2Name: Text | None = Field(None, description="The second custom conversion event's name.")
    CustomConversionEvent3Name: Text | None = Field(None, description="The third custom conversion event's name.")
    CustomConversionEvent1Value: Text | None = Field(None, description="The first custom conversion event's value.")
    CustomConversionEvent2Value: Text | None = Field(None, description="The second custom conversion event's value.")
    CustomConversionEvent3Value: Text | None = Field(None, description="The third custom conversion event's value.")
    VendorEventId: Text | None = Field(None, description="The vendor's unique id of the call and conversion event.")
    PromoNumberDescription: Text | None = Field(None, description="Describes the called number.")
    CustomCallEvent1Name: Text | None = Field(None, description="The first custom call event's name.")
    CustomCallEvent2Name: Text | None = Field(None, description="The second custom call event's name.")
    CustomCallEvent3Name: Text | None = Field(None, description="The third custom call event's name.")
    CustomCallEvent1Value: Text | None = Field(None, description="The first custom call event's value.")
    CustomCallEvent2Value: Text | None = Field(None, description="The second custom call event's value.")
    CustomCallEvent3Value: Text | None = Field(None, description="The third custom call event's value.")

    @classmethod
    def of(cls, values: Mapping[str, Any], conventions: Conventions | None = None) -> CallRecord:
        """The call that these values are.

        :param values: value by parameter name
        :param conventions: the zone of times without an offset, and the form of ``CallerId``
        :raises InvalidCall: with every problem of the call at once
        """
        if type(values) is dict and (record := _read_at_once(values, conventions or _NO_CONVENTIONS)) is not None:
            return record
        try:
            return cls.model_validate(values, context=conventions)
        except ValidationError as error:
            problems = tuple(_problem(detail) for detail in error.errors(include_url=False, include_input=False))
        raise InvalidCall(problems)

    @model_validator(mode="before")
    @classmethod
    def _read_together(cls, values: Any) -> Any:
        return _present(values) if isinstance(values, Mapping) else values

    def parameters(self) -> dict[str, str]:
        """The parameters that leave, as text, in the order of impact.com's page. Absent ones are left out."""
        return {
            name: value if type(value) is str else str(value)
            for name, value in self.__dict__.items()
            if value is not None
        }

    def key(self, names: Sequence[str]) -> tuple[str, ...]:
        """The values of the parameters that tell this call from another, as text; ``''`` for an absent one."""
        values = self.__dict__
        return tuple(["" if (value := values[name]) is None else str(value) for name in names])

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        yield "CallSessionId", self.CallSessionId


class Parameter(NamedTuple):
    """What is known of one parameter.

    :param name: impact.com's spelling
    :param type: impact.com's placeholder: ``integer``, ``number`` or ``string``
    :param required: whether impact.com requires it
    :param limit: the most characters, or None (impact.com: 64 character UTF-8)
    :param allowed: the only words, or empty
    :param description: what it means
    """

    name: str
    type: str
    required: bool
    limit: int | None
    allowed: tuple[str, ...]
    description: str


def _note(annotation: Any, kind: type[_Note]) -> _Note:
    for part in (annotation, *get_args(annotation)):
        for note in getattr(part, "__metadata__", ()):
            if isinstance(note, kind):
                return note
    raise TypeError("every parameter has a reader, and says what impact.com's page says of it")


def _parameter(name: str, annotation: Any) -> Parameter:
    field = CallRecord.model_fields[name]
    # impact.com's page requires ten; CallStatus is this package's own demand, as its absence is dangerous.
    required = field.is_required() and name != "CallStatus"
    page = _note(annotation, _Documented)
    return Parameter(name, page.type, required, page.limit, page.allowed, field.description or "")


_ANNOTATIONS = {
    name: annotation
    for name, annotation in get_type_hints(CallRecord, include_extras=True).items()
    if name in CallRecord.model_fields
}

PARAMETERS: Mapping[str, Parameter] = {name: _parameter(name, annotation) for name, annotation in _ANNOTATIONS.items()}


def nearest_parameter(name: str) -> str | None:
    """The parameter whose name looks most like this one, or None if none comes near."""
    by_folded = {known.casefold(): known for known in PARAMETERS}
    close = difflib.get_close_matches(name.replace("_", "").casefold(), by_folded, n=1)
    return by_folded[close[0]] if close else None


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are not absent, numbers with their countries beside them."""
    present = {
        name: value
        for name, value in values.items()
        if (value if type(value) is str else type(value) is int or not normalize.is_absent(value))  # for speed
        or (name == "PhoneType" and isinstance(normalize.plain(value), str))
    }
    for number, country in _COUNTRY_OF.items():
        if number in present:
            present[number] = (present[number], _known_country(present.get(country)))
    return present


_READ: Mapping[str, Callable[..., Any]] = {
    name: _note(annotation, BeforeValidator).func for name, annotation in _ANNOTATIONS.items()
}
_READ_BESIDE = {name: read for name, read in _READ.items() if "beside" in signature(read).parameters}
_READ_ALONE = {name: None if name in _READ_BESIDE else read for name, read in _READ.items()}
_REQUIRED = frozenset(name for name, field in CallRecord.model_fields.items() if field.is_required())
_NONE_OF_ALL = dict.fromkeys(CallRecord.model_fields)
_TYPES = frozenset({int, str})


def _read_at_once(values: dict[str, Any], conventions: Conventions) -> CallRecord | None:
    """What pydantic would make of these values, by the same readers, at a quarter of its cost; None if any is wrong.

    Only for speed: pydantic is the one that says what is wrong, and a test compares the two.
    """
    present = _present(values)
    if not present.keys() >= _REQUIRED:
        return None
    found: dict[str, Any] = {}
    beside = _BesideOf(found, conventions)
    try:
        for name, value in present.items():
            read = _READ_ALONE[name]
            if read is not None:
                found[name] = read(value)
        for name, read_beside in _READ_BESIDE.items():  # required, or read even if they are absent
            found[name] = read_beside(present.get(name), beside)
    except (KeyError, ValueError):
        return None  # A name that is none of the parameters, or a value that is none of its.
    if not _TYPES.issuperset(map(type, found.values())):
        return None  # A driver's type spelled itself as one of its own, which pydantic makes text of or refuses.
    # As BaseModel.model_construct does, which takes longer than all of the above, as it asks each field for aliases.
    record = CallRecord.__new__(CallRecord)
    fill = object.__setattr__
    fill(record, "__dict__", _NONE_OF_ALL | found)
    fill(record, "__pydantic_fields_set__", set(present))
    fill(record, "__pydantic_extra__", None)
    fill(record, "__pydantic_private__", None)
    return record


def _known_country(value: Any) -> str | None:
    try:
        return None if value is None else normalize.country(value)
    except ValueError:
        return None  # The country's own field says so.


def _problem(detail: Any) -> Problem:
    name = str(detail["loc"][0]) if detail["loc"] else "row"
    match detail["type"]:
        case "missing" if name == "CallStatus":
            message = "is missing, and impact.com would take that as ANSWER, an answered and payable call"
        case "missing":
            message = "is missing"
        case "extra_forbidden":
            near = nearest_parameter(name)
            message = "is none of impact.com's 50 parameters" + (f"; did you mean {near}?" if near else "")
        case "value_error":
            message = str(detail["ctx"]["error"])
        case _:
            message = detail["msg"]
    return Problem(label(name, "a parameter"), message)
