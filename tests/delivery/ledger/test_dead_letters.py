"""Dead letters and changed calls after the fact: looked for, accepted and dismissed, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_impactcall.defaults import DEFAULT_KEY
from airflow_provider_impactcall.delivery.identity import Claim, identify
from airflow_provider_impactcall.delivery.items import Call
from airflow_provider_impactcall.delivery.ledger.batch_sizes import BatchSizes
from airflow_provider_impactcall.delivery.ledger.corrections import Corrections
from airflow_provider_impactcall.delivery.ledger.edits import Author
from airflow_provider_impactcall.delivery.ledger.listing import LISTED_COLUMNS, Listing
from airflow_provider_impactcall.delivery.ledger.purge import purge, purgeable
from airflow_provider_impactcall.delivery.ledger.queries import CallQueries
from airflow_provider_impactcall.delivery.ledger.row_writer import RowWriter
from airflow_provider_impactcall.delivery.ledger.rules import Settlement
from airflow_provider_impactcall.delivery.ledger.run_queries import last_runs
from airflow_provider_impactcall.delivery.ledger.schema import calls, changed_calls, dead_letters, run_rows, runs
from airflow_provider_impactcall.delivery.ledger.selection import LISTED, Selection
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import Attempt, Outcome, ReasonCode, RowOutcome
from airflow_provider_impactcall.delivery.reading import read
from airflow_provider_impactcall.exceptions import InvalidOption, ProblemCode
from airflow_provider_impactcall.records import CallMapping
from tests import examples
from tests.delivery.decisions import end_of, fence_of
from tests.delivery.scripted import NO_ANSWER, OK, REFUSED
from tests.effort import scaled

NAMESPACE = "https://calls.example.com"
ALICE = Author("alice", "they said so")
AGO, LATER = timedelta(days=-9), timedelta(days=9)


def claim_of(ledger: Ledger, session_id: str, **changes: Any) -> Claim:
    [item] = read([examples.call(session_id, **changes)], CallMapping())
    assert isinstance(item, Call)
    return identify(ledger.namespace, DEFAULT_KEY, item.record)


def sent(ledger: Ledger, attempt: Attempt, *session_ids: str) -> str:
    """Calls that a run sent, and what came of them. Returns the run's id."""
    run_id = ledger.start("test", "")
    claims = [claim_of(ledger, session_id) for session_id in session_ids]
    decisions, _ = ledger.record(run_id, claims, [], resend=False)
    fences = [fence_of(decision) or 0 for decision in decisions or []]
    ended = [Settlement(claim.key, fence, attempt) for claim, fence in zip(claims, fences, strict=True)]
    ledger.record(run_id, [], ended, resend=False)
    return run_id


def read_by_a_run(ledger: Ledger, rows: Iterable[Any]) -> str:
    """A run that reads rows, of which the valid ones are calls that were sent before with other content."""
    run_id = ledger.start("test", "")
    with RowWriter(ledger, run_id, DEFAULT_KEY) as writer:
        for item in read(rows, CallMapping(), key=DEFAULT_KEY):
            if isinstance(item, Call):
                writer.note(item, Outcome(RowOutcome.CHANGED, ReasonCode.DELIVERED_BEFORE, ""))
            else:
                writer.note(item, Outcome(RowOutcome.REJECTED, ReasonCode.INVALID, "CallDuration is missing"))
    return run_id


def decided(ledger: Ledger, session_id: str, **changes: Any) -> RowOutcome | None:
    """What a run does that reads the call: None if it sends it."""
    claim = claim_of(ledger, session_id, **changes)
    decisions, _ = ledger.record(ledger.start("test", ""), [claim], [], resend=False)
    [decision] = decisions or []
    return end_of(decision)


def held(ledger: Ledger, table: sa.Table) -> list[Mapping[str, Any]]:
    with ledger.reading() as connection:
        return [dict(row) for row in connection.execute(sa.select(table).order_by(*table.primary_key)).mappings()]


def with_one_of_each(ledger: Ledger) -> str:
    """Calls that are named after their states, of which one came again with other content; a dead letter, and one that
    was dismissed. Returns the id of the last run.
    """
    sent(ledger, OK, "delivered", "changed")
    sent(ledger, NO_ANSWER, "unknown")
    sent(ledger, REFUSED, "rejected")
    read_by_a_run(ledger, [examples.call("dismissed", CallDuration=None)])
    assert Corrections(ledger).dismiss(Selection(), ALICE) == 1
    return read_by_a_run(
        ledger, [examples.call("changed", TalkDuration=1), examples.call("invalid", CallDuration=None)]
    )


