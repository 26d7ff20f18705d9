"""A task that waits without a worker: what Airflow keeps of it meanwhile, and what it counts in the end."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import runpy
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import airflow
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_impactcall.decorators.impactcall import ImpactCallDecoratedOperator
from airflow_provider_impactcall.operators import impactcall
from airflow_provider_impactcall.operators.deferral import MOST_FRUITLESS, MOST_RUNS, Progress
from airflow_provider_impactcall.operators.impactcall import DeliverCallsOperator, ImpactCallOperator
from airflow_provider_impactcall.operators.retries import CallsNotSent
from airflow_provider_impactcall.sandbox import Sandbox
from airflow_provider_impactcall.transfers.sql_to_impactcall import SqlToImpactCallOperator
from tests.examples import call, calls, connection, session_ids
from tests.operators.test_impactcall import COUNTS, TaskInstance, adds_up, deliver
from tests.privacy.test_canary import found_in
from tests.real_airflow import ResidentAirflow

WAIT = "429-retry-after-hour"
REFUSED = "400-errors"
OPTIONS: dict[str, Any] = {"task_id": "deliver", "deferrable": True, "concurrency": 1}


class Try:
    """A try of a task, as workers and a triggerer take it on: each in a process of its own, by what Airflow keeps.

    :param make: makes the operator, as its DAG file does
    :param start_date: when the try began
    """

    def __init__(self, make: Callable[[], DeliverCallsOperator], start_date: datetime | None = None) -> None:
        self._make = make
        self.instance = TaskInstance()
        self.instance.start_date = start_date or datetime.now(UTC)
        self.deferred: TaskDeferred | None = None
        self.kept = ""

    def run(self) -> dict[str, Any]:
        """A run, from where the try stands; what it returns."""
        context: Any = {"ti": self.instance}
        operator: Any = self._make()
        returned: dict[str, Any]
        if self.deferred is None:
            returned = operator.execute(context)
        else:
            given = {"event": fire(*json.loads(self.kept))}
            returned = operator.resume_execution(self.deferred.method_name, given, context)
        return returned

    def run_until_it_waits(self) -> dict[str, Any]:
        """The same of a run that waits; the report that it pushed."""
        with pytest.raises(TaskDeferred) as raised:
            self.run()
        self.deferred = raised.value
        self.kept = json.dumps(self.deferred.trigger.serialize())
        report: dict[str, Any] = self.instance.pushed["report"]
        assert adds_up(report)
        assert report["not_sent"] > 0
        return report

    def run_to_the_end(self) -> dict[str, Any]:
        """The same of the last run; what it returned."""
        report = self.run()
        assert adds_up(report)
        assert self.instance.pushed["report"] == report, "what was pushed before the wait is out of date"
        return report


def fire(classpath: str, kwargs: Mapping[str, Any]) -> Any:
    """What a trigger hands back that is made again, as a triggerer does, once its moment has come."""
    module, _, name = classpath.rpartition(".")
    trigger = getattr(import_module(module), name)(**{**kwargs, "moment": "2026-01-01T00:00:00+00:00"})

    async def first() -> Any:
        return (await anext(trigger.run())).payload

    return json.loads(json.dumps(asyncio.run(first())))


def of_calls(rows: Any, **options: Any) -> Callable[[], DeliverCallsOperator]:
    return lambda: ImpactCallOperator(calls=rows, **{**OPTIONS, **options})


def counts(report: Mapping[str, Any]) -> dict[str, int]:
    return {name: report[name] for name in COUNTS if report[name]}


@pytest.mark.short
def test_what_the_try_delivered_before_it_waited_is_delivered(sandbox: Sandbox) -> None:
    """Over three runs; what another task delivered before is not."""
    assert deliver(calls(2))["delivered"] == 2
    a_try = Try(of_calls([*calls(10), call("call-3")]))
    sandbox.script = ["ok", "ok", WAIT]
    waits = {"rows": 11, "already_delivered": 2, "delivered": 2, "not_sent": 6, "duplicate": 1}
    assert counts(a_try.run_until_it_waits()) == waits
    sandbox.script = ["ok", WAIT]
    assert counts(a_try.run_until_it_waits()) == {**waits, "delivered": 3, "not_sent": 5}
    assert counts(a_try.run_to_the_end()) == {"rows": 11, "already_delivered": 2, "delivered": 8, "duplicate": 1}
    assert session_ids(sandbox) == sorted(f"call-{number}" for number in range(10)), "each once"


def test_what_another_task_delivers_meanwhile_was_already_delivered(sandbox: Sandbox) -> None:
    a_try = Try(of_calls(calls(4)))
    sandbox.script = ["ok", WAIT]
    a_try.run_until_it_waits()
    assert deliver(calls(3)[1:])["delivered"] == 2
    assert counts(a_try.run_to_the_end()) == {"rows": 4, "delivered": 2, "already_delivered": 2}


def test_what_was_rejected_or_changed_before_it_waited_is_so_in_the_end(sandbox: Sandbox, tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.jsonl"
    rows = [call("changes"), call("refused"), {"CallSessionId": "invalid"}, *calls(3)]
    a_try = Try(of_calls(rows, max_rejected=2, rejects_path=str(rejects)))
    sandbox.script = ["ok", REFUSED, "ok", WAIT]
    assert counts(a_try.run_until_it_waits()) == {"rows": 6, "delivered": 2, "rejected": 2, "not_sent": 2}
    rows[0] = call("changes", City="Boston")
    assert counts(a_try.run_to_the_end()) == {"rows": 6, "delivered": 3, "rejected": 2, "changed": 1}
    assert [json.loads(line)["row"] for line in rejects.read_text().splitlines()] == [3, 2]


def test_how_many_rows_are_tolerated_is_judged_in_the_end(sandbox: Sandbox) -> None:
    a_try = Try(of_calls([{}, *calls(3)]))
    sandbox.script = ["ok", WAIT]
    a_try.run_until_it_waits()
    with pytest.raises(AirflowFailException, match="max_rejected"):
        a_try.run()
    assert counts(a_try.instance.pushed["report"]) == {"rows": 4, "delivered": 3, "rejected": 1}


def test_an_abort_counts_the_whole_try(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    a_try = Try(of_calls(calls(3)))
    sandbox.script = ["ok", WAIT]
    a_try.run_until_it_waits()
    wrong = json.loads(connection(sandbox)) | {"password": "another"}
    monkeypatch.setenv("AIRFLOW_CONN_IMPACTCALL_DEFAULT", json.dumps(wrong))
    with pytest.raises(AirflowFailException, match=r"setup_refused.*delivered=1"):
        a_try.run()
    assert counts(a_try.instance.pushed["report"]) == {"rows": 3, "delivered": 1, "not_sent": 2}


def test_a_query_is_read_again(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = calls(5)
    monkeypatch.setenv(
        "AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "warehouse.db")})
    )
    with closing(sqlite3.connect(tmp_path / "warehouse.db")) as warehouse:
        warehouse.execute(f"CREATE TABLE calls ({', '.join(rows[0])})")
        places = ", ".join("?" * len(rows[0]))
        warehouse.executemany(f"INSERT INTO calls VALUES ({places})", [tuple(row.values()) for row in rows])
        warehouse.commit()
        a_try = Try(lambda: SqlToImpactCallOperator(sql="SELECT * FROM calls", sql_conn_id="warehouse", **OPTIONS))
        sandbox.script = ["ok", WAIT]
        assert counts(a_try.run_until_it_waits()) == {"rows": 5, "delivered": 1, "not_sent": 4}
        warehouse.execute("UPDATE calls SET CallSessionId = 'late' WHERE CallSessionId = 'call-4'")
        warehouse.commit()
    assert counts(a_try.run_to_the_end()) == {"rows": 5, "delivered": 5}
    assert session_ids(sandbox) == ["call-0", "call-1", "call-2", "call-3", "late"]


def test_a_function_is_called_again(sandbox: Sandbox) -> None:
    """And a generator of its is read from its beginning, of which the first run did not read the end."""
    called: list[str] = []

    def rows(last: int, ti: Any = None) -> Iterator[dict[str, Any]]:
        called.append(type(ti).__name__)
        yield from calls(2)
        while len(sandbox.requests) < 2:
            time.sleep(0.01)
        yield from calls(last)[2:]

    a_try = Try(
        lambda: ImpactCallDecoratedOperator(python_callable=rows, op_args=(), op_kwargs={"last": 5000}, **OPTIONS)
    )
    sandbox.script = ["ok", WAIT]
    waits = a_try.run_until_it_waits()
    assert waits["delivered"] == 1
    assert waits["rows"] < 5000, "nothing of the others would be sent"
    # Each by itself: 5,000 requests take long.
    sandbox.script = ["ok", WAIT]
    a_try.run_until_it_waits()
    assert called == ["TaskInstance"] * 2
    assert a_try.instance.pushed["report"]["delivered"] == 2


def test_only_ids_of_runs_counts_and_times_go_through_airflow(sandbox: Sandbox) -> None:
    a_try = Try(of_calls(calls(10)))
    for _ in range(2):
        sandbox.script = ["ok", "ok", WAIT]
        a_try.run_until_it_waits()
    assert found_in(a_try.kept) == []
    classpath, kwargs = json.loads(a_try.kept)
    assert classpath == "airflow_provider_impactcall.triggers.impactcall.WaitTrigger"
    progress = kwargs["progress"]
    assert set(kwargs) == {"moment", "progress"}
    assert datetime.fromisoformat(kwargs["moment"]) > datetime.now(UTC)
    assert len(progress["runs"]) == 2
    assert all(re.fullmatch(r"[0-9a-f]{32}", run_id) for run_id in progress["runs"])
    assert {name: value for name, value in progress.items() if name not in ("runs", "since")} == {
        "rows": 10,
        "sent": 4,
        "fruitless": 0,
    }
    assert datetime.fromisoformat(progress["since"]) == a_try.instance.start_date
    assert a_try.deferred is not None
    assert a_try.deferred.kwargs is None, "as an Airflow that resumes in line loses them"


def test_what_another_version_keeps_does_no_harm() -> None:
    assert Progress.of({"runs": ["a", "b"], "sent": 3, "colour": "red"}) == Progress(runs=("a", "b"), sent=3)
    assert Progress.of(None) == Progress()


def test_the_limit_is_one_of_all_runs(sandbox: Sandbox) -> None:
    """What was refused was sent, and counts; what was asked to wait was not."""
    a_try = Try(of_calls(calls(10), limit=5, max_rejected=1))
    sandbox.script = ["ok", REFUSED, WAIT]
    assert counts(a_try.run_until_it_waits()) == {"rows": 10, "delivered": 1, "rejected": 1, "not_sent": 8}
    sandbox.script = ["ok", WAIT]
    a_try.run_until_it_waits()
    assert counts(a_try.run_to_the_end()) == {"rows": 10, "delivered": 4, "rejected": 1, "not_sent": 5}


def test_our_own_rate_limit_is_waited_for(sandbox: Sandbox) -> None:
    a_try = Try(of_calls(calls(3), requests_per_hour=1))
    assert counts(a_try.run_until_it_waits()) == {"rows": 3, "delivered": 1, "not_sent": 2}


@pytest.mark.parametrize(
    ("script", "options", "why"),
    [
        pytest.param(WAIT, {"deferrable": False}, "", id="not deferrable"),
        pytest.param("500", {"max_wait": 0}, "", id="no time that anyone has said"),
        pytest.param("500", {"max_wait": 0, "rows": iter(calls(3))}, "", id="nor is it for its rows"),
        pytest.param(WAIT, {"rows": iter(calls(3))}, "iterator", id="rows that can be read once"),
        pytest.param(WAIT, {"rows": [calls(1), [iter(calls(3))]]}, "iterator", id="such rows among others"),
        pytest.param(
            WAIT, {"execution_timeout": timedelta(minutes=59)}, "execution_timeout", id="the task would time out"
        ),
    ],
)
def test_else_it_fails_as_any_other(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture, script: str, options: dict[str, Any], why: str
) -> None:
    """And says why, where somebody may have thought that it waits."""
    sandbox.faults = {script: 1.0}
    a_try = Try(of_calls(**{"rows": calls(3), **options}))
    with pytest.raises(CallsNotSent):
        a_try.run()
    assert a_try.instance.pushed["report"]["not_sent"] > 0
    told = [record.getMessage() for record in caplog.records if "Does not wait" in record.getMessage()]
    assert len(told) == bool(why)
    assert why in "".join(told)


@pytest.mark.parametrize("context", [{}, {"ti": None}])
def test_without_a_task_instance_nobody_would_call_it_again(sandbox: Sandbox, context: Any) -> None:
    sandbox.faults = {WAIT: 1.0}
    with pytest.raises(CallsNotSent) as raised:
        ImpactCallOperator(calls=calls(3), **OPTIONS).execute(context)
    assert raised.value.retry_at is not None


def test_a_task_that_is_asked_to_stop_does_not_wait(sandbox: Sandbox) -> None:
    """Though its run has stopped for another reason by then."""
    sandbox.faults = {WAIT: 1.0}
    operator = ImpactCallOperator(calls=[], **OPTIONS)

    class Rows:
        def __len__(self) -> int:
            return 2

        def __iter__(self) -> Iterator[dict[str, Any]]:
            yield call("first")
            while not sandbox.requests:
                time.sleep(0.01)
            time.sleep(
                0.2
            )  # So long that the answer is there, nearly always: if not, the run stops for the other reason.
            operator.on_kill()
            yield call("second")

    context: Any = {"ti": TaskInstance()}
    with pytest.raises(CallsNotSent):
        operator.deliver(Rows(), context)


def test_it_waits_so_often_without_sending_a_call(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    a_try = Try(of_calls(calls(3)))
    sandbox.script = ["ok"]
    sandbox.faults = {WAIT: 1.0}
    for _ in range(MOST_FRUITLESS):
        a_try.run_until_it_waits()
    with pytest.raises(CallsNotSent):
        a_try.run()
    assert counts(a_try.instance.pushed["report"]) == {"rows": 3, "delivered": 1, "not_sent": 2}
    assert f"the last {MOST_FRUITLESS} runs of this try sent no call" in caplog.text


def test_a_call_that_is_sent_lets_it_wait_as_often_again(sandbox: Sandbox) -> None:
    sandbox.script = ["ok"]
    sandbox.faults = {WAIT: 1.0}
    operator: Any = of_calls(calls(3))()
    event = Progress(runs=("a",) * MOST_FRUITLESS, fruitless=MOST_FRUITLESS - 1).as_event()
    with pytest.raises(TaskDeferred) as raised:
        operator.resume({"ti": TaskInstance()}, event)
    assert raised.value.trigger.progress["fruitless"] == 0


def test_a_try_has_so_many_runs(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    sandbox.script = ["ok", WAIT] * 2
    operator: Any = of_calls(calls(5))()
    for before, ends in ((MOST_RUNS - 2, TaskDeferred), (MOST_RUNS - 1, CallsNotSent)):
        with pytest.raises(ends):
            operator.resume({"ti": TaskInstance()}, Progress(runs=("a",) * before).as_event())
    assert f"this try has had {MOST_RUNS} runs" in caplog.text


def test_a_timeout_is_one_of_the_whole_try(sandbox: Sandbox) -> None:
    """Whatever Airflow says later of when the task began."""
    sandbox.faults = {WAIT: 1.0}
    began = datetime.now(UTC) - timedelta(hours=2)
    a_try = Try(of_calls(calls(3), execution_timeout=timedelta(hours=4)), began)
    a_try.run_until_it_waits()
    a_try.instance.start_date = datetime.now(UTC)
    a_try.run_until_it_waits()
    assert a_try.deferred is not None
    assert timedelta(hours=1) < a_try.deferred.timeout <= timedelta(hours=2)
    a_try = Try(of_calls(calls(3), execution_timeout=timedelta(hours=2.5)), began)
    with pytest.raises(CallsNotSent):
        a_try.run()


def test_rows_that_are_gone_are_told_of(sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    rows = calls(5)
    a_try = Try(of_calls(rows))
    sandbox.script = ["ok", WAIT] * 2
    a_try.run_until_it_waits()
    with caplog.at_level(logging.WARNING):
        a_try.run_until_it_waits()
        assert "before the wait" not in caplog.text
        del rows[3:]
        assert counts(a_try.run_to_the_end()) == {"rows": 3, "delivered": 3}
    assert re.search(r"\b5 rows before the wait\b.*\b3\b", caplog.text)


@pytest.mark.parametrize("on_empty", ["skip", "fail"])
def test_rows_that_are_all_gone_after_a_wait_are_not_an_empty_input(sandbox: Sandbox, on_empty: str) -> None:
    rows = calls(2)
    a_try = Try(of_calls(rows, on_empty=on_empty))
    sandbox.script = ["ok", WAIT]
    a_try.run_until_it_waits()
    rows.clear()
    assert counts(a_try.run_to_the_end()).get("rows", 0) == 0


def test_airflow_s_own_setting_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ImpactCallOperator(task_id="deliver", calls=[]).deferrable is False
    monkeypatch.setenv("AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE", "True")
    again: Any = runpy.run_path(impactcall.__file__)["ImpactCallOperator"]
    assert again(task_id="deliver", calls=[]).deferrable is True
    assert again(task_id="deliver", calls=[], default_args={"deferrable": False}).deferrable is False


DAGS = """
from __future__ import annotations

