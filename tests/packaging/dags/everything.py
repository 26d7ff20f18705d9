"""Every operator, the decorator, the hooks and the retry policy in one DAG file. The connections and files that it
names do not exist.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG, task

from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from airflow_provider_impactcall.hooks.ledger import ImpactCallLedgerHook
from airflow_provider_impactcall.operators.impactcall import ImpactCallOperator
from airflow_provider_impactcall.operators.ledger import (
    AcceptChangesOperator,
    AdoptCallsOperator,
    DismissRowsOperator,
    ExportLedgerOperator,
    FollowActionsOperator,
    MigrateLedgerOperator,
    PurgeLedgerOperator,
    ReconcileCallsOperator,
    RequeueCallsOperator,
    ResolveCallsOperator,
)
from airflow_provider_impactcall.operators.retries import RetryAtPolicy
from airflow_provider_impactcall.transfers.sql_to_impactcall import SqlToImpactCallOperator

ENDPOINT = "calls_of_nowhere"
WAREHOUSE = "warehouse_of_nowhere"
LEDGER = "ledger_of_nowhere"
TO_DELIVER: dict[str, Any] = {"impactcall_conn_id": ENDPOINT, "ledger_conn_id": LEDGER}
TO_CORRECT: dict[str, Any] = {**TO_DELIVER, "why": "nightly"}
RETRIES: dict[str, Any] = {"retries": 2}
if RetryAtPolicy.__base__ is not object:
    RETRIES["retry_policy"] = RetryAtPolicy()

ImpactCallHook(ENDPOINT)
ImpactCallLedgerHook(ENDPOINT, LEDGER)


@task
def finished_calls() -> list[dict[str, Any]]:
    return [{"CallSessionId": "CA123"}]


@task.impactcall(**TO_DELIVER, **RETRIES)
def answered_calls(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return found


with DAG("everything", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)):
    calls = finished_calls()
    answered_calls(calls)
    ImpactCallOperator(task_id="upstream", calls=calls, **TO_DELIVER, **RETRIES)
    ImpactCallOperator.partial(task_id="mapped", **TO_DELIVER).expand(calls=[[], []])
    query: dict[str, Any] = {"sql": "SELECT * FROM calls", "sql_conn_id": WAREHOUSE, "parameters": {"day": "{{ ds }}"}}
    SqlToImpactCallOperator(task_id="warehouse", **query, **TO_DELIVER, **RETRIES)
    AdoptCallsOperator(task_id="adopt", **query, **TO_CORRECT)
    ReconcileCallsOperator(task_id="reconcile", **query, **TO_CORRECT)
    FollowActionsOperator(task_id="follow", since="{{ ds }}", keep_amounts=True, **query, **TO_CORRECT)
    ExportLedgerOperator(task_id="export", sql_conn_id=WAREHOUSE, table="calls", **TO_DELIVER)
    MigrateLedgerOperator(task_id="migrate", ledger_conn_id="embedded")
    PurgeLedgerOperator(task_id="purge", older_than=400, **TO_CORRECT)
    RequeueCallsOperator(task_id="requeue", state=["rejected"], since=datetime(2026, 1, 1, tzinfo=UTC), **TO_CORRECT)
    ResolveCallsOperator.partial(task_id="resolve", outcome="delivered", **TO_CORRECT).expand(call_session_ids=["a"])
    AcceptChangesOperator(task_id="accept", state="changed", **TO_CORRECT)
    DismissRowsOperator(task_id="dismiss", state="invalid", dry_run=True, **TO_CORRECT)
