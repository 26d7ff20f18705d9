"""Rows as call-tracking vendors give them: the whole payload, for ``vendor=`` presets.

The columns, their types and the forms of times are as in the vendors' published payloads, in
``tests/records/vendors``. Each row has its own caller, in E.164, and no column with the country. Callers have 100 area
codes with 100 prefixes each. They are computed, so they may be real numbers, and are sent to 127.0.0.1 only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any

from benchmarks.rows import PLAIN, Rows

SEED = 20_260_901
"""The seed of callers and ids."""

_FIRST = datetime(2026, 9, 1, tzinfo=UTC)
_EASTERN = timezone(timedelta(hours=-4))
_AREAS = (
    "201 202 203 205 206 207 208 209 210 212 213 214 215 216 217 218 219 224 225 228 229 231 234 239 240 248 251 "
    "252 253 254 256 260 262 267 269 270 276 281 301 302 303 304 305 307 308 309 310 312 313 314 315 316 317 318 "
    "319 320 321 323 325 330 334 336 337 339 347 351 352 360 361 386 401 402 404 405 406 407 408 409 410 412 413 "
    "414 415 417 419 423 425 430 432 434 204 250 403 416 514 519 604 613 780 905 "
)
_AREA_CODES = tuple(_AREAS.split())
_PREFIXES = 100
_LINES = 10_000
_CALLERS = len(_AREA_CODES) * _PREFIXES * _LINES
# Has no common factor with the number of callers, so that no caller comes twice within that number of rows.
_STRIDE = 61_803_399
_PARTNERS = {
    f"+1{code}55501{line:02d}": 20_000 + 100 * place + line
    for place, code in enumerate(("866", "877"))
    for line in range(100)
}
_TRACKED = tuple(_PARTNERS)
_CONSTANTS = {"CampaignId": 1000, "ActionTrackerId": 4000, "CallProvider": "ExampleVendor"}
_PLACES = (
    ("Santa Barbara", "CA", "93101"),
    ("Springfield", "IL", "62701"),
    ("Escondido", "CA", "92025"),
    ("Rockingham", "NC", "28379"),
    ("New York City", "NY", "10001"),
    ("Boise", "ID", "83702"),
)


def caller(number: int, vendor: int = 0) -> str:
    """The caller of a call, in E.164: different for each number below ten million, and each vendor below ten.

    :param vendor: the vendor's place among all vendors
    """
    place = ((10_000_000 * vendor + number) * _STRIDE + SEED) % _CALLERS
    area, rest = divmod(place, _PREFIXES * _LINES)
    prefix, line = divmod(rest, _LINES)
    # In steps of six, so that no prefix is like 911 or 555.
    return f"+1{_AREA_CODES[area]}{230 + 6 * prefix}{line:04d}"


def of_a_new_prefix(number: int) -> str:
    """A caller whose first six digits differ for each number below 78,000, so that caching by prefix is useless."""
    prefix, area = divmod(number, len(_AREA_CODES))
    exchange = 200 + prefix
    return f"+1{_AREA_CODES[area]}{exchange}{number * 7919 % _LINES:04d}"


def callrail(number: int) -> dict[str, Any]:
    """A call of CallRail's API, with the fields that are sent on request."""
    answered, talk, place, code = _answered(number), _talk(number), _PLACES[number % 6], _digest(number)
    began = _began(number).astimezone(_EASTERN)
    page = f"https://www.example.com/plans?irclickid=c{code[:16]}&utm_source=impact&utm_campaign=spring-{number % 40}"
    return {
        "answered": answered,
        "business_phone_number": "+13035550191" if answered else None,
        "customer_city": place[0],
        "customer_name": "Example Caller",
        "customer_phone_number": caller(number),
        "customer_state": place[1],
        "direction": "inbound",
        "duration": talk + 15 if answered else 22,
        "id": f"CAL{code}",
        "recording": f"https://api.callrail.com/v3/a/227799611/calls/CAL{code}/recording.json" if answered else None,
        "recording_duration": str(talk) if answered else None,
        "recording_player": f"https://app.callrail.com/calls/CAL{code}/recording?access_key=0123456789abcdef",
        "start_time": began.isoformat(timespec="milliseconds"),
        "tracking_phone_number": _TRACKED[number % 200],
        "voicemail": False,
        "agent_email": "agent@example.com" if answered else None,
        "call_type": "answered" if answered else "missed",
        "company_id": "COM8154748ae6bd4e278a7cddd38a662f4f",
        "company_name": "Example Company",
        "company_time_zone": "America/New_York",
        "created_at": began.isoformat(timespec="milliseconds"),
        "device_type": "Mobile",
        "first_call": number % 3 != 0,
        "prior_calls": number % 3,
        "total_calls": number % 3 + 1,
        "lead_status": "good_lead",
        "note": "",
        "source": "impact.com",
        "spam": False,
        "source_name": f"Partner {number % 200}",
        "tags": ["Sales", "Spring"],
        "value": "$1.00",
        "tracker_id": "TRK8154748ae6bd4e278a7cddd38a662f4f",
        "keywords": None,
        "medium": "affiliate",
        "campaign": f"spring-{number % 40}",
        "referring_url": "https://partner.example.com/review",
        "landing_page_url": page,
        "last_requested_url": "https://www.example.com/contact",
        "utm_source": "impact",
        "utm_medium": "affiliate",
        "gclid": None,
        "milestones": {
            "first_touch": {
                "event_date": began.isoformat(timespec="milliseconds"),
                "landing": page,
                "source": "impact.com",
                "medium": "affiliate",
                "session_browser": {"browser": "Chrome", "browser_version": "128.0", "operating_system": "Android"},
            }
        },
        "timeline_url": f"https://app.callrail.com/calls/CAL{code}",
        "keypad_entries": None,
        "zip_code": place[2],
    }


