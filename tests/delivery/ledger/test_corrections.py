"""What people do with the ledger after the fact, on SQLite and on PostgreSQL."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from time import sleep
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError, SQLAlchemyError

from airflow_provider_impactcall.defaults import DEFAULT_KEY
from airflow_provider_impactcall.delivery.identity import Claim, identify
from airflow_provider_impactcall.delivery.items import Call
from airflow_provider_impactcall.delivery.ledger.batch_sizes import BatchSizes
from airflow_provider_impactcall.delivery.ledger.corrections import Corrections
from airflow_provider_impactcall.delivery.ledger.edits import Author
from airflow_provider_impactcall.delivery.ledger.entries import HISTORY
from airflow_provider_impactcall.delivery.ledger.listing import Listing
from airflow_provider_impactcall.delivery.ledger.purge import purge
from airflow_provider_impactcall.delivery.ledger.queries import CallQueries
from airflow_provider_impactcall.delivery.ledger.row_writer import RowWriter
from airflow_provider_impactcall.delivery.ledger.rules import Send, Settlement
from airflow_provider_impactcall.delivery.ledger.run_queries import last_runs
from airflow_provider_impactcall.delivery.ledger.schema import Now, calls, runs
from airflow_provider_impactcall.delivery.ledger.seen import Seen
from airflow_provider_impactcall.delivery.ledger.selection import Selection
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import (
    Attempt,
    CallState,
    DeliveryReport,
    Outcome,
    ReasonCode,
    RowOutcome,
)
from airflow_provider_impactcall.delivery.timings import Timings
from airflow_provider_impactcall.exceptions import CorrectionUnfinished, InvalidOption
from airflow_provider_impactcall.records import CallRecord
from tests import examples
from tests.delivery.decisions import end_of, fence_of
from tests.delivery.ledgers import DirectWriter
from tests.delivery.scripted import ERROR_500, NO_ANSWER, OK, REFUSED

NAMESPACE = "https://calls.example.com"
ALICE = Author("alice", "impact.com's support says so")
ENDS = {"delivered": OK, "rejected": REFUSED, "unknown": NO_ANSWER, "not_sent": ERROR_500}


def claim_of(session_id: str, **changes: Any) -> Claim:
    return identify(NAMESPACE, DEFAULT_KEY, CallRecord.of(examples.call(session_id, **changes)))


def attempted(ledger: Ledger, attempt: Attempt | None, *session_ids: str) -> str:
    """Calls that a run sent, and what came of them; None if that run is still at it. Returns the run's id."""
    run_id = ledger.start("test", "")
    claims = [claim_of(session_id) for session_id in session_ids]
    decisions, _ = ledger.record(run_id, claims, [], resend=False)
    if attempt is not None:
        fences = [fence_of(decision) or 0 for decision in decisions or []]
        ended = [Settlement(claim.key, fence, attempt) for claim, fence in zip(claims, fences, strict=True)]
        ledger.record(run_id, [], ended, resend=False)
    return run_id


def expire(ledger: Ledger, run_id: str) -> None:
    with ledger.writing() as connection:
        connection.execute(sa.update(runs).where(runs.c.run_id == run_id).values(lease_until=0.0))


def states(ledger: Ledger) -> dict[str, str]:
    return {row["CallSessionId"]: row["state"] for row in CallQueries(ledger).each(Selection())}


def what_a_run_does(
    ledger: Ledger, session_id: str, attempt: Attempt = OK, *, resend: bool = False
) -> RowOutcome | None:
    """What the next run that reads the call does with it: None if it sends it."""
    writer = DirectWriter(ledger, resend=resend)
    claim = writer.identify(claim_of(session_id).call)

    async def send() -> RowOutcome | None:
        decisions, _ = await writer.record([claim], [])
        [decision] = decisions or []
        if isinstance(decision, Send):
            await writer.record([], [Settlement(claim.key, decision.fence, attempt)])
        return end_of(decision)

    return asyncio.run(send())


class Interposed(Ledger):
    """The same ledger, in which something happens once what was selected has been read.

    :param happens: in transactions of its own
    """

    def __init__(self, ledger: Ledger, happens: Callable[[], object]) -> None:
        super().__init__(ledger.engine, ledger.namespace, ledger.timings)
        self.happens: Callable[[], object] | None = happens

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with super().reading() as connection:
            yield connection
        happens, self.happens = self.happens, None
        if happens is not None:
            happens()


