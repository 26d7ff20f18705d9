"""Invoca's calls, and the transactions that are one call."""

from __future__ import annotations

import contextlib
import json
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_impactcall.delivery.items import Call, Rejected, Skipped
from airflow_provider_impactcall.exceptions import CallLeftOut, InvalidCall
from airflow_provider_impactcall.records import CallRecord
from tests.facts import unfit
from tests.records.vendors.payloads import items, junk, load, wire

CALL = load("invoca_transaction")
SESSION = CALL["complete_call_id"]
CORRECTED = "a transaction with a later version in this input"
TOLD = "an event that is reported with its call"
LEG = "a leg that is part of another row's call"


def changed(**changes: Any) -> dict[str, Any]:
    return {**CALL, **changes}


def event(transaction_id: str, **changes: Any) -> dict[str, Any]:
    """A transaction after the call: it has the call's id, and little else of it."""
    return {
        "transaction_id": transaction_id,
        "complete_call_id": SESSION,
        "transaction_type": "Post Call Event",
        "start_time_utc": CALL["start_time_utc"],
        **changes,
    }


def joined(rows: list[dict[str, Any]]) -> tuple[CallRecord, list[tuple[int, str]]]:
    """The one call that transactions become, and why each other is left out."""
    found = items(rows, "invoca")
    (call,) = (item for item in found if isinstance(item, Call))
    return call.record, [(item.row, item.reason) for item in found if isinstance(item, Skipped)]


def test_a_call_parameter_by_parameter() -> None:
    assert wire(CALL, "invoca") == {
        "CampaignId": "1001",  # advertiser_campaign_id_from_network, before the connection's
        "MediaId": "10001",  # affiliate_id_from_network
        "EventDate": "2019-01-24T13:43:15+00:00",  # start_time_utc, in milliseconds
        "ActionTrackerId": "4000",  # the connection's
        "CallProvider": "ExampleVendor",  # the connection's
        "CallSessionId": "C624DA2C-00000001",  # complete_call_id, not transaction_id
        "CallerId": "8665550142",  # calling_phone_number
        "CalledPhoneNumber": "3035550191",  # destination_phone_number, without the keys to press
        "CallDuration": "180",  # duration, the IVR included
        "TalkDuration": "120",  # connect_duration
        "CallStatus": "ANSWER",  # it was connected, whoever hung up
        "CallerPhoneNumberCountry": "US",  # toll-free 866
        "CalledPhoneNumberCountry": "US",  # area code 303
        "City": "Santa Barbara",  # city
        "Region": "CA",  # region
        "Zip": "02139",  # verified_zip, with its zero
        "RepeatCaller": "new",  # repeat_calling_phone_number "false"
        "PhoneType": "Mobile",  # mobile
        "CallRecording": "https://recordings.example.com/C624DA2C",  # recording
        "IvrDuration": "45",  # ivr_duration
        "Keypresses": "Sales,Support",  # keypresses
        "Key1": "Sales",  # keypress_1
        "Key2": "Support",  # keypress_2
        "TrafficSource": "Example Publisher",  # call_source_description
        "OptInSms": "0",  # opt_in_SMS
        "VendorEventId": "C624DA2C-CF3367C3",  # transaction_id
        "PromoNumberDescription": "Spring mailing",  # promo_line_description
    }


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("start_time_utc", "1548337395000"),  # as in a CSV file
        ("start_time_xml", "2019-01-24T13:43:15Z"),
        ("start_time_network_timezone_xml", "2019-01-24T13:43:15+00:00"),
        ("start_time_local", "2019-01-24 13:43:15 +00:00"),
        ("start_time_network_timezone", "2019-01-24 13:43:15 +00:00"),
    ],
)
def test_each_of_the_start_times_alone(column: str, value: str) -> None:
    call = {name: given_ for name, given_ in CALL.items() if not name.startswith("start_time")}
    parameters = wire({**call, column: value}, "invoca")
    assert parameters["EventDate"].replace("Z", "+00:00") == "2019-01-24T13:43:15+00:00"


