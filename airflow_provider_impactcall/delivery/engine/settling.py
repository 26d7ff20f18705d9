"""The rules for what to record of an attempt, and how its row then ends. No I/O, no waiting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from airflow_provider_impactcall.delivery.engine.circuit_breaker import CircuitBreaker
from airflow_provider_impactcall.delivery.engine.stages import Claimed, Settling, Then
from airflow_provider_impactcall.delivery.outcome import (
    Attempt,
    AttemptResult,
    CallState,
    Outcome,
    ReasonCode,
    RowOutcome,
)


class Verdicts:
    """Decides what to record of attempts. A refusal is held back until other attempts show whose fault it is.

    :param resend: whether calls of unknown fate are sent again
    :ivar abort: the attempt that showed that no call can be delivered until a person changes something, or None
    """

    def __init__(self, *, resend: bool) -> None:
        self.abort: Attempt | None = None
        self._resend = resend
        self._breaker = CircuitBreaker()

    def of(self, claimed: Claimed, attempt: Attempt) -> Sequence[Settling]:
        """The records to make after one attempt: of its call, and of earlier calls whose verdict it decides."""
        if attempt.result is AttemptResult.DELIVERED and self._breaker.is_closed:  # nearly all attempts
            return (Settling(claimed, attempt, Then.END),)
        doubtful = attempt.result is AttemptResult.UNKNOWN
        if doubtful and not claimed.uncertain:
            claimed = claimed._replace(uncertain=True)
        if attempt.result in (AttemptResult.AGAIN, AttemptResult.NOT_SENT) or (doubtful and self._resend):
            return (Settling(claimed, attempt, Then.AGAIN),)
        proven = attempt.proves(beside_doubt=True) if claimed.uncertain else attempt
        verdicts = self._breaker.judge(claimed, proven)
        settling = [self._settling(judged, verdict, claimed) for judged, verdict in verdicts]
        if all(judged is not claimed for judged, _ in verdicts):
            # The set-up may be at fault: recorded as not sent, the call is tried again by the next run.
            held_back = replace(proven, result=AttemptResult.NOT_SENT)
            settling.insert(0, Settling(claimed, held_back, Then.HOLD_BACK))
        return settling

    def confirm(self) -> Sequence[Settling]:
        """The records of the refusals that are still held back, once no more attempts follow."""
        return [self._settling(*confirmed) for confirmed in self._breaker.confirm()]

    def _settling(self, judged: Claimed, verdict: Attempt, just_attempted: Claimed | None = None) -> Settling:
        if verdict.result is AttemptResult.ABORT:
            self.abort = self.abort or verdict
            verdict = Attempt(AttemptResult.NOT_SENT, verdict.code, verdict.reason)
        return Settling(judged, verdict, Then.END if judged is just_attempted else Then.CONFIRM)


class Ending(NamedTuple):
    """How a row ends.

    :param left: whether a later run has to send its call
    """

    outcome: Outcome
    left: bool = False


def ending_of(settling: Settling, state: CallState | None, *, resend: bool, held_back: bool = False) -> Ending | None:
    """How the row of a call ends, or None if the call goes on.

    :param state: the call's state in the ledger from now on, as another run may know more of it; None if the attempt
        could not be recorded
    :param resend: whether calls of unknown fate are sent again
    :param held_back: whether the ledger has recorded the attempt as not sent until it is confirmed
    """
    (_, _, uncertain), attempt, then = settling
    if attempt.result is AttemptResult.DELIVERED and state is CallState.DELIVERED:  # nearly all of them
        return _end(attempt.result, attempt.code, attempt.reason, attempt.status)
    if then is Then.RETURN:
        return _unrecorded(attempt, resend) if state is None else None
    if state is CallState.DELIVERED:
        return Ending(_DELIVERED_ELSEWHERE)
    if state is CallState.UNKNOWN and attempt.result is AttemptResult.REJECTED:
        return Ending(Outcome(RowOutcome.UNKNOWN, ReasonCode.IN_DOUBT, attempt.reason, attempt.status))
    if state is None and not held_back:
        return _unrecorded(attempt, resend)
    if then is Then.AGAIN:
        return None
    if state is None or attempt.result is AttemptResult.NOT_SENT:
        return Ending(Outcome.given_up(uncertain, attempt.code, attempt.reason), left=True)
    return _end(attempt.result, attempt.code, attempt.reason, attempt.status)


@lru_cache(maxsize=256)
def _end(result: AttemptResult, code: ReasonCode, reason: str, status: int | None) -> Ending:
    """The end of a call that its attempt settles; calls that end alike share one object."""
    return Ending(Outcome(_ENDS[result], code, reason, status))


def _unrecorded(attempt: Attempt, resend: bool) -> Ending:
    """The end of a call whose outcome the ledger could not record: a later run finds an attempt of unknown fate.

    With ``resend``, that later run sends the call again, so the run asks for it. A call that is known to have arrived
    does not ask for a later run.
    """
    reason = f"{attempt.reason}; the ledger could not record it"
    if resend and attempt.result is not AttemptResult.DELIVERED:
        return Ending(Outcome(RowOutcome.UNKNOWN, ReasonCode.NOT_RECORDED, reason), left=True)
    return Ending(Outcome(RowOutcome.UNKNOWN, ReasonCode.NOT_RECORDED, reason, attempt.status))


_DELIVERED_ELSEWHERE = Outcome(RowOutcome.ALREADY_DELIVERED, ReasonCode.DELIVERED_ELSEWHERE, "delivered by another run")
_ENDS = {
    AttemptResult.DELIVERED: RowOutcome.DELIVERED,
    AttemptResult.REJECTED: RowOutcome.REJECTED,
    AttemptResult.UNKNOWN: RowOutcome.UNKNOWN,
}