def with_one_call_each(ledger: Ledger) -> None:
    """A call in every state there is, named after it; ``died`` is one that a dead run left open."""
    for state, attempt in ENDS.items():
        attempted(ledger, attempt, state)
    attempted(ledger, None, "open")
    expire(ledger, attempted(ledger, None, "died"))
    attempted(ledger, NO_ANSWER, "requeued")
    assert Corrections(ledger).requeue(Selection(call_session_ids=["requeued"]), ALICE) == 1


OWN = ("CallSessionId", "CampaignId", "ActionTrackerId", "CallProvider", "MediaId", "EventDate")
OF_ANOTHER_PARTNER = {"MediaId": 20000, "EventDate": "2026-09-10T22:59:59-08:00"}


def shown(ledger: Ledger) -> dict[str, dict[str, str]]:
    """The own values of each call, as people see them."""
    rows = CallQueries(ledger).each(Selection())
    return {row["key"]: {name: row[name] for name in OWN} for row in rows}


def own_of(claim: Claim) -> dict[str, str]:
    return dict(zip(OWN, claim.call.key(OWN), strict=True))


@pytest.mark.parametrize("before", ["rejected", "unknown", "not_sent", "requeued", "died"])
@pytest.mark.parametrize("key", [DEFAULT_KEY, ("SubId1",)], ids=["default", "custom"])
def test_a_call_that_is_sent_again_with_other_content_is_shown_as_it_was_sent_last(
    ledger: Ledger, before: str, key: Sequence[str]
) -> None:
    """With a key of one's own, whatever is not in it may change."""
    names = ["it's %s", "bystander", "in-the-group"]
    rows = [examples.call(name, SubId1=name) for name in names]
    mended = {**rows[0], **OF_ANOTHER_PARTNER}
    if key != DEFAULT_KEY:
        mended |= {"CampaignId": 2000, "ActionTrackerId": 5000, "CallProvider": 'a "b" \\', "CallSessionId": "new"}
    first, bystander, third = (identify(NAMESPACE, key, CallRecord.of(row)) for row in rows)
    again = identify(NAMESPACE, key, CallRecord.of(mended))
    assert (again.key, again.fingerprint != first.fingerprint) == (first.key, True)
    run_id = ledger.start("test", "")
    ledger.record(run_id, [first, bystander, third], [], resend=False)
    attempt = ENDS.get(before, NO_ANSWER)
    others = [Settlement(bystander.key, 1, NO_ANSWER), Settlement(third.key, 1, ERROR_500)]
    ended = [] if before == "died" else [Settlement(first.key, 1, attempt)]
    ledger.record(run_id, [], [*ended, *others], resend=False)
    expire(ledger, run_id)
    if before == "requeued":
        Corrections(ledger).requeue(Selection(call_session_ids=[names[0]]), ALICE)
    assert shown(ledger)[first.key] == own_of(first)

    run_id, known = ledger.start("test", ""), [again._replace(is_known=True), third._replace(is_known=True)]
    decisions, _ = ledger.record(run_id, known, [], resend=before in ("unknown", "died"))
    assert [fence_of(decision) for decision in decisions or []] == [2, 2]
    expected = {first.key: own_of(again), bystander.key: own_of(bystander), third.key: own_of(third)}
    assert shown(ledger) == expected, "before the answer: nobody may ever learn of it"
    ledger.record(run_id, [], [Settlement(claim.key, 2, OK) for claim in known], resend=False)
    assert shown(ledger) == expected
    assert Listing(ledger).count(Selection(states=["delivered"], media_ids=["20000"])) == {"delivered": 1}


def test_a_call_that_stays_held_is_shown_as_it_was_sent(ledger: Ledger) -> None:
    """It came again with other content, and a dead run's call is recorded as such, but nothing was sent."""
    claim, again = claim_of("died"), claim_of("died", **OF_ANOTHER_PARTNER)
    expire(ledger, attempted(ledger, None, "died"))
    ledger.record(ledger.start("test", ""), [again._replace(is_known=True)], [], resend=False)
    assert states(ledger) == {"died": "unknown"}
    assert shown(ledger) == {claim.key: own_of(claim)}


def test_another_run_s_content_is_kept_even_if_the_fingerprint_is_the_same(ledger: Ledger) -> None:
    """A fingerprint of 16 bits misses one changed call in 65,536."""
    attempted(ledger, ERROR_500, "a")
    again = claim_of("a", **OF_ANOTHER_PARTNER)._replace(is_known=True, fingerprint=claim_of("a").fingerprint)
    ledger.record(ledger.start("test", ""), [again], [], resend=False)
    assert shown(ledger) == {again.key: own_of(again)}


