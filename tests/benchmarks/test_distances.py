"""The same calls are delivered at every distance, and each delivery is told of."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.distances import Servers, Setting, measure, servers, settings_of

LEDGERS = ("sqlite", "postgresql")


@pytest.fixture(scope="module")
def running() -> Iterator[Servers]:
    with servers(60, LEDGERS) as all_of_them:
        yield all_of_them


def test_each_ledger_delivers_all_calls(running: Servers) -> None:
    settings = [Setting("sqlite", 4, 0), Setting("postgresql", 4, 2)]
    results = measure(running, settings, rounds=1, calls=15)
    assert running.sandbox.counts["requests"] == 2 * 60
    assert all(rate > 0 for (rate,) in results.rates.values())
    head, _, at_once, far = str(results).splitlines()
    assert head == "|  | sqlite | postgresql |"
    assert at_once.startswith("| 4 in flight, 0 ms | ")
    assert far.startswith("| 4 in flight, 2 ms |  | ")


def test_a_file_is_at_no_distance() -> None:
    asked = [(setting.ledger, setting.milliseconds) for setting in settings_of(LEDGERS) if setting.in_flight == 8]
    assert asked == [("sqlite", 0), ("postgresql", 0), ("postgresql", 2), ("postgresql", 20)]
