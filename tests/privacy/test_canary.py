"""Nothing private of a call, and no credential, is found in anything that a task of this package writes."""

from __future__ import annotations

import csv
import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

import pytest

from airflow_provider_impactcall.records.column_names import LOOK_LIKE_VALUES
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples
from tests.examples import call, connection
from tests.real_airflow import LentAirflow, ResidentAirflow

DELIVERING = [
    "from_upstream",
    "literal",
    "from_mapped",
    "expanded",
    "from_sql",
    "from_function",
    "from_function_literal",
    "from_function_expanded",
]
UPSTREAM = ["upstream", "upstream_mapped", "upstream_again"]

ROWS = [
    call("good"),
    call("bad", CampaignId=examples.CALLER, EventDate=examples.RECORDING, CallerId=f"{examples.CALLER}x"),
    call("refused", City="refused"),
    call("echoed", City="echoed"),
    call("lost", City="lost"),
]
# Each task with an input of its own meets these once; later calls are answered properly.
SCRIPT = ["400-echo", "reset-after-processing", "502", "429-bare", "500", "truncated-body", "drip"]


def canaries() -> dict[str, re.Pattern[str]]:
    number = examples.CALLER
    spaced = rf"{number[:3]}\D{{0,3}}{number[3:6]}\D{{0,3}}{number[6:]}"
    either = {
        "caller": [spaced],
        "recording": ["canary-recording", re.escape(quote(examples.RECORDING, safe=""))],
        "password": [re.escape(examples.PASSWORD), re.escape(quote(examples.PASSWORD)), "canary-p"],
    }
    return {name: re.compile("|".join(patterns)) for name, patterns in either.items()}


def found_in(text: str) -> list[str]:
    return [name for name, pattern in canaries().items() if pattern.search(text)]


class Run:
    """What the probe has left behind, by where."""

    def __init__(self, airflow: LentAirflow, folder: Path, log: str, rejects: str, sandbox: Sandbox) -> None:
        self.airflow = airflow
        self.folder = folder
        self.checked = ""
        self.exported: list[Path] = []
        self.log = log
        self.rejects = rejects
        self.sandbox = sandbox
        self.texts = airflow.stored_texts()

    def log_of(self, logger: str) -> str:
        return "\n".join(line for line in self.log.splitlines() if logger in line)


def fill_warehouse(path: Path) -> None:
    """Make a SQLite warehouse whose table ``calls`` has the rows."""
    with sqlite3.connect(path) as warehouse:
        columns = list(ROWS[0] | {"City": None})
        warehouse.execute(f"CREATE TABLE calls ({', '.join(columns)})")
        warehouse.executemany(
            f"INSERT INTO calls VALUES ({', '.join('?' * len(columns))})",
            [
                [(f"sql-{row['CallSessionId']}" if name == "CallSessionId" else row.get(name)) for name in columns]
                for row in ROWS
            ],
        )
    warehouse.close()