def moved(ledger: Ledger, by: timedelta) -> None:
    """All that calls, marks and dead letters tell of times was then."""
    with ledger.writing() as connection:
        for column in (calls.c.changed_at, changed_calls.c.last_at, dead_letters.c.last_at, runs.c.started_at):
            connection.execute(sa.update(column.table).values({column: column + by.total_seconds()}))


def test_calls_and_dead_letters_are_found_alike_however_they_are_asked_for(ledger: Ledger) -> None:
    last_run = with_one_of_each(ledger)
    listing = Listing(ledger, BatchSizes(fetched=2))

    def found(**conditions: Any) -> set[str]:
        selection = Selection(**conditions)
        names = sorted(row["CallSessionId"] for row in listing.latest(selection, 100))
        assert names == sorted(row["CallSessionId"] for row in listing.newest(selection))
        assert names == sorted(row["CallSessionId"] for row in listing.each(selection))
        assert listing.total(selection) == len(names) == len(set(names))
        return set(names)

    everything = {"delivered", "changed", "unknown", "rejected", "invalid"}
    assert found() == found(states=LISTED) == everything
    assert found(states=["invalid"]) == {"invalid"}
    assert found(states=["changed"]) == {"changed"}
    assert found(states=["delivered"]) == found(states=["delivered", "changed"]) == {"delivered", "changed"}
    assert found(states=["invalid", "changed", "unknown"]) == {"invalid", "changed", "unknown"}
    assert found(run_id=last_run) == {"invalid"}
    assert found(reason="DURATION") == {"invalid"}
    assert found(reason_code=ProblemCode.MISSING) == {"invalid"}
    assert found(states=["rejected"], reason_code=ProblemCode.MISSING) == set()
    assert found(reason_code="ok") == {"delivered", "changed"}
    assert found(states=["changed"], reason_code="ok") == {"changed"}
    assert found(call_session_ids=["invalid", "changed", "dismissed"]) == {"invalid", "changed"}
    assert found(states=["changed"], call_session_ids=["delivered", "changed"]) == {"changed"}
    assert found(status=0) == {"unknown"}, "a dead letter has no status, not even none"
    assert found(campaign_ids=["1000"]) == everything - {"invalid"}, "and no campaign"
    assert found(media_ids=["nobody"]) == set()
    assert found(media_ids=[str(claim_of(ledger, "invalid").call.MediaId)]) == everything


def test_any_selection_finds_the_same_by_every_question(ledger: Ledger) -> None:
    with_one_of_each(ledger)
    moved(ledger, AGO)
    sent(ledger, OK, "new")
    read_by_a_run(ledger, [examples.call("delivered", TalkDuration=1), examples.call("bad", CallDuration=None)])
    listing, now = Listing(ledger, BatchSizes(keys=1, walked=2, fetched=2)), datetime.now(UTC)
    moments = st.sampled_from([None, now + 2 * AGO, now + AGO / 2, now + LATER])
    selections = st.builds(
        Selection,
        states=st.lists(st.sampled_from(LISTED), unique=True),
        since=moments,
        until=moments,
        reason_code=st.sampled_from([None, None, "ok", "missing", "refused"]),
        call_session_ids=st.sampled_from([(), (), ("delivered", "changed", "bad"), ("invalid",)]),
    )

    def found(selection: Selection) -> list[str]:
        return sorted(row["key"] for row in listing.newest(selection))

    @settings(max_examples=scaled(60), deadline=None)
    @given(selections)
    def asked(selection: Selection) -> None:
        keys = found(selection)
        assert len(set(keys)) == len(keys) == listing.total(selection)
        assert keys == sorted(row["key"] for row in listing.latest(selection, 100))
        assert keys == sorted(row["key"] for row in listing.each(selection))
        of_each = {state: found(replace(selection, states=[state])) for state in selection.states or LISTED}
        assert set(keys) == {key for of_state in of_each.values() for key in of_state}
        counts = listing.count(selection)
        assert {state: counts[state] for state in of_each} == {state: len(of) for state, of in of_each.items()}

    asked()


