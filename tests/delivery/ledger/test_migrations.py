"""The ledger's tables: created, taken over from earlier versions, by several at once, and refused if they are newer."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from airflow_provider_impactcall.delivery.ledger.batch_sizes import BatchSizes
from airflow_provider_impactcall.delivery.ledger.corrections import Corrections
from airflow_provider_impactcall.delivery.ledger.edits import Author
from airflow_provider_impactcall.delivery.ledger.migrations import MIGRATIONS, Migration, migrate, standing
from airflow_provider_impactcall.delivery.ledger.mysql import compares_otherwise
from airflow_provider_impactcall.delivery.ledger.run_queries import last_runs
from airflow_provider_impactcall.delivery.ledger.schema import INDEXES, calls, events, migrated, runs, tables
from airflow_provider_impactcall.delivery.ledger.selection import Selection
from airflow_provider_impactcall.delivery.ledger.steps import Steps
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.ledger.take_over import take_over
from airflow_provider_impactcall.delivery.outcome import ReasonCode, RowOutcome
from airflow_provider_impactcall.delivery.timings import TIMINGS, Timings
from airflow_provider_impactcall.exceptions import LedgerUnusable
from tests.databases import empty_database
from tests.delivery.decisions import end_of
from tests.delivery.ledger.earlier import (
    CLAIM,
    NAMESPACE,
    PERSONS,
    TOLD,
    Told,
    as_version_1_left_it,
    as_version_3_left_it,
    held,
    names_of,
    newest_mark,
    prepared,
)
from tests.effort import scaled

KNOWN_TO_VERSION_3 = 3
Made = Callable[[str], None]
FEW = TOLD[::11]
OF_TOMORROW = Migration("0002_of_tomorrow")


class Killed(BaseException):
    """As a process that is killed, nothing answers it."""


def applied(ledger: Ledger) -> list[str]:
    with ledger.reading() as connection:
        return list(connection.execute(sa.select(migrated.c.name).order_by(migrated.c.name)).scalars())


def taken_over(ledger: Ledger) -> tuple[list[Any], list[Any], list[Any]]:
    """Codes and statuses of the calls, and codes of events, of the runs' and of persons'."""
    with ledger.reading() as connection:
        of_calls = sa.select(calls.c.reason_code, calls.c.status).order_by(calls.c.key)
        of_events = sa.select(events.c.reason_code).order_by(events.c.event_id)
        return (
            [tuple(row) for row in connection.execute(of_calls)],
            list(connection.execute(of_events.where(events.c.actor.is_(None))).scalars()),
            list(connection.execute(of_events.where(events.c.actor.is_not(None))).scalars()),
        )


def expected(told: Sequence[Told] = TOLD, kinds: Sequence[str] = tuple(PERSONS)) -> tuple[list[Any], ...]:
    of_events = [each.code for each in told if each.reason not in ("", "200 Status OK")]
    return [(each.code, each.status) for each in told], of_events, [PERSONS[kind] for kind in kinds]


def test_a_ledger_of_version_1_is_migrated_and_keeps_what_it_knew(ledger_url: str) -> None:
    as_version_1_left_it(ledger_url)
    ledger = prepared(ledger_url)
    assert applied(ledger) == names_of(ledger_url)
    decisions, _ = ledger.record(ledger.start("dag/task", ""), [CLAIM], [], resend=False)
    assert [end_of(decision) for decision in decisions or []] == [RowOutcome.ALREADY_DELIVERED]
    corrections = Corrections(ledger)
    corrections.requeue(Selection(states=["rejected"]), Author("alice", "to see"))
    assert [row["kind"] for row in last_runs(ledger, 10)] == ["requeue", "deliver", "deliver"]
    ledger.close()


def test_a_ledger_of_version_3_is_taken_over_with_all_that_it_has(ledger_url: str) -> None:
    as_version_3_left_it(ledger_url)
    engine = sa.create_engine(ledger_url)
    with engine.connect() as connection:
        before = held(connection)
    assert standing(engine).older
    assert migrate(engine) == names_of(ledger_url)
    ledger = prepared(ledger_url)
    assert taken_over(ledger) == expected()
    with ledger.reading() as connection:
        assert held(connection) == before
        assert set(connection.execute(sa.select(runs.c.stop_code)).scalars()) == {"setup_refused"}
        assert {index["name"] for index in sa.inspect(connection).get_indexes("impactcall_call")} == set()
        assert set(sa.inspect(connection).get_table_names()) == set(tables.tables)
        if connection.dialect.name == "mysql":
            assert compares_otherwise(connection) == []
    assert migrate(engine) == []
    assert not standing(engine).pending
    engine.dispose()
    ledger.close()


def test_the_codes_of_old_reasons_are_codes_of_today() -> None:
    codes = {each.code for each in TOLD} | set(PERSONS.values())
    assert codes - {None} <= {*map(str, ReasonCode)}


def test_many_rows_are_filled_in_portions_and_others_write_between_them(ledger_url: str) -> None:
    as_version_3_left_it(ledger_url, TOLD * 3)
    ledger = Ledger(sa.create_engine(ledger_url), NAMESPACE)
    changed: list[int] = []

    @event.listens_for(ledger.engine, "after_cursor_execute")
    def count(_: Any, cursor: Any, statement: str, *__: Any) -> None:
        if statement.startswith("UPDATE"):
            changed.append(cursor.rowcount)

    take_over(Steps(ledger.engine, TIMINGS, BatchSizes(migrated=10)))
    assert len(changed) > 2 * 3 * len(TOLD) / 10
    assert max(changed) <= 10
    assert taken_over(ledger) == expected(TOLD * 3)
    ledger.close()


@contextmanager
def killed_after(engine: sa.Engine, statements: int, *, each_change_is_committed: bool) -> Iterator[None]:
    """Ends whoever uses the engine after so many statements that write."""
    left = statements

    def count(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        nonlocal left
        word = statement.split()[0].upper()
        if word not in ("ALTER", "CREATE", "INSERT", "UPDATE"):
            return
        if each_change_is_committed and word in ("ALTER", "CREATE"):
            cursor.execute("COMMIT")
            cursor.execute("BEGIN")
        left -= 1
        if not left:
            raise Killed

    event.listen(engine, "after_cursor_execute", count)
    try:
        yield
    finally:
        event.remove(engine, "after_cursor_execute", count)


def shape(engine: sa.Engine) -> dict[str, tuple[dict[str, tuple[str, bool]], set[str]]]:
    """Each table's columns, with type and whether they may be NULL, and the indexes that deliveries need."""
    inspector = sa.inspect(engine)
    persons = {str(index.name) for index in INDEXES}
    return {
        table: (
            {each["name"]: (str(each["type"]), each["nullable"]) for each in inspector.get_columns(table)},
            {str(each["name"]) for each in inspector.get_indexes(table)} - persons,
        )
        for table in inspector.get_table_names()
    }


