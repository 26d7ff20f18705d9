"""What can come of a call: of one attempt to send it, and of a whole run."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum


class State(StrEnum):
    """What one attempt came to."""

    DELIVERED = "delivered"
    """2xx and Status OK."""
    REJECTED = "rejected"
    """Invalid here, or refused by the endpoint: the same call again would fare no better."""
    NOT_SENT = "not_sent"
    """Provably nothing left; free to send again."""
    AGAIN = "again"
    """Answered with a status that impact.com asks to retry: taken as not processed."""
    UNKNOWN = "unknown"
    """It left, and no answer that says what came of it."""
    ABORT = "abort"
    """No call can be delivered until a person changes something."""
    ALREADY_DELIVERED = "already_delivered"
    """Delivered before; not sent again."""
    CHANGED = "changed"
    """Sent before with other content; not sent again."""
    DUPLICATE = "duplicate"
    """The second time in one input, with the same content."""
    FILTERED = "filtered"
    """Left out on purpose."""


@dataclass(frozen=True)
class Outcome:
    """What came of one call, or of one attempt to send it.

    :param state: the verdict
    :param reason: what decided it, in words that hold none of the call's own values
    :param status: the HTTP status of the answer, or None if there was no complete one
    :param retry_after: seconds that the endpoint asks to wait, or None
    """

    state: State
    reason: str
    status: int | None = None
    retry_after: float | None = None


class NothingLeft(asyncio.CancelledError):
    """A request was cancelled while provably nothing of it had left."""


@dataclass(frozen=True)
class Stop:
    """Why a run ended before every row was sent.

    :param reason: what happened
    :param retry_at: when it is worth trying again (UTC), or None if nobody knows
    """

    reason: str
    retry_at: datetime | None = None

    def __str__(self) -> str:
        when = "as soon as that has changed" if self.retry_at is None else f"at {self.retry_at:%Y-%m-%dT%H:%M:%SZ}"
        return f"{self.reason}; try again {when}"


ENDS = ("delivered", "already_delivered", "changed", "duplicate", "filtered", "rejected", "unknown", "not_sent")
"""How a row can end; the counts of them add up to the rows."""


@dataclass
class DeliveryReport:
    """What came of every row.

    :param rows: rows read; always the sum of the eight counts that follow
    :param delivered: impact.com answered 2xx with Status OK
    :param already_delivered: delivered by an earlier run
    :param changed: sent before with other content
    :param duplicate: a second time in this input with the same content
    :param filtered: left out on purpose
    :param rejected: invalid, or refused by the endpoint
    :param unknown: sent, and nobody knows what came of it
    :param not_sent: never left, or provably not processed
    :param seconds: how long the run took
    :param rejects: where the rejected rows are listed, or None
    :param given_up: those of ``not_sent`` and ``unknown`` that a later run sends. Not part of :meth:`as_dict`
    :param stop: why the run ended early, or None. Not part of :meth:`as_dict`
    """

    rows: int = 0
    delivered: int = 0
    already_delivered: int = 0
    changed: int = 0
    duplicate: int = 0
    filtered: int = 0
    rejected: int = 0
    unknown: int = 0
    not_sent: int = 0
    seconds: float = 0.0
    rejects: str | None = None
    given_up: int = 0
    stop: Stop | None = None

    def count(self, state: State) -> None:
        """Add one row that ended in this state."""
        setattr(self, state.value, getattr(self, state.value) + 1)

    @property
    def accounted(self) -> int:
        """Rows that ended in a recorded outcome."""
        return sum(getattr(self, end) for end in ENDS)

    def as_dict(self) -> dict[str, int | float | str | None]:
        """The counts, ``seconds`` and ``rejects``, as a task returns them."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name not in _INTERNAL}

    def counts(self) -> dict[str, int]:
        """The rows, and how they ended; integers alone."""
        return {"rows": self.rows, **{end: getattr(self, end) for end in ENDS}}

    def __str__(self) -> str:
        ends = [f"{end}={getattr(self, end)}" for end in ENDS if getattr(self, end)]
        return " ".join([f"rows={self.rows}", *ends, f"seconds={self.seconds:.1f}"])


_INTERNAL = ("given_up", "stop")
