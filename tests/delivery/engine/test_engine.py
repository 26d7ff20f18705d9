from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event, select, update

from airflow_provider_impactcall.delivery.duplicates import Duplicates
from airflow_provider_impactcall.delivery.engine.bookkeeper import open_at_most
from airflow_provider_impactcall.delivery.engine.engine import Engine
from airflow_provider_impactcall.delivery.engine.pacing import Pacing
from airflow_provider_impactcall.delivery.identity import Claim
from airflow_provider_impactcall.delivery.items import Call, Item, Rejected, Skipped
from airflow_provider_impactcall.delivery.ledger.entries import Entry
from airflow_provider_impactcall.delivery.ledger.rules import Decision, Settlement
from airflow_provider_impactcall.delivery.ledger.schema import calls as ledger_calls
from airflow_provider_impactcall.delivery.ledger.schema import runs
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import (
    Attempt,
    AttemptResult,
    CallState,
    DeliveryReport,
    HeldBack,
    NothingLeft,
    Outcome,
    ReasonCode,
    RowOutcome,
)
from airflow_provider_impactcall.delivery.rate_limit.permits import RateLimit
from airflow_provider_impactcall.exceptions import LedgerUnusable
from airflow_provider_impactcall.records import CallRecord
from tests.delivery import virtual_time
from tests.delivery.ledgers import DirectWriter, in_memory
from tests.delivery.scripted import (
    ERROR_500,
    FORBIDDEN,
    NO_ANSWER,
    NO_CONNECTION,
    OK,
    REFUSED,
    TOO_MANY,
    UNAUTHORIZED,
    Endpoint,
    a_call,
    calls,
    deliver,
    invalid,
    too_many,
)
from tests.effort import scaled


def always(attempt: Attempt) -> Callable[[str, int], Attempt]:
    return lambda *_: attempt


def in_order(*attempts: Attempt, then: Attempt = OK) -> Callable[[str, int], Attempt]:
    """The first requests get these, and the others what comes then."""
    left = list(attempts)
    return lambda *_: left.pop(0) if left else then


async def spread(count: int, seconds: float) -> AsyncIterator[Sequence[Call | Rejected]]:
    """A slow source: a row now and then."""
    for number in range(1, count + 1):
        yield [a_call(number)]
        await asyncio.sleep(seconds)


def test_delivers_all() -> None:
    endpoint = Endpoint(always(OK))
    run = deliver(endpoint, calls(100))
    assert (run.report.delivered, run.report.stop, len(endpoint.requests)) == (100, None, 100)
    assert max(request.in_flight for request in endpoint.requests) == 8, "all the concurrency is used"
    assert run.ended == pytest.approx(13 * 0.1), "and a hundred calls, eight at a time, take thirteen rounds"


def test_a_call_that_is_sent_again_is_not_inserted_again() -> None:
    ledger = in_memory()
    refused: list[object] = []
    event.listen(ledger.engine, "rollback", refused.append)
    endpoint = Endpoint(in_order(ERROR_500, NO_CONNECTION, TOO_MANY))
    run = deliver(endpoint, calls(3), ledger=ledger)
    assert (run.report.delivered, len(endpoint.requests)) == (3, 6)
    assert refused == []


def test_a_listener_is_told_of_each_call_with_what_tells_it_from_others() -> None:
    told: dict[int, str] = {}
    writer = DirectWriter(in_memory())
    rows: list[Item] = [a_call(1, "a"), a_call(2, "a"), a_call(3, "b"), invalid(4)]

    def note(row: Item, _: Outcome) -> None:
        if isinstance(row, Call) and row.claim is not None:
            told[row.row] = row.claim.key

    async def main() -> None:
        async def batches() -> AsyncIterator[Sequence[Item]]:
            yield rows

        engine = Engine(duplicates=Duplicates(), pacing=Pacing(), on_settled=note)
        await engine.run(Endpoint(always(OK)).send, writer, batches())

    virtual_time.run(main())
    keys = {row: writer.identify(a_call(row, name).record).key for row, name in ((1, "a"), (3, "b"))}
    assert told.items() >= keys.items()
    assert told.keys() <= {1, 2, 3}


def test_a_call_that_another_run_is_sending_is_waited_for() -> None:
    ledger = in_memory()
    other, writer = ledger.start("other", ""), DirectWriter(ledger)
    claim = writer.identify(a_call(1).record)
    ledger.record(other, [claim], [], resend=False)
    endpoint = Endpoint(always(OK))

    async def main() -> DeliveryReport:
        async def batches() -> AsyncIterator[Sequence[Item]]:
            yield [a_call(1)]

        async def end_of_the_other() -> None:
            await asyncio.sleep(3.0)
            ledger.record(other, [], [Settlement(claim.key, 1, OK)], resend=False)

        ending = asyncio.create_task(end_of_the_other())
        engine = Engine(duplicates=Duplicates(), pacing=Pacing(), on_settled=lambda *_: None)
        report = await engine.run(endpoint.send, writer, batches())
        await ending
        return report

    report = virtual_time.run(main())
    assert (report.already_delivered, report.given_up, endpoint.requests) == (1, 0, [])


