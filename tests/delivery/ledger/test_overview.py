"""What the page asks of a ledger, on SQLite and on PostgreSQL."""

from __future__ import annotations

import argparse
import shlex
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_provider_impactcall.cli.definition import COMMANDS
from airflow_provider_impactcall.defaults import DEFAULT_KEY
from airflow_provider_impactcall.delivery.identity import Claim, identify
from airflow_provider_impactcall.delivery.ledger import remedies
from airflow_provider_impactcall.delivery.ledger.batch_sizes import BatchSizes
from airflow_provider_impactcall.delivery.ledger.call_actions import CallActions
from airflow_provider_impactcall.delivery.ledger.corrections import Corrections
from airflow_provider_impactcall.delivery.ledger.edits import Author
from airflow_provider_impactcall.delivery.ledger.listing import Listing
from airflow_provider_impactcall.delivery.ledger.overview import Overview
from airflow_provider_impactcall.delivery.ledger.periods import Period
from airflow_provider_impactcall.delivery.ledger.purge import purge
from airflow_provider_impactcall.delivery.ledger.queries import CallQueries
from airflow_provider_impactcall.delivery.ledger.row_overview import RowOverview
from airflow_provider_impactcall.delivery.ledger.rules import DIED
from airflow_provider_impactcall.delivery.ledger.run_queries import (
    RunSelection,
    each_run,
    latest_runs,
    namespaces,
    of_one_run,
)
from airflow_provider_impactcall.delivery.ledger.schema import calls, runs
from airflow_provider_impactcall.delivery.ledger.selection import Selection
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.matching import Match
from airflow_provider_impactcall.delivery.outcome import Attempt, AttemptResult, ReasonCode
from airflow_provider_impactcall.exceptions import InvalidOption, ProblemCode
from airflow_provider_impactcall.records import CallRecord
from tests import examples
from tests.delivery.mixed import NAMESPACE, NO_ANSWER, OK, SCRIPT, TASK, attempted, fill, fill_rows, move

DAY = 86_400
AIRFLOW = ("airflow", "impactcall")
EACH = {"delivered": 2, "rejected": 1, "unknown": 2, "not_sent": 1, "requeued": 1, "open": 1}


def claim_of(session_id: str) -> Claim:
    return identify(NAMESPACE, DEFAULT_KEY, CallRecord.of(examples.call(session_id)))


def last(days: float, until: float = 0.0) -> Period:
    # Clocks of the database and of this machine are the same; their fractions of a millisecond are not.
    now = datetime.now(UTC) + timedelta(seconds=1) - timedelta(days=until)
    return Period(now - timedelta(days=days), now)


@pytest.mark.parametrize("days", [1, 7, 31, 32, 400, 4000])
def test_all_calls_of_a_period_are_counted_by_state(ledger: Ledger, days: int) -> None:
    fill(ledger)
    assert Overview(ledger).states(last(days)) == EACH
    assert Overview(ledger).states(last(days, until=1)) == dict.fromkeys(EACH, 0)


@pytest.mark.parametrize("days", [31, 400])
def test_calls_that_were_followed_or_purged_are_not_delivered_once_more(ledger: Ledger, days: int) -> None:
    attempted(ledger, OK, "sent", "old")
    attempted(ledger, NO_ANSWER, "resolved", "proven")
    author, corrections = Author("alice", "nightly"), Corrections(ledger)
    corrections.resolve(Selection(call_session_ids=["resolved"]), author, delivered=True)
    assert corrections.prove([claim_of("proven").key], author) == 1
    assert corrections.adopt([claim_of("adopted")], author) == {"new": 1}
    actions = CallActions(ledger, author, keep_amounts=False)
    for _ in range(3):
        with actions.run():
            actions.record([Match(claim_of("sent").key, False, False, None, False)])
    with ledger.writing() as connection:
        of_old = calls.c.CallSessionId == "old"
        connection.execute(sa.update(calls).where(of_old).values(changed_at=calls.c.changed_at - 500 * DAY))
    assert purge(ledger, datetime.now(UTC) - timedelta(days=450), author)["delivered"] == 1
    period = last(days)
    delivered = 4 if period.countable else 5  # A run's own count keeps the call that was forgotten.
    assert Overview(ledger).states(period)["delivered"] == delivered
    assert sum(step["delivered"] for step in Overview(ledger).over_time(period)["steps"]) == delivered