def test_each_is_listed_in_the_same_columns_and_tells_what_it_has(ledger: Ledger) -> None:
    last_run = with_one_of_each(ledger)
    rows = {row["CallSessionId"]: row for row in Listing(ledger).latest(Selection(), 100)}
    assert {tuple(row) for row in rows.values()} == {LISTED_COLUMNS}
    letter, changed = rows["invalid"], rows["changed"]
    assert (letter["state"], letter["reason_code"], letter["run_id"], letter["attempts"]) == (
        "invalid",
        ProblemCode.MISSING,
        last_run,
        0,
    )
    assert (letter["problems"], letter["row"], letter["times"]) == (
        [{"parameter": "CallDuration", "code": "missing"}],
        2,
        1,
    )
    assert (changed["state"], changed["came_again_times"]) == ("delivered", 1)
    assert changed["came_again_at"] > changed["changed_at"]
    assert rows["delivered"]["came_again_at"] is None
    absent = ("CampaignId", "ActionTrackerId", "CallProvider", "EventDate", "status", "came_again_at")
    assert {letter[name] for name in absent} == {None}


def test_changed_calls_are_counted_beside_their_state(ledger: Ledger) -> None:
    with_one_of_each(ledger)
    count = Listing(ledger).count
    assert count(Selection()) == {"delivered": 2, "unknown": 1, "rejected": 1, "invalid": 1, "changed": 1}
    assert count(Selection(states=["changed"])) == {"changed": 1}
    assert count(Selection(states=["delivered", "invalid"])) == {"delivered": 2, "invalid": 1}


def test_a_period_is_of_when_a_call_came_again_or_a_row_was_read(ledger: Ledger) -> None:
    sent(ledger, OK, "a", "b")
    moved(ledger, AGO)
    read_by_a_run(ledger, [examples.call("a", TalkDuration=1), examples.call("c", CallDuration=None)])
    listing, now = Listing(ledger), datetime.now(UTC)
    since, until = now + AGO / 2, now + LATER
    period = {"since": since, "until": until}

    def found(**conditions: Any) -> list[str]:
        rows = [row["CallSessionId"] for row in listing.newest(Selection(**conditions))]
        assert listing.total(Selection(**conditions)) == len(rows)
        return rows

    assert found(states=["changed"], **period) == ["a"]
    assert found(states=["delivered", "changed"], **period) == ["a"]
    assert found(states=["delivered"], **period) == []
    assert sorted(found(**period)) == ["a", "c"], "as the count has them"
    assert listing.count(Selection(since=since, until=until)) == {"changed": 1, "invalid": 1}
    assert sorted(found(until=since)) == ["a", "b"]
    assert listing.count(Selection(until=since)) == {"delivered": 2}
    assert found(states=["invalid"], **period) == ["c"]
    assert found(states=["changed", "invalid"], until=since) == []


def test_a_list_of_several_kinds_has_the_newest_first(ledger: Ledger) -> None:
    sent(ledger, OK, "a")
    read_by_a_run(ledger, [examples.call("b", CallDuration=None)])
    sent(ledger, NO_ANSWER, "c")
    read_by_a_run(ledger, [examples.call("a", TalkDuration=1)])
    latest = Listing(ledger).latest
    assert [row["CallSessionId"] for row in latest(Selection(), 2)] == ["c", "b"]
    states = ["changed", "invalid", "unknown"]
    assert [row["CallSessionId"] for row in latest(Selection(states=states), 3)] == ["a", "c", "b"]


def test_many_are_found_page_by_page(ledger: Ledger) -> None:
    names = [f"call-{number}" for number in range(7)]
    sent(ledger, OK, *names)
    read_by_a_run(ledger, [examples.call(name, TalkDuration=1) for name in names])
    read_by_a_run(ledger, [examples.call(f"bad-{number}", CallDuration=None) for number in range(7)])
    sizes = BatchSizes(keys=2, walked=3, fetched=2)
    selection = Selection(states=["changed", "invalid"])
    for ask in (Listing(ledger, sizes).newest, Listing(ledger, sizes).each):
        found = [row["CallSessionId"] for row in ask(selection)]
        assert len(found) == len(set(found)) == 14
    corrections = Corrections(ledger, sizes)
    assert (corrections.accept(Selection(), ALICE), corrections.dismiss(Selection(), ALICE)) == (7, 7)
    assert Listing(ledger).total(selection) == 0


