"""Connections that only Airflow's metadata database has, and output that another program reads."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from airflow.providers_manager import ProvidersManager

from tests import examples
from tests.documentation import README, commands
from tests.real_airflow import RealAirflow

WHY = ("--why", "sent by the tool before", "--actor", "alice")


class _Airflow(RealAirflow):
    """Has the two output streams apart, for Airflow's command and for the console script."""

    def apart(self, *command: str) -> subprocess.CompletedProcess[str]:
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "_AIRFLOW"))
        }
        return subprocess.run(
            command,
            env={**environment, "AIRFLOW_HOME": str(self.home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> _Airflow:
    """Has the connection in its metadata database, by README's command, and nowhere else."""
    airflow = _Airflow(tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("dags"))
    airflow.migrate()
    (documented,) = (words for words in commands(README, "airflow") if words[0] == "connections")
    credentials = {"$IMPACT_CALL_LOGIN": examples.LOGIN, "$IMPACT_CALL_PASSWORD": examples.PASSWORD}
    airflow.succeed(*(credentials.get(word, word) for word in documented))
    return airflow


@pytest.fixture(scope="module")
def adopted(airflow: _Airflow) -> subprocess.CompletedProcess[str]:
    """The console script, as it adopted three calls."""
    file = airflow.home / "calls.jsonl"
    file.write_text("\n".join(json.dumps(call) for call in examples.calls(3)))
    script = (sys.executable, "-m", "airflow_provider_impactcall.cli")
    return airflow.apart(*script, "adopt", "--file", str(file), *WHY, "-o", "json")


def test_the_console_script_finds_what_airflow_connections_add_has_added(
    adopted: subprocess.CompletedProcess[str],
) -> None:
    assert (adopted.returncode, adopted.stderr) == (0, "")
    assert json.loads(adopted.stdout)[0]["adopted"] == "3"


@pytest.mark.skipif(
    not hasattr(ProvidersManager, "cli_command_functions"), reason="providers' commands came with a later Airflow"
)
def test_airflows_own_command_finds_it_too(airflow: _Airflow, adopted: subprocess.CompletedProcess[str]) -> None:
    command = str(Path(sys.executable).with_name("airflow"))
    listed = airflow.apart(command, "impactcall", "list", "-o", "json")
    assert listed.returncode == 0, listed.stderr
    assert {row["CallSessionId"] for row in json.loads(listed.stdout)} == {"call-0", "call-1", "call-2"}
    exported = airflow.apart(command, "impactcall", "export", "-")
    assert exported.stdout.startswith("CallSessionId,")
    assert len(list(csv.DictReader(exported.stdout.splitlines()))) == 3
