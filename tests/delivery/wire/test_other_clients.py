"""What aiohttp and requests make of the same answers, over real sockets: the same verdict, or it is said why not."""

from __future__ import annotations

import asyncio
import logging

import aiohttp
import pytest
import requests

from airflow_provider_impactcall.delivery.outcome import AttemptResult
from airflow_provider_impactcall.delivery.wire.response import attempt_of
from tests.delivery.raw_server import RawServer, endpoint, says, send
from tests.delivery.wire.bytewise import OTHERS, WHOLE
from tests.delivery.wire.test_answer import BELIEVED_BY_NONE
from tests.tables import table

UNKNOWN = AttemptResult.UNKNOWN

# Of each, at least one of them takes it for an answer, and a call would be delivered by it.
LENGTH = (
    "requests reads a length that is none, or two, as no length; RFC 9112, 6.3: the length is not known, so none is"
)
SMUGGLED = "RFC 9112, 6.1: it ought to be handled as an error; two readers on the way may see two answers"
CODED = "the body would be coded, or its end not certain; nobody asked for such a coding (RFC 9112, 6.1)"
LINES = "RFC 9112, 2.2 and 5: a line that servers do not write, and by which answers are smuggled"
VERSION = "HTTP/1 alone is spoken, and a server that names another answers somebody else"
SEVERAL = "nobody asked for two codings of one body, and one of them is not known here"
CUT = "what is compressed ends early: its own sum, by which it would be known to be whole, is missing"
DIFFERS = {
    "one length twice": LENGTH,
    "a list of lengths": LENGTH,
    "a negative length": LENGTH,
    "a length with a sign": LENGTH,
    "a length that is none": LENGTH,
    "a length and chunks": SMUGGLED,
    "chunks and a length": SMUGGLED,
    "another transfer coding": CODED,
    "two transfer codings": CODED,
    "chunked twice": CODED,
    "a folded line": LINES,
    "a blank before a colon": LINES,
    "a NUL in a line": LINES,
    "a line without a colon": LINES,
    "lines that end in LF alone": LINES,
    "a trailer that is not one": LINES,
    "HTTP/2 as text": VERSION,
    "HTTP/0.9": VERSION,
    "gzip and another": SEVERAL,
    "gzip that ends early": CUT,
    "deflate that ends early": CUT,
}


@pytest.fixture(autouse=True)
def quiet(caplog: pytest.LogCaptureFixture) -> None:
    """urllib3 logs what it lets pass, at length."""
    caplog.set_level(logging.CRITICAL, "urllib3")


async def by_aiohttp(url: str) -> AttemptResult:
    timeout = aiohttp.ClientTimeout(total=10)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as session, session.post(url, allow_redirects=False) as found:
            return attempt_of(found.status, found.headers, await found.read()).result
    except aiohttp.ClientError:
        return UNKNOWN


def by_requests(url: str) -> AttemptResult:
    try:
        found = requests.post(url, timeout=10, allow_redirects=False)
        return attempt_of(found.status_code, found.headers, found.content).result
    except requests.RequestException:
        return UNKNOWN


async def verdicts(raw: bytes) -> tuple[AttemptResult, set[AttemptResult]]:
    """Ours, and the others'."""
    async with RawServer(says(raw)) as server:
        ours = (await send(endpoint(server.url))).result
        return ours, {await by_aiohttp(server.url), await asyncio.to_thread(by_requests, server.url)}


async def test_nobody_reads_another_verdict_of_an_answer_that_is_believed() -> None:
    """Or does not read it: requests knows one interim answer alone, and aiohttp one member of gzip."""
    with table() as row:
        for raw in WHOLE + OTHERS:
            with row(raw):
                ours, theirs = await verdicts(raw)
                if ours is not UNKNOWN:
                    assert theirs - {UNKNOWN} == {ours}
                elif b"Transfer-Encoding" not in raw:
                    assert theirs == {UNKNOWN}


async def test_what_others_believe_and_we_do_not_has_its_reason() -> None:
    assert set(DIFFERS) <= set(BELIEVED_BY_NONE)
    with table() as row:
        for name, raw in BELIEVED_BY_NONE.items():
            with row(name):
                ours, theirs = await verdicts(raw)
                assert ours is UNKNOWN
                assert (theirs == {UNKNOWN}) == (name not in DIFFERS)
