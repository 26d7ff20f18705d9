"""CallRail's calls, as its API and its webhooks give them."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_impactcall.delivery.items import Call, Rejected, Skipped
from airflow_provider_impactcall.exceptions import CallLeftOut, InvalidCall
from tests.records.vendors.payloads import items, junk, load, wire

CALL = load("callrail_call")
WEBHOOK = load("callrail_webhook")


def changed(**changes: Any) -> dict[str, Any]:
    return {**CALL, **changes}


def test_the_published_call_parameter_by_parameter() -> None:
    assert wire(CALL, "callrail") == {
        "CampaignId": "1000",  # the connection's
        "MediaId": "10000",  # the user's: CallRail has none
        "EventDate": "2017-01-24T11:27:48-05:00",  # start_time at its own offset, without the milliseconds
        "ActionTrackerId": "4000",  # the connection's
        "CallProvider": "ExampleVendor",  # the connection's
        "CallSessionId": "CAL8154748ae6bd4e278a7cddd38a662f4f",  # id; it has no resource_id
        "CallerId": "2125550123",  # customer_phone_number, as ten digits
        "CalledPhoneNumber": "3035550191",  # tracking_phone_number, not business_phone_number, which is null
        "CallDuration": "4",  # duration, not recording_duration "27"
        "TalkDuration": "0",  # answered is false
        "CallStatus": "CANCEL",  # neither answered nor voicemail: a missed call
        "CallerPhoneNumberCountry": "US",  # customer_country
        "CalledPhoneNumberCountry": "US",  # area code 303
        "City": "New York City",  # customer_city
        "Region": "NY",  # customer_state
        "CallRecording": "https://api.callrail.com/v3/a/227799611/calls/111222333/recording.json",  # recording
    }


def test_the_published_webhook_parameter_by_parameter() -> None:
    assert wire(WEBHOOK, "callrail") == {
        "CampaignId": "1000",
        "MediaId": "10000",
        "EventDate": "2018-02-19T13:41:00-05:00",  # start_time
        "ActionTrackerId": "4000",
        "CallProvider": "ExampleVendor",
        "CallSessionId": "766970532",  # id: this webhook is of a time before resource_id
        "CallerId": "2145550159",
        "CalledPhoneNumber": "4045550114",
        "CallDuration": "13",  # text in a webhook
        "TalkDuration": "0",  # call_type says voicemail
        "CallStatus": "IVR_DROPOFF",  # call_type "voicemail"
        "CallerPhoneNumberCountry": "US",
        "CalledPhoneNumberCountry": "US",
        "City": "Rochester",
        "Region": "PA",
        "RepeatCaller": "repeat",  # first_call is false
        "CallRecording": "https://app.callrail.com/calls/766970532/recording/redirect?access_key=REDACTED",
        "TrafficSource": "Google Paid",  # formatted_tracking_source: it has no source
        "PromoNumberDescription": "Google AdWords",  # source_name: the tracking number's name
    }


def test_the_optional_fields_of_the_api() -> None:
    call = changed(
        zip_code="02139",
        first_call=True,
        source="Google Organic",
        source_name="Website pool",
        landing_page_url="https://example.com/?utm_source=x&irclickid=QiiW:XoVn",
        last_requested_url="https://example.com/?irclickid=other",
    )
    parameters = wire(call, "callrail")
    assert parameters["Zip"] == "02139"
    assert parameters["RepeatCaller"] == "new"
    assert parameters["TrafficSource"] == "Google Organic"
    assert parameters["PromoNumberDescription"] == "Website pool"
    assert parameters["ClickId"] == "QiiW:XoVn"


@pytest.mark.parametrize(
    ("changes", "status", "talk"),
    [
        ({"answered": True, "duration": 95}, "ANSWER", "95"),
        ({"answered": True, "duration": 95, "call_type": "answered"}, "ANSWER", "95"),
        ({"answered": "true", "voicemail": "false", "duration": "95"}, "ANSWER", "95"),  # as in a CSV file
        ({"answered": "t", "voicemail": "f", "duration": "95"}, "ANSWER", "95"),  # as PostgreSQL writes them
        ({"answered": None, "call_type": "answered", "duration": 95}, "ANSWER", "95"),
        ({"answered": True, "voicemail": True, "duration": 95}, "IVR_DROPOFF", "0"),  # answered by the voicemail
        ({"answered": False, "voicemail": True}, "IVR_DROPOFF", "0"),
        ({"answered": False, "voicemail": None, "call_type": "voicemail"}, "IVR_DROPOFF", "0"),
        ({"answered": False, "voicemail": ""}, "CANCEL", "0"),
        ({"call_type": "missed"}, "CANCEL", "0"),
        ({"call_type": "abandoned"}, "CANCEL", "0"),
        ({"answered": True, "call_type": "abandoned"}, "CANCEL", "0"),  # contradictory: no talk is claimed
    ],
)
def test_status_and_talk(changes: dict[str, Any], status: str, talk: str) -> None:
    parameters = wire(changed(**changes), "callrail")
    assert (parameters["CallStatus"], parameters["TalkDuration"]) == (status, talk)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"direction": "outbound"}, "an outbound call"),
        ({"direction": "Outbound", "call_type": "outbound"}, "an outbound call"),
        ({"customer_phone_number": "anonymous"}, "an anonymous caller"),
        ({"customer_phone_number": "+266696687"}, "an anonymous caller"),
        ({"spam": True}, "a call marked as spam"),
        ({"spam": "true"}, "a call marked as spam"),
        # The pre-call webhook, sent while it still rings.
        ({"resource_id": "CAL1", "call_type": "missed", "duration": 0}, "a call that has not ended"),
        ({"resource_id": "CAL1", "call_type": "missed", "duration": "0"}, "a call that has not ended"),
        ({"id": "7", "call_type": "missed", "duration": None}, "a call that has not ended"),
        ({"id": 7, "answered": False, "duration": "0"}, "a call that has not ended"),
    ],
)
def test_left_out(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(CallLeftOut) as left_out:
        wire(changed(**changes), "callrail")
    assert left_out.value.reason == reason


@pytest.mark.parametrize(
    "changes",
    [
        {"spam": False},
        {"spam": ""},
        {"direction": "inbound"},
        {"resource_id": "CAL1", "call_type": "missed", "duration": "3"},  # missed, and over
        {"call_type": "missed", "duration": 0},  # the API lists no call before it has ended
    ],
)
def test_not_left_out(changes: dict[str, Any]) -> None:
    assert wire(changed(**changes), "callrail")["CallStatus"] == "CANCEL"


def test_a_caller_from_abroad_keeps_the_country_code() -> None:
    parameters = wire(changed(customer_phone_number="+442079460958", customer_country="GB"), "callrail")
    assert parameters["CallerId"] == "+442079460958"
    assert parameters["CallerPhoneNumberCountry"] == "GB"


def test_the_country_of_an_address_is_not_held_against_the_number() -> None:
    found = wire(changed(customer_phone_number="+442079460958", customer_country="US"), "callrail")
    assert (found["CallerId"], found["CallerPhoneNumberCountry"]) == ("+442079460958", "GB")


def test_an_unset_country_is_derived() -> None:
    assert wire(changed(customer_country=""), "callrail")["CallerPhoneNumberCountry"] == "US"


def test_an_unknown_status_is_rejected_by_name_and_can_be_given() -> None:
    call = changed(call_type="transferred", answered=True)
    with pytest.raises(InvalidCall) as invalid:
        wire(call, "callrail")
    assert [(each.parameter, "'transferred'" in each.message) for each in invalid.value.problems] == [
        ("CallStatus", True)
    ]
    parameters = wire(call, "callrail", mapping={"CallStatus": {"values": {"transferred": "ANSWER"}}})
    assert (parameters["CallStatus"], parameters["TalkDuration"]) == ("ANSWER", "4")


def test_a_status_can_be_overridden() -> None:
    parameters = wire(CALL, "callrail", mapping={"CallStatus": {"values": {"missed": "INCOMPLETE"}}})
    assert parameters["CallStatus"] == "INCOMPLETE"


def test_a_call_of_which_nothing_says_how_it_ended_is_rejected() -> None:
    with pytest.raises(InvalidCall, match=r"^CallStatus\b.*; row\b.*'answered'"):
        wire(changed(answered=None, voicemail=None), "callrail")


def test_a_call_without_a_duration_is_rejected() -> None:
    with pytest.raises(InvalidCall, match=r"^CallDuration\b[^;]*$"):
        wire(changed(duration=None), "callrail")


@pytest.mark.parametrize(
    "row",
    [
        {"call": CALL},
        {"received_at": "2017-01-24T16:30:00Z", "payload": json.dumps(CALL)},
        {"id": 1, "payload": CALL},
        {**CALL, "received_at": "2017-01-24T16:30:00Z"},
    ],
)
def test_wrapped(row: dict[str, Any]) -> None:
    assert wire(row, "callrail") == wire(CALL, "callrail")


def test_the_webhook_of_a_call_has_the_id_of_the_api() -> None:
    webhook = {**WEBHOOK, "id": 111222333, "resource_id": CALL["id"]}
    assert wire(webhook, "callrail")["CallSessionId"] == wire(CALL, "callrail")["CallSessionId"]


def test_the_last_version_of_a_call_counts() -> None:
    earlier, later = changed(duration=4), changed(answered=True, duration=61)
    other = changed(id="CAL2")
    first, second, third = items([earlier, other, later], "callrail")
    assert first == Skipped(1, CALL["id"], "a call with a later version in this input")
    assert isinstance(second, Call)
    assert second.row == 3
    assert second.record.TalkDuration == 61
    assert isinstance(third, Call)
    assert third.record.CallSessionId == "CAL2"


def test_a_version_before_the_call_ended_gives_way_to_the_one_after() -> None:
    ringing = {**WEBHOOK, "resource_id": "CAL1", "call_type": "missed", "duration": "0"}
    after = {**WEBHOOK, "resource_id": "CAL1", "call_type": "answered", "answered": True}
    found = items([ringing, after], "callrail")
    assert [type(item) for item in found] == [Skipped, Call]


def test_a_version_before_the_call_ended_never_takes_the_place_of_the_call() -> None:
    after = {**WEBHOOK, "call_type": "answered", "answered": True, "voicemail": False, "duration": "100"}
    for unfinished in ({"duration": "0"}, {"duration": None}, {"resource_id": "CAL1", "duration": "0"}):
        ringing = {**after, "call_type": "missed", "answered": False, **unfinished}
        same = {name: ringing[name] for name in ("resource_id",) if name in ringing}
        found = items([{**after, **same}, ringing], "callrail")
        assert isinstance(found[0], Call)
        assert (found[0].record.CallStatus, found[0].record.TalkDuration) == ("ANSWER", 100)
        assert found[1].reason == "a call that has not ended"


def test_an_unknown_direction_is_named() -> None:
    with pytest.raises(InvalidCall, match=r"^row\b.*\bdirection\b.*'outgoing'"):
        wire(changed(direction="outgoing"), "callrail")


def test_the_same_version_twice_is_left_to_the_count_of_duplicates() -> None:
    found = items([CALL, dict(CALL)], "callrail")
    assert [type(item) for item in found] == [Call, Call]


def test_a_bad_row_costs_no_other() -> None:
    found = items([changed(id="CAL3", start_time="yesterday", duration="long"), CALL], "callrail")
    assert [type(item) for item in found] == [Rejected, Call]
    assert [problem.parameter for problem in found[0].problems] == ["EventDate", "CallDuration"]


@given(st.dictionaries(st.sampled_from(sorted({*CALL, *WEBHOOK, "resource_id", "spam"})), junk()))
def test_junk_is_a_call_or_has_a_reason(changes: dict[str, Any]) -> None:
    with contextlib.suppress(InvalidCall, CallLeftOut):
        parameters = wire({**CALL, **changes}, "callrail")
        assert parameters["CallStatus"] in ("ANSWER", "CANCEL", "IVR_DROPOFF")
        assert parameters["TalkDuration"] in ("0", parameters["CallDuration"])