def ringba(number: int) -> dict[str, Any]:
    """A call of Ringba's call log, with tags."""
    answered, talk, place, code = _answered(number), _talk(number), _PLACES[number % 6], _digest(number).upper()
    connected = talk if answered else 0
    return {
        "campaignName": "Gutters - Nationwide - Variable Rate",
        "campaignId": "CA2ed30a6f2e7d401c8345a0a0a251da72",
        "publisherName": f"Partner {number % 200}",
        "publisherId": f"PA{number % 200:032d}",
        "publisherSubId": f"landing-{number % 7}",
        "inboundCallId": f"RGB{code}V3FKQ01",
        "callDt": int(_began(number).timestamp() * 1000),
        "inboundPhoneNumber": caller(number, 1),
        "number": _TRACKED[number % 200],
        "numberPoolId": "",
        "numberPoolName": "",
        "targetName": "Main office",
        "targetNumber": "+13035550191",
        "buyer": "Example Buyer",
        "timeToCallInSeconds": 0,
        "callLengthInSeconds": connected + 18,
        "connectedCallLengthInSeconds": connected,
        "hasConnected": answered,
        "isDuplicate": number % 3 == 0,
        "hasPreviouslyConnected": False,
        "isLive": False,
        "wasBlocked": False,
        "hasVoiceMail": False,
        "endCallSource": "Caller",
        "noPayoutReason": "-no value-",
        "conversionAmount": 25.5 if answered else 0.0,
        "recordingUrl": f"https://media.ringba.com/recording-public?v=v1&k={code.lower()}%2fSIGNED%3d",
        "timeToConnectInSeconds": 18,
        "tag:User:irclickid": f"c{code[:16].lower()}",
        "tag:InboundNumber:City": place[0],
        "tag:InboundNumber:State": place[1],
        "tag:Geo:ZipCode": place[2],
        "tag:Technology:UserAgentString": "Mozilla/5.0 (Linux; Android 14) Chrome/128.0 Mobile",
    }


