"""Inputs that people's reports describe, each through the operator and ``check``, with the outcome that is right."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_impactcall.delivery.dry_run.dry_run import DryRun
from airflow_provider_impactcall.delivery.dry_run.input_warnings import WarningCode
from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from airflow_provider_impactcall.operators.impactcall import ImpactCallOperator
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples

IDS = {"CampaignId": 1000, "ActionTrackerId": 4000, "CallProvider": "ExampleVendor"}
Row = dict[str, Any]


def delivered(calls: Any, **options: Any) -> dict[str, int]:
    """The counts of a run that are not zero."""
    operator = ImpactCallOperator(task_id="deliver", calls=calls, **{"max_rejected": 1.0, **options})
    return {
        name: count for name, count in operator.execute({}).items() if type(count) is int and count and name != "rows"
    }


def checked(calls: Any, **options: Any) -> DryRun:
    return ImpactCallHook().check(calls, **options)


def reasons(calls: Any, **options: Any) -> list[str]:
    return [reason.reason for reason in checked(calls, **options).reasons]


def ended(calls: Any, **options: Any) -> list[tuple[str, str]]:
    """What rows would end in that would not be sent, and why."""
    return [(reason.outcome, reason.reason_code) for reason in checked(calls, **options).reasons]


def warned(calls: Any, **options: Any) -> list[tuple[WarningCode, int]]:
    return [(warning.code, warning.count) for warning in checked(calls, **options).warnings]


def parameters(sandbox: Sandbox) -> list[Row]:
    return [each["parameters"] for each in sandbox.calls]


CALLRAIL: list[Row] = [
    {"ID": "CAL1", "ANSWERED": True, "CALL_TYPE": "answered", "CUSTOMER_PHONE_NUMBER": "+12125550123",
     "TRACKING_PHONE_NUMBER": "+13035550191", "DURATION": 50, "START_TIME": "2025-11-20T11:27:48.119-05:00",
     "DIRECTION": "outbound"},
    {"ID": "CAL2", "ANSWERED": True, "CALL_TYPE": "answered", "CUSTOMER_PHONE_NUMBER": "+12125550123",
     "TRACKING_PHONE_NUMBER": "+13035550191", "DURATION": 50, "START_TIME": "2025-11-20T11:27:48.119-05:00",
     "DIRECTION": "inbound", "SPAM": True},
]  # fmt: skip
BY_HAND: Row = {
    "CallSessionId": "ID",
    "CallerId": "CUSTOMER_PHONE_NUMBER",
    "CalledPhoneNumber": "TRACKING_PHONE_NUMBER",
    "EventDate": "START_TIME",
    "CallDuration": "DURATION",
    "TalkDuration": "DURATION",
    "CallStatus": {"from": "CALL_TYPE", "values": {"answered": "ANSWER", "missed": "CANCEL"}},
}


@pytest.mark.parametrize("mapping", [None, BY_HAND], ids=["preset", "by hand"])
def test_02_columns_in_upper_case(mapping: Row | None, sandbox: Sandbox) -> None:
    options = {"vendor": "callrail", "constants": {**IDS, "MediaId": 10000}, "mapping": mapping}
    assert delivered(CALLRAIL, **options) == {"filtered": 2}
    assert sandbox.calls == []


def test_02_a_file_without_direction(sandbox: Sandbox, tmp_path: Path) -> None:
    file = tmp_path / "calls.csv"
    columns = [name for name in CALLRAIL[0] if name != "DIRECTION"]
    file.write_text("\n".join([",".join(columns), *(",".join(str(row[name]) for name in columns) for row in CALLRAIL)]))
    options: Row = {"vendor": "callrail", "constants": {**IDS, "MediaId": 10000}}
    with pytest.raises(AirflowFailException, match="'direction'"):
        delivered(str(file), **options)
    assert sandbox.calls == []
    assert delivered(str(file), prefiltered=["direction"], **options) == {"delivered": 2}


def test_02_a_file_with_directions_that_are_empty(sandbox: Sandbox, tmp_path: Path) -> None:
    file = tmp_path / "calls.csv"
    directions = ("inbound", "", "  ", "outbound")
    rows = [{**CALLRAIL[0], "ID": f"CAL{number}", "DIRECTION": each} for number, each in enumerate(directions)]
    file.write_text("\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]))
    options: Row = {"vendor": "callrail", "constants": {**IDS, "MediaId": 10000}}
    assert ended(str(file), **options) == [("rejected", "missing"), ("filtered", "filtered")]
    rejected = reasons(str(file), **options)[0]
    assert "'direction'" in rejected
    assert 'prefiltered=("direction",)' in rejected
    assert delivered(str(file), **options) == {"delivered": 1, "rejected": 2, "filtered": 1}
    assert [each["CallSessionId"] for each in parameters(sandbox)] == ["CAL0"]


def test_02b_snake_case_of_ringba(sandbox: Sandbox) -> None:
    row = {"inbound_call_id": "R1", "call_dt": 1763720687123, "inbound_phone_number": "+12125550123",
           "number": "+13035550191", "call_length_in_seconds": 23, "connected_call_length_in_seconds": 5,
           "has_connected": True}  # fmt: skip
    options: Row = {"vendor": "ringba", "constants": {**IDS, "MediaId": 10000}}
    assert delivered([row], **options) == {"rejected": 1}
    assert delivered([{**row, "is_live": True}], **options) == {"filtered": 1}
    assert delivered([{**row, "is_live": None}], **options) == {"rejected": 1}
    assert delivered([row], prefiltered=["ended"], **options) == {"delivered": 1}
    assert parameters(sandbox)[0]["TalkDuration"] == "5"


def test_02d_flattened_by_dlt(sandbox: Sandbox) -> None:
    row = {"uuid": "u1", "caller": "+12125550123", "caller_country": "US", "afid": "7",
           "number__number": "+18885550168", "tags__irclickid": "abc:XyZ", "status": "finished",
           "connected": True, "total_duration": 36,
           "dialed_call_duration": 30, "start_time": "2026-02-21T01:04:15.814Z", "end_time": "2026-02-21T01:04:52.801Z",
           "via": "inbound-dial"}  # fmt: skip
    assert delivered([row], vendor="retreaver", constants=IDS) == {"delivered": 1}
    assert parameters(sandbox)[0].items() >= {"ClickId": "abc:XyZ", "CalledPhoneNumber": "8885550168"}.items()


@pytest.mark.parametrize("wrapped", [False, True])
def test_02e_what_nothing_reads_is_what_no_name_asked_for(wrapped: bool, sandbox: Sandbox) -> None:
    row = {"inboundCallId": "R1", "inboundPhoneNumber": "+12125550123", "callDt": 1763720687123,
           "number": "+13035550191", "callLengthInSeconds": 23,
           "connectedCallLengthInSeconds": 5, "hasConnected": True, "is_live": False,
           "was_blocked": False, "agent": "x"}  # fmt: skip
    rows = [{"loaded": 1, "payload": row}] if wrapped else [row]
    found = checked(rows, vendor="ringba", constants={**IDS, "MediaId": 10000})
    assert found.would_send == 1
    assert found.unmapped_columns == (["loaded", "agent"] if wrapped else ["agent"])


TWILIO = {"sid": "CA1", "from": "+12125550123", "to": "+13035550191", "status": "completed", "duration": "9",
          "direction": "inbound", "parent_call_sid": None, "answered_by": None,
          "start_time": "Fri, 18 Sep 2026 17:02:00 +0000", "date_created": "Fri, 18 Sep 2026 17:00:00 +0000",
          "date_updated": "Fri, 18 Sep 2026 17:01:00 +0000", "uri": "/2010"}  # fmt: skip


@pytest.mark.parametrize("style", [str, str.upper])
def test_02e_a_name_that_no_row_needed_was_asked_for_all_the_same(
    style: Callable[[str], str], sandbox: Sandbox
) -> None:
    options: Row = {"vendor": "twilio", "constants": {**IDS, "MediaId": 10000}}
    rows = [{style(name): value for name, value in TWILIO.items()}]
    assert checked(rows, **options).unmapped_columns == [style("uri")]
    own = {"mapping": {"EventDate": {"first_of": ["start_time", "uri"]}, "CallStatus": {"values": {"done": "ANSWER"}}}}
    assert checked(rows, **options, **own).unmapped_columns == [style("date_created")]


def test_02e_tags_are_columns_with_names(sandbox: Sandbox) -> None:
    row = {"inboundCallId": "R1", "inboundPhoneNumber": "+12125550123", "callDt": 1763720687123,
           "number": "+13035550191", "callLengthInSeconds": 23, "connectedCallLengthInSeconds": 5,
           "isLive": False, "tag:User:irclickid": "a:b", "tag:Geo:City": "Denver", "tag:User:source": "x"}  # fmt: skip
    found = checked([row], vendor="ringba", constants={**IDS, "MediaId": 10000})
    assert found.unmapped_columns == ["tag:User:source"]
    assert WarningCode.COLUMNS_LOOK_LIKE_VALUES not in [warning.code for warning in found.warnings]


def test_01_padded_ids(sandbox: Sandbox) -> None:
    rows = [examples.call(name) for name in ("A-1", "A-1   ", " A-1", "A-1\n")]
    assert (WarningCode.IDS_ALIKE, 3) in warned(rows)
    assert delivered(rows) == {"delivered": 1, "duplicate": 3}
    assert delivered(rows) == {"already_delivered": 1, "duplicate": 3}


def test_01_ids_of_another_case_are_asked_about(sandbox: Sandbox) -> None:
    assert delivered([examples.call("a-1")]) == {"delivered": 1}
    assert (WarningCode.IDS_ALIKE_IN_LEDGER, 1) in warned([examples.call("A-1")])


@pytest.mark.parametrize(
    "moment",
    [
        "0001-01-01T00:00:00Z", "1899-12-30T00:00:00Z", "1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2611201000",
        "1753-01-01 00:00:00Z", "1900-01-01T00:00:00Z", "1601-01-01T00:00:00+00:00", "1980-01-01T00:00:00Z",
        "2079-06-06T23:59:00Z", "2262-04-11T23:47:16Z", "0000-00-00 00:00:00", "infinity", "-infinity",
        "10000-01-01T00:00:00Z", "+292278994-08-17T07:12:55Z", "4713-01-01 00:00:00 BC", 2147483647, 4102444800000,
        "Mon, 01 Jan 0001 00:00:00 GMT", "Mon, 1 Jan 0099 00:00:00 -0000", "Fri, 31 Dec 9999 23:59:59 +0000",
        0, "0", 0.0, -1, -62135596800, "-62135596800000", 253402300799, 253402300799999, 9223372036854775807,
        datetime(1, 1, 1), datetime(9999, 12, 31, tzinfo=UTC), datetime(1970, 1, 1),
    ],
)  # fmt: skip
def test_06_times_that_no_call_has(moment: Any, sandbox: Sandbox) -> None:
    (reason,) = reasons([examples.call("D-1", EventDate=moment)])
    assert reason.startswith("EventDate ")
    assert reason not in reasons([examples.call("D-1", EventDate=None), examples.call("D-2", EventDate="a word")])


def test_06_a_day_ahead_of_the_clock_is_a_time(sandbox: Sandbox) -> None:
    ahead = datetime.now(UTC) + timedelta(hours=23)
    assert delivered([examples.call("D-1", EventDate=ahead)]) == {"delivered": 1}


@pytest.mark.parametrize("number", ["+15655550123", "+19245550123", "5555550123", "+1 (565) 555-0123"])
def test_07_area_codes_that_nobody_knows_yet(number: str, sandbox: Sandbox) -> None:
    row = examples.call("U-1", CallerId=number)
    (reason,) = reasons([row])
    assert "{'derived_else': 'US'}" in reason
    assert delivered([row], mapping={"CallerPhoneNumberCountry": {"derived_else": "US"}}) == {"delivered": 1}
    assert parameters(sandbox)[0]["CallerPhoneNumberCountry"] == "US"


def test_07b_what_the_number_tells_goes_first(sandbox: Sandbox) -> None:
    rows = [examples.call("U-5", CallerId="+14165550123"), examples.call("U-6", CallerId="+442079460123")]
    mapping = {
        "CallerPhoneNumberCountry": {"first_of": ["said", {"derived_else": "US"}]},
        "CalledPhoneNumberCountry": {"derived_else": "United States"},
    }
    assert delivered(rows, mapping=mapping) == {"delivered": 2}
    assert sorted(each["CallerPhoneNumberCountry"] for each in parameters(sandbox)) == ["CA", "GB"]


@pytest.mark.parametrize(
    ("number", "country", "leaves"),
    [
        ("0145678901", "FR", ("+33145678901", "FR")),
        ("01 45 67 89 01", "France", ("+33145678901", "FR")),
        ("02079460123", "GB", ("+442079460123", "GB")),
        ("4165550123", "FR", ("4165550123", "CA")),
        ("0145678901", "US", None),
        ("1145678901", "CA", None),
        ("+10145678901", "US", None),
    ],
)
def test_07_ten_digits_that_are_not_north_american(
    number: str, country: str, leaves: tuple[str, str] | None, sandbox: Sandbox
) -> None:
    row = examples.call("U-7", CallerId=number)
    mapping = {"CallerPhoneNumberCountry": {"derived_else": country}}
    assert delivered([row], mapping=mapping) == ({"rejected": 1} if leaves is None else {"delivered": 1})
    found = [(each["CallerId"], each["CallerPhoneNumberCountry"]) for each in parameters(sandbox)]
    assert found == ([] if leaves is None else [leaves])
    if leaves is None:
        (reason,) = reasons([row], mapping=mapping)
        assert re.findall(r"CallerId|\d+", reason) == ["0", "1", "CallerId"], "what no area code begins with"


@pytest.mark.parametrize("empty", ['=""', '=" "', "'", "\u202d\u202c", '\'=""'])
def test_10_an_id_of_nothing_but_what_a_spreadsheet_adds(empty: str, sandbox: Sandbox) -> None:
    assert delivered([examples.call(empty), examples.call("E-1")]) == {"delivered": 1, "rejected": 1}


def test_15_rows_of_any_client(sandbox: Sandbox) -> None:
    class Named:
        """As BigQuery's rows are: not iterable."""

        def __init__(self, row: Row) -> None:
            self._row = row

        def keys(self) -> Any:
            return self._row.keys()

        def __getitem__(self, name: str) -> Any:
            return self._row[name]

    assert delivered([Named(examples.call("N-1")), Named(examples.call("N-2"))]) == {"delivered": 2}


