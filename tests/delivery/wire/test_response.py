from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import islice, product
from string import ascii_lowercase
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from airflow_provider_impactcall.defaults import RETRY_STATUSES
from airflow_provider_impactcall.delivery.outcome import AttemptResult, ReasonCode
from airflow_provider_impactcall.delivery.wire.response import attempt_of, wait_asked_for
from airflow_provider_impactcall.delivery.wire.scrubbing import scrubbed
from airflow_provider_impactcall.records import PARAMETERS
from tests import examples
from tests.delivery import canary
from tests.steps import at_most
from tests.tables import table

HTML = b"<!DOCTYPE html><html><head><title>Status OK</title></head><body>OK</body></html>"


def verdict(status: int, body: bytes) -> tuple[AttemptResult, ReasonCode]:
    attempt = attempt_of(status, CIMultiDict(), body)
    assert attempt.status == status
    return attempt.result, attempt.code


def of(status: int, body: bytes = b"", **headers: str) -> tuple[AttemptResult, str]:
    attempt = attempt_of(status, CIMultiDict(headers), body)
    assert attempt.status == status
    return attempt.result, attempt.reason


SAYS_OK = {
    "JSON": [
        b'{"Status": "OK",}',
        b'{"Status": "OK"}',
        b'{"status":"ok"}',
        b'{"STATUS":"Ok"}',
        b'{ "Status" : " OK " , \n }',
        b'\xef\xbb\xbf{"Status": "OK"}',
        b'\r\n\t {"Status": "OK",\r\n}\r\n',
        b'{"Status": "OK", "Message": "", "Errors": [],}',
        b'{"Message": "done", "Status": "OK"}',
        b'{"Status": "OK", "status": "OK"}',
        b'{"Status": "\\u004fK"}',
    ],
    "XML": [
        b"<ImpactRadiusResponse><Status>OK</Status></ImpactRadiusResponse>",
        b"<?xml version='1.0' encoding='UTF-8'?>\n<R><Status>ok</Status></R>",
        b"\xef\xbb\xbf<R><Status> OK </Status></R>",
        b'<R xmlns="http://example.com/"><Status>OK</Status></R>',
    ],
}


@pytest.mark.parametrize("form", SAYS_OK)
def test_delivered(form: str) -> None:
    with table() as row:
        for status, body in product([200, 201, 202, 299], SAYS_OK[form]):
            with row((status, body)):
                assert verdict(status, body) == (AttemptResult.DELIVERED, ReasonCode.OK)


SAYS_NEITHER = {
    "nothing": [b"", b" ", b"null", b"[]", b"{}"],
    "OK alone": [b"OK", b'"OK"', b"true", b"<Status>OK</Status>"],
    "a list": [b'["Status", "OK"]', b'[["Status", "OK"]]', b'[{"Status": "OK"}]'],
    "cut": [b'{"Status": "OK"', b'{"Status": "O', b"<R><Status>OK</Status>"],
    "more after it": [b'{"Status": "OK"} trailing'],
    "a Status that is no word": [
        b'{"Status": ""}',
        b'{"Status": null}',
        b'{"Status": true}',
        b'{"Status": ["OK"]}',
        b'{"Status": {"Status": "OK"}}',
        b"<R><Status/></R>",
    ],
    "a Status further in": [b'{"Result": {"Status": "OK"}}', b"<R><Result><Status>OK</Status></Result></R>"],
    "both": [
        b'{"Status": "OK", "Status": "ERROR"}',
        b'{"Status": "ERROR", "status": "OK"}',
        b"<R><Status>OK</Status><Status>ERROR</Status></R>",
    ],
    "another word": [b'{"Status": "QUEUED"}', b'{"Status": "NOT OK"}', b'{"StatusOK": "OK"}'],
    "too much": [
        b'{"Status": ' + b"9" * 5000 + b"}",
        b'{"Status": ' + b'{"a":' * 500 + b"1" + b"}" * 501,
        b"[" * 30_000,
        b'{"a":' * 10_000,
        b"<R><S>" * 3_000,
    ],
    "an entity": [b'<!DOCTYPE R [<!ENTITY ok "OK">]><R><Status>&ok;</Status></R>'],
    "HTML": [HTML, b"<html><body>Down for maintenance</body></html>"],
    "bytes": [b"<R>\x00<Status>OK</Status></R>", b"\xff\xfe{\x00", b"\x00"],
}


