"""Twilio's calls: Call resources, webhooks, and legs."""

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
from tests.facts import unfit
from tests.records.vendors.payloads import items, junk, load, wire

PUBLISHED = load("twilio_call")
CALL = {**PUBLISHED, "direction": "inbound", "parent_call_sid": None, "answered_by": None}
WEBHOOK = {  # a status callback of an inbound number
    "CallSid": "CA11111111111111111111111111111111",
    "AccountSid": "ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "ApiVersion": "2010-04-01",
    "From": "+13055550142",
    "Caller": "+13055550142",
    "FromCity": "MIAMI",
    "FromState": "FL",
    "FromZip": "33101",
    "FromCountry": "US",
    "To": "+13035550143",
    "Called": "+13035550143",
    "ToCity": "DENVER",
    "ToState": "CO",
    "ToZip": "80202",
    "ToCountry": "US",
    "CallStatus": "completed",
    "Direction": "inbound",
    "CallerName": "EXAMPLE CALLER",
    "CallDuration": "95",
    "Duration": "2",
    "Timestamp": "Fri, 18 Oct 2019 17:03:35 +0000",
    "CallbackSource": "call-progress-events",
    "SequenceNumber": "0",
    "RecordingUrl": "https://api.twilio.com/2010-04-01/RunLedger/AC1/Recordings/RE1",
    "RecordingSid": "RE1",
    "RecordingDuration": "90",
}
PARENT = {**CALL, "sid": "CAparent", "duration": "100"}
LEG = "a leg that is part of another row's call"


def changed(**changes: Any) -> dict[str, Any]:
    return {**CALL, **changes}


def dialled(sid: str, **changes: Any) -> dict[str, Any]:
    return {**CALL, "sid": sid, "parent_call_sid": "CAparent", "direction": "outbound-dial", **changes}


def joined(*legs: dict[str, Any], parent: dict[str, Any] = PARENT) -> tuple[str, int, int]:
    """Status, call and talk of the one call that a parent and its legs become."""
    found = items([parent, *legs], "twilio")
    assert found[1:] == [Skipped(row, "CAparent", LEG) for row in range(2, len(legs) + 2)]
    assert isinstance(found[0], Call), found[0]
    record = found[0].record
    assert record.CallSessionId == "CAparent"
    return record.CallStatus, record.CallDuration, record.TalkDuration


def test_the_published_call_is_a_leg_without_its_call() -> None:
    with pytest.raises(CallLeftOut) as left_out:
        wire(PUBLISHED, "twilio")
    assert left_out.value.reason == "a leg whose call is not in this input"


def test_the_published_call_parameter_by_parameter_were_it_inbound() -> None:
    call = {**PUBLISHED, "direction": "inbound", "parent_call_sid": None}
    assert wire(call, "twilio") == {
        "CampaignId": "1000",  # the connection's
        "MediaId": "10000",  # the user's: Twilio has none
        "EventDate": "2019-10-18T17:02:00+00:00",  # start_time, RFC 2822
        "ActionTrackerId": "4000",  # the connection's
        "CallProvider": "ExampleVendor",  # the connection's
        "CallSessionId": "CAaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",  # sid
        "CallerId": "3055550142",  # from, not caller_name
        "CalledPhoneNumber": "3055550143",  # to
        "CallDuration": "4",  # duration, text
        "TalkDuration": "0",  # answered_by says that a machine answered
        "CallStatus": "IVR_DROPOFF",  # completed, answered_by machine_start
        "CallerPhoneNumberCountry": "US",  # area code 305
        "CalledPhoneNumberCountry": "US",
    }


def test_a_status_callback_parameter_by_parameter() -> None:
    assert wire(WEBHOOK, "twilio") == {
        "CampaignId": "1000",
        "MediaId": "10000",
        "EventDate": "2019-10-18T17:02:00+00:00",  # Timestamp, when it ended, less CallDuration
        "ActionTrackerId": "4000",
        "CallProvider": "ExampleVendor",
        "CallSessionId": "CA11111111111111111111111111111111",  # CallSid
        "CallerId": "3055550142",  # From
        "CalledPhoneNumber": "3035550143",  # To
        "CallDuration": "95",  # CallDuration, not Duration, which is in minutes
        "TalkDuration": "95",  # completed, and no dialled leg is known
        "CallStatus": "ANSWER",  # completed
        "CallerPhoneNumberCountry": "US",  # FromCountry
        "CalledPhoneNumberCountry": "US",  # ToCountry
        "City": "MIAMI",  # FromCity
        "Region": "FL",  # FromState
        "Zip": "33101",  # FromZip
        "CallRecording": "https://api.twilio.com/2010-04-01/RunLedger/AC1/Recordings/RE1",  # RecordingUrl
    }


