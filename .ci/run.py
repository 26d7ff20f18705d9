#!/usr/bin/env python3
"""``.ci/run.py PLAN``: run the jobs of a plan (``ci``, ``matrix`` or ``nightly``), and print the result of each.

The jobs that install and the jobs that fail most often come first, alone. Then two rows of jobs run at once, each with
one job after the other. The jobs of one row compute; the jobs of the other mostly wait, for an Airflow, a browser or a
lease. A row that has finished its own jobs takes the next of the shared jobs. Each line that a job prints begins with
the job's name. A failed job stops no other job, except if the install job fails.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import matrix

ROOT = Path(__file__).resolve().parent.parent
# On an interrupt, pytest ends its fixtures, and with them the Airflows and databases that it started.
SECONDS_TO_END = 30.0


class Job(NamedTuple):
    """A command, with the minutes after which it is ended."""

    name: str
    command: Sequence[str]
    minutes: float


class Result(NamedTuple):
    """The result of a job. A job that runs no tests counts as one test."""

    name: str
    seconds: int
    passed: int
    failed: int
    end: str

    @property
    def row(self) -> str:
        return f"{self.name:20} {self.seconds:8} {self.passed:7} {self.failed:7}  {self.end}"


class Plan(NamedTuple):
    """Jobs: one that installs, some that run alone, then rows of jobs at once.

    Two jobs of different rows must not install into one environment, listen on one port or both write to ``.demo``. A
    shared job must not do that with any other job.
    """

    install: Job
    first: Sequence[Job]
    rows: Sequence[Sequence[Job]]
    shared: Sequence[Job] = ()
    """The jobs that a finished row takes next, the longest first."""

    @property
    def jobs(self) -> list[Job]:
        """All of them."""
        return [self.install, *self.first, *(job for row in self.rows for job in row), *self.shared]


def make(*words: str, minutes: float) -> Job:
    return Job(words[0], ("make", *words), minutes)


def debian(*packages: str) -> Job:
    """Install Debian's packages whose program is missing. The program has the package's name, or is written
    ``package:program``.
    """
    missing = f"for each in {' '.join(packages)}; do command -v ${{each#*:}} > /dev/null || echo ${{each%%:*}}; done"
    install = "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends"
    script = f'missing=$({missing}); [ -z "$missing" ] || ({install} $missing)'
    return Job("debian", ("bash", "-c", script), 10)


def cells(*markers: str, profile: str, minutes: float) -> list[Job]:
    """The tests with each other Airflow and Python: each cell's own tests, or the tests with these markers."""
    return [
        Job(cell.name, (*matrix.command(cell, markers), f"HYPOTHESIS_PROFILE={profile}"), minutes)
        for cell in matrix.OTHERS
    ]


BUILDS_MYSQLCLIENT = ("gcc", "pkg-config", "libmariadb-dev:mariadb_config")
INSTALL = make("install", minutes=10)
CHECKS = [make("lint", minutes=3), make("types", minutes=5)]
# A few examples are enough: versions hardly differ between one example and another.
CELLS = cells(profile="few", minutes=25)
PLANS = {
    "ci": Plan(
        INSTALL,
        CHECKS,
        [
            [make("test", minutes=25), make("docs", minutes=3)],
            [
                debian("chromium"),
                make("demo", minutes=5),
                make("e2e", minutes=45),
                make("browser", minutes=25),
                make("soak", "ONLY=short", minutes=10),
            ],
        ],
        [*CELLS, make("chaos", minutes=15)],
    ),
    "matrix": Plan(INSTALL, [make("test", minutes=15), *CELLS], []),
    "nightly": Plan(
        INSTALL,
        CHECKS,
        [
            [
                make("coverage", minutes=120),
                make("docs", minutes=3),
                make("chaos", minutes=120),
                *cells("pure", "ledger", "airflow", "wheel", profile="nightly", minutes=120),
                make("mutants", minutes=120),
            ],
            [
                debian(
                    "chromium", "redis-server", "pgbouncer", "mariadb-server:mariadbd", "faketime", *BUILDS_MYSQLCLIENT
                ),
                make("demo", minutes=5),
                make("e2e", minutes=60),
                make("browser", minutes=30),
                make("celery", minutes=30),
                make("databases", minutes=60),
                make("databases-soak", minutes=40),
                make("events", minutes=30),
                make("soak", "ONLY=not short", minutes=120),
                make("fuzz", "SECONDS=3600", minutes=75),
            ],
        ],
    ),
}


