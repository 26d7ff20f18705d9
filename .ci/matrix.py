#!/usr/bin/env python3
"""``.ci/matrix.py COMMAND...``: a make command that tests, with every Airflow and Python that people run.

What each printed follows when it has ended, and at the end a table of what passed with each.

The newest Airflow on the oldest Python runs all tests, with the command as it stands if that Python is ``python3``. The
others leave out what takes long and hardly touches Airflow: deliveries that are killed, benchmarks, the ledger's
thousands of simulated runs, years of local times and 100,000 rows of anything. They install the wheel
as well, which make e2e does for that first one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Of Airflow, "lowest" is the lowest version that pyproject.toml allows, of everything.
CELLS = [
    ("3.3.2", "3.11"),
    ("3.1.8", "3.11"),
    ("2.11.2", "3.11"),
    ("3.3.2", "3.12"),
    ("3.3.2", "3.13"),
    ("lowest", "3.11"),
]
ALL_TESTS = ("3.3.2", "3.11")
THE_OTHERS = (
    "-m 'not browser and not e2e and not long and not soak' --ignore=tests/chaos --ignore=tests/benchmarks "
    "--ignore=tests/delivery/test_simulation.py --ignore=tests/delivery/test_state_machine.py "
    "--ignore=tests/delivery/test_storms.py --ignore=tests/records/test_local_times.py "
    "--ignore=tests/records/test_wire_form.py"
)


@dataclass(frozen=True)
class Cell:
    """What came of the tests with one Airflow and one Python."""

    airflow: str
    python: str
    ended_well: bool
    passed: int
    failed: int
    skipped: int
    seconds: int

    @property
    def is_green(self) -> bool:
        return self.ended_well and self.passed > 0 and not self.failed

    @property
    def row(self) -> str:
        counts = f"{self.passed:7} {self.failed:7} {self.skipped:8} {self.seconds:8}"
        return f"{self.airflow:8} {self.python:7} {counts}{'' if self.is_green else '  not green'}"


def run(airflow: str, python: str, command: Sequence[str]) -> Cell:
    """Run the command with one Airflow and one Python, and print what it printed once it has ended."""
    options = "-q" if (airflow, python) == ALL_TESTS else f"-q {THE_OTHERS}"
    asked = [*command, *variables(airflow, python)]
    say(f"=== Airflow {airflow}, Python {python}: started, {' '.join(asked)}")
    started = time.monotonic()
    done = subprocess.run(
        asked,
        cwd=ROOT,
        env={**os.environ, "PYTEST_ADDOPTS": options},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    seconds = round(time.monotonic() - started)
    closing = re.findall(r"^.*\d+ (?:passed|failed|errors?)\b.* in [\d.]+s.*$", done.stdout, flags=re.MULTILINE)
    passed, failed, errors, skipped = (
        sum(map(int, re.findall(rf"(\d+) {outcome}", closing[-1] if closing else "")))
        for outcome in ("passed", "failed", "error", "skipped")
    )
    say(f"{done.stdout.rstrip()}\n--- Airflow {airflow}, Python {python}: took {seconds} s")
    return Cell(airflow, python, done.returncode == 0, passed, failed + errors, skipped, seconds)


def variables(airflow: str, python: str) -> list[str]:
    """What has to be said to make; nothing where that is what it does anyway."""
    if (airflow, python) == ALL_TESTS:
        made = ROOT / ".venv/bin/python"
        if (
            output(made if made.exists() else "python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
            == python
        ):
            return []
    return [f"AIRFLOW={airflow}", f"PYTHON={interpreter(python)}", f"VENV=.venv-{airflow}-python{python}"]


def interpreter(python: str) -> str:
    """A Python's path, or its name if there is none. pyenv has some to which its own ``python3.12`` does not lead."""
    name = f"python{python}"
    with suppress(OSError, subprocess.CalledProcessError):
        return output(name, "-c", "import sys; print(sys.executable)")
    with suppress(OSError, subprocess.CalledProcessError):
        return f"{output('pyenv', 'prefix', output('pyenv', 'latest', python))}/bin/{name}"
    return name


def output(*command: str | Path) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def say(text: str) -> None:
    print(f"\n{text}\n", end="", flush=True)


def main(command: Sequence[str]) -> int:
    """The status: 0 if all cells are green."""
    # `make test-matrix` must not hand on what it was itself told.
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
        os.environ.pop(name, None)
    cells = [run(*cell, command) for cell in CELLS]
    print(f"\n{'Airflow':8} {'Python':7} {'passed':>7} {'failed':>7} {'skipped':>8} {'seconds':>8}")
    print(*(cell.row for cell in cells), sep="\n")
    print(f"\n{sum(cell.passed for cell in cells)} passed, {sum(cell.failed for cell in cells)} failed")
    return 0 if all(cell.is_green for cell in cells) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
