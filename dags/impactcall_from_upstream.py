"""A call-tracking vendor's calls, as an upstream task returns them, go to impact.com.

The upstream task stands for the task that fetches your calls, from a vendor's API, a file or a message queue. A preset
knows the vendor's columns, which calls must not be sent (outbound, not ended, anonymous), and what the vendor's
statuses mean.

WHAT TO CHANGE

- ``finished_calls``: fetch your calls, as your vendor gives them. It may also return the path of a file of them.
- ``vendor``: the preset of your vendor. Without a preset, columns are found by name, and ``mapping`` names the others.
- ``mapping``: values that no preset can know. Here it is the partner of each tracking number. The table may also be a
  CSV file or a query.
- ``constants``: values that are the same for every call, here your program and event type at impact.com.
- Airflow keeps the result of a task in its own database, callers' numbers included. For many calls, or if Airflow must
  not keep the numbers, see ``impactcall_taskflow.py``, whose rows never leave their task.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_impactcall.operators.impactcall import ImpactCallOperator

PARTNERS = {"+13035550191": 20417, "+13035550192": 20533}


@task
def finished_calls() -> list[dict[str, Any]]:
    return [
        {
            "id": "CAL8154748ae6bd4e278a7cddd38a662f4f",
            "start_time": "2026-11-20T11:27:48.119-05:00",
            "direction": "inbound",
            "customer_phone_number": "+12125550123",
            "tracking_phone_number": "+13035550191",
            "duration": 184,
            "answered": True,
            "voicemail": False,
            "customer_city": "New York",
            "customer_state": "NY",
        },
        {
            "id": "CALb2b6fd0d7f2c4f1b8d5f0a1e6c3d9e42",
            "start_time": "2026-11-20T11:41:02.730-05:00",
            "direction": "inbound",
            "customer_phone_number": "+16175550148",
            "tracking_phone_number": "+13035550192",
            "duration": 21,
            "answered": False,
            "voicemail": False,
            "customer_city": "Cambridge",
            "customer_state": "MA",
        },
        {
            "id": "CAL5e0c4a7f1b9d4c52a3f60b8de7714c90",
            "start_time": "2026-11-20T11:58:15.006-05:00",
            "direction": "outbound",
            "customer_phone_number": "+16175550148",
            "tracking_phone_number": "+13035550192",
            "duration": 95,
            "answered": True,
            "voicemail": False,
            "customer_city": "Cambridge",
            "customer_state": "MA",
        },
    ]


with DAG(
    dag_id="impactcall_from_upstream",
    description="A call-tracking vendor's calls from an upstream task to impact.com",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=10)},
    tags=["impactcall"],
):
    ImpactCallOperator(
        task_id="deliver_calls",
        calls=finished_calls(),
        vendor="callrail",
        mapping={"MediaId": {"from": "tracking_phone_number", "lookup": PARTNERS}},
        constants={"CampaignId": 4101, "ActionTrackerId": 40110, "CallProvider": "CallRail"},
    )
