"""What a run asks of a ledger."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Protocol

from airflow_provider_impactcall.delivery.identity import Claim
from airflow_provider_impactcall.delivery.ledger.entries import Entry
from airflow_provider_impactcall.delivery.ledger.rules import (
    Decision,
    Settlement,
)
from airflow_provider_impactcall.delivery.outcome import (
    CallState,
)
from airflow_provider_impactcall.records import CallRecord


class RunLedger(Protocol):
    """One run's access to a ledger; :class:`.LedgerWriter` is the real one."""

    run_id: str
    resend: bool

    @property
    def may_send(self) -> bool:
        """Whether the run's lease is held."""

    def identify(self, call: CallRecord) -> Claim:
        """The claim for a call."""

    async def look_up(self, keys: Sequence[str]) -> Mapping[str, Entry]:
        """What the ledger holds of these calls."""

    async def take(self, claim: Claim) -> Decision:
        """Record durably that a call is about to be sent, if it may be."""

    def settle(self, settlement: Settlement) -> Awaitable[CallState]:
        """Record durably what came of an attempt, before anything that is taken after this was called.

        :return: to be awaited: the state that the ledger has its call in from now on
        """
