"""Each test is in exactly one lane."""

from __future__ import annotations

import pytest

from tests import lanes


def test_each_test_is_in_one_lane(request: pytest.FixtureRequest) -> None:
    lanes.check(request.session.items)
    assert lanes.lanes_of(request.node) == {"pure"}


def test_a_test_without_a_lane_and_one_with_two_are_named(request: pytest.FixtureRequest) -> None:
    without, twice = (
        pytest.Function.from_parent(request.node.parent, name=name, callobj=lambda: None)
        for name in ("test_without", "test_twice")
    )
    twice.add_marker("pure")
    twice.add_marker("ledger")
    with pytest.raises(pytest.UsageError, match=r"(?s)test_without: no lane.*test_twice: \['ledger', 'pure'\]"):
        lanes.check([request.node, without, twice])


def test_each_lane_has_a_marker(pytestconfig: pytest.Config) -> None:
    markers = {line.partition(":")[0] for line in pytestconfig.getini("markers")}
    assert {*lanes.LANES, *lanes.PARTS_OF_LONG} <= markers
