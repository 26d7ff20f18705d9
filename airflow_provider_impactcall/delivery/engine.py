"""Calls to outcomes: claim, send, settle, count."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import cast

from airflow_provider_impactcall.delivery.circuit_breaker import CircuitBreaker
from airflow_provider_impactcall.delivery.claims import claim_of
from airflow_provider_impactcall.delivery.duplicates import Duplicates
from airflow_provider_impactcall.delivery.identity import Claim
from airflow_provider_impactcall.delivery.items import Call, Item, Listener
from airflow_provider_impactcall.delivery.ledger.entries import Entry
from airflow_provider_impactcall.delivery.ledger.rules import (
    LEASE_RAN_OUT,
    Decision,
    Send,
    Settled,
    Settlement,
    Wait,
    as_known,
    decide,
)
from airflow_provider_impactcall.delivery.outcome import (
    Attempt,
    AttemptResult,
    CallState,
    DeliveryReport,
    NothingLeft,
    Outcome,
    ReasonCode,
    RowOutcome,
    Stop,
)
from airflow_provider_impactcall.delivery.pacing import Pacing
from airflow_provider_impactcall.delivery.run_ledger import RunLedger
from airflow_provider_impactcall.delivery.slots import Slots
from airflow_provider_impactcall.delivery.stages import Attempted, Pending, Sent, Settling, begin_settling
from airflow_provider_impactcall.delivery.timings import TIMINGS, Timings
from airflow_provider_impactcall.exceptions import DeliveryAborted, LedgerUnusable
from airflow_provider_impactcall.records import CallRecord

log = logging.getLogger(__name__)

# Calls in hand for each that may be in flight: the others rest after a failure of their own, in nobody's way.
_IN_HAND = 8

SendCall = Callable[[CallRecord], Awaitable[Attempt]]


class Engine:
    """Delivers the calls of one input. Use it once.

    :param duplicates: finds the calls that the input holds twice
    :param pacing: says when a request may leave
    :param on_settled: told of every row's outcome, on the event loop: it must be quick
    :param concurrency: requests in flight at once, at most
    :param limit: send at most so many calls
    :param total: how many rows there are, if known, for the progress line
    :param interrupt: set from any thread to have the run stop well: nothing more leaves, and what is in flight is
        awaited for 4 s, then counted as unknown, or as not sent if it was still connecting
    :param timings: those of the ledger, too
    """

    def __init__(
        self,
        *,
        duplicates: Duplicates,
        pacing: Pacing,
        on_settled: Listener,
        concurrency: int = 8,
        limit: int | None = None,
        total: int | None = None,
        interrupt: threading.Event | None = None,
        timings: Timings = TIMINGS,
    ) -> None:
        self._duplicates = duplicates
        self._pacing = pacing
        self._on_settled = on_settled
        self.concurrency = concurrency
        self._slots = Slots(concurrency)
        self._allowance = limit
        self._total = total
        self._interrupt = interrupt or threading.Event()
        self._timings = timings
        self._in_flight: set[asyncio.Task[None]] = set()
        self._cut = False
        self._breaker = CircuitBreaker()
        self.report = DeliveryReport()
        self._aborted: Attempt | None = None
        self._without_ledger: Stop | None = None

    @property
    def stopped(self) -> bool:
        """Whether nothing more leaves."""
        return self._pacing.stopped is not None

    async def run(self, send: SendCall, ledger: RunLedger, batches: AsyncIterator[Sequence[Item]]) -> DeliveryReport:
        """Settle every row.

        :param send: one attempt to send one call; never raises for what happens on the wire
        :param ledger: the ledger
        :param batches: the rows, as they come
        :raises DeliveryAborted: when nothing can be delivered until a person changes something
        """
        started = _now()
        beside = [asyncio.create_task(self._log_progress(started)), asyncio.create_task(self._heed_interrupt())]
        in_hand = asyncio.Semaphore(self.concurrency * _IN_HAND)
        try:
            async with self._pacing.open():
                async with asyncio.TaskGroup() as deliveries:
                    async for batch in batches:
                        self.report.rows += len(batch)
                        for pending in await self._to_send(batch, ledger):
                            await in_hand.acquire()
                            # Before there is a task: hundreds that wait are what garbage collection then looks at.
                            await self._slots.enter(0)
                            deliveries.create_task(self._deliver(send, ledger, pending, in_hand))
                await self._conclude_all(
                    [begin_settling(ledger, *refused) for refused in self._breaker.confirm()], ledger
                )
        finally:
            for task in beside:
                task.cancel()
            self.report.stop = self._pacing.stopped
            self.report.seconds = round(_now() - started, 3)
        if self._aborted is not None:
            raise DeliveryAborted(self._aborted.code, self._aborted.reason, self.report)
        return self.report

    async def _to_send(self, batch: Sequence[Item], ledger: RunLedger) -> list[Pending]:
        """The calls of a batch that are to be sent; the other rows are settled."""
        claims: list[tuple[Call, Claim]] = []
        for row in batch:
            claimed = claim_of(row, self._duplicates, ledger.identify)
            if isinstance(claimed, Outcome):
                self._settle(row, claimed)
            else:
                claims.append(claimed)
        entries: Mapping[str, Entry] = {}
        # To ask a database that is away takes minutes, and there may be thousands of batches.
        if claims and self._without_ledger is None:
            try:
                entries = await ledger.look_up([key for _, claim in claims for key in claim.keys])
            except LedgerUnusable as error:
                self._without_ledger = Stop(ReasonCode(error.code), str(error))
                self._pacing.stop(self._without_ledger)
        if self._without_ledger is not None:
            for call, _ in claims:
                self._leave(call, self._without_ledger.code, self._without_ledger.reason)
            return []
        known = ((call, as_known(claim, entries)) for call, claim in claims)
        pending = (self._pending(call, claim, entries.get(claim.key), ledger) for call, claim in known)
        return [each for each in pending if each is not None]

    def _pending(self, call: Call, claim: Claim, entry: Entry | None, ledger: RunLedger) -> Pending | None:
        """The call, if it is to be sent; else it is settled."""
        decision = decide(entry, claim, ledger.run_id, resend=ledger.resend)
        # A dead run's call is held, but that has to be recorded first; a run that sends nothing leaves it as it is.
        takes_over = entry is not None and entry.died and self._allowance != 0
        if isinstance(decision, Settled) and not takes_over:
            self._settle(call, decision.outcome)
            return None
        uncertain = takes_over if isinstance(decision, Settled) else decision.uncertain
        if self._allowance == 0:
            self._settle(call, Outcome.given_up(uncertain, ReasonCode.OVER_LIMIT, "over the limit"))
            return None
        if self._allowance is not None and not isinstance(decision, Settled):
            self._allowance -= 1
        return Pending(call, claim._replace(is_new=entry is None), uncertain)

    def _leave(self, call: Call, code: ReasonCode, reason: str, *, uncertain: bool = False) -> None:
        """Settle a call that a later run may send."""
        self.report.given_up += 1
        self._settle(call, Outcome.given_up(uncertain, code, reason))

    async def _deliver(self, send: SendCall, ledger: RunLedger, pending: Pending, in_hand: asyncio.Semaphore) -> None:
        try:
            with self._pacing.in_hand():
                await self._send_until_settled(send, ledger, *pending)
        finally:
            in_hand.release()

    async def _send_until_settled(
        self, send: SendCall, ledger: RunLedger, call: Call, claim: Claim, uncertain: bool
    ) -> None:
        """Send a call that has a place, until something has come of it."""
        attempts = 0
        waited = 0.0
        while True:
            try:
                decision = await self._take(ledger, claim, uncertain)
                sent = None
                if isinstance(decision, Send):
                    sent = await self._send(send, ledger, Attempted(call, claim, decision.fence, decision.uncertain))
            finally:
                self._slots.leave()
            match decision:
                case Settled(outcome):
                    return self._settle(call, outcome)
                case Wait(code, reason, uncertain):
                    if waited >= self._timings.lease or self.stopped:
                        return self._leave(call, code, reason, uncertain=uncertain)
                    await self._pacing.rest_for(self._timings.other_run)
                    waited += self._timings.other_run
            if sent is not None:
                if sent.again is None:
                    return await self._conclude_all(sent.settling, ledger, sent.attempted)
                recorded = await self._recorded(sent.again)
                if recorded is None:
                    return self._settle_unrecorded(sent.attempted, sent.again.attempt, ledger)
                if isinstance(recorded, Outcome):
                    return self._settle(call, recorded)
                uncertain = sent.attempted.uncertain
                attempts += 1
                await self._pacing.rest(attempts)
            claim = _known_to_ledger(claim)
            await self._slots.enter(attempts)

    async def _take(self, ledger: RunLedger, claim: Claim, uncertain: bool) -> Decision:
        """Have a call admitted, and record that it is about to leave; if it may not, its admission is given back.

        :param uncertain: whether an earlier attempt of unknown fate may have been processed; the decision says so too
        """
        while await self._pacing.admit():
            try:
                decision = await ledger.take(claim)
            except LedgerUnusable as error:
                self._pacing.stop(Stop(ReasonCode(error.code), str(error)))
                decision = Wait(ReasonCode(error.code), str(error))
            if not isinstance(decision, Settled):
                uncertain = uncertain or decision.uncertain
                decision = replace(decision, uncertain=uncertain) if decision.uncertain != uncertain else decision
            if not isinstance(decision, Send):
                self._pacing.withdraw()
                return decision
            # Recording takes time, in which all may have changed.
            if not ledger.may_send:
                self._pacing.stop(Stop(ReasonCode.LEASE_LOST, LEASE_RAN_OUT))
            if not (self.stopped or self._pacing.holds_up):
                return decision
            self._pacing.withdraw()
            stop = self._pacing.stopped
            code, reason = ReasonCode.HELD_BACK, "requests had to wait before it left"
            if stop is not None:
                code, reason = stop.code, str(stop)
            stayed = Attempt(AttemptResult.NOT_SENT, code, reason)
            if await self._awaited(ledger.settle(Settlement(claim.key, decision.fence, stayed))) is None:
                reason = f"{reason}; the ledger could not record it"
                if ledger.resend:
                    return Wait(ReasonCode.NOT_RECORDED, reason, uncertain=True)
                return Settled(Outcome(RowOutcome.UNKNOWN, ReasonCode.NOT_RECORDED, reason))
            claim = _known_to_ledger(claim)
        stopped = cast("Stop", self._pacing.stopped)
        return Wait(stopped.code, str(stopped), uncertain)

    async def _send(self, send: SendCall, ledger: RunLedger, attempted: Attempted) -> Sent:
        """Send a call that was taken, and ask the ledger to record what came of it.

        That is before its place is free, and the ledger's answer is awaited afterwards: what the next call takes is
        recorded with this or after it, so that never more intents are open than places.
        """
        attempt = await self._attempt(send, attempted.call)
        self._pacing.observe(attempt)
        doubtful = attempt.result is AttemptResult.UNKNOWN
        attempted = attempted._replace(uncertain=attempted.uncertain or doubtful)
        if attempt.result in (AttemptResult.AGAIN, AttemptResult.NOT_SENT) or (doubtful and ledger.resend):
            return Sent(attempted, again=begin_settling(ledger, attempted, attempt))
        return Sent(
            attempted, settling=self._judge(ledger, attempted, attempt.proves(beside_doubt=attempted.uncertain))
        )

    async def _attempt(self, send: SendCall, call: Call) -> Attempt:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._in_flight.add(task)
        try:
            return await send(call.record)
        except asyncio.CancelledError as cancelled:
            if not self._cut:
                raise
            task.uncancel()
            if isinstance(cancelled, NothingLeft):
                reason = "the run was stopped before it left"
                return Attempt(AttemptResult.NOT_SENT, ReasonCode.RUN_STOPPED, reason)
            reason = "the run was stopped before an answer came"
            return Attempt(AttemptResult.UNKNOWN, ReasonCode.RUN_STOPPED, reason)
        except Exception as error:
            # `send` must not raise. If it does, only this call fails, and the others in flight go on.
            reason = f"no complete answer ({type(error).__name__})"
            return Attempt(AttemptResult.UNKNOWN, ReasonCode.NO_ANSWER, reason)
        finally:
            self._in_flight.discard(task)

    def _judge(self, ledger: RunLedger, attempted: Attempted, attempt: Attempt) -> list[Settling]:
        """Ask the ledger to record what is clear now. A refusal is held back until others show whose fault it is."""
        verdicts = self._breaker.judge(attempted, attempt)
        settling = []
        if all(judged is not attempted for judged, _ in verdicts):
            # As long as it may be the set-up that is refused, the next run is to try again.
            held_back = replace(attempt, result=AttemptResult.NOT_SENT)
            settling.append(begin_settling(ledger, attempted, held_back, held_back=True))
        for judged, verdict in verdicts:
            if verdict.result is AttemptResult.ABORT:
                self._aborted = self._aborted or verdict
                self._pacing.stop(Stop(verdict.code, verdict.reason))
                verdict = Attempt(AttemptResult.NOT_SENT, verdict.code, verdict.reason)
            settling.append(begin_settling(ledger, judged, verdict))
        return settling

    async def _conclude_all(
        self, settling: Sequence[Settling], ledger: RunLedger, just_attempted: Attempted | None = None
    ) -> None:
        """Settle calls as the ledger has them now."""
        for each in settling:
            recorded = await self._recorded(each)
            if each.held_back:
                continue
            if recorded is None and each.attempted is just_attempted:
                self._settle_unrecorded(each.attempted, each.attempt, ledger)
            elif isinstance(recorded, Outcome):
                self._settle(each.attempted.call, recorded)
            else:
                self._conclude(each.attempted, each.attempt, recorded=recorded is not None)

    async def _recorded(self, settling: Settling) -> Outcome | CallState | None:
        """The state that the ledger has a call in now, an outcome if the ledger knows more of the call than its attempt
        told, or None if the attempt could not be recorded.
        """
        attempt = settling.attempt
        state = await self._awaited(settling.recorded)
        if state is CallState.DELIVERED and attempt.result is not AttemptResult.DELIVERED:
            reason = "delivered by another run"
            return Outcome(RowOutcome.ALREADY_DELIVERED, ReasonCode.DELIVERED_ELSEWHERE, reason)
        if state is CallState.UNKNOWN and attempt.result is AttemptResult.REJECTED:
            return Outcome(RowOutcome.UNKNOWN, ReasonCode.IN_DOUBT, attempt.reason, attempt.status)
        return state

    async def _awaited(self, recorded: Awaitable[CallState]) -> CallState | None:
        try:
            return await recorded
        except LedgerUnusable as error:
            self._pacing.stop(Stop(ReasonCode(error.code), str(error)))
            return None

    def _conclude(self, attempted: Attempted, attempt: Attempt, *, recorded: bool) -> None:
        """Settle a call by the last attempt to send it.

        :param recorded: whether the ledger has it; if not, the ledger still has the refusal that was held back, as not
            sent
        """
        if not recorded or attempt.result is AttemptResult.NOT_SENT:
            self._leave(attempted.call, attempt.code, attempt.reason, uncertain=attempted.uncertain)
        else:
            self._settle(
                attempted.call, Outcome(RowOutcome(attempt.result), attempt.code, attempt.reason, attempt.status)
            )

    def _settle_unrecorded(self, attempted: Attempted, attempt: Attempt, ledger: RunLedger) -> None:
        """Settle a call whose outcome the ledger could not record: a later run will find an attempt of unknown fate.

        With resend that run sends it, so it is asked for; but not because of a call that is known to have arrived.
        """
        reason = f"{attempt.reason}; the ledger could not record it"
        if ledger.resend and attempt.result is not AttemptResult.DELIVERED:
            self._leave(attempted.call, ReasonCode.NOT_RECORDED, reason, uncertain=True)
        else:
            self._settle(attempted.call, Outcome(RowOutcome.UNKNOWN, ReasonCode.NOT_RECORDED, reason, attempt.status))

    def _settle(self, row: Item, outcome: Outcome) -> None:
        self.report.count(outcome.state)
        self._on_settled(row, outcome)

    async def _heed_interrupt(self) -> None:
        while not self._interrupt.is_set():  # noqa: ASYNC110 - it is set by another thread, or by a signal's handler
            await asyncio.sleep(self._timings.interrupt_poll)
        self._pacing.stop(Stop(ReasonCode.RUN_STOPPED, "the task was asked to stop"))
        await asyncio.sleep(self._timings.grace)
        self._cut = True
        for task in tuple(self._in_flight):
            task.cancel()

    async def _log_progress(self, started: float) -> None:
        while True:
            await asyncio.sleep(self._timings.progress)
            done, elapsed = self.report.accounted, _now() - started
            left = "" if self._total is None else f", {self._total - done} left"
            log.info("%d rows settled, %.1f a second%s", done, done / elapsed, left)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _known_to_ledger(claim: Claim) -> Claim:
    """The claim for a call that the ledger has by now: else it would be inserted first, and its whole group refused."""
    return claim._replace(is_new=False)
