"""The real books, ledger, lease and rate limit on a virtual clock, which is then everybody's: the engine's, the books'
and the database's. Commits take what time they are told to, and the database can be out of reach.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, tzinfo
from types import SimpleNamespace, TracebackType
from typing import Any
from unittest.mock import patch

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import StaticPool

from airflow_provider_impactcall.defaults import DEFAULT_KEY
from airflow_provider_impactcall.delivery import books as books_module
from airflow_provider_impactcall.delivery import engine as engine_module
from airflow_provider_impactcall.delivery import pacing as pacing_module
from airflow_provider_impactcall.delivery.books import Books
from airflow_provider_impactcall.delivery.claims import Claim
from airflow_provider_impactcall.delivery.ledger import Decision, Ledger, Settlement
from airflow_provider_impactcall.delivery.limiter import Customer, Limiter
from airflow_provider_impactcall.delivery.rate_limit import Grant, Places, RateLimit
from tests.delivery.virtual_time import VirtualTimeLoop

_EPOCH_AS_JULIAN_DAY = 2440587.5


@contextmanager
def one_clock(loop: VirtualTimeLoop) -> Iterator[None]:
    """Within it, the loop's time is the time of engine and books, and the calendar begins in 1970."""
    clock = SimpleNamespace(monotonic=loop.time, sleep=loop.jump)

    class Calendar(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.fromtimestamp(loop.time(), tz or UTC)

    with (
        patch.multiple(engine_module, time=clock, _PROGRESS_EVERY=1e9),
        patch.object(books_module, "time", clock),
        patch.object(pacing_module, "datetime", Calendar),
    ):
        yield


class VirtualLedger(Ledger):
    """A ledger in memory whose database's clock is a loop's.

    :ivar acknowledgements_to_lose: so many commits are reported as failed, though they were not
    :ivar next_commit_takes: seconds until the next commit is reported, in which nothing else happens
    """

    def __init__(self, loop: VirtualTimeLoop) -> None:
        engine = sa.create_engine("sqlite://", poolclass=StaticPool)

        @event.listens_for(engine, "connect")
        def tell_the_time(connection: Any, _: Any) -> None:
            connection.create_function("julianday", 1, lambda _: loop.time() / 86400.0 + _EPOCH_AS_JULIAN_DAY)

        super().__init__(engine, "https://calls.example.com")
        self.acknowledgements_to_lose = 0
        self.next_commit_takes = 0.0
        self._loop = loop
        self.prepare()

    def record(
        self, run_id: str, claims: Sequence[Claim], settlements: Sequence[Settlement], *, resend: bool
    ) -> tuple[list[Decision] | None, list[str]]:
        recorded = super().record(run_id, claims, settlements, resend=resend)
        self._loop.jump(self.next_commit_takes)
        self.next_commit_takes = 0.0
        if self.acknowledgements_to_lose:
            self.acknowledgements_to_lose -= 1
            raise OperationalError("COMMIT", {}, Exception("the connection was lost"))
        return recorded


class VirtualBooks(Books):
    """A run's books, with a task in place of their thread: the lease, its renewal and the groups are the real ones.

    :param commit: seconds until a commit is durable, and from then until that is known
    :ivar away_until: until then, the database is out of this run's reach
    """

    def __init__(self, ledger: Ledger, *, resend: bool = False, commit: tuple[float, float] = (0.0, 0.0)) -> None:
        super().__init__(ledger, ledger.start("test", ""), DEFAULT_KEY, resend=resend)
        self.away_until = 0.0
        self.open_at_once = 0
        self._commit = commit
        self._open: set[str] = set()
        self._asked = asyncio.Event()

    async def __aenter__(self) -> VirtualBooks:
        self._loop = asyncio.get_running_loop()
        self._worker = self._loop.create_task(self._work_on_the_loop())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._worker.cancel()

    async def take(self, claim: Claim) -> Decision:
        decision = await super().take(claim)
        if decision.fence is not None:
            self._open.add(claim.key)
            self.open_at_once = max(self.open_at_once, len(self._open))
        return decision

    def settle(self, settlement: Settlement) -> Awaitable[str]:
        self._open.discard(settlement.key)
        return super().settle(settlement)

    def _gather(self) -> None:
        self._asked.set()

    def _ask(self, item: Any) -> Awaitable[Any]:
        return self._loop.create_task(self._ask_in_time(item))

    async def _ask_in_time(self, item: Any) -> Any:
        before, after = self._commit
        await asyncio.sleep(before)
        answer = self._loop.create_future()
        self._waiting.append(books_module._Job(item, answer))
        self._asked.set()
        answered = await answer
        await asyncio.sleep(after)
        return answered

    async def _work_on_the_loop(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(books_module._RENEW_SECONDS):
                    await self._asked.wait()
            self._asked.clear()
            if (away := self.away_until - self._loop.time()) > 0:
                await asyncio.sleep(away)
            jobs, self._waiting = self._waiting, []
            self._answer(jobs)


class VirtualLimiter(Limiter):
    """A run's places, without the thread that takes them.

    :param timeout: seconds in which each request ends
    :param commit: seconds until a transaction is durable, and from then until that is known
    :ivar away_until: until then, the database is out of this run's reach
    :ivar acknowledgements_to_lose: so many transactions are reported as failed, though they were committed
    :ivar transactions: how many there were
    """

    def __init__(
        self,
        ledger: Ledger,
        run_id: str,
        limits: Sequence[RateLimit],
        timeout: float = 30.0,
        commit: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        super().__init__(Places(ledger, run_id, "the account", limits, timeout))
        self.away_until = 0.0
        self.acknowledgements_to_lose = 0
        self.transactions = 0
        self._commit = commit

    @asynccontextmanager
    async def serving(self, customer: Customer) -> AsyncIterator[None]:
        self._killed = False
        async with super().serving(customer):
            try:
                yield
            except asyncio.CancelledError:
                self._killed = True
                raise

    async def _leave(self) -> None:
        if not self._killed:
            await super()._leave()

    async def _in_the_thread(self, act: Callable[[], Grant]) -> Grant:
        before, after = self._commit
        await asyncio.sleep(before)
        if asyncio.get_running_loop().time() < self.away_until:
            raise OperationalError("BEGIN", {}, Exception("the database is away"))
        granted = act()
        self.transactions += 1
        await asyncio.sleep(after)
        if self.acknowledgements_to_lose:
            self.acknowledgements_to_lose -= 1
            raise OperationalError("COMMIT", {}, Exception("the connection was lost"))
        return granted
