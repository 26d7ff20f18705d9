"""The program that runs CI's jobs: what it counts, what it waits for and what it ends."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

SECONDS = 30.0


def shell(ci: Any, name: str, script: str, minutes: float = 1) -> Any:
    return ci.Job(name, ("sh", "-c", script), minutes)


def plan(ci: Any, *rows: Any, install: str = "true", shared: Any = ()) -> Any:
    return ci.Plan(shell(ci, "install", install), [], rows, shared)


def wait_for(file: Path) -> str:
    """A script that ends well once there is a file, and badly if there never is."""
    return f"for _ in $(seq 300); do [ -e {shlex.quote(str(file))} ] && exit 0; sleep 0.1; done; exit 1"


def runs(pid: int) -> bool:
    """Whether a process is there, and not only its entry in the table."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def has_ended(pid: int) -> bool:
    ends_by = time.monotonic() + SECONDS
    while runs(pid) and time.monotonic() < ends_by:
        time.sleep(0.05)
    return not runs(pid)


def closing(capsys: pytest.CaptureFixture[str]) -> tuple[list[str], str]:
    """All lines that were printed, and the last."""
    lines = capsys.readouterr().out.splitlines()
    return lines, lines[-1]


def test_rows_run_at_once_and_the_jobs_of_a_row_in_their_order(
    ci: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each row waits for what the other one does first."""
    here, there = tmp_path / "here", tmp_path / "there"
    one = [shell(ci, "a", f"touch {here}"), shell(ci, "b", wait_for(there))]
    other = [shell(ci, "c", wait_for(here)), shell(ci, "d", f"touch {there}")]
    assert ci.run(plan(ci, one, other), ci.Runner()) == 0
    assert closing(capsys)[1] == "5 passed, 0 failed"


def test_what_either_row_can_run_is_run_once_by_the_one_that_is_done_with_its_own(
    ci: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One row waits for what only the other one can do meanwhile."""
    done = tmp_path / "done"
    rows = [shell(ci, "waits", wait_for(done))], [shell(ci, "short", "true")]
    shared = [shell(ci, "one", f"echo 1 >> {tmp_path / 'ones'}"), shell(ci, "two", f"touch {done}")]
    assert ci.run(plan(ci, *rows, shared=shared), ci.Runner()) == 0
    assert closing(capsys)[1] == "5 passed, 0 failed"
    assert (tmp_path / "ones").read_text() == "1\n"


def test_tests_are_counted_and_each_line_begins_with_its_jobs_name(ci: Any, capsys: pytest.CaptureFixture[str]) -> None:
    said = "==== 2 failed, 40 passed, 3 skipped, 1 error in 12.34s (0:00:12) ===="
    row = [
        shell(ci, "tests", f"echo {said!r}; echo '7 passed in 0.10s'; exit 1"),
        shell(ci, "after", "echo said"),
        shell(ci, "crash", "echo '9 passed in 1.00s'; exit 3"),
    ]
    assert ci.run(plan(ci, row), ci.Runner()) == 1
    lines, last = closing(capsys)
    assert last == "58 passed, 4 failed"
    assert f"[tests] {said}" in lines
    assert "[after] said" in lines
    (shown,) = [line.split() for line in lines if line.startswith("tests ")]
    assert shown[2:] == ["47", "3", "failed"]


def test_a_job_that_takes_too_long_is_ended_with_its_children(ci: Any, capsys: pytest.CaptureFixture[str]) -> None:
    row = [shell(ci, "late", "sleep 300 & echo child=$!; wait", minutes=0.02), shell(ci, "after", "true")]
    assert ci.run(plan(ci, row), ci.Runner()) == 1
    lines, last = closing(capsys)
    assert last == "2 passed, 1 failed"
    assert any("ended after 0.02 minutes" in line for line in lines)
    (child,) = [int(line.partition("child=")[2]) for line in lines if line.startswith("[late] child=")]
    assert has_ended(child)


def test_what_a_job_leaves_running_is_ended_and_waited_for_by_nobody(
    ci: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.monotonic()
    assert ci.run(plan(ci, [shell(ci, "job", "sleep 300 & echo child=$!")]), ci.Runner()) == 0
    assert time.monotonic() - began < 100
    (child,) = [int(line.partition("child=")[2]) for line in closing(capsys)[0] if line.startswith("[job] child=")]
    assert has_ended(child)


def test_nothing_starts_if_what_it_needs_cannot_be_installed(
    ci: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = [shell(ci, "job", f"touch {tmp_path / 'started'}")]
    assert ci.run(plan(ci, row, install="false"), ci.Runner()) == 1
    assert closing(capsys)[1] == "0 passed, 2 failed"
    assert not (tmp_path / "started").exists()


def test_stopped_it_ends_what_runs_and_starts_no_more(
    ci: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runner = ci.Runner()
    started = tmp_path / "started"
    row = [shell(ci, "job", f"touch {started}; sleep 300"), shell(ci, "after", "true")]

    def stop() -> None:
        while not started.exists():
            time.sleep(0.02)
        runner.stop()

    stopping = threading.Thread(target=stop)
    stopping.start()
    assert ci.run(plan(ci, row), runner) == 1
    stopping.join()
    lines, last = closing(capsys)
    assert last == "1 passed, 2 failed"
    assert any(line.startswith("after ") and line.endswith("not started") for line in lines)


def test_a_plan_that_is_not_there_is_refused() -> None:
    done = subprocess.run(
        [sys.executable, ".ci/run.py", "weekly"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 2
    assert "ci, matrix, nightly" in done.stderr
