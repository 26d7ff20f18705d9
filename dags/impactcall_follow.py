"""Every morning at seven (UTC): what became of the delivered calls at impact.com, from pending to paid or reversed.

One task reads the calls of the last two weeks from the warehouse and looks for them among impact.com's actions. The
ledger keeps what became of each call. The page in Airflow and the command *count* show this by partner and campaign.
The task need not read older calls again: it updates every known action that has changed, however old its call is. It
changes nothing at impact.com.

WHAT TO CHANGE

- Connections: ``impactcall_default`` and ``warehouse``, as in ``impactcall_from_warehouse.py``. ``impact_api_default``
  holds the account's ordinary API credentials: login is the AccountSID, password the AuthToken.
- ``LEDGER``: ``ledger_conn_id`` and ``ledger_namespace``, if your delivering tasks have them.
- ``CALLS`` and ``mapping``: as in the delivering DAG, but for all calls of ``LOOK_BACK``: the time within which a call
  may still become an action. A parameter of a query is written ``:name`` for SQLite and Databricks, ``%(name)s`` for
  PostgreSQL, MySQL, Snowflake and BigQuery, ``$name`` for DuckDB, and ``?`` (from a list) for Trino.
- The option *keep_amounts* also keeps payout, amount and currency in the ledger, where all people who may see the page
  see them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG

from airflow_provider_impactcall.operators.ledger import FollowActionsOperator

LEDGER: dict[str, Any] = {}

LOOK_BACK = timedelta(days=14)

CALLS = """
SELECT *
FROM calls
WHERE started_at_utc >= :window_start
"""

with DAG(
    dag_id="impactcall_follow",
    description="What became of delivered calls at impact.com",
    schedule="0 7 * * *",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=10)},
    user_defined_macros={"look_back": LOOK_BACK},
    tags=["impactcall"],
):
    FollowActionsOperator(
        task_id="follow",
        api_conn_id="impact_api_default",
        sql_conn_id="warehouse",
        sql=CALLS,
        parameters={
            "window_start": "{{ ((dag_run.data_interval_end or dag_run.run_after) - look_back)"
            ".strftime('%Y-%m-%d %H:%M:%S') }}"
        },
        mapping={
            "CallerPhoneNumberCountry": "caller_country",
            "CalledPhoneNumberCountry": "called_country",
            "CallRecording": "recording_url",
        },
        **LEDGER,
    )