@pytest.mark.parametrize("before", ["rejected", "unknown", "not_sent"])
def test_a_call_that_is_adopted_is_shown_as_the_other_tool_sent_it(ledger: Ledger, before: str) -> None:
    attempted(ledger, ENDS[before], "a")
    attempted(ledger, OK, "delivered")
    adopted = claim_of("a", **OF_ANOTHER_PARTNER)
    left_alone = claim_of("delivered", **OF_ANOTHER_PARTNER)
    found = Corrections(ledger).adopt([adopted, left_alone], ALICE)
    assert found == {before: 1, "delivered": 1}
    delivered = claim_of("delivered")
    assert shown(ledger) == {adopted.key: own_of(adopted), delivered.key: own_of(delivered)}


def test_a_call_is_found_by_all_that_it_is_known_by(ledger: Ledger) -> None:
    with_one_call_each(ledger)
    run_id = attempted(ledger, NO_ANSWER, "late%")

    def found(**conditions: Any) -> set[str]:
        listed = {row["CallSessionId"] for row in CallQueries(ledger).latest(Selection(**conditions), 100)}
        assert listed == {row["CallSessionId"] for row in CallQueries(ledger).each(Selection(**conditions))}
        assert len(listed) == CallQueries(ledger).count(Selection(**conditions)).total()
        return listed

    assert len(found()) == 8
    assert found(states=["unknown"]) == {"unknown", "died", "late%"}
    assert found(states=["open", "requeued"]) == {"open", "requeued"}
    assert found(reason="VALIDATION") == {"rejected"}
    assert found(reason="%") == set(), "a wildcard is none"
    assert found(run_id=run_id) == {"late%"}
    assert found(call_session_ids=["late%", "open", "nobody"]) == {"late%", "open"}
    now = datetime.now(UTC)
    assert len(found(since=now - timedelta(minutes=5), until=now + timedelta(minutes=5))) == 8
    assert found(until=now - timedelta(minutes=5)) == set()
    assert found(states=["unknown"], reason="validation") == set()


def test_a_thousand_calls_are_listed_once_each(ledger: Ledger) -> None:
    names = [f"call-{number}" for number in range(1201)]
    for start in range(0, len(names), 400):
        attempted(ledger, OK, *names[start : start + 400])
    assert sorted(row["CallSessionId"] for row in CallQueries(ledger).each(Selection())) == sorted(names)
    assert len(CallQueries(ledger).latest(Selection(), 10)) == 10


def test_a_list_shows_no_number(ledger: Ledger) -> None:
    with_one_call_each(ledger)
    shown = str(
        [*CallQueries(ledger).each(Selection()), *CallQueries(ledger).history(Selection()), *last_runs(ledger, 100)]
    )
    assert "ExampleVendor" in shown
    assert examples.CALLER not in shown


def test_requeued_calls_are_sent_by_the_next_run_that_reads_them(ledger: Ledger) -> None:
    with_one_call_each(ledger)
    assert Corrections(ledger).requeue(Selection(), ALICE) == 3
    assert {"rejected": "not_sent", "unknown": "requeued", "died": "requeued"}.items() <= states(ledger).items()
    for session_id in ("rejected", "unknown", "died"):
        assert what_a_run_does(ledger, session_id) is None
        assert states(ledger)[session_id] == "delivered"


def test_a_requeued_call_keeps_its_place_until_it_has_arrived_and_stays_unknown_if_refused(ledger: Ledger) -> None:
    attempted(ledger, NO_ANSWER, "a")
    Corrections(ledger).requeue(Selection(states=["unknown"]), ALICE)
    assert what_a_run_does(ledger, "a", ERROR_500) is None
    assert states(ledger) == {"a": "requeued"}, "the endpoint said that it did not process it"
    assert what_a_run_does(ledger, "a", REFUSED) is None
    assert states(ledger) == {"a": "unknown"}, "the first one may have been processed"
    assert what_a_run_does(ledger, "a") is RowOutcome.UNKNOWN, "and it is not sent again by itself"


def test_resolved_calls_are_not_sent_or_are(ledger: Ledger) -> None:
    attempted(ledger, NO_ANSWER, "there", "lost")
    corrections = Corrections(ledger)
    assert corrections.resolve(Selection(call_session_ids=["there"]), ALICE, delivered=True) == 1
    assert corrections.resolve(Selection(call_session_ids=["lost"]), ALICE, delivered=False) == 1
    assert what_a_run_does(ledger, "there") is RowOutcome.ALREADY_DELIVERED
    assert what_a_run_does(ledger, "lost", REFUSED) is None
    assert states(ledger) == {"there": "delivered", "lost": "rejected"}, "a call that never arrived can be refused"