def twilio(number: int) -> dict[str, Any]:
    """A Call resource of Twilio's REST API."""
    answered, talk, code = _answered(number), _talk(number), _digest(number)
    began, sid, calling = _began(number), f"CA{code}", caller(number, 2)
    return {
        "account_sid": "ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "annotation": None,
        "answered_by": None,
        "api_version": "2010-04-01",
        "caller_name": None,
        "date_created": format_datetime(began),
        "date_updated": format_datetime(began + timedelta(seconds=talk + 1)),
        "direction": "inbound",
        "duration": str(talk + 15) if answered else "0",
        "end_time": format_datetime(began + timedelta(seconds=talk + 15)),
        "forwarded_from": None,
        "from": calling,
        "from_formatted": f"({calling[2:5]}) {calling[5:8]}-{calling[8:]}",
        "group_sid": None,
        "parent_call_sid": None,
        "phone_number_sid": f"PN{number % 200:032d}",
        "price": "-0.200",
        "price_unit": "USD",
        "queue_time": "0",
        "sid": sid,
        "start_time": format_datetime(began),
        "status": "completed" if answered else "no-answer",
        "subresource_uris": {
            "recordings": f"/2010-04-01/Accounts/ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/Calls/{sid}/Recordings.json",
            "notifications": f"/2010-04-01/Accounts/ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/Calls/{sid}/Notifications.json",
        },
        "to": _TRACKED[number % 200],
        "to_formatted": "(866) 555-0100",
        "trunk_sid": None,
        "uri": f"/2010-04-01/Accounts/ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/Calls/{sid}.json",
    }


def invoca(number: int) -> dict[str, Any]:
    """A transaction of Invoca's Transactions API."""
    answered, talk, place, code = _answered(number), _talk(number), _PLACES[number % 6], _digest(number).upper()
    began = _began(number)
    talked = talk if answered else 0
    return {
        "transaction_id": f"{code[:8]}-{code[8:16]}",
        "complete_call_id": f"{code[:8]}-{code[16:28]}",
        "corrects_transaction_id": "",
        "corrected_at": "",
        "transaction_type": "Call",
        "start_time_local": began.astimezone(_EASTERN).strftime("%Y-%m-%d %H:%M:%S -04:00"),
        "start_time_utc": int(began.timestamp() * 1000),
        "start_time_xml": began.astimezone(_EASTERN).isoformat(),
        "start_time_network_timezone_xml": began.astimezone(_EASTERN).isoformat(),
        "calling_phone_number": caller(number, 3),
        "destination_phone_number": "303-555-0191",
        "duration": talked + 45,
        "connect_duration": talked,
        "ivr_duration": 20,
        "keypresses": "Sales,Support",
        "keypress_1": "Sales",
        "keypress_2": "Support",
        "keypress_3": "",
        "keypress_4": "",
        "opt_in_SMS": 0,
        "mobile": "Mobile",
        "repeat_calling_phone_number": "false",
        "city": place[0],
        "region": place[1],
        "verified_zip": place[2],
        "recording": f"https://recordings.example.com/{code}",
        "call_source_description": f"Partner {number % 200}",
        "media_type": "Online: Search",
        "call_result_description_detail": "Connected" if answered else "Destination: No Answer",
        "hangup_cause": "Caller: Hang-up" if answered else "Destination: No Answer",
        "promo_line_description": "Spring mailing",
        "virtual_line_id": str(7000 + number % 200),
        "affiliate_id_from_network": str(20_000 + number % 200),
        "advertiser_campaign_id_from_network": "1001",
        "original_order_id": "",
        "sale_amount": "",
        "revenue": "",
        "reason_code": "",
        "signal_name": "",
        "signal_partner_unique_id": "",
        "signal_custom_parameter_1": "",
        "notes": "",
        "landing_page": f"https://www.example.com/?irclickid=c{code[:16].lower()}",
        "custom_data": [
            {"name": "utm_medium", "data_type": "Category", "source": "DynamicAttribution", "value": "Search"},
            {"name": "sub", "data_type": "Short Text", "source": "API", "value": f"landing-{number % 7}"},
        ],
    }


