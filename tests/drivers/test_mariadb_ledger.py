"""A ledger in MariaDB, whatever its server is told to do, and where, and when."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_impactcall.cli.__main__ import main
from airflow_provider_impactcall.delivery.ledger.schema import Now
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from airflow_provider_impactcall.integration.ledger_database import ledger_engine
from airflow_provider_impactcall.operators.impactcall import ImpactCallOperator
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples
from tests.databases import as_connection, empty_database
from tests.servers import mariadb

pytestmark = pytest.mark.databases

# In New York, an hour of summer time is followed by the same of winter time.
END_OF_SUMMER_TIME = datetime(2026, 11, 1, 6, tzinfo=UTC).timestamp()
TWICE = (END_OF_SUMMER_TIME - 3600, END_OF_SUMMER_TIME + 3600)
NIGHT = [(TWICE[0] + 1800, "summer"), (TWICE[1] - 1800, "winter")]


@pytest.fixture
def servers() -> Iterator[ExitStack]:
    with ExitStack() as servers:
        yield servers


def ledger_on(port: int, monkeypatch: pytest.MonkeyPatch) -> sa.engine.URL:
    """Has the connection ``ledger`` lead to an empty database of a server."""
    url = empty_database(sa.engine.make_url(f"mysql+mysqldb://root@127.0.0.1:{port}/?charset=utf8mb4"))
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", as_connection(url))
    return url


def into_ledger(rows: Any, **options: Any) -> dict[str, Any]:
    return ImpactCallOperator(task_id="t", calls=rows, ledger_conn_id="ledger", **options).execute({})


def the_time() -> float:
    """By the ledger's clock."""
    with closing(Ledger(ledger_engine("ledger"), "")) as ledger, ledger.reading() as connection:
        return float(connection.execute(sa.select(Now())).scalar_one())


def test_a_server_that_cuts_values_cuts_none_of_a_ledger(
    servers: ExitStack, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And takes no text with double quotes for a name, locks no gap, is in UTC, and has transactions."""
    loose = ("--sql-mode=ANSI_QUOTES,ORACLE", "--transaction-isolation=SERIALIZABLE", "--default-time-zone=-05:00")
    ledger_on(servers.enter_context(mariadb(*loose, "--default-storage-engine=Aria")), monkeypatch)
    assert into_ledger([examples.call("A-1")])["delivered"] == 1
    assert engines() == ["InnoDB"]
    with ledger_engine("ledger").begin() as connection:
        connection.exec_driver_sql("ALTER TABLE impactcall_call MODIFY CallSessionId VARCHAR(40) NOT NULL")
        isolation = connection.exec_driver_sql("SELECT @@tx_isolation").scalar()
    assert isolation == "READ-COMMITTED"
    rows = [examples.call(session_id) for session_id in ("B-1", "x" * 41, "B-2")]
    report = into_ledger(rows, max_rejected=1)
    assert (report["delivered"], report["rejected"]) == (2, 1)
    assert examples.session_ids(sandbox) == ["A-1", "B-1", "B-2"]
    assert abs(the_time() - time.time()) < 600


def test_a_server_that_logs_statements_is_refused(
    servers: ExitStack, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger_on(servers.enter_context(mariadb("--log-bin", "--binlog-format=STATEMENT")), monkeypatch)
    with pytest.raises(AirflowFailException, match=r"\bSTATEMENT\b.*\bMIXED\b"):
        into_ledger([examples.call("A-1")])
    assert not sandbox.requests
    assert not sa.inspect(ledger_engine("ledger")).get_table_names()


def test_one_that_logs_rows_where_needed_is_not(
    servers: ExitStack, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger_on(servers.enter_context(mariadb("--log-bin", "--binlog-format=MIXED")), monkeypatch)
    assert into_ledger([examples.call("A-1")])["delivered"] == 1


def test_a_ledger_that_takes_ids_for_each_other_is_migrated(
    in_clear: int, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As earlier versions left the comparing of texts, and the engine, to the server."""
    ledger_on(in_clear, monkeypatch)
    assert into_ledger([examples.call("A-1"), examples.call("a-1")])["delivered"] == 2
    with ledger_engine("ledger").begin() as connection:
        for table in sa.inspect(connection).get_table_names():
            connection.exec_driver_sql(f"ALTER TABLE {table} ENGINE = Aria, CONVERT TO CHARACTER SET utf8mb4")
        connection.exec_driver_sql("DELETE FROM impactcall_migration WHERE name = '0003_compare_exactly'")
    assert listed("A-1") == 2
    with pytest.raises(AirflowFailException, match="impactcall ledger migrate --ledger-conn-id ledger"):
        into_ledger([examples.call("A-2")])
    main(["ledger", "migrate", "--ledger-conn-id", "ledger"])
    assert listed("A-1") == 1
    assert engines() == ["InnoDB"]
    assert into_ledger([examples.call("A-1"), examples.call("A-2")])["delivered"] == 1


def engines() -> list[str]:
    """The storage engines of the ledger's tables."""
    found = "SELECT DISTINCT engine FROM information_schema.tables WHERE table_schema = DATABASE()"
    with ledger_engine("ledger").connect() as connection:
        return list(connection.exec_driver_sql(found).scalars())


def listed(session_id: str) -> int:
    """How many calls have an id, by the ledger."""
    with ledger_engine("ledger").connect() as connection:
        found = sa.text("SELECT count(*) FROM impactcall_call WHERE CallSessionId = :id")
        return int(connection.execute(found, {"id": session_id}).scalar_one())


@pytest.mark.parametrize("moment", [pytest.param(moment, id=name) for moment, name in NIGHT])
def test_half_past_one_of_the_night_of_the_clock_change_in_new_york(
    moment: float, servers: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = moment - time.time()
    ledger_on(servers.enter_context(mariadb(zone="America/New_York", ahead=ahead)), monkeypatch)
    assert abs(the_time() - ahead - time.time()) < 600


@pytest.mark.parametrize("change", [pytest.param(TWICE[0], id="one"), pytest.param(END_OF_SUMMER_TIME, id="two")])
def test_a_run_over_the_clock_change_in_new_york_keeps_its_lease(
    change: float, servers: ExitStack, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At one, the server's local time becomes one that there is twice; at two it leaps back."""
    ahead = change - 10 - time.time()
    ledger_on(servers.enter_context(mariadb(zone="America/New_York", ahead=ahead)), monkeypatch)
    sandbox.latency = 0.3
    before = the_time()

    def calls_until_after_the_change() -> Iterator[dict[str, Any]]:
        yield from examples.calls(8)
        number = 0
        while time.time() + ahead < change + 4:
            number += 1
            time.sleep(0.05)
            yield examples.call(f"later-{number}")

    report = ImpactCallHook().deliver(calls_until_after_the_change(), ledger_conn_id="ledger", concurrency=4)
    assert report.stop is None
    assert report.delivered == report.rows == len(set(examples.session_ids(sandbox))) == len(sandbox.requests)
    assert max(before, change) < the_time() < before + 600, "no clock goes back"
