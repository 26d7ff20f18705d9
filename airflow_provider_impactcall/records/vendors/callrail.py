"""CallRail: calls from its API v3, and from its post-call and call-modified webhooks."""

from __future__ import annotations

from typing import Any

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
    spam,
    stated,
    word,
    yes_or_no,
)

_NOT_ANSWERED = ("missed", "abandoned", "voicemail")
_TOLD_BY = ("voicemail", "call_type", "answered")


@reads(*_TOLD_BY)
def answer(row: Row) -> Any:
    """``voicemail`` if that flag is set, else ``call_type``, else the word for the flag ``answered``."""
    # For speed: most rows need no closer look at this flag.
    if row.get("voicemail") is not False and stated(row, "voicemail"):
        return "voicemail"
    kind = row.get("call_type")
    if (type(kind) is str and kind) or not normalize.is_absent(kind):
        return kind
    answered = stated(row, "answered")
    return None if answered is None else "answered" if answered else "missed"


@reads(answer, "answered", "duration")
def talk_duration(row: Row) -> Any:
    """``duration`` if the call was answered, but not by a voicemail; else 0."""
    kind = word(answer(row))
    answered = row.get("answered")
    if answered is not True and answered is not False:
        answered = stated(row, "answered")
    talked = kind == "answered" if answered is None else answered
    return row.get("duration") if talked and kind not in _NOT_ANSWERED else 0


repeat_caller = yes_or_no("first_call", "new", "repeat")
repeat_caller.__doc__ = "``new`` or ``repeat``, by the flag ``first_call``."


@reads("resource_id", "id", answer, "duration")
def not_connected_yet(row: Row) -> bool:
    """Whether the row comes from the pre-call webhook, which reports every call as missed and with no duration. The
    API, whose ids begin with ``CAL``, lists a call only after its end.
    """
    call_id = row.get("id")
    is_the_api_s = type(call_id) is str and call_id.startswith("CAL")  # the common case, for speed
    resource = row.get("resource_id")
    webhook = not (resource is None or normalize.is_absent(resource)) or not (is_the_api_s or _is_the_api_s(call_id))
    return webhook and word(answer(row)) == "missed" and word(row.get("duration")) in ("", "0", "0.0")


def _is_the_api_s(call_id: Any) -> bool:
    return word(call_id).startswith("cal")


PRESET = VendorPreset(
    name="callrail",
    title="CallRail",
    facts=(
        "CallRail API v3, Calls, https://apidocs.callrail.com/#calls: the fields of a call, and those sent on request",
        "CallRail API v3, Security, https://apidocs.callrail.com/#security: a whole post-call webhook",
        "CallRail support, Webhooks, https://support.callrail.com/hc/en-us/articles/5711246459149-Webhooks: what each "
        "webhook holds, and when it is sent",
        "CallRail support, Call answer status, "
        "https://support.callrail.com/hc/en-us/articles/5712088951437-Call-answer-status: answered, missed, voicemail, "
        "outbound and abandoned calls",
    ),
    mapping={
        "EventDate": "start_time",
        "CallSessionId": {"first_of": ["resource_id", "id"]},
        "CallerId": "customer_phone_number",
        "CalledPhoneNumber": "tracking_phone_number",
        "CallDuration": "duration",
        "TalkDuration": talk_duration,
        "CallStatus": {
            "from": answer,
            "values": {
                "answered": "ANSWER",
                "missed": "CANCEL",
                "abandoned": "CANCEL",
                "voicemail": "IVR_DROPOFF",
            },
        },
        "CallerPhoneNumberCountry": country_beside("customer_phone_number", "customer_country"),
        "ClickId": {"first_of": [click_id("landing_page_url"), click_id("last_requested_url")]},
        "City": "customer_city",
        "Region": "customer_state",
        "Zip": "zip_code",
        "RepeatCaller": repeat_caller,
        "CallRecording": "recording",
        "TrafficSource": {"first_of": ["source", "formatted_tracking_source"]},
        "PromoNumberDescription": "source_name",
    },
    known_by=("resource_id", "customer_phone_number"),  # Not id: a table of webhooks may have its own id.
    filters=(
        Filter("an outbound call", "direction", ("outbound",), stays=("inbound",), guard="direction"),
        Filter(
            "a call that has not ended",
            not_connected_yet,
            (True,),
            unfinished=True,
            guard="ended",
            columns=("call_type", "answered"),
        ),
        spam("spam"),
        anonymous("customer_phone_number"),
    ),
    join=latest(),
    notes=(
        '``MediaId`` has no source: give the partner of each tracking number, as in ``mapping={"MediaId": {"from": '
        '"tracking_phone_number", "lookup": {...}}}``.',
        "CallRail gives no talk time. The talk time of an answered call is its whole duration, with IVR and ringing.",
        "A webhook's ``id`` differs from the API's id. Its ``resource_id`` is the API's id, so a call that came both "
        "ways has one ``CallSessionId``.",
        "The pre-call webhook reports every call as missed, with no duration. These rows are left out: if one were "
        "delivered, the call could not be corrected later.",
        "If one input has several versions of a call, the last one counts: CallRail gives no time of a change.",
        "The API gives ``zip_code``, ``first_call``, ``source``, ``source_name`` and the page URLs only on request "
        "(``fields=``).",
        "Inferred, as neither CallRail nor impact.com documents it: missed and abandoned calls are ``CANCEL``, "
        "voicemails are ``IVR_DROPOFF``.",
        'Not mapped: ``value``, which may be an estimate (if yours are sales: ``mapping={"SaleAmount": "value"}``), '
        "and ``keypad_entries``, whose form is not documented.",
    ),
)
