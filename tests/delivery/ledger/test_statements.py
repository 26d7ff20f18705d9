"""What is said to each database about many calls: how many statements, and that they mean the same."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.pool import StaticPool

from airflow_provider_impactcall.defaults import DEFAULT_KEY
from airflow_provider_impactcall.delivery.identity import Claim, identify
from airflow_provider_impactcall.delivery.ledger.batch_sizes import KEYS_A_QUERY
from airflow_provider_impactcall.delivery.ledger.rules import Send, Settlement
from airflow_provider_impactcall.delivery.ledger.schema import calls, events, runs
from airflow_provider_impactcall.delivery.ledger.statements import Delivered, Statements, statements_of
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import Attempt, AttemptResult, CallState, ReasonCode
from airflow_provider_impactcall.records import CallRecord
from tests import examples
from tests.databases import empty_database, listen

NAMESPACE = "https://calls.example.com"
DELIVERED = Attempt(AttemptResult.DELIVERED, ReasonCode.OK, "200 Status OK", 200)
AGAIN = Attempt(AttemptResult.AGAIN, ReasonCode.RETRY_LATER, "503", 503)
# What SQL, JSON and drivers' marks have a meaning for.
WORDS = (
    *("it's", 'a "b"', "back\\slash", "100%", "%s", "{0}", ":x", "?", "$1", "\N{TELEPHONE RECEIVER}\N{SNOWMAN}"),
    *("\ttab", "[1, null]"),
)


def claims_of(*session_ids: str) -> list[Claim]:
    records = (CallRecord.of(examples.call(session_id)) for session_id in session_ids)
    return [identify(NAMESPACE, DEFAULT_KEY, record) for record in records]


def settled(claims: list[Claim], attempt: Attempt, fence: int = 1) -> list[Settlement]:
    return [Settlement(claim.key, fence, attempt) for claim in claims]


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    ledger = Ledger(sa.create_engine(ledger_url), NAMESPACE)
    ledger.prepare()
    yield ledger
    ledger.close()


@pytest.fixture
def on_postgresql(postgres: sa.engine.URL) -> Iterator[Ledger]:
    ledger = Ledger(sa.create_engine(empty_database(postgres)), NAMESPACE)
    ledger.prepare()
    yield ledger
    ledger.close()


def lease_statements(ledger: Ledger) -> int:
    """How many statements renew a lease and tell the time: an older SQLite takes two, and SQLAlchemy 1.4 on it."""
    dialect = ledger.engine.dialect
    return 2 if dialect.name == "sqlite" and not getattr(dialect, "update_returning", False) else 1


@contextmanager
def statements(ledger: Ledger) -> Iterator[list[tuple[str, bool]]]:
    """What is sent to the database meanwhile, but for the beginnings and ends of transactions; and whether a driver may
    send it once a row.
    """
    said: list[tuple[str, bool]] = []

    def note(statement: str, _: Any, many: bool) -> None:
        if not statement.startswith(("BEGIN", "PRAGMA")):
            said.append((statement, many))

    end = listen(ledger.engine, note)
    try:
        yield said
    finally:
        end()


def test_outcomes_and_intents_are_a_statement_each_beside_the_lease_or_all_are_one(ledger: Ledger) -> None:
    run_id = ledger.start("test", "")
    first, second = claims_of(*"abcde"), claims_of(*"fghij")
    ledger.record(run_id, first, [], resend=False)
    with statements(ledger) as said:
        decisions, states = ledger.record(run_id, second, settled(first, DELIVERED), resend=False)
    assert (decisions, states) == ([Send(1)] * 5, [CallState.DELIVERED] * 5)
    at_once = {"postgresql": 1, "mysql": 2}
    assert len(said) == at_once.get(ledger.engine.dialect.name, lease_statements(ledger) + 2)
    found = ledger.look_up([claim.key for claim in (*first, *second)])
    assert [found[claim.key].state for claim in first] == [CallState.DELIVERED] * 5
    assert [found[claim.key].state for claim in second] == [CallState.OPEN] * 5


def test_failures_take_no_statement_each(ledger: Ledger) -> None:
    run_id = ledger.start("test", "")
    claims = claims_of(*"abcdefgh")
    ledger.record(run_id, claims, [], resend=False)
    with statements(ledger) as said:
        _, states = ledger.record(run_id, [], settled(claims, AGAIN), resend=False)
    assert states == [CallState.NOT_SENT] * 8
    assert len(said) == lease_statements(ledger) + 3
    assert ledger.engine.dialect.name == "sqlite" or not any(many for _, many in said), "a round trip each"


def test_known_calls_are_looked_up_500_at_a_time_and_without_locks(ledger: Ledger) -> None:
    run_id = ledger.start("test", "")
    claims = claims_of("known")
    ledger.record(run_id, claims, [], resend=False)
    ledger.record(run_id, [], settled(claims, DELIVERED), resend=False)
    keys = [claims[0].key, *(f"{number:032x}" for number in range(2 * KEYS_A_QUERY))]
    with statements(ledger) as said:
        found = ledger.look_up(keys)
    assert {key: entry.state for key, entry in found.items()} == {claims[0].key: CallState.DELIVERED}
    assert len(said) == 3
    assert not any("UPDATE" in statement for statement, _ in said)


def test_a_call_that_is_settled_and_taken_in_one_group_is_as_it_was_left_last(ledger: Ledger) -> None:
    run_id = ledger.start("test", "")
    (claim,) = claims_of("twice")
    ledger.record(run_id, [claim], [], resend=False)
    decisions, states = ledger.record(run_id, [claim._replace(is_known=True)], settled([claim], AGAIN), resend=False)
    assert (decisions, states) == ([Send(2)], [CallState.NOT_SENT])
    entry = ledger.look_up([claim.key])[claim.key]
    assert (entry.state, entry.fence, entry.attempts) == (CallState.OPEN, 2, 2)
    with ledger.reading() as connection:
        told = connection.execute(sa.select(events.c.state, events.c.fence).order_by(events.c.event_id)).all()
    assert [tuple(row) for row in told] == [("open", 1), ("again", 1), ("open", 2)]


@pytest.mark.parametrize("count", [1, 7, 8, 9, 24, 61])
def test_calls_of_a_group_are_as_they_were_given_however_many_they_are(ledger: Ledger, count: int) -> None:
    run_id = ledger.start("test", "")
    claims = claims_of(*(f"call {number}" for number in range(count)))
    with statements(ledger) as said:
        assert ledger.record(run_id, claims, [], resend=False) == ([Send(1)] * count, [])
    assert len(said) <= lease_statements(ledger) + 2
    columns = (calls.c.key, calls.c.CallSessionId, calls.c.CampaignId, calls.c.fingerprint)
    common = (calls.c.namespace, calls.c.state, calls.c.status, calls.c.uncertain, calls.c.run_id, calls.c.first_answer)
    with ledger.reading() as connection:
        kept = connection.execute(sa.select(*columns, *common)).all()
    assert {tuple(row) for row in kept} == {
        (
            *(claim.key, *claim.call.key(("CallSessionId", "CampaignId")), claim.fingerprint),
            *(NAMESPACE, "open", None, False, run_id, 0),
        )
        for claim in claims
    }


@pytest.mark.parametrize("lost", [None, 0, 999])
def test_a_group_may_have_more_calls_than_a_statement_of_an_old_sqlite_has_parameters(lost: int | None) -> None:
    ledger = Ledger(sa.create_engine("sqlite://", poolclass=StaticPool), NAMESPACE)
    ledger.prepare()
    with ledger.engine.connect() as connection:
        driver: Any = connection.connection.dbapi_connection
        driver.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 999)
    run_id = ledger.start("test", "")
    claims = claims_of(*(f"call {number}" for number in range(1000)))
    ledger.record(run_id, claims, [], resend=False)
    if lost is not None:
        with ledger.writing() as connection:
            connection.execute(sa.update(calls).where(calls.c.key == claims[lost].key).values(run_id="another"))
    _, states = ledger.record(run_id, [], settled(claims, DELIVERED), resend=False)
    assert states == [CallState.DELIVERED] * 1000
    ledger.close()


@pytest.mark.parametrize("taken", [0, 11, 16, 18])
def test_a_call_that_another_run_took_meanwhile_spoils_nothing_of_its_group(ledger: Ledger, taken: int) -> None:
    other, mine = ledger.start("other", ""), ledger.start("mine", "")
    claims = sorted(claims_of(*(f"call {number}" for number in range(19))), key=lambda claim: claim.key)
    ledger.record(other, [claims[taken]], [], resend=False)
    decisions, _ = ledger.record(mine, claims, [], resend=False)
    assert decisions is not None
    assert [isinstance(decision, Send) for decision in decisions] == [place != taken for place in range(19)]
    found = ledger.look_up([claim.key for claim in claims])
    assert [found[claim.key].run_id for claim in claims] == [other if n == taken else mine for n in range(19)]


def test_a_call_that_a_person_has_purged_spoils_nothing_of_its_group(ledger: Ledger) -> None:
    run_id = ledger.start("test", "")
    (purged, kept), new = claims_of("purged", "kept"), claims_of("new")
    ledger.record(run_id, [purged, kept], [], resend=False)
    with ledger.writing() as connection:
        connection.execute(sa.delete(calls).where(calls.c.key == purged.key))
    answer = ledger.record(run_id, new, settled([purged, kept], DELIVERED), resend=False)
    assert answer == ([Send(1)], [CallState.DELIVERED] * 2)
    found = ledger.look_up([claim.key for claim in (purged, kept, *new)])
    assert {key: entry.state for key, entry in found.items()} == {
        kept.key: CallState.DELIVERED,
        new[0].key: CallState.OPEN,
    }
    with ledger.reading() as connection:
        told = connection.execute(sa.select(events.c.state).where(events.c.key == purged.key)).scalars().all()
    assert told == [AttemptResult.DELIVERED.value]


@pytest.mark.parametrize("others", [1, 3])
def test_answers_that_differ_are_kept_each(ledger: Ledger, others: int) -> None:
    run_id = ledger.start("test", "")
    first, second = claims_of(*"abcd"), claims_of("e")
    ledger.record(run_id, first, [], resend=False)
    accepted = replace(DELIVERED, status=202, reason="202 Status OK")
    settlements = settled(first[others:], DELIVERED) + settled(first[:others], accepted)
    assert ledger.record(run_id, second, settlements, resend=False) == ([Send(1)], [CallState.DELIVERED] * 4)
    found = ledger.look_up([claim.key for claim in first])
    told = [(entry.status, entry.reason, entry.first_answer) for entry in (found[claim.key] for claim in first)]
    accepted_as, delivered_as = (202, "202 Status OK", 202), (200, "200 Status OK", 200)
    assert told == [accepted_as] * others + [delivered_as] * (4 - others)


def test_texts_are_kept_as_they_are(ledger: Ledger) -> None:
    run_id = ledger.start("test", "")
    ids = [f"id {word} id" for word in WORDS]
    claims = claims_of(*ids)
    ledger.record(run_id, claims, [], resend=False)
    refused = [Attempt(AttemptResult.REJECTED, ReasonCode.REFUSED, f"400 {word}", 400) for word in WORDS]
    settlements = [Settlement(claim.key, 1, attempt) for claim, attempt in zip(claims, refused, strict=True)]
    ledger.record(run_id, [], settlements, resend=False)
    found = ledger.look_up([claim.key for claim in claims])
    assert [found[claim.key].reason for claim in claims] == [attempt.reason for attempt in refused]
    with ledger.reading() as connection:
        assert set(connection.execute(sa.select(calls.c.CallSessionId)).scalars()) == set(ids)
        told = sa.select(events.c.reason).where(events.c.state == CallState.REJECTED.value)
        assert set(connection.execute(told).scalars()) == {attempt.reason for attempt in refused}


def test_a_ledger_on_postgresql_cuts_no_text(on_postgresql: Ledger) -> None:
    columns = (events.c.key, events.c.at, events.c.fence, events.c.state, events.c.reason)
    with on_postgresql.writing() as connection:
        insert = statements_of(connection).insert
        with pytest.raises(sa.exc.DataError):
            insert(connection, columns, [("k" * 33, 1.0, 1, "open", "")])
    (claim,) = claims_of("long")
    run_id = on_postgresql.start("test", "")
    on_postgresql.record(run_id, [claim], [], resend=False)
    with on_postgresql.writing() as connection:
        change = statements_of(connection).change
        with pytest.raises(sa.exc.DataError):
            change(connection, (calls.c.key, calls.c.state), [(claim.key, "s" * 17)])


def test_the_lease_is_renewed_where_an_update_tells_nothing(ledger: Ledger) -> None:
    ledger.engine.dialect.update_returning = False
    run_id = ledger.start("test", "")
    claims = claims_of("a")
    assert ledger.record(run_id, claims, [], resend=False) == ([Send(1)], [])
    with ledger.writing() as connection:
        connection.execute(sa.update(runs).values(lease_until=0.0))
    assert ledger.record(run_id, claims_of("b"), settled(claims, DELIVERED), resend=False) == (
        None,
        [CallState.DELIVERED],
    )
    assert list(ledger.look_up([claim.key for claim in claims_of("a", "b")])) == [claims[0].key]


def test_a_parameter_a_value_means_the_same(on_postgresql: Ledger) -> None:
    """As databases are told that take neither JSON nor one row after the other; PostgreSQL takes it too."""
    plain = Statements(on_postgresql.engine.dialect)
    run_id = on_postgresql.start("test", "")
    first, second = claims_of("a", "b")
    on_postgresql.record(run_id, [first, second], [], resend=False)
    keys = [first.key, second.key]
    columns = (calls.c.key, calls.c.state, calls.c.uncertain, calls.c.status)
    with on_postgresql.writing() as connection:
        assert plain.renew(connection, run_id, 10.0)[0]
        answered = Delivered(keys, 200, "200 Status OK")
        assert plain.deliver(connection, run_id, answered, 5.0)
        assert not plain.deliver(connection, run_id, answered, 5.0)
        plain.change(connection, columns, [(second.key, "unknown", True, None)])
        added = (events.c.key, events.c.at, events.c.fence, events.c.state, events.c.reason)
        plain.insert(connection, added, [(first.key, 1.0, 1), (second.key, 2.0, 1)], ("open", "it's"))
        rows = plain.select(connection, sa.select(*columns), keys, locking=True)
        told = connection.execute(sa.select(*added).order_by(events.c.at)).all()
    assert [tuple(row) for row in rows] == sorted(
        [(first.key, "delivered", False, 200), (second.key, "unknown", True, None)]
    )
    assert [tuple(row) for row in told] == [
        (first.key, 1.0, 1, "open", "it's"),
        (second.key, 2.0, 1, "open", "it's"),
    ]


class Hurried:
    """A connection to MySQL, as far as a lease needs it that has run out."""

    dialect = mysql.dialect()
    rowcount = 0

    def exec_driver_sql(self, *_: Any) -> Hurried:
        return self

    def scalar_one(self) -> Decimal:
        return Decimal("1764475200.123456")


def test_a_moment_is_a_float_where_a_clock_gives_a_decimal() -> None:
    connection: Any = Hurried()
    held, moment = statements_of(connection).renew(connection, "run", 10.0)
    assert (held, moment, type(moment)) == (False, 1764475200.123456, float)


def test_psycopg_3_has_the_server_prepare_nothing(on_postgresql: Ledger) -> None:
    """Behind PgBouncer, what one client prepared may be another's."""
    pytest.importorskip("psycopg")
    pytest.importorskip("sqlalchemy.dialects.postgresql.psycopg", reason="SQLAlchemy 1.4 cannot open it")
    with_3 = Ledger(
        sa.create_engine(on_postgresql.engine.url.set(drivername="postgresql+psycopg"), pool_size=1), NAMESPACE
    )
    run_id = with_3.start("test", "")
    for number in range(8):
        (claim,) = claims_of(f"call {number} {WORDS[number]}")
        assert with_3.record(run_id, [claim], [], resend=False) == ([Send(1)], [])
        with_3.record(run_id, [], settled([claim], DELIVERED if number % 2 else AGAIN), resend=False)
        with_3.look_up([claim.key])
    with with_3.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements").scalar() == 0
    with_3.close()