@pytest.mark.parametrize(
    ("lasted", "seconds"),
    [
        ("0:00:12.894", "12"),
        (100.5, "100"),
        ("PT1M0.5S", "60"),
        (timedelta(seconds=6.854), "6"),
        ("6.999", "6"),
        (7, "7"),
    ],
)
def test_17_fractions_of_seconds(lasted: Any, seconds: str, sandbox: Sandbox) -> None:
    row = examples.call("X-1", CallDuration=lasted, TalkDuration=1)
    if lasted != 7:
        assert "'rounded_down'" in reasons([row])[0]
    assert delivered([row], mapping={"CallDuration": {"rounded_down": "CallDuration"}}) == {"delivered": 1}
    assert parameters(sandbox)[0]["CallDuration"] == seconds


def test_18_calls_longer_than_a_day(sandbox: Sandbox) -> None:
    rows = [examples.call(f"M-{number}", CallDuration=184000, TalkDuration=160000) for number in range(3)]
    usual = warned([{**row, "CallDuration": 1840, "TalkDuration": 1600} for row in rows])
    assert set(warned(rows)) - set(usual) == {(WarningCode.LONGER_THAN_A_DAY, 3)}


def test_19_text_that_went_through_a_column_of_floats(sandbox: Sandbox) -> None:
    found = checked([examples.call("Z-1", Zip="2139.0", SubId1="77.0", SaleAmount="5.0")]).warnings
    told = [each.warning for each in found if each.code is WarningCode.VALUES_END_IN_ZERO]
    assert [re.findall("SubId1|Zip|SaleAmount", each) for each in told] == [["SubId1"], ["Zip"]]


