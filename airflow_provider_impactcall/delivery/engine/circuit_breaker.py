"""Tells a refused call from a refused set-up."""

from __future__ import annotations

from airflow_provider_impactcall.delivery.engine.stages import Claimed
from airflow_provider_impactcall.delivery.outcome import Attempt, AttemptResult, ReasonCode

_REFUSED_BEFORE_ANY_DELIVERY = 20

_FORBIDDEN_IN_A_ROW = 5


class CircuitBreaker:
    """Tells a refused call from a refused set-up. The first is the call's fault; the second must not cost any call.

    Until a call is delivered, refusals are held back. The twentieth refusal in a row means that the set-up is wrong.
    A 403 before any delivery means the same, and so does the fifth 403 in a row after a delivery.
    """

    def __init__(self) -> None:
        self._delivered = False
        self._held: list[tuple[Claimed, Attempt]] = []
        self._forbidden = 0
        self._blamed: Attempt | None = None

    @property
    def is_closed(self) -> bool:
        """Whether a call was delivered, and no refusal is held back. Another delivery then changes nothing."""
        return self._delivered and not self._held

    def judge(self, call: Claimed, attempt: Attempt) -> list[tuple[Claimed, Attempt]]:
        """The calls that can be settled now, each with its attempt's result; ABORT if the set-up is to blame."""
        if attempt.result is AttemptResult.DELIVERED:
            self._delivered = True
            if not self._held:
                self._forbidden = 0
                return [(call, attempt)]
            return [*self.confirm(), (call, attempt)]
        if attempt.result is AttemptResult.ABORT:
            self._held.append((call, attempt))
            return self._blame(attempt)
        if attempt.result is not AttemptResult.REJECTED or attempt.status is None:
            return [(call, attempt)]
        self._held.append((call, attempt))
        if self._blamed is not None:
            return self._blame(self._blamed)
        if attempt.status == 403:
            self._forbidden += 1
            if not self._delivered or self._forbidden == _FORBIDDEN_IN_A_ROW:
                reason = "403, the account may not send these calls"
                return self._blame(Attempt(AttemptResult.ABORT, ReasonCode.FORBIDDEN, reason, 403))
            return []
        if self._delivered:
            return self.confirm()
        if len(self._held) == _REFUSED_BEFORE_ANY_DELIVERY:
            reason = f"the first {len(self._held)} calls were all refused; the last: {attempt.reason}"
            return self._blame(Attempt(AttemptResult.ABORT, ReasonCode.ALL_REFUSED, reason, attempt.status))
        return []

    def confirm(self) -> list[tuple[Claimed, Attempt]]:
        """Release the refusals that were held back, as refusals."""
        held, self._held, self._forbidden = self._held, [], 0
        return held

    def _blame(self, verdict: Attempt) -> list[tuple[Claimed, Attempt]]:
        self._blamed = verdict
        return [(call, verdict) for call, _ in self.confirm()]