@pytest.mark.parametrize("kind", SAYS_NEITHER)
def test_a_success_that_says_neither_ok_nor_error_is_unknown(kind: str) -> None:
    with table() as row:
        for body in SAYS_NEITHER[kind]:
            with row(body[:80]):
                assert verdict(200, body) == (AttemptResult.UNKNOWN, ReasonCode.NO_VERDICT)


def test_204_says_nothing() -> None:
    assert of(204)[0] is AttemptResult.UNKNOWN


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"Status": "ERROR"}', "Status ERROR"),
        (b'{"status": "error", "message": "No such tracker"}', "Status ERROR; No such tracker"),
        (
            b'{"Status":"ERROR","Message":"Validation Failed","Errors":[{"Field":"MediaId","Message":"Not numeric"}]}',
            "Status ERROR; Validation Failed; MediaId; Not numeric",
        ),
        (
            b'{"Status":"ERROR","errors":[{"field":"MediaId","level":"ERROR","message":"Not numeric"},]}',
            "Status ERROR; MediaId; Not numeric",
        ),
        (
            b"<R><Status>ERROR</Status><Errors><Error><Field>Zip</Field><Message>bad</Message></Error></Errors></R>",
            "Status ERROR; Zip; bad",
        ),
        (b'{"Status": "ERROR", "Message": 5, "Errors": "x"}', "Status ERROR; x"),
        (b'{"Status": "ERROR", "Message": "No", "Errors": null}', "Status ERROR; No"),
        (b'{"Status": "ERROR", "Warnings": [{"Message": "Another matter"}]}', "Status ERROR; Another matter"),
        (b'{"Status": "ERROR", "Errors": [1, null, ["Message"], {"Message": null}]}', "Status ERROR; Message"),
        (b'{"Status": "ERROR", "Message": 5, "Errors": [1, null, {"Message": null}]}', "Status ERROR"),
    ],
)
def test_status_error_is_rejected_with_what_it_says(body: bytes, reason: str) -> None:
    assert of(200, body) == (AttemptResult.REJECTED, f"200 {reason}")
    assert of(400, body) == (
        AttemptResult.REJECTED,
        f"400 {reason.removeprefix('Status ERROR').removeprefix('; ')}".strip(),
    )


@pytest.mark.parametrize(
    ("statuses", "state"),
    [
        ({429, 500, 503}, AttemptResult.AGAIN),
        ({400, 403, 409, 413, 414, 422}, AttemptResult.REJECTED),
        ({401, 402, 404, 405, 407, 415, 300, 301, 302, 303, 304, 307, 308}, AttemptResult.ABORT),
        (
            {408, 502, 504, 501, 505, 507, 511, 520, 599, 406, 410, 411, 412, 418, 421, 425, 431, 451},
            AttemptResult.UNKNOWN,
        ),
        ({100, 101, 199, 600, 999}, AttemptResult.UNKNOWN),
    ],
)
def test_every_other_status_has_one_meaning_whatever_the_body_says(statuses: set[int], state: AttemptResult) -> None:
    bodies = [b"", b'{"Status": "OK"}', HTML, b'{"Status": "ERROR", "Message": "no"}']
    with table() as row:
        for status, body in product(statuses, bodies):
            with row((status, body)):
                assert of(status, body)[0] is state


def test_every_status_has_an_outcome() -> None:
    states = {status: of(status)[0] for status in range(100, 600)}
    assert {status for status, state in states.items() if state is AttemptResult.AGAIN} == set(RETRY_STATUSES)
    assert AttemptResult.NOT_SENT not in states.values(), "what was answered had left"
    assert AttemptResult.DELIVERED not in states.values(), "no status alone says that a call was taken"


