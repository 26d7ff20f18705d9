"""Every morning at six (UTC): one task for each partner delivers that partner's calls of yesterday.

The first task lists the partners who had calls, and Airflow maps the delivery over them: each partner has its own
counts in the UI, and if a partner's rows are bad, only that partner's task fails.

WHAT TO CHANGE

- Connections: ``warehouse`` and ``impactcall_default``, as in ``impactcall_from_warehouse.py``.
- ``PARTNERS`` and ``CALLS``: your table, and the column to divide by. A parameter of a query is written ``:name`` for
  SQLite and Databricks, ``%(name)s`` for PostgreSQL, MySQL, Snowflake and BigQuery, ``$name`` for DuckDB, and ``?``
  (from a list) for Trino.
- ``max_active_tis_per_dagrun``: how many tasks deliver at once, each with the connection's ``concurrency``. The
  connection's ``requests_per_second`` holds for all tasks together, as they share a ledger.
- ``mapping``: as in ``impactcall_from_warehouse.py``.
- ``max_rejected``: how many bad rows you tolerate; a count here, as one row is a large share of a small partner.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, BaseHook, task
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_impactcall.transfers.sql_to_impactcall import SqlToImpactCallOperator

PARTNERS = """
SELECT DISTINCT partner
FROM calls
WHERE started_at_utc >= :window_start
  AND started_at_utc < :window_end
ORDER BY partner
"""

CALLS = """
SELECT *
FROM calls
WHERE partner = :partner
  AND started_at_utc >= :window_start
  AND started_at_utc < :window_end
"""


@task
def partners(dag_run: Any = None) -> list[dict[str, str]]:
    # A run without a logical date has no interval: it reads the day before the time when it was due.
    until = dag_run.data_interval_end or dag_run.run_after
    since = dag_run.data_interval_start or until - timedelta(days=1)
    window = {"window_start": f"{since:%Y-%m-%d %H:%M:%S}", "window_end": f"{until:%Y-%m-%d %H:%M:%S}"}
    found = BaseHook.get_hook("warehouse").get_records(PARTNERS, parameters=window)
    return [{"partner": partner, **window} for (partner,) in found]


with DAG(
    dag_id="impactcall_by_partner",
    description="Yesterday's calls to impact.com, one task for each partner",
    # On Airflow 3, a plain cron string would give an empty interval.
    schedule=CronDataIntervalTimetable("0 6 * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=10)},
    tags=["impactcall"],
):
    SqlToImpactCallOperator.partial(
        task_id="deliver_calls",
        sql_conn_id="warehouse",
        sql=CALLS,
        mapping={
            "CallerPhoneNumberCountry": "caller_country",
            "CalledPhoneNumberCountry": "called_country",
            "CallRecording": "recording_url",
        },
        max_rejected=10,
        max_active_tis_per_dagrun=2,
        map_index_template="{{ task.parameters['partner'] }}",
    ).expand(parameters=partners())
