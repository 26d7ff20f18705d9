"""The one table of impact.com's 50 call parameters; validation, documentation and tests derive from it."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from inspect import signature
from typing import Any, NamedTuple, TypeVar, final, get_args, get_type_hints

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PrivateAttr,
    ValidationError,
    model_validator,
)

from airflow_provider_impactcall.exceptions import InvalidCall, Problem, ProblemCode
from airflow_provider_impactcall.records import normalize
from airflow_provider_impactcall.records.column_names import label
from airflow_provider_impactcall.records.kinds import (
    COUNTRY_OF,
    NO_CONVENTIONS,
    Amount,
    BesideOf,
    CalledCountry,
    CalledNumber,
    CallerCountry,
    CallerNumber,
    CallStatus,
    Conventions,
    Documented,
    Identifier,
    Identifier64,
    Integer,
    Number,
    PhoneKind,
    Seconds,
    Status,
    TalkSeconds,
    Text,
    Text64,
    Time,
    ZipText,
    limited_text,
)
from airflow_provider_impactcall.records.normalize import REGIONS
from airflow_provider_impactcall.records.sources import DerivedElse

__all__ = ["PARAMETERS", "CallRecord", "CallStatus", "Conventions", "Parameter", "nearest_parameter"]

_AS_IT_IS: Mapping[str, str] = {}
_Note = TypeVar("_Note")


@final
class CallRecord(BaseModel):
    """One phone call, valid and in the form in which it leaves.

    Construct it from the parameters by name, with values as a warehouse holds them: numbers, text,
    ``datetime``, ``Decimal``, UUID. ``None``, NaN and ``''`` count as absent (except ``PhoneType=''``).
    Its ``repr`` shows ``CallSessionId`` and nothing else of the call.

    :raises pydantic.ValidationError: with every problem; :meth:`of` raises :class:`InvalidCall` instead
    """

    _as_given: Mapping[str, str] = PrivateAttr(default=_AS_IT_IS)

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    CampaignId: Integer = Field(description="The program's id.")
    MediaId: Integer = Field(description="The partner (media source) that the call is credited to.")
    EventDate: Time = Field(description="When the call took place: ISO 8601 with its offset from UTC.")
    ActionTrackerId: Integer = Field(description="The event type's id (Phone_Action_Tracker_ID).")
    CallProvider: Identifier64 = Field(description="The vendor or client that sends the event.")
    CallSessionId: Identifier = Field(description="The vendor's unique id of the call.")
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
    VendorEventId: Identifier | None = Field(
        None, description="The vendor's unique id of the call and conversion event."
    )
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
        if type(values) is dict and (record := _read_at_once(values, conventions or NO_CONVENTIONS)) is not None:
            return record
        try:
            return cls.model_validate(values, context=conventions)
        except ValidationError as error:
            problems = tuple(_problem(detail) for detail in error.errors(include_url=False, include_input=False))
        raise InvalidCall(problems)

    @staticmethod
    def legible(values: Mapping[str, Any], names: Sequence[str], conventions: Conventions) -> dict[str, str]:
        """What can be read of some parameters though others are wrong, as text; ``''`` for one that is absent.

        :param values: value by parameter name
        :param names: of the parameters; one whose value is wrong is left out
        """
        present = _present(_without_blanks(values))
        found: dict[str, str] = {}
        for name in names:
            if name not in present:
                found[name] = ""
                continue
            read, beside = _READ[name], (BesideOf({}, conventions),) if name in _READ_BESIDE else ()
            with suppress(ValueError, TypeError):
                found[name] = str(read(present[name], *beside))
        return found

    @model_validator(mode="wrap")
    @classmethod
    def _read_together(cls, values: Any, read: ModelWrapValidatorHandler[CallRecord]) -> CallRecord:
        if not isinstance(values, Mapping):
            return read(values)
        present = _present(_without_blanks(values))
        record = read(present)
        record._as_given = _as_given(present, record.__dict__)
        return record

    @property
    def as_given(self) -> Mapping[str, str]:
        """The text of parameters as it was given, of those that blanks or the like were taken off."""
        return self._as_given

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CallRecord) and self.__dict__ == other.__dict__

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
    page = _note(annotation, Documented)
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


def _is_blank(value: Any) -> bool:
    return issubclass(type(value), str) and not normalize.bare(value)  # Its class may be what it says it is.


def _without_blanks(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values but for those that are nothing but blanks, where these mean nothing."""
    return {name: None if name not in _BLANKS_STAY and _is_blank(value) else value for name, value in values.items()}


