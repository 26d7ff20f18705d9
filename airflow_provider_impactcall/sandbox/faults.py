"""The table of faults: the ways in which the sandbox fails on demand.

The command line's help, the page, the checks of ``--fault`` and the tests are all made from this table. The names are
stable, as scripts use them.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from enum import Enum

from aiohttp import web

from airflow_provider_impactcall.sandbox import answers
from airflow_provider_impactcall.sandbox.measures import KEY, MEASURES
from airflow_provider_impactcall.sandbox.validation import read_pairs

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Moment(Enum):
    """When a fault strikes."""

    BEFORE_READING = "before the body of the request is read"
    BEFORE_PROCESSING = "before anyone looks at the call"
    AFTER_PROCESSING = "after the call was found valid and was processed"


@dataclass(frozen=True)
class Fault:
    """One way to fail.

    :param name: the stable name, in lower case, with dashes
    :param moment: when the fault strikes; a refused call never meets a fault that strikes after processing
    :param meaning: what the caller sees, in one line
    :param answer: makes the answer, or breaks the connection
    :param says_ok: whether a caller that waits long enough reads Status OK
    """

    name: str
    moment: Moment
    meaning: str
    answer: Answer
    says_ok: bool = False

    @property
    def processed(self) -> bool:
        """Whether the call counts as processed."""
        return self.moment is Moment.AFTER_PROCESSING

    @property
    def sentence(self) -> str:
        """What the caller sees, as a sentence."""
        return f"The caller sees {self.meaning}."


def _error_body(message: str) -> str:
    return json.dumps({"Status": "ERROR", "Message": message})


def _page(title: str) -> str:
    return f"<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"


def _json(status: int, text: str, headers: Mapping[str, str] | None = None) -> Answer:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=text, content_type="application/json", headers=headers)

    return answer


def _too_many(headers: Mapping[str, str] | None = None) -> Answer:
    return _json(429, _error_body("Too many requests"), headers)


def _html(status: int, title: str) -> Answer:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, text=_page(title), content_type="text/html")

    return answer


def _in_two_seconds() -> datetime:
    # Both headers drop the fraction of a second, so at least one of the two seconds is left.
    return datetime.now(UTC) + timedelta(seconds=2)


async def _retry_after_date(request: web.Request) -> web.StreamResponse:
    return await _too_many({"Retry-After": format_datetime(_in_two_seconds(), usegmt=True)})(request)


async def _retry_after_minutes(request: web.Request) -> web.StreamResponse:
    return await _too_many({"Retry-After": str(request.app[KEY].minutes)})(request)


async def _x_ratelimit_reset(request: web.Request) -> web.StreamResponse:
    epoch = str(int(_in_two_seconds().timestamp()))
    return await _too_many({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": epoch})(request)


async def _ok(request: web.Request) -> web.Response:
    return answers.ok(request)


async def _echo(request: web.Request) -> web.StreamResponse:
    call = dict(read_pairs(request.raw_path, await request.read(), request.content_type))
    quoted = f"Call from {call.get('CallerId')} with recording {call.get('CallRecording')} was refused"
    errors = [{"Field": "CallerId", "Message": f"{call.get('CallerId')} is not accepted"}]
    return await _json(400, json.dumps({"Status": "ERROR", "Message": quoted, "Errors": errors}))(request)


async def _redirect(_: web.Request) -> web.Response:
    return web.Response(status=302, headers={"Location": "/moved"})


async def _xml_ok(_: web.Request) -> web.Response:
    return web.Response(text=answers.OK_XML, content_type="application/xml")


async def _empty(_: web.Request) -> web.Response:
    return web.Response()


async def _slow(request: web.Request) -> web.Response:
    await asyncio.sleep(request.app[KEY].slow)
    return answers.ok(request)


async def _drip(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"Content-Type": "application/json"})
    answer.content_length = len(answers.OK_JSON)
    await answer.prepare(request)
    pause = request.app[KEY].drip
    for byte in answers.OK_JSON.encode():
        await answer.write(bytes([byte]))
        await asyncio.sleep(pause)
    return answer


async def _hang(_: web.Request) -> web.StreamResponse:
    # This ends when the caller disconnects or the sandbox stops: either cancels this task.
    return await asyncio.Future[web.StreamResponse]()


async def _reset(request: web.Request) -> web.Response:
    if request.transport is not None:
        # SO_LINGER with a time of 0 turns the close into a TCP reset.
        linger = struct.pack("ii", 1, 0)
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        request.transport.abort()
    return _never_sent()


def _cut_off(raw: bytes) -> Answer:
    async def answer(request: web.Request) -> web.Response:
        if request.transport is not None:
            request.transport.write(raw)
            request.transport.close()
        return _never_sent()

    return answer


def _never_sent() -> web.Response:
    # aiohttp needs an answer from every handler, and drops the answer if the connection is closing.
    return web.Response()


_HALF_THE_HEADERS = b"HTTP/1.1 200 OK\r\nContent-Type: applica"
# The text that arrives says OK: only Content-Length shows that the answer is incomplete.
_HALF_THE_BODY = (
    f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {2 * len(answers.OK_JSON)}\r\n\r\n"
    f"{answers.OK_JSON}"
).encode()
_ERRORS = json.dumps(
    {
        "Status": "ERROR",
        "Message": "Validation Failed",
        "Errors": [{"Field": "MediaId", "Message": "Not a numeric value"}],
    }
)
_OTHER_ERRORS = json.dumps(
    {"Status": "ERROR", "errors": [{"field": "MediaId", "level": "ERROR", "message": "Not a numeric value"}]}
)

_UNREAD, _BEFORE, _AFTER = Moment.BEFORE_READING, Moment.BEFORE_PROCESSING, Moment.AFTER_PROCESSING

NO_FAULT = Fault("ok", _AFTER, "200 with Status OK, as documented", _ok, says_ok=True)

_TABLE = (
    Fault("429-retry-after", _BEFORE, "429, Retry-After: 1", _too_many({"Retry-After": "1"})),
    Fault("429-retry-after-date", _BEFORE, "429, Retry-After as a date, at most 2 s ahead", _retry_after_date),
    Fault("429-retry-after-minutes", _BEFORE, f"429, Retry-After: {MEASURES.minutes}", _retry_after_minutes),
    Fault("429-retry-after-hour", _BEFORE, "429, Retry-After: 3600", _too_many({"Retry-After": "3600"})),
    Fault("429-x-ratelimit-reset", _BEFORE, "429, X-RateLimit-Reset as epoch, at most 2 s ahead", _x_ratelimit_reset),
    Fault("429-ratelimit-reset", _BEFORE, "429, RateLimit-Reset: 1", _too_many({"RateLimit-Reset": "1"})),
    Fault("429-bare", _BEFORE, "429 that does not say when to try again", _too_many()),
    Fault("429-garbage", _BEFORE, "429, Retry-After: soon", _too_many({"Retry-After": "soon"})),
    Fault("500", _BEFORE, "500", _json(500, _error_body("Internal error"))),
    Fault("500-after-processing", _AFTER, "500", _json(500, _error_body("Internal error"))),
    Fault("502", _BEFORE, "502 with a gateway's page", _html(502, "502 Bad Gateway")),
    Fault("502-after-processing", _AFTER, "502 with a gateway's page", _html(502, "502 Bad Gateway")),
    Fault("503", _BEFORE, "503, Retry-After: 1", _json(503, _error_body("Unavailable"), {"Retry-After": "1"})),
    Fault("504", _BEFORE, "504 with a gateway's page", _html(504, "504 Gateway Time-out")),
    Fault("504-after-processing", _AFTER, "504 with a gateway's page", _html(504, "504 Gateway Time-out")),
    Fault("408", _BEFORE, "408", _json(408, _error_body("Request timeout"))),
    Fault("400-errors", _BEFORE, "400 that lists Errors with Field and Message", _json(400, _ERRORS)),
    Fault("400-errors-lower-case", _BEFORE, "400 that lists errors with field and level", _json(400, _OTHER_ERRORS)),
    Fault("400-echo", _BEFORE, "400 that quotes the caller's number and the recording's URL", _echo),
    Fault("403", _BEFORE, "403", _json(403, _error_body("Access denied"))),
    Fault("302", _BEFORE, "302 to /moved", _redirect),
    Fault("200-status-error", _BEFORE, "200 with Status ERROR", _json(200, _error_body("The call was not accepted"))),
    Fault("200-html", _BEFORE, "200 with a web page", _html(200, "Down for maintenance")),
    Fault("200-xml-ok", _AFTER, "200 with Status OK in XML, whatever Accept says", _xml_ok, says_ok=True),
    Fault("200-empty", _AFTER, "200 with no body", _empty),
    Fault("slow", _AFTER, f"200 with Status OK after {MEASURES.slow:g} s", _slow, says_ok=True),
    Fault("drip", _AFTER, f"200 with Status OK, a byte every {MEASURES.drip:g} s", _drip, says_ok=True),
    Fault("hang-before-processing", _BEFORE, "no answer, ever", _hang),
    Fault("hang-after-processing", _AFTER, "no answer, ever", _hang),
    Fault("reset-before-reading", _UNREAD, "the connection reset, the body unread", _reset),
    Fault("reset-after-processing", _AFTER, "the connection reset", _reset),
    Fault("eof-after-processing", _AFTER, "the connection closed without a byte", _cut_off(b"")),
    Fault("truncated-headers", _AFTER, "the connection closed within the headers", _cut_off(_HALF_THE_HEADERS)),
    Fault("truncated-body", _AFTER, "Status OK, closed before Content-Length is reached", _cut_off(_HALF_THE_BODY)),
)

FAULTS: Mapping[str, Fault] = {fault.name: fault for fault in _TABLE}
