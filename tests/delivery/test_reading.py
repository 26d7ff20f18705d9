"""Rows that are read from a few of their values become what they become as whole rows."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_impactcall.defaults import DEFAULT_KEY
from airflow_provider_impactcall.delivery.items import Call, Item, Rejected, Skipped
from airflow_provider_impactcall.delivery.reading import read
from airflow_provider_impactcall.delivery.spool import Spool
from airflow_provider_impactcall.records import CallMapping
from tests import examples
from tests.records.vendors.payloads import PAYLOADS, junk, load

OPTIONS: dict[str, Any] = {
    "constants": {"MediaId": 10000},
    "defaults": {"CampaignId": 1000, "ActionTrackerId": 4000, "CallProvider": "ExampleVendor"},
}


def told(item: Item) -> Any:
    match item:
        case Call():
            return item.row, item.record.parameters(), item.record.as_given
        case Rejected():
            return item, item.traces
        case Skipped():
            return item


def assert_alike(rows: list[dict[str, Any]], **options: Any) -> list[Item]:
    """What rows on disk become, after a comparison with whole rows: those are watched."""
    with Spool() as spool:
        spool.add(rows)
        found = [*read(spool, CallMapping(**options), key=DEFAULT_KEY)]
        whole = [*read(spool, CallMapping(**options), lambda row: row, DEFAULT_KEY)]
    assert [*map(told, found)] == [*map(told, whole)]
    return found


@given(st.data())
@pytest.mark.parametrize("vendor", PAYLOADS)
def test_any_rows_of_a_vendor(vendor: str, data: st.DataObject) -> None:
    payload = {**load(PAYLOADS[vendor]), "direction": "inbound", "parent_call_sid": None}
    in_capitals = data.draw(st.booleans())
    columns = st.sampled_from([*payload])
    changes = data.draw(st.lists(st.dictionaries(columns, junk(), max_size=2), min_size=1, max_size=5))
    rows = [
        {name.upper() if in_capitals else name: value for name, value in {**payload, **change}.items()}
        for change in changes
    ]
    assert_alike(rows, vendor=vendor, **OPTIONS)


def test_rows_named_as_parameters() -> None:
    rows = [examples.call(f"A{number}", City=city) for number, city in enumerate(["Oslo", "", None, " x ", True] * 30)]
    found = assert_alike(rows)
    assert [item.row for item in found if isinstance(item, Rejected)] == [*range(5, 151, 5)]


@pytest.mark.parametrize("vendor", PAYLOADS)
def test_ordinary_rows_between_others(vendor: str) -> None:
    payload = {**load(PAYLOADS[vendor]), "direction": "inbound", "parent_call_sid": None}
    call = CallMapping(vendor=vendor, **OPTIONS).record(payload).CallSessionId
    ids = [name for name, value in payload.items() if str(value) == call]
    rows = [{**payload, **dict.fromkeys(ids, f"{call}{number}")} for number in range(150)]
    for number in (3, 70, 149):
        rows[number] = dict.fromkeys(rows[number])
    rows[80] = rows[20]
    found = assert_alike(rows, vendor=vendor, **OPTIONS)
    assert [item.row for item in found if isinstance(item, Rejected)] == [4, 71, 150]
    assert sum(isinstance(item, Call) for item in found) >= 140