def test_what_a_person_recorded_can_be_taken_back_but_not_what_an_answer_proved(ledger: Ledger) -> None:
    attempted(ledger, OK, "answered")
    attempted(ledger, NO_ANSWER, "asserted")
    corrections = Corrections(ledger)
    corrections.resolve(Selection(states=["unknown"]), ALICE, delivered=True)
    corrections.adopt([claim_of("adopted")], ALICE)
    assert corrections.resolve(Selection(states=["delivered"]), ALICE, delivered=False) == 2
    assert states(ledger) == {"answered": "delivered", "asserted": "not_sent", "adopted": "not_sent"}


def test_what_is_in_flight_is_left_alone(ledger: Ledger) -> None:
    attempted(ledger, None, "a")
    corrections = Corrections(ledger)
    assert corrections.requeue(Selection(), ALICE) == 0
    assert corrections.resolve(Selection(), ALICE, delivered=True) == 0
    assert corrections.adopt([claim_of("a")], ALICE) == {"open": 1}
    assert states(ledger) == {"a": "open"}


def test_a_late_answer_still_is_believed_after_a_person_spoke(ledger: Ledger) -> None:
    late = attempted(ledger, None, "a")
    expire(ledger, late)
    Corrections(ledger).resolve(Selection(), ALICE, delivered=False)
    ledger.record(late, [], [Settlement(claim_of("a").key, 1, OK)], resend=False)
    assert what_a_run_does(ledger, "a") is RowOutcome.ALREADY_DELIVERED


def test_adopted_calls_are_never_sent_and_changed_ones_are_seen(ledger: Ledger) -> None:
    with_one_call_each(ledger)
    corrections = Corrections(ledger)
    names = [*ENDS, "open", "died", "requeued", "new", "new"]
    found = corrections.adopt([claim_of(name) for name in names], ALICE)
    assert found == {"new": 1, "rejected": 1, "unknown": 2, "not_sent": 1, "requeued": 1, "delivered": 1, "open": 1}
    assert {state for name, state in states(ledger).items() if name != "open"} == {"delivered"}
    assert what_a_run_does(ledger, "new") is RowOutcome.ALREADY_DELIVERED
    decisions, _ = ledger.record(ledger.start("", ""), [claim_of("new", TalkDuration=1)], [], resend=True)
    assert [end_of(decision) for decision in decisions or []] == [RowOutcome.CHANGED]
    assert corrections.adopt([claim_of("new")], ALICE) == {"delivered": 1}, "a second time, nothing is left to adopt"


def test_proven_calls_are_delivered(ledger: Ledger) -> None:
    attempted(ledger, NO_ANSWER, "a", "b")
    attempted(ledger, REFUSED, "c")
    assert Corrections(ledger).prove([claim_of(name).key for name in "ac"], ALICE) == 1
    assert states(ledger) == {"a": "delivered", "b": "unknown", "c": "rejected"}


def test_each_change_is_recorded_with_who_when_and_why(ledger: Ledger) -> None:
    attempted(ledger, NO_ANSWER, "a")
    corrections = Corrections(ledger)
    corrections.requeue(Selection(call_session_ids=["a"]), ALICE)
    corrections.resolve(Selection(call_session_ids=["a"]), Author("bob", "found it"), delivered=True)
    told = [(row["state"], row["actor"], row["reason"]) for row in CallQueries(ledger).history(Selection())]
    assert told[2:] == [("requeued", "alice", ALICE.why), ("delivered", "bob", "found it")]
    assert [row["kind"] for row in last_runs(ledger, 10)] == ["resolve", "requeue", "deliver"]
    last = last_runs(ledger, 1)[0]
    assert (last["actor"], last["why"], last["delivered_rows"]) == ("bob", "found it", 1)
    assert datetime.fromisoformat(last["ended_at"]).tzinfo is not None
    (row,) = CallQueries(ledger).each(Selection())
    assert re.findall("bob|found it", row["reason"]) == ["bob", "found it"]


def age(ledger: Ledger, *session_ids: str) -> None:
    ago = (datetime.now(UTC) - timedelta(days=400)).timestamp()
    with ledger.writing() as connection:
        connection.execute(
            sa.update(calls).where(calls.c.CallSessionId.in_(session_ids)).values(changed_at=ago, first_at=ago)
        )
        connection.execute(sa.update(runs).values(started_at=ago, lease_until=0.0))


