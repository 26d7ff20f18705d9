"""A backlog in parts: all calls of the warehouse go to impact.com, one task for each day, two tasks at once.

The first task divides the time of the backlog into windows without gaps or overlaps, so that each row is in exactly one
window. Airflow maps the delivery over the windows. The last task compares the number of rows that all parts read with
the number of rows in the table.

The tasks share one delivery ledger, so a call is sent once even if windows do overlap, a part is killed and retried, or
another DAG delivers the same calls. Because of the shared ledger, the connection's ``requests_per_second`` and
``requests_per_hour`` hold for all tasks together. ``concurrency`` holds for each task.

WHAT TO CHANGE

- Connections: ``warehouse`` and ``impactcall_default``, as in ``impactcall_from_warehouse.py``.
- ``EDGES``, ``CALLS`` and ``COUNT``: your table, and a column of UTC times that is never absent. A parameter of a query
  is written ``:name`` for SQLite and Databricks, ``%(name)s`` for PostgreSQL, MySQL, Snowflake and BigQuery, ``$name``
  for DuckDB, and ``?`` (from a list) for Trino. Leave out time that has not ended yet: rows that arrive while the parts
  are read are in the table, but may be in none of the parts.
- ``PART``: how much time a part covers. Many small parts keep all tasks busy to the end, and a retry reads fewer rows
  again. Airflow maps over at most 1,024 parts.
- ``max_active_tis_per_dag``: how many tasks deliver at once. One task for each core of your workers is enough.
- ``mapping``: as in ``impactcall_from_warehouse.py``.
- ``max_rejected``: the share of bad rows that you tolerate in a part; 0 is the default.
- The package's documentation of scale has other ways to divide a backlog, by partner as in ``impactcall_by_partner.py``
  or by a hash of the id, and says when to use which.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from airflow.providers.common.compat.sdk import DAG, AirflowFailException, BaseHook, task

from airflow_provider_impactcall.transfers.sql_to_impactcall import SqlToImpactCallOperator

PART = timedelta(days=1)

EDGES = "SELECT MIN(started_at_utc), MAX(started_at_utc) FROM calls"

CALLS = """
SELECT *
FROM calls
WHERE started_at_utc >= :window_start
  AND started_at_utc < :window_end
ORDER BY started_at_utc
"""

COUNT = """
SELECT COUNT(*)
FROM calls
WHERE started_at_utc < :window_end
   OR started_at_utc IS NULL
"""


@task
def parts() -> list[dict[str, str]]:
    first, last = BaseHook.get_hook("warehouse").get_first(EDGES)
    if first is None:
        return []
    edges = [datetime.fromisoformat(str(first)).replace(hour=0, minute=0, second=0, microsecond=0)]
    while edges[-1] <= datetime.fromisoformat(str(last)):
        edges.append(edges[-1] + PART)
    texts = [f"{edge:%Y-%m-%d %H:%M:%S}" for edge in edges]
    return [{"window_start": start, "window_end": end} for start, end in pairwise(texts)]


@task
def every_row_was_read(windows: Any, reports: Any) -> None:
    read = sum(report["rows"] for report in reports)
    (expected,) = BaseHook.get_hook("warehouse").get_first(COUNT, parameters={"window_end": windows[-1]["window_end"]})
    if read != expected:
        raise AirflowFailException(f"The parts have {read} rows, and the backlog has {expected}")


with DAG(
    dag_id="impactcall_backlog",
    description="All calls of the warehouse to impact.com, in parts",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=10)},
    tags=["impactcall"],
):
    windows = parts()
    deliver_calls = SqlToImpactCallOperator.partial(
        task_id="deliver_calls",
        sql_conn_id="warehouse",
        sql=CALLS,
        mapping={
            "CallerPhoneNumberCountry": "caller_country",
            "CalledPhoneNumberCountry": "called_country",
            "CallRecording": "recording_url",
        },
        max_rejected=0.05,
        max_active_tis_per_dag=2,
        map_index_template="{{ task.parameters['window_start'][:10] }}",
    ).expand(parameters=windows)
    every_row_was_read(windows, deliver_calls.output)
