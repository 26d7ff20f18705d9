"""Every way in which rows can reach a task of this package. The rows come from files that the test writes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Asset, task

from airflow_provider_impactcall.operators.impactcall import ImpactCallOperator
from airflow_provider_impactcall.transfers.sql_to_impactcall import SqlToImpactCallOperator

FOLDER = Path(os.environ["PROBE_FOLDER"])


def rows(name: str) -> list[dict[str, Any]]:
    return [
        {**row, "CallSessionId": f"{name}-{row['CallSessionId']}"}
        for row in json.loads((FOLDER / "rows.json").read_text())
    ]


with DAG(dag_id="probe", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
    options: dict[str, Any] = {
        "max_rejected": 100,
        "max_unknown": 100,
        "rejects_path": f"{FOLDER}/rejects-{{{{ ti.task_id }}}}-{{{{ ti.map_index }}}}.jsonl",
    }

    @task
    def upstream(name: str = "upstream") -> list[dict[str, Any]]:
        return rows(name)

    @task
    def names() -> list[str]:
        return ["a", "b"]

    mapped = upstream.override(task_id="upstream_mapped").expand(name=names())
    ImpactCallOperator(task_id="from_upstream", calls=upstream(), **options)
    ImpactCallOperator(task_id="literal", calls=rows("literal"), **options)
    ImpactCallOperator(task_id="from_mapped", calls=mapped, key=["CallSessionId", "SubId1"], **options)
    ImpactCallOperator.partial(task_id="expanded", constants={"SubId2": "expanded"}, **options).expand(calls=mapped)
    SqlToImpactCallOperator(
        task_id="from_sql",
        sql="SELECT * FROM calls",
        sql_conn_id="warehouse",
        outlets=[Asset(uri="impactcall://calls.example.com/1000")],
        **options,
    )

    @task.impactcall(**options)
    def from_function(given: list[dict[str, Any]], prefix: str = "") -> Iterator[dict[str, Any]]:
        for row in given:
            yield {**row, "CallSessionId": f"{prefix}-{row['CallSessionId']}"}

    from_function(upstream.override(task_id="upstream_again")(), prefix="{{ ds }}")
    from_function.override(task_id="from_function_literal")(rows("literal"), prefix="literal")
    from_function.override(task_id="from_function_expanded").partial(prefix="expanded").expand(given=mapped)
