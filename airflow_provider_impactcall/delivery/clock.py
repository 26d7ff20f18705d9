"""The clock for code outside an event loop: reads the time, and sleeps. Event loops have their own clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import partial
from typing import Protocol


class Clock(Protocol):
    """The source of time for this package."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment; they never go back, and go on while the machine is suspended."""

    def now(self) -> datetime:
        """The current date and time, in UTC."""

    def sleep(self, seconds: float) -> None:
        """Block this thread for so many seconds."""


class SystemClock:
    """The clock of the machine."""

    # Linux's other monotonic clock stops during a suspend, while a lease runs out by the database's clock.
    monotonic = staticmethod(
        partial(time.clock_gettime, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic
    )
    sleep = staticmethod(time.sleep)

    def now(self) -> datetime:
        """The current date and time, in UTC."""
        return datetime.now(UTC)


SYSTEM_CLOCK = SystemClock()
