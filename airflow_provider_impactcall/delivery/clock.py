"""The clock for code outside an event loop: reads the time, and sleeps. Event loops have their own clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """The source of time for this package."""

    def monotonic(self) -> float:
        """Seconds since an arbitrary moment; they never go back."""

    def now(self) -> datetime:
        """The current date and time, in UTC."""

    def sleep(self, seconds: float) -> None:
        """Block this thread for so many seconds."""


class SystemClock:
    """The clock of the machine."""

    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)

    def now(self) -> datetime:
        """The current date and time, in UTC."""
        return datetime.now(UTC)


SYSTEM_CLOCK = SystemClock()
