"""What Airflow's scheduler tries again, and what it does not: every call of the warehouse arrives once in the end."""

from __future__ import annotations

import os
import re
import signal
from collections import Counter

import pytest

from airflow_provider_impactcall.delivery.engine.bookkeeper import open_at_most
from airflow_provider_impactcall.operators.retries import RetryAtPolicy
from tests.e2e.dags.deliveries import CONCURRENCY
from tests.e2e.scene import endpoint, wait_until
from tests.e2e.standalone import Standalone
from tests.examples import PASSWORD, session_ids

pytestmark = pytest.mark.e2e

STATES = ("open", "delivered", "rejected", "unknown")


def test_killed_with_calls_in_flight_and_retried(running: Standalone) -> None:
    """Those in flight had all arrived, which only the endpoint can know: they are unknown, and held."""
    scene, day = running.scene, "2026-01-12"
    calls = scene.calls_of(day, 60)
    # So long that a busy machine sees all in flight, and kills the task before the first is answered.
    with endpoint(3.0, running.endpoint_port) as sandbox:
        running.trigger("retried", day)
        wait_until(lambda: sandbox.counts["requests"])
        process = running.process_of("retried", day)

        def stopped_when_all_in_flight_have_arrived() -> bool:
            # Stopped, so that what is seen is still so when it is killed, however long a busy machine takes to look.
            os.kill(process, signal.SIGSTOP)
            open_calls = scene.ledger_has("open", day)
            settled = scene.ledger_has("delivered", day)
            arrived = {*session_ids(sandbox)}
            all_in_flight = len(arrived - settled) == CONCURRENCY and arrived <= open_calls | settled
            if all_in_flight and settled and len(open_calls) == open_at_most(CONCURRENCY):
                return True
            os.kill(process, signal.SIGCONT)
            return False

        wait_until(stopped_when_all_in_flight_have_arrived)
        os.kill(process, signal.SIGKILL)  # As an operating system that is out of memory does.
        in_flight, delivered = (scene.ledger_has(state, day) for state in ("open", "delivered"))
        claimed_and_next = in_flight - {*session_ids(sandbox)}
        running.wait_for_run("retried", day)
        assert session_ids(sandbox) == sorted(calls - claimed_and_next)
    assert running.task("retried", day)["try_number"] == 2
    assert len(in_flight - claimed_and_next) == CONCURRENCY
    assert scene.ledger_has("unknown", day) == in_flight
    assert scene.ledger_has("delivered", day) == calls - in_flight
    (report,) = running.reports("retried", day)
    assert report["rows"] == len(calls)
    assert (report["already_delivered"], report["unknown"]) == (len(delivered), len(in_flight))
    assert report["delivered"] == len(calls) - len(delivered) - len(in_flight)


def test_refused_credentials_fail_at_once_and_burn_nothing(running: Standalone) -> None:
    """Airflow does not retry, though it may; with the right password and the task cleared, all is delivered."""
    scene, day = running.scene, "2026-01-22"
    calls = scene.calls_of(day, 40)
    with endpoint(0.0, running.endpoint_port) as sandbox:
        running.change_password("impactcall_default", "not-the-password")
        try:
            running.trigger("retried", day)
            running.wait_for_run("retried", day, "failed")
        finally:
            running.change_password("impactcall_default", PASSWORD)
        task = running.task("retried", day)
        assert (task["try_number"], task["max_tries"]) == (1, 2)
        assert "setup_refused" in running.log(task, 1)
        (report,) = running.reports("retried", day, key="report")
        assert (report["rows"], report["not_sent"]) == (len(calls), len(calls))
        assert 0 < sandbox.counts["requests"] <= CONCURRENCY
        assert session_ids(sandbox) == []
        assert [scene.ledger_has(state, day) for state in STATES] == [set()] * len(STATES)
        running.clear("retried", day)
        running.wait_for_run("retried", day)
        assert session_ids(sandbox) == sorted(calls)
    (report,) = running.reports("retried", day)
    assert report["rows"] == report["delivered"] == len(calls)
    assert scene.ledger_has("delivered", day) == calls


@pytest.mark.parametrize(("answers", "day"), [("503", "2026-01-15"), (None, "2026-01-18")])
def test_an_outage_heals_between_two_tries(running: Standalone, answers: str | None, day: str) -> None:
    """The endpoint says that it is unavailable, or is not there at all."""
    calls = running.scene.calls_of(day, 40)

    def gives_up() -> None:
        running.wait_for_try(1, "retried", day, "up_for_retry")
        (report,) = running.reports("retried", day, key="report")
        assert (report["rows"], report["not_sent"]) == (len(calls), len(calls))

    running.trigger("retried", day)
    if answers is None:
        gives_up()
    with endpoint(0.0, running.endpoint_port) as sandbox:
        if answers is not None:
            sandbox.faults = {answers: 1.0}
            gives_up()
            assert session_ids(sandbox) == []
            sandbox.faults = {}
        running.wait_for_run("retried", day)
        assert session_ids(sandbox) == sorted(calls)
    assert running.task("retried", day)["try_number"] == 2
    (report,) = running.reports("retried", day)
    assert report["rows"] == report["delivered"] == len(calls)
    assert running.scene.ledger_has("delivered", day) == calls


@pytest.mark.skipif(RetryAtPolicy.__base__ is object, reason="retry policies came with Airflow 3.3")
def test_the_next_try_comes_when_the_endpoint_said(running: Standalone) -> None:
    """In a second, and not after ``retry_delay``, which is an hour."""
    calls = running.scene.calls_of("2026-01-25", 40)
    with endpoint(0.0, running.endpoint_port) as sandbox:
        sandbox.script = ["503"]
        running.trigger("retry_at", "2026-01-25")
        running.wait_for_run("retry_at", "2026-01-25")
        assert Counter(session_ids(sandbox)) == Counter(calls)
        assert sandbox.counts["requests"] == len(calls) + 1
    task = running.task("retry_at", "2026-01-25")
    assert task["try_number"] == 2
    assert re.search(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", running.log(task, 1)), "the time that was said"
    (report,) = running.reports("retry_at", "2026-01-25")
    assert report["rows"] == report["delivered"] == len(calls)
