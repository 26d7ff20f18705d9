"""`airflow standalone` with the sample DAGs, a warehouse and the sandbox, as a person sees it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from airflow_provider_impactcall.sandbox import Sandbox
from demo import warehouse
from demo.stage import AIRFLOW, Stage, last_interval_end
from demo.up import free_port, is_healthy, listening_on
from tests.e2e.scene import end, wait_until
from tests.examples import LOGIN, PASSWORD

CALLS = 300
ACCOUNT_SID = "IRabcdef0123"

USER = "admin"
NOBODY = "nobody"
"""A user without a role, who may do nothing."""


class Running:
    """A running Airflow, whose DAGs are started through its REST API.

    :param stage: its home, and the warehouse
    :param sandbox: where calls arrive
    :param expected: the expected outcome of the warehouse's calls
    """

    def __init__(self, stage: Stage, sandbox: Sandbox, expected: warehouse.Expected) -> None:
        self.stage = stage
        self.sandbox = sandbox
        self.expected = expected
        self.url = stage.settings["AIRFLOW__API__BASE_URL"]
        passwords = stage.airflow_home / "simple_auth_manager_passwords.json.generated"
        self.passwords: dict[str, str] = json.loads(passwords.read_text())
        self.user, self.password = USER, self.passwords[USER]
        self._session = requests.Session()
        token = self._session.post(
            f"{self.url}/auth/token", json={"username": self.user, "password": self.password}, timeout=60
        )
        self._session.headers["Authorization"] = f"Bearer {token.json()['access_token']}"

    def run_of(self, dag_id: str) -> str:
        """The id of a DAG's first run, which has succeeded; the DAG is switched on, and started if it has no schedule.

        At 06:00 UTC, another run is due of the daily DAG, and of the DAGs that wait for it.
        """
        dag = self.switch_on(dag_id)
        if dag["timetable_summary"] is None and not self._runs(dag_id):
            self._ask("POST", f"dags/{dag_id}/dagRuns", logical_date=None)
        wait_until(lambda: [run for run in self._runs(dag_id)[:1] if run["state"] in ("success", "failed")], every=1)
        run = self._runs(dag_id)[0]
        assert run["state"] == "success"
        found: str = run["dag_run_id"]
        return found

    def ended_runs(self, dag_id: str, count: int) -> list[str]:
        """The ids of a DAG's runs, after so many have succeeded; the oldest first."""
        wait_until(lambda: len([run for run in self._runs(dag_id) if run["state"] in ("success", "failed")]) >= count)
        runs = self._runs(dag_id)
        assert {run["state"] for run in runs} == {"success"}
        return [run["dag_run_id"] for run in runs]

    def switch_on(self, dag_id: str) -> Any:
        """What Airflow says about a DAG, after it knows the DAG."""
        wait_until(lambda: dag_id in [dag["dag_id"] for dag in self._ask("GET", "dags")["dags"]])
        return self._ask("PATCH", f"dags/{dag_id}", is_paused=False)

    def _runs(self, dag_id: str) -> list[dict[str, Any]]:
        """A DAG's runs, the oldest first."""
        found: list[dict[str, Any]] = self._ask("GET", f"dags/{dag_id}/dagRuns")["dag_runs"]
        return sorted(found, key=lambda run: str(run["run_after"]))

    def _ask(self, method: str, path: str, **body: Any) -> Any:
        answer = self._session.request(method, f"{self.url}/api/v2/{path}", json=body or None, timeout=60)
        assert answer.ok, answer.text
        return answer.json()


@contextmanager
def running(home: Path) -> Iterator[Running]:
    """A running Airflow on free ports. It knows the warehouse and the list of actions, and has no connection to send
    calls yet.
    """
    port = free_port(0)
    settings = {
        **listening_on(port, free_port(0), free_port(0)),
        "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin,{NOBODY}:",
        "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(home / "warehouse.db")}),
        # No DAG file changes, and to parse all of them every 30 s takes a good part of a core.
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
    }
    with (
        Sandbox(user=LOGIN, password=PASSWORD).in_thread() as sandbox,
        (home / "airflow.log").open("ab") as log,
    ):
        api = {"conn_type": "http", "host": f"http://{sandbox.host}", "port": sandbox.port}
        settings["AIRFLOW_CONN_IMPACT_API_DEFAULT"] = json.dumps({**api, "login": ACCOUNT_SID, "password": PASSWORD})
        stage = Stage(home, settings)
        stage.rejects.mkdir()
        expected = warehouse.build(stage.warehouse, last_interval_end(), calls=CALLS)
        process = subprocess.Popen(
            [AIRFLOW, "standalone"], env=stage.environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            wait_until(lambda: process.poll() is not None or is_healthy(stage), seconds=300, every=1)
            assert process.poll() is None, "Airflow did not start"
            yield Running(stage, sandbox, expected)
        finally:
            end(process)
