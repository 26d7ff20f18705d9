"""Questions of tests about a decision of any kind."""

from __future__ import annotations

from airflow_provider_impactcall.delivery.ledger.rules import Decision, Send, Settled
from airflow_provider_impactcall.delivery.outcome import RowOutcome


def fence_of(decision: Decision) -> int | None:
    """The fence with which a call may be sent, if it may be sent."""
    return decision.fence if isinstance(decision, Send) else None


def end_of(decision: Decision) -> RowOutcome | None:
    """How a call's row ends, if it ends."""
    return decision.outcome.state if isinstance(decision, Settled) else None


def uncertain(decision: Decision) -> bool:
    """Whether an earlier attempt's fate is unknown, for a call that is not settled."""
    return not isinstance(decision, Settled) and decision.uncertain
