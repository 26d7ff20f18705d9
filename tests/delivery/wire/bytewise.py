"""Answers as bytes: read by a connection without a socket, read by hand, changed at random. ``python -m`` runs the
fuzzer on.

The reading by hand is independent of the package. It has no parser, only RFC 9112's rules for a message, and is
generous where these leave a choice. If it does not find an answer complete, the package must not take it for an answer.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import random
import re
import time
import zlib
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

from airflow_provider_impactcall.delivery.outcome import AttemptResult
from airflow_provider_impactcall.delivery.wire.answer import Answer
from airflow_provider_impactcall.delivery.wire.connection import Connection
from airflow_provider_impactcall.delivery.wire.response import attempt_of

BODY = b'{"Status": "OK"}'
OF_OK = b"HTTP/1.1 200 OK\r\n"


def measured(body: bytes, *lines: bytes, status: bytes = b"200 OK") -> bytes:
    """An answer that says how long it is."""
    head = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *lines]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


def chunked(*chunks: bytes, lines: Sequence[bytes] = (), trailers: bytes = b"") -> bytes:
    """An answer in chunks."""
    head = b"\r\n".join([b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked", *lines])
    framed = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return head + b"\r\n\r\n" + framed + b"0\r\n" + trailers + b"\r\n"


def deflated(body: bytes, bits: int) -> bytes:
    stream = zlib.compressobj(wbits=bits)
    return stream.compress(body) + stream.flush()


WHOLE = [
    measured(BODY),
    measured(BODY, b"Connection: close"),
    measured(BODY, b"Keep-Alive: timeout=5, max=100", b"Date: Sun, 29 Nov 2026 19:20:02 GMT", b"X-Empty:"),
    chunked(BODY),
    chunked(BODY[:3], BODY[3:9], BODY[9:], lines=[b"Content-Type: application/json"]),
    chunked(BODY, trailers=b"X-Sum: 1\r\nX-Other:\r\n"),
    OF_OK + b"\r\n" + BODY,
    b"HTTP/1.0 200 OK\r\n\r\n" + BODY,
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 16\r\n\r\n" + BODY,
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + measured(BODY),
    measured(gzip.compress(BODY, mtime=0), b"Content-Encoding: gzip"),
    measured(gzip.compress(BODY[:7], mtime=0) + gzip.compress(BODY[7:], mtime=0), b"Content-Encoding: x-gzip"),
    measured(deflated(BODY, 15), b"Content-Encoding: deflate"),
    measured(deflated(BODY, -15), b"Content-Encoding: deflate"),
    chunked(*(bytes([each]) for each in gzip.compress(BODY, mtime=0)), lines=[b"Content-Encoding: GZIP"]),
    measured(BODY, b"Content-Encoding: UTF-8"),
    measured(b"<r><Status>OK</Status></r>", status=b"201 Created"),
]
"""Answers that deliver a call, each in a form of its own."""

OTHERS = [
    measured(b"", status=b"204 No Content"),
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
    measured(b'{"Message": "no"}', status=b"400 Bad Request"),
    measured(b"", b"Retry-After: 7", status=b"429 Slow Down"),
    measured(b"", b"Content-Encoding: gzip", status=b"503 Unavailable"),
    measured(b'{"Status": "ERROR"}'),
    measured(BODY[:-1]),
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
    measured(BODY) + measured(BODY),
    measured(BODY, b"Connection: close") + b"more",
    OF_OK + b"Content-Length: 16\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n" + BODY + b"\r\n0\r\n\r\n",
    OF_OK + b"Content-Length: 16\r\nContent-Length: 2\r\n\r\n" + BODY,
]
"""Answers that do not deliver a call."""


class Wire(asyncio.Transport):
    """The system's side of a connection: written bytes are dropped."""

    def __init__(self) -> None:
        super().__init__()
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def is_closing(self) -> bool:
        return self.aborted

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        self.aborted = True


