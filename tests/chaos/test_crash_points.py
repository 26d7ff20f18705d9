"""A delivery that is killed with -9 at each moment that matters, and run again."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from airflow_provider_impactcall.delivery.engine.bookkeeper import open_at_most
from airflow_provider_impactcall.delivery.outcome import CallState
from airflow_provider_impactcall.sandbox import Sandbox
from tests.chaos.crash_points import POINTS, Point
from tests.chaos.deliver import Child, Delivery
from tests.chaos.story import Story, adds_up, expire_leases
from tests.databases import LEDGER_DATABASES
from tests.examples import LOGIN, PASSWORD

CALLS = 12


def every_point() -> list[Any]:
    """Each point once, each time under other circumstances; under all of them in a soak."""
    circumstances = list(product((1, 8), LEDGER_DATABASES, ("hold", "resend")))
    cases = []
    for number, point in enumerate(POINTS):
        for turn, (concurrency, database, on_unknown) in enumerate(circumstances):
            marks = [] if turn == number * 3 % len(circumstances) else [pytest.mark.soak]
            name = f"{point.name}-{database}-{on_unknown}-{concurrency}"
            cases.append(pytest.param(point, database, on_unknown, concurrency, id=name, marks=marks))
    return cases


@pytest.mark.parametrize(("point", "ledger_url", "on_unknown", "concurrency"), every_point(), indirect=["ledger_url"])
def test_killed_at(
    point: Point, ledger_url: str, on_unknown: str, concurrency: int, request: pytest.FixtureRequest
) -> None:
    prefix = f"{request.node.callspec.id}-"
    one_by_one = concurrency == 1
    with Sandbox(user=LOGIN, password=PASSWORD, latency=0.005).in_thread() as sandbox:
        sandbox.script = point.faults
        delivery = Delivery(sandbox.url, ledger_url, prefix, CALLS, on_unknown, concurrency)
        passing = point.passing if one_by_one else 1
        assert Child(delivery, (point.name, passing)).died_at() == point.name
        expire_leases(ledger_url)
        then = Story(sandbox, ledger_url, prefix)
        sandbox.script = []
        report = Child(delivery).report()
        story = Story(sandbox, ledger_url, prefix)
    then.is_true()
    story.is_complete(CALLS)
    assert adds_up(report)
    assert report["rows"] == CALLS
    assert report["given_up"] == 0
    left_open = then.of_state(CallState.OPEN)
    if one_by_one:
        assert len(left_open) in point.open
        assert len(left_open & then.processed.keys()) in point.processed
    else:
        assert len(left_open) <= (0 if point.quiet else open_at_most(concurrency))
    if on_unknown == "hold":
        assert story.twice == set()
        assert story.of_state("unknown") == left_open
        assert report["unknown"] == len(left_open)
    else:
        assert story.of_state("unknown") == set()
        assert story.twice <= left_open, "only what was open arrives twice"
        assert story.twice >= left_open & then.processed.keys()
        assert story.doubles == len(story.twice)
    assert story.of_state("delivered", "rejected", "unknown") == story.states.keys()
