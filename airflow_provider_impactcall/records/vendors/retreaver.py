"""Retreaver: calls from its Core API, versions 2 to 4."""

from __future__ import annotations

from typing import Any

from airflow_provider_impactcall.exceptions import ProblemCode
from airflow_provider_impactcall.records import normalize
from airflow_provider_impactcall.records.columns import Row
from airflow_provider_impactcall.records.vendors.preset import (
    Filter,
    VendorPreset,
    anonymous,
    click_id,
    country_beside,
    latest,
    reads,
    stated,
    unique,
    word,
    yes_or_no,
    zero_of_unanswered,
)

_STATUSES = {
    "finished: connected": "ANSWER",
    "finished: not connected": "CANCEL",
    "finished: in the IVR": "IVR_DROPOFF",
}


@reads("status", "connected", "dialed_call_duration", "ivr_duration", "hold_duration")
def status(row: Row) -> Any:
    """``status``; if it is ``finished``, one of three words. The word is ``finished: connected`` if ``connected`` says
    yes (without this column: if ``dialed_call_duration`` is above 0); else ``finished: in the IVR`` if
    ``ivr_duration`` is above 0 and ``hold_duration`` is 0; else ``finished: not connected``.
    """
    said = row.get("status")
    if word(said) != "finished":
        return said
    connected = stated(row, "connected")
    if connected is None:
        # Version 1 has no such column.
        if normalize.is_absent(row.get("dialed_call_duration")):
            raise normalize.UnfitValue(
                "cannot be known: the call has neither connected nor dialed_call_duration", ProblemCode.MISSING
            )
        connected = _lasted(row, "dialed_call_duration")
    if connected:
        return "finished: connected"
    in_ivr = _lasted(row, "ivr_duration") and _lasted(row, "hold_duration") is False
    return "finished: in the IVR" if in_ivr else "finished: not connected"


@reads("status", "end_time")
def not_ended(row: Row) -> bool:
    """Whether ``status`` is ``in_progress``, or is another word than ``finished`` while ``end_time`` is empty."""
    said = word(row.get("status"))
    if said in ("finished", ""):
        return False
    return said == "in progress" or ("end_time" in row and normalize.is_absent(row["end_time"]))


@reads("via")
def outbound(row: Row) -> bool:
    """Whether ``via`` begins with ``outbound``; for an inbound call it is ``inbound-dial``."""
    return word(row.get("via")).startswith("outbound")


def _lasted(row: Row, column: str) -> bool | None:
    seconds = row.get(column)
    return None if normalize.is_absent(seconds) else normalize.seconds(seconds) > 0


_zero = zero_of_unanswered(status, _STATUSES)

PRESET = VendorPreset(
    name="retreaver",
    title="Retreaver",
    facts=(
        "Retreaver Core API, Calls, https://retreaver.github.io/core-api-docs/#calls: the call in versions 1 to 4",
        "Retreaver Core API, Our IDs vs Customer IDs, and Create an Affiliate: afid and cid",
        "Retreaver Core API, Data Retrieval & Real-Time Sync: a call is updated as it goes on",
        "https://github.com/berrydev-ai/retreaver-api-client, models/call-v1.ts: the status in_progress",
        "Retreaver, Webhooks, https://learn.retreaver.com/guides/webhooks: each account chooses its names",
    ),
    mapping={
        "MediaId": "afid",
        "EventDate": "start_time",
        "CallSessionId": "uuid",
        "CallerId": "caller",
        "CalledPhoneNumber": {"first_of": ["number.number", "number"]},
        "CallDuration": {"first_of": ["total_duration", _zero]},
        "TalkDuration": {"first_of": [_zero, "dialed_call_duration"]},
        "CallStatus": {"from": status, "values": _STATUSES},
        "CallerPhoneNumberCountry": country_beside("caller", "caller_country"),
        "SubId1": "sid",
        "ClickId": {"first_of": [click_id("visitor_url"), "tags.irclickid"]},
        "City": "caller_city",
        "Region": "caller_state",
        "Zip": "caller_zip",
        "RepeatCaller": yes_or_no("repeat", "repeat", "new"),
        "CallRecording": "recording_url",
        "IvrDuration": "ivr_duration",
        "Keypresses": unique("keys_pressed"),
        "Key1": "keys_pressed.0",
        "Key2": "keys_pressed.1",
        "Key3": "keys_pressed.2",
        "Key4": "keys_pressed.3",
        "PromoNumberDescription": "number.name",
    },
    known_by=("uuid",),
    wrapper="call",
    filters=(
        Filter("an outbound call", outbound, (True,), guard="direction"),
        Filter("a call that has not ended", not_ended, (True,), unfinished=True, guard="ended", columns=("status",)),
        anonymous("caller"),
    ),
    join=latest("updated_at"),
    notes=(
        "``MediaId`` is ``afid``, the affiliate's id that you chose. Retreaver advises to take it from the external "
        "tracking system. If your ``afid`` is not impact.com's media id, map ``MediaId`` yourself: another id would "
        "credit another partner.",
        "``CampaignId`` is not read from ``cid``, your own number of a Retreaver campaign: it is often just 1, and "
        "would replace the connection's ``campaign_id``. If your ``cid`` is impact.com's program id: "
        '``mapping={"CampaignId": "cid"}``.',
        "Read version 2 of the API or later. Version 1 lacks the number that was called; its ``dialed_number`` is the "
        "number that the call was passed on to. With version 1, map ``CalledPhoneNumber``.",
        "A webhook's columns have the names that your account gave them: use the names of the API, or map them.",
        "Calls with ``duplicate``, or without ``payable`` or ``converted``, are delivered: impact.com's contract "
        "decides what is paid. ``revenue`` and ``payout`` are the call's worth between you and others, not a sale's "
        "amount, and are not sent.",
        "The click id is read from ``visitor_url`` first, then from ``tags``, where its letters may have lost their "
        "case.",
        "Inferred: impact.com's status for each word, as Retreaver documents no word but ``finished``; that an "
        "outbound call's ``via`` begins with ``outbound``.",
    ),
)
