"""Ten minutes in which the endpoint takes nothing, in virtual time, with the ledger and its lease: nothing leaves
early, a few dozen probes and not thousands, everything delivered once in the end, or by the next run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_provider_impactcall.delivery.duplicates import Duplicates
from airflow_provider_impactcall.delivery.engine.bookkeeper import open_at_most
from airflow_provider_impactcall.delivery.engine.engine import Engine
from airflow_provider_impactcall.delivery.engine.pacing import Pacing
from airflow_provider_impactcall.delivery.identity import Claim
from airflow_provider_impactcall.delivery.items import Call, Rejected
from airflow_provider_impactcall.delivery.ledger.entries import HISTORY
from airflow_provider_impactcall.delivery.ledger.rules import Recorded, Settlement
from airflow_provider_impactcall.delivery.ledger.schema import calls as ledger_calls
from airflow_provider_impactcall.delivery.ledger.schema import runs
from airflow_provider_impactcall.delivery.outcome import Attempt, AttemptResult, DeliveryReport, ReasonCode
from airflow_provider_impactcall.delivery.wire.response import attempt_of
from tests.delivery.scripted import NO_CONNECTION, OK, TOO_MANY, Endpoint, Request, a_call, calls, too_many
from tests.delivery.virtual_time import VirtualTimeLoop
from tests.delivery.virtual_writer import PUNCTUAL, LoopClock, VirtualLedger, VirtualWriter

CALLS = 120
CONCURRENCY = 8
THERE, BACK = 0.05, 0.05
ROUND_TRIP = THERE + BACK
BEGIN, END = 1.0, 601.0
LONGEST_BACK_OFF = 30.0
SEEDS = range(3)
A_TICK = 1e-6

# In virtual time, what is looked at five times a second would be most of the work.
QUIET = replace(PUNCTUAL, interrupt_poll=1e9)
TAKEN_BACK = [code.value for code in (ReasonCode.HELD_BACK, ReasonCode.NO_PROGRESS, ReasonCode.ENDPOINT_ASKS_TO_WAIT)]
"""Why a call that was claimed did not leave: a wait had begun, or the run had stopped."""
UNAVAILABLE = Attempt(AttemptResult.AGAIN, ReasonCode.RETRY_LATER, "503", 503)


def refused_with(**headers: str) -> Attempt:
    """What the endpoint's 429 with these headers is taken for."""
    return attempt_of(429, {name.replace("_", "-"): value for name, value in headers.items()}, b"")


