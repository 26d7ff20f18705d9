"""A DAG file parses where there is no network, no connection, no metadata database and no ledger."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from benchmarks.importing import AIRFLOW, imported
from benchmarks.processes import environment

pytestmark = pytest.mark.short

ROOT = Path(__file__).resolve().parent.parent.parent
SAMPLES = ROOT / "dags"
EVERYTHING = Path(__file__).with_name("dags")

HTTP_PROVIDER = "airflow.providers.http.hooks"
SERVER = "aiohttp"
HEAVY = {
    "airflow.providers.common.sql.hooks",
    HTTP_PROVIDER,
    SERVER,
    "httptools",
    "phonenumbers",
    "requests",
    "yaml",
}

REACHES_OUT = """
from contextlib import suppress
import socket
from airflow_provider_impactcall.integration.ledger import open_ledger
import sqlalchemy as sa

for reach in (
    lambda: open_ledger("embedded", "https://calls.example.com"),
    lambda: sa.create_engine("postgresql://127.0.0.1:9/ledger").connect(),
    lambda: socket.create_connection(("127.0.0.1", 9)),
):
    with suppress(Exception):
        reach()
"""


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What comes of parsing each folder, one after the other, with an Airflow home in which there is nothing."""
    home, reaching = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("dags")
    (reaching / "reaches_out.py").write_text(f"# airflow DAG\n{REACHES_OUT}")
    folders = {"samples": SAMPLES, "everything": EVERYTHING, "reaching": reaching}
    result = home / "parsed.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.packaging.parse", result, *folders.values()],
        env=environment(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert not list(home.glob("*.db")), "no database was made"
    found = json.loads(result.read_text())
    return {name: found[str(folder)] for name, folder in folders.items()}


def test_everything_parses_and_reaches_nothing(parsed: dict[str, dict[str, Any]]) -> None:
    found = parsed["everything"]
    assert found["errors"] == {}
    assert found["dags"] == {
        "everything": [
            "accept",
            "adopt",
            "answered_calls",
            "dismiss",
            "export",
            "finished_calls",
            "follow",
            "mapped",
            "migrate",
            "purge",
            "reconcile",
            "requeue",
            "resolve",
            "upstream",
            "warehouse",
        ]
    }
    assert found["reached"] == []


def test_the_sample_dags_parse_and_reach_nothing(parsed: dict[str, dict[str, Any]]) -> None:
    found = parsed["samples"]
    assert found["errors"] == {}
    assert sorted(found["dags"]) == sorted(file.stem for file in SAMPLES.glob("*.py"))
    assert found["reached"] == []


def test_what_reaches_out_is_seen(parsed: dict[str, dict[str, Any]]) -> None:
    """Else the tests above would prove nothing."""
    assert {"sqlalchemy.connect", "socket.getaddrinfo"} <= set(parsed["reaching"]["reached"])


def test_parsing_a_sample_dag_imports_nothing_that_only_sending_needs(tmp_path: Path) -> None:
    samples = sorted(SAMPLES.glob("*.py"))
    found = imported("\n".join(f"runpy.run_path({str(sample)!r})" for sample in samples), tmp_path, before=AIRFLOW)
    ours = {name.partition(".")[2] for name in found["modules"] if name.startswith("airflow_provider_impactcall.")}
    # The last is what Airflow 2.11 looks at by itself.
    rooms = {name.partition(".")[0] for name in ours - {"integration", "integration.options", "provider_info"}}
    assert rooms == {"assets", "defaults", "exceptions", "phone_like", "operators", "transfers", "decorators"}
    # With its first decorator of a provider, Airflow 2.11 imports what its own forms are made of: sqlalchemy_utils and,
    # if they are installed, phonenumbers.
    looked_at: list[str] = []
    if version("apache-airflow").startswith("2."):
        looked_at = imported("getattr(task, 'nobody', None)", tmp_path, before=AIRFLOW)["modules"]
    assert heavy_among(set(found["modules"]) - set(looked_at)) == set()


def test_what_only_sending_needs_is_known(tmp_path: Path) -> None:
    """Else the test above would prove nothing."""
    found = imported("import airflow_provider_impactcall.hooks.impactcall", tmp_path)
    # A session needs the one, and the sandbox the other; a delivery has neither.
    assert heavy_among(found["modules"]) == HEAVY - {HTTP_PROVIDER, SERVER}
    found = imported("import airflow_provider_impactcall.integration.session", tmp_path)
    assert HTTP_PROVIDER in heavy_among(found["modules"])


def heavy_among(modules: Iterable[str]) -> set[str]:
    return {heavy for heavy in HEAVY for module in modules if f"{module}.".startswith(f"{heavy}.")}


@pytest.mark.parametrize("module", ["airflow_provider_impactcall", "airflow_provider_impactcall.provider_info"])
def test_what_airflow_imports_at_start_up_imports_nothing(module: str) -> None:
    """As test_provider_info does for the entry point: each alone, without what a site adds."""
    root = str(files("airflow_provider_impactcall").joinpath(".."))
    script = (
        f"import sys; sys.path.insert(0, {root!r}); before = set(sys.modules); import {module}; "
        "new = set(sys.modules) - before; "
        "print(*(name for name in new if name.partition('.')[0] not in sys.stdlib_module_names))"
    )
    done = subprocess.run([sys.executable, "-S", "-E", "-c", script], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"airflow_provider_impactcall", module}
