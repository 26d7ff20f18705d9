"""A row is read by a plan of its shape as the mapping is written: columns that are not asked for make no difference."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_impactcall.exceptions import CallLeftOut, InvalidCall
from airflow_provider_impactcall.records import CallMapping, CallRecord, normalize
from airflow_provider_impactcall.records.columns import Row
from airflow_provider_impactcall.records.vendors import Filter, VendorPreset, reads, retreaver
from tests.effort import scaled
from tests.records.rows import good_row
from tests.records.test_any_rows import values
from tests.records.test_readers import vendor_texts
from tests.records.vendors.payloads import PAYLOADS, as_csv, load

DEFAULTS = {"CampaignId": 1000, "ActionTrackerId": 4000, "CallProvider": "ExampleVendor"}
SOURCES: Mapping[str, Any] = {
    "City": {"first_of": ["nowhere", "geo.city", "town", "geo.Town"]},
    "Region": {"from": "state", "values": {"Colorado": "CO"}, "default": "NY"},
    "Zip": {"from": {"first_of": ["area", "geo.area"]}, "lookup": {"5": "02139"}},
    "IvrDuration": {"rounded_down": "menu.seconds"},
    "PhoneType": {"first_of": ["kind"]},
    "CallerPhoneNumberCountry": {"first_of": ["country", {"derived_else": "US"}]},
    "SubId1": lambda row: row.get("partner"),
    "SubId2": "geo.sub",
    "CampaignId": "program",
}
ROW = good_row({"state": None, "program": 5})
OWN = ["geo", "town", "state", "area", "menu", "kind", "country", "partner", "geo.sub", "program"]


class Foreign(Mapping[str, Any]):
    """A row that is not a dict, which is read as the mapping is written."""

    def __init__(self, row: dict[str, Any]) -> None:
        self._row = row

    def __getitem__(self, column: str) -> Any:
        return self._row[column]

    def __iter__(self) -> Iterator[str]:
        return iter(self._row)

    def __len__(self) -> int:
        return len(self._row)


def outcome(mapping: CallMapping, row: Any, watched: bool = False) -> Any:
    """All that comes of a row."""
    try:
        record = mapping.record(row, (lambda opened: Foreign(dict(opened))) if watched else None)
    except InvalidCall as invalid:
        return invalid.problems, invalid.call_session_id
    except CallLeftOut as left_out:
        return left_out.reason, left_out.call_session_id
    return record.parameters(), record.as_given


def from_values(mapping: CallMapping, row: dict[str, Any]) -> Any:
    """All that comes of a row that is read from its values; None if it has to be a dict."""
    way, values = mapping.record_from(tuple(row)), [*row.values()]
    record = None if way is None else way.read(tuple(values[place] for place in way.places))
    return None if record is None else (record.parameters(), record.as_given)


def assert_alike(mapping: CallMapping, row: dict[str, Any]) -> None:
    expected = outcome(mapping, row)
    assert outcome(mapping, Foreign(row)) == expected
    assert outcome(mapping, row, watched=True) == expected
    assert from_values(mapping, row) in (None, expected)


some_values = st.one_of(values, vendor_texts, st.sampled_from(["", "5", '{"city": "Denver", "area": 5}', {"sub": "x"}]))


@settings(max_examples=scaled(600), deadline=None)
@given(st.dictionaries(st.sampled_from(OWN), some_values, max_size=6), st.booleans(), st.booleans())
def test_sources_of_every_kind(columns: dict[str, Any], lacks_defaults: bool, has_function: bool) -> None:
    sources = {name: source for name, source in SOURCES.items() if has_function or not callable(source)}
    mapping = CallMapping(sources, defaults=None if lacks_defaults else DEFAULTS)
    row = good_row(columns)
    del row["CampaignId"]
    assert_alike(mapping, row)


@pytest.mark.parametrize("vendor", PAYLOADS)
def test_each_vendor_s_rows_with_and_without_each_column(vendor: str) -> None:
    payload = load(PAYLOADS[vendor])
    mapping = CallMapping({"MediaId": {"constant": 10000}}, vendor=vendor, defaults=DEFAULTS)
    renamed = {name.upper(): value for name, value in payload.items()}
    for row in (payload, as_csv(payload), {**payload, "direction": "inbound"}, renamed):
        for name in row:
            assert_alike(mapping, {other: value for other, value in row.items() if other != name})
            assert_alike(mapping, {**row, name: None})


@pytest.mark.parametrize("vendor", PAYLOADS)
@pytest.mark.parametrize("named", [str, str.upper])
def test_a_vendor_s_rows_are_read_from_a_few_values(vendor: str, named: Callable[[str], str]) -> None:
    payload = {**load(PAYLOADS[vendor]), "direction": "inbound", "parent_call_sid": None, "of the user": "x"}
    row = {named(name): value for name, value in payload.items()}
    mapping = CallMapping({"MediaId": {"constant": 10000}}, vendor=vendor, defaults=DEFAULTS)
    way = mapping.record_from(tuple(row))
    assert way is not None
    assert len(row) - 1 not in way.places
    assert from_values(mapping, row) == outcome(mapping, row)


def test_a_function_of_the_user_s_is_given_the_whole_row() -> None:
    """It may read more columns than it names, and so may a preset's of somebody else."""

    @reads("town")
    def town_and_area(row: Row) -> Any:
        return f"{row['town']} {row['area']}"

    row = good_row({"town": "Oslo", "area": 5})
    for function in (town_and_area, lambda row: town_and_area(row)):
        mapping = CallMapping({"City": function})
        assert mapping.record_from(tuple(row)) is None
        assert mapping.record(row).City == "Oslo 5"


