"""Arbitrary bytes as an answer: nothing raises, nothing takes long, and nothing private is in the reason."""

from __future__ import annotations

import json
from itertools import islice, product
from string import ascii_lowercase
from urllib.parse import quote

from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from airflow_provider_impactcall.delivery.outcome import AttemptResult
from airflow_provider_impactcall.delivery.wire.response import attempt_of
from tests import examples
from tests.delivery import canary
from tests.steps import at_most

# A browser of many words: against each of them every word of an answer was once held.
_BROWSER = "Mozilla " + " ".join(map("".join, islice(product(ascii_lowercase, repeat=4), 5_000)))
PRIVATE = [*map(str, canary.row(UserAgent=_BROWSER).values()), examples.LOGIN, examples.PASSWORD]
_QUOTED = st.sampled_from(
    [
        canary.CALLER,
        f"({canary.CALLER[:3]}) {canary.CALLER[3:6]}-{canary.CALLER[6:]}",
        canary.RECORDING,
        quote(canary.RECORDING, safe=""),
        json.dumps(canary.row()),
        canary.WORD.upper(),
        canary.WORD[3:],
        examples.PASSWORD,
        examples.LOGIN,
    ]
).map(str.encode)
_MARKS = st.sampled_from(
    [
        b"<",
        b">",
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b":",
        b",",
        b"\\",
        b"&",
        b"#",
        b";",
        b"%",
        b" ",
        b"\x00",
        b"\xff",
        b"<!--",
    ]
)
_NAMES = st.sampled_from([b'"Status"', b'"Message"', b'"errors"', b"<Status>", b"</Status>", b"<p>", b"OK", b"ERROR"])
_PIECES = _QUOTED | _MARKS | _NAMES | st.binary(max_size=20)
# Long ones are repetitions, as those are what makes a loop within a loop show.
_BODIES = st.lists(_PIECES, max_size=30).map(b"".join) | st.builds(
    lambda head, again, times, tail: (head + again * times)[:65_000] + tail,
    st.binary(max_size=10),
    st.lists(_PIECES, min_size=1, max_size=4).map(b"".join),
    st.sampled_from([100, 1_000, 30_000]),
    st.lists(_PIECES, max_size=4).map(b"".join),
)
_SHAPES = st.sampled_from(
    [b"%s", b'{"Message": "%s"}', b'{"Errors": ["%s"]}', b"<R><Message>%s</Message></R>", b"<p>%s</p>"]
)
_HEADERS = st.dictionaries(
    st.sampled_from(["Retry-After", "RateLimit-Reset", "X-RateLimit-Reset", "Date", "Content-Type", "Location"]),
    st.binary(max_size=100).map(lambda raw: raw.decode("latin-1")) | st.text(max_size=100),
)
_STATUSES = st.sampled_from([200, 201, 400, 403, 409, 413, 414, 422]) | st.integers(-10, 10_000)


@given(status=_STATUSES, headers=_HEADERS, body=_BODIES, shape=_SHAPES)
@example(status=400, headers={}, body=_BROWSER[::-1].encode(), shape=b'{"Message": "%s"}')
@example(status=400, headers={}, body=b"&#" + b"9" * 5_000, shape=b'{"Message": "%s"}')
def test_no_answer_raises_takes_long_or_is_quoted(
    status: int, headers: dict[str, str], body: bytes, shape: bytes
) -> None:
    with at_most(500_000):
        attempt = attempt_of(status, CIMultiDict(headers), shape.replace(b"%s", body), private=PRIVATE)
    assert attempt.result in (
        AttemptResult.DELIVERED,
        AttemptResult.REJECTED,
        AttemptResult.UNKNOWN,
        AttemptResult.ABORT,
        AttemptResult.AGAIN,
    )
    assert canary.found_in(attempt.reason) == []
    assert attempt.reason.isascii()
    assert attempt.reason.isprintable()
    assert len(attempt.reason) <= 220