def test_21_calls_without_a_partner(sandbox: Sandbox) -> None:
    call = {
        **{"uuid": "u2", "caller": "+12125550123", "caller_country": "US", "afid": None, "number": "+18885550168"},
        **{"status": "finished", "total_duration": 36, "dialed_call_duration": 0, "ivr_duration": 36},
        **{"hold_duration": 0, "start_time": "2026-02-21T01:04:15.814Z", "end_time": "2026-02-21T01:04:52.801Z"},
        "via": "inbound-dial",
    }
    mapping = {"MediaId": {"from": "afid", "lookup": {"acme": 7}, "default": "leave out"}}
    options: Row = {"vendor": "retreaver", "constants": IDS, "mapping": mapping}
    assert ended([{"call": call}], **options) == [("filtered", "filtered")]
    assert "'afid'" in reasons([{"call": call}], **options)[0]
    rows = [
        {"call": call},
        {"call": {**call, "uuid": "u3", "afid": "other"}},
        {"call": {**call, "uuid": "u4", "afid": "acme"}},
    ]
    assert delivered(rows, **options) == {"delivered": 1, "filtered": 2}
    misspelled = {"vendor": "retreaver", "constants": IDS}
    misspelled["mapping"] = {"MediaId": {**mapping["MediaId"], "from": "affid"}}
    assert delivered(rows, **misspelled) == {"rejected": 3}
    (reason,) = reasons(rows, **misspelled)
    assert reason.startswith("MediaId ")
    assert re.findall("'.+?'", reason) == ["'affid'", "'afid'"], "what was asked for, and the nearest there is"


