"""Rows that an upstream task returns go to impact.com.

The upstream task stands for whatever you have: a call platform's API, a file, a message queue. It returns the
rows as the platform spells them, and the options of the operator say what they mean.

WHAT TO CHANGE

- ``finished_calls``: fetch your calls, and leave out those that are still running.
- ``mapping``: the platform's name for each parameter, or a function of the row where the value has to be computed.
- ``constants``: what is the same for every call, here your program and event type at impact.com.
- ``timezone``: the zone of times that carry no offset; leave it out if yours do.
- Airflow keeps in its own database what a task returns, callers' numbers included. For many calls, or where that
  must not be, see ``impactcall_taskflow.py``, whose rows never leave their task.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_impactcall.operators.impactcall import ImpactCallOperator


def call_status(call: dict[str, Any]) -> str:
    return "ANSWER" if call["answered"] and not call["voicemail"] else "CANCEL"


def talk_seconds(call: dict[str, Any]) -> int:
    return call["duration"] if call_status(call) == "ANSWER" else 0


@task
def finished_calls() -> list[dict[str, Any]]:
    return [
        {
            "id": "CAL8154748ae6bd4e278a7cddd38a662f4f",
            "start_time": "2026-11-20T11:27:48",
            "customer_phone_number": "+12125550123",
            "tracking_phone_number": "+13035550191",
            "duration": 184,
            "answered": True,
            "voicemail": False,
            "partner_id": "20417",
            "customer_city": "New York",
            "customer_state": "NY",
        },
        {
            "id": "CALb2b6fd0d7f2c4f1b8d5f0a1e6c3d9e42",
            "start_time": "2026-11-20T11:41:02",
            "customer_phone_number": "(617) 555-0148",
            "tracking_phone_number": "+13035550192",
            "duration": 21,
            "answered": False,
            "voicemail": False,
            "partner_id": "20533",
            "customer_city": "Cambridge",
            "customer_state": "MA",
        },
    ]


with DAG(
    dag_id="impactcall_from_upstream",
    description="Calls from an upstream task to impact.com",
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
        mapping={
            "MediaId": "partner_id",
            "CallSessionId": "id",
            "EventDate": "start_time",
            "CallerId": "customer_phone_number",
            "CalledPhoneNumber": "tracking_phone_number",
            "CallDuration": "duration",
            "TalkDuration": talk_seconds,
            "CallStatus": call_status,
            "City": "customer_city",
            "Region": "customer_state",
        },
        constants={"CampaignId": 4101, "ActionTrackerId": 40110, "CallProvider": "CallRail"},
        timezone="America/New_York",
    )
