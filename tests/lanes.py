"""The lanes: each test is in exactly one, and .ci/matrix.py says with which Airflow and Python each lane is run.

A folder's ``conftest.py`` says which lane its tests are in::

    pytest_itemcollected = lanes.pure

A test or a module that belongs elsewhere carries the marker of its lane itself.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

LANES = {
    "pure": "neither Airflow nor a database: records, sandbox, engine and pacing in virtual time, documentation",
    "ledger": "the ledger and the rate limit on their databases",
    "airflow": "what imports Airflow: hooks, operators, transfers, decorators, commands, pages, DAGs",
    "long": "minutes: killed deliveries, whole Airflows, memory, browsers, other databases; make chaos, e2e, browser",
}
# These markers pick a part of the long lane, and put a test into it.
PARTS_OF_LONG = ("browser", "databases", "e2e", "events", "memory", "soak", "wheel")


def lanes_of(item: pytest.Item) -> set[str]:
    """The lanes that a test's markers name."""
    return {mark.name for mark in item.iter_markers() if mark.name in LANES}


def pure(item: pytest.Item) -> None:
    _enter(item, "pure")


def ledger(item: pytest.Item) -> None:
    _enter(item, "ledger")


def airflow(item: pytest.Item) -> None:
    _enter(item, "airflow")


def long(item: pytest.Item) -> None:
    _enter(item, "long")


def check(items: Iterable[pytest.Item]) -> None:
    """Refuse tests without a lane, and with several.

    :raises pytest.UsageError: names the tests
    """
    wrong = [f"{item.nodeid}: {sorted(found) or 'no lane'}" for item in items if len(found := lanes_of(item)) != 1]
    if wrong:
        raise pytest.UsageError("\n".join(["each test is in exactly one lane, see tests/lanes.py", *wrong]))


def _enter(item: pytest.Item, lane: str) -> None:
    """Put a test into its folder's lane. Hooks of inner folders come first, and a test's own marker before them."""
    if any(mark.name in PARTS_OF_LONG for mark in item.iter_markers()):
        lane = "long"
    if not lanes_of(item):
        item.add_marker(lane)
