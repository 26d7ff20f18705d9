"""The vendors' published payloads, and what a vendor's preset makes of a row."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from airflow_provider_impactcall.delivery.reading import read
from airflow_provider_impactcall.exceptions import InvalidCall
from airflow_provider_impactcall.records import CallMapping
from airflow_provider_impactcall.records.vendors import preset

PAYLOADS = {
    "callrail": "callrail_call",
    "calltrackingmetrics": "calltrackingmetrics_call",
    "invoca": "invoca_transaction",
    "retreaver": "retreaver_call",
    "ringba": "ringba_call",
    "twilio": "twilio_call",
    "whatconverts": "whatconverts_lead",
}
"""The file of an ended call, by vendor."""


def load(name: str) -> dict[str, Any]:
    """The record in a file of this folder, which also says where it was published."""
    published: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / f"{name}.json").read_text("utf-8"))
    return published["record"]


def wire(row: Any, vendor: str, **options: Any) -> dict[str, str]:
    """The parameters that are sent for a row."""
    return _mapping(vendor, options).record(row).parameters()


def problems(row: Any, vendor: str, **options: Any) -> list[tuple[str, str]]:
    """Why a row is rejected, as (parameter, message)."""
    with pytest.raises(InvalidCall) as invalid:
        wire(row, vendor, **options)
    return [(each.parameter, each.message) for each in invalid.value.problems]


def as_csv(row: dict[str, Any]) -> dict[str, str]:
    """A row as a CSV file holds it: text, and nested values as JSON."""
    return {
        name: "" if value is None else json.dumps(value) if isinstance(value, (list, dict, bool)) else str(value)
        for name, value in row.items()
    }


def items(rows: Any, vendor: str, **options: Any) -> list[Any]:
    """The result for each row, where a preset combines the rows of one call. A test knows the kind of each result."""
    return list(read(rows, _mapping(vendor, options)))


def _mapping(vendor: str, options: dict[str, Any]) -> CallMapping:
    defaults = {"CampaignId": 1000, "ActionTrackerId": 4000, "CallProvider": "ExampleVendor"}
    known = _known(vendor)
    if "MediaId" not in known.mapping:
        defaults["MediaId"] = 10000
    return CallMapping(vendor=known, defaults=defaults, **options)


_known = cache(preset)  # Each time, it asks every installed package.


def junk() -> st.SearchStrategy[Any]:
    """Values that no vendor gives: unset, of another type, nested, partly right."""
    near = ["", "0", "-1", "true", "completed", "answered", "anonymous", "inbound", "+12125550123", "{}", "[", "NaN"]
    leaves = st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.sampled_from(near)
    )
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2)
    )
