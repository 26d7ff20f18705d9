"""The account's rate limit, with several runs on one ledger, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from random import Random

import pytest
import sqlalchemy as sa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from airflow_provider_impactcall.delivery.engine.pacing import Pacing
from airflow_provider_impactcall.delivery.ledger.schema import Now, rate_accounts, rate_ended, rate_runs, runs
from airflow_provider_impactcall.delivery.rate_limit.permits import (
    AHEAD_SECONDS,
    Grant,
    Permits,
    RateLimit,
    Request,
    Usage,
    Waiting,
    grant,
)
from airflow_provider_impactcall.delivery.wire.endpoint import Endpoint
from tests.delivery import virtual_time
from tests.delivery.engine.test_pacing import most_in_a_window
from tests.delivery.scripted import OK
from tests.delivery.virtual_writer import VirtualLedger, VirtualLimiter
from tests.effort import scaled

TIMEOUT = 3.0
A_TICK = 1e-6


@dataclass(frozen=True)
class Plan:
    """What one run does.

    :param limits: requests and seconds of each
    :param concurrency: requests in flight at once
    :param latency: the longest a request can take
    :param starts: when
    :param dies: so many seconds later, in the middle of whatever it does
    :param commit: seconds until a transaction is durable, and from then until that is known
    :param bad_luck: the share of its transactions of which it is told that they failed, though they were committed
    :param withdraws: the share of its requests that do not leave after all
    :param away: from then on its ledger is out of reach for 5 s
    :param rest: seconds between one and the next in its place
    """

    limits: Sequence[tuple[float, float]]
    calls: int = 12
    concurrency: int = 4
    latency: float = 0.02
    starts: float = 0.0
    dies: float | None = None
    commit: tuple[float, float] = (0.0, 0.0)
    bad_luck: float = 0.0
    withdraws: float = 0.0
    away: float | None = None
    rest: float = 0.0


@dataclass
class Sent:
    run: Run
    left: float
    arrived: float
    ended: float | None = None

    @property
    def counted_by(self) -> float:
        """By when the endpoint has counted it at the latest, as far as its run can know."""
        if self.ended is None:
            return self.left + TIMEOUT
        return self.ended


class Run:
    def __init__(self, world: World, plan: Plan, seed: int) -> None:
        self.world = world
        self.plan = plan
        self.random = Random(seed)
        self.slots = asyncio.Semaphore(plan.concurrency)

    async def live(self) -> None:
        await asyncio.sleep(self.plan.starts)
        self.run_id = self.world.ledger.start("test", "")
        limits = [RateLimit(*limit) for limit in self.plan.limits]
        self.limiter = VirtualLimiter(self.world.ledger, self.run_id, limits, TIMEOUT, self.plan.commit)
        self.pacing = Pacing(self.limiter, 1e6, self.random)
        with suppress(TimeoutError):
            async with asyncio.timeout(self.plan.dies), self.pacing.open(), asyncio.TaskGroup() as tasks:
                beside = [tasks.create_task(each) for each in (self.renew(), self.be_unlucky())]
                await asyncio.gather(*[tasks.create_task(self.deliver()) for _ in range(self.plan.calls)])
                for each in beside:
                    each.cancel()
        if self.plan.dies is None:
            with self.world.ledger.writing() as connection:
                connection.execute(
                    sa.update(runs).where(runs.c.run_id == self.run_id).values(lease_until=0.0, ended_at=Now())
                )

    async def deliver(self) -> None:
        self.pacing.take_up()
        async with self.slots:
            await self.send()
            await asyncio.sleep(self.plan.rest)
        self.pacing.put_down()

    async def send(self) -> None:
        while True:
            assert await self.pacing.admit()
            await asyncio.sleep(self.random.uniform(0, 0.02))  # Its intent is committed.
            if self.random.random() >= self.plan.withdraws:
                break
            self.pacing.withdraw()
        now = virtual_time.now()
        latency = self.random.uniform(0, self.plan.latency)
        self.world.check_departure(self, now)
        sent = Sent(self, now, now + self.random.uniform(0, latency))
        self.world.sent.append(sent)
        await asyncio.sleep(latency)
        sent.ended = virtual_time.now()
        self.pacing.observe(OK)

    async def renew(self) -> None:
        while True:
            with self.world.ledger.writing() as connection:
                connection.execute(sa.update(runs).where(runs.c.run_id == self.run_id).values(lease_until=Now() + 10.0))
            await asyncio.sleep(3.0)

    async def be_unlucky(self) -> None:
        if self.plan.away is not None:
            await asyncio.sleep(self.plan.away)
            self.limiter.executor.away_until = virtual_time.now() + 5.0
        while True:
            self.limiter.executor.acknowledgements_to_lose = int(self.random.random() < self.plan.bad_luck)
            await asyncio.sleep(0.1)


@dataclass
class World:
    ledger: VirtualLedger
    sent: list[Sent] = field(default_factory=list)

    def check_departure(self, run: Run, now: float) -> None:
        """However the endpoint counts, no window may hold more of the runs with this one's limits than those say."""
        alike = [sent for sent in self.sent if sent.run.plan.limits == run.plan.limits]
        for limit in (RateLimit(*each) for each in run.plan.limits):
            held = [sent for sent in alike if sent.counted_by + limit.window - A_TICK > now]
            assert len(held) < limit.permits, f"{limit} at {now}"

    def arrivals(self, run: Run | None = None) -> list[float]:
        return [sent.arrived for sent in self.sent if run in (None, sent.run)]


