"""What a second task adds, and whether both keep one limit: ``python -m benchmarks.scaling``.

Two processes, like two mapped tasks, deliver disjoint parts to an endpoint that answers after 50 ms, and share one
ledger. Then one process delivers alone, and so on. With ``--requests-per-second``, both deliver at the limit of their
connection, and the endpoint's own record gives the number of requests in the busiest second.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import IO, Any

import sqlalchemy as sa

from airflow_provider_impactcall.sandbox import Sandbox
from benchmarks.databases import DATABASES, database
from benchmarks.endpoints import LATENCY, Endpoints, NotInstalled, endpoints
from benchmarks.processes import environment
from benchmarks.ratios import Figure
from benchmarks.results import load_average, markdown_table, measured_on, write_section
from benchmarks.rows import PLAIN, Rows
from benchmarks.vendor_rows import KINDS
from tests.databases import as_connection
from tests.examples import LOGIN, PASSWORD

TASKS = 2
HEADINGS = {"vendor": "Two tasks beside one", "plain": "Two tasks beside one, plain rows"}


class Task:
    """A process that delivers calls through the hook on request, as a task does.

    :param rows: the kind of its rows
    :param settings: its environment, with an Airflow home that both share
    """

    def __init__(self, rows: Rows, settings: Mapping[str, str]) -> None:
        command = [sys.executable, "-m", "benchmarks.scaling", "--task", "--rows", rows.name]
        self._process = subprocess.Popen(command, env=settings, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def begin(self, first: int, count: int, **options: Any) -> None:
        """Start the delivery of ``count`` calls, from the call with the number ``first`` on."""
        _pipe(self._process.stdin).write(json.dumps([first, count, options]).encode() + b"\n")
        _pipe(self._process.stdin).flush()

    def end(self) -> Mapping[str, Any]:
        """Wait for the report."""
        report: Mapping[str, Any] = json.loads(_pipe(self._process.stdout).readline())
        return report

    def close(self) -> None:
        _pipe(self._process.stdin).close()
        self._process.wait(60)


class Numbers:
    """Numbers of calls that nobody has delivered yet."""

    def __init__(self) -> None:
        self._next = 0

    def take(self, count: int) -> int:
        first, self._next = self._next, self._next + count
        return first


@contextmanager
def tasks(folder: Path, rows: Rows, origin: str, ledger: str, **extra: Any) -> Iterator[list[Task]]:
    """Start two tasks whose connection leads to this origin, and whose ledger is in this database."""
    host, _, port = origin.rpartition(":")
    home = folder / "airflow"
    connection = {"conn_type": "impactcall", "host": host, "port": int(port), "login": LOGIN, "password": PASSWORD}
    settings = environment(
        home,
        # For SQLite, the embedded file in the Airflow home, as for a task without a ledger connection.
        AIRFLOW__IMPACTCALL__LEDGER_CONN_ID="embedded" if ledger.startswith("sqlite") else "ledger",
        AIRFLOW_CONN_LEDGER=as_connection(sa.engine.make_url(ledger)),
        AIRFLOW_CONN_IMPACTCALL_DEFAULT=json.dumps({**connection, "extra": extra}),
    )
    started = [Task(rows, settings) for _ in range(TASKS)]
    try:
        yield started
    finally:
        for each in started:
            each.close()


def delivered(each: Sequence[Task], numbers: Numbers, count: int, **options: Any) -> float:
    """The calls a second of these tasks together; each delivers ``count`` calls."""
    started = time.perf_counter()
    for task in each:
        task.begin(numbers.take(count), count, **options)
    reports = [task.end() for task in each]
    seconds = time.perf_counter() - started
    if any(report["delivered"] != count for report in reports):
        raise RuntimeError(f"not all was delivered: {reports}")
    return len(each) * count / seconds


@dataclass(frozen=True)
class Compared:
    """Calls a second of one task and of two, one number for each round.

    :param ledger: the kind of the ledger's database
    :param concurrency: requests in flight of each task
    """

    ledger: str
    concurrency: int
    one: list[float] = field(default_factory=list)
    two: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> Figure:
        return Figure.ratio(self.two, self.one)

    def cells(self) -> tuple[str, ...]:
        both = (_spread(each, ",.0f") for each in (self.one, self.two))
        return self.ledger, str(self.concurrency), *both, str(self.ratio), self.ratio.repeats


HEAD = ("ledger", "in flight a task", "calls/s, one task", "calls/s, two tasks", "ratio", "in each round")


def counted(rows: Rows, compared: Sequence[Compared]) -> str:
    """The measurements in words and figures."""
    return f"{rows.title}.\n\n{markdown_table(HEAD, [each.cells() for each in compared])}"


def measured(
    rows: Rows, to: Endpoints, ledgers: Sequence[str], concurrencies: Sequence[int], seconds: float, rounds: int
) -> list[Compared]:
    """Compare one task with two, for a ledger in each of these databases and each concurrency."""
    found = []
    for ledger in ledgers:
        for concurrency in concurrencies:
            with tempfile.TemporaryDirectory(prefix="impactcall-scaling-") as folder:
                found.append(compare(ledger, Path(folder), rows, to.slow, concurrency, seconds, rounds))
            print("  ".join(found[-1].cells()), flush=True)
    return found


def compare(
    kind: str, folder: Path, rows: Rows, origin: str, concurrency: int, seconds: float, rounds: int
) -> Compared:
    """Run one task and two tasks, one after the other.

    :param seconds: how long a task takes at the endpoint's speed
    """
    count = round(concurrency / LATENCY * seconds)
    numbers, compared = Numbers(), Compared(kind, concurrency)
    with database(kind, folder) as ledger, tasks(folder, rows, origin, ledger) as both:
        delivered(both, numbers, concurrency, concurrency=concurrency)
        for number in range(rounds):
            for size in (1, 2) if number % 2 else (2, 1):
                speed = delivered(both[:size], numbers, count, concurrency=concurrency)
                (compared.one if size == 1 else compared.two).append(speed)
    return compared


def busiest_second(folder: Path, rate: float, seconds: float) -> tuple[int, int]:
    """How many requests two tasks with this limit made in all, and in the busiest second."""
    with Sandbox(user=LOGIN, password=PASSWORD, latency=LATENCY).in_thread() as sandbox:
        with (
            database("postgresql", folder) as ledger,
            tasks(folder, PLAIN, sandbox.url, ledger, requests_per_second=rate, concurrency=32) as both,
        ):
            delivered(both, Numbers(), round(rate * seconds / TASKS))
        times = sorted(datetime.fromisoformat(call["received_at"]).timestamp() for call in sandbox.calls)
    return len(times), max(bisect_left(times, time + 1) - index for index, time in enumerate(times))


def serve(rows: Rows) -> None:
    """Run as a task: deliver the calls that standard input asks for, and answer with the report."""
    # Airflow may write to standard output: keep that out of the answers.
    with os.fdopen(os.dup(1), "w") as answers:
        os.dup2(2, 1)
        from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook

        for line in sys.stdin:
            first, count, options = json.loads(line)
            report = ImpactCallHook().deliver(rows.of(count, first), **options, **rows.options)
            answers.write(json.dumps(report.as_dict()) + "\n")
            answers.flush()


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise RuntimeError("the process has no pipe")
    return pipe


def _spread(values: Sequence[float], form: str) -> str:
    least, middle, most = (format(each, form) for each in (min(values), median(values), max(values)))
    return f"{middle} ({least} to {most})"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--task", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--rows", choices=KINDS, default="vendor", help="(default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=8, help="a task takes at best (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="(default: %(default)s)")
    parser.add_argument("--concurrency", type=int, action="append", help="in flight a task (default: 8 and 64)")
    parser.add_argument("--requests-per-second", type=float, help="only measure the busiest second at this limit")
    options = parser.parse_args()
    rows = KINDS[options.rows]
    if options.task:
        serve(rows)
        return
    load = load_average()
    if options.requests_per_second:
        with tempfile.TemporaryDirectory(prefix="impactcall-scaling-") as folder:
            rate = options.requests_per_second
            total, most = busiest_second(Path(folder), rate, options.seconds)
        said = f"{total:,} requests of {TASKS} tasks at {rate:g} a second: {most} in the busiest second"
        command = f"python -m benchmarks.scaling --requests-per-second {rate:g}"
        write_section("Two tasks, one limit", f"{measured_on(command, load)}\n\n{said}.")
        print(said)
        sys.exit(most > rate)
    try:
        with endpoints() as running:
            compared = measured(
                rows, running, DATABASES, options.concurrency or (8, 64), options.seconds, options.rounds
            )
    except NotInstalled as problem:
        sys.exit(str(problem))
    command = " ".join(["python -m benchmarks.scaling", *sys.argv[1:]])
    if options.rows in HEADINGS:
        head = measured_on(command, load, servers=[f"nginx {running.version}"])
        write_section(HEADINGS[options.rows], f"{head}\n\n{counted(rows, compared)}")


if __name__ == "__main__":
    main()
