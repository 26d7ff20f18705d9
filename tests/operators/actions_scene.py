"""A warehouse of calls, and the connection with the ordinary API credentials, which leads to the sandbox."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples

SID = "IRabcdef0123"
COLUMNS = tuple(name for name in examples.call("x") if name not in ("CampaignId", "ActionTrackerId", "CallProvider"))


@pytest.fixture(autouse=True)
def warehouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sqlite3.Connection]:
    file = tmp_path / "warehouse.db"
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(file)}))
    connection = sqlite3.connect(file)
    connection.execute(f"CREATE TABLE calls ({', '.join(COLUMNS)})")
    yield connection
    connection.close()


@pytest.fixture(autouse=True)
def api(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {
        "conn_type": "http",
        "host": f"http://{sandbox.host}",
        "port": sandbox.port,
        "login": SID,
        "password": examples.PASSWORD,
    }
    monkeypatch.setenv("AIRFLOW_CONN_IMPACT_API_DEFAULT", json.dumps(fields))
