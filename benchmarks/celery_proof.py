"""A backlog on Celery, and a worker killed in the middle of it: ``python -m benchmarks.celery_proof``; ``make celery``.

Starts Redis, PostgreSQL, Airflow's API server, scheduler and DAG processor, and two Celery workers of one task each, on
free ports of 127.0.0.1 and in a temporary folder. Mapped tasks deliver the parts of a backlog to the sandbox, and share
a ledger in PostgreSQL. One worker, with all of its processes, is killed with -9 while it delivers. When Airflow has
ended everything, the ledger, the endpoint's own record and the warehouse are compared.

Exits with 1 if a call is not accounted for or was processed twice, and with 2 if something is not installed.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa

from airflow_provider_impactcall.delivery.engine.bookkeeper import open_at_most
from airflow_provider_impactcall.sandbox import Sandbox
from benchmarks.results import load_average, measured_on, write_section
from demo.up import free_port, listening_on
from tests.databases import embedded_postgres
from tests.e2e.dags.deliveries import CONCURRENCY, PARTS
from tests.e2e.scene import FOLDER, Scene, endpoint, leading_to, wait_until
from tests.e2e.standalone import Standalone, is_healthy
from tests.examples import session_ids
from tests.real_airflow import RealAirflow
from tests.statsd import statsd

DAG_ID = "by_hash"
DAY = "2026-06-01"
LATENCY = 0.05
WORKERS = ("first", "second")
# Seconds that a busy machine may take for everything, and for Airflow's start.
LONGEST, LONGEST_START = 1500, 300


@dataclass(frozen=True)
class Kill:
    """The kill of a worker.

    :param tasks: the map indexes of the tasks that it was running
    :param requests: how many requests the endpoint had received by then
    :param processes: how many processes were killed
    """

    worker: str
    tasks: set[int]
    requests: int
    processes: int


@dataclass(frozen=True)
class Found:
    """The data to compare after the DAG run has ended."""

    state: str
    calls: set[str]
    ledger: Mapping[str, set[str]]
    processed: Counter[str]
    tries: Mapping[int, int]
    reports: list[Mapping[str, Any]]
    kill: Kill
    seconds: float

    def problems(self) -> Iterator[str]:
        """Every promise that does not hold."""
        accounted = set().union(*self.ledger.values())
        delivered, unknown = self.ledger["delivered"], self.ledger["unknown"]
        if self.state != "success":
            yield f"the DAG run ended as {self.state}"
        if accounted != self.calls or self.ledger["open"] or self.ledger["rejected"]:
            yield f"of {len(self.calls):,} calls {len(delivered | unknown):,} are accounted for"
        if twice := [call for call, times in self.processed.items() if times > 1]:
            yield f"{len(twice):,} calls were processed twice"
        if not delivered <= self.processed.keys() <= self.calls:
            yield "the ledger says delivered of calls that the endpoint does not have, or it has others"
        if len(unknown) > (most := open_at_most(CONCURRENCY) * len(self.kill.tasks)):
            yield f"{len(unknown):,} calls are unknown, and {most:,} were in flight or next at most"
        if sum(report["rows"] for report in self.reports) != len(self.calls):
            yield "the parts did not read each row once"
        if not all(self.tries[task] > 1 for task in self.kill.tasks) or not self.kill.tasks:
            yield "no task was killed and tried again"

    def table(self) -> str:
        unknown = self.ledger["unknown"]
        again = sum(report["already_delivered"] for report in self.reports)
        lines = {
            "calls in the warehouse": len(self.calls),
            "rows read by the parts": sum(report["rows"] for report in self.reports),
            "delivered, by the ledger": len(self.ledger["delivered"]),
            "unknown, by the ledger, and held": len(unknown),
            "of these, processed by the endpoint": len(unknown & self.processed.keys()),
            "calls that the endpoint processed": self.processed.total(),
            "different ones among them": len(self.processed),
            "already delivered when a part was tried again": again,
            "requests before the kill": self.kill.requests,
            "processes killed, the worker's": self.kill.processes,
            "tasks killed, and tried again": len(self.kill.tasks),
            "seconds from the trigger to the end": round(self.seconds),
        }
        return "\n".join(["| | |", "|---|---:|", *(f"| {title} | {count:,} |" for title, count in lines.items())])


def missing() -> list[str]:
    """The packages that must be installed first."""
    found = []
    if shutil.which("redis-server") is None:
        found.append("Debian's redis-server")
    if importlib.util.find_spec("celery") is None:
        found.append("apache-airflow-providers-celery (make celery installs it)")
    return found


@contextmanager
def redis(folder: Path) -> Iterator[int]:
    """Run Redis without storage, and give its port."""
    port = free_port(0)
    command = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", str(folder)]
    with (folder / "redis.log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield port
    finally:
        process.terminate()
        process.wait(30)


def settings(redis_port: int, port: int) -> dict[str, str]:
    """Settings of an Airflow on Celery that notices a lost worker within half a minute; its defaults take minutes."""
    return {
        **listening_on(port, free_port(0), free_port(0)),
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_hex(32),
        "AIRFLOW__API__SECRET_KEY": secrets.token_hex(32),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__CELERY__BROKER_URL": f"redis://127.0.0.1:{redis_port}/0",
        "AIRFLOW__CELERY__RESULT_BACKEND": f"redis://127.0.0.1:{redis_port}/1",
        "AIRFLOW__CELERY__SYNC_PARALLELISM": "1",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "5",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    }


@contextmanager
def airflow(scene: Scene, url: str, sandbox: Sandbox) -> Iterator[tuple[Standalone, Mapping[str, psutil.Process]]]:
    """Start Airflow's parts, and give them with its workers by name once they are up."""
    with ExitStack() as parts:
        for part in ("api-server", "scheduler", "dag-processor"):
            server = parts.enter_context(scene.started(part, **leading_to(sandbox)))
        wait_until(lambda: is_healthy(url), LONGEST_START, every=1)
        workers = {}
        for name in WORKERS:
            command = ("celery", "worker", "--concurrency", "1", "--skip-serve-logs", "--celery-hostname", f"{name}@%h")
            pid_file = scene.airflow.home / f"{name}.pid"
            process = parts.enter_context(scene.started(*command, "--pid", str(pid_file), **leading_to(sandbox)))
            workers[name] = psutil.Process(process.pid)
        metrics = parts.enter_context(statsd())

        def start(part: str) -> None:
            parts.enter_context(scene.started(part, **leading_to(sandbox)))

        yield Standalone(scene, sandbox.port, url, server.pid, metrics, start), workers


