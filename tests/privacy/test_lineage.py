"""Nothing private of a call, and no credential, is in what OpenLineage is told of every way in which rows can come."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest

from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples
from tests.privacy.test_canary import DELIVERING, ROWS, SCRIPT, fill_warehouse, found_in
from tests.real_airflow import ResidentAirflow

pytestmark = pytest.mark.events


def test_not_in_the_events_of_lineage(resident: ResidentAirflow, tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(json.dumps(ROWS))
    fill_warehouse(tmp_path / "warehouse.db")
    file = tmp_path / "events.jsonl"
    with Sandbox(user=examples.LOGIN, password=examples.PASSWORD).in_thread() as sandbox:
        environment = {
            "PROBE_FOLDER": str(tmp_path),
            "AIRFLOW_CONN_IMPACTCALL_DEFAULT": examples.connection(sandbox),
            "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "warehouse.db")}),
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps({"type": "file", "log_file_path": str(file), "append": True}),
        }
        sandbox.script = SCRIPT * 3
        with resident.lent(tmp_path, [Path(__file__).with_name("probe_dag.py")], **environment) as airflow:
            airflow.test_dag("probe", **environment)
            reports = airflow.reports("probe")
    told = file.read_text()
    assert found_in(told) == []
    delivered: dict[str, int] = defaultdict(int)
    for event in map(json.loads, told.splitlines()):
        facet = event["run"]["facets"].get("impactcall_delivery")
        if facet is not None:
            delivered[event["job"]["name"].removeprefix("probe.")] += facet["delivered"]
    assert delivered.keys() == set(DELIVERING), "the search looks at the events of every task"
    assert sum(delivered.values()) == sum(report["delivered"] for report in reports.values()) > 0
