from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_provider_impactcall.defaults import DEFAULT_KEY
from airflow_provider_impactcall.delivery.identity import Claim, identify
from airflow_provider_impactcall.delivery.ledger.corrections import Corrections
from airflow_provider_impactcall.delivery.ledger.edits import Author
from airflow_provider_impactcall.delivery.ledger.entries import HISTORY, Entry
from airflow_provider_impactcall.delivery.ledger.queries import CallQueries
from airflow_provider_impactcall.delivery.ledger.rules import Decision, Send, Settled, Settlement, Wait, decide
from airflow_provider_impactcall.delivery.ledger.schema import Now, calls, runs
from airflow_provider_impactcall.delivery.ledger.selection import Selection
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import (
    Attempt,
    AttemptResult,
    CallState,
    DeliveryReport,
    ReasonCode,
    RowOutcome,
    Stop,
)
from airflow_provider_impactcall.records import CallRecord
from tests import examples
from tests.delivery import virtual_time
from tests.delivery.decisions import end_of, fence_of, uncertain
from tests.delivery.ledgers import in_memory
from tests.delivery.virtual_writer import VirtualLedger

DELIVERED = Attempt(AttemptResult.DELIVERED, ReasonCode.OK, "200 Status OK", 200)
REJECTED = Attempt(AttemptResult.REJECTED, ReasonCode.REFUSED, "400 Validation Failed", 400)
UNKNOWN = Attempt(AttemptResult.UNKNOWN, ReasonCode.NO_ANSWER, "no complete answer (TimeoutError)")
AGAIN = Attempt(AttemptResult.AGAIN, ReasonCode.RETRY_LATER, "503", 503)

NAMESPACE = "https://calls.example.com"


def claim_of(session_id: str, **changes: Any) -> Claim:
    return identify(NAMESPACE, DEFAULT_KEY, CallRecord.of(examples.call(session_id, **changes)))


CLAIM = claim_of("a")


def entry(state: CallState, **fields: Any) -> Entry:
    why = {"reason_code": "refused", "status": 400, "reason": "why"}
    known = {"fingerprint": CLAIM.fingerprint, "uncertain": False, "attempts": 1, "deaths": 0}
    told = {"first_answer": None, "first_at": 1.0, "changed_at": 2.0}
    return Entry(**{"state": state, **why, **known, **told, "fence": 3, "run_id": "other", "alive": False, **fields})


def state_of(ledger: Ledger, claim: Claim = CLAIM) -> CallState:
    return ledger.look_up([claim.key])[claim.key].state


def take(ledger: Ledger, run_id: str, claim: Claim = CLAIM, *, resend: bool = False) -> Decision:
    decisions, _ = ledger.record(run_id, [claim], [], resend=resend)
    assert decisions is not None
    return decisions[0]


def settle(ledger: Ledger, run_id: str, fence: int, attempt: Attempt, claim: Claim = CLAIM) -> None:
    ledger.record(run_id, [], [Settlement(claim.key, fence, attempt)], resend=False)


def expire(ledger: Ledger, run_id: str) -> None:
    with ledger.engine.begin() as connection:
        connection.execute(sa.update(runs).where(runs.c.run_id == run_id).values(lease_until=0.0))


@pytest.mark.parametrize(
    ("found", "resend", "end", "fence", "doubtful"),
    [
        (None, False, None, 1, False),
        (entry(CallState.DELIVERED), False, RowOutcome.ALREADY_DELIVERED, None, False),
        (entry(CallState.DELIVERED, fingerprint=CLAIM.fingerprint ^ 1), True, RowOutcome.CHANGED, None, False),
        (entry(CallState.REJECTED), False, RowOutcome.REJECTED, None, False),
        (entry(CallState.REJECTED, fingerprint=CLAIM.fingerprint ^ 1), False, None, 4, False),
        (entry(CallState.NOT_SENT), False, None, 4, False),
        (entry(CallState.NOT_SENT, uncertain=True), True, None, 4, True),
        (entry(CallState.UNKNOWN, uncertain=True), False, RowOutcome.UNKNOWN, None, False),
        (entry(CallState.UNKNOWN, uncertain=True), True, None, 4, True),
        (entry(CallState.UNKNOWN, deaths=3, uncertain=True), True, RowOutcome.UNKNOWN, None, False),
        (entry(CallState.OPEN, alive=True), False, None, None, False),
        (entry(CallState.OPEN, alive=True), True, None, None, False),
        (entry(CallState.OPEN), False, RowOutcome.UNKNOWN, None, False),
        (entry(CallState.OPEN), True, None, 4, True),
        (entry(CallState.OPEN, deaths=2), True, RowOutcome.UNKNOWN, None, False),
        (entry(CallState.OPEN, run_id="mine"), False, None, 3, False),
    ],
)
def test_the_rules(
    found: Entry | None, resend: bool, end: RowOutcome | None, fence: int | None, doubtful: bool
) -> None:
    decision = decide(found, CLAIM, "mine", resend=resend)
    assert (end_of(decision), fence_of(decision), uncertain(decision)) == (end, fence, doubtful)


