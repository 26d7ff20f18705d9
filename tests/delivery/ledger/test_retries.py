"""When a failure is followed by another attempt, and when it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from airflow_provider_impactcall.delivery.ledger.retries import Retries


class Watch:
    """A clock that only moves while someone sleeps."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def failing(failures: Iterable[Exception]) -> Callable[[], str]:
    remaining = iter(failures)

    def act() -> str:
        if (failure := next(remaining, None)) is not None:
            raise failure
        return "done"

    return act


def test_pauses_double_up_to_the_longest_and_begin_anew_once_it_goes_well() -> None:
    watch = Watch()
    told: list[Exception] = []
    patience = Retries(0.5, 2.0, monotonic=watch.monotonic, seconds=60.0)
    errors = [OSError(number) for number in range(4)]
    for _ in range(2):
        assert patience.repeat(failing(errors), OSError, watch.sleep, told.append) == "done"
    assert watch.slept == [0.5, 1.0, 2.0, 2.0] * 2
    assert told == errors * 2


def test_it_ends_before_a_pause_that_would_outlast_it_and_is_one_for_all_in_a_row() -> None:
    watch = Watch()
    patience = Retries(0.5, 2.0, monotonic=watch.monotonic, seconds=3.5)
    with pytest.raises(OSError, match="3"):
        patience.repeat(failing(OSError(number) for number in range(9)), OSError, watch.sleep)
    assert watch.slept == [0.5, 1.0, 2.0], "to its very end"
    with pytest.raises(OSError, match="next"):
        patience.repeat(failing([OSError("next")]), OSError, watch.sleep)
    assert patience.repeat(failing([]), OSError, watch.sleep) == "done"
    assert patience.repeat(failing([OSError("later")]), OSError, watch.sleep) == "done"


def test_of_so_many_attempts_the_last_may_fail() -> None:
    watch = Watch()
    with pytest.raises(OSError, match="1"):
        Retries(0.0, 0.0, monotonic=watch.monotonic, attempts=2).repeat(
            failing(OSError(number) for number in range(9)), OSError, watch.sleep
        )
    assert watch.slept == [0.0]


def test_what_is_no_such_failure_is_raised_at_once() -> None:
    watch = Watch()
    with pytest.raises(KeyError):
        Retries(0.5, 2.0, monotonic=watch.monotonic).repeat(failing([KeyError("x")]), OSError, watch.sleep)
    assert watch.slept == []
