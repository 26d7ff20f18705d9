"""What holds for every row whatever: a call or its reasons, no third, and nothing private in what is said of it."""

from __future__ import annotations

import copy
import pickle
import random
import string
from collections import UserString, defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from numbers import Integral
from typing import Any
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import phonenumbers
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from airflow_provider_impactcall.delivery.wire.endpoint import encode
from airflow_provider_impactcall.exceptions import InvalidCall, ProblemCode
from airflow_provider_impactcall.records import PARAMETERS, CallMapping, CallRecord, CallStatus, normalize
from airflow_provider_impactcall.records.call_record import Conventions
from airflow_provider_impactcall.sandbox.validation import find_problems
from tests.effort import scaled
from tests.facts import named, unfit
from tests.records.rows import CALLER, PRIVATE, RECORDING, REQUIRED, good_row, problems_of, wire_text
from tests.tables import table

PHONES = ["CallerId", "CalledPhoneNumber", "CallerPhoneNumberCountry", "CalledPhoneNumberCountry"]
FREE_TEXT = [
    name
    for name, parameter in PARAMETERS.items()
    if name == "Zip" or (parameter.type == "string" and not parameter.allowed and name not in ["EventDate", *PHONES])
]
IDENTIFIERS = ["CallProvider", "CallSessionId", "VendorEventId"]
LIMITED_TEXT = ["CallProvider", "SubId1", "SubId2", "SubId3"]
ZONES = ["America/New_York", "Europe/London", "Asia/Kolkata", "Australia/Lord_Howe", "America/St_Johns", "UTC"]

# Everything but what impact.com cannot take (a lone surrogate) or a database (NUL).
sendable = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
difficult = st.sampled_from("+&=%:;?#/ \t\r\n\"'\\<>é电话🦊👩‍🦰\u200d\u202e\ufeff")
texts = st.text(st.one_of(sendable, difficult), min_size=1, max_size=64)

plain_values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**80), 10**80),
    st.floats(),
    st.decimals(),
    st.fractions(),
    st.complex_numbers(),
    st.text(st.characters(), max_size=70),
    st.text(string.digits + "+-(). ", max_size=20),
    st.binary(max_size=10),
    st.datetimes(timezones=st.one_of(st.none(), st.timezones())),
    st.datetimes().map(str),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.uuids(),
    st.sampled_from(CallStatus),
)
DRIVER_VALUES: list[Any] = [
    pd.NA,
    pd.NaT,
    np.nan,
    np.float16("inf"),
    np.float32(19.99),
    np.longdouble("1e4000"),
    np.int8(-1),
    np.uint64(2**64 - 1),
    np.bool_(True),
    np.str_("2125550142"),
    np.bytes_(b"2125550142"),
    np.datetime64("2026-09-10T22:55:32"),
    np.datetime64("NaT"),
    np.timedelta64(180, "s"),
    np.timedelta64(3, "m"),
    np.timedelta64("NaT"),
    np.array([]),
    np.array([1]),
    np.array([1, 2]),
    pd.Timestamp("2026-09-10T22:55:32Z"),
    pd.Timestamp.max,
    pd.Timedelta("3min"),
    pd.Timedelta(1, "ns"),
    pd.Series([1, 2]),
    pd.DataFrame({"a": [1]}),
    pd.Interval(0, 1),
    pd.Period("2026-09"),
    pd.Categorical(["a"]),
    Decimal("sNaN"),
    Decimal("NaN"),
    Decimal("1E+999999"),
    Decimal("1E-999999"),
    Decimal("0E+999999"),
    Fraction(10**400, 3),
    10**5000,
    -(10**5000),
    datetime.min,
    datetime.max,
    datetime.max.replace(tzinfo=timezone(-timedelta(hours=23, minutes=59, seconds=59))),
    datetime.min.replace(tzinfo=timezone(timedelta(hours=23, minutes=59, seconds=59))),
    timedelta.max,
    timedelta.min,
    range(3),
    object(),
    object,
    UserString("2125550142"),
    memoryview(b"abc"),
    NotImplemented,
    ...,
]
driver_values = st.sampled_from(DRIVER_VALUES)
scalars = st.one_of(plain_values, driver_values)
values = st.one_of(
    scalars,
    st.lists(scalars, max_size=3),
    st.tuples(scalars, scalars),
    st.dictionaries(st.text(max_size=3), scalars, max_size=2),
    st.sets(st.integers(), max_size=2),
)
columns = st.one_of(
    st.sampled_from([*PARAMETERS, *(name.lower() for name in PARAMETERS), "caller_id", "CALL_STATUS", "sub_id_1"]),
    st.text(st.characters(), max_size=10),
    st.integers(),
    st.none(),
    st.tuples(st.integers()),
    st.binary(max_size=3),
)
options = st.fixed_dictionaries(
    {},
    optional={
        "timezone": st.sampled_from(ZONES),
        "caller_id_format": st.sampled_from(["national", "e164"]),
        "constants": st.dictionaries(st.sampled_from([*PARAMETERS][:5]), scalars, max_size=2),
        "defaults": st.dictionaries(st.sampled_from(REQUIRED), scalars, max_size=2),
        "mapping": st.dictionaries(
            st.sampled_from([*PARAMETERS][5:]),
            st.one_of(st.sampled_from(["CallerId", "nowhere"]), scalars.map(lambda value: lambda row: value)),
            max_size=2,
        ),
    },
)


