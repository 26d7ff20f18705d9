"""Bad rows over the days of a look-back, through the hook: one dead letter each, gone once the row is mended."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from airflow.configuration import get_airflow_home

from airflow_provider_impactcall.delivery.ledger.schema import changed_calls, dead_letters, run_rows
from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from airflow_provider_impactcall.sandbox import Sandbox
from tests.delivery import canary

BAD: list[dict[str, Any]] = [
    {"CallDuration": "soon"},
    {"CampaignId": None},
    {"CallSessionId": ""},
    # The columns are shifted: the caller's number stands where the id is.
    {"CallSessionId": f"+1 {canary.CALLER}", "CallerId": canary.RECORDING, "CallStatus": canary.WORD},
]


def held(table: sa.Table) -> list[Any]:
    engine = sa.create_engine(f"sqlite:///{Path(get_airflow_home()) / 'impactcall_ledger.db'}")
    try:
        with engine.connect() as connection:
            return list(connection.execute(sa.select(table)).mappings())
    finally:
        engine.dispose()


def rows(*bad: Mapping[str, Any]) -> list[dict[str, Any]]:
    good = [canary.row(f"good-{number}") for number in range(3)]
    return [*good, *(canary.row(f"bad-{number}", **changes) for number, changes in enumerate(bad))]


def test_a_look_back_of_three_days_over_the_same_bad_rows(sandbox: Sandbox) -> None:
    for _ in range(3):
        report = ImpactCallHook().deliver(rows(*BAD))
        assert report.rejected == len(BAD)
        assert sum(report.invalid.values()) == len(BAD)
    letters = held(dead_letters)
    assert [letter["times"] for letter in letters] == [3] * len(BAD)
    assert canary.found_in(str([dict(letter) for letter in letters]).replace(f"{canary.WORD}-bad", "")) == []
    mended = [{}, *BAD[1:]]
    ImpactCallHook().deliver(rows(*mended))
    assert sorted(letter["times"] for letter in held(dead_letters)) == [4] * (len(BAD) - 1)
    assert len(sandbox.calls) == 4
    assert [(each["kept"], each["rows"]) for each in held(run_rows)] == [(1, 1)] * (4 * len(BAD) - 1)


def test_calls_that_changed_are_marked_however_the_rows_lie(sandbox: Sandbox) -> None:
    ImpactCallHook().deliver([canary.row("a")])
    ImpactCallHook().deliver([canary.row("b"), canary.row("b", TalkDuration=1), canary.row("a", TalkDuration=1)])
    ImpactCallHook().deliver([canary.row("a", TalkDuration=1)])
    assert sorted(mark["times"] for mark in held(changed_calls)) == [1, 2]


def test_a_call_that_was_logged_by_itself_leaves_the_same(sandbox: Sandbox) -> None:
    ImpactCallHook().log_call(canary.row("a", CallDuration="soon"))
    assert [letter["times"] for letter in held(dead_letters)] == [1]
    ImpactCallHook().log_call(canary.row("a"))
    assert held(dead_letters) == []


@pytest.mark.parametrize("key", [("VendorEventId",), ("CallProvider", "VendorEventId")])
def test_rows_without_the_parameters_of_another_key(sandbox: Sandbox, key: tuple[str, ...]) -> None:
    given = [canary.row("a"), canary.row("b"), canary.row("c", VendorEventId="7", CallDuration="soon")]
    for _ in range(2):
        ImpactCallHook().deliver(given, key=key)
    expected = 3 if key == ("VendorEventId",) else 1
    assert [letter["times"] for letter in held(dead_letters)] == [2] * expected


class Fetched(UserDict[Any, Any]):
    """A row whose driver fails as a value is fetched."""

    def __getitem__(self, column: Any) -> Any:
        raise RuntimeError(canary.WORD)


class Textless:
    """A value, or the name of a column, that has no text."""

    def __str__(self) -> str:
        raise RuntimeError(canary.WORD)


@pytest.mark.parametrize(
    "bad", [Fetched(canary.row("bad")), {"\ud800": Textless()}, {Textless(): 1}], ids=["fetched", "value", "column"]
)
def test_a_row_that_cannot_be_read_costs_no_other(sandbox: Sandbox, bad: Any) -> None:
    for _ in range(2):
        report = ImpactCallHook().deliver([bad, canary.row("good")])
        assert report.rejected == 1
    assert len(sandbox.calls) == 1
    assert [letter["times"] for letter in held(dead_letters)] == [2]
