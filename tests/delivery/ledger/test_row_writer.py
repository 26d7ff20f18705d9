"""What becomes of rows that are no state of a call, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import count
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from airflow_provider_impactcall.defaults import DEFAULT_KEY
from airflow_provider_impactcall.delivery.clock import SYSTEM_CLOCK
from airflow_provider_impactcall.delivery.identity import identify
from airflow_provider_impactcall.delivery.items import Call, Rejected, Skipped
from airflow_provider_impactcall.delivery.ledger.row_writer import RowWriter
from airflow_provider_impactcall.delivery.ledger.rules import Settlement
from airflow_provider_impactcall.delivery.ledger.schema import changed_calls, dead_letters, run_rows
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import Outcome, ReasonCode, RowOutcome
from airflow_provider_impactcall.delivery.reading import read
from airflow_provider_impactcall.records import CallMapping
from tests import examples
from tests.delivery import canary
from tests.delivery.scripted import OK

NAMESPACE = "https://calls.example.com"
DELIVERED = Outcome(RowOutcome.DELIVERED, ReasonCode.OK, "")
CHANGED = Outcome(RowOutcome.CHANGED, ReasonCode.DELIVERED_BEFORE, "")


class Hasty:
    """A clock by which each row is late, and so a group by itself."""

    def __init__(self) -> None:
        self._moments = count(step=10.0)

    def monotonic(self) -> float:
        return next(self._moments)

    def now(self) -> datetime:
        return SYSTEM_CLOCK.now()

    def sleep(self, seconds: float) -> None:
        SYSTEM_CLOCK.sleep(seconds)


def a_run(ledger: Ledger, rows: Iterable[Any], of_calls: Outcome = DELIVERED, **options: Any) -> RowWriter:
    """A run that reads the rows, and whose valid ones all end alike."""
    with RowWriter(ledger, ledger.start("test", ""), DEFAULT_KEY, **options) as writer:
        for item in read(rows, CallMapping(), key=DEFAULT_KEY):
            match item:
                case Call():
                    writer.note(item, of_calls)
                case Rejected():
                    writer.note(item, Outcome(RowOutcome.REJECTED, ReasonCode.INVALID, "x"))
                case Skipped():
                    writer.note(item, Outcome(RowOutcome.FILTERED, ReasonCode.FILTERED, item.reason))
    return writer


def held(ledger: Ledger, table: sa.Table) -> list[Any]:
    with ledger.reading() as connection:
        return list(connection.execute(sa.select(table).order_by(*table.primary_key)).mappings())


def sent(ledger: Ledger, session_id: str, **changes: Any) -> None:
    """A call that another run has delivered."""
    [item] = read([examples.call(session_id, **changes)], CallMapping())
    assert isinstance(item, Call)
    claim, run_id = identify(NAMESPACE, DEFAULT_KEY, item.record), ledger.start("test", "")
    ledger.record(run_id, [claim], [], resend=False)
    ledger.record(run_id, [], [Settlement(claim.key, 1, OK)], resend=False)


def test_an_invalid_row_is_a_dead_letter_with_all_its_problems_and_nothing_private(ledger: Ledger) -> None:
    bad = canary.row(1, CallSessionId="CA-1", MediaId=77, CallDuration="soon", CallStatus=None)
    writer = a_run(ledger, [examples.call("2"), bad])
    [letter] = held(ledger, dead_letters)
    assert (letter["CallSessionId"], letter["MediaId"], letter["row"], letter["times"]) == ("CA-1", "77", 2, 1)
    assert letter["parameter"] == "CallDuration"
    assert letter["problems"].count("[") == 3
    assert canary.found_in(str(dict(letter))) == []
    assert writer.invalid == {letter["reason_code"]: 1}
    [counted] = held(ledger, run_rows)
    assert (counted["outcome"], counted["rows"], counted["kept"]) == ("rejected", 1, 1)


def test_a_row_that_is_read_again_is_the_same_dead_letter_with_and_without_its_key(ledger: Ledger) -> None:
    rows = [
        examples.call("a", CallDuration=None),
        examples.call("b", CampaignId=None),
        examples.call("c", CampaignId=None),
        examples.call("", TalkDuration=7),
        {"nothing": "of a call"},
    ]
    for _ in range(3):
        a_run(ledger, rows)
    letters = held(ledger, dead_letters)
    assert [letter["times"] for letter in letters] == [3] * len(rows)
    assert all(letter["last_at"] > letter["first_at"] for letter in letters)


@pytest.mark.parametrize(
    "mended",
    [
        examples.call("a"),
        pytest.param(examples.call("a", CampaignId=2), id="under another key: known by its id and provider"),
    ],
)
@pytest.mark.parametrize("outcome", [DELIVERED, Outcome(RowOutcome.ALREADY_DELIVERED, ReasonCode.OK, ""), CHANGED])
def test_a_mended_row_is_gone_once_its_call_is_delivered(
    ledger: Ledger, mended: Mapping[str, Any], outcome: Outcome
) -> None:
    a_run(ledger, [examples.call("a", CallDuration=None), examples.call("b", CallDuration=None)])
    a_run(ledger, [mended], outcome)
    assert [letter["CallSessionId"] for letter in held(ledger, dead_letters)] == ["b"]


def test_a_call_that_is_not_delivered_mends_nothing(ledger: Ledger) -> None:
    a_run(ledger, [examples.call("a", CallDuration=None)])
    a_run(ledger, [examples.call("a")], Outcome(RowOutcome.UNKNOWN, ReasonCode.NO_ANSWER, ""))
    assert len(held(ledger, dead_letters)) == 1


@pytest.mark.parametrize("changes", [{}, {"CampaignId": 2}], ids=["its key", "another key"])
def test_a_row_whose_call_was_delivered_is_not_a_dead_letter(ledger: Ledger, changes: dict[str, Any]) -> None:
    sent(ledger, "a", **changes)
    a_run(ledger, [examples.call("a", CallDuration=None), examples.call("a", CallDuration=None, CallProvider="Other")])
    assert len(held(ledger, dead_letters)) == 1


def test_a_dead_letter_goes_that_is_read_again_though_its_call_was_delivered(ledger: Ledger) -> None:
    a_run(ledger, [examples.call("a", CallDuration=None)])
    sent(ledger, "a")
    a_run(ledger, [examples.call("a", CallDuration=None)])
    assert held(ledger, dead_letters) == []


def test_what_a_person_has_dismissed_stays_so_until_its_problems_change(ledger: Ledger) -> None:
    a_run(ledger, [examples.call("a", CallDuration=None)])
    with ledger.writing() as connection:
        connection.execute(sa.update(dead_letters).values(dismissed_at=1.0))
    a_run(ledger, [examples.call("a", CallDuration=None)])
    assert [letter["dismissed_at"] for letter in held(ledger, dead_letters)] == [1.0]
    a_run(ledger, [examples.call("a", CallDuration=None, CallStatus="MAYBE")])
    assert [letter["dismissed_at"] for letter in held(ledger, dead_letters)] == [None]


def test_so_many_are_kept_one_by_one_and_the_others_counted(ledger: Ledger) -> None:
    rows = [examples.call(str(number), CallDuration=None) for number in range(7)]
    writer = a_run(ledger, rows, most_letters=3)
    assert len(held(ledger, dead_letters)) == 3
    assert [(each["rows"], each["kept"], each["parameter"]) for each in held(ledger, run_rows)] == [
        (7, 3, "CallDuration")
    ]
    assert writer.invalid.total() == 7


def test_an_id_that_may_be_something_private_is_not_kept(ledger: Ledger) -> None:
    a_run(ledger, [examples.call(canary.CALLER, CallDuration=None)])
    a_run(ledger, [examples.call(canary.CALLER, CallDuration=None)])
    assert [(letter["CallSessionId"], letter["times"]) for letter in held(ledger, dead_letters)] == [(None, 2)]


def test_a_call_that_came_with_other_content_is_marked_with_when_and_how_often(ledger: Ledger) -> None:
    sent(ledger, "a")
    a_run(ledger, [examples.call("a", TalkDuration=1)], CHANGED)
    a_run(ledger, [examples.call("a", TalkDuration=2), examples.call("a", TalkDuration=2)], CHANGED)
    [mark] = held(ledger, changed_calls)
    [item] = read([examples.call("a", TalkDuration=2)], CallMapping())
    assert isinstance(item, Call)
    claim = identify(NAMESPACE, DEFAULT_KEY, item.record)
    assert (mark["key"], mark["fingerprint"], mark["times"]) == (claim.key, claim.fingerprint, 3)
    assert mark["last_at"] > mark["first_at"]


def test_rows_that_are_left_out_are_counted_by_reason(ledger: Ledger) -> None:
    with RowWriter(ledger, ledger.start("test", ""), DEFAULT_KEY) as writer:
        for number, reason in enumerate(["outbound", "live", "outbound"], start=1):
            writer.note(Skipped(number, None, reason), Outcome(RowOutcome.FILTERED, ReasonCode.FILTERED, reason))
    counted = {each["reason"]: each["rows"] for each in held(ledger, run_rows)}
    assert counted == {"outbound": 2, "live": 1}


def test_a_database_that_fails_costs_no_row(ledger: Ledger) -> None:
    with RowWriter(ledger, ledger.start("test", ""), DEFAULT_KEY) as writer:
        with ledger.writing() as connection:
            dead_letters.drop(connection)
        for item in read([examples.call("a", CallDuration=None)], CallMapping(), key=DEFAULT_KEY):
            writer.note(item, Outcome(RowOutcome.REJECTED, ReasonCode.INVALID, "x"))
    assert writer.invalid.total() == 1
    assert [each["rows"] for each in held(ledger, run_rows)] == [1]


def test_a_transaction_that_fails_takes_the_secret_with_it_that_it_made(ledger: Ledger) -> None:
    failures = iter([OperationalError("", None, Exception("a collision"))])

    def fail_once(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO impactcall_dead_letter"):
            for failure in failures:
                raise failure

    sa.event.listen(ledger.engine, "before_cursor_execute", fail_once)
    for _ in range(2):
        a_run(ledger, [examples.call("a", CampaignId=None)])
    assert [letter["times"] for letter in held(ledger, dead_letters)] == [2]


def test_what_comes_after_a_group_that_was_lost_is_written(ledger: Ledger) -> None:
    failures = iter([RuntimeError("as a driver may")])

    def fail_once(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("INSERT INTO impactcall_dead_letter"):
            for failure in failures:
                raise failure

    sa.event.listen(ledger.engine, "before_cursor_execute", fail_once)
    rows = [examples.call(str(number), CallDuration=None) for number in range(500)]
    with RowWriter(ledger, ledger.start("test", ""), DEFAULT_KEY, clock=Hasty()) as writer:
        for item in read(rows, CallMapping(), key=DEFAULT_KEY):
            writer.note(item, Outcome(RowOutcome.REJECTED, ReasonCode.INVALID, "x"))
            if held(ledger, dead_letters):
                break
            SYSTEM_CLOCK.sleep(0.01)
        else:
            pytest.fail("no row was written after the first group was lost")


@pytest.mark.parametrize("outcome", [DELIVERED, Outcome(RowOutcome.ALREADY_DELIVERED, ReasonCode.OK, "")])
def test_a_call_that_comes_as_it_was_sent_loses_the_mark_of_earlier_runs(ledger: Ledger, outcome: Outcome) -> None:
    a_run(ledger, [examples.call("a"), examples.call("b")], CHANGED)
    a_run(ledger, [examples.call("a")], outcome)
    assert len(held(ledger, changed_calls)) == 1


def test_a_row_beside_one_that_differs_leaves_the_mark(ledger: Ledger) -> None:
    a_run(ledger, [examples.call("a", TalkDuration=1)], CHANGED)
    earlier = Outcome(RowOutcome.CHANGED, ReasonCode.EARLIER_ROW, "")
    with RowWriter(ledger, ledger.start("test", ""), DEFAULT_KEY) as writer:
        first, second = read([examples.call("a"), examples.call("a", TalkDuration=1)], CallMapping())
        writer.note(second, earlier)
        writer.note(first, Outcome(RowOutcome.ALREADY_DELIVERED, ReasonCode.DELIVERED_BEFORE, ""))
    assert [mark["times"] for mark in held(ledger, changed_calls)] == [2]
