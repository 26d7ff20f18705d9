"""What time it is, and how to let some of it pass, where no event loop does: one has its own clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Where code of this package takes its time from."""

    def monotonic(self) -> float:
        """Seconds since any moment; they never go back."""

    def now(self) -> datetime:
        """The calendar's moment, in UTC."""

    def sleep(self, seconds: float) -> None:
        """Let so many seconds pass; only for threads that may block."""


class SystemClock:
    """The clock of the machine."""

    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)

    def now(self) -> datetime:
        """The calendar's moment, in UTC."""
        return datetime.now(UTC)


SYSTEM_CLOCK = SystemClock()