def record_or_none(row: Any, mapping: CallMapping) -> CallRecord | None:
    """The call that a row is. Any error but the package's own, and one that gives no reason, fails the test."""
    refused = None
    try:
        return mapping.record(row)
    except InvalidCall as error:
        refused = error
    assert refused.problems
    assert {type(problem.code) for problem in refused.problems} == {ProblemCode}
    assert str(refused) == "; ".join(f"{problem.parameter} {problem.message}" for problem in refused.problems)
    assert str(refused).encode("utf-8")
    return None


def check_sendable(record: CallRecord) -> None:
    """What is called valid can be sent, is valid for the sandbox, and arrives as it left."""
    parameters = record.parameters()
    arrived = parse_qs(encode(parameters).decode(), keep_blank_values=True, strict_parsing=True)
    assert {name: [value] for name, value in parameters.items()} == arrived
    assert find_problems(list(parameters.items())) == []


@settings(max_examples=scaled(1000), deadline=None)
@given(st.dictionaries(columns, values, max_size=12), options)
def test_any_row_is_a_call_or_has_its_reasons(row: dict[Any, Any], options: dict[str, Any]) -> None:
    record_or_none(row, CallMapping(**options))


@settings(max_examples=scaled(1500), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(list(PARAMETERS)), values, max_size=5), options)
@example({"PhoneType": pd.NA}, {})
@example({"Keypresses": [None]}, {})
@example({"CampaignId": 10**5000}, {})
@example({"CallerId": "0114930123"}, {})
@example({"SaleAmount": Decimal("1E-63")}, {})
def test_a_good_row_with_any_values_in_it_is_a_call_that_can_be_sent_or_has_its_reasons(
    changes: dict[str, Any], options: dict[str, Any]
) -> None:
    mapping = CallMapping(**options)
    record = record_or_none(good_row(changes), mapping)
    if record is not None:
        check_sendable(record)
        assert CallRecord.of(record.parameters(), mapping.conventions) == record
        assert copy.deepcopy(record) == record
        assert pickle.loads(pickle.dumps(record)) == record


def test_each_parameter_alone_with_each_odd_value() -> None:
    """Without chance: every odd value above, in each of the 50 columns."""
    mapping = CallMapping(timezone="America/New_York")
    for odd in DRIVER_VALUES:
        for name in PARAMETERS:
            for value in (odd, [odd], {"key": odd}):
                record = record_or_none(good_row({name: value}), mapping)
                if record is not None:
                    check_sendable(record)
                    assert CallRecord.of(record.parameters()) == record


@settings(max_examples=scaled(750), deadline=None)
@given(st.dictionaries(st.sampled_from(FREE_TEXT), texts))
def test_text_arrives_letter_for_letter(changes: dict[str, Any]) -> None:
    """That which tells calls apart too, but for what is around it."""
    changes |= {name: f"A{changes[name][:62]}Z" for name in IDENTIFIERS if name in changes}
    arrived = parse_qs(encode(wire_text(good_row(changes))).decode(), keep_blank_values=True, strict_parsing=True)
    assert {name: arrived[name] for name in changes} == {name: [value] for name, value in changes.items()}


