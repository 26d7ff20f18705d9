from __future__ import annotations

import asyncio

import pytest

from airflow_provider_impactcall.delivery.attempts import Attempts
from airflow_provider_impactcall.delivery.outcome import Attempt, AttemptResult, ReasonCode
from airflow_provider_impactcall.records import CallRecord
from tests import examples

CALL = CallRecord.of(examples.call("a"))
ANSWERED = Attempt(AttemptResult.DELIVERED, ReasonCode.OK, "200 Status OK", 200)


async def test_what_attempts_take_is_added_up() -> None:
    pauses = iter([0.02, 0.06])

    async def send(_: CallRecord) -> Attempt:
        await asyncio.sleep(next(pauses))
        return ANSWERED

    attempts = Attempts()
    timed = attempts.timing(send)
    assert [await timed(CALL), await timed(CALL)] == [ANSWERED] * 2
    assert attempts.count == 2
    assert attempts.seconds >= 0.08
    assert 0.06 <= attempts.longest < attempts.seconds
    assert attempts.mean == attempts.seconds / 2


async def test_one_that_is_cut_off_does_not_count() -> None:
    async def send(_: CallRecord) -> Attempt:
        await asyncio.sleep(60)
        return ANSWERED

    attempts = Attempts()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await attempts.timing(send)(CALL)
    assert (attempts.count, attempts.mean) == (0, 0.0)
