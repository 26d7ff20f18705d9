"""Engines that meet what other runs left, or hold, in the ledger."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence

import sqlalchemy as sa

from airflow_provider_impactcall.delivery.duplicates import Duplicates
from airflow_provider_impactcall.delivery.engine.engine import Engine
from airflow_provider_impactcall.delivery.engine.pacing import Pacing
from airflow_provider_impactcall.delivery.identity import Claim
from airflow_provider_impactcall.delivery.items import Call, Rejected
from airflow_provider_impactcall.delivery.ledger.rules import Decision, Settlement
from airflow_provider_impactcall.delivery.ledger.schema import runs
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import (
    Attempt,
    AttemptResult,
    CallState,
    DeliveryReport,
    ReasonCode,
    Stop,
)
from airflow_provider_impactcall.exceptions import DeliveryAborted
from airflow_provider_impactcall.records import CallRecord
from tests.delivery import virtual_time
from tests.delivery.ledgers import DirectWriter, in_memory
from tests.delivery.scripted import NO_ANSWER, OK, UNAUTHORIZED, calls

Answer = Callable[[int], Attempt]


def deliver(writer: DirectWriter, answer: Answer, *, count: int = 2, limit: int | None = None) -> DeliveryReport:
    """The report of a run; the requests are answered by their number from 1."""
    requests = 0

    async def send(_: CallRecord) -> Attempt:
        nonlocal requests
        requests += 1
        return answer(requests)

    async def batches() -> AsyncIterator[Sequence[Call | Rejected]]:
        yield calls(count)

    async def main() -> DeliveryReport:
        engine = Engine(
            duplicates=Duplicates(), pacing=Pacing(), on_settled=lambda *_: None, concurrency=1, limit=limit
        )
        try:
            return await engine.run(send, writer, batches())
        except DeliveryAborted as aborted:
            return aborted.report

    return virtual_time.run(main())


def an_open_call(ledger: Ledger, *, alive: bool) -> None:
    """Another run has taken the first call, and holds its lease or is dead."""
    other = DirectWriter(ledger)
    (call,) = calls(1)
    assert isinstance(call, Call)
    asyncio.run(other.record([other.identify(call.record)], []))
    if not alive:
        with ledger.engine.begin() as connection:
            connection.execute(sa.update(runs).values(lease_until=0.0))


def test_a_call_that_a_living_run_holds_for_longer_than_a_lease_is_given_up() -> None:
    ledger = in_memory()
    an_open_call(ledger, alive=True)
    report = deliver(DirectWriter(ledger), lambda _: OK)
    assert (report.delivered, report.not_sent, report.given_up) == (1, 1, 1)


def test_a_call_that_a_dead_run_held_is_unknown_without_a_send_as_with_one() -> None:
    ledger = in_memory()
    an_open_call(ledger, alive=False)
    dry = deliver(DirectWriter(ledger), lambda _: OK, limit=0)
    assert (dry.unknown, dry.not_sent, dry.given_up) == (1, 1, 0)
    real = deliver(DirectWriter(ledger), lambda _: OK)
    assert (real.unknown, real.delivered) == (1, 1)


def test_what_is_held_uses_up_no_limit() -> None:
    ledger = in_memory()
    an_open_call(ledger, alive=False)
    report = deliver(DirectWriter(ledger), lambda _: OK, limit=1)
    assert (report.unknown, report.delivered) == (1, 1)


def test_an_abort_after_an_attempt_of_unknown_fate_leaves_it_unknown() -> None:
    report = deliver(DirectWriter(in_memory(), resend=True), lambda n: NO_ANSWER if n == 1 else UNAUTHORIZED, count=1)
    assert (report.unknown, report.not_sent) == (1, 0)


def test_a_call_of_unknown_fate_stays_so_if_the_run_stops_before_it_is_sent_again() -> None:
    pacing = Pacing()
    engine = Engine(duplicates=Duplicates(), pacing=pacing, on_settled=lambda *_: None)

    async def send(_: CallRecord) -> Attempt:
        pacing.stop(Stop(ReasonCode.RUN_STOPPED, "the task was asked to stop"))
        return NO_ANSWER

    async def batches() -> AsyncIterator[Sequence[Call | Rejected]]:
        yield calls(1)

    report = virtual_time.run(engine.run(send, DirectWriter(in_memory(), resend=True), batches()))
    assert (report.unknown, report.not_sent, report.given_up) == (1, 0, 1)


class SlowWriter(DirectWriter):
    """A ledger that takes its time, in which the run is asked to stop."""

    interrupt = threading.Event()

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger)
        self.settled: list[AttemptResult] = []

    async def record(
        self, claims: Sequence[Claim], settlements: Sequence[Settlement]
    ) -> tuple[Sequence[Decision] | None, Sequence[CallState]]:
        self.settled += [settlement.attempt.result for settlement in settlements]
        self.interrupt.set()
        await asyncio.sleep(1.0)
        return await super().record(claims, settlements)


def test_nothing_leaves_once_the_run_was_asked_to_stop_while_its_intent_was_written() -> None:
    writer = SlowWriter(in_memory())
    requests: list[CallRecord] = []

    async def send(call: CallRecord) -> Attempt:
        requests.append(call)
        return OK

    async def batches() -> AsyncIterator[Sequence[Call | Rejected]]:
        yield calls(3)

    async def main() -> DeliveryReport:
        engine = Engine(
            duplicates=Duplicates(), pacing=Pacing(), on_settled=lambda *_: None, interrupt=SlowWriter.interrupt
        )
        return await engine.run(send, writer, batches())

    report = virtual_time.run(main())
    assert requests == []
    assert (report.not_sent, report.given_up) == (3, 3)
    assert writer.settled == [AttemptResult.NOT_SENT] * 3
