"""What is kept of a call has a length, and what is remembered between rows is short."""

from __future__ import annotations

import gc
import json
import tracemalloc
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from itertools import islice
from typing import Any

import pytest

from airflow_provider_impactcall.delivery.outcome import ReasonCode, RowOutcome
from airflow_provider_impactcall.exceptions import InvalidCall, InvalidOption
from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from airflow_provider_impactcall.records import CallMapping
from airflow_provider_impactcall.sandbox import Sandbox
from tests.examples import call
from tests.facts import named

LONG = 1_000_000


def big_words() -> Iterator[dict[str, Any]]:
    for number in range(40):
        yield {**call("a"), "how": f"{number:06}" + "x" * LONG}


def big_json() -> Iterator[dict[str, Any]]:
    for number in range(40):
        yield {**call("a"), "how": json.dumps({"ended": f"{number:06}", "more": "x" * LONG})}


def big_columns() -> Iterator[dict[str, Any]]:
    for number in range(200):
        yield {**call("a"), f"{number:06}" + "x" * LONG: 1}


def a_few_big_columns() -> Iterator[dict[str, Any]]:
    return islice(big_columns(), 10)


@pytest.mark.parametrize(
    ("rows", "source", "vendor"),
    [
        (big_words, {"from": "how", "values": {"no": "a"}, "default": "b"}, None),
        (big_json, {"from": "how.ended", "values": {"no": "a"}, "default": "b"}, None),
        (big_columns, "SubId1", None),
        (a_few_big_columns, "SubId1", "callrail"),
    ],
)
def test_nothing_long_is_remembered(rows: Any, source: Any, vendor: str | None) -> None:
    ids = ("CampaignId", "MediaId", "ActionTrackerId", "CallProvider") if vendor else ()
    mapping = CallMapping({"SubId1": source, **{name: name for name in ids}}, vendor=vendor)
    gc.collect()
    tracemalloc.start()
    try:
        for row in rows():
            with suppress(InvalidCall) if vendor else nullcontext():  # The row has no column of the preset's guards.
                mapping.record(row)
        gc.collect()
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert left < 70 * LONG if rows is big_columns else left < 3 * LONG


def test_an_id_of_a_thousand_characters_and_none_longer() -> None:
    assert CallMapping().record(call("x" * 1000)).CallSessionId == "x" * 1000
    with pytest.raises(InvalidCall) as invalid:
        CallMapping().record(call("x" * 1001))
    assert named(str(invalid.value), "CallSessionId", 1000, 1001) == ["CallSessionId", 1000, 1001]
    assert invalid.value.call_session_id is None, "it would be written to the rejects file"


@pytest.mark.parametrize(
    "changes",
    [
        {"CallSessionId": "x" * LONG},
        {"VendorEventId": "x" * 1001},
        {"CallProvider": "x" * LONG},
        {"CampaignId": "9" * 65},
        {"MediaId": "9" * LONG},
        {"ActionTrackerId": float("1e300")},
    ],
)
def test_what_the_ledger_keeps_has_a_length(changes: dict[str, Any], sandbox: Sandbox) -> None:
    outcome = ImpactCallHook().log_call({**call("a"), **changes})
    assert (outcome.state, outcome.code) == (RowOutcome.REJECTED, ReasonCode.INVALID)
    assert len(outcome.reason) < 500
    assert not sandbox.requests


def test_a_namespace_too(sandbox: Sandbox) -> None:
    with pytest.raises(InvalidOption, match=r"\bledger_namespace\b.*\b255\b"):
        ImpactCallHook().deliver([call("a")], ledger_namespace="x" * 256)