@pytest.fixture(scope="module")
def probe(resident: ResidentAirflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("probe")
    (folder / "rows.json").write_text(json.dumps(ROWS))
    fill_warehouse(folder / "warehouse.db")
    with Sandbox(user=examples.LOGIN, password=examples.PASSWORD).in_thread() as sandbox:
        environment = {
            "PROBE_FOLDER": str(folder),
            "AIRFLOW_CONN_IMPACTCALL_DEFAULT": connection(sandbox),
            "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(folder / "warehouse.db")}),
        }
        sandbox.script = SCRIPT * 3
        with resident.lent(folder, [Path(__file__).with_name("probe_dag.py")], **environment) as airflow:
            log = airflow.test_dag("probe", **environment)
            rejects = "".join(file.read_text() for file in folder.glob("rejects-*.jsonl"))
            run = Run(airflow, folder, log, rejects, sandbox)
            run.checked, run.exported = _looked_at(airflow, folder, environment)
            yield run


def _looked_at(airflow: LentAirflow, folder: Path, environment: dict[str, str]) -> tuple[str, list[Path]]:
    """What the commands print of inputs of every kind, and the files that they write."""
    values = list(dict.fromkeys(map(str, ROWS[0].values())))
    with (folder / "headerless.csv").open("w", newline="") as file:
        csv.writer(file).writerows([values, values])
    spelled = f"({examples.CALLER[:3]}) {examples.CALLER[3:6]}-{examples.CALLER[6:]}"
    repeating = call("repeating", SubId1=spelled, SubId2=examples.RECORDING.removeprefix("https://"), City=spelled)
    (folder / "keys.jsonl").write_text(json.dumps({**repeating, examples.CALLER: 1, examples.RECORDING: 2}) + "\n")
    inputs = ("headerless.csv", "keys.jsonl")
    queries = ("SELECT * FROM calls", "SELECT CAST(x'ff' || CallerId AS TEXT) AS a FROM calls")
    exported = [folder / "exported.csv", folder / "exported.jsonl"]
    said = commands(
        airflow,
        environment,
        *(["check", str(folder / name)] for name in inputs),
        *(["check", str(folder / name), "--json"] for name in inputs),
        *(["check", "--sql-conn-id", "warehouse", "--sql", query, "--json"] for query in queries),
        *(["export", str(file)] for file in exported),
    )
    return said, exported


ONE_AFTER_THE_OTHER = """
import json, sys
from contextlib import suppress
from airflow_provider_impactcall.cli.__main__ import main
for arguments in json.load(sys.stdin):
    with suppress(SystemExit):
        main(arguments)
"""


def commands(airflow: LentAirflow, environment: dict[str, str], *each: Sequence[str]) -> str:
    """What some of the package's commands print: in one process, as each begins with seconds of imports."""
    done = subprocess.run(
        [sys.executable, "-c", ONE_AFTER_THE_OTHER],
        input=json.dumps(each),
        env=airflow.environment(**environment),
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return done.stdout + done.stderr


def test_the_search_finds_what_upstream_tasks_wrote(probe: Run) -> None:
    """The positive control: the very same search, where the canaries have to be."""
    assert set(found_in(json.dumps(ROWS))) >= {"caller", "recording"}
    assert found_in(str(examples.connection(probe.sandbox))) == ["password"]
    assert set(found_in(probe.texts["xcom"])) >= {"caller", "recording"}
    assert set(found_in(probe.log)) >= {"caller", "recording"}


def test_every_way_in_was_used_and_met_faults(probe: Run) -> None:
    reports = probe.airflow.reports("probe")
    assert {task_id for task_id, _ in reports} == set(DELIVERING)
    assert sum(report["delivered"] for report in reports.values()) > 0
    assert sum(report["unknown"] for report in reports.values()) > 0
    assert all(report["rejected"] for report in reports.values())
    for report in reports.values():
        assert report["rows"] == sum(
            value for name, value in report.items() if name not in ("rows", "seconds", "rejects")
        )
    assert not probe.sandbox.script, "every scripted fault was met"


def test_not_in_rendered_templates(probe: Run) -> None:
    stored = probe.airflow.query(
        "SELECT task_id, rendered_fields FROM rendered_task_instance_fields WHERE dag_id = 'probe'"
    )
    delivering = [fields for task_id, fields in stored if task_id in DELIVERING]
    assert len(delivering) == len(DELIVERING) + 2, "two tasks are mapped twice"
    assert [found_in(fields) for fields in delivering] == [[]] * len(delivering)


def test_not_in_the_serialized_dag(probe: Run) -> None:
    serialized = probe.texts["serialized_dag"]
    assert "from_function_literal" in serialized, "the search looks at the right text"
    assert found_in(serialized) == []


def test_not_in_our_xcom(probe: Run) -> None:
    stored = probe.airflow.query("SELECT task_id, key, value FROM xcom WHERE dag_id = 'probe'")
    ours = [value for task_id, _, value in stored if task_id in DELIVERING]
    assert len(ours) >= len(DELIVERING)
    assert [found_in(str(value)) for value in ours] == [[]] * len(ours)


def test_not_in_an_assets_event(probe: Run) -> None:
    table = "dataset_event" if "dataset_event" in probe.texts else "asset_event"
    [(event,)] = probe.airflow.query(f"SELECT extra FROM {table} WHERE source_dag_id = 'probe'")
    report = probe.airflow.reports("probe")["from_sql", -1]
    counts = {name: value for name, value in report.items() if name not in ("seconds", "rejects")}
    assert json.loads(event).items() >= counts.items(), "the search looks at the right text"
    assert found_in(event) == []


def test_nowhere_else_in_the_metadata_database(probe: Run) -> None:
    holders = {table for table, text in probe.texts.items() if found_in(text)}
    assert holders == {"xcom"}, "only what upstream tasks returned, which is Airflow's own doing"


def test_not_in_the_ledger(probe: Run) -> None:
    files = list(probe.airflow.home.glob("impactcall_ledger.db*"))
    ledger = "".join(file.read_bytes().decode("latin-1") for file in files)
    assert "ExampleVendor" in ledger, "the search looks at the right files"
    assert found_in(ledger) == []


def test_not_in_what_this_package_logs_at_debug(probe: Run) -> None:
    ours = probe.log_of("airflow_provider_impactcall")
    assert "impact.com calls: rows=" in ours
    assert found_in(ours) == []
    for client in ("urllib3", "aiohttp", "asyncio"):
        assert found_in(probe.log_of(client)) == []


def test_no_other_log_line_than_airflows_of_upstream_results(probe: Run) -> None:
    """Airflow logs what an upstream task returns, and at DEBUG how its supervisor hands XComs and secrets on."""
    airflows_own = re.compile(r"Returned value was|XCom|MaskSecret|supervisor|Sending request|Received message")
    assert [line[:80] for line in probe.log.splitlines() if found_in(line) and not airflows_own.search(line)] == []


def test_what_the_tasks_left_behind_is_their_users_alone(probe: Run) -> None:
    made = [*probe.airflow.home.glob("impactcall_ledger.db*"), *probe.folder.glob("rejects-*.jsonl"), *probe.exported]
    assert len(made) > len(DELIVERING)
    assert {file.name: oct(file.stat().st_mode & 0o777) for file in made if file.stat().st_mode & 0o777 != 0o600} == {}


def test_not_in_what_check_gives_out(probe: Run) -> None:
    assert "would_send" in probe.checked
    assert LOOK_LIKE_VALUES in probe.checked
    assert found_in(probe.checked) == []


def test_not_in_what_is_exported(probe: Run) -> None:
    exported = "".join(file.read_text() for file in probe.exported)
    assert "upstream-good" in exported
    assert found_in(exported) == []


def test_not_in_the_rejects_files(probe: Run) -> None:
    lines = [json.loads(line) for line in probe.rejects.splitlines()]
    assert "upstream-bad" in {line["CallSessionId"] for line in lines}
    echoed = [line for line in lines if line["reason_code"] == "refused"]
    assert len(echoed) == 3, "one for each 400 whose text quotes the call"
    assert found_in(probe.rejects) == []