@pytest.mark.parametrize(
    ("days", "step", "steps"),
    [(1, "hour", {24, 25}), (2, "hour", {48, 49}), (7, "day", {7, 8}), (90, "day", {90, 91}), (93, "month", {4, 5})],
)
def test_every_step_of_a_period_is_there(ledger: Ledger, days: int, step: str, steps: set[int]) -> None:
    fill(ledger)
    move(ledger, ["delivered", "delivered-2", "rejected"], (days - 0.1) * DAY)
    with ledger.writing() as connection:  # They would be of two hours, if one had just begun.
        three = calls.c.CallSessionId.in_(["unknown", "died", "requeued"])
        connection.execute(sa.update(calls).where(three).values(changed_at=time.time() - 0.5))
    told = Overview(ledger).over_time(last(days))
    assert told["step"] == step
    assert len(told["steps"]) in steps
    starts = [datetime.fromisoformat(each["at"]) for each in told["steps"]]
    assert starts == sorted(set(starts))
    assert all(each["at"].endswith("00:00Z") for each in told["steps"])
    totals = {
        name: sum(each[name] for each in told["steps"]) for name in ("delivered", "rejected", "unknown", "not_sent")
    }
    assert totals == {"delivered": 2, "rejected": 1, "unknown": 3, "not_sent": 1}
    assert [each["delivered"] for each in told["steps"] if each["delivered"]] == [2]
    assert [each["unknown"] for each in told["steps"] if each["unknown"]] == [3]
    early, late = (
        next(at for at, each in zip(starts, told["steps"], strict=True) if each[name])
        for name in ("rejected", "unknown")
    )
    assert early < late
    assert told["steps"][0]["at"] <= told["steps"][1]["at"]


def test_a_month_begins_with_its_first_day(ledger: Ledger) -> None:
    period = Period(datetime(2024, 12, 17, 5, tzinfo=UTC), datetime(2025, 4, 1, tzinfo=UTC))
    steps = Overview(ledger).over_time(period)["steps"]
    assert [each["at"][:10] for each in steps] == ["2024-12-01", "2025-01-01", "2025-02-01", "2025-03-01"]


def test_partners_and_campaigns(ledger: Ledger) -> None:
    fill(ledger)
    overview = Overview(ledger)
    assert overview.partners(last(7)) == [
        {"MediaId": "10000", "calls": 7, "delivered": 2, "rejected": 0, "unknown": 3, "not_sent": 1, "invalid": 0},
        {"MediaId": "20000", "calls": 1, "delivered": 0, "rejected": 1, "unknown": 0, "not_sent": 0, "invalid": 0},
    ]
    assert [(each["CampaignId"], each["calls"]) for each in overview.campaigns(last(7))] == [("1000", 7), ("2000", 1)]
    with pytest.raises(InvalidOption, match=r"\b31\b"):
        overview.partners(last(32))


def test_the_oldest_that_waits(ledger: Ledger) -> None:
    overview = Overview(ledger)
    assert overview.oldest_undelivered() is None
    fill(ledger)
    move(ledger, ["rejected", "delivered"], 500 * DAY)
    move(ledger, ["unknown"], 400 * DAY)
    oldest = overview.oldest_undelivered()
    assert oldest is not None
    assert (oldest["CallSessionId"], oldest["state"]) == ("unknown", "unknown")
    assert oldest["changed_at"].endswith("Z")
    assert (overview.open_unknowns(), overview.refused()) == (2, 1)


