"""The outcomes of a request, of a row and of a run, and the states of a call in the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Self


class AttemptResult(StrEnum):
    """The result of one request."""

    DELIVERED = "delivered"
    """2xx and Status OK."""
    REJECTED = "rejected"
    """Refused: to send the same call again would not help."""
    NOT_SENT = "not_sent"
    """Provably not sent; it may be sent again."""
    AGAIN = "again"
    """Answered with a status that impact.com asks to retry: taken as not processed."""
    UNKNOWN = "unknown"
    """It left, and no answer says what came of it."""
    ABORT = "abort"
    """No call can be delivered until a person changes something."""


class CallState(StrEnum):
    """The state of a call in the ledger; :mod:`.ledger.states` says which state can follow which."""

    DELIVERED = "delivered"
    """impact.com answered 2xx with Status OK, or it was proven or resolved later."""
    REJECTED = "rejected"
    """impact.com refused it."""
    UNKNOWN = "unknown"
    """It may have been processed, and nobody knows."""
    NOT_SENT = "not_sent"
    """It was provably not processed."""
    REQUEUED = "requeued"
    """A person asked to send it, although it may have been processed."""
    OPEN = "open"
    """Between its intent and its outcome: a request is, or was, in flight or next."""


class ActionState(StrEnum):
    """What became of a delivered call at impact.com, as far as its list of actions tells."""

    NONE = "none"
    """It was looked for, and is not listed: only a call that pays becomes an action."""
    AMBIGUOUS = "ambiguous"
    """Actions are listed that may be of this call or of another one."""
    PENDING = "pending"
    """It became an action, which is not decided yet."""
    APPROVED = "approved"
    """The action is approved: it is cleared once it is released for payment."""
    REVERSED = "reversed"
    """The action was taken back: the partner is not paid for it."""
    OTHER = "other"
    """It became an action, whose state this version of the package does not know."""


class RowOutcome(StrEnum):
    """How a row of an input ended. The counts of all ends add up to the number of rows."""

    DELIVERED = "delivered"
    """impact.com answered 2xx with Status OK."""
    ALREADY_DELIVERED = "already_delivered"
    """Delivered before; not sent again."""
    CHANGED = "changed"
    """Sent before with other content; not sent again."""
    DUPLICATE = "duplicate"
    """In this input a second time, with the same content."""
    FILTERED = "filtered"
    """Left out on purpose."""
    REJECTED = "rejected"
    """Invalid here, or refused by impact.com."""
    UNKNOWN = "unknown"
    """It may have been processed, and nobody knows."""
    NOT_SENT = "not_sent"
    """This run did not send it, and it was not processed."""


class ReasonCode(StrEnum):
    """Why something is not a plain delivery: what programs compare and group by. A code never changes; the sentence
    beside it may. ``docs/errors.md`` says what to do about each code.
    """

    # A row.
    INVALID = "invalid"
    """The row is not a valid call; each of its problems has a :class:`.ProblemCode`."""
    WITHOUT_KEY = "without_key"
    """The row has none of the parameters of the deduplication key."""
    FILTERED = "filtered"
    """The preset or the mapping leaves the row out."""
    EARLIER_ROW = "earlier_row"
    """An earlier row of the input holds the same call."""
    DELIVERED_BEFORE = "delivered_before"
    """An earlier run delivered the call."""
    DELIVERED_ELSEWHERE = "delivered_elsewhere"
    """Another run delivered the call while this one was sending it."""
    REFUSED_BEFORE = "refused_before"
    """impact.com refused the call in an earlier run, and its content is still the same."""

    # An answer.
    OK = "ok"
    """2xx with Status OK."""
    REFUSED = "refused"
    """400, 403, 409, 413, 414 or 422."""
    REFUSED_IN_ANSWER = "refused_in_answer"
    """2xx with Status ERROR."""
    RETRY_LATER = "retry_later"
    """An answer that asks to send the call again: 429, 500, 503, or another of ``retry_statuses``."""
    NO_VERDICT = "no_verdict"
    """An answer that does not say what came of the call."""
    SETUP_REFUSED = "setup_refused"
    """401, 402, 404, 405, 407, 415, or a redirect: no call can be delivered with this set-up."""
    CERTIFICATE_REFUSED = "certificate_refused"
    """The certificate of the endpoint or of the proxy is not trusted, or one of them refuses the client certificate."""
    FORBIDDEN = "forbidden"
    """403 before any delivery, or five in a row: the account may not send these calls."""
    ALL_REFUSED = "all_refused"
    """The first twenty calls were all refused."""

    # No answer.
    TOO_LONG = "too_long"
    """The request would be longer than servers accept; it was not sent."""
    NO_CONNECTION = "no_connection"
    """There was no connection: nothing was sent."""
    NO_ANSWER = "no_answer"
    """The request left, and no complete answer came."""
    IN_DOUBT = "in_doubt"
    """An earlier attempt may have been processed, and this attempt did not settle that."""

    # The run.
    RUN_DIED = "run_died"
    """The run that sent the call ended before it recorded what came of it."""
    RUN_STOPPED = "run_stopped"
    """The task was asked to stop."""
    OTHER_RUN = "other_run"
    """Another run is sending the call."""
    OVER_LIMIT = "over_limit"
    """The option ``limit`` was used up."""
    DRY_RUN = "dry_run"
    """The call would be sent."""
    HELD_BACK = "held_back"
    """A wait began before the request left: the endpoint's, or our own back-off."""
    ENDPOINT_ASKS_TO_WAIT = "endpoint_asks_to_wait"
    """The endpoint asks for a wait longer than ``max_wait``."""
    RATE_LIMIT_USED_UP = "rate_limit_used_up"
    """Our own rate limit asks for a wait longer than ``max_wait``."""
    NO_PROGRESS = "no_progress"
    """No call could be settled within ``max_wait``, or a hundred in a row got no answer."""
    LEASE_LOST = "lease_lost"
    """The run's lease on the ledger ran out."""
    LEDGER_UNUSABLE = "ledger_unusable"
    """The ledger cannot be read or written."""
    NOT_RECORDED = "not_recorded"
    """The ledger could not record what came of the call."""
    UNRECORDABLE = "unrecordable"
    """The ledger's database cannot hold a value of the call; it was not sent."""

    # What a person did.
    REQUEUED = "requeued"
    RESOLVED = "resolved"
    ADOPTED = "adopted"
    RECONCILED = "reconciled"
    ACCEPTED = "accepted"

    NOT_KEPT = "not_kept"
    """An earlier version of this package recorded it without a code."""


