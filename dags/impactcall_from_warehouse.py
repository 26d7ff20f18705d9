"""Every morning at six (UTC): yesterday's calls, and those that reached the warehouse late, go to impact.com.

One task reads the warehouse and delivers each row. It fails if more than 5 % of the rows are rejected. By then, every
call that can be delivered has been delivered, and the file at ``rejects_path`` says which rows were rejected, and why.

Runs and retries read some calls again. The delivery ledger knows which calls were delivered, so nothing is sent twice.
If your workers are on several machines, set ``[impactcall] ledger_conn_id`` first.

WHAT TO CHANGE

- Connections: ``warehouse`` is any SQL connection, ``impactcall_default`` (of type *impact.com Call Data*) holds
  the special credentials.
- ``CALLS``: your table. A column named like one of impact.com's parameters, in any case or underscore style
  (``campaign_id``, ``CampaignId``), needs no mapping. Other columns are ignored. A parameter of a query is written
  ``:name`` for SQLite and Databricks, ``%(name)s`` for PostgreSQL, MySQL, Snowflake and BigQuery, ``$name`` for DuckDB,
  and ``?`` (from a list) for Trino. The documentation of operators has a table.
- The window compares a UTC column, because ISO texts with different offsets do not sort in the order of time.
- ``LOOK_BACK``: how late a call may reach your warehouse.
- ``mapping``: the parameters whose columns have other names.
- ``max_rejected``: the share of bad rows that you tolerate; 0 is the default.
- ``outlets``: an asset that other DAGs may wait for, as ``impactcall_after_delivery.py`` does.
- Variable ``impactcall_rejects_dir``: a directory that still exists when the worker is gone.
- Before the first real run: add ``dry_run=True`` to see the counts, then ``limit=10`` to send ten calls.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.providers.common.compat.sdk import DAG, Asset
from airflow.timetables.interval import CronDataIntervalTimetable

from airflow_provider_impactcall.transfers.sql_to_impactcall import SqlToImpactCallOperator

LOOK_BACK = timedelta(days=3)

CALLS_AT_IMPACT = Asset(uri="impactcall://twilio.ivr.impactradius.com/")

CALLS = """
SELECT *
FROM calls
WHERE started_at_utc >= :window_start
  AND started_at_utc < :window_end
ORDER BY started_at_utc
"""

with DAG(
    dag_id="impactcall_from_warehouse",
    description="Yesterday's calls from the warehouse to impact.com",
    # On Airflow 3, a plain cron string would give an empty interval.
    schedule=CronDataIntervalTimetable("0 6 * * *", timezone="UTC"),
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=10)},
    user_defined_macros={"look_back": LOOK_BACK, "day": timedelta(days=1)},
    tags=["impactcall"],
) as dag:
    SqlToImpactCallOperator(
        task_id="deliver_calls",
        sql_conn_id="warehouse",
        sql=CALLS,
        parameters={
            # A run without a logical date has no interval: it reads up to the time when it was due.
            "window_start": "{{ ((dag_run.data_interval_start or dag_run.run_after - day) - look_back)"
            ".strftime('%Y-%m-%d %H:%M:%S') }}",
            "window_end": "{{ (dag_run.data_interval_end or dag_run.run_after).strftime('%Y-%m-%d %H:%M:%S') }}",
        },
        mapping={
            "CallerPhoneNumberCountry": "caller_country",
            "CalledPhoneNumberCountry": "called_country",
            "CallRecording": "recording_url",
        },
        max_rejected=0.05,
        outlets=[CALLS_AT_IMPACT],
        rejects_path="{{ var.value.get('impactcall_rejects_dir', '/tmp') }}/{{ dag.dag_id }}-"
        "{{ (dag_run.logical_date or dag_run.run_after) | ts_nodash }}.jsonl",
    )
