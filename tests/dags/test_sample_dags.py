"""The sample DAGs as they are, in a real Airflow, against a warehouse and the sandbox."""

from __future__ import annotations

import ast
import inspect
import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import airflow
import pytest

from airflow_provider_impactcall.delivery.outcome import ENDS
from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from airflow_provider_impactcall.integration.source import TaskInstance
from airflow_provider_impactcall.operators.impactcall import DeliverCallsOperator
from airflow_provider_impactcall.provider_info import CONNECTION_FIELDS, get_provider_info
from airflow_provider_impactcall.sandbox import Sandbox
from demo import warehouse
from tests import examples
from tests.real_airflow import LentAirflow, ResidentAirflow

DAGS = Path(__file__).resolve().parent.parent.parent / "dags"
UNTIL = datetime(2026, 11, 20, 6, tzinfo=UTC)
DAY, LOOK_BACK = timedelta(days=1), timedelta(days=3)


class Scene:
    """A real Airflow with the sample DAGs, a warehouse that ends at UNTIL, and the sandbox."""

    def __init__(self, airflow: LentAirflow, sandbox: Sandbox) -> None:
        folder = airflow.home
        self.sandbox = sandbox
        self.warehouse = folder / "warehouse.db"
        self.expected = warehouse.build(self.warehouse, UNTIL, calls=2_000)
        self.airflow = airflow
        self.environment = {
            "AIRFLOW_CONN_IMPACTCALL_DEFAULT": examples.connection(sandbox),
            "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(self.warehouse)}),
            "AIRFLOW_VAR_IMPACTCALL_REJECTS_DIR": str(folder),
        }

    def run(self, dag_id: str) -> list[dict[str, Any]]:
        """Run a DAG for the day that ends at UNTIL, with an empty ledger; the reports of its delivering tasks."""
        for file in self.airflow.home.glob("impactcall_ledger.db*"):
            file.unlink()
        return self.run_again(dag_id)

    def run_again(self, dag_id: str) -> list[dict[str, Any]]:
        """The same, with the ledger of the run before."""
        self.sandbox.reset()
        self.airflow.test_dag(dag_id, UNTIL.isoformat(), **self.environment)
        return [dict(report) for report in self.airflow.reports(dag_id).values()]

    def rows(self) -> list[dict[str, Any]]:
        """All rows, in the order of time."""
        with closing(sqlite3.connect(self.warehouse)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute("SELECT * FROM calls ORDER BY started_at_utc")]

    def good_rows(self, window: timedelta | None = None) -> dict[str, dict[str, Any]]:
        """The first row of each valid call of a window that ends at UNTIL, or of all, by its id."""
        since, until = (f"{moment:%Y-%m-%d %H:%M:%S}" for moment in (UNTIL - (window or DAY), UNTIL))
        found: dict[str, dict[str, Any]] = {}
        for row in self.rows():
            if is_good(row) and (window is None or since <= row["started_at_utc"] < until):
                found.setdefault(row["call_session_id"], row)
        return found

    def arrived(self) -> dict[str, dict[str, str]]:
        calls = {each["parameters"]["CallSessionId"]: dict(each["parameters"]) for each in self.sandbox.calls}
        assert len(calls) == len(self.sandbox.calls), "no call was processed twice"
        return calls


