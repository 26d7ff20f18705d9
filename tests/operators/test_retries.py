"""When the next try starts, where the endpoint said when to try again: as a real Airflow has it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_impactcall.operators.retries import CallsNotSent, RetryAtPolicy
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples
from tests.real_airflow import ResidentAirflow

pytestmark = pytest.mark.skipif(RetryAtPolicy.__base__ is object, reason="retry policies came with Airflow 3.3")

DAG = """
from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider_impactcall.operators.retries import RetryAtPolicy
from airflow_provider_impactcall.operators.impactcall import ImpactCallOperator
from tests.examples import calls

with DAG("put_off", schedule=None):
    ImpactCallOperator(
        task_id="deliver", calls=calls(3), retries=2, retry_delay=timedelta(seconds=7), retry_policy=RetryAtPolicy()
    )
"""


def test_the_next_try_starts_when_the_endpoint_said(resident: ResidentAirflow, tmp_path: Path) -> None:
    dag = tmp_path / "put_off.py"
    dag.write_text(DAG)
    with Sandbox(user=examples.LOGIN, password=examples.PASSWORD).in_thread() as sandbox:
        sandbox.script = ["429-retry-after-hour"] * 3
        environment = {"AIRFLOW_CONN_IMPACTCALL_DEFAULT": examples.connection(sandbox, concurrency=1)}
        with resident.lent(tmp_path, [dag], **environment) as airflow:
            log = airflow.run("tasks", "test", "put_off", "deliver", **environment).stdout
    assert re.search(r"Retry policy decision .*action=retry .*reason='[^']*\d{4}-\d\d-\d\dT\d\d:\d\d", log), log[-3000:]
    assert "new_state=up_for_retry" in log


def put_off(error: BaseException, **options: Any) -> Any:
    return RetryAtPolicy(**options).evaluate(error, 1, 3)


def test_a_time_to_come_back_is_kept_and_capped() -> None:
    in_ten_minutes = CallsNotSent("3 calls", datetime.now(UTC) + timedelta(minutes=10))
    wait = put_off(in_ten_minutes).retry_delay
    assert timedelta(minutes=9) < wait <= timedelta(minutes=10)
    assert put_off(in_ten_minutes, longest=timedelta(seconds=5)).retry_delay == timedelta(seconds=5)
    assert put_off(CallsNotSent("3 calls", datetime.now(UTC) - timedelta(minutes=1))).retry_delay == timedelta(0)


@pytest.mark.parametrize("error", [CallsNotSent("3 calls"), ValueError("else")])
def test_else_airflow_does_what_it_does_anyway(error: BaseException) -> None:
    assert put_off(error).action.value == "default"


def test_it_survives_serialization() -> None:
    policy = RetryAtPolicy(timedelta(minutes=3))
    assert RetryAtPolicy.deserialize(policy.serialize()).longest == policy.longest
