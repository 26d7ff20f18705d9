from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import entry_points
from importlib.resources import files
from typing import Any

import jsonschema
import pytest

from airflow_provider_impactcall import provider_info
from airflow_provider_impactcall.hooks.connection import Extra
from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook

pytestmark = pytest.mark.short


@pytest.fixture(scope="module")
def info() -> dict[str, Any]:
    ours = "airflow-provider-impactcall"
    (entry_point,) = [
        each for each in entry_points(group="apache_airflow_provider") if each.dist and each.dist.name == ours
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
    modules = [module for kind in ("hooks", "operators") for each in info[kind] for module in each["python-modules"]]
    modules += [each["python-module"] for each in info["transfers"]]
    classes = [each["hook-class-name"] for each in info["connection-types"]]
    classes += [each["class-name"] for each in info["task-decorators"]]
    classes += [each[kind] for each in info["asset-uris"] for kind in ("handler", "to_openlineage_converter")]
    for module in modules:
        __import__(module)
    for name in classes:
        module, _, attribute = name.rpartition(".")
        assert hasattr(__import__(module, fromlist=[attribute]), attribute)


def test_both_forms_and_the_connection_know_the_same_fields(info: dict[str, Any]) -> None:
    (connection_type,) = info["connection-types"]
    assert set(connection_type["conn-fields"]) == set(Extra.model_fields)
    assert connection_type["conn-fields"] is provider_info.CONNECTION_FIELDS
    behaviour = ImpactCallHook.get_ui_field_behaviour()
    assert {name.replace("_", "-"): value for name, value in behaviour.items()} == connection_type["ui-field-behaviour"]


def test_no_field_of_the_form_is_required(info: dict[str, Any]) -> None:
    (connection_type,) = info["connection-types"]
    assert all("null" in field["schema"]["type"] for field in connection_type["conn-fields"].values())