@given(st.integers(0, 10**64 - 1))
def test_integers_arrive_to_the_last_digit(number: int) -> None:
    for name in ("CampaignId", "MediaId", "ActionTrackerId", "AdId", "CallDuration", "IvrDuration", "ReferenceId"):
        changes = {"TalkDuration": 0, name: number}
        assert parse_qs(encode(wire_text(good_row(changes))).decode())[name] == [str(number)]


@given(st.floats(-(2.0**53), 2.0**53, allow_subnormal=False).filter(lambda amount: not 0 < abs(amount) < 1e-30))
def test_an_amount_that_is_a_float_arrives_as_the_same_float(amount: float) -> None:
    text = wire_text(good_row({"SaleAmount": amount}))["SaleAmount"]
    assert float(text) == amount
    assert "e" not in text.lower()


@given(st.floats(2.0**53, 1e60))
def test_a_float_that_may_stand_for_several_ids_is_none_of_them(number: float) -> None:
    for name in ("CampaignId", "CallSessionId", "CallerId", "CallDuration"):
        assert [parameter for parameter, _ in problems_of(good_row({name: number}))][:1] == [name]


@pytest.mark.parametrize("name", LIMITED_TEXT)
@given(st.lists(st.sampled_from("电话号码漢字かなカナ한글"), min_size=64, max_size=64).map("".join))
def test_64_characters_are_characters_and_not_bytes(name: str, text: str) -> None:
    assert wire_text(good_row({name: text}))[name] == text
    assert unfit(problems_of(good_row({name: text + "电"})), 64, 65) == [(name, 64, 65)]


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def last_of_all() -> float:
    """A clock to which no time that these tests have is to come."""
    return datetime(9999, 1, 1, tzinfo=UTC).timestamp()


@given(
    st.datetimes(
        min_value=datetime(1990, 1, 2), max_value=datetime(9998, 1, 1), timezones=st.timezones(), allow_imaginary=False
    )
)
def test_the_time_that_leaves_is_the_same_instant(moment: datetime) -> None:
    whole = moment.replace(microsecond=0).astimezone(UTC)
    for value in (moment, moment.isoformat(), moment.isoformat(" ")):
        row = good_row({"EventDate": value})
        assert instant(wire_text(row, clock=last_of_all)["EventDate"]) == whole


@given(st.datetimes(datetime(1990, 1, 2), datetime(2100, 1, 1)), st.sampled_from(ZONES), st.integers(0, 1))
@example(datetime(2026, 3, 8, 2, 30), "America/New_York", 0)
@example(datetime(2026, 11, 1, 1, 30), "America/New_York", 1)
def test_a_local_time_keeps_its_clock_or_did_not_exist(moment: datetime, zone: str, fold: int) -> None:
    moment = moment.replace(fold=fold)
    there = moment.replace(tzinfo=ZoneInfo(zone))
    exists = there.astimezone(UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None) == moment
    row = good_row({"EventDate": moment})
    if not exists:
        assert unfit(problems_of(row, timezone=zone, clock=last_of_all), zone) == [("EventDate", zone)]
    else:
        sent = datetime.fromisoformat(wire_text(row, timezone=zone, clock=last_of_all)["EventDate"])
        assert sent.replace(tzinfo=None) == moment.replace(microsecond=0, fold=0)
        assert sent.utcoffset() == there.utcoffset()


@given(st.text("0123456789", min_size=10, max_size=10), st.sampled_from(["{}", "1{}", "+1{}", "{0:.3}-{0:.6}"]))
def test_ten_digits_leave_as_those_ten_digits_whatever_they_are(digits: str, form: str) -> None:
    written = form.format(digits) if "." not in form else f"({digits[:3]}) {digits[3:6]}-{digits[6:]}"
    assume(not normalize.is_anonymous(written))  # RESTRICTED on a keypad has ten digits
    row = good_row({"CallerId": written, "CallerPhoneNumberCountry": "US"})
    assert wire_text(row)["CallerId"] == digits
    assert wire_text(row, caller_id_format="e164")["CallerId"] == f"+1{digits}"


def test_numbers_of_every_country_are_read_again_as_themselves() -> None:
    """Both forms, and the country, of many numbers that mean nobody: valid or not, what is derived is stable."""
    chance = random.Random(7)  # the cheapest way to meet every calling code; no property needs a shrunk example
    for _ in range(5000):
        number = "+" + "".join(chance.choices("0123456789", k=chance.randint(4, 15)))
        record = record_or_none(good_row({"CallerId": number}), CallMapping())
        if record is not None:
            check_sendable(record)
            assert CallRecord.of(record.parameters()) == record


