"""Calls to outcomes: claim, send, settle, count."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, cast

from airflow_provider_impactcall.delivery.circuit_breaker import CircuitBreaker
from airflow_provider_impactcall.delivery.duplicates import Duplicates
from airflow_provider_impactcall.delivery.identity import Claim
from airflow_provider_impactcall.delivery.items import NO_KEY, Call, Item, Listener, Rejected, Skipped
from airflow_provider_impactcall.delivery.ledger.entries import OPEN, Entry
from airflow_provider_impactcall.delivery.ledger.rules import LEASE_RAN_OUT, Decision, Settlement, as_known, decide
from airflow_provider_impactcall.delivery.outcome import DeliveryReport, NothingLeft, Outcome, State, Stop
from airflow_provider_impactcall.delivery.pacing import Pacing
from airflow_provider_impactcall.delivery.slots import Slots
from airflow_provider_impactcall.delivery.stages import Attempted, Pending, Sent, Settling, _known
from airflow_provider_impactcall.delivery.timings import TIMINGS, Timings
from airflow_provider_impactcall.exceptions import DeliveryAborted, LedgerUnusable
from airflow_provider_impactcall.records import CallRecord

log = logging.getLogger(__name__)

# Calls in hand for each that may be in flight: the others rest after a failure of their own, in nobody's way.
_IN_HAND = 8

Send = Callable[[CallRecord], Awaitable[Outcome]]


class RunLedger(Protocol):
    """One run's access to a ledger; :class:`.LedgerWriter` is the real one."""

    run_id: str
    resend: bool

    @property
    def may_send(self) -> bool:
        """Whether the run's lease is held."""

    def identify(self, call: CallRecord) -> Claim:
        """The claim for a call."""

    async def look_up(self, keys: Sequence[str]) -> Mapping[str, Entry]:
        """What the ledger holds of these calls."""

    async def take(self, claim: Claim) -> Decision:
        """Record durably that a call is about to be sent, if it may be."""

    def settle(self, settlement: Settlement) -> Awaitable[str]:
        """Record durably what came of an attempt, before anything that is taken after this was called.

        :return: to be awaited: the state that the ledger has its call in from now on
        """