def test_an_accepted_call_is_as_it_came_until_it_comes_otherwise(ledger: Ledger) -> None:
    sent(ledger, OK, "a", "b")
    read_by_a_run(ledger, [examples.call("a", TalkDuration=1), examples.call("b", TalkDuration=1)])
    before = held(ledger, calls)
    history = CallQueries(ledger).history(Selection(call_session_ids=["a"]))
    assert Corrections(ledger).accept(Selection(call_session_ids=["a"]), ALICE) == 1
    after = held(ledger, calls)
    assert [{**row, "fingerprint": 0} for row in before] == [{**row, "fingerprint": 0} for row in after]
    assert decided(ledger, "a", TalkDuration=1) is RowOutcome.ALREADY_DELIVERED
    assert decided(ledger, "a") is RowOutcome.CHANGED
    assert decided(ledger, "b", TalkDuration=1) is RowOutcome.CHANGED
    *told, accepted = CallQueries(ledger).history(Selection(call_session_ids=["a"]))
    assert told == history
    assert (accepted["state"], accepted["reason_code"]) == ("delivered", ReasonCode.ACCEPTED)
    assert (accepted["actor"], accepted["reason"]) == (ALICE.actor, ALICE.why)
    assert [row["CallSessionId"] for row in CallQueries(ledger).each(Selection(states=["changed"]))] == ["b"]
    [run] = [run for run in last_runs(ledger, 10) if run["kind"] == "accept"]
    assert (run["actor"], run["why"], run["changed_rows"]) == (ALICE.actor, ALICE.why, 1)


def test_a_mark_that_is_written_after_its_content_was_accepted_is_none(ledger: Ledger) -> None:
    sent(ledger, OK, "a")
    for _ in range(2):
        read_by_a_run(ledger, [examples.call("a", TalkDuration=1)])
        Corrections(ledger).accept(Selection(), ALICE)
    assert Listing(ledger).count(Selection()) == {"delivered": 1}
    read_by_a_run(ledger, [examples.call("a", TalkDuration=2)])
    assert Listing(ledger).count(Selection(states=["changed"])) == {"changed": 1}


def test_a_mark_of_a_call_that_is_not_delivered_counts_once_it_is(ledger: Ledger) -> None:
    sent(ledger, NO_ANSWER, "a")
    read_by_a_run(ledger, [examples.call("a", TalkDuration=1)])
    corrections = Corrections(ledger)
    assert Listing(ledger).count(Selection()) == {"unknown": 1}
    assert corrections.accept(Selection(), ALICE) == 0
    corrections.resolve(Selection(), ALICE, delivered=True)
    assert Listing(ledger).count(Selection()) == {"delivered": 1, "changed": 1}
    assert corrections.resolve(Selection(states=["delivered"]), ALICE, delivered=False) == 1
    assert held(ledger, changed_calls) == [], "a mark is one of a delivered call"


def test_what_is_dismissed_is_not_listed_and_its_run_says_who_and_how_many(ledger: Ledger) -> None:
    read_by_a_run(ledger, [examples.call(name, CallDuration=None) for name in "abc"])
    assert Corrections(ledger).dismiss(Selection(call_session_ids=["a", "b"]), ALICE) == 2
    assert Listing(ledger).count(Selection()) == {"invalid": 1}
    assert Corrections(ledger).dismiss(Selection(call_session_ids=["a"]), ALICE) == 0
    run = last_runs(ledger, 2)[1]
    assert (run["kind"], run["actor"], run["why"], run["rejected_rows"]) == ("dismiss", ALICE.actor, ALICE.why, 2)


@pytest.mark.parametrize("change", ["requeue", "resolve", "accept", "dismiss"])
def test_more_than_a_person_agreed_to_are_not_changed(ledger: Ledger, change: str) -> None:
    sent(ledger, NO_ANSWER, "u1", "u2")
    sent(ledger, OK, "c1", "c2")
    read_by_a_run(ledger, [examples.call(name, TalkDuration=1) for name in ("c1", "c2")])
    read_by_a_run(ledger, [examples.call(name, CallDuration=None) for name in ("i1", "i2")])
    options: dict[str, Any] = {"delivered": True} if change == "resolve" else {}
    tables = (calls, changed_calls, dead_letters, runs)
    before = [held(ledger, table) for table in tables]
    correct = getattr(Corrections(ledger), change)
    for too_few in (1, 0, -1):
        with pytest.raises(InvalidOption, match=r"^at_most"):
            correct(Selection(), ALICE, at_most=too_few, **options)
    assert [held(ledger, table) for table in tables] == before
    assert correct(Selection(), ALICE, at_most=2, **options) == 2
    assert correct(Selection(), ALICE, at_most=0, **options) == 0, "as none is left"


@pytest.mark.parametrize(("change", "states"), [("accept", ["delivered"]), ("dismiss", ["rejected", "invalid"])])
def test_what_cannot_be_changed_so_is_refused_by_name(ledger: Ledger, change: str, states: list[str]) -> None:
    with pytest.raises(InvalidOption, match=f"^{states[0]} "):
        getattr(Corrections(ledger), change)(Selection(states=states), ALICE)