@pytest.mark.parametrize("kind", [phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE])
def test_numbers_of_every_country_are_read_however_they_are_written(kind: int) -> None:
    """About 240 countries, by the example that the library of numbers has of each, written as there and as abroad."""
    forms = phonenumbers.PhoneNumberFormat
    for country in phonenumbers.SUPPORTED_REGIONS:
        example_number = phonenumbers.example_number_for_type(country, kind)
        if example_number is not None:
            expected = phonenumbers.format_number(example_number, forms.E164)
            for form in (forms.E164, forms.INTERNATIONAL, forms.NATIONAL):
                # Old releases of that library write Slovak numbers with a slash, which is not taken here.
                written = phonenumbers.format_number(example_number, form).replace("/", " ")
                row = good_row({"CallerId": written, "CallerPhoneNumberCountry": country})
                sent = wire_text(row, caller_id_format="e164")
                assert (sent["CallerId"], sent["CallerPhoneNumberCountry"]) == (expected, country)


# Objects that answer Python's questions with an error that quotes what is private, or with something else again.


class Refusal(ValueError):
    """A ValueError, as int() and strptime() raise it with the value in its text."""


def refuse(*_: Any, **__: Any) -> Any:
    raise Refusal(f"cannot read {CALLER} of {RECORDING}")


class LazyText(str):
    """Text whose every question fails."""

    __slots__ = ()
    __str__ = __repr__ = __eq__ = __ne__ = __len__ = __iter__ = __format__ = refuse
    upper = strip = encode = casefold = refuse
    __hash__ = str.__hash__


class OtherText(str):
    """Text that prints as other text."""

    __slots__ = ()

    def __str__(self) -> str:
        return CALLER

    __repr__ = __format__ = __str__  # type: ignore[assignment]


class LazyInteger(int):
    """An integer that cannot say what it is."""

    __int__ = __index__ = __str__ = __repr__ = __abs__ = __eq__ = __ne__ = __lt__ = __ge__ = refuse
    __hash__ = int.__hash__


class LazyFloat(float):
    """A float that cannot say what it is."""

    __float__ = __str__ = __repr__ = __eq__ = __ne__ = __abs__ = refuse
    __hash__ = float.__hash__


class ForeignInteger:
    """A driver's integer, registered as such."""

    __int__ = __index__ = refuse


Integral.register(ForeignInteger)


class LazyList(list):  # type: ignore[type-arg]
    """A list that cannot be read."""

    __iter__ = __len__ = __eq__ = __ne__ = __bool__ = refuse


class Uncomparable:
    """An object that cannot be compared, printed or asked for its truth."""

    __eq__ = __ne__ = __bool__ = __str__ = __repr__ = __iter__ = __len__ = __getattr__ = refuse
    __hash__ = None  # type: ignore[assignment]


class NeverItself:
    """An object that is unequal to itself, but no NaN to anyone who looks."""

    def __ne__(self, other: object) -> Any:
        return np.array([True, False])

    __eq__ = __ne__


class Disguised:
    """An object that says that it is of no class."""

    @property
    def __class__(self) -> Any:
        return refuse()

    @__class__.setter
    def __class__(self, value: Any) -> None: ...


class RaisingZone(tzinfo):
    utcoffset = dst = tzname = refuse


class NoOffsetZone(tzinfo):
    def utcoffset(self, moment: datetime | None) -> None:
        return None

    dst = tzname = utcoffset


class WrongZone(tzinfo):
    def utcoffset(self, moment: datetime | None) -> Any:
        return CALLER

    dst = tzname = utcoffset


NO_ZONE = tzinfo()  # type: ignore[abstract]


class LazyMoment(datetime):
    date = time = utcoffset = isoformat = refuse


class HoldsText(Enum):
    LAZY = LazyText(CALLER)


endless: list[Any] = []
endless.append(endless)
in_itself: dict[str, Any] = {}
in_itself["again"] = [in_itself]

