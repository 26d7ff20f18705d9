from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG, XComArg, task

from airflow_provider_impactcall.operators.redaction import Redacted
from airflow_provider_impactcall.sandbox import Sandbox
from tests.examples import call, calls, session_ids


def operator_of(returned: Any) -> Any:
    """What Airflow's own stubs say of a decorated function leaves it out."""
    return returned.operator


@pytest.mark.short
def test_delivers_what_the_function_returns(sandbox: Sandbox) -> None:
    with DAG(dag_id="decorated", schedule=None):

        @task.impactcall(limit=2, constants={"City": "Springfield"})
        def fetch(prefix: str, count: int = 1, **_: Any) -> Iterator[dict[str, Any]]:
            """Fetch the calls."""
            yield from calls(count, prefix)

        operator = operator_of(fetch("fetched", count=3))

    assert operator.task_id == "fetch"
    assert operator.doc_md == "Fetch the calls."
    report = operator.execute({})
    assert (report["delivered"], report["not_sent"]) == (2, 1)
    assert session_ids(sandbox) == ["fetched-0", "fetched-1"]
    assert {each["parameters"]["City"] for each in sandbox.calls} == {"Springfield"}


def test_a_function_may_return_the_path_of_a_file(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in calls(3)))
    with DAG(dag_id="decorated", schedule=None):

        @task.impactcall
        def paths(count: int) -> list[str]:
            return [str(path)] * count

        operator = operator_of(paths(2))
    report = operator.execute({})
    assert (report["rows"], report["delivered"], report["duplicate"]) == (6, 3, 3)


def test_a_function_may_return_nothing(sandbox: Sandbox) -> None:
    with DAG(dag_id="decorated", schedule=None):

        @task.impactcall
        def nothing() -> None:
            return None

        operator = operator_of(nothing())
    assert operator.execute({})["rows"] == 0


def test_arguments_are_hidden_unless_they_are_references() -> None:
    with DAG(dag_id="decorated", schedule=None):

        @task
        def upstream() -> list[dict[str, Any]]:
            return []

        @task.impactcall
        def push(rows: Any, more: Any = None, day: str = "") -> Any:
            return [rows, more]

        reference = upstream()
        operator = operator_of(push(reference, more=[call("private")], day="{{ ds }}"))

    assert isinstance(operator.op_args[0], XComArg)
    assert isinstance(operator.op_kwargs["day"], Redacted), "its template is rendered where it is hidden"
    assert isinstance(operator.op_kwargs["more"], Redacted)
    assert str(operator.op_kwargs["more"]) == "<list of 1, hidden>"
    assert operator.upstream_task_ids == {"upstream"}
