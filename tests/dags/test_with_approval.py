"""The sample that asks a person: what it shows them, what they approve, and what it is where Airflow asks nobody."""

from __future__ import annotations

import re
import sys
from types import SimpleNamespace
from typing import Any

import airflow
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from packaging.version import Version

from airflow_provider_impactcall.delivery.dry_run.input_warnings import InputWarning, WarningCode
from airflow_provider_impactcall.delivery.dry_run.report import DryRunReport
from tests.dags.test_without_logical_date import loaded

NAME = "impactcall_with_approval"
ASKS = Version(airflow.__version__) >= Version("3.1")
needs_a_person = pytest.mark.skipif(not ASKS, reason="Airflow before 3.1 asks nobody")


def found(**more: Any) -> DryRunReport:
    """What a dry run may have found."""
    counts: dict[str, Any] = {"already_delivered": 1, "changed": 2, "duplicate": 3, "filtered": 4, "rejected": 5}
    return DryRunReport(rows=28, **counts, unknown=6, not_sent=7, **more)


def rendered(template: str, report: DryRunReport) -> str:
    dag = loaded(NAME).dag
    instance = SimpleNamespace(xcom_pull=lambda task_ids: {"dry_run": report.as_dict()}[task_ids])
    text: str = dag.get_task("approve").render_template(template, {"ti": instance}, dag.get_template_env())
    return text


@needs_a_person
def test_the_question_has_each_count_and_each_warning() -> None:
    warnings = [InputWarning(WarningCode.ONE_PARTNER, 7, "canary"), InputWarning(WarningCode.ODD_OFFSET, 8, "canary")]
    report = found(warnings=warnings, expected_seconds=61.0)
    question = rendered(loaded(NAME).QUESTION, report)
    table = {name: int(count) for name, count in re.findall(r"^\| (\w+) \| (\d+) \|$", question, re.MULTILINE)}
    assert table == {name: count for name, count in report.counts().items() if name != "delivered"}
    assert re.findall(r"`(\w+)`: (\d+)$", question, re.MULTILINE) == [("one_partner", "7"), ("odd_offset", "8")]
    assert "1.1 minutes" in question
    assert "canary" not in question


@needs_a_person
def test_the_question_without_a_warning_and_a_limit() -> None:
    question = rendered(loaded(NAME).QUESTION, found())
    assert "7 calls" in question
    assert "minutes" not in question
    assert "`" not in question


@needs_a_person
def test_what_is_sent_is_what_was_asked_about() -> None:
    module = loaded(NAME)
    dry_run, delivery = (module.dag.get_task(name) for name in ("dry_run", "deliver_calls"))
    assert (dry_run.sql, dry_run.parameters, dry_run.mapping) == (delivery.sql, delivery.parameters, delivery.mapping)
    assert (dry_run.dry_run_only, delivery.dry_run_only) == (True, False)
    assert rendered(delivery.limit, found()) == "7"


def test_where_airflow_asks_nobody_its_only_task_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "airflow.providers.standard.operators.hitl", None)
    (task,) = loaded(NAME).dag.tasks
    with pytest.raises(AirflowFailException):
        task.python_callable()


@pytest.mark.skipif(ASKS, reason="Airflow 3.1 and newer ask")
def test_before_airflow_3_1_nobody_is_asked() -> None:
    assert [task.task_id for task in loaded(NAME).dag.tasks] == ["approve"]
