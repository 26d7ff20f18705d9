"""The link from a task instance in Airflow to its runs on the page."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar
from urllib.parse import quote

from airflow.providers.common.compat.sdk import BaseOperatorLink

from airflow_provider_impactcall.integration.source import TaskInstance
from airflow_provider_impactcall.plugins.urls import page_url

_OPERATORS = {
    # By the module that defines the class.
    "operators.corrections": (
        "RequeueCallsOperator",
        "ResolveCallsOperator",
        "AcceptChangesOperator",
        "DismissRowsOperator",
    ),
    "operators.impactcall": ("ImpactCallOperator",),
    "operators.ledger": (
        "AdoptCallsOperator",
        "ReconcileCallsOperator",
        "FollowActionsOperator",
        "PurgeLedgerOperator",
    ),
    "transfers.sql_to_impactcall": ("SqlToImpactCallOperator",),
    "decorators.impactcall": ("ImpactCallDecoratedOperator",),
}


class LedgerLink(BaseOperatorLink):
    """The runs of the ledger that a task instance made, in all its tries."""

    name = "Calls in the ledger"
    # Airflow compares these names with the tasks of a DAG. With the classes themselves, every process that loads
    # plugins would have to import them.
    operators: ClassVar[list[Any]] = [
        SimpleNamespace(__name__=name, __module__=f"airflow_provider_impactcall.{module}")
        for module, names in _OPERATORS.items()
        for name in names
    ]

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        """Where the page shows the runs.

        :param operator: not used
        :param ti_key: Airflow's ``TaskInstanceKey``
        """
        instance = TaskInstance(ti_key.dag_id, ti_key.task_id, ti_key.run_id, ti_key.map_index)
        return f"{page_url()}#source={quote(str(instance), safe='/=')}"
