"""What is read of an answer: however its bytes are split, whatever they are, and no more of them than is bounded."""

from __future__ import annotations

import asyncio
import random
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_impactcall.delivery.wire.answer import (
    KEPT_FOR,
    LONGEST_ANSWER,
    LONGEST_HEAD,
    LONGEST_READ,
    Answer,
    BrokenAnswer,
)
from tests.delivery.wire.bytewise import (
    BODY,
    OF_OK,
    OTHERS,
    WHOLE,
    Came,
    by_hand,
    check,
    chunked,
    deflated,
    measured,
    one,
    read,
    read_in_turn,
    says_ok,
    split,
)
from tests.effort import scaled
from tests.tables import table

NOTHING = Came(0, b"", False)
KEPT_OPEN = [measured(BODY), measured(b'{"Status": "NO"}'), chunked(BODY, trailers=b"X-Sum: 1\r\n")]


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that never runs: a connection takes its clock and its futures."""
    made = asyncio.new_event_loop()
    yield made
    made.close()


def bytewise(raw: bytes) -> list[bytes]:
    return [raw[at : at + 1] for at in range(len(raw))]


def test_an_answer_that_says_ok_delivers_in_every_form(loop: asyncio.AbstractEventLoop) -> None:
    with table() as row:
        for raw in WHOLE:
            with row(raw):
                came = read(loop, [raw])
                assert came.delivered
                assert read(loop, bytewise(raw)) == came
                assert by_hand(raw) == came[:2], "the hand reads the same"
                assert says_ok(by_hand(raw))


def test_other_answers_are_the_same_in_one_piece_and_in_many(loop: asyncio.AbstractEventLoop) -> None:
    with table() as row:
        for raw in OTHERS:
            with row(raw):
                assert read(loop, bytewise(raw)) == read(loop, [raw])


@settings(max_examples=scaled(400))
@given(raw=st.sampled_from(WHOLE + OTHERS), cuts=st.lists(st.integers(1, 400), max_size=8))
def test_no_answer_depends_on_how_it_is_split(loop: asyncio.AbstractEventLoop, raw: bytes, cuts: list[int]) -> None:
    check(loop, raw, cuts)


@settings(max_examples=scaled(400))
@given(
    answers=st.lists(
        st.tuples(st.sampled_from(KEPT_OPEN) | st.sampled_from(WHOLE + OTHERS), st.none() | st.integers(0, 400)),
        max_size=12,
    )
)
def test_no_answer_depends_on_those_before_it(
    loop: asyncio.AbstractEventLoop, answers: list[tuple[bytes, int | None]]
) -> None:
    """Answers that come again and again on one connection, in one piece or cut in two."""
    pieces = [[raw] if cut is None else split(raw, [cut]) for raw, cut in answers]
    for came, each in zip(read_in_turn(loop, pieces), pieces, strict=False):
        assert came == read(loop, each)


def test_a_piece_of_an_answer_is_no_answer_to_the_next_request(loop: asyncio.AbstractEventLoop) -> None:
    raw = measured(BODY)
    with table() as row:
        for pieces in (split(raw, [each]) for each in range(1, len(raw))):
            with row(pieces):
                for piece in pieces:
                    assert read_in_turn(loop, [pieces, [piece]]) == [Came(200, BODY, True), NOTHING]


def test_an_answer_that_came_before_is_whole_again_only_if_it_is(loop: asyncio.AbstractEventLoop) -> None:
    raw = measured(BODY)
    ok = Came(200, BODY, True)
    refusal = measured(b'{"Status": "NO"}')
    with table() as row:
        for name, pieces, expected in (
            ("the same", [raw], ok),
            ("the same in pieces", bytewise(raw), ok),
            ("its beginning", [raw[:-1]], NOTHING),
            ("its end", [raw[1:]], NOTHING),
            ("another of its length", [refusal], Came(200, b'{"Status": "NO"}', True)),
            ("more than it", [raw + b"x"], Came(200, BODY, False)),
            ("another after it", [raw + refusal], Came(200, BODY, False)),
            ("it after an interim one", [b"HTTP/1.1 100 Continue\r\n\r\n", raw], ok),
            ("nothing", [], NOTHING),
        ):
            with row(name):
                assert read_in_turn(loop, [[raw], [raw], pieces]) == [ok, ok, expected]


@settings(max_examples=scaled(2000), suppress_health_check=list(HealthCheck))
@given(source=st.randoms(use_true_random=False))
def test_no_bytes_deliver_a_call_that_do_not_say_ok(loop: asyncio.AbstractEventLoop, source: random.Random) -> None:
    """``make fuzz`` does the same for minutes or hours."""
    one(loop, source)


@pytest.mark.parametrize("raw", WHOLE, ids=map(str, range(len(WHOLE))))
def test_a_part_of_an_answer_delivers_only_where_the_rest_says_nothing(
    raw: bytes, loop: asyncio.AbstractEventLoop
) -> None:
    """Cut anywhere. Only a body that goes on until the connection's end can be whole before its last byte."""
    for end in range(len(raw)):
        assert not read(loop, [raw[:end]]).delivered


