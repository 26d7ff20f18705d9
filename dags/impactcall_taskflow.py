"""Every morning at six (UTC): a Python function chooses yesterday's calls, and they go to impact.com.

The function may read, filter and reshape calls in any way, and returns rows. Reading and delivering are one task, so
Airflow's database never stores the rows, which include callers' numbers.

WHAT TO CHANGE

- Connections: ``warehouse`` and ``impactcall_default``, as in ``impactcall_from_warehouse.py``.
- ``paid_calls``: any code that returns rows. A parameter of a query is written ``:name`` for SQLite and Databricks,
  ``%(name)s`` for PostgreSQL, MySQL, Snowflake and BigQuery, ``$name`` for DuckDB, and ``?`` (from a list) for Trino.
- ``mapping``: the parameters whose columns have other names.
- ``max_rejected``: the share of bad rows that you tolerate; 0 is the default.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, BaseHook, task
from airflow.timetables.interval import CronDataIntervalTimetable

CALLS = "SELECT * FROM calls WHERE started_at_utc >= :window_start AND started_at_utc < :window_end"


def as_dicts(cursor: Any) -> list[dict[str, Any]]:
    columns = [column[0] for column in cursor.description]
    return [dict(zip(columns, row, strict=True)) for row in cursor]


with DAG(
    dag_id="impactcall_taskflow",
    description="Yesterday's calls of paying programs, chosen in Python, to impact.com",
    # On Airflow 3, a plain cron string would give an empty interval.
    schedule=CronDataIntervalTimetable("0 6 * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=10)},
    tags=["impactcall"],
):

    @task.impactcall(
        mapping={
            "CallerPhoneNumberCountry": "caller_country",
            "CalledPhoneNumberCountry": "called_country",
            "CallRecording": "recording_url",
        },
        max_rejected=0.05,
    )
    def paid_calls(dag_run: Any = None) -> list[dict[str, Any]]:
        # A run without a logical date has no interval: it reads the day before the time when it was due.
        until = dag_run.data_interval_end or dag_run.run_after
        since = dag_run.data_interval_start or until - timedelta(days=1)
        window = {"window_start": f"{since:%Y-%m-%d %H:%M:%S}", "window_end": f"{until:%Y-%m-%d %H:%M:%S}"}
        calls = BaseHook.get_hook("warehouse").run(CALLS, parameters=window, handler=as_dicts)
        return [call for call in calls if call["talk_duration"] >= 30]

    paid_calls()