from airflow.providers.common.compat.sdk import DAG, Asset, task

from airflow_provider_impactcall.operators.impactcall import ImpactCallOperator
from tests.examples import calls

OPTIONS = {"deferrable": True, "concurrency": 1, "max_wait": 0.5}

with DAG("waits", schedule=None):
    ImpactCallOperator(task_id="deliver", calls=calls(6), outlets=[Asset(uri="impactcall://waits")], **OPTIONS)

    @task.impactcall(**OPTIONS)
    def fetch():
        yield from calls(4, "fetched")

    fetch()
"""


@pytest.mark.short
@pytest.mark.skipif(
    airflow.__version__.startswith("3.2."),
    reason="with the fastapi and cadwyn that PyPI has today, dags test of Airflow 3.2 loses the state of its own API",
)
def test_dag_test_waits_in_line(resident: ResidentAirflow, sandbox: Sandbox, tmp_path: Path) -> None:
    """Twice in one try, of one task after the other, and as long as it is asked to."""
    dag = tmp_path / "waits.py"
    dag.write_text(DAGS)
    environment = {"AIRFLOW_CONN_IMPACTCALL_DEFAULT": connection(sandbox)}
    sandbox.script = ["ok", "ok", "429-retry-after", "ok", "429-retry-after"]
    with resident.lent(tmp_path, [dag], **environment) as airflow:
        log = airflow.test_dag("waits", "2026-11-20", **environment)
        found = {task: counts(report) for (task, _), report in airflow.reports("waits").items()}
        stored = airflow.stored_texts()
    assert found == {"deliver": {"rows": 6, "delivered": 6}, "fetch": {"rows": 4, "delivered": 4}}
    assert session_ids(sandbox) == sorted(row["CallSessionId"] for row in (*calls(6), *calls(4, "fetched")))
    assert log.count("Waits without a worker until") == 2
    assert {table for table, text in stored.items() if found_in(text)} <= {"connection"}