class Storm:
    """One endpoint, one ledger and one clock, for one run after the other.

    :param answer: what the endpoint says while the storm lasts
    """

    def __init__(self, loop: VirtualTimeLoop, answer: Callable[[], Attempt]) -> None:
        self.loop = loop
        self.ledger = VirtualLedger(loop)
        self._answer = answer
        self.endpoint = Endpoint(self._answer_in_time, lambda: (THERE, BACK))
        self.begin, self.end = BEGIN, END

    def _answer_in_time(self, *_: object) -> Attempt:
        assert self.ask(sa.select(runs.c.run_id).where(runs.c.lease_until > self.loop.time())), "the lease is kept"
        return self._answer() if self.begin <= self.loop.time() < self.end else OK

    def deliver(self, max_wait: float, seed: int = 0) -> DeliveryReport:
        """One run over all the calls, and what must hold of any."""
        writer = VirtualWriter(self.ledger)
        delivered_before = sum(self.endpoint.processed.values())

        async def batches() -> AsyncIterator[Sequence[Call | Rejected]]:
            yield calls(CALLS)

        async def main() -> DeliveryReport:
            engine = Engine(
                duplicates=Duplicates(),
                pacing=Pacing(max_wait=max_wait, random=Random(seed), clock=LoopClock(self.loop)),
                on_settled=lambda *_: None,
                concurrency=CONCURRENCY,
                timings=QUIET,
            )
            async with writer:
                return await engine.run(self.endpoint.send, writer, batches())

        report = self.loop.run_until_complete(main())
        self.ledger.end(writer.run_id, report)
        processed = self.endpoint.processed
        assert set(processed.values()) <= {1}, "no call is processed twice"
        assert report.already_delivered == delivered_before
        assert report.delivered == len(processed) - delivered_before
        assert report.not_sent == report.given_up == CALLS - len(processed), "the next run may send the others"
        assert writer.open_at_once <= open_at_most(CONCURRENCY)
        states = [row.state for row in self.ask(sa.select(ledger_calls.c.state))]
        assert states.count("delivered") == len(processed)
        assert states.count("not_sent") == len(states) - len(processed), "nothing is left open or unknown"
        intents = self.ask(sa.select(sa.func.sum(ledger_calls.c.attempts)))[0][0]
        stayed = self.ask(sa.select(sa.func.count()).where(HISTORY.c.reason_code.in_(TAKEN_BACK)))[0][0]
        assert intents == len(self.endpoint.requests) + stayed, "each request has had its intent, and no other call"
        assert self.early() == []
        return report

    def ask(self, query: sa.Select[Any]) -> list[Any]:
        with self.ledger.engine.connect() as connection:
            return list(connection.execute(query))

    def during(self) -> list[Request]:
        return [request for request in self.endpoint.requests if self.begin <= request.counted < self.end]

    def probes(self) -> list[Request]:
        """The requests of the storm but for those that were in flight when its first word was heard."""
        first, *others = self.during()
        return [request for request in others if request.began > first.counted + BACK]

    def after(self) -> list[Request]:
        return [request for request in self.endpoint.requests if request.counted >= self.end]

    def early(self) -> list[Request]:
        """The requests that left after a wait had been asked for, and before it was over."""
        waits = [
            (request.counted + BACK, request.counted + BACK + request.attempt.retry_after)
            for request in self.endpoint.requests
            if request.attempt.retry_after is not None
        ]
        return [
            request
            for request in self.endpoint.requests
            if any(heard + A_TICK < request.began < until - A_TICK for heard, until in waits)
        ]

    def sleep_until(self, moment: float) -> None:
        self.loop.jump(max(0.0, moment - self.loop.time()))


@pytest.fixture
def storm_of() -> Iterator[Callable[[Callable[[], Attempt]], Storm]]:
    with ExitStack() as stack:
        loop = VirtualTimeLoop()
        stack.callback(loop.close)

        def storm_of(answer: Callable[[], Attempt]) -> Storm:
            storm = Storm(loop, answer)
            stack.callback(storm.ledger.engine.dispose)
            return storm

        yield storm_of


StormOf = Callable[[Callable[[], Attempt]], Storm]


def check_recovery(storm: Storm, longest_wait: float) -> None:
    """After the end, one probe, and with its answer all the concurrency there is."""
    probe, *others = storm.after()
    assert probe.began <= storm.end + longest_wait
    assert (probe.in_flight, probe.attempt) == (1, OK)
    first = others[: CONCURRENCY - 1]
    assert [request.began for request in first] == pytest.approx([probe.counted + BACK] * len(first))
    assert len(storm.after()) == CALLS - len([r for r in storm.endpoint.requests if r.counted < BEGIN])


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("outage", [TOO_MANY, NO_CONNECTION, UNAVAILABLE], ids=["429", "no-connection", "503"])
def test_ten_minutes_without_a_word_of_how_long(storm_of: StormOf, outage: Attempt, seed: int) -> None:
    storm = storm_of(lambda: outage)
    report = storm.deliver(max_wait=900, seed=seed)
    assert (report.delivered, report.stop) == (CALLS, None)
    probes = storm.probes()
    together = [request for request in probes if request.in_flight == 1]
    if outage in (TOO_MANY, NO_CONNECTION):
        assert together == probes, "one probe at a time from the first answer on"
    gaps = [later.began - earlier.counted - BACK for earlier, later in pairwise(together)]
    assert max(gaps) <= LONGEST_BACK_OFF + A_TICK
    duration = END - BEGIN
    # The longest wait, every time, is the least that there can be; with full jitter it is half of that, on average.
    assert len(probes) >= duration // (LONGEST_BACK_OFF + ROUND_TRIP)
    assert len(storm.during()) <= 2 * CONCURRENCY + 2 * duration / (LONGEST_BACK_OFF / 2)
    check_recovery(storm, LONGEST_BACK_OFF)


