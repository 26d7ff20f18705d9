"""What ``CallMapping(...).record(row)`` takes for a vendor's rows, compared with plain pydantic on the same rows.

Each round has new rows, as callers that were seen before would be cached.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from airflow_provider_impactcall.records import CallMapping
from benchmarks.ratios import Figure
from benchmarks.results import markdown_table
from benchmarks.rows import Rows
from benchmarks.vendor_models import MODELS
from benchmarks.vendor_rows import CALLRAIL, VENDORS, with_new_prefixes

HEADING = "What mapping a vendor's row costs"
WARM = 1000
WORST = "CallRail's, each caller of a prefix not seen before"
# For the others, pydantic reads times with a function in Python, which takes most of its time.
JUDGED = ("CallRail's rows", "Ringba's rows", "Invoca's rows")


@dataclass(frozen=True)
class Read:
    """How long reading a vendor's rows took, one number for each round.

    :param title: whose rows
    :param count: rows in each round
    :param ours: seconds of CPU of the package's mapping
    :param peer: seconds of CPU of plain pydantic
    """

    title: str
    count: int
    ours: list[float] = field(default_factory=list)
    peer: list[float] = field(default_factory=list)

    def line(self) -> tuple[str, ...]:
        ratio = Figure.ratio(self.ours, self.peer)
        return self.title, self._micro(self.ours), self._micro(self.peer), str(ratio), ratio.repeats

    def _micro(self, seconds: Sequence[float]) -> str:
        return f"{median(seconds) / self.count * 1e6:.2f}"


HEAD = ("rows", "CallMapping, CPU us a row", "plain pydantic", "ratio", "in each round")


def table(reads: Sequence[Read]) -> str:
    """Each vendor's rows, and the three vendors of the target together."""
    together = ("**the first, second and fourth together**", "", "", str(figure(reads)), figure(reads).repeats)
    return markdown_table(HEAD, [*(each.line() for each in reads), together])


def figure(reads: Sequence[Read]) -> Figure:
    """The ratio to plain pydantic for :data:`JUDGED` together, with the same number of rows for each vendor."""
    vendors = [each for each in reads if each.title in JUDGED]
    ours, peers = (
        [sum(seconds) for seconds in zip(*(getattr(each, whose) for each in vendors), strict=True)]
        for whose in ("ours", "peer")
    )
    return Figure.ratio(ours, peers)


def measure(count: int, rounds: int) -> list[Read]:
    """Have both read every vendor's rows once in each round; every second round has the opposite order."""
    worst = Rows("callrail", WORST, with_new_prefixes, CALLRAIL.ordered_by, CALLRAIL.options)
    kinds = [*VENDORS.values(), worst]
    found = [Read(kind.title, count) for kind in kinds]
    readers: list[Sequence[Callable[[Mapping[str, Any]], object]]]
    readers = [(MODELS[kind.name].model_validate, CallMapping(**kind.options).record) for kind in kinds]
    for kind, both in zip(kinds, readers, strict=True):
        for read in both:
            cpu_of(read, [*kind.of(WARM)])
    for number in range(rounds):
        for kind, each, both in zip(kinds, found, readers, strict=True):
            rows = [*kind.of(count, WARM + number * count)]
            pairs = [*zip((each.peer, each.ours), both, strict=True)]
            for seconds, read in reversed(pairs) if number % 2 else pairs:
                seconds.append(cpu_of(read, rows))
    return found


def cpu_of(read: Callable[[Mapping[str, Any]], object], rows: Sequence[Mapping[str, Any]]) -> float:
    """Seconds of CPU; unlike seconds by the clock, other processes hardly change them."""
    gc.collect()
    gc.freeze()  # The garbage collector must not scan the rows: a delivery does not hold them.
    before = time.process_time()
    for row in rows:
        read(row)
    taken = time.process_time() - before
    gc.unfreeze()
    return taken