@pytest.mark.parametrize(
    ("changes", "status", "durations"),
    [
        ({"status": "completed", "duration": "4"}, "ANSWER", ("4", "4")),
        ({"status": "completed", "duration": 4}, "ANSWER", ("4", "4")),
        ({"status": "completed", "duration": "0"}, "ANSWER", ("0", "0")),
        ({"status": "completed", "answered_by": "human"}, "ANSWER", ("4", "4")),
        ({"status": "completed", "answered_by": "machine_end_beep"}, "IVR_DROPOFF", ("4", "0")),
        ({"status": "busy", "duration": ""}, "CONGESTION", ("0", "0")),
        ({"status": "busy", "duration": None}, "CONGESTION", ("0", "0")),
        ({"status": "busy", "duration": "0"}, "CONGESTION", ("0", "0")),
        ({"status": "no-answer", "duration": ""}, "CANCEL", ("0", "0")),
        ({"status": "no_answer", "duration": ""}, "CANCEL", ("0", "0")),  # as some loaders spell it
        ({"status": "NO_ANSWER", "duration": ""}, "CANCEL", ("0", "0")),
        ({"status": "canceled", "duration": ""}, "CANCEL", ("0", "0")),
        ({"status": "failed", "duration": ""}, "FAILURE", ("0", "0")),
        ({"status": "failed", "answered_by": "machine_start", "duration": ""}, "FAILURE", ("0", "0")),
        ({"DialCallStatus": "completed", "DialCallDuration": "3"}, "ANSWER", ("4", "3")),  # a <Dial> action's
        ({"DialCallStatus": "answered", "DialCallDuration": "3"}, "ANSWER", ("4", "3")),  # into a conference
        ({"DialCallStatus": "no-answer"}, "CANCEL", ("4", "0")),
        ({"DialCallStatus": ""}, "ANSWER", ("4", "4")),
    ],
)
def test_status_and_durations(changes: dict[str, Any], status: str, durations: tuple[str, str]) -> None:
    parameters = wire(changed(**changes), "twilio")
    assert (parameters["CallStatus"], (parameters["CallDuration"], parameters["TalkDuration"])) == (status, durations)


