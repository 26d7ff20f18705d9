from __future__ import annotations

import asyncio
import re
from bisect import bisect_left
from collections.abc import AsyncIterator, Sequence
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_impactcall.delivery.engine.pacing import Pacing
from airflow_provider_impactcall.delivery.items import Call, Rejected
from airflow_provider_impactcall.delivery.outcome import Attempt, AttemptResult, ReasonCode, Stop
from airflow_provider_impactcall.delivery.rate_limit.permits import RateLimit
from tests.delivery import virtual_time
from tests.delivery.scripted import ERROR_500, NO_ANSWER, NO_CONNECTION, OK, Endpoint, a_call, calls, deliver, too_many
from tests.delivery.virtual_writer import UNHURRIED, VirtualLedger, VirtualLimiter
from tests.effort import scaled


def most_in_a_window(times: list[float], seconds: float) -> int:
    """The most of these moments that any half-open window of time holds."""
    times = sorted(times)
    # A timer may fire a nanosecond early: the clock's own resolution is no breach.
    return max((bisect_left(times, time + seconds - 1e-6) - place for place, time in enumerate(times)), default=0)


LATENCIES = st.lists(
    st.tuples(st.floats(0, 4), st.floats(0, 4)) | st.tuples(st.just(0.0), st.just(0.0)), min_size=1, max_size=12
)


@settings(max_examples=scaled(40))
@given(
    latencies=LATENCIES,
    per_second=st.integers(1, 20),
    per_minute=st.integers(10, 60),
    concurrency=st.integers(1, 16),
    failures=st.integers(0, 5),
)
def test_no_window_holds_more_than_its_limit_as_the_endpoint_counts(
    latencies: list[tuple[float, float]], per_second: int, per_minute: int, concurrency: int, failures: int
) -> None:
    """A slow request may be counted with a later one's window: only when it was answered is its place free again."""
    ticks = iter(range(10**6))
    endpoint = Endpoint(
        lambda session_id, attempt: ERROR_500 if int(session_id) % 7 < failures and attempt == 1 else OK,
        lambda: latencies[next(ticks) % len(latencies)],
    )
    limits = [RateLimit(per_second, 1.0), RateLimit(per_minute, 60.0)]
    run = deliver(endpoint, calls(40), limits=limits, concurrency=concurrency, max_wait=10_000)
    counted = [request.counted for request in endpoint.requests]
    assert run.report.delivered == 40
    assert most_in_a_window(counted, 1.0) <= per_second
    assert most_in_a_window(counted, 60.0) <= per_minute


def test_a_call_that_is_refused_here_says_nothing_of_an_endpoint_in_trouble() -> None:
    too_long = Attempt(AttemptResult.REJECTED, ReasonCode.TOO_LONG, "the request would hold 70000 bytes of parameters")
    endpoint = Endpoint(lambda session_id, _: too_long if int(session_id) % 2 else NO_CONNECTION, lambda: (0.0, 0.0))

    async def rows() -> AsyncIterator[Sequence[Call | Rejected]]:
        for number in range(2, 32):
            yield [a_call(number)]
            await asyncio.sleep(10.0)

    run = deliver(endpoint, rows(), max_wait=60.0)
    assert run.report.stop is not None
    assert run.report.stop.code is ReasonCode.NO_PROGRESS
    assert max(request.began for request in endpoint.requests) <= 61.0, "whatever is refused here meanwhile"


def test_who_asked_to_wait_is_named_whatever_came_of_other_requests_after_it() -> None:
    latencies = iter([(0.1, 0.0), (0.2, 0.0), (0.3, 0.0)])
    endpoint = Endpoint(
        lambda session_id, _: {"1": too_many(1000.0), "2": NO_ANSWER}.get(session_id, ERROR_500),
        lambda: next(latencies, (0.0, 0.0)),
    )
    run = deliver(endpoint, calls(9), concurrency=3, max_wait=60.0)
    assert run.report.stop is not None
    assert (run.report.stop.code, run.report.stop.reason) == (
        ReasonCode.ENDPOINT_ASKS_TO_WAIT,
        "the endpoint asks to wait (429)",
    )


def test_a_run_that_gets_no_answers_and_has_nothing_to_wait_for_knows_no_time_to_come_back() -> None:
    endpoint = Endpoint(lambda *_: NO_ANSWER, lambda: (10.0, 0.0))
    run = deliver(endpoint, calls(10), concurrency=1, max_wait=35.0)
    assert run.report.stop is not None
    assert (run.report.stop.code, run.report.stop.retry_at) == (ReasonCode.NO_PROGRESS, None)
    assert [request.began for request in endpoint.requests] == pytest.approx([0.0, 10.0, 20.0, 30.0, 40.0], abs=0.1)


def test_a_limit_is_used_to_the_full() -> None:
    endpoint = Endpoint(lambda *_: OK, lambda: (0.0, 0.0))
    run = deliver(endpoint, calls(100), limits=[RateLimit(10, 1.0)])
    assert run.ended == pytest.approx(9.0, rel=0.02), "ten at once in each second, the first at zero"


