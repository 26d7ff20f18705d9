"""Workers of two versions on one ledger: both go on and send each call once, or one is refused before it sends."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_impactcall.cli.__main__ import main
from airflow_provider_impactcall.defaults import DEFAULT_KEY
from airflow_provider_impactcall.delivery.duplicates import Duplicates
from airflow_provider_impactcall.delivery.engine.engine import Engine
from airflow_provider_impactcall.delivery.engine.pacing import Pacing
from airflow_provider_impactcall.delivery.identity import identify
from airflow_provider_impactcall.delivery.ledger import schema
from airflow_provider_impactcall.delivery.ledger.migrations import MIGRATIONS, Migration
from airflow_provider_impactcall.delivery.ledger.queries import CallQueries
from airflow_provider_impactcall.delivery.ledger.run_queries import last_runs
from airflow_provider_impactcall.delivery.ledger.selection import Selection
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.ledger.writer import LedgerWriter
from airflow_provider_impactcall.delivery.outcome import DeliveryReport, ReasonCode
from airflow_provider_impactcall.delivery.runner import run
from airflow_provider_impactcall.delivery.timings import TIMINGS, Timings
from airflow_provider_impactcall.delivery.wire.endpoint import Endpoint
from airflow_provider_impactcall.integration.ledger import open_ledger
from airflow_provider_impactcall.operators.impactcall import ImpactCallOperator
from airflow_provider_impactcall.operators.ledger import PurgeLedgerOperator
from airflow_provider_impactcall.records import CallMapping, CallRecord
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples
from tests.chaos.story import Story
from tests.databases import as_connection
from tests.delivery.decisions import end_of
from tests.delivery.ledger.earlier import NAMESPACE, as_version_1_left_it, as_version_3_left_it, prepared

CALLS = 120
SHOWN = ("CallSessionId", "CampaignId", "ActionTrackerId", "CallProvider", "MediaId", "EventDate")
NEWER = "0002_of_tomorrow"


@pytest.fixture
def slow_sandbox() -> Iterator[Sandbox]:
    with Sandbox(user=examples.LOGIN, password=examples.PASSWORD, latency=0.02).in_thread() as sandbox:
        yield sandbox


def opened_before(ledger_url: str, timings: Timings = TIMINGS) -> Ledger:
    """A ledger as a worker has it that opened it before others changed its tables."""
    return Ledger(sa.create_engine(ledger_url), NAMESPACE, timings)


def deliver(ledger: Ledger, sandbox: Sandbox) -> DeliveryReport:
    """The calls of both workers, sent as the hook does once the ledger is open."""
    run_id = ledger.start("upgrade", "")
    interrupt = threading.Event()
    report = run(
        Engine(
            duplicates=Duplicates(),
            pacing=Pacing(max_wait=20),
            on_settled=lambda *_: None,
            interrupt=interrupt,
            concurrency=4,
        ),
        Endpoint(sandbox.url, examples.LOGIN, examples.PASSWORD, timeout=15.0),
        LedgerWriter(ledger, run_id, DEFAULT_KEY, resend=False),
        examples.calls(CALLS, "upgrade"),
        CallMapping(),
        interrupt,
    )
    ledger.end(run_id, report)
    ledger.engine.dispose()
    return report


def has_sent(sandbox: Sandbox, requests: int) -> None:
    ends_by = time.monotonic() + 30
    while sandbox.counts["requests"] < requests:
        assert time.monotonic() < ends_by, "it never came to that"
        time.sleep(0.005)


def test_a_run_under_way_goes_on_while_its_ledger_is_migrated(ledger_url: str, slow_sandbox: Sandbox) -> None:
    """And its newer neighbour, which did that, has the same calls to deliver.

    It is a run of this version, so its tables have the columns that it uses; what an earlier one writes is tried below.
    """
    as_version_1_left_it(ledger_url, but_for=["first_answer", "reason_code", "status"])
    with ThreadPoolExecutor(1) as thread:
        under_way = thread.submit(deliver, opened_before(ledger_url), slow_sandbox)
        has_sent(slow_sandbox, 10)
        newer = prepared(ledger_url)
        assert not under_way.done()
        by_newer = deliver(newer, slow_sandbox)
        by_older = under_way.result(60)
    story = Story(slow_sandbox, ledger_url, "upgrade")
    story.is_complete(CALLS)
    assert story.twice == set()
    assert story.of_state("delivered") == story.states.keys()
    assert by_older.delivered > 0
    assert by_older.delivered + by_newer.delivered == CALLS
    for report in (by_older, by_newer):
        assert report.delivered + report.already_delivered == report.rows == CALLS
    kept = [row["delivered_rows"] for row in last_runs(prepared(ledger_url), 2)]
    assert sorted(kept) == sorted([by_older.delivered, by_newer.delivered])


def test_a_run_under_way_stops_if_a_newer_version_takes_its_tables_away(ledger_url: str, slow_sandbox: Sandbox) -> None:
    """No version may do that; if one did, what is in flight would be in the dark, and nothing would be lost unsaid."""
    prepared(ledger_url)
    with ThreadPoolExecutor(1) as thread:
        under_way = thread.submit(deliver, opened_before(ledger_url, Timings(patience=0.5)), slow_sandbox)
        has_sent(slow_sandbox, 10)
        with prepared(ledger_url).writing() as connection:
            connection.execute(sa.text("ALTER TABLE impactcall_call RENAME COLUMN reason TO cause"))
        report = under_way.result(60)
        with prepared(ledger_url).writing() as connection:
            connection.execute(sa.text("ALTER TABLE impactcall_call RENAME COLUMN cause TO reason"))
    story = Story(slow_sandbox, ledger_url, "upgrade")
    story.is_true()
    assert story.twice == set()
    assert report.stop is not None
    assert report.stop.code is ReasonCode.LEDGER_UNUSABLE
    assert report.given_up > 0
    assert report.rows == CALLS
    assert story.processed.total() < CALLS


def test_calls_that_a_run_of_version_2_opens_and_delivers_beside_this_one_are_known_with_their_history(
    ledger_url: str,
) -> None:
    """It writes an event for each intent and outcome, and knows nothing of a column that this version added."""
    ledger = prepared(ledger_url)
    run_id = ledger.start("of version 2", "")
    claims = [identify(NAMESPACE, DEFAULT_KEY, CallRecord.of(examples.call(name))) for name in ("open", "delivered")]
    for claim, state in zip(claims, ("open", "delivered"), strict=True):
        shown = {name: str(getattr(claim.call, name)) for name in SHOWN}
        known = {"state": state, "reason": "", "uncertain": False, "attempts": 1, "deaths": 0, "fence": 1}
        row = {**shown, **known, "key": claim.key, "namespace": NAMESPACE, "fingerprint": claim.fingerprint}
        noted = {"key": claim.key, "at": 1.0, "fence": 1, "run_id": run_id, "reason": ""}
        with ledger.writing() as connection:
            connection.execute(sa.insert(schema.calls).values(**row, run_id=run_id, first_at=1.0, changed_at=2.0))
            for event in ("open", "delivered") if state == "delivered" else ("open",):
                connection.execute(sa.insert(schema.events).values(**noted, state=event))
    with ledger.writing() as connection:
        connection.execute(sa.update(schema.runs).values(lease_until=0.0))
    decisions, _ = ledger.record(ledger.start("of this version", ""), claims, [], resend=False)
    assert [end_of(decision) for decision in decisions or []] == ["unknown", "already_delivered"]
    history = [(row["CallSessionId"], row["state"]) for row in CallQueries(ledger).history(Selection())]
    assert sorted(history) == [("delivered", "delivered"), ("delivered", "open"), ("open", "open"), ("open", "unknown")]


def delivered(report: dict[str, Any]) -> tuple[int, int]:
    return report["already_delivered"], report["delivered"]


def test_a_task_of_an_older_version_is_refused_before_it_sends_and_airflow_retries_it(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """A retry is worth it, as workers are updated one by one: it may find itself on one that has been."""
    task = ImpactCallOperator(task_id="deliver", calls=examples.calls(3))
    assert delivered(ImpactCallOperator(task_id="earlier", calls=examples.calls(1)).execute({})) == (0, 1)
    with closing(open_ledger(None, NAMESPACE)) as ledger:
        newer = Ledger(ledger.engine, NAMESPACE, migrations=[*MIGRATIONS, Migration(NEWER)])
        newer.prepare()
    before = sandbox.counts["requests"]
    with pytest.raises(AirflowException) as refused:
        task.execute({})
    assert refused.type is AirflowException, "and in no way that Airflow does not retry"
    assert NEWER in str(refused.value)
    with pytest.raises(SystemExit, match="1"):
        main(["list"])
    assert NEWER in capsys.readouterr().err
    assert sandbox.counts["requests"] == before
    with newer.writing() as connection:  # as if this worker had been updated
        connection.execute(sa.delete(schema.migrated).where(schema.migrated.c.name == NEWER))
    newer.close()
    assert delivered(task.execute({})) == (1, 2)


@pytest.fixture
def shared(ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The database of the connection ``ledger``, which the tasks have for their ledger."""
    monkeypatch.setenv("AIRFLOW__IMPACTCALL__LEDGER_CONN_ID", "ledger")
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", as_connection(sa.engine.make_url(ledger_url)))
    return ledger_url