@pytest.mark.parametrize("duration", ["", None])
def test_an_answered_call_without_a_duration_is_rejected(duration: str | None) -> None:
    with pytest.raises(InvalidCall) as invalid:
        wire(changed(duration=duration), "twilio")
    assert [problem.parameter for problem in invalid.value.problems] == ["CallDuration", "TalkDuration"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"direction": "outbound-api"}, "an outbound call"),
        ({"direction": "outbound-dial"}, "an outbound call"),
        ({"direction": "trunking-terminating"}, "an outbound call"),
        ({"status": "queued"}, "a call that has not ended"),
        ({"status": "ringing"}, "a call that has not ended"),
        ({"status": "in-progress"}, "a call that has not ended"),
        ({"status": "in_progress"}, "a call that has not ended"),
        ({"from": "+266696687"}, "an anonymous caller"),  # ANONYMOUS on a keypad
        ({"from": "Anonymous"}, "an anonymous caller"),
        ({"from": "sip:anonymous@anonymous.invalid"}, "an anonymous caller"),
        ({"from": "+7378742833"}, "an anonymous caller"),  # RESTRICTED
    ],
)
def test_left_out(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(CallLeftOut) as left_out:
        wire(changed(**changes), "twilio")
    assert left_out.value.reason == reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"CallStatus": "ringing"}, "a call that has not ended"),
        ({"CallStatus": "in-progress", "DialCallStatus": "completed"}, "a call that has not ended"),  # <Dial>'s action
        ({"Direction": "outbound-api"}, "an outbound call"),
        ({"ParentCallSid": "CA2"}, "a leg whose call is not in this input"),
        ({"From": "+86282452253"}, "an anonymous caller"),
    ],
)
def test_a_webhook_left_out(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(CallLeftOut) as left_out:
        wire({**WEBHOOK, **changes}, "twilio")
    assert left_out.value.reason == reason


def test_unset_text_is_no_parent() -> None:
    assert wire(changed(parent_call_sid="", answered_by=""), "twilio")["TalkDuration"] == "4"


def test_a_caller_from_abroad_and_one_behind_a_sip_address() -> None:
    assert wire(changed(**{"from": "+442079460958"}), "twilio")["CallerPhoneNumberCountry"] == "GB"
    assert wire(changed(**{"from": "sip:+13055550142@example.com"}), "twilio")["CallerId"] == "3055550142"


def test_a_caller_without_a_number_is_rejected() -> None:
    with pytest.raises(InvalidCall, match=r"^CallerId\b"):
        wire(changed(**{"from": "client:alice"}), "twilio")


def test_a_call_that_was_never_dialled_has_the_time_of_its_creation() -> None:
    call = changed(status="canceled", start_time=None, duration="")
    assert wire(call, "twilio")["EventDate"] == "2019-10-18T17:00:00+00:00"


def test_an_unanswered_webhook_has_the_time_of_its_end() -> None:
    call = {**WEBHOOK, "CallStatus": "no-answer", "CallDuration": ""}
    assert wire(call, "twilio")["EventDate"] == "2019-10-18T17:03:35+00:00"


def test_an_unknown_status_is_rejected_by_name_and_can_be_given() -> None:
    with pytest.raises(InvalidCall, match=r"^CallStatus\b.*'parked'"):
        wire(changed(status="parked"), "twilio")
    parameters = wire(changed(status="parked"), "twilio", mapping={"CallStatus": {"values": {"parked": "INCOMPLETE"}}})
    assert (parameters["CallStatus"], parameters["TalkDuration"]) == ("INCOMPLETE", "0")


def test_a_status_can_be_overridden() -> None:
    parameters = wire(
        changed(status="busy", duration=""), "twilio", mapping={"CallStatus": {"values": {"busy": "CANCEL"}}}
    )
    assert parameters["CallStatus"] == "CANCEL"


@pytest.mark.parametrize("row", [{"call": CALL}, {"loaded": 1, "payload": json.dumps(CALL)}, {**CALL, "loaded": 1}])
def test_wrapped(row: dict[str, Any]) -> None:
    assert wire(row, "twilio") == wire(CALL, "twilio")


@pytest.mark.parametrize(
    ("legs", "status", "talk"),
    [
        ([{"duration": "80"}], "ANSWER", 80),
        ([{"status": "no-answer", "duration": ""}], "CANCEL", 0),
        ([{"status": "busy", "duration": ""}], "CONGESTION", 0),
        ([{"status": "failed", "duration": ""}], "FAILURE", 0),
        ([{"answered_by": "machine_start", "duration": "30"}], "IVR_DROPOFF", 0),
        # One after another: the second agent answers.
        ([{"status": "no-answer", "duration": ""}, {"duration": "60"}], "ANSWER", 60),
        # Transferred: both talked.
        ([{"duration": "30"}, {"duration": "40"}], "ANSWER", 70),
        # Three of them at once in a conference are not more talk than there was call.
        ([{"duration": "90"}, {"duration": "90"}, {"duration": "90"}], "ANSWER", 100),
        ([{"duration": "101"}], "ANSWER", 100),
        # None answered: the one that came furthest.
        ([{"status": "failed", "duration": ""}, {"status": "busy", "duration": ""}], "CONGESTION", 0),
        ([{"status": "canceled", "duration": ""}, {"answered_by": "fax", "duration": "9"}], "IVR_DROPOFF", 0),
    ],
)
def test_the_legs_of_a_call(legs: list[dict[str, Any]], status: str, talk: int) -> None:
    rows = [dialled(f"CAleg{place}", **changes) for place, changes in enumerate(legs)]
    for order in permutations(rows):  # Twilio lists the newest first
        assert joined(*order) == (status, 100, talk)


def test_legs_before_their_call() -> None:
    found = items([dialled("CAleg", duration="80"), CALL, PARENT], "twilio")
    assert found[0] == Skipped(1, "CAparent", LEG)
    by_row = {item.row: item for item in found}
    assert by_row[3].record.TalkDuration == 80
    assert by_row[2].record.TalkDuration == 4


def test_legs_without_their_call_are_left_out_with_a_reason() -> None:
    found = items([dialled("CAleg1"), dialled("CAleg2")], "twilio")
    assert [item.reason for item in found] == ["a leg whose call is not in this input"] * 2


def test_the_legs_of_an_outbound_call() -> None:
    found = items([{**PARENT, "direction": "outbound-api"}, dialled("CAleg")], "twilio")
    assert [item.reason for item in found] == ["an outbound call", LEG]


def test_a_call_of_which_a_leg_has_not_ended_is_left_out() -> None:
    for status in ("in-progress", "ringing", "queued"):
        found = items(
            [PARENT, dialled("CAleg1", duration="5"), dialled("CAleg2", status=status, duration="")], "twilio"
        )
        assert [item.reason for item in found] == ["a call of which a leg has not ended", LEG, LEG]


def test_a_leg_that_cannot_be_read_rejects_the_call() -> None:
    for changes, problem in [
        ({"status": ""}, ("CallStatus", "'no status'")),
        ({"duration": ""}, ("TalkDuration",)),
        ({"duration": "long"}, ("TalkDuration",)),
    ]:
        found = items([PARENT, dialled("CAleg1", duration="5"), dialled("CAleg2", **changes)], "twilio")
        assert isinstance(found[0], Rejected), changes
        assert unfit(((each.parameter, each.message) for each in found[0].problems), "'no status'") == [problem]
        assert [item.reason for item in found[1:]] == [LEG, LEG]


def test_webhooks_of_a_call_and_of_its_leg() -> None:
    leg = {
        **WEBHOOK,
        "CallSid": "CA2",
        "ParentCallSid": WEBHOOK["CallSid"],
        "Direction": "outbound-dial",
        "CallDuration": "70",
    }
    found = items([leg, WEBHOOK], "twilio")
    assert [item.row for item in found] == [1, 2]
    assert found[0].reason == LEG
    assert (found[1].record.CallDuration, found[1].record.TalkDuration) == (95, 70)


def test_of_the_versions_of_a_call_the_last_one_counts() -> None:
    ringing = changed(status="ringing", duration="", date_updated="Fri, 18 Oct 2019 17:00:30 +0000")
    corrected = changed(duration="7", date_updated="Sat, 19 Oct 2019 07:00:00 +0000")
    for rows in permutations([ringing, CALL, corrected]):
        found = {item.row: item for item in items(rows, "twilio")}
        last = found.pop(rows.index(corrected) + 1)
        assert last.record.CallDuration == 7
        assert {item.reason for item in found.values()} == {
            "a call with a later version in this input",
            "a version of a call before it ended",
        }


def test_a_version_before_the_end_never_takes_the_place_of_the_call() -> None:
    leg = dialled("CAleg", duration="30")
    late = "Sat, 19 Oct 2019 07:00:00 +0000"
    running = {**PARENT, "status": "in-progress", "duration": None, "date_updated": late}
    ringing = {**leg, "status": "ringing", "duration": None, "date_updated": late}
    for rows in permutations([PARENT, leg, running, ringing]):
        (call,) = [item for item in items(rows, "twilio") if isinstance(item, Call)]
        assert (call.record.CallStatus, call.record.TalkDuration) == ("ANSWER", 30)


def test_an_unknown_direction_is_named() -> None:
    with pytest.raises(InvalidCall, match=r"^row\b.*\bdirection\b.*\b8\b"):
        wire(changed(direction="sideways"), "twilio")
    assert wire(changed(direction="trunking-originating"), "twilio")["CallStatus"] == "ANSWER"


def test_a_leg_given_twice_counts_once() -> None:
    leg = dialled("CAleg", duration="30")
    assert joined(leg, dict(leg)) == ("ANSWER", 100, 30)


def test_the_same_call_twice_is_left_to_the_count_of_duplicates() -> None:
    assert [type(item) for item in items([CALL, dict(CALL)], "twilio")] == [Call, Call]


def test_callbacks_of_one_call_become_the_last() -> None:
    ringing = {**WEBHOOK, "CallStatus": "ringing", "CallDuration": "", "Timestamp": "Fri, 18 Oct 2019 17:01:58 +0000"}
    found = items([WEBHOOK, ringing], "twilio")
    assert [type(item) for item in found] == [Call, Skipped]


FIELDS = sorted({*CALL, *WEBHOOK, "DialCallStatus", "DialCallDuration"})


@given(st.sampled_from([CALL, WEBHOOK]), st.dictionaries(st.sampled_from(FIELDS), junk()))
def test_junk_is_a_call_or_has_a_reason(call: dict[str, Any], changes: dict[str, Any]) -> None:
    with contextlib.suppress(InvalidCall, CallLeftOut):
        parameters = wire({**call, **changes}, "twilio")
        assert parameters["CallStatus"] in ("ANSWER", "CONGESTION", "CANCEL", "FAILURE", "IVR_DROPOFF")
        assert int(parameters["TalkDuration"]) <= int(parameters["CallDuration"])


@given(st.lists(st.tuples(st.booleans(), st.dictionaries(st.sampled_from(FIELDS), junk(), max_size=3)), max_size=5))
def test_each_of_any_rows_has_one_outcome(rows: list[tuple[bool, dict[str, Any]]]) -> None:
    found = items([{**(dialled("CAleg") if leg else PARENT), **changes} for leg, changes in rows], "twilio")
    assert sorted(item.row for item in found) == list(range(1, len(rows) + 1))
