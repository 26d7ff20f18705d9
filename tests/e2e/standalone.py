"""`airflow standalone`, asked and told through its REST API, as its UI does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from airflow_provider_impactcall.sandbox import Sandbox
from demo.up import free_port
from tests.e2e.scene import Scene, leading_to, wait_until


class Standalone:
    """A running Airflow.

    :param scene: its home
    :param endpoint_port: where its connection leads; the tests listen there
    :param url: of its API server
    """

    def __init__(self, scene: Scene, endpoint_port: int, url: str) -> None:
        self.scene = scene
        self.endpoint_port = endpoint_port
        self._url = url
        self._session = requests.Session()
        [(user, password)] = json.loads(
            (scene.airflow.home / "simple_auth_manager_passwords.json.generated").read_text()
        ).items()
        token = self._session.post(f"{url}/auth/token", json={"username": user, "password": password}, timeout=60)
        self._session.headers["Authorization"] = f"Bearer {token.json()['access_token']}"

    def trigger(self, dag_id: str, day: str) -> None:
        """Start a run for a day, which names it."""
        self._ask("POST", f"{dag_id}/dagRuns", dag_run_id=day, logical_date=f"{day}T00:00:00Z")

    def mark_task_failed(self, dag_id: str, day: str) -> None:
        self._ask("PATCH", f"{dag_id}/dagRuns/{day}/taskInstances/deliver", new_state="failed")

    def mark_run_failed(self, dag_id: str, day: str) -> None:
        self._ask("PATCH", f"{dag_id}/dagRuns/{day}", state="failed")

    def clear(self, dag_id: str, day: str) -> None:
        self._ask("POST", f"{dag_id}/clearTaskInstances", dag_run_id=day, dry_run=False, only_failed=False)

    def task_state(self, dag_id: str, day: str) -> str | None:
        found: str | None = self._ask("GET", f"{dag_id}/dagRuns/{day}/taskInstances/deliver")["state"]
        return found

    def run_state(self, dag_id: str, day: str) -> str:
        found: str = self._ask("GET", f"{dag_id}/dagRuns/{day}")["state"]
        return found

    def _ask(self, method: str, path: str, **body: Any) -> Any:
        answer = self._session.request(method, f"{self._url}/api/v2/dags/{path}", json=body or None, timeout=60)
        assert answer.ok, answer.text
        return answer.json()


@contextmanager
def standalone(home: Path) -> Iterator[Standalone]:
    """Airflow with its scheduler, on free ports, once it is up."""
    scene = Scene(home, AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION="False")
    endpoint_port, port = free_port(0), free_port(0)
    url = f"http://127.0.0.1:{port}"
    ports = {
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(free_port(0)),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(free_port(0)),
    }
    with scene.started("standalone", **ports, **leading_to(Sandbox(port=endpoint_port))) as process:
        wait_until(lambda: process.poll() is not None or _is_healthy(url), seconds=300)
        assert process.poll() is None, "Airflow did not start"
        yield Standalone(scene, endpoint_port, url)


def _is_healthy(url: str) -> bool:
    try:
        health = requests.get(f"{url}/api/v2/monitor/health", timeout=5).json()
    except requests.RequestException:
        return False
    return all(health[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "dag_processor"))
