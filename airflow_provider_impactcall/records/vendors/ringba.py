"""Ringba: calls from its call log API."""

from __future__ import annotations

from airflow_provider_impactcall.exceptions import ProblemCode
from airflow_provider_impactcall.records import normalize
from airflow_provider_impactcall.records.sources import Row, reader_of
from airflow_provider_impactcall.records.vendors.preset import (
    VendorPreset,
    anonymous,
    latest,
    marked,
    reads,
    stated,
    zero_of_unanswered,
)

_TALK = {"first_of": ["connectedCallLengthInSeconds", "callConnectionLength"]}
_STATUSES = {
    "connected": "ANSWER",
    "not connected": "CANCEL",
    "voicemail": "IVR_DROPOFF",
}

_talk = reader_of(_TALK)


@reads("hasVoiceMail", "hasConnected", _TALK)
def status(row: Row) -> str | None:
    """``voicemail`` if ``hasVoiceMail`` says yes; ``connected`` if ``hasConnected`` says yes (without this column: if
    the connected call length is above 0); else ``not connected``.
    """
    # For speed: most rows need no closer look at this flag.
    if row.get("hasVoiceMail") is not False and stated(row, "hasVoiceMail"):
        return "voicemail"
    connected = row.get("hasConnected")
    if connected is not True and connected is not False:
        connected = stated(row, "hasConnected")
    if connected is None:
        talk = _talk.read(row)
        if normalize.is_absent(talk):
            raise normalize.UnfitValue(
                "cannot be known: the call has neither hasConnected nor a connected call length", ProblemCode.MISSING
            )
        connected = normalize.seconds(talk) > 0
    return "connected" if connected else "not connected"


@reads("isDuplicate", "hasPreviouslyConnected")
def repeat_caller(row: Row) -> str | None:
    """``repeat`` if ``isDuplicate`` or ``hasPreviouslyConnected`` says yes; ``new`` if one says no and none yes."""
    said = [stated(row, "isDuplicate"), stated(row, "hasPreviouslyConnected")]
    return "repeat" if True in said else "new" if False in said else None


_zero = zero_of_unanswered(status, _STATUSES)

PRESET = VendorPreset(
    name="ringba",
    title="Ringba",
    facts=(
        "Ringba API, https://developers.ringba.com/: the call log and its columns",
        "Ringba's samples, https://github.com/Ringba/ringba-api-samples: epoch milliseconds, when a call is live, and "
        "the names of the older form, dtStamp and callConnectionLength",
        "Ringba support, Call Details Report Events Reference, "
        "https://support.ringba.com/hc/en-us/articles/33636912201751: connected, blocked and duplicate calls",
        "Ringba support, Most Common Tokens, https://support.ringba.com/hc/en-us/articles/17993303467799: tags",
        "Ringba support, Pixels, https://support.ringba.com/hc/en-us/articles/17998491616535: when each is fired",
    ),
    mapping={
        "EventDate": {"first_of": ["callDt", "dtStamp"]},
        "CallSessionId": "inboundCallId",
        "CallerId": "inboundPhoneNumber",
        "CalledPhoneNumber": "number",
        "CallDuration": "callLengthInSeconds",
        "TalkDuration": {"first_of": [_zero, *_TALK["first_of"]]},
        "CallStatus": {"from": status, "values": _STATUSES},
        "ClickId": "tag:User:irclickid",
        "City": {"first_of": ["tag:Address:City", "tag:InboundNumber:City", "tag:Geo:City"]},
        "Region": {
            "first_of": [
                "tag:Address:State",
                "tag:InboundNumber:State",
                "tag:InboundNumber:Region",
                "tag:Geo:SubDivisionCode",
            ]
        },
        "Zip": {"first_of": ["tag:Address:Zip 5", "tag:Geo:ZipCode"]},
        "RepeatCaller": repeat_caller,
        "CallRecording": "recordingUrl",
        "UserAgent": "tag:Technology:UserAgentString",
    },
    known_by=("inboundCallId",),
    blanks=("-no value-",),
    filters=(
        marked("a call that has not ended", "isLive", unfinished=True, guard="ended"),
        marked("a call that Ringba blocked", "wasBlocked"),
        anonymous("inboundPhoneNumber"),
    ),
    join=latest(),
    notes=(
        "Ringba does not have impact.com's ids: its ``campaignId`` (CA and 32 characters) is another id. Give "
        "``MediaId`` by ``number`` as above, by ``publisherId`` in the same way, or from ``publisherSubId`` if you "
        "keep it there.",
        "Ask the API for the columns below, in ``valueColumns``. A tag is a column too, such as "
        "``tag:User:irclickid``.",
        "Leave ``formatDateTime`` off: ``callDt`` is then exact, in epoch milliseconds. Formatted, it is a local time "
        "without an offset. Durations may be formatted (``formatTimespans``, HH:MM:SS).",
        "A pixel's columns have the names that your account gave them: use the names of the API, or map them. Fire "
        "the pixel on *Finalized*, which every call reaches, connected or not.",
        "The older form of the API, with a list of columns in each call, must be flattened first.",
        "Calls with ``isDuplicate``, and calls that did not convert, are delivered: impact.com's contract decides "
        "what is paid. ``conversionAmount`` and ``payoutAmount`` are the call's worth between you and others, not a "
        "sale's amount, and are not sent.",
        "Inferred: impact.com's status for each word, and the meaning of ``hasVoiceMail``. Ringba lists no reasons why "
        "a call did not connect, so each such call is ``CANCEL``.",
    ),
)