def nothing(_: str) -> None:
    """An empty database."""


def few_of_version_3(ledger_url: str) -> None:
    """A ledger of version 3 that takes few statements to fill."""
    as_version_3_left_it(ledger_url, FEW, ["requeue"])


@pytest.mark.parametrize(
    ("made", "each_change_is_committed"),
    [(nothing, True), (as_version_1_left_it, True), (few_of_version_3, True), (few_of_version_3, False)],
    ids=["empty", "version 1", "version 3", "version 3, all or nothing"],
)
def test_a_migration_that_is_killed_after_any_statement_is_resumed(
    made: Made, each_change_is_committed: bool, ledger_url: str
) -> None:
    """Also where the database commits each change of a table by itself, as MySQL does."""
    engine = sa.create_engine(ledger_url)
    prepared(ledger_url).close()
    new = shape(engine)
    # Every night each statement, else one of five.
    for statements in itertools.count(1, max(1, 5 // scaled(1))):
        there = sa.MetaData()
        there.reflect(engine)
        there.drop_all(engine)
        made(ledger_url)
        ledger = Ledger(sa.create_engine(ledger_url), NAMESPACE)
        try:
            with killed_after(ledger.engine, statements, each_change_is_committed=each_change_is_committed):
                ledger.prepare()
            break
        except Killed:
            pass
        ledger.prepare()
        assert applied(ledger) == names_of(ledger_url)
        assert shape(engine) == new
        if made is few_of_version_3:
            assert taken_over(ledger) == expected(FEW, ["requeue"])
        ledger.close()
    ledger.close()
    engine.dispose()
    assert statements > (12 if made is nothing else 14)


@pytest.mark.parametrize(
    "made", [nothing, as_version_1_left_it, as_version_3_left_it], ids=["empty", "version 1", "version 3"]
)
def test_eight_may_start_at_once(made: Made, ledger_url: str) -> None:
    made(ledger_url)

    def start(_: int) -> str:
        ledger = prepared(ledger_url)
        run_id = ledger.start("test", "")
        ledger.close()
        return run_id

    with ThreadPoolExecutor(8) as threads:
        run_ids = list(threads.map(start, range(8)))
    ledger = prepared(ledger_url)
    assert len({row["run_id"] for row in last_runs(ledger, 100)} & set(run_ids)) == 8
    assert applied(ledger) == names_of(ledger_url)
    if made is as_version_3_left_it:
        assert taken_over(ledger) == expected()
    ledger.close()


def test_one_that_is_late_changes_nothing_of_what_newer_deliveries_wrote(ledger_url: str) -> None:
    """Of two at once, one may still be at it when the other is done, and delivers."""
    as_version_3_left_it(ledger_url)
    ledger = prepared(ledger_url)
    with ledger.writing() as connection:
        connection.execute(sa.update(calls).values(reason_code="of_tomorrow", status=None))
        connection.execute(sa.update(events).values(reason_code="of_tomorrow"))
    take_over(Steps(ledger.engine))
    of_calls, of_events, of_persons = taken_over(ledger)
    assert set(of_calls) == {("of_tomorrow", None)}
    assert {*of_events, *of_persons} == {"of_tomorrow"}
    ledger.close()


def test_whoever_changes_a_table_waits_for_readers_without_holding_up_writers(postgres: sa.engine.URL) -> None:
    """A transaction that has read is open for long: the change lets others pass, and comes to it in the end."""
    url = empty_database(postgres).render_as_string(hide_password=False)
    as_version_3_left_it(url)
    engine = sa.create_engine(url)
    with ThreadPoolExecutor(1) as thread:
        with engine.connect() as reader, reader.begin():
            reader.execute(sa.text("SELECT count(*) FROM impactcall_run"))
            reader.execute(sa.text("SELECT count(*) FROM impactcall_call"))
            migrating = thread.submit(migrate, sa.create_engine(url), Timings(table_wait=0.2))
            with pytest.raises(TimeoutError):
                migrating.result(0.5)
            with engine.connect() as writer, writer.begin():
                writer.execute(sa.text("SET LOCAL lock_timeout = '1s'"))
                writer.execute(sa.text("UPDATE impactcall_call SET attempts = 2"))
        assert migrating.result(30) == names_of(url)
    engine.dispose()


def test_deliveries_of_an_earlier_version_that_are_under_way_are_told_of(
    ledger_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    as_version_1_left_it(ledger_url)  # with the lease of its run
    prepared(ledger_url).close()
    assert [(record.levelname, record.args) for record in caplog.records] == [("WARNING", (1,))], "how many"
    caplog.clear()
    prepared(ledger_url).close()
    assert caplog.text == ""


def test_a_ledger_of_a_newer_version_is_refused(ledger_url: str) -> None:
    prepared(ledger_url, [*MIGRATIONS, OF_TOMORROW]).close()
    with pytest.raises(LedgerUnusable, match="0002_of_tomorrow"):
        prepared(ledger_url)


def test_a_version_that_does_not_know_a_migration_is_refused_once_that_has_begun(ledger_url: str) -> None:
    prepared(ledger_url).close()
    refused: list[type[BaseException]] = []

    def fill(_: Steps) -> None:
        with pytest.raises(LedgerUnusable) as error:
            prepared(ledger_url)
        refused.append(error.type)

    prepared(ledger_url, [*MIGRATIONS, Migration("0002_of_tomorrow", fill)]).close()
    assert refused == [LedgerUnusable]


def test_while_an_earlier_version_delivers_only_what_it_cannot_change_gets_a_code(ledger_url: str) -> None:
    as_version_3_left_it(ledger_url)
    engine = sa.create_engine(ledger_url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE impactcall_run SET lease_until = 1e12"))
    migrate(engine)
    with engine.connect() as connection:
        found = connection.execute(sa.select(calls.c.state, calls.c.reason_code)).all()
    assert {code is None for state, code in found if state != "delivered"} == {True}
    assert all(code is not None for state, code in found if state == "delivered")
    engine.dispose()


def test_what_a_later_version_adds_is_applied_once(ledger_url: str) -> None:
    prepared(ledger_url).close()
    done: list[str] = []
    later = [*MIGRATIONS, Migration("0002_of_tomorrow", lambda _: done.append("0002"))]
    engine = sa.create_engine(ledger_url)
    assert standing(engine, later).pending == ["0002_of_tomorrow"]
    for _ in range(2):
        prepared(ledger_url, later).close()
    assert done == ["0002"]
    engine.dispose()


@pytest.mark.parametrize(
    "made", [nothing, as_version_1_left_it, as_version_3_left_it], ids=["empty", "version 1", "version 3"]
)
def test_versions_from_before_the_first_release_refuse_it(made: Made, ledger_url: str) -> None:
    made(ledger_url)
    ledger = prepared(ledger_url)
    with ledger.reading() as connection:
        assert newest_mark(connection) > KNOWN_TO_VERSION_3
    ledger.close()