def test_another_namespaces_are_left_alone(ledger: Ledger) -> None:
    with_one_of_each(ledger)
    elsewhere = Ledger(ledger.engine, "http://127.0.0.1:8900")
    assert Listing(elsewhere).count(Selection()) == {}
    by_id = Selection(states=["changed", "invalid"], call_session_ids=["changed", "invalid"])
    assert Listing(elsewhere).latest(by_id, 10) == []
    other = Corrections(elsewhere)
    assert (other.accept(Selection(), ALICE), other.dismiss(Selection(), ALICE)) == (0, 0)
    assert other.dismiss(Selection(call_session_ids=["invalid"]), ALICE) == 0
    assert Listing(ledger).total(by_id) == 2


def test_purge_forgets_old_dead_letters_and_what_is_left_of_calls_and_runs(ledger: Ledger) -> None:
    with_one_of_each(ledger)
    moved(ledger, 2 * AGO)
    kept = read_by_a_run(ledger, [examples.call("young", CallDuration=None), examples.call("c", TalkDuration=1)])
    # Read by a run that began long ago.
    with ledger.writing() as connection:
        connection.execute(sa.update(runs).values(lease_until=0.0))
        connection.execute(sa.update(runs).where(runs.c.run_id == kept).values(started_at=0.0))
    before = datetime.now(UTC) + AGO
    assert purgeable(ledger, before) == {"delivered": 2, "rejected": 1, "invalid": 2}
    purged = purge(ledger, before, ALICE, BatchSizes(purged=1))
    assert (purged["delivered"], purged["rejected"], purged["invalid"]) == (2, 1, 2), "a dismissed one, too"
    assert [row["CallSessionId"] for row in held(ledger, dead_letters)] == ["young"]
    assert [row["key"] for row in held(ledger, changed_calls)] == [claim_of(ledger, "c").key]
    assert {row["run_id"] for row in held(ledger, run_rows)} == {kept}, "what reads a dead letter stays, and its counts"
    assert kept in {row["run_id"] for row in held(ledger, runs)}
    assert purge(ledger, before, ALICE) == {"runs": 0}


def test_another_namespaces_dead_letters_are_not_purged(ledger: Ledger) -> None:
    read_by_a_run(ledger, [examples.call("a", CallDuration=None)])
    elsewhere = Ledger(ledger.engine, "http://127.0.0.1:8900")
    assert purgeable(elsewhere, datetime.now(UTC) + LATER) == {}
    assert purge(elsewhere, datetime.now(UTC) + LATER, ALICE)["invalid"] == 0
    assert len(held(ledger, dead_letters)) == 1


@pytest.mark.parametrize(
    "recorded",
    [
        lambda corrections, claim: corrections.resolve(
            Selection(call_session_ids=[claim.call.CallSessionId]), ALICE, delivered=True
        ),
        lambda corrections, claim: corrections.prove([claim.key], ALICE),
        lambda corrections, claim: corrections.adopt([claim], ALICE)["unknown"],
    ],
    ids=["resolved", "proven", "adopted"],
)
def test_dead_letters_of_a_call_go_once_a_person_records_it_as_delivered(
    ledger: Ledger, recorded: Callable[[Corrections, Claim], int]
) -> None:
    sent(ledger, NO_ANSWER, "a", "b")
    # Under the key of the call and under another, as its campaign differs, and those of other calls.
    of_others = [examples.call("b", CallDuration=None), examples.call("a", CallDuration=None, CallProvider="Other")]
    of_a = [examples.call("a", CallDuration=None), examples.call("a", CallDuration=None, CampaignId=2)]
    read_by_a_run(ledger, [*of_a, *of_others])
    assert len(held(ledger, dead_letters)) == 4
    assert recorded(Corrections(ledger), claim_of(ledger, "a")) == 1
    assert sorted(row["row"] for row in held(ledger, dead_letters)) == [3, 4]


def test_a_call_that_is_adopted_as_new_takes_its_dead_letter_away(ledger: Ledger) -> None:
    read_by_a_run(ledger, [examples.call("a", CallDuration=None)])
    Corrections(ledger).adopt([claim_of(ledger, "a")], ALICE)
    assert held(ledger, dead_letters) == []


def test_a_call_that_is_recorded_as_not_delivered_keeps_its_dead_letter(ledger: Ledger) -> None:
    sent(ledger, NO_ANSWER, "a")
    read_by_a_run(ledger, [examples.call("a", CallDuration=None)])
    assert Corrections(ledger).resolve(Selection(), ALICE, delivered=False) == 1
    assert len(held(ledger, dead_letters)) == 1