@pytest.mark.parametrize(("rate", "seconds_each"), [(0.5, 2.0), (0.1, 10.0)])
def test_a_limit_below_one_stretches_the_window(rate: float, seconds_each: float) -> None:
    endpoint = Endpoint(lambda *_: OK, lambda: (0.0, 0.0))
    run = deliver(endpoint, calls(5), limits=[RateLimit(rate, 1.0)])
    assert run.ended == pytest.approx(4 * seconds_each, rel=0.02)


def test_a_fraction_is_left_out_so_that_no_window_holds_more() -> None:
    endpoint = Endpoint(lambda *_: OK, lambda: (0.0, 0.0))
    run = deliver(endpoint, calls(50), limits=[RateLimit(2.5, 1.0)])
    assert most_in_a_window([request.counted for request in endpoint.requests], 1.0) == 2
    assert run.ended == pytest.approx(24.0, rel=0.02)


def test_a_limit_of_our_own_that_is_used_up_for_longer_than_max_wait_stops_the_run() -> None:
    endpoint = Endpoint(lambda *_: OK)
    run = deliver(endpoint, calls(100), limits=[RateLimit(10, 3600.0)], max_wait=60)
    assert (run.report.delivered, run.report.not_sent) == (10, 90)
    assert run.report.stop is not None
    assert run.report.stop.code is ReasonCode.RATE_LIMIT_USED_UP
    assert {"10", "3600"} <= set(re.findall(r"\d+", run.report.stop.reason)), "it says which limit"
    assert run.report.stop.retry_at is not None
    assert run.ended < 1


def test_a_limit_beyond_the_calendar_stops_the_run_like_any_other() -> None:
    run = deliver(Endpoint(lambda *_: OK), calls(3), limits=[RateLimit(1e-13, 1.0)])
    assert (run.report.delivered, run.report.not_sent) == (1, 2)


def test_waiting_for_our_own_limit_is_progress() -> None:
    endpoint = Endpoint(lambda *_: OK)
    run = deliver(endpoint, calls(20), limits=[RateLimit(1, 50.0)], max_wait=60)
    assert (run.report.delivered, run.report.stop) == (20, None)


def test_a_wait_for_the_limit_is_told_from_one_that_the_endpoint_asks_for() -> None:
    async def main() -> None:
        ledger = VirtualLedger(virtual_time.running_loop(), UNHURRIED)
        pacing = Pacing(VirtualLimiter(ledger, ledger.start("test", ""), [RateLimit(1, 12.0)]))
        async with pacing.open():
            for attempt in (too_many(8.0), OK):
                assert await pacing.admit()
                pacing.observe(attempt)
        assert virtual_time.now() > 12.0
        assert pacing.limited_seconds == pytest.approx(virtual_time.now() - 8.0), "from when the other one is over"

    virtual_time.run(main())


def test_failures_are_counted_by_the_limit_as_well() -> None:
    endpoint = Endpoint(lambda _, attempt: OK if attempt > 2 else too_many(1.0), lambda: (0.0, 0.0))
    deliver(endpoint, calls(20), limits=[RateLimit(3, 1.0)])
    assert len(endpoint.requests) == 60
    assert most_in_a_window([request.counted for request in endpoint.requests], 1.0) <= 3


def test_requests_that_fail_together_count_as_one_failure() -> None:
    """Otherwise eight in flight would jump straight to the longest back-off."""

    async def main() -> None:
        pacing = Pacing(random=_Longest())
        for _ in range(8):
            assert await pacing.admit()
        for _ in range(8):
            pacing.observe(NO_CONNECTION)
        assert await pacing.admit()
        assert virtual_time.now() == pytest.approx(1.0), "0.5 s doubled once"

    virtual_time.run(main())


@pytest.mark.parametrize(
    ("failures", "wait"), [(1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 16.0), (6, 30.0), (60, 30.0)]
)
def test_back_off_doubles_to_half_a_minute(failures: int, wait: float) -> None:
    async def main() -> None:
        pacing = Pacing(max_wait=1e6, random=_Longest())
        for _ in range(failures):
            assert await pacing.admit()
            pacing.observe(NO_CONNECTION)
        before = virtual_time.now()
        assert await pacing.admit()
        assert virtual_time.now() - before == pytest.approx(wait)

    virtual_time.run(main())


def test_four_failures_of_single_calls_slow_nobody_down_and_five_do() -> None:
    async def main() -> list[bool]:
        pacing, held_up = Pacing(max_wait=1e6, random=_Longest()), []
        for _ in range(5):
            assert await pacing.admit()
            pacing.observe(ERROR_500)
            held_up.append(pacing.holds_up)
        return held_up

    assert virtual_time.run(main()) == [False] * 4 + [True]


