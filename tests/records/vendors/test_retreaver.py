"""Retreaver's calls, as versions 1 to 4 of its API give them."""

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
from tests.records.vendors.payloads import as_csv, items, junk, load, problems, wire

VENDOR = "retreaver"
PUBLISHED = load("retreaver_call")
CALL = {**PUBLISHED, "afid": "20001"}
# What the published call that was not connected has otherwise.
NOT_CONNECTED = {
    "dialed_call_duration": 0,
    "total_duration": 31,
    "ivr_duration": 14,
    "hold_duration": 17,
    "forwarded_time": None,
    "connected": False,
    "target_repeat": None,
    "revenue": None,
}


def changed(**changes: Any) -> dict[str, Any]:
    return {**CALL, **changes}


def test_the_published_call_parameter_by_parameter() -> None:
    assert wire(CALL, VENDOR) == {
        "CampaignId": "1000",  # the connection's, not cid "1", which is a Retreaver campaign's
        "MediaId": "20001",  # afid
        "EventDate": "2024-11-04T16:52:18+00:00",  # start_time, without the milliseconds
        "ActionTrackerId": "4000",  # the connection's
        "CallProvider": "ExampleVendor",  # the connection's
        "CallSessionId": "f1abfb78-ab8a-4146-9946-8169fbcc6d6c",  # uuid
        "CallerId": "3015550155",  # caller, as ten digits
        "CalledPhoneNumber": "8885550149",  # number, not dialed_number, where the call went
        "CallDuration": "14",  # total_duration
        "TalkDuration": "2",  # dialed_call_duration; the rest is IVR and hold
        "CallStatus": "ANSWER",  # finished, and connected
        "CallerPhoneNumberCountry": "US",  # area code 301
        "CalledPhoneNumberCountry": "US",  # toll-free, +1
        "City": "Rockingham",  # caller_city
        "Region": "NC",  # caller_state
        "Zip": "28379",  # caller_zip
        "RepeatCaller": "repeat",  # repeat is true
        "CallRecording": "https://example.com",  # recording_url
        "IvrDuration": "7",  # ivr_duration
        "Keypresses": "1",  # keys_pressed
        "Key1": "1",  # the first of them
    }


def test_without_afid_the_partner_is_not_known() -> None:
    assert unfit(problems(PUBLISHED, VENDOR)) == [("MediaId",)]
    assert unfit(problems(changed(afid="acme"), VENDOR), 4, "acme") == [("MediaId", 4)]


def test_the_partner_of_a_number() -> None:
    mapping = {"MediaId": {"from": "number", "lookup": {"(888) 555-0149": 20002}}}
    assert wire(PUBLISHED, VENDOR, mapping=mapping)["MediaId"] == "20002"


def test_the_campaign_of_those_whose_cid_is_impact_coms() -> None:
    assert wire(changed(cid="1234"), VENDOR, mapping={"CampaignId": "cid"})["CampaignId"] == "1234"


def test_the_other_columns() -> None:
    parameters = wire(
        changed(
            sid="banner-7",
            visitor_url="https://example.com/?irclickid=QiiW:XoVn",
            keys_pressed=["1", "2", "1", "9"],
            repeat=False,
        ),
        VENDOR,
    )
    assert parameters["SubId1"] == "banner-7"
    assert parameters["ClickId"] == "QiiW:XoVn"
    assert parameters["Keypresses"] == "1,2,9"
    assert [parameters[f"Key{place}"] for place in (1, 2, 3, 4)] == ["1", "2", "1", "9"]
    assert parameters["RepeatCaller"] == "new"


def test_a_click_id_that_came_as_a_tag() -> None:
    assert wire(changed(tags={"irclickid": "Abc"}), VENDOR)["ClickId"] == "Abc"


@pytest.mark.parametrize(
    ("changes", "status", "talk"),
    [
        (NOT_CONNECTED, "CANCEL", "0"),  # published: the caller held, and nobody took the call
        ({**NOT_CONNECTED, "hold_duration": 0}, "IVR_DROPOFF", "0"),  # never left the IVR
        ({**NOT_CONNECTED, "hold_duration": None}, "CANCEL", "0"),  # not known whether it did
        ({**NOT_CONNECTED, "ivr_duration": 0, "hold_duration": 0}, "CANCEL", "0"),  # no IVR
        ({**NOT_CONNECTED, "dialed_call_duration": 9}, "CANCEL", "0"),  # ringing is no talk
        ({**NOT_CONNECTED, "dialed_call_duration": ""}, "CANCEL", "0"),
        ({"connected": "true", "dialed_call_duration": "2"}, "ANSWER", "2"),  # as in a CSV file
        ({"connected": "t"}, "ANSWER", "2"),
        ({"connected": "f"}, "CANCEL", "0"),
        ({"connected": None}, "ANSWER", "2"),  # version 1 has it not
        ({"connected": "", "dialed_call_duration": 0}, "CANCEL", "0"),
        ({"status": "Finished"}, "ANSWER", "2"),
    ],
)
def test_how_a_call_ended(changes: dict[str, Any], status: str, talk: str) -> None:
    parameters = wire(changed(**changes), VENDOR)
    assert (parameters["CallStatus"], parameters["TalkDuration"]) == (status, talk)


