"""The ledger for an event loop: what it wants recorded is gathered, and committed in groups by a thread.

A commit to disk costs milliseconds, a call's share of one with sixty others nothing. The same transaction renews
the run's lease, so a run that can record is a run that may send.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterator, Sequence
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple

from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from airflow_provider_impactcall.delivery.clock import SYSTEM_CLOCK, Clock
from airflow_provider_impactcall.delivery.identity import Claim, identify
from airflow_provider_impactcall.delivery.ledger.entries import Entry
from airflow_provider_impactcall.delivery.ledger.retries import Retries
from airflow_provider_impactcall.delivery.ledger.rules import LEASE_RAN_OUT, Decision, Settlement
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.ledger.worker import ThreadWorker, Worker
from airflow_provider_impactcall.delivery.outcome import CallState, ReasonCode
from airflow_provider_impactcall.exceptions import LedgerUnusable
from airflow_provider_impactcall.records import CallRecord

log = logging.getLogger(__name__)


class Job(NamedTuple):
    """One thing to ask the ledger, and who waits for what it says."""

    item: Claim | Settlement | Sequence[str]
    done: asyncio.Future[Any]


class LedgerWriter:
    """One run's access to the ledger, whose timings are its own. An async context manager; use it once.

    :param ledger: prepared
    :param run_id: of a run that was started
    :param key: the parameters that tell two calls apart
    :param resend: whether calls of unknown fate may be sent again
    :param clock: what the lease is measured by on this side
    :param worker: what asks the database; a thread if None
    """

    def __init__(
        self,
        ledger: Ledger,
        run_id: str,
        key: Sequence[str],
        *,
        resend: bool,
        clock: Clock = SYSTEM_CLOCK,
        worker: Worker[Job] | None = None,
    ) -> None:
        self.run_id = run_id
        self.resend = resend
        self._ledger = ledger
        self.key = key
        self._waiting: list[Job] = []
        self._at_work = False
        self._worker: Worker[Job] = ThreadWorker("impactcall-ledger") if worker is None else worker
        self._monotonic, self._sleep = clock.monotonic, clock.sleep
        timings = ledger.timings
        self._gather_seconds = timings.gather
        self._renewal = timings.renewal
        self._relied_on = timings.lease - timings.lease_margin
        self._lease_from = clock.monotonic()
        self._lost = False
        # One for all that fails in a row, however many groups that are.
        self._retries = Retries(
            timings.first_pause, timings.longest_pause, monotonic=clock.monotonic, seconds=timings.patience
        )

    async def __aenter__(self) -> LedgerWriter:
        self._loop = asyncio.get_running_loop()
        self._worker.start(self._answer, self._resolve, self._renewal)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._worker.stop()

    @property
    def may_send(self) -> bool:
        """Whether the lease is held for as long as it takes to send."""
        return not self._lost and self._monotonic() < self._lease_from + self._relied_on

    def identify(self, call: CallRecord) -> Claim:
        """The claim for a call."""
        return identify(self._ledger.namespace, self.key, call)

    async def look_up(self, keys: Sequence[str]) -> dict[str, Entry]:
        """What the ledger holds of these calls; what it says may be old by the time it is used."""
        found: dict[str, Entry] = await self._ask(keys)
        return found

    async def take(self, claim: Claim) -> Decision:
        """Record durably that a call is about to be sent, if it may be.

        :raises LedgerUnusable: if that cannot be recorded, or the lease has run out
        """
        decision: Decision = await self._ask(claim)
        return decision

    def settle(self, settlement: Settlement) -> Awaitable[CallState]:
        """Record durably what came of an attempt, before anything that is taken after this was called.

        :return: to be awaited: the state that the ledger has its call in from now on; another run may know more of it
        :raises LedgerUnusable: when awaited, if that cannot be recorded
        """
        return self._ask(settlement)

    def _ask(self, item: Claim | Settlement | Sequence[str]) -> Awaitable[Any]:
        done = self._loop.create_future()
        self._waiting.append(Job(item, done))
        if not self._at_work:
            self._gather()
        return done

    def _gather(self) -> None:
        self._at_work = True
        self._loop.call_later(self._gather_seconds, self._hand_over)

    def _hand_over(self) -> None:
        group, self._waiting = self._waiting, []
        self._worker.hand(group)

    def _resolve(self, jobs: list[Job], answers: list[Any]) -> None:
        self._at_work = False
        if self._waiting:
            self._gather()
        for job, answer in zip(jobs, answers, strict=True):
            if job.done.done():
                continue  # its call was given up
            if isinstance(answer, Exception):
                job.done.set_exception(answer)
            else:
                job.done.set_result(answer)

    def _answer(self, jobs: list[Job]) -> list[Any]:
        try:
            return self._retries.repeat(partial(self._record, jobs), SQLAlchemyError, self._sleep, _log_failure)
        except Exception as error:
            log.error("The ledger cannot be used (%s)", type(error).__name__)
            self._lost = True
            return [LedgerUnusable(f"the ledger cannot be used ({type(error).__name__})")] * len(jobs)

    def _record(self, jobs: list[Job]) -> list[Any]:
        lookups = [job.item for job in jobs if not isinstance(job.item, (Claim, Settlement))]
        claims = [job.item for job in jobs if isinstance(job.item, Claim)]
        settlements = [job.item for job in jobs if isinstance(job.item, Settlement)]
        found = [self._ledger.look_up(keys) for keys in lookups]
        began = self._monotonic()
        if found and len(found) == len(jobs) and began < self._lease_from + self._renewal:
            return found  # A commit, only to renew a lease that was just renewed, would cost more than the looking up.
        decisions, states = self._ledger.record(self.run_id, claims, settlements, resend=self.resend)
        if decisions is None:
            self._lost = True
        else:
            self._lease_from = began
        taken: list[Any] = (
            [LedgerUnusable(LEASE_RAN_OUT, ReasonCode.LEASE_LOST)] * len(claims) if decisions is None else decisions
        )
        by_kind: dict[type, Iterator[Any]] = {Claim: iter(taken), Settlement: iter(states)}
        answers = iter(found)
        return [next(by_kind.get(type(job.item), answers)) for job in jobs]


def _log_failure(error: Exception) -> None:
    if isinstance(error, IntegrityError):
        log.debug("Another run has taken one of the same calls in the same moment; trying again")
    else:
        log.warning("The ledger did not answer (%s); trying again", type(error).__name__)
