"""An endpoint that answers by a script, an engine in front of it, and what must hold whatever the script says."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from airflow_provider_impactcall.defaults import DEFAULT_KEY
from airflow_provider_impactcall.delivery.duplicates import Duplicates
from airflow_provider_impactcall.delivery.engine.bookkeeper import open_at_most
from airflow_provider_impactcall.delivery.engine.engine import Engine
from airflow_provider_impactcall.delivery.engine.pacing import Pacing
from airflow_provider_impactcall.delivery.items import Call, Item, Rejected
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import (
    Attempt,
    AttemptResult,
    DeliveryReport,
    Outcome,
    ReasonCode,
    RowOutcome,
)
from airflow_provider_impactcall.delivery.rate_limit.permits import RateLimit
from airflow_provider_impactcall.exceptions import DeliveryAborted, Problem, ProblemCode
from airflow_provider_impactcall.records import CallRecord
from tests.delivery import canary, virtual_time
from tests.delivery.ledgers import DirectWriter, in_memory
from tests.delivery.virtual_writer import UNHURRIED, VirtualLedger, VirtualLimiter

OK = Attempt(AttemptResult.DELIVERED, ReasonCode.OK, "200 Status OK", 200)
REFUSED = Attempt(AttemptResult.REJECTED, ReasonCode.REFUSED, "400 Validation Failed", 400)
FORBIDDEN = Attempt(AttemptResult.REJECTED, ReasonCode.REFUSED, "403", 403)
UNAUTHORIZED = Attempt(AttemptResult.ABORT, ReasonCode.SETUP_REFUSED, "401, the credentials are refused", 401)
NO_ANSWER = Attempt(AttemptResult.UNKNOWN, ReasonCode.NO_ANSWER, "no complete answer (TimeoutError)")
NO_CONNECTION = Attempt(AttemptResult.NOT_SENT, ReasonCode.NO_CONNECTION, "no connection (ConnectionRefusedError)")
ERROR_500 = Attempt(AttemptResult.AGAIN, ReasonCode.RETRY_LATER, "500", 500)
TOO_MANY = Attempt(AttemptResult.AGAIN, ReasonCode.RETRY_LATER, "429", 429)


def too_many(seconds: float) -> Attempt:
    return Attempt(AttemptResult.AGAIN, ReasonCode.RETRY_LATER, "429", 429, seconds)


_PARAMETERS = CallRecord.of(canary.row()).parameters()


def a_call(number: int, session_id: object = None, **changes: Any) -> Call:
    """The call of the row with this number; quick to make."""
    session = f"{canary.WORD}-{number if session_id is None else session_id}"
    return Call(number, CallRecord.of({**_PARAMETERS, "CallSessionId": session, **changes}))


def calls(count: int) -> list[Call | Rejected]:
    return [a_call(number) for number in range(1, count + 1)]


def invalid(number: int) -> Rejected:
    return Rejected(number, None, (Problem("MediaId", ProblemCode.MISSING, "is missing"),))


@dataclass
class Request:
    """One attempt, as the endpoint saw it."""

    session_id: str
    began: float
    counted: float
    in_flight: int
    attempt: Attempt


@dataclass
class Endpoint:
    """Answers by a function of (call's number in its id, attempt from 1).

    :param answer: the answer to a request
    :param latency: seconds until the endpoint counts the request, and from then until the answer is there
    """

    answer: Callable[[str, int], Attempt]
    latency: Callable[[], tuple[float, float]] = lambda: (0.05, 0.05)
    requests: list[Request] = field(default_factory=list)
    processed: Counter[str] = field(default_factory=Counter)
    attempts: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0

    async def send(self, record: CallRecord) -> Attempt:
        session_id = record.CallSessionId.removeprefix(f"{canary.WORD}-")
        self.attempts[session_id] += 1
        self.in_flight += 1
        began, in_flight = virtual_time.now(), self.in_flight
        there, back = self.latency()
        await asyncio.sleep(there)
        attempt = self.answer(session_id, self.attempts[session_id])
        self.requests.append(Request(session_id, began, virtual_time.now(), in_flight, attempt))
        if attempt.result is AttemptResult.DELIVERED:
            self.processed[session_id] += 1
        await asyncio.sleep(back)
        self.in_flight -= 1
        return attempt


@dataclass
class Run:
    """One run of an engine, checked against what must hold in every run."""

    report: DeliveryReport
    settled: dict[int, Outcome]
    aborted: ReasonCode | None
    ended: float
    run_id: str

    def states(self, *rows: int) -> list[RowOutcome]:
        return [self.settled[row].state for row in rows]


Source = Iterable[Item] | AsyncIterator[Sequence[Item]]


def deliver(
    endpoint: Endpoint,
    rows: Source,
    *,
    limits: Sequence[RateLimit] = (),
    max_wait: float = 60.0,
    concurrency: int = 8,
    limit: int | None = None,
    key: Sequence[str] = DEFAULT_KEY,
    ledger: Ledger | None = None,
    continues: Sequence[str] = (),
) -> Run:
    """Run an engine in virtual time, and check what must hold in every run."""
    settled: dict[int, Outcome] = {}
    taken: list[Item] = []

    def note(row: Item, outcome: Outcome) -> None:
        assert row.row not in settled, "no row is settled twice"
        settled[row.row] = outcome

    async def batches() -> AsyncIterator[Sequence[Item]]:
        if isinstance(rows, AsyncIterator):
            async for batch in rows:
                taken.extend(batch)
                yield batch
        else:
            batch = list(rows)
            taken.extend(batch)
            yield batch

    async def main() -> Run:
        # A rate limit is counted by the database's clock, which then has to be the virtual one.
        kept = VirtualLedger(virtual_time.running_loop(), UNHURRIED) if limits else ledger or in_memory()
        writer = DirectWriter(kept, key)
        limiter = VirtualLimiter(kept, writer.run_id, limits) if limits else None
        engine = Engine(
            duplicates=Duplicates(key),
            pacing=Pacing(limiter, max_wait, Random(1)),
            on_settled=note,
            concurrency=concurrency,
            limit=limit,
            continues=continues,
            timings=UNHURRIED,
        )
        aborted, message = None, ""
        try:
            report = await engine.run(endpoint.send, writer, batches())
        except DeliveryAborted as error:
            aborted, message, report = ReasonCode(error.code), str(error), error.report
        assert not canary.found_in(message)
        assert writer.open_at_once <= open_at_most(concurrency), "those in flight, and a quarter that is next"
        return Run(report, settled, aborted, virtual_time.now(), writer.run_id)

    run = virtual_time.run(main())
    counts = Counter(outcome.state.value for outcome in settled.values())
    assert sorted(settled) == sorted(row.row for row in taken), "each row is settled"
    assert run.report.rows == run.report.accounted == len(taken)
    assert {state: getattr(run.report, state) for state in counts} == counts
    assert run.report.delivered == sum(endpoint.processed.values())
    assert set(endpoint.processed.values()) <= {1}, "no call is processed twice"
    assert endpoint.in_flight == 0
    assert all(request.in_flight <= concurrency for request in endpoint.requests)
    if limit is not None:
        assert len(endpoint.attempts) <= limit
    return run