class TestClaimedAhead:
    """A quarter of the calls that may be in flight, at least one."""

    def test_as_many_as_are_promised_are_open_while_all_are_in_flight(self) -> None:
        for concurrency, ahead in ((1, 1), (4, 1), (8, 2), (64, 16)):
            most: list[int] = []
            ledger = in_memory()
            writer = DirectWriter(ledger)

            async def send(_: CallRecord, writer: DirectWriter = writer, most: list[int] = most) -> Attempt:
                await asyncio.sleep(1.0)
                most.append(writer.open_at_once)
                return OK

            async def main(writer: DirectWriter = writer, concurrency: int = concurrency, send: Any = send) -> None:
                async def batches() -> AsyncIterator[Sequence[Item]]:
                    yield calls(200)

                engine = Engine(
                    duplicates=Duplicates(), pacing=Pacing(), on_settled=lambda *_: None, concurrency=concurrency
                )
                await engine.run(send, writer, batches())

            virtual_time.run(main())
            assert max(most) == concurrency + ahead == open_at_most(concurrency)

    def test_what_is_claimed_is_given_back_as_soon_as_a_wait_begins_and_not_left_open_for_it(self) -> None:
        ledger = in_memory()
        open_later: list[int] = []

        def answer(session_id: str, attempt: int) -> Attempt:
            return too_many(600.0) if (session_id, attempt) == ("1", 1) else OK

        # The first is answered at once, the others of its round only long after.
        latencies = iter([(0.1, 0.0), *[(30.0, 0.0)] * 7, *[(0.05, 0.05)] * 99])
        endpoint = Endpoint(answer, lambda: next(latencies))

        def look() -> None:
            with ledger.reading() as connection:
                found = connection.execute(select(ledger_calls.c.state)).scalars()
                open_later.append(sum(state == CallState.OPEN for state in found))

        async def rows() -> AsyncIterator[Sequence[Call | Rejected]]:
            asyncio.get_running_loop().call_later(0.09, look)
            asyncio.get_running_loop().call_later(10.0, look)
            yield calls(40)

        run = deliver(endpoint, rows(), ledger=ledger, max_wait=1000)
        assert run.report.delivered == 40
        assert open_later == [8 + 2, 7], "those in flight and next; and those of them that are in flight yet"


def test_calls_that_rest_are_in_hand_and_no_more_than_eight_for_each_in_flight() -> None:
    endpoint = Endpoint(lambda session_id, _: ERROR_500 if int(session_id) % 2 and virtual_time.now() < 60 else OK)
    in_hand: list[int] = []

    async def rows() -> AsyncIterator[Sequence[Call | Rejected]]:
        for number in range(1, 101):
            in_hand.append(number - 1 - sum(endpoint.processed.values()))
            yield [a_call(number)]

    run = deliver(endpoint, rows(), concurrency=2, max_wait=1000)
    assert run.report.delivered == 100
    assert max(in_hand) == 8 * 2


def test_no_rows() -> None:
    run = deliver(Endpoint(always(OK)), [])
    assert run.report.rows == 0


def test_a_row_that_is_invalid_is_rejected_and_never_sent() -> None:
    endpoint = Endpoint(always(OK))
    run = deliver(endpoint, [invalid(1), a_call(2), invalid(3)])
    assert run.states(1, 2, 3) == [RowOutcome.REJECTED, RowOutcome.DELIVERED, RowOutcome.REJECTED]
    assert run.settled[1] == Outcome(RowOutcome.REJECTED, ReasonCode.INVALID, "MediaId is missing")
    assert list(endpoint.attempts) == ["2"]


class TestClaims:
    def test_the_same_call_again_is_a_duplicate_and_other_content_is_changed(self) -> None:
        endpoint = Endpoint(always(OK))
        run = deliver(endpoint, [a_call(1, "a"), a_call(2, "a"), a_call(3, "a", TalkDuration=5), a_call(4, "b")])
        assert run.states(1, 2, 3, 4) == [
            RowOutcome.DELIVERED,
            RowOutcome.DUPLICATE,
            RowOutcome.CHANGED,
            RowOutcome.DELIVERED,
        ]
        assert [run.settled[row].code for row in (1, 2, 3)] == [ReasonCode.OK, *[ReasonCode.EARLIER_ROW] * 2]
        assert endpoint.attempts == {"a": 1, "b": 1}

    def test_only_a_valid_row_takes_the_key(self) -> None:
        run = deliver(Endpoint(always(OK)), [invalid(1), a_call(2, "a")])
        assert run.states(1, 2) == [RowOutcome.REJECTED, RowOutcome.DELIVERED]

    def test_a_call_that_the_endpoint_refuses_keeps_the_key(self) -> None:
        endpoint = Endpoint(in_order(REFUSED))
        run = deliver(endpoint, [a_call(1, "a"), a_call(2, "a"), a_call(3, "b")], concurrency=1)
        assert run.states(1, 2, 3) == [RowOutcome.REJECTED, RowOutcome.DUPLICATE, RowOutcome.DELIVERED]

    def test_another_key_tells_other_calls_apart(self) -> None:
        rows = [a_call(1, MediaId=1), a_call(2, MediaId=2), a_call(3, MediaId=2)]
        run = deliver(Endpoint(always(OK)), rows, key=["MediaId"])
        assert run.states(1, 2, 3) == [RowOutcome.DELIVERED, RowOutcome.DELIVERED, RowOutcome.CHANGED]

    def test_a_duplicate_costs_nothing_of_the_limit(self) -> None:
        run = deliver(Endpoint(always(OK)), [a_call(1, "a"), a_call(2, "a"), a_call(3, "b"), a_call(4, "c")], limit=2)
        assert run.states(1, 2, 3, 4) == [
            RowOutcome.DELIVERED,
            RowOutcome.DUPLICATE,
            RowOutcome.DELIVERED,
            RowOutcome.NOT_SENT,
        ]


@pytest.mark.parametrize(("limit", "delivered"), [(0, 0), (1, 1), (7, 7), (10, 10), (11, 10)])
def test_limit(limit: int, delivered: int) -> None:
    run = deliver(Endpoint(always(OK)), calls(10), limit=limit)
    assert (run.report.delivered, run.report.not_sent, run.report.stop) == (delivered, 10 - delivered, None)
    left = [outcome.code for outcome in run.settled.values() if outcome.state is RowOutcome.NOT_SENT]
    assert left == [ReasonCode.OVER_LIMIT] * (10 - delivered)


