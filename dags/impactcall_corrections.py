"""A form for corrections: a person decides about calls and rows in Airflow, without a shell.

Airflow shows the form when a person triggers the DAG: what to do, with which calls or rows, and why. If *Apply* is
empty or 0, the run is a dry run: its task changes nothing, and says in its log and its XCom how many calls or rows it
would change. Trigger the DAG again with the same answers and that number in *Apply*: the task makes the change, but
refuses if more are selected by then. The ledger keeps who triggered the run, and why.

WHAT TO CHANGE

- Connection ``impactcall_default``, as in ``impactcall_from_warehouse.py``: it says which calls are meant.
- ``LEDGER``: ``ledger_conn_id`` and ``ledger_namespace``, if your delivering tasks have them.
- ``params``: remove what nobody should do here. Every person who may trigger this DAG may do the rest.
- ``WHY``: the minimum length of a reason; or give ``why`` a pattern, such as the form of your ticket numbers.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.common.compat.sdk import DAG, Param, task

from airflow_provider_impactcall.operators.ledger import (
    AcceptChangesOperator,
    DismissRowsOperator,
    RequeueCallsOperator,
    ResolveCallsOperator,
)

LEDGER: dict[str, Any] = {}

WHY = 5

# The keys are the ids of the tasks below.
WHAT = {
    "requeue": "Requeue: the next run that reads these calls sends them",
    "resolve_as_delivered": "Resolve as delivered: impact.com has these calls",
    "resolve_as_not_delivered": "Resolve as not delivered: impact.com does not have these calls",
    "accept": "Accept: these delivered calls came again with other content, and nothing is sent",
    "dismiss": "Dismiss: nobody will mend these invalid rows",
}

ANY = "any"
STATES = ("rejected", "unknown", "requeued", "not_sent", "delivered", "changed", "invalid")


def optional(title: str, description: str, **schema: Any) -> Param:
    return Param(None, title=title, description=description, **{"type": ["null", "string"], **schema})


WHICH = {
    "call_session_ids": optional("CallSessionIds", "Separated by commas or line ends.", format="multiline"),
    "reason_code": optional("Reason code", "As the page of deliveries shows it: no_answer, refused, ..."),
    "run_id": optional("Run", "The ledger's id of the run that changed these calls last."),
    "since": optional("Since", "Changed at this time or later.", format="date-time"),
    "until": optional("Until", "Changed before this time.", format="date-time"),
    "reason": optional("Reason", "A part of the reason's sentence.", section="More conditions"),
    "status": optional("HTTP status", "Of the answer; 0 if there was none.", section="More conditions"),
    "media_ids": optional("MediaIds", "Partners, separated by commas.", section="More conditions"),
    "campaign_ids": optional("CampaignIds", "Separated by commas.", section="More conditions"),
}

CORRECTION: dict[str, Any] = {
    **{name: f"{{{{ params.{name} or '' }}}}" for name in WHICH},
    "state": f"{{{{ '' if params.state == '{ANY}' else params.state }}}}",
    "why": "{{ params.why }}",
    "at_most": "{{ params.apply or '' }}",
    "dry_run": "{{ not params.apply }}",
    **LEDGER,
}


@task.branch
def what_to_do(params: Any = None) -> str:
    return str(params["what"])


with DAG(
    dag_id="impactcall_corrections",
    description="Requeue, resolve, accept or dismiss what a person selects",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    # For a ledger that cannot be reached. A refused correction fails without a retry.
    default_args={"retries": 2, "retry_delay": timedelta(seconds=30)},
    tags=["impactcall"],
    params={
        "what": Param("requeue", title="What to do", type="string", enum=list(WHAT), values_display=WHAT),
        "state": Param(
            ANY,
            title="State",
            description="The state of the calls or rows. any: every state in which this can be done.",
            type="string",
            enum=[ANY, *STATES],
        ),
        **WHICH,
        "why": Param(title="Why", description="Kept with each change.", type="string", minLength=WHY, maxLength=250),
        "may_arrive_twice": Param(
            False,
            title="May arrive twice",
            description="Requeue calls of unknown fate too. impact.com may have them, and would then pay twice.",
            type="boolean",
        ),
        "apply": Param(
            None,
            title="Apply",
            description="Empty or 0: a dry run, which tells the number. That number: change so many, and no more.",
            type=["null", "integer"],
            minimum=0,
        ),
    },
) as dag:
    what_to_do() >> [
        RequeueCallsOperator(task_id="requeue", may_arrive_twice="{{ params.may_arrive_twice }}", **CORRECTION),
        ResolveCallsOperator(task_id="resolve_as_delivered", outcome="delivered", **CORRECTION),
        ResolveCallsOperator(task_id="resolve_as_not_delivered", outcome="not_delivered", **CORRECTION),
        AcceptChangesOperator(task_id="accept", **CORRECTION),
        DismissRowsOperator(task_id="dismiss", **CORRECTION),
    ]