def test_an_intent_is_there_before_anything_is_settled() -> None:
    ledger = in_memory()
    run_id = ledger.start("test", "")
    assert take(ledger, run_id) == Send(1)
    assert state_of(ledger) is CallState.OPEN
    settle(ledger, run_id, 1, DELIVERED)
    assert state_of(ledger) is CallState.DELIVERED
    with ledger.engine.connect() as connection:
        kept = connection.execute(sa.select(HISTORY.c.state, HISTORY.c.fence).order_by(HISTORY.c.event_id)).all()
        places = connection.execute(sa.select(HISTORY.c.event_id)).scalars().all()
    assert [tuple(row) for row in kept] == [("open", 1), ("delivered", 1)]
    assert len(set(places)) == 2, "no two events of a call share a place in its history"


def test_a_lease_is_of_ten_seconds_and_over_when_they_are() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, virtual_time.VirtualTimeLoop)
        ledger = VirtualLedger(loop)
        run_id = ledger.start("test", "")
        with ledger.reading() as connection:
            lease = connection.execute(sa.select(runs.c.lease_until - Now())).scalar_one()
        assert lease == pytest.approx(10.0)
        loop.jump(9.0)
        assert fence_of(take(ledger, run_id)) == 1, "and each record renews it"
        loop.jump(9.0)
        assert ledger.look_up([CLAIM.key])[CLAIM.key].alive
        with ledger.writing() as connection:
            connection.execute(sa.update(runs).values(lease_until=Now()))
        assert not ledger.look_up([CLAIM.key])[CLAIM.key].alive
        assert ledger.record(run_id, [claim_of("b")], [], resend=False) == (None, []), "nor has it a moment more itself"

    virtual_time.run(main())


def test_what_is_to_be_sent_again_is_not_open_in_between() -> None:
    ledger = in_memory()
    run_id = ledger.start("test", "")
    take(ledger, run_id)
    settle(ledger, run_id, 1, AGAIN)
    assert state_of(ledger) is CallState.NOT_SENT
    assert fence_of(take(ledger, run_id)) == 2


def test_a_live_run_keeps_its_call_and_a_dead_one_leaves_it_unknown() -> None:
    ledger = in_memory()
    first, second = ledger.start("first", ""), ledger.start("second", "")
    take(ledger, first)
    held = take(ledger, second)
    assert isinstance(held, Wait)
    assert held.code is ReasonCode.OTHER_RUN
    expire(ledger, first)
    assert end_of(take(ledger, second)) is RowOutcome.UNKNOWN
    assert state_of(ledger) is CallState.UNKNOWN


def test_a_call_that_another_run_took_up_since_it_was_looked_up_is_not_taken_as_new() -> None:
    ledger = in_memory()
    first, second = ledger.start("first", ""), ledger.start("second", "")
    take(ledger, first)
    new, meanwhile = (claim_of(each) for each in ("b", "a"))
    decisions, _ = ledger.record(second, [new, meanwhile], [], resend=False)
    assert decisions is not None
    assert [fence_of(decision) for decision in decisions] == [1, None]
    assert ledger.look_up([CLAIM.key])[CLAIM.key].run_id == first


def test_a_call_that_three_runs_died_over_is_held_even_under_resend() -> None:
    ledger = in_memory()
    for number in (1, 2, 3):
        run_id = ledger.start(str(number), "")
        assert fence_of(take(ledger, run_id, resend=True)) == number
        expire(ledger, run_id)
    last = ledger.start("last", "")
    assert end_of(take(ledger, last, resend=True)) is RowOutcome.UNKNOWN
    assert (state_of(ledger), ledger.look_up([CLAIM.key])[CLAIM.key].deaths) == (CallState.UNKNOWN, 3)
    assert fence_of(take(ledger, last, resend=True)) is None, "nor does the same run send it a moment later"


def test_calls_of_one_id_are_found_whatever_else_tells_them_apart() -> None:
    ledger = in_memory()
    run_id = ledger.start("test", "")
    for provider in ("One", "Two"):
        take(ledger, run_id, claim_of("a", CallProvider=provider))
    take(ledger, run_id, claim_of("b"))
    found = ledger.namesakes(["a", "c"])
    assert found.keys() == {"a"}
    row = examples.call("a")
    assert sorted(found["a"], key=str) == [
        {**{name: str(row[name]) for name in ("CampaignId", "ActionTrackerId")}, "CallProvider": provider}
        for provider in ("One", "Two")
    ]


