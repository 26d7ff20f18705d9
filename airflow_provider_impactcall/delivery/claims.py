"""Turns a row into a claim, or into an outcome if it cannot become a claim."""

from __future__ import annotations

from collections.abc import Callable

from airflow_provider_impactcall.delivery.duplicates import Duplicates
from airflow_provider_impactcall.delivery.identity import Claim
from airflow_provider_impactcall.delivery.items import NO_KEY, Call, Item, Rejected, Skipped
from airflow_provider_impactcall.delivery.outcome import (
    Outcome,
    ReasonCode,
    RowOutcome,
)
from airflow_provider_impactcall.records import CallRecord


def claim_of(
    row: Item, duplicates: Duplicates, identify: Callable[[CallRecord], Claim]
) -> tuple[Call, Claim] | Outcome:
    """A row's call with its claim; or the row's outcome, if it is not a valid call or came before in this input."""
    if isinstance(row, Rejected):
        return Outcome(RowOutcome.REJECTED, ReasonCode.INVALID, "; ".join(map(str, row.problems)))
    if isinstance(row, Skipped):
        return Outcome(RowOutcome.FILTERED, ReasonCode.FILTERED, row.reason)
    if duplicates.may_lack_key and not any(row.record.key(duplicates.key)):
        return Outcome(RowOutcome.REJECTED, ReasonCode.WITHOUT_KEY, NO_KEY)
    claim = row.claim
    if claim is None:
        claim = identify(row.record)
        row = row._replace(claim=claim)
    earlier = duplicates.state_of(claim)
    return (row, claim) if earlier is None else _EARLIER[earlier]


_EARLIER = {
    state: Outcome(state, ReasonCode.EARLIER_ROW, "an earlier row of this input holds the same call")
    for state in (RowOutcome.DUPLICATE, RowOutcome.CHANGED)
}
