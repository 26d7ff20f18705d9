"""Tens of thousands of calls, hundreds of kill -9, an endpoint that fails: nothing twice, nothing lost."""

from __future__ import annotations

import time
from dataclasses import replace
from random import Random

import pytest

from airflow_provider_impactcall.delivery.engine.bookkeeper import open_at_most
from airflow_provider_impactcall.delivery.timings import TIMINGS
from airflow_provider_impactcall.sandbox import Sandbox
from tests.chaos.deliver import SHORT_LEASE, Child, Delivery, killed_in_flight
from tests.chaos.story import Story, adds_up, unknown_answers
from tests.examples import LOGIN, PASSWORD

CALLS = 1000
KILLS = 12
LEAST_KILLS = 10
CONCURRENCY = 8
UNKNOWN = (
    "reset-before-reading",
    "reset-after-processing",
    "eof-after-processing",
    "truncated-headers",
    "truncated-body",
    "502",
    "502-after-processing",
    "504-after-processing",
    "200-html",
)
FAULTS = {**dict.fromkeys(UNKNOWN, 0.005), "500": 0.008, "503": 0.001, "429-bare": 0.004, "429-retry-after": 0.002}


def deliver(delivery: Delivery, sandbox: Sandbox, random: Random) -> tuple[int, dict[str, int]]:
    """Kill it again and again, and then let it end: how often it was killed, and its last report."""
    kills = 0
    before = sandbox.counts["requests"]
    while kills < KILLS:
        # So that what is left is enough for the kills that are left.
        left = CALLS - (sandbox.counts["requests"] - before) - 3 * CONCURRENCY
        child = Child(delivery)
        if not killed_in_flight(child, sandbox, random.randint(0, max(0, 3 * left // (2 * (KILLS - kills + 1))))):
            child.report()
            break
        kills += 1
    return kills, Child(replace(delivery, lease=TIMINGS.lease)).report()


@pytest.mark.soak
@pytest.mark.parametrize("inputs", [pytest.param(2, id="short"), pytest.param(20, id="two_hundred")])
@pytest.mark.parametrize("on_unknown", ["hold", "resend"])
def test_killed_again_and_again(ledger_url: str, on_unknown: str, inputs: int, request: pytest.FixtureRequest) -> None:
    random = Random(request.node.name)
    prefix = f"{on_unknown}-"
    began = time.monotonic()
    kills = unknown = 0
    with Sandbox(user=LOGIN, password=PASSWORD, latency=0.01, faults=FAULTS, seed=7).in_thread() as sandbox:
        for number in range(inputs):
            ids = f"{prefix}{number}-"
            delivery = Delivery(sandbox.url, ledger_url, ids, CALLS, on_unknown, CONCURRENCY, SHORT_LEASE)
            killed, report = deliver(delivery, sandbox, random)
            kills += killed
            unknown += report["unknown"]
            assert adds_up(report)
            assert report["rows"] == CALLS
            assert report["given_up"] == 0
        story = Story(sandbox, ledger_url, prefix)
        in_the_dark = unknown_answers(sandbox)
        counts = sandbox.counts
    figures = {
        "ledger": ledger_url.partition(":")[0],
        "on_unknown": on_unknown,
        "calls": inputs * CALLS,
        "kills": kills,
        "requests": counts["requests"],
        "faults": sum(counts["faults"].values()),
        "of unknown fate": in_the_dark,
        "processed": len(story.processed),
        "delivered": len(story.of_state("delivered")),
        "unknown": len(story.of_state("unknown")),
        "twice": story.doubles,
        "seconds": round(time.monotonic() - began),
    }
    print("", *(f"{name:<16} {figure}" for name, figure in figures.items()), sep="\n")
    story.is_complete(inputs * CALLS)
    assert kills >= LEAST_KILLS * inputs
    assert story.of_state("delivered", "unknown") == story.states.keys()
    assert len(story.of_state("unknown")) == unknown
    if on_unknown == "hold":
        assert story.doubles == 0
        assert unknown <= in_the_dark + kills * open_at_most(CONCURRENCY)
    else:
        # What was found dead in flight three times is held, as it may be what kills.
        assert all(story.deaths[session_id] >= 3 for session_id in story.of_state("unknown"))
        assert story.doubles <= in_the_dark + kills * open_at_most(CONCURRENCY)
