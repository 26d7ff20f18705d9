"""A real Airflow, run by its own commands in its own home, where tests search for what a task leaves behind."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from threading import Timer
from typing import Any

AIRFLOW = Path(sys.executable).with_name("airflow")
_ROOT = Path(__file__).resolve().parent.parent

_LOGGING = {"AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG"}
if version("apache-airflow").startswith("2."):
    # By itself it names the file of each line, and not the logger, by which tests/privacy tells lines apart.
    _LOGGING["AIRFLOW__LOGGING__COLORED_CONSOLE_LOG"] = "False"
    _LOGGING["AIRFLOW__LOGGING__LOG_FORMAT"] = "[%(asctime)s] {%(name)s:%(lineno)d} %(levelname)s - %(message)s"


@dataclass(frozen=True)
class RealAirflow:
    """An Airflow home with a migrated SQLite metadata database.

    :param home: the folder
    :param dags: its DAG files
    :param longest_command: seconds after which a command is ended
    """

    home: Path
    dags: Path
    longest_command: float = field(default=600.0, kw_only=True)

    @property
    def metadata(self) -> Path:
        """The file of its metadata database."""
        return self.home / "airflow.db"

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """One of Airflow's commands; its log, both streams in one, is the result's ``stdout``."""
        return subprocess.run(
            [AIRFLOW, *arguments],
            env=self.environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=self.longest_command,
            check=False,
        )

    def succeed(self, *arguments: str, **environment: str) -> str:
        """Run one of Airflow's commands, assert that it succeeds, and return its log."""
        done = self.run(*arguments, **environment)
        assert done.returncode == 0, done.stdout[-5000:]
        return done.stdout

    def environment(self, **more: str) -> dict[str, str]:
        """The environment of a command of this Airflow."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
            # Airflow starts its parts by name.
            "PATH": os.pathsep.join((str(AIRFLOW.parent), os.environ.get("PATH", os.defpath))),
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "PYTHONPATH": str(_ROOT),
            **more,
        }

    def prepare(self, **environment: str) -> None:
        """Create the metadata database and put the DAG files in it."""
        self.migrate(**environment)
        self.serialize(**environment)

    def serialize(self, **environment: str) -> None:
        """Put the DAG files in the metadata database, and assert that each can be imported."""
        log = self.succeed("dags", "reserialize", **environment)
        assert "Failed to import" not in log, log

    def migrate(self, **environment: str) -> None:
        """Create the metadata database. For SQLite, copy one, as each Airflow command takes seconds."""
        if "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" not in environment:
            shutil.copy(_migrated(), self.metadata)
        else:
            self.succeed("db", "migrate", **environment)

    def test_dag(self, dag_id: str, *arguments: str, **environment: str) -> str:
        """Run a DAG, assert that it succeeds, and return its log."""
        log = self.succeed("dags", "test", dag_id, *arguments, **environment)
        states = self.query("SELECT task_id, map_index, state FROM task_instance WHERE dag_id = ?", dag_id)
        failed = [row for row in states if row[2] != "success"]
        assert not failed, f"{failed}\n{log[-5000:]}"
        return log

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Ask the metadata database."""
        connection = sqlite3.connect(self.metadata)
        try:
            return connection.execute(sql, parameters).fetchall()
        finally:
            connection.close()

    def reports(self, dag_id: str) -> dict[tuple[str, int], Mapping[str, Any]]:
        """What the delivering tasks of a DAG returned, by task id and map index."""
        rows = self.query(
            "SELECT task_id, map_index, value FROM xcom WHERE dag_id = ? AND key = 'return_value'", dag_id
        )
        values = {(task_id, map_index): json.loads(value) for task_id, map_index, value in rows}
        return {task: value for task, value in values.items() if isinstance(value, dict) and "delivered" in value}

    def stored_texts(self) -> dict[str, str]:
        """Every text of the metadata database, decompressed where it is compressed, by table."""
        texts = {}
        for (table,) in self.query("SELECT name FROM sqlite_master WHERE type = 'table'"):
            cells = [cell for row in self.query(f'SELECT * FROM "{table}"') for cell in row]
            texts[table] = "\n".join(_text(cell) for cell in cells)
        return texts


@dataclass(frozen=True)
class ResidentAirflow(RealAirflow):
    """Runs its commands in one process. They affect each other as little as the tasks of one worker do.

    In a process of its own, a command takes 3 s to begin, and a command that runs tasks 20 s more: each process makes
    Airflow's API, which tasks talk to, anew. So one process serves all tests, at log level DEBUG for the test that
    searches its logs.

    :param process: the process that runs :mod:`tests.airflow_commands`
    """

    process: subprocess.Popen[str]

    @classmethod
    @contextmanager
    def started(cls, home: Path, **options: float) -> Iterator[ResidentAirflow]:
        """Start the process. The metadata database is not made yet."""
        command = (sys.executable, "-m", "tests.airflow_commands")
        (home / "dags").mkdir()
        with subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield cls(home, home / "dags", process, **options)
            finally:
                process.kill()  # An orderly end takes seconds, and nothing is kept.

    @contextmanager
    def lent(self, home: Path, dags: Iterable[Path], **environment: str) -> Iterator[LentAirflow]:
        """This Airflow, with a ledger's home and DAG files that only the borrower has.

        :param home: the folder
        :param dags: the DAG files, which are copied
        :param environment: variables that the DAG files need to be imported
        """
        with tempfile.TemporaryDirectory(dir=self.dags) as folder:
            for file in dags:
                shutil.copy(file, folder)
            airflow = LentAirflow(home, self.dags, self)
            airflow.serialize(**environment)
            yield airflow

    def environment(self, **more: str) -> dict[str, str]:
        return super().environment(**{**_LOGGING, **more})

    def migrate(self, **environment: str) -> None:
        self.succeed("db", "migrate", **environment)

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        stdin, stdout, log = self.process.stdin, self.process.stdout, self.home / "command.log"
        assert stdin is not None
        assert stdout is not None
        log.touch()
        watchdog = Timer(self.longest_command, self.process.kill)
        watchdog.start()
        try:
            print(json.dumps([arguments, self.environment(**environment), str(log)]), file=stdin, flush=True)
            status = stdout.readline()
        finally:
            watchdog.cancel()
        assert status, f"the process ended within {arguments}\n{log.read_text()[-5000:]}"
        return subprocess.CompletedProcess(arguments, int(status), log.read_text())


@dataclass(frozen=True)
class LentAirflow(RealAirflow):
    """A resident Airflow in the hands of one borrower.

    :param resident: the owner of the process and the metadata database
    """

    resident: ResidentAirflow

    @property
    def metadata(self) -> Path:
        return self.resident.metadata

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return self.resident.run(*arguments, **{"AIRFLOW_HOME": str(self.home), **environment})


@cache
def _migrated() -> Path:
    """A metadata database as Airflow makes it, for all homes of this test run."""
    home = Path(tempfile.mkdtemp(prefix="impactcall-migrated-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    RealAirflow(home, home / "dags").succeed("db", "migrate")
    return home / "airflow.db"


def _text(cell: Any) -> str:
    if not isinstance(cell, bytes):
        return str(cell)
    try:
        return zlib.decompress(cell).decode()
    except zlib.error:
        return cell.decode(errors="replace")
