"""Airflow's own way: a mapped HttpOperator, with one task for each call, under a real scheduler."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.request import urlopen

import sqlalchemy as sa

from airflow_provider_impactcall.delivery.wire.endpoint import PATH
from benchmarks.senders import HTTP, LOGIN, PASSWORD
from demo.up import free_port, listening_on
from tests.databases import empty_database
from tests.e2e.scene import end, wait_until
from tests.real_airflow import AIRFLOW, RealAirflow

_DAG_ID = "mapped_http_operator"
_DAG = """\
from airflow.providers.http.operators.http import HttpOperator
from airflow.sdk import DAG

with DAG({dag_id!r}, schedule=None, is_paused_upon_creation=False):
    HttpOperator.partial(
        task_id="log_call",
        http_conn_id={http!r},
        endpoint={path!r},
        response_check=lambda response: response.json()["Status"] == "OK",
    ).expand(request_kwargs=[{{"params": parameters}} for parameters in {calls!r}])
"""
_ENDED = ("success", "failed")
_PATIENCE = 1200.0
# After Airflow says that it is up, its parts are still busy with starting, which must not slow down the tasks.
_STARTING = 15.0


def calls_a_second(folder: Path, server: sa.URL, origin: str, calls: Sequence[Mapping[str, str]]) -> float:
    """Calls a second from the start of the first task to the end of the last one, with LocalExecutor and PostgreSQL.

    :param folder: for an Airflow home; empty
    :param server: for Airflow's database
    :param origin: where the calls go
    :param calls: the parameters of each
    """
    airflow = RealAirflow(folder / "airflow", folder / "dags")
    airflow.dags.mkdir()
    dag = _DAG.format(dag_id=_DAG_ID, http=HTTP, path=PATH, calls=[*calls])
    (airflow.dags / f"{_DAG_ID}.py").write_text(dag, encoding="utf-8")
    port = free_port(0)
    metadata = empty_database(server)
    connection = {"conn_type": "http", "host": origin, "login": LOGIN, "password": PASSWORD}
    settings = {
        **listening_on(port, free_port(0), free_port(0)),
        # A task imports its DAG file anew, and several do so at once.
        "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "300",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": metadata.render_as_string(hide_password=False),
        f"AIRFLOW_CONN_{HTTP.upper()}": json.dumps(connection),
    }
    airflow.prepare(**settings)
    with (folder / "airflow.log").open("ab") as log:
        running = subprocess.Popen(
            [AIRFLOW, "standalone"],
            env=airflow.environment(**settings),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        wait_until(lambda: running.poll() is not None or _is_healthy(port), seconds=_PATIENCE, every=0.5)
        time.sleep(_STARTING)
        triggered = airflow.run("dags", "trigger", _DAG_ID, **settings)
        if running.poll() is not None or triggered.returncode != 0:
            raise RuntimeError(f"Airflow did not start the calls: {triggered.stdout[-3000:]}")
        return _rate(metadata, len(calls))
    except RuntimeError as error:
        logs = (file.read_text(errors="replace") for file in airflow.home.glob("logs/dag_id=*/**/*.log"))
        for log_of_one in [text for text in logs if '"error"' in text][:1]:
            error.add_note(log_of_one[-3000:])
        raise
    finally:
        end(running)


def _rate(metadata: sa.URL, count: int) -> float:
    engine = sa.create_engine(metadata)
    tasks = sa.text("SELECT state, start_date, end_date FROM task_instance WHERE dag_id = :dag AND map_index >= 0")

    def found() -> list[sa.Row[tuple[object, ...]]]:
        with engine.connect() as connection:
            return [*connection.execute(tasks, {"dag": _DAG_ID})]

    try:
        wait_until(lambda: sum(task.state in _ENDED for task in found()) == count, seconds=_PATIENCE, every=1)
        ended = found()
    finally:
        engine.dispose()
    if any(task.state != "success" for task in ended):
        failed = sum(task.state != "success" for task in ended)
        raise RuntimeError(f"{failed} of {count} tasks of the mapped HttpOperator failed")
    seconds = max(task.end_date for task in ended) - min(task.start_date for task in ended)
    return float(count / seconds.total_seconds())


def _is_healthy(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/api/v2/monitor/health", timeout=5) as answer:
            health = json.load(answer)
    except OSError:
        return False
    return all(health[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "dag_processor"))