def happens(*plans: Plan, seed: int = 0) -> tuple[World, list[Run]]:
    """What becomes of the runs."""

    async def main() -> tuple[World, list[Run]]:
        world = World(VirtualLedger(virtual_time.running_loop()))
        made = [Run(world, plan, seed + number) for number, plan in enumerate(plans)]
        async with asyncio.TaskGroup() as tasks:
            for run in made:
                tasks.create_task(run.live())
        return world, made

    return virtual_time.run(main())


LIMITS = st.sampled_from([((5, 1.0),), ((1, 1.0),), ((0.5, 1.0),), ((3, 0.5), (6, 3.0))])

PLANS = st.builds(
    Plan,
    limits=LIMITS,
    calls=st.integers(1, 12),
    concurrency=st.integers(1, 6),
    latency=st.sampled_from([0.0, 0.02, 0.5, TIMEOUT]),
    starts=st.sampled_from([0.0, 0.0, 0.3, 2.0]),
    dies=st.none() | st.floats(0.1, 6.0),
    commit=st.sampled_from([(0.0, 0.0), (0.003, 0.003), (0.3, 0.3)]),
    bad_luck=st.sampled_from([0.0, 0.3]),
    withdraws=st.sampled_from([0.0, 0.2]),
    away=st.none() | st.floats(0.0, 4.0),
    rest=st.sampled_from([0.0, 0.1]),
)


@settings(max_examples=scaled(60))
@given(plans=st.lists(PLANS, min_size=1, max_size=3), alike=st.none() | LIMITS, seed=st.integers(0, 1000))
def test_no_window_holds_more_than_the_limit_whatever_becomes_of_the_runs(
    plans: list[Plan], alike: Sequence[tuple[float, float]] | None, seed: int
) -> None:
    plans = [replace(plan, limits=alike or plan.limits) for plan in plans]
    world, made = happens(*plans, seed=seed)
    for run in made:
        if run.plan.dies is None:
            assert len(world.arrivals(run)) == run.plan.calls, "and all that live come to their end"
    if len({plan.limits for plan in plans}) == 1:
        for limit in (RateLimit(*each) for each in plans[0].limits):
            assert most_in_a_window(world.arrivals(), limit.window) <= limit.permits