def test_reasons(ledger: Ledger) -> None:
    fill(ledger)
    (rejected,) = Overview(ledger).reasons("rejected", last(7))
    assert (rejected["reason_code"], rejected["status"], rejected["reason"]) == ("refused", 400, SCRIPT)
    assert (rejected["calls"], rejected["reasons"]) == (1, [{"reason": SCRIPT, "calls": 1}])
    unknown = {each["reason_code"]: each for each in Overview(ledger).reasons("unknown", last(7))}
    assert {code: (each["status"], each["calls"]) for code, each in unknown.items()} == {
        "no_answer": (None, 1),
        "run_died": (None, 1),
    }
    assert (unknown["no_answer"]["reason"], unknown["run_died"]["reason"]) == (NO_ANSWER.reason, DIED)
    assert Overview(ledger).reasons("unknown", last(7, until=1)) == []


def test_calls_and_all_of_them(ledger: Ledger) -> None:
    fill(ledger)
    overview = Overview(ledger)
    newest, more = overview.calls(Selection(), 3)
    assert [call["CallSessionId"] for call in newest] == ["requeued", "open", "died"]
    assert more
    every, more = overview.calls(Selection(), 100)
    assert (len(every), more) == (8, False)
    assert {call["CallSessionId"]: call["reason"] for call in every}["died"] == DIED
    for selection in (Selection(), Selection(states=["unknown", "rejected"]), Selection(media_ids=["20000"])):
        listed, _ = overview.calls(selection, 100)
        assert {call["key"] for call in overview.each_call(selection)} == {call["key"] for call in listed}
    assert [call["CallSessionId"] for call in overview.calls(Selection(campaign_ids=["2000"]), 9)[0]] == ["unknown"]


def test_all_calls_of_a_moment_come_once_each(ledger: Ledger) -> None:
    """Pages end amid calls that changed at once."""
    attempted(ledger, OK, *(f"call-{number}" for number in range(50)))
    found = [call["CallSessionId"] for call in CallQueries(ledger, BatchSizes(fetched=7)).newest(Selection())]
    assert len(found) == len(set(found)) == 50


def test_a_dead_runs_calls_are_selected_by_the_reason_that_is_shown(ledger: Ledger) -> None:
    fill(ledger)
    for selection in (
        Selection(states=["unknown"], reason=DIED),
        Selection(states=["unknown"], reason_code="run_died"),
    ):
        assert [call["CallSessionId"] for call in CallQueries(ledger).latest(selection, 9)] == ["died"]
        assert CallQueries(ledger).count(selection) == {"unknown": 1}


def runs_of(ledger: Ledger, **conditions: Any) -> list[dict[str, Any]]:
    return list(latest_runs(ledger, RunSelection(**conditions)))


def test_a_task_is_no_dag_run(ledger: Ledger) -> None:
    attempted(ledger, OK, "one", source="nightly/retry/again/1")
    attempted(ledger, OK, "other", source="nightly/again/re_ry/map_index=3/1")
    told = {run_id: len(runs_of(ledger, dag_run=("nightly", run_id))) for run_id in ("again", "retry", "re_ry", "1")}
    assert told == {"again": 1, "retry": 0, "re_ry": 1, "1": 0}


def test_every_run_comes_once(ledger: Ledger) -> None:
    fill(ledger)
    with ledger.writing() as connection:
        connection.execute(sa.update(runs).values(started_at=sa.func.round(runs.c.started_at / 60) * 60))
    listed = runs_of(ledger)
    for at_once in (1, 3, 4, 8, 9):
        assert list(each_run(ledger, RunSelection(), at_once)) == listed
    some = RunSelection(source=TASK)
    assert list(each_run(ledger, some, 1)) == runs_of(ledger, source=TASK) != listed


def test_runs(ledger: Ledger) -> None:
    made = fill(ledger)
    every = {run["run_id"]: run for run in runs_of(ledger)}
    assert len(every) == 8
    delivered = every[made["delivered"]]
    assert (delivered["kind"], delivered["delivered"], delivered["rejected"]) == ("deliver", 2, 0)
    assert delivered["seconds"] >= 0
    assert not delivered["alive"]
    assert every[made["open"]]["alive"]
    died = every[made["died"]]
    assert (died["alive"], died["ended_at"], died["delivered"]) == (False, None, None)
    assert [run["run_id"] for run in runs_of(ledger, run_ids=[made["died"]])] == [made["died"]]
    assert runs_of(ledger, period=last(7, until=1)) == []
    assert runs_of(ledger, namespace="other") == []
    assert namespaces(ledger) == [NAMESPACE]


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (TASK, {"delivered", "rejected", "unknown"}),
        (f"{TASK}/map_index=3", {"rejected"}),
        (f"{TASK}/map_index=3/2", {"rejected"}),
        (f"{TASK}/1", {"delivered"}),
        (TASK.upper(), set()),
        (TASK[:-1], set()),
        ("calls_to_impact", {"delivered", "rejected", "unknown"}),
        ("calls%", set()),
    ],
)
def test_runs_of_a_task(ledger: Ledger, source: str, found: set[str]) -> None:
    made = {run_id: name for name, run_id in fill(ledger).items()}
    assert {made[run["run_id"]] for run in runs_of(ledger, source=source)} == found


