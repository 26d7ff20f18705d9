from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_impactcall.records import PARAMETERS, CallRecord, CallStatus
from airflow_provider_impactcall.sandbox.validation import FORM, find_problems, read_pairs
from tests.tables import table

from .wire import CALL


def wrong(**changes: str | None) -> dict[str, str]:
    call = {name: value for name, value in (CALL | changes).items() if value is not None}
    return {problem.parameter: problem.message for problem in find_problems(list(call.items()))}


def test_a_documented_call_has_no_problem() -> None:
    assert wrong() == {}


def test_the_required_are_required() -> None:
    with table() as row:
        for name in (name for name, parameter in PARAMETERS.items() if parameter.required):
            with row(name):
                assert wrong(**{name: None}) == {name: "is missing"}
                assert list(wrong(**{name: ""})) == [name]
                assert list(wrong(**{name: " "})) == [name]


def test_ten_are_required() -> None:
    assert set(wrong(**dict.fromkeys(CALL))) == set(CALL)
    assert len(CALL) == 10


@pytest.mark.parametrize("name", [p.name for p in PARAMETERS.values() if p.type == "integer" and p.name != "Zip"])
def test_integers_are_digits(name: str) -> None:
    with table() as row:
        for value in ("-1", "1.0", "+1", "1e3", "0x1", "١", " 1", "1\n", "9" * 5000):
            with row(repr(value)):
                assert name in wrong(**{name: value})


@pytest.mark.parametrize("name", ["SaleAmount", "ReferenceId"])
def test_numbers_are_decimal(name: str) -> None:
    good, bad = ("12.50", "-12", "0"), ("1,200", "$1", "1e3", "nan")
    with table() as row:
        for value in (*good, *bad):
            with row(value):
                assert (name not in wrong(**{name: value})) is (value in good)


def test_zip_is_text() -> None:
    with table() as row:
        for value in ("02139", "K1A 0B1", ""):
            with row(repr(value)):
                assert wrong(Zip=value) == {}


def test_limits_count_characters() -> None:
    with table() as row:
        for name in (p.name for p in PARAMETERS.values() if p.limit):
            with row(name):
                assert wrong(**{name: "東" * 64}) == {}
                assert wrong(**{name: "x" * 65}) == {name: "must have at most 64 characters, and has 65"}


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        pytest.param("CallStatus", list(CallStatus), ["answer", ""], id="CallStatus"),
        pytest.param("PhoneType", ["Landline", "Mobile", ""], ["mobile"], id="PhoneType"),
        pytest.param(
            "EventDate",
            ["2026-09-10T22:55:32-08:00", "2024-02-29T00:00:00+05:45"],
            [
                "2026-02-29T00:00:00+00:00",
                "2026-09-10T25:00:00+00:00",
                "2026-09-10T22:55:32",
                "2026-09-10T22:55:32Z",
                "2026-09-10T22:55:32.5+00:00",
                "2026-09-10 22:55:32+00:00",
                "2026-09-10T22:55:32 00:00",
                "2026-09-10T22:55:32-08:00:30",
                "2026-09-10T22:55:32-08:00\n",
                "NOW",
            ],
            id="EventDate",
        ),
        pytest.param(
            "CalledPhoneNumber",
            ["(866) 555 1234", "866-555-1234", "8665551234", "+442079460000"],
            ["(866) 555-1234", "18665551234", "866.555.1234", "+"],
            id="CalledPhoneNumber",
        ),
        pytest.param("TalkDuration", ["120"], ["121"], id="TalkDuration"),
    ],
)
def test_forms(name: str, good: list[str], bad: list[str]) -> None:
    with table() as row:
        for value in (*good, *bad):
            with row(repr(value)):
                assert list(wrong(**{name: value})) == ([] if value in good else [name])


def test_an_unencoded_plus_is_explained() -> None:
    pairs = read_pairs("/?EventDate=2026-09-10T22:55:32+00:00", b"", "")
    assert any("%2B" in problem.message for problem in find_problems(pairs) if problem.parameter == "EventDate")


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    assert wrong(campaign_id="1") == {
        "campaign_id": "is not one of impact.com's 50 parameters; did you mean CampaignId?"
    }
    assert wrong(zzzz="1") == {"zzzz": "is not one of impact.com's 50 parameters"}