@pytest.mark.parametrize("seed", SEEDS)
def test_ten_minutes_of_429_that_say_how_long(storm_of: StormOf, seed: int) -> None:
    random = Random(seed)
    storm = storm_of(lambda: too_many(random.choice([2.0, 20.0, 45.0])))
    report = storm.deliver(max_wait=900, seed=seed)
    assert (report.delivered, report.stop) == (CALLS, None)
    probes = storm.probes()
    assert all(request.in_flight == 1 for request in probes)
    # Each probe leaves when the wait that was asked for is over, and no sooner; of several, the longest counts.
    waits = [request.attempt.retry_after or 0.0 for request in probes]
    gaps = [later.began - earlier.counted - BACK for earlier, later in pairwise(probes)]
    assert gaps == pytest.approx(waits[:-1])
    check_recovery(storm, 45.0)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "outage", [TOO_MANY, NO_CONNECTION, too_many(20.0)], ids=["429", "no-connection", "retry-after"]
)
def test_a_run_with_less_patience_stops_in_time_and_the_next_one_delivers(
    storm_of: StormOf, outage: Attempt, seed: int
) -> None:
    storm = storm_of(lambda: outage)
    first = storm.deliver(max_wait=60, seed=seed)
    stopped, heard = storm.loop.time(), storm.during()[0].counted + BACK
    assert heard + 60 - LONGEST_BACK_OFF <= stopped <= heard + 60 + ROUND_TRIP
    assert first.delivered > 0
    assert first.stop is not None
    assert first.stop.retry_at is not None
    retry_at = first.stop.retry_at.timestamp()
    assert stopped - A_TICK <= retry_at <= stopped + LONGEST_BACK_OFF
    if outage.retry_after is not None:
        last = storm.during()[-1]
        assert retry_at == pytest.approx(last.counted + BACK + outage.retry_after, abs=1e-3), "when the endpoint says"
    storm.sleep_until(retry_at)
    second = storm.deliver(max_wait=60, seed=seed + 1)
    assert (second.delivered, second.already_delivered) == (0, first.delivered), "one that comes during the outage"
    storm.sleep_until(END)
    third = storm.deliver(max_wait=60, seed=seed + 2)
    assert third.delivered == CALLS - first.delivered


@pytest.mark.parametrize("headers", [{"Retry_After": "3600"}, {"Retry_After": "7200"}, {"X_RateLimit_Reset": "86400"}])
def test_an_hour_or_more_stops_at_once_and_says_when_to_try_again(storm_of: StormOf, headers: dict[str, str]) -> None:
    storm = storm_of(lambda: refused_with(**headers))
    first = storm.deliver(max_wait=60)
    asked_until = max(request.counted + BACK for request in storm.during()) + 3600
    assert storm.loop.time() <= BEGIN + 2 * ROUND_TRIP, "no probe, and no back-off"
    assert len(storm.during()) <= CONCURRENCY
    assert first.stop is not None
    assert first.stop.retry_at is not None
    assert first.stop.retry_at.timestamp() == pytest.approx(asked_until, abs=ROUND_TRIP)
    (kept,) = storm.ask(sa.select(runs.c.stop))
    assert f"{datetime.fromtimestamp(int(asked_until), UTC):%Y-%m-%dT%H:%M}" in kept.stop
    storm.sleep_until(first.stop.retry_at.timestamp())
    assert storm.deliver(max_wait=60).delivered == CALLS - first.delivered


def test_an_hour_is_waited_for_if_there_is_patience_and_the_lease_is_kept(storm_of: StormOf) -> None:
    storm = storm_of(lambda: refused_with(Retry_After="9999"))
    report = storm.deliver(max_wait=4000)
    assert (report.delivered, report.stop) == (CALLS, None)
    assert storm.probes() == []
    assert storm.after()[0].began >= BEGIN + 3600
    check_recovery(storm, 3600.0 + ROUND_TRIP)


