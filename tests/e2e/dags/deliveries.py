"""The calls of a day and the day before it, delivered in each way that the tests here stop, kill or repeat."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_impactcall.transfers.sql_to_impactcall import SqlToImpactCallOperator

CONCURRENCY = 8

TWO_DAYS = "SELECT * FROM calls WHERE day BETWEEN date('{{ ds }}', '-1 day') AND '{{ ds }}' ORDER BY number"
A_PART = "SELECT * FROM calls WHERE day = '{{ ds }}' AND number BETWEEN :first AND :last ORDER BY number"


def dag(dag_id: str) -> DAG:
    return DAG(dag_id, schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC))


def deliver(dag_id: str, **options: Any) -> None:
    with dag(dag_id):
        SqlToImpactCallOperator(
            task_id="deliver", sql=TWO_DAYS, sql_conn_id="warehouse", concurrency=CONCURRENCY, **options
        )


# That many calls are in flight when a task is killed: more unknown ones, and it fails.
deliver("hold", max_unknown=CONCURRENCY)
deliver("hold_too", max_unknown=CONCURRENCY)
deliver("resend", on_unknown="resend")
deliver("in_five_seconds", max_unknown=CONCURRENCY, execution_timeout=timedelta(seconds=5))

with dag("parts"):
    SqlToImpactCallOperator.partial(task_id="deliver", sql=A_PART, sql_conn_id="warehouse").expand(
        parameters=[{"first": 0, "last": 59}, {"first": 40, "last": 99}, {"first": 0, "last": 119}]
    )
