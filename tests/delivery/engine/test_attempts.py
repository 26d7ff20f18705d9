from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import pytest

from airflow_provider_impactcall.delivery.duplicates import Duplicates
from airflow_provider_impactcall.delivery.engine.attempts import Attempts
from airflow_provider_impactcall.delivery.engine.engine import Engine
from airflow_provider_impactcall.delivery.engine.pacing import Pacing
from airflow_provider_impactcall.delivery.items import Item
from airflow_provider_impactcall.delivery.outcome import Attempt
from airflow_provider_impactcall.records import CallRecord
from tests.delivery import virtual_time
from tests.delivery.ledgers import DirectWriter, in_memory
from tests.delivery.scripted import ERROR_500, OK, calls


def measure(
    attempts: Attempts, send: Callable[[CallRecord], Awaitable[Attempt]], killed_after: float | None = None
) -> None:
    """Send two calls, one after the other."""

    async def batches() -> AsyncIterator[Sequence[Item]]:
        yield calls(2)

    async def main() -> None:
        engine = Engine(duplicates=Duplicates(), pacing=Pacing(), on_settled=lambda *_: None, concurrency=1)
        async with asyncio.timeout(killed_after):
            await engine.run(send, DirectWriter(in_memory()), batches(), attempts=attempts)

    virtual_time.run(main())


def test_what_attempts_take_is_added_up() -> None:
    answers = iter([(0.25, OK), (0.75, ERROR_500), (0.5, OK)])

    async def send(_: CallRecord) -> Attempt:
        seconds, attempt = next(answers)
        await asyncio.sleep(seconds)
        return attempt

    attempts = Attempts()
    measure(attempts, send)
    assert (attempts.count, attempts.seconds, attempts.longest) == pytest.approx((3, 1.5, 0.75))
    assert attempts.mean == pytest.approx(0.5)


def test_one_that_is_cut_off_does_not_count() -> None:
    attempts, taking = Attempts(), iter([0.25, 60.0])

    async def send(_: CallRecord) -> Attempt:
        await asyncio.sleep(next(taking))
        return OK

    with pytest.raises(TimeoutError):
        measure(attempts, send, killed_after=1.0)
    assert (attempts.count, attempts.seconds) == pytest.approx((1, 0.25))