@pytest.mark.parametrize("concurrency", [8, 64])
@pytest.mark.parametrize("runs_at_once", [1, 2, 3])
def test_the_limit_is_used_and_no_run_starves(runs_at_once: int, concurrency: int) -> None:
    plan = Plan(((50, 1.0),), calls=600 // runs_at_once, concurrency=concurrency, commit=(0.002, 0.002))
    world, made = happens(*[plan] * runs_at_once)
    arrivals = sorted(world.arrivals())
    assert len(arrivals) == 600
    assert most_in_a_window(arrivals, 1.0) <= 50
    # What leaves at once in the first second is left out.
    assert (600 - 50) / (arrivals[-1] - arrivals[0]) >= 0.9 * 50
    half = arrivals[len(arrivals) // 2]
    for run in made:
        share = sum(arrived <= half for arrived in world.arrivals(run)) / 300
        assert share >= 0.7 / runs_at_once


def test_two_runs_take_turns_at_a_limit_of_one() -> None:
    slow = Plan(((1, 1.0),), calls=20, commit=(0.05, 0.05))  # as one whose database is far away
    world, (first, second) = happens(Plan(((1, 1.0),), calls=20), slow)
    middle = sorted(world.arrivals())[20]
    assert 7 <= sum(arrived < middle for arrived in world.arrivals(second)) <= 13
    assert len(world.arrivals(first)) == 20


def test_what_one_run_does_not_want_another_gets() -> None:
    idle = Plan(((50, 1.0),), calls=5, concurrency=1, rest=0.2)
    world, (busy, other) = happens(Plan(((50, 1.0),), calls=250, concurrency=64), idle)
    assert max(world.arrivals(busy)) < 1.1 * 250 / 50
    assert max(world.arrivals(other)) < 1.1 * 5, "and that one gets a place in each second"


def test_how_long_a_limit_holds_a_run_up_is_known() -> None:
    world, (held_up,) = happens(Plan(((1, 1.0),), calls=6, concurrency=6))
    assert 4.9 <= held_up.pacing.limited_seconds <= max(world.arrivals()), "once, however many wait"
    _, (free,) = happens(Plan(((1000, 1.0),), calls=6, concurrency=6))
    assert free.pacing.limited_seconds < 0.1


def test_transactions_serve_many_requests() -> None:
    _, (run,) = happens(Plan(((200, 1.0),), calls=1000, concurrency=64, commit=(0.002, 0.002)))
    assert run.limiter.executor.transactions < 100


def test_a_run_that_pauses_gives_its_places_back() -> None:
    pausing = Plan(((2, 1.0),), calls=4, concurrency=2, rest=60.0)
    world, (_, other) = happens(pausing, Plan(((2, 1.0),), calls=60, starts=2.0))
    assert max(world.arrivals(other)) < 35


@pytest.mark.parametrize("commit", [0.0, 0.001, 0.005, 0.01, 0.05, 0.1])
def test_a_run_takes_no_more_places_than_it_makes_requests(commit: float) -> None:
    few = ((5, 3600.0),)
    for seed in range(scaled(10)):
        run = Plan(few, calls=4, commit=(commit, commit), latency=0.05, bad_luck=0.2)
        world, _ = happens(run, replace(run, calls=1, starts=5.0), seed=seed)
        assert max(world.arrivals()) < 10.0, "whatever its last transaction was about when it ended"


# The rule


LIMIT = RateLimit(10, 1.0)


def test_places_are_free_a_window_after_what_ended() -> None:
    usage = Usage(now=100.0, held=3, ended=[(99.05, 2), (99.1, 3), (99.9, 2)])
    given = grant([LIMIT], usage, wanted=9, since=100.0)
    assert given.starts == pytest.approx([100.05, 100.05, 100.1, 100.1, 100.1])
    assert given.free_at == pytest.approx(100.9)
    assert given.used_up == "10 requests in 1 s"
    assert given.ask_at == pytest.approx(100.9 - AHEAD_SECONDS)


def test_of_two_limits_both_hold() -> None:
    usage = Usage(now=100.0, held=0, ended=[(60.0, 7), (99.1, 2)])
    given = grant([LIMIT, RateLimit(10, 3600.0)], usage, wanted=3, since=100.0)
    assert list(given.starts) == [100.0]
    assert (given.free_at, given.used_up) == (3660.0, "10 requests in 3600 s")


def test_only_an_end_can_free_what_is_all_in_hand() -> None:
    given = grant([LIMIT], Usage(now=100.0, held=10, ended=[]), wanted=1, since=100.0)
    assert (given.starts, given.free_at) == ([], float("inf"))
    assert given.ask_at == 100.0 + AHEAD_SECONDS


@pytest.mark.parametrize(
    ("others", "given"),
    [
        ([], 10),
        ([Waiting(3, 90.0)], 7),
        ([Waiting(3, 99.0)], 7),
        ([Waiting(30, 90.0)], 5),
        ([Waiting(30, 99.0)], 5),
        ([Waiting(30, 90.0), Waiting(30, 91.0)], 2),
        ([Waiting(30, 90.0), Waiting(30, 99.0)], 4),
        ([Waiting(1, 90.0), Waiting(30, 99.0)], 5),
    ],
)
def test_nobody_is_left_without_a_share(others: list[Waiting], given: int) -> None:
    usage = Usage(now=100.0, held=0, ended=[], others=others)
    assert len(grant([LIMIT], usage, wanted=30, since=95.0).starts) == given


@given(
    limits=st.lists(st.builds(RateLimit, st.floats(0.1, 30), st.sampled_from([1.0, 7.0])), min_size=1, max_size=2),
    held=st.integers(0, 30),
    ended=st.lists(st.tuples(st.floats(-20, 3), st.integers(1, 5))).map(sorted),
    others=st.lists(st.builds(Waiting, st.integers(1, 20), st.floats(-5, 0)), max_size=3),
    wanted=st.integers(0, 40),
)
@example([RateLimit(1, 1.0)], 0, [], [Waiting(1, -3.0)], 1)
def test_no_grant_is_too_much(
    limits: list[RateLimit], held: int, ended: list[tuple[float, int]], others: list[Waiting], wanted: int
) -> None:
    given = grant(limits, Usage(0.0, held, ended, others), wanted, since=-2.0)
    assert len(given.starts) <= wanted
    for limit in limits:
        for number, start in enumerate(given.starts, start=1):
            assert start >= 0.0
            in_the_window = sum(places for at, places in ended if at + limit.window > start)
            assert held + number + in_the_window <= limit.permits


# The tables


def places(ledger: VirtualLedger, *limits: RateLimit, account: str = "a", timeout: float = TIMEOUT) -> Permits:
    return Permits(ledger, ledger.start("test", ""), account, limits or [LIMIT], timeout)


@pytest.fixture
def loop() -> virtual_time.VirtualTimeLoop:
    loop = virtual_time.VirtualTimeLoop()
    loop.jump(1000.0)
    return loop


def count(ledger: VirtualLedger, table: sa.Table) -> int:
    with ledger.reading() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one())


def asks(of: Permits, loop: virtual_time.VirtualTimeLoop, **request: object) -> Grant:
    return of.exchange(Request(**{"turn": 1, "wanted": 10} | request), loop.time)  # type: ignore[arg-type]


def test_the_places_of_another_run_count_and_those_of_another_account_do_not(
    loop: virtual_time.VirtualTimeLoop,
) -> None:
    ledger = VirtualLedger(loop)
    assert len(asks(places(ledger), loop, wanted=7).starts) == 7
    ledger.namespace = "another"
    assert len(asks(places(ledger), loop).starts) == 3
    assert len(asks(places(ledger, account="b"), loop).starts) == 10


def test_each_run_counts_all_places_against_its_own_limit(loop: virtual_time.VirtualTimeLoop) -> None:
    ledger = VirtualLedger(loop)
    assert len(asks(places(ledger), loop, wanted=7).starts) == 7
    assert len(asks(places(ledger, RateLimit(20, 1.0)), loop, wanted=20).starts) == 13
    assert list(asks(places(ledger), loop).starts) == []


def test_what_is_repeated_counts_once(loop: virtual_time.VirtualTimeLoop) -> None:
    ledger = VirtualLedger(loop)
    run = places(ledger)
    asks(run, loop, wanted=6)
    for _ in range(3):
        again = asks(run, loop, turn=2, ended=[loop.time()] * 6, wanted=2)
        assert len(again.starts) == 2
    assert len(asks(places(ledger), loop).starts) == 2


def test_the_places_of_a_run_that_died_are_free_when_no_request_of_it_can_be_under_way(
    loop: virtual_time.VirtualTimeLoop,
) -> None:
    ledger = VirtualLedger(loop)
    asks(places(ledger, timeout=30.0), loop)
    other = places(ledger)
    loop.jump(11.0)
    given = asks(other, loop)
    assert list(given.starts) == []
    assert given.free_at == pytest.approx(1000.0 + 10.0 + 30.0 + 1.0, abs=0.01)
    loop.jump(given.free_at - loop.time())
    assert len(asks(other, loop, turn=2).starts) == 10


def test_the_places_of_a_run_that_ended_without_saying_so_are_free_a_window_after_its_end(
    loop: virtual_time.VirtualTimeLoop,
) -> None:
    ledger = VirtualLedger(loop)
    run_id = ledger.start("test", "")
    asks(Permits(ledger, run_id, "a", [LIMIT], TIMEOUT), loop)
    with ledger.writing() as connection:
        connection.execute(sa.update(runs).where(runs.c.run_id == run_id).values(lease_until=0.0, ended_at=Now()))
    assert asks(places(ledger), loop).free_at == pytest.approx(loop.time() + 1.0, abs=0.01)


def test_what_is_older_than_every_window_is_forgotten(loop: virtual_time.VirtualTimeLoop) -> None:
    ledger = VirtualLedger(loop)
    hourly, run = places(ledger, RateLimit(1000, 3600.0)), places(ledger)
    for turn in range(1, 200):
        asks(run, loop, turn=turn, ended=[loop.time()] * (turn > 1), wanted=1, tidy=True)
        loop.jump(0.1)
    assert count(ledger, rate_ended) < 10 / 0.1 + 10 + 2, "a row a request for 10 s, and a row a second before that"
    assert len(asks(hourly, loop, wanted=1000).starts) == 1000 - 199
    loop.jump(3700.0)
    asks(run, loop, turn=1000, tidy=True)
    asks(run, loop, turn=1001, last=True)
    assert [count(ledger, table) for table in (rate_ended, rate_runs, rate_accounts)] == [0, 0, 1]


def test_an_account_is_its_endpoint_and_its_login() -> None:
    digest = Endpoint("https://calls.example.com", "login", "password").account
    assert Endpoint("https://CALLS.example.com:443", "login", "another").account == digest
    assert Endpoint("https://calls.example.com", "other", "password").account != digest
    assert Endpoint("http://calls.example.com", "login", "password").account != digest
    assert "login" not in digest
