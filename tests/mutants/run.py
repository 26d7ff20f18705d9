"""``make mutants``: which mutants of the sample the tests notice.

Each mutant is put into a throwaway copy of the tree, and the tests of its subject run there until one fails. They run
in a fork of this process, which has imported the slow libraries, but nothing of this project.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Any

from tests.mutants.mutation import mutated
from tests.mutants.sample import ROOT, Drawn, Subject, drawn, paths, subjects, survivors

COPIED = ("airflow_provider_impactcall", "tests", "dags", "demo", "docs", "benchmarks", "pyproject.toml")
OURS = ("airflow_provider_impactcall", "tests")
# Without plugins that no test needs here, as each process would import them. PostgreSQL's own share of a test proves
# what PostgreSQL does, and takes a server a process.
PYTEST = (
    *("-x", "-q", "-p", "no:cacheprovider", "-p", "pytest_asyncio.plugin", "-p", "_hypothesis_pytestplugin"),
    *("-o", "addopts=", "-k", "not postgresql", "--tb=line", "-W", "ignore"),
)
ENVIRONMENT = {"CI": "true", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
OUTPUT = "output.txt"
BAR = 0.9
CAUGHT, SURVIVED, TIMED_OUT, GONE = "caught", "survived", "timed out", "gone"


@dataclass(frozen=True)
class Task:
    """One run of a subject's tests, with a mutant; or without one, to know that the tests pass and how long they take.

    :param limit: seconds
    """

    subject: Subject
    limit: float
    path: str = ""
    text: str = ""
    mutant: Drawn | None = None


@dataclass(frozen=True)
class Result:
    """The result of a run.

    :param status: pytest's, or None if the time was up
    :param output: what pytest printed
    """

    task: Task
    status: int | None
    seconds: float
    output: str

    @property
    def verdict(self) -> str:
        return TIMED_OUT if self.status is None else CAUGHT if self.status else SURVIVED

    @property
    def by(self) -> str:
        """The test that failed first."""
        failed = (line for line in self.output.splitlines() if line.startswith(("FAILED", "ERROR")))
        return next(failed, "").partition(" ")[2].partition(" - ")[0]


@dataclass
class Running:
    """A running process."""

    task: Task
    copy: Path
    process: BaseProcess
    started: float


def test(tests: Sequence[str], copy: Path) -> None:
    """Run tests in a copy, in a process of its own. The exit status is pytest's."""
    os.setsid()
    output = os.open(copy / OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.environ.update(ENVIRONMENT, TMPDIR=str(copy / "tmp"))
    tempfile.tempdir = None
    os.chdir(copy)
    sys.path[:] = [str(copy), *(path for path in sys.path if path and Path(path).resolve() != ROOT)]
    import pytest

    os._exit(int(pytest.main([*PYTEST, *tests])))


def run(tasks: Sequence[Task], jobs: int) -> Iterator[Result]:
    """The results as they come, with so many processes at once."""
    waiting = list(reversed(tasks))
    running: list[Running] = []
    with copies(jobs) as free:
        try:
            while waiting or running:
                while waiting and free:
                    running.append(started(waiting.pop(), free.pop()))
                wait([each.process.sentinel for each in running], timeout=1.0)
                for each in list(running):
                    seconds = time.monotonic() - each.started
                    status = None if each.process.is_alive() else each.process.exitcode
                    if status is None and seconds < each.task.limit:
                        continue
                    end(each)
                    running.remove(each)
                    free.append(each.copy)
                    output = (each.copy / OUTPUT).read_text(errors="replace")
                    yield Result(each.task, status, seconds, output)
        finally:
            for each in running:
                end(each)


def started(task: Task, copy: Path) -> Running:
    """A running task in a copy."""
    shutil.rmtree(copy / "tmp", ignore_errors=True)
    (copy / "tmp").mkdir()
    if task.path:
        (copy / task.path).write_text(task.text)
    process = get_context("fork").Process(target=test, args=(task.subject.tests, copy))
    process.start()
    return Running(task, copy, process, time.monotonic())


def end(running: Running) -> None:
    """Stop a task with everything that it started, and restore its copy."""
    pid = running.process.pid
    assert pid is not None
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    running.process.join()
    if running.task.path:
        shutil.copyfile(ROOT / running.task.path, running.copy / running.task.path)


@contextmanager
def copies(count: int) -> Iterator[list[Path]]:
    """So many copies of the tree, deleted afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="impactcall-mutants-"))
    try:
        made = [folder / str(number) for number in range(count)]
        for copy in made:
            copy.mkdir()
            for name in COPIED:
                source = ROOT / name
                if source.is_dir():
                    shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
                elif source.exists():
                    shutil.copyfile(source, copy / name)
            # By their text rather than by its age: one second sees several mutants of a module.
            compileall.compile_dir(copy / OURS[0], quiet=1, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
        yield made
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def preload() -> None:
    """Import the tests' third-party modules, and nothing of this project."""
    for name in ("hypothesis.stateful", "pytest", "pytest_asyncio.plugin", "tests.conftest"):
        import_module(name)
    for module in list(sys.modules):
        if module.partition(".")[0] in OURS:
            del sys.modules[module]


def tasks_of(sample: Sequence[Drawn], limits: dict[str, float]) -> tuple[list[Task], list[Drawn]]:
    """The runs of a sample, and the mutants whose line no longer exists."""
    places, tasks, gone = paths(), [], []
    for each in sample:
        for path in places[each.module]:
            text = mutated((ROOT / path).read_text(), each.mutant)
            if text is not None:
                tasks.append(Task(subjects()[each.subject], limits[each.subject], path, text, each))
                break
        else:
            gone.append(each)
    return tasks, gone


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: 0 if enough mutants are noticed, and each survivor has a reason."""
    parser = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    parser.add_argument("--only", default="", help="subjects, separated by commas; all if none is given")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--results", type=Path, help="a file for what came of each, as JSON")
    parser.add_argument("--names", default="", help="mutants, separated by commas; all if none is given")
    given = parser.parse_args(arguments)
    known = subjects()
    wanted = given.only.split(",") if given.only else list(known)
    if unknown := set(wanted) - known.keys():
        parser.error(f"no such subject: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    names = set(given.names.split(",")) if given.names else None
    sample = [each for each in drawn() if each.subject in wanted and (names is None or each.name in names)]
    preload()
    limits = {}
    for result in run([Task(known[name], 3600.0) for name in wanted if known[name].tests], given.jobs):
        name = result.task.subject.name
        say(f"{name}: its tests take {result.seconds:.0f} s")
        if result.status != 0:
            say(f"{result.output}\n{name}: its tests fail without any mutant")
            return 2
        limits[name] = 20.0 + 4 * result.seconds
    tasks, gone = tasks_of(sample, limits)
    results = []
    for result in run(tasks, given.jobs):
        results.append(result)
        mutant = result.task.mutant
        assert mutant is not None
        say(f"{len(results):3}/{len(tasks)} {mutant.name:24} {result.verdict:9} {result.seconds:4.0f} s {result.by}")
    if given.results is not None:
        given.results.write_text(json.dumps([as_json(each) for each in results], indent=1) + "\n")
    return report(wanted, results, gone)


def as_json(result: Result) -> dict[str, Any]:
    name = result.task.mutant.name if result.task.mutant else ""
    return {"name": name, "verdict": result.verdict, "seconds": round(result.seconds), "by": result.by}


def report(wanted: Sequence[str], results: Sequence[Result], gone: Sequence[Drawn]) -> int:
    """Print the tables, and return the exit status."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in wanted}
    for each in gone:
        counts[each.subject][GONE] += 1
    survived = []
    for result in results:
        counts[result.task.subject.name][result.verdict] += 1
        if result.verdict == SURVIVED and result.task.mutant is not None:
            survived.append(result.task.mutant)
    reasons = survivors()
    unexplained = [each for each in survived if each.name not in reasons]
    for title, mutants in (
        ("Gone: no such line any more", gone),
        ("Survived, for a reason", [each for each in survived if each.name in reasons]),
        ("Survived, and no reason is given", unexplained),
    ):
        if mutants:
            say(f"\n{title}:")
        for each in mutants:
            say(f"\n{each.name}  {each.module} {each.mutant.function}\n{lines('-', each.mutant.before)}")
            say(lines("+", each.mutant.after))
            if each.name in reasons:
                say(f"  {reasons[each.name]}")
    columns = (CAUGHT, TIMED_OUT, SURVIVED, GONE)
    say(f"\n{'subject':16} {''.join(f'{column:>11}' for column in columns)}      score")
    for name, count in counts.items():
        say(f"{name:16} {''.join(f'{count[column]:11}' for column in columns)} {score(count):9.1%}")
    total = sum(counts.values(), Counter())
    say(f"{'all':16} {''.join(f'{total[column]:11}' for column in columns)} {score(total):9.1%}")
    if score(total) < BAR:
        say(f"\nThe score is below {BAR:.0%}.")
    if unexplained:
        say(f"\n{len(unexplained)} survived without a reason: a test is to catch each, or survivors.toml says why not.")
    return int(score(total) < BAR or bool(unexplained))


def score(count: Counter[str]) -> float:
    """The share of mutants that were noticed."""
    noticed = count[CAUGHT] + count[TIMED_OUT]
    return noticed / ((noticed + count[SURVIVED]) or 1)


def lines(sign: str, text: str) -> str:
    return "\n".join(f"  {sign} {line}" for line in text.splitlines())


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
