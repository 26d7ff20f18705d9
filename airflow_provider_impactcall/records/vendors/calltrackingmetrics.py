"""CallTrackingMetrics: activities from its API, and from its webhooks at a call's end."""

from __future__ import annotations

from typing import Any

from airflow_provider_impactcall.records import normalize
from airflow_provider_impactcall.records.sources import Row, reader_of
from airflow_provider_impactcall.records.vendors.preset import (
    Filter,
    VendorPreset,
    anonymous,
    click_id,
    country_beside,
    flag,
    latest,
    marked,
    of_value,
    reads,
    whole_id,
    word,
    yes_or_no,
    zero_of_unanswered,
)

_CALLER = {"first_of": ["caller_number_complete", "caller_number"]}
_SAID = {"first_of": ["dial_status", "call_status", "status"]}
_STATUSES = {
    "completed": "ANSWER",
    "answered": "ANSWER",
    "hangup": "ANSWER",
    "completed without talk": "IVR_DROPOFF",
    "answered without talk": "IVR_DROPOFF",
    "hangup without talk": "CANCEL",
    "voice menu": "IVR_DROPOFF",
    "voicemail": "IVR_DROPOFF",
    "no-answer": "CANCEL",
    "canceled": "CANCEL",
    "cancelled": "CANCEL",
    "missed": "CANCEL",
    "abandoned": "CANCEL",
    "busy": "CONGESTION",
    "failed": "FAILURE",
}

_LAST_STEP = "call_path.-1.route_type"
_AGENT = {"first_of": ["agent_id", "agent.id"]}

_said = reader_of(_SAID)
_last_step = reader_of(_LAST_STEP)
_agent = reader_of(_AGENT)
_converted = reader_of("sale.conversion")
_sale = reader_of("sale.value")


@reads(_SAID, _LAST_STEP, _AGENT, "talk_time")
def status(row: Row) -> Any:
    """``dial_status``, else ``call_status``, else ``status``. The words ``completed``, ``answered`` and ``hangup`` are
    made more exact. If the call's path ended in a voice menu and no agent took the call, the word is ``voice menu``;
    else, if ``talk_time`` is 0, ``without talk`` is added to the word.
    """
    said = _said.read(row)
    if word(said) not in ("completed", "answered", "hangup"):
        return said
    last_step = _last_step.read(row)
    if word(last_step) == "voicemenu" and normalize.is_absent(_agent.read(row)):
        return "voice menu"
    talk = row.get("talk_time")
    without_talk = not normalize.is_absent(talk) and normalize.seconds(talk) == 0
    return f"{word(said)} without talk" if without_talk else said


@of_value("direction")
def other_than_inbound(direction: Any) -> bool:
    """Whether ``direction`` has another value than inbound or outbound: a text (``msg_inbound``), a form, a chat."""
    return word(direction) not in ("inbound", "outbound", "")


@reads("sale.conversion", "sale.value")
def sale_amount(row: Row) -> Any:
    """``sale.value``, unless ``sale.conversion`` says that there was no sale."""
    converted = _converted.read(row)
    lost = flag(converted) is False or word(converted) == "off"
    return None if lost else _sale.read(row)


_zero = zero_of_unanswered(status, _STATUSES)

PRESET = VendorPreset(
    name="calltrackingmetrics",
    title="CallTrackingMetrics",
    facts=(
        "CallTrackingMetrics API, https://postman.calltrackingmetrics.com/",
        "CallTrackingMetrics' Ruby client, https://github.com/calltracking/ctm-ruby: a whole call (lib/ctm/call.rb), "
        "and a sale (lib/ctm/sale.rb)",
        "https://github.com/MeltanoLabs/tap-calltrackingmetrics, tap_calltrackingmetrics/schemas/call.json: every "
        "column and its type",
    ),
    mapping={
        "EventDate": {"first_of": ["unix_time", "called_at"]},
        "CallSessionId": {"first_of": [whole_id("id"), "sid"]},
        "CallerId": _CALLER,
        "CalledPhoneNumber": "tracking_number",
        "CallDuration": {"first_of": ["duration", _zero]},
        "TalkDuration": {"first_of": [_zero, "talk_time"]},
        "CallStatus": {"from": status, "values": _STATUSES},
        "CallerPhoneNumberCountry": country_beside(_CALLER, "country"),
        "ClickId": {"first_of": [click_id("location"), click_id("last_location")]},
        "City": "city",
        "Region": "state",
        "Zip": "postal_code",
        "RepeatCaller": yes_or_no("is_new_caller", "new", "repeat"),
        "CallRecording": "audio",
        "Keypresses": "inputs.menu_inputs",
        "TrafficSource": "source",
        "SaleAmount": sale_amount,
        "PromoNumberDescription": "tracking_label",
    },
    known_by=("sid", "tracking_number"),  # Not id: a table of webhooks may have its own id.
    wrapper="call",
    filters=(
        Filter("an outbound call", "direction", ("outbound",), guard="direction"),
        Filter("an activity other than an inbound call", other_than_inbound, (True,), guard="direction"),
        Filter(
            "a call that has not ended",
            _SAID,
            ("in-progress", "ringing", "queued", "initiated"),
            unfinished=True,
            guard="ended",
        ),
        marked("a call excluded from CallTrackingMetrics' own reports", "excluded"),
        anonymous(_CALLER),
    ),
    join=latest("indexed_at"),
    notes=(
        "CallTrackingMetrics does not have impact.com's ids: give ``MediaId``, as above by ``tracking_number``.",
        "``CallSessionId`` is ``id``, which every published form of a call has; without it, ``sid``. Always deliver "
        "with the same one of the two: under the other id, a call counts as a new call and is sent again.",
        "Use the webhook at a call's end. The webhook at its start has no status yet, and is rejected.",
        "A voicemail is reported as completed or answered, with its length as ``talk_time``. Its talk time counts "
        "as 0.",
        "The owner of the caller's number (``extended_lookup``), names, notes and transcripts are never read.",
        "Inferred: impact.com's status for each word. The words themselves are inferred too: CallTrackingMetrics "
        "lists none, and users of its API report these.",
        "Inferred: a call whose path ends in a voice menu without an agent was a voicemail, or ended in the menu.",
        "Inferred: a call contains its ``sale``, which the API documents as a separate request; the version with the "
        "latest ``indexed_at`` is the latest.",
    ),
)
