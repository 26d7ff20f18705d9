"""Keeps the ledger up to date: one group of intents and outcomes after the other, each durable before the next."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence

from airflow_provider_impactcall.delivery.engine.pacing import Pacing
from airflow_provider_impactcall.delivery.engine.run_ledger import RunLedger
from airflow_provider_impactcall.delivery.engine.stages import Pending, Settling
from airflow_provider_impactcall.delivery.engine.waiting_room import WaitingRoom
from airflow_provider_impactcall.delivery.ledger.rules import LEASE_RAN_OUT, Decision, Settlement, Wait
from airflow_provider_impactcall.delivery.outcome import CallState, ReasonCode, Stop
from airflow_provider_impactcall.exceptions import LedgerUnusable

MOST_GROUPS = 2
"""Groups that the ledger has been given, and has not answered."""


def open_at_most(concurrency: int) -> int:
    """The most intents that may be open at once, and so the most calls that a kill leaves unknown.

    These are the calls in flight, plus a quarter of their number, at least one, that are claimed and next. So no
    sender idles while a commit runs. With 8 requests in flight, 10 intents may be open.

    :param concurrency: requests in flight at once
    """
    return concurrency + max(1, concurrency // 4)


class Bookkeeper:
    """Records the outcomes of calls, and claims the next calls.

    The ledger works on one group at a time. A group holds all outcomes since the group before, and as many intents as
    there is room for. The next group follows at once, or as soon as there is something to record. So an outcome is
    recorded before, or together with, the intent that takes its place.

    While no request is in flight, the next group is handed over before the ledger has answered the one before: the
    ledger then goes on at once, and need not wait for the event loop.

    :param room: where calls wait for their turn
    :param pacing: admits the calls that are claimed
    :param most: intents that may be open at once
    """

    def __init__(self, room: WaitingRoom, pacing: Pacing, most: int) -> None:
        self._room = room
        self._pacing = pacing
        self._most = most
        self._settling: list[Settling] = []
        self._woken = asyncio.Event()
        self._held_up = asyncio.Event()
        self._admitted = 0
        self._ending = False
        # Groups that the ledger has not answered, and the claims in them.
        self._groups = 0
        self._claiming = 0

    @property
    def waiting(self) -> int:
        """How many calls could be claimed now, if pacing admitted them."""
        return min(len(self._room), self._most - self._pacing.in_flight)

    def note(self, settling: Sequence[Settling]) -> None:
        """Queue these outcomes for the next group."""
        self._settling.extend(settling)
        self.look_again()

    def look_again(self) -> None:
        """Wake up: a new call may be there to claim."""
        if self._may_hand_over:
            self._woken.set()

    def end(self) -> None:
        """Let :meth:`keep` return as soon as everything is recorded."""
        self._ending = True
        self._woken.set()

    async def keep(
        self,
        ledger: RunLedger,
        decided: Callable[[Sequence[Pending], Sequence[Decision]], None],
        recorded: Callable[[Sequence[Settling], Sequence[CallState | None]], None],
    ) -> None:
        """Record until the end. Run this in :data:`MOST_GROUPS` tasks: each waits for one group at a time.

        :param decided: told what may be done with each claimed call
        :param recorded: told the state of each call in the ledger from now on; None if its outcome could not be
            recorded
        """
        while True:
            if not self._may_hand_over:
                # Without an alarm for a call that is due: the other task looks for it after its group.
                await self._woken.wait()
                self._woken.clear()
                continue
            settling, self._settling = self._settling, []
            pending = self._next()
            if settling or pending:
                self._groups += 1
                self._claiming += len(pending)
                try:
                    decisions, states = await self._record(ledger, pending, settling)
                finally:
                    self._groups -= 1
                    self._claiming -= len(pending)
                if pending:
                    decided(pending, decisions)
                if settling:
                    recorded(settling, states)
            elif self._ending and not self._groups:
                self._woken.set()  # The other task may be asleep.
                return
            else:
                await self._sleep()

    @property
    def _may_hand_over(self) -> bool:
        """Whether a group may be handed to the ledger now: no other group is there, or one, and nothing is in flight
        but what it claims.
        """
        return not self._groups or (self._groups < MOST_GROUPS and self._pacing.in_flight == self._claiming)

    async def admit(self) -> None:
        """Wait for the admission of calls that must wait, one after the other, until the run stops."""
        while True:
            await self._held_up.wait()
            if not await self._pacing.admit():
                return
            self._admitted += 1
            self._held_up.clear()
            self._woken.set()

    def _next(self) -> list[Pending]:
        """The calls to claim now, each of them admitted."""
        if self._pacing.stopped is not None:
            while self._admitted:
                self._admitted -= 1
                self._pacing.withdraw()
            return []
        if self._room.due < math.inf:
            self._room.wake(_now())
        wanted = min(len(self._room), self._most - self._pacing.in_flight + self._admitted)
        admitted = min(wanted, self._admitted)
        self._admitted -= admitted
        if not self._held_up.is_set():
            admitted += self._pacing.admit_at_once(wanted - admitted)
        if admitted < wanted:
            self._held_up.set()
        return self._room.take(admitted)

    async def _record(
        self, ledger: RunLedger, pending: Sequence[Pending], settling: Sequence[Settling]
    ) -> tuple[Sequence[Decision], Sequence[CallState | None]]:
        try:
            decisions, states = await ledger.record(
                [each.claim for each in pending],
                [Settlement(claimed.pending.claim.key, claimed.fence, attempt) for claimed, attempt, _ in settling],
            )
        except LedgerUnusable as error:
            why = Wait(ReasonCode(error.code), str(error))
            self._pacing.stop(Stop(why.code, why.reason))
            return [why] * len(pending), [None] * len(settling)
        if decisions is None:
            why = Wait(ReasonCode.LEASE_LOST, LEASE_RAN_OUT)
            if pending:
                self._pacing.stop(Stop(why.code, why.reason))
            return [why] * len(pending), states
        return decisions, states

    async def _sleep(self) -> None:
        """Wait until there may be something to do."""
        due = self._room.due
        alarm = None if due == math.inf else asyncio.get_running_loop().call_at(due, self._woken.set)
        await self._woken.wait()
        self._woken.clear()
        if alarm is not None:
            alarm.cancel()


def _now() -> float:
    return asyncio.get_running_loop().time()
