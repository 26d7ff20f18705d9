"""Shared by `make demo` and `make up`: a folder with a warehouse and its own Airflow, connected to the sandbox."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from airflow_provider_impactcall.sandbox import Sandbox

ROOT = Path(__file__).resolve().parent.parent
AIRFLOW = Path(sys.executable).with_name("airflow")

USER = "demo-user"
PASSWORD = "demo-password"


@dataclass(frozen=True)
class Stage:
    """A folder under ``.demo`` that holds all files of one demonstration.

    :param settings: environment variables for Airflow, in addition to those that keep its files in the folder
    """

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)

    @classmethod
    def empty(cls, name: str) -> Stage:
        folder = ROOT / ".demo" / name
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "rejects").mkdir(parents=True)
        return cls(folder)

    @property
    def warehouse(self) -> Path:
        return self.folder / "warehouse.db"

    @property
    def rejects(self) -> Path:
        return self.folder / "rejects"

    @property
    def airflow_home(self) -> Path:
        return self.folder / "airflow"

    @property
    def airflow_log(self) -> Path:
        return self.folder / "airflow.log"

    @property
    def environment(self) -> dict[str, str]:
        """For Airflow's processes, without the settings of another Airflow in this shell."""
        own = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        return {
            **own,
            # Airflow starts its components by name.
            "PATH": os.pathsep.join((str(AIRFLOW.parent), os.environ.get("PATH", os.defpath))),
            "AIRFLOW_HOME": str(self.airflow_home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "AIRFLOW_VAR_IMPACTCALL_REJECTS_DIR": str(self.rejects),
            **self.settings,
        }

    def connections(self, sandbox: Sandbox) -> dict[str, Mapping[str, Any]]:
        return {
            "warehouse": {"conn_type": "sqlite", "host": str(self.warehouse)},
            "impactcall_default": {
                "conn_type": "impactcall",
                "host": f"http://{sandbox.host}",
                "port": sandbox.port,
                "login": USER,
                "password": PASSWORD,
            },
            "impact_api_default": {
                "conn_type": "http",
                "host": f"http://{sandbox.host}",
                "port": sandbox.port,
                "login": "IRdemo",
                "password": PASSWORD,
            },
        }

    def airflow(self, *arguments: str) -> bool:
        """Run a command of Airflow, and write its output to the log. False if the command failed."""
        with self.airflow_log.open("a", encoding="utf-8") as log:
            log.write(f"\n$ airflow {' '.join(arguments)}\n")
            log.flush()
            done = subprocess.run([AIRFLOW, *arguments], env=self.environment, stdout=log, stderr=log, check=False)
        return done.returncode == 0

    def airflow_or_exit(self, *arguments: str) -> None:
        """As :meth:`airflow`, for commands that fail only if the installation is broken."""
        if not self.airflow(*arguments):
            sys.exit(f"airflow {' '.join(arguments)} failed; see {shown(self.airflow_log)}")


def last_interval_end() -> datetime:
    """Six o'clock (UTC): the end of the newest whole interval of the sample DAGs' schedule."""
    return (datetime.now(UTC) - timedelta(hours=6)).replace(hour=6, minute=0, second=0, microsecond=0)


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))