def with_a_dead_run() -> Ledger:
    """A ledger whose only run died over the call of row 1."""
    ledger = in_memory()
    dead = DirectWriter(ledger)
    ledger.record(dead.run_id, [dead.identify(a_call(1).record)], [], resend=False)
    with ledger.writing() as connection:
        connection.execute(update(runs).values(lease_until=0.0))
    return ledger


class LateWriter(DirectWriter):
    """A ledger that has a call only after it was looked up, as another run opens it in between, and dies."""

    async def look_up(self, keys: Sequence[str]) -> Mapping[str, Entry]:
        return {}


def test_a_call_that_another_run_died_over_after_the_look_up_is_in_doubt() -> None:
    settled: dict[int, RowOutcome] = {}
    engine = Engine(
        duplicates=Duplicates(),
        pacing=Pacing(max_wait=10),
        on_settled=lambda row, outcome: settled.update({row.row: outcome.state}),
    )

    async def rows() -> AsyncIterator[Sequence[Call | Rejected]]:
        yield calls(2)

    async def main() -> None:
        await engine.run(Endpoint(always(too_many(1000))).send, LateWriter(with_a_dead_run(), resend=True), rows())

    virtual_time.run(main())
    assert settled == {1: RowOutcome.UNKNOWN, 2: RowOutcome.NOT_SENT}


def test_a_dead_run_s_call_keeps_its_code_where_nothing_may_be_sent() -> None:
    run = deliver(Endpoint(always(OK)), calls(2), limit=0, ledger=with_a_dead_run())
    assert [(run.settled[row].state, run.settled[row].code) for row in (1, 2)] == [
        (RowOutcome.UNKNOWN, ReasonCode.RUN_DIED),
        (RowOutcome.NOT_SENT, ReasonCode.OVER_LIMIT),
    ]


def test_a_dead_run_s_call_stays_in_doubt_where_the_run_has_stopped() -> None:
    async def rows() -> AsyncIterator[Sequence[Call | Rejected]]:
        yield [a_call(2)]
        await asyncio.sleep(5.0)
        yield [a_call(1)]

    run = deliver(Endpoint(always(too_many(1000.0))), rows(), ledger=with_a_dead_run())
    assert run.states(1, 2) == [RowOutcome.UNKNOWN, RowOutcome.NOT_SENT]


def test_what_is_left_out_is_filtered_and_takes_no_key() -> None:
    endpoint = Endpoint(always(OK))
    run = deliver(endpoint, [Skipped(1, "a", "an outbound call"), a_call(2, "a")])
    assert run.states(1, 2) == [RowOutcome.FILTERED, RowOutcome.DELIVERED]
    assert run.settled[1] == Outcome(RowOutcome.FILTERED, ReasonCode.FILTERED, "an outbound call")


class TestAbort:
    def test_refused_credentials_stop_at_once_and_burn_no_call(self) -> None:
        endpoint = Endpoint(always(UNAUTHORIZED))
        run = deliver(endpoint, calls(1000))
        assert run.aborted is ReasonCode.SETUP_REFUSED
        assert (run.report.rejected, run.report.not_sent) == (0, 1000)
        assert len(endpoint.requests) <= 8, "what was in flight with it, and nothing more"

    def test_refused_credentials_take_back_the_refusals_before_them(self) -> None:
        run = deliver(Endpoint(in_order(REFUSED, REFUSED, UNAUTHORIZED)), calls(5), concurrency=1)
        assert run.aborted is not None
        assert (run.report.rejected, run.report.not_sent) == (0, 5)

    def test_refused_credentials_in_the_middle(self) -> None:
        endpoint = Endpoint(in_order(*[OK] * 10, then=UNAUTHORIZED))
        run = deliver(endpoint, calls(50))
        assert run.aborted is not None
        assert (run.report.delivered, run.report.not_sent) == (10, 40)

    def test_calls_in_flight_are_settled_as_what_they_become(self) -> None:
        latencies = iter([(0.1, 0.1), *[(1.0, 1.0)] * 7])
        endpoint = Endpoint(in_order(UNAUTHORIZED, REFUSED, NO_ANSWER, TOO_MANY), lambda: next(latencies))
        run = deliver(endpoint, calls(20))
        assert run.aborted is not None
        assert (run.report.delivered, run.report.unknown, run.report.rejected, run.report.not_sent) == (4, 1, 0, 15)

    def test_403_before_any_delivery(self) -> None:
        run = deliver(Endpoint(in_order(FORBIDDEN)), calls(20), concurrency=1)
        assert run.aborted is ReasonCode.FORBIDDEN
        assert (run.report.rejected, run.report.not_sent) == (0, 20)

    def test_five_403_in_a_row_after_a_delivery(self) -> None:
        endpoint = Endpoint(in_order(OK, *[FORBIDDEN] * 5))
        run = deliver(endpoint, calls(20), concurrency=1)
        assert run.aborted is not None
        assert (run.report.delivered, run.report.rejected, run.report.not_sent) == (1, 0, 19)
        assert len(endpoint.requests) == 6

    @pytest.mark.parametrize("between", [OK, REFUSED])
    def test_four_403_and_another_answer(self, between: Attempt) -> None:
        script = [OK, *[FORBIDDEN] * 4, between, *[FORBIDDEN] * 4, OK]
        run = deliver(Endpoint(in_order(*script)), calls(11), concurrency=1)
        assert run.aborted is None
        assert run.report.rejected == 8 + (between is REFUSED)

    @pytest.mark.parametrize("between", [OK, REFUSED])
    def test_five_403_are_counted_anew_after_another_answer(self, between: Attempt) -> None:
        endpoint = Endpoint(in_order(OK, FORBIDDEN, between, *[FORBIDDEN] * 5))
        run = deliver(endpoint, calls(20), concurrency=1)
        assert run.aborted is not None
        assert len(endpoint.requests) == 8

    def test_four_403_and_the_end(self) -> None:
        run = deliver(Endpoint(in_order(OK, *[FORBIDDEN] * 4)), calls(5), concurrency=1)
        assert run.aborted is None
        assert (run.report.delivered, run.report.rejected) == (1, 4)

    def test_twenty_refusals_in_a_row_before_any_delivery(self) -> None:
        endpoint = Endpoint(always(REFUSED))
        run = deliver(endpoint, calls(100), concurrency=1)
        assert run.aborted is ReasonCode.ALL_REFUSED
        assert (run.report.rejected, run.report.not_sent) == (0, 100)
        assert len(endpoint.requests) == 20

    def test_refusals_that_arrive_after_the_twentieth_burn_no_call_either(self) -> None:
        endpoint = Endpoint(always(REFUSED))
        run = deliver(endpoint, calls(100), concurrency=16)
        assert (run.report.rejected, run.report.not_sent) == (0, 100)
        assert 20 <= len(endpoint.requests) < 20 + 16

    def test_a_delivery_that_arrives_after_the_abort_counts(self) -> None:
        latencies = iter([(5.0, 0.0), *[(0.01, 0.01)] * 20])
        endpoint = Endpoint(lambda session_id, _: OK if session_id == "1" else REFUSED, lambda: next(latencies))
        run = deliver(endpoint, calls(30), concurrency=2)
        assert run.aborted is not None
        assert (run.report.delivered, run.report.rejected, run.report.not_sent) == (1, 0, 29)

    def test_nineteen_refusals_and_a_delivery(self) -> None:
        run = deliver(Endpoint(in_order(*[REFUSED] * 19)), calls(30), concurrency=1)
        assert run.aborted is None
        assert (run.report.rejected, run.report.delivered) == (19, 11)

    def test_nineteen_refusals_and_the_end(self) -> None:
        run = deliver(Endpoint(always(REFUSED)), calls(19), concurrency=1)
        assert run.aborted is None
        assert run.report.rejected == 19

    def test_any_number_of_refusals_after_a_delivery(self) -> None:
        run = deliver(Endpoint(in_order(OK, then=REFUSED)), calls(200), concurrency=1)
        assert run.aborted is None
        assert run.report.rejected == 199

    def test_rows_that_are_invalid_here_prove_nothing_about_the_endpoint(self) -> None:
        run = deliver(Endpoint(always(OK)), [*(invalid(number) for number in range(1, 31)), a_call(31)])
        assert run.aborted is None
        assert (run.report.rejected, run.report.delivered) == (30, 1)


