"""Sends claimed calls: one coroutine for each request that may be in flight, instead of one task for each call."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

from airflow_provider_impactcall.delivery.engine.attempts import Attempts
from airflow_provider_impactcall.delivery.engine.stages import Claimed
from airflow_provider_impactcall.delivery.outcome import Attempt, AttemptResult, HeldBack, NothingLeft, ReasonCode
from airflow_provider_impactcall.records import CallRecord

Send = Callable[[CallRecord], Awaitable[Attempt]]
"""One attempt to send one call. It returns every failure on the wire as an :class:`.Attempt`, and never raises it.
Nothing leaves before it is awaited. It raises :class:`.HeldBack` if the call might no longer leave once it had a
connection.
"""


class Senders:
    """Coroutines, the senders. Each takes the next claimed call, sends it, and reports the attempt. A sender is made
    only when it is needed: an endpoint that gets one call at a time has one connection.

    :param group: the task group that the senders run in
    :param most: how many senders there may be
    :param may_leave: whether a request may leave at this moment
    :param attempted: told the attempt of a call
    :param stayed: told of a claimed call that did not leave
    :param attempts: sums how long the attempts take
    """

    def __init__(
        self,
        group: asyncio.TaskGroup,
        send: Send,
        most: int,
        *,
        may_leave: Callable[[], bool],
        attempted: Callable[[Claimed, Attempt], None],
        stayed: Callable[[Claimed], None],
        attempts: Attempts,
    ) -> None:
        self._group = group
        self._send = send
        self._most = most
        self._may_leave = may_leave
        self._attempted = attempted
        self._stayed = stayed
        self._attempts = attempts
        self._loop = asyncio.get_running_loop()
        self._claimed: deque[Claimed] = deque()
        self._idle: list[asyncio.Future[None]] = []
        self._made = 0
        # Senders that were woken or made, and have not run yet.
        self._coming = 0
        self._in_flight: set[asyncio.Task[None]] = set()
        self._cut = False
        self._closed = False

    def hand(self, claimed: Sequence[Claimed]) -> None:
        """Send these calls, each as soon as a sender is free."""
        self._claimed.extend(claimed)
        lacking = len(self._claimed) - self._coming
        while lacking > 0 and (self._idle or self._made < self._most):
            lacking -= 1
            self._coming += 1
            if self._idle:
                self._idle.pop().set_result(None)  # The connection used last is the most likely to be still open.
            else:
                self._made += 1
                self._group.create_task(self._work())

    def give_back(self) -> None:
        """Give back the calls that wait for a sender, as long as no request may leave."""
        while self._claimed and not self._may_leave():
            self._stayed(self._claimed.popleft())

    def cut(self) -> None:
        """Cancel all requests in flight."""
        self._cut = True
        for task in tuple(self._in_flight):
            task.cancel()

    def close(self) -> None:
        """Let the senders end: no more calls come."""
        self._closed = True
        for idle in self._idle:
            idle.set_result(None)

    async def _work(self) -> None:
        self._coming -= 1
        task, now = cast("asyncio.Task[None]", asyncio.current_task()), self._loop.time
        while True:
            while not self._claimed:
                if self._closed:
                    return
                called = self._loop.create_future()
                self._idle.append(called)
                await called
                self._coming -= 1
            claimed = self._claimed.popleft()
            # Check again: recording the intent and waiting for a sender took time, and the run may have stopped.
            if not self._may_leave():
                self._stayed(claimed)
                continue
            # Here and not in a coroutine of its own, which would cost time with each step of each request.
            sending: Awaitable[Attempt] | None = None
            self._in_flight.add(task)
            began = now()
            try:
                sending = self._send(claimed.pending.call.record)
                attempt = await sending
                self._attempts.note(now() - began)
            except asyncio.CancelledError as cancelled:
                if not self._cut:
                    raise
                task.uncancel()
                attempt = _cut_off(cancelled)
            except HeldBack:
                self._stayed(claimed)
                continue
            except Exception as error:
                attempt = _failed(error, left=sending is not None)
            finally:
                self._in_flight.discard(task)
            self._attempted(claimed, attempt)


def _cut_off(cancelled: asyncio.CancelledError) -> Attempt:
    if isinstance(cancelled, NothingLeft):
        reason = "the run was stopped before it left"
        return Attempt(AttemptResult.NOT_SENT, ReasonCode.RUN_STOPPED, reason)
    return Attempt(AttemptResult.UNKNOWN, ReasonCode.RUN_STOPPED, "the run was stopped before an answer came")


def _failed(error: Exception, *, left: bool) -> Attempt:
    """`send` must not raise. If it does, this fails only its call; the other requests in flight are not cancelled."""
    if not left:
        reason = f"no request could be made of it ({type(error).__name__})"
        return Attempt(AttemptResult.NOT_SENT, ReasonCode.NO_CONNECTION, reason)
    return Attempt(AttemptResult.UNKNOWN, ReasonCode.NO_ANSWER, f"no complete answer ({type(error).__name__})")