def test_purge_forgets_settled_calls_of_that_age_with_their_history(ledger: Ledger) -> None:
    with_one_call_each(ledger)
    attempted(ledger, OK, "young")
    age(ledger, *ENDS, "died", "requeued")
    with ledger.reading() as connection:
        runs_before = connection.execute(sa.select(sa.func.count()).select_from(runs)).scalar_one()
    purged = purge(ledger, datetime.now(UTC) - timedelta(days=365), ALICE)
    kept = {"unknown", "died", "requeued", "open", "young"}
    assert purged == {"delivered": 1, "rejected": 1, "not_sent": 1, "runs": 3}
    assert states(ledger).keys() == kept
    with ledger.reading() as connection:
        assert set(connection.execute(sa.select(HISTORY.c.key)).scalars()) == {claim_of(name).key for name in kept}
        assert connection.execute(sa.select(sa.func.count()).select_from(runs)).scalar_one() == runs_before - 3 + 1
    assert what_a_run_does(ledger, "delivered") is None, "what is forgotten is sent again"


def test_another_namespaces_calls_are_left_alone(ledger: Ledger) -> None:
    with_one_call_each(ledger)
    before = states(ledger)
    elsewhere = Ledger(ledger.engine, "http://127.0.0.1:8900")
    other = Corrections(elsewhere)
    assert CallQueries(elsewhere).count(Selection()) == {}
    assert other.requeue(Selection(), ALICE) == 0
    assert other.resolve(Selection(), ALICE, delivered=True) == 0
    assert purge(elsewhere, datetime.now(UTC) + timedelta(days=1), ALICE) == {"runs": 2}, "its own, just now"
    assert states(ledger) == before


@pytest.mark.parametrize(
    ("change", "meanwhile", "stays"),
    [
        (
            lambda of: of.resolve(Selection(), ALICE, delivered=False),
            lambda of, key: of.prove([key], ALICE),
            "delivered",
        ),
        (
            lambda of: of.resolve(Selection(), ALICE, delivered=True),
            lambda of, _: of.resolve(Selection(states=["unknown"]), ALICE, delivered=False),
            "not_sent",
        ),
    ],
    ids=["proven", "resolved otherwise"],
)
def test_a_call_that_is_in_another_state_since_it_was_selected_is_left_alone(
    change: Callable[[Corrections], int], meanwhile: Callable[[Corrections, str], int], stays: str, ledger: Ledger
) -> None:
    attempted(ledger, NO_ANSWER, "a")
    key = claim_of("a").key
    assert change(Corrections(Interposed(ledger, lambda: meanwhile(Corrections(ledger), key)))) == 0
    assert states(ledger) == {"a": stays}


def sent_again(ledger: Ledger, session_id: str, attempt: Attempt) -> None:
    """A call that somebody requeues, and that a run sends again."""
    assert Corrections(ledger).requeue(Selection(call_session_ids=[session_id]), Author("bob", "a test")) == 1
    assert what_a_run_does(ledger, session_id, attempt) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda of, seen: of.requeue(seen, ALICE),
        lambda of, seen: of.resolve(seen, ALICE, delivered=True),
        lambda of, seen: of.resolve(seen, ALICE, delivered=False),
    ],
    ids=["requeue", "resolve as delivered", "resolve as not delivered"],
)
def test_only_what_was_seen_is_changed_and_only_if_it_is_still_the_same(
    ledger: Ledger, change: Callable[[Corrections, Seen], int]
) -> None:
    attempted(ledger, NO_ANSWER, "same", "sent again")
    expire(ledger, attempted(ledger, None, "died"))
    live = attempted(ledger, None, "died later")
    corrections = Corrections(ledger)
    seen = corrections.look(Selection(states=["unknown"]))
    assert seen.counts == {"unknown": 3}
    attempted(ledger, NO_ANSWER, "new")
    sent_again(ledger, "sent again", NO_ANSWER)
    expire(ledger, live)
    before = states(ledger)
    assert change(corrections, seen) == 2
    after = states(ledger)
    assert {name for name, state in after.items() if state != before[name]} == {"same", "died"}
    assert change(corrections, seen) == 0, "it was about the earlier attempts"


def test_what_was_seen_names_its_states(ledger: Ledger) -> None:
    """Of a call that is marked, the mark's time may be meant, or the call's."""
    corrections = Corrections(ledger)
    with pytest.raises(InvalidOption, match="states"):
        corrections.accept(corrections.look(Selection()), ALICE)


