"""A warehouse of calls by day, an Airflow home that delivers them, and questions to its ledger."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from airflow_provider_impactcall.delivery.ledger.schema import calls, runs
from airflow_provider_impactcall.sandbox import Sandbox
from airflow_provider_impactcall.sandbox.measures import MEASURES, Measures
from tests.databases import as_connection, empty_database
from tests.examples import LOGIN, PASSWORD, call, connection
from tests.real_airflow import AIRFLOW, RealAirflow

FOLDER = Path(__file__).resolve().parent

CALLS = sa.Table(
    "calls",
    sa.MetaData(),
    sa.Column("day", sa.Text),
    sa.Column("number", sa.Integer),
    *(sa.Column(name, sa.Integer if isinstance(value, int) else sa.Text) for name, value in call("").items()),
)


class Scene:
    """An Airflow home, a warehouse, and the ledger that its tasks keep.

    In SQLite the ledger is the embedded one of that home.

    :param airflow: its home is the folder for everything
    :param server: the PostgreSQL server that holds the warehouse, the ledger and Airflow's own database, if not SQLite
    :param settings: environment variables for every Airflow command
    """

    def __init__(self, airflow: RealAirflow, server: sa.engine.URL | None = None, **settings: str) -> None:
        self.airflow = airflow
        if server is None:
            names = ("warehouse", "impactcall_ledger", "airflow")
            warehouse, ledger, metadata = (sa.engine.make_url(f"sqlite:///{airflow.home}/{name}.db") for name in names)
        else:
            warehouse, ledger, metadata = (empty_database(server) for _ in range(3))
            settings |= {
                "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": metadata.render_as_string(hide_password=False),
                "AIRFLOW__IMPACTCALL__LEDGER_CONN_ID": "ledger",
                "AIRFLOW_CONN_LEDGER": as_connection(ledger),
            }
        self.warehouse, self.ledger, self.metadata = map(sa.create_engine, (warehouse, ledger, metadata))
        self._settings = {"AIRFLOW_CONN_CALLS": as_connection(warehouse), **settings}
        CALLS.create(self.warehouse)
        self.airflow.prepare(**self._settings)

    def calls_of(self, day: str, count: int) -> set[str]:
        """Put so many calls of a day into the warehouse; their ids."""
        rows = [{"day": day, "number": number, **call(f"{day}-{number}")} for number in range(count)]
        with self.warehouse.begin() as warehouse:
            warehouse.execute(CALLS.insert(), rows)
        return {f"{day}-{number}" for number in range(count)}

    def alter(self, session_id: str, **changes: Any) -> None:
        """Change a call in the warehouse."""
        with self.warehouse.begin() as warehouse:
            warehouse.execute(CALLS.update().where(CALLS.c.CallSessionId == session_id).values(changes))

    def run(self, dag_id: str, day: str, sandbox: Sandbox) -> list[Mapping[str, Any]]:
        """Run a DAG for a day and assert that it succeeds. Returns what its tasks returned, in the order of their map
        indexes.
        """
        self.airflow.test_dag(dag_id, day, **self._settings, **leading_to(sandbox))
        return self.reports(dag_id)

    def reports(self, dag_id: str) -> list[Mapping[str, Any]]:
        """What the tasks of a DAG's newest run returned, by map index."""
        newest = "SELECT run_id FROM dag_run WHERE dag_id = ? ORDER BY id DESC LIMIT 1"
        rows = self.airflow.query(
            "SELECT value FROM xcom WHERE dag_id = ? AND key = 'return_value' AND run_id = "
            f"({newest}) ORDER BY map_index",
            dag_id,
            dag_id,
        )
        return [json.loads(value) for (value,) in rows]

    @contextmanager
    def started(self, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """One of Airflow's commands in a process group of its own, which is ended on the way out."""
        named = "-".join(Path(argument).name for argument in arguments)
        with (self.airflow.home / f"{named}.log").open("ab") as log:
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

    def asked(self, query: sa.sql.Select[Any]) -> list[Any]:
        """Query the ledger; no rows if there is no ledger yet."""
        if not sa.inspect(self.ledger).has_table(runs.name):
            return []
        with self.ledger.connect() as ledger:
            return list(ledger.execute(query))

    def ledger_has(self, state: str, day: str) -> set[str]:
        """The ids of a day's calls that the ledger has in a state."""
        query = sa.select(calls.c.CallSessionId).where(calls.c.state == state, calls.c.CallSessionId.like(f"{day}-%"))
        return {session_id for (session_id,) in self.asked(query)}

    def wait_for_leases(self) -> None:
        """Wait until no run, dead or alive, holds a lease."""
        ((until,),) = self.asked(sa.select(sa.func.max(runs.c.lease_until)))
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
def endpoint(latency: float, port: int = 0, measures: Measures = MEASURES) -> Iterator[Sandbox]:
    made = Sandbox(port=port, user=LOGIN, password=PASSWORD, latency=latency, measures=measures)
    with made.in_thread() as sandbox:
        yield sandbox


def leading_to(sandbox: Sandbox) -> dict[str, str]:
    return {"AIRFLOW_CONN_IMPACTCALL_DEFAULT": connection(sandbox)}


def wait_until(happened: Callable[[], object], seconds: float = 600, every: float = 0.02) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(every)