class TestSlowingDown:
    def test_rejected_and_unknown_calls_slow_nothing_down(self) -> None:
        attempts = [OK, REFUSED, NO_ANSWER]
        endpoint = Endpoint(lambda session_id, _: attempts[int(session_id) % 3])
        run = deliver(endpoint, calls(300))
        assert (run.report.delivered, run.report.rejected, run.report.unknown) == (100, 100, 100)
        assert run.ended == pytest.approx(38 * 0.1), "thirty-eight rounds of eight, and no wait between them"

    def test_unknown_a_hundred_times_in_a_row_stops(self) -> None:
        endpoint = Endpoint(always(NO_ANSWER))
        run = deliver(endpoint, calls(500), concurrency=1)
        assert len(endpoint.requests) == run.report.unknown == 100
        assert run.report.not_sent == 400
        assert run.report.stop is not None
        assert (run.report.stop.code, run.report.stop.retry_at) == (ReasonCode.NO_PROGRESS, None)

    @pytest.mark.parametrize("between", [OK, REFUSED])
    def test_unknown_ninety_nine_times_in_a_row_does_not(self, between: Attempt) -> None:
        endpoint = Endpoint(in_order(OK, *([NO_ANSWER] * 99 + [between]) * 2))
        run = deliver(endpoint, calls(201), concurrency=1)
        assert run.report.stop is None
        assert run.report.unknown == 198

    def test_timeouts_alone_stop_after_max_wait(self) -> None:
        endpoint = Endpoint(always(NO_ANSWER), lambda: (30.0, 0.0))
        run = deliver(endpoint, calls(500), max_wait=60)
        assert run.report.stop is not None
        assert run.report.unknown <= 4 * 8, "a minute and a request's own time hold no more"
        assert run.report.unknown + run.report.not_sent == 500

    def test_one_500_is_the_call_s_own_trouble(self) -> None:
        endpoint = Endpoint(lambda session_id, attempt: ERROR_500 if (session_id, attempt) == ("1", 1) else OK)
        run = deliver(endpoint, calls(100))
        assert run.report.delivered == 100
        assert run.ended <= 13 * 0.1 + 1.1, "the others go on, and it comes back within a second"
        assert endpoint.attempts["1"] == 2

    def test_a_poison_call_keeps_no_other_from_delivery(self) -> None:
        endpoint = Endpoint(lambda session_id, _: ERROR_500 if session_id == "1" else OK)
        run = deliver(endpoint, calls(501))
        assert (run.report.delivered, run.report.not_sent) == (500, 1)
        assert run.states(1) == [RowOutcome.NOT_SENT]
        last_delivery = max(request.counted for request in endpoint.requests if request.attempt is OK)
        assert last_delivery < 20
        assert run.ended <= last_delivery + 60 + 31, "and it is given up max_wait after that"
        assert endpoint.attempts["1"] < 30

    def test_not_even_more_poison_calls_than_requests_in_flight_keep_the_others(self) -> None:
        poison = {str(number) for number in range(1, 13)}
        endpoint = Endpoint(lambda session_id, _: ERROR_500 if session_id in poison else OK)
        run = deliver(endpoint, calls(112))
        assert (run.report.delivered, run.report.not_sent) == (100, 12)
        assert max(request.in_flight for request in endpoint.requests) == 8

    def test_a_429_stops_everybody_and_one_answer_releases_them(self) -> None:
        endpoint = Endpoint(in_order(*[OK] * 16, *[too_many(20.0)] * 8))
        run = deliver(endpoint, calls(200))
        refused = [request.counted for request in endpoint.requests if request.attempt.result is AttemptResult.AGAIN]
        after = [request for request in endpoint.requests if request.began > max(refused)]
        assert run.report.delivered == 200
        assert min(request.began for request in after) >= max(refused) + 20
        assert after[0].in_flight == 1, "a probe first"
        assert after[1].began >= after[0].counted, "which is answered before anything else leaves"
        assert max(request.in_flight for request in after) == 8, "and then all of them"

    @given(
        waits=st.lists(st.floats(0, 50), min_size=1, max_size=6),
        latency=st.floats(0.001, 3),
        concurrency=st.integers(1, 8),
    )
    def test_nothing_leaves_before_the_time_that_was_asked_for(
        self, waits: list[float], latency: float, concurrency: int
    ) -> None:
        asked_until: list[float] = []

        def answer(session_id: str, attempt: int) -> Attempt:
            if waits_left and int(session_id) % 3 == 0 and attempt == 1:
                wait = waits_left.pop()
                # It is known only when the answer is there.
                asked_until.append(virtual_time.now() + latency + wait)
                return too_many(wait)
            return OK

        waits_left = list(waits)
        endpoint = Endpoint(answer, lambda: (latency, latency))
        run = deliver(endpoint, calls(40), concurrency=concurrency, max_wait=200)
        assert run.report.delivered == 40
        refused = [request for request in endpoint.requests if request.attempt.result is AttemptResult.AGAIN]
        for refusal, until in zip(refused, asked_until, strict=True):
            heard = refusal.counted + latency
            early = [r for r in endpoint.requests if heard + 1e-6 < r.began < until - 1e-6]
            assert early == []

    def test_a_storm_of_429_without_a_word_of_how_long(self) -> None:
        endpoint = Endpoint(lambda *_: TOO_MANY if virtual_time.now() < 300 else OK)
        run = deliver(endpoint, calls(300), max_wait=600)
        during = [request for request in endpoint.requests if request.counted < 300]
        assert run.report.delivered == 300
        assert len(during) < 8 + 60, "five minutes of it see a probe every few seconds, not thousands"

    def test_a_wait_longer_than_max_wait_stops_at_once_and_says_when_to_come_back(self) -> None:
        endpoint = Endpoint(in_order(OK, too_many(3600.0)))
        run = deliver(endpoint, calls(100), concurrency=1)
        assert run.ended < 2, "only the one call's own back-off"
        assert (run.report.delivered, run.report.not_sent) == (1, 99)
        assert run.report.stop is not None
        assert run.report.stop.code is ReasonCode.ENDPOINT_ASKS_TO_WAIT
        assert run.report.stop.retry_at is not None
        assert len(endpoint.requests) == 2

    @pytest.mark.parametrize("max_wait", [10.0, 60.0, 300.0])
    def test_an_outage_longer_than_max_wait_stops(self, max_wait: float) -> None:
        endpoint = Endpoint(always(NO_CONNECTION))
        run = deliver(endpoint, calls(100), max_wait=max_wait)
        assert (run.report.not_sent, run.report.delivered) == (100, 0)
        assert run.ended <= max_wait + 31, "max_wait, and the longest back-off"
        assert run.report.stop is not None
        assert len(endpoint.requests) <= 8 + 8 + max_wait / 3

    def test_ten_minutes_of_refused_connections(self) -> None:
        def answer(*_: object) -> Attempt:
            return NO_CONNECTION if 1 <= virtual_time.now() < 601 else OK

        endpoint = Endpoint(answer)
        run = deliver(endpoint, calls(400), max_wait=3600)
        assert run.report.delivered == 400
        failed = [request for request in endpoint.requests if request.attempt is NO_CONNECTION]
        after = [request for request in endpoint.requests if request.counted >= 601]
        assert len(failed) <= 120, "ten minutes of outage cost a hundred attempts, free of charge"
        assert after[0].began <= 601 + 31, "the first probe after its end comes within the longest back-off"
        assert after[0].in_flight == 1
        restored = next(request.began for request in after if request.in_flight == 8)
        assert restored <= after[0].counted + 31, "and full concurrency within one more"

    def test_a_source_with_rows_far_apart_is_not_taken_for_an_endpoint_in_trouble(self) -> None:
        endpoint = Endpoint(lambda session_id, attempt: NO_ANSWER if int(session_id) % 2 else OK)
        run = deliver(endpoint, spread(20, 600.0), max_wait=5)
        assert run.report.stop is None
        assert (run.report.delivered, run.report.unknown) == (10, 10)

    def test_a_source_with_rows_far_apart_and_a_call_that_needs_a_second_try(self) -> None:
        endpoint = Endpoint(lambda _, attempt: OK if attempt > 1 else NO_CONNECTION)
        run = deliver(endpoint, spread(20, 600.0), max_wait=5)
        assert (run.report.stop, run.report.delivered) == (None, 20)

    def test_max_wait_zero_tolerates_no_trouble(self) -> None:
        run = deliver(Endpoint(always(NO_CONNECTION)), calls(5), max_wait=0, concurrency=1)
        assert run.report.not_sent == 5
        assert run.report.stop is not None


