"""The interface of a ledger, as one run uses it."""

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
        """The claim for a call. Needs no database, and any thread may call it."""

    def look_up(self, keys: Sequence[str]) -> Awaitable[Mapping[str, Entry]]:
        """The ledger's entries for these keys.

        :raises LedgerUnusable: when awaited, if the ledger cannot be read
        """

    def record(
        self, claims: Sequence[Claim], settlements: Sequence[Settlement]
    ) -> Awaitable[tuple[Sequence[Decision] | None, Sequence[CallState]]]:
        """Record durably, in one transaction, the outcomes of attempts and the intents of claimed calls that may be
        sent.

        :return: first, what may be done with each claimed call, or None if the run's lease has run out. Second, the
            state of each settled call from now on: another run may know more of it
        :raises LedgerUnusable: when awaited, if nothing can be recorded
        """
