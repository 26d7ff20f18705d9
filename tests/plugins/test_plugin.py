"""What Airflow is told of the page, and what that costs the processes that have nothing to do with it."""

from __future__ import annotations

import inspect
import os
import pkgutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from airflow import __version__ as airflow_version
from airflow import plugins_manager
from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_impactcall.plugins.impactcall import ImpactCallPlugin
from airflow_provider_impactcall.plugins.links import LedgerLink
from airflow_provider_impactcall.plugins.urls import has_page, page_url

AIRFLOW_3 = int(airflow_version.partition(".")[0]) >= 3

only_with_a_page = pytest.mark.skipif(not has_page(), reason="external views came with Airflow 3.1")

LOADS = """
import sys
from airflow import plugins_manager
before = set(sys.modules)
plugins_manager.ensure_plugins_loaded()
loaded = set(sys.modules) - before
print("heavy", sorted(loaded & {"fastapi", "aiohttp", "phonenumbers", "airflow_provider_impactcall.records",
    "airflow_provider_impactcall.delivery", "airflow_provider_impactcall.integration.ledger"}))
print("ours", "airflow_provider_impactcall.plugins.impactcall" in loaded)
"""


class Key:
    """As Airflow's key of a task instance."""

    def __init__(self, map_index: int) -> None:
        self.dag_id, self.task_id, self.run_id, self.map_index = "d", "t", "manual__1+00:00", map_index


def test_airflow_loads_it_once_and_without_an_error() -> None:
    info = [plugin for plugin in plugins_manager.get_plugin_info() if plugin["name"] == "impactcall"]
    assert len(info) == 1
    errors = getattr(plugins_manager, "import_errors", None) or getattr(plugins_manager, "get_import_errors", dict)()
    assert not [error for error in errors if "impactcall" in str(error)]


def test_loading_plugins_imports_nothing_that_takes_time(tmp_path: Path) -> None:
    """As a scheduler, a worker and a DAG processor do. What Airflow has imported before is not for us to answer for."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environment["AIRFLOW_HOME"] = str(tmp_path)
    done = subprocess.run([sys.executable, "-c", LOADS], env=environment, capture_output=True, text=True, check=True)
    printed = [line for line in done.stdout.splitlines() if line.startswith(("heavy ", "ours "))]
    assert printed == ["heavy []", "ours True"]


@pytest.mark.skipif(AIRFLOW_3, reason="it has what the page needs")
def test_airflow_2_is_told_of_nothing() -> None:
    plugin = ImpactCallPlugin()
    assert plugin.fastapi_apps == plugin.external_views == plugin.operator_extra_links == []


@only_with_a_page
def test_its_two_places_in_the_navigation() -> None:
    from airflow.api_fastapi.core_api.datamodels.plugins import ExternalViewResponse

    nav, dag_run = (ExternalViewResponse.model_validate(view) for view in ImpactCallPlugin().external_views)
    assert (nav.destination, nav.href) == ("nav", "/impactcall/")
    assert (dag_run.destination, dag_run.href) == ("dag_run", "/impactcall/#dag_run={DAG_ID}/{RUN_ID}")
    assert nav.url_route != dag_run.url_route
    (mounted,) = ImpactCallPlugin().fastapi_apps
    assert mounted["url_prefix"] == "/impactcall"
    assert ImpactCallPlugin().fastapi_apps[0]["app"] is mounted["app"], "made once"


@pytest.mark.parametrize(
    ("base_url", "path"),
    [
        ("", "/impactcall/"),
        ("https://a.example.com/", "/impactcall/"),
        ("https://a.example.com/b/c", "/b/c/impactcall/"),
    ],
)
def test_a_base_path_is_part_of_every_link(monkeypatch: pytest.MonkeyPatch, base_url: str, path: str) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", base_url)
    assert page_url() == path
    assert LedgerLink().get_link(None, ti_key=Key(-1)) == f"{path}#source=d/t/manual__1%2B00%3A00"
    assert LedgerLink().get_link(None, ti_key=Key(3)) == f"{path}#source=d/t/manual__1%2B00%3A00/map_index=3"


@only_with_a_page
def test_every_operator_of_ours_has_the_link_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """By Airflow's own serialization, which matches operators by their names."""
    from airflow.providers.common.compat.sdk import DAG

    from airflow_provider_impactcall.operators.impactcall import ImpactCallOperator
    from airflow_provider_impactcall.operators.ledger import PurgeLedgerOperator
    from airflow_provider_impactcall.transfers.sql_to_impactcall import SqlToImpactCallOperator

    with DAG("linked", schedule=None) as dag:
        ImpactCallOperator(task_id="plain", calls=[])
        ImpactCallOperator.partial(task_id="mapped").expand(calls=[[], []])
        SqlToImpactCallOperator(task_id="sql", sql="SELECT 1", sql_conn_id="warehouse")
        PurgeLedgerOperator(task_id="purge", older_than=400)
        _decorated()
        BaseOperator(task_id="another")
    links = {task_id: list(task.extra_links) for task_id, task in _round_trip(dag).task_dict.items()}
    ours = [LedgerLink.name]
    assert links == {"plain": ours, "mapped": ours, "sql": ours, "purge": ours, "decorated": ours, "another": []}


def test_every_operator_whose_runs_are_in_the_ledger_has_the_link() -> None:
    """Exporting and migrating make no run."""
    linked = {(operator.__module__, operator.__name__) for operator in LedgerLink.operators}
    found = {each for name in ("operators", "transfers", "decorators") for each in _operators_of(name)}
    bases = {base for each in found for base in each.__mro__[1:]}
    ours = {(each.__module__, each.__name__) for each in found - bases}
    assert {name for _, name in ours - linked} == {"ExportLedgerOperator", "MigrateLedgerOperator"}
    assert not linked - ours


def _operators_of(name: str) -> list[type]:
    package = import_module(f"airflow_provider_impactcall.{name}")
    modules = [import_module(each.name) for each in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")]
    classes = [each for module in modules for each in vars(module).values() if inspect.isclass(each)]
    return [each for each in classes if issubclass(each, BaseOperator) and each.__module__.startswith(package.__name__)]


def _decorated() -> Any:
    from airflow.providers.common.compat.sdk import task

    @task.impactcall
    def decorated() -> list[dict[str, Any]]:
        return []

    return decorated()


def _round_trip(dag: Any) -> Any:
    module: Any = import_module("airflow.serialization.serialized_objects")
    serialization = getattr(module, "DagSerialization", None) or module.SerializedDAG
    return serialization.from_dict(serialization.to_dict(dag))
