"""The ledger for an event loop: a thread queries it, and commits intents and outcomes in groups (group commit).

A commit to disk takes milliseconds; shared by sixty calls, it costs each of them almost nothing. The same transaction
renews the run's lease, so a run that can record may send.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from airflow_provider_impactcall.delivery.clock import SYSTEM_CLOCK, Clock
from airflow_provider_impactcall.delivery.identity import Claim, identify
from airflow_provider_impactcall.delivery.ledger.entries import Entry
from airflow_provider_impactcall.delivery.ledger.retries import Retries
from airflow_provider_impactcall.delivery.ledger.rules import Recorded, Settlement
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.ledger.transactions import is_collision
from airflow_provider_impactcall.delivery.ledger.unrecordable import is_over_a_value, record_apart
from airflow_provider_impactcall.delivery.ledger.worker import ThreadWorker, Worker
from airflow_provider_impactcall.exceptions import LedgerUnusable
from airflow_provider_impactcall.records import CallRecord

log = logging.getLogger(__name__)


class LookUp(NamedTuple):
    """A query for the entries of calls, and the future of the answer."""

    keys: Sequence[str]
    done: asyncio.Future[dict[str, Entry]]


class Group(NamedTuple):
    """Intents and outcomes of one transaction, and the future of the ledger's answer."""

    claims: Sequence[Claim]
    settlements: Sequence[Settlement]
    done: asyncio.Future[Recorded]


Job = LookUp | Group


class LedgerWriter:
    """One run's access to the ledger, with the ledger's timings. An async context manager; use it once.

    :param ledger: prepared
    :param run_id: of a run that was started
    :param key: the parameters that tell two calls apart
    :param resend: whether calls of unknown fate may be sent again
    :param clock: measures the lease on this side
    :param worker: queries the database; a thread if None
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
        self._worker: Worker[Job] = ThreadWorker("impactcall-ledger") if worker is None else worker
        self._monotonic, self._sleep = clock.monotonic, clock.sleep
        timings = ledger.timings
        self._renewal = timings.renewal
        self._relied_on = timings.lease - timings.lease_margin
        self._lease_from = clock.monotonic()
        self._lost = False
        # One for all groups, so that failures in a row count together.
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
        """Whether the run holds its lease for long enough to send a request."""
        return not self._lost and self._monotonic() < self._lease_from + self._relied_on

    def identify(self, call: CallRecord) -> Claim:
        """The claim for a call."""
        return identify(self._ledger.namespace, self.key, call)

    def look_up(self, keys: Sequence[str]) -> Awaitable[dict[str, Entry]]:
        """The ledger's entries of these calls; they may be outdated by the time they are used.

        :raises LedgerUnusable: when awaited, if the ledger cannot be read
        """
        asked = LookUp(keys, self._loop.create_future())
        self._worker.hand(asked)
        return asked.done

    def record(self, claims: Sequence[Claim], settlements: Sequence[Settlement]) -> Awaitable[Recorded]:
        """Record durably the outcomes of attempts, and the intents of those calls that may be sent.

        All are recorded in one transaction, as :meth:`.Ledger.record` does. If the database cannot hold a value, that
        value's call is rejected, and the others are recorded in several transactions.

        :raises LedgerUnusable: when awaited, if they cannot be recorded
        """
        group = Group(claims, settlements, self._loop.create_future())
        self._worker.hand(group)
        return group.done

    def _resolve(self, job: Job, answer: Any) -> None:
        if job.done.done():
            return  # The run that waited for it was given up.
        if isinstance(answer, Exception):
            job.done.set_exception(answer)
        else:
            job.done.set_result(answer)

    def _answer(self, job: Job | None) -> dict[str, Entry] | Recorded | LedgerUnusable:
        try:
            return self._retries.repeat(partial(self._do, job), SQLAlchemyError, self._sleep, _log_failure)
        except Exception as error:
            return self._give_up(error)

    def _give_up(self, error: Exception) -> LedgerUnusable:
        log.error("The ledger cannot be used (%s)", type(error).__name__)
        self._lost = True
        return LedgerUnusable(f"the ledger cannot be used ({type(error).__name__})")

    def _do(self, job: Job | None) -> dict[str, Entry] | Recorded | LedgerUnusable:
        try:
            return self._look_up(job.keys) if isinstance(job, LookUp) else self._record(job)
        except Exception as error:
            if is_over_a_value(error):  # A repetition would fail in the same way.
                return self._give_up(error)
            raise

    def _look_up(self, keys: Sequence[str]) -> dict[str, Entry]:
        found = self._ledger.look_up(keys)
        # A commit only to renew a lease that was just renewed would cost more than the look-up.
        if self._monotonic() >= self._lease_from + self._renewal:
            self._record(None)
        return found

    def _record(self, group: Group | None) -> Recorded:
        claims, settlements = (group.claims, group.settlements) if group is not None else ((), ())
        try:
            return self._record_at_once(claims, settlements)
        except Exception as error:
            if not is_over_a_value(error):
                raise
        return record_apart(self._record_at_once, self._ledger.look_up, claims, settlements)

    def _record_at_once(self, claims: Sequence[Claim], settlements: Sequence[Settlement]) -> Recorded:
        began = self._monotonic()
        decisions, states = self._ledger.record(self.run_id, claims, settlements, resend=self.resend)
        if decisions is None:
            self._lost = True
        else:
            self._lease_from = began
        return decisions, states


def _log_failure(error: Exception) -> None:
    if is_collision(error):
        log.debug("Another run has taken one of the same calls in the same moment; trying again")
    else:
        log.warning("The ledger did not answer (%s); trying again", type(error).__name__)
