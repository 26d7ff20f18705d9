"""When the next request may leave, and when to give up. Uses the event loop's clock; people are told UTC times."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from random import Random
from typing import cast

from airflow_provider_impactcall.delivery.clock import SYSTEM_CLOCK, Clock
from airflow_provider_impactcall.delivery.outcome import Attempt, AttemptResult, ReasonCode, Stop
from airflow_provider_impactcall.delivery.rate_limit.limiter import Demand, Limiter
from airflow_provider_impactcall.delivery.timings import TIMINGS, Timings

_TOGETHER = 5
_UNKNOWN_IN_A_ROW = 100
_A_YEAR = 365 * 86_400.0


class Pacing:
    """Lets requests leave one by one: within the account's rate limit, after the waits that the endpoint asks for, and
    with back-off while the endpoint is in trouble. Stops the run for good when that takes too long.

    Only an attempt that was not sent, or that has to be sent again, slows anything down. One answer of 500 or 503 is
    the trouble of one call: the other calls go on. Four things are trouble for all calls: a wait that the endpoint
    asks for, a 429, no connection, and five failures with no settled call in between. Then no request leaves until the
    wait is over. After it, one request leaves at a time, until one is answered.

    :param limiter: keeps the account's rate limit, if there is one
    :param max_wait: the run stops after so many seconds without an answer that settles a call, or if a wait that is
        asked for is longer
    :param random: the source of the jitter
    :param clock: gives the UTC time for "try again at"
    """

    def __init__(
        self,
        limiter: Limiter | None = None,
        max_wait: float = 60.0,
        random: Random | None = None,
        *,
        timings: Timings = TIMINGS,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self.stopped: Stop | None = None
        self.limited_seconds = 0.0
        """Seconds for which calls waited only for a permit of the rate limit. Calls that wait together count once."""
        self._limiter = limiter
        self._max_wait = max_wait
        self._random = random or Random()  # noqa: S311 - jitter is not a secret
        self._first_back_off = timings.first_back_off
        self._longest_back_off = timings.longest_back_off
        self._shortest_wait = timings.shortest_wait
        self._clock = clock
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()
        # Whether nothing holds requests back: then not even the clock has to be read.
        self._at_ease = limiter is None
        self._in_hand = 0
        self._in_admission = 0
        self._waiting: Callable[[], int] = lambda: self._in_admission
        self._idle_since = 0.0
        self._in_flight = 0
        self._failures = 0
        self._pauses = 0
        self._unknown = 0
        self._one_at_a_time = False
        self._asked_until = -math.inf
        self._resume_at = -math.inf
        self._asked_by = ""
        self._trouble = ""
        self._stuck_since: float | None = None

    @asynccontextmanager
    async def open(self, waiting: Callable[[], int] | None = None) -> AsyncIterator[None]:
        """Serve permits. With a rate limit, requests may leave only within this context.

        :param waiting: how many requests wait only to be admitted; if None, those in :meth:`admit`
        """
        self._waiting = waiting or self._waiting
        if self._limiter is None:
            yield
        else:
            async with self._limiter.serving(self):
                yield

    @property
    def in_hand(self) -> int:
        """Calls that were taken up, and not put down yet."""
        return self._in_hand

    @property
    def in_flight(self) -> int:
        """Requests that were admitted, and have not ended or been withdrawn yet."""
        return self._in_flight

    def take_up(self, calls: int = 1) -> None:
        """Take calls in hand, until they are put down. Time without any call in hand does not count towards max_wait.

        :param calls: how many
        """
        if not self._in_hand and self._stuck_since is not None:
            self._stuck_since += _now() - self._idle_since
        self._in_hand += calls

    def put_down(self, calls: int = 1) -> None:
        """Put down settled calls, so many."""
        self._in_hand -= calls
        if not self._in_hand:
            self._idle_since = _now()

    def admit_at_once(self, most: int) -> int:
        """Admit the requests that may leave now, at most so many. The others have to wait, or the run has stopped.

        :return: how many were admitted
        """
        if self._at_ease:
            self._in_flight += most
            return most
        admitted = 0
        while admitted < most and self.stopped is None and self._ask() is None:
            admitted += 1
        return admitted

    async def admit(self) -> bool:
        """Wait until one request may leave. False means that the run has stopped: no request may leave any more."""
        self._in_admission += 1
        if self._limiter is not None:
            self._limiter.look_again()
        try:
            async with self._turn:
                while self.stopped is None:
                    self._changed.clear()
                    wait = self._ask()
                    if wait is None:
                        return True
                    if self.stopped is None:
                        began, limited = _now(), self._is_limited
                        await _wait_for(self._changed, wait)
                        self.limited_seconds += limited * (_now() - began)
                return False
        finally:
            self._in_admission -= 1

    def demand(self) -> Demand:
        """How many permits of the rate limit can be used now, and how many soon."""
        if self.stopped is not None or max(self._asked_until, self._resume_at) > _now():
            return Demand(0, 0)
        if self._one_at_a_time:
            return Demand(*[min(1, self._waiting()) if not self._in_flight else 0] * 2)
        waiting = self._waiting()
        followers = min(self._in_flight, self._in_hand - self._in_flight - waiting)
        return Demand(waiting, waiting + max(0, followers))

    def look_again(self) -> None:
        """Wake up those who wait: the rate limit may have new permits."""
        self._changed.set()

    @property
    def holds_up(self) -> bool:
        """Whether an admitted request stays: the run has stopped, or a wait began, and the request has to be admitted
        again.
        """
        if self._at_ease:
            return False
        begun = max(self._asked_until, self._resume_at) > _now()
        return self.stopped is not None or begun or (self._one_at_a_time and self._in_flight > 1)

    def lets_leave(self) -> bool:
        """Whether an admitted request may still leave; if not, withdraw it."""
        if self._at_ease:
            return True
        self._stop_if_stuck(_now())
        return not self.holds_up

    def observe(self, attempt: Attempt) -> None:
        """Take note of the attempt of an admitted request."""
        self._in_flight -= 1
        if self._limiter is not None:
            self._limiter.end(_now())
        if self._at_ease and attempt.result is AttemptResult.DELIVERED:
            return  # Nobody waits, and nothing was in trouble.
        if attempt.result in (AttemptResult.AGAIN, AttemptResult.NOT_SENT):
            self._back_off(attempt, _now())
        elif attempt.result is AttemptResult.UNKNOWN:
            self._at_ease = False
            self._stuck_since = _now() if self._stuck_since is None else self._stuck_since
            self._trouble = attempt.reason
            self._unknown += 1
            if self._unknown >= _UNKNOWN_IN_A_ROW:
                reason = f"{self._unknown} calls in a row got no answer that says what came of them"
                self.stop(Stop(ReasonCode.NO_PROGRESS, reason))
        elif attempt.status is not None:  # Without a status, the call was refused here: the endpoint was not asked.
            self._failures = self._pauses = self._unknown = 0
            self._one_at_a_time = False
            self._stuck_since = None
        self._changed.set()

    def withdraw(self) -> None:
        """Take back an admitted request that does not leave."""
        self._in_flight -= 1
        if self._limiter is not None:
            self._limiter.withdraw(_now())
        self._changed.set()

    def back_off(self, attempts: int) -> float:
        """Seconds of one call's own back-off; zero while all calls wait for the endpoint together.

        :param attempts: how often the call was tried so far
        """
        return 0.0 if self._one_at_a_time else min(self._jitter(attempts), self._until_given_up())

    async def until_stopped(self) -> Stop:
        """Wait until the run has stopped."""
        await self._stopping.wait()
        return cast("Stop", self.stopped)

    def stop(self, stop: Stop) -> None:
        """Stop the run: no more requests leave. The first reason given is kept."""
        self.stopped = self.stopped or stop
        self._at_ease = False
        self._changed.set()
        self._stopping.set()

    @property
    def _is_limited(self) -> bool:
        """Whether a waiting request waits only for a permit of the rate limit."""
        held_up = max(self._asked_until, self._resume_at) > _now() or (self._one_at_a_time and self._in_flight)
        return self._limiter is not None and not held_up

    def _ask(self) -> float | None:
        """Admit one request and return None; if it may not leave now, return the seconds after which to ask again."""
        wait = self._wait()
        if self.stopped is not None or wait > 0:
            return wait
        self._at_ease = self._limiter is None and self._stuck_since is None and not self._one_at_a_time
        self._in_flight += 1
        if self._limiter is not None:
            self._limiter.begin()
        return None

    def _wait(self) -> float:
        now = _now()
        if self._one_at_a_time and self._in_flight:
            return math.inf
        code, reason = ReasonCode.ENDPOINT_ASKS_TO_WAIT, f"the endpoint asks to wait ({self._asked_by})"
        imposed = self._asked_until - now
        if self._limiter is not None and max(self._asked_until, self._resume_at) <= now:
            self._limiter.look_again()
            code, reason = ReasonCode.RATE_LIMIT_USED_UP, f"the limit of {self._limiter.used_up} is used up"
            imposed = self._limiter.wait(now)
        wait = max(imposed, self._resume_at - now)
        ahead = wait if 0 < wait < math.inf else 0.0
        if self._max_wait < imposed < math.inf:
            if self._in_flight and self._asked_until <= now:
                return math.inf  # Requests that were admitted use up our own limit: let them be sent first.
            self.stop(Stop(code, reason, self._utc_in(imposed)))
        else:
            self._stop_if_stuck(now, ahead)
        return wait

    def _stop_if_stuck(self, now: float, ahead: float = 0.0) -> None:
        if self._stuck_since is not None and now + ahead - self._stuck_since > self._max_wait:
            reason = f"no call could be settled within {self._max_wait:g} s ({self._trouble})"
            self.stop(Stop(ReasonCode.NO_PROGRESS, reason, self._utc_in(ahead) if ahead else None))

    def _back_off(self, attempt: Attempt, now: float) -> None:
        self._at_ease = False
        self._stuck_since = now if self._stuck_since is None else self._stuck_since
        self._trouble = attempt.reason
        together = now < max(self._resume_at, self._asked_until)  # What was in flight together fails together: once.
        self._failures += not together
        asked = attempt.retry_after
        if (
            asked is None
            and attempt.status != 429
            and attempt.result is AttemptResult.AGAIN
            and self._failures < _TOGETHER
        ):
            return
        self._one_at_a_time = True
        self._pauses += not together
        if asked is not None and now + asked > self._asked_until:
            self._asked_until, self._asked_by = now + asked, attempt.reason
        if asked is None or asked < self._shortest_wait:
            self._resume_at = max(self._resume_at, now + self._jitter(self._pauses))

    def _until_given_up(self) -> float:
        return math.inf if self._stuck_since is None else max(0.0, self._stuck_since + self._max_wait - _now())

    def _utc_in(self, seconds: float) -> datetime:
        # A rate such as one in a million years ends later than any datetime can hold.
        return self._clock.now() + timedelta(seconds=min(seconds, _A_YEAR))

    def _jitter(self, attempts: int) -> float:
        return self._random.uniform(0.0, min(self._longest_back_off, self._first_back_off * 2 ** min(attempts, 30)))


async def _wait_for(event: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds if math.isfinite(seconds) else None):
            await event.wait()


def _now() -> float:
    return asyncio.get_running_loop().time()
