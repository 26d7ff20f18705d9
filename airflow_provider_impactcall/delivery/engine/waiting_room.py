"""The calls in hand that wait, for their turn or until a moment. Pure: the caller passes the time."""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterable
from itertools import count

from airflow_provider_impactcall.delivery.engine.stages import Pending


class WaitingRoom:
    """Calls that wait. The call that was tried least often goes next: an endpoint in trouble must not be probed with
    calls that always fail. Among calls that were tried equally often, the first to come goes first.
    """

    def __init__(self) -> None:
        self._untried: deque[Pending] = deque()
        self._tried: list[tuple[int, int, Pending]] = []
        self._resting: list[tuple[float, int, int, Pending]] = []
        self._order = count()

    def __len__(self) -> int:
        """How many calls may go now; calls that rest do not count."""
        return len(self._untried) + len(self._tried)

    @property
    def untried(self) -> int:
        """How many of these calls were not tried yet."""
        return len(self._untried)

    @property
    def due(self) -> float:
        """When the first resting call is to be woken; infinite if no call rests."""
        return self._resting[0][0] if self._resting else math.inf

    def enter(self, pending: Pending) -> None:
        """Let a call wait for its turn."""
        if pending.attempts:
            heapq.heappush(self._tried, (pending.attempts, next(self._order), pending))
        else:
            self._untried.append(pending)

    def enter_untried(self, calls: Iterable[Pending]) -> None:
        """Let calls that were not tried yet wait for their turn."""
        self._untried.extend(calls)

    def rest(self, pending: Pending, until: float) -> None:
        """Let a call rest until a moment, and then wait for its turn."""
        heapq.heappush(self._resting, (until, pending.attempts, next(self._order), pending))

    def wake(self, now: float) -> None:
        """Let the calls whose rest is over wait for their turn."""
        while self._resting and self._resting[0][0] <= now:
            *_, pending = heapq.heappop(self._resting)
            self.enter(pending)

    def take(self, count: int) -> list[Pending]:
        """Take out the next calls, so many."""
        untried, tried = self._untried, self._tried
        return [untried.popleft() if untried else heapq.heappop(tried)[-1] for _ in range(count)]

    def clear(self) -> list[Pending]:
        """Take out all calls, those that rest too."""
        resting = sorted(self._resting)
        left = self.take(len(self)) + [pending for *_, pending in resting]
        self._resting.clear()
        return left