def _as_given(present: Mapping[str, Any], found: Mapping[str, Any]) -> Mapping[str, str]:
    """The text of each value that lost something around it.

    :param found: the same, as it was read
    """
    given: dict[str, str] = {}
    for name in _IDENTIFIERS:
        value = present.get(name)
        if value is not None and value is not found[name] and (spelled := normalize.text(value)) != found[name]:
            given[name] = spelled
    return given or _AS_IT_IS


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that are not absent, numbers with their countries beside them."""
    if _PLAIN.issuperset(map(type, values.values())) and "" not in values.values():  # the common case, for speed
        present = dict(values)
    else:
        present = {
            name: value
            for name, value in values.items()
            if value is not None  # the common cases first, for speed
            and (
                (value if type(value) is str else type(value) is int or not normalize.is_absent(value))
                or (name == "PhoneType" and isinstance(normalize.plain(value), str))
            )
        }
    for number, country in COUNTRY_OF.items():
        if number in present:
            given = present.get(country)
            if given is not None and (type(given) is not str or given not in REGIONS):  # the common cases, for speed
                given = _known_country(given, present[number])
            present[number] = (present[number], given)
    return present


_READ: Mapping[str, Callable[..., Any]] = {
    name: _note(annotation, BeforeValidator).func for name, annotation in _ANNOTATIONS.items()
}
_READ_BESIDE = {name: read for name, read in _READ.items() if "beside" in signature(read).parameters}
_READ_ALONE = {name: None if name in _READ_BESIDE else read for name, read in _READ.items()}
_REQUIRED = frozenset(name for name, field in CallRecord.model_fields.items() if field.is_required())
_ALL_AS_GIVEN = {"_as_given": _AS_IT_IS}
_IDENTIFIERS = ("CallProvider", "CallSessionId", "VendorEventId")
_BLANKS_STAY = frozenset(
    [*_IDENTIFIERS[:2], "PhoneType", *(name for name, read in _READ.items() if read in (normalize.text, limited_text))]
)
_NONE_OF_ALL = dict.fromkeys(CallRecord.model_fields)
_TYPES = frozenset({int, str})
_PLAIN = frozenset({int, str, datetime})


def _read_at_once(values: dict[str, Any], conventions: Conventions) -> CallRecord | None:
    """What pydantic would make of these values, by the same readers, at a quarter of its cost; None if any is wrong.

    Only for speed: pydantic is the one that says what is wrong, and a test compares the two.
    """
    present = _present(values)
    record = _read_present(present, conventions)
    if record is None and any(map(_is_blank, present.values())):
        return _read_present(_present(_without_blanks(values)), conventions)
    return record


def _read_present(present: Mapping[str, Any], conventions: Conventions) -> CallRecord | None:
    if not present.keys() >= _REQUIRED:
        return None
    found: dict[str, Any] = {}
    beside = BesideOf(found, conventions)
    text = normalize.text
    try:
        for name, value in present.items():
            read = _READ_ALONE[name]
            if read is text and type(value) is str and value.isascii() and "\0" not in value:  # as it does, for speed
                found[name] = value
            elif read is not None:
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
    as_given = (  # The common case: each is the very text that was given.
        found["CallSessionId"] is present["CallSessionId"]
        and found["CallProvider"] is present["CallProvider"]
        and "VendorEventId" not in present
    )
    fill(record, "__pydantic_private__", _ALL_AS_GIVEN if as_given else {"_as_given": _as_given(present, found)})
    return record


def _known_country(value: Any, number: Any) -> str | None:
    if type(value) is DerivedElse:
        try:
            alone = normalize.phone_number(number)
        except ValueError:
            value = value.country  # The number alone cannot be read.
        else:
            if not normalize.is_no_nanp(alone):
                return None
            value = value.country  # Ten digits of another country, as France's are.
    try:
        return None if value is None else normalize.country(value)
    except ValueError:
        return None  # The country's own field says so.


def _problem(detail: Any) -> Problem:
    name = str(detail["loc"][0]) if detail["loc"] else "row"
    match detail["type"]:
        case "missing" if name == "CallStatus":
            code = ProblemCode.MISSING
            message = "is missing, and impact.com would take that as ANSWER, an answered and payable call"
        case "missing":
            code, message = ProblemCode.MISSING, "is missing"
        case "extra_forbidden":
            near = nearest_parameter(name)
            code = ProblemCode.UNKNOWN_PARAMETER
            message = "is none of impact.com's 50 parameters" + (f"; did you mean {near}?" if near else "")
        case "value_error":
            code, message = detail["ctx"]["error"].code, str(detail["ctx"]["error"])
        case _:
            code = ProblemCode.WRONG_TYPE if detail["loc"] else ProblemCode.NOT_A_ROW
            message = detail["msg"]
    return Problem(label(name, "a parameter"), code, message)
