"""A task that waits without a worker: what Airflow keeps of it meanwhile, and what it counts in the end."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred

from airflow_provider_impactcall.decorators.impactcall import ImpactCallDecoratedOperator
from airflow_provider_impactcall.operators.deferral import MOST_FRUITLESS, MOST_RUNS, Progress
from airflow_provider_impactcall.operators.impactcall import DeliverCallsOperator, ImpactCallOperator
from airflow_provider_impactcall.operators.retries import CallsNotSent
from airflow_provider_impactcall.sandbox import Sandbox
from airflow_provider_impactcall.transfers.sql_to_impactcall import SqlToImpactCallOperator
from airflow_provider_impactcall.triggers.impactcall import WaitTrigger
from tests.examples import call, calls, connection, session_ids
from tests.operators.test_impactcall import COUNTS, TaskInstance, adds_up, deliver
from tests.privacy.test_canary import found_in

WAIT = "429-retry-after-hour"
ONE_BY_ONE: dict[str, Any] = {"deferrable": True, "concurrency": 1}


class Try:
    """A try of a task, as a worker and a triggerer take it on: in another process each time, by what Airflow keeps.

    :param make: makes the operator, as the DAG file does
    """

    def __init__(self, make: Any, start_date: datetime | None = None) -> None:
        self._make = make
        self.instance = TaskInstance()
        self.instance.start_date = start_date or datetime.now(UTC)  # type: ignore[attr-defined]
        self.context: Any = {"ti": self.instance}
        self.deferred: TaskDeferred | None = None
        self.kept = ""

    def run(self) -> dict[str, Any]:
        """A run, from where the try stands; what it returns."""
        operator: DeliverCallsOperator = self._make()
        if self.deferred is None:
            returned: dict[str, Any] = operator.execute(self.context)
        else:
            classpath, kwargs = json.loads(self.kept)
            returned = operator.resume_execution(
                self.deferred.method_name, {"event": fire(classpath, kwargs)}, self.context
            )
        return returned

    def run_until_it_waits(self) -> dict[str, Any]:
        """The same of a run that waits; the report that it pushed."""
        with pytest.raises(TaskDeferred) as raised:
            self.run()
        self.deferred = raised.value
        self.kept = json.dumps(self.deferred.trigger.serialize())
        report = self.instance.pushed["report"]
        assert adds_up(report)
        assert report["not_sent"] > 0
        return report

    def run_to_the_end(self) -> dict[str, Any]:
        """The same of the last run; what it returned."""
        report = self.run()
        assert adds_up(report)
        assert self.instance.pushed["report"] == report, "not what was pushed before the wait"
        return report


def fire(classpath: str, kwargs: Mapping[str, Any]) -> Any:
    """What a trigger hands back, if it is made again once its moment has come."""
    module, _, name = classpath.rpartition(".")
    trigger = getattr(import_module(module), name)(**{**kwargs, "moment": "2026-01-01T00:00:00+00:00"})

    async def first() -> Any:
        return (await anext(trigger.run())).payload

    return json.loads(json.dumps(asyncio.run(first())))


def counts(report: Mapping[str, Any]) -> dict[str, int]:
    return {name: report[name] for name in COUNTS if report[name]}


def test_what_was_delivered_before_the_wait_is_delivered(sandbox: Sandbox) -> None:
    """Over three runs; what an earlier task delivered is not."""
    assert deliver(calls(2))["delivered"] == 2
    one = Try(lambda: ImpactCallOperator(task_id="deliver", calls=[*calls(10), call("call-3")], **ONE_BY_ONE))
    sandbox.script = ["ok", "ok", WAIT]
    waits = {"rows": 11, "already_delivered": 2, "delivered": 2, "not_sent": 6, "duplicate": 1}
    assert counts(one.run_until_it_waits()) == waits
    sandbox.script = ["ok", WAIT]
    assert counts(one.run_until_it_waits()) == {**waits, "delivered": 3, "not_sent": 5}
    assert counts(one.run_to_the_end()) == {"rows": 11, "already_delivered": 2, "delivered": 8, "duplicate": 1}
    assert session_ids(sandbox) == sorted(f"call-{number}" for number in range(10)), "each once"
