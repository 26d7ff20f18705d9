"""The real ledger, lease and rate limit on one virtual clock for the engine, the writer and the database. Commits take
the time that a test says, and the database can be unreachable.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Executor, Future
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import StaticPool

from airflow_provider_impactcall.defaults import DEFAULT_KEY
from airflow_provider_impactcall.delivery.identity import Claim
from airflow_provider_impactcall.delivery.ledger.rules import Decision, Recorded, Send, Settlement
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.ledger.writer import Job, LedgerWriter
from airflow_provider_impactcall.delivery.outcome import CallState
from airflow_provider_impactcall.delivery.rate_limit.limiter import Limiter, PermitHolder
from airflow_provider_impactcall.delivery.rate_limit.permits import Permits, RateLimit
from airflow_provider_impactcall.delivery.timings import Timings
from tests.delivery.virtual_time import VirtualTimeLoop

_EPOCH_AS_JULIAN_DAY = 2440587.5

UNHURRIED = Timings(progress=1e9, interrupt_poll=1e9, lease=1e9)
"""Without checks every few seconds, which would be most of the work in virtual time; with a lease that nobody renews.
"""

PUNCTUAL = Timings(progress=1e9)
"""A run whose ledger takes only the time that a test says, and which can be asked to stop."""


class LoopClock:
    """All clocks show the loop's time, and the calendar begins in 1970."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        self.monotonic = loop.time
        self.sleep = loop.jump

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.monotonic(), UTC)


class VirtualLedger(Ledger):
    """A ledger in memory whose database's clock is a loop's.

    :ivar acknowledgements_to_lose: so many commits are reported as failed, though they were not
    :ivar next_commit_takes: seconds until the next commit is reported; nothing else happens meanwhile
    """

    def __init__(self, loop: VirtualTimeLoop, timings: Timings = PUNCTUAL) -> None:
        engine = sa.create_engine("sqlite://", poolclass=StaticPool)

        @event.listens_for(engine, "connect")
        def tell_the_time(connection: Any, _: Any) -> None:
            connection.create_function("julianday", 1, lambda _: loop.time() / 86400.0 + _EPOCH_AS_JULIAN_DAY)

        super().__init__(engine, "https://calls.example.com", timings)
        self.acknowledgements_to_lose = 0
        self.next_commit_takes = 0.0
        self.loop = loop
        self.prepare()

    def record(
        self, run_id: str, claims: Sequence[Claim], settlements: Sequence[Settlement], *, resend: bool
    ) -> tuple[list[Decision] | None, list[CallState]]:
        recorded = super().record(run_id, claims, settlements, resend=resend)
        self.loop.jump(self.next_commit_takes)
        self.next_commit_takes = 0.0
        if self.acknowledgements_to_lose:
            self.acknowledgements_to_lose -= 1
            raise OperationalError("COMMIT", {}, Exception("the connection was lost"))
        return recorded


class VirtualWorker:
    """A task in place of the thread that asks a ledger.

    :param commit: seconds until a commit is durable, and from then until that is known
    :ivar away_until: until then, the database is out of this run's reach
    """

    def __init__(self, commit: tuple[float, float]) -> None:
        self.away_until = 0.0
        self._commit = commit
        self._jobs: deque[Job] = deque()
        self._asked = asyncio.Event()

    def start(self, work: Callable[[Job | None], Any], done: Callable[[Job, Any], None], idle: float) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(work, done, idle))

    def hand(self, job: Job) -> None:
        self._jobs.append(job)
        self._asked.set()

    async def stop(self) -> None:
        self._task.cancel()

    async def _run(self, work: Callable[[Job | None], Any], done: Callable[[Job, Any], None], idle: float) -> None:
        before, after = self._commit
        while True:
            if not self._jobs:
                self._asked.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(idle):
                        await self._asked.wait()
            job = self._jobs.popleft() if self._jobs else None
            if job is not None:
                await asyncio.sleep(before)
            if (away := self.away_until - asyncio.get_running_loop().time()) > 0:
                await asyncio.sleep(away)
            answer = work(job)
            if job is not None:
                await asyncio.sleep(after)
                done(job, answer)