@dataclass(frozen=True)
class Attempt:
    """The outcome of one request.

    :param result: the verdict
    :param code: what decided the verdict
    :param reason: the same as a sentence, without any of the call's own values
    :param status: the HTTP status of the answer, or None if there was no complete one
    :param retry_after: seconds that the endpoint asks to wait, or None
    """

    result: AttemptResult
    code: ReasonCode
    reason: str
    status: int | None = None
    retry_after: float | None = None

    def proves(self, *, beside_doubt: bool) -> Attempt:
        """What the attempt proves about its call. After an attempt of unknown fate, only a delivery settles the call.

        :param beside_doubt: whether an earlier attempt of unknown fate may have been processed
        """
        if not beside_doubt or self.result in (AttemptResult.DELIVERED, AttemptResult.ABORT):
            return self
        code = self.code if self.result is AttemptResult.UNKNOWN else ReasonCode.IN_DOUBT
        return Attempt(AttemptResult.UNKNOWN, code, self.reason, self.status)


@dataclass(frozen=True)
class Outcome:
    """How one row ended.

    :param state: how the row ended
    :param code: why; ``ok`` for a plain delivery
    :param reason: the same as a sentence, without any of the call's own values
    :param status: the HTTP status of the answer that decided it, or None
    """

    state: RowOutcome
    code: ReasonCode
    reason: str
    status: int | None = None

    @classmethod
    def given_up(cls, uncertain: bool, code: ReasonCode, reason: str) -> Outcome:
        """The outcome of a call that this run does not send, or no longer sends.

        :param uncertain: whether an attempt of unknown fate may have been processed
        """
        return cls(RowOutcome.UNKNOWN if uncertain else RowOutcome.NOT_SENT, code, reason)


