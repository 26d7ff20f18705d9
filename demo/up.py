"""`make up`: Airflow's UI with the sample DAGs, a warehouse and the sandbox, until Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import NoReturn
from urllib.error import URLError
from urllib.request import urlopen

from airflow_provider_impactcall.sandbox import Sandbox
from demo import warehouse
from demo.stage import AIRFLOW, PASSWORD, USER, Stage, last_interval_end, shown

STARTUP_SECONDS = 300
SHUTDOWN_SECONDS = 10


def main() -> None:
    # Set explicitly, because SIGINT is ignored if a shell starts this program in the background.
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, interrupt)
    with (
        suppress(KeyboardInterrupt),
        Sandbox(port=free_port(8900), user=USER, password=PASSWORD).in_thread() as sandbox,
    ):
        stage = prepared(sandbox)
        with standalone(stage) as airflow:
            wait_until_healthy(stage, airflow)
            welcome(stage, sandbox)
            airflow.wait()
            print(f"Airflow has stopped by itself; see {shown(stage.airflow_log)}")


def interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def prepared(sandbox: Sandbox) -> Stage:
    print("Preparing Airflow ...", flush=True)
    port = free_port(8080)
    stage = replace(Stage.empty("up"), settings=listening_on(port, free_port(8793), free_port(8794)))
    warehouse.build(stage.warehouse, last_interval_end())
    stage.airflow_or_exit("db", "migrate")
    # The UI shows connections only if they are in Airflow's database, not in the environment.
    connections = stage.folder / "connections.json"
    connections.write_text(json.dumps(stage.connections(sandbox)), encoding="utf-8")
    stage.airflow_or_exit("connections", "import", str(connections))
    return stage


def listening_on(port: int, worker_logs: int, trigger_logs: int) -> dict[str, str]:
    """The settings with which a small Airflow listens only on these ports of this machine."""
    return {
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(worker_logs),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_logs),
    }


def free_port(wanted: int) -> int:
    """The wanted port, or any other if it is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise OSError("no free port on 127.0.0.1")


@contextmanager
def standalone(stage: Stage) -> Iterator[subprocess.Popen[bytes]]:
    """Airflow in its own process group, which is stopped at the end."""
    with stage.airflow_log.open("a", encoding="utf-8") as log:
        airflow = subprocess.Popen(
            [AIRFLOW, "standalone"], env=stage.environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield airflow
    finally:
        # A second Ctrl-C must not leave the children behind.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        print("\nStopping Airflow ...", flush=True)
        stop(airflow)


def stop(airflow: subprocess.Popen[bytes]) -> None:
    # The whole group: in the background Airflow ignores SIGINT, and its components survive their parent process.
    deadline = time.monotonic() + SHUTDOWN_SECONDS
    with suppress(ProcessLookupError):
        os.killpg(airflow.pid, signal.SIGTERM)
        airflow.wait()
        while time.monotonic() < deadline:
            os.killpg(airflow.pid, 0)
            time.sleep(0.2)
        os.killpg(airflow.pid, signal.SIGKILL)


def wait_until_healthy(stage: Stage, airflow: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + STARTUP_SECONDS
    while not is_healthy(stage):
        if airflow.poll() is not None or time.monotonic() > deadline:
            sys.exit(f"Airflow did not start; see {shown(stage.airflow_log)}")
        time.sleep(1)


def is_healthy(stage: Stage) -> bool:
    url = stage.settings["AIRFLOW__API__BASE_URL"]
    try:
        with urlopen(f"{url}/api/v2/monitor/health", timeout=5) as answer:
            health = json.load(answer)
    except (URLError, TimeoutError, ConnectionError):
        return False
    return all(health[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "dag_processor"))


def welcome(stage: Stage, sandbox: Sandbox) -> None:
    passwords = json.loads((stage.airflow_home / "simple_auth_manager_passwords.json.generated").read_text())
    [(user, password)] = passwords.items()
    print(f"""
  Airflow   {stage.settings["AIRFLOW__API__BASE_URL"]}   user {user}, password {password}
  Sandbox   {sandbox.url}   user {USER}, password {PASSWORD}; shows calls as they arrive
  Rejects   {shown(stage.rejects)}
  Log       {shown(stage.airflow_log)}

Switch a DAG on: it delivers the newest interval. The main DAG is impactcall_from_warehouse. Ctrl-C stops everything.
""")


if __name__ == "__main__":
    main()
