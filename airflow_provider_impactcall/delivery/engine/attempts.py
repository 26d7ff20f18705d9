"""How long attempts take, summed on the event loop: to report each one alone would cost too much time per call."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Attempts:
    """The attempts of one run that ended with an answer or a timeout. A cancelled attempt does not count.

    :param count: how many attempts
    :param seconds: their total time; each counts from before its connection is made until its answer is read
    :param longest: seconds that the longest attempt took
    """

    count: int = 0
    seconds: float = 0.0
    longest: float = 0.0

    @property
    def mean(self) -> float:
        """Seconds per attempt; zero if there was no attempt."""
        return self.seconds / self.count if self.count else 0.0

    def note(self, seconds: float) -> None:
        """Count one attempt that took so many seconds."""
        self.count += 1
        self.seconds += seconds
        if seconds > self.longest:
            self.longest = seconds