def test_a_time_selects_what_was_so_then(ledger: Ledger) -> None:
    attempted(ledger, NO_ANSWER, "same", "sent again")
    expire(ledger, attempted(ledger, None, "died"))
    live, ended = attempted(ledger, None, "died later"), attempted(ledger, None, "ended later")
    with ledger.writing() as connection:
        # A lease of which little was left.
        connection.execute(sa.update(runs).where(runs.c.run_id == live).values(lease_until=Now() + 0.05))
        then = connection.execute(sa.select(Now())).scalar_one()
    sleep(0.1)
    ledger.end(ended, DeliveryReport())
    sent_again(ledger, "sent again", NO_ANSWER)
    attempted(ledger, NO_ANSWER, "new")
    selection = Selection(states=["unknown"])
    assert CallQueries(ledger).count(selection).total() == 6
    of_then = replace(selection, as_of=then)
    assert CallQueries(ledger).count(of_then).total() == 2
    assert {row["CallSessionId"] for row in CallQueries(ledger).each(of_then)} == {"same", "died"}


class Lost:
    """A database whose connection is lost at a commit, after the database has committed and before it says so.

    :param statement: how a statement begins; the first transaction that has it is the one
    :param for_good: whether no statement succeeds from then on
    """

    def __init__(self, engine: sa.Engine, statement: str, *, for_good: bool = False) -> None:
        self._statement, self._for_good = statement, for_good
        self._told = self.lost = False
        sa.event.listen(engine, "before_cursor_execute", self._note)
        sa.event.listen(engine, "commit", self._commit)

    def _note(self, _: Any, __: Any, statement: str, *___: Any) -> None:
        self._told = self._told or statement.lstrip().startswith(self._statement)
        if self.lost and self._for_good:
            raise DatabaseError(statement, None, Exception("the server is gone"))

    def _commit(self, connection: Connection) -> None:
        if self._told and not self.lost:
            self.lost = True
            connection.connection.commit()
            raise OperationalError("COMMIT", None, Exception("the connection is lost"))


def test_what_was_committed_though_nobody_said_so_counts_as_changed(ledger: Ledger) -> None:
    attempted(ledger, NO_ANSWER, "a", "b")
    database = Lost(ledger.engine, "UPDATE impactcall_call ")
    assert Corrections(ledger).resolve(Selection(), ALICE, delivered=False) == 2
    assert database.lost
    assert states(ledger) == {"a": "not_sent", "b": "not_sent"}
    assert [(row["kind"], row["not_sent_rows"]) for row in last_runs(ledger, 1)] == [("resolve", 2)]


def test_a_correction_that_may_be_kept_is_told_of(ledger: Ledger) -> None:
    attempted(ledger, NO_ANSWER, "a", "b")
    Lost(ledger.engine, "UPDATE impactcall_call ", for_good=True)
    with pytest.raises(CorrectionUnfinished) as error:
        Corrections(ledger).resolve(Selection(), ALICE, delivered=False)
    assert (error.value.changed, error.value.doubtful) == (0, 2)


def test_a_correction_without_any_change_fails_as_the_database_does(ledger: Ledger) -> None:
    attempted(ledger, NO_ANSWER, "a")
    Lost(ledger.engine, "INSERT INTO impactcall_run ", for_good=True)
    with pytest.raises(SQLAlchemyError):
        Corrections(ledger).resolve(Selection(), ALICE, delivered=False)


