"""What the proof on Celery would not let pass."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider_impactcall.delivery.engine.bookkeeper import open_at_most
from benchmarks.celery_proof import Found, Kill
from tests.e2e.dags.deliveries import CONCURRENCY

CALLS = {f"call-{number}" for number in range(100)}
HELD = {"call-7", "call-8"}
GOOD = Found(
    state="success",
    calls=CALLS,
    ledger={"delivered": CALLS - HELD, "unknown": HELD, "rejected": set(), "open": set()},
    processed=Counter(CALLS - {"call-8"}),
    tries={0: 1, 1: 2},
    reports=[{"rows": 60, "already_delivered": 0}, {"rows": 40, "already_delivered": 12}],
    kill=Kill("first", {1}, requests=30, processes=3),
    seconds=60.0,
)


def test_a_good_end_has_no_problems() -> None:
    assert list(GOOD.problems()) == []
    assert "| calls in the warehouse | 100 |" in GOOD.table()
    assert "| of these, processed by the endpoint | 1 |" in GOOD.table()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"state": "failed"}, "the DAG run ended as failed"),
        ({"ledger": {**GOOD.ledger, "unknown": {"call-7"}}}, "of 100 calls 99 are accounted for"),
        ({"ledger": {**GOOD.ledger, "open": {"call-7"}}}, "of 100 calls 100 are accounted for"),
        ({"processed": GOOD.processed + Counter(["call-3"])}, "1 calls were processed twice"),
        ({"processed": GOOD.processed - Counter(["call-3"])}, "the endpoint does not have"),
        ({"processed": GOOD.processed + Counter(["call-1000"])}, "or it has others"),
        ({"reports": GOOD.reports[:1]}, "the parts did not read each row once"),
        ({"tries": {0: 1, 1: 1}}, "no task was killed and tried again"),
        ({"kill": replace(GOOD.kill, tasks=set())}, "no task was killed and tried again"),
    ],
)
def test_whatever_is_wrong_is_said(changes: dict[str, Any], problem: str) -> None:
    assert any(problem in each for each in replace(GOOD, **changes).problems())


def test_no_more_is_unknown_than_was_in_flight_or_next() -> None:
    most = open_at_most(CONCURRENCY)
    held = {f"call-{number}" for number in range(most + 1)}
    found = replace(GOOD, ledger={**GOOD.ledger, "delivered": CALLS - held, "unknown": held})
    said = f"{most + 1} calls are unknown, and {most} were in flight or next at most"
    assert list(found.problems()) == [said]