def test_other_statuses_can_be_taken_as_not_processed() -> None:
    with table() as row:
        for status in (408, 502, 504, 403):
            with row(status):
                attempt = attempt_of(status, CIMultiDict({"Retry-After": "5"}), b"", retry_statuses=[status])
                assert (attempt.result, attempt.retry_after) == (AttemptResult.AGAIN, 5.0)


def test_nothing_has_to_be_taken_as_not_processed() -> None:
    results = {status: attempt_of(status, {}, b"", retry_statuses=()).result for status in RETRY_STATUSES}
    assert results == dict.fromkeys(RETRY_STATUSES, AttemptResult.UNKNOWN)


def test_only_an_answer_that_is_tried_again_asks_to_wait() -> None:
    headers = CIMultiDict({"Retry-After": "5"})
    assert attempt_of(503, headers, b"").retry_after == 5.0
    assert {attempt_of(status, headers, b'{"Status":"OK"}').retry_after for status in (200, 302, 400, 502)} == {None}


NOW = datetime(2026, 9, 10, 22, 55, 32, tzinfo=UTC)


def http_date(seconds: float) -> str:
    return format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)


WAITS = {
    "seconds": {"0": 0.0, "1": 1.0, " 30 ": 30.0, "1.5": 1.5, "0.001": 0.001, "3600": 3600.0},
    "more than an hour": {"86400": 3600.0, "999999999": 3600.0, http_date(86400): 3600.0, "999999999999999": 3600.0},
    "a date": {
        http_date(30): 30.0,
        "Thursday, 10-Sep-26 22:55:42 GMT": 10.0,
        "Thu, 10 Sep 2026 22:55:42 -0000": 10.0,
        "Thu, 10 Sep 2026 23:55:42 +0100": 10.0,
    },
    "the epoch": {str(int(NOW.timestamp()) + 20): 20.0, f"{int(NOW.timestamp()) + 20}.5": 20.5},
    "what is over": {http_date(-30): 0.0, str(int(NOW.timestamp()) - 20): 0.0, "1487332519": 0.0},
}


@pytest.mark.parametrize("kind", WAITS)
def test_a_wait_that_is_asked_for(kind: str) -> None:
    headers = ["Retry-After", "RateLimit-Reset", "X-RateLimit-Reset", "retry-after"]
    with table() as row:
        for header, (text, seconds) in product(headers, WAITS[kind].items()):
            with row((header, text)):
                assert wait_asked_for(CIMultiDict({header: text}), NOW) == pytest.approx(seconds)


GARBAGE = [
    "",
    "soon",
    "-5",
    "+5",
    "nan",
    "NaN",
    "inf",
    "Infinity",
    "1e3",
    "0x10",
    "1,5",
    "5 s",
    "5s",
    "٣",
    "²",
    "9" * 400,
    "2026-09-10T22:55:42Z",
    "Thu, 99 Sep 2026 22:55:42 GMT",
    "Thu, 10 Sep 2026 22:55:42 +99999999999999999999",
    "Thu, 10 Sep 99999999999999999999 22:55:42 GMT",
    "Thu, 10 Sep 2026 99999999999999999999:55:42 GMT",
]


def test_a_wait_that_makes_no_sense_is_none() -> None:
    with table() as row:
        for text in GARBAGE:
            with row(repr(text)):
                assert wait_asked_for(CIMultiDict({"Retry-After": text}), NOW) is None


def test_and_the_next_header_counts() -> None:
    with table() as row:
        for text in GARBAGE:
            with row(repr(text)):
                assert wait_asked_for(CIMultiDict({"Retry-After": text, "X-RateLimit-Reset": "7"}), NOW) == 7.0


def test_the_first_of_the_headers_counts() -> None:
    headers = CIMultiDict({"X-RateLimit-Reset": "3", "RateLimit-Reset": "2", "Retry-After": "1"})
    assert wait_asked_for(headers, NOW) == 1.0
    del headers["Retry-After"]
    assert wait_asked_for(headers, NOW) == 2.0
    assert wait_asked_for(CIMultiDict(), NOW) is None


