"""Counts how rows ended, and reports each to the listener."""

from __future__ import annotations

from airflow_provider_impactcall.delivery.items import Item, Listener
from airflow_provider_impactcall.delivery.outcome import DeliveryReport, Outcome, ReasonCode


class Tally:
    """Counts how rows end, and tells the listener.

    :param on_settled: told of every row's outcome
    :ivar report: the counts
    """

    def __init__(self, on_settled: Listener) -> None:
        self.report = DeliveryReport()
        self._on_settled = on_settled

    def settle(self, row: Item, outcome: Outcome) -> None:
        """Count a row that has ended."""
        self.report.count(outcome.state)
        self._on_settled(row, outcome)

    def leave(self, row: Item, code: ReasonCode, reason: str, *, uncertain: bool = False) -> None:
        """Count a row that has ended, and whose call a later run may send.

        :param uncertain: whether an attempt of unknown fate may have been processed
        """
        self.report.given_up += 1
        self.settle(row, Outcome.given_up(uncertain, code, reason))
