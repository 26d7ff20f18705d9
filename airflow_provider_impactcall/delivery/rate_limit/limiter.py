"""The rate limit for an event loop: a thread takes permits ahead of the requests that need them."""

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

# A timer may fire so much too early, and to wait for the rest would not let the clock move on.
_AN_INSTANT = 1e-6


class Demand(NamedTuple):
    """How many permits a run can use.

    :param now: requests that wait only for a permit
    :param soon: the same, plus the requests that follow soon
    """

    now: int
    soon: int


class PermitHolder(Protocol):
    """The part that lets requests leave: :class:`~airflow_provider_impactcall.delivery.engine.pacing.Pacing`."""

    def demand(self) -> Demand:
        """How many permits it can use."""

    def look_again(self) -> None:
        """Told that there may be new permits."""

    def stop(self, stop: Stop) -> None:
        """Told that there will be no more permits."""


class Limiter:
    """One run's share of the permits of its account. Use it once.

    :param permits: gives the permits
    :param timings: the same as the ledger's
    :param executor: runs the database queries, one after the other, and is shut down in the end; one thread if None
    """

    def __init__(self, permits: Permits, timings: Timings = TIMINGS, executor: Executor | None = None) -> None:
        self.used_up = ""
        self._permits = permits
        self._ready: list[float] = []
        self._in_use = 0
        self._ended: list[float] = []
        # The ends that the current transaction notes. If it fails, nobody knows whether they were noted.
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
        """Seconds until a request may leave; infinite as long as that is unknown."""
        wait = (self._ready[0] if self._ready else self._free_at) - now
        if wait > _AN_INSTANT:
            return wait
        return 0.0 if self._ready else math.inf

    def begin(self) -> None:
        """Use one ready permit: a request leaves."""
        self._ready.pop(0)
        self._in_use += 1
        self._woken.set()

    def withdraw(self, now: float) -> None:
        """Take a permit back: its request does not leave."""
        self._in_use -= 1
        insort(self._ready, now)

    def end(self, now: float) -> None:
        """Note the end of one request."""
        self._in_use -= 1
        self._ended.append(now)
        self._woken.set()

    def look_again(self) -> None:
        """Wake up: the demand may have changed."""
        self._woken.set()

    @asynccontextmanager
    async def serving(self, holder: PermitHolder) -> AsyncIterator[None]:
        """Take permits within this context, as the holder demands and the account's limit allows."""
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
        """When the next transaction is worth its cost."""
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
        """Note the ended requests, and give up the other permits. If that fails, the run's end counts instead."""
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