def test_more_shapes_than_are_remembered() -> None:
    mapping = CallMapping(SOURCES, defaults=DEFAULTS)
    for number in range(1100):
        assert mapping.record({**ROW, f"other_{number}": number}).CallSessionId == "session-5150"
    assert mapping.record({**ROW, "program": 7}).CampaignId == 7


def test_the_value_that_a_default_stands_for_is_the_row_s_own() -> None:
    """A default is each call's own where the row has the column, and every call's where it does not."""
    mapping = CallMapping(defaults={"CampaignId": 1, "AdId": 5})
    assert mapping.record(good_row({"AdId": 7})).AdId == 7
    assert mapping.record(good_row({"AdId": ""})).AdId == 5
    assert mapping.record(good_row()).AdId == 5


def test_rows_of_one_shape_take_nothing_from_each_other() -> None:
    random = Random(19)
    mapping = CallMapping(SOURCES, defaults=DEFAULTS)
    rows = [{**ROW, "CallSessionId": f"A{number}", "town": random.choice(["Oslo", None])} for number in range(40)]
    expected = [CallMapping(SOURCES, defaults=DEFAULTS).record(row) for row in rows]
    assert [mapping.record(row) for row in rows] == expected


@settings(max_examples=scaled(600), deadline=None)
@given(some_values)
def test_what_marks_an_anonymous_caller_is_never_a_number(value: Any) -> None:
    """So that a row whose number can be read needs no look at whether its caller is anonymous."""
    if normalize.is_anonymous(value):
        for country in (None, "US", "FR"):
            with pytest.raises(normalize.UnfitValue):
                normalize.phone_number(value, country)


NUMBERS = st.one_of(
    vendor_texts,
    st.from_regex(r"\A(\+1|1)?[2-9][0-9]{9}\Z"),
    st.from_regex(r"\A\(?[0-9]{3}(\) |-)[0-9]{3}-[0-9]{4}\Z"),
    st.sampled_from(["+18005550123", "0125550123", "+4420794600", "anonymous", "+266696687"]),
)


@settings(max_examples=scaled(600), deadline=None)
@given(NUMBERS)
def test_a_number_read_at_once_is_the_one_that_is_read_in_two_steps(written: str) -> None:
    found = normalize.nanp(written)
    if found is not None:
        assert found == (normalize.phone_number(written), normalize.country_of(normalize.phone_number(written)))


