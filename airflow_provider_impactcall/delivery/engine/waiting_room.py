"""The calls in hand that wait: for their turn, or for a moment. Pure: the caller passes the time."""

from __future__ import annotations

import heapq
import math
from collections import deque
from itertools import count

from airflow_provider_impactcall.delivery.engine.stages import Pending


class WaitingRoom:
    """Calls that wait. Of those whose turn it may be, that which was tried least often is next: calls that always fail
    must not be what an endpoint in trouble is probed with. Among equals it is who came first.
    """

    def __init__(self) -> None:
        self._untried: deque[Pending] = deque()
        self._tried: list[tuple[int, int, Pending]] = []
        self._resting: list[tuple[float, int, int, Pending]] = []
        self._order = count()

    def __len__(self) -> int:
        """How many may be next."""
        return len(self._untried) + len(self._tried)

    @property
    def untried(self) -> int:
        """How many of those were not tried yet."""
        return len(self._untried)

    @property
    def due(self) -> float:
        """When the first of those that rest is to be woken; infinite if none rests."""
        return self._resting[0][0] if self._resting else math.inf

    def enter(self, pending: Pending) -> None:
        """Have a call wait for its turn."""
        if pending.attempts:
            heapq.heappush(self._tried, (pending.attempts, next(self._order), pending))
        else:
            self._untried.append(pending)

    def rest(self, pending: Pending, until: float) -> None:
        """Have a call wait for a moment, and then for its turn."""
        heapq.heappush(self._resting, (until, pending.attempts, next(self._order), pending))

    def wake(self, now: float) -> None:
        """Have those that have rested wait for their turn."""
        while self._resting and self._resting[0][0] <= now:
            *_, pending = heapq.heappop(self._resting)
            self.enter(pending)

    def next(self) -> Pending:
        """Let the next call go."""
        if self._untried:
            return self._untried.popleft()
        *_, pending = heapq.heappop(self._tried)
        return pending

    def clear(self) -> list[Pending]:
        """Let all of them go."""
        resting = sorted(self._resting)
        left = [self.next() for _ in range(len(self))] + [pending for *_, pending in resting]
        self._resting.clear()
        return left