@pytest.mark.parametrize(
    ("target", "body"),
    [
        (f"/?{urlencode(CALL)}&MediaId=10042", b""),
        (f"/?{urlencode(CALL)}", b"MediaId=10042"),
        ("/", urlencode(CALL).encode() + b"&MediaId=1"),
    ],
)
def test_a_parameter_given_twice_is_refused(target: str, body: bytes) -> None:
    problems = find_problems(read_pairs(target, body, FORM))
    assert [(problem.parameter, problem.message) for problem in problems] == [("MediaId", "is given 2 times")]


@pytest.mark.parametrize("encoded", ["%FF", "caf%E9", "%ED%A0%80", "%C3"])
def test_bytes_that_are_not_utf8_are_refused(encoded: str) -> None:
    query = f"{urlencode(CALL)}&City={encoded}&Nonsense{encoded}=1"
    from_query = find_problems(read_pairs(f"/?{query}", b"", ""))
    from_form = find_problems(read_pairs("/", query.encode(), FORM))
    assert from_query == from_form
    assert (from_query[0].parameter, from_query[0].message) == ("City", "is not UTF-8")
    assert from_query[1].parameter.startswith("Nonsense")
    assert from_query[1].parameter.isascii()


def test_raw_bytes_in_a_form_are_refused_too() -> None:
    problems = find_problems(read_pairs("/", urlencode(CALL).encode() + b"&City=caf\xe9", FORM))
    assert [str(problem) for problem in problems] == ["City is not UTF-8"]


def test_a_body_that_is_no_form_holds_no_parameters() -> None:
    assert read_pairs("/?City=a", b"Region=b", "application/octet-stream") == [("City", "a")]


def test_every_problem_is_found_at_once_in_the_order_of_the_page() -> None:
    found = wrong(TalkDuration="500", Nonsense="1", CampaignId="x", CallStatus="?", MediaId=None)
    assert list(found) == ["CampaignId", "MediaId", "TalkDuration", "CallStatus", "Nonsense"]


def test_no_message_quotes_a_value() -> None:
    secret = "8055559876"
    messages = wrong(**dict.fromkeys(PARAMETERS, secret + "?" * 64))
    assert len(messages) > 10
    assert not any(secret in message for message in messages.values())


TEXT = st.characters(codec="utf-8", exclude_characters="\0")


@given(
    st.fixed_dictionaries(
        {
            "CampaignId": st.integers(0, 2**63),
            "MediaId": st.integers(0, 2**63),
            "EventDate": st.datetimes(datetime(1990, 1, 2), datetime(2026, 1, 1), timezones=st.timezones()),
            "ActionTrackerId": st.integers(0, 2**63),
            "CallProvider": st.text(TEXT, min_size=1, max_size=64).filter(str.strip),
            "CallSessionId": st.text(TEXT, min_size=1).filter(str.strip),
            "CallerId": st.sampled_from(["+18055551234", "(805) 555-1234", "+442079460000"]),
            "CalledPhoneNumber": st.sampled_from(["866.555.1234", "18665551234", "+4930901820"]),
            "CallDuration": st.just(600),
            "TalkDuration": st.integers(0, 600),
            "CallStatus": st.sampled_from(CallStatus),
            "PhoneType": st.sampled_from(["Landline", "Mobile", ""]),
            "City": st.text(TEXT),
            "SaleAmount": st.decimals(allow_nan=False, allow_infinity=False, places=2),
            "Zip": st.text(TEXT),
        }
    )
)
def test_what_the_client_calls_valid_is_valid_on_the_wire(values: dict[Any, Any]) -> None:
    parameters = CallRecord.of(values).parameters()
    pairs = read_pairs("/?" + urlencode(parameters), b"", "")
    assert dict(pairs) == parameters
    assert find_problems(pairs) == []
