"""What leaves, byte for byte."""

from __future__ import annotations

import base64
import string
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_impactcall.delivery.outcome import AttemptResult, ReasonCode
from airflow_provider_impactcall.delivery.wire.endpoint import FORM, PATH, Endpoint, ParametersIn, encode
from airflow_provider_impactcall.records import PARAMETERS, CallRecord
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples
from tests.delivery import canary
from tests.delivery.raw_server import RawServer, answer, endpoint, says, send
from tests.effort import scaled
from tests.tables import table

UNRESERVED = set(string.ascii_letters + string.digits + "-._~")
PLACES: tuple[ParametersIn, ...] = ("query", "form")

_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=5) | st.sampled_from(
    [
        "a+b c&d=e%f:g;h",
        "%2B%20",
        "'\"<>\\/?#[]@!$()*,",
        "👩‍👩‍👧 ☎️",
        "漢" * 64,
        "line\r\nbreak\ttab",
        "\x01\x7f",
        "NaN",
        " padded ",
        "é",
        "e\u0301",
        "\U0010ffff",
    ]
)
_SHORT = _TEXT.map(lambda text: text[:64])
_FILLED = _SHORT.filter(str.strip)
_OWN: dict[str, st.SearchStrategy[Any]] = {
    "CampaignId": st.integers(0, 10**12),
    "MediaId": st.integers(0, 10**12),
    "EventDate": st.sampled_from(["2026-09-10T22:55:32-08:00", "2026-09-10T22:55:32+00:00"]),
    "ActionTrackerId": st.integers(0, 10**12),
    "CallProvider": _FILLED,
    "CallSessionId": _FILLED,
    "CallerId": st.sampled_from([canary.CALLER, "+442079460123"]),
    "CalledPhoneNumber": st.just("3035550191"),
    "CallDuration": st.integers(100, 1000),
    "TalkDuration": st.integers(0, 100),
    "CallStatus": st.sampled_from(PARAMETERS["CallStatus"].allowed),
    "CallerPhoneNumberCountry": st.none(),
    "CalledPhoneNumberCountry": st.none(),
    "PhoneType": st.sampled_from(["Landline", "Mobile", ""]),
    "Zip": _TEXT,
}
_BY_TYPE: dict[str, st.SearchStrategy[Any]] = {
    "integer": st.integers(0, 10**9),
    "number": st.decimals(-(10**12), 10**12, places=2).map(lambda number: format(number, "f")),
    "string": _TEXT,
}


def _values(name: str) -> st.SearchStrategy[Any]:
    parameter = PARAMETERS[name]
    values = _OWN.get(name, _SHORT if parameter.limit else _BY_TYPE[parameter.type])
    return values if parameter.required or name == "CallStatus" else st.none() | values


CALLS = st.fixed_dictionaries({name: _values(name) for name in PARAMETERS}).map(CallRecord.of)


def decoded(text: str) -> list[tuple[str, str]]:
    """By hand: no library's idea of what a plus or a semicolon is."""
    pairs = (pair.split("=") for pair in text.split("&"))
    return [(unquote_to_bytes(name).decode(), unquote_to_bytes(value).decode()) for name, value in pairs]


@settings(suppress_health_check=[HealthCheck.large_base_example, HealthCheck.too_slow], deadline=None)
@given(CALLS)
def test_every_call_is_encoded_to_the_last_reserved_byte_and_back(record: CallRecord) -> None:
    parameters = record.parameters()
    encoded = encode(parameters).decode()
    assert set(encoded) <= UNRESERVED | set("%&=")
    assert decoded(encoded) == list(parameters.items())


def test_every_sign_in_a_value_is_encoded_if_it_is_reserved() -> None:
    """Each sign alone, and beside signs that the escapes hold."""
    with table() as row:
        for sign in map(chr, range(256)):
            with row(sign):
                expected = sign if sign in UNRESERVED else "".join(f"%{each:02X}" for each in sign.encode())
                encoded = encode({"City": f"{sign}a%20{sign}", "Zip": "1"})
                assert encoded.decode() == f"City={expected}a%2520{expected}&Zip=1"


@settings(max_examples=scaled(40), suppress_health_check=list(HealthCheck), deadline=None)
@given(records=st.lists(CALLS, min_size=1, max_size=2), place=st.sampled_from(PLACES))
async def test_all_fifty_parameters_over_the_wire(
    records: list[CallRecord], place: ParametersIn, sandbox: Sandbox
) -> None:
    sandbox.reset()
    target = endpoint(sandbox.url, parameters_in=place)
    async with target.connections(1) as connections:
        for record in records:
            attempt = await connections.send(target.request(record))
            assert attempt.result in (AttemptResult.DELIVERED, AttemptResult.REJECTED)
    for record, request in zip(records, sandbox.requests, strict=True):
        encoded = encode(record.parameters()).decode()
        assert request.method == "POST"
        if place == "query":
            assert (request.target, request.body) == (f"{PATH}?{encoded}", b"")
            assert request.headers.get("Content-Length") == "0"
        else:
            assert (request.target, request.body) == (PATH, encoded.encode())
            assert request.headers["Content-Type"] == FORM
            assert request.headers["Content-Length"] == str(len(encoded))
        assert request.headers.getall("Accept") == ["application/json"]  # type: ignore[attr-defined]
        assert request.headers.getall("Authorization") == [target.authorization]  # type: ignore[attr-defined]
        assert "Cookie" not in request.headers
        assert "Transfer-Encoding" not in request.headers


