#!/usr/bin/env python3
"""``.ci/run.py PLAN``: run the jobs of a plan (``ci``, ``matrix`` or ``nightly``), and say at the end what came of each.

What is installed and what fails most often comes first. Then jobs that compute run one after the other, and beside
them those that mostly wait, for an Airflow, a browser or a lease, one after the other too. So at most two run at once,
and none installs into the environment of another. Each line that a job prints begins with its name.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import matrix

ROOT = Path(__file__).resolve().parent.parent
# pytest ends its fixtures on an interrupt, and with them the Airflows and databases that it started.
SECONDS_TO_END = 30.0


class Job(NamedTuple):
    """A command, with the minutes after which it is ended."""

    name: str
    command: Sequence[str]
    minutes: float


class Result(NamedTuple):
    """What came of a job. One that runs no tests counts as one."""

    name: str
    seconds: int
    passed: int
    failed: int
    end: str

    @property
    def row(self) -> str:
        return f"{self.name:24} {self.seconds:8} {self.passed:7} {self.failed:7}  {self.end}"


class Plan(NamedTuple):
    """Jobs one after the other: at first alone, then in two rows at once."""

    first: Sequence[Job]
    computing: Sequence[Job]
    waiting: Sequence[Job]


def make(*words: str, minutes: float) -> Job:
    return Job(words[0], ("make", *words), minutes)


def debian(*packages: str) -> Job:
    """Install packages of Debian; only those whose program of the same name is missing."""
    missing = f"for each in {' '.join(packages)}; do command -v $each > /dev/null || echo $each; done"
    install = "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends"
    script = f'missing=$({missing}); [ -z "$missing" ] || ({install} $missing)'
    return Job(f"install {packages[0]}", ("bash", "-c", script), 10)


def cells(*markers: str) -> list[Job]:
    """The tests with each other Airflow and Python, or those with these markers."""
    return [Job(cell.name, matrix.command(cell, markers), 30 if markers else 15) for cell in matrix.OTHERS]


INSTALL = [make("install", minutes=10)]
CHECKS = [make("lint", minutes=2), make("types", minutes=5)]
PLANS = {
    "ci": Plan(
        [*INSTALL, *CHECKS],
        [make("test", minutes=15), make("docs", minutes=3), *cells(), make("long", minutes=15)],
        [
            debian("chromium"),
            make("demo", minutes=5),
            make("e2e", minutes=25),
            make("browser", minutes=15),
            make("soak", "ONLY=short", minutes=10),
        ],
    ),
    "matrix": Plan(INSTALL, [make("test", minutes=15), *cells()], []),
    "nightly": Plan(
        [*INSTALL, *CHECKS],
        [
            make("test", minutes=120),
            make("docs", minutes=3),
            make("long", minutes=120),
            *cells("pure", "ledger", "airflow", "wheel"),
        ],
        [
            debian("chromium", "redis-server"),
            make("demo", minutes=5),
            make("e2e", minutes=40),
            make("browser", minutes=20),
            make("celery", minutes=30),
            make("soak", "ONLY=two_hundred or killed_at or takes_over", minutes=90),
        ],
    ),
}


class Runner:
    """Runs jobs, prints what they print, and can end those that run."""

    def __init__(self) -> None:
        self.stopped = False
        self._running: set[subprocess.Popen[str]] = set()
        self._lock = threading.Lock()

    def run_all(self, jobs: Sequence[Job]) -> list[Result]:
        return [self.run(job) for job in jobs]

    def run(self, job: Job) -> Result:
        """Run a job to its end, or end it when its time is over."""
        started = time.monotonic()
        with self._lock:
            if self.stopped:
                return Result(job.name, 0, 0, 1, "not started")
            process = subprocess.Popen(
                job.command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                # A group of its own, so that its children end with it.
                start_new_session=True,
            )
            self._running.add(process)
        say(job.name, f"=== {' '.join(job.command)}")
        late = threading.Event()
        limit = threading.Timer(job.minutes * 60, lambda: (late.set(), end(process)))
        limit.start()
        counts: list[str] = []
        assert process.stdout is not None
        for line in process.stdout:
            say(job.name, line.rstrip())
            if re.search(r"\d+ (passed|failed|errors?)\b.* in [\d.]+s", line):
                counts.append(line)
        status = process.wait()
        limit.cancel()
        with self._lock:
            self._running.discard(process)
        seconds = round(time.monotonic() - started)
        passed, failed = (
            sum(map(int, re.findall(rf"(\d+) {kind}", "".join(counts)))) for kind in ("passed", "(?:failed|error)")
        )
        if late.is_set():
            how = f"was ended after {job.minutes:g} minutes"
        else:
            how = "failed" if status else "passed"
        say(job.name, f"--- {how}, {seconds} s")
        good = status == 0 and not late.is_set()
        return Result(job.name, seconds, passed or int(good and not counts), failed or int(not good), how)

    def stop(self) -> None:
        """End all that runs, and start nothing more."""
        with self._lock:
            self.stopped = True
            running = list(self._running)
        for process in running:
            end(process)


def end(process: subprocess.Popen[str]) -> None:
    """End a process and its group: politely, and then for good."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(SECONDS_TO_END)
        os.killpg(process.pid, signal.SIGKILL)


_printing = threading.Lock()


def say(name: str, text: str) -> None:
    with _printing:
        print(f"[{name}] {text}", flush=True)


def run(plan: Plan, runner: Runner) -> int:
    """The status: 0 if all jobs passed."""
    results = runner.run_all(plan.first[:1])
    if results and results[0].failed:
        runner.stop()
    results += runner.run_all(plan.first[1:])
    with ThreadPoolExecutor(2) as rows:
        both = [rows.submit(runner.run_all, jobs) for jobs in (plan.computing, plan.waiting)]
    for each in both:
        results += each.result()
    print(f"\n{'job':24} {'seconds':>8} {'passed':>7} {'failed':>7}")
    print(*(result.row for result in results), sep="\n")
    failed = sum(result.failed for result in results)
    print(f"\n{sum(result.passed for result in results)} passed, {failed} failed")
    return 1 if failed else 0


def main(plan: str = "ci") -> int:
    # `make ci` must not hand on what it was itself told.
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES"):
        os.environ.pop(name, None)
    if plan == "nightly":
        os.environ["HYPOTHESIS_PROFILE"] = "nightly"
    runner = Runner()

    def stop(*_: object) -> None:
        threading.Thread(target=runner.stop).start()

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    return run(PLANS[plan], runner)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