def test_a_date_is_held_against_the_server_s_own_clock() -> None:
    headers = CIMultiDict({"Date": "Mon, 01 Jan 2001 00:00:00 GMT", "Retry-After": "Mon, 01 Jan 2001 00:00:45 GMT"})
    assert wait_asked_for(headers) == 45.0
    headers["Retry-After"] = str(int(datetime(2001, 1, 1, 0, 0, 45, tzinfo=UTC).timestamp()) + 10**9)
    assert wait_asked_for(headers) == 3600.0


def test_a_server_without_a_clock_is_held_against_ours() -> None:
    with table() as row:
        for date in ("", "yesterday", "Mon, 01 Jan 2001 00:00:00 +99999999999999999999"):
            with row(repr(date)):
                soon = format_datetime(datetime.now(UTC) + timedelta(seconds=1000), usegmt=True)
                wait = wait_asked_for(CIMultiDict({"Date": date, "Retry-After": soon}))
                assert wait is not None
                assert 0 < wait <= 1000


@given(st.dictionaries(st.sampled_from(["Date", "Retry-After", "RateLimit-Reset", "X-RateLimit-Reset"]), st.text()))
def test_no_header_makes_a_wait_that_cannot_be_waited(headers: dict[str, str]) -> None:
    wait = wait_asked_for(CIMultiDict(headers))
    assert wait is None or (0 <= wait <= 3600 and not math.isnan(wait))


_DATE_WORDS = st.sampled_from(
    ["Sun,", "06", "Nov", "1994", "08:49:37", "GMT", "+0000", "-99", "9" * 30, ",", ":", "jan-94", "+" + "9" * 20]
)


@given(st.lists(_DATE_WORDS, max_size=8).map(" ".join))
def test_no_date_raises(text: str) -> None:
    wait = wait_asked_for(CIMultiDict({"Retry-After": text, "Date": text}))
    assert wait is None or 0 <= wait <= 3600


@given(status=st.integers(100, 599), body=st.binary() | st.text().map(str.encode), cut=st.integers(0, 60))
def test_no_body_raises_and_none_but_a_whole_one_is_a_delivery(status: int, body: bytes, cut: int) -> None:
    assert of(status, body)[0] is not AttemptResult.DELIVERED
    whole = b'{"Status": "OK", "Message": "The call was accepted"}'
    assume(cut < len(whole))
    assert of(200, whole[:cut])[0] is AttemptResult.UNKNOWN


# What the endpoint's message says of a call


def test_no_digit_of_a_number_survives() -> None:
    spellings = [
        canary.CALLER,
        "(212) 555-0142",
        "212-555-0142",
        "212.555.0142",
        "+1 212 555 0142",
        "%2B12125550142",
        "212%2D555%2D0142",
        "&#50;&#49;&#50;&#53;&#53;&#53;&#48;&#49;&#52;&#50;",
        "\\u0032125550142",
        "2 1 2 5 5 5 0 1 4 2",
        "tel:+1-212-555-0142;ext=9",
        "x2125550142x",
        "２１２５５５０１４２",
    ]
    with table() as row:
        for spelled in spellings:
            with row(spelled):
                reason = scrubbed(f"CallerId {spelled} is not accepted", [canary.CALLER])
                assert reason.startswith("CallerId ")
                assert reason.endswith(" is not accepted")
                assert not re.search(r"\d", reason)


