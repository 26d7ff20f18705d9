"""The table of impact.com's 50 call parameters. Validation, documentation and tests are made from this one table."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Generic, Self, TypeVar, final, overload

from airflow_provider_impactcall.exceptions import InvalidCall, Problem, ProblemCode
from airflow_provider_impactcall.records import kinds, normalize
from airflow_provider_impactcall.records.column_names import label
from airflow_provider_impactcall.records.kinds import CallStatus, Conventions, Kind
from airflow_provider_impactcall.records.parameters import Field, Parameter, read_alone, read_each

__all__ = ["PARAMETERS", "CallRecord", "CallStatus", "Conventions", "Parameter", "fields_of", "no_parameter"]

_AS_IT_IS: Mapping[str, str] = {}
_NO_CONVENTIONS = Conventions()
_T = TypeVar("_T")


class _Column(Generic[_T]):
    """A parameter of :class:`CallRecord`: its row in the table on the class, its value on an instance.

    :param lacking: the problem of a call without this parameter; None if the parameter may be absent
    """

    def __init__(self, kind: Kind[Any], description: str, lacking: str | None, *, required: bool) -> None:
        self._kind = kind
        self._description = description
        self._lacking = lacking
        self._required = required

    def __set_name__(self, owner: type, name: str) -> None:
        kind = self._kind
        self._name = name
        self.field: Field = (name, kind.read, kind.needs_others, self._lacking, kind)
        self.parameter = Parameter(name, kind.type, self._required, kind.limit, kind.allowed, self._description)

    @overload
    def __get__(self, record: None, owner: type) -> Self: ...

    @overload
    def __get__(self, record: CallRecord, owner: type) -> _T: ...

    def __get__(self, record: CallRecord | None, owner: type) -> Any:
        if record is None:
            return self
        value = record._sent.get(self._name)
        return int(value) if self._kind.whole and value is not None else value


def _required(kind: Kind[_T], description: str) -> _Column[_T]:
    problem = "is missing"
    return _Column(kind, description, problem, required=True)


def _demanded(kind: Kind[_T], description: str) -> _Column[_T]:
    # impact.com's page does not require this parameter. This package does: see the problem below.
    problem = "is missing, and impact.com would take that as ANSWER, an answered and payable call"
    return _Column(kind, description, problem, required=False)


def _derived(kind: Kind[_T], description: str) -> _Column[_T]:
    return _Column(kind, description, None, required=False)


def _optional(kind: Kind[_T | None], description: str) -> _Column[_T | None]:
    return _Column(kind, description, None, required=False)


@final
class CallRecord:
    """One valid phone call, in the form in which it is sent. It is immutable and hashable.

    Construct it with the parameters by name. Values may have the types of a warehouse: numbers, text,
    ``datetime``, ``Decimal``, UUID. ``None``, NaN and ``''`` count as absent (except ``PhoneType=''``).
    Its ``repr`` shows only the ``CallSessionId``.

    :raises InvalidCall: with every problem of the call at once
    """

    # _sent: the text to send by parameter, in the order of impact.com's page. _given: see as_given.
    __slots__ = ("_given", "_sent")

    _sent: dict[str, str]
    _given: Mapping[str, str]

    CampaignId = _required(kinds.INTEGER, "The program's id.")
    MediaId = _required(kinds.INTEGER, "The partner (media source) that the call is credited to.")
    EventDate = _required(kinds.TIME, "When the call took place: ISO 8601 with its offset from UTC.")
    ActionTrackerId = _required(kinds.INTEGER, "The event type's id (Phone_Action_Tracker_ID).")
    CallProvider = _required(kinds.PROVIDER, "The vendor or client that sends the event.")
    CallSessionId = _required(kinds.SESSION_ID, "The vendor's unique id of the call.")
    CallerId = _required(kinds.CALLER, "The originating number; matches the final conversion.")
    CalledPhoneNumber = _required(kinds.CALLED, "The number that was called.")
    CallDuration = _required(kinds.SECONDS, "The whole call, in seconds.")
    TalkDuration = _required(kinds.TALK_SECONDS, "Actual talk, in seconds; never more than CallDuration.")
    AdId = _optional(kinds.INTEGER, "The hosted ad.")
    CallStatus = _demanded(kinds.STATUS, "How the call ended; impact.com takes a missing status as ANSWER.")
    CallerPhoneNumberCountry = _derived(kinds.CALLER_COUNTRY, "CallerId's country; derived if absent.")
    CalledPhoneNumberCountry = _derived(kinds.CALLED_COUNTRY, "CalledPhoneNumber's country; derived if absent.")
    SubId1 = _optional(kinds.TEXT_64, "The partner's own value.")
    SubId2 = _optional(kinds.TEXT_64, "The partner's own value.")
    SubId3 = _optional(kinds.TEXT_64, "The partner's own value.")
    ClickId = _optional(kinds.TEXT, "The click id from the landing page's URL, case-sensitive.")
    City = _optional(kinds.TEXT, "The caller's city.")
    Region = _optional(kinds.TEXT, "The caller's region.")
    Zip = _optional(kinds.ZIP, "The caller's postal code, as text.")
    RepeatCaller = _optional(kinds.TEXT, "Whether the caller is repeat or new.")
    PhoneType = _optional(kinds.PHONE_TYPE, "Landline, Mobile or the empty string.")
    CallRecording = _optional(kinds.TEXT, "The URL of the recording.")
    IvrDuration = _optional(kinds.SECONDS, "Time in the IVR, in seconds.")
    Keypresses = _optional(
        kinds.LISTED_TEXT, "The keys pressed, by unique name; a list, or its JSON text, is joined with ','."
    )
    Key1 = _optional(kinds.TEXT, "The name of the first key pressed.")
    Key2 = _optional(kinds.TEXT, "The name of the second key pressed.")
    Key3 = _optional(kinds.TEXT, "The name of the third key pressed.")
    Key4 = _optional(kinds.TEXT, "The name of the fourth key pressed.")
    TrafficSource = _optional(kinds.TEXT, "Where the traffic came from.")
    OptInSms = _optional(kinds.TEXT, "Whether the caller opted in to text messages.")
    UserAgent = _optional(kinds.TEXT, "The caller's browser.")
    DispositionName = _optional(kinds.TEXT, "The conversion event's name.")
    SaleAmount = _optional(kinds.AMOUNT, "The sale's amount; no parameter names its currency.")
    ReferenceId = _optional(kinds.NUMBER, "The customer's disposition code.")
    CustomConversionEvent1Name = _optional(kinds.TEXT, "The first custom conversion event's name.")
    CustomConversionEvent2Name = _optional(kinds.TEXT, "The second custom conversion event's name.")
    CustomConversionEvent3Name = _optional(kinds.TEXT, "The third custom conversion event's name.")
    CustomConversionEvent1Value = _optional(kinds.TEXT, "The first custom conversion event's value.")
    CustomConversionEvent2Value = _optional(kinds.TEXT, "The second custom conversion event's value.")
    CustomConversionEvent3Value = _optional(kinds.TEXT, "The third custom conversion event's value.")
    VendorEventId = _optional(kinds.EVENT_ID, "The vendor's unique id of the call and conversion event.")
    PromoNumberDescription = _optional(kinds.TEXT, "Describes the called number.")
    CustomCallEvent1Name = _optional(kinds.TEXT, "The first custom call event's name.")
    CustomCallEvent2Name = _optional(kinds.TEXT, "The second custom call event's name.")
    CustomCallEvent3Name = _optional(kinds.TEXT, "The third custom call event's name.")
    CustomCallEvent1Value = _optional(kinds.TEXT, "The first custom call event's value.")
    CustomCallEvent2Value = _optional(kinds.TEXT, "The second custom call event's value.")
    CustomCallEvent3Value = _optional(kinds.TEXT, "The third custom call event's value.")

    def __init__(self, /, **values: Any) -> None:
        _fill(self, values, _NO_CONVENTIONS, None)

    @classmethod
    def of(
        cls, values: Mapping[str, Any], conventions: Conventions | None = None, fields: Sequence[Field] | None = None
    ) -> CallRecord:
        """A call from its values. A :class:`CallRecord` is returned unchanged.

        :param values: value by parameter name
        :param conventions: the zone of times without an offset, and the form of ``CallerId``
        :param fields: the only parameters to look for in ``values``, as :func:`fields_of` gives them; None for all
        :raises InvalidCall: with every problem of the call at once
        """
        if isinstance(values, CallRecord):
            return values
        if not isinstance(values, Mapping):
            message = f"must be a dict by parameter name, and is {normalize.described(values)}"
            raise InvalidCall((Problem("row", ProblemCode.NOT_A_ROW, message),))
        record = cls.__new__(cls)
        _fill(record, values if type(values) is dict else dict(values), conventions or _NO_CONVENTIONS, fields)
        return record

    @classmethod
    def of_texts(cls, sent: dict[str, str], given: Mapping[str, str]) -> CallRecord:
        """A call from texts that the readers of its parameters have made. The texts are not checked again.

        :param sent: text by parameter, in the order of impact.com's page; the call keeps this dict, without a copy
        :param given: see :attr:`as_given`
        """
        record = cls.__new__(cls)
        record._sent = sent
        record._given = given
        return record

    @staticmethod
    def legible(values: Mapping[str, Any], names: Sequence[str], conventions: Conventions) -> dict[str, str]:
        """The text of some parameters of a call that may be invalid; ``''`` for an absent parameter.

        :param values: value by parameter name
        :param names: the parameters to read; the result leaves out each whose value is wrong
        """
        return read_alone([_FIELDS[name] for name in names], values, conventions)

    @property
    def as_given(self) -> Mapping[str, str]:
        """The original text of each parameter that lost something around it, such as blanks."""
        return self._given

    @property
    def sent(self) -> Mapping[str, str]:
        """The dict that :meth:`parameters` copies. Read it only; never change it."""
        return self._sent

    def parameters(self) -> dict[str, str]:
        """The parameters to send, as text, in the order of impact.com's page. Absent parameters are left out."""
        return self._sent.copy()

    def key(self, names: Sequence[str]) -> tuple[str, ...]:
        """The values of the deduplication key's parameters, as text; ``''`` for an absent parameter.

        :param names: the key's parameters
        """
        sent = self._sent
        return tuple([sent.get(name, "") for name in names])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CallRecord) and self._sent == other._sent

    def __hash__(self) -> int:
        return hash(tuple(self._sent.items()))

    def __repr__(self) -> str:
        return f"CallRecord(CallSessionId={self.CallSessionId!r})"


