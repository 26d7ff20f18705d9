"""PgBouncer in transaction mode before PostgreSQL: a statement of one client runs on the connection of another."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples
from tests.databases import empty_database
from tests.servers import PostgresRelay, pgbouncer

pytestmark = pytest.mark.databases


@pytest.fixture
def pooled(postgres: sa.engine.URL, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The connection ``ledger`` leads to an empty database through PgBouncer, by its port."""
    url = empty_database(postgres)
    with (
        # To another user of the machine, the server's socket is closed.
        PostgresRelay(str(url.query["host"])).in_thread() as relay,
        pgbouncer(relay.port, str(url.database), str(url.username)) as port,
    ):
        whole = {"conn_type": "postgres", "host": "127.0.0.1", "port": port, "login": url.username}
        monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({**whole, "schema": url.database}))
        yield port


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_three_runs_at_once(
    driver: str, pooled: int, sandbox: Sandbox, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    if driver == "psycopg2":
        monkeypatch.setattr("airflow.providers.postgres.hooks.postgres.USE_PSYCOPG3", False)

    def run(prefix: str) -> Any:
        return ImpactCallHook().deliver(examples.calls(300, prefix), ledger_conn_id="ledger")

    run("first")  # It makes the tables.
    with caplog.at_level(logging.WARNING), ThreadPoolExecutor(3) as threads:
        reports = list(threads.map(run, ["a", "b", "c"]))
    assert [report.delivered for report in reports] == [300, 300, 300]
    assert len(examples.session_ids(sandbox)) == len(set(examples.session_ids(sandbox))) == 1200
    assert [record.getMessage() for record in caplog.records if "ledger" in record.getMessage()] == []