class Came(NamedTuple):
    """The result of a request.

    :param status: the answer's; zero if there is none
    :param body: the answer's
    :param open: whether the connection can be used again
    """

    status: int
    body: bytes
    open: bool

    @property
    def delivered(self) -> bool:
        return self.status > 0 and attempt_of(self.status, {}, self.body).result is AttemptResult.DELIVERED


def read(loop: asyncio.AbstractEventLoop, pieces: Iterable[bytes]) -> Came:
    """The connection's result for these pieces, after which the other end closes it.

    :param loop: any loop; it need not run
    """
    connection = Connection(loop, lambda _: None)
    wire = Wire()
    connection.connection_made(wire)
    waiter = connection.begin(b"", loop.time() + 3600)
    for piece in pieces:
        if not wire.aborted:
            connection.data_received(piece)
    usable = waiter.done() and not connection.closed
    if not wire.aborted:
        connection.eof_received()
    came = waiter.result()
    connection.connection_lost(None)
    return Came(came.status, came.body, usable) if isinstance(came, Answer) else Came(0, b"", False)


def read_in_turn(loop: asyncio.AbstractEventLoop, answers: Iterable[Iterable[bytes]]) -> list[Came]:
    """The results of requests on one connection, each answered with these pieces, for as long as it stays open."""
    connection = Connection(loop, lambda _: None)
    connection.connection_made(Wire())
    results: list[Came] = []
    for pieces in answers:
        if connection.closed:
            break
        waiter = connection.begin(b"", loop.time() + 3600)
        for piece in pieces:
            if not connection.closed:
                connection.data_received(piece)
        usable = waiter.done() and not connection.closed
        if not waiter.done():
            connection.eof_received()
        came = waiter.result()
        results.append(Came(came.status, came.body, usable) if isinstance(came, Answer) else Came(0, b"", False))
    connection.connection_lost(None)
    return results


def by_hand(raw: bytes) -> tuple[int, bytes] | None:
    """Status and body of the first final answer in these bytes, after which nothing comes; None if the answer is not
    complete.
    """
    rest = raw
    while True:
        # Servers in use send blank lines between messages.
        head, end, rest = rest.lstrip(b"\r\n").partition(b"\r\n\r\n")
        line = re.match(rb"HTTP/1\.[01] ([0-9]{3})(?![0-9])", head)
        if not end or line is None:
            return None
        status = int(line[1])
        if status >= 200:
            break
    lines = [each.partition(b":") for each in head.split(b"\r\n")[1:]]
    headers = {name.strip().lower(): value.strip() for name, _, value in reversed(lines)}
    if status in (204, 304):
        return status, b""
    body = _framed(headers, rest)
    return None if body is None else _uncoded(status, headers.get(b"content-encoding", b"").lower(), body)


def _framed(headers: dict[bytes, bytes], rest: bytes) -> bytes | None:
    if b"transfer-encoding" in headers:
        body = b""
        while (size := re.match(rb"0*([0-9A-Fa-f]{1,8})[^\r\n]*\r\n", rest)) is not None:
            length = int(size[1], 16)
            chunk, rest = rest[size.end() : size.end() + length], rest[size.end() + length :]
            if not length:
                return body if re.match(rb"(?:[^\r\n]+\r\n)*\r\n", rest) else None
            if len(chunk) < length or not rest.startswith(b"\r\n"):
                return None
            body, rest = body + chunk, rest[2:]
        return None
    length_said = headers.get(b"content-length")
    if length_said is None:
        return rest
    if not length_said.isdigit() or len(rest) < int(length_said):
        return None
    return rest[: int(length_said)]