@pytest.mark.parametrize("place", PLACES)
async def test_the_endpoint_reads_what_was_written(place: ParametersIn, sandbox: Sandbox) -> None:
    awkward = {
        "EventDate": "2026-09-10T22:55:32+00:00",
        "City": "São Paulo + & = % : ; ' \" # ?",
        "SubId1": "漢" * 64,
        "ClickId": "aB:cD+/=%2B",
        "UserAgent": "👩‍👩‍👧\r\nX-Injected: 1",
        "PhoneType": "",
        "Zip": "02139",
    }
    row = canary.row() | awkward
    assert (await send(endpoint(sandbox.url, parameters_in=place), **awkward)).result is AttemptResult.DELIVERED
    processed = sandbox.calls[0]["parameters"]
    assert {name: processed[name] for name in awkward} == awkward
    assert processed == CallRecord.of(row).parameters()
    assert "X-Injected" not in sandbox.requests[0].headers


async def test_empty_and_absent_are_two_things(sandbox: Sandbox) -> None:
    await send(endpoint(sandbox.url), PhoneType="")
    await send(endpoint(sandbox.url), PhoneType=None)
    assert "&PhoneType=&" in sandbox.requests[0].target + "&"
    assert "PhoneType" not in sandbox.requests[1].target


@pytest.mark.parametrize(
    ("login", "password"),
    [
        ("user", "pass"),
        ("üser", "pässwörd"),
        ("a", ""),
        ("", ""),
        ("u", "p:q r+%&"),
        ("漢", "🔑"),
        ("u" * 200, "p" * 200),
    ],
)
async def test_credentials_are_basic_over_utf_8(login: str, password: str) -> None:
    async with Sandbox(user=login, password=password) as sandbox:
        attempt = await send(Endpoint(sandbox.url, login, password))
        assert attempt.result is AttemptResult.DELIVERED
        sent = sandbox.requests[0].headers["Authorization"]
        assert base64.b64decode(sent.removeprefix("Basic ")).decode("utf-8") == f"{login}:{password}"
        assert (await send(Endpoint(sandbox.url, login, password + "x"))).result is AttemptResult.ABORT


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_a_redirect_is_not_followed(status: str) -> None:
    async with RawServer(says(answer(b"", status, f"Location: {PATH}", "Connection: close"))) as server:
        attempt = await send(endpoint(server.url))
        assert (attempt.result, attempt.status) == (AttemptResult.ABORT, int(status[:3]))
        assert len(server.heads) == 1


async def test_a_megabyte_fits_a_form_and_no_query(sandbox: Sandbox) -> None:
    long = "x" * 1_000_000
    refused = await send(endpoint(sandbox.url), UserAgent=long)
    assert refused.result is AttemptResult.REJECTED
    assert (refused.code, refused.status) == (ReasonCode.TOO_LONG, None)
    assert "parameters_in=form" in refused.reason, "what would help is named"
    assert sandbox.counts["requests"] == 0, "which is found out before anything leaves"
    assert (await send(endpoint(sandbox.url, parameters_in="form"), UserAgent=long)).result is AttemptResult.DELIVERED
    assert sandbox.calls[0]["parameters"]["UserAgent"] == long


async def test_more_than_a_form_takes_has_no_remedy(sandbox: Sandbox) -> None:
    refused = await send(endpoint(sandbox.url, parameters_in="form"), UserAgent="x" * 1_100_000)
    assert refused.result is AttemptResult.REJECTED
    assert (refused.code, refused.status) == (ReasonCode.TOO_LONG, None)
    assert "parameters_in" not in refused.reason
    assert sandbox.counts["requests"] == 0


@pytest.mark.parametrize("size", [8_000, 40_000, 60_000])
async def test_a_long_query_is_sent_as_long_as_a_server_may_read_it(size: int, sandbox: Sandbox) -> None:
    assert (await send(endpoint(sandbox.url), UserAgent="x" * size)).result is AttemptResult.DELIVERED


def test_nothing_private_is_in_its_repr() -> None:
    shown = repr(endpoint("https://calls.example.com", proxy="http://proxy-user:canary-p@proxy.example.com"))
    assert "calls.example.com" in shown
    assert not canary.found_in(shown)
    assert examples.PASSWORD not in shown