class VirtualWriter(LedgerWriter):
    """A run's writer, with a task in place of its thread: the lease, its renewal and the groups are the real ones.

    :param commit: seconds until a commit is durable, and from then until that is known
    :ivar worker: the task
    :ivar open_at_once: calls that were open at once, at most
    """

    def __init__(
        self, ledger: VirtualLedger, *, resend: bool = False, commit: tuple[float, float] = (0.0, 0.0)
    ) -> None:
        self.worker = VirtualWorker(commit)
        self.open_at_once = 0
        self._open: set[str] = set()
        super().__init__(
            ledger,
            ledger.start("test", ""),
            DEFAULT_KEY,
            resend=resend,
            clock=LoopClock(ledger.loop),
            worker=self.worker,
        )

    async def record(self, claims: Sequence[Claim], settlements: Sequence[Settlement]) -> Recorded:
        decisions, states = await super().record(claims, settlements)
        self._open.difference_update(settlement.key for settlement in settlements)
        taken = zip(claims, decisions or (), strict=decisions is not None)
        self._open.update(claim.key for claim, decision in taken if isinstance(decision, Send))
        self.open_at_once = max(self.open_at_once, len(self._open))
        return decisions, states


class VirtualExecutor(Executor):
    """Tasks in place of the thread that asks for permits.

    :param commit: seconds until a transaction is durable, and from then until that is known
    :ivar away_until: until then, the database is out of this run's reach
    :ivar acknowledgements_to_lose: so many transactions are reported as failed, though they were committed
    :ivar transactions: how many there were
    :ivar killed: no more permits are asked for
    """

    def __init__(self, commit: tuple[float, float] = (0.0, 0.0)) -> None:
        self.away_until = 0.0
        self.acknowledgements_to_lose = 0
        self.transactions = 0
        self.killed = False
        self._commit = commit
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()

    def kill(self) -> None:
        """The asking run is gone, in the middle of its work."""
        self.killed = True
        for task in self._tasks:
            task.cancel()

    def submit(self, act: Callable[..., Any], /, *arguments: Any, **named: Any) -> Future[Any]:
        if self.killed:
            raise RuntimeError("there is no such process")
        done: Future[Any] = Future()
        task = asyncio.get_running_loop().create_task(self._do(lambda: act(*arguments, **named), done))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return done

    async def _do(self, act: Callable[[], Any], done: Future[Any]) -> None:
        async with self._turn:
            if not done.set_running_or_notify_cancel():
                return
            try:
                answer = await self._in_time(act)
            except Exception as error:
                done.set_exception(error)
            else:
                done.set_result(answer)

    async def _in_time(self, act: Callable[[], Any]) -> Any:
        before, after = self._commit
        await asyncio.sleep(before)
        if asyncio.get_running_loop().time() < self.away_until:
            raise OperationalError("BEGIN", {}, Exception("the database is away"))
        answer = act()
        self.transactions += 1
        await asyncio.sleep(after)
        if self.acknowledgements_to_lose:
            self.acknowledgements_to_lose -= 1
            raise OperationalError("COMMIT", {}, Exception("the connection was lost"))
        return answer


class VirtualLimiter(Limiter):
    """A run's permits, without the thread that takes them. A cancelled run stands for a killed run.

    :param timeout: seconds in which each request ends
    :param commit: seconds until a transaction is durable, and from then until that is known
    :ivar executor: in place of the thread
    """

    def __init__(
        self,
        ledger: Ledger,
        run_id: str,
        limits: Sequence[RateLimit],
        timeout: float = 30.0,
        commit: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        self.executor = VirtualExecutor(commit)
        super().__init__(Permits(ledger, run_id, "the account", limits, timeout), ledger.timings, self.executor)

    @asynccontextmanager
    async def serving(self, holder: PermitHolder) -> AsyncIterator[None]:
        async with super().serving(holder):
            try:
                yield
            except asyncio.CancelledError:
                self.executor.kill()
                raise
