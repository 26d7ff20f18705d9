"""WhatConverts' phone calls, as its API and its webhooks give them."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_impactcall.delivery.items import Call, Skipped
from airflow_provider_impactcall.exceptions import CallLeftOut, InvalidCall
from tests.facts import unfit
from tests.records.vendors.payloads import items, junk, load, wire

RINGING = load("whatconverts_lead_in_progress")
CALL = load("whatconverts_lead")
WEBHOOK = {  # the published webhook, sent again when the call has ended
    **RINGING,
    "trigger": "update",
    "last_updated": "2016-02-01T14:14:11Z",
    "lead_state": "Completed",
    "call_status": "Completed",
    "answer_status": "Answered",
    "call_duration_seconds": 202,
}


def changed(**changes: Any) -> dict[str, Any]:
    return {**CALL, **changes}


def test_the_published_webhook_is_of_a_call_that_has_not_ended() -> None:
    with pytest.raises(CallLeftOut) as left_out:
        wire(RINGING, "whatconverts")
    assert left_out.value.reason == "a call that has not ended"
    assert left_out.value.call_session_id == "153928"


def test_the_published_webhook_parameter_by_parameter_when_the_call_has_ended() -> None:
    assert wire(WEBHOOK, "whatconverts") == {
        "CampaignId": "1000",  # the connection's
        "MediaId": "10000",  # the user's: WhatConverts has none
        "EventDate": "2016-02-01T14:09:01+00:00",  # date_created, in UTC
        "ActionTrackerId": "4000",  # the connection's
        "CallProvider": "ExampleVendor",  # the connection's
        "CallSessionId": "153928",  # lead_id, a number
        "CallerId": "8035550158",  # caller_number
        "CalledPhoneNumber": "7045550177",  # tracking_number, not destination_number
        "CallDuration": "202",  # call_duration_seconds
        "TalkDuration": "202",  # answered
        "CallStatus": "ANSWER",  # answer_status, not call_status "Completed"
        "CallerPhoneNumberCountry": "US",  # country
        "CalledPhoneNumberCountry": "US",  # area code 704
        "City": "Charlotte",  # city
        "Region": "NC",  # state
        "Zip": "28226",  # zip
        "RepeatCaller": "new",  # lead_status "Unique"
        "PhoneType": "Landline",  # line_type
        "TrafficSource": "google",  # lead_source
        "PromoNumberDescription": "Google AdWords",  # phone_name
    }


def test_a_lead_of_the_api_parameter_by_parameter() -> None:
    assert wire(CALL, "whatconverts") == {
        "CampaignId": "1000",
        "MediaId": "10000",
        "EventDate": "2016-02-01T14:09:01+00:00",
        "ActionTrackerId": "4000",
        "CallProvider": "ExampleVendor",
        "CallSessionId": "153928",
        "CallerId": "8035550158",
        "CalledPhoneNumber": "7045550177",
        "CallDuration": "202",
        "TalkDuration": "202",
        "CallStatus": "ANSWER",
        "CallerPhoneNumberCountry": "US",  # caller_country
        "CalledPhoneNumberCountry": "US",
        "ClickId": "QiiW:XoVn",  # irclickid of landing_url
        "City": "Charlotte",  # caller_city
        "Region": "NC",  # caller_state
        "Zip": "28226",  # caller_zip
        "RepeatCaller": "new",
        "PhoneType": "Landline",
        "CallRecording": "https://app.whatconverts.com/recording/153928/download",  # recording, not play_recording
        "TrafficSource": "google",
        "SaleAmount": "120",  # sales_value, not quote_value
        "PromoNumberDescription": "Google AdWords",
    }


@pytest.mark.parametrize(
    ("changes", "status", "durations"),
    [
        ({"call_duration_seconds": "202"}, "ANSWER", ("202", "202")),  # as in a CSV file
        ({"call_duration_seconds": ""}, "ANSWER", ("202", "202")),  # call_duration, 00:03:22
        ({"answer_status": "answered"}, "ANSWER", ("202", "202")),
        ({"answer_status": "Missed"}, "CANCEL", ("202", "0")),
        ({"answer_status": "Unanswered"}, "CANCEL", ("202", "0")),
        ({"answer_status": "Not Answered"}, "CANCEL", ("202", "0")),
        ({"answer_status": "No Answer"}, "CANCEL", ("202", "0")),
        ({"answer_status": "Abandoned"}, "CANCEL", ("202", "0")),
        ({"answer_status": "", "call_status": "no-answer"}, "CANCEL", ("202", "0")),
        ({"answer_status": None, "call_status": "canceled"}, "CANCEL", ("202", "0")),
        ({"answer_status": "Busy"}, "CONGESTION", ("202", "0")),
        ({"answer_status": "", "call_status": "Failed"}, "FAILURE", ("202", "0")),
        ({"answer_status": "Voicemail"}, "IVR_DROPOFF", ("202", "0")),
        ({"voicemail": "https://app.whatconverts.com/voicemail/153928"}, "IVR_DROPOFF", ("202", "0")),
        ({"voicemail": True}, "IVR_DROPOFF", ("202", "0")),
        ({"voicemail": "false"}, "ANSWER", ("202", "202")),
        ({"answer_status": "Missed", "call_duration_seconds": None, "call_duration": ""}, "CANCEL", ("0", "0")),
        ({"answer_status": "Busy", "call_duration_seconds": "", "call_duration": None}, "CONGESTION", ("0", "0")),
    ],
)
def test_status_and_durations(changes: dict[str, Any], status: str, durations: tuple[str, str]) -> None:
    parameters = wire(changed(**changes), "whatconverts")
    assert (parameters["CallStatus"], (parameters["CallDuration"], parameters["TalkDuration"])) == (status, durations)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"lead_type": "Web Form"}, "a lead that is not a phone call"),
        ({"lead_type": "Chat", "call_status": None}, "a lead that is not a phone call"),
        ({"call_status": "In Progress"}, "a call that has not ended"),
        ({"lead_state": "In Progress"}, "a call that has not ended"),
        ({"call_status": "ringing"}, "a call that has not ended"),
        ({"spam": True}, "a call marked as spam"),
        ({"spam": "true"}, "a call marked as spam"),
        ({"caller_number": "Anonymous"}, "an anonymous caller"),
        ({"caller_number": "+266696687"}, "an anonymous caller"),
    ],
)
def test_left_out(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(CallLeftOut) as left_out:
        wire(changed(**changes), "whatconverts")
    assert left_out.value.reason == reason


@pytest.mark.parametrize(
    "changes",
    [{"lead_type": "phone_call"}, {"lead_type": ""}, {"spam": ""}, {"spam": "false"}, {"duplicate": True}],
)
def test_not_left_out(changes: dict[str, Any]) -> None:
    assert wire(changed(**changes), "whatconverts")["CallStatus"] == "ANSWER"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"answer_status": "Transferred"}, ("CallStatus", "'Transferred'")),
        # It has ended, and nothing says whether anyone answered.
        ({"answer_status": ""}, ("CallStatus", "'Completed'")),
        ({"caller_number": ""}, ("CallerId",)),
    ],
)
def test_rejected(changes: dict[str, Any], problem: tuple[str, ...]) -> None:
    with pytest.raises(InvalidCall) as invalid:
        wire(changed(**changes), "whatconverts")
    found = [(each.parameter, each.message) for each in invalid.value.problems]
    assert unfit(found, "'Transferred'", "'Completed'") == [problem]


def test_an_answered_call_without_a_duration_is_rejected() -> None:
    with pytest.raises(InvalidCall) as invalid:
        wire(changed(call_duration_seconds=None, call_duration=""), "whatconverts")
    assert [problem.parameter for problem in invalid.value.problems] == ["CallDuration", "TalkDuration"]


def test_a_status_can_be_added_and_overridden() -> None:
    values = {"Completed": "ANSWER", "Missed": "INCOMPLETE"}
    mapping = {"CallStatus": {"values": values}, "TalkDuration": "call_duration_seconds"}
    parameters = wire(changed(answer_status=""), "whatconverts", mapping=mapping)
    assert (parameters["CallStatus"], parameters["TalkDuration"]) == ("ANSWER", "202")
    assert wire(changed(answer_status="Missed"), "whatconverts", mapping=mapping)["CallStatus"] == "INCOMPLETE"


@pytest.mark.parametrize(
    ("changes", "parameter", "value"),
    [
        ({"line_type": "Mobile"}, "PhoneType", "Mobile"),
        ({"line_type": "VoIP"}, "PhoneType", None),  # impact.com knows no such word
        ({"line_type": ""}, "PhoneType", None),
        ({"lead_status": "Repeat"}, "RepeatCaller", "repeat"),
        ({"lead_status": "Test"}, "RepeatCaller", None),
        ({"caller_city": "", "city": "Concord"}, "City", "Concord"),
        ({"landing_url": "https://example.com/", "lead_url": "https://example.com/?irclickid=Ab"}, "ClickId", "Ab"),
        ({"sales_value": None}, "SaleAmount", None),
        ({"sales_value": "1,200.50"}, "SaleAmount", "1200.50"),
        ({"caller_number": "+442079460958", "caller_country": "GB"}, "CallerId", "+442079460958"),
        ({"caller_number": "+442079460958", "caller_country": ""}, "CallerPhoneNumberCountry", "GB"),
    ],
)
def test_other_values(changes: dict[str, Any], parameter: str, value: str | None) -> None:
    assert wire(changed(**changes), "whatconverts").get(parameter) == value


@pytest.mark.parametrize("row", [{"call": CALL}, {"loaded": 1, "payload": json.dumps(CALL)}, {**CALL, "loaded": 1}])
def test_wrapped(row: dict[str, Any]) -> None:
    assert wire(row, "whatconverts") == wire(CALL, "whatconverts")


def test_every_value_as_csv_text() -> None:
    row = {column: "" if value is None else str(value) for column, value in CALL.items()}
    assert wire(row, "whatconverts") == wire(CALL, "whatconverts")


def test_the_version_updated_last_counts_whatever_the_order() -> None:
    corrected = {**WEBHOOK, "last_updated": "2016-02-02T08:00:00Z", "sales_value": 75}
    for rows in ([RINGING, WEBHOOK, corrected], [corrected, WEBHOOK, RINGING]):
        found = {item.row: item for item in items(rows, "whatconverts")}
        last = found.pop(rows.index(corrected) + 1)
        assert isinstance(last, Call)
        assert last.record.SaleAmount == "75"
        assert {(type(item), item.reason) for item in found.values()} == {
            (Skipped, "a call with a later version in this input"),
            (Skipped, "a call that has not ended"),
        }


def test_the_same_version_twice_is_left_to_the_count_of_duplicates() -> None:
    assert [type(item) for item in items([CALL, dict(CALL)], "whatconverts")] == [Call, Call]


@given(st.dictionaries(st.sampled_from(sorted({*CALL, *WEBHOOK})), junk()))
def test_junk_is_a_call_or_has_a_reason(changes: dict[str, Any]) -> None:
    with contextlib.suppress(InvalidCall, CallLeftOut):
        parameters = wire({**CALL, **changes}, "whatconverts")
        answered = parameters["CallStatus"] == "ANSWER"
        assert parameters["TalkDuration"] == (parameters["CallDuration"] if answered else "0")