def test_runs_of_a_dag_run(ledger: Ledger) -> None:
    fill(ledger)
    dag_id, _, run_id = TASK.split("/")
    assert len(runs_of(ledger, dag_run=(dag_id, run_id))) == 3
    assert runs_of(ledger, dag_run=(dag_id, run_id[:-1])) == []
    assert runs_of(ledger, dag_run=("calls_to", run_id)) == []


def test_calls_of_a_run_are_looked_for_in_its_time_only(ledger: Ledger) -> None:
    made = fill(ledger)
    for name in ("delivered", "died", "open"):
        namespace, selection = of_one_run(ledger, Selection(), made[name])
        assert namespace == NAMESPACE
        assert selection is not None
        assert selection.until is not None
        listed, _ = Overview(ledger).calls(selection, 9)
        assert {call["run_id"] for call in listed} == {made[name]}
    assert of_one_run(ledger, Selection(), "0" * 32) == ("", None)


def test_two_namespaces_are_apart(ledger: Ledger) -> None:
    fill(ledger)
    other = Ledger(ledger.engine, "sandbox")
    attempted(other, OK, "checked")
    assert namespaces(ledger) == ["sandbox", NAMESPACE]
    assert Overview(other).states(last(7))["delivered"] == 1
    assert Overview(ledger).states(last(7)) == EACH
    assert Overview(other).open_unknowns() == 0


def test_the_commands_are_ones_that_select_the_very_calls(ledger: Ledger) -> None:
    fill(ledger)
    move(ledger, ["unknown"], 60)
    # Of the same sentence, as a sentence is nothing that calls are selected by.
    attempted(ledger, Attempt(AttemptResult.REJECTED, ReasonCode.REFUSED, SCRIPT, 409), "of another status")
    attempted(ledger, Attempt(AttemptResult.REJECTED, ReasonCode.REFUSED_IN_ANSWER, SCRIPT, 200), "of another code")
    attempted(ledger, Attempt(AttemptResult.UNKNOWN, ReasonCode.NO_VERDICT, DIED, 200), "without a verdict")
    attempted(ledger, Attempt(AttemptResult.REJECTED, ReasonCode.REFUSED, SCRIPT, 422), "of no code")
    with ledger.writing() as connection:  # As an earlier version kept it.
        of_earlier = sa.update(calls).where(calls.c.CallSessionId == "of no code")
        connection.execute(of_earlier.values(reason_code=None, status=None))
    period = last(7)
    found = {
        (state, each["reason_code"], each["status"]): selected(ledger, parsed_command(command))
        for state, remedy in (("rejected", remedies.requeue), ("unknown", remedies.resolve))
        for each in Overview(ledger).reasons(state, period)
        for command in [remedy(AIRFLOW, NAMESPACE, each["reason_code"], each["status"], period)]
    }
    assert found == {
        ("rejected", "refused", 400): ["rejected"],
        ("rejected", "refused", 409): ["of another status"],
        ("rejected", "refused_in_answer", 200): ["of another code"],
        ("rejected", "not_kept", None): ["of no code"],
        ("unknown", "no_answer", None): ["unknown"],
        ("unknown", "no_verdict", 200): ["without a verdict"],
        ("unknown", "run_died", None): ["died"],
    }
    parsed = parsed_command(remedies.resolve(AIRFLOW, NAMESPACE, "run_died", None, period))
    assert (parsed.resolution, parsed.ledger_namespace) == ("delivered", NAMESPACE)


