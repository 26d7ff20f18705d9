"""How long attempts take: added up on the event loop, as to tell anyone of each would cost more than a call may."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from airflow_provider_impactcall.delivery.outcome import Attempt
from airflow_provider_impactcall.records import CallRecord


@dataclass
class Attempts:
    """The attempts of one run that came to an end: an answer, or none within the timeout.

    :param count: how many
    :param seconds: what they took together, each from before it is connected until its answer is read
    :param longest: what the longest took, in seconds
    """

    count: int = 0
    seconds: float = 0.0
    longest: float = 0.0

    @property
    def mean(self) -> float:
        """In seconds; zero if there was none."""
        return self.seconds / self.count if self.count else 0.0

    def timing(self, send: Callable[[CallRecord], Awaitable[Attempt]]) -> Callable[[CallRecord], Awaitable[Attempt]]:
        """The same way to send one call, with what it takes counted here. One that is cut off does not count."""

        async def timed(call: CallRecord) -> Attempt:
            began = time.monotonic()
            attempt = await send(call)
            took = time.monotonic() - began
            self.count += 1
            self.seconds += took
            self.longest = max(self.longest, took)
            return attempt

        return timed
