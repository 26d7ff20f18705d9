"""Transactions that meet: one is given up for the other, and is repeated without a warning."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from airflow_provider_impactcall.defaults import DEFAULT_KEY
from airflow_provider_impactcall.delivery.clock import SystemClock
from airflow_provider_impactcall.delivery.identity import Claim, identify
from airflow_provider_impactcall.delivery.ledger.rules import Recorded, Send, Settlement
from airflow_provider_impactcall.delivery.ledger.schema import runs
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.ledger.transactions import is_collision
from airflow_provider_impactcall.delivery.ledger.writer import LedgerWriter
from airflow_provider_impactcall.records import CallRecord
from tests import examples

NAMESPACE = "https://calls.example.com"


def test_a_deadlock_is_known_as_one(ledger_url: str) -> None:
    with closing(Ledger(sa.create_engine(ledger_url), NAMESPACE)) as ledger:
        if ledger.engine.dialect.name == "sqlite":
            pytest.skip("it has one writer at a time")
        ledger.prepare()
        one, other = (ledger.start("test", "") for _ in range(2))
        both = Barrier(2)

        def change(first: str, second: str) -> DBAPIError | None:
            try:
                with ledger.writing() as connection:
                    connection.execute(sa.update(runs).where(runs.c.run_id == first).values(source="changed"))
                    both.wait()
                    connection.execute(sa.update(runs).where(runs.c.run_id == second).values(source="changed"))
            except DBAPIError as error:
                return error
            return None

        with ThreadPoolExecutor(2) as threads:
            raised = [error for error in threads.map(change, (one, other), (other, one)) if error is not None]
    assert [is_collision(error) for error in raised] == [True]


def test_two_runs_that_look_for_calls_that_are_not_there_both_open_theirs(ledger_url: str) -> None:
    """In MySQL's default isolation, each run locks the gap that the other run inserts into: a deadlock."""
    with closing(Ledger(sa.create_engine(ledger_url), NAMESPACE)) as ledger:
        if ledger.engine.dialect.name == "sqlite":
            pytest.skip("it has one writer at a time")
        ledger.prepare()
        both = Barrier(2, timeout=30)

        def wait(_: Any, __: Any, statement: str, *___: Any) -> None:
            if statement.endswith("FOR UPDATE"):
                both.wait()

        def open_one(session_id: str) -> list[Any] | None:
            claim = identify(NAMESPACE, DEFAULT_KEY, CallRecord.of(examples.call(session_id)))
            # Known: so the run looks for the call before it inserts the call.
            return ledger.record(ledger.start("test", ""), [claim._replace(is_known=True)], [], resend=False)[0]

        sa.event.listen(ledger.engine, "after_cursor_execute", wait)
        with ThreadPoolExecutor(2) as threads:
            assert list(threads.map(open_one, ["A-1", "A-2"])) == [[Send(1)], [Send(1)]]


class OfPostgresql(Exception):
    def __init__(self, sqlstate: str) -> None:
        super().__init__("of the server")
        self.sqlstate = sqlstate


class Meeting(Ledger):
    """A ledger whose database gives up the first transaction of a run.

    :ivar error: what it raises then
    """

    error: Exception | None = None

    def record(
        self, run_id: str, claims: Sequence[Claim], settlements: Sequence[Settlement], *, resend: bool
    ) -> Recorded:
        error, self.error = self.error, None
        if error is not None:
            raise error
        return super().record(run_id, claims, settlements, resend=resend)


@pytest.mark.parametrize(
    ("error", "level"),
    [
        (IntegrityError("INSERT", {}, Exception("UNIQUE constraint failed")), "DEBUG"),
        (OperationalError("SELECT", {}, Exception(1213, "Deadlock found when trying to get lock")), "DEBUG"),
        (OperationalError("SELECT", {}, OfPostgresql("40P01")), "DEBUG"),
        (OperationalError("SELECT", {}, Exception(1205, "Lock wait timeout exceeded")), "WARNING"),
        (OperationalError("SELECT", {}, OfPostgresql("57P01")), "WARNING"),
        (OperationalError("SELECT", {}, Exception()), "WARNING"),
    ],
)
def test_who_was_given_up_for_another_says_so_at_debug(
    error: Exception, level: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main(ledger: Meeting) -> None:
        run_id = ledger.start("test", "")
        ledger.error = error
        async with LedgerWriter(ledger, run_id, DEFAULT_KEY, resend=False, clock=SystemClock()) as writer:
            assert await writer.record([], []) == ([], [])

    with closing(Meeting(sa.create_engine(f"sqlite:///{tmp_path}/ledger.db"), NAMESPACE)) as ledger:
        ledger.prepare()
        with caplog.at_level(logging.DEBUG, "airflow_provider_impactcall"):
            asyncio.run(main(ledger))
    ours = [record for record in caplog.records if record.name.startswith("airflow_provider_impactcall")]
    assert [record.levelname for record in ours] == [level]