@pytest.mark.parametrize(
    "headers",
    [{"Retry_After": "0"}, {"RateLimit_Reset": "1600000000"}, {"Retry_After": "Fri, 31 Dec 1999 23:59:59 GMT"}],
)
def test_a_wait_that_is_over_already(storm_of: StormOf, headers: dict[str, str]) -> None:
    """It is backed off from all the same, one request at a time; and the next run delivers."""
    storm = storm_of(lambda: refused_with(**headers))
    first = storm.deliver(max_wait=60)
    heard = storm.during()[0].counted + BACK
    assert all(request.in_flight == 1 for request in storm.probes())
    assert len(storm.probes()) <= 30, "a minute of back-off that doubles up to 30 s, each time anything from nothing on"
    assert storm.loop.time() <= heard + 60 + 2 * ROUND_TRIP
    assert first.stop is not None
    assert 0 < first.delivered < CALLS
    storm.sleep_until(END)
    assert storm.deliver(max_wait=60).delivered == CALLS - first.delivered


def test_a_short_storm_of_waits_that_are_over_already(storm_of: StormOf) -> None:
    storm = storm_of(lambda: refused_with(Retry_After="0"))
    storm.end = BEGIN + 5
    report = storm.deliver(max_wait=60)
    assert (report.delivered, report.stop) == (CALLS, None)
    check_recovery(storm, LONGEST_BACK_OFF)


def test_what_was_admitted_before_a_wait_was_asked_for_does_not_leave_in_it() -> None:
    """Its intent was being written meanwhile; it is taken back, and the call leaves once the wait is over."""
    loop = VirtualTimeLoop()
    writer = VirtualWriter(VirtualLedger(loop), commit=(0.02, 0.0))
    left: list[tuple[str, float]] = []

    async def send(call: Any) -> Attempt:
        left.append((call.CallSessionId[-1], loop.time()))
        await asyncio.sleep(0.05)
        return too_many(20.0) if len(left) == 1 else OK

    async def batches() -> AsyncIterator[Sequence[Call | Rejected]]:
        yield [a_call(1)]
        await asyncio.sleep(0.04)
        yield [a_call(2)]

    async def main() -> DeliveryReport:
        pacing = Pacing(clock=LoopClock(loop))
        engine = Engine(duplicates=Duplicates(), pacing=pacing, on_settled=lambda *_: None, timings=PUNCTUAL)
        async with writer:
            return await engine.run(send, writer, batches())

    report = loop.run_until_complete(main())
    loop.close()
    assert report.delivered == 2
    (_, first), *later = left
    assert sorted(call for call, _ in later) == ["1", "2"]
    assert all(moment >= first + 20 for _, moment in later)


def test_the_next_group_waits_at_the_ledger_only_while_nothing_is_in_flight() -> None:
    loop = VirtualTimeLoop()
    in_flight = 0
    # Of each group: how many the ledger had not answered, and the requests in flight.
    beside: list[tuple[int, int]] = []

    class Watched(VirtualWriter):
        unanswered = 0

        async def record(self, claims: Sequence[Claim], settlements: Sequence[Settlement]) -> Recorded:
            beside.append((self.unanswered, in_flight))
            self.unanswered += 1
            try:
                return await super().record(claims, settlements)
            finally:
                self.unanswered -= 1

    async def send(call: Any) -> Attempt:
        nonlocal in_flight
        in_flight += 1
        await asyncio.sleep(0.001)
        in_flight -= 1
        return OK

    async def batches() -> AsyncIterator[Sequence[Call | Rejected]]:
        yield calls(100)

    async def main() -> DeliveryReport:
        pacing = Pacing(clock=LoopClock(loop))
        engine = Engine(duplicates=Duplicates(), pacing=pacing, on_settled=lambda *_: None, timings=PUNCTUAL)
        async with writer:
            return await engine.run(send, writer, batches())

    writer = Watched(VirtualLedger(loop), commit=(0.02, 0.0))
    report = loop.run_until_complete(main())
    loop.close()
    assert report.delivered == 100
    assert {unanswered for unanswered, _ in beside} == {0, 1}, "at most two groups at once"
    assert {requests for unanswered, requests in beside if unanswered} == {0}
    assert writer.open_at_once <= open_at_most(8)
