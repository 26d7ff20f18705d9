"""Ringba's calls, as its call log API gives them."""

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

VENDOR = "ringba"
CALL = load("ringba_call")


def changed(**changes: Any) -> dict[str, Any]:
    return {**CALL, **changes}


def test_the_published_call_parameter_by_parameter() -> None:
    assert wire(CALL, VENDOR) == {
        "CampaignId": "1000",  # the connection's, not campaignId, which is Ringba's
        "MediaId": "10000",  # the user's: Ringba has none
        "EventDate": "2025-07-07T16:44:44+00:00",  # callDt, in milliseconds
        "ActionTrackerId": "4000",  # the connection's
        "CallProvider": "ExampleVendor",  # the connection's
        "CallSessionId": "RGB9390050D33CD09C54EDB1C54235DC1CDF96BA8E0V3FKQ01",  # inboundCallId
        "CallerId": "5735550137",  # inboundPhoneNumber, as ten digits
        "CalledPhoneNumber": "3215550117",  # number
        "CallDuration": "23",  # callLengthInSeconds
        "TalkDuration": "5",  # connectedCallLengthInSeconds; timeToConnectInSeconds 18 is not talk
        "CallStatus": "ANSWER",  # hasConnected
        "CallerPhoneNumberCountry": "US",  # area code 573
        "CalledPhoneNumberCountry": "US",  # area code 321
        "RepeatCaller": "new",  # neither isDuplicate nor hasPreviouslyConnected
        "CallRecording": "https://media.ringba.com/recording-public?v=v1&k=REDACTED%2fSIGNED%2fTOKEN%2b%3d",
    }


def test_the_tags() -> None:
    tags = {
        "tag:User:irclickid": "QiiW:XoVn",
        "tag:InboundNumber:State": "Missouri",
        "tag:Geo:City": "Rolla",
        "tag:Geo:ZipCode": "02139",
        "tag:Technology:UserAgentString": "Mozilla/5.0",
    }
    assert wire(changed(**tags), VENDOR) == {
        **wire(CALL, VENDOR),
        "ClickId": "QiiW:XoVn",
        "City": "Rolla",
        "Region": "Missouri",
        "Zip": "02139",
        "UserAgent": "Mozilla/5.0",
    }


def test_the_callers_address_goes_before_the_visitors_place() -> None:
    tags = {"tag:Address:City": "Rolla", "tag:Geo:City": "Ashburn", "tag:Address:Zip 5": "65401", "tag:Geo:ZipCode": ""}
    parameters = wire(changed(**tags), VENDOR)
    assert (parameters["City"], parameters["Zip"]) == ("Rolla", "65401")


def test_a_word_for_no_value_is_none() -> None:
    row = changed(recordingUrl="-no value-", **{"tag:User:irclickid": "-no value-", "tag:Address:City": "-no value-"})
    assert not {"CallRecording", "ClickId", "City"} & set(wire(row, VENDOR))
    assert unfit(problems(changed(number="-no value-"), VENDOR)) == [("CalledPhoneNumber",)]


@pytest.mark.parametrize(
    ("changes", "status", "talk"),
    [
        ({"hasConnected": False, "connectedCallLengthInSeconds": 0}, "CANCEL", "0"),
        ({"hasConnected": False}, "CANCEL", "0"),  # contradictory: no talk is claimed
        ({"hasConnected": "false", "connectedCallLengthInSeconds": ""}, "CANCEL", "0"),  # as in a CSV file
        ({"hasConnected": "True", "connectedCallLengthInSeconds": "5"}, "ANSWER", "5"),
        ({"hasConnected": "t"}, "ANSWER", "5"),
        ({"hasConnected": None}, "ANSWER", "5"),  # the column was not asked for
        ({"hasConnected": "", "connectedCallLengthInSeconds": 0}, "CANCEL", "0"),
        ({"hasConnected": True, "hasVoiceMail": True}, "IVR_DROPOFF", "0"),
        ({"hasConnected": False, "hasVoiceMail": "yes"}, "IVR_DROPOFF", "0"),
        ({"hasVoiceMail": "-no value-"}, "ANSWER", "5"),
        ({"callLengthInSeconds": "00:01:05", "connectedCallLengthInSeconds": "00:00:47"}, "ANSWER", "47"),
    ],
)
def test_how_a_call_ended(changes: dict[str, Any], status: str, talk: str) -> None:
    parameters = wire(changed(**changes), VENDOR)
    assert (parameters["CallStatus"], parameters["TalkDuration"]) == (status, talk)


def test_an_answered_call_without_its_length_is_rejected() -> None:
    assert unfit(problems(changed(connectedCallLengthInSeconds=""), VENDOR)) == [("TalkDuration",)]