HOSTILE_VALUES = [
    LazyText(CALLER),
    OtherText("Oslo"),
    LazyInteger(2125550142),
    LazyFloat(2125550142.0),
    ForeignInteger(),
    LazyList([CALLER]),
    [LazyText(CALLER)],
    [LazyInteger(1), Uncomparable()],
    Uncomparable(),
    NeverItself(),
    Disguised(),
    datetime(2026, 9, 10, tzinfo=RaisingZone()),
    datetime(2026, 9, 10, tzinfo=NoOffsetZone()),
    datetime(2026, 9, 10, tzinfo=WrongZone()),
    datetime(2026, 9, 10, tzinfo=NO_ZONE),
    LazyMoment(2026, 9, 10),
    HoldsText.LAZY,
    endless,
    in_itself,
    [[[[CALLER]]]],
]
# By number, since pytest looks at what it is given, and these do not like that.
HOSTILE = [pytest.param(number, id=f"{number}-{type(value).__name__}") for number, value in enumerate(HOSTILE_VALUES)]


def assert_says_nothing_private(said: str) -> None:
    assert not [private for private in PRIVATE if private in said]


@pytest.mark.parametrize("number", HOSTILE)
def test_a_value_with_code_of_its_own_is_read_rightly_or_refused_in_silence(number: int) -> None:
    """In each of the 50 columns: no error but the package's, and none of what the object's own errors say."""
    with table() as column:
        for name in PARAMETERS:
            with column(name):
                row = good_row({name: HOSTILE_VALUES[number]})
                for zone in (None, "America/New_York"):
                    try:
                        record = CallMapping(timezone=zone).record(row)
                    except InvalidCall as error:
                        assert_says_nothing_private(str(error))
                    else:
                        check_sendable(record)
                        assert {type(sent) for sent in record.parameters().values()} == {str}
                try:
                    CallRecord(**row)
                except InvalidCall as error:
                    assert_says_nothing_private(str(error))
                    assert_says_nothing_private(repr(error))


def test_text_of_a_subclass_is_sent_as_the_text_that_it_is() -> None:
    for name in FREE_TEXT:
        assert wire_text(good_row({name: OtherText("Oslo")}))[name] == "Oslo"
        assert wire_text(good_row({name: LazyText("Oslo")}))[name] == "Oslo"
    assert wire_text(good_row({"Keypresses": [OtherText("1"), LazyText("2")]}))["Keypresses"] == "1,2"
    assert wire_text(good_row({"CallStatus": LazyText("CANCEL")}))["CallStatus"] == "CANCEL"
    assert wire_text(good_row({"CallerId": OtherText("303-555-0155")}))["CallerId"] == "3035550155"


@pytest.mark.parametrize("zone", [NoOffsetZone(), RaisingZone(), WrongZone(), NO_ZONE], ids=type)
def test_a_zone_that_gives_no_offset_leaves_a_reason_and_never_the_machine_s_own_zone(zone: tzinfo) -> None:
    row = good_row({"EventDate": datetime(2026, 9, 10)})
    [(parameter, message)] = problems_of(row, timezone=zone)
    assert parameter == "EventDate"
    assert_says_nothing_private(message)


def test_a_zone_without_an_offset_is_named_as_the_reason() -> None:
    found = problems_of(good_row({"EventDate": "2026-09-10T22:55:32"}), timezone=NoOffsetZone())
    assert unfit(found, "timezone") == [("EventDate", "timezone")]


class LazyRow(dict):  # type: ignore[type-arg]
    """A row that fetches its values."""

    __getitem__ = get = refuse


class UnreadableRow(dict):  # type: ignore[type-arg]
    __iter__ = keys = refuse


class HalfReadableRow(Mapping[str, Any]):
    """A row which loses its connection at one column."""

    def __init__(self, broken: str) -> None:
        self._row = good_row()
        self._broken = broken

    def __getitem__(self, column: str) -> Any:
        return refuse() if column == self._broken else self._row[column]

    def __iter__(self) -> Iterator[str]:
        return iter(self._row)

    def __len__(self) -> int:
        return len(self._row)


@pytest.mark.parametrize(
    "row", [LazyRow(good_row()), UnreadableRow(good_row()), HalfReadableRow("CallRecording")], ids=type
)
def test_a_row_that_cannot_be_read_is_refused_alone(row: Any) -> None:
    assert unfit(problems_of(row), "Refusal") == [("row", "Refusal")]
    assert unfit(problems_of(row, mapping={"City": "town"}), "Refusal") == [("row", "Refusal")]


