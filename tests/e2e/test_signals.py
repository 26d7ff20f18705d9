"""What a delivery tells others in a running Airflow: a DAG that waits for it, a StatsD server, a search of its log."""

from __future__ import annotations

import pytest

from airflow_provider_impactcall.delivery.outcome import ENDS
from tests.e2e.scene import endpoint
from tests.e2e.standalone import Standalone
from tests.integration.test_run_line import parsed

pytestmark = pytest.mark.e2e

AFTER = "after_announced"


def test_a_delivery_starts_the_dag_that_waits_for_it(running: Standalone) -> None:
    """The sample that waits, with another asset, runs once, with the counts; the metrics and the log say the same."""
    day = "2026-07-28"
    calls = running.scene.calls_of(day, 30)
    running.switch_on(AFTER)
    with endpoint(0.05, running.endpoint_port):
        running.trigger("announced", day)
        running.wait_for_run("announced", day)
        (report,) = running.reports("announced", day)
        assert report["delivered"] == report["rows"] == len(calls)
        counts = {name: report[name] for name in ("rows", *ENDS)}
        running.wait_until(lambda: running.runs(AFTER))
        (run,) = running.runs(AFTER)
        running.wait_for_run(AFTER, run["dag_run_id"])
    assert run["run_type"] == "asset_triggered"
    assert {task["task_id"]: task["state"] for task in running.tasks(AFTER, run["dag_run_id"])} == {
        "delivered": "success",
        "refresh": "success",
    }
    assert running.reports(AFTER, run["dag_run_id"]) == [{**counts, "invalid": 0}]

    task = running.task("announced", day)
    told = [metric for metric in running.metrics.metrics if metric.tags.get("dag_id") == "announced"]
    assert {metric.tags["task_id"] for metric in told} == {"deliver"}
    ends = {metric.name.rpartition(".")[2]: metric.value for metric in told if ".calls." in metric.name}
    assert ends == {end: report[end] for end in ENDS}
    (mean,) = [metric for metric in told if metric.name == "airflow.impactcall.attempt"]
    assert (mean.kind, mean.value >= 50) == ("ms", True)
    assert running.metrics.heard("impactcall.oldest_undelivered")

    (line,) = [line for line in running.log_messages(task, 1) if line.startswith("impact.com calls: ")]
    found = parsed(line.removeprefix("impact.com calls: "))
    assert {name: int(found[name]) for name in counts} == counts
    assert found["source"] == f"announced/deliver/{day}/1"