MESSAGES: dict[str, list[tuple[str, list[str], str]]] = {
    "the name of a parameter": [
        ("Key1 and CustomCallEvent3Value are wrong", [], "Key1 and CustomCallEvent3Value are wrong"),
        ("key1 is wrong", [], "* is wrong"),
        ("City is wrong", ["city"], "* is wrong"),
    ],
    "a private word": [
        ("Not found: Springfield", ["Springfield"], "Not found: *"),
        ("Not found: SPRINGFIELDS", ["springfield"], "Not found: *"),
        ("Not found: Spring", ["Springfield"], "Not found: *"),
        ("Not a number", ["CA9a3f", "Apartment A"], "Not a number"),
        ("Straße unknown", ["Straße"], "*?e unknown"),
        ("STRASSE unknown", ["Straße"], "* unknown"),
    ],
    "a private word that is encoded": [
        ("%53pringfield", ["Springfield"], "*"),
        ("&lt;Springfield&gt;", ["Springfield"], "<*>"),
        ("quoted \\nBob and \\u000aBob", ["Bob"], "quoted  * and  *"),
    ],
    "a recording's address": [
        ("CallRecording https://recordings.example.com/a.mp3", ["https://recordings.example.com/a.mp3"],
         "CallRecording *://*.*.*/a.*"),
    ],
    "what is not printable or no ASCII": [
        ("bad\nword\x01", [], "bad word "),
        ("wo\x00rd", [], "word"),
        ("Zürich", [], "Z?rich"),
    ],
    "length": [
        ("so " * 200, [], ("so " * 200)[:200]),
        ("x" * 64 + " " + "x" * 65, [], "x" * 64 + " *"),
        ("", [], ""),
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", MESSAGES)
def test_what_stays_and_what_goes(kind: str) -> None:
    with table() as row:
        for message, private, reason in MESSAGES[kind]:
            with row((message, private)):
                assert scrubbed(message, private) == reason


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("https://recordings.example.com/" + "a/" * 200 + "Kanarienvogel.mp3", "no kanarienvogel"),
        ("Jos\u00e9", "no Jose"),
        ("Jos\u00e9", "no Jose\u0301"),
        ("https://example.com/%4Bana", "no Kana"),
        ("Kanarienvogel", "no Ka\u00adna\u00adri\u00aden\u00advo\u00adgel"),
        ("Kanarienvogel", "no Ka&shy;na&#8203;ri&ZeroWidthSpace;en"),
        ("Bob\u200bby", "no Bobby"),
        ("Kanarienvogel", "no kanarienvogel".encode("utf-16-le").decode("latin-1")),
    ],
)
def test_nor_does_one_that_is_spelled_otherwise(value: str, message: str) -> None:
    assert set(re.findall("[a-z]+", scrubbed(message, [value]).casefold())) == {"no"}


_SPELLINGS: list[Callable[[str], str]] = [
    lambda value: value,
    str.upper,
    str.casefold,
    quote,
    lambda value: quote(value, safe=""),
    quote_plus,
    html.escape,
    lambda value: html.escape(quote(value)),
    lambda value: json.dumps(value),
    lambda value: json.dumps(value, ensure_ascii=False),
    repr,
    lambda value: f"prefix{value}suffix",
    lambda value: f"<{value}>",
]
# Letters, the space and the marks that addresses, names and URLs are made of; and anything at all.
_VALUES = st.text(st.characters(codec="utf-8"), max_size=30) | st.text(
    "abcdeABCDEéßſK019 -_./:@%+&;#\\'\"<>", max_size=20
)


@given(
    values=st.lists(_VALUES, min_size=1, max_size=4),
    spelling=st.sampled_from(_SPELLINGS),
    around=st.text("qwz 0123456789:;-", max_size=10),
)
@example(values=["Bob"], spelling=lambda value: f"\\n{value}", around="")
def test_no_word_of_a_private_value_survives(values: list[str], spelling: Callable[[str], str], around: str) -> None:
    reason = scrubbed(around.join(spelling(value) for value in values) + around, values)
    named = "|".join(PARAMETERS)
    rest = re.sub(rf"\b({named})\b", "", reason)
    assert len(reason) <= 200
    assert reason.isascii()
    assert reason.isprintable()
    assert not re.search(r"\d", rest)
    survivors = set(re.findall("[a-z]{3,}", rest.casefold()))
    for value in values:
        for word in re.findall("[a-z]{3,}", value.casefold()):
            assert word not in survivors
            assert len(word) == 3 or not any(word in survivor for survivor in survivors)


def test_the_names_of_parameters_stay_readable() -> None:
    # Values of the very same letters, such as the City of "city", do hide the name; any other does not.
    with table() as row:
        for name in PARAMETERS:
            with row(name):
                assert scrubbed(f"{name}: '{name}' is invalid", [canary.CALLER, canary.WORD, "Bob"]).count(name) == 2


