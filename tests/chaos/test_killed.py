"""A delivery that is killed with -9 again and again, and run again until it is done."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from random import Random
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from airflow_provider_impactcall.defaults import DEFAULT_KEY
from airflow_provider_impactcall.delivery.engine.bookkeeper import open_at_most
from airflow_provider_impactcall.delivery.identity import Claim, identify
from airflow_provider_impactcall.delivery.ledger.rules import Settlement, Wait
from airflow_provider_impactcall.delivery.ledger.schema import calls
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import Attempt, AttemptResult, CallState, ReasonCode
from airflow_provider_impactcall.delivery.timings import TIMINGS
from airflow_provider_impactcall.records import CallRecord
from airflow_provider_impactcall.sandbox import Sandbox
from tests.chaos.deliver import SHORT_LEASE, Child, Delivery, killed_in_flight
from tests.chaos.story import Story, adds_up, unknown_answers
from tests.delivery.decisions import fence_of
from tests.examples import LOGIN, PASSWORD, call

CALLS = 150
KILLS = 4
CONCURRENCY = 8
FAULTS = dict.fromkeys(("429-bare", "500", "reset-before-reading", "reset-after-processing", "502"), 0.012)


@pytest.mark.parametrize("on_unknown", ["hold", "resend"])
def test_killed_and_run_again(ledger_url: str, on_unknown: str) -> None:
    random = Random(f"{on_unknown}{ledger_url[:6]}")
    prefix = f"{on_unknown}-"
    with Sandbox(user=LOGIN, password=PASSWORD, latency=0.01, faults=FAULTS, seed=5).in_thread() as sandbox:
        delivery = Delivery(sandbox.url, ledger_url, prefix, CALLS, on_unknown, CONCURRENCY, SHORT_LEASE)
        kills = sum(killed_in_flight(Child(delivery), sandbox, random.randint(0, 30)) for _ in range(KILLS))
        report = Child(replace(delivery, lease=TIMINGS.lease)).report()
        story = Story(sandbox, ledger_url, prefix)
        in_the_dark = unknown_answers(sandbox)
    story.is_complete(CALLS)
    assert kills > 0
    assert report["rows"] == CALLS
    assert report["given_up"] == 0
    assert adds_up(report)
    if on_unknown == "hold":
        assert story.twice == set()
        unknown = len(story.of_state("unknown"))
        assert unknown <= in_the_dark + kills * open_at_most(CONCURRENCY)
        assert report["delivered"] + report["already_delivered"] == CALLS - unknown
        assert report["unknown"] == unknown
    else:
        # On a busy machine, runs are killed so early that three die over the same calls, which are held then.
        assert story.of_state("delivered") == story.states.keys() - thrice_died_over(ledger_url)
        assert story.doubles <= in_the_dark + kills * open_at_most(CONCURRENCY)


def thrice_died_over(ledger_url: str) -> set[str]:
    """The ids of calls that three runs died over, and that nobody knows the fate of."""
    held = sa.select(calls.c.CallSessionId).where(calls.c.deaths >= 3, calls.c.state == CallState.UNKNOWN.value)
    engine = sa.create_engine(ledger_url)
    with engine.connect() as connection:
        found = set(connection.execute(held).scalars())
    engine.dispose()
    return found


@pytest.mark.parametrize("number", [2, 4])
def test_live_copies_of_one_delivery_send_each_call_once(ledger_url: str, number: int) -> None:
    with Sandbox(user=LOGIN, password=PASSWORD, latency=0.01).in_thread() as sandbox:
        delivery = Delivery(sandbox.url, ledger_url, f"{number}-copies-", CALLS)
        copies = [Child(delivery) for _ in range(number)]
        reports = [copy.report() for copy in copies]
        story = Story(sandbox, ledger_url, delivery.prefix)
    story.is_complete(CALLS)
    assert story.twice == set()
    assert story.of_state("delivered") == story.states.keys()
    assert sum(report["delivered"] for report in reports) == CALLS
    assert all(report["delivered"] + report["already_delivered"] == CALLS for report in reports)


def test_a_claim_that_waited_for_anothers_sees_that_it_lives(postgres: str) -> None:
    """READ COMMITTED: what had to wait for a locked row sees it anew, but not what it is joined with."""
    first, second = (Ledger(sa.create_engine(postgres), "https://calls.example.com") for _ in range(2))
    first.prepare()
    claim = identify(first.namespace, DEFAULT_KEY, CallRecord.of(call("waited-for")))
    earlier = first.start("earlier", "")
    first.record(earlier, [claim], [], resend=False)
    first.record(
        earlier,
        [],
        [Settlement(claim.key, 1, Attempt(AttemptResult.NOT_SENT, ReasonCode.RETRY_LATER, "503"))],
        resend=False,
    )
    owner, other = first.start("owner", ""), second.start("other", "")
    written = threading.Event()

    @sa.event.listens_for(first.engine, "commit")
    def commit_slowly(_: Any) -> None:
        written.set()
        time.sleep(0.5)

    with ThreadPoolExecutor(1) as thread:
        taken = thread.submit(first.record, owner, [claim], [], resend=False)
        written.wait()
        decisions, _ = second.record(other, [claim], [], resend=False)
        assert [fence_of(decision) for decision in taken.result()[0] or []] == [2]
    assert decisions is not None
    assert isinstance(decisions[0], Wait)
    assert decisions[0].code is ReasonCode.OTHER_RUN
    for each in (first, second):
        each.engine.dispose()


def test_a_claim_that_was_inserted_meanwhile_is_not_taken_unlocked(postgres: str) -> None:
    """READ COMMITTED: a row that another run inserts after ours are locked would be seen, and not be locked.

    It is looked up again instead, and is locked then.
    """
    impatient = sa.create_engine(postgres, connect_args={"options": "-c lock_timeout=500"})
    engines = (impatient, sa.create_engine(postgres))
    first, second = (Ledger(engine, "https://calls.example.com") for engine in engines)
    first.prepare()
    records = (CallRecord.of(call(name)) for name in ("known", "new"))
    # Neither is taken for one that is not there yet, so that both are looked up.
    known, new = (identify(first.namespace, DEFAULT_KEY, each)._replace(is_known=True) for each in records)
    earlier = first.start("earlier", "")
    again = Attempt(AttemptResult.AGAIN, ReasonCode.RETRY_LATER, "429", 429)
    first.record(earlier, [known], [], resend=False)
    first.record(earlier, [], [Settlement(known.key, 1, again)], resend=False)
    owner, other = first.start("owner", ""), second.start("other", "")
    fences: list[int | None] = []
    waited: list[OperationalError] = []

    def take(ledger: Ledger, run_id: str, *claims: Claim) -> list[int | None]:
        return [fence_of(decision) for decision in ledger.record(run_id, claims, [], resend=False)[0] or []]

    @sa.event.listens_for(second.engine, "after_cursor_execute")
    def meanwhile(_: Any, __: Any, statement: str, *___: Any) -> None:
        if statement.endswith("FOR UPDATE") and not fences:
            fences.extend(take(first, owner, new))
            first.record(owner, [], [Settlement(new.key, 1, again)], resend=False)
        elif statement.startswith("UPDATE impactcall_call") and not waited:
            try:
                fences.extend(take(first, owner, new))
            except OperationalError as error:
                waited.append(error)

    assert take(second, other, known, new) == [2, 2]
    assert fences == [1], "two runs would hold it under one fence"
    assert len(waited) == 1
    for each in (first, second):
        each.engine.dispose()