_ATTEMPTS = st.sampled_from(
    [OK, OK, OK, REFUSED, FORBIDDEN, NO_ANSWER, NO_CONNECTION, ERROR_500, TOO_MANY, too_many(7.0), UNAUTHORIZED]
)


@settings(max_examples=scaled(200))
@given(
    script=st.lists(st.lists(_ATTEMPTS, max_size=4), min_size=1, max_size=40),
    rows=st.lists(st.tuples(st.integers(0, 25), st.sampled_from([1, 1, 1, 2]), st.integers(0, 9)), max_size=40),
    then=st.sampled_from([OK, ERROR_500, NO_ANSWER, UNAUTHORIZED, NO_CONNECTION, REFUSED]),
    seed=st.integers(0, 100),
    concurrency=st.integers(1, 9),
    limit=st.none() | st.integers(0, 20),
    max_wait=st.sampled_from([0.0, 5.0, 60.0]),
)
def test_whatever_happens_every_row_is_settled_once_and_no_call_is_processed_twice(
    script: list[list[Attempt]],
    rows: list[tuple[int, int, int]],
    then: Attempt,
    seed: int,
    concurrency: int,
    limit: int | None,
    max_wait: float,
) -> None:
    """What must hold is checked in ``deliver``; here are only the rows and what the endpoint says to them."""

    def answer(session_id: str, attempt: int) -> Attempt:
        answers = script[int(session_id) % len(script)]
        return answers[attempt - 1] if attempt <= len(answers) else then

    random = Random(seed)
    endpoint = Endpoint(answer, lambda: (random.uniform(0, 3), random.uniform(0, 3)))
    given_rows = [
        a_call(number, session, MediaId=content) if valid else invalid(number)
        for number, (session, content, valid) in enumerate(rows, start=1)
    ]
    run = deliver(endpoint, given_rows, concurrency=concurrency, limit=limit, max_wait=max_wait)
    # A call is tried again only after an answer that says it was not processed.
    last: dict[str, Attempt] = {}
    for request in endpoint.requests:
        assert last.get(request.session_id, NO_CONNECTION).result in (AttemptResult.AGAIN, AttemptResult.NOT_SENT)
        last[request.session_id] = request.attempt
    unknown = sum(attempt.result is AttemptResult.UNKNOWN for attempt in last.values())
    assert run.report.unknown == unknown
    if run.aborted is None:
        refused = sum(attempt.result is AttemptResult.REJECTED for attempt in last.values())
        assert run.report.rejected == refused + sum(isinstance(row, Rejected) for row in given_rows)
        assert run.report.not_sent == 0 or run.report.stop is not None or limit is not None
    else:
        refused = sum(attempt.result is AttemptResult.REJECTED for attempt in last.values())
        assert run.report.rejected <= refused + sum(isinstance(row, Rejected) for row in given_rows)