_COLUMNS = [each for each in vars(CallRecord).values() if isinstance(each, _Column)]
_FIELDS: Mapping[str, Field] = {each.parameter.name: each.field for each in _COLUMNS}
_TELL_APART = tuple(name for name, *_, kind in _FIELDS.values() if kind.tells_apart)

PARAMETERS: Mapping[str, Parameter] = {each.parameter.name: each.parameter for each in _COLUMNS}


def fields_of(names: Collection[str]) -> Sequence[Field]:
    """The fields to read of calls that have only these parameters.

    These are the named parameters, those that every call must have, and the countries of the phone numbers.

    :param names: the parameters, in any order
    """
    return tuple(
        field
        for field in _FIELDS.values()
        for name, *_, lacking, kind in [field]
        if name in names or lacking is not None or kind.number is not None
    )


def nearest_parameter(name: str) -> str | None:
    """The parameter whose name is most similar to this one; None if no name is similar."""
    by_folded = {known.casefold(): known for known in PARAMETERS}
    close = difflib.get_close_matches(name.replace("_", "").casefold(), by_folded, n=1)
    return by_folded[close[0]] if close else None


def no_parameter(name: str) -> str:
    """The problem of a name that is not a parameter, to be read after that name. It proposes a similar parameter."""
    near = nearest_parameter(name)
    return "is not one of impact.com's 50 parameters" + (f"; did you mean {near}?" if near else "")


def _fill(
    record: CallRecord, values: Mapping[str, Any], conventions: Conventions, fields: Sequence[Field] | None
) -> None:
    sent, problems = read_each(_FIELDS.values() if fields is None else fields, values, conventions)
    if fields is None and not values.keys() <= _FIELDS.keys():
        problems += [_unknown(name) for name in values if name not in _FIELDS]
    if problems:
        raise InvalidCall(tuple(problems))
    record._sent = sent
    record._given = _as_given(values, sent)


def _as_given(values: Mapping[str, Any], sent: Mapping[str, str]) -> Mapping[str, str]:
    """The text of each value that lost something around it; see :attr:`CallRecord.as_given`."""
    given: dict[str, str] = {}
    for name in _TELL_APART:
        text = sent.get(name)
        if text is not None and (value := values[name]) is not text and (spelled := normalize.text(value)) != text:
            given[name] = spelled
    return given or _AS_IT_IS


def _unknown(name: Any) -> Problem:
    if not isinstance(name, str):
        return Problem("a parameter", ProblemCode.WRONG_TYPE, f"must have a name, and has {normalize.described(name)}")
    return Problem(label(name, "a parameter"), ProblemCode.UNKNOWN_PARAMETER, no_parameter(name))
