"""What ``CallMapping(...).record(row)`` takes of a vendor's row, row by row, beside plain pydantic on the same rows.

Each round has rows that no round before it had: callers that were seen before would be remembered.
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
# Those whose times pydantic reads without a function in Python, which would be most of what it takes.
JUDGED = ("CallRail's rows", "Ringba's rows", "Invoca's rows")


@dataclass(frozen=True)
class Read:
    """What reading the rows of a vendor took, a round a number.

    :param title: whose rows
    :param count: rows a round
    :param ours: seconds of CPU of the package's mapping
    :param peer: the same of plain pydantic
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
    """Each vendor's rows, and those that are judged together."""
    together = ("**the first, second and fourth together**", "", "", str(figure(reads)), figure(reads).repeats)
    return markdown_table(HEAD, [*(each.line() for each in reads), together])


def figure(reads: Sequence[Read]) -> Figure:
    """The ratio to plain pydantic of those that are judged, with as many rows of each vendor."""
    vendors = [each for each in reads if each.title in JUDGED]
    ours, peers = (
        [sum(seconds) for seconds in zip(*(getattr(each, whose) for each in vendors), strict=True)]
        for whose in ("ours", "peer")
    )
    return Figure.ratio(ours, peers)


def measure(count: int, rounds: int) -> list[Read]:
    """Every vendor's rows once a round, in turn, read by both, in every other round in the opposite order."""
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
    """Seconds of CPU, which other processes do not add to as they do to those by the clock."""
    gc.collect()
    gc.freeze()  # A delivery does not hold its rows, and so has no garbage collector look at them.
    before = time.process_time()
    for row in rows:
        read(row)
    taken = time.process_time() - before
    gc.unfreeze()
    return taken