NULLS = ("NULL", "None", "nan", "N/A", "<NA>", "#N/A", "null")


@pytest.mark.parametrize("word", NULLS)
def test_05_marks_of_nothing(word: str, sandbox: Sandbox) -> None:
    row = examples.call("N-1", City=word, ClickId=f"{word} ", SubId1=word)
    found = checked([row, {**row, "CallSessionId": "N-2"}]).warnings
    told = [each.warning for each in found if each.code is WarningCode.WORD_FOR_NOTHING]
    assert [re.findall("SubId1|ClickId|City", each) for each in told] == [["SubId1"], ["ClickId"], ["City"]]
    assert all(repr(word) in each for each in told)
    assert delivered([row], nulls=NULLS) == {"delivered": 1}
    assert not {"City", "ClickId", "SubId1"} & set(parameters(sandbox)[0])


def test_05_invisible_marks_in_a_csv_file(sandbox: Sandbox, tmp_path: Path) -> None:
    row = examples.call("N-1", City="NULL\u200b", SubId1="\u202d\\N")
    file = tmp_path / "calls.csv"
    lines = [[f"\u200b{name}\u00a0" for name in row], map(str, row.values())]
    file.write_text("\n".join(",".join(each) for each in lines), encoding="utf-8")
    assert delivered(str(file), nulls=["NULL"]) == {"delivered": 1}
    assert not {"City", "SubId1"} & set(parameters(sandbox)[0])


