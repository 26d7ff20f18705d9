"""Calls to outcomes: claim, send, settle, count."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Callable, Collection, Sequence

from airflow_provider_impactcall.delivery.duplicates import Duplicates
from airflow_provider_impactcall.delivery.engine.attempts import Attempts
from airflow_provider_impactcall.delivery.engine.bookkeeper import MOST_GROUPS, Bookkeeper, open_at_most
from airflow_provider_impactcall.delivery.engine.intake import Intake
from airflow_provider_impactcall.delivery.engine.pacing import Pacing
from airflow_provider_impactcall.delivery.engine.run_ledger import RunLedger
from airflow_provider_impactcall.delivery.engine.senders import Send as SendRequest
from airflow_provider_impactcall.delivery.engine.senders import Senders
from airflow_provider_impactcall.delivery.engine.settling import Verdicts, ending_of
from airflow_provider_impactcall.delivery.engine.stages import Claimed, Pending, Settling, Then
from airflow_provider_impactcall.delivery.engine.tally import Tally
from airflow_provider_impactcall.delivery.engine.waiting_room import WaitingRoom
from airflow_provider_impactcall.delivery.identity import Claim
from airflow_provider_impactcall.delivery.items import Item, Listener
from airflow_provider_impactcall.delivery.ledger.rules import LEASE_RAN_OUT, Decision, Send, Settled, Wait
from airflow_provider_impactcall.delivery.outcome import (
    Attempt,
    AttemptResult,
    CallState,
    DeliveryReport,
    ReasonCode,
    Stop,
)
from airflow_provider_impactcall.delivery.timings import TIMINGS, Timings
from airflow_provider_impactcall.exceptions import DeliveryAborted
from airflow_provider_impactcall.records import CallRecord

log = logging.getLogger(__name__)

# Calls in hand, per request that may be in flight. The surplus is for calls in back-off: they must not block others.
_IN_HAND = 8
# Untried calls, per request that may be in flight: enough to send while the ledger looks up the next batch.
_UNTRIED = 2


class Engine:
    """Delivers the calls of one input. Use it once.

    :param duplicates: finds the calls that the input holds twice
    :param pacing: says when a request may leave
    :param on_settled: told of every row's outcome, on the event loop, so it must be quick. A call then has its claim
    :param concurrency: requests in flight at once. A quarter more intents, at least one more, may be open at once:
        this is the most that a kill leaves unknown; see :func:`.open_at_most`
    :param limit: send at most so many calls
    :param refuses: whether no request can be made of a call; such a call takes no place of the limit
    :param total: how many rows there are, if known, for the progress line
    :param interrupt: set it from any thread to stop the run in good order. No new request leaves, and the answers of
        those in flight are awaited for 4 s. Then they count as unknown, or as not sent if still connecting
    :param continues: the ids of the runs that this run continues
    :param timings: the same as the ledger's
    :ivar concurrency: requests in flight at once, at most
    :ivar report: what came of the rows so far
    """

    def __init__(
        self,
        *,
        duplicates: Duplicates,
        pacing: Pacing,
        on_settled: Listener,
        concurrency: int = 8,
        limit: int | None = None,
        refuses: Callable[[CallRecord], bool] = lambda _: False,
        total: int | None = None,
        interrupt: threading.Event | None = None,
        continues: Collection[str] = (),
        timings: Timings = TIMINGS,
    ) -> None:
        self._pacing = pacing
        self.concurrency = concurrency
        self._total = total
        self._interrupt = interrupt or threading.Event()
        self._timings = timings
        self._tally = Tally(on_settled)
        self.report = self._tally.report
        self._intake = Intake(duplicates, self._tally, limit, refuses, frozenset(continues))
        self._room = WaitingRoom()
        # The keys of calls that were to be held back, and that the ledger still has as open.
        self._not_held_back: set[str] = set()
        self._books = Bookkeeper(self._room, pacing, open_at_most(concurrency))
        self._awaited: Callable[[], bool] | None = None
        self._came = asyncio.Event()

    @property
    def stopped(self) -> bool:
        """Whether the run has stopped: no new request leaves."""
        return self._pacing.stopped is not None

    async def run(
        self,
        send: SendRequest,
        ledger: RunLedger,
        batches: AsyncIterator[Sequence[Item]],
        *,
        attempts: Attempts | None = None,
    ) -> DeliveryReport:
        """Settle every row.

        :param send: one attempt to send one call; returns every failure on the wire as an attempt, and never raises it.
            If it has to wait before the first byte, it asks :meth:`may_leave` again after that wait
        :param ledger: the run's ledger
        :param batches: the rows, as they come
        :param attempts: sums how long the attempts take
        :raises DeliveryAborted: when nothing can be delivered until a person changes something
        """
        self._ledger = ledger
        self._verdicts = Verdicts(resend=ledger.resend)
        started = _now()
        try:
            async with self._pacing.open(lambda: self._books.waiting), asyncio.TaskGroup() as group:
                self._senders = Senders(
                    group,
                    send,
                    self.concurrency,
                    may_leave=self.may_leave,
                    attempted=self._attempted,
                    stayed=self._stayed,
                    attempts=attempts or Attempts(),
                )
                for _ in range(MOST_GROUPS):
                    group.create_task(self._books.keep(ledger, self._decided, self._recorded))
                beside = [
                    group.create_task(work)
                    for work in (
                        self._books.admit(),
                        self._heed_stop(),
                        self._heed_interrupt(),
                        self._log_progress(started),
                    )
                ]
                async for batch in batches:
                    await self._take_up(await self._intake.pending(batch, ledger, self._pacing.stop))
                await self._until(lambda: not self._pacing.in_hand)
                self._books.note(self._verdicts.confirm())
                self._books.end()
                self._senders.close()
                for task in beside:
                    task.cancel()
        finally:
            self.report.stop = self._pacing.stopped
            self.report.seconds = round(_now() - started, 3)
        if (abort := self._verdicts.abort) is not None:
            raise DeliveryAborted(abort.code, abort.reason, self.report)
        return self.report

    # Into the waiting room, and out of it.

    async def _take_up(self, calls: Sequence[Pending]) -> None:
        """Let untried calls wait for their turn, as many at a time as there is room for."""
        taken = 0
        while taken < len(calls):
            if not self._places:
                await self._until(self._is_roomy)
            group = calls[taken : taken + self._places]
            taken += len(group)
            self._pacing.take_up(len(group))
            if self.stopped:
                for pending in group:
                    self._enter(pending)
            else:
                self._room.enter_untried(group)
                self._books.look_again()

    @property
    def _places(self) -> int:
        """How many untried calls there is room for."""
        in_hand, untried = self._pacing.in_hand, self._room.untried
        return max(0, min(self.concurrency * _IN_HAND - in_hand, self.concurrency * _UNTRIED - untried))

    def _is_roomy(self) -> bool:
        # Wait until half of the untried calls are gone: to wake up for each single one costs more than to add one.
        few = self._room.untried <= self.concurrency * _UNTRIED // 2
        return few and self._pacing.in_hand < self.concurrency * _IN_HAND

    def _enter(self, pending: Pending, seconds: float = 0.0) -> None:
        """Let a call wait for its turn, after so many seconds; or settle it, if the run has stopped."""
        stop = self._pacing.stopped
        if stop is not None:
            self._leave(pending, stop.code, str(stop))
        elif seconds > 0:
            self._room.rest(pending, _now() + seconds)
            self._books.look_again()
        else:
            self._room.enter(pending)
            self._books.look_again()

    def _leave(self, pending: Pending, code: ReasonCode, reason: str) -> None:
        self._tally.leave(pending.call, code, reason, uncertain=pending.uncertain)
        self._pacing.put_down()

    async def _heed_stop(self) -> None:
        await self._pacing.until_stopped()
        self._senders.give_back()
        for pending in self._room.clear():
            self._enter(pending)
        self._tell()

    # Claimed, and sent.

    def _decided(self, calls: Sequence[Pending], decisions: Sequence[Decision]) -> None:
        claimed = []
        for pending, decision in zip(calls, decisions, strict=True):
            if isinstance(decision, Send):
                claimed.append(Claimed(pending, decision.fence, pending.uncertain or decision.uncertain))
                continue
            self._pacing.withdraw()
            if isinstance(decision, Settled):
                self._tally.settle(pending.call, decision.outcome)
                self._pacing.put_down()
            else:
                self._wait_for_other_run(pending, decision)
        self._senders.hand(claimed)
        if self._pacing.holds_up:
            self._senders.give_back()
        self._tell()

    def _wait_for_other_run(self, pending: Pending, wait: Wait) -> None:
        pending = pending._replace(claim=_known(pending.claim), uncertain=pending.uncertain or wait.uncertain)
        if pending.waited >= self._timings.lease or self.stopped:
            self._leave(pending, wait.code, wait.reason)
        else:
            seconds = self._timings.other_run
            self._enter(pending._replace(waited=pending.waited + seconds), seconds)

    def may_leave(self) -> bool:
        """Whether an admitted request may leave at this moment; if the run has lost its lease, the run stops."""
        if not self._ledger.may_send:
            self._pacing.stop(Stop(ReasonCode.LEASE_LOST, LEASE_RAN_OUT))
        return self._pacing.lets_leave()

    def _attempted(self, claimed: Claimed, attempt: Attempt) -> None:
        self._pacing.observe(attempt)
        self._books.note(self._verdicts.of(claimed, attempt))
        if (abort := self._verdicts.abort) is not None:
            self._pacing.stop(Stop(abort.code, abort.reason))
        if self._pacing.holds_up:
            self._senders.give_back()

    def _stayed(self, claimed: Claimed) -> None:
        """Withdraw the intent of a claimed call that does not leave now."""
        self._pacing.withdraw()
        stop = self._pacing.stopped
        code, reason = ReasonCode.HELD_BACK, "requests had to wait before it left"
        if stop is not None:
            code, reason = stop.code, str(stop)
        self._books.note([Settling(claimed, Attempt(AttemptResult.NOT_SENT, code, reason), Then.RETURN)])

    # Recorded.

    def _recorded(self, settled: Sequence[Settling], states: Sequence[CallState | None]) -> None:
        resend, settle = self._ledger.resend, self._tally.settle
        left = sent = confirmed = 0
        for settling, state in zip(settled, states, strict=True):
            if settling.then is Then.HOLD_BACK:
                self._pacing.put_down()
                if state is None:
                    self._not_held_back.add(settling.claimed.pending.claim.key)
                continue
            held_back = settling.then is Then.CONFIRM and settling.claimed.pending.claim.key not in self._not_held_back
            ending = ending_of(settling, state, resend=resend, held_back=held_back)
            if ending is None:
                self._go_on(settling)
                continue
            if ending.left:
                left += 1
            else:
                sent += 1
            settle(settling.claimed.pending.call, ending.outcome)
            if settling.then is Then.CONFIRM:
                confirmed += 1  # Put down when it was held back.
        self.report.given_up += left
        self.report.sent += sent
        if left + sent > confirmed:
            self._pacing.put_down(left + sent - confirmed)
        self._tell()

    def _go_on(self, settling: Settling) -> None:
        pending, _, uncertain = settling.claimed
        again = settling.then is Then.AGAIN
        attempts = pending.attempts + again
        pending = pending._replace(claim=_known(pending.claim), uncertain=uncertain, attempts=attempts)
        self._enter(pending, self._pacing.back_off(attempts) if again else 0.0)

    # Beside.

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._awaited = condition
            self._came.clear()
            await self._came.wait()
        self._awaited = None

    def _tell(self) -> None:
        if self._awaited is not None and self._awaited():
            self._came.set()

    async def _heed_interrupt(self) -> None:
        while not self._interrupt.is_set():  # noqa: ASYNC110 - it is set by another thread, or by a signal's handler
            await asyncio.sleep(self._timings.interrupt_poll)
        self._pacing.stop(Stop(ReasonCode.RUN_STOPPED, "the task was asked to stop"))
        await asyncio.sleep(self._timings.grace)
        self._senders.cut()

    async def _log_progress(self, started: float) -> None:
        while True:
            await asyncio.sleep(self._timings.progress)
            done, elapsed = self.report.accounted, _now() - started
            left = "" if self._total is None else f", {self._total - done} left"
            log.info("%d rows settled, %.1f a second%s", done, done / elapsed, left)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _known(claim: Claim) -> Claim:
    """The claim of a call that the ledger now holds. Without the mark, a second insert would fail its whole group."""
    return claim._replace(is_known=True)