def test_the_commands_about_rows_and_changed_calls_select_the_very_ones(ledger: Ledger) -> None:
    fill(ledger)
    fill_rows(ledger)
    period, rows = last(7), RowOverview(ledger)
    found = {
        (code, number): len(Listing(ledger).latest(selection_of(remedies.dismiss(AIRFLOW, NAMESPACE, code, period)), 9))
        for code, number in codes(rows, period).items()
    }
    assert found == {(code, number): number for code, number in codes(rows, period).items()}
    [call] = Listing(ledger).latest(selection_of(remedies.accept(AIRFLOW, NAMESPACE, period)), 9)
    assert (call["CallSessionId"], call["came_again_times"]) == ("delivered", 1)
    author = Author("alice", "so they are")
    for code, number in codes(rows, period).items():
        selection = selection_of(remedies.dismiss(AIRFLOW, NAMESPACE, code, period))
        assert Corrections(ledger).dismiss(selection, author) == number
    assert Corrections(ledger).accept(selection_of(remedies.accept(AIRFLOW, NAMESPACE, period)), author) == 1
    assert (rows.invalid(), rows.changed()) == (0, (0, False)), "nothing needs a person any more"


def codes(rows: RowOverview, period: Period) -> Counter[str]:
    """How many rows there are of each code."""
    counts: Counter[str] = Counter()
    for problem in rows.problems(period):
        counts[problem["reason_code"]] += problem["rows"]
    return counts


def selection_of(command: str) -> Selection:
    """What a command selects."""
    parsed = parsed_command(command)
    assert parsed.ledger_namespace == NAMESPACE
    which = {name: getattr(parsed, name) for name in ("since", "until", "reason", "reason_code", "status")}
    return Selection(tuple(parsed.state), **which)


def selected(ledger: Ledger, parsed: argparse.Namespace) -> list[str]:
    """The calls that a command selects, by every way in which it looks."""
    which = {name: getattr(parsed, name) for name in ("since", "until", "reason", "reason_code", "status")}
    selection = Selection(tuple(parsed.state), **which)
    found = [call["CallSessionId"] for call in CallQueries(ledger).each(selection)]
    assert CallQueries(ledger).count(selection).total() == len(found)
    return found


def test_a_namespace_is_no_option_of_a_command() -> None:
    parsed = parsed_command(remedies.requeue(AIRFLOW, "--yes; rm -rf $HOME `id`", "refused", 400, last(7)))
    assert parsed.ledger_namespace == "--yes; rm -rf $HOME `id`"
    assert not parsed.yes


@pytest.mark.parametrize("status", [400, 409, 200, 403, 999, None])
@pytest.mark.parametrize("code", ReasonCode)
def test_there_is_something_to_do_about_every_reason(code: ReasonCode, status: int | None) -> None:
    rejected, unknown = remedies.about_rejected(code, status), remedies.about_unknown(code, status)
    assert "requeue" in rejected
    assert "reconcile" in unknown
    assert all(
        told.endswith(".") and (told[0].isupper() or told.startswith("impact.com")) for told in (rejected, unknown)
    )


@pytest.mark.parametrize("code", [*ProblemCode, "of_a_later_version"])
def test_there_is_something_to_do_about_every_problem(code: str) -> None:
    told = remedies.about_invalid(code)
    assert "ismiss" in told
    assert told.endswith(".")


def parsed_command(line: str) -> argparse.Namespace:
    """What the command line makes of it."""
    airflow, group, name, *arguments = shlex.split(line)
    assert (airflow, group) == ("airflow", "impactcall")
    (command,) = [command for command in COMMANDS if command.name == name]
    parser = argparse.ArgumentParser()
    for argument in command.args:
        argument.add_to_parser(parser)
    return parser.parse_args(arguments)


def test_a_period_is_one() -> None:
    now = datetime.now(UTC)
    with pytest.raises(InvalidOption, match=r"since .*until"):
        Period(now, now)
    with pytest.raises(InvalidOption, match=r"since .*UTC"):
        Period(now.replace(tzinfo=None), now)
