"""What imports cost, of which every worker and every parse of a DAG file pays: ``python -m benchmarks.importing``.

The entry point's module, which Airflow reads as it starts, and each sample DAG on top of an Airflow that is imported
already. Each is measured in interpreters of its own, by their CPU.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DAGS = ROOT / "dags"
ENTRY_POINT = "airflow_provider_impactcall.provider_info"

# What a DAG file of anyone imports and does: Airflow loads its own providers for the first task that is made.
AIRFLOW = """
from airflow.providers.common.compat.sdk import DAG, BaseHook, BaseOperator, task
from airflow.timetables.interval import CronDataIntervalTimetable
with DAG("anyone", schedule=None):
    @task
    def function(): ...
    BaseOperator.partial(task_id="mapped", max_active_tis_per_dagrun=2).expand(doc=function())
"""
ASKED = """
import sys, time
{before}
known, started, wall = set(sys.modules), time.process_time(), time.perf_counter()
{imported}
seconds, wall = time.process_time() - started, time.perf_counter() - wall
import json
print(json.dumps(dict(cpu=seconds, wall=wall, modules=sorted(set(sys.modules) - known))))
"""


def imported(code: str, home: Path, before: str = "", options: tuple[str, ...] = ()) -> dict[str, Any]:
    """What running this code costs in a new interpreter: seconds of CPU and by the clock, and the modules it loads."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environment |= {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *options, "-c", ASKED.format(before=before, imported=code)],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def entry_point(home: Path) -> dict[str, Any]:
    """Alone, without what editable installs and site customisation import."""
    return imported(f"sys.path.insert(0, {str(ROOT)!r}); import {ENTRY_POINT}", home, options=("-S", "-E"))


def parsed(dag: Path, home: Path) -> dict[str, Any]:
    """A DAG file, once Airflow is imported."""
    code = f"import runpy; runpy.run_path({str(dag)!r})"
    return imported(code, home, before=AIRFLOW)


def line(title: str, found: list[dict[str, Any]]) -> str:
    cpu, wall = ([each[kind] * 1000 for each in found] for kind in ("cpu", "wall"))
    return (
        f"{title:<32} {median(cpu):>7.1f} ms of CPU ({min(cpu):.1f} to {max(cpu):.1f})   "
        f"{median(wall):>7.1f} ms by the clock   {len(found[0]['modules']):>4} modules"
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.importing", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="interpreters for each (default: %(default)s)")
    rounds = range(parser.parse_args().rounds)
    with tempfile.TemporaryDirectory(prefix="impactcall-importing-") as folder:
        home = Path(folder)
        print(line(ENTRY_POINT.rpartition(".")[2], [entry_point(home) for _ in rounds]), flush=True)
        samples = sorted(DAGS.glob("*.py"))
        # In turn, so that other work on the machine falls on all alike.
        found = [{dag: parsed(dag, home) for dag in samples} for _ in rounds]
        for dag in samples:
            print(line(dag.stem, [each[dag] for each in found]), flush=True)
        print(line("Airflow itself, for comparison", [imported(AIRFLOW, home) for _ in rounds]))


if __name__ == "__main__":
    main()