BELIEVED_BY_NONE = {
    "two lengths": OF_OK + b"Content-Length: 16\r\nContent-Length: 2\r\n\r\n" + BODY,
    "one length twice": OF_OK + b"Content-Length: 16\r\nContent-Length: 16\r\n\r\n" + BODY,
    "a list of lengths": OF_OK + b"Content-Length: 16, 16\r\n\r\n" + BODY,
    "a negative length": OF_OK + b"Content-Length: -1\r\n\r\n" + BODY,
    "a length with a sign": OF_OK + b"Content-Length: +16\r\n\r\n" + BODY,
    "a length that is none": OF_OK + b"Content-Length: 0x10\r\n\r\n" + BODY,
    "a length of 23 digits": OF_OK + b"Content-Length: 10000000000000000000016\r\n\r\n" + BODY,
    "a length and chunks": OF_OK
    + b"Content-Length: 16\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n"
    + BODY
    + b"\r\n0\r\n\r\n",
    "chunks and a length": OF_OK
    + b"Transfer-Encoding: chunked\r\nContent-Length: 16\r\n\r\n10\r\n"
    + BODY
    + b"\r\n0\r\n\r\n",
    "another transfer coding": OF_OK + b"Transfer-Encoding: identity\r\n\r\n" + BODY,
    "two transfer codings": OF_OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n10\r\n" + BODY + b"\r\n0\r\n\r\n",
    "chunked twice": OF_OK
    + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n"
    + BODY
    + b"\r\n0\r\n\r\n",
    "a chunk that is too long": OF_OK + b"Transfer-Encoding: chunked\r\n\r\nf\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a negative chunk": OF_OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a folded line": OF_OK + b"X: a\r\n b\r\nContent-Length: 16\r\n\r\n" + BODY,
    "a blank before a colon": OF_OK + b"Content-Length : 16\r\n\r\n" + BODY,
    "a NUL in a line": OF_OK + b"X: a\0b\r\nContent-Length: 16\r\n\r\n" + BODY,
    "a line without a colon": OF_OK + b"X\r\nContent-Length: 16\r\n\r\n" + BODY,
    "lines that end in LF alone": b"HTTP/1.1 200 OK\nContent-Length: 16\n\n" + BODY,
    "a status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 16\r\n\r\n" + BODY,
    "a status of two": b"HTTP/1.1 20 OK\r\nContent-Length: 16\r\n\r\n" + BODY,
    "a status below 100": b"HTTP/1.1 099 OK\r\nContent-Length: 16\r\n\r\n" + BODY,
    "HTTP/2 as text": b"HTTP/2.0 200 OK\r\nContent-Length: 16\r\n\r\n" + BODY,
    "HTTP/0.9": b"HTTP/0.9 200 OK\r\nContent-Length: 16\r\n\r\n" + BODY,
    "another protocol": b"ICY 200 OK\r\nContent-Length: 16\r\n\r\n" + BODY,
    "a switch of protocols": b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n" + measured(BODY),
    "gzip that ends early": measured(deflated(BODY, 31)[:-9], b"Content-Encoding: gzip"),
    "gzip with a wrong sum": measured(deflated(BODY, 31)[:-8] + b"\0" * 8, b"Content-Encoding: gzip"),
    "deflate that ends early": measured(deflated(BODY, 15)[:-5], b"Content-Encoding: deflate"),
    "gzip and another": measured(BODY, b"Content-Encoding: gzip", b"Content-Encoding: UTF-8"),
    "another and gzip": measured(deflated(BODY, 31), b"Content-Encoding: br, gzip"),
    "what is not gzip": measured(BODY, b"Content-Encoding: gzip"),
    "a trailer that is not one": chunked(BODY, trailers=b"X\r\n"),
    "interim answers alone": b"HTTP/1.1 100 Continue\r\n\r\n" * 3,
    "nothing": b"",
}


def test_what_is_not_plain_is_not_believed(loop: asyncio.AbstractEventLoop) -> None:
    with table() as row:
        for name, raw in BELIEVED_BY_NONE.items():
            with row(name):
                assert read(loop, [raw]) == NOTHING
                assert read(loop, bytewise(raw)) == NOTHING


def test_what_follows_an_answer_ends_the_connection_and_is_not_read(loop: asyncio.AbstractEventLoop) -> None:
    refusal = measured(b"{}", status=b"400 Bad Request")
    for more in (refusal, b"x", b"HTTP/1.1 100 Continue\r\n\r\n"):
        for pieces in ([measured(BODY) + more], [measured(BODY), more], bytewise(measured(BODY) + more)):
            came = read(loop, pieces)
            assert came.delivered
    assert not read(loop, [measured(BODY) + refusal]).open