def test_as_many_are_admitted_at_once_as_may_leave() -> None:
    async def main() -> list[int]:
        pacing = Pacing(max_wait=1e6, random=_Longest())
        admitted = [pacing.admit_at_once(5)]
        for _ in range(5):
            pacing.observe(NO_CONNECTION)
        admitted.append(pacing.admit_at_once(5))
        await asyncio.sleep(60.0)
        admitted += [pacing.admit_at_once(5), pacing.admit_at_once(5)]
        pacing.observe(OK)
        admitted.append(pacing.admit_at_once(5))
        pacing.stop(Stop(ReasonCode.RUN_STOPPED, "the task was asked to stop"))
        return [*admitted, pacing.admit_at_once(5), pacing.in_flight]

    assert virtual_time.run(main()) == [5, 0, 1, 0, 5, 0, 5], "one at a time, until one is answered"


def test_permits_are_asked_for_calls_that_follow_and_not_for_those_in_flight() -> None:
    async def main() -> Sequence[int]:
        pacing = Pacing(max_wait=1e6)
        for _ in range(3):
            pacing.take_up()
        assert await pacing.admit()
        assert await pacing.admit()
        return pacing.demand()

    assert virtual_time.run(main()) == (0, 1), "of three in hand two are in flight"


def test_permits_are_asked_for_calls_that_wait_once() -> None:
    async def main() -> Sequence[int]:
        pacing = Pacing(max_wait=1e6)
        pacing.take_up(5)
        assert pacing.admit_at_once(2) == 2
        async with pacing.open(lambda: 3):
            return pacing.demand()

    assert virtual_time.run(main()) == (3, 3), "of five in hand two are in flight, and three wait"


def test_a_request_that_need_not_wait_leaves_until_max_wait_is_over() -> None:
    async def main() -> list[int]:
        pacing = Pacing(max_wait=60)
        pacing.take_up()
        admitted = [pacing.admit_at_once(1)]
        pacing.observe(NO_ANSWER)
        await asyncio.sleep(59.5)
        admitted.append(pacing.admit_at_once(1))
        pacing.observe(NO_ANSWER)
        await asyncio.sleep(1.0)
        return [*admitted, pacing.admit_at_once(1)]

    assert virtual_time.run(main()) == [1, 1, 0]


def test_back_off_has_full_jitter() -> None:
    async def wait(seed: int) -> float:
        pacing = Pacing(max_wait=1e6, random=Random(seed))
        for _ in range(6):
            assert await pacing.admit()
            pacing.observe(NO_CONNECTION)
        before = virtual_time.now()
        assert await pacing.admit()
        return virtual_time.now() - before

    waits = [virtual_time.run(wait(seed)) for seed in range(50)]
    assert min(waits) < 5
    assert max(waits) > 25
    assert len(set(waits)) == 50, "no two workers try again at the same moment"


def test_an_answer_that_settles_a_call_ends_the_back_off() -> None:
    async def main() -> None:
        pacing = Pacing(random=_Longest())
        for attempt in (NO_CONNECTION, NO_CONNECTION, OK, NO_CONNECTION):
            assert await pacing.admit()
            pacing.observe(attempt)
        before = virtual_time.now()
        assert await pacing.admit()
        assert virtual_time.now() - before == pytest.approx(1.0), "as after the first failure"

    virtual_time.run(main())


def test_many_that_wait_leave_one_by_one_after_trouble() -> None:
    async def main() -> None:
        pacing = Pacing(random=_Longest())
        assert await pacing.admit()
        pacing.observe(NO_CONNECTION)
        waiting = [asyncio.create_task(pacing.admit()) for _ in range(5)]
        await asyncio.sleep(100)
        assert [task.done() for task in waiting] == [True, False, False, False, False]
        pacing.observe(Attempt(AttemptResult.REJECTED, ReasonCode.REFUSED, "400", 400))
        await asyncio.sleep(0.001)
        assert all(task.done() for task in waiting), "a refusal is an answer, too"

    virtual_time.run(main())


def test_a_stop_wakes_everyone_up_and_its_first_reason_stays() -> None:
    async def main() -> None:
        pacing = Pacing(max_wait=1e6)
        assert await pacing.admit()
        pacing.observe(too_many(1000.0))
        waiting = [asyncio.create_task(pacing.admit()) for _ in range(5)]
        told = asyncio.create_task(pacing.until_stopped())
        await asyncio.sleep(0.001)
        pacing.stop(Stop(ReasonCode.RUN_STOPPED, "enough"))
        pacing.stop(Stop(ReasonCode.LEASE_LOST, "too late"))
        assert await asyncio.gather(*waiting) == [False] * 5
        assert await told == pacing.stopped
        assert virtual_time.now() == pytest.approx(0.001)
        assert pacing.stopped == Stop(ReasonCode.RUN_STOPPED, "enough")
        assert not await pacing.admit()

    virtual_time.run(main())


class _Longest(Random):
    """Jitter without luck: always the longest wait."""

    def uniform(self, a: float, b: float) -> float:
        return b
