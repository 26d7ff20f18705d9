"""Every morning at seven (UTC): Airflow asks a person what became of calls of unknown fate.

A call is *unknown* if it was sent and no answer says what became of it. The first tasks find such calls in the ledger,
and look for them among impact.com's actions, if there is a connection for that. Airflow asks a person about at most
twenty of the remaining calls: each call is a *required action*, which a person answers with *delivered*, *not
delivered* or *leave*. As soon as a person answers, the ledger keeps the answer, with the person's name. If the answer
is *not delivered*, the next run of the delivering DAG that reads the call sends it. An answer is about the attempt that
the question names: if another run has sent the call in the meantime, the answer changes nothing. If the call is then
unknown, it is asked about again the next morning.

Airflow 3.1 and newer can ask people. With an older Airflow, this DAG has one task, which fails and says so.

WHAT TO CHANGE

- Connections: ``impactcall_default`` and ``warehouse``, as in ``impactcall_from_warehouse.py``. ``impact_api_default``
  holds the account's ordinary API credentials; without it, the calls are not looked for at impact.com, and Airflow asks
  at once.
- ``LEDGER``: ``ledger_conn_id`` and ``ledger_namespace``, if your delivering tasks have them.
- ``CALLS`` and ``mapping``: as in the delivering DAG, but for all calls of ``LOOK_BACK``: how old an unknown call may
  be. A parameter of a query is written ``:name`` for SQLite and Databricks, ``%(name)s`` for PostgreSQL, MySQL,
  Snowflake and BigQuery, ``$name`` for DuckDB, and ``?`` (from a list) for Trino.
- ``ask``: who may answer, and who is notified by e-mail or Slack, are options of Airflow's ``HITLOperator``. A question
  that nobody has answered within ``TIME_TO_ANSWER`` counts as *leave*, and is asked again the next morning.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import (
    DAG,
    AirflowException,
    AirflowFailException,
    AirflowNotFoundException,
    AirflowSkipException,
    BaseHook,
    task,
    task_group,
)

from airflow_provider_impactcall.operators.ledger import ReconcileCallsOperator, ResolveCallsOperator

try:
    from airflow.providers.standard.operators.hitl import HITLOperator
except (ImportError, AirflowException):  # Before Airflow 3.1, the standard provider raises the second.
    CAN_ASK = False
else:
    CAN_ASK = True

LEDGER: dict[str, Any] = {}

LOOK_BACK = timedelta(days=45)
TIME_TO_ANSWER = timedelta(hours=20)
MOST = 20

DELIVERED, NOT_DELIVERED, LEAVE = "delivered", "not delivered", "leave"
OUTCOMES = {DELIVERED: "delivered", NOT_DELIVERED: "not_delivered"}

CALLS = """
SELECT *
FROM calls
WHERE started_at_utc >= :window_start
"""


def unknown(most: int) -> list[dict[str, Any]]:
    # Imported here, because these modules would make each parse of this file slow.
    from airflow_provider_impactcall.delivery.ledger.queries import CallQueries
    from airflow_provider_impactcall.delivery.ledger.selection import Selection
    from airflow_provider_impactcall.hooks.ledger import ImpactCallLedgerHook

    with ImpactCallLedgerHook(**LEDGER).ledger() as ledger:
        return CallQueries(ledger).latest(Selection(states=["unknown"]), most)


@task.short_circuit
def are_calls_unknown() -> bool:
    return bool(unknown(1))


# Without impact.com's API, the tasks after the search still run.
@task.short_circuit(ignore_downstream_trigger_rules=False)
def can_be_looked_for() -> bool:
    try:
        BaseHook.get_connection("impact_api_default")
    except AirflowNotFoundException:
        return False
    return True


@task(trigger_rule="none_failed")
def still_unknown() -> list[dict[str, str]]:
    known = ("CallSessionId", "MediaId", "CampaignId", "reason_code", "changed_at", "run_id")
    return [{name: str(call[name]) for name in known} for call in unknown(MOST)]


@task
def question(call: Any) -> dict[str, Any]:
    session_id = call["CallSessionId"].replace("`", "'")
    return {
        "subject": f"Does impact.com have the call {session_id}?",
        "body": f"- CallSessionId: `{session_id}`\n"
        f"- partner (MediaId): {call['MediaId']}\n"
        f"- campaign: {call['CampaignId']}\n"
        f"- unknown since: {call['changed_at']}\n"
        f"- reason code: {call['reason_code']}\n\n"
        f"*{DELIVERED}*: impact.com has it. *{NOT_DELIVERED}*: impact.com does not have it, and it is sent again. "
        f"*{LEAVE}*: nobody knows yet.",
        "call_session_ids": [call["CallSessionId"]],
        "campaign_ids": [call["CampaignId"]],
        # The answer may come many hours later, when another run has sent the call once more and it is unknown again.
        "run_id": call["run_id"],
    }


@task
def answered(given: Any) -> dict[str, str]:
    (chosen,) = given["chosen_options"]
    if chosen == LEAVE:
        raise AirflowSkipException("Nobody knows yet what became of the call.")
    return {"outcome": OUTCOMES[chosen], "actor": given["responded_by_user"]["name"]}


@task_group
def settle(call: Any) -> None:
    about: Any = question(call)
    ask = HITLOperator(
        task_id="ask",
        subject=about["subject"],
        body=about["body"],
        options=[DELIVERED, NOT_DELIVERED, LEAVE],
        defaults=[LEAVE],
        response_timeout=TIME_TO_ANSWER,
    )
    answer: Any = answered(ask.output)
    ResolveCallsOperator(
        task_id="resolve",
        call_session_ids=about["call_session_ids"],
        campaign_ids=about["campaign_ids"],
        run_id=about["run_id"],
        state="unknown",
        outcome=answer["outcome"],
        actor=answer["actor"],
        why="answered in Airflow",
        # Two calls with the same id and campaign may have different outcomes.
        at_most=1,
        **LEDGER,
    )


with DAG(
    dag_id="impactcall_unknown_calls",
    description="Ask a person what became of calls of unknown fate",
    schedule="0 7 * * *" if CAN_ASK else None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1)},
    user_defined_macros={"look_back": LOOK_BACK},
    tags=["impactcall"],
):
    if CAN_ASK:
        reconcile = ReconcileCallsOperator(
            task_id="reconcile",
            sql_conn_id="warehouse",
            sql=CALLS,
            parameters={"window_start": "{{ (dag_run.run_after - look_back).strftime('%Y-%m-%d %H:%M:%S') }}"},
            mapping={
                "CallerPhoneNumberCountry": "caller_country",
                "CalledPhoneNumberCountry": "called_country",
                "CallRecording": "recording_url",
            },
            **LEDGER,
        )
        calls = still_unknown()
        are_calls_unknown() >> can_be_looked_for() >> reconcile >> calls
        settle.expand(call=calls)
    else:

        @task(retries=0)
        def ask() -> None:
            raise AirflowFailException(
                "This DAG asks a person what became of unknown calls, which needs Airflow 3.1 or newer."
            )

        ask()
