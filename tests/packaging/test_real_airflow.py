"""What tests of a real Airflow rely on: neither a broken DAG file nor a command without end goes unnoticed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.real_airflow import ResidentAirflow


def test_a_dag_file_that_cannot_be_imported_is_noticed(resident: ResidentAirflow, tmp_path: Path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("import airflow  # else taken for no DAG file\n\n1 / 0\n")
    with pytest.raises(AssertionError, match=r"Failed to import: .*broken\.py"), resident.lent(tmp_path, [broken]):
        pass


def test_a_command_that_takes_too_long_is_ended_and_noticed(tmp_path: Path) -> None:
    with (
        ResidentAirflow.started(tmp_path, longest_command=0.2) as airflow,
        pytest.raises(AssertionError, match="the process ended within"),
    ):
        airflow.run("version")
