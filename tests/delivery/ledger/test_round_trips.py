"""How often a ledger on a server waits for an answer, counted on the way there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from airflow_provider_impactcall.delivery.ledger.rules import Send
from airflow_provider_impactcall.delivery.ledger.schema import calls, runs
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import CallState
from tests.databases import empty_database
from tests.delivery.ledger.test_statements import DELIVERED, NAMESPACE, claims_of, settled
from tests.distance import Distance


@pytest.fixture
def distance(postgres: sa.engine.URL) -> Iterator[Distance]:
    """The way to the PostgreSQL server."""
    with Distance(f"{postgres.query['host']}/.s.PGSQL.5432").in_thread() as way:
        yield way


@pytest.fixture(params=["psycopg2", "psycopg"])
def ledger(request: pytest.FixtureRequest, postgres: sa.engine.URL, distance: Distance) -> Iterator[Ledger]:
    """A ledger in an empty database, at that distance."""
    if request.param == "psycopg":
        pytest.importorskip("psycopg")
        pytest.importorskip("sqlalchemy.dialects.postgresql.psycopg", reason="SQLAlchemy 1.4 cannot open it")
    own = empty_database(postgres)
    url = sa.engine.URL.create(
        f"postgresql+{request.param}", own.username, host="127.0.0.1", port=distance.port, database=own.database
    )
    ledger = Ledger(sa.create_engine(url), NAMESPACE)
    ledger.prepare()
    yield ledger
    ledger.close()


def test_a_group_of_outcomes_and_intents_is_one_round_trip(ledger: Ledger, distance: Distance) -> None:
    run_id = ledger.start("test", "")
    first, second = claims_of(*"abcde"), claims_of(*"fghij")
    before = distance.trips
    assert ledger.record(run_id, first, [], resend=False) == ([Send(1)] * 5, [])
    opened = distance.trips
    answer = ledger.record(run_id, second, settled(first, DELIVERED), resend=False)
    both = distance.trips
    assert answer == ([Send(1)] * 5, [CallState.DELIVERED] * 5)
    assert (opened - before, both - opened) == (1, 1)
    with ledger.reading() as connection:
        connection.execute(sa.select(calls.c.key))
    assert distance.trips - both == 3


def test_a_transaction_after_a_group_can_be_given_up(ledger: Ledger) -> None:
    """A group is a statement that commits by itself, and whoever has its connection next begins as ever."""
    run_id = ledger.start("test", "")
    ledger.record(run_id, claims_of("a"), [], resend=False)
    with ledger.engine.connect() as connection:
        transaction = connection.begin()
        connection.execute(sa.delete(calls))
        connection.execute(sa.delete(runs))
        transaction.rollback()
    with ledger.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(calls)).scalar() == 1
        assert connection.execute(sa.select(sa.func.count()).select_from(runs)).scalar() == 1


def test_sessions_of_the_server_are_left_as_they_were(ledger: Ledger) -> None:
    """Behind PgBouncer, they are other clients' next."""
    asked = sa.text("SELECT name, setting FROM pg_settings WHERE source = 'session' ORDER BY name")
    with ledger.reading() as connection:
        before = connection.execute(asked).all()
    run_id = ledger.start("test", "")
    ledger.record(run_id, claims_of("a"), [], resend=False)
    with ledger.reading() as connection:
        assert connection.execute(asked).all() == before
