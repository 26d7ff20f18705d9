"""Delivers the calls of a day and the day before, in each way that the tests here stop, kill or repeat."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Asset, task
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_impactcall.delivery.engine.bookkeeper import open_at_most
from airflow_provider_impactcall.operators.impactcall import ImpactCallOperator
from airflow_provider_impactcall.operators.retries import RetryAtPolicy
from airflow_provider_impactcall.transfers.sql_to_impactcall import SqlToImpactCallOperator
from tests.examples import CALLER, RECORDING, call

CONCURRENCY = 8
MOST_UNKNOWN = open_at_most(CONCURRENCY)
PARTS = 8

TWO_DAYS = "SELECT * FROM calls WHERE day BETWEEN '{{ macros.ds_add(ds, -1) }}' AND '{{ ds }}' ORDER BY number"
A_PART = "SELECT * FROM calls WHERE day = '{{ ds }}' AND number BETWEEN %d AND %d ORDER BY number"
# As docs/scale.md has it for PostgreSQL.
BY_HASH = """
SELECT *
FROM calls
WHERE day = '{{ ds }}'
  AND ABS(MOD(HASHTEXT(COALESCE("CallSessionId", '')), %(parts)s)) = %(part)s
ORDER BY number
"""


def dag(dag_id: str, schedule: CronDataIntervalTimetable | None = None, **options: Any) -> DAG:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return DAG(dag_id, schedule=schedule, start_date=start, is_paused_upon_creation=False, **options)


def deliver(concurrency: int = CONCURRENCY, **options: Any) -> None:
    SqlToImpactCallOperator(task_id="deliver", sql=TWO_DAYS, sql_conn_id="calls", concurrency=concurrency, **options)


# That many calls are in flight or next when a task is killed: more unknown ones, and it fails.
with dag("hold"):
    deliver(max_unknown=MOST_UNKNOWN)
with dag("hold_too"):
    deliver(max_unknown=MOST_UNKNOWN)
with dag("resend"):
    deliver(on_unknown="resend")
with dag("in_ten_seconds"):
    deliver(max_unknown=MOST_UNKNOWN, execution_timeout=timedelta(seconds=10))
with dag("retried"):
    deliver(max_unknown=MOST_UNKNOWN, max_wait=3, retries=2, retry_delay=timedelta(seconds=15))

# The pool has one slot.
with dag("deferred"):
    deliver(deferrable=True, pool="one_slot")

with dag("announced"):
    deliver(outlets=[Asset(uri="impactcall://calls.example.com/announced")])

with dag("parts"):
    SqlToImpactCallOperator.partial(task_id="deliver", sql_conn_id="calls").expand(
        sql=[A_PART % (0, 59), A_PART % (40, 99), A_PART % (0, 119)]
    )

with dag("by_hash"):
    SqlToImpactCallOperator.partial(
        task_id="deliver",
        sql=BY_HASH,
        sql_conn_id="calls",
        concurrency=CONCURRENCY,
        max_unknown=MOST_UNKNOWN,
        max_active_tis_per_dag=2,
        retries=3,
        retry_delay=timedelta(seconds=5),
    ).expand(parameters=[{"part": part, "parts": PARTS} for part in range(PARTS)])

# Over since long, so that the scheduler makes no runs of its own.
with dag(
    "daily",
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    end_date=datetime(2026, 8, 1, tzinfo=UTC),
    catchup=False,
):
    deliver()

if RetryAtPolicy.__base__ is not object:
    # An hour is longer than any test waits.
    with dag("retry_at"):
        deliver(
            concurrency=1,
            max_wait=0.5,
            retries=2,
            retry_delay=timedelta(hours=1),
            retry_policy=RetryAtPolicy(),
        )

with dag("private"):

    @task
    def rows() -> list[dict[str, Any]]:
        return [
            call("private-good"),
            call("private-bad", CampaignId=CALLER, EventDate=RECORDING, CallerId=f"{CALLER}x"),
            call("private-refused"),
            call("private-lost"),
        ]

    ImpactCallOperator(task_id="deliver", calls=rows(), concurrency=1)
