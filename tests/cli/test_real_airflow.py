"""Connections that only Airflow's metadata database has, and output that another program reads."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
from airflow.providers_manager import ProvidersManager

from tests import examples
from tests.documentation import README, commands
from tests.real_airflow import AIRFLOW, ResidentAirflow

WHY = ("--why", "sent by the tool before", "--actor", "alice")


def apart(airflow: ResidentAirflow, *command: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, with its two output streams apart."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "_AIRFLOW"))}
    return subprocess.run(
        command,
        env={**environment, "AIRFLOW_HOME": str(airflow.home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def airflow(resident: ResidentAirflow) -> Iterator[ResidentAirflow]:
    """Has the connection in its metadata database, by README's command, and nowhere else."""
    (documented,) = (words for words in commands(README, "airflow") if words[0] == "connections")
    credentials = {"$IMPACT_CALL_LOGIN": examples.LOGIN, "$IMPACT_CALL_PASSWORD": examples.PASSWORD}
    resident.succeed(*(credentials.get(word, word) for word in documented))
    yield resident
    resident.succeed("connections", "delete", "impactcall_default")


@pytest.fixture(scope="module")
def adopted(airflow: ResidentAirflow, tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """The console script, as it adopted three calls."""
    file = tmp_path_factory.mktemp("adopted") / "calls.jsonl"
    file.write_text("\n".join(json.dumps(call) for call in examples.calls(3)))
    script = (sys.executable, "-m", "airflow_provider_impactcall.cli")
    return apart(airflow, *script, "adopt", "--file", str(file), *WHY, "-o", "json")


def test_the_console_script_finds_what_airflow_connections_add_has_added(
    adopted: subprocess.CompletedProcess[str],
) -> None:
    assert (adopted.returncode, adopted.stderr) == (0, "")
    assert json.loads(adopted.stdout)[0]["adopted"] == "3"


needs_commands = pytest.mark.skipif(
    not hasattr(ProvidersManager, "cli_command_functions"), reason="providers' commands came with a later Airflow"
)


@needs_commands
def test_airflows_own_command_finds_it_too(airflow: ResidentAirflow, adopted: subprocess.CompletedProcess[str]) -> None:
    listed = apart(airflow, str(AIRFLOW), "impactcall", "list", "-o", "json")
    assert listed.returncode == 0, listed.stderr
    assert {row["CallSessionId"] for row in json.loads(listed.stdout)} == {"call-0", "call-1", "call-2"}


@needs_commands
@pytest.mark.long
def test_airflows_own_command_exports_nothing_but_the_calls(
    airflow: ResidentAirflow, adopted: subprocess.CompletedProcess[str]
) -> None:
    exported = apart(airflow, str(AIRFLOW), "impactcall", "export", "-")
    assert exported.stdout.startswith("CallSessionId,")
    assert len(list(csv.DictReader(exported.stdout.splitlines()))) == 3