@pytest.fixture(scope="module")
def scene(resident: ResidentAirflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with (
        Sandbox(user=examples.LOGIN, password=examples.PASSWORD).in_thread() as sandbox,
        resident.lent(tmp_path_factory.mktemp("sample-dags"), DAGS.glob("*.py")) as airflow,
    ):
        yield Scene(airflow, sandbox)


def is_good(row: Mapping[str, Any]) -> bool:
    """Whether a row has none of the flaws of the demo's warehouse, told from the row itself."""
    return (
        str(row["campaign_id"]).isdecimal()
        and row["media_id"] is not None
        and bool(re.search(r"[+-]\d\d:\d\d$", row["event_date"]))
        and row["call_session_id"] is not None
        and not re.search("[a-z]", row["caller_id"])
        and row["called_phone_number"].startswith("+")
        and row["ivr_duration"] >= 0
        and row["talk_duration"] <= row["call_duration"]
        and row["call_status"] in warehouse.STATUSES
        and len(row["sub_id1"] or "") <= 64
    )


def as_sent(row: dict[str, Any]) -> dict[str, str]:
    """What has to arrive of a good row, worked out anew."""
    sent = {
        "CampaignId": row["campaign_id"],
        "MediaId": row["media_id"],
        "EventDate": row["event_date"],
        "ActionTrackerId": str(row["action_tracker_id"]),
        "CallProvider": row["call_provider"],
        "CallSessionId": row["call_session_id"],
        "CallerId": number(row["caller_id"], row["caller_country"]),
        "CalledPhoneNumber": number(row["called_phone_number"], row["called_country"]),
        "CallDuration": str(row["call_duration"]),
        "TalkDuration": str(row["talk_duration"]),
        "CallStatus": row["call_status"],
        "CallerPhoneNumberCountry": row["caller_country"],
        "CalledPhoneNumberCountry": row["called_country"],
        "SubId1": row["sub_id1"],
        "SubId2": row["sub_id2"],
        "ClickId": row["click_id"],
        "City": row["city"],
        "Region": row["region"],
        "Zip": row["zip"],
        "RepeatCaller": row["repeat_caller"],
        "CallRecording": row["recording_url"],
        "IvrDuration": str(row["ivr_duration"]),
        "Keypresses": row["keypresses"],
        "TrafficSource": row["traffic_source"],
        "SaleAmount": None if row["sale_amount"] is None else f"{row['sale_amount']}",
    }
    return {name: text for name, text in sent.items() if text is not None} | {"PhoneType": row["phone_type"]}


def differences(arrived: dict[str, dict[str, str]], rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What arrived other than it was to be sent, or was to be sent and did not arrive, by call and parameter."""
    wanted = {session_id: as_sent(row) for session_id, row in rows.items()}
    return {
        session_id: sorted(arrived.get(session_id, {}).items() ^ wanted.get(session_id, {}).items())
        for session_id in arrived.keys() | wanted.keys()
        if arrived.get(session_id) != wanted.get(session_id)
    }


def number(written: str, country: str) -> str:
    digits = re.sub(r"\D", "", written)
    if country != "GB":
        return digits[-10:]
    return f"+{digits}" if written.startswith("+") else f"+44{digits.removeprefix('0')}"


def total(reports: list[dict[str, Any]], name: str) -> int:
    return sum(report[name] for report in reports)


@pytest.mark.short
@pytest.mark.skipif(
    airflow.__version__.startswith("3.2."),
    reason="with the fastapi and cadwyn that PyPI has today, dags test of Airflow 3.2 loses the state of its own API",
)
def test_from_warehouse(scene: Scene) -> None:
    (report,) = scene.run("impactcall_from_warehouse")
    good = scene.good_rows(DAY + LOOK_BACK)
    assert differences(scene.arrived(), good) == {}
    found = {name: report[name] for name in ("rows", "delivered", "duplicate", "changed", "rejected")}
    assert found == {name: getattr(scene.expected, name) for name in found}
    (again,) = scene.run_again("impactcall_from_warehouse")
    assert scene.arrived() == {}, "a second run sends nothing twice"
    assert again["already_delivered"] == scene.expected.delivered
    lines = [json.loads(line) for line in Path(report["rejects"]).read_text().splitlines()]
    assert len(lines) == scene.expected.rejected
    kind = "dataset" if scene.airflow.query("SELECT 1 FROM sqlite_master WHERE name = 'dataset_event'") else "asset"
    of_events = f"SELECT extra FROM {kind}_event WHERE source_dag_id = ? ORDER BY id"
    events = [json.loads(extra) for (extra,) in scene.airflow.query(of_events, "impactcall_from_warehouse")]
    counts = {name: count for name, count in again.items() if name not in ("seconds", "rejects")}
    assert [event["delivered"] for event in events] == [scene.expected.delivered, 0], "of each run"
    assert events[-1].items() >= counts.items()
    assert {type(count) for name, count in events[-1].items() if name in counts} == {int}


def test_follow(scene: Scene) -> None:
    scene.run("impactcall_from_warehouse")
    arrived = scene.arrived()
    api = json.loads(examples.connection(scene.sandbox)) | {"login": "IRabc123", "extra": {}}
    environment = {**scene.environment, "AIRFLOW_CONN_IMPACT_API_DEFAULT": json.dumps(api)}

    def follow() -> dict[str, Any]:
        scene.airflow.test_dag("impactcall_follow", UNTIL.isoformat(), **environment)
        ((_, report),) = scene.airflow.reports("impactcall_follow").items()
        return dict(report)

    paying = sum(call.get("CallStatus") == "ANSWER" for call in arrived.values())
    first = follow()
    assert (first["delivered"], first["none"]) == (len(arrived), len(arrived) - paying)
    assert first["pending"] + first["ambiguous"] == paying
    assert first["pending"] > 0
    scene.sandbox.decide("APPROVED")
    second = follow()
    assert (second["approved"], second["pending"], second["none"]) == (first["pending"], 0, first["none"])


def test_taskflow(scene: Scene) -> None:
    scene.run("impactcall_taskflow")
    paid = {session_id: row for session_id, row in scene.good_rows(DAY).items() if row["talk_duration"] >= 30}
    assert paid
    assert differences(scene.arrived(), paid) == {}


def test_by_partner(scene: Scene) -> None:
    reports = scene.run("impactcall_by_partner")
    good = scene.good_rows(DAY)
    assert differences(scene.arrived(), good) == {}
    assert len(reports) == len({row["partner"] for row in good.values()}) > 1
    assert total(reports, "delivered") == len(good)
    with closing(sqlite3.connect(scene.airflow.home / "impactcall_ledger.db")) as connection:
        senders = [TaskInstance.of(source) for (source,) in connection.execute("SELECT source FROM impactcall_run")]
    assert {sender.map_index for sender in senders if sender is not None} == set(range(len(reports)))
    assert len(senders) == len(reports), "each run of the ledger is of the very instance that made it"


def test_backlog(scene: Scene) -> None:
    reports = scene.run("impactcall_backlog")
    rows, good = scene.rows(), scene.good_rows()
    assert differences(scene.arrived(), good) == {}
    assert len(good) > len(scene.good_rows(DAY + LOOK_BACK)), "nothing is left out, however old or new"
    assert len(reports) == len({row["started_at_utc"][:10] for row in rows}) > 4, "a task a day"
    assert (total(reports, "rows"), total(reports, "delivered")) == (len(rows), len(good))


@pytest.mark.parametrize("column", ["started_at_utc", "call_session_id"])
def test_the_backlog_notices_a_row_that_is_in_no_part(scene: Scene, column: str, tmp_path: Path) -> None:
    """A row without a time is in none; one without an id is in its day's, to be rejected there."""
    warehouse_file = tmp_path / "warehouse.db"
    with closing(sqlite3.connect(warehouse_file)) as connection:
        connection.execute("ATTACH ? AS whole", (str(scene.warehouse),))
        connection.execute("CREATE TABLE calls AS SELECT * FROM whole.calls ORDER BY started_at_utc DESC LIMIT 5")
        connection.execute(f"UPDATE calls SET {column} = NULL WHERE rowid = 3")
        connection.commit()
    changed = {"AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(warehouse_file)})}
    done = scene.airflow.run("dags", "test", "impactcall_backlog", f"{UNTIL:%Y-%m-%d}", **scene.environment | changed)
    missing = "The parts have 4 rows, and the backlog has 5"
    assert (missing in done.stdout) == (column == "started_at_utc"), done.stdout[-5000:]


def test_from_upstream(scene: Scene) -> None:
    (report,) = scene.run("impactcall_from_upstream")
    arrived = scene.arrived()
    assert (report["rows"], report["delivered"], report["filtered"], len(arrived)) == (3, 2, 1, 2)
    answered = arrived["CAL8154748ae6bd4e278a7cddd38a662f4f"]
    assert (answered["CallStatus"], answered["TalkDuration"], answered["CallDuration"]) == ("ANSWER", "184", "184")
    assert (answered["EventDate"], answered["CallerId"]) == ("2026-11-20T11:27:48-05:00", "2125550123")
    assert (answered["City"], answered["Region"], answered["MediaId"]) == ("New York", "NY", "20417")
    missed = arrived["CALb2b6fd0d7f2c4f1b8d5f0a1e6c3d9e42"]
    assert (missed["CallStatus"], missed["TalkDuration"]) == ("CANCEL", "0")


def test_after_delivery_by_hand(scene: Scene) -> None:
    """Without an event there is nothing to do, and that is no failure."""
    scene.airflow.succeed("dags", "test", "impactcall_after_delivery", UNTIL.isoformat(), **scene.environment)
    states = scene.airflow.query(
        "SELECT task_id, state FROM task_instance WHERE dag_id = ?", "impactcall_after_delivery"
    )
    assert dict(states) == {"delivered": "skipped", "refresh": "skipped"}


def test_the_one_that_listens_says_what_it_lacks(scene: Scene) -> None:
    """Airflow 2 has no watchers, and the group dev none of the providers; tests/events has it listen."""
    done = scene.airflow.run("dags", "test", "impactcall_on_message", UNTIL.isoformat(), **scene.environment)
    assert "needs Airflow 3.0 or newer and its providers common.messaging and redis" in done.stdout
    states = scene.airflow.query("SELECT task_id, state FROM task_instance WHERE dag_id = ?", "impactcall_on_message")
    assert dict(states) == {"listen": "failed"}


def said_and_done(file: Path) -> tuple[str, str]:
    """A sample's docstring, and its code without it."""
    tree = ast.parse(file.read_text())
    return ast.get_docstring(tree) or "", ast.unparse(ast.Module(tree.body[1:], []))


def is_meant(name: str, code: str) -> bool:
    """Whether what a docstring names is in the code, is another sample, or can be set as it says."""
    return (
        bool(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", code))
        or (name.endswith(".py") and (DAGS / name).exists())
        or name.partition("=")[0] in OPTIONS
        or name in CONNECTION_FIELDS
        or name in {f"[{section}] {key}" for section, about in CONFIG.items() for key in about["options"]}
        or name == ImpactCallHook.default_conn_name
        or name in EXAMPLES
        or name in ENDS
    )


CONFIG = get_provider_info()["config"]
OPTIONS = inspect.signature(DeliverCallsOperator.__init__).parameters
# Two ways to write a parameter as a column, and two in which databases write a query's parameter.
EXAMPLES = {"CampaignId", "campaign_id", ":name", "%(name)s", "$name", "?", "common.messaging", "sqs", "kafka"}
SAMPLES = [pytest.param(*said_and_done(file), id=file.stem) for file in sorted(DAGS.glob("*.py"))]


def test_each_sample_is_in_the_documentation() -> None:
    listed = re.findall(r"^\| `dags/(\w+\.py)` \|", (DAGS.parent / "docs" / "operators.md").read_text(), re.MULTILINE)
    assert sorted(listed) == [file.name for file in sorted(DAGS.glob("*.py"))]


@pytest.mark.parametrize(("said", "code"), SAMPLES)
def test_what_a_sample_says_is_to_be_changed_is_there(said: str, code: str) -> None:
    assert len(re.findall("^- ", said.partition("\nWHAT TO CHANGE\n")[2], flags=re.MULTILINE)) >= 4
    assert [name for name in re.findall("``(.+?)``", said) if not is_meant(name, code)] == []
    assert ("``:name``" in said) <= bool(re.search(r"\s:\w+", code))


@pytest.mark.parametrize(("said", "code"), SAMPLES)
def test_a_sample_runs_when_it_says(said: str, code: str) -> None:
    schedules = {
        "Every morning at six (UTC)": "schedule=CronDataIntervalTimetable('0 6 * * *', timezone='UTC')",
        "Every morning at seven (UTC)": "schedule='0 7 * * *'",
        "After each delivery": "schedule=[CALLS_AT_IMPACT]",
        "As soon as a call has ended": "schedule=[CALLS_THAT_ENDED] if CAN_LISTEN else None",
    }
    (schedule,) = [schedule for when, schedule in schedules.items() if said.startswith(when)] or ["schedule=None"]
    assert schedule in code


def test_the_sample_that_waits_and_the_one_that_delivers_mean_the_same_asset() -> None:
    assets = [
        re.findall(r"^CALLS_AT_IMPACT = (.+)$", (DAGS / f"impactcall_{name}.py").read_text(), flags=re.MULTILINE)
        for name in ("from_warehouse", "after_delivery")
    ]
    assert assets[0] == assets[1]
    assert len(assets[0]) == 1


@pytest.mark.parametrize(("said", "code"), SAMPLES)
def test_a_sample_tolerates_what_it_says(said: str, code: str) -> None:
    assert OPTIONS["max_rejected"].default == 0, "which they call the default"
    assert ("share of bad rows" in said) == ("max_rejected=0.05" in code)
    assert ("a count here" in said) == ("max_rejected=10" in code)
    assert ("more than 5 %" in said) <= ("max_rejected=0.05" in code)
