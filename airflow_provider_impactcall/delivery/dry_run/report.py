"""The report of a dry run: a delivery's counts, and what a person has to know to approve the delivery."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from airflow_provider_impactcall.delivery.dry_run.input_warnings import InputWarning
from airflow_provider_impactcall.delivery.outcome import DeliveryReport, ReportValue


@dataclass
class DryRunReport(DeliveryReport):
    """How every row would end; calls that would be sent count as ``not_sent``.

    :param warnings: the warnings about the input
    :param expected_seconds: how long the sending would take at the strictest rate limit; None without a limit
    """

    warnings: Sequence[InputWarning] = ()
    expected_seconds: float | None = None

    def as_dict(self) -> dict[str, ReportValue]:
        """A delivery's report, plus ``warnings`` and ``expected_seconds``.

        The warnings are given as codes, each once with its count. Their sentences are left out, as a sentence may hold
        a column's name.
        """
        counts: Counter[str] = Counter()
        for each in self.warnings:
            counts[each.code.value] += each.count
        warnings: list[dict[str, str | int]] = [{"code": code, "count": count} for code, count in counts.items()]
        return {**super().as_dict(), "warnings": warnings}
