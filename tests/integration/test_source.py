"""Who sends, as text and back."""

from __future__ import annotations

import pytest

from airflow_provider_impactcall.integration.source import TaskInstance, source

TASK = {"DAG_ID": "d", "TASK_ID": "group.t", "DAG_RUN_ID": "manual__2026-11-26T10:00:00+00:00", "TRY_NUMBER": "2"}


def test_outside_a_task_it_is_python() -> None:
    assert source() == "python"
    assert TaskInstance.of(source()) is None


def test_a_task_is_told_with_its_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Airflow tells a task of itself; a mapped one's index has a real Airflow in tests/dags."""
    for name, value in TASK.items():
        monkeypatch.setenv(f"AIRFLOW_CTX_{name}", value)
    assert source() == "d/group.t/manual__2026-11-26T10:00:00+00:00/2"
    assert TaskInstance.of(source()) == TaskInstance("d", "group.t", TASK["DAG_RUN_ID"])


@pytest.mark.parametrize(
    "instance", [TaskInstance("d", "t", "r"), TaskInstance("d", "t", "r", 0), TaskInstance("d", "t", "r", 31)]
)
def test_an_instance_is_known_by_any_of_its_tries(instance: TaskInstance) -> None:
    assert TaskInstance.of(f"{instance}/1") == TaskInstance.of(f"{instance}/12") == instance


@pytest.mark.parametrize("text", ["", "alice", "d/t/r", "d/t/r/x", "d/t/r/3/1", "d/t/r/map_index=x/1", "a/b/c/d/e/1"])
def test_what_is_of_no_task(text: str) -> None:
    assert TaskInstance.of(text) is None
