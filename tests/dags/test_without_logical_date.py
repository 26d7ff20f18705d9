"""A run that an asset or a person started may have no logical date: what samples and pages render still has a value."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from importlib.util import module_from_spec, spec_from_file_location
from types import SimpleNamespace
from typing import Any

import pytest

from tests.documentation import ROOT

DUE = datetime(2026, 11, 20, 6, 0, tzinfo=UTC)
WITHOUT = SimpleNamespace(logical_date=None, data_interval_start=None, data_interval_end=None, run_after=DUE)
# As Airflow 2.11 has it, which knows no run_after.
WITH = SimpleNamespace(
    logical_date=datetime(2026, 11, 19, 6, tzinfo=UTC),
    data_interval_start=datetime(2026, 11, 19, 6, tzinfo=UTC),
    data_interval_end=DUE,
)
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "dags").glob("*.py"))]


def loaded(name: str) -> Any:
    spec = spec_from_file_location(name, ROOT / "dags" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("run", "file"), [(WITHOUT, "20261120T060000"), (WITH, "20261119T060000")])
def test_from_warehouse(run: Any, file: str) -> None:
    dag = loaded("impactcall_from_warehouse").dag
    task = dag.get_task("deliver_calls")
    variables = SimpleNamespace(value={"impactcall_rejects_dir": "/rejects"})
    task.render_template_fields({"dag_run": run, "dag": dag, "var": variables}, dag.get_template_env())
    assert task.parameters == {"window_start": "2026-11-16 06:00:00", "window_end": "2026-11-20 06:00:00"}
    assert task.rejects_path == f"/rejects/impactcall_from_warehouse-{file}.jsonl"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_template_needs_a_logical_date(page: Any) -> None:
    for template in re.findall(r"\{\{.*?\}\}", page.read_text()):
        needed = re.sub(r"dag_run\.\w+|\|\s*\w+", "", template)
        assert not re.search(r"\b(ds|ts|logical_date|(ds|ts)_nodash|(prev_)?data_interval_\w+)\b", needed), template