def test_a_row_may_fail_at_a_column_that_nobody_asks_for() -> None:
    row = HalfReadableRow("colour")
    assert wire_text(row) == wire_text(good_row())


def test_a_row_with_defaults_of_its_own_gets_none_of_them() -> None:
    row = defaultdict(lambda: "unasked", good_row())
    assert wire_text(row, mapping={"City": "town"}) == wire_text(good_row())
    assert set(row) == set(good_row())


@pytest.mark.parametrize("keys", [(1, 2.5, None, True), (b"City", ("City",), frozenset()), (float("nan"),)], ids=str)
def test_columns_whose_names_are_no_text_are_nobody_s(keys: tuple[object, ...]) -> None:
    assert wire_text({**good_row(), **dict.fromkeys(keys, "Oslo")}) == wire_text(good_row())


@pytest.mark.parametrize(
    "values",
    [{"CallerID": CALLER}, {1: CALLER}, {("a",): CALLER}, {b"City": CALLER}, {"\ud800": CALLER}, {None: CALLER}],
    ids=str,
)
def test_a_record_of_unknown_names_is_refused_without_their_values(values: dict[Any, Any]) -> None:
    with pytest.raises(InvalidCall) as caught:
        CallRecord.of(good_row(values))
    assert_says_nothing_private(str(caught.value))


def test_a_record_says_which_parameter_an_unknown_name_may_mean() -> None:
    with pytest.raises(InvalidCall) as caught:
        CallRecord.of(good_row({"CallerID": CALLER}))
    assert named(str(caught.value), "CallerID", "CallerId") == ["CallerID", "CallerId"]


@pytest.mark.parametrize(
    "no_values", [None, 5, "CampaignId", [("CampaignId", 1)], object()], ids=lambda value: type(value).__name__
)
def test_a_record_of_no_mapping_is_refused(no_values: Any) -> None:
    with pytest.raises(InvalidCall) as caught:
        CallRecord.of(no_values)
    assert [(problem.parameter, problem.code) for problem in caught.value.problems] == [("row", "not_a_row")]


def test_constructed_directly_a_wrong_record_says_nothing_private() -> None:
    wrong = {
        "CampaignId": CALLER,
        "EventDate": RECORDING,
        "CallerId": RECORDING,
        "CalledPhoneNumber": f"sip:jo-{CALLER}@example.com",
        "TalkDuration": 2125550142,
        "CallStatus": RECORDING,
        "CallRecording": {"url": RECORDING},
        "City": [[RECORDING]],
        "CallerPhoneNumberCountry": CALLER,
        "PhoneType": RECORDING,
        "SaleAmount": CALLER,
        "Colour": CALLER,
    }
    with pytest.raises(InvalidCall) as caught:
        CallRecord(**good_row(wrong))
    assert {problem.parameter for problem in caught.value.problems} == wrong.keys()
    assert_says_nothing_private(str(caught.value))
    assert_says_nothing_private(repr(caught.value))


def test_a_record_shows_its_session_and_nothing_else_of_the_call() -> None:
    record = CallRecord.of(good_row({"CallSessionId": "abc", "City": "Oslo"}))
    for shown in (repr(record), f"{record!r}", repr([record]), repr({"record": record})):
        assert "CallRecord(CallSessionId='abc')" in shown
    for shown in (repr(record), str(record), f"{record}", "%s" % record):  # noqa: UP031
        assert "abc" in shown
        assert "Oslo" not in shown
        assert_says_nothing_private(shown)


def test_a_record_cannot_be_changed_and_can_be_a_key() -> None:
    record = CallRecord.of(good_row())
    with pytest.raises(AttributeError):
        record.CallerId = CALLER  # type: ignore[misc]
    with pytest.raises(AttributeError):
        del record.CallerId
    with pytest.raises(AttributeError):
        record.Colour = "red"  # type: ignore[attr-defined]
    record.parameters()["CallerId"] = CALLER
    assert record == CallRecord.of(good_row())
    assert len({record, CallRecord.of(good_row()), CallRecord.of(good_row({"AdId": 1}))}) == 2


def test_a_record_made_of_a_record_s_parameters_keeps_its_form() -> None:
    conventions = Conventions(caller_id_format="e164")
    record = CallRecord.of(good_row(), conventions)
    assert record.CallerId == "+12125550142"
    assert CallRecord.of(record.parameters(), conventions) == record
