"""A value that the ledger's database cannot hold costs its call, and none of those that are recorded with it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DataError, IntegrityError, OperationalError

from airflow_provider_impactcall.defaults import DEFAULT_KEY
from airflow_provider_impactcall.delivery.clock import SystemClock
from airflow_provider_impactcall.delivery.identity import Claim, identify
from airflow_provider_impactcall.delivery.ledger.corrections import Corrections
from airflow_provider_impactcall.delivery.ledger.edits import Author
from airflow_provider_impactcall.delivery.ledger.entries import Entry
from airflow_provider_impactcall.delivery.ledger.rules import Decision, Recorded, Send, Settled, Settlement, Wait
from airflow_provider_impactcall.delivery.ledger.run_queries import last_runs
from airflow_provider_impactcall.delivery.ledger.selection import Selection
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.ledger.unrecordable import Unrecordable, is_over_a_value, record_apart
from airflow_provider_impactcall.delivery.ledger.writer import LedgerWriter
from airflow_provider_impactcall.delivery.outcome import (
    Attempt,
    AttemptResult,
    CallState,
    ReasonCode,
    RowOutcome,
)
from airflow_provider_impactcall.exceptions import LedgerUnusable
from airflow_provider_impactcall.records import CallRecord
from tests.databases import listen
from tests.delivery import canary
from tests.delivery.decisions import end_of

NAMESPACE = "https://calls.example.com"
PHONE = "\N{TELEPHONE RECEIVER}"
DELIVERED = Attempt(AttemptResult.DELIVERED, ReasonCode.OK, "200 Status OK", 200)
REFUSED = Attempt(AttemptResult.REJECTED, ReasonCode.REFUSED, f"400 no such call {PHONE}", 400)
AGAIN = Attempt(AttemptResult.AGAIN, ReasonCode.RETRY_LATER, "503", 503)
NO_ANSWER = Attempt(AttemptResult.UNKNOWN, ReasonCode.NO_ANSWER, "no complete answer (TimeoutError)")

# As PostgreSQL refuses a character that its encoding lacks: in one of UTF-8, as no ledger is in another.
ONLY_ASCII = """
CREATE FUNCTION only_ascii() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.reason || NEW."CallSessionId" ~ '[^[:ascii:]]' THEN
        RAISE EXCEPTION USING MESSAGE = NEW."CallSessionId", ERRCODE = '22P05';
    END IF;
    RETURN NEW;