KEPT = {
    "measured": (measured(BODY), KEPT_FOR),
    "in chunks": (chunked(BODY), KEPT_FOR),
    "without a body": (measured(b"", status=b"204 No Content"), KEPT_FOR),
    "a short grant": (measured(BODY, b"Keep-Alive: max=5, timeout=2"), 1.5),
    "a quoted grant": (measured(BODY, b'Keep-Alive: timeout="2"'), 1.5),
    "a long grant": (measured(BODY, b"Keep-Alive: timeout=600"), KEPT_FOR),
    "no grant": (measured(BODY, b"Keep-Alive: timeout=0"), 0.0),
    "a grant of nothing": (measured(BODY, b"Keep-Alive: timeout=soon"), KEPT_FOR),
    "closed": (measured(BODY, b"Connection: Close"), 0.0),
    "closed among others": (measured(BODY, b"Connection: x, close"), 0.0),
    "an old server": (b"HTTP/1.0 200 OK\r\nContent-Length: 16\r\n\r\n" + BODY, 0.0),
    "an old server that keeps": (
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 16\r\n\r\n" + BODY,
        KEPT_FOR,
    ),
    "chunks of an old server": (
        chunked(BODY, lines=[b"Connection: keep-alive"]).replace(b"HTTP/1.1", b"HTTP/1.0"),
        0.0,
    ),
}


def test_how_long_a_connection_is_kept() -> None:
    with table() as row:
        for name, (raw, seconds) in KEPT.items():
            with row(name):
                answer = Answer()
                assert answer.feed(raw)
                assert answer.kept_for == seconds


def test_a_body_until_the_connection_s_end_is_whole_with_it() -> None:
    answer = Answer()
    assert not answer.feed(OF_OK + b"\r\n" + BODY)
    answer.end()
    assert (answer.complete, answer.body, answer.kept_for) == (True, BODY, 0.0)


def test_header_lines_are_found_in_any_case_and_trailers_are_not_among_them() -> None:
    answer = Answer()
    answer.feed(chunked(b"{}", lines=[b"RETRY-after: 7", b"Retry-After: 8", b"X-Y: \xff"], trailers=b"Date: x\r\n"))
    assert answer.headers.get("Retry-After") == "7"
    assert answer.headers["x-y"] == "\xff"
    assert "Date" not in answer.headers
    assert list(answer.headers) == ["transfer-encoding", "retry-after", "x-y"]
    assert len(answer.headers) == 3


def fed(raw: bytes, size: int) -> Answer:
    answer = Answer()
    for at in range(0, len(raw), size):
        answer.feed(raw[at : at + size])
    return answer


SIZES = (1 << 30, 65_536, 10_007, 1000)


@pytest.mark.parametrize("size", SIZES)
def test_a_head_is_bounded_to_the_byte(size: int) -> None:
    head = measured(BODY)[: -len(BODY) - 2]
    padding = LONGEST_HEAD - len(head) - len(b"X: \r\n\r\n")
    for over in (0, 1):
        raw = head + b"X: " + b"x" * (padding + over) + b"\r\n\r\n" + BODY
        if over:
            with pytest.raises(BrokenAnswer):
                fed(raw, size)
        else:
            assert fed(raw, size).body == BODY


@pytest.mark.parametrize("size", SIZES)
def test_an_answer_is_bounded_to_the_byte_and_less_of_it_is_kept(size: int) -> None:
    length = LONGEST_READ - len(OF_OK + b"Content-Length: 1048576\r\n\r\n")
    for over in (0, 1):
        raw = OF_OK + b"Content-Length: %07d\r\n\r\n" % (length + over) + b"y" * (length + over)
        if over:
            with pytest.raises(BrokenAnswer):
                fed(raw, size)
        else:
            assert fed(raw, size).body == b"y" * LONGEST_ANSWER


@pytest.mark.parametrize("size", SIZES)
def test_trailers_and_interim_answers_and_lines_are_bounded(size: int) -> None:
    for raw in (
        chunked(BODY, trailers=b"X: " + b"x" * LONGEST_READ + b"\r\n"),
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 10_000 + measured(BODY),
        measured(BODY, *[b"X: x"] * 256),
    ):
        with pytest.raises(BrokenAnswer):
            fed(raw, size)
    assert fed(measured(BODY, *[b"X: x"] * 255), size).complete


def test_no_more_is_decoded_than_anyone_looks_at() -> None:
    stream = zlib.compressobj(wbits=31)
    blanks = b" " * 1_000_000
    coded = stream.compress(BODY) + b"".join(stream.compress(blanks) for _ in range(20)) + stream.flush()
    answer = fed(measured(coded, b"Content-Encoding: gzip"), 1 << 30)
    assert len(answer.body) == LONGEST_ANSWER
    assert answer.body.strip() == BODY


def test_what_follows_gzip_and_is_not_gzip_is_nothing() -> None:
    assert fed(measured(deflated(BODY, 31) + b"\0\0\0", b"Content-Encoding: gzip"), 7).body == BODY
