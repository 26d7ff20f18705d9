"""DuckDB as a source, and as what no ledger can be in."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, BaseHook

from airflow_provider_impactcall.integration.sql import drained
from airflow_provider_impactcall.operators.impactcall import ImpactCallOperator
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples
from tests.documentation import README, blocks
from tests.drivers.conftest import Deliver, statements

pytestmark = pytest.mark.databases


@pytest.fixture
def warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "warehouse.duckdb"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "duckdb", "host": str(path)}))
    with closing(BaseHook.get_hook("warehouse").get_conn()) as connection:
        for statement in statements('"', "VARCHAR"):
            connection.execute(statement)
    return path


@pytest.mark.parametrize(("written", "given"), [("$day", {"day": "2026-09-10"}), ("?", ["2026-09-10"])])
def test_parameters_in_its_style(written: str, given: Any, warehouse: Path, deliver: Deliver, sandbox: Sandbox) -> None:
    assert deliver(f"SELECT * FROM calls WHERE day = {written}", given)["delivered"] == 1


@pytest.mark.parametrize(
    ("written", "given", "right"),
    [
        (":day", {"day": "2026-09-10"}, r"\$day"),
        ("%(day)s", {"day": "2026-09-10"}, r"\$day"),
        ("%s", ["2026-09-10"], r"\?"),
    ],
)
def test_parameters_in_another(
    written: str, given: Any, right: str, warehouse: Path, deliver: Deliver, sandbox: Sandbox
) -> None:
    with pytest.raises(AirflowFailException, match=rf"\bparameters\b.*\bDuckDB\b.* {right},"):
        deliver(f"SELECT * FROM calls WHERE day = {written}", given)
    assert not sandbox.requests


def test_the_query_of_the_first_example_needs_no_style(warehouse: Path, deliver: Deliver, sandbox: Sandbox) -> None:
    """The template of the README's first example, rendered for a day, of a table with a column of dates."""
    (example,) = [block for block in blocks(README, "python") if "SqlToImpactCallOperator" in block]
    (line,) = [line for line in example.splitlines() if "sql=" in line]
    assert "parameters" not in example
    sql = line.partition("sql=")[2].rstrip(",").strip('"')
    head, _, rest = sql.partition("{{")
    rendered = f"{head}2026-09-10{rest.partition('}}')[2]}"
    made = "CREATE TABLE finished_calls AS SELECT * EXCLUDE (day), CAST(day AS DATE) AS day FROM calls"
    with closing(BaseHook.get_hook("warehouse").get_conn()) as connection:
        connection.execute(made)
    assert deliver(rendered)["delivered"] == 1


def test_what_a_query_changes_is_kept_as_the_documentation_says(warehouse: Path) -> None:
    with drained("warehouse", "INSERT INTO calls (day) VALUES ('2026-09-11') RETURNING day") as rows:
        assert len(rows) == 1
    with drained("warehouse", "SELECT day FROM calls") as rows:
        assert len(rows) == 2


def test_a_ledger_in_it_is_refused_and_nothing_is_made(
    tmp_path: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.duckdb"
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({"conn_type": "duckdb", "host": str(path)}))
    operator = ImpactCallOperator(task_id="t", calls=[examples.call("A-1")], ledger_conn_id="ledger")
    with pytest.raises(AirflowFailException, match=r"\bDuckDB\b"):
        operator.execute({})
    assert not sandbox.requests
    assert not path.exists()