def test_a_late_answer_still_is_the_truth_about_a_call() -> None:
    ledger = in_memory()
    first, second = ledger.start("first", ""), ledger.start("second", "")
    take(ledger, first)
    expire(ledger, first)
    take(ledger, second)
    settle(ledger, first, 1, DELIVERED)
    assert state_of(ledger) is CallState.DELIVERED
    assert ledger.record(first, [claim_of("b")], [], resend=False) == (None, []), "and it takes nothing more"
    assert ledger.look_up([claim_of("b").key]) == {}


def test_a_refused_resend_of_a_call_of_unknown_fate_stays_unknown() -> None:
    ledger = in_memory()
    first, second = ledger.start("first", ""), ledger.start("second", "")
    take(ledger, first)
    expire(ledger, first)
    assert take(ledger, second, resend=True) == Send(2, uncertain=True)
    settle(ledger, second, 2, REJECTED)
    assert state_of(ledger) is CallState.UNKNOWN


@pytest.mark.parametrize("attempt", [DELIVERED, REJECTED, UNKNOWN, AGAIN], ids=lambda attempt: attempt.result)
@pytest.mark.parametrize("uncertain", [False, True])
def test_a_settlement_can_be_repeated_when_nobody_knows_whether_it_was_committed(
    attempt: Attempt, uncertain: bool
) -> None:
    ledger = in_memory()
    run_id = ledger.start("test", "")
    assert [fence_of(take(ledger, run_id)) for _ in range(2)] == [1, 1]
    if uncertain:
        settle(ledger, run_id, 1, UNKNOWN)
        Corrections(ledger).requeue(Selection(), Author("alice", "test"))
        assert fence_of(take(ledger, run_id)) == 2
    found = []
    for _ in range(2):
        settle(ledger, run_id, 1 + uncertain, attempt)
        history = [(row["state"], row["reason_code"]) for row in CallQueries(ledger).history(Selection())]
        found.append((state_of(ledger), history))
    assert found[0] == found[1]
    assert (attempt.result, attempt.code) in found[0][1]


@pytest.mark.parametrize(
    ("kept", "told"),
    [(UNKNOWN.code.value, UNKNOWN.code), ("of_tomorrow", ReasonCode.NOT_KEPT), (None, ReasonCode.NOT_KEPT)],
)
def test_a_later_run_is_told_the_code_but_one_of_a_newer_version_is_as_none(kept: str | None, told: ReasonCode) -> None:
    ledger = in_memory()
    run_id = ledger.start("test", "")
    take(ledger, run_id)
    settle(ledger, run_id, 1, UNKNOWN)
    with ledger.writing() as connection:
        connection.execute(sa.update(calls).values(reason_code=kept))
    decision = take(ledger, ledger.start("next", ""))
    assert isinstance(decision, Settled)
    assert (decision.outcome.state, decision.outcome.code) == (RowOutcome.UNKNOWN, told)


def test_namespaces_never_hide_each_others_calls() -> None:
    other = identify("http://127.0.0.1:8900", DEFAULT_KEY, CLAIM.call)
    assert other.key != CLAIM.key
    assert other.fingerprint == CLAIM.fingerprint


def test_a_run_keeps_its_counts() -> None:
    ledger = in_memory()
    run_id = ledger.start("dag/task", "digest")
    ledger.end(run_id, DeliveryReport(rows=3, delivered=2, not_sent=1, stop=Stop(ReasonCode.NO_PROGRESS, "an outage")))
    with ledger.engine.connect() as connection:
        (row,) = connection.execute(sa.select(runs)).mappings().all()
    assert (row["source"], row["delivered_rows"], row["not_sent_rows"]) == ("dag/task", 2, 1)
    assert row["stop"].startswith("an outage")
    assert row["ended_at"] >= row["started_at"]


def test_a_source_is_kept_as_far_as_its_column_reaches() -> None:
    ledger = in_memory()
    ledger.start("d" * 500 + "/task", "")
    with ledger.engine.connect() as connection:
        assert connection.execute(sa.select(runs.c.source)).scalar_one() == "d" * 500


def test_sqlite_is_written_through_to_the_disk(tmp_path: Path) -> None:
    ledger = Ledger(sa.create_engine(f"sqlite:///{tmp_path}/ledger.db"), NAMESPACE)
    with ledger.engine.connect() as connection:
        settings = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
    assert settings == ["wal", 2]