def test_a_quoted_call_is_nowhere_in_the_reason() -> None:
    call = {name: str(value) for name, value in canary.row().items()}
    quoted = json.dumps(call)
    body = json.dumps({"Status": "ERROR", "Message": quoted, "Errors": [{"Field": "City", "Message": call["City"]}]})
    private = (*call.values(), examples.LOGIN, examples.PASSWORD)
    with table() as row:
        for status in (200, 400, 403, 422):
            with row(status):
                attempt = attempt_of(status, CIMultiDict(), body.encode(), private=private)
                assert attempt.result is AttemptResult.REJECTED
                assert not canary.found_in(attempt.reason)
                assert "City" in attempt.reason


# What a refusal says, in whatever shape


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"type":"https://example.com/probs/bad","title":"Bad request","status":422,"detail":"MediaId is unknown"}',
         "Bad request; MediaId is unknown"),
        (b'{"title":"Validation errors","errors":{"MediaId":["is unknown","is not yours"]},"traceId":"00-ab"}',
         "Validation errors; MediaId: is unknown; MediaId: is not yours"),
        (b'{"title":"Bad","invalid-params":[{"name":"MediaId","reason":"is unknown"}]}',
         "Bad; name: MediaId; is unknown"),
        (b'{"detail":[{"loc":["query","MediaId"],"msg":"field required","type":"missing"}]}',
         "loc: query; loc: MediaId; field required"),
        (b'{"MediaId":["This field is required."]}', "MediaId: This field is required."),
        (b'{"error":"invalid_request","error_description":"MediaId is unknown"}',
         "invalid_request; MediaId is unknown"),
        (b'{"error":{"code":"BAD_MEDIA","message":"MediaId is unknown","status":"INVALID"}}',
         "code: BAD_MEDIA; MediaId is unknown"),
        (b'{"errorMessage":"MediaId is unknown","path":"/calldata"}', "MediaId is unknown"),
        (b'{"result":"failure","why":"MediaId is unknown"}', "result: failure; why: MediaId is unknown"),
        (b'["MediaId is unknown","Zip is bad"]', "MediaId is unknown; Zip is bad"),
        (b'[{"message":"MediaId is unknown"},{"message":"MediaId is unknown"}]', "MediaId is unknown"),
        (b'"MediaId is unknown"', "MediaId is unknown"),
        (b"MediaId is unknown", "MediaId is unknown"),
        (b"\r\n  MediaId\tis\n unknown \r\n", "MediaId is unknown"),
        (b'{"Message": "MediaId is unknown", "Errors": [{"Fie', '{"Message": "MediaId is unknown", "Errors": [{"Fie'),
        (b"<!DOCTYPE html><html><head><title>Bad Request</title><style>p {color: red}</style>"
         b"<script>if (a<b) {}</script></head>"
         b"<body><!-- <p>secret --><h1>MediaId</h1>\n<p>is&nbsp;unknown</p></body></html>",
         "Bad Request MediaId is?unknown"),
        (b"<html><body><p>MediaId is unknown</p></body></html>", "MediaId is unknown"),
        (b"<p>MediaId is unknown<br>", "MediaId is unknown"),
        (b"<Error><Code>BadMedia</Code><Message>MediaId is unknown</Message></Error>", "MediaId is unknown"),
        (b"<r><reason>MediaId is unknown</reason></r>", "MediaId is unknown"),
        (b'<r><e message="MediaId is unknown"/></r>', "MediaId is unknown"),
        (b"<r><a>MediaId</a><b>is unknown</b></r>", "MediaId; is unknown"),
        (b"\x80\x81\xff\x00", ""),
        (b"12345", ""),
        (b"{}", ""),
        (b'{"code": 7}', ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("status", [400, 409, 422])
def test_a_refusal_of_any_shape_keeps_its_reason(status: int, body: bytes, said: str) -> None:
    assert of(status, body) == (AttemptResult.REJECTED, f"{status} {said}".strip())


@pytest.mark.parametrize("shape", [b"%s", b'"%s"', b'{"x":"%s"}', b'["%s"]', b"<p>%s</p>", b"<r><m>%s</m></r>"])
def test_and_at_most_two_hundred_characters_of_it(shape: bytes) -> None:
    state, reason = of(422, shape % (b"is unknown " * 500))
    assert state is AttemptResult.REJECTED
    assert reason.startswith("422 ")
    assert 150 < len(reason) <= 204


@pytest.mark.parametrize("text", ["&#" + "9" * 5000, "&#x" + "f" * 5000 + ";", "%" * 5000, "\\u" * 3000, "&" * 9000])
@pytest.mark.parametrize("shape", ["%s", '{"Message": "%s"}', "<p>%s</p>", "<R><Message><![CDATA[%s]]></Message></R>"])
def test_no_escape_makes_of_a_refusal_anything_else(text: str, shape: str) -> None:
    assert of(400, (shape % text).encode())[0] is AttemptResult.REJECTED


# How much work an answer can make on the event loop

_LONG = 65_536
_STEPS = 400_000
_MANY_WORDS = " ".join(map("".join, islice(product(ascii_lowercase, repeat=4), _LONG // 5)))
_HOSTILE = {
    "many words": _MANY_WORDS,
    "words": "abcd " * (_LONG // 5),
    "one word": "a" * _LONG,
    "short words": "a " * (_LONG // 2),
    "digits": "3035550199" * (_LONG // 10),
    "percents": "%41" * (_LONG // 3),
    "entities": "&amp;" * (_LONG // 5),
    "ampersands": "&" * _LONG,
    "backslashes": "\\" * _LONG,
    "lists": "[" * _LONG,
    "empty lists": "[" + "[]," * (_LONG // 3 - 1) + "[]]",
    "texts": "[" + '"a",' * (_LONG // 4 - 1) + '"a"]',
    "members": "{" + ",".join(f'"m{number}":"a b"' for number in range(5_000)) + "}",
    "commas": ", " * (_LONG // 2),
    "tags": "<a>" * (_LONG // 3),
    "scripts": "<script " * (_LONG // 8),
    "comments": "<!--" * (_LONG // 4),
    "elements": "<r>" + "<m>a</m>" * (_LONG // 8) + "</r>",
    "blanks": " " * (_LONG - 1) + "x",
}
_VALUES_OF_A_CALL = {
    "a long browser": ["Mozilla/" + "abcd " * (_LONG // 5)],
    "many words": ["Mozilla/" + _MANY_WORDS[::-1]],
    "a long word": ["a" * _LONG],
    "fifty long texts": [" ".join(chr(97 + k % 26) + "abcdefgh"[: n % 9] for n in range(9_000)) for k in range(50)],
    "words with one beginning": [" ".join("aaaa" + chr(97 + n % 26) * (n % 60) for n in range(2_000))] * 3,
}  # fmt: skip


@pytest.mark.parametrize("values", _VALUES_OF_A_CALL.values(), ids=_VALUES_OF_A_CALL)
@pytest.mark.parametrize("text", _HOSTILE.values(), ids=_HOSTILE)
def test_no_answer_makes_more_than_so_many_steps(text: str, values: list[str]) -> None:
    for body in (text, json.dumps({"Message": text})):
        with at_most(_STEPS):
            attempt = attempt_of(400, {}, body.encode(), private=[*values, canary.CALLER])
        assert attempt.result is AttemptResult.REJECTED
        assert len(attempt.reason) <= 204


@pytest.mark.parametrize("before", range(4_060, 4_100, 3))
@pytest.mark.parametrize("spelling", _SPELLINGS[:4])
def test_what_the_end_of_the_window_cuts_is_not_shown_by_half(before: int, spelling: Callable[[str], str]) -> None:
    # Masked words take one character each, so that the end of the window is within what is shown.
    words = ("3" * 40 + " ") * 200
    message = words[:before] + " " + spelling("Kanarienvogel-" + canary.CALLER) + " and more"
    reason = scrubbed(message, ["Kanarienvogel", canary.CALLER])
    assert not re.search(r"[0-9]|[Kk]an|vogel", reason)
