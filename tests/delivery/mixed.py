"""A ledger with a call in every state, of several partners, with awkward reasons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from airflow_provider_impactcall.defaults import DEFAULT_KEY
from airflow_provider_impactcall.delivery.identity import identify
from airflow_provider_impactcall.delivery.items import Call, Rejected, Skipped
from airflow_provider_impactcall.delivery.ledger.corrections import Corrections
from airflow_provider_impactcall.delivery.ledger.edits import Author
from airflow_provider_impactcall.delivery.ledger.row_writer import RowWriter
from airflow_provider_impactcall.delivery.ledger.rules import Settlement
from airflow_provider_impactcall.delivery.ledger.schema import calls, runs
from airflow_provider_impactcall.delivery.ledger.selection import Selection
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import (
    Attempt,
    AttemptResult,
    DeliveryReport,
    Outcome,
    ReasonCode,
    RowOutcome,
)
from airflow_provider_impactcall.delivery.reading import read
from airflow_provider_impactcall.records import CallMapping, CallRecord
from tests import examples
from tests.delivery.decisions import fence_of

NAMESPACE = "https://calls.example.com"
SCRIPT = "400 <script>alert('it''s')</script>"
TASK = "calls_to_impact/deliver/manual__2026-11-26T10:00:00+00:00"

OK = Attempt(AttemptResult.DELIVERED, ReasonCode.OK, "200 Status OK", 200)
REFUSED = Attempt(AttemptResult.REJECTED, ReasonCode.REFUSED, SCRIPT, 400)
NO_ANSWER = Attempt(AttemptResult.UNKNOWN, ReasonCode.NO_ANSWER, "no complete answer (TimeoutError)")
BUSY = Attempt(AttemptResult.AGAIN, ReasonCode.RETRY_LATER, "429", 429)


def attempted(ledger: Ledger, attempt: Attempt | None, *session_ids: str, source: str = "test", **changes: Any) -> str:
    """Calls that a run sent, with their outcomes; None if that run is still sending. Returns the run's id."""
    run_id = ledger.start(source, "")
    records = [CallRecord.of(examples.call(session_id, **changes)) for session_id in session_ids]
    claims = [identify(ledger.namespace, DEFAULT_KEY, record) for record in records]
    decisions, _ = ledger.record(run_id, claims, [], resend=False)
    if attempt is not None:
        fences = [fence_of(decision) or 0 for decision in decisions or []]
        ended = [Settlement(claim.key, fence, attempt) for claim, fence in zip(claims, fences, strict=True)]
        ledger.record(run_id, [], ended, resend=False)
        report = DeliveryReport()
        for _ in claims:
            again = attempt.result is AttemptResult.AGAIN
            report.count(RowOutcome.NOT_SENT if again else RowOutcome(attempt.result))
        ledger.end(run_id, report)
    return run_id


def fill(ledger: Ledger) -> dict[str, str]:
    """Eight calls; ``died`` is one that a dead run left open. Returns the ids of the runs, by call."""
    made = {
        "delivered": attempted(ledger, OK, "delivered", "delivered-2", source=f"{TASK}/1"),
        "rejected": attempted(ledger, REFUSED, "rejected", source=f"{TASK}/map_index=3/2", MediaId=20000),
        "unknown": attempted(ledger, NO_ANSWER, "unknown", source=f"{TASK}/map_index=31/1", CampaignId=2000),
        "not_sent": attempted(ledger, BUSY, "not_sent"),
        "died": attempted(ledger, None, "died"),
        "requeued": attempted(ledger, NO_ANSWER, "requeued"),
        "open": attempted(ledger, None, "open"),
    }
    with ledger.writing() as connection:
        connection.execute(sa.update(runs).where(runs.c.run_id == made["died"]).values(lease_until=1.0))
    Corrections(ledger).requeue(Selection(call_session_ids=["requeued"]), Author("alice", "=cmd|' /C calc'!A0"))
    return made


def read_by_a_run(ledger: Ledger, rows: Iterable[Mapping[str, Any]], *left_out: str, **options: Any) -> str:
    """Rows that a run read: those that are not calls are rejected, and the calls came again with other content.

    :param left_out: a reason for each further row that is left out
    :return: the run's id
    """
    run_id = ledger.start(f"{TASK}/1", "")
    report = DeliveryReport()
    with RowWriter(ledger, run_id, DEFAULT_KEY, **options) as writer:
        items = [*read(rows, CallMapping(), key=DEFAULT_KEY), *(Skipped(0, None, why) for why in left_out)]
        for item in items:
            match item:
                case Rejected():
                    reason = "; ".join(map(str, item.problems))
                    outcome = Outcome(RowOutcome.REJECTED, ReasonCode.INVALID, reason)
                case Call():
                    outcome = Outcome(RowOutcome.CHANGED, ReasonCode.DELIVERED_BEFORE, "delivered by an earlier run")
                case Skipped():
                    outcome = Outcome(RowOutcome.FILTERED, ReasonCode.FILTERED, item.reason)
            writer.note(item, outcome)
            report.count(outcome.state)
    ledger.end(run_id, report)
    return run_id


def fill_rows(ledger: Ledger) -> str:
    """Beside :func:`fill`: four rows that are not calls, of which three lack a parameter, three that were left out, and
    a delivered call that came again with other content. Returns the id of the run that read them.
    """
    rows = [
        examples.call("without-duration", CallDuration=None),
        examples.call("without-campaign", CampaignId=None, MediaId=20000),
        examples.call("without-duration-too", CallDuration=None),
        examples.call("of-no-time", EventDate="soon"),
        examples.call("delivered", CallDuration=999),
    ]
    return read_by_a_run(ledger, rows, "outbound", "live", "outbound")


def move(ledger: Ledger, session_ids: Sequence[str], seconds: float) -> None:
    """Move calls, and the runs that changed them last, into the past by so much."""
    of_calls = calls.c.CallSessionId.in_(session_ids)
    with ledger.writing() as connection:
        run_ids = connection.execute(sa.select(calls.c.run_id).where(of_calls)).scalars().all()
        connection.execute(sa.update(calls).where(of_calls).values(changed_at=calls.c.changed_at - seconds))
        times = {"started_at": runs.c.started_at - seconds, "ended_at": runs.c.ended_at - seconds}
        connection.execute(sa.update(runs).where(runs.c.run_id.in_(run_ids)).values(**times))