COMMAND = "impactcall ledger migrate --ledger-conn-id ledger"


def test_a_task_on_an_older_shared_ledger_fails_for_good_and_says_what_to_run(
    shared: str, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trying again changes nothing, and several tasks must not change the tables that others use."""
    as_version_3_left_it(shared)
    deliver = ImpactCallOperator(task_id="deliver", calls=examples.calls(3))
    purge = PurgeLedgerOperator(task_id="purge", older_than=400, why="tidy")
    for task in (deliver, purge):
        with pytest.raises(AirflowFailException, match=COMMAND):
            task.execute({})
    for command in ("list", "runs", "count"):
        with pytest.raises(SystemExit, match="1"):
            main([command])
        assert COMMAND in capsys.readouterr().err
    assert sandbox.counts["requests"] == 0
    assert "impactcall_migration" not in sa.inspect(sa.create_engine(shared)).get_table_names(), "nothing was changed"
    main(COMMAND.split()[1:])
    assert delivered(deliver.execute({})) == (0, 3)


def test_a_task_makes_the_tables_of_an_empty_shared_database(shared: str, sandbox: Sandbox) -> None:
    assert delivered(ImpactCallOperator(task_id="deliver", calls=examples.calls(3)).execute({})) == (0, 3)
    assert sandbox.counts["requests"] == 3


def test_a_task_migrates_the_embedded_file(sandbox: Sandbox) -> None:
    file = Path(os.environ["AIRFLOW_HOME"], "impactcall_ledger.db")
    file.parent.mkdir(parents=True, exist_ok=True)
    as_version_3_left_it(f"sqlite:///{file}")
    assert delivered(ImpactCallOperator(task_id="deliver", calls=examples.calls(3)).execute({})) == (0, 3)
    with closing(open_ledger(None, NAMESPACE)) as ledger:
        assert CallQueries(ledger).count(Selection())["delivered"] > 0


def test_a_migrated_ledger_has_the_columns_of_a_new_one(ledger_url: str, tmp_path_factory: Any) -> None:
    as_version_1_left_it(ledger_url)
    migrated = columns(prepared(ledger_url))
    with prepared(ledger_url).writing() as connection:
        for table in migrated:
            connection.execute(sa.text(f"DROP TABLE {table}"))
    assert columns(prepared(ledger_url)) == migrated


def columns(ledger: Ledger) -> dict[str, dict[str, tuple[str, bool]]]:
    """Each table's columns, with type and whether they may be NULL."""
    inspector = sa.inspect(ledger.engine)
    return {
        table: {each["name"]: (str(each["type"]), each["nullable"]) for each in inspector.get_columns(table)}
        for table in inspector.get_table_names()
    }


@pytest.mark.parametrize(
    ("session_id", "more", "key", "fingerprint"),
    [
        ("CA123", {}, "526d26bfd1d3afcdc192636ce0b787a4", 57646),
        ("Zürich-☎", {"City": "Zürich"}, "e9d979ef4c337c5f2f587baa8dc48cb7", 60626),
    ],
)
def test_every_version_knows_a_call_by_the_same_key(
    session_id: str, more: dict[str, str], key: str, fingerprint: int
) -> None:
    """With another key all calls would be sent again, with another fingerprint they would be reported as changed."""
    row = examples.call(session_id, CallRecording=None, CallerId="2125550177", **more)
    claim = identify(NAMESPACE, DEFAULT_KEY, CallMapping().record(row))
    assert (claim.key, claim.fingerprint) == (key, fingerprint)
