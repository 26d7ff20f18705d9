"""What a person has Airflow run again, through its REST API: every call of the warehouse arrives once in the end."""

from __future__ import annotations

import pytest

from tests.e2e.dags.deliveries import CONCURRENCY
from tests.e2e.scene import endpoint, wait_until
from tests.e2e.standalone import Standalone
from tests.examples import session_ids

pytestmark = pytest.mark.e2e


def test_cleared_amid_its_delivery_and_once_it_is_done(running: Standalone) -> None:
    """Airflow ends the process of the first try; what was in flight then is answered within the grace."""
    scene, day = running.scene, "2026-07-12"
    calls = scene.calls_of(day, 80)
    with endpoint(1.0, running.endpoint_port) as sandbox:
        running.trigger("hold", day)
        wait_until(lambda: sandbox.counts["requests"] >= 2 * CONCURRENCY)
        running.clear("hold", day)
        running.wait_for_try(2, "hold", day, "success")
        assert session_ids(sandbox) == sorted(calls)
        (second,) = running.reports("hold", day)
        running.clear("hold", day)
        running.wait_for_try(3, "hold", day, "success")
        assert sandbox.counts["requests"] == len(calls)
        (third,) = running.reports("hold", day)
    assert second["rows"] == second["delivered"] + second["already_delivered"] == len(calls)
    assert second["already_delivered"] >= 2 * CONCURRENCY
    assert third["rows"] == third["already_delivered"] == len(calls)
    assert scene.ledger_has("delivered", day) == calls


def test_backfilled_twice_with_overlap(running: Standalone) -> None:
    """Each run reads two days, three runs live at once, and the second backfill runs two days again."""
    days = [f"2026-07-0{day}" for day in range(1, 6)]
    calls = set.union(*(running.scene.calls_of(day, 40) for day in days))
    with endpoint(1.0, running.endpoint_port) as sandbox:
        running.backfill("daily", days[1], days[3], "none")
        running.wait_for_backfills("daily")
        assert session_ids(sandbox) == sorted(call for call in calls if not call.startswith(days[4]))
        first = reports_by_day(running)
        running.backfill("daily", days[2], days[4], "completed")
        for run in running.runs("daily"):
            running.wait_for_run("daily", run["dag_run_id"])
        assert session_ids(sandbox) == sorted(calls)
        second = reports_by_day(running)
    assert sorted(first) == days[1:4]
    assert sum(delivered for delivered, _ in first.values()) == 160
    assert [sum(report) for report in first.values()] == [80] * 3
    assert sum(delivered > 0 for delivered, _ in first.values()) > 1, "more than one was sending"
    assert second == {days[1]: first[days[1]], days[2]: (0, 80), days[3]: (0, 80), days[4]: (40, 40)}


def reports_by_day(running: Standalone) -> dict[str, tuple[int, int]]:
    """How many calls each run of the DAG has delivered, and found delivered."""
    runs = running.runs("daily")
    assert {run["state"] for run in runs} == {"success"}
    reports = {run["logical_date"][:10]: running.reports("daily", run["dag_run_id"])[0] for run in runs}
    return {day: (report["delivered"], report["already_delivered"]) for day, report in reports.items()}


def test_of_mapped_tasks_the_one_with_a_bad_row_fails_alone(running: Standalone) -> None:
    """It has delivered all that could be; with the row mended, and that task alone cleared, the last call arrives."""
    scene, day = running.scene, "2026-07-22"
    calls = scene.calls_of(day, 120)
    bad = f"{day}-110"
    scene.alter(bad, CallStatus="completed")
    with endpoint(0.0, running.endpoint_port) as sandbox:
        running.trigger("parts", day)
        running.wait_for_run("parts", day, "failed")
        states = {task["map_index"]: task["state"] for task in running.tasks("parts", day)}
        assert states == {0: "success", 1: "success", 2: "failed"}
        assert session_ids(sandbox) == sorted(calls - {bad})
        scene.alter(bad, CallStatus="ANSWER")
        running.clear("parts", day, task_ids=[["deliver", 2]])
        running.wait_for_run("parts", day)
        assert session_ids(sandbox) == sorted(calls)
    report = running.reports("parts", day)[2]
    assert (report["rows"], report["delivered"], report["already_delivered"]) == (120, 1, 119)
