"""What a dry run reports: the counts that a delivery has, and what a person wants to know before they approve it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from airflow_provider_impactcall.delivery.dry_run.input_warnings import InputWarning
from airflow_provider_impactcall.delivery.outcome import DeliveryReport, ReportValue


@dataclass
class DryRunReport(DeliveryReport):
    """What would come of every row; what would be sent counts as ``not_sent``.

    :param warnings: what is seldom right about the input
    :param expected_seconds: how long the sending would take at the strictest rate limit; None without any
    """

    warnings: Sequence[InputWarning] = ()
    expected_seconds: float | None = None

    def as_dict(self) -> dict[str, ReportValue]:
        """What a delivery's report has, ``warnings`` and ``expected_seconds``.

        Of the warnings each code once with its count, and no sentence, as a sentence may hold a name of the input.
        """
        counts: Counter[str] = Counter()
        for each in self.warnings:
            counts[each.code.value] += each.count
        warnings: list[dict[str, str | int]] = [{"code": code, "count": count} for code, count in counts.items()]
        return {**super().as_dict(), "warnings": warnings}
