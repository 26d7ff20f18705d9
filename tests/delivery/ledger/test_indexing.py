"""The indexes of an earlier version's ledger: built by one of many, and in nobody's way."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from airflow_provider_impactcall.defaults import DEFAULT_KEY
from airflow_provider_impactcall.delivery.identity import Claim, identify
from airflow_provider_impactcall.delivery.ledger import indexing
from airflow_provider_impactcall.delivery.ledger.indexing import build_missing
from airflow_provider_impactcall.delivery.ledger.queries import CallQueries
from airflow_provider_impactcall.delivery.ledger.rules import Settlement
from airflow_provider_impactcall.delivery.ledger.schema import INDEXES, calls, runs
from airflow_provider_impactcall.delivery.ledger.selection import Selection
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import (
    Attempt,
    AttemptResult,
    DeliveryReport,
    ReasonCode,
)
from airflow_provider_impactcall.delivery.timings import TIMINGS, Timings
from airflow_provider_impactcall.records import CallRecord
from tests import examples
from tests.databases import empty_database
from tests.delivery.decisions import fence_of

NAMESPACE = "https://calls.example.com"
ALL = {index.name for index in INDEXES}
OK = Attempt(AttemptResult.DELIVERED, ReasonCode.OK, "200 Status OK", 200)
NUMBER_OF_CALLS = 50


def claims(prefix: str) -> list[Claim]:
    calls_of = (CallRecord.of(examples.call(f"{prefix}-{number}")) for number in range(NUMBER_OF_CALLS))
    return [identify(NAMESPACE, DEFAULT_KEY, call) for call in calls_of]


@pytest.fixture
def older(ledger_url: str) -> Iterator[Ledger]:
    """A ledger with calls, as a version left it that knew of no index."""
    with as_it_was(ledger_url) as ledger:
        yield ledger


@contextmanager
def as_it_was(ledger_url: str, timings: Timings = TIMINGS) -> Iterator[Ledger]:
    ledger = Ledger(sa.create_engine(ledger_url), NAMESPACE, timings)
    ledger.prepare()
    run_id = ledger.start("test", "")
    taken = claims("call")
    ledger.record(run_id, taken, [], resend=False)
    ledger.record(run_id, [], [Settlement(claim.key, 1, OK) for claim in taken[:-1]], resend=False)
    ledger.end(run_id, DeliveryReport())
    with ledger.writing() as connection:
        for index in INDEXES:
            index.drop(connection)
    yield ledger
    ledger.close()


def indexes(ledger: Ledger) -> set[str]:
    with ledger.reading() as connection:
        found = sa.inspect(connection)
        return {str(index["name"]) for table in (calls, runs) for index in found.get_indexes(table.name)}


def test_a_new_ledger_has_them(ledger_url: str) -> None:
    ledger = Ledger(sa.create_engine(ledger_url), NAMESPACE)
    ledger.prepare()
    assert indexes(ledger) == ALL
    ledger.close()


def test_an_older_ledger_gets_them_and_keeps_its_calls(older: Ledger) -> None:
    assert not indexes(older)
    build_missing(older)
    assert indexes(older) == ALL
    assert CallQueries(older).count(Selection()) == {"delivered": NUMBER_OF_CALLS - 1, "unknown": 1}
    assert [row["CallSessionId"] for row in CallQueries(older).each(Selection(states=["unknown"]))] == ["call-49"]


def test_of_eight_at_once_none_fails(older: Ledger, ledger_url: str, caplog: pytest.LogCaptureFixture) -> None:
    def start(_: int) -> None:
        ledger = Ledger(sa.create_engine(ledger_url), NAMESPACE)
        ledger.prepare()
        build_missing(ledger)
        ledger.close()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(start, range(8)))
    assert indexes(older) == ALL
    assert [record.args for record in caplog.records] == [(index.name,) for index in INDEXES], "each is told of once"


@contextmanager
def a_delivering_run(ledger: Ledger) -> Iterator[str]:
    run_id = ledger.start("test", "")
    yield run_id
    ledger.end(run_id, DeliveryReport())


def test_while_a_run_delivers_all_but_sqlite_build(older: Ledger) -> None:
    with a_delivering_run(older):
        build_missing(older)
        assert indexes(older) == (set() if older.engine.dialect.name == "sqlite" else ALL)
    build_missing(older)
    assert indexes(older) == ALL


def test_postgresql_builds_while_others_write(postgres: sa.engine.URL) -> None:
    """A writer in the midst of its transaction is waited for, and holds up nobody but the builder, nor for long."""
    url = empty_database(postgres).render_as_string(hide_password=False)
    with as_it_was(url, Timings(lock_wait=0.2)) as older:
        run_id = older.start("test", "")
        with older.writing() as writer:
            writer.execute(sa.update(calls).values(attempts=2))
            build_missing(older)
            assert "impactcall_call_session" in indexes(older), "begun, and not built to its end"
            decisions, _ = older.record(run_id, claims("new"), [], resend=False)
            assert decisions is not None
        build_missing(older)
        with older.reading() as connection:
            assert indexing._postgresql_indexes(connection, valid=True) >= ALL


def test_what_goes_wrong_is_a_warning(older: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    with older.writing() as connection:
        connection.execute(sa.text("ALTER TABLE impactcall_call RENAME COLUMN changed_at TO moved"))
    with caplog.at_level(logging.WARNING):
        build_missing(older)
    (warned,) = [record.getMessage() for record in caplog.records]
    assert "Error)" in warned, "which one it was"
    assert "impactcall ledger migrate" in warned
    assert older.start("test", "")


def test_the_longest_id_is_kept_and_found(older: Ledger) -> None:
    build_missing(older)
    session_id = "\N{GRINNING FACE}" * 1000
    claim = identify(NAMESPACE, DEFAULT_KEY, CallRecord.of(examples.call(session_id)))
    decisions, _ = older.record(older.start("test", ""), [claim], [], resend=False)
    assert [fence_of(decision) for decision in decisions or []] == [1]
    assert older.namesakes([session_id]).keys() == {session_id}
