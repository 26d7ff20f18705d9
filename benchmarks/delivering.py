"""Delivers the rows of a query in its own process:
``python -m benchmarks.delivering LEDGER_CONN_ID KIND ROWS CONCURRENCY``.

Measures the speed of each tenth of the rows and the peak memory. Prints a :class:`Course` as JSON.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.vendor_rows import KINDS

WAREHOUSE, ENDPOINT = "warehouse", "impactcall_default"
TENTHS = 10


@dataclass(frozen=True)
class Course:
    """The measurements of a delivery.

    :param rows: rows delivered
    :param reading: seconds until the warehouse's cursor was closed
    :param wall: seconds by the clock for each tenth of the rows, from the first settled row on
    :param cpu: seconds of this process's CPU for the same tenths
    :param peak: the process's peak memory in MB: VmHWM
    """

    rows: int
    reading: float
    wall: Sequence[float]
    cpu: Sequence[float]
    peak: float


def main(ledger_conn_id: str, kind: str, rows: str, concurrency: str) -> None:
    from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
    from airflow_provider_impactcall.integration.sql import drained

    count, each = int(rows), KINDS[kind]
    marks: list[tuple[float, float]] = []
    settled = 0

    def note(*_: Any) -> None:
        nonlocal settled
        if settled * TENTHS >= len(marks) * count:
            marks.append((time.perf_counter(), time.process_time()))
        settled += 1

    began = time.perf_counter()
    with drained(WAREHOUSE, f'SELECT * FROM calls ORDER BY "{each.ordered_by}" LIMIT {count}') as spool:
        reading = time.perf_counter() - began
        report = ImpactCallHook(ENDPOINT).deliver(
            spool, ledger_conn_id=ledger_conn_id, concurrency=int(concurrency), on_settled=note, **each.options
        )
    marks.append((time.perf_counter(), time.process_time()))
    if report.delivered != count:
        raise RuntimeError(f"{count} calls were to be delivered, and the report says {report}")
    wall, cpu = ([after[of] - before[of] for before, after in pairwise(marks)] for of in (0, 1))
    print(json.dumps(asdict(Course(count, reading, wall, cpu, peak()))))


def peak() -> float:
    """The peak memory of this process in MB. Not from ``ru_maxrss``, which a child inherits from its parent."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path("/proc/self/status").read_text(encoding="ascii"), re.MULTILINE)
    if found is None:
        raise RuntimeError("only Linux says what memory a process took")
    return int(found[1]) / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
