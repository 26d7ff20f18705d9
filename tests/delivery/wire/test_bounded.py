"""Test, and what is read back, take no longer and no more memory than a delivery, whatever answers."""

from __future__ import annotations

import asyncio
import gzip
import re
import struct
import threading
import time
import zlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import reduce
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from airflow_provider_impactcall.delivery.actions import ReadBack
from airflow_provider_impactcall.exceptions import ReadBackFailed
from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from tests.certificates import certificate
from tests.delivery import raw_server
from tests.delivery.raw_server import RawServer, says, tls

SECONDS = 0.25
Ask = Callable[[str], str]


def drips(head: bytes, drop: bytes, end: bytes = b"") -> Callable[..., Awaitable[None]]:
    """Says a beginning, and then something again and again, each time before anyone loses patience."""

    async def talk(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        for _ in range(120):
            writer.write(drop)
            await writer.drain()
            await asyncio.sleep(SECONDS / 5)
        writer.write(end)

    return talk


HEAD = b"HTTP/1.1 400 Bad\r\nContent-Type: text/plain\r\n"
DRIPS = {
    "head": drips(b"HTTP/1.1 400 Bad\r\n", b"X: y\r\n"),
    "line of the head": drips(b"HTTP/1.1 400 Bad\r\nX: ", b"y"),
    "body of a length": drips(HEAD + b"Content-Length: 100\r\n\r\n", b"x"),
    "body in chunks": drips(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", b"0\r\n\r\n"),
    "body without an end": drips(HEAD + b"\r\n", b"x"),
    "body of a redirect": drips(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 100\r\n\r\n", b"x"),
}


@pytest.fixture
def test_connection(monkeypatch: pytest.MonkeyPatch) -> Ask:
    def ask(origin: str) -> str:
        monkeypatch.setenv(
            "AIRFLOW_CONN_IMPACTCALL_DEFAULT", raw_server.connection(origin, timeout=SECONDS, verify=False)
        )
        return ImpactCallHook().test_connection()[1]

    return ask


def read_back(origin: str, repeats: bool = False) -> str:
    with requests.Session() as session:
        session.verify = False
        session.trust_env = False
        reader = ReadBack(session, origin, "account", timeout=SECONDS)
        if not repeats:
            for adapter in session.adapters.values():
                adapter.max_retries = adapter.max_retries.new(total=0)  # type: ignore[attr-defined]
        now = datetime.now(UTC)
        try:
            list(reader.actions("1000", now - timedelta(days=1), now))
        except ReadBackFailed as failure:
            return str(failure)
    return "all was read"


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
@pytest.mark.parametrize("talk", DRIPS.values(), ids=DRIPS)
@pytest.mark.parametrize("asked", ["test", "read back"])
async def test_no_drip_lasts(asked: str, talk: Any, secure: bool, test_connection: Ask, tmp_path: Path) -> None:
    async with RawServer(talk, tls(certificate(tmp_path)) if secure else None) as server:
        began = time.monotonic()
        said = await asyncio.to_thread(test_connection if asked == "test" else read_back, server.url)
        lasted = time.monotonic() - began
    assert re.search(r"\([A-Z]\w+\)", said), "the type of the error, as no answer came whole"
    assert lasted < 12 * SECONDS, "twelve times as long for a busy machine; without a bound it is twice that"


BOMB_MEGABYTES = 300


def bomb(coding: str, megabytes: int) -> bytes:
    """Opening brackets, compressed once and repeated: a full flush ends a block on which no other depends."""
    part = b"[" * 1_000_000
    compressor = zlib.compressobj(wbits=-15)
    block = compressor.compress(part) + compressor.flush(zlib.Z_FULL_FLUSH)
    body = block * megabytes + compressor.flush()
    if coding == "deflate":
        adler = reduce(lambda sum_, _: zlib.adler32(part, sum_), range(megabytes), 1)
        return b"\x78\x9c" + body + struct.pack(">I", adler)
    crc = reduce(lambda sum_, _: zlib.crc32(part, sum_), range(megabytes), 0)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + body + struct.pack("<II", crc, megabytes * len(part))


def test_a_bomb_is_what_its_coding_says() -> None:
    brackets = b"[" * 3_000_000
    assert gzip.decompress(bomb("gzip", 3)) == zlib.decompress(bomb("deflate", 3)) == brackets


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@pytest.mark.parametrize("asked", ["test", "read back"])
async def test_no_answer_fills_the_memory(asked: str, coding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = raw_server.answer(bomb(coding, BOMB_MEGABYTES), "200 OK", f"Content-Encoding: {coding}", "Connection: close")
    process, peak, over = psutil.Process(), 0, threading.Event()
    before = process.memory_info().rss

    def look() -> None:
        nonlocal peak
        while not over.wait(0.005):
            peak = max(peak, process.memory_info().rss - before)

    def ask(origin: str) -> str:
        if asked == "read back":
            with requests.Session() as session:
                now = datetime.now(UTC)
                with pytest.raises(ReadBackFailed) as failed:
                    list(ReadBack(session, origin, "account").actions("1000", now - timedelta(days=1), now))
                return str(failed.value)
        monkeypatch.setenv("AIRFLOW_CONN_IMPACTCALL_DEFAULT", raw_server.connection(origin, timeout=30))
        return ImpactCallHook().test_connection()[1]

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        async with RawServer(says(raw)) as server:
            said = await asyncio.to_thread(ask, server.url)
    finally:
        over.set()
        watcher.join()
    assert re.search(r"\b(200|33554432)\b", said), "the status, or the most bytes that are read"
    assert peak < 150_000_000


@pytest.mark.parametrize(
    "host",
    [f"http://{'a' * 64}.example", f"https://{'a' * 300}", "http://a..b.example", "http://\u00e4" + "\u00e4" * 70, "http://[::1"],
)  # fmt: skip
def test_test_answers_in_words_whatever_the_host_is(host: str, test_connection: Ask) -> None:
    said = test_connection(host)
    assert re.search(r"\([A-Z]\w+\)|\bhost\b", said), "the error's type, or the field of the connection"


@pytest.mark.parametrize(
    "body", [b"&#" + b"9" * 5000, b"<p>&#x" + b"f" * 9000, b'{"Message": "&#' + b"1" * 5000 + b'"}']
)
async def test_test_answers_in_words_whatever_is_answered(body: bytes, test_connection: Ask) -> None:
    async with RawServer(says(raw_server.answer(body, "400 Bad", "Connection: close"))) as server:
        assert "(400)" in await asyncio.to_thread(test_connection, server.url)


def test_test_answers_in_words_if_there_is_no_connection() -> None:
    good, said = ImpactCallHook("of_nobody").test_connection()
    assert not good
    assert said.startswith("The conn_id `of_nobody` isn't defined")
