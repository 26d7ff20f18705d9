"""Airflow stops a delivery that has requests in flight: marked as failed, as in its UI, or by ``execution_timeout``.

What is answered within the grace of 4 s is recorded as delivered, the rest as unknown; nothing leaves after that; and
the task, once cleared, sends what was not sent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_provider_impactcall.delivery.ledger.schema import runs
from tests.e2e.dags.deliveries import CONCURRENCY
from tests.e2e.scene import Scene, endpoint, wait_until
from tests.e2e.standalone import Standalone
from tests.examples import session_ids

pytestmark = pytest.mark.e2e

# Half of the grace, and more than any: nobody waits for such an answer.
NEAR, FAR = 2.0, 25.0
# By DAG: more than are answered before a busy machine's Airflow tells its task to stop; the rest takes no ten seconds.
CALLS = {"hold": 500, "in_ten_seconds": 100}


@dataclass(frozen=True)
class Left:
    """What a run that was stopped has left behind.

    :param sent: the calls that the endpoint got, by id, with repetitions
    """

    sent: list[str]
    delivered: set[str]
    unknown: set[str]


def stopped(running: Standalone, dag_id: str, day: str, latency: float, stop: Callable[[], None]) -> Left:
    """Deliver a day's calls, and stop that as soon as requests are in flight."""
    running.scene.calls_of(day, CALLS[dag_id])
    with endpoint(latency, running.endpoint_port) as sandbox:
        running.trigger(dag_id, day)
        wait_until(lambda: sandbox.counts["requests"] >= CONCURRENCY)
        stop()
        wait_until(lambda: runs_ended(running.scene, dag_id, day) == 1)
        requests = sandbox.counts["requests"]
        delivered, unknown = (running.scene.ledger_has(state, day) for state in ("delivered", "unknown"))
        left = Left(session_ids(sandbox), delivered, unknown)
        time.sleep(3)
        assert sandbox.counts["requests"] == requests == len(left.sent), "nothing is sent afterwards"
    assert running.scene.ledger_has("open", day) == set()
    return left


def resumed(running: Standalone, dag_id: str, day: str, left: Left) -> None:
    """Clear the task while the endpoint answers at once: it sends what was not sent, and nothing else."""
    rest = {f"{day}-{number}" for number in range(CALLS[dag_id])} - left.delivered - left.unknown
    with endpoint(0.0, running.endpoint_port) as sandbox:
        running.clear(dag_id, day)
        wait_until(lambda: runs_ended(running.scene, dag_id, day) == 2)
        running.wait_for_run(dag_id, day)
        assert session_ids(sandbox) == sorted(rest)
    (report,) = running.reports(dag_id, day)
    assert (report["rows"], report["delivered"]) == (CALLS[dag_id], len(rest))
    assert (report["already_delivered"], report["unknown"]) == (len(left.delivered), len(left.unknown))
    assert running.scene.ledger_has("delivered", day) == rest | left.delivered
    assert running.scene.ledger_has("unknown", day) == left.unknown


def runs_ended(scene: Scene, dag_id: str, day: str) -> int:
    """How many of a day's runs came to their end, and recorded their counts."""
    return len(
        scene.asked(
            sa.select(runs).where(runs.c.ended_at.is_not(None), runs.c.source.like(f"{dag_id}/deliver/{day}/%"))
        )
    )


def report_of_failed(running: Standalone, dag_id: str, day: str) -> Mapping[str, Any]:
    running.wait_for_run(dag_id, day, "failed")
    (report,) = running.reports(dag_id, day, key="report")
    return report


def test_task_marked_failed_with_answers_near(running: Standalone) -> None:
    left = stopped(running, "hold", "2026-02-02", NEAR, lambda: running.mark_task_failed("hold", "2026-02-02"))
    assert CONCURRENCY <= len(left.sent) < CALLS["hold"]
    assert left.sent == sorted(left.delivered)
    assert left.unknown == set()
    resumed(running, "hold", "2026-02-02", left)


def test_run_marked_failed_with_answers_far(running: Standalone) -> None:
    left = stopped(running, "hold", "2026-02-12", FAR, lambda: running.mark_run_failed("hold", "2026-02-12"))
    assert len(left.sent) == CONCURRENCY
    assert left.sent == sorted(left.unknown)
    assert left.delivered == set()
    resumed(running, "hold", "2026-02-12", left)


def test_timed_out_with_answers_near(running: Standalone) -> None:
    left = stopped(running, "in_ten_seconds", "2026-02-22", NEAR, lambda: None)
    assert CONCURRENCY <= len(left.sent) < CALLS["in_ten_seconds"]
    assert left.sent == sorted(left.delivered)
    assert left.unknown == set()
    report = report_of_failed(running, "in_ten_seconds", "2026-02-22")
    assert (report["delivered"], report["not_sent"]) == (len(left.sent), CALLS["in_ten_seconds"] - len(left.sent))
    resumed(running, "in_ten_seconds", "2026-02-22", left)


def test_timed_out_with_answers_far(running: Standalone) -> None:
    left = stopped(running, "in_ten_seconds", "2026-03-02", FAR, lambda: None)
    assert len(left.sent) == CONCURRENCY
    assert left.sent == sorted(left.unknown)
    assert left.delivered == set()
    report = report_of_failed(running, "in_ten_seconds", "2026-03-02")
    assert (report["unknown"], report["not_sent"]) == (CONCURRENCY, CALLS["in_ten_seconds"] - CONCURRENCY)
    resumed(running, "in_ten_seconds", "2026-03-02", left)
