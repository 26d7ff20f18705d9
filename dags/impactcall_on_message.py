"""As soon as a call has ended and a message says so: that call goes to impact.com, within seconds.

Whatever receives your vendor's webhook writes the call into the warehouse, and then puts its CallSessionId on a queue.
A triggerer of Airflow listens to the queue, and each message starts a run, which reads the call from the warehouse and
delivers it. A message that comes twice does no harm: the delivery ledger knows the call.

A message holds a CallSessionId AND NOTHING ELSE. Airflow keeps each message in its database and shows it, so a caller's
number in it would be there for all to see.

Some messages are heard by nobody: while the triggerer restarts, or between two messages in Redis, which keeps none.
Run ``impactcall_from_warehouse.py`` too: every morning it looks back, and delivers the calls that are missing.

Airflow listens to queues from version 3.0 on, with its providers ``common.messaging`` and ``redis``, and a running
triggerer. Without them, this DAG has one task, which fails and says so.

WHAT TO CHANGE

- Connections: ``impactcall_default`` and ``warehouse``, as in ``impactcall_from_warehouse.py``, and ``redis_default``.
- ``CALLS_THAT_ENDED``: the queue. Another queue has another ``scheme`` (``sqs``, ``kafka``), with the provider for it
  and the parameters of its trigger, and ``said`` reads its messages, which have another form.
- ``CALL``: your table. ``:call_session_id`` is how SQLite and Databricks have a parameter written; PostgreSQL, MySQL,
  Snowflake and BigQuery ``%(name)s``, DuckDB ``$name``.
- ``ID``: what your vendor's ids look like. A message that is something else is left out, and not shown.
- ``mapping``: the parameters whose columns are named otherwise.
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
                    # Seconds; it is a minute otherwise.
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
            # It is not in the warehouse yet: the next morning's look-back delivers it.
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
