"""A real Airflow, run by its own commands in a home of its own: what a task leaves behind can be searched there."""

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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Timer
from typing import Any

LONGEST_COMMAND = 600.0
AIRFLOW = Path(sys.executable).with_name("airflow")
_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class RealAirflow:
    """An Airflow home with a migrated SQLite metadata database.

    :param home: the folder
    :param dags: its DAG files
    """

    home: Path
    dags: Path

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """One of Airflow's commands; its log, both streams in one, is the result's ``stdout``."""
        return subprocess.run(
            [AIRFLOW, *arguments],
            env=self.environment(**environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LONGEST_COMMAND,
            check=False,
        )

    def succeed(self, *arguments: str, **environment: str) -> str:
        """Run one of Airflow's commands to its end, which has to be a good one, and return its log."""
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
        log = self.succeed("dags", "reserialize", **environment)
        assert "Failed to import" not in log, log

    def migrate(self, **environment: str) -> None:
        """Create the metadata database: in SQLite by a copy, as each Airflow command takes seconds."""
        if "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" not in environment:
            shutil.copy(_migrated(), self.home / "airflow.db")
        else:
            self.succeed("db", "migrate", **environment)

    def test_dag(self, dag_id: str, *arguments: str, **environment: str) -> str:
        """Run a DAG to its end, which has to be a good one, and return its log."""
        log = self.succeed("dags", "test", dag_id, *arguments, **environment)
        states = self.query("SELECT task_id, map_index, state FROM task_instance WHERE dag_id = ?", dag_id)
        failed = [row for row in states if row[2] != "success"]
        assert not failed, f"{failed}\n{log[-5000:]}"
        return log

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Ask the metadata database."""
        connection = sqlite3.connect(self.home / "airflow.db")
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
    """Runs its commands in one process, which they change for each other as little as tasks of one worker do.

    :param process: runs :mod:`tests.airflow_commands`
    """

    process: subprocess.Popen[str]

    @classmethod
    @contextmanager
    def started(cls, home: Path, dags: Path) -> Iterator[ResidentAirflow]:
        command = (sys.executable, "-m", "tests.airflow_commands")
        with subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            yield cls(home, dags, process)

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        stdin, stdout, log = self.process.stdin, self.process.stdout, self.home / "command.log"
        assert stdin is not None
        assert stdout is not None
        log.touch()
        watchdog = Timer(LONGEST_COMMAND, self.process.kill)
        watchdog.start()
        try:
            print(json.dumps([arguments, self.environment(**environment), str(log)]), file=stdin, flush=True)
            status = stdout.readline()
        finally:
            watchdog.cancel()
        assert status, f"the process ended within {arguments}\n{log.read_text()[-5000:]}"
        return subprocess.CompletedProcess(arguments, int(status), log.read_text())


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
