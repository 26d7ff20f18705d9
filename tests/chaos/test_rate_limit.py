"""Deliveries of one account at the same time, in processes of their own: together they keep its rate limit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import sqlalchemy as sa

from airflow_provider_impactcall.sandbox import Sandbox
from tests.chaos.deliver import SHORT_LEASE, Child, Delivery, killed_in_flight
from tests.chaos.story import Story
from tests.delivery.engine.test_pacing import most_in_a_window
from tests.examples import LOGIN, PASSWORD

PER_SECOND = 50
CALLS = 70


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(user=LOGIN, password=PASSWORD, latency=0.02).in_thread() as sandbox:
        yield sandbox


def most_in_a_second(sandbox: Sandbox) -> int:
    return most_in_a_window([request.arrived for request in sandbox.requests], 1.0)


@pytest.mark.parametrize("copies", [2, 3])
def test_several_deliveries_share_one_limit(ledger_url: str, sandbox: Sandbox, copies: int) -> None:
    plan = Delivery(sandbox.url, ledger_url, "", CALLS, concurrency=32, per_second=PER_SECOND)
    children = [Child(replace(plan, prefix=f"{copies}tasks-{number}-")) for number in range(copies)]
    reports = [child.report() for child in children]
    assert [report["delivered"] for report in reports] == [CALLS] * copies
    assert most_in_a_second(sandbox) <= PER_SECOND
    story = Story(sandbox, ledger_url, f"{copies}tasks-")
    story.is_complete(copies * CALLS)
    assert story.twice == set()


def test_one_that_is_killed_leaves_its_places_to_the_others(ledger_url: str, sandbox: Sandbox) -> None:
    """Its own once nothing of it can be under way any more; and nobody takes them before."""
    plan = Delivery(sandbox.url, ledger_url, "", CALLS, per_second=10, timeout=3.0)
    killed = Child(replace(plan, prefix="killed-", lease=SHORT_LEASE))
    other = Child(replace(plan, prefix="other-", count=40))
    assert killed_in_flight(killed, sandbox, 5)
    third = Child(replace(plan, prefix="third-", count=10))
    assert (other.report()["delivered"], third.report()["delivered"]) == (40, 10)
    assert most_in_a_second(sandbox) <= 10
    with sa.create_engine(ledger_url).connect() as connection:
        held = connection.execute(sa.text("SELECT sum(held) FROM impactcall_rate_run")).scalar()
    assert held is None or int(held) <= 10, "only of the one that was killed"


def test_without_a_limit_nobody_asks(sqlite: str, sandbox: Sandbox) -> None:
    assert Child(Delivery(sandbox.url, sqlite, "call-", 5)).report()["delivered"] == 5
    with sa.create_engine(sqlite).connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM impactcall_rate_account")).scalar() == 0