END $$"""
LOOK = "CREATE TRIGGER look BEFORE INSERT OR UPDATE ON impactcall_call FOR EACH ROW EXECUTE FUNCTION only_ascii()"


class Impatient(SystemClock):
    """A clock by which no pause takes any time.

    :ivar pauses: how many there were
    """

    def __init__(self) -> None:
        self.pauses = 0

    def sleep(self, seconds: float) -> None:  # type: ignore[override]
        self.pauses += 1


class Forgetful(Ledger):
    """A ledger whose server commits and says nothing of it, at those of its transactions.

    :ivar silent: the places of these, from 1
    :ivar asked: how many there were
    """

    silent: Sequence[int] = ()
    asked = 0

    def record(
        self, run_id: str, claims: Sequence[Claim], settlements: Sequence[Settlement], *, resend: bool
    ) -> Recorded:
        self.asked += 1
        recorded = super().record(run_id, claims, settlements, resend=resend)
        if self.asked in self.silent:
            raise OperationalError("COMMIT", {}, Exception("the connection was lost"))
        return recorded


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Forgetful]:
    """A ledger that holds nothing but ASCII: on PostgreSQL the server refuses the rest, on SQLite the driver."""
    with closing(Forgetful(sa.create_engine(ledger_url), NAMESPACE)) as ledger:
        ledger.prepare()
        if ledger.engine.dialect.name == "postgresql":
            with ledger.writing() as connection:
                for statement in (ONLY_ASCII, LOOK):
                    connection.exec_driver_sql(statement)
        else:
            listen(ledger.engine, encode)
        yield ledger


def encode(_: str, parameters: Any, __: bool) -> None:
    for row in parameters if isinstance(parameters, list) else [parameters]:
        for value in row:
            if isinstance(value, str):
                value.encode("ascii")


def claim_of(session_id: str) -> Claim:
    return identify(NAMESPACE, DEFAULT_KEY, CallRecord.of(canary.row(session_id)))


GOOD = [claim_of(f"good-{number}") for number in range(5)]
BAD = claim_of(PHONE)


def recorded(ledger: Ledger, *groups: tuple[Sequence[Claim], Sequence[Settlement]]) -> tuple[list[Recorded], Impatient]:
    """What one run is told of its groups, and the clock that it had."""
    clock = Impatient()

    async def main() -> list[Recorded]:
        run_id = ledger.start("test", "")
        async with LedgerWriter(ledger, run_id, DEFAULT_KEY, resend=False, clock=clock) as writer:
            told = [await writer.record(claims, settlements) for claims, settlements in groups]
            assert writer.may_send
            return told

    return asyncio.run(main()), clock


def settled(claim: Claim, attempt: Attempt) -> Settlement:
    return Settlement(claim.key, 1, attempt)


def is_refused(decision: Decision) -> bool:
    """Whether a call is rejected for its value, which is not told."""
    if not isinstance(decision, Settled):
        return False
    outcome = decision.outcome
    assert not canary.found_in(outcome.reason)
    assert PHONE not in outcome.reason
    return (outcome.state, outcome.code) == (RowOutcome.REJECTED, ReasonCode.UNRECORDABLE)


def states(ledger: Ledger) -> list[CallState | None]:
    """Of the good calls, and of the bad one."""
    found = ledger.look_up([claim.key for claim in [*GOOD, BAD]])
    return [found[claim.key].state if claim.key in found else None for claim in [*GOOD, BAD]]


def test_the_others_of_its_group_are_recorded(ledger: Forgetful) -> None:
    group = [GOOD[2], BAD, GOOD[3], GOOD[4]]
    answers = [settled(GOOD[0], DELIVERED), settled(GOOD[1], REFUSED)]
    (_, (decisions, told)), clock = recorded(ledger, (GOOD[:2], []), (group, answers))
    assert decisions is not None
    assert [is_refused(decision) for decision in decisions] == [False, True, False, False]
    assert [decision for decision in decisions if not is_refused(decision)] == [Send(1)] * 3
    assert told == [CallState.DELIVERED, CallState.REJECTED]
    assert states(ledger) == [*told, *[CallState.OPEN] * 3, None]
    assert clock.pauses == 0, "what fares no better is not repeated"


def test_an_answer_is_recorded_whatever_its_words_are(ledger: Forgetful) -> None:
    answers = [settled(GOOD[0], REFUSED), settled(GOOD[1], DELIVERED)]
    (_, (decisions, told)), _ = recorded(ledger, (GOOD[:2], []), ([], answers))
    assert (decisions, told) == ([], [CallState.REJECTED, CallState.DELIVERED])
    assert ledger.look_up([GOOD[0].key])[GOOD[0].key].reason == "400 no such call ?"


@pytest.mark.parametrize("silent", range(2, 9))
def test_a_server_that_is_lost_amid_it(ledger: Forgetful, silent: int) -> None:
    """Whatever was committed by then is found, and nothing is claimed a second time."""
    ledger.silent = [silent]
    group = [GOOD[2], BAD, GOOD[3], GOOD[4]]
    (_, (decisions, told)), clock = recorded(ledger, (GOOD[:2], []), (group, [settled(GOOD[0], DELIVERED)]))
    assert decisions is not None
    assert [is_refused(decision) or decision for decision in decisions] == [Send(1), True, Send(1), Send(1)]
    assert (told, states(ledger)[0], states(ledger)[-1]) == ([CallState.DELIVERED], CallState.DELIVERED, None)
    found = ledger.look_up([claim.key for claim in GOOD])
    assert {entry.attempts for entry in found.values()} == {1}
    # The second group, its settlement and its four calls; what cannot be held is never committed.
    assert clock.pauses == (silent in (3, 4, 6, 7))


def test_a_value_of_no_call_stops_the_run_at_once(ledger: Forgetful, no_canary_in_logs: list[str]) -> None:
    clock = Impatient()

    async def main() -> None:
        run_id = ledger.start("test", "")
        async with LedgerWriter(ledger, run_id, DEFAULT_KEY, resend=False, clock=clock) as writer:
            await writer.record(GOOD[:1], [])
            if ledger.engine.dialect.name == "postgresql":
                with ledger.writing() as connection:
                    connection.exec_driver_sql("ALTER TABLE impactcall_call ALTER state TYPE varchar(4)")
            else:
                listen(ledger.engine, refuse)
            with pytest.raises(LedgerUnusable, match=r"\b(DataError|UnicodeEncodeError)\b"):
                await writer.record([], [settled(GOOD[0], DELIVERED)])
            assert not writer.may_send

    asyncio.run(main())
    assert clock.pauses == 0
    assert states(ledger)[0] is CallState.OPEN


def refuse(statement: str, *_: Any) -> None:
    if statement.startswith("UPDATE ") and "impactcall_call " in statement:
        PHONE.encode("ascii")


def test_calls_that_are_adopted_beside_it_are_recorded(ledger: Forgetful) -> None:
    found = Corrections(ledger).adopt([GOOD[0], BAD, GOOD[1]], Author("ann", "sent before"))
    assert found == {"new": 2, "unrecordable": 1}
    assert states(ledger) == [CallState.DELIVERED] * 2 + [None] * 4
    [run] = last_runs(ledger, 1)
    assert run["delivered_rows"] == 2


def test_a_person_whose_words_it_cannot_hold_is_told_so(ledger: Forgetful) -> None:
    recorded(ledger, (GOOD[:1], []), ([], [settled(GOOD[0], REFUSED)]))
    with pytest.raises(Unrecordable) as raised:
        Corrections(ledger).requeue(Selection(), Author("ann", PHONE))
    assert PHONE not in str(raised.value)
    assert states(ledger)[0] is CallState.REJECTED


class Scripted:
    """A ledger that raises and tells what a test has it do, by the calls and settlements of a transaction.

    :ivar asked: the sizes of those that there were
    """

    def __init__(self, *answers: Recorded | Exception, known: Mapping[str, Any] | None = None) -> None:
        self.asked: list[tuple[int, int]] = []
        self._answers = list(answers)
        self._known = known or {}

    def record(self, claims: Sequence[Claim], settlements: Sequence[Settlement]) -> Recorded:
        self.asked.append((len(claims), len(settlements)))
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def look_up(self, keys: Sequence[str]) -> Mapping[str, Entry]:
        return {key: entry for key, entry in self._known.items() if key in keys}

    def apart(self, claims: Sequence[Claim], settlements: Sequence[Settlement]) -> Recorded:
        return record_apart(self.record, self.look_up, claims, settlements)


TOO_LONG = DataError("INSERT", {}, Exception("too long"))


def test_a_lease_that_runs_out_before_it() -> None:
    ledger = Scripted((None, [CallState.DELIVERED]))
    assert ledger.apart([BAD], [settled(GOOD[0], DELIVERED)]) == (None, [CallState.DELIVERED])
    assert ledger.asked == [(0, 1)], "nothing is claimed any more"


def test_a_lease_that_runs_out_amid_it() -> None:
    """What was claimed before is told, so that it is taken back, and the rest is not sent."""
    ledger = Scripted(([], []), ([Send(1)], []), (None, []), (None, []))
    decisions, _ = ledger.apart(GOOD[:3], [])
    assert decisions is not None
    assert decisions[0] == Send(1)
    assert [wait.code for wait in decisions[1:] if isinstance(wait, Wait)] == [ReasonCode.LEASE_LOST] * 2


def test_a_lease_that_runs_out_amid_the_settlements() -> None:
    ledger = Scripted(TOO_LONG, (None, [CallState.DELIVERED]), TOO_LONG, (None, [CallState.REJECTED]))
    answers = [settled(GOOD[0], DELIVERED), settled(GOOD[1], REFUSED)]
    assert ledger.apart([BAD], answers) == (None, [CallState.DELIVERED, CallState.REJECTED])


@pytest.mark.parametrize(
    ("ended", "row"),
    [(REFUSED, RowOutcome.REJECTED), (AGAIN, RowOutcome.REJECTED), (NO_ANSWER, RowOutcome.UNKNOWN)],
)
def test_a_call_that_comes_again_with_such_a_value_stays_as_it_is(
    ledger: Forgetful, ended: Attempt, row: RowOutcome
) -> None:
    """With a key without CallSessionId. The others of its group are sent."""
    first, again = (
        identify(NAMESPACE, ("SubId1",), CallRecord.of({**canary.row(session_id), "SubId1": "one"}))
        for session_id in ("one", PHONE)
    )
    recorded(ledger, ([first], []), ([], [settled(first, ended)]))
    if ended is NO_ANSWER:
        Corrections(ledger).requeue(Selection(), Author("ann", "no trace of it"))
    before = ledger.look_up([first.key])
    ((decisions, _),), clock = recorded(ledger, ([again._replace(is_known=True), *GOOD], []))
    assert decisions is not None
    assert (end_of(decisions[0]), decisions[1:]) == (row, [Send(1)] * len(GOOD))
    assert (ledger.look_up([first.key]), clock.pauses) == (before, 0)


def test_a_call_that_another_run_delivered_meanwhile_is_not_said_to_be_rejected(ledger: Forgetful) -> None:
    first, again = (
        identify(NAMESPACE, ("SubId1",), CallRecord.of({**canary.row(session_id), "SubId1": "one"}))
        for session_id in ("one", PHONE)
    )
    recorded(ledger, ([first], []), ([], [settled(first, DELIVERED)]))
    ((decisions, _),), _ = recorded(ledger, ([again], []))
    assert [end_of(decision) for decision in decisions or []] == [RowOutcome.CHANGED]


def test_a_call_that_the_ledger_has_is_not_said_to_be_rejected() -> None:
    """It may have been sent: what fails is not a value of its own, as the ledger has the same."""
    entry = Entry(CallState.UNKNOWN, True, None, None, "", 1, 0, 1, "run", BAD.fingerprint, None, 1.0, 1.0, alive=False)
    ledger = Scripted(([], []), TOO_LONG, TOO_LONG, known={BAD.key: entry})
    with pytest.raises(DataError):
        ledger.apart([BAD], [])


def test_what_fails_without_a_call_is_no_value_of_one() -> None:
    """Such as the renewal of the lease: else every call would be rejected for it."""
    ledger = Scripted(TOO_LONG)
    with pytest.raises(DataError):
        ledger.apart([BAD], [])
    ledger = Scripted(*[TOO_LONG] * 3)
    with pytest.raises(DataError):
        ledger.apart([BAD], [settled(GOOD[0], DELIVERED)])
    assert ledger.asked == [(0, 1)] * 3


def test_what_is_no_value_is_for_others_to_repeat() -> None:
    lost = OperationalError("INSERT", {}, Exception("the connection was lost"))
    for answers in ([lost], [([], []), lost], [TOO_LONG, lost]):
        with pytest.raises(OperationalError):
            Scripted(*answers).apart([BAD], [settled(GOOD[0], DELIVERED)])


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TOO_LONG, True),
        (UnicodeEncodeError("latin-1", PHONE, 0, 1, "ordinal not in range"), True),
        (OperationalError("INSERT", {}, Exception(1366, "Incorrect string value")), True),
        (OperationalError("INSERT", {}, Exception(2013, "Lost connection to server during query")), False),
        (OperationalError("INSERT", {}, Exception("server closed the connection unexpectedly")), False),
        (OperationalError("INSERT", {}, Exception()), False),
        (IntegrityError("INSERT", {}, Exception(1062, "Duplicate entry")), False),
        (ValueError("zip() argument 2 is shorter than argument 1"), False),
    ],
)
def test_what_a_driver_raises_over_a_value(error: Exception, expected: bool) -> None:
    assert is_over_a_value(error) is expected
