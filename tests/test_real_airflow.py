"""What tests of a real Airflow rely on: neither a broken DAG file nor a command without end goes unnoticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import real_airflow
from tests.real_airflow import RealAirflow, ResidentAirflow

pytestmark = pytest.mark.airflow


def test_a_dag_file_that_cannot_be_imported_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "dags").mkdir()
    (tmp_path / "dags" / "broken.py").write_text("import airflow  # else taken for no DAG file\n\n1 / 0\n")
    with pytest.raises(AssertionError, match=r"Failed to import: .*broken\.py"):
        RealAirflow(tmp_path, tmp_path / "dags").prepare()


def test_a_command_that_takes_too_long_is_ended_and_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real_airflow, "LONGEST_COMMAND", 0.2)
    with (
        ResidentAirflow.started(tmp_path, tmp_path) as airflow,
        pytest.raises(AssertionError, match="the process ended within"),
    ):
        airflow.run("version")
