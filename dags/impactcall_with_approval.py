"""Before money moves: a dry run, then a person who approves or rejects its result, then the delivery.

The first task reads the warehouse and sends nothing. Its log says why rows would not be sent. The second task shows the
counts, the warnings and how long sending will take, under *Required Actions* in Airflow, and waits without a worker
until a person answers. If the person approves, the third task delivers the calls. If the person rejects, the third task
is skipped, and nothing is sent. The second task returns who answered, and when. If there are no rows, nobody is asked.

At most as many calls are sent as were approved. If more calls have reached the warehouse meanwhile, the rest counts as
``not_sent``, and the task still succeeds: start another run for them. A person approves the number, not each call, and
each try of the task may send so many. No call is sent twice. The dry run's ``not_sent`` includes calls that another run
is sending at that moment.

Airflow 3.1 and newer can ask people. With an older Airflow, this DAG has one task, which fails and says so.

WHAT TO CHANGE

- Connections: ``warehouse`` and ``impactcall_default``, as in ``impactcall_from_warehouse.py``.
- ``CALLS``: your table, as in that sample. Both tasks read the same calls: the calls of ``LOOK_BACK`` before the time
  of the run.
- ``mapping``: the parameters whose columns have other names.
- ``max_rejected``: the share of bad rows that you tolerate in the delivery; 0 is the default. The dry run tolerates all
  bad rows, because a person judges them.
- ``QUESTION``: what that person sees. Airflow stores it, so it has only counts and codes.
- ``ApprovalOperator``: it has further options for who may answer, whom to notify, and how long to wait.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, AirflowException, AirflowFailException, task

from airflow_provider_impactcall.transfers.sql_to_impactcall import SqlToImpactCallOperator

try:
    from airflow.providers.standard.operators.hitl import ApprovalOperator
except (ImportError, AirflowException):  # Before Airflow 3.1, the standard provider raises the second.
    CAN_ASK = False
else:
    CAN_ASK = True

LOOK_BACK = timedelta(days=3)

CALLS = """
SELECT *
FROM calls
WHERE started_at_utc >= :window_start
  AND started_at_utc < :window_end
ORDER BY started_at_utc
"""

QUESTION = """
{%- set found = ti.xcom_pull(task_ids="dry_run") -%}
{%- set seconds = found["expected_seconds"] -%}
**{{ found["not_sent"] }} calls would be sent**
{%- if seconds is none %}. No rate limit is set, so the time that this takes is unknown.
{%- else %}, which takes at least {{ (seconds / 60) | round(1, "ceil") }} minutes at the rate limit.
{%- endif %}

| rows | {{ found["rows"] }} |
|---|---|
{% for name in ("already_delivered", "changed", "duplicate", "filtered", "rejected", "unknown", "not_sent") -%}
| {{ name }} | {{ found[name] }} |
{% endfor %}
{% for warning in found["warnings"] -%}
- Warning `{{ warning["code"] }}`: {{ warning["count"] }}
{% else -%}
No warnings.
{% endfor -%}
"""

SOURCE: dict[str, Any] = {
    "sql_conn_id": "warehouse",
    "sql": CALLS,
    "parameters": {
        # A run without a logical date has no interval: it reads up to the time when it was due.
        "window_start": "{{ ((dag_run.data_interval_end or dag_run.run_after) - look_back)"
        ".strftime('%Y-%m-%d %H:%M:%S') }}",
        "window_end": "{{ (dag_run.data_interval_end or dag_run.run_after).strftime('%Y-%m-%d %H:%M:%S') }}",
    },
    "mapping": {
        "CallerPhoneNumberCountry": "caller_country",
        "CalledPhoneNumberCountry": "called_country",
        "CallRecording": "recording_url",
    },
}

with DAG(
    dag_id="impactcall_with_approval",
    description="Calls of the warehouse to impact.com, once a person has approved what a dry run found",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=10)},
    user_defined_macros={"look_back": LOOK_BACK},
    tags=["impactcall"],
) as dag:
    if CAN_ASK:
        (
            SqlToImpactCallOperator(
                task_id="dry_run", **SOURCE, dry_run=True, max_rejected=1.0, max_unknown=1.0, on_empty="skip"
            )
            >> ApprovalOperator(task_id="approve", subject="Send these calls to impact.com?", body=QUESTION)
            >> SqlToImpactCallOperator(
                task_id="deliver_calls",
                **SOURCE,
                limit="{{ ti.xcom_pull(task_ids='dry_run')['not_sent'] }}",
                max_rejected=0.05,
            )
        )
    else:

        @task(retries=0)
        def approve() -> None:
            raise AirflowFailException("This DAG asks a person to approve a dry run, which needs Airflow 3.1 or newer.")

        approve()
