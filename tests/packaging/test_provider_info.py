from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points
from importlib.resources import files
from pkgutil import walk_packages
from typing import Any

import jsonschema
import pytest
from airflow.providers.common.compat.sdk import BaseHook, BaseOperator
from airflow.triggers.base import BaseTrigger

import airflow_provider_impactcall
from airflow_provider_impactcall import provider_info
from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from airflow_provider_impactcall.integration.connection import Extra

pytestmark = pytest.mark.short

PACKAGE = airflow_provider_impactcall.__name__
NO_TASKS = ("plugins", "sandbox")
"""Rooms that are for Airflow's API server and for a process of its own: this Airflow may not have what they import."""


@pytest.fixture(scope="module")
def info() -> dict[str, Any]:
    return info_of("airflow-provider-impactcall")


def info_of(provider: str) -> dict[str, Any]:
    """What Airflow reads of an installed provider."""
    (entry_point,) = [
        each for each in entry_points(group="apache_airflow_provider") if each.dist and each.dist.name == provider
    ]
    found: dict[str, Any] = entry_point.load()()
    return found


def test_follows_the_installed_airflows_schema(info: dict[str, Any]) -> None:
    schema = json.loads(files("airflow").joinpath("provider_info.schema.json").read_text())
    jsonschema.validate(info, schema)


def test_the_entry_point_imports_nothing_but_the_standard_library() -> None:
    script = (
        "import sys; import airflow_provider_impactcall.provider_info as module; module.get_provider_info();"
        "print(sorted({name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)))"
    )
    # -S and -E: what editable installs and site customisation import is none of ours.
    root = str(files("airflow_provider_impactcall").joinpath(".."))
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", f"import sys; sys.path.insert(0, {root!r}); {script}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "['__main__', 'airflow_provider_impactcall']"


def test_everything_it_names_can_be_imported(info: dict[str, Any]) -> None:
    modules = [
        module for kind in ("hooks", "operators", "triggers", "transfers") for module in modules_listed(info, kind)
    ]
    classes = [each["hook-class-name"] for each in info["connection-types"]]
    classes += [each["class-name"] for each in info["task-decorators"]]
    classes += [each[kind] for each in info["asset-uris"] for kind in ("handler", "to_openlineage_converter")]
    for module in modules:
        import_module(module)
    for name in classes:
        module, _, attribute = name.rpartition(".")
        assert hasattr(import_module(module), attribute)


def modules_that_define(kind: type) -> list[str]:
    """The modules in which public classes of a kind are written down; where a class is only imported does not count."""
    found = []
    for module in walk_packages(airflow_provider_impactcall.__path__, f"{PACKAGE}."):
        name = module.name
        if name.split(".")[1] in NO_TASKS or name.endswith(".__main__"):
            continue
        own = (each for each in vars(import_module(name)).values() if getattr(each, "__module__", None) == name)
        if any(isinstance(each, type) and issubclass(each, kind) and each.__name__[0] != "_" for each in own):
            found.append(name)
    return sorted(found)


def modules_listed(info: dict[str, Any], kind: str) -> list[str]:
    """The modules of one kind that it names."""
    if kind == "transfers":
        return [each["python-module"] for each in info[kind]]
    if kind == "task-decorators":
        return [each["class-name"].rpartition(".")[0] for each in info[kind]]
    return [module for each in info[kind] for module in each["python-modules"]]


def test_it_names_every_module_with_a_hook_and_no_other(info: dict[str, Any]) -> None:
    assert modules_listed(info, "hooks") == modules_that_define(BaseHook)


def test_it_names_every_module_with_a_trigger_and_no_other(info: dict[str, Any]) -> None:
    assert modules_listed(info, "triggers") == modules_that_define(BaseTrigger)


def test_it_names_every_module_with_an_operator_and_no_other(info: dict[str, Any]) -> None:
    """A transfer is one, and so is what a decorator makes of a function; each is named by its room."""
    by_room = {"operators": "operators", "transfers": "transfers", "decorators": "task-decorators"}
    found = modules_that_define(BaseOperator)
    for room, kind in by_room.items():
        assert modules_listed(info, kind) == [name for name in found if name.startswith(f"{PACKAGE}.{room}.")]
    assert {name.split(".")[1] for name in found} == set(by_room)


def test_an_integration_that_is_not_ours_is_called_as_its_own_provider_calls_it(info: dict[str, Any]) -> None:
    both = (info, info_of("apache-airflow-providers-common-sql"))
    known = {each["integration-name"] for provider in both for each in provider["integrations"]}
    assert {each[f"{end}-integration-name"] for each in info["transfers"] for end in ("source", "target")} <= known


def test_both_forms_and_the_connection_know_the_same_fields(info: dict[str, Any]) -> None:
    (connection_type,) = info["connection-types"]
    assert set(connection_type["conn-fields"]) == set(Extra.model_fields)
    assert connection_type["conn-fields"] is provider_info.CONNECTION_FIELDS
    behaviour = ImpactCallHook.get_ui_field_behaviour()
    assert {name.replace("_", "-"): value for name, value in behaviour.items()} == connection_type["ui-field-behaviour"]


def test_no_field_of_the_form_is_required(info: dict[str, Any]) -> None:
    (connection_type,) = info["connection-types"]
    assert all("null" in field["schema"]["type"] for field in connection_type["conn-fields"].values())