@settings(max_examples=scaled(50))
@given(
    script=st.lists(
        st.lists(st.sampled_from([OK, OK, REFUSED, NO_ANSWER, ERROR_500, too_many(100.0)]), max_size=4),
        min_size=1,
        max_size=20,
    ),
    rows=st.lists(st.tuples(st.integers(0, 25), st.sampled_from([1, 1, 1, 2])), max_size=30),
    known=st.integers(0, 25),
    concurrency=st.integers(1, 9),
    limit=st.none() | st.integers(0, 20),
    reverse=st.booleans(),
)
def test_runs_that_continue_each_other_count_as_one(
    script: list[list[Attempt]],
    rows: list[tuple[int, int]],
    known: int,
    concurrency: int,
    limit: int | None,
    reverse: bool,
) -> None:
    """However often they stop, and in whatever order the rows come again."""
    ledger = in_memory()
    deliver(Endpoint(always(OK)), [a_call(1, known, MediaId=1)], ledger=ledger)
    attempts: Counter[str] = Counter()
    processed: Counter[str] = Counter()
    last: dict[str, Attempt] = {}

    def answer(session_id: str, _: int) -> Attempt:
        answers = script[int(session_id) % len(script)]
        attempts[session_id] += 1
        given = answers[attempts[session_id] - 1] if attempts[session_id] <= len(answers) else OK
        last[session_id] = given
        return given

    continues: list[str] = []
    sent, stopped = 0, True
    while stopped:
        endpoint = Endpoint(answer)
        in_turn = rows[::-1] if reverse and len(continues) % 2 else rows
        given_rows = [a_call(number, session, MediaId=content) for number, (session, content) in enumerate(in_turn, 1)]
        left = None if limit is None else limit - sent
        run = deliver(
            endpoint, given_rows, ledger=ledger, continues=continues, limit=left, concurrency=concurrency, max_wait=20
        )
        processed += endpoint.processed
        report = run.report.of_the_try()
        assert report.rows == report.accounted == len(rows)
        # Of two rows with the same key, the first in turn counts: the other content may be the one that was sent.
        changed = {session for session, _ in rows if len({other for same, other in rows if same == session}) > 1}
        assert report.delivered <= processed.total()
        assert processed.total() - report.delivered <= len(changed) * reverse
        continues.append(run.run_id)
        sent += run.report.sent
        stopped = run.report.stop is not None and run.aborted is None
    assert set(processed.values()) <= {1}
    ended = {session for session, attempt in last.items() if attempt.result is not AttemptResult.AGAIN}
    assert len(ended) == sent
    assert limit is None or sent <= limit


def test_a_stop_from_outside_settles_what_is_in_flight_and_counts_the_rest() -> None:
    endpoint = Endpoint(always(OK), lambda: (1.0, 1.0))
    interrupt = threading.Event()
    engine = Engine(duplicates=Duplicates(), pacing=Pacing(), on_settled=lambda *_: None, interrupt=interrupt)

    async def main() -> None:
        asyncio.get_running_loop().call_later(3.0, interrupt.set)

        async def rows() -> AsyncIterator[Sequence[Call | Rejected]]:
            yield calls(100)

        report = await engine.run(endpoint.send, DirectWriter(in_memory()), rows())
        assert (report.delivered, report.not_sent, report.rows) == (16, 84, 100)
        assert report.stop is not None
        assert report.stop.code is ReasonCode.RUN_STOPPED
        assert virtual_time.now() == pytest.approx(4.0), "the second round is awaited, and a third never leaves"

    virtual_time.run(main())