@pytest.mark.parametrize("vendor", PAYLOADS)
def test_a_second_row_of_a_shape_is_read_as_the_first(vendor: str) -> None:
    """The words that rows of a shape were seen to pass with are those of other rows too."""
    payload = load(PAYLOADS[vendor])
    options: dict[str, Any] = {"mapping": {"MediaId": {"constant": 10000}}, "vendor": vendor, "defaults": DEFAULTS}
    seen = CallMapping(**options)
    for name in payload:
        for value in ("", " ", "-no value-", " -no value-", "outbound", True, 1, False, 0, "anonymous", "0", None):
            row = {**payload, name: value}
            assert outcome(seen, row) == outcome(CallMapping(**options), Foreign(row)), (name, value)


def test_a_call_keeps_what_was_given_of_a_constant_and_of_a_default() -> None:
    padded = {"CallProvider": " ExampleVendor "}
    row = {name: value for name, value in good_row().items() if name != "CallProvider"}
    for mapping in (CallMapping(constants=padded), CallMapping(defaults=padded)):
        for given_row in (row, Foreign(row)):
            assert mapping.record(given_row).as_given == padded
    assert CallMapping(defaults=padded).record({**row, "CallProvider": None}).as_given == padded


json_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.floats(), st.text(max_size=5), vendor_texts),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=2), inner, max_size=2)),
    max_leaves=4,
)
WAYS_TO_KEYPRESSES: Mapping[str, dict[str, Any]] = {
    "Keypresses": {},
    "KEYPRESSES": {},
    "pressed": {"mapping": {"Keypresses": "pressed"}},
    "menu": {"mapping": {"Keypresses": {"first_of": ["nowhere", "menu"]}}},
    "computed": {"mapping": {"Keypresses": lambda row: row["computed"]}},
}


@settings(max_examples=scaled(300), deadline=None)
@given(st.lists(json_values, max_size=4), st.sampled_from([*WAYS_TO_KEYPRESSES]), st.booleans())
def test_the_json_text_of_a_list_is_read_as_the_list(keys: list[Any], column: str, ascii_only: bool) -> None:
    mapping = CallMapping(**WAYS_TO_KEYPRESSES[column])
    row = good_row({column: json.dumps(keys, ensure_ascii=ascii_only)})
    assert_alike(mapping, row)
    assert outcome(mapping, row) == outcome(mapping, good_row({column: keys}))


@pytest.mark.parametrize("column", WAYS_TO_KEYPRESSES)
@pytest.mark.parametrize("written", ['["1", 2]', "[]", ' ["" ]', "[1", "[Sales]", '{"1": 2}', "[[1]]", "1,2", None, ""])
def test_keypresses_of_every_source(column: str, written: Any) -> None:
    assert_alike(CallMapping(**WAYS_TO_KEYPRESSES[column]), good_row({column: written}))


@pytest.mark.parametrize(("written", "sent"), [('["1", 2]', "1,2"), ("[]", None), ("[1", "[1")])
def test_keypresses_that_a_constant_or_a_default_gives(written: str, sent: str | None) -> None:
    given_keys = {"Keypresses": written}
    for mapping in (CallMapping(constants=given_keys), CallMapping(defaults=given_keys)):
        for changes in ({}, {"Keypresses": None}):
            row = good_row(changes)
            assert_alike(mapping, row)
            assert mapping.record(row).parameters().get("Keypresses") == sent
    assert CallRecord(**good_row(given_keys)).Keypresses == sent
    assert CallRecord.legible(given_keys, ["Keypresses"], {}) == {"Keypresses": sent or ""}


