"""The sample DAGs, scheduled: as they stand on SQLite, and with what they say is to be changed on PostgreSQL.

They read the same calls at the same time, in several processes and by several queries: each call arrives once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from demo import warehouse
from demo.stage import last_interval_end
from tests.dags.test_sample_dags import is_good
from tests.databases import as_connection, empty_database
from tests.e2e.scene import endpoint
from tests.e2e.standalone import Standalone
from tests.examples import CALLER, RECORDING, session_ids

pytestmark = pytest.mark.e2e

DAY, LOOK_BACK, PAID_SECONDS = timedelta(days=1), timedelta(days=3), 30
FROM_WAREHOUSE, BY_PARTNER, TASKFLOW = "impactcall_from_warehouse", "impactcall_by_partner", "impactcall_taskflow"
FROM_UPSTREAM, BACKLOG = "impactcall_from_upstream", "impactcall_backlog"
WITH_APPROVAL = "impactcall_with_approval"


class Warehouse:
    """The demonstration's warehouse, whose callers in the United States all have the number that no page may show.

    :param database: an empty database for it
    :param file: where the demonstration writes its SQLite file
    :param seed: another one, other calls
    """

    def __init__(self, database: sa.Engine, file: Path, seed: int) -> None:
        self.expected = warehouse.build(file, last_interval_end(), calls=1_000, seed=seed)
        original = sa.create_engine(f"sqlite:///{file}")
        calls = sa.Table("calls", sa.MetaData(), autoload_with=original)
        with original.connect() as connection:
            rows = [dict(row) for row in connection.execute(calls.select()).mappings()]
        original.dispose()
        self.rows = [{**row, **private(row)} for row in rows]
        with database.begin() as connection:
            calls.drop(connection, checkfirst=True)
            calls.create(connection)
            connection.execute(calls.insert(), self.rows)
        database.dispose()

    def read(self, run: Mapping[str, Any], look_back: timedelta = timedelta(0)) -> list[dict[str, Any]]:
        """The rows that a run reads."""
        since, until = (datetime.fromisoformat(run[f"data_interval_{edge}"]) for edge in ("start", "end"))
        first, after = (f"{moment:%Y-%m-%d %H:%M:%S}" for moment in (since - look_back, until))
        return [row for row in self.rows if first <= row["started_at_utc"] < after]


def private(row: Mapping[str, Any]) -> dict[str, str]:
    found = {}
    if row["caller_country"] == "US" and is_good(row):
        found["caller_id"] = CALLER
    if row["recording_url"]:
        found["recording_url"] = RECORDING
    return found


def good_ids(rows: list[dict[str, Any]]) -> set[str]:
    return {row["call_session_id"] for row in rows if is_good(row)}


def deliver_all(running: Standalone, calls: Warehouse, suffix: str) -> None:
    """Switch the samples on, compare all counts, and clear them: nothing is left to send."""
    names = [f"{name}{suffix}" for name in (FROM_WAREHOUSE, BY_PARTNER, TASKFLOW)]
    with endpoint(0.05, running.endpoint_port) as sandbox:
        for name in names:
            running.switch_on(name)
        runs = [the_run(running, name) for name in names]
        reports = [running.reports(run["dag_id"], run["dag_run_id"]) for run in runs]
        read = [calls.read(runs[0], LOOK_BACK), calls.read(runs[1]), calls.read(runs[2])]
        read[2] = [row for row in read[2] if row["talk_duration"] >= PAID_SECONDS]
        assert session_ids(sandbox) == sorted(good_ids(read[0]))
        backlog = f"{BACKLOG}{suffix}"
        running.switch_on(backlog)
        running.trigger(backlog, "2026-11-20")
        running.wait_for_run(backlog, "2026-11-20")
        assert session_ids(sandbox) == sorted(good_ids(calls.rows)), "what no other sample has read, and only that"
        parts = running.reports(backlog, "2026-11-20")
        for run in runs:
            running.clear(run["dag_id"], run["dag_run_id"])
        for run in runs:
            running.wait_for_run(run["dag_id"], run["dag_run_id"])
        again = [running.reports(run["dag_id"], run["dag_run_id"]) for run in runs]
        assert len(session_ids(sandbox)) == sandbox.counts["requests"], "nothing was sent again, nor anything else"
    assert len(reports[1]) == len({row["partner"] for row in read[1]}) > 1, "a task a partner"
    assert sum(total(each, "delivered") for each in (*reports, parts)) == len(session_ids(sandbox))
    assert total(parts, "rows") == len(calls.rows)
    assert len(parts) == len({row["started_at_utc"][:10] for row in calls.rows}) > 4, "a task a day"
    for rows, first, second in zip(read, reports, again, strict=True):
        assert total(first, "rows") == total(second, "rows") == len(rows)
        good = sum(map(is_good, rows))
        # Which of two versions of a call is delivered, the databases decide; the other counts as changed.
        assert total(first, "changed") <= 2 * calls.expected.changed
        assert sum(total(first, name) for name in ("delivered", "already_delivered", "changed", "duplicate")) == good
        assert sum(total(second, name) for name in ("already_delivered", "changed", "duplicate")) == good
        assert total(first, "rejected") == total(second, "rejected") == len(rows) - good


def the_run(running: Standalone, dag_id: str) -> Mapping[str, Any]:
    """The first run that the scheduler made of a DAG, once it has ended well. At 06:00 UTC another is due."""
    running.wait_until(lambda: running.runs(dag_id))
    run = running.runs(dag_id)[0]
    running.wait_for_run(dag_id, run["dag_run_id"])
    return run


def total(reports: list[Mapping[str, Any]], name: str) -> int:
    return sum(report[name] for report in reports)


def test_as_they_stand(running: Standalone, tmp_path: Path) -> None:
    file = tmp_path / "warehouse.db"
    calls = Warehouse(sa.create_engine(f"sqlite:///{file}"), file, seed=7)
    running.connect("warehouse", conn_type="sqlite", host=str(file))
    deliver_all(running, calls, "")


def test_as_changed_for_postgresql(running: Standalone, tmp_path: Path, postgres: sa.engine.URL) -> None:
    database = empty_database(postgres)
    calls = Warehouse(sa.create_engine(database), tmp_path / "warehouse.db", seed=8)
    running.connect("warehouse_postgresql", **json.loads(as_connection(database)))
    deliver_all(running, calls, "_postgresql")


def test_from_upstream_as_it_stands(running: Standalone) -> None:
    with endpoint(0.0, running.endpoint_port) as sandbox:
        running.switch_on(FROM_UPSTREAM)
        running.trigger(FROM_UPSTREAM, "2026-11-20")
        running.wait_for_run(FROM_UPSTREAM, "2026-11-20")
        (report,) = running.reports(FROM_UPSTREAM, "2026-11-20")
        assert report["delivered"] == len(session_ids(sandbox)) == sandbox.counts["requests"] == 2
        assert (report["rows"], report["filtered"]) == (3, 1), "an outbound call is left out"


def returned(running: Standalone, dag_id: str, day: str) -> dict[str, Any]:
    """What each task of a run returned."""
    entries = [entry for entry in running.xcoms(dag_id, day) if entry["key"] == "return_value"]
    return {entry["task_id"]: entry["value"] for entry in entries}


def test_with_approval_as_it_stands(running: Standalone, tmp_path: Path) -> None:
    """Rejected, nothing is sent. Approved, so many calls are sent, and one that came meanwhile is over the limit."""
    file = tmp_path / "warehouse.db"
    database = sa.create_engine(f"sqlite:///{file}")
    calls = Warehouse(database, file, seed=9)
    running.connect("warehouse", conn_type="sqlite", host=str(file))
    running.switch_on(WITH_APPROVAL)
    days = [f"{last_interval_end() - timedelta(days=ago):%Y-%m-%d}" for ago in (1, 0)]
    good = {}
    with endpoint(0.0, running.endpoint_port) as sandbox:
        for day, option in zip(days, ("Reject", "Approve"), strict=True):
            running.trigger(WITH_APPROVAL, day)
            question = running.question(WITH_APPROVAL, day, "approve")
            (run,) = (run for run in running.runs(WITH_APPROVAL) if run["dag_run_id"] == day)
            rows = calls.read(run, LOOK_BACK)
            good[day] = len(good_ids(rows))
            shown = re.findall(r"^\| (\w+) \| (\d+) \|$", question["body"], re.MULTILINE)
            table = {name: int(count) for name, count in shown}
            assert (table["rows"], table["not_sent"]) == (len(rows), good[day])
            assert table["rejected"] == len(rows) - sum(map(is_good, rows))
            late = {**next(row for row in rows if is_good(row)), "call_session_id": f"late-{option}"}
            with database.begin() as connection:
                connection.execute(sa.Table("calls", sa.MetaData(), autoload_with=connection).insert(), late)
            calls.rows.append(late)
            running.answer(question, option)
            running.wait_for_run(WITH_APPROVAL, day)
            assert len(session_ids(sandbox)) == (good[day] if option == "Approve" else 0)
    states = [{task["task_id"]: task["state"] for task in running.tasks(WITH_APPROVAL, day)} for day in days]
    assert [state["deliver_calls"] for state in states] == ["skipped", "success"]
    refused, approved = (returned(running, WITH_APPROVAL, day) for day in days)
    assert "deliver_calls" not in refused
    assert (approved["dry_run"]["not_sent"], approved["dry_run"]["expected_seconds"]) == (good[days[1]], None)
    assert isinstance(approved["dry_run"]["warnings"], list)
    delivery = approved["deliver_calls"]
    assert (delivery["delivered"], delivery["not_sent"]) == (good[days[1]], 1)
    assert delivery.keys() == approved["dry_run"].keys() - {"warnings", "expected_seconds"}
    database.dispose()