def test_a_stop_from_outside_waits_for_an_answer_no_longer_than_airflow_waits_for_the_task() -> None:
    """Airflow 3 kills a task 5 s after it asked it to stop."""
    settled: list[Outcome] = []
    interrupt = threading.Event()
    engine = Engine(
        duplicates=Duplicates(),
        pacing=Pacing(),
        on_settled=lambda _, outcome: settled.append(outcome),
        interrupt=interrupt,
    )

    async def slow(record: CallRecord) -> Attempt:
        try:
            await asyncio.sleep(60.0)
        except asyncio.CancelledError:
            if record.CallSessionId.endswith("-3"):
                raise NothingLeft from None
            raise
        return OK

    async def main() -> None:
        asyncio.get_running_loop().call_later(3.0, interrupt.set)

        async def rows() -> AsyncIterator[Sequence[Call | Rejected]]:
            yield calls(100)

        report = await engine.run(slow, DirectWriter(in_memory()), rows())
        assert (report.unknown, report.not_sent, report.rows) == (7, 93, 100)
        assert 7.0 <= virtual_time.now() < 7.5

    virtual_time.run(main())
    assert Counter((outcome.state, outcome.code) for outcome in settled) == {
        (RowOutcome.UNKNOWN, ReasonCode.RUN_STOPPED): 7,
        (RowOutcome.NOT_SENT, ReasonCode.RUN_STOPPED): 93,
    }


def test_a_run_that_is_cancelled_claims_to_know_nothing_of_what_is_in_flight() -> None:
    settled: list[Outcome] = []
    ledger = in_memory()
    writer = DirectWriter(ledger)
    engine = Engine(duplicates=Duplicates(), pacing=Pacing(), on_settled=lambda _, outcome: settled.append(outcome))

    async def main() -> None:
        async def rows() -> AsyncIterator[Sequence[Call | Rejected]]:
            yield calls(2)

        run = asyncio.ensure_future(engine.run(Endpoint(always(OK), lambda: (60.0, 0.0)).send, writer, rows()))
        await asyncio.sleep(1.0)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    virtual_time.run(main())
    assert settled == []
    keys = [writer.identify(a_call(number).record).key for number in (1, 2)]
    assert [ledger.look_up(keys)[key].state for key in keys] == [CallState.OPEN] * 2


@pytest.mark.parametrize("asked", [429, None])
def test_a_call_that_connects_while_a_wait_begins_leaves_after_it(asked: int | None) -> None:
    """The first call is answered with a wait of 5 s, or finds no connection; the others connect meanwhile."""
    scripted = Endpoint(lambda session_id, _: OK)
    engine = Engine(duplicates=Duplicates(), pacing=Pacing(), on_settled=lambda *_: None, concurrency=4)
    failures = iter([too_many(5.0) if asked else NO_CONNECTION])
    held_back: list[str] = []

    async def connecting(record: CallRecord) -> Attempt:
        if record.CallSessionId.endswith("-1") and (failure := next(failures, None)) is not None:
            await asyncio.sleep(0.1)
            return failure
        connected = virtual_time.now() >= 1.0
        await asyncio.sleep(0.0 if connected else 0.2)
        if not connected and not engine.may_leave():
            held_back.append(record.CallSessionId)
            raise HeldBack
        return await scripted.send(record)

    ledger = in_memory()

    async def main() -> None:
        async def rows() -> AsyncIterator[Sequence[Call | Rejected]]:
            yield calls(8)

        writer = DirectWriter(ledger)
        report = await engine.run(connecting, writer, rows())
        assert (report.delivered, report.rows) == (8, 8)
        assert writer.open_at_once <= open_at_most(4)

    virtual_time.run(main())
    assert len(held_back) >= 3
    assert len(scripted.requests) == 8
    if asked:
        assert min(request.began for request in scripted.requests) >= 5.1


def test_a_call_that_is_held_back_gives_its_permit_back() -> None:
    endpoint = Endpoint(always(OK), lambda: (0.0, 0.0))
    sends, tried = endpoint.send, set[str]()

    async def connecting(record: CallRecord) -> Attempt:
        if record.CallSessionId not in tried:
            tried.add(record.CallSessionId)
            raise HeldBack
        return await sends(record)

    endpoint.send = connecting  # type: ignore[method-assign]
    run = deliver(endpoint, calls(30), limits=[RateLimit(10, 1.0)])
    assert run.report.delivered == 30
    assert run.ended == pytest.approx(2.0, rel=0.02), "as long as if none had been held back"


def test_a_place_that_was_left_is_one_place() -> None:
    endpoint = Endpoint(always(OK))

    async def rows() -> AsyncIterator[Sequence[Call | Rejected]]:
        for start in range(0, 60, 20):
            yield calls(60)[start : start + 20]
            await asyncio.sleep(100.0)

    deliver(endpoint, rows(), concurrency=4)
    assert max(request.in_flight for request in endpoint.requests) == 4, "in the last batch as in the first"


def test_a_request_that_raises_costs_no_other() -> None:
    endpoint = Endpoint(lambda session_id, _: REFUSED if session_id == "2" else OK)
    sends = endpoint.send

    async def raising(record: CallRecord) -> Attempt:
        if record.CallSessionId.endswith("-3"):
            raise RecursionError
        return await sends(record)

    endpoint.send = raising  # type: ignore[method-assign]
    run = deliver(endpoint, calls(10), concurrency=4)
    assert run.states(1, 2, 3, 4) == [
        RowOutcome.DELIVERED,
        RowOutcome.REJECTED,
        RowOutcome.UNKNOWN,
        RowOutcome.DELIVERED,
    ]
    assert run.report.delivered == 8
    assert run.settled[3].code is ReasonCode.NO_ANSWER
    assert "RecursionError" in run.settled[3].reason


