"""Runs that are killed at any moment, one after the other on one ledger, in virtual time; from a seed each."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from random import Random

import pytest
import sqlalchemy as sa

from airflow_provider_impactcall.delivery.duplicates import Duplicates
from airflow_provider_impactcall.delivery.engine.bookkeeper import open_at_most
from airflow_provider_impactcall.delivery.engine.engine import Engine
from airflow_provider_impactcall.delivery.engine.pacing import Pacing
from airflow_provider_impactcall.delivery.items import Call, Rejected
from airflow_provider_impactcall.delivery.ledger.schema import calls as ledger_calls
from airflow_provider_impactcall.delivery.ledger.schema import runs
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import ENDS, Attempt, DeliveryReport
from airflow_provider_impactcall.exceptions import DeliveryAborted
from airflow_provider_impactcall.records import CallRecord
from tests.delivery import canary, virtual_time
from tests.delivery.ledgers import DirectWriter, empty, in_memory
from tests.delivery.scripted import ERROR_500, NO_ANSWER, NO_CONNECTION, OK, REFUSED, TOO_MANY, calls
from tests.delivery.virtual_writer import UNHURRIED
from tests.effort import scaled

SEEDS = range(scaled(500))
CALLS = 12
CONCURRENCY = 3
KILLS = 3


class Endpoint:
    """Answers by chance, counts what it processed, and tells the truth with the statuses that are to be retried."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.processed: Counter[str] = Counter()

    async def send(self, record: CallRecord) -> Attempt:
        session_id = record.CallSessionId.removeprefix(f"{canary.WORD}-")
        await asyncio.sleep(self._random.uniform(0.01, 0.5))
        attempt = self._random.choices(
            [OK, REFUSED, TOO_MANY, ERROR_500, NO_CONNECTION, NO_ANSWER], [60, 6, 5, 5, 5, 8]
        )[0]
        if attempt is OK or (attempt is NO_ANSWER and self._random.random() < 0.5):
            self.processed[session_id] += 1
        await asyncio.sleep(self._random.uniform(0.01, 0.5))
        return attempt


def one_run(endpoint: Endpoint, ledger: Ledger, resend: bool, killed_after: float | None) -> DeliveryReport | None:
    """The report of a run, or None if it was killed before its end."""
    writer = DirectWriter(ledger, resend=resend)

    async def batches() -> AsyncIterator[Sequence[Call | Rejected]]:
        yield calls(CALLS)

    async def main() -> DeliveryReport | None:
        engine = Engine(
            duplicates=Duplicates(),
            pacing=Pacing(max_wait=600),
            on_settled=lambda *_: None,
            concurrency=CONCURRENCY,
            timings=UNHURRIED,
        )
        run = asyncio.ensure_future(engine.run(endpoint.send, writer, batches()))
        done, _ = await asyncio.wait({run}, timeout=killed_after)
        if not done:
            return None
        try:
            return run.result()
        except DeliveryAborted as aborted:
            return aborted.report

    report = virtual_time.run(main())
    assert writer.open_at_once <= open_at_most(CONCURRENCY)
    with ledger.engine.begin() as connection:
        connection.execute(sa.update(runs).values(lease_until=0.0))
    return report


def states(ledger: Ledger) -> dict[str, str]:
    query = sa.select(ledger_calls.c.CallSessionId, ledger_calls.c.state)
    with ledger.engine.connect() as connection:
        return {session_id.removeprefix(f"{canary.WORD}-"): state for session_id, state in connection.execute(query)}


@pytest.mark.parametrize("resend", [False, True], ids=["hold", "resend"])
@pytest.mark.parametrize("hundred", range(0, len(SEEDS), 100))
def test_whatever_happens(hundred: int, resend: bool) -> None:
    ledger = in_memory()
    for seed in SEEDS[hundred : hundred + 100]:
        simulate(seed, empty(ledger), resend)
    ledger.engine.dispose()


def simulate(seed: int, ledger: Ledger, resend: bool) -> None:
    random = Random(seed)
    endpoint = Endpoint(random)
    for _ in range(random.randint(0, KILLS)):
        one_run(endpoint, ledger, resend, random.uniform(0.0, 4.0))
    report = one_run(endpoint, ledger, resend, None)
    found = states(ledger)

    def of(*wanted: str) -> set[str]:
        return {session_id for session_id, state in found.items() if state in wanted}

    assert report is not None
    assert report.rows == CALLS == sum(getattr(report, end) for end in ENDS), seed
    assert of("delivered") <= endpoint.processed.keys(), f"seed {seed}: delivered means processed"
    assert not of("rejected", "not_sent") & endpoint.processed.keys(), f"seed {seed}: processed is never taken as not"
    assert not of("open"), f"seed {seed}: nothing is left open"
    if report.stop is None:
        assert len(found) == CALLS, f"seed {seed}: nothing is lost"
    assert report.delivered + report.already_delivered == len(of("delivered")), seed
    assert report.unknown == len(of("unknown")), seed
    if not resend:
        assert set(endpoint.processed.values()) <= {1}, f"seed {seed}: nothing is processed twice"
    elif report.stop is None:
        # Held in the end are calls that were found dead in flight three times, and those whose resend was refused.
        assert of("unknown") | of("rejected") | of("delivered") == found.keys(), seed