def test_a_correction_is_done_though_its_run_cannot_keep_that(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    attempted(ledger, NO_ANSWER, "a", "b")
    failures: list[type[DatabaseError]] = [OperationalError, OperationalError]

    def fail(_: Any, __: Any, statement: str, *___: Any) -> None:
        if statement.startswith("UPDATE impactcall_run SET ended_at") and failures:
            raise failures.pop()(statement, None, Exception("secret"))

    sa.event.listen(ledger.engine, "before_cursor_execute", fail)
    assert Corrections(ledger).resolve(Selection(call_session_ids=["a"]), ALICE, delivered=True) == 1
    assert (failures, caplog.records, last_runs(ledger, 1)[0]["delivered_rows"]) == ([], [], 1), "repeated"
    failures.append(DatabaseError)
    assert Corrections(ledger).resolve(Selection(call_session_ids=["b"]), ALICE, delivered=True) == 1
    assert [(record.levelname, "DatabaseError" in record.getMessage()) for record in caplog.records] == [
        ("ERROR", True)
    ]
    assert "secret" not in caplog.text
    assert last_runs(ledger, 1)[0]["ended_at"] is None


@pytest.mark.parametrize(
    ("conditions", "named"),
    [({"states": ["lost"]}, "^state .*requeued.*'lost'"), ({"since": datetime(2026, 9, 1)}, "^since .*UTC")],
)
def test_a_selection_that_means_nothing(conditions: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidOption, match=named):
        Selection(**conditions)


@pytest.mark.parametrize(
    ("actor", "why", "named"), [("", "why", "actor"), ("alice", " ", "why"), ("alice", "x" * 251, "why .*250")]
)
def test_nobody_changes_anything_without_a_name_and_a_reason(actor: str, why: str, named: str) -> None:
    with pytest.raises(InvalidOption, match=f"^{named} "):
        Author(actor, why)


@pytest.mark.parametrize("wanted", [["delivered"], ["open"], ["rejected", "not_sent"]])
def test_what_cannot_be_requeued_is_refused_by_name(ledger: Ledger, wanted: Sequence[str]) -> None:
    with pytest.raises(InvalidOption, match=f"^{wanted[-1]} .*rejected, unknown"):
        Corrections(ledger).requeue(Selection(states=wanted), ALICE)
    with pytest.raises(InvalidOption, match=r"^open "):
        Corrections(ledger).resolve(Selection(states=["open"]), ALICE, delivered=False)


def test_what_a_live_run_may_have_more_to_say_of_is_not_purged(ledger: Ledger) -> None:
    """A refusal is held back as not sent until others show whose fault it is, and may be settled once more."""
    live = attempted(ledger, ERROR_500, "held-back")
    with ledger.writing() as connection:
        connection.execute(sa.update(calls).values(changed_at=0.0))
    assert purge(ledger, datetime.now(UTC), ALICE) == {"runs": 0}
    ledger.record(live, [], [Settlement(claim_of("held-back").key, 1, REFUSED)], resend=False)
    assert states(ledger) == {"held-back": "rejected"}
    expire(ledger, live)
    assert purge(ledger, datetime.now(UTC) + timedelta(seconds=5), ALICE)["rejected"] == 1
    _, ended = ledger.record(live, [], [Settlement(claim_of("held-back").key, 1, REFUSED)], resend=False)
    assert ended == [CallState.REJECTED], "what is said of a call that was forgotten meanwhile costs no other"


def test_an_id_selects_the_calls_of_this_very_id(ledger: Ledger) -> None:
    """Not those that a database would take for alike, in another case or with an accent."""
    attempted(ledger, REFUSED, "A-1", "a-1", "\N{LATIN CAPITAL LETTER A WITH ACUTE}-1", "A-1x")
    assert Corrections(ledger).requeue(Selection(call_session_ids=["A-1"]), ALICE) == 1
    assert states(ledger)["A-1"] == "not_sent"
    assert Counter(states(ledger).values()) == {"not_sent": 1, "rejected": 3}


def test_corrections_and_deliveries_that_meet_wait_for_each_other(ledger_url: str) -> None:
    """Adoptions, purges and requeues against runs that take and settle the same calls, all at once."""
    names = [f"call-{number}" for number in range(120)]
    # SQLite lets those that wait for it wait as long as it likes.
    ledgers = [Ledger(sa.create_engine(ledger_url), NAMESPACE, Timings(lease=1e6)) for _ in range(6)]
    for each in ledgers:
        each.prepare()

    def deliver(ledger: Ledger) -> None:
        run_id = ledger.start("test", "")
        for start in range(0, len(names), 10):
            claims = [claim_of(name) for name in names[start : start + 10]]
            for attempt in (ERROR_500, REFUSED):
                decisions = repeated(lambda claims=claims: ledger.record(run_id, claims, [], resend=False)[0])
                ended = [
                    Settlement(claim.key, decision.fence, attempt)
                    for claim, decision in zip(claims, decisions, strict=True)
                    if isinstance(decision, Send)
                ]
                repeated(lambda ended=ended: ledger.record(run_id, [], ended, resend=False))

    def repeated(act: Any) -> Any:
        """As a run's writer does it."""
        for _ in range(50):
            try:
                return act()
            except (IntegrityError, OperationalError):
                continue
        raise AssertionError("it never got through")

    def correct(ledger: Ledger) -> None:
        corrections = Corrections(ledger)
        for _ in range(3):
            corrections.adopt([claim_of(name) for name in reversed(names)], ALICE)
            corrections.resolve(Selection(states=["delivered"]), ALICE, delivered=False)
            corrections.requeue(Selection(), ALICE)
            purge(ledger, datetime.now(UTC) + timedelta(days=1), ALICE)

    with ThreadPoolExecutor(len(ledgers)) as threads:
        work = [threads.submit(deliver, each) for each in ledgers[:3]] + [
            threads.submit(correct, e) for e in ledgers[3:]
        ]
        for done in work:
            done.result()
    assert set(states(ledgers[0]).values()) <= {"delivered", "rejected", "not_sent"}
    for each in ledgers:
        each.engine.dispose()


def test_of_many_calls_each_is_given_once_and_all_are_changed(ledger: Ledger) -> None:
    """More than are held in memory: the ledger is walked through instead."""
    corrections = Corrections(ledger, BatchSizes(keys=3, walked=4))
    names = [f"call-{number:02d}" for number in range(30)]
    attempted(ledger, REFUSED, *names)
    attempted(ledger, OK, "delivered")
    found = [row["CallSessionId"] for row in CallQueries(ledger).each(Selection(states=["rejected"]))]
    assert sorted(found) == names
    assert corrections.requeue(Selection(states=["rejected"]), ALICE) == len(names)
    assert Counter(states(ledger).values()) == {"not_sent": len(names), "delivered": 1}


def test_a_purge_that_was_stopped_says_how_far_it_came_and_goes_on_from_there(ledger: Ledger) -> None:
    names = [f"call-{number:02d}" for number in range(10)]
    attempted(ledger, OK, *names)
    age(ledger, *names)
    pages: list[str] = []

    def stopped(_: Any, __: Any, statement: str, *___: Any) -> None:
        if statement.startswith("DELETE FROM impactcall_call "):
            pages.append(statement)
            if len(pages) == 3:
                raise KeyboardInterrupt

    before = datetime.now(UTC) - timedelta(days=365)
    sa.event.listen(ledger.engine, "before_cursor_execute", stopped)
    with pytest.raises(KeyboardInterrupt) as interrupted:
        purge(ledger, before, ALICE, BatchSizes(purged=4))
    sa.event.remove(ledger.engine, "before_cursor_execute", stopped)
    assert interrupted.value.__notes__ == ["forgotten so far: 8 calls, 0 invalid rows, 0 runs"]
    assert last_runs(ledger, 1)[0]["delivered_rows"] == 8
    assert purge(ledger, before, ALICE) == {"delivered": 2, "runs": 1}
    assert not states(ledger)


def test_calls_of_one_moment_are_all_purged(ledger: Ledger) -> None:
    names = [f"call-{number}" for number in range(7)]
    attempted(ledger, OK, *names)
    age(ledger, *names)
    purged = purge(ledger, datetime.now(UTC) - timedelta(days=365), ALICE, BatchSizes(purged=2))
    assert purged["delivered"] == len(names)


def test_the_calls_of_a_run_are_found_though_the_run_is_forgotten(ledger: Ledger) -> None:
    run_id = attempted(ledger, OK, "a")
    attempted(ledger, OK, "b")
    selection = Selection(run_id=run_id)
    assert [row["CallSessionId"] for row in CallQueries(ledger).latest(selection, 10)] == ["a"]
    with ledger.writing() as connection:
        connection.execute(sa.delete(runs))
    assert [row["CallSessionId"] for row in CallQueries(ledger).latest(selection, 10)] == ["a"]


def test_what_may_be_at_impact_com_is_told_as_it_was_sent(ledger: Ledger) -> None:
    """Of accepted content, nobody knows whether it was sent with the same caller."""
    attempted(ledger, OK, "same", "marked", "accepted")
    attempted(ledger, NO_ANSWER, "unknown")
    attempted(ledger, REFUSED, "refused")
    attempted(ledger, ERROR_500, "not sent")
    run_id = ledger.start("test", "")
    with RowWriter(ledger, run_id, DEFAULT_KEY) as writer:
        for name in ("marked", "accepted"):
            outcome = Outcome(RowOutcome.CHANGED, ReasonCode.DELIVERED_BEFORE, "delivered by an earlier run")
            writer.note(Call(1, claim_of(name, CallerId="2125550188").call), outcome)
    assert Corrections(ledger).accept(Selection(call_session_ids=["accepted"]), ALICE) == 1
    day = date(2026, 9, 10)
    found = {key: rest for key, *rest in CallQueries(ledger).possibly_arrived("1000", day, day)}
    sent = {name: claim_of(name) for name in ("same", "marked", "accepted", "unknown")}
    assert found == {
        claim.key: [
            *claim.call.key(("ActionTrackerId", "EventDate")),
            None if name == "accepted" else claim.fingerprint,
        ]
        for name, claim in sent.items()
    }
    assert list(CallQueries(ledger).possibly_arrived("1000", date(2026, 9, 11), date(2026, 9, 12))) == []
