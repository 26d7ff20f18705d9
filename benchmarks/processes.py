"""Starts the new processes in which everything is measured: nothing is imported there, and Airflow is not set up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of a process with this Airflow home, without the settings of any other Airflow.

    :param more: further variables
    """
    others = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    own = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "PYTHONPATH": str(ROOT),
    }
    return others | own | more


def told(*arguments: str, env: Mapping[str, str], given: str | None = None, timeout: float | None = None) -> Any:
    """Run Python with these arguments, and parse the last line that it prints, as JSON.

    :param given: its standard input
    :param timeout: seconds; None for no limit
    :raises RuntimeError: if it failed
    """
    done = subprocess.run(
        [sys.executable, *arguments],
        env=env,
        input=given,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=timeout,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)[:200]}: ended with {done.returncode}: {done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])
