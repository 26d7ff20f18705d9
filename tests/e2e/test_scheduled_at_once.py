"""Airflow's scheduler runs tasks with the same calls at once: each call is sent once, and each row accounted for."""

from __future__ import annotations

import pytest

from tests.e2e.scene import endpoint
from tests.e2e.standalone import Standalone
from tests.examples import session_ids

pytestmark = pytest.mark.e2e

DAY = "2026-06-02"
MAPPED, DAGS = "parts", ("hold", "hold_too")


def test_mapped_tasks_and_two_dags_at_once(running: Standalone) -> None:
    """Five tasks, of which four are as many processes as may run here; they read 60, 60, 120, 120 and 120 rows."""
    calls = running.scene.calls_of(DAY, 120)
    with endpoint(1.0, running.endpoint_port) as sandbox:
        for dag_id in (MAPPED, *DAGS):
            running.trigger(dag_id, DAY)
        for dag_id in (MAPPED, *DAGS):
            running.wait_for_run(dag_id, DAY)
        assert session_ids(sandbox) == sorted(calls)
    reports = [report for dag_id in (MAPPED, *DAGS) for report in running.reports(dag_id, DAY)]
    assert [report["delivered"] + report["already_delivered"] for report in reports] == [60, 60, 120, 120, 120]
    assert sum(report["delivered"] for report in reports) == len(calls)
    assert sum(report["delivered"] > 0 for report in reports) > 1, "more than one was sending"
