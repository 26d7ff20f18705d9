"""What a run asks of a ledger."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Protocol

from airflow_provider_impactcall.delivery.identity import Claim
from airflow_provider_impactcall.delivery.ledger.entries import Entry
from airflow_provider_impactcall.delivery.ledger.rules import Decision, Settlement
from airflow_provider_impactcall.delivery.outcome import CallState
from airflow_provider_impactcall.records import CallRecord


class RunLedger(Protocol):
    """One run's access to a ledger; :class:`.LedgerWriter` is the real one."""

    run_id: str
    resend: bool

    @property
    def may_send(self) -> bool:
        """Whether the run's lease is held."""

    def identify(self, call: CallRecord) -> Claim:
        """The claim for a call. Asks nobody, and may be called by any thread."""

    def look_up(self, keys: Sequence[str]) -> Awaitable[Mapping[str, Entry]]:
        """What the ledger holds of these calls.

        :raises LedgerUnusable: when awaited, if it cannot be asked
        """

    def record(
        self, claims: Sequence[Claim], settlements: Sequence[Settlement]
    ) -> Awaitable[tuple[Sequence[Decision] | None, Sequence[CallState]]]:
        """Record durably what came of attempts, and that the calls claimed are about to be sent, if they may be: all
        of it in one transaction.

        :return: what may be done with each call that is claimed, or None if the run's lease has run out; and the state
            that each call settled is in from now on: another run may know more of it
        :raises LedgerUnusable: when awaited, if nothing can be recorded
        """
