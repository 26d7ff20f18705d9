"""A backlog in parts, under a real scheduler: mapped tasks that share a ledger, one of them killed and retried."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from airflow_provider_impactcall.delivery.engine.bookkeeper import open_at_most
from tests.e2e.dags.deliveries import CONCURRENCY, PARTS
from tests.e2e.scene import endpoint
from tests.e2e.standalone import Standalone
from tests.examples import session_ids

pytestmark = pytest.mark.e2e

DAY = "2026-05-12"


def sending(running: Standalone) -> list[Mapping[str, Any]]:
    """The tasks that deliver a part just now."""
    return [task for task in running.tasks("by_hash", DAY) if task["state"] == "running" and task["pid"]]


def test_a_part_killed_and_retried(running: Standalone) -> None:
    """What the parts read and what the endpoint got is what the warehouse has: nothing is lost, and nothing doubled."""
    calls = running.scene.calls_of(DAY, 3_000)
    with endpoint(0.2, running.endpoint_port) as sandbox:
        running.trigger("by_hash", DAY)
        # Two parts are half way: both tasks have as many requests in flight as they may.
        running.wait_until(lambda: sandbox.counts["requests"] > 300 and len(sending(running)) == 2)
        killed = max(sending(running), key=lambda task: task["start_date"])
        os.kill(running.own_process(killed), signal.SIGKILL)
        running.wait_for_run("by_hash", DAY)
        processed = Counter(session_ids(sandbox))
    delivered, unknown = (running.scene.ledger_has(state, DAY) for state in ("delivered", "unknown"))
    assert set(processed.values()) == {1}, "no call was processed twice"
    assert delivered | unknown == calls
    assert len(unknown) <= open_at_most(CONCURRENCY)
    assert delivered <= processed.keys() <= calls
    tries = {task["map_index"]: task["try_number"] for task in running.tasks("by_hash", DAY)}
    assert tries == {part: 1 + (part == killed["map_index"]) for part in range(PARTS)}
    reports = running.reports("by_hash", DAY)
    assert sum(report["rows"] for report in reports) == len(calls), "each row is in one part"
    assert min(report["rows"] for report in reports) > len(calls) / PARTS / 2, "parts are of about one size"
    settled = sum(report["delivered"] + report["already_delivered"] + report["unknown"] for report in reports)
    assert settled == len(calls)
    assert sum(report["already_delivered"] for report in reports) == reports[killed["map_index"]]["already_delivered"]