class Runner:
    """Runs jobs, prints their output, and can end the running jobs."""

    def __init__(self) -> None:
        self.stopped = False
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()

    def run_all(self, jobs: Iterable[Job]) -> list[Result]:
        return [self.run(job) for job in jobs]

    def run(self, job: Job) -> Result:
        """Run a job to its end, or end it when its time is over."""
        started = time.monotonic()
        process = self._start(job)
        if process is None:
            return Result(job.name, 0, 0, 1, "not started")
        say(job.name, f"=== {shlex.join(job.command)}")
        counts: Counter[str] = Counter()
        # In a thread, as a child that left the process group would keep the pipe open.
        reader = threading.Thread(target=read, args=(job.name, process, counts), daemon=True)
        reader.start()
        ended = "failed"
        try:
            if process.wait(job.minutes * 60) == 0:
                ended = "passed"
        except subprocess.TimeoutExpired:
            ended = f"ended after {job.minutes:g} minutes"
        finally:
            end(process)
        reader.join(SECONDS_TO_END)
        with self._lock:
            self._running.discard(process)
        seconds = round(time.monotonic() - started)
        say(job.name, f"--- {ended}, {seconds} s")
        failed = counts["failed"] + counts["error"]
        if ended != "passed":
            return Result(job.name, seconds, counts["passed"], max(failed, 1), ended)
        return Result(job.name, seconds, counts["passed"] or 1, failed, ended)

    def _start(self, job: Job) -> subprocess.Popen[str] | None:
        with self._lock:
            if self.stopped:
                return None
            process = subprocess.Popen(
                job.command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                # A group of its own, so that its children can be ended with it.
                start_new_session=True,
            )
            self._running.add(process)
            return process

    def stop(self) -> None:
        """End all running jobs, and start no more."""
        with self._lock:
            self.stopped = True
            running = list(self._running)
        for process in running:
            end(process)


def read(name: str, process: subprocess.Popen[str], counts: Counter[str]) -> None:
    """Print a job's output, and count the tests from pytest's last line."""
    assert process.stdout is not None
    for line in process.stdout:
        say(name, line.rstrip())
        if re.search(r"\d (passed|failed|errors?)\b.* in \d[\d.]*s\b", line):
            for number, kind in re.findall(r"(\d+) (passed|failed|error)", line):
                counts[kind] += int(number)


def end(process: subprocess.Popen[str]) -> None:
    """End a process that has not ended, and the rest of its group: first with an interrupt, then with a kill."""
    with suppress(ProcessLookupError):
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(SECONDS_TO_END)
        os.killpg(process.pid, signal.SIGKILL)


_printing = threading.Lock()


def say(name: str, text: str) -> None:
    with _printing:
        print(f"[{name}] {text}", flush=True)


def taken(jobs: deque[Job]) -> Iterator[Job]:
    """The next job, and the next one after it, until none is left."""
    with suppress(IndexError):
        while True:
            yield jobs.popleft()


def run(plan: Plan, runner: Runner) -> int:
    """The status: 0 if all jobs passed."""
    results = [runner.run(plan.install)]
    if results[0].failed:
        runner.stop()
    results += runner.run_all(plan.first)
    # A deque is safe for two threads that take the next job at once.
    shared = deque(plan.shared)
    with ThreadPoolExecutor() as threads:
        for of_row in threads.map(lambda row: runner.run_all(chain(row, taken(shared))), plan.rows):
            results += of_row
    failed = sum(result.failed for result in results)
    print(f"\n{'job':20} {'seconds':>8} {'passed':>7} {'failed':>7}  result")
    print(*(result.row for result in results), sep="\n")
    print(f"\n{sum(result.passed for result in results)} passed, {failed} failed")
    return 1 if failed else 0


def main(plan: str = "ci") -> int:
    # `make ci` must not pass on its own make options.
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES"):
        os.environ.pop(name, None)
    if plan not in PLANS:
        print(f"There is no plan {plan}. Plans: {', '.join(PLANS)}", file=sys.stderr)
        return 2
    if plan == "nightly":
        os.environ["HYPOTHESIS_PROFILE"] = "nightly"
    # By default, pytest takes one worker more than cores. Here the other row computes while a worker waits.
    os.environ.setdefault("PYTEST_XDIST_AUTO_NUM_WORKERS", str(os.cpu_count() or 1))
    runner = Runner()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: threading.Thread(target=runner.stop).start())
    return run(PLANS[plan], runner)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
