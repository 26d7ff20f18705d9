"""The story of the documentation's first page, in this process: with the sandbox, and no Airflow around the task.

As its commands stand there, in an Airflow of their own, they are run in tests/packaging.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_impactcall.operators.impactcall import ImpactCallOperator
from airflow_provider_impactcall.sandbox import Sandbox
from demo.up import free_port
from tests import examples, start_here
from tests.cli.conftest import Command, states

DAG_FILE = Path("airflow", "dags", "first_calls.py")


class Endpoint:
    """The sandbox that the page starts and stops, always on one port."""

    def __init__(self) -> None:
        self._running = ExitStack()
        self.sandbox = Sandbox(port=free_port(0))

    def start(self, arguments: list[str]) -> None:
        faults = dict(re.findall(r"--fault (\S+)=(\S+)", " ".join(arguments)))
        seed = int(arguments[arguments.index("--seed") + 1]) if "--seed" in arguments else 0
        rates = {kind: float(rate) for kind, rate in faults.items()}
        self.sandbox = Sandbox(port=self.sandbox.port, faults=rates, seed=seed)
        self._running.enter_context(self.sandbox.in_thread())

    def stop(self) -> None:
        self._running.close()


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    folder = tmp_path_factory.mktemp("empty")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("AIRFLOW_HOME", str(folder / "airflow"))
    endpoint = Endpoint()
    yield endpoint
    endpoint.stop()


def run_task() -> str:
    """What the task of the page's DAG returned, or why it failed."""
    found: dict[str, Any] = {}
    exec(compile(DAG_FILE.read_text(), str(DAG_FILE), "exec"), found)
    task = found["dag"].get_task("deliver_calls")
    assert isinstance(task, ImpactCallOperator)
    try:
        report = task.execute({})
    except AirflowFailException as error:
        return str(error)
    return "rows={rows} delivered={delivered} already_delivered={already_delivered}".format(**report)


def test_first_page(endpoint: Endpoint, impactcall: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    for command, shown in start_here.steps():
        words = shlex.split(command.partition("\n")[0], comments=True)
        if words[0] == "impactcall":
            done = impactcall(*words[1:])
            assert done.status == 0, done.err
            lines = [" ".join(line.split()) for line in done.out.splitlines()]
            wanted = [" ".join(line.split()) for line in shown.splitlines() if line.strip("=+")]
            assert [line for line in wanted if line not in lines] == []
        elif words[:2] == ["airflow", "connections"]:
            extra = json.loads(words[words.index("--conn-extra") + 1])
            monkeypatch.setenv("AIRFLOW_CONN_IMPACTCALL_DEFAULT", examples.connection(endpoint.sandbox, **extra))
        elif words[:3] == ["airflow", "dags", "test"]:
            told.append(run_task())
        elif "airflow_provider_impactcall.sandbox" in words:
            endpoint.start(words)
            monkeypatch.setenv("AIRFLOW_CONN_IMPACTCALL_DEFAULT", examples.connection(endpoint.sandbox, **extra))
        elif words[0] == "kill":
            endpoint.stop()
        elif words[0] in ("cat", "mkdir", "sed"):
            subprocess.run(["bash", "-c", command], check=True, capture_output=True)
        elif words[0] == "curl":
            assert "A-6" in examples.session_ids(endpoint.sandbox)
            sent = examples.session_ids(endpoint.sandbox)
        else:
            assert words[0] in ("python3", ".", "pip", "export", "airflow"), f"{command}: is not done here"
        if words[:3] == ["impactcall", "history", "--call-session-id"]:
            assert states(impactcall) == {f"A-{number}": "delivered" for number in range(1, 8)}
            assert examples.session_ids(endpoint.sandbox) == sorted([*sent, "A-5", "A-7"]), "A-6 is there once"
    assert [text.partition(" seconds")[0] for text in told] == [
        "rows=3 delivered=3 already_delivered=0",
        "2 rows are rejected, and max_rejected is 0; 1 rows are unknown, and max_unknown is 0. "
        "rows=7 delivered=1 already_delivered=3 rejected=2 unknown=1",
        "rows=7 delivered=2 already_delivered=5",
    ]
    assert Path(os.environ["AIRFLOW_HOME"], "impactcall_ledger.db").exists()
