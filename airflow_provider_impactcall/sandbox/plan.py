"""Which fault comes next: the script's, or one drawn by its rate."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from random import Random

from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.sandbox.faults import FAULTS, NO_FAULT, Fault


class FaultPlan:
    """Decides the fate of each request, in the order of their arrival.

    :param rates: the share of requests, 0 to 1, by the kind of fault that meets them
    :param seed: the same seed and rates give the same faults in the same order
    :raises InvalidOption: for an unknown kind, a rate that is no share, or shares that add up to over 1
    """

    def __init__(self, rates: Mapping[str, float], seed: int) -> None:
        self._random = Random(seed)  # noqa: S311 - repeatable on purpose, and no secret
        self.rates = rates
        self.script = ()

    @property
    def rates(self) -> Mapping[str, float]:
        return self._rates

    @rates.setter
    def rates(self, rates: Mapping[str, float]) -> None:
        for kind, rate in rates.items():
            _known(kind)
            if not 0 <= rate <= 1:
                raise InvalidOption(f"the rate of fault {kind} must be 0 to 1, and is {rate}")
        total = math.fsum(rates.values())
        if total > 1 and not math.isclose(total, 1):
            raise InvalidOption(f"the rates of all faults must add up to at most 1, and make {total:g}")
        # In the table's order, so that the order in which a person names the faults changes nothing.
        self._rates = {kind: rates[kind] for kind in FAULTS if kind in rates}

    @property
    def script(self) -> Sequence[str]:
        return [fault.name for fault in self._script]

    @script.setter
    def script(self, kinds: Sequence[str]) -> None:
        self._script = deque(NO_FAULT if kind == NO_FAULT.name else _known(kind) for kind in kinds)

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