def test_an_unanswered_call_without_durations_has_none() -> None:
    parameters = wire(changed(**NOT_CONNECTED | {"total_duration": None}), VENDOR)
    assert (parameters["CallDuration"], parameters["TalkDuration"]) == ("0", "0")


def test_an_answered_call_without_a_duration_is_rejected() -> None:
    assert unfit(problems(changed(total_duration=""), VENDOR)) == [("CallDuration",)]
    assert unfit(problems(changed(dialed_call_duration=""), VENDOR)) == [("TalkDuration",)]


def test_a_call_that_says_nothing_of_its_end_is_rejected() -> None:
    silent = problems(changed(connected=None, dialed_call_duration=None), VENDOR)
    assert ("CallStatus", "dialed_call_duration") in unfit(silent, "dialed_call_duration")
    doubtful = problems(changed(connected="maybe"), VENDOR)
    assert ("CallStatus", "'connected'", 5) in unfit(doubtful, "'connected'", 5, "maybe")


def test_an_unknown_status_is_rejected_and_named() -> None:
    assert unfit(problems(changed(status="failed"), VENDOR), "'failed'") == [("CallStatus", "'failed'")]


def test_a_status_can_be_added_and_overridden() -> None:
    mapping = {"CallStatus": {"values": {"failed": "FAILURE", "finished: not connected": "NO_TRANSFER_ATTEMPT"}}}
    assert wire(changed(status="failed"), VENDOR, mapping=mapping)["CallStatus"] == "FAILURE"
    assert wire(changed(connected=False), VENDOR, mapping=mapping)["CallStatus"] == "NO_TRANSFER_ATTEMPT"
    assert wire(CALL, VENDOR, mapping=mapping)["CallStatus"] == "ANSWER"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"via": "outbound-dial"}, "an outbound call"),
        ({"status": "in_progress"}, "a call that has not ended"),
        ({"status": "in_progress", "end_time": None}, "a call that has not ended"),
        ({"status": "ringing", "end_time": None}, "a call that has not ended"),
        ({"status": "ringing", "end_time": ""}, "a call that has not ended"),
        ({"caller": "anonymous"}, "an anonymous caller"),
        ({"caller": "+266696687"}, "an anonymous caller"),
    ],
)
def test_what_is_left_out(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(CallLeftOut) as left_out:
        wire(changed(**changes), VENDOR)
    assert left_out.value.reason == expected


@pytest.mark.parametrize("flags", [{"duplicate": True}, {"payable": False}, {"converted": False}])
def test_what_is_paid_is_for_impact_com_to_say(flags: dict[str, Any]) -> None:
    assert wire(changed(**flags), VENDOR) == wire(CALL, VENDOR)


def test_a_call_from_britain() -> None:
    parameters = wire(changed(caller="+442079460199", caller_country="GB", caller_zip=None), VENDOR)
    assert (parameters["CallerId"], parameters["CallerPhoneNumberCountry"]) == ("+442079460199", "GB")
    assert "Zip" not in parameters
    elsewhere = changed(caller="+442079460199", caller_country="US")
    assert wire(elsewhere, VENDOR)["CallerPhoneNumberCountry"] == "GB"  # the number's own goes before


def test_version_1_lacks_the_number_that_was_called() -> None:
    of_version_1 = {name: value for name, value in CALL.items() if name not in ("number", "connected", "via")}
    assert unfit(problems(of_version_1, VENDOR, prefiltered=["direction"])) == [("CalledPhoneNumber",)]
    mapping = {"CalledPhoneNumber": {"constant": "8885550149"}}
    assert wire({"call": of_version_1}, VENDOR, mapping=mapping, prefiltered=["direction"]) == wire(CALL, VENDOR)


@pytest.mark.parametrize("as_json", [False, True])
def test_version_3_has_an_object_for_the_number(as_json: bool) -> None:
    number: Any = {"number": "+18885550149", "name": "Radio spot"}
    row = changed(number=json.dumps(number) if as_json else number, campaign={"id": "12345", "name": "Woof"})
    assert wire(row, VENDOR) == {**wire(CALL, VENDOR), "PromoNumberDescription": "Radio spot"}


@pytest.mark.parametrize("row", [{"call": CALL}, {"id": 7, "payload": json.dumps(CALL)}])
def test_wherever_the_call_lies(row: dict[str, Any]) -> None:
    assert wire(row, VENDOR) == wire(CALL, VENDOR)


def test_as_csv_text() -> None:
    assert wire(as_csv(CALL), VENDOR) == wire(CALL, VENDOR)


def test_the_last_version_of_a_call_counts() -> None:
    in_progress = changed(status="in_progress", end_time=None, updated_at="2024-11-04T16:52:20.000Z")
    first, second, third = items([CALL, in_progress, changed(uuid="another")], VENDOR)
    assert isinstance(first, Call)  # updated at 16:53
    assert isinstance(second, Skipped)
    assert second.reason == "a call that has not ended"
    assert isinstance(third, Call)


@given(st.dictionaries(st.sampled_from(list(CALL)), junk(), max_size=8))
def test_no_junk_raises_anything_else(changes: dict[str, Any]) -> None:
    row = {**CALL, **changes}
    with contextlib.suppress(InvalidCall, CallLeftOut):
        wire(row, VENDOR)
    assert len(items([row, CALL], VENDOR)) == 2
