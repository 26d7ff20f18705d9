"""Decides which fault comes next, from the script or at random by its rate, and how long each answer takes."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from random import Random

from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.sandbox.faults import FAULTS, NO_FAULT, Fault

LONGEST_LATENCY = 3600.0


class FaultPlan:
    """Decides the fault of each request, in the order of their arrival.

    ``version`` grows with each change of the rates, the latency or the script.

    :param rates: by kind of fault, the share of requests that meet it, 0 to 1
    :param seed: the same seed and rates give the same faults in the same order
    :param latency: seconds before each answer, at most an hour
    :raises InvalidOption: for an unknown kind, a rate that is not a share, shares that add up to over 1, or a latency
        that is negative or too long
    """

    def __init__(self, rates: Mapping[str, float], seed: int, latency: float = 0.0) -> None:
        self._random = Random(seed)  # noqa: S311 - repeatable on purpose, and no secret
        self.seed = seed
        self.version = 0
        self.rates = rates
        self.latency = latency
        self.script = ()

    @property
    def rates(self) -> Mapping[str, float]:
        return self._rates

    @rates.setter
    def rates(self, rates: Mapping[str, float]) -> None:
        self._rates = _checked_rates(rates)
        self.version += 1

    @property
    def latency(self) -> float:
        return self._latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        self._latency = _checked_latency(seconds)
        self.version += 1

    def change(self, rates: Mapping[str, float], latency: float) -> None:
        """Replace both; if one is invalid, replace neither.

        :raises InvalidOption: as the class does
        """
        checked = _checked_rates(rates)
        self.latency = latency
        self.rates = checked

    @property
    def script(self) -> Sequence[str]:
        return [fault.name for fault in self._script]

    @script.setter
    def script(self, kinds: Sequence[str]) -> None:
        self._script = deque(NO_FAULT if kind == NO_FAULT.name else _known(kind) for kind in kinds)
        self.version += 1

    def next_fault(self) -> Fault:
        """The next request's fault; the script goes before the rates."""
        if self._script:
            return self._script.popleft()
        point = self._random.random()
        for kind, rate in self._rates.items():
            if point < rate:
                return FAULTS[kind]
            point -= rate
        return NO_FAULT


def _known(kind: str) -> Fault:
    if kind not in FAULTS:
        raise InvalidOption(f"there is no fault {kind!r}; the kinds are {', '.join(FAULTS)}")
    return FAULTS[kind]


def _checked_rates(rates: Mapping[str, float]) -> dict[str, float]:
    for kind, rate in rates.items():
        _known(kind)
        if not 0 <= rate <= 1:
            raise InvalidOption(f"the rate of fault {kind} must be 0 to 1, and is {rate}")
    total = math.fsum(rates.values())
    if total > 1 and not math.isclose(total, 1):
        raise InvalidOption(f"the rates of all faults must add up to at most 1, and make {total:g}")
    # In the table's order, so that the same rates give the same faults in whatever order a person names them.
    return {kind: rates[kind] for kind in FAULTS if kind in rates}


def _checked_latency(seconds: float) -> float:
    if not 0 <= seconds <= LONGEST_LATENCY:
        raise InvalidOption(f"the latency must be 0 to {LONGEST_LATENCY:g} seconds, and is {seconds:g}")
    return seconds