class NothingLeft(asyncio.CancelledError):
    """A request was cancelled before any byte of it can have left."""


class HeldBack(Exception):
    """Once there was a connection, the request might no longer leave. No byte of it has left."""


@dataclass(frozen=True)
class Stop:
    """Why a run ended before every row was sent.

    :param code: what happened
    :param reason: the same as a sentence
    :param retry_at: when it is worth trying again (UTC), or None if nobody knows
    """

    code: ReasonCode
    reason: str
    retry_at: datetime | None = None

    def __str__(self) -> str:
        when = "as soon as that has changed" if self.retry_at is None else f"at {self.retry_at:%Y-%m-%dT%H:%M:%SZ}"
        return f"{self.reason}; try again {when}"


ENDS = tuple(end.value for end in RowOutcome)
"""All ends of a row; their counts add up to the number of rows."""

ReportValue = int | float | str | list[dict[str, str | int]] | None
"""A value of a report. Only a dry run has lists."""


@dataclass
class DeliveryReport:
    """How the rows ended. The fields from ``given_up`` on are not part of :meth:`as_dict`.

    :param rows: rows read; always the sum of the eight counts that follow
    :param delivered: impact.com answered 2xx with Status OK
    :param already_delivered: delivered by an earlier run
    :param changed: sent before with other content
    :param duplicate: in this input a second time, with the same content
    :param filtered: left out on purpose
    :param rejected: invalid, or refused by the endpoint
    :param unknown: sent, and nobody knows what came of it
    :param not_sent: never left, or provably not processed
    :param seconds: how long the run took
    :param rejects: where the rejected rows are listed, or None
    :param given_up: rows of ``not_sent`` and ``unknown`` that a later run sends
    :param stop: why the run ended early, or None
    :param invalid: how many rows were rejected by this package, by the code of their first problem
    :param unread: whether the input may have more rows: a stopped run does not read a generator to its end
    :param run_id: the run's id in the ledger; empty if the ledger does not keep the run
    :param sent: calls that this run sent, and that no later run has to send
    :param by_continued: rows of ``already_delivered`` that were delivered by the runs that this run continues
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
    invalid: Mapping[str, int] = field(default_factory=dict)
    unread: bool = False
    run_id: str = ""
    sent: int = 0
    by_continued: int = 0

    def count(self, state: RowOutcome) -> None:
        """Add one row that ended in this state."""
        self.__dict__[state] += 1  # A StrEnum member is its text. setattr would take four times as long.

    @property
    def accounted(self) -> int:
        """Rows that ended in a recorded outcome."""
        return sum(getattr(self, end) for end in ENDS)

    def of_the_try(self) -> Self:
        """The report of the whole try: calls that the continued runs delivered count as ``delivered``."""
        return replace(
            self,
            delivered=self.delivered + self.by_continued,
            already_delivered=self.already_delivered - self.by_continued,
            by_continued=0,
        )

    def as_dict(self) -> dict[str, ReportValue]:
        """The counts, ``seconds`` and ``rejects``, as a task returns them."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name not in _INTERNAL}

    def counts(self) -> dict[str, int]:
        """The number of rows, and how many ended in each way; only integers."""
        return {"rows": self.rows, **{end: getattr(self, end) for end in ENDS}}

    def __str__(self) -> str:
        ends = [f"{end}={getattr(self, end)}" for end in ENDS if getattr(self, end)]
        return " ".join([f"rows={self.rows}", *ends, f"seconds={self.seconds:.1f}"])


_INTERNAL = ("given_up", "stop", "invalid", "unread", "run_id", "sent", "by_continued")
