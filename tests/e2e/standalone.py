"""`airflow standalone`, used through its REST API, as its UI does."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import requests
import sqlalchemy as sa

from demo.stage import ROOT
from demo.up import free_port, listening_on
from tests.e2e.scene import FOLDER, Scene, wait_until
from tests.examples import LOGIN, PASSWORD
from tests.real_airflow import RealAirflow
from tests.statsd import StatsD, statsd

# By what a sample says is to be changed for PostgreSQL, and so that it can stand beside the original.
FOR_POSTGRESQL = (
    (r":(window_start|window_end|partner|call_session_id)\b", r"%(\1)s"),
    (r'"warehouse"', '"warehouse_postgresql"'),
    (r'dag_id="(\w+)"', r'dag_id="\1_postgresql"'),
)
ANNOUNCED = "impactcall://calls.example.com/announced"
FOR_AN_ASSET_OF_ITS_OWN = (
    ('"impactcall://twilio.ivr.impactradius.com/"', f'"{ANNOUNCED}"'),
    ('dag_id="impactcall_after_delivery"', 'dag_id="after_announced"'),
)
_ENDED = {"success", "failed"}


class Standalone:
    """A running Airflow.

    :param scene: its home
    :param endpoint_port: the port that its connection leads to; the tests listen there
    :param url: the URL of its API server
    :param session: the operating system's id for it and all that it starts
    :param metrics: the server that its parts send their metrics to
    :param start: starts one more of its parts
    :ivar user: the user of the API
    """

    def __init__(
        self, scene: Scene, endpoint_port: int, url: str, session: int, metrics: StatsD, start: Callable[[str], object]
    ) -> None:
        self.scene = scene
        self.endpoint_port = endpoint_port
        self.metrics = metrics
        self.start = start
        self._url = url
        self._process_session = session
        self._session = requests.Session()
        [(self.user, password)] = json.loads(
            (scene.airflow.home / "simple_auth_manager_passwords.json.generated").read_text()
        ).items()
        token = self._session.post(f"{url}/auth/token", json={"username": self.user, "password": password}, timeout=60)
        self._session.headers["Authorization"] = f"Bearer {token.json()['access_token']}"

    def connect(self, connection_id: str, **fields: Any) -> None:
        """Make a connection; it replaces a connection of the same id."""
        made = {"connection_id": connection_id, **fields}
        change = {"action": "create", "entities": [made], "action_on_existence": "overwrite"}
        errors = self._ask("PATCH", "connections", actions=[change])["create"]["errors"]
        assert errors == []

    def make_pool(self, name: str, slots: int) -> None:
        self._ask("POST", "pools", name=name, slots=slots, include_deferred=False)

    def pool(self, name: str) -> Mapping[str, Any]:
        """How many slots of a pool are taken, by the state of its tasks."""
        found: Mapping[str, Any] = self._ask("GET", f"pools/{name}")
        return found

    def kill(self, part: str) -> None:
        """Kill one of its parts, such as ``triggerer``, with all that it has started."""
        killed = 0
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if os.getsid(int(process.name)) == self._process_session and part in (process / "cmdline").read_text():
                    os.kill(int(process.name), signal.SIGKILL)
                    killed += 1
        assert killed, f"it has no {part}"

    def change_password(self, connection_id: str, password: str) -> None:
        known = {"connection_id": connection_id, "conn_type": "impactcall", "password": password}
        self._ask("PATCH", f"connections/{connection_id}?update_mask=password", **known)

    def switch_on(self, dag_id: str) -> None:
        self._ask("PATCH", f"dags/{dag_id}", is_paused=False)

    def trigger(self, dag_id: str, day: str, **conf: Any) -> None:
        """Start a run for a day, which is also its name, with the values of its form."""
        self._ask("POST", f"dags/{dag_id}/dagRuns", dag_run_id=day, logical_date=f"{day}T00:00:00Z", conf=conf)

    def questions(self, dag_id: str, run_id: str) -> list[Mapping[str, Any]]:
        """The questions of a run to people that are not answered yet."""
        asked = self._all(f"dags/{dag_id}/dagRuns/{run_id}/hitlDetails", "hitl_details")
        return [each for each in asked if not each["response_received"]]

    def answer(self, question: Mapping[str, Any], option: str) -> None:
        """Answer as the user of this session."""
        task = question["task_instance"]
        # If the answer comes before the scheduler has heard that the task's process ended, Airflow has the task fail.
        told = "TaskInstance Finished: dag_id={dag_id}, task_id={task_id}, run_id={dag_run_id}, map_index={map_index},"
        log, heard = self.scene.airflow.home / "standalone.log", told.format_map(task)
        self.wait_until(lambda: heard in log.read_text(errors="replace"))
        path = "dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}/hitlDetails".format_map(task)
        self._ask("PATCH", path, chosen_options=[option], params_input={})

    def backfill(self, dag_id: str, first: str, last: str, reprocess: str) -> None:
        """Make the runs of these days, three at once."""
        self._ask(
            "POST",
            "backfills",
            dag_id=dag_id,
            from_date=f"{first}T00:00:00Z",
            to_date=f"{last}T00:00:00Z",
            reprocess_behavior=reprocess,
            max_active_runs=3,
        )

    def wait_for_backfills(self, dag_id: str) -> None:
        """Wait until Airflow takes another backfill; it makes one at a time for a DAG."""
        self.wait_until(
            lambda: all(each["completed_at"] for each in self._all("backfills", "backfills", dag_id=dag_id))
        )

    def mark_task_failed(self, dag_id: str, day: str) -> None:
        self._ask("PATCH", f"dags/{dag_id}/dagRuns/{day}/taskInstances/deliver", new_state="failed")

    def mark_run_failed(self, dag_id: str, day: str) -> None:
        self._ask("PATCH", f"dags/{dag_id}/dagRuns/{day}", state="failed")

    def clear(self, dag_id: str, run_id: str, **which: Any) -> None:
        self._ask(
            "POST", f"dags/{dag_id}/clearTaskInstances", dag_run_id=run_id, dry_run=False, only_failed=False, **which
        )

    def question(self, dag_id: str, day: str, task_id: str) -> Mapping[str, Any]:
        """A task's question to a person, as soon as it can be answered."""
        path = f"dags/{dag_id}/dagRuns/{day}/taskInstances/{task_id}"
        self.wait_until(lambda: self._ask("GET", path)["state"] in ("awaiting_input", "deferred"))
        [asked] = [each for each in self.questions(dag_id, day) if each["task_instance"]["task_id"] == task_id]
        return asked

    def process_of(self, dag_id: str, day: str) -> int:
        """The operating system's id of a task's process."""
        return self.own_process(self.task(dag_id, day))

    def own_process(self, task: Mapping[str, Any]) -> int:
        """The same, for a task that Airflow has listed."""
        pid: int = task["pid"]
        assert os.getsid(pid) == self._process_session, "a process of this Airflow"
        return pid

    def task(self, dag_id: str, day: str) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._ask("GET", f"dags/{dag_id}/dagRuns/{day}/taskInstances/deliver")
        return found

    def tasks(self, dag_id: str, run_id: str) -> list[Mapping[str, Any]]:
        return list(self._all(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances", "task_instances"))

    def run_state(self, dag_id: str, day: str) -> str:
        found: str = self._ask("GET", f"dags/{dag_id}/dagRuns/{day}")["state"]
        return found

    def runs(self, dag_id: str) -> list[Mapping[str, Any]]:
        """A DAG's runs, the oldest first."""
        return sorted(self._all(f"dags/{dag_id}/dagRuns", "dag_runs"), key=lambda run: run["run_after"])

    def run_has_ended(self, dag_id: str, day: str) -> bool:
        return self.run_state(dag_id, day) in _ENDED

    def wait_for_run(self, dag_id: str, day: str, state: str = "success") -> None:
        """Wait until a run has ended, and assert that it is in that state."""
        self.wait_until(lambda: self.run_has_ended(dag_id, day))
        assert self.run_state(dag_id, day) == state

    def wait_for_try(self, number: int, dag_id: str, day: str, state: str) -> None:
        """Wait until a task is in a state, at the given try."""
        self.wait_until(lambda: self._is_at(number, dag_id, day, state))

    def wait_until(self, happened: Callable[[], object]) -> None:
        """For conditions that only Airflow knows: ask no more often than a watching person does."""
        wait_until(happened, every=0.5)

    def reports(self, dag_id: str, run_id: str, key: str = "return_value") -> list[Mapping[str, Any]]:
        """What the delivering tasks of a run returned, or pushed as they failed, by map index."""
        entries = sorted(self.xcoms(dag_id, run_id), key=lambda entry: entry["map_index"])
        values = [entry["value"] for entry in entries if entry["key"] == key]
        return [value for value in values if isinstance(value, dict) and "delivered" in value]

    def xcoms(self, dag_id: str, run_id: str) -> Iterator[Mapping[str, Any]]:
        for entry in self._all(f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/~/xcomEntries", "xcom_entries"):
            yield self._ask(
                "GET",
                f"dags/{entry['dag_id']}/dagRuns/{entry['run_id']}/taskInstances/{entry['task_id']}/xcomEntries/"
                f"{entry['key']}?map_index={entry['map_index']}",
            )

    def log(self, task: Mapping[str, Any], try_number: int) -> str:
        """What the log page of a try shows."""
        path = "dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/logs".format_map(task)
        return _text(self._ask("GET", f"{path}/{try_number}?map_index={task['map_index']}&full_content=true"))

    def log_messages(self, task: Mapping[str, Any], try_number: int) -> list[str]:
        """The messages of a try's log, one by one."""
        path = "dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/logs".format_map(task)
        found = self._ask("GET", f"{path}/{try_number}?map_index={task['map_index']}&full_content=true")
        return [line["event"] for line in found["content"] if isinstance(line, dict)]

    def pages(self) -> Iterator[tuple[str, str, str]]:
        """What the UI shows of all runs: the kind, the task (if any), and the text."""
        for kind, path, key in (
            ("runs", "dags/~/dagRuns", "dag_runs"),
            ("events", "eventLogs", "event_logs"),
            ("connections", "connections", "connections"),
            ("import errors", "importErrors", "import_errors"),
            ("asset events", "assets/events", "asset_events"),
        ):
            for each in self._all(path, key):
                yield kind, "", _text(each)
        for entry in self.xcoms("~", "~"):
            yield "xcom", entry["task_id"], _text(entry["value"])
        for task in self.tasks("~", "~"):
            yield "rendered fields", task["task_id"], _text(task["rendered_fields"])
            yield "task", task["task_id"], _text(task)
            for number in range(1, task["try_number"] + 1):
                yield "log", task["task_id"], self.log(task, number)

    def _is_at(self, number: int, dag_id: str, day: str, state: str) -> bool:
        task = self.task(dag_id, day)
        return (task["try_number"], task["state"]) == (number, state)

    def _all(self, path: str, key: str, **which: str) -> Iterator[Mapping[str, Any]]:
        found = 0
        while True:
            page = self._ask("GET", f"{path}?{urlencode({**which, 'limit': 100, 'offset': found})}")
            yield from page[key]
            found += len(page[key])
            if not page[key] or found >= page["total_entries"]:
                return

    def _ask(self, method: str, path: str, **body: Any) -> Any:
        answer = self._session.request(method, f"{self._url}/api/v2/{path}", json=body or None, timeout=60)
        assert answer.ok, f"{method} {path}: {answer.text}"
        return answer.json()


@contextmanager
def standalone(home: Path, server: sa.engine.URL, dags: Path | None = None, **more: str) -> Iterator[Standalone]:
    """A running Airflow with its scheduler, on free ports, with all its databases on that server.

    Its DAGs: the DAGs of this folder, the samples unchanged, and the samples changed for PostgreSQL, or for an asset of
    these tests.

    :param dags: a folder of other DAGs, in place of these
    :param more: environment variables of its own
    """
    scene = Scene(RealAirflow(home, dags or dags_of(home / "dags")), server)
    endpoint_port, port = free_port(0), free_port(0)
    url = f"http://127.0.0.1:{port}"
    with statsd() as metrics, ExitStack() as parts:
        settings = {
            **listening_on(port, free_port(0), free_port(0)),
            **metrics.environment,
            "AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED": "True",
            "AIRFLOW_VAR_IMPACTCALL_REJECTS_DIR": str(home),
            # No DAG file changes, and to parse all of them every 30 s takes a good part of a core.
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
            **more,
        }
        with scene.started("standalone", **settings) as process:
            wait_until(lambda: process.poll() is not None or is_healthy(url), seconds=300, every=0.5)
            assert process.poll() is None, "Airflow did not start"

            def start(part: str) -> None:
                parts.enter_context(scene.started(part, **settings))

            running = Standalone(scene, endpoint_port, url, process.pid, metrics, start)
            address = {"host": "http://127.0.0.1", "port": endpoint_port, "login": LOGIN, "password": PASSWORD}
            running.connect("impactcall_default", conn_type="impactcall", **address)
            yield running


def dags_of(folder: Path) -> Path:
    folder.mkdir()
    for file in (*(FOLDER / "dags").glob("*.py"), *(ROOT / "dags").glob("*.py")):
        shutil.copy(file, folder)
    for sample in (ROOT / "dags").glob("*.py"):
        text = sample.read_text()
        if '"warehouse"' in text:
            for pattern, replacement in FOR_POSTGRESQL:
                text = re.sub(pattern, replacement, text)
            (folder / f"{sample.stem}_postgresql.py").write_text(text)
    # To wait for a delivery of these tests alone: the first run of such a DAG gets the events of all before it.
    after = (folder / "impactcall_after_delivery.py").read_text()
    for sample_has, instead in FOR_AN_ASSET_OF_ITS_OWN:
        assert sample_has in after
        after = after.replace(sample_has, instead)
    (folder / "after_announced.py").write_text(after)
    return folder


def is_healthy(url: str) -> bool:
    try:
        health = requests.get(f"{url}/api/v2/monitor/health", timeout=5).json()
    except requests.RequestException:
        return False
    return all(health[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "dag_processor"))


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
