"""Whatever happens to runs on one ledger, in any order: real engines, real writers and the real ledger in memory, on
one virtual clock that is the database's as well. Hypothesis plays endpoint, network, operating system, scheduler and
a person who has calls sent once more.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from random import Random
from typing import Any, ClassVar

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from airflow_provider_impactcall.delivery.duplicates import Duplicates
from airflow_provider_impactcall.delivery.engine.bookkeeper import open_at_most
from airflow_provider_impactcall.delivery.engine.engine import Engine
from airflow_provider_impactcall.delivery.engine.pacing import Pacing
from airflow_provider_impactcall.delivery.identity import Claim
from airflow_provider_impactcall.delivery.items import Call, Item, Rejected
from airflow_provider_impactcall.delivery.ledger.corrections import Corrections
from airflow_provider_impactcall.delivery.ledger.edits import Author
from airflow_provider_impactcall.delivery.ledger.entries import HISTORY
from airflow_provider_impactcall.delivery.ledger.rules import Decision, Recorded, Send, Settlement
from airflow_provider_impactcall.delivery.ledger.schema import Now, runs
from airflow_provider_impactcall.delivery.ledger.schema import calls as ledger_calls
from airflow_provider_impactcall.delivery.ledger.selection import Selection
from airflow_provider_impactcall.delivery.ledger.states import TRANSITIONS, Cause, cause_of
from airflow_provider_impactcall.delivery.outcome import (
    ENDS,
    Attempt,
    AttemptResult,
    CallState,
    DeliveryReport,
    Outcome,
    ReasonCode,
    RowOutcome,
)
from airflow_provider_impactcall.delivery.rate_limit.permits import RateLimit
from airflow_provider_impactcall.delivery.timings import TIMINGS
from airflow_provider_impactcall.exceptions import DeliveryAborted
from airflow_provider_impactcall.records import CallRecord
from tests.delivery.scripted import (
    ERROR_500,
    FORBIDDEN,
    NO_ANSWER,
    NO_CONNECTION,
    OK,
    REFUSED,
    TOO_MANY,
    UNAUTHORIZED,
    a_call,
    invalid,
    too_many,
)
from tests.delivery.virtual_time import VirtualTimeLoop
from tests.delivery.virtual_writer import PUNCTUAL, LoopClock, VirtualLedger, VirtualLimiter, VirtualWriter
from tests.effort import scaled

SESSIONS = 4
LIVE_AT_ONCE = 3
REQUEST_SECONDS = 30.0
# An interrupt is seen within 0.2 s; then 4 s for what is in flight, and moments for what a commit has to be repeated.
STOPS_WITHIN = 4.5
A_TICK = 1e-6

ERROR_503 = Attempt(AttemptResult.AGAIN, ReasonCode.RETRY_LATER, "503", 503, 2.5)
NO_VERDICT = Attempt(AttemptResult.UNKNOWN, ReasonCode.NO_VERDICT, "200 without a Status of OK or ERROR", 200)
PROVES_NOT_PROCESSED = (AttemptResult.AGAIN, AttemptResult.NOT_SENT, AttemptResult.REJECTED, AttemptResult.ABORT)

ANSWERS = st.sampled_from(
    [
        (OK, True),
        (OK, True),
        (REFUSED, False),
        (FORBIDDEN, False),
        (TOO_MANY, False),
        (too_many(0.0), False),
        (too_many(7.0), False),
        (too_many(90.0), False),
        (ERROR_500, False),
        (ERROR_503, False),
        (NO_ANSWER, False),
        (NO_ANSWER, True),
        (NO_VERDICT, True),
        (NO_CONNECTION, False),
        (UNAUTHORIZED, False),
    ]
)
"""What a request can come to, and whether the endpoint has processed it."""

TAKEN = frozenset({Cause.INTENT, Cause.DEATH})
REQUEUED = (frozenset({Cause.DEATH}), frozenset({Cause.REQUEUE}))
MAY_BE_PROCESSED = (CallState.OPEN, CallState.UNKNOWN, CallState.REQUEUED)


@dataclass(frozen=True)
class Order:
    """What a run is told to do.

    :param rows: session, content and validity of each
    :param limits: requests and the seconds of their window
    :param commit: seconds until a commit is durable, and from then until that is known
    :param pause: seconds between the first half of the input and the second
    """

    rows: list[tuple[int, int, bool]]
    resend: bool = False
    concurrency: int = 8
    limit: int | None = None
    limits: tuple[tuple[float, float], ...] = ()
    max_wait: float = 60.0
    commit: tuple[float, float] = (0.0, 0.0)
    pause: float = 0.0
    seed: int = 0

    def items(self) -> list[Call | Rejected]:
        return [
            a_call(number, session, MediaId=10_000 + content) if valid else invalid(number)
            for number, (session, content, valid) in enumerate(self.rows, start=1)
        ]


ORDERS = st.builds(
    Order,
    # Most rows are valid, and most of them as they always were.
    rows=st.lists(
        st.tuples(st.integers(0, SESSIONS - 1), st.sampled_from([0] * 5 + [1]), st.sampled_from([True] * 9 + [False])),
        min_size=1,
        max_size=6,
    ),
    resend=st.booleans(),
    concurrency=st.sampled_from([8, 3, 2, 1]),
    limit=st.sampled_from([None] * 5 + [0, 1, 3]),
    limits=st.sampled_from([(), (), (), ((1, 1.0),), ((2, 5.0),), ((0.5, 1.0), (3, 60.0))]),
    max_wait=st.sampled_from([600.0, 60.0, 60.0, 5.0, 0.0]),
    commit=st.sampled_from([(0.0, 0.0), (0.0, 0.0), (0.01, 0.0), (0.0, 0.01), (0.02, 0.02)]),
    pause=st.sampled_from([0.0, 0.0, 2.0]),
    seed=st.integers(0, 3),
)


@dataclass(eq=False)
class Request:
    """One request at the endpoint.

    :param heard: what its run took it for, or None if it has heard nothing, or will not any more
    :param answered_for: a person has asked for the call to be sent once more, whatever became of this one
    """

    run: Run
    key: str
    fence: int
    began: float
    answer: asyncio.Future[Attempt]
    heard: Attempt | None = None
    ended: float | None = None
    processed: bool = False
    answered_for: bool = False

    @property
    def in_flight(self) -> bool:
        return self.ended is None

    @property
    def counted_by(self) -> float | None:
        """By when the endpoint has counted it at the latest, or None if that is not known yet."""
        return self.began + REQUEST_SECONDS if self.run.killed and self.heard is None else self.ended

    @property
    def lost(self) -> bool:
        """Whether nobody waits for the endpoint any more, which may yet process it."""
        return self.ended is not None and (self.heard is None or self.heard is NO_ANSWER)


class Run:
    """One process that delivers an input, watched in everything that it does."""

    def __init__(self, world: World, order: Order) -> None:
        self.world = world
        self.order = order
        self.writer = _WatchedWriter(self)
        self.fences: dict[str, int] = {}
        self.sent: set[str] = set()
        self.read = 0
        self.settled: dict[int, RowOutcome] = {}
        self.asked_until = 0.0
        self.interrupt = threading.Event()
        self.must_end_by: float | None = None
        self.ended_at: float | None = None
        self.killed = False
        limits = [RateLimit(*limit) for limit in order.limits]
        self.limiter = (
            VirtualLimiter(world.ledger, self.writer.run_id, limits, REQUEST_SECONDS, order.commit) if limits else None
        )
        self.engine = Engine(
            duplicates=Duplicates(),
            pacing=Pacing(self.limiter, order.max_wait, Random(order.seed), clock=LoopClock(world.loop)),
            on_settled=self.note,
            concurrency=order.concurrency,
            limit=order.limit,
            interrupt=self.interrupt,
            timings=PUNCTUAL,
        )
        self.task = world.loop.create_task(self._live())

    @property
    def alive(self) -> bool:
        return not self.task.done()

    @property
    def committing(self) -> bool:
        """Whether it may be waiting for the ledger."""
        return sum(self.order.commit) > 0 or self.writer.worker.away_until > self.world.now

    @property
    def requests(self) -> list[Request]:
        return [request for request in self.world.requests if request.run is self]

    async def _live(self) -> None:
        async with self.writer:
            with suppress(DeliveryAborted):
                await self.engine.run(self.send, self.writer, self._batches())
        self.world.ledger.end(self.writer.run_id, self.engine.report)
        self.ended_at = self.world.now

    async def _batches(self) -> AsyncIterator[Sequence[Call | Rejected]]:
        items = self.order.items()
        for half in (items[: len(items) // 2], items[len(items) // 2 :]):
            self.read += len(half)
            yield half
            await asyncio.sleep(self.order.pause)

    @property
    def patience(self) -> float:
        """Seconds for which the input and the ledger may keep it from its end."""
        away = max(0.0, self.writer.worker.away_until - self.world.now) + self.world.ledger.next_commit_takes
        return away + 2 * self.order.pause + 10 * sum(self.order.commit)

    def lose_the_ledger(self, seconds: float) -> None:
        self.writer.worker.away_until = self.world.now + seconds
        if self.limiter is not None:
            self.limiter.executor.away_until = self.writer.worker.away_until
        self.be_patient(seconds)

    def be_patient(self, seconds: float) -> None:
        if self.must_end_by is not None:
            self.must_end_by += seconds

    def kill(self) -> None:
        self.killed = True
        self.task.cancel()

    async def send(self, record: CallRecord) -> Attempt:
        """One request, as the network carries it; it is looked at before the first byte leaves."""
        key = self.writer.identify(record).key
        request = Request(self, key, self.fences.get(key, 0), self.world.now, self.world.loop.create_future())
        self._check_departure(request)
        self.world.requests.append(request)
        self.sent.add(key)
        if self.world.recovered:
            self.world.answer(request, OK, True)
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                request.heard = await request.answer
        except TimeoutError:
            request.heard = NO_ANSWER
        finally:
            request.ended = self.world.now
        heard = request.heard
        if heard.retry_after is not None:
            self.asked_until = max(self.asked_until, self.world.now + heard.retry_after)
        return heard

    def _check_departure(self, request: Request) -> None:
        world, row, leases = self.world, self.world.row(request.key), self.world.leases()
        assert not self.killed
        assert world.now >= self.asked_until - A_TICK, "nothing leaves before the time that was asked for"
        assert row is not None, "no request without a durable intent"
        # Another run's late proof of delivery may come between this one's intent and its request.
        assert row.state in (CallState.OPEN, CallState.DELIVERED), "which says that it is in flight"
        assert (row.run_id, row.fence) == (self.writer.run_id, request.fence), "which is this run's own"
        assert self.writer.run_id in leases, "no request without a lease"
        earlier = [other for other in world.requests if other.key == request.key]
        owned = [other for other in earlier if other.in_flight and other.run.writer.run_id in leases]
        assert not owned, "one request in flight for a call, among runs that hold their lease"
        assert all(other.fence < request.fence for other in earlier), "each request has a fence of its own, and later"
        if not self.order.resend:
            of_no_person = [other for other in earlier if not other.answered_for]
            unproven = [o for o in of_no_person if o.heard is None or o.heard.result not in PROVES_NOT_PROCESSED]
            assert not unproven, "under hold, only what was provably not processed is sent again"
            assert not any(other.processed for other in of_no_person), "under hold, no call is processed twice"
        assert sum(other.in_flight for other in self.requests) < self.order.concurrency
        limited = [other for other in world.requests if other.run.order.limits == self.order.limits]
        limited = [other for other in limited if other.heard is not NO_CONNECTION]
        for places, seconds in self.order.limits:
            window = seconds / min(1.0, places)
            # The endpoint may count a request at any moment from its departure to its answer.
            recent = [o for o in limited if o.counted_by is None or o.counted_by + window - A_TICK > world.now]
            assert len(recent) < max(1, int(places)), "no window holds more than the account's rate limit"
        assert self.order.limit is None or len(self.sent | {request.key}) <= self.order.limit

    def note(self, row: Item, outcome: Outcome) -> None:
        assert row.row not in self.settled, "no row is settled twice"
        self.settled[row.row] = outcome.state
        if not isinstance(row, Call) or outcome.state in (RowOutcome.DUPLICATE, RowOutcome.CHANGED):
            return
        key = self.writer.identify(row.record).key
        if outcome.state in (RowOutcome.DELIVERED, RowOutcome.ALREADY_DELIVERED):
            assert self.world.processed(key), "delivered means processed"
            assert self.world.row(key).state == CallState.DELIVERED
        elif outcome.state is not RowOutcome.UNKNOWN:
            own = [request for request in self.requests if request.key == key]
            proven = all(r.heard is not None and r.heard.result in PROVES_NOT_PROCESSED for r in own)
            assert proven, "after an attempt of unknown fate only delivered or unknown is possible"

    def check(self) -> None:
        report = self.engine.report
        assert report.accounted == len(self.settled) <= report.rows <= self.read
        if self.killed:
            assert self.task.cancelled()
        elif not self.alive:
            self.task.result()
            assert report.rows == report.accounted == len(self.order.rows), "each row ends in one outcome"
            counts = Counter(self.settled.values())
            assert {end: getattr(report, end) for end in ENDS} == {end: counts[RowOutcome(end)] for end in ENDS}
        if self.must_end_by is not None and not self.killed:
            ended = self.world.now if self.ended_at is None else self.ended_at
            assert ended <= self.must_end_by + A_TICK, "a run that is asked to stop does so in time"


class _WatchedWriter(VirtualWriter):
    def __init__(self, run: Run) -> None:
        super().__init__(run.world.ledger, resend=run.order.resend, commit=run.order.commit)
        self._run = run

    async def record(self, claims: Sequence[Claim], settlements: Sequence[Settlement]) -> Recorded:
        decisions, states = await super().record(claims, settlements)
        for claim, decision in zip(claims, decisions or (), strict=decisions is not None):
            if isinstance(decision, Send):
                self._run.fences[claim.key] = decision.fence
        return decisions, states


class WatchedLedger(VirtualLedger):
    """Looked at after each transaction that may change the state of a call.

    :ivar states: what it has each call in
    :ivar made: how often each change was made
    :ivar strange: the changes that the table of transitions does not have
    """

    def __init__(self, loop: VirtualTimeLoop) -> None:
        self.states: dict[str, CallState] = {}
        self.made: Counter[tuple[CallState | None, CallState | None]] = Counter()
        self.strange: list[tuple[CallState | None, CallState | None]] = []
        super().__init__(loop)

    def record(
        self, run_id: str, claims: Sequence[Claim], settlements: Sequence[Settlement], *, resend: bool
    ) -> tuple[list[Decision] | None, list[CallState]]:
        steps: dict[str, list[Collection[Cause]]] = defaultdict(list)
        for key, _, attempt in settlements:
            in_doubt_or_not = (cause_of(attempt.result, uncertain=each, resend=resend) for each in (False, True))
            steps[key].append(set(in_doubt_or_not))
        for claim in claims:
            steps[claim.key].append(TAKEN)
        try:
            return super().record(run_id, claims, settlements, resend=resend)
        finally:
            self.look(steps)

    def look(self, steps: Mapping[str, Sequence[Collection[Cause]]]) -> None:
        """Compare all calls with what they were before a transaction.

        :param steps: what the transaction was to do, by call and in its order: each step for one of the causes
        """
        states = self.in_database()
        for key in states.keys() | self.states.keys():
            before, after = self.states.get(key), states.get(key)
            if before is not after:
                self.made[before, after] += 1
                if after not in reachable(before, steps.get(key, ())):
                    self.strange.append((before, after))
        self.states = states

    def in_database(self) -> dict[str, CallState]:
        with self.reading() as connection:
            return {key: CallState(state) for key, state in connection.execute(_STATES)}


def reachable(state: CallState | None, steps: Iterable[Collection[Cause]]) -> set[CallState | None]:
    """What a call can be in after some steps, each of which may also leave it as it is.

    After one step that is one transition of the table. More are made where one transaction does more with a call: it
    settles attempts first, and then takes; and a person requeues what a dead run left open, which is unknown before.
    """
    found = {state}
    for causes in steps:
        found |= {TRANSITIONS[cause][each] for cause in causes for each in found if each in TRANSITIONS[cause]}
    return found


class World:
    """One clock, one ledger, one endpoint, and every run there ever was."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        self.loop = loop
        self.ledger = WatchedLedger(loop)
        self.runs: list[Run] = []
        self.requests: list[Request] = []
        # With this, the endpoint answers at once, and well.
        self.recovered = False

    @property
    def now(self) -> float:
        return self.loop.time()

    @property
    def live(self) -> list[Run]:
        return [run for run in self.runs if run.alive]

    @property
    def in_flight(self) -> list[Request]:
        return [request for request in self.requests if request.in_flight]

    def processed(self, key: str) -> bool:
        return any(request.processed for request in self.requests if request.key == key)

    def advance(self, seconds: float) -> None:
        self.loop.run_until_complete(self._pass(seconds))

    async def _pass(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        # A pause of the writer may have taken all of it in one step, and what comes of that is due. With a rate limit
        # and an acknowledgement that was lost, that takes more than a dozen turns of the loop.
        for _ in range(40):
            await asyncio.sleep(0)

    def end(self) -> None:
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.advance(A_TICK)
        self.ledger.engine.dispose()

    def row(self, key: str) -> Any:
        return next((row for row in self.ask(_ROWS) if row.key == key), None)

    def leases(self) -> set[str]:
        """The runs that hold their lease."""
        return {row.run_id for row in self.ask(_LEASES) if row.lease_until > self.now}

    def ask(self, query: sa.Select[Any]) -> list[Any]:
        with self.ledger.engine.connect() as connection:
            return list(connection.execute(query))

    def requeue(self, key: str) -> None:
        """A person has a call sent once more, if it is rejected or of unknown fate."""
        row = self.row(key)
        Corrections(self.ledger).requeue(Selection(call_session_ids=[row.CallSessionId]), Author("alice", "test"))
        self.ledger.look({key: REQUEUED})
        if row.state != self.ledger.states[key] == CallState.REQUEUED:
            for request in self.requests:
                request.answered_for |= request.key == key

    def answer(self, request: Request, attempt: Attempt, processed: bool) -> None:
        request.processed = request.processed or processed
        request.answer.set_result(attempt)


_LEASES = sa.select(runs.c.run_id, runs.c.lease_until).where(runs.c.lease_until > 0.0)
_STATES = sa.select(ledger_calls.c.key, ledger_calls.c.state)
_ROWS = sa.select(
    ledger_calls.c.key,
    ledger_calls.c.CallSessionId,
    ledger_calls.c.state,
    ledger_calls.c.run_id,
    ledger_calls.c.fence,
    ledger_calls.c.attempts,
    ledger_calls.c.deaths,
)

PICK = st.integers(0, 30)


class Deliveries(RuleBasedStateMachine):
    made: ClassVar[Counter[tuple[CallState | None, CallState | None]]] = Counter()
    """How often each change of a call's state was made."""

    def __init__(self) -> None:
        super().__init__()
        self.stack = ExitStack()
        loop = VirtualTimeLoop()
        self.stack.callback(loop.close)
        self.world = World(loop)
        self.stack.callback(self.world.end)
        self.sound = True

    @precondition(lambda self: len(self.world.live) < LIVE_AT_ONCE)
    @rule(order=ORDERS)
    def a_run_starts(self, order: Order) -> None:
        self.world.runs.append(Run(self.world, order))
        self.world.advance(0.05)

    @precondition(lambda self: self.world.in_flight)
    @rule(pick=PICK, answer=ANSWERS)
    def a_request_is_answered(self, pick: int, answer: tuple[Attempt, bool]) -> None:
        in_flight = self.world.in_flight
        self.world.answer(in_flight[pick % len(in_flight)], *answer)
        self.world.advance(A_TICK)

    @precondition(lambda self: self.world.in_flight)
    @rule(answers=st.lists(ANSWERS, min_size=2, max_size=4), seconds=st.sampled_from([A_TICK, 0.05, 1.5]))
    def requests_are_answered_one_after_the_other(self, answers: list[tuple[Attempt, bool]], seconds: float) -> None:
        for answer in answers:
            for request in self.world.in_flight[:1]:
                self.world.answer(request, *answer)
                self.world.advance(seconds)

    @precondition(lambda self: len(self.world.in_flight) > 1)
    @rule(answer=ANSWERS)
    def all_are_answered_alike(self, answer: tuple[Attempt, bool]) -> None:
        for request in self.world.in_flight:
            self.world.answer(request, *answer)
        self.world.advance(A_TICK)

    @rule(pick=PICK, what=st.sampled_from(["request", "acknowledgement", "commit"]))
    def something_is_late(self, pick: int, what: str) -> None:
        """A request that nobody waits for any more is processed, a commit is repeated as nobody was told of it, or one
        takes longer than a lease.
        """
        lost = [request for request in self.world.requests if request.lost]
        if what == "request" and lost:
            lost[pick % len(lost)].processed = True
        elif what == "acknowledgement":
            self.world.ledger.acknowledgements_to_lose = 1
            for run in self.world.live:
                if run.limiter is not None:
                    run.limiter.executor.acknowledgements_to_lose = 1
        elif what == "commit" and not self.world.ledger.next_commit_takes:
            self.world.ledger.next_commit_takes = TIMINGS.lease + 1
            for run in self.world.live:
                run.be_patient(TIMINGS.lease + 1)

    @rule(seconds=st.sampled_from([0.005, 0.015, 0.6, 3.0, 8.0, 11.0, 31.0, 95.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.advance(seconds)

    @precondition(lambda self: self.world.live)
    @rule(pick=PICK, fate=st.sampled_from(["killed", "asked to stop", "out of reach"]))
    def a_run_has_bad_luck(self, pick: int, fate: str) -> None:
        run = self.world.live[pick % len(self.world.live)]
        if fate == "killed":
            run.kill()
            self.world.advance(A_TICK)
            assert not run.alive
        elif fate == "asked to stop":
            run.interrupt.set()
            run.must_end_by = run.must_end_by or self.world.now + STOPS_WITHIN + run.patience
        else:
            run.lose_the_ledger(TIMINGS.lease - 3)

    @precondition(lambda self: self.world.in_flight)
    @rule(pick=PICK, order=ORDERS)
    def a_run_loses_its_lease_to_another(self, pick: int, order: Order) -> None:
        """It has requests in flight, whose answers come late."""
        loser = self.world.in_flight[pick % len(self.world.in_flight)].run
        loser.lose_the_ledger(TIMINGS.lease + 2)
        self.world.advance(TIMINGS.lease + 1)
        self.a_run_starts(replace(order, rows=loser.order.rows))

    @precondition(lambda self: self.world.ledger.states)
    @rule(pick=PICK)
    def a_person_requeues_a_call(self, pick: int) -> None:
        keys = sorted(self.world.ledger.states)
        self.world.requeue(keys[pick % len(keys)])

    @invariant()
    def what_is_promised_holds(self) -> None:
        self.sound = False
        for run in self.world.runs:
            run.check()
        rows, leases = {row.key: row for row in self.world.ask(_ROWS)}, self.world.leases()
        for row in rows.values():
            if row.state == CallState.DELIVERED:
                assert self.world.processed(row.key), "delivered means processed"
            elif row.state not in MAY_BE_PROCESSED:
                assert not self.world.processed(row.key), f"processed is never recorded as {row.state}"
        for request in self.world.in_flight:
            if request.run.writer.run_id in leases:
                row = rows[request.key]
                assert row.state in (CallState.OPEN, CallState.DELIVERED), "what is in flight has its intent"
                assert (row.run_id, row.fence) == (request.run.writer.run_id, request.fence), "and one owner"
        for run in self.world.runs:
            intents = {
                key for key, row in rows.items() if (row.state, row.run_id) == (CallState.OPEN, run.writer.run_id)
            }
            assert len(intents) <= open_at_most(run.order.concurrency), "a kill leaves no more unknown than is promised"
            if run.alive and run.writer.run_id in leases and not run.committing:
                in_flight = {request.key for request in run.requests if request.in_flight}
                if next_ones := intents - in_flight:
                    assert len(in_flight) == run.order.concurrency, "none is claimed ahead while a place idles"
                    most_ahead = open_at_most(run.order.concurrency) - run.order.concurrency
                    assert len(next_ones) <= most_ahead, "and of what is next, a quarter at most"
                    assert run.asked_until <= self.world.now + A_TICK, "nor while the endpoint asks to wait"
        ledger = self.world.ledger
        assert ledger.strange == [], "a call changes its state as the table says"
        assert ledger.states == {key: row.state for key, row in rows.items()}, "and by nothing else"
        self.sound = True

    def teardown(self) -> None:
        with self.stack:
            if self.sound:
                self._everything_drains()
                self.made.update(self.world.ledger.made)

    def _everything_drains(self) -> None:
        """The endpoint recovers. What runs comes to its end; one more run leaves nothing open, and a last one, that
        may send again what is unknown, leaves unknown only what it was that a run died of three times.
        """
        world = self.world
        world.recovered = True
        for request in world.in_flight:
            world.answer(request, OK, True)
        world.ledger.next_commit_takes = 0.0
        self._await_the_live()
        world.advance(TIMINGS.lease + 1)
        held = self._last_run(resend=False)
        found = Counter(row.state for row in world.ask(_ROWS))
        assert found.keys() <= {CallState.DELIVERED, CallState.REJECTED, CallState.UNKNOWN}
        assert held.delivered + held.already_delivered + held.changed == found[CallState.DELIVERED]
        assert (held.rejected, held.unknown) == (found[CallState.REJECTED], found[CallState.UNKNOWN])
        self._last_run(resend=True)
        assert all(row.deaths >= 3 for row in world.ask(_ROWS) if row.state == CallState.UNKNOWN)
        self.what_is_promised_holds()
        self._history_is_kept()

    def _await_the_live(self) -> None:
        if tasks := [run.task for run in self.world.live]:
            self.world.loop.run_until_complete(asyncio.wait(tasks, timeout=7200))
        assert not self.world.live, "everything ends"
        self.what_is_promised_holds()

    def _last_run(self, *, resend: bool) -> DeliveryReport:
        run = Run(self.world, Order([(session, 0, True) for session in range(SESSIONS)], resend=resend))
        self.world.runs.append(run)
        self._await_the_live()
        report = run.engine.report
        assert (report.rows, report.not_sent, report.stop) == (SESSIONS, 0, None)
        return report

    def _history_is_kept(self) -> None:
        world = self.world
        query = sa.select(HISTORY.c.key, HISTORY.c.fence, HISTORY.c.run_id).where(
            HISTORY.c.state == CallState.OPEN.value
        )
        intents = world.ask(query.order_by(HISTORY.c.event_id))
        for row in world.ask(_ROWS):
            fences = [intent.fence for intent in intents if intent.key == row.key]
            assert fences == list(range(1, row.fence + 1)), "each intent has one fence and one owner"
            assert row.attempts == row.fence
        owners = {(intent.key, intent.fence, intent.run_id) for intent in intents}
        assert {(request.key, request.fence, request.run.writer.run_id) for request in world.requests} <= owners
        for kept in world.ask(sa.select(runs).where(runs.c.ended_at.is_not(None), runs.c.kind.is_(None))):
            (report,) = (run.engine.report for run in world.runs if run.writer.run_id == kept.run_id)
            assert sum(getattr(kept, f"{end}_rows") for end in ENDS) == report.rows


def test_whatever_happens_in_any_order() -> None:
    run_state_machine_as_test(
        Deliveries,
        settings=settings(
            max_examples=scaled(150), stateful_step_count=40, suppress_health_check=[HealthCheck.too_slow]
        ),
    )
    # That all are reached is likely, and no more: it is told, and not asserted.
    into = Counter[CallState | None]()
    for (before, after), times in sorted(Deliveries.made.items(), key=str):
        into[after] += times
        print(f"{before} -> {after}: {times}")
    print("states that no call came into:", ", ".join(set(CallState) - into.keys()) or "none")


def test_the_database_tells_the_time_of_the_loop() -> None:
    """Else leases would run out in real time, and no test here would lose one."""
    loop = VirtualTimeLoop()
    ledger = VirtualLedger(loop)
    loop.jump(12_345.5)
    with ledger.engine.connect() as connection:
        assert connection.execute(sa.select(Now())).scalar_one() == pytest.approx(12_345.5, abs=0.001)
    ledger.engine.dispose()
    loop.close()
