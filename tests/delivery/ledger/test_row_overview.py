"""What the page asks of rows that are not calls, and of changed calls, on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from airflow_provider_impactcall.delivery.ledger.overview import Overview
from airflow_provider_impactcall.delivery.ledger.periods import Period
from airflow_provider_impactcall.delivery.ledger.row_overview import RowOverview
from airflow_provider_impactcall.delivery.ledger.run_queries import namespaces_of_call
from airflow_provider_impactcall.delivery.ledger.schema import changed_calls, dead_letters
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from tests import examples
from tests.delivery.mixed import NAMESPACE, fill, fill_rows, read_by_a_run

MISSING = "missing"


def last(days: float, until: float = 0.0) -> Period:
    now = datetime.now(UTC) + timedelta(seconds=1) - timedelta(days=until)
    return Period(now - timedelta(days=days), now)


def dismiss(ledger: Ledger, session_id: str) -> None:
    with ledger.writing() as connection:
        of_id = sa.update(dead_letters).where(dead_letters.c.CallSessionId == session_id)
        connection.execute(of_id.values(dismissed_at=1.0))


@pytest.mark.parametrize("days", [1, 31, 400])
def test_dead_letters_are_counted_by_code_and_parameter(ledger: Ledger, days: int) -> None:
    fill_rows(ledger)
    rows = RowOverview(ledger)
    found = {(each["reason_code"], each["parameter"]): each for each in rows.problems(last(days))}
    counts = {why: (each["rows"], each["not_kept"]) for why, each in found.items() if why[0] == MISSING}
    assert counts == {(MISSING, "CallDuration"): (2, 0), (MISSING, "CampaignId"): (1, 0)}
    assert sum(each["rows"] for each in found.values()) == 4
    assert all(len(each["reasons"]) == 1 and each["last_at"].endswith("Z") for each in found.values())
    assert next(iter(found)) == (MISSING, "CallDuration"), "most first"
    assert (rows.invalid(), rows.invalid(last(days)), rows.not_kept(last(days))) == (4, 4, 0)
    before = last(days, until=1)
    assert (rows.problems(before), rows.invalid(before), rows.filtered(before)) == ([], 0, [])


def test_what_a_person_has_dismissed_is_not_counted(ledger: Ledger) -> None:
    fill_rows(ledger)
    dismiss(ledger, "without-campaign")
    rows = RowOverview(ledger)
    assert rows.invalid() == rows.invalid(last(7)) == 3
    assert (MISSING, "CampaignId") not in {(each["reason_code"], each["parameter"]) for each in rows.problems(last(7))}
    assert rows.invalid_by_partner(last(7)) == {"10000": 3}


def test_rows_that_a_run_only_counted_are_told(ledger: Ledger) -> None:
    rows = [examples.call(f"{number}", CallDuration=None) for number in range(5)]
    run_id = read_by_a_run(ledger, rows, most_letters=2)
    told = RowOverview(ledger)
    [problem] = told.problems(last(7))
    assert (problem["rows"], problem["not_kept"]) == (2, 3)
    [of_run] = told.problems_of([run_id])
    assert (of_run["rows"], of_run["not_kept"]) == (2, 3)
    assert told.not_kept(last(7)) == 3
    assert told.problems_of(["0" * 32]) == []


def test_a_problem_that_was_read_long_ago_has_its_sentence(ledger: Ledger) -> None:
    """Not among the rows that were read last, of which the sentences are."""
    read_by_a_run(ledger, [examples.call("old", CampaignId=None)])
    with ledger.writing() as connection:
        row = dict(connection.execute(sa.select(dead_letters)).mappings().one())
        newer = [
            {**row, "key": f"{number}", "session_key": None, "reason": "newer", "parameter": "MediaId"}
            for number in range(5_000)
        ]
        connection.execute(sa.insert(dead_letters), [{**each, "last_at": row["last_at"] + 0.5} for each in newer])
    found = {each["parameter"]: each for each in RowOverview(ledger).problems(last(7))}
    assert found["MediaId"]["reasons"] == ["newer"]
    assert found["CampaignId"]["reasons"] == [row["reason"]]


def test_over_time_and_by_partner(ledger: Ledger) -> None:
    fill(ledger)
    fill_rows(ledger)
    overview = Overview(ledger)
    for days in (1, 7, 400):
        assert sum(step["invalid"] for step in overview.over_time(last(days))["steps"]) == 4
    assert sum(step["invalid"] for step in overview.over_time(last(7, until=1))["steps"]) == 0
    assert {each["MediaId"]: (each["calls"], each["invalid"]) for each in overview.partners(last(7))} == {
        "10000": (7, 3),
        "20000": (1, 1),
    }
    assert all("invalid" not in each for each in overview.campaigns(last(7)))


def test_a_partner_of_whom_there_are_only_rows_is_listed(ledger: Ledger) -> None:
    read_by_a_run(ledger, [examples.call("a", MediaId=7, CallDuration=None), {"nothing": "of a call"}])
    found = Overview(ledger).partners(last(7))
    assert [(each["MediaId"], each["calls"], each["invalid"]) for each in found] == [("", 0, 1), ("7", 0, 1)]


def test_rows_that_are_left_out_by_reason(ledger: Ledger) -> None:
    first, second = fill_rows(ledger), read_by_a_run(ledger, [], "live")
    rows = RowOverview(ledger)
    assert [(each["reason"], each["rows"], each["runs"]) for each in rows.filtered(last(7))] == [
        ("live", 2, 2),
        ("outbound", 2, 1),
    ]
    assert [(each["reason"], each["rows"]) for each in rows.filtered_of([second])] == [("live", 1)]
    assert sum(each["rows"] for each in rows.filtered_of([first, second])) == 4


def test_changed_calls_are_counted_while_they_are_delivered(ledger: Ledger) -> None:
    fill(ledger)
    fill_rows(ledger)
    rows = RowOverview(ledger)
    assert rows.changed() == rows.changed(last(7)) == (1, False)
    assert rows.changed(last(7, until=1)) == (0, False)
    with ledger.writing() as connection:
        connection.execute(sa.update(changed_calls).values(last_at=changed_calls.c.last_at - 40 * 86_400))
    assert (rows.changed(last(7)), rows.changed()) == ((0, False), (1, False))
    read_by_a_run(ledger, [examples.call("unknown", CampaignId=2000, CallDuration=999)])
    assert rows.changed() == (1, False), "a call of unknown fate is not a changed one"


def test_rows_of_two_namespaces_are_apart(ledger: Ledger) -> None:
    fill(ledger)
    fill_rows(ledger)
    other = Ledger(ledger.engine, "sandbox")
    rows = RowOverview(other)
    assert (rows.invalid(), rows.changed(), rows.problems(last(7)), rows.filtered(last(7))) == (0, (0, False), [], [])
    read_by_a_run(other, [examples.call("without-campaign", CampaignId=None)])
    assert rows.invalid() == 1
    assert namespaces_of_call(ledger, "without-campaign") == {NAMESPACE, "sandbox"}
    dismiss(ledger, "without-campaign")
    assert namespaces_of_call(ledger, "without-campaign") == set()