@pytest.mark.parametrize(
    ("changes", "status", "talk"),
    [
        ({"hangup_cause": "Destination: Hang-up"}, "ANSWER", "120"),
        ({"hangup_cause": "", "connect_duration": "120"}, "ANSWER", "120"),
        ({"hangup_cause": "Invoca: Max Call Duration"}, "ANSWER", "120"),
        ({"hangup_cause": "Caller: Hang-up", "connect_duration": 0}, "CANCEL", "0"),
        ({"hangup_cause": "Caller: Hang-up", "connect_duration": 0, "ivr_duration": 180}, "IVR_DROPOFF", "0"),
        ({"hangup_cause": "IVR: Hang-up", "connect_duration": 0}, "IVR_DROPOFF", "0"),
        ({"hangup_cause": "Destination: Hang-up", "connect_duration": 0}, "ANSWER", "0"),  # within the first second
        ({"hangup_cause": "Destination: Busy", "connect_duration": 0}, "CONGESTION", "0"),
        ({"hangup_cause": "Destination: Busy", "connect_duration": ""}, "CONGESTION", "0"),
        ({"hangup_cause": "Destination: No Answer", "connect_duration": 0}, "CANCEL", "0"),
        ({"hangup_cause": "destination: no answer", "connect_duration": None}, "CANCEL", "0"),
        ({"hangup_cause": "Destination: Number Not In Service", "connect_duration": 0}, "INCOMPLETE", "0"),
        ({"hangup_cause": "Destination: Error (503 or Fast Busy)", "connect_duration": 0}, "CONGESTION", "0"),
        ({"hangup_cause": "Invoca: Hang-up", "connect_duration": 0}, "NO_TRANSFER_ATTEMPT", "0"),
        ({"hangup_cause": "Invoca: Hang-up (Unknown Promo Number)", "connect_duration": 0}, "NO_TRANSFER_ATTEMPT", "0"),
    ],
)
def test_status_and_talk(changes: dict[str, Any], status: str, talk: str) -> None:
    parameters = wire(changed(**changes), "invoca")
    assert (parameters["CallStatus"], parameters["TalkDuration"]) == (status, talk)


def test_keypresses_may_be_the_json_text_of_a_list() -> None:
    assert wire(changed(keypresses='["Sales", "Support"]'), "invoca") == wire(changed(), "invoca")


@pytest.mark.parametrize(
    ("changes", "problems"),
    [
        (
            {"hangup_cause": "Unknown: Unknown Cause", "connect_duration": 0},
            [("CallStatus", "'Unknown: Unknown Cause'")],
        ),
        (
            {"hangup_cause": "Caller: Hang-up", "connect_duration": ""},
            [("TalkDuration",), ("CallStatus", "connect_duration")],
        ),
        ({"hangup_cause": "Destination: Hang-up", "connect_duration": None}, [("TalkDuration",)]),
        ({"connect_duration": 181}, [("TalkDuration", "CallDuration")]),
        ({"affiliate_id_from_network": "", "destination_phone_number": ""}, [("CalledPhoneNumber",)]),
    ],
)
def test_rejected(changes: dict[str, Any], problems: list[tuple[str, ...]]) -> None:
    with pytest.raises(InvalidCall) as invalid:
        wire(changed(**changes), "invoca", mapping={"MediaId": {"constant": 1}})
    facts = ("'Unknown: Unknown Cause'", "connect_duration", "CallDuration")
    assert unfit(((each.parameter, each.message) for each in invalid.value.problems), *facts) == problems


def test_a_call_that_nothing_says_the_end_of_is_rejected() -> None:
    with pytest.raises(InvalidCall, match=r"^CallStatus\b[^;]*$"):
        wire(changed(hangup_cause=None, connect_duration=0), "invoca")


def test_a_call_without_a_partner_is_rejected() -> None:
    with pytest.raises(InvalidCall, match=r"^MediaId\b[^;]*$"):
        wire(changed(affiliate_id_from_network=""), "invoca")


def test_ids_of_another_kind_give_way_to_constants() -> None:
    parameters = wire(
        changed(affiliate_id_from_network="PUB-7", advertiser_campaign_id_from_network="Spring"),
        "invoca",
        constants={"CampaignId": 1000},
        mapping={"MediaId": {"from": "affiliate_id_from_network", "lookup": {"PUB-7": 10007}}},
    )
    assert (parameters["CampaignId"], parameters["MediaId"]) == ("1000", "10007")


def test_a_call_without_a_campaign_takes_the_connections() -> None:
    assert wire(changed(advertiser_campaign_id_from_network=""), "invoca")["CampaignId"] == "1000"


