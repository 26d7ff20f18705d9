"""The real ledger in memory, without its thread: for engines that run in virtual time."""

from __future__ import annotations

import asyncio
import atexit
import shutil
import tempfile
from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.pool import StaticPool

from airflow_provider_impactcall.defaults import DEFAULT_KEY
from airflow_provider_impactcall.delivery.identity import Claim, identify
from airflow_provider_impactcall.delivery.ledger.entries import Entry
from airflow_provider_impactcall.delivery.ledger.rules import Decision, Send, Settlement
from airflow_provider_impactcall.delivery.ledger.schema import runs
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.ledger.writer import LedgerWriter
from airflow_provider_impactcall.delivery.outcome import CallState
from airflow_provider_impactcall.delivery.timings import TIMINGS, Timings
from airflow_provider_impactcall.records import CallRecord


def in_memory() -> Ledger:
    """A new ledger, gone with the test."""
    # The database's clock does not jump as virtual time does: on a slow machine it would end a lease first.
    timings = Timings(lease=1e9)
    ledger = Ledger(sa.create_engine("sqlite://", poolclass=StaticPool), "https://calls.example.com", timings)
    ledger.prepare()
    return ledger


def empty(ledger: Ledger) -> Ledger:
    """The same, made from scratch, which takes longer."""
    with ledger.writing() as connection:
        for table in reversed(runs.metadata.sorted_tables):
            connection.execute(sa.delete(table))
    ledger.prepare()
    return ledger


def in_a_file(timings: Timings = TIMINGS) -> Ledger:
    """A new ledger in a file, like embedded ledgers; the file goes with the test run."""
    folder = tempfile.mkdtemp(prefix="impactcall-ledger-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    ledger = Ledger(sa.create_engine(f"sqlite:///{folder}/ledger.db"), "https://calls.example.com", timings)
    ledger.prepare()
    return ledger


def a_run_of(ledger: Ledger, *, resend: bool = False) -> LedgerWriter:
    """A run's access to its ledger, as the hook opens it."""
    return LedgerWriter(ledger, ledger.start("test", ""), DEFAULT_KEY, resend=resend)


class DirectWriter:
    """Records each change at once; :class:`.LedgerWriter` records in groups."""

    may_send = True

    def __init__(self, ledger: Ledger, key: Sequence[str] = DEFAULT_KEY, *, resend: bool = False) -> None:
        self.run_id = ledger.start("test", "")
        with ledger.writing() as connection:
            # The database's clock does not jump as virtual time does: on a slow machine it would end the lease first.
            connection.execute(
                sa.update(runs).where(runs.c.run_id == self.run_id).values(lease_until=runs.c.lease_until + 3600)
            )
        self.resend = resend
        self.open_at_once = 0
        self._ledger = ledger
        self._key = key
        self._open: set[str] = set()

    def identify(self, call: CallRecord) -> Claim:
        return identify(self._ledger.namespace, self._key, call)

    async def look_up(self, keys: Sequence[str]) -> Mapping[str, Entry]:
        await asyncio.sleep(0)
        return self._ledger.look_up(keys)

    async def record(
        self, claims: Sequence[Claim], settlements: Sequence[Settlement]
    ) -> tuple[Sequence[Decision] | None, Sequence[CallState]]:
        await asyncio.sleep(0)
        decisions, states = self._ledger.record(self.run_id, claims, settlements, resend=self.resend)
        assert decisions is not None
        self._open.difference_update(settlement.key for settlement in settlements)
        self._open.update(claim.key for claim, made in zip(claims, decisions, strict=True) if isinstance(made, Send))
        self.open_at_once = max(self.open_at_once, len(self._open))
        return decisions, states