def calltrackingmetrics(number: int) -> dict[str, Any]:
    """An activity of CallTrackingMetrics' API, with its text for a time alone."""
    answered, talk, place = _answered(number), _talk(number), _PLACES[number % 6]
    calling, tracked = caller(number, 4), _TRACKED[number % 200]
    shown = f"({calling[2:5]}) {calling[5:8]}-{calling[8:]}"
    return {
        "id": 729_485_000 + number,
        "account_id": 25,
        "name": "Example Caller",
        "search": None,
        "referrer": None,
        "location": f"https://www.example.com/?irclickid=c{_digest(number)[:16]}&gclid=",
        "source": f"Partner {number % 200}",
        "source_id": 36,
        "likelihood": None,
        "duration": talk + 15 if answered else 22,
        "talk_time": talk if answered else 0,
        "ring_time": 15,
        "email": "user@example.com",
        "street": "1600 Example Street",
        "city": place[0],
        "state": place[1],
        "postal_code": place[2],
        "called_at": _began(number).astimezone(_EASTERN).strftime("%Y-%m-%d %I:%M %p -04:00"),
        "tracking_number_id": number % 200,
        "tracking_number": tracked,
        "tracking_label": None,
        "business_number": "+13035550191",
        "business_label": "Main Office",
        "receiving_number_id": 9,
        "dial_status": "completed" if answered else "no-answer",
        "direction": "inbound",
        "caller_number_split": ["1", calling[2:5], calling[5:8], calling[8:]],
        "excluded": False,
        "tracking_number_format": f"({tracked[2:5]}) {tracked[5:8]}-{tracked[8:]}",
        "business_number_format": "(303) 555-0191",
        "caller_number_format": shown,
        "alternative_number": shown,
        "caller_number_complete": calling,
        "caller_number": calling,
        "visitor": False,
        "audio": f"https://app.calltrackingmetrics.com/accounts/AC25/recordings/RE{_digest(number)}",
        "tag_list": ["follow up"],
        "notes": "",
        "latitude": 33.0879,
        "longitude": -117.116,
        "extended_lookup_on": False,
        "extended_lookup": {
            "first_name": "",
            "last_name": "",
            "name_type": "",
            "phone_type": "0",
            "business_name": None,
            "city": place[0],
            "state": place[1],
            "zipcode": place[2],
        },
    }


def with_new_prefixes(number: int) -> dict[str, Any]:
    """A call of CallRail's whose caller has a new prefix: the worst case for caching by prefix."""
    return callrail(number) | {"customer_phone_number": of_a_new_prefix(number)}


def _answered(number: int) -> bool:
    return number % 5 != 0


def _talk(number: int) -> int:
    return number * 37 % 900 + 1


def _began(number: int) -> datetime:
    return _FIRST + timedelta(seconds=3 * number, milliseconds=number % 1000)


def _digest(number: int) -> str:
    return hashlib.md5(f"{SEED} {number}".encode(), usedforsecurity=False).hexdigest()


def _by_vendor(
    vendor: str, title: str, row: Callable[[int], dict[str, Any]], time: str, tracking_number: str | None
) -> Rows:
    options: dict[str, Any] = {"vendor": vendor, "constants": _CONSTANTS}
    if tracking_number is None:
        # This vendor's rows have the ids of partner and campaign.
        options["constants"] = {name: value for name, value in _CONSTANTS.items() if name != "CampaignId"}
    else:
        options["mapping"] = {"MediaId": {"from": tracking_number, "lookup": _PARTNERS}}
    return Rows(vendor, f"{title}' rows" if title.endswith("s") else f"{title}'s rows", row, time, options)


VENDORS: Mapping[str, Rows] = {
    each.name: each
    for each in (
        _by_vendor("callrail", "CallRail", callrail, "start_time", "tracking_phone_number"),
        _by_vendor("ringba", "Ringba", ringba, "callDt", "number"),
        _by_vendor("twilio", "Twilio", twilio, "sid", "to"),
        _by_vendor("invoca", "Invoca", invoca, "start_time_utc", None),
        _by_vendor("calltrackingmetrics", "CallTrackingMetrics", calltrackingmetrics, "id", "tracking_number"),
    )
}
CALLRAIL = VENDORS["callrail"]
KINDS: Mapping[str, Rows] = {"plain": PLAIN, "vendor": CALLRAIL, **VENDORS}
"""The values of a benchmark's ``--rows``; ``vendor`` is CallRail's."""