@pytest.mark.parametrize(
    "defaults",
    [
        {"TalkDuration": 0},
        {"CallerId": "2125550142"},
        {"CalledPhoneNumber": "3035550191"},
        {"EventDate": "2026-09-10T22:55:32Z"},
        {"Zip": ""},
        {"City": None},
        {"Keypresses": [None]},
        {"PhoneType": ""},
    ],
)
def test_a_default_of_any_parameter(defaults: dict[str, Any]) -> None:
    (name,) = defaults
    row = good_row({name: "5"} if name in ("Zip", "City", "Keypresses") else {})
    mapping = CallMapping(defaults=defaults)
    for given_row in (row, {**row, name: None}, {other: value for other, value in row.items() if other != name}):
        assert_alike(mapping, given_row)


@pytest.mark.parametrize("columns", [{}, {"kind": None}, {"kind": ""}, {"kind": "Mobile"}])
def test_a_constant_that_is_nothing_comes_last_of_several(columns: dict[str, Any]) -> None:
    mapping = CallMapping({"PhoneType": {"first_of": ["kind", {"constant": ""}]}})
    row = good_row(columns)
    assert_alike(mapping, row)
    assert mapping.record(row).parameters().get("PhoneType") == (columns.get("kind") or None)


def test_a_guard_s_column_may_hold_anything_that_is_shown_as_a_blank() -> None:
    mapping = CallMapping({"MediaId": {"constant": 10000}}, vendor="callrail", defaults=DEFAULTS)
    for blank in normalize.BLANKS:
        row = {**load(PAYLOADS["callrail"]), "direction": blank}
        assert_alike(mapping, row)
        with pytest.raises(InvalidCall, match="direction"):
            mapping.record(row)


def test_a_method_of_any_object_is_a_source() -> None:
    mapping = CallMapping({"City": "{town}, {state}".format_map})
    row = good_row({"town": "Oslo", "state": "NO"})
    assert_alike(mapping, row)
    assert mapping.record(row).City == "Oslo, NO"


class RowLike(str):
    """Text that looks like a row to a function."""

    def get(self, column: str) -> Any:
        return "ringing" if column == "status" else None


def test_a_function_whose_columns_are_missing_is_given_no_other_column() -> None:
    """It would take the last column that is read for the row."""
    row = good_row({"spam": RowLike("no")})
    preset = VendorPreset(
        name="example",
        title="Example",
        facts=(),
        mapping={**{name: name for name in row if name != "spam"}, "SubId1": retreaver.status},
        known_by=("CallSessionId",),
        filters=(Filter("spam", "spam", ("yes",)),),
    )
    mapping = CallMapping(vendor=preset)
    assert mapping.record(row).SubId1 is None
    assert_alike(mapping, row)
    assert from_values(mapping, row) is not None


def test_a_word_of_a_vendor_s_for_nothing_is_nothing_in_each_row_of_a_shape() -> None:
    mapping = CallMapping({"MediaId": {"constant": 10000}, "SubId1": "mytag"}, vendor="ringba", defaults=DEFAULTS)
    row = {**load(PAYLOADS["ringba"]), "MyTag": "-no value-"}
    for _ in range(3):
        assert mapping.record(row).SubId1 is None
    assert_alike(mapping, row)


@pytest.mark.parametrize("vendor", [None, *PAYLOADS])
def test_a_time_that_is_none_is_the_id_of_no_row(vendor: str | None) -> None:
    row = good_row() if vendor is None else {**load(PAYLOADS[vendor]), "direction": "inbound"}
    mapping = CallMapping({} if vendor is None else {"MediaId": {"constant": 10000}}, vendor=vendor, defaults=DEFAULTS)
    for name in row:
        unset = {**row, name: pd.NaT}
        assert "NaT" not in str(outcome(mapping, unset)), name
        assert_alike(mapping, unset)
        if mapping.preset is not None:
            told = mapping.call_from(tuple(unset))
            values = [*unset.values()]
            opened = mapping.opened(unset)
            assert mapping.preset.call_of(opened) != "NaT"
            assert told is None or told.read([values[place] for place in told.places]) == mapping.preset.call_of(opened)
