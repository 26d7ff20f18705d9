"""What leaves can be read back as the same call, and rows of anything raise nothing of their own."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import pandas as pd
import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import example_number

from airflow_provider_impactcall.delivery.wire.endpoint import encode
from airflow_provider_impactcall.exceptions import CallLeftOut, InvalidCall
from airflow_provider_impactcall.records import PARAMETERS, CallMapping, CallStatus
from airflow_provider_impactcall.records.vendors import VENDORS
from tests.effort import scaled
from tests.records.vendors.payloads import PAYLOADS, load

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=64).filter(
    str.strip
)
IDS = st.one_of(st.integers(0, 2**53), st.integers(0, 2**70).map(str), st.integers(0, 10**9).map(float))
SECONDS = st.integers(0, 86_400).flatmap(
    lambda seconds: st.sampled_from(
        [seconds, str(seconds), float(seconds), timedelta(seconds=seconds), Decimal(seconds), f"PT{seconds}S"]
    )
)
MOMENTS = st.datetimes(datetime(1990, 1, 2), datetime(2100, 1, 1)).flatmap(
    lambda moment: st.one_of(
        st.sampled_from([-480, 0, 330, 765]).map(lambda m: moment.replace(tzinfo=timezone(timedelta(minutes=m)))),
        st.just(moment.replace(tzinfo=UTC).isoformat()),
        st.just(f"{moment:%a, %d %b %Y %H:%M:%S} +0000"),
        st.just(f"{moment:%Y-%m-%d %I:%M %p} -04:00"),
        st.just(max(int(moment.replace(tzinfo=UTC).timestamp()), 10**9)),
        st.just(pd.Timestamp(moment, tz="Europe/Berlin")),
    )
)
NUMBERS = st.one_of(
    st.tuples(st.sampled_from([212, 303, 415, 617]), st.integers(100, 199)).map(lambda n: f"({n[0]}) 555-0{n[1]}"),
    st.sampled_from([found for each in sorted(phonenumbers.SUPPORTED_REGIONS) if (found := example_number(each))])
    .map(lambda number: phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
    .filter(lambda number: phonenumbers.region_code_for_number(phonenumbers.parse(number)) is not None),
)
OPTIONAL = {
    "SaleAmount": st.decimals(0, 10**9, places=2, allow_nan=False, allow_infinity=False),
    "ReferenceId": st.integers(0, 10**9),
    "AdId": IDS,
    "IvrDuration": SECONDS,
    "PhoneType": st.sampled_from(["Landline", "Mobile", ""]),
}
DERIVED = ("CallerPhoneNumberCountry", "CalledPhoneNumberCountry")


@st.composite
def valid_rows(draw: st.DrawFn) -> dict[str, Any]:
    """Rows that are calls, in any of the forms that values come in."""
    row: dict[str, Any] = {
        "CampaignId": draw(IDS),
        "MediaId": draw(IDS),
        "EventDate": draw(MOMENTS),
        "ActionTrackerId": draw(IDS),
        "CallProvider": draw(TEXT),
        "CallSessionId": draw(TEXT),
        "CallerId": draw(NUMBERS),
        "CalledPhoneNumber": draw(NUMBERS),
        "CallDuration": 86_400,
        "TalkDuration": draw(SECONDS),
        "CallStatus": draw(st.sampled_from(CallStatus)),
    }
    for name, parameter in PARAMETERS.items():
        if name not in row and name not in DERIVED and draw(st.booleans()):
            row[name] = draw(OPTIONAL.get(name, TEXT if parameter.type == "string" or name == "Zip" else IDS))
    return row


@given(row=valid_rows(), form=st.sampled_from(["national", "e164"]))
def test_what_leaves_reads_back_as_the_same_call(row: dict[str, Any], form: Any) -> None:
    mapping = CallMapping(caller_id_format=form, clock=datetime(2101, 1, 1, tzinfo=UTC).timestamp)
    call = mapping.record(row)
    sent = dict(parse_qsl(encode(call.parameters()).decode(), keep_blank_values=True, strict_parsing=True))
    assert sent == call.parameters()
    assert mapping.record(sent) == call
    assert mapping.record(sent).parameters() == sent, "normalised twice is normalised once"


JUNK: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 10**12, 1_751_906_684, 1_751_906_684_561, 10**40, 2.5, 1e300, float("nan"),
    float("inf"), "", " ", "0", "no", "true", "completed", "answered", "In Progress", "inbound", "outbound",
    "anonymous", "+12125550142", "sip:+12125550142@example.com", "(212) 555-0142", "12", "\ud800", "\0", "x" * 5000,
    "2026-09-10T22:55:32-08:00", "Fri, 18 Oct 2019 17:02:00 +0000", "2026-02-30", "PT3M", "1:02:03", "$1,234.50", "{",
    "[1, 2", '{"id": 1}', "NaN", b"\xff", bytearray(b"x"), Decimal("1.5"), Decimal("NaN"), Decimal("1E+999999"), (),
    [], [None], [1, [2]], {}, {"a": {}}, datetime(2026, 1, 1), datetime.max.replace(tzinfo=UTC), timedelta(seconds=5),
    timedelta(seconds=0.5), object(), int, np.int64(5), np.float32("nan"), np.datetime64("2026-01-01"),
    np.timedelta64("NaT"), np.array([1, 2]), pd.NA, pd.NaT, pd.Timestamp("2026-01-01"), pd.Timedelta("1s"),
)  # fmt: skip
GOOD = {
    "CampaignId": 1, "MediaId": 2, "EventDate": "2026-09-10T22:55:32-08:00", "ActionTrackerId": 3,
    "CallProvider": "x", "CallSessionId": "a", "CallerId": "2125550142", "CalledPhoneNumber": "3035550191",
    "CallDuration": 9, "TalkDuration": 5, "CallStatus": "ANSWER",
}  # fmt: skip
RICH: dict[str, Any] = {
    "MediaId": {"from": "MediaId", "lookup": {"2": 20, "2125550142": 21}, "default": 22},
    "CallStatus": {"from": "CallStatus", "values": {"answer": "ANSWER", "no": "CANCEL"}},
    "City": "Keypresses.0.city",
    "Region": {"first_of": ["SubId1.a.b", "SubId2", {"constant": "x"}]},
}
INBOUND: dict[str, dict[str, Any]] = {
    "calltrackingmetrics": {"direction": "inbound"},
    "twilio": {"direction": "inbound", "parent_call_sid": None},
}
MAPPINGS = {
    "by name": (CallMapping(timezone="America/New_York"), GOOD),
    "by a mapping": (CallMapping(RICH, timezone="Europe/Berlin"), {**GOOD, **dict.fromkeys(PARAMETERS, None), **GOOD}),
    **{
        vendor: (
            CallMapping(defaults=GOOD, constants={"MediaId": 5}, vendor=vendor),
            load(PAYLOADS[vendor]) | INBOUND.get(vendor, {}),
        )
        for vendor in VENDORS
    },
}


@pytest.mark.parametrize("name", MAPPINGS)
def test_rows_of_anything_raise_nothing_of_their_own(name: str) -> None:
    """Each a good one in which up to six values are anything; at night there are half a million."""
    mapping, good = MAPPINGS[name]
    chance = random.Random(name)
    columns = list(good)
    outcomes: Counter[str] = Counter()
    rows = scaled(100_000 // len(MAPPINGS))
    for _ in range(rows):
        row = dict(good)
        for column in chance.sample(columns, chance.randrange(min(7, len(columns)))):
            row[column] = chance.choice(JUNK)
        try:
            mapping.record(row).parameters()
            outcomes["call"] += 1
        except (InvalidCall, CallLeftOut) as error:
            outcomes[type(error).__name__] += 1
    assert outcomes["call"] > rows * 0.01
    assert outcomes["InvalidCall"] > rows * 0.1
