"""Twilio: Call resources from its REST API, and its call webhooks; the legs of a call are joined."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from airflow_provider_impactcall.records import normalize
from airflow_provider_impactcall.records.sources import Row, Source, reader_of
from airflow_provider_impactcall.records.vendors.preset import Filter, VendorPreset, anonymous, latest, reads, word

_CALLER: Source = {"first_of": ["from", "From", "Caller"]}
_OWN_STATUS: Source = {"first_of": ["status", "CallStatus"]}
_PARENT: Source = {"first_of": ["parent_call_sid", "ParentCallSid"]}
_SID: Source = {"first_of": ["sid", "CallSid"]}
_ANSWERED_BY: Source = {"first_of": ["answered_by", "AnsweredBy"]}
_UPDATED: Source = {"first_of": ["date_updated", "Timestamp"]}


@reads("Duration", "sid", "CallSid")
def seconds_of_the_api(row: Row) -> Any:
    """``Duration`` of a Call resource, for a loader that writes the API's ``duration`` so. The ``Duration`` of a
    webhook, which has ``CallSid``, is in minutes and is not read.
    """
    return row.get("Duration") if _is_there(row, "sid") and not _is_there(row, "CallSid") else None


def _is_there(row: Row, column: str) -> bool:
    return not normalize.is_absent(row.get(column))


# In upper case, a webhook's Duration has the same name as the API's duration. CallDuration goes first, as a webhook
# always has both.
_DURATION: Source = {"first_of": ["CallDuration", "duration", seconds_of_the_api]}

_own_status = reader_of(_OWN_STATUS)
_parent = reader_of(_PARENT)
_sid = reader_of(_SID)
_answered_by = reader_of(_ANSWERED_BY)
_duration = reader_of(_DURATION)
_last = latest(_UPDATED)

_ANSWERED = ("completed", "answered")
_MACHINES = ("machine start", "machine end beep", "machine end silence", "machine end other", "machine", "fax")
_NOT_ENDED = ("queued", "initiated", "ringing", "in progress")
_NOT_ANSWERED = ("busy", "no answer", "canceled", "failed")


@reads("Timestamp", _DURATION, _OWN_STATUS)
def start(row: Row) -> str | None:
    """``Timestamp`` minus ``CallDuration``, as the ``Timestamp`` of a status callback is the call's end."""
    ended = row.get("Timestamp")
    if normalize.is_absent(ended):
        return None
    lasted = timedelta(seconds=normalize.seconds(call_duration(row) or 0))
    return (datetime.fromisoformat(normalize.event_date(ended)) - lasted).isoformat()


@reads(_DURATION, _OWN_STATUS)
def call_duration(row: Row) -> Any:
    """``CallDuration`` or ``duration``; 0 if a call that was not answered has neither."""
    lasted = _duration.read(row)
    return 0 if normalize.is_absent(lasted) and word(_own_status.read(row)) in _NOT_ANSWERED else lasted


@reads(_DURATION, _OWN_STATUS, _ANSWERED_BY, "DialCallStatus", "DialCallDuration")
def talk_duration(row: Row) -> Any:
    """The duration of the answered dialled legs. Without a dialled leg: the call's duration if the call was answered,
    else 0.
    """
    if word(status(row)) not in _ANSWERED:
        return 0
    return call_duration(row) if normalize.is_absent(row.get("DialCallStatus")) else row.get("DialCallDuration")


@reads("DialCallStatus", _OWN_STATUS, _ANSWERED_BY)
def status(row: Row) -> Any:
    """The status of the dialled legs, else of the call; ``answered_by`` instead if a machine answered."""
    dialled = row.get("DialCallStatus")
    outcome = _own_status.read(row) if normalize.is_absent(dialled) else dialled
    machine = _answered_by.read(row)
    return machine if word(outcome) in _ANSWERED and word(machine) in _MACHINES else outcome


@reads(_PARENT)
def is_leg(row: Row) -> bool:
    """Whether another call dialled this one (it has a parent call)."""
    return not normalize.is_absent(_parent.read(row))


@reads(_SID, _PARENT, _UPDATED, status, call_duration)
def legs(rows: Sequence[Row]) -> Sequence[Row | str]:
    """The last version of each call and each leg counts. Dialled legs are left out.

    Their call reports them as the action of ``<Dial>`` does: in ``DialCallStatus`` and ``DialCallDuration``.
    """
    results = _last_versions(rows)
    dialled = {str(_sid.read(row)): row for row in results if not isinstance(row, str) and is_leg(row)}
    if not dialled or all(isinstance(row, str) or is_leg(row) for row in results):
        return results
    return [
        row
        if isinstance(row, str)
        else "a leg that is part of another row's call"
        if is_leg(row)
        else {**row, **_outcome(row, dialled.values())}
        for row in results
    ]


def _outcome(call: Row, dialled: Iterable[Row]) -> Mapping[str, Any]:
    by_outcome: Mapping[str, list[Row]] = defaultdict(list)
    for leg in dialled:
        by_outcome[word(status(leg)) or "no status"].append(leg)
    known = (*_ANSWERED, *_MACHINES, *_NOT_ANSWERED)
    # An unknown word goes first: it rejects the call, and the message names the word.
    unknown = [outcome for outcome in by_outcome if outcome not in known]
    outcome = next(outcome for outcome in (*unknown, *known) if outcome in by_outcome)
    try:
        talked = sum(normalize.seconds(_duration.read(leg)) for answered in _ANSWERED for leg in by_outcome[answered])
        talk = min(talked, normalize.seconds(call_duration(call)))
    except normalize.UnfitValue:
        return {"DialCallStatus": outcome, "DialCallDuration": None}
    return {"DialCallStatus": outcome, "DialCallDuration": talk}