def test_a_call_that_says_nothing_of_its_end_is_rejected() -> None:
    silent = problems(changed(hasConnected=None, connectedCallLengthInSeconds=None), VENDOR)
    assert ("CallStatus", "hasConnected") in unfit(silent, "hasConnected")
    doubtful = problems(changed(hasConnected="maybe"), VENDOR)
    assert ("CallStatus", "'hasConnected'", 5) in unfit(doubtful, "'hasConnected'", 5, "maybe")


def test_whether_a_call_has_ended_is_not_guessed() -> None:
    assert unfit(problems(changed(isLive="maybe"), VENDOR), "'isLive'", 5) == [("row", "'isLive'", 5)]


def test_a_status_can_be_overridden_and_an_own_one_added() -> None:
    overridden = {"CallStatus": {"values": {"not connected": "NO_TRANSFER_ATTEMPT"}}}
    assert wire(changed(hasConnected=False), VENDOR, mapping=overridden)["CallStatus"] == "NO_TRANSFER_ATTEMPT"
    assert wire(CALL, VENDOR, mapping=overridden)["CallStatus"] == "ANSWER"
    own = {"CallStatus": {"from": "disposition", "values": {"Sold": "ANSWER"}}}
    assert unfit(problems(changed(disposition="Lost"), VENDOR, mapping=own), "'Lost'") == [("CallStatus", "'Lost'")]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"isLive": True}, "a call that has not ended"),
        ({"isLive": "true", "hasConnected": False}, "a call that has not ended"),
        ({"wasBlocked": True}, "a call that Ringba blocked"),
        ({"wasBlocked": 1}, "a call that Ringba blocked"),
        ({"inboundPhoneNumber": "anonymous"}, "an anonymous caller"),
        ({"inboundPhoneNumber": "+266696687"}, "an anonymous caller"),
    ],
)
def test_what_is_left_out(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(CallLeftOut) as left_out:
        wire(changed(**changes), VENDOR)
    assert left_out.value.reason == expected


@pytest.mark.parametrize(
    ("flags", "caller"),
    [
        ({"isDuplicate": True}, "repeat"),
        ({"hasPreviouslyConnected": "true"}, "repeat"),
        ({"isDuplicate": None}, "new"),
        ({"isDuplicate": "", "hasPreviouslyConnected": "-no value-"}, None),
    ],
)
def test_a_caller_who_called_before(flags: dict[str, Any], caller: str | None) -> None:
    assert wire(changed(**flags), VENDOR).get("RepeatCaller") == caller


def test_a_call_from_britain() -> None:
    parameters = wire(changed(inboundPhoneNumber="+442079460199"), VENDOR)
    assert (parameters["CallerId"], parameters["CallerPhoneNumberCountry"]) == ("+442079460199", "GB")


def test_the_older_names() -> None:
    older = {name: CALL[name] for name in ("inboundCallId", "inboundPhoneNumber", "number", "callLengthInSeconds")}
    row = {**older, "isLive": False, "dtStamp": 1751906684561, "callConnectionLength": 5}
    assert wire(row, VENDOR).items() <= wire(CALL, VENDOR).items()


def test_a_time_that_was_formatted_is_rejected() -> None:
    """Its zone is not known; an offset or the option timezone would tell it."""
    assert [name for name, _ in problems(changed(callDt="2025-07-07 12:44:44"), VENDOR)] == ["EventDate"]
    row = changed(callDt="2025-07-07 12:44:44")
    assert wire(row, VENDOR, timezone="America/New_York")["EventDate"] == "2025-07-07T12:44:44-04:00"


@pytest.mark.parametrize("row", [{"call": CALL}, {"id": 7, "payload": json.dumps(CALL)}])
def test_wherever_the_call_lies(row: dict[str, Any]) -> None:
    assert wire(row, VENDOR) == wire(CALL, VENDOR)


def test_as_csv_text() -> None:
    assert wire(as_csv(CALL), VENDOR) == wire(CALL, VENDOR)


def test_the_last_version_of_a_call_counts() -> None:
    live = changed(isLive=True, hasConnected=False, connectedCallLengthInSeconds=0)
    first, second, third = items([live, CALL, changed(inboundCallId="RGB2")], VENDOR)
    assert isinstance(first, Skipped)
    assert first.reason == "a call that has not ended"
    assert isinstance(second, Call)
    assert second.record.TalkDuration == 5
    assert isinstance(third, Call)


@given(st.dictionaries(st.sampled_from([*CALL, "hasVoiceMail", "wasBlocked"]), junk(), max_size=8))
def test_no_junk_raises_anything_else(changes: dict[str, Any]) -> None:
    row = {**CALL, **changes}
    with contextlib.suppress(InvalidCall, CallLeftOut):
        wire(row, VENDOR)
    assert len(items([row, CALL], VENDOR)) == 2