def test_a_status_can_be_added_and_overridden() -> None:
    values = {"Unknown: Unknown Cause": "FAILURE", "Destination: Busy": "CANCEL"}
    for cause, status in values.items():
        call = changed(hangup_cause=cause, connect_duration=0)
        assert wire(call, "invoca", mapping={"CallStatus": {"values": values}})["CallStatus"] == status


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"calling_phone_number": "Anonymous"}, "an anonymous caller"),
        ({"calling_phone_number": "unavailable"}, "an anonymous caller"),
        ({"hangup_cause": "Invoca: Hang-up (Blacklisted Caller)"}, "a call that Invoca blocked"),
        ({"hangup_cause": "Invoca: Hang-up (Call Confidence Blocked)"}, "a call that Invoca blocked"),
        ({"transaction_type": "Signal"}, "an event whose call is not in this input"),
        ({"transaction_type": "Post Call Event"}, "an event whose call is not in this input"),
        ({"transaction_type": "Reported Conversion"}, "an event whose call is not in this input"),
    ],
)
def test_left_out(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(CallLeftOut) as left_out:
        wire(changed(**changes), "invoca")
    assert left_out.value.reason == reason


def test_optional_values() -> None:
    parameters = wire(
        changed(
            mobile="",
            repeat_calling_phone_number=True,
            opt_in_SMS="true",
            landing_page="https://example.com/?irclickid=QiiW:XoVn",
            revenue="1,250.50",
            reason_code="17",
            calling_phone_number="+442079460958",
        ),
        "invoca",
    )
    assert parameters["PhoneType"] == ""  # unknown, which impact.com takes
    assert parameters["RepeatCaller"] == "repeat"
    assert parameters["OptInSms"] == "1"
    assert parameters["ClickId"] == "QiiW:XoVn"
    assert parameters["SaleAmount"] == "1250.50"
    assert parameters["ReferenceId"] == "17"
    assert (parameters["CallerId"], parameters["CallerPhoneNumberCountry"]) == ("+442079460958", "GB")


def test_a_reason_code_that_is_no_number_is_not_sent() -> None:
    assert "ReferenceId" not in wire(changed(reason_code="SOLD"), "invoca")


def test_a_repeat_caller_in_other_words() -> None:
    assert wire(changed(repeat_calling_phone_number="Repeat"), "invoca")["RepeatCaller"] == "Repeat"


@pytest.mark.parametrize("row", [{"call": CALL}, {"loaded": 1, "payload": json.dumps(CALL)}, {**CALL, "loaded": 1}])
def test_wrapped(row: dict[str, Any]) -> None:
    assert wire(row, "invoca") == wire(CALL, "invoca")


def test_every_value_as_csv_text() -> None:
    row = {column: "" if value is None else str(value) for column, value in CALL.items()}
    assert wire(row, "invoca") == wire(CALL, "invoca")


def test_events_are_told_in_their_call() -> None:
    quoted = event("T2", transaction_type="Signal", signal_name="Quote", signal_value=True)
    sold = event("T3", signal_name="Sale", sale_amount="99.90", revenue="99.90", reason_code="3")
    record, left_out = joined([CALL, quoted, sold])
    assert (record.DispositionName, record.SaleAmount, record.ReferenceId) == ("Sale", "99.90", "3")
    assert record.VendorEventId == "T3"
    assert (record.CallDuration, record.TalkDuration, record.CallStatus) == (180, 120, "ANSWER")
    assert left_out == [(2, TOLD), (3, TOLD)]


def test_events_before_their_call_and_those_of_another() -> None:
    other = event("T9", complete_call_id="C2", signal_name="Sale")
    record, left_out = joined([event("T2", signal_name="Sale"), other, CALL])
    assert record.DispositionName == "Sale"
    assert sorted(left_out) == [(1, TOLD), (2, "an event whose call is not in this input")]


def test_events_without_their_call_are_left_out_with_a_reason() -> None:
    found = items([event("T2", signal_name="Sale"), event("T3", transaction_type="Signal")], "invoca")
    assert [item.reason for item in found] == ["an event whose call is not in this input"] * 2


def test_an_event_does_not_change_the_call_itself() -> None:
    record, _ = joined([CALL, event("T2", duration=9, connect_duration=1, calling_phone_number="303-555-0100")])
    assert (record.CallDuration, record.TalkDuration, record.CallerId) == (180, 120, "8665550142")


@pytest.mark.parametrize("unmet", [False, "false", 0, "0", "f"])
def test_a_signal_that_was_not_met_is_no_conversion(unmet: Any) -> None:
    missed = event("T2", transaction_type="Signal", signal_name="Sale", signal_value=unmet)
    record, left_out = joined([CALL, missed])
    assert (record.DispositionName, record.VendorEventId) == (None, CALL["transaction_id"])
    assert left_out == [(2, TOLD)]
    record, _ = joined([CALL, event("T1", signal_name="Sale", signal_value=True), missed])
    assert record.DispositionName is None  # first met, then taken back
    record, _ = joined([CALL, event("T1", signal_name="Quote"), missed])
    assert record.DispositionName == "Quote"


def test_a_correction_takes_the_place_of_what_it_corrects() -> None:
    correction = changed(
        transaction_id="T2", corrects_transaction_id=CALL["transaction_id"], connect_duration=60, city=""
    )
    for rows in ([CALL, correction], [correction, CALL]):
        record, left_out = joined(rows)
        assert (record.TalkDuration, record.VendorEventId) == (60, "T2")
        assert record.City == "Santa Barbara"  # left empty, not corrected
        assert left_out == [(rows.index(CALL) + 1, CORRECTED)]


def test_of_several_corrections_the_last_one_counts() -> None:
    original = CALL["transaction_id"]
    first = changed(
        transaction_id="T2",
        corrects_transaction_id=original,
        connect_duration=60,
        corrected_at="2019-01-25 09:00:00 -07:00",
    )
    for corrects in (original, "T2"):  # a correction of the original, or of the correction
        second = changed(
            transaction_id="T3",
            corrects_transaction_id=corrects,
            connect_duration=30,
            corrected_at="2019-01-25 08:30:00 -08:00",
        )
        for rows in permutations([CALL, first, second]):
            record, left_out = joined(list(rows))
            assert record.TalkDuration == 30
            assert [reason for _, reason in left_out] == [CORRECTED, CORRECTED]


def test_a_correction_without_the_original_is_the_call() -> None:
    record, _ = joined(
        [changed(transaction_id="T2", corrects_transaction_id=CALL["transaction_id"], connect_duration=60)]
    )
    assert record.TalkDuration == 60


def test_a_corrected_event() -> None:
    sold = event("T2", sale_amount="100")
    corrected = event("T3", corrects_transaction_id="T2", sale_amount="80")
    record, left_out = joined([CALL, sold, corrected])
    assert record.SaleAmount == "80"
    assert sorted(left_out) == [(2, CORRECTED), (3, TOLD)]


def test_corrections_in_a_circle_end() -> None:
    rows = [
        changed(transaction_id="T1", corrects_transaction_id="T2"),
        changed(transaction_id="T2", corrects_transaction_id="T1"),
    ]
    record, left_out = joined(rows)
    assert record.CallSessionId == SESSION
    assert len(left_out) == 1


def test_a_transaction_given_twice_counts_once() -> None:
    record, left_out = joined([CALL, dict(CALL)])
    assert record.TalkDuration == 120
    assert left_out == [(1, CORRECTED)]


def test_of_several_legs_the_one_connected_longest_stands_for_the_call() -> None:
    bundled = changed(transaction_id="T1", connect_duration=0, hangup_cause="Destination: Hang-up", duration=30)
    connected = changed(transaction_id="T2", affiliate_id_from_network="")
    for rows in permutations([bundled, connected]):
        record, left_out = joined(list(rows))
        assert (record.TalkDuration, record.CallDuration, record.VendorEventId) == (120, 180, "T2")
        assert record.MediaId == 10001  # the partner that the other leg has
        assert left_out == [(rows.index(bundled) + 1, LEG)]


def test_transactions_that_cannot_be_joined_are_rejected() -> None:
    found = items([CALL, changed(transaction_type={"a": 1})], "invoca")
    assert [type(item) for item in found] == [Rejected, Rejected]


FIELDS = sorted({*CALL, "signal_value", "landing_page"})


@given(st.dictionaries(st.sampled_from(FIELDS), junk()))
def test_junk_is_a_call_or_has_a_reason(changes: dict[str, Any]) -> None:
    with contextlib.suppress(InvalidCall, CallLeftOut):
        parameters = wire({**CALL, **changes}, "invoca")
        assert int(parameters["TalkDuration"]) <= int(parameters["CallDuration"])


@given(st.lists(st.dictionaries(st.sampled_from(FIELDS), junk(), max_size=4), max_size=5))
def test_each_of_any_rows_has_one_outcome(rows: list[dict[str, Any]]) -> None:
    found = items([changed(**row) for row in rows], "invoca")
    assert sorted(item.row for item in found) == list(range(1, len(rows) + 1))
