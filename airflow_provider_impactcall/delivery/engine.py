"""Calls to outcomes: claim, send, settle, count."""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count

from airflow_provider_impactcall.delivery.claims import InputClaims
from airflow_provider_impactcall.delivery.outcome import DeliveryReport, Outcome, State, Stop
from airflow_provider_impactcall.delivery.pacing import Pacing
from airflow_provider_impactcall.exceptions import DeliveryAborted, Problem
from airflow_provider_impactcall.records import CallRecord

log = logging.getLogger(__name__)

_PROGRESS_EVERY = 5.0
_REFUSED_BEFORE_ANY_DELIVERY = 20
_FORBIDDEN_IN_A_ROW = 5
# Calls in hand for each that may be in flight: the others rest after a failure of their own, in nobody's way.
_IN_HAND = 8


@dataclass(frozen=True)
class Call:
    """A valid row.

    :param row: its number in the input, from 1
    """

    row: int
    record: CallRecord


@dataclass(frozen=True)
class Rejection:
    """A row that is not delivered, and will not be until it changes.

    :param row: its number in the input, from 1
    :param call_session_id: the call's id, if it has a readable one
    :param problems: every reason
    """

    row: int
    call_session_id: str | None
    problems: tuple[Problem, ...]


Send = Callable[[CallRecord], Awaitable[Outcome]]
Listener = Callable[[Call | Rejection, Outcome], None]


class Engine:
    """Delivers the calls of one input. Use it once.

    :param claims: says which calls may be sent
    :param pacing: says when
    :param on_settled: told of every row's outcome, on the event loop: it must be quick
    :param concurrency: requests in flight at once
    :param limit: send at most so many calls
    :param dry_run: send nothing; what would be sent counts as not sent
    :param total: how many rows there are, if known, for the progress line
    """

    def __init__(
        self,
        *,
        claims: InputClaims,
        pacing: Pacing,
        on_settled: Listener,
        concurrency: int = 8,
        limit: int | None = None,
        dry_run: bool = False,
        total: int | None = None,
    ) -> None:
        self._claims = claims
        self._pacing = pacing
        self._on_settled = on_settled
        self._concurrency = concurrency
        self._slots = _Slots(concurrency)
        self._allowance = 0 if dry_run else limit
        self._total = total
        self._refusals = _Refusals()
        self._report = DeliveryReport()
        self._aborted: str | None = None

    def stop(self, reason: str) -> None:
        """Send nothing more. What is in flight is awaited, and what was not sent is counted as that."""
        self._pacing.stop(Stop(reason))

    async def run(self, send: Send, batches: AsyncIterator[Sequence[Call | Rejection]]) -> DeliveryReport:
        """Settle every row.

        :param send: one attempt to send one call; never raises for what happens on the wire
        :param batches: the rows, as they come
        :raises DeliveryAborted: when nothing can be delivered until a person changes something
        """
        started = time.monotonic()
        progress = asyncio.create_task(self._log_progress(started))
        in_hand = asyncio.Semaphore(self._concurrency * _IN_HAND)

        def free(_: asyncio.Task[None]) -> None:
            in_hand.release()

        try:
            async with asyncio.TaskGroup() as deliveries:
                async for batch in batches:
                    for row in batch:
                        self._report.rows += 1
                        if isinstance(row, Rejection):
                            self._settle(row, Outcome(State.REJECTED, "; ".join(map(str, row.problems))))
                        elif self._may_send(row):
                            await in_hand.acquire()
                            deliveries.create_task(self._deliver(send, row)).add_done_callback(free)
        finally:
            progress.cancel()
        for call, outcome in self._refusals.confirm():
            self._settle(call, outcome)
        self._report.stop = self._pacing.stopped
        self._report.seconds = round(time.monotonic() - started, 3)
        if self._aborted is not None:
            raise DeliveryAborted(self._aborted, self._report)
        return self._report

    def _may_send(self, call: Call) -> bool:
        claimed = self._claims.claim(call.record)
        if claimed is not None:
            self._settle(call, Outcome(claimed, "an earlier row of this input holds the same call"))
        elif self._allowance == 0:
            self._settle(call, Outcome(State.NOT_SENT, "over the limit, or a dry run"))
        else:
            self._allowance = None if self._allowance is None else self._allowance - 1
            return True
        return False

    async def _deliver(self, send: Send, call: Call) -> None:
        attempts = 0
        with self._pacing.in_hand():
            while (outcome := await self._attempt(send, call, attempts)) is not None:
                if outcome.state not in (State.AGAIN, State.NOT_SENT):
                    return self._judge(call, outcome)
                attempts += 1
                await self._pacing.rest(attempts)
        return self._settle(call, Outcome(State.NOT_SENT, str(self._pacing.stopped)))

    async def _attempt(self, send: Send, call: Call, attempts: int) -> Outcome | None:
        """What came of one request, or None if none may leave any more."""
        async with self._slots.one_for(attempts):
            if not await self._pacing.admit():
                return None
            outcome = await send(call.record)
            self._pacing.observe(outcome)
            return outcome

    def _judge(self, call: Call, outcome: Outcome) -> None:
        for judged, verdict in self._refusals.judge(call, outcome):
            if verdict.state is State.ABORT:
                self._aborted = self._aborted or verdict.reason
                self._pacing.stop(Stop(verdict.reason))
                verdict = Outcome(State.NOT_SENT, verdict.reason, verdict.status)
            self._settle(judged, verdict)

    def _settle(self, row: Call | Rejection, outcome: Outcome) -> None:
        self._report.count(outcome.state)
        self._on_settled(row, outcome)

    async def _log_progress(self, started: float) -> None:
        while True:
            await asyncio.sleep(_PROGRESS_EVERY)
            done, elapsed = self._report.accounted, time.monotonic() - started
            left = "" if self._total is None else f", {self._total - done} left"
            log.info("%d rows settled, %.1f a second%s", done, done / elapsed, left)


