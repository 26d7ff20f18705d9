"""`make demo`: run the warehouse sample DAG in a real Airflow against the sandbox, and compare both sides' counts.

Exits with 1 if Airflow's report, the endpoint's own counts and the expected counts of the warehouse disagree.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from airflow_provider_impactcall.sandbox import Sandbox
from demo import warehouse
from demo.stage import PASSWORD, USER, Stage, last_interval_end, shown

DAG_ID = "impactcall_from_warehouse"
COUNTS = (
    "rows",
    "delivered",
    "already_delivered",
    "changed",
    "duplicate",
    "filtered",
    "rejected",
    "unknown",
    "not_sent",
)
# A busy endpoint sometimes refuses requests. A refusal must not lose a call, and no call may be sent twice.
FAULTS = {"429-retry-after": 0.0005, "503": 0.0005}


@dataclass(frozen=True)
class Endpoint:
    """The endpoint's own counts."""

    calls: int
    distinct_calls: int
    refused: int


def main() -> int:
    stage = Stage.empty("run")
    until = last_interval_end()
    with step("Building a warehouse of calls"):
        expected = warehouse.build(stage.warehouse, until)
    with Sandbox(user=USER, password=PASSWORD, faults=FAULTS).in_thread() as sandbox:
        connections = stage.connections(sandbox)
        stage = replace(
            stage, settings={f"AIRFLOW_CONN_{name.upper()}": json.dumps(value) for name, value in connections.items()}
        )
        with step("Preparing Airflow"):
            stage.airflow_or_exit("db", "migrate")
            stage.airflow_or_exit("dags", "reserialize")
        with step(f"Running the DAG {DAG_ID}"):
            succeeded = stage.airflow("dags", "test", DAG_ID, until.isoformat())
        endpoint = ask(sandbox.url)
    report = read_report(stage)
    if report is None:
        print(f"The DAG run has no report; see {shown(stage.airflow_log)}")
        return 1
    reasons = read_reasons(report)
    show(stage, until, report, reasons, expected, endpoint)
    differences = list(compare(report, reasons, expected, endpoint))
    if not succeeded:
        differences.append("DIFFERENT: the DAG run failed, and should succeed")
    print("\n".join(differences) or "Airflow, the endpoint and the warehouse agree on every count.")
    return 1 if differences else 0


@contextmanager
def step(title: str) -> Iterator[None]:
    print(f"{title} ...", end=" ", flush=True)
    started = time.monotonic()
    yield
    print(f"{time.monotonic() - started:.0f} s", flush=True)


def ask(url: str) -> Endpoint:
    with urlopen(f"{url}/calls") as answer:
        calls = [call["parameters"] for call in json.load(answer)]
    with urlopen(f"{url}/counts") as answer:
        counts = json.load(answer)
    keys = {(call["CampaignId"], call["CallProvider"], call["CallSessionId"]) for call in calls}
    return Endpoint(calls=len(calls), distinct_calls=len(keys), refused=counts["requests"] - len(calls))


def read_report(stage: Stage) -> dict[str, Any] | None:
    """The task's XCom, from Airflow's own database: Airflow has no command that shows it."""
    database = sqlite3.connect(stage.airflow_home / "airflow.db")
    row = database.execute(
        "SELECT value FROM xcom WHERE dag_id = ? AND key IN ('return_value', 'report')", (DAG_ID,)
    ).fetchone()
    database.close()
    return json.loads(row[0]) if row else None


def read_reasons(report: dict[str, Any]) -> Counter[str]:
    """How many rows were rejected for each reason, from the file that the task wrote."""
    lines = Path(report["rejects"]).read_text(encoding="utf-8").splitlines()
    return Counter(reason for line in lines for reason in json.loads(line)["reasons"])


def show(
    stage: Stage,
    until: datetime,
    report: dict[str, Any],
    reasons: Counter[str],
    expected: warehouse.Expected,
    endpoint: Endpoint,
) -> None:
    print(f"\nCalls of the four days before {until:%Y-%m-%d %H:%M} UTC      Airflow   expected")
    for name in COUNTS:
        if report[name] or hasattr(expected, name):
            print(f"  {name.replace('_', ' '):<42} {report[name]:>9,}  {getattr(expected, name, 0):>9,}")
    print(f"\nRejected, and why ({shown(Path(report['rejects']))})")
    for reason, count in sorted(reasons.items()):
        print(f"  {count:>3}  {reason}")
    print("\nWhat the endpoint says")
    print(f"  calls that it processed                    {endpoint.calls:>9,}")
    print(f"  different calls among them                 {endpoint.distinct_calls:>9,}")
    print(f"  requests that it asked to send again later {endpoint.refused:>9,}")
    print(f"\nDelivered in {report['seconds']:.1f} s. Airflow's log: {shown(stage.airflow_log)}\n")


def compare(
    report: dict[str, Any], reasons: Counter[str], expected: warehouse.Expected, endpoint: Endpoint
) -> Iterator[str]:
    for name in COUNTS:
        if report[name] != (wanted := getattr(expected, name, 0)):
            yield f"DIFFERENT: {name} is {report[name]:,}, and should be {wanted:,}"
    if not endpoint.calls == endpoint.distinct_calls == report["delivered"]:
        yield "DIFFERENT: the endpoint did not process each delivered call exactly once"
    found: Counter[str] = Counter()
    for reason, count in reasons.items():
        found[reason.partition(" ")[0]] += count
    if found != expected.rejected_for:
        yield f"DIFFERENT: rejected for {dict(found)}, and should be for {dict(expected.rejected_for)}"


if __name__ == "__main__":
    sys.exit(main())
