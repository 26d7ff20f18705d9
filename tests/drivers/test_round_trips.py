"""How often a ledger waits for its server, by each driver and through PgBouncer, counted on the way there."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from airflow_provider_impactcall.delivery.ledger.rules import Send
from airflow_provider_impactcall.delivery.ledger.schema import calls
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import CallState
from airflow_provider_impactcall.integration.ledger_database import ledger_engine
from tests.databases import empty_database
from tests.delivery.ledger.test_statements import DELIVERED, NAMESPACE, claims_of, settled
from tests.distance import Distance
from tests.servers import PostgresRelay, pgbouncer

pytestmark = pytest.mark.databases

MYSQLS = ["mysqlclient", "pymysql", "mysql-connector-python"]


@pytest.fixture(params=MYSQLS)
def on_mariadb(request: pytest.FixtureRequest, in_clear: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Distance]:
    """The way to the database that the connection ``ledger`` leads to, by one of MySQL's drivers."""
    database = f"test_{uuid.uuid4().hex}"
    server = sa.create_engine(f"mysql+pymysql://root@127.0.0.1:{in_clear}")
    with server.begin() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {database} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
    server.dispose()
    with Distance(in_clear).in_thread() as way:
        whole = {"conn_type": "mysql", "host": "127.0.0.1", "port": way.port, "login": "root", "schema": database}
        monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({**whole, "extra": {"client": request.param}}))
        yield way


@pytest.fixture(params=["psycopg", "psycopg2"])
def on_pgbouncer(
    request: pytest.FixtureRequest, postgres: sa.engine.URL, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Distance]:
    """The way to a PgBouncer, which pools transactions, by one of PostgreSQL's drivers."""
    if request.param == "psycopg2":
        monkeypatch.setattr("airflow.providers.postgres.hooks.postgres.USE_PSYCOPG3", False)
    url = empty_database(postgres)
    with (
        PostgresRelay(str(url.query["host"])).in_thread() as relay,
        pgbouncer(relay.port, str(url.database), str(url.username)) as port,
        Distance(port).in_thread() as way,
    ):
        whole = {"conn_type": "postgres", "host": "127.0.0.1", "port": way.port, "login": url.username}
        monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({**whole, "schema": url.database}))
        yield way


def trips_of_a_group(way: Distance) -> int:
    """Of one with outcomes and intents."""
    ledger = Ledger(ledger_engine("ledger"), NAMESPACE)
    ledger.prepare()
    run_id = ledger.start("test", "")
    first, second = claims_of(*"abcde"), claims_of(*"fghij")
    ledger.record(run_id, first, [], resend=False)
    before = way.trips
    answer = ledger.record(run_id, second, settled(first, DELIVERED), resend=False)
    taken = way.trips - before
    assert answer == ([Send(1)] * 5, [CallState.DELIVERED] * 5)
    ledger.close()
    return taken


def test_a_group_is_three_round_trips_on_mariadb(on_mariadb: Distance) -> None:
    assert trips_of_a_group(on_mariadb) == 3


def test_a_group_is_one_round_trip_through_pgbouncer(on_pgbouncer: Distance) -> None:
    assert trips_of_a_group(on_pgbouncer) == 1


def test_the_moment_of_a_group_is_the_servers(on_mariadb: Distance) -> None:
    """It comes with the lease."""
    ledger = Ledger(ledger_engine("ledger"), NAMESPACE)
    ledger.prepare()
    run_id = ledger.start("test", "")
    first, second = claims_of("a"), claims_of("b")
    clock = sa.text("SELECT UNIX_TIMESTAMP(SYSDATE(6))")
    with ledger.reading() as connection:
        began = float(connection.execute(clock).scalar_one())
    ledger.record(run_id, first, [], resend=False)
    ledger.record(run_id, second, settled(first, DELIVERED), resend=False)
    with ledger.reading() as connection:
        ended = float(connection.execute(clock).scalar_one())
        rows = [*connection.execute(sa.select(calls.c.first_at, calls.c.changed_at)), (ended, ended)]
    ledger.close()
    moments = sorted(moment for row in rows for moment in row)
    assert began - 1e-5 <= moments[0] <= moments[-1] == ended


def test_a_lost_connection_costs_one_attempt(on_mariadb: Distance) -> None:
    """That the server is there, is not asked before."""
    ledger = Ledger(ledger_engine("ledger"), NAMESPACE)
    ledger.prepare()
    run_id = ledger.start("test", "")
    first, second = claims_of("a"), claims_of("b")
    ledger.record(run_id, first, [], resend=False)
    on_mariadb.cut()
    with pytest.raises(sa.exc.DBAPIError):
        ledger.record(run_id, second, settled(first, DELIVERED), resend=False)
    assert ledger.record(run_id, second, settled(first, DELIVERED), resend=False) == ([Send(1)], [CallState.DELIVERED])
    ledger.close()
