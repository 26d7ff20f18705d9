"""What a real Airflow does to a delivery (kill it, run it again, overlap it, double it, map it) sends no call twice."""

from __future__ import annotations

import os
import shutil
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from airflow_provider_impactcall.delivery.engine.bookkeeper import open_at_most
from airflow_provider_impactcall.sandbox import Sandbox
from tests.e2e.dags.deliveries import CONCURRENCY
from tests.e2e.scene import FOLDER, Scene, endpoint, leading_to, wait_until
from tests.examples import session_ids
from tests.real_airflow import ResidentAirflow

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with ResidentAirflow.started(tmp_path_factory.mktemp("each-call-once")) as airflow:
        for file in (FOLDER / "dags").glob("*.py"):
            shutil.copy(file, airflow.dags)
        yield Scene(airflow)


@pytest.fixture
def sandbox(scene: Scene) -> Iterator[Sandbox]:
    with endpoint(latency=0.05) as sandbox:
        yield sandbox


def kill_in_flight(scene: Scene, dag_id: str, day: str, sandbox: Sandbox) -> set[str]:
    """Kill a task with -9 once the endpoint has seen a hundred requests; the calls that were in flight then."""
    with scene.started("dags", "test", dag_id, day, **leading_to(sandbox)) as run:
        wait_until(lambda: sandbox.counts["requests"] >= 100 or run.poll() is not None)
        os.killpg(run.pid, signal.SIGKILL)
        assert run.wait() == -signal.SIGKILL
    scene.wait_for_leases()
    return scene.ledger_has("open", day)


def test_killed_and_run_again_under_hold(scene: Scene) -> None:
    calls = scene.calls_of("2026-02-02", 300)
    with endpoint(latency=0.2) as sandbox:
        in_flight = kill_in_flight(scene, "hold", "2026-02-02", sandbox)
        delivered = scene.ledger_has("delivered", "2026-02-02")
        assert 0 < len(in_flight) <= open_at_most(CONCURRENCY)
        assert 0 < len(delivered) < len(calls) - len(in_flight)
        (report,) = scene.run("hold", "2026-02-02", sandbox)
        processed = Counter(session_ids(sandbox))
    assert set(processed.values()) == {1}, "no call was processed twice"
    assert calls - in_flight <= processed.keys() <= calls
    assert scene.ledger_has("delivered", "2026-02-02") == calls - in_flight
    assert scene.ledger_has("unknown", "2026-02-02") == in_flight
    assert report["rows"] == len(calls)
    assert report["already_delivered"] == len(delivered)
    assert report["unknown"] == len(in_flight)
    assert report["delivered"] == len(calls) - len(delivered) - len(in_flight)


def test_killed_and_run_again_under_resend(scene: Scene) -> None:
    calls = scene.calls_of("2026-02-12", 300)
    with endpoint(latency=0.2) as sandbox:
        in_flight = kill_in_flight(scene, "resend", "2026-02-12", sandbox)
        delivered = scene.ledger_has("delivered", "2026-02-12")
        assert 0 < len(in_flight) <= open_at_most(CONCURRENCY)
        (report,) = scene.run("resend", "2026-02-12", sandbox)
        processed = Counter(session_ids(sandbox))
    assert processed.keys() == calls
    assert {session_id for session_id, times in processed.items() if times > 1} <= in_flight
    assert max(processed.values()) <= 2
    assert scene.ledger_has("delivered", "2026-02-12") == calls
    assert report["already_delivered"] == len(delivered)
    assert report["delivered"] == len(calls) - len(delivered)


def test_overlapping_windows_and_a_day_run_again(scene: Scene, sandbox: Sandbox) -> None:
    """Each run reads two days; running a day again is what clearing its task does."""
    first, second, third = (scene.calls_of(f"2026-03-0{day}", 60) for day in (1, 2, 3))
    found = [scene.run("hold", f"2026-03-0{day}", sandbox)[0] for day in (2, 3, 3)]
    assert session_ids(sandbox) == sorted(first | second | third)
    assert [(report["rows"], report["delivered"], report["already_delivered"]) for report in found] == [
        (120, 120, 0),
        (120, 60, 60),
        (120, 0, 120),
    ]


def test_two_dags_with_the_same_calls_at_once(scene: Scene) -> None:
    """They are two processes that live at the same time: each sends a part, and both account for every row."""
    calls = scene.calls_of("2026-04-02", 300)
    with endpoint(latency=0.5) as sandbox, ExitStack() as running:
        for dag_id in ("hold", "hold_too"):
            process = running.enter_context(scene.started("dags", "test", dag_id, "2026-04-02", **leading_to(sandbox)))
            running.callback(process.wait, timeout=600)
    reports = [scene.reports(dag_id)[0] for dag_id in ("hold", "hold_too")]
    assert session_ids(sandbox) == sorted(calls)
    assert sum(report["delivered"] for report in reports) == len(calls)
    assert [report["delivered"] + report["already_delivered"] for report in reports] == [len(calls)] * 2
    assert all(report["delivered"] > 0 for report in reports), "both were sending"


def test_mapped_tasks_with_overlapping_parts(scene: Scene, sandbox: Sandbox) -> None:
    calls = scene.calls_of("2026-05-02", 120)
    reports = scene.run("parts", "2026-05-02", sandbox)
    assert session_ids(sandbox) == sorted(calls)
    assert sum(report["delivered"] for report in reports) == len(calls)
    assert [report["delivered"] + report["already_delivered"] for report in reports] == [60, 60, 120]