def test_it_holds_no_number_no_recording_and_no_payload() -> None:
    ledger = in_memory()
    run_id = ledger.start("test", "")
    take(ledger, run_id)
    settle(ledger, run_id, 1, UNKNOWN)
    with ledger.engine.connect() as connection:
        dump = "\n".join(connection.connection.dbapi_connection.iterdump())  # type: ignore[union-attr]
    assert "ExampleVendor" in dump, "the search looks at the right text"
    assert examples.CALLER not in dump
    assert examples.RECORDING not in dump


def test_the_order_of_the_key_does_not_matter() -> None:
    forth, back = (
        identify(NAMESPACE, key, CLAIM.call)
        for key in (("CallProvider", "CallSessionId"), ("CallSessionId", "CallProvider", "CallSessionId"))
    )
    assert forth.key == back.key


def test_a_late_answer_that_nothing_left_is_believed() -> None:
    ledger = in_memory()
    first, second = ledger.start("first", ""), ledger.start("second", "")
    take(ledger, first)
    expire(ledger, first)
    assert end_of(take(ledger, second)) is RowOutcome.UNKNOWN
    settle(ledger, first, 1, AGAIN)
    assert state_of(ledger) is CallState.NOT_SENT


@pytest.mark.parametrize("attempt", [UNKNOWN, AGAIN, None])
def test_the_oldest_undelivered_call(ledger_url: str, attempt: Attempt | None) -> None:
    ledger = Ledger(sa.create_engine(ledger_url), NAMESPACE)
    ledger.prepare()
    assert ledger.oldest_undelivered() == 0.0
    run_id = ledger.start("test", "")
    for session_id, settled in (("delivered", DELIVERED), ("rejected", REJECTED), ("a", attempt)):
        claim = claim_of(session_id)
        take(ledger, run_id, claim)
        if settled is not None:
            settle(ledger, run_id, 1, settled, claim)
        with ledger.writing() as connection:
            age = {"delivered": 300, "rejected": 200, "a": 100}[session_id]
            older = sa.update(calls).where(calls.c.key == claim.key)
            connection.execute(older.values(first_at=Now() - sa.literal(age, sa.Float)))
    assert 100 <= ledger.oldest_undelivered() < 190, "what is delivered or rejected does not count"
    with ledger.writing() as connection:
        connection.execute(sa.update(calls).values(first_at=Now() + 100))
    assert ledger.oldest_undelivered() == 0.0, "a clock that was set back makes no age below zero"
    elsewhere = Ledger(ledger.engine, "https://other.example.com")
    assert elsewhere.oldest_undelivered() == 0.0
    ledger.close()


def test_the_oldest_undelivered_call_is_found_by_an_index(ledger_url: str) -> None:
    """SQLite says which; of PostgreSQL it depends on how many calls there are."""
    ledger = Ledger(sa.create_engine(ledger_url), NAMESPACE)
    if ledger.engine.dialect.name != "sqlite":
        pytest.skip("its planner takes a table this small as it is")
    ledger.prepare()
    asked: list[tuple[str, Any]] = []
    sa.event.listen(ledger.engine, "before_cursor_execute", lambda *args: asked.append((args[2], args[3])))
    ledger.oldest_undelivered()
    (query,) = [each for each in asked if "first_at" in each[0]]
    with ledger.engine.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {query[0]}", query[1]).fetchall()
    assert any("USING INDEX impactcall_call_undone" in step[-1] for step in plan), plan
    ledger.close()


def test_ids_that_are_nearly_those_of_calls(ledger_url: str) -> None:
    """Of calls that are not among the newest, the usual spellings are found by the index of ids."""
    ledger = Ledger(sa.create_engine(ledger_url), NAMESPACE)
    ledger.prepare()
    run_id = ledger.start("test", "")
    for session_id in ("CAab", "caba", "PQ-1", "blank", "newest"):
        take(ledger, run_id, claim_of(session_id))
    with ledger.writing() as connection:
        # As an earlier version kept them.
        connection.execute(sa.update(calls).where(calls.c.CallSessionId == "blank").values(CallSessionId=" blank "))
        older = sa.update(calls).where(calls.c.CallSessionId != "newest")
        connection.execute(older.values(changed_at=calls.c.changed_at - 100))
    given = ["caab", "CABA", "pq-1", "Newest", "blank", "another", "newest"]
    assert ledger.alike(given) == 4
    assert ledger.alike(given, newest=1) == 3, "caab for CAab is found among the newest alone"
    assert ledger.alike(["caba", "PQ-1"]) == 0
    assert Ledger(ledger.engine, "https://other.example.com").alike(given) == 0
    ledger.close()
