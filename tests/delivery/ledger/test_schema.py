"""The ledger's tables: created and migrated, by two at once, and refused if they are of a newer version."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from airflow_provider_impactcall.defaults import DEFAULT_KEY
from airflow_provider_impactcall.delivery.identity import identify
from airflow_provider_impactcall.delivery.ledger import schema
from airflow_provider_impactcall.delivery.ledger.corrections import Corrections
from airflow_provider_impactcall.delivery.ledger.edits import Author
from airflow_provider_impactcall.delivery.ledger.rules import Settlement
from airflow_provider_impactcall.delivery.ledger.run_queries import last_runs
from airflow_provider_impactcall.delivery.ledger.selection import Selection
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import Attempt, AttemptResult, ReasonCode, RowOutcome
from airflow_provider_impactcall.exceptions import LedgerUnusable
from airflow_provider_impactcall.records import CallRecord
from tests import examples
from tests.delivery.decisions import end_of

NAMESPACE = "https://calls.example.com"
CLAIM = identify(NAMESPACE, DEFAULT_KEY, CallRecord.of(examples.call("a")))


def prepared(ledger_url: str, migrations: schema.Migrations = schema.MIGRATIONS) -> Ledger:
    ledger = Ledger(sa.create_engine(ledger_url), NAMESPACE, migrations=migrations)
    ledger.prepare()
    return ledger


def as_version_1_left_it(ledger_url: str, *, but_for: Sequence[str] = ()) -> None:
    """A ledger of version 1, in which a run delivered one call.

    :param but_for: columns of calls that it has all the same
    """
    ledger = prepared(ledger_url)
    run_id = ledger.start("dag/task", "")
    ledger.record(run_id, [CLAIM], [], resend=False)
    ledger.record(
        run_id,
        [],
        [Settlement(CLAIM.key, 1, Attempt(AttemptResult.DELIVERED, ReasonCode.OK, "200 Status OK", 200))],
        resend=False,
    )
    with ledger.writing() as connection:
        for column in ("kind", "actor", "why"):
            connection.execute(sa.text(f"ALTER TABLE impactcall_run DROP COLUMN {column}"))
        if "first_answer" not in but_for:
            connection.execute(sa.text("ALTER TABLE impactcall_call DROP COLUMN first_answer"))
        for table in ("account", "run", "ended"):
            connection.execute(sa.text(f"DROP TABLE impactcall_rate_{table}"))
        connection.execute(sa.text("UPDATE impactcall_schema SET version = 1"))
    ledger.engine.dispose()


def versions(ledger: Ledger) -> list[int]:
    with ledger.reading() as connection:
        return list(connection.execute(sa.text("SELECT version FROM impactcall_schema ORDER BY version")).scalars())


def test_a_ledger_of_an_earlier_version_is_migrated_and_keeps_what_it_knew(ledger_url: str) -> None:
    as_version_1_left_it(ledger_url)
    ledger = prepared(ledger_url)
    assert versions(ledger) == [1, 2, 3]
    decisions, _ = ledger.record(ledger.start("dag/task", ""), [CLAIM], [], resend=False)
    assert [end_of(decision) for decision in decisions or []] == [RowOutcome.ALREADY_DELIVERED]
    corrections = Corrections(ledger)
    corrections.requeue(Selection(states=["rejected"]), Author("alice", "to see"))
    assert [row["kind"] for row in last_runs(ledger, 10)] == ["requeue", "deliver", "deliver"]


@pytest.mark.parametrize("made", [None, as_version_1_left_it], ids=["created", "migrated"])
def test_eight_may_start_at_once(ledger_url: str, made: object) -> None:
    if callable(made):
        made(ledger_url)

    def start(_: int) -> str:
        return prepared(ledger_url).start("test", "")

    with ThreadPoolExecutor(8) as threads:
        run_ids = list(threads.map(start, range(8)))
    assert len({row["run_id"] for row in last_runs(prepared(ledger_url), 100)} & set(run_ids)) == 8


def test_deliveries_of_an_earlier_version_that_share_no_rate_limit_are_told_of(
    ledger_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    as_version_1_left_it(ledger_url)  # with the lease of its run
    prepared(ledger_url)
    assert "keep to a rate limit of their own until they end: 1" in caplog.text
    caplog.clear()
    prepared(ledger_url)
    assert caplog.text == ""


def test_a_ledger_of_a_newer_version_is_refused(ledger_url: str) -> None:
    prepared(ledger_url)
    added = {version: columns for version, columns in schema.MIGRATIONS.added.items() if version < schema.VERSION}
    with pytest.raises(LedgerUnusable, match="version 3, and this package knows 2: update it"):
        prepared(ledger_url, schema.Migrations(added))
