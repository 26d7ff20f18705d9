"""The rate limit for an event loop: permits are taken ahead of the requests that need them, by a thread."""

from __future__ import annotations

import asyncio
import logging
import math
from bisect import insort
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import NamedTuple, Protocol

from sqlalchemy.exc import SQLAlchemyError

from airflow_provider_impactcall.delivery.ledger.retries import Retries
from airflow_provider_impactcall.delivery.ledger.transactions import is_collision
from airflow_provider_impactcall.delivery.outcome import ReasonCode, Stop
from airflow_provider_impactcall.delivery.rate_limit.permits import AHEAD_SECONDS, Grant, Permits, Request
from airflow_provider_impactcall.delivery.timings import TIMINGS, Timings

log = logging.getLogger(__name__)

# A timer may fire so much early, and a wait for the rest would not let the clock move on.
_AN_INSTANT = 1e-6


class Demand(NamedTuple):
    """How many permits a run can use.

    :param now: requests that wait for nothing else
    :param soon: those, and the ones that are to follow
    """

    now: int
    soon: int


class PermitHolder(Protocol):
    """What lets the requests leave: :class:`~airflow_provider_impactcall.delivery.engine.pacing.Pacing` does."""

    def demand(self) -> Demand:
        """How many permits it can use."""

    def look_again(self) -> None:
        """There may be permits that were not there before."""

    def stop(self, stop: Stop) -> None:
        """There will be no more permits."""


class Limiter:
    """One run's permits among those of its account. Use it once.

    :param permits: where they are from
    :param timings: those of the ledger, too
    :param executor: what asks the database, one thing after the other, and is shut down in the end; a thread if None
    """

    def __init__(self, permits: Permits, timings: Timings = TIMINGS, executor: Executor | None = None) -> None:
        self.used_up = ""
        self._permits = permits
        self._ready: list[float] = []
        self._in_use = 0
        self._ended: list[float] = []
        # What the transaction under way notes as ended; if it fails, nobody knows whether it did.
        self._noting: list[float] = []
        self._in_doubt = False
        self._turn = 0
        self._free_at = math.inf
        self._ask_at = -math.inf
        self._tidy_at = -math.inf
        self._woken = asyncio.Event()
        self._timings = timings
        self._executor = executor or ThreadPoolExecutor(1, thread_name_prefix="impactcall-limiter")

    def wait(self, now: float) -> float:
        """Seconds until a request may leave; infinite while that is not known."""
        wait = (self._ready[0] if self._ready else self._free_at) - now
        if wait > _AN_INSTANT:
            return wait
        return 0.0 if self._ready else math.inf

    def begin(self) -> None:
        """One request leaves, as it may."""
        self._ready.pop(0)
        self._in_use += 1
        self._woken.set()

    def withdraw(self, now: float) -> None:
        """One request does not leave after all."""
        self._in_use -= 1
        insort(self._ready, now)

    def end(self, now: float) -> None:
        """One request came to an end."""
        self._in_use -= 1
        self._ended.append(now)
        self._woken.set()

    def look_again(self) -> None:
        """The demand may be another than it was."""
        self._woken.set()

    @asynccontextmanager
    async def serving(self, holder: PermitHolder) -> AsyncIterator[None]:
        """Within it, there are permits as the holder demands and the account's limit allows."""
        serving = asyncio.create_task(self._serve(holder))
        try:
            yield
        finally:
            serving.cancel()
            await self._leave()

    async def _serve(self, holder: PermitHolder) -> None:
        timings = self._timings
        retries = Retries(timings.first_pause, timings.longest_pause, monotonic=_now, seconds=timings.patience)
        while True:
            self._woken.clear()
            wait = self._due_at(holder.demand()) - _now()
            if wait > _AN_INSTANT:
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait if wait < math.inf else None):
                        await self._woken.wait()
                continue
            try:
                self._take(await self._exchange(holder.demand()))
            except Exception as error:
                pause = retries.pause() if isinstance(error, SQLAlchemyError) else None
                if pause is None:
                    log.error("The rate limit cannot be kept (%s)", type(error).__name__)
                    return holder.stop(
                        Stop(ReasonCode.LEDGER_UNUSABLE, f"the ledger cannot be used ({type(error).__name__})")
                    )
                if is_collision(error):
                    log.debug("Another run of the account has begun in the same moment; trying again")
                else:
                    log.warning("The ledger did not say how many requests may leave (%s)", type(error).__name__)
                await asyncio.sleep(pause)
            else:
                retries.renew()
                holder.look_again()

    def _due_at(self, demand: Demand) -> float:
        """When the next transaction is worth its price."""
        due_at = math.inf
        if demand.now > len(self._ready) or demand.soon > 2 * len(self._ready):
            due_at = self._ask_at
        if self._noting or self._ended:
            due_at = min(due_at, (self._noting or self._ended)[0] + AHEAD_SECONDS)
        if len(self._ready) > demand.soon:
            due_at = min(due_at, self._ready[0] + self._timings.idle_permit)
        return due_at

    async def _exchange(self, demand: Demand) -> Grant:
        if not self._in_doubt:
            self._turn += 1
            self._noting, self._ended = self._ended, []
            self._in_doubt = True
        now = _now()
        while len(self._ready) > demand.soon and self._ready[0] + self._timings.idle_permit <= now + _AN_INSTANT:
            self._ready.pop(0)
        request = Request(
            self._turn,
            tuple(self._noting),
            held=len(self._ready) + self._in_use + len(self._ended),
            wanted=max(0, demand.soon - len(self._ready)),
            tidy=self._tidy_at <= now,
        )
        granted = await self._in_turn(partial(self._permits.exchange, request, asyncio.get_running_loop().time))
        self._noting, self._in_doubt = [], False
        if request.tidy:
            self._tidy_at = now + self._timings.tidying
        return granted

    def _take(self, granted: Grant) -> None:
        for start in granted.starts:
            insort(self._ready, start)
        self._free_at, self.used_up, self._ask_at = granted.free_at, granted.used_up, granted.ask_at

    async def _leave(self) -> None:
        """Note what ended, and give up the rest. If that fails, the run's end stands for it."""
        with suppress(Exception):
            if self._in_doubt:
                await self._exchange(Demand(0, 0))
            last = Request(self._turn + 1, [*self._ended, *[_now()] * self._in_use], last=True)
            await self._in_turn(partial(self._permits.exchange, last, asyncio.get_running_loop().time))
        self._executor.shutdown(wait=False)

    async def _in_turn(self, act: Callable[[], Grant]) -> Grant:
        return await asyncio.get_running_loop().run_in_executor(self._executor, act)


def _now() -> float:
    return asyncio.get_running_loop().time()
