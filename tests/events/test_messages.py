"""A message on a queue becomes a call, by the sample as it stands, in an Airflow whose triggerer listens to Redis."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta

import pytest
import sqlalchemy as sa

from benchmarks.celery_proof import redis as redis_server
from demo import warehouse
from demo.stage import last_interval_end
from tests.dags.test_sample_dags import is_good
from tests.databases import as_connection
from tests.documentation import ROOT
from tests.e2e.scene import endpoint, wait_until
from tests.e2e.standalone import Standalone, standalone
from tests.e2e.test_nothing_private import texts_of
from tests.examples import CALLER, RECORDING, session_ids
from tests.privacy.test_canary import found_in

pytestmark = pytest.mark.events

ON_MESSAGE, LOOKS_BACK, CHANNEL = "impactcall_on_message", "impactcall_from_warehouse", "calls_that_ended"
SPOKEN = f"of {CALLER}, see {RECORDING}"
"""A message that names no call: what may never be in one."""


class Stage:
    """A running Airflow, a queue, and a warehouse of two calls: of the second there is no message."""

    def __init__(self, running: Standalone, port: int, calls: list[str]) -> None:
        import redis

        self.running = running
        self.queue = redis.Redis(host="127.0.0.1", port=port)
        self.heard, self.unheard = calls

    def say(self, message: str) -> None:
        self.queue.publish(CHANNEL, message)

    def is_listened_to(self) -> bool:
        [(_, subscribers)] = self.queue.pubsub_numsub(CHANNEL)
        return bool(subscribers)

    def say_until(self, message: str, happened: Callable[[], object]) -> None:
        """As a vendor who repeats its webhook does: between two messages, a triggerer may hear nothing."""

        def has_happened() -> bool:
            self.say(message)
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                if happened():
                    return True
                time.sleep(0.5)
            return False

        wait_until(has_happened)

    def ended(self) -> list[str]:
        """The runs that messages have started, and that have ended."""
        runs = self.running.runs(ON_MESSAGE)
        return [run["dag_run_id"] for run in runs if run["state"] in ("success", "failed")]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, postgres: sa.engine.URL) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("messages")
    path = folder / "warehouse.db"
    warehouse.build(path, last_interval_end(), calls=400)
    # Within the look-back of the other sample, which delivers up to the last morning.
    recent = (last_interval_end() - timedelta(hours=1)).strftime("%Y-%m-%d %H:%M:%S")
    with closing(sqlite3.connect(path)) as connection:
        connection.row_factory = sqlite3.Row
        rows = [dict(row) for row in connection.execute("SELECT rowid AS number, * FROM calls")]
        times = Counter(row["call_session_id"] for row in rows)
        chosen = [row for row in rows if is_good(row) and times[row["call_session_id"]] == 1][:2]
        connection.execute("DELETE FROM calls WHERE rowid NOT IN (?, ?)", [row["number"] for row in chosen])
        connection.execute(
            "UPDATE calls SET started_at_utc = ?, caller_id = ?, caller_country = 'US', recording_url = ?",
            (recent, CALLER, RECORDING),
        )
        connection.commit()
    with redis_server(folder) as port:
        dags = folder / "dags"
        dags.mkdir()
        for sample in (ON_MESSAGE, LOOKS_BACK):
            shutil.copy(ROOT / "dags" / f"{sample}.py", dags)
        environment = {
            # Airflow has a watcher listen as it parses a DAG that is switched on.
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "10",
            "AIRFLOW_CONN_REDIS_DEFAULT": json.dumps({"conn_type": "redis", "host": "127.0.0.1", "port": port}),
            "AIRFLOW_CONN_WAREHOUSE": as_connection(sa.engine.make_url(f"sqlite:///{path}")),
        }
        with standalone(tmp_path_factory.mktemp("airflow"), postgres, dags, **environment) as running:
            yield Stage(running, port, [row["call_session_id"] for row in chosen])


def test_from_a_message_to_a_call(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    running = stage.running
    with endpoint(0.0, running.endpoint_port) as sandbox:
        running.switch_on(ON_MESSAGE)
        wait_until(stage.is_listened_to)
        said_at = time.monotonic()
        stage.say(stage.heard)
        wait_until(lambda: sandbox.calls)
        with capsys.disabled():
            print(f"\nfrom a message to a call: {time.monotonic() - said_at:.1f} s")
        running.wait_until(stage.ended)
        [first] = stage.ended()
        [report] = running.reports(ON_MESSAGE, first)
        assert (report["rows"], report["delivered"]) == (1, 1)

        # The same message once more, and as often as it takes to be heard.
        stage.say_until(stage.heard, lambda: len(stage.ended()) > 1)
        [report] = running.reports(ON_MESSAGE, stage.ended()[1])
        assert (report["rows"], report["already_delivered"]) == (1, 1)
        assert session_ids(sandbox) == [stage.heard]

        running.switch_on(LOOKS_BACK)
        running.wait_until(lambda: [run for run in running.runs(LOOKS_BACK) if run["state"] == "success"])
        [report] = running.reports(LOOKS_BACK, running.runs(LOOKS_BACK)[0]["dag_run_id"])
        assert (report["rows"], report["already_delivered"], report["delivered"]) == (2, 1, 1)
        assert session_ids(sandbox) == sorted([stage.heard, stage.unheard])


def test_nothing_private_in_events_and_triggers(stage: Stage) -> None:
    texts = texts_of(stage.running.scene.metadata)
    assert any(stage.heard in text for text in texts["asset_event"]), "the search looks at the right place"
    assert any("AwaitMessageTrigger" in text for text in texts["trigger"])
    assert {table for table, rows in texts.items() if any(map(found_in, rows))} == set()
    assert {kind for kind, _, text in stage.running.pages() if found_in(text)} == set()


def test_a_message_that_names_no_call_starts_nothing(stage: Stage) -> None:
    """Airflow keeps it all the same, and shows it: which is why a message may hold no more than an id."""

    def skipped() -> list[str]:
        """Runs that delivered nothing; those of the tests above may still end."""
        runs = {run_id: stage.running.tasks(ON_MESSAGE, run_id) for run_id in stage.ended()}
        return [run_id for run_id, tasks in runs.items() if {task["state"] for task in tasks} == {"skipped"}]

    stage.say_until(SPOKEN, skipped)
    tasks = stage.running.tasks(ON_MESSAGE, skipped()[0])
    [log] = [stage.running.log(task, 1) for task in tasks if task["task_id"] == "heard"]
    assert "No message names a call" in log
    assert found_in(log) == []
    [*events] = [text for kind, _, text in stage.running.pages() if kind == "asset events"]
    assert any(map(found_in, events)), "kept and shown"
