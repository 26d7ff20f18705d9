"""When to try again after a database's failure, and when to give up: one loop, for threads and event loops.

Not a library's, for three reasons. All groups of a run share one patience; the pauses pass on an event loop in one
place, in a thread in another; and without failures, the loop must cost nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


class Retries:
    """For how long, or how often, a failure is followed by another attempt; the pauses between them double.

    :param first: seconds before the second attempt
    :param longest: seconds that a pause may grow to
    :param seconds: for which failures in a row are followed by another attempt, from the first failure on
    :param attempts: the most attempts in a row; if the last of them fails too, no attempt follows
    :param monotonic: the clock that measures ``seconds``
    """

    def __init__(
        self,
        first: float,
        longest: float,
        *,
        monotonic: Callable[[], float],
        seconds: float = math.inf,
        attempts: float = math.inf,
    ) -> None:
        self._first = first
        self._longest = longest
        self._monotonic = monotonic
        self._seconds = seconds
        self._attempts = attempts
        self._failed = 0
        self._pause = first
        self._until = math.inf

    def pause(self) -> float | None:
        """Note a failure; the seconds to wait before the next attempt, None if no attempt follows."""
        now = self._monotonic()
        if not self._failed:
            self._until = now + self._seconds
        self._failed += 1
        pause = self._pause
        if self._failed >= self._attempts or now + pause > self._until:
            return None
        self._pause = min(pause * 2, self._longest)
        return pause

    def renew(self) -> None:
        """Note a success: the next failure is the first in a row."""
        if self._failed:
            self._failed, self._pause = 0, self._first

    def repeat(
        self,
        act: Callable[[], _T],
        failures: type[Exception] | tuple[type[Exception], ...],
        sleep: Callable[[float], None],
        tell: Callable[[Exception], None] = lambda _: None,
    ) -> _T:
        """Do it until it succeeds.

        :param failures: errors that are worth another attempt; any other error is raised at once
        :param sleep: lets seconds pass; may block
        :param tell: called with each failure that is followed by another attempt
        :raises Exception: the last failure, if no attempt follows
        """
        while True:
            try:
                done = act()
            except failures as error:
                pause = self.pause()
                if pause is None:
                    raise
                tell(error)
            else:
                self.renew()
                return done
            sleep(pause)
