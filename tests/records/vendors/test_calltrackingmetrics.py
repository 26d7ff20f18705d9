"""CallTrackingMetrics' calls, as its API and its webhooks give them."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_impactcall.delivery.items import Call, Rejected, Skipped
from airflow_provider_impactcall.exceptions import CallLeftOut, InvalidCall
from tests.facts import unfit
from tests.records.vendors.payloads import as_csv, items, junk, load, problems, wire

VENDOR = "calltrackingmetrics"
CALL = load("calltrackingmetrics_call")
# The columns that a call has today and the published one, of 2013, had not.
OF_TODAY = {
    **CALL,
    "sid": "CA0000000000000000000000000000abcd",
    "direction": "inbound",
    "unix_time": 1367466493,
    "call_status": "answered",
    "is_new_caller": True,
    "call_path": [{"route_type": "CallQueue"}, {"route_type": "PhysicalPhoneNumber"}],
    "inputs": {"menu_inputs": ["1", "3"], "geo_inputs": []},
    "agent": None,
    "indexed_at": 1367466600.5,
}


def changed(**changes: Any) -> dict[str, Any]:
    return {**OF_TODAY, **changes}


def reason(**changes: Any) -> str:
    with pytest.raises(CallLeftOut) as left_out:
        wire(changed(**changes), VENDOR)
    return left_out.value.reason


def test_the_published_call_parameter_by_parameter() -> None:
    # It is from before calls had a direction.
    assert wire(CALL, VENDOR, prefiltered=["direction"]) == {
        "CampaignId": "1000",  # the connection's
        "MediaId": "10000",  # the user's: CallTrackingMetrics has none
        "EventDate": "2013-05-01T23:48:00-04:00",  # called_at: it has no unix_time
        "ActionTrackerId": "4000",  # the connection's
        "CallProvider": "ExampleVendor",  # the connection's
        "CallSessionId": "729485",  # id
        "CallerId": "7605550188",  # caller_number_complete, as ten digits
        "CalledPhoneNumber": "7205550118",  # tracking_number, not business_number
        "CallDuration": "25",  # duration
        "TalkDuration": "10",  # talk_time; ring_time 15 is not talk
        "CallStatus": "ANSWER",  # dial_status "completed", with talk
        "CallerPhoneNumberCountry": "US",  # area code 760
        "CalledPhoneNumberCountry": "US",  # area code 720
        "City": "Escondido",  # city, not extended_lookup.city: that is of the number's owner
        "Region": "CA",  # state
        "Zip": "94043",  # postal_code
        "CallRecording": "https://calltrackingmetrics.com/accounts/ACe2a2cc9e29744544bfa706ba45ad9baf/recordings/"
        "RE18e40e5aad04e7a35da0b54ba47895da",  # audio
        "TrafficSource": "Facebook",  # source
    }


def test_the_columns_of_today() -> None:
    parameters = wire(
        changed(
            location="https://example.com/?irclickid=QiiW:XoVn",
            last_location="https://example.com/?irclickid=later",
            tracking_label="Newspaper",
            sale={"value": "1,250.50", "conversion": 1, "score": 5},
        ),
        VENDOR,
    )
    assert parameters["EventDate"] == "2013-05-02T03:48:13+00:00"  # unix_time, exact to the second
    assert parameters["CallSessionId"] == "729485"  # still id, so that the two forms are one call
    assert parameters["RepeatCaller"] == "new"
    assert parameters["Keypresses"] == "1,3"
    assert parameters["ClickId"] == "QiiW:XoVn"
    assert parameters["PromoNumberDescription"] == "Newspaper"
    assert parameters["SaleAmount"] == "1250.50"


@pytest.mark.parametrize("written", [["1", "3"], '["1", "3"]', "[1, 3]", ' ["1","3"]\n', "1,3"])
def test_keypresses_are_a_list_or_the_json_text_of_one(written: Any) -> None:
    flat = {name: value for name, value in OF_TODAY.items() if name != "inputs"}
    for inputs in ({"inputs": {"menu_inputs": written}}, {"INPUTS__MENU_INPUTS": written}):
        assert wire({**flat, **inputs}, VENDOR)["Keypresses"] == "1,3"


@pytest.mark.parametrize("nothing", ["[]", '[""]', "", None])
def test_no_keypresses(nothing: Any) -> None:
    assert "Keypresses" not in wire({**OF_TODAY, "inputs": {"menu_inputs": nothing}}, VENDOR)


@pytest.mark.parametrize("conversion", [False, 0, "0", "off", "false"])
def test_what_was_no_sale_has_no_amount(conversion: Any) -> None:
    assert "SaleAmount" not in wire(changed(sale={"value": 100, "conversion": conversion}), VENDOR)


@pytest.mark.parametrize("conversion", [True, 1, "on", None, ""])
def test_the_amount_of_a_sale(conversion: Any) -> None:
    assert wire(changed(sale={"value": 100, "conversion": conversion}), VENDOR)["SaleAmount"] == "100"


def test_the_click_of_the_last_page_if_the_first_has_none() -> None:
    call = changed(location="https://example.com/", last_location="https://example.com/?irclickid=Abc")
    assert wire(call, VENDOR)["ClickId"] == "Abc"


MENU = [{"route_type": "CallQueue"}, {"route_type": "VoiceMenu"}]


@pytest.mark.parametrize(
    ("changes", "status", "talk"),
    [
        ({"dial_status": "answered"}, "ANSWER", "10"),
        ({"dial_status": "Completed", "talk_time": "10"}, "ANSWER", "10"),  # as in a CSV file
        ({"dial_status": "", "call_status": "answered"}, "ANSWER", "10"),
        ({"dial_status": None, "call_status": None, "status": "answered"}, "ANSWER", "10"),
        ({"dial_status": "hangup"}, "ANSWER", "10"),  # a conversation that ended by hanging up
        ({"dial_status": "hangup", "talk_time": 0}, "CANCEL", "0"),  # the caller gave up
        ({"dial_status": "completed", "talk_time": "0"}, "IVR_DROPOFF", "0"),  # nobody spoke
        ({"dial_status": "answered", "talk_time": 0}, "IVR_DROPOFF", "0"),
        ({"dial_status": "no-answer", "talk_time": 0}, "CANCEL", "0"),
        ({"dial_status": "no answer", "talk_time": None}, "CANCEL", "0"),
        ({"dial_status": "no_answer", "talk_time": ""}, "CANCEL", "0"),
        ({"dial_status": "busy", "talk_time": 0}, "CONGESTION", "0"),
        ({"dial_status": "failed", "talk_time": 0}, "FAILURE", "0"),
        ({"dial_status": "canceled", "talk_time": 0}, "CANCEL", "0"),
        ({"dial_status": "voicemail"}, "IVR_DROPOFF", "0"),  # the caller's talk to a machine is none
        ({"call_path": MENU}, "IVR_DROPOFF", "0"),  # taken by a menu, and by no agent
        ({"call_path": json.dumps(MENU)}, "IVR_DROPOFF", "0"),
        ({"call_path": MENU, "agent": {"id": "USR1"}}, "ANSWER", "10"),
        ({"call_path": MENU, "agent_id": "USR1"}, "ANSWER", "10"),
        ({"call_path": MENU[::-1]}, "ANSWER", "10"),  # a menu that led on
        ({"call_path": []}, "ANSWER", "10"),
    ],
)
def test_how_a_call_ended(changes: dict[str, Any], status: str, talk: str) -> None:
    parameters = wire(changed(**changes), VENDOR)
    assert (parameters["CallStatus"], parameters["TalkDuration"]) == (status, talk)


def test_an_unanswered_call_without_durations_has_none() -> None:
    parameters = wire(changed(dial_status="busy", duration="", talk_time=""), VENDOR)
    assert (parameters["CallDuration"], parameters["TalkDuration"]) == ("0", "0")


def test_an_answered_call_without_talk_time_is_rejected() -> None:
    assert unfit(problems(changed(talk_time=""), VENDOR)) == [("TalkDuration",)]


def test_an_unknown_status_is_rejected_and_named() -> None:
    assert unfit(problems(changed(dial_status="parked"), VENDOR), "'parked'") == [("CallStatus", "'parked'")]


def test_a_status_can_be_added_and_overridden() -> None:
    mapping = {"CallStatus": {"values": {"parked": "ANSWER", "answered without talk": "NO_TRANSFER_ATTEMPT"}}}
    added = wire(changed(dial_status="parked"), VENDOR, mapping=mapping)
    assert (added["CallStatus"], added["TalkDuration"]) == ("ANSWER", "10")
    overridden = wire(changed(dial_status="answered", talk_time=0), VENDOR, mapping=mapping)
    assert overridden["CallStatus"] == "NO_TRANSFER_ATTEMPT"
    assert wire(OF_TODAY, VENDOR, mapping=mapping)["CallStatus"] == "ANSWER"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"direction": "outbound"}, "an outbound call"),
        ({"direction": "msg_inbound"}, "an activity other than an inbound call"),
        ({"direction": "form"}, "an activity other than an inbound call"),
        ({"dial_status": "in-progress"}, "a call that has not ended"),
        ({"dial_status": None, "call_status": "ringing"}, "a call that has not ended"),
        ({"excluded": True}, "a call excluded from CallTrackingMetrics' own reports"),
        ({"excluded": "t"}, "a call excluded from CallTrackingMetrics' own reports"),
        ({"excluded": 1}, "a call excluded from CallTrackingMetrics' own reports"),
        ({"caller_number_complete": "", "caller_number": "anonymous"}, "an anonymous caller"),
        ({"caller_number_complete": "+266696687"}, "an anonymous caller"),
    ],
)
def test_what_is_left_out(changes: dict[str, Any], expected: str) -> None:
    assert reason(**changes) == expected


@pytest.mark.parametrize("excluded", [False, "false", "f", 0, None, ""])
def test_what_is_not_excluded_stays(excluded: Any) -> None:
    assert wire(changed(excluded=excluded), VENDOR)["CallSessionId"] == "729485"


def test_a_call_from_sweden() -> None:
    parameters = wire(
        changed(
            caller_number_complete="+46850550199",
            tracking_number="+46850550198",
            city="",
            state="Stockholm",
            country="SE",
            postal_code="",
        ),
        VENDOR,
    )
    assert parameters["CallerId"] == "+46850550199"
    assert parameters["CallerPhoneNumberCountry"] == parameters["CalledPhoneNumberCountry"] == "SE"
    assert parameters["Region"] == "Stockholm"
    assert not {"City", "Zip"} & set(parameters)


def test_the_country_serves_where_the_number_tells_none() -> None:
    local = changed(caller_number_complete="", caller_number="08 505 501 99", country="SE")
    assert wire(local, VENDOR)["CallerId"] == "+46850550199"
    abroad = changed(caller_number_complete="+46850550199", country="US")  # the address's
    assert wire(abroad, VENDOR)["CallerPhoneNumberCountry"] == "SE"


@pytest.mark.parametrize(
    "row",
    [
        {"call": OF_TODAY},
        {"id": 7, "received_at": "2013-05-02", "payload": json.dumps(OF_TODAY)},  # a table's own id beside it
    ],
)
def test_wherever_the_call_lies(row: dict[str, Any]) -> None:
    assert wire(row, VENDOR) == wire(OF_TODAY, VENDOR)


def test_as_csv_text() -> None:
    assert wire(as_csv(OF_TODAY), VENDOR) == wire(OF_TODAY, VENDOR)


def test_the_last_version_of_a_call_counts() -> None:
    corrected = changed(talk_time=12, indexed_at=1367470000.0)
    later, earlier, other = items([corrected, OF_TODAY, changed(id=2)], VENDOR)
    assert isinstance(later, Call)
    assert later.record.TalkDuration == 12
    assert isinstance(earlier, Skipped)
    assert earlier.reason == "a call with a later version in this input"
    assert isinstance(other, Call)


def test_a_call_twice_is_told_by_the_delivery() -> None:
    assert all(isinstance(each, Call) for each in items([OF_TODAY, dict(OF_TODAY)], VENDOR))


def test_the_start_of_a_call_gives_way_to_its_end() -> None:
    start = {name: OF_TODAY[name] for name in ("id", "sid", "direction", "caller_number", "tracking_number")}
    first, second = items([start, OF_TODAY], VENDOR)
    assert isinstance(first, Skipped)
    assert isinstance(second, Call)
    (alone,) = items([start], VENDOR)
    assert isinstance(alone, Rejected)


@given(st.dictionaries(st.sampled_from([*OF_TODAY, "status", "sale", "location", "agent_id"]), junk(), max_size=8))
def test_no_junk_raises_anything_else(changes: dict[str, Any]) -> None:
    row = {**OF_TODAY, **changes}
    with contextlib.suppress(InvalidCall, CallLeftOut):
        wire(row, VENDOR)
    assert len(items([row, OF_TODAY], VENDOR)) == 2
