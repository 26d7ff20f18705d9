"""A task that waits for a Retry-After under a scheduler and a triggerer: no slot is held, and nothing is sent twice."""

from __future__ import annotations

from collections import Counter

import pytest
import sqlalchemy as sa

from airflow_provider_impactcall.delivery.ledger.schema import runs
from airflow_provider_impactcall.sandbox.measures import Measures
from tests.e2e.dags.deliveries import CONCURRENCY
from tests.e2e.scene import endpoint
from tests.e2e.standalone import Standalone
from tests.e2e.test_nothing_private import texts_of
from tests.examples import session_ids
from tests.privacy.test_canary import found_in

pytestmark = pytest.mark.e2e

# More than max_wait. The triggerer is dead for a part of it: Airflow takes 30 s to see that.
LONG = Measures(minutes=120)


def test_it_waits_without_a_worker_and_though_the_triggerer_is_killed(running: Standalone) -> None:
    scene, day, other_day = running.scene, "2026-03-12", "2026-03-22"
    calls, others = scene.calls_of(day, 60), scene.calls_of(other_day, 5)
    running.make_pool("one_slot", 1)
    with endpoint(0.0, running.endpoint_port, LONG) as sandbox:
        sandbox.script = ["ok"] * 20 + ["429-retry-after-minutes"]
        running.trigger("deferred", day)
        running.wait_for_try(1, "deferred", day, "deferred")
        delivered = scene.ledger_has("delivered", day)
        assert session_ids(sandbox) == sorted(delivered)
        assert 20 <= len(delivered) <= 20 + CONCURRENCY
        (waiting,) = running.reports("deferred", day, key="report")
        assert (waiting["rows"], waiting["delivered"], waiting["not_sent"]) == (60, len(delivered), 60 - len(delivered))

        # Its slot is free, and another takes it.
        pool = running.pool("one_slot")
        assert (pool["occupied_slots"], pool["deferred_slots"], pool["open_slots"]) == (0, 1, 1)
        running.trigger("deferred", other_day)
        running.wait_for_run("deferred", other_day)
        assert session_ids(sandbox) == sorted(delivered | others)

        # What a trigger is made of is encrypted there: tests/operators/test_deferral.py looks into it.
        texts = texts_of(scene.metadata)
        assert [each for each in texts["trigger"] if "WaitTrigger" in each], "the search looks at the right place"
        assert [each for each in (*texts["trigger"], *texts["task_instance"]) if found_in(each)] == []

        running.kill("triggerer")
        requests = sandbox.counts["requests"]
        assert running.task("deferred", day)["state"] == "deferred"
        running.start("triggerer")
        running.wait_for_run("deferred", day)
        assert requests == len(delivered) + 1 + len(others), "nothing leaves while it waits"
        assert Counter(session_ids(sandbox)) == Counter(calls | others)
        assert sandbox.counts["requests"] == len(calls) + 1 + len(others)
    task = running.task("deferred", day)
    assert task["try_number"] == 1
    (report,) = running.reports("deferred", day)
    assert report["rows"] == report["delivered"] == len(calls)
    assert running.reports("deferred", day, key="report") == [report]
    assert scene.ledger_has("delivered", day) == calls
    kept = sa.select(runs.c.delivered_rows, runs.c.already_delivered_rows).where(
        runs.c.source.like(f"deferred/%/{day}/1")
    )
    assert scene.asked(kept.order_by(runs.c.started_at)) == [
        (len(delivered), 0),
        (len(calls) - len(delivered), len(delivered)),
    ]
