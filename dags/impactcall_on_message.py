"""As soon as a call has ended and a message says so: that call goes to impact.com, within seconds.

Your receiver of the vendor's webhook writes the call into the warehouse, and then puts the call's CallSessionId on a
queue. A triggerer of Airflow listens to the queue. Each message starts a run, which reads the call from the warehouse
and delivers it. A message that comes twice does no harm: the delivery ledger knows the call.

A message holds a CallSessionId AND NOTHING ELSE. Airflow keeps each message in its database and shows it: all users of
Airflow would see a caller's number in a message.

Some messages are missed: while the triggerer restarts, or between two messages in Redis, which keeps no messages. So
run ``impactcall_from_warehouse.py`` too: every morning it looks back, and delivers the missing calls.

To listen to queues, Airflow must be 3.0 or newer, with its providers ``common.messaging`` and ``redis`` and a running
triggerer. Without the version or the providers, this DAG has one task, which fails and says so.

WHAT TO CHANGE

- Connections: ``impactcall_default`` and ``warehouse``, as in ``impactcall_from_warehouse.py``, and ``redis_default``.
- ``CALLS_THAT_ENDED``: the queue. Another queue needs another ``scheme`` (``sqs``, ``kafka``), its provider and the
  parameters of its trigger. Its messages have another form: adapt ``said`` to it.
- ``CALL``: your table. A parameter of a query is written ``:call_session_id`` for SQLite and Databricks, ``%(name)s``
  for PostgreSQL, MySQL, Snowflake and BigQuery, and ``$name`` for DuckDB.
- ``ID``: what your vendor's ids look like. A message of another form is ignored, and not shown in the log.
- ``mapping``: the parameters whose columns have other names.
"""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, AirflowFailException, AirflowSkipException, Asset, task

from airflow_provider_impactcall.transfers.sql_to_impactcall import SqlToImpactCallOperator

try:
    from airflow.sdk import AssetWatcher  # isort: skip  (before the provider, which Airflow 2 cannot import)
    from airflow.providers.common.messaging.triggers.msg_queue import MessageQueueTrigger
    from airflow.providers.redis.triggers.redis_await_message import AwaitMessageTrigger as _  # noqa: F401
except ImportError:
    CAN_LISTEN = False
else:
    CAN_LISTEN = True

log = logging.getLogger(__name__)

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{2,63}")

CALL = """
SELECT *
FROM calls
WHERE call_session_id = :call_session_id
"""


def said(payload: Any) -> str:
    return str(payload["data"]) if isinstance(payload, dict) else ""


@task
def heard(**context: Any) -> list[dict[str, str]]:
    events = [event for of_one in context["triggering_asset_events"].values() for event in of_one]
    messages = [said(event.extra.get("payload")) for event in events]
    ids = [message for message in dict.fromkeys(messages) if ID.fullmatch(message)]
    log.info("%d messages, %d calls", len(messages), len(ids))
    if not ids:
        raise AirflowSkipException("No message names a call.")
    return [{"call_session_id": each} for each in ids]


if CAN_LISTEN:
    CALLS_THAT_ENDED = Asset(
        name="calls_that_ended",
        watchers=[
            AssetWatcher(
                name="calls_that_ended",
                trigger=MessageQueueTrigger(
                    scheme="redis+pubsub",
                    channels=["calls_that_ended"],
                    redis_conn_id="redis_default",
                    # In seconds; the default is 60.
                    poll_interval=0.5,
                ),
            )
        ],
    )

with DAG(
    dag_id="impactcall_on_message",
    description="A call to impact.com as soon as a message says that it has ended",
    schedule=[CALLS_THAT_ENDED] if CAN_LISTEN else None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=1)},
    tags=["impactcall"],
):
    if CAN_LISTEN:
        SqlToImpactCallOperator.partial(
            task_id="deliver_call",
            sql_conn_id="warehouse",
            sql=CALL,
            mapping={
                "CallerPhoneNumberCountry": "caller_country",
                "CalledPhoneNumberCountry": "called_country",
                "CallRecording": "recording_url",
            },
            # If the call is not in the warehouse yet, impactcall_from_warehouse delivers it the next morning.
            on_empty="skip",
        ).expand(parameters=heard())
    else:

        @task(retries=0)
        def listen() -> None:
            raise AirflowFailException(
                "This DAG listens to a queue, which needs Airflow 3.0 or newer and its providers common.messaging and "
                "redis."
            )

        listen()
