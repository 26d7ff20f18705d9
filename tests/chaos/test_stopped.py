"""A copy of a delivery that stands still for longer than its lease, while another takes over."""

from __future__ import annotations

import signal
import time
from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from airflow_provider_impactcall.sandbox import Sandbox
from tests.chaos.deliver import SHORT_LEASE, Child, Delivery
from tests.chaos.story import Story, adds_up
from tests.examples import LOGIN, PASSWORD

CALLS = 60
CONCURRENCY = 8


def stopped_after(requests: int, child: Child, sandbox: Sandbox) -> bool:
    """Have it stand still after so many requests. False if it was done before."""
    wanted = sandbox.counts["requests"] + requests
    while child.running and sandbox.counts["requests"] < wanted:
        time.sleep(0.001)
    if child.running:
        child.signal(signal.SIGSTOP)
    return child.running


def one_round(sandbox: Sandbox, ledger_url: str, prefix: str, random: Random) -> Counter[str]:
    delivery = Delivery(sandbox.url, ledger_url, prefix, CALLS, "hold", CONCURRENCY)
    first = Child(replace(delivery, lease=SHORT_LEASE))
    if not stopped_after(random.randint(1, CALLS - 2 * CONCURRENCY), first, sandbox):
        first.report()
        return Counter(rounds=1)
    second = Child(delivery)
    # A copy that stands still amid a transaction keeps the other from the ledger until it goes on.
    took_over = second.ends(within=4 * SHORT_LEASE)
    between = Story(sandbox, ledger_url, prefix)
    first.signal(signal.SIGCONT)
    reports = [copy.report() for copy in (first, second)]
    late = Story(sandbox, ledger_url, prefix).requested - between.requested
    reports.append(Child(delivery).report())
    story = Story(sandbox, ledger_url, prefix)
    for report in reports:
        assert adds_up(report)
        assert report["rows"] == CALLS
    story.is_complete(CALLS)
    assert story.twice == set()
    assert story.of_state("delivered") == story.states.keys(), "the first records what it learnt"
    if not took_over:
        return Counter(rounds=1)
    between.is_complete(CALLS)
    # What was past the last look at its lease may still leave. The other holds it, and sends it never.
    assert late.keys() <= between.of_state("unknown")
    assert late.total() <= CONCURRENCY
    held = len(between.of_state("unknown"))
    return Counter(rounds=1, taken_over=1, held=held, late=late.total(), rounds_with_late=late.total() > 0)


@pytest.mark.parametrize("takeovers", [2, pytest.param(50, marks=pytest.mark.soak)])
def test_it_stands_still_and_another_takes_over(
    ledger_url: str, takeovers: int, request: pytest.FixtureRequest
) -> None:
    random = Random(request.node.name)
    figures: Counter[str] = Counter()
    with Sandbox(user=LOGIN, password=PASSWORD, latency=0.01).in_thread() as sandbox:
        while figures["taken_over"] < takeovers and figures["rounds"] < 3 * takeovers + 10:
            figures += one_round(sandbox, ledger_url, f"{request.node.name}-{figures['rounds']}-", random)
    print(dict(figures))
    assert figures["taken_over"] >= takeovers