def test_a_call_of_which_no_request_can_be_made_is_not_in_doubt() -> None:
    endpoint = Endpoint(always(OK))
    sends = endpoint.send

    def unmade(record: CallRecord) -> Awaitable[Attempt]:
        if record.CallSessionId.endswith("-3"):
            raise RecursionError
        return sends(record)

    endpoint.send = unmade  # type: ignore[method-assign, assignment]
    run = deliver(endpoint, calls(10), concurrency=4)
    assert run.report.delivered == 9
    assert run.states(3) == [RowOutcome.NOT_SENT]
    assert "no request could be made of it (RecursionError)" in run.settled[3].reason


class FailingWriter(DirectWriter):
    """A ledger that is away from the moment that a call of some number would be settled."""

    def __init__(self, number: int, *, resend: bool) -> None:
        super().__init__(in_memory(), resend=resend)
        self.asked = 0
        self._left = number

    async def look_up(self, keys: Sequence[str]) -> Mapping[str, Entry]:
        self.asked += 1
        if self._left <= 0:
            raise LedgerUnusable("the ledger cannot be used (OperationalError)")
        return await super().look_up(keys)

    async def record(
        self, claims: Sequence[Claim], settlements: Sequence[Settlement]
    ) -> tuple[Sequence[Decision] | None, Sequence[CallState]]:
        self._left -= len(settlements)
        if settlements and self._left <= 0:
            raise LedgerUnusable("the ledger cannot be used (OperationalError)")
        return await super().record(claims, settlements)


def without_ledger(attempt: Attempt, *, resend: bool) -> tuple[FailingWriter, DeliveryReport]:
    """Ten batches of one call each; the ledger is lost with the second."""

    async def main() -> tuple[FailingWriter, DeliveryReport]:
        writer = FailingWriter(2, resend=resend)
        engine = Engine(duplicates=Duplicates(), pacing=Pacing(), on_settled=lambda *_: None)
        return writer, await engine.run(Endpoint(in_order(OK, then=attempt)).send, writer, spread(10, 1.0))

    return virtual_time.run(main())


@pytest.mark.parametrize("attempt", [OK, ERROR_500])
@pytest.mark.parametrize("resend", [False, True])
def test_without_its_ledger_a_run_asks_it_no_more(attempt: Attempt, resend: bool) -> None:
    writer, report = without_ledger(attempt, resend=resend)
    assert (report.delivered, report.unknown, report.not_sent) == (1, 1, 8)
    assert writer.asked == 3, "a database that is away takes minutes to say so"
    # With resend, the next try sends what could not be recorded, so Airflow has to make one; not for what has arrived.
    assert report.given_up == 8 + (resend and attempt is not OK)


@pytest.mark.parametrize("resend", [False, True])
def test_a_refusal_that_the_ledger_never_recorded_is_unknown(resend: bool) -> None:
    """It was to be held back until other attempts show whose fault it is. The ledger still has the call as open."""
    settled: dict[int, Outcome] = {}
    writer = FailingWriter(1, resend=resend)
    engine = Engine(
        duplicates=Duplicates(),
        pacing=Pacing(),
        on_settled=lambda row, outcome: settled.update({row.row: outcome}),
    )

    async def rows() -> AsyncIterator[Sequence[Call | Rejected]]:
        yield calls(3)

    async def main() -> DeliveryReport:
        return await engine.run(Endpoint(always(REFUSED)).send, writer, rows())

    report = virtual_time.run(main())
    assert (report.unknown, report.not_sent, report.rejected) == (3, 0, 0)
    assert {outcome.code for outcome in settled.values()} == {ReasonCode.NOT_RECORDED}
    assert report.given_up == (3 if resend else 0), "with resend, the next try sends them"


class UnwritableWriter(DirectWriter):
    """A ledger that answers, and takes nothing."""

    async def record(
        self, claims: Sequence[Claim], settlements: Sequence[Settlement]
    ) -> tuple[Sequence[Decision] | None, Sequence[CallState]]:
        raise LedgerUnusable("the ledger cannot be used (OperationalError)")


def test_a_call_in_doubt_stays_so_where_its_ledger_is_lost_before_it_is_sent_again() -> None:
    settled: dict[int, RowOutcome] = {}
    engine = Engine(
        duplicates=Duplicates(),
        pacing=Pacing(),
        on_settled=lambda row, outcome: settled.update({row.row: outcome.state}),
    )

    async def main() -> None:
        async def rows() -> AsyncIterator[Sequence[Call | Rejected]]:
            yield calls(2)

        await engine.run(Endpoint(always(OK)).send, UnwritableWriter(with_a_dead_run(), resend=True), rows())

    virtual_time.run(main())
    assert settled == {1: RowOutcome.UNKNOWN, 2: RowOutcome.NOT_SENT}


def test_a_stop_from_outside_ends_a_back_off() -> None:
    endpoint = Endpoint(always(too_many(1000.0)))
    interrupt = threading.Event()
    pacing = Pacing(max_wait=5000)
    engine = Engine(duplicates=Duplicates(), pacing=pacing, on_settled=lambda *_: None, interrupt=interrupt)

    async def main() -> None:
        asyncio.get_running_loop().call_later(3.0, interrupt.set)

        async def rows() -> AsyncIterator[Sequence[Call | Rejected]]:
            yield calls(100)

        report = await engine.run(endpoint.send, DirectWriter(in_memory()), rows())
        assert (report.not_sent, report.rows) == (100, 100)
        assert virtual_time.now() == pytest.approx(3.0)

    virtual_time.run(main())