def test_05_marks_of_nothing_within_json_and_tables(sandbox: Sandbox) -> None:
    row = examples.call("N-1", CallStatus=None, place=json.dumps({"city": "NULL", "town": "Denver"}), end="NULL")
    mapping = {
        "City": {"first_of": ["place.city", "place.town"]},
        "CallStatus": {"from": "end", "values": {"done": "ANSWER"}, "default": "CANCEL"},
    }
    assert delivered([row], mapping=mapping, nulls=["NULL"]) == {"delivered": 1}
    assert parameters(sandbox)[0].items() >= {"City": "Denver", "CallStatus": "CANCEL"}.items()


def test_13_the_nearest_column_is_named(sandbox: Sandbox) -> None:
    rows = [{**examples.call("S-1"), " partner": 10000}]
    del rows[0]["MediaId"]
    assert re.findall("'.+?'", reasons(rows, mapping={"MediaId": "partner"})[0]) == ["'partner'", "' partner'"]


def test_a_mapped_column_that_differs_in_case_alone_is_found(sandbox: Sandbox) -> None:
    row = {**examples.call("x"), "PARTNER": 7, "Caller": {"Geo": "Denver"}}
    mapping = {"MediaId": "partner", "City": "caller.geo"}
    assert delivered([row], mapping=mapping) == {"delivered": 1}
    assert parameters(sandbox)[0].items() >= {"MediaId": "7", "City": "Denver"}.items()
    found = reasons([{**row, "Partner": 8}], mapping=mapping)
    assert ["'partner'", "'PARTNER'", "'Partner'"] in [re.findall("'.+?'", each) for each in found]


@pytest.mark.parametrize(
    ("zone", "moment", "code"),
    [
        ("EST", "2026-07-01 12:00:00", WarningCode.WINTER_OFFSET_IN_SUMMER),
        ("Etc/GMT+5", "2026-07-01 12:00:00", WarningCode.WINTER_OFFSET_IN_SUMMER),
        ("EST", "2026-01-10 12:00:00", None),
        ("America/New_York", "2026-07-01 12:00:00", None),
        ("America/Phoenix", "2026-07-01 12:00:00", None),
        ("UTC", "2026-07-01 12:00:00", None),
        (None, "2026-07-01T12:00:00-04:56", WarningCode.ODD_OFFSET),
        (None, "2026-07-01T12:00:00+05:45", None),
    ],
)
def test_zones_that_are_seldom_meant(zone: str | None, moment: str, code: WarningCode | None, sandbox: Sandbox) -> None:
    usual = warned([examples.call("t", EventDate=f"{moment[:19]}+00:00")])
    found = set(warned([examples.call("t", EventDate=moment)], timezone=zone)) - set(usual)
    assert found == ({(code, 1)} if code else set())