def _uncoded(status: int, coding: bytes, body: bytes) -> tuple[int, bytes] | None:
    if not body or coding not in (b"gzip", b"x-gzip", b"deflate"):
        return status, body
    for bits in (31,) if coding != b"deflate" else (15, -15):
        shown, left = b"", body
        try:
            while left and (not shown or left.startswith(b"\x1f\x8b")):
                stream = zlib.decompressobj(bits)
                shown += stream.decompress(left)
                if not stream.eof:
                    break
                left = stream.unused_data
            else:
                return status, shown
            if stream.eof:
                return status, shown
        except zlib.error:
            continue
    return None


def says_ok(found: tuple[int, bytes] | None) -> bool:
    """Whether an answer that was read by hand delivers a call."""
    if found is None or not 200 <= found[0] < 300:
        return False
    text = found[1].decode("utf-8-sig", errors="replace").strip()
    try:
        document = json.loads(re.sub(r",(\s*[}\]])", r"\1", text))
    except ValueError:
        return re.search(r"<(\w+:)?Status[^>]*>\s*OK\s*<", text, re.IGNORECASE) is not None
    values = [value for name, value in document.items() if name.casefold() == "status"]
    return len(values) == 1 and str(values[0]).strip().upper() == "OK"


def check(loop: asyncio.AbstractEventLoop, raw: bytes, cuts: Iterable[int]) -> None:
    """Check that only bytes that say so deliver a call, and that the pieces in which they arrive make no difference."""
    at_once = read(loop, [raw])
    in_pieces = read(loop, split(raw, cuts))
    assert at_once[:2] == in_pieces[:2], raw
    if at_once.delivered:
        assert says_ok(by_hand(raw)), raw


def split(raw: bytes, cuts: Iterable[int]) -> list[bytes]:
    """The bytes in pieces, none of them empty."""
    places = [0, *sorted({cut for cut in cuts if 0 < cut < len(raw)}), len(raw)]
    return [raw[start:end] for start, end in pairwise(places) if start < end]


_TOKENS = [
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\0", b" ", b"\t", b":", b"0\r\n\r\n", b"-1", b"16", b"0x10", b"10\r\n",
    b"Content-Length: 16\r\n", b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: identity\r\n",
    b"Content-Encoding: gzip\r\n", b"Connection: close\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 C\r\n\r\n",
    b"ffffffffffffffff", b"\xff", BODY, b"{", b"}", b"1", b"+",
]  # fmt: skip


def changed(raw: bytes, source: random.Random) -> bytes:
    """These bytes with a few changes of kinds that mislead parsers."""
    made = bytearray(raw)
    for _ in range(source.randint(1, 4)):
        at = source.randrange(len(made) + 1)
        end = min(len(made), at + source.choice([1, 1, 2, 5, 20]))
        kind = source.randrange(6)
        if kind == 0:
            del made[at:end]
        elif kind == 1:
            made[at:at] = source.choice(_TOKENS)
        elif kind == 2:
            made[at:end] = source.choice(_TOKENS)
        elif kind == 3:
            made[at:at] = made[at:end]
        elif kind == 4 and at < len(made):
            made[at] ^= 1 << source.randrange(8)
        else:
            del made[at:]
    return bytes(made)


def one(loop: asyncio.AbstractEventLoop, source: random.Random) -> None:
    """One more random answer."""
    raw = changed(source.choice(WHOLE + OTHERS), source)
    check(loop, raw, [source.randrange(len(raw) + 1) for _ in range(source.randint(0, 6))])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.delivery.wire.bytewise", description=one.__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="for so long (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=time.time_ns(), help="the first of the answers' seeds")
    options = parser.parse_args()
    loop = asyncio.new_event_loop()
    tried, until = 0, time.monotonic() + options.seconds
    while time.monotonic() < until:
        seed = options.seed + tried
        try:
            one(loop, random.Random(seed))
        except BaseException:
            print(f"--seed {seed}", flush=True)
            raise
        tried += 1
    print(f"{tried} answers, from --seed {options.seed}: none was believed that does not say OK")


if __name__ == "__main__":
    main()
