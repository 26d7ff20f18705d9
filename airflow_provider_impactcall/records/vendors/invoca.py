"""Invoca: transactions from its Transactions API and its webhooks; those of one call are joined."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from airflow_provider_impactcall.exceptions import ProblemCode
from airflow_provider_impactcall.records import normalize
from airflow_provider_impactcall.records.columns import Row
from airflow_provider_impactcall.records.vendors.preset import (
    Filter,
    VendorPreset,
    anonymous,
    click_id,
    flag,
    of_value,
    reads,
    stated,
    word,
)

_EVENTS = ("post call event", "reported conversion", "signal", "sale")
_NOT_CONNECTED = (
    "destination: busy",
    "destination: no answer",
    "destination: number not in service",
    "destination: error (503 or fast busy)",
    "invoca: hang up",
    "invoca: hang up (unknown promo number)",
    "ivr: hang up",
)
_TOLD_BY_EVENTS = (
    "transaction_id",
    "signal_name",
    "signal_partner_unique_id",
    "signal_custom_parameter_1",
    "signal_custom_parameter_2",
    "signal_custom_parameter_3",
    "sale_amount",
    "revenue",
    "reason_code",
    "original_order_id",
)


@reads("hangup_cause", "connect_duration", "ivr_duration", "duration")
def end_of_call(row: Row) -> Any:
    """``Connected`` if ``connect_duration`` is above 0; else ``hangup_cause``, or ``IVR: Hang-up`` if the caller hung
    up in the IVR.
    """
    cause = row.get("hangup_cause")
    connected = row.get("connect_duration")
    if (type(connected) is int or not normalize.is_absent(connected)) and normalize.seconds(connected) > 0:
        return "Connected"
    if word(cause) != "caller: hang up":
        return cause
    if normalize.is_absent(connected):
        raise normalize.UnfitValue(
            "cannot be known without connect_duration, as the caller hung up", ProblemCode.MISSING
        )
    in_ivr = _seconds(row, "ivr_duration")
    return "IVR: Hang-up" if in_ivr and in_ivr >= _seconds(row, "duration") else cause


@reads("hangup_cause", "connect_duration")
def talk_duration(row: Row) -> Any:
    """``connect_duration``; 0 if a call that reached nobody has none."""
    connected = row.get("connect_duration")
    return 0 if normalize.is_absent(connected) and word(row.get("hangup_cause")) in _NOT_CONNECTED else connected


@of_value("repeat_calling_phone_number")
def repeat_caller(repeat: Any) -> Any:
    """``repeat`` or ``new`` if ``repeat_calling_phone_number`` is a flag, else its own value."""
    said = flag(repeat)
    return repeat if said is None else "repeat" if said else "new"


@reads("opt_in_SMS")
def opt_in_sms(row: Row) -> int | None:
    """1 or 0, by the flag ``opt_in_SMS``."""
    opted = stated(row, "opt_in_SMS")
    return None if opted is None else int(opted)


@of_value("reason_code")
def reference_id(code: Any) -> str | None:
    """``reason_code`` if it is a number: impact.com takes only numbers."""
    if normalize.is_absent(code):
        return None
    try:
        return normalize.number(code)
    except normalize.UnfitValue:
        return None


@of_value("transaction_type")
def is_event(kind: Any) -> bool:
    """Whether the transaction is not a call, but a later event of a call."""
    return word(kind) in _EVENTS


@reads("corrects_transaction_id", "corrected_at", "signal_value", is_event, end_of_call, *_TOLD_BY_EVENTS)
def transactions(rows: Sequence[Row]) -> Sequence[Row | str]:
    """The Call transaction counts as it was last corrected, with the conversion from later events.

    A call may have several Call transactions, such as when a campaign passes it on to another. The one that was
    connected longest is delivered, and the others fill its empty columns.
    """
    results = _as_corrected(rows)
    current = {place: row for place, row in enumerate(results) if not isinstance(row, str)}
    legs = sorted(
        (place for place, row in current.items() if not is_event(row)),
        key=lambda place: (_seconds(current[place], "connect_duration"), -place),
    )
    if not legs:
        return results
    call: Row = {}
    for place in legs:
        call = _over(call, current[place])
        results[place] = "a leg that is part of another row's call"
    for place in current.keys() - legs:
        results[place] = "an event that is reported with its call"
    for row in filter(is_event, current.values()):
        call = _told(call, row)
    results[legs[-1]] = call
    return results


def _as_corrected(rows: Sequence[Row]) -> list[Row | str]:
    corrects = {word(row.get("transaction_id")): word(row.get("corrects_transaction_id")) for row in rows}
    versions: Mapping[str | int, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        transaction = word(row.get("transaction_id"))
        versions[_original(transaction, corrects) if transaction else place].append(place)
    results: list[Row | str] = ["a transaction with a later version in this input"] * len(rows)
    for places in versions.values():
        merged: Row = {}
        places.sort(key=lambda place: _version(rows[place]))
        for place in places:
            merged = _over(merged, rows[place])
        results[places[-1]] = merged
    return results


def _original(transaction: str, corrects: Mapping[str, str]) -> str:
    seen = set()
    while transaction not in seen and corrects.get(transaction):
        seen.add(transaction)
        transaction = corrects[transaction]
    return transaction


def _version(row: Row) -> tuple[bool, datetime]:
    try:
        corrected_at = datetime.fromisoformat(normalize.event_date(row.get("corrected_at"), UTC))
    except normalize.UnfitValue:
        corrected_at = datetime.min.replace(tzinfo=UTC)
    return not normalize.is_absent(row.get("corrects_transaction_id")), corrected_at


def _told(call: Row, event: Row) -> Row:
    if flag(event.get("signal_value")) is False:
        return {**call, "signal_name": None} if call.get("signal_name") == event.get("signal_name") else call
    return _over(call, {column: event[column] for column in _TOLD_BY_EVENTS if column in event})


def _over(lower: Row, upper: Row) -> Row:
    present = {column: value for column, value in upper.items() if not normalize.is_absent(value)}
    return {**upper, **lower, **present}


def _seconds(row: Row, column: str) -> int:
    try:
        return normalize.seconds(row.get(column))
    except normalize.UnfitValue:
        return 0


PRESET = VendorPreset(
    name="invoca",
    title="Invoca",
    facts=(
        "Invoca, Transactions API, "
        "https://developers.invoca.net/en/latest/api_documentation/transactions_api/network_user.html: each field, "
        "corrections, signals that are met or not",
        "Invoca Community, What is a transaction in your Invoca reports, "
        "https://community.invoca.com/t5/invoca-reporting-suite/what-is-a-transaction-in-your-invoca-reports/ta-p/468: "
        "several transactions of one call, among them several of the type Call",
        "Invoca Community, How to access Invoca call data programmatically, https://community.invoca.com/t5/"
        "developer-features/how-to-access-invoca-call-data-programmatically-via-transactions/ta-p/602: a transaction "
        "is written when the call has ended",
        "Invoca Community, Understanding End of Call Reason, https://community.invoca.com/t5/dashboards/"
        "understanding-quot-end-of-call-reason-quot-in-your-call-details/ta-p/559: the words of hangup_cause",
    ),
    mapping={
        "CampaignId": "advertiser_campaign_id_from_network",
        "MediaId": "affiliate_id_from_network",
        "EventDate": {
            "first_of": [
                "start_time_utc",
                "start_time_xml",
                "start_time_network_timezone_xml",
                "start_time_local",
                "start_time_network_timezone",
            ]
        },
        "CallSessionId": "complete_call_id",
        "CallerId": "calling_phone_number",
        "CalledPhoneNumber": "destination_phone_number",
        "CallDuration": "duration",
        "TalkDuration": talk_duration,
        "CallStatus": {
            "from": end_of_call,
            "values": {
                "Connected": "ANSWER",
                "Caller: Hang-up": "CANCEL",
                "Destination: Hang-up": "ANSWER",
                "Destination: Busy": "CONGESTION",
                "Destination: No Answer": "CANCEL",
                "Destination: Number Not in Service": "INCOMPLETE",
                "Destination: Error (503 or Fast Busy)": "CONGESTION",
                "Invoca: Hang-up": "NO_TRANSFER_ATTEMPT",
                "Invoca: Hang-up (Unknown Promo Number)": "NO_TRANSFER_ATTEMPT",
                "Invoca: Max Call Duration": "ANSWER",
                "IVR: Hang-up": "IVR_DROPOFF",
            },
        },
        "ClickId": {"first_of": ["irclickid", click_id("landing_page"), click_id("calling_page")]},
        "City": "city",
        "Region": "region",
        "Zip": "verified_zip",
        "RepeatCaller": repeat_caller,
        "PhoneType": "mobile",
        "CallRecording": "recording",
        "IvrDuration": "ivr_duration",
        "Keypresses": "keypresses",
        "Key1": "keypress_1",
        "Key2": "keypress_2",
        "Key3": "keypress_3",
        "Key4": "keypress_4",
        "TrafficSource": "call_source_description",
        "OptInSms": opt_in_sms,
        "DispositionName": "signal_name",
        "SaleAmount": {"first_of": ["sale_amount", "revenue"]},
        "ReferenceId": reference_id,
        "VendorEventId": "transaction_id",
        "PromoNumberDescription": {"first_of": ["promo_line_description", "advertiser_promo_line_description"]},
    },
    known_by=("complete_call_id",),
    filters=(
        Filter("an event whose call is not in this input", is_event, (True,)),
        Filter(
            "a call that Invoca blocked",
            "hangup_cause",
            ("Invoca: Hang-up (Blacklisted Caller)", "Invoca: Hang-up (Call Confidence Blocked)"),
        ),
        anonymous("calling_phone_number"),
    ),
    join=transactions,
    notes=(
        "``MediaId`` and ``CampaignId`` are ``affiliate_id_from_network`` and "
        "``advertiser_campaign_id_from_network``. These are impact.com's ids if impact.com is your Invoca network. If "
        "they are other ids, give both parameters in constants or mapping.",
        "The transactions of one ``complete_call_id`` are one call. A correction replaces the transaction that it "
        "corrects; columns that it leaves empty keep their values. The conversion comes from Post Call Events, "
        "Reported Conversions and Signals; the last of several counts.",
        "An event that comes in a later input than its call is left out: impact.com has no way to add it to a call.",
        "If one call has several Call transactions, the one that was connected longest counts (inferred).",
        "``destination_phone_number`` is the number that the call was passed on to. It is empty if the call was not "
        'passed on: then name a column with the promo number, as in ``mapping={"CalledPhoneNumber": {"first_of": '
        '["destination_phone_number", ...]}}``.',
        "A ``reason_code`` is sent only if it is a number.",
        "A call in progress has no transaction. A webhook sent during a call is rejected, as it has no duration.",
        "Inferred, as neither Invoca nor impact.com documents it: the impact.com status for each ``hangup_cause``; "
        "and that a caller hung up in the IVR if the IVR lasted as long as the call.",
        "Not mapped: ``signal_custom_parameter_1`` to 3 and marketing data, whose meaning differs for each customer "
        '(map them yourself: ``mapping={"CustomConversionEvent1Value": "signal_custom_parameter_1"}``); '
        "``media_type``; notes, names and addresses.",
    ),
)
