"""What check says of inputs that people described: what is seldom right about them as a whole."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_impactcall.delivery.dry_run.input_warnings import WarningCode
from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from airflow_provider_impactcall.records.vendors import preset
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples
from tests.cli.conftest import Command, impactcall
from tests.facts import named
from tests.records.vendors.payloads import load

__all__ = ["impactcall"]

FIELD = Path(__file__).parent
IDS = {"campaign_id": 1000, "action_tracker_id": 4000, "call_provider": "ExampleVendor"}


@pytest.fixture
def account(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A sandbox whose connection has the program's ids."""
    monkeypatch.setenv("AIRFLOW_CONN_IMPACTCALL_DEFAULT", examples.connection(sandbox, **IDS))
    return sandbox


@pytest.mark.parametrize(
    ("name", "arguments", "code", "parameters"),
    [
        ("18_milliseconds_as_seconds.jsonl", [], "longer_than_a_day", [[]]),
        ("19_zip_of_a_column_with_gaps.csv", [], "values_end_in_zero", [["SubId1"], ["Zip"]]),
        ("05_null_markers.csv", ["--mapping", str(FIELD / "calls.yaml")], "word_for_nothing", [["City"]]),
    ],
)
def test_what_is_seldom_right_is_warned_of(
    name: str, arguments: list[str], code: str, parameters: list[list[str]], account: Sandbox, impactcall: Command
) -> None:
    found = json.loads(impactcall("check", str(FIELD / name), *arguments, "--json").out)
    warned = [each["warning"] for each in found["warnings"] if each["code"] == code]
    told = [named(said, "City", "SubId1", "Zip") for said in warned]
    assert [each for each in parameters if each not in told] == [], told


def test_columns_that_nothing_reads_are_those_that_no_name_asked_for(account: Sandbox, impactcall: Command) -> None:
    given = ["--vendor", "ringba", "--constants", '{"MediaId": 10000}', "--json"]
    file = str(FIELD / "02e_ringba_columns_nothing_reads.jsonl")
    found = json.loads(impactcall("check", file, *given).out)
    assert (found["filtered"], found["unmapped_columns"]) == (1, ["agent"])


def test_calls_that_cannot_be_told_are_said_once(
    account: Sandbox, impactcall: Command, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [{**load("ringba_call"), "inboundCallId": each} for each in "ab"]
    file = tmp_path / "calls.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    (untold,) = preset("ringba").untold(rows[0])
    done = impactcall("check", str(file), "--vendor", "ringba", "--constants", '{"MediaId": 10000}')
    assert " ".join((done.out + done.err).split()).count(untold) == 1
    caplog.clear()
    options: Any = {"vendor": "ringba", "constants": {"MediaId": 10000}}
    ImpactCallHook().deliver(rows, dry_run=True, **options)
    ImpactCallHook().deliver(rows, **options)
    said = [each for each in caplog.records if untold in each.getMessage()]
    assert [each.levelname for each in said] == ["INFO", "WARNING"], "by the dry run, and by the run"
    found = ImpactCallHook().check(rows, **options).warnings
    assert [each.count for each in found if each.code is WarningCode.CALLS_NOT_TOLD] == [2]


def warned(rows: Any, plain: Any, **options: Any) -> list[tuple[str, int]]:
    """What is warned of in the rows, as codes and counts, and not in plain ones in their place."""
    usual = ImpactCallHook().check(plain, **options).warnings
    found = ImpactCallHook().check(rows, **options).warnings
    return [(warning.code.value, warning.count) for warning in found if warning not in usual]


def call(session_id: str, **changes: Any) -> dict[str, Any]:
    return examples.call(session_id, **{"EventDate": "2026-11-20T10:00:00Z", **changes})


@pytest.mark.parametrize(("one", "other"), [("A-1", "a-1"), ("Ab", "aB"), ("x", "X "), (" x", "X")])
def test_ids_that_differ_in_case_or_blanks_alone(one: str, other: str, account: Sandbox) -> None:
    """SQLite knows the case of ASCII alone."""
    assert warned([call(one), call(other)], [call("1"), call("2")]) == [("ids_alike", 1)]
    ImpactCallHook().deliver([call(one)])
    if one.strip() != other.strip():
        assert warned([call(other)], [call("1")]) == [("ids_alike_in_ledger", 1)]


@pytest.mark.parametrize("other", ["A-2", "B-1", "A1", "A--1"])
def test_ids_that_differ_otherwise(other: str, account: Sandbox) -> None:
    ImpactCallHook().deliver([call("A-1")])
    assert warned([call("A-1"), call(other)], [call("1"), call("2")]) == []


@pytest.mark.parametrize("word", ["NULL", "None", "nan", "N/A", "<NA>", "null", r"\N", "undefined", "(null)"])
def test_the_commonest_value_of_a_parameter_looks_like_nothing(word: str, account: Sandbox) -> None:
    rows, plain = (
        [call(f"c-{n}", ClickId=each if n < 3 else f"abc:{n}") for n in range(5)] for each in (word, "abc:9")
    )
    assert warned(rows, plain) == [("word_for_nothing", 3)]
    assert warned(rows, plain, nulls=[word]) == []


@pytest.mark.parametrize("seconds", [86_401, 184_000, 12_894_000])
def test_calls_longer_than_a_day(seconds: int, account: Sandbox) -> None:
    a_day = call("b", CallDuration=86_400)
    rows, plain = ([call("a", CallDuration=each), a_day] for each in (seconds, 86_400))
    assert warned(rows, plain) == [("longer_than_a_day", 1)]


@pytest.mark.parametrize("value", ["2139.0", "77.0", "10001.00"])
def test_text_that_looks_like_a_float(value: str, account: Sandbox) -> None:
    text = call("b", Zip="02139")
    assert warned([call("a", Zip=value), text], [call("a", Zip="02139"), text]) == [("values_end_in_zero", 1)]


@pytest.mark.parametrize("zone", ["EST", "Etc/GMT+5", timezone(timedelta(hours=-5))])
def test_a_zone_without_summer_time_in_summer(zone: Any, account: Sandbox) -> None:
    summer, winter = datetime(2026, 7, 1, 10), datetime(2026, 11, 20, 10)
    plain = [call("p", EventDate=summer.replace(tzinfo=UTC))]
    assert warned([call("a", EventDate=summer)], plain, timezone=zone) == [("winter_offset_in_summer", 1)]
    assert warned([call("b", EventDate=winter)], plain, timezone=zone) == []
    assert warned([call("c", EventDate=summer)], plain, timezone="America/New_York") == []


@pytest.mark.parametrize("minutes", [-296, -291, 7])
def test_offsets_of_no_place(minutes: int, account: Sandbox) -> None:
    at = datetime(2026, 11, 20, 10, tzinfo=timezone(timedelta(minutes=minutes)))
    assert warned([call("a", EventDate=at), call("b")], [call("a"), call("b")]) == [("odd_offset", 1)]