class Engine:
    """Delivers the calls of one input. Use it once.

    :param claims: finds the calls that the input holds twice
    :param pacing: says when a request may leave
    :param on_settled: told of every row's outcome, on the event loop: it must be quick
    :param concurrency: requests in flight at once
    :param limit: send at most so many calls
    :param total: how many rows there are, if known, for the progress line
    :param interrupt: set from any thread to have the run stop well: nothing more leaves, and what is in flight is
        awaited for 4 s, then counted as unknown, or as not sent if it was still connecting
    :param timings: those of the ledger, too
    """

    def __init__(
        self,
        *,
        claims: Duplicates,
        pacing: Pacing,
        on_settled: Listener,
        concurrency: int = 8,
        limit: int | None = None,
        total: int | None = None,
        interrupt: threading.Event | None = None,
        timings: Timings = TIMINGS,
    ) -> None:
        self._claims = claims
        self._pacing = pacing
        self._on_settled = on_settled
        self._concurrency = concurrency
        self._slots = Slots(concurrency)
        self._allowance = limit
        self._total = total
        self._interrupt = interrupt or threading.Event()
        self._timings = timings
        self._in_flight: set[asyncio.Task[None]] = set()
        self._cut = False
        self._refusals = CircuitBreaker()
        self.report = DeliveryReport()
        self._aborted: str | None = None
        self._without_ledger: str | None = None

    @property
    def stopped(self) -> bool:
        """Whether nothing more leaves."""
        return self._pacing.stopped is not None

    async def run(self, send: Send, books: RunLedger, batches: AsyncIterator[Sequence[Item]]) -> DeliveryReport:
        """Settle every row.

        :param send: one attempt to send one call; never raises for what happens on the wire
        :param books: the ledger
        :param batches: the rows, as they come
        :raises DeliveryAborted: when nothing can be delivered until a person changes something
        """
        started = _now()
        beside = [asyncio.create_task(self._log_progress(started)), asyncio.create_task(self._heed_interrupt())]
        in_hand = asyncio.Semaphore(self._concurrency * _IN_HAND)
        try:
            async with self._pacing.open():
                async with asyncio.TaskGroup() as deliveries:
                    async for batch in batches:
                        self.report.rows += len(batch)
                        for pending in await self._to_send(batch, books):
                            await in_hand.acquire()
                            # Before there is a task: hundreds that wait are what garbage collection then looks at.
                            await self._slots.enter(0)
                            deliveries.create_task(self._deliver(send, books, pending, in_hand))
                await self._hear([_tell(books, *refused) for refused in self._refusals.confirm()], books)
        finally:
            for task in beside:
                task.cancel()
            self.report.stop = self._pacing.stopped
            self.report.seconds = round(_now() - started, 3)
        if self._aborted is not None:
            raise DeliveryAborted(self._aborted, self.report)
        return self.report

    async def _to_send(self, batch: Sequence[Item], books: RunLedger) -> list[Pending]:
        """The calls of a batch that are to be sent; the other rows are settled."""
        claims: list[tuple[Call, Claim]] = []
        for row in batch:
            claimed = claim_of(row, self._claims, books.identify)
            if isinstance(claimed, Outcome):
                self._settle(row, claimed)
            else:
                claims.append(claimed)
        entries: Mapping[str, Entry] = {}
        # To ask a database that is away takes minutes, and there may be thousands of batches.
        if claims and self._without_ledger is None:
            try:
                entries = await books.look_up([key for _, claim in claims for key in claim.keys])
            except LedgerUnusable as error:
                self._without_ledger = str(error)
                self._pacing.stop(Stop(str(error)))
        if self._without_ledger is not None:
            for call, _ in claims:
                self._leave(call, self._without_ledger)
            return []
        known = ((call, as_known(claim, entries)) for call, claim in claims)
        pending = (self._pending(call, claim, entries.get(claim.key), books) for call, claim in known)
        return [each for each in pending if each is not None]

    def _pending(self, call: Call, claim: Claim, entry: Entry | None, books: RunLedger) -> Pending | None:
        """The call, if it is to be sent; else it is settled."""
        decision = decide(entry, claim, books.run_id, resend=books.resend)
        # A dead run's call is held, but that has to be recorded first; a run that sends nothing leaves it as it is.
        held = decision.state is not None
        takes_over = held and entry is not None and entry.state == OPEN and self._allowance != 0
        if held and not takes_over:
            self._settle(call, Outcome(decision.state or State.UNKNOWN, decision.reason))
            return None
        if self._allowance == 0:
            self._settle(call, _given_up(decision.uncertain, "over the limit"))
            return None
        if self._allowance is not None and not takes_over:
            self._allowance -= 1
        return Pending(call, claim._replace(is_new=entry is None), uncertain=takes_over or decision.uncertain)

    def _leave(self, call: Call, reason: str, *, uncertain: bool = False) -> None:
        """Settle a call that a later run may send."""
        self.report.given_up += 1
        self._settle(call, _given_up(uncertain, reason))

    async def _deliver(self, send: Send, books: RunLedger, pending: Pending, in_hand: asyncio.Semaphore) -> None:
        try:
            with self._pacing.in_hand():
                await self._send_until_settled(send, books, *pending)
        finally:
            in_hand.release()

    async def _send_until_settled(
        self, send: Send, books: RunLedger, call: Call, claim: Claim, uncertain: bool
    ) -> None:
        """Send a call that has a place, until something has come of it."""
        attempts = 0
        waited = 0.0
        while True:
            try:
                decision = await self._take(books, claim, uncertain)
                sent = None
                if decision.fence is not None:
                    attempted = Attempted(call, claim, decision.fence, decision.uncertain)
                    sent = await self._send(send, books, attempted)
            finally:
                self._slots.leave()
            uncertain = decision.uncertain
            if decision.state is not None:
                return self._settle(call, Outcome(decision.state, decision.reason))
            if sent is None:
                if waited >= self._timings.lease or self.stopped:
                    return self._leave(call, decision.reason, uncertain=uncertain)
                await self._pacing.rest_for(self._timings.other_run)
                waited += self._timings.other_run
            elif sent.again is None:
                return await self._hear(sent.told, books, sent.attempted)
            else:
                recorded = await self._heard(sent.again)
                if recorded is None:
                    return self._settle_unrecorded(sent.attempted, sent.again.outcome, books)
                if recorded is not sent.again.outcome:
                    return self._conclude(sent.attempted, recorded)
                uncertain = sent.attempted.uncertain
                attempts += 1
                await self._pacing.rest(attempts)
            claim = _seen(claim)
            await self._slots.enter(attempts)

    async def _take(self, books: RunLedger, claim: Claim, uncertain: bool) -> Decision:
        """Have a call admitted, and record that it is about to leave; if it may not, its admission is given back.

        :param uncertain: whether an earlier attempt of unknown fate may have been processed; the decision says so too
        """
        while await self._pacing.admit():
            try:
                decision = await books.take(claim)
            except LedgerUnusable as error:
                self._pacing.stop(Stop(str(error)))
                decision = Decision(reason=str(error))
            uncertain = uncertain or decision.uncertain
            decision = replace(decision, uncertain=uncertain) if decision.uncertain != uncertain else decision
            if decision.fence is None:
                self._pacing.withdraw()
                return decision
            # Recording takes time, in which all may have changed.
            if not books.may_send:
                self._pacing.stop(Stop(LEASE_RAN_OUT))
            if not (self.stopped or self._pacing.holds_up):
                return decision
            self._pacing.withdraw()
            stop = self._pacing.stopped
            reason = "the endpoint asked to wait before it left" if stop is None else str(stop)
            stayed = Settlement(claim.key, decision.fence, Outcome(State.NOT_SENT, reason))
            if await self._answer(books.settle(stayed)) is None:
                state = None if books.resend else State.UNKNOWN
                return Decision(state, uncertain=True, reason=f"{reason}; the ledger could not record it")
            claim = _seen(claim)
        return Decision(uncertain=uncertain, reason=str(self._pacing.stopped))

    async def _send(self, send: Send, books: RunLedger, attempted: Attempted) -> Sent:
        """Send a call that was taken, and tell the ledger what came of it.

        That is before its place is free, and the ledger's answer is listened to afterwards: what the next call takes is
        recorded with this or after it, so that never more intents are open than places.
        """
        outcome = await self._attempt(send, attempted.call)
        self._pacing.observe(outcome)
        attempted = attempted._replace(uncertain=attempted.uncertain or outcome.state is State.UNKNOWN)
        if outcome.state in (State.AGAIN, State.NOT_SENT, *([State.UNKNOWN] * books.resend)):
            return Sent(attempted, again=_tell(books, attempted, outcome))
        return Sent(attempted, told=self._judge(books, attempted, _known(outcome, attempted.uncertain)))

    async def _attempt(self, send: Send, call: Call) -> Outcome:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._in_flight.add(task)
        try:
            return await send(call.record)
        except asyncio.CancelledError as cancelled:
            if not self._cut:
                raise
            task.uncancel()
            if isinstance(cancelled, NothingLeft):
                return Outcome(State.NOT_SENT, "the run was stopped before it left")
            return Outcome(State.UNKNOWN, "the run was stopped before an answer came")
        except Exception as error:
            # It is not to raise. If it does, that is one call's, and must not cut off the others in flight.
            return Outcome(State.UNKNOWN, f"no complete answer ({type(error).__name__})")
        finally:
            self._in_flight.discard(task)

    def _judge(self, books: RunLedger, attempted: Attempted, outcome: Outcome) -> list[Settling]:
        """Tell the ledger what is clear now. A refusal may be held back until others show whose fault it is."""
        verdicts = self._refusals.judge(attempted, outcome)
        told = []
        if all(judged is not attempted for judged, _ in verdicts):
            # As long as it may be the set-up that is refused, the next run is to try again.
            told.append(
                _tell(books, attempted, Outcome(State.NOT_SENT, outcome.reason, outcome.status), held_back=True)
            )
        for judged, verdict in verdicts:
            if verdict.state is State.ABORT:
                self._aborted = self._aborted or verdict.reason
                self._pacing.stop(Stop(verdict.reason))
                verdict = Outcome(State.NOT_SENT, verdict.reason)
            told.append(_tell(books, judged, verdict))
        return told

    async def _hear(self, told: Sequence[Settling], books: RunLedger, just_attempted: Attempted | None = None) -> None:
        """Settle calls as the ledger has them now."""
        for each in told:
            recorded = await self._heard(each)
            if each.held_back:
                continue
            if recorded is None and each.attempted is just_attempted:
                self._settle_unrecorded(each.attempted, each.outcome, books)
            else:
                # The ledger has what was held back as not sent.
                self._conclude(each.attempted, recorded or Outcome(State.NOT_SENT, each.outcome.reason))

    async def _heard(self, told: Settling) -> Outcome | None:
        """What a call's outcome is now that the ledger was told of an attempt, or None if it could not be recorded."""
        outcome = told.outcome
        state = await self._answer(told.answer)
        if state == State.DELIVERED and outcome.state is not State.DELIVERED:
            return Outcome(State.ALREADY_DELIVERED, "delivered by another run")
        if state == State.UNKNOWN and outcome.state is State.REJECTED:
            return Outcome(State.UNKNOWN, outcome.reason, outcome.status)
        return None if state is None else outcome

    async def _answer(self, answer: Awaitable[str]) -> str | None:
        try:
            return await answer
        except LedgerUnusable as error:
            self._pacing.stop(Stop(str(error)))
            return None

    def _conclude(self, attempted: Attempted, outcome: Outcome) -> None:
        if outcome.state is State.NOT_SENT:
            self._leave(attempted.call, outcome.reason, uncertain=attempted.uncertain)
        else:
            self._settle(attempted.call, outcome)

    def _settle_unrecorded(self, attempted: Attempted, outcome: Outcome, books: RunLedger) -> None:
        """Settle a call whose outcome the ledger could not record: a later run will find an attempt of unknown fate.

        With resend that run sends it, so it is asked for; but not because of a call that is known to have arrived.
        """
        reason = f"{outcome.reason}; the ledger could not record it"
        if books.resend and outcome.state is not State.DELIVERED:
            self._leave(attempted.call, reason, uncertain=True)
        else:
            self._settle(attempted.call, Outcome(State.UNKNOWN, reason, outcome.status))

    def _settle(self, row: Item, outcome: Outcome) -> None:
        self.report.count(outcome.state)
        self._on_settled(row, outcome)

    async def _heed_interrupt(self) -> None:
        while not self._interrupt.is_set():  # noqa: ASYNC110 - it is set by another thread, or by a signal's handler
            await asyncio.sleep(self._timings.interrupt_poll)
        self._pacing.stop(Stop("the task was asked to stop"))
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


