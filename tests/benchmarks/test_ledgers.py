"""The table of ledgers, with few calls: what it says of this package is what the package promises."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks.ledgers import STRATEGIES, Line, Strategy, table

CALLS = 100
KILLS = 1
CONCURRENCY = 8
# With it every strategy meets every kind of fault, most of them after the kill as well.
SEED = 317


def delivered_with(strategy: Strategy) -> Line:
    (line,) = table([strategy], CALLS, KILLS, faults=0.12, seed=SEED)
    return line


@pytest.mark.long
def test_only_an_intent_before_the_send_sends_nothing_twice() -> None:
    with ThreadPoolExecutor(len(STRATEGIES)) as threads:
        lines = {line.title: line for line in threads.map(delivered_with, STRATEGIES)}
    assert [line.kills for line in lines.values()] == [KILLS] * len(STRATEGIES)
    assert [line.lost for line in lines.values()] == [0] * len(STRATEGIES)
    hold, no_ledger = lines["intent + hold (the default)"], lines["no ledger"]
    assert hold.too_many == 0
    assert 0 < hold.held < CALLS / 2
    assert no_ledger.too_many > CONCURRENCY
    assert all(line.held == 0 for line in lines.values() if line is not hold)
