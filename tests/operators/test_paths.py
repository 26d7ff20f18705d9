"""Paths on their way through a real Airflow: templated, as XComs, from a mapped upstream, from a decorated function."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples
from tests.real_airflow import LentAirflow, ResidentAirflow

DAG = """
import os
from airflow.providers.common.compat.sdk import DAG, ObjectStoragePath, task
from airflow_provider_impactcall.operators.impactcall import ImpactCallOperator

FOLDER = os.environ["CALLS_FOLDER"]

with DAG(dag_id="paths", schedule=None):

    @task
    def path(name):
        return f"{FOLDER}/{name}.jsonl"

    @task
    def storage_path(name):
        return ObjectStoragePath(f"file://{FOLDER}/{name}.jsonl")

    ImpactCallOperator(task_id="templated", calls="file://" + FOLDER + "/{{ 'templated' }}.jsonl")
    ImpactCallOperator(task_id="xcom", calls=path("xcom"))
    ImpactCallOperator(task_id="storage", calls=storage_path("storage"))
    ImpactCallOperator(task_id="mapped", calls=path.override(task_id="paths").expand(name=["mapped1", "mapped2"]))
    ImpactCallOperator.partial(task_id="expanded").expand(
        calls=path.override(task_id="more_paths").expand(name=["expanded1", "expanded2"])
    )

    @task.impactcall
    def decorated(name):
        return f"{FOLDER}/{name}.jsonl"

    decorated("decorated")
"""
NAMES = ("templated", "xcom", "storage", "mapped1", "mapped2", "expanded1", "expanded2", "decorated")


Ran = tuple[LentAirflow, Mapping[tuple[str, int], Any], list[str]]


@pytest.fixture(scope="module")
def ran(resident: ResidentAirflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    folder = tmp_path_factory.mktemp("paths")
    dag = folder / "paths.py"
    dag.write_text(DAG)
    for name in NAMES:
        (folder / f"{name}.jsonl").write_text("\n".join(json.dumps(row) for row in examples.calls(2, name)))
    with Sandbox(user=examples.LOGIN, password=examples.PASSWORD).in_thread() as sandbox:
        environment = {
            "AIRFLOW_CONN_IMPACTCALL_DEFAULT": examples.connection(sandbox),
            "CALLS_FOLDER": str(folder),
        }
        with resident.lent(folder, [dag], **environment) as airflow:
            airflow.test_dag("paths", **environment)
            yield airflow, airflow.reports("paths"), examples.session_ids(sandbox)


def test_every_call_of_every_file_is_delivered(ran: Ran) -> None:
    _, reports, delivered = ran
    assert {task: report["delivered"] for task, report in reports.items()} == {
        ("templated", -1): 2,
        ("xcom", -1): 2,
        ("storage", -1): 2,
        ("mapped", -1): 4,
        ("expanded", 0): 2,
        ("expanded", 1): 2,
        ("decorated", -1): 2,
    }
    assert delivered == sorted(f"{name}-{number}" for name in NAMES for number in range(2))


def test_a_path_is_shown_where_rows_are_hidden(ran: Ran) -> None:
    airflow = ran[0]
    rendered = airflow.query(
        "SELECT task_id, rendered_fields FROM rendered_task_instance_fields WHERE dag_id = 'paths'"
    )
    shown = {task_id: json.loads(fields).get("calls") for task_id, fields in rendered}
    assert shown["templated"] == f"file://{airflow.home}/templated.jsonl"
    assert shown["xcom"] == f"{airflow.home}/xcom.jsonl"
    assert examples.CALLER not in str(shown)
