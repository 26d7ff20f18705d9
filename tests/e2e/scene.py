"""A warehouse of calls by day, an Airflow home that delivers them, and what its ledger says of them."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from airflow_provider_impactcall.sandbox import Sandbox
from tests.examples import LOGIN, PASSWORD, call, connection
from tests.real_airflow import AIRFLOW, RealAirflow

FOLDER = Path(__file__).resolve().parent


class Scene:
    """An Airflow home with the DAGs of this folder, a warehouse, and the ledger that its tasks keep in that home.

    :param home: the folder for all of it
    :param settings: environment variables for every Airflow command
    """

    def __init__(self, home: Path, **settings: str) -> None:
        self.airflow = RealAirflow(home, FOLDER / "dags")
        self.ledger = home / "impactcall_ledger.db"
        self._warehouse = home / "warehouse.db"
        self._settings = {
            "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(self._warehouse)}),
            **settings,
        }
        with closing(sqlite3.connect(self._warehouse)) as warehouse, warehouse:
            warehouse.execute(f"CREATE TABLE calls (day, number, {', '.join(call(''))})")
        self.airflow.prepare(**self._settings)

    def calls_of(self, day: str, count: int) -> set[str]:
        """Put so many calls of a day into the warehouse; their ids."""
        rows = [(day, number, *call(f"{day}-{number}").values()) for number in range(count)]
        with closing(sqlite3.connect(self._warehouse)) as warehouse, warehouse:
            warehouse.executemany(f"INSERT INTO calls VALUES ({', '.join('?' * len(rows[0]))})", rows)
        return {f"{day}-{number}" for number in range(count)}

    def run(self, dag_id: str, day: str, sandbox: Sandbox) -> list[Mapping[str, Any]]:
        """Run a DAG for a day to its good end; what its tasks returned, in the order of their map indexes."""
        self.airflow.test_dag(dag_id, day, **self._settings, **leading_to(sandbox))
        return self.reports(dag_id)

    def reports(self, dag_id: str, key: str = "return_value") -> list[Mapping[str, Any]]:
        """What the tasks of a DAG's newest run returned, or pushed as they failed, by map index."""
        newest = "SELECT run_id FROM dag_run WHERE dag_id = ? ORDER BY id DESC LIMIT 1"
        rows = self.airflow.query(
            f"SELECT value FROM xcom WHERE dag_id = ? AND key = ? AND run_id = ({newest}) ORDER BY map_index",
            dag_id,
            key,
            dag_id,
        )
        return [json.loads(value) for (value,) in rows]

    @contextmanager
    def started(self, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """One of Airflow's commands in a process group of its own, which is ended on the way out."""
        with (self.airflow.home / f"{'-'.join(arguments)}.log").open("ab") as log:
            process = subprocess.Popen(
                [AIRFLOW, *arguments],
                env=self.airflow.environment(**self._settings, **environment),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            end(process)

    def asked(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Ask the ledger; nothing if there is none yet."""
        if not self.ledger.exists():
            return []
        with closing(sqlite3.connect(self.ledger)) as ledger:
            return ledger.execute(query, parameters).fetchall()

    def ledger_has(self, state: str, day: str) -> set[str]:
        """The ids of a day's calls that the ledger has in a state."""
        query = 'SELECT "CallSessionId" FROM impactcall_call WHERE state = ? AND "CallSessionId" LIKE ?'
        return {session_id for (session_id,) in self.asked(query, state, f"{day}-%")}

    def wait_for_leases(self) -> None:
        """Until no run, dead or alive, holds a lease."""
        ((until,),) = self.asked("SELECT max(lease_until) FROM impactcall_run")
        time.sleep(max(0.0, until - time.time()) + 0.1)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process group: its parts outlive their parent."""
    deadline = time.monotonic() + 15
    try:
        os.killpg(process.pid, signal.SIGTERM)
        while time.monotonic() < deadline:
            process.poll()
            os.killpg(process.pid, 0)
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        process.wait()


@contextmanager
def endpoint(latency: float, port: int = 0) -> Iterator[Sandbox]:
    with Sandbox(port=port, user=LOGIN, password=PASSWORD, latency=latency).in_thread() as sandbox:
        yield sandbox


def leading_to(sandbox: Sandbox) -> dict[str, str]:
    return {"AIRFLOW_CONN_IMPACTCALL_DEFAULT": connection(sandbox)}


def wait_until(happened: Callable[[], object], seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
