"""What imports cost in every worker and every parse of a DAG file: ``python -m benchmarks.importing``.

Measures the entry point's module, which Airflow reads as it starts, and each sample DAG in a process that has already
imported Airflow. Each is measured in its own interpreters, by their CPU.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.processes import ROOT, environment, told
from benchmarks.results import load_average, markdown_table, measured_on, write_section

DAGS = ROOT / "dags"
ENTRY_POINT = "airflow_provider_impactcall.provider_info"

# Airflow loads more modules for the first decorator, timetable and mapped task: any DAG file has these costs.
AIRFLOW = """
from airflow.providers.common.compat.sdk import DAG, BaseHook, BaseOperator, task
from airflow.timetables.interval import CronDataIntervalTimetable
from datetime import datetime
with DAG("anyone", schedule=CronDataIntervalTimetable("0 6 * * *", timezone="UTC"), start_date=datetime(2026, 1, 1)):
    @task
    def function(given): ...
    function.override(max_active_tis_per_dagrun=2).expand(given=[1])
"""
ASKED = """
import json, sys, time
import runpy
{before}
known, started, wall = set(sys.modules), time.process_time(), time.perf_counter()
{imported}
seconds, wall = time.process_time() - started, time.perf_counter() - wall
print(json.dumps(dict(cpu=seconds, wall=wall, modules=sorted(set(sys.modules) - known))))
"""


def imported(code: str, home: Path, before: str = "", options: tuple[str, ...] = ()) -> dict[str, Any]:
    """The cost of this code in a new interpreter: seconds of CPU and by the clock, and the modules that it loads."""
    asked = ASKED.format(before=before, imported=code)
    found: dict[str, Any] = told(*options, "-c", asked, env=environment(home))
    return found


def entry_point(home: Path) -> dict[str, Any]:
    """The entry point's module alone, without the imports of editable installs and site customisation."""
    return imported(f"sys.path.insert(0, {str(ROOT)!r}); import {ENTRY_POINT}", home, options=("-S", "-E"))


def parsed(dag: Path, home: Path) -> dict[str, Any]:
    """The cost of a DAG file after Airflow is imported."""
    return imported(f"runpy.run_path({str(dag)!r})", home, before=AIRFLOW)


def cells(title: str, found: list[dict[str, Any]]) -> list[str]:
    cpu, wall = ([each[kind] * 1000 for each in found] for kind in ("cpu", "wall"))
    spread = f"{median(cpu):,.1f} ({min(cpu):,.1f} to {max(cpu):,.1f})"
    return [title, spread, f"{median(wall):,.1f}", str(len(found[0]["modules"]))]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.importing", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="interpreters for each (default: %(default)s)")
    rounds = range(parser.parse_args().rounds)
    load, samples = load_average(), sorted(DAGS.glob("*.py"))
    with tempfile.TemporaryDirectory(prefix="impactcall-importing-") as folder:
        home = Path(folder)
        parsed(samples[0], home)  # Airflow writes its own settings, and Python its bytecode, the first time
        # One after the other, so that other work on the machine affects all equally.
        found = [
            {
                f"`{ENTRY_POINT}`": entry_point(home),
                **{f"`{dag.name}`": parsed(dag, home) for dag in samples},
                "Airflow itself, for comparison": imported(AIRFLOW, home),
            }
            for _ in rounds
        ]
    head = ("imported", "ms of CPU (least to most)", "ms by the clock", "modules")
    table = markdown_table(head, (cells(title, [each[title] for each in found]) for title in found[0]))
    command = f"python -m benchmarks.importing --rounds {len(rounds)}"
    write_section("What imports cost", f"{measured_on(command, load)}\n\n{table}")
    print(table)


if __name__ == "__main__":
    main()
