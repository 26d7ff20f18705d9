"""WhatConverts: the phone calls among the leads from its API and its webhooks."""

from __future__ import annotations

from typing import Any

from airflow_provider_impactcall.records import normalize
from airflow_provider_impactcall.records.sources import Row, Source, reader_of
from airflow_provider_impactcall.records.vendors.preset import (
    Filter,
    VendorPreset,
    anonymous,
    click_id,
    country_beside,
    flag,
    latest,
    reads,
    spam,
    whole_id,
    word,
)

_NOT_ANSWERED = (
    "missed",
    "unanswered",
    "not answered",
    "no answer",
    "abandoned",
    "canceled",
    "busy",
    "failed",
    "voicemail",
)
_IN_PROGRESS = ("In Progress", "Ringing", "Queued")
_ANSWER_STATUS: Source = {"first_of": ["answer_status", "call_status"]}
_DURATION: Source = {"first_of": ["call_duration_seconds", "call_duration"]}

_answer_status = reader_of(_ANSWER_STATUS)
_duration = reader_of(_DURATION)


@reads("voicemail", _ANSWER_STATUS)
def answer(row: Row) -> Any:
    """``voicemail`` if the caller left a voicemail, else ``answer_status``, else ``call_status``."""
    voicemail = row.get("voicemail")
    left_one = not normalize.is_absent(voicemail) and flag(voicemail) is not False
    return "voicemail" if left_one else _answer_status.read(row)


@reads(_DURATION, answer)
def call_duration(row: Row) -> Any:
    """``call_duration_seconds`` or ``call_duration``; 0 if a call that was not answered has neither."""
    lasted = _duration.read(row)
    return 0 if normalize.is_absent(lasted) and word(answer(row)) in _NOT_ANSWERED else lasted


@reads(call_duration, answer)
def talk_duration(row: Row) -> Any:
    """The call's duration if it was answered, but not by a voicemail; else 0."""
    return call_duration(row) if word(answer(row)) == "answered" else 0


@reads("lead_type")
def is_no_call(row: Row) -> bool:
    """Whether ``lead_type`` is another type than ``Phone Call``, such as ``Web Form``."""
    return word(row.get("lead_type")) not in ("phone call", "")


PRESET = VendorPreset(
    name="whatconverts",
    title="WhatConverts",
    facts=(
        "WhatConverts, Receive Phone Call (In Progress) Data with Webhooks, https://www.whatconverts.com/help/docs/"
        "automations-and-advanced-systems/webhooks/receive-phone-call-in-progress-data-with-webhooks: a whole webhook",
        "WhatConverts API, Leads, https://www.whatconverts.com/api/leads: the fields of a lead",
        "tap-whatconverts, https://github.com/growth-nirvana/tap-whatconverts/blob/main/tap_whatconverts/streams.py: "
        "the API's fields and their types",
    ),
    mapping={
        "EventDate": "date_created",
        "CallSessionId": whole_id("lead_id"),
        "CallerId": "caller_number",
        "CalledPhoneNumber": "tracking_number",
        "CallDuration": call_duration,
        "TalkDuration": talk_duration,
        "CallStatus": {
            "from": answer,
            "values": {
                "Answered": "ANSWER",
                "Missed": "CANCEL",
                "Unanswered": "CANCEL",
                "Not Answered": "CANCEL",
                "No Answer": "CANCEL",
                "Abandoned": "CANCEL",
                "Canceled": "CANCEL",
                "Busy": "CONGESTION",
                "Failed": "FAILURE",
                "Voicemail": "IVR_DROPOFF",
            },
        },
        "CallerPhoneNumberCountry": country_beside("caller_number", {"first_of": ["caller_country", "country"]}),
        "ClickId": {"first_of": [click_id("landing_url"), click_id("lead_url")]},
        "City": {"first_of": ["caller_city", "city"]},
        "Region": {"first_of": ["caller_state", "state"]},
        "Zip": {"first_of": ["caller_zip", "zip"]},
        "RepeatCaller": {"from": "lead_status", "values": {"Unique": "new", "Repeat": "repeat"}, "default": None},
        "PhoneType": {
            "from": "line_type",
            "values": {"Landline": "Landline", "Mobile": "Mobile"},
            "default": None,
        },
        "CallRecording": "recording",
        "TrafficSource": "lead_source",
        "SaleAmount": "sales_value",
        "PromoNumberDescription": "phone_name",
    },
    known_by=("lead_id",),
    filters=(
        Filter("a lead that is not a phone call", is_no_call, (True,)),
        Filter("a call that has not ended", "call_status", _IN_PROGRESS, unfinished=True, guard="ended"),
        Filter("a call that has not ended", "lead_state", _IN_PROGRESS, unfinished=True, guard="ended"),
        spam("spam"),
        anonymous("caller_number"),
    ),
    join=latest("last_updated"),
    notes=(
        '``MediaId`` has no source: give the partner of each tracking number, as in ``mapping={"MediaId": {"from": '
        '"tracking_number", "lookup": {...}}}``.',
        "WhatConverts gives no talk time. The talk time of an answered call is its whole duration, menus included.",
        "A ``call_status`` of ``Completed`` says that a call has ended, not that anyone answered: without "
        "``answer_status`` such a call is rejected. If your completed calls were answered: "
        '``mapping={"CallStatus": {"values": {"Completed": "ANSWER"}}, "TalkDuration": "call_duration_seconds"}``.',
        "If one input has several versions of a lead, the version with the latest ``last_updated`` counts.",
        "A lead that WhatConverts marks as a duplicate is a separate call, and is sent: impact.com has its own rule "
        "for repeated callers.",
        "A ``line_type`` other than Landline and Mobile is not sent: impact.com has no other phone types.",
        "Inferred, as WhatConverts publishes no list: the words of ``answer_status``, and the impact.com status for "
        "each word.",
        "Not mapped: ``quote_value``, which is not a sale, and notes, messages, names and e-mail addresses.",
    ),
)