class _Slots:
    """Places for requests in flight. Of the calls that wait for one, that which was tried least often is next: calls
    that always fail must not be what an endpoint in trouble is probed with.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()

    @asynccontextmanager
    async def one_for(self, attempts: int) -> AsyncIterator[None]:
        """A place, for as long as the context lasts.

        :param attempts: how often the call was tried so far
        """
        if self._free:
            self._free -= 1
        else:
            handed_over = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (attempts, next(self._order), handed_over))
            await handed_over
        try:
            yield
        finally:
            self._release()

    def _release(self) -> None:
        while self._waiting:
            *_, waiting = heapq.heappop(self._waiting)
            if not waiting.done():  # It is done if its call was cancelled.
                waiting.set_result(None)
                return
        self._free += 1


class _Refusals:
    """Tells a call that is refused from a set-up that is refused: the first is the call's fault, the second
    must not cost a single call.

    Until a call is delivered, refusals are held back, and the twentieth in a row means that the set-up is
    wrong. So does a 403 before any delivery, or the fifth in a row after one.
    """

    def __init__(self) -> None:
        self._delivered = False
        self._held: list[tuple[Call, Outcome]] = []
        self._forbidden = 0
        self._blamed: Outcome | None = None

    def judge(self, call: Call, outcome: Outcome) -> list[tuple[Call, Outcome]]:
        """The calls that can be settled now, each with its outcome; ABORT for one that is not to blame."""
        if outcome.state is State.DELIVERED:
            self._delivered = True
            return [*self.confirm(), (call, outcome)]
        if outcome.state is State.ABORT:
            self._held.append((call, outcome))
            return self._blame(outcome)
        if outcome.state is not State.REJECTED or outcome.status is None:
            return [(call, outcome)]
        self._held.append((call, outcome))
        if self._blamed is not None:
            return self._blame(self._blamed)
        if outcome.status == 403:
            self._forbidden += 1
            if not self._delivered or self._forbidden == _FORBIDDEN_IN_A_ROW:
                return self._blame(Outcome(State.ABORT, "403, the account may not send these calls", 403))
            return []
        self._forbidden = 0
        if self._delivered:
            return self.confirm()
        if len(self._held) == _REFUSED_BEFORE_ANY_DELIVERY:
            reason = f"the first {len(self._held)} calls were all refused; the last: {outcome.reason}"
            return self._blame(Outcome(State.ABORT, reason, outcome.status))
        return []

    def confirm(self) -> list[tuple[Call, Outcome]]:
        """The refusals held back, as what they are."""
        held, self._held, self._forbidden = self._held, [], 0
        return held

    def _blame(self, verdict: Outcome) -> list[tuple[Call, Outcome]]:
        self._blamed = verdict
        return [(call, verdict) for call, _ in self.confirm()]
