"""Slots for requests in flight."""

from __future__ import annotations

import asyncio
import heapq
from itertools import count


class Slots:
    """Slots for requests in flight. Of the calls that wait for one, that which was tried least often is next: calls
    that always fail must not be what an endpoint in trouble is probed with.
    """

    def __init__(self, slots: int) -> None:
        self._free = slots
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = count()

    async def enter(self, attempts: int) -> None:
        """Wait for a slot, which is to be left.

        :param attempts: how often the call was tried so far
        """
        if self._free:
            self._free -= 1
            return
        handed_over = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (attempts, next(self._order), handed_over))
        await handed_over

    def leave(self) -> None:
        """Hand the slot over to the next."""
        while self._waiting:
            *_, waiting = heapq.heappop(self._waiting)
            if not waiting.done():  # It is done if its call was cancelled.
                waiting.set_result(None)
                return
        self._free += 1
