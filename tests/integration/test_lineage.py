"""Lineage where OpenLineage's provider is not installed; tests/events has what is told where it is."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

import pytest

from airflow_provider_impactcall.delivery.items import Call, Rejected
from airflow_provider_impactcall.delivery.outcome import Outcome, ReasonCode, RowOutcome
from airflow_provider_impactcall.integration.lineage import MOST_CAMPAIGNS, Delivered
from airflow_provider_impactcall.operators.impactcall import ImpactCallOperator
from airflow_provider_impactcall.records import CallRecord
from airflow_provider_impactcall.sandbox import Sandbox
from airflow_provider_impactcall.transfers.sql_to_impactcall import SqlToImpactCallOperator
from tests import examples


def test_without_openlineage_there_is_nothing_to_tell(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "airflow.providers.openlineage.extractors", None)
    upstream = ImpactCallOperator(task_id="upstream", calls=[examples.call("A-1")])
    assert upstream.execute({})["delivered"] == 1
    query: Any = SqlToImpactCallOperator(task_id="query", sql="SELECT 1", sql_conn_id="warehouse")
    for operator in (upstream, query):
        assert operator.get_openlineage_facets_on_complete(None) is None


def test_calls_are_counted_by_campaign_within_bounds() -> None:
    delivered = Delivered()
    ok, again = (
        Outcome(RowOutcome.DELIVERED, ReasonCode.OK, ""),
        Outcome(RowOutcome.ALREADY_DELIVERED, ReasonCode.DELIVERED_BEFORE, ""),
    )
    for number, outcome in enumerate([ok, ok, again]):
        delivered.settled(Call(number, CallRecord.of(examples.call(f"A-{number}"))), outcome)
    delivered.settled(Call(4, CallRecord.of(examples.call("B-1", CampaignId=2000))), again)
    delivered.settled(Rejected(5, None, ()), Outcome(RowOutcome.REJECTED, ReasonCode.INVALID, ""))
    assert delivered.campaigns == Counter({"1000": 2, "2000": 0})
    assert set(delivered.campaigns) == {"1000", "2000"}
    for campaign in range(5000, 5500):
        delivered.settled(Call(6, CallRecord.of(examples.call("C", CampaignId=campaign))), ok)
    assert len(delivered.campaigns) == MOST_CAMPAIGNS + 1
