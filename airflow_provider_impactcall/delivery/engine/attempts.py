"""How long attempts take: added up on the event loop, as to tell anyone of each would cost more than a call may."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Attempts:
    """The attempts of one run that came to an end: an answer, or none within the timeout. One that is cut off does not
    count.

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

    def note(self, seconds: float) -> None:
        """One came to an end, after so many seconds."""
        self.count += 1
        self.seconds += seconds
        if seconds > self.longest:
            self.longest = seconds