def kill_one(running: Standalone, workers: Mapping[str, psutil.Process], sandbox: Sandbox, after: int) -> Kill:
    """Kill the first delivering worker with all of its processes, after the endpoint has had ``after`` requests."""
    seen_at: dict[int, int] = {}

    def delivering() -> tuple[str, list[psutil.Process], set[int]] | None:
        requests = sandbox.counts["requests"]
        tasks = [task for task in running.tasks(DAG_ID, DAY) if task["state"] == "running" and task["pid"]]
        for name, worker in workers.items():
            processes = [worker, *worker.children(recursive=True)]
            its = {each["map_index"]: each for each in tasks if each["pid"] in {process.pid for process in processes}}
            # By then, the task has read its rows and has sent hundreds of calls.
            if requests > after and any(requests - seen_at.setdefault(task, requests) > 800 for task in its):
                return name, processes, set(its)
        return None

    found: list[tuple[str, list[psutil.Process], set[int]]] = []

    def has_found() -> bool:
        found.extend(filter(None, [delivering()]))
        return bool(found)

    running.wait_until(has_found)
    name, processes, tasks = found[0]
    requests = sandbox.counts["requests"]
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    return Kill(name, tasks, requests, len(processes))


def prove(count: int, folder: Path) -> Found:
    """Deliver this number of calls, kill a worker, and wait for the end."""
    with redis(folder) as redis_port, embedded_postgres() as server, endpoint(LATENCY) as sandbox:
        port = free_port(0)
        say("Preparing Airflow")
        database = sa.engine.make_url(server.get_uri())
        scene = Scene(RealAirflow(folder / "airflow", FOLDER / "dags"), database, **settings(redis_port, port))
        calls = scene.calls_of(DAY, count)
        say("Starting Airflow")
        with airflow(scene, f"http://127.0.0.1:{port}", sandbox) as (running, workers):
            started = time.monotonic()
            running.trigger(DAG_ID, DAY)
            kill = kill_one(running, workers, sandbox, after=count // 8)
            say(f"Killed the {kill.worker} worker after {kill.requests:,} requests")
            wait_until(lambda: running.run_has_ended(DAG_ID, DAY), LONGEST, every=1)
            return Found(
                state=running.run_state(DAG_ID, DAY),
                calls=calls,
                ledger={state: scene.ledger_has(state, DAY) for state in ("delivered", "unknown", "rejected", "open")},
                processed=Counter(session_ids(sandbox)),
                tries={task["map_index"]: task["try_number"] for task in running.tasks(DAG_ID, DAY)},
                reports=running.reports(DAG_ID, DAY),
                kill=kill,
                seconds=time.monotonic() - started,
            )


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.celery_proof", description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=20_000, help="in the backlog (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="keep everything, logs too, in this folder, which must not exist")
    options = parser.parse_args()
    if needed := missing():
        print(f"Install first: {', '.join(needed)}")
        return 2
    load = load_average()
    with tempfile.TemporaryDirectory(prefix="impactcall-celery-") as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=folder == Path(temporary))
        found = prove(options.calls, folder)
    problems = list(found.problems())
    said = (
        f"{len(found.calls):,} calls in {PARTS} parts by hash, two workers of one task each, {CONCURRENCY} in flight a "
        f"task, answers after {LATENCY * 1000:.0f} ms; one worker killed with -9."
    )
    if not problems:
        about = measured_on("make celery", load, packages=("apache-airflow-providers-celery", "celery", "redis"))
        write_section("A worker killed on Celery", f"{about}\n\n{said}\n\n{found.table()}")
    print(f"\n{said}\n\n{found.table()}\n")
    print("\n".join(f"FAILED: {problem}" for problem in problems) or "All are accounted for, and none was sent twice.")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