def claim_of(row: Item, claims: Duplicates, identify: Callable[[CallRecord], Claim]) -> tuple[Call, Claim] | Outcome:
    """A row's call with its claim, or what has come of the row if it is none, or one that came before in this input."""
    if isinstance(row, Rejected):
        return Outcome(State.REJECTED, "; ".join(map(str, row.problems)))
    if isinstance(row, Skipped):
        return Outcome(State.FILTERED, row.reason)
    if not any(row.record.key(claims.key)):
        return Outcome(State.REJECTED, NO_KEY)
    claim = identify(row.record)
    earlier = claims.state_of(claim)
    return (row, claim) if earlier is None else Outcome(earlier, "an earlier row of this input holds the same call")


def _seen(claim: Claim) -> Claim:
    """The claim for a call that the ledger has by now: else it would be inserted first, and its whole group refused."""
    return claim._replace(is_new=False)


def _tell(books: RunLedger, attempted: Attempted, outcome: Outcome, *, held_back: bool = False) -> Settling:
    answer = books.settle(Settlement(attempted.claim.key, attempted.fence, outcome))
    return Settling(attempted, outcome, answer, held_back)


def _given_up(uncertain: bool, reason: str) -> Outcome:
    return Outcome(State.UNKNOWN if uncertain else State.NOT_SENT, reason)