def _last_versions(rows: Sequence[Row]) -> list[Row | str]:
    results: list[Row | str] = list(rows)
    places_by_sid: Mapping[str, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        places_by_sid[str(_sid.read(row))].append(place)
    for places in places_by_sid.values():
        ended = [place for place in places if word(_own_status.read(rows[place])) not in _NOT_ENDED] or places
        for place in places:
            results[place] = "a version of a call before it ended"
        for place, version in zip(ended, _last([rows[place] for place in ended]), strict=True):
            results[place] = version
    return results


PRESET = VendorPreset(
    name="twilio",
    title="Twilio",
    facts=(
        "Twilio, Call resource, https://www.twilio.com/docs/voice/api/call-resource: the properties, the statuses, the "
        "directions, and that duration is empty for busy, failed, unanswered and ongoing calls",
        "Twilio, OpenAPI, https://github.com/twilio/twilio-oai/blob/main/spec/json/twilio_api_v2010.json: a whole Call "
        "resource",
        "Twilio, TwiML for Programmable Voice, https://www.twilio.com/docs/voice/twiml: the parameters of a webhook "
        "(CallSid, From, FromCity and so on)",
        "Twilio, TwiML <Dial>, https://www.twilio.com/docs/voice/twiml/dial: DialCallStatus and DialCallDuration",
        "Twilio, Voice webhooks, https://www.twilio.com/docs/usage/webhooks/voice-webhooks: the status callback "
        "(CallDuration, RecordingUrl, Timestamp)",
        "Twilio, Answering Machine Detection, https://www.twilio.com/docs/voice/answering-machine-detection: the words "
        "of AnsweredBy",
    ),
    mapping={
        "EventDate": {"first_of": ["start_time", start, "date_created"]},
        "CallSessionId": _SID,
        "CallerId": _CALLER,
        "CalledPhoneNumber": {"first_of": ["to", "To", "Called"]},
        "CallDuration": call_duration,
        "TalkDuration": talk_duration,
        "CallStatus": {
            "from": status,
            "values": {
                "completed": "ANSWER",
                "answered": "ANSWER",
                "busy": "CONGESTION",
                "no-answer": "CANCEL",
                "canceled": "CANCEL",
                "failed": "FAILURE",
                "machine_start": "IVR_DROPOFF",
                "machine_end_beep": "IVR_DROPOFF",
                "machine_end_silence": "IVR_DROPOFF",
                "machine_end_other": "IVR_DROPOFF",
                "machine": "IVR_DROPOFF",
                "fax": "IVR_DROPOFF",
            },
        },
        "CallerPhoneNumberCountry": {"first_of": ["FromCountry", "CallerCountry"]},
        "CalledPhoneNumberCountry": {"first_of": ["ToCountry", "CalledCountry"]},
        "City": {"first_of": ["FromCity", "CallerCity"]},
        "Region": {"first_of": ["FromState", "CallerState"]},
        "Zip": {"first_of": ["FromZip", "CallerZip"]},
        "CallRecording": "RecordingUrl",
    },
    known_by=("sid", "CallSid"),
    filters=(
        Filter("a leg whose call is not in this input", is_leg, (True,)),
        Filter(
            "an outbound call",
            {"first_of": ["direction", "Direction"]},
            ("outbound-api", "outbound-dial", "outbound", "trunking-terminating"),
            stays=("inbound", "trunking-originating"),
            guard="direction",
        ),
        Filter("a call that has not ended", _OWN_STATUS, _NOT_ENDED, guard="ended"),
        Filter("a call of which a leg has not ended", "DialCallStatus", _NOT_ENDED, columns=()),
        anonymous(_CALLER),
    ),
    join=legs,
    call={"first_of": ["parent_call_sid", "ParentCallSid", "sid", "CallSid"]},
    notes=(
        '``MediaId`` has no source: give the partner of each number, as in ``mapping={"MediaId": {"from": "to", '
        '"lookup": {...}}}``.',
        "A call that ``<Dial>`` connects is two Call resources or more. Give them all in one input: the call then gets "
        "its status and talk time from the legs that it dialled, and the legs themselves are left out.",
        "If several legs were answered, their talk times are added up, to at most the call's duration. If no leg was "
        "answered, the call gets the status that comes first in this list: a machine, busy, no-answer, canceled, "
        "failed.",
        "A call without a dialled leg in the input counts as answered if Twilio answered it. Its talk time is its "
        "whole duration, menus included.",
        "The time of a status callback is the call's end: ``EventDate`` is that time minus ``CallDuration``.",
        "The ``Duration`` of a webhook is in minutes, and is not read.",
        "A call from a client or a SIP user without a number is rejected: impact.com matches by number.",
        "Inferred, as neither Twilio nor impact.com documents it: the impact.com status for each of Twilio's statuses.",
    ),
)
