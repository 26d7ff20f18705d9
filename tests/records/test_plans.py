"""A row is read by a plan of its shape as the mapping is written: columns that are not asked for make no difference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_impactcall.exceptions import CallLeftOut, InvalidCall
from airflow_provider_impactcall.records import CallMapping
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
    """A row that is no dict, which is read as the mapping is written."""

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


def assert_alike(mapping: CallMapping, row: dict[str, Any]) -> None:
    expected = outcome(mapping, row)
    assert outcome(mapping, Foreign(row)) == expected
    assert outcome(mapping, row, watched=True) == expected


some_values = st.one_of(values, vendor_texts, st.sampled_from(["", "5", '{"city": "Denver", "area": 5}', {"sub": "x"}]))


@settings(max_examples=scaled(600), deadline=None)
@given(st.dictionaries(st.sampled_from(OWN), some_values, max_size=6), st.booleans())
def test_sources_of_every_kind(columns: dict[str, Any], lacks_defaults: bool) -> None:
    mapping = CallMapping(SOURCES, defaults=None if lacks_defaults else DEFAULTS)
    row = good_row(columns)
    del row["CampaignId"]
    assert_alike(mapping, row)


@pytest.mark.parametrize("vendor", PAYLOADS)
def test_each_vendor_s_rows_with_and_without_each_column(vendor: str) -> None:
    payload = load(PAYLOADS[vendor])
    mapping = CallMapping({"MediaId": {"constant": 10000}}, vendor=vendor, defaults=DEFAULTS)
    for row in (payload, as_csv(payload), {**payload, "direction": "inbound"}):
        for name in row:
            assert_alike(mapping, {other: value for other, value in row.items() if other != name})
            assert_alike(mapping, {**row, name: None})


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
