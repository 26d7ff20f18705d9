"""After each delivery of ``impactcall_from_warehouse.py``: a task that waits until impact.com has the calls.

The delivering DAG's task names an asset as its outlet. When that task has succeeded, Airflow starts this DAG and gives
it the counts of the delivery. One run of this DAG may follow several deliveries, so it adds up their counts. A delivery
that fails does not start this DAG, even if most of its calls arrived. A delivery whose task is skipped does not start
it either.

WHAT TO CHANGE

- ``CALLS_AT_IMPACT``: the asset, the same text as in the delivering DAG. Its path may name your program
  (``CampaignId``), if each program is delivered separately.
- ``refresh``: what to do after a delivery. It gets only counts, no call and no number of a caller.
- If nothing new was delivered (only ``already_delivered``, or a ``dry_run``), ``refresh`` is skipped here. Remove that
  condition if you do not need it.
- ``schedule``: with two assets in the list, it waits for both.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from airflow.providers.common.compat.sdk import DAG, AirflowSkipException, Asset, task

log = logging.getLogger(__name__)

CALLS_AT_IMPACT = Asset(uri="impactcall://twilio.ivr.impactradius.com/")


@task
def delivered(**context: Any) -> dict[str, int]:
    # Airflow 2.11 has the second name.
    events = context.get("triggering_asset_events") or context.get("triggering_dataset_events") or {}
    total: dict[str, int] = {}
    for event in [event for of_one_asset in events.values() for event in of_one_asset]:
        for name, count in (event.extra or {}).items():
            # An event that a person made by hand may hold other values.
            if isinstance(count, int):
                total[name] = total.get(name, 0) + count
    if not total.get("delivered"):
        raise AirflowSkipException("Nothing new was delivered.")
    return total


@task
def refresh(counts: dict[str, int]) -> None:
    log.info("impact.com has %d more calls, and refused %d", counts["delivered"], counts.get("rejected", 0))


with DAG(
    dag_id="impactcall_after_delivery",
    description="Waits until impact.com has the calls",
    schedule=[CALLS_AT_IMPACT],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["impactcall"],
):
    refresh(delivered())  # type: ignore[arg-type]
