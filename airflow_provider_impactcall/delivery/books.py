"""The ledger for an event loop: what it wants recorded is gathered, and committed in groups by a thread.

A commit to disk costs milliseconds, a call's share of one with sixty others nothing. The same transaction renews
the run's lease, so a run that can record is a run that may send.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, NamedTuple

from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from airflow_provider_impactcall.delivery.claims import Claim, identify
from airflow_provider_impactcall.delivery.entries import Entry
from airflow_provider_impactcall.delivery.ledger import LEASE_RAN_OUT, LEASE_SECONDS, Decision, Ledger, Settlement
from airflow_provider_impactcall.exceptions import LedgerUnusable
from airflow_provider_impactcall.records import CallRecord

log = logging.getLogger(__name__)

_RENEW_SECONDS = 3.0
# How long before its end a lease is no longer relied on: what is checked in time must also leave in time.
_LEASE_MARGIN = 1.0
_PATIENCE_SECONDS = 60.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0
# How long a group waits to become a larger one, as each costs a write to the disk. While the loop has much to do, its
# timers are late by all of that, so that the group then holds what came of it.
_GATHER_SECONDS = 0.001


class _Job(NamedTuple):
    item: Claim | Settlement | Sequence[str]
    done: asyncio.Future[Any]


class Books:
    """One run's access to the ledger. An async context manager; use it once.

    :param ledger: prepared
    :param run_id: of a run that was started
    :param key: the parameters that tell two calls apart
    :param resend: whether calls of unknown fate may be sent again
    """

    def __init__(self, ledger: Ledger, run_id: str, key: Sequence[str], *, resend: bool) -> None:
        self.run_id = run_id
        self.resend = resend
        self._ledger = ledger
        self._key = key
        self._waiting: list[_Job] = []
        self._at_work = False
        self._groups: queue.SimpleQueue[list[_Job] | None] = queue.SimpleQueue()
        self._lease_until = time.monotonic() + LEASE_SECONDS
        self._lost = False
        # One patience for all that fails in a row, however many groups that are.
        self._patient_until: float | None = None
        self._thread = threading.Thread(target=self._work, name="impactcall-ledger", daemon=True)

    async def __aenter__(self) -> Books:
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._groups.put(None)
        await asyncio.to_thread(self._thread.join)

    @property
    def may_send(self) -> bool:
        """Whether the lease is held for as long as it takes to send."""
        return not self._lost and time.monotonic() < self._lease_until - _LEASE_MARGIN

    def identify(self, call: CallRecord) -> Claim:
        """The claim for a call."""
        return identify(self._ledger.namespace, self._key, call)

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

    def settle(self, settlement: Settlement) -> Awaitable[str]:
        """Record durably what came of an attempt, before anything that is taken after this was called.

        :return: to be awaited: the state that the ledger has its call in from now on; another run may know more of it
        :raises LedgerUnusable: when awaited, if that cannot be recorded
        """
        return self._ask(settlement)

    def _ask(self, item: Claim | Settlement | Sequence[str]) -> Awaitable[Any]:
        done = self._loop.create_future()
        self._waiting.append(_Job(item, done))
        if not self._at_work:
            self._gather()
        return done

    def _gather(self) -> None:
        self._at_work = True
        self._loop.call_later(_GATHER_SECONDS, self._hand_over)

    def _hand_over(self) -> None:
        group, self._waiting = self._waiting, []
        self._groups.put(group)

    def _resolve(self, jobs: list[_Job], answers: list[Any]) -> None:
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

    def _work(self) -> None:
        while True:
            try:
                group = self._groups.get(timeout=_RENEW_SECONDS)
            except queue.Empty:
                group = []
            if group is None:
                return
            self._answer(group)

    def _answer(self, jobs: list[_Job]) -> None:
        try:
            answers = self._patiently(lambda: self._record(jobs))
        except Exception as error:
            log.error("The ledger cannot be used (%s)", type(error).__name__)
            self._lost = True
            failure = LedgerUnusable(f"the ledger cannot be used ({type(error).__name__})")
            answers = [failure] * len(jobs)
        if jobs:
            self._loop.call_soon_threadsafe(self._resolve, jobs, answers)

    def _record(self, jobs: list[_Job]) -> list[Any]:
        lookups = [job.item for job in jobs if not isinstance(job.item, (Claim, Settlement))]
        claims = [job.item for job in jobs if isinstance(job.item, Claim)]
        settlements = [job.item for job in jobs if isinstance(job.item, Settlement)]
        found = [self._ledger.look_up(keys) for keys in lookups]
        began = time.monotonic()
        if found and len(found) == len(jobs) and began < self._lease_until - LEASE_SECONDS + _RENEW_SECONDS:
            return found  # A commit, only to renew a lease that was just renewed, would cost more than the looking up.
        decisions, states = self._ledger.record(self.run_id, claims, settlements, resend=self.resend)
        if decisions is None:
            self._lost = True
        else:
            self._lease_until = began + LEASE_SECONDS
        taken: list[Any] = [LedgerUnusable(LEASE_RAN_OUT)] * len(claims) if decisions is None else decisions
        by_kind: dict[type, Iterator[Any]] = {Claim: iter(taken), Settlement: iter(states)}
        answers = iter(found)
        return [next(by_kind.get(type(job.item), answers)) for job in jobs]

    def _patiently(self, act: Callable[[], list[Any]]) -> list[Any]:
        """Do it again while the database is away, busy or in a deadlock."""
        pause = _FIRST_PAUSE
        while True:
            try:
                answers = act()
            except SQLAlchemyError as error:
                if self._patient_until is None:
                    self._patient_until = time.monotonic() + _PATIENCE_SECONDS
                if time.monotonic() + pause > self._patient_until:
                    raise
                if isinstance(error, IntegrityError):
                    log.debug("Another run has taken one of the same calls in the same moment; trying again")
                else:
                    log.warning("The ledger did not answer (%s); trying again", type(error).__name__)
            else:
                self._patient_until = None
                return answers
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
