"""A task waits without a worker: what it passes from one run to the next, and when it may wait."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator, Context

if TYPE_CHECKING:
    from airflow_provider_impactcall.delivery.outcome import DeliveryReport
    from airflow_provider_impactcall.integration.options import DeliveryOptions

log = logging.getLogger(__name__)

MOST_FRUITLESS = 10
"""The most runs of a try in a row that sent no call to its end."""
MOST_RUNS = 1000
"""The most runs of a try: Airflow keeps all their ids in one field of its database."""


@dataclass(frozen=True)
class Progress:
    """What the runs of a try have done so far: ids of runs, counts and a time, as this passes through Airflow's
    database.

    :param runs: the ledger's ids of the runs, the first one first
    :param rows: how many rows the last run read
    :param sent: calls that no later run has to send
    :param fruitless: runs since one of them sent a call to its end
    :param since: when the try began: ISO 8601, with an offset; empty before its first run has ended
    """

    runs: tuple[str, ...] = ()
    rows: int = 0
    sent: int = 0
    fruitless: int = 0
    since: str = ""

    @classmethod
    def of(cls, event: Mapping[str, Any] | None) -> Progress:
        """The progress of an :meth:`as_event`. Fields that another version of this package added are left out."""
        known = {each.name: event[each.name] for each in fields(cls) if each.name in event} if event else {}
        return cls(**{**known, "runs": tuple(known.get("runs", ()))})

    def as_event(self) -> dict[str, Any]:
        """The progress as JSON."""
        return {**asdict(self), "runs": list(self.runs)}

    def after(self, report: DeliveryReport, began: datetime) -> Progress:
        """The progress after another run.

        :param began: when the try began, if the progress does not know it yet
        """
        return Progress(
            runs=(*self.runs, report.run_id),
            rows=report.rows,
            sent=self.sent + report.sent,
            fruitless=0 if report.sent else self.fruitless + 1,
            since=self.since or began.isoformat(),
        )

    def rest_of(self, options: DeliveryOptions) -> DeliveryOptions:
        """The options of the next run: calls that were sent count against the try's limit."""
        return options if options.limit is None else replace(options, limit=max(0, options.limit - self.sent))

    def look_at(self, report: DeliveryReport) -> None:
        """Log a warning if the input has lost rows since the run before: this try does not send their calls."""
        if report.rows < self.rows and not report.unread:
            log.warning(
                "There were %d rows before the wait, and there are %d: this task sends only rows that are read again",
                self.rows,
                report.rows,
            )


def wait_if_that_helps(
    operator: BaseOperator, context: Context, report: DeliveryReport, before: Progress, *, readable_again: bool = True
) -> None:
    """If the run stopped because the endpoint or a rate limit asks to wait, have the task wait without a worker and
    continue in its method ``resume``.

    :param report: the run's report
    :param before: the progress before this run
    :param readable_again: whether the rows can be read a second time
    :raises TaskDeferred: if the task waits
    """
    from airflow_provider_impactcall.delivery.outcome import ReasonCode

    instance, stop = context.get("ti"), report.stop
    asked_for = (ReasonCode.ENDPOINT_ASKS_TO_WAIT, ReasonCode.RATE_LIMIT_USED_UP)
    # Without a task instance, Airflow would not call the operator again.
    if instance is None or stop is None or stop.retry_at is None or stop.code not in asked_for:
        return
    if not readable_again:
        log.warning("Does not wait: the calls are an iterator, which can be read once only")
        return
    now = datetime.now(UTC)
    done = before.after(report, getattr(instance, "start_date", None) or now)
    left: timedelta | None = None
    if operator.execution_timeout is not None:
        left = datetime.fromisoformat(done.since) + operator.execution_timeout - now
        if stop.retry_at >= now + left:
            log.warning("Does not wait: execution_timeout ends before it may go on")
            return
    if done.fruitless >= MOST_FRUITLESS:
        log.warning("Does not wait again: the last %d runs of this try sent no call", done.fruitless)
        return
    if len(done.runs) >= MOST_RUNS:
        log.warning("Does not wait again: this try has had %d runs", len(done.runs))
        return
    # Not at the top: every parse of a DAG file would pay for it.
    from airflow_provider_impactcall.triggers.impactcall import WaitTrigger

    log.info(
        "Waits without a worker until %s; calls still to be sent: %d",
        f"{stop.retry_at:%Y-%m-%dT%H:%M:%SZ}",
        report.given_up,
    )
    operator.defer(trigger=WaitTrigger(stop.retry_at.isoformat(), done.as_event()), method_name="resume", timeout=left)


def can_be_read_once(rows: Any) -> bool:
    """Whether reading uses the rows up, all or in part. A task that continues in the same process, as under
    ``dag.test()``, could not read them again.
    """
    return isinstance(rows, Iterator) or (type(rows) in (list, tuple) and any(map(can_be_read_once, rows)))
