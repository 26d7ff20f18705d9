"""After each delivery of ``impactcall_from_warehouse.py``: what has to wait until impact.com has the calls.

That DAG's task names an asset as its outlet. When it has succeeded, Airflow starts this DAG and hands it the counts of
what came of the rows. Several deliveries may start it once, so their counts are added up. A delivery that
fails starts nothing, even if most of its calls arrived; neither does one whose task is skipped.

WHAT TO CHANGE

- ``CALLS_AT_IMPACT``: the asset, the same text as in the delivering DAG. Its path may name your program
  (``CampaignId``), if programs are delivered apart.
- ``refresh``: what is to be done then. It gets counts alone, no call and no number of a caller.
- Nothing new delivered (``already_delivered`` alone, or a ``dry_run``) skips it here; take that out if it matters not.
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
    # The second is how Airflow 2.11 calls them.
    events = context.get("triggering_asset_events") or context.get("triggering_dataset_events") or {}
    total: dict[str, int] = {}
    for event in [event for of_one_asset in events.values() for event in of_one_asset]:
        for name, count in (event.extra or {}).items():
            # What marks an event by hand may hold something else.
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
    description="What waits for impact.com to have the calls",
    schedule=[CALLS_AT_IMPACT],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["impactcall"],
):
    refresh(delivered())  # type: ignore[arg-type]
