"""The states of actions: pending first, then approved or reversed, on request or automatically after a time."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aiohttp import web

from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.sandbox.journal import Journal, ProcessedCall

PENDING, APPROVED, REVERSED, CLEARED = "PENDING", "APPROVED", "REVERSED", "CLEARED"
WORDS = (PENDING, APPROVED, REVERSED, CLEARED)
"""The states that can be given to an action; ``CLEARED`` means approved and released for payment."""

_EVERY = 100


@dataclass(frozen=True)
class Standing:
    """The state of an action.

    :param updated_at: when the action got this state
    :param cleared_at: when the action was released for payment
    """

    state: str
    updated_at: datetime
    cleared_at: datetime | None = None


class Decisions:
    """The state of each action.

    :param settle_after: seconds after which an undecided action is approved; after the same time again it is cleared.
        None leaves it pending
    :param reversed_share: the share of undecided actions that are reversed instead, 0 to 1
    :raises InvalidOption: for seconds below zero, or a share that is not from 0 to 1
    """

    def __init__(self, journal: Journal, settle_after: float | None, reversed_share: float) -> None:
        if settle_after is not None and settle_after < 0:
            raise InvalidOption(f"settle_after must be 0 or more seconds, and is {settle_after:g}")
        if not 0 <= reversed_share <= 1:
            raise InvalidOption(f"the share of reversed actions must be 0 to 1, and is {reversed_share:g}")
        self._journal = journal
        self._settle_after = settle_after
        self._reversed_of_100 = round(reversed_share * _EVERY)

    def standing(self, number: int, call: ProcessedCall) -> Standing:
        """The state of a call's action.

        :param number: the call's number among the processed calls, from 1
        """
        decided = self._journal.decided.get(number)
        if decided is not None:
            state, at = decided
            return Standing(APPROVED, at, at) if state == CLEARED else Standing(state, at)
        received = datetime.fromisoformat(call["received_at"])
        if self._settle_after is None:
            return Standing(PENDING, received)
        after = timedelta(seconds=self._settle_after)
        settled, cleared = received + after, received + 2 * after
        now = datetime.now(UTC)
        if now < settled:
            return Standing(PENDING, received)
        # Reversed actions are spread over the numbers, and are the same in each run.
        if number * 37 % _EVERY < self._reversed_of_100:
            return Standing(REVERSED, settled)
        return Standing(APPROVED, settled) if now < cleared else Standing(APPROVED, cleared, cleared)

    def decide(self, state: str, numbers: Collection[int] | None = None) -> int:
        """Give actions a state.

        :param state: one of :data:`WORDS`
        :param numbers: the numbers of their calls, from 1; None for all calls
        :return: how many of these calls exist
        :raises InvalidOption: for another state
        """
        if state not in WORDS:
            raise InvalidOption(f"State must be one of {', '.join(WORDS)}")
        there = range(1, len(self._journal.calls) + 1)
        chosen = there if numbers is None else [number for number in numbers if number in there]
        self._journal.decided.update(dict.fromkeys(chosen, (state, datetime.now(UTC))))
        return len(chosen)

    async def change(self, request: web.Request) -> web.Response:
        """Answer a request such as ``{"State": "APPROVED", "Ids": ["1000.4000.1"]}``; without ``Ids`` it is for all."""
        try:
            asked = json.loads(await request.read())
            ids = asked.get("Ids")
            numbers = None if ids is None else [int(str(each).rpartition(".")[2]) for each in ids]
            changed = self.decide(str(asked.get("State")), numbers)
        except (ValueError, TypeError, AttributeError) as error:  # InvalidOption is a ValueError, with our own words
            told = str(error) if isinstance(error, InvalidOption) else 'must be {"State": ..., "Ids": [...]}'
            return web.json_response({"detail": told}, status=400)
        return web.json_response({"changed": changed})
