"""When to try again what a database refused, and when to give up: one loop, for threads and event loops.

No library's: a run's groups share one patience, its pauses pass on an event loop in one place and in a thread in
another, and where everything goes well it is to cost nothing.
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
    :param seconds: for which failures in a row are borne, from the first of them on
    :param attempts: in a row, of which the last may fail
    :param monotonic: the clock that ``seconds`` are of
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
        """Seconds to wait before the next attempt, as the last one failed; None if no attempt follows."""
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
        """It went well: what fails from now on is the first failure of a row."""
        if self._failed:
            self._failed, self._pause = 0, self._first

    def repeat(
        self,
        act: Callable[[], _T],
        failures: type[Exception] | tuple[type[Exception], ...],
        sleep: Callable[[float], None],
        tell: Callable[[Exception], None] = lambda _: None,
    ) -> _T:
        """Do it until it goes well.

        :param failures: what is worth another attempt; anything else is raised at once
        :param sleep: lets seconds pass; may block
        :param tell: told of each failure that is followed by another attempt
        :raises Exception: the last failure, once the patience is at its end
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
