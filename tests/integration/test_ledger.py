"""The embedded ledger that nobody chose: one machine is assumed, and the first delivery says so."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from airflow_provider_impactcall.sandbox import Sandbox
from tests.delivery import canary
from tests.facts import named

SAID = ["new", "several", "pods", "ledger_conn_id"]


def warnings_of_delivery(caplog: pytest.LogCaptureFixture, ledger_conn_id: str | None = None) -> list[list[object]]:
    """The facts of each warning of a delivery."""
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert ImpactCallHook().deliver([canary.row(1)], ledger_conn_id=ledger_conn_id).rows == 1
    said = [record.getMessage() for record in caplog.records if record.name.startswith("airflow_provider_impactcall")]
    return [facts for facts in (named(each, *SAID) for each in said) if facts]


@pytest.mark.parametrize("executor", ["LocalExecutor", ""])
def test_a_new_ledger_is_said_by_its_first_delivery(
    executor: str, sandbox: Sandbox, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LocalExecutor does not mean one machine: there may be several schedulers, or a pod without a volume."""
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", executor)
    ImpactCallHook().check([canary.row(1)])
    assert not any(named(each, *SAID) == SAID for each in caplog.messages)
    assert warnings_of_delivery(caplog) == [SAID]
    assert warnings_of_delivery(caplog) == []


def test_nothing_is_said_of_one_that_was_chosen(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "ledger.db")}))
    assert warnings_of_delivery(caplog, ledger_conn_id="ledger") == []
    assert (tmp_path / "ledger.db").exists()
    assert warnings_of_delivery(caplog, ledger_conn_id="embedded") == []


def test_nor_of_one_that_the_configuration_names(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__IMPACTCALL__LEDGER_CONN_ID", "embedded")
    assert warnings_of_delivery(caplog) == []


def test_nor_where_there_can_be_none(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    with pytest.raises(InvalidOption, match=r"\bledger_conn_id\b"):
        warnings_of_delivery(caplog)
    assert [each for each in caplog.messages if named(each, *SAID) == SAID] == []
