"""Counts requests, processed calls and answers separately: that these numbers differ is the point of the sandbox."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypedDict

from aiohttp import web

from airflow_provider_impactcall.sandbox.recent import Passage, Recent


class ProcessedCall(TypedDict):
    """A call that was processed, whatever the answer was.

    :param parameters: decoded value by name
    :param received_at: the time, in ISO 8601 and UTC
    """

    parameters: dict[str, str]
    received_at: str


class Counts(TypedDict):
    """The counts since the start or the last reset.

    :param requests: requests to the endpoint
    :param processed: processed calls
    :param answered_ok: complete answers with OK, to a caller that was still connected
    :param answered: complete answers by status
    :param faults: faults that struck, by kind
    """

    requests: int
    processed: int
    answered_ok: int
    answered: dict[str, int]
    faults: dict[str, int]


@dataclass
class ReceivedRequest:
    """A request as it arrived.

    :param method: ``POST`` or ``GET``
    :param target: path and query string, still percent-encoded
    :param headers: value by name, in any case
    :param body: the body; also empty if it was never read
    :param arrived: ``time.monotonic()`` when the headers were complete, in seconds
    :param in_flight: the unanswered requests at that moment, including this one
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    arrived: float
    in_flight: int


class Journal:
    """The memory of the sandbox.

    ``recent`` holds the latest requests for the page. ``refused`` counts the refused requests by status, without those
    that met a fault. ``decided`` has the state that somebody gave to a call's action, and the time, by the call's
    number from 1.

    :param keep_requests: whether to remember every request as it arrived; if not, memory holds only the calls
    """

    def __init__(self, *, keep_requests: bool) -> None:
        self._keep_requests = keep_requests
        self._in_flight = 0
        self.recent = Recent()
        self.reset()

    def reset(self) -> None:
        """Forget everything but the requests in flight."""
        self.requests: list[ReceivedRequest] = []
        self.calls: list[ProcessedCall] = []
        self.decided: dict[int, tuple[str, datetime]] = {}
        self._received = 0
        self._answered_ok = 0
        self._answered: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.recent.forget()

    @property
    def counts(self) -> Counts:
        return {
            "requests": self._received,
            "processed": len(self.calls),
            "answered_ok": self._answered_ok,
            "answered": dict(self._answered),
            "faults": dict(self._faults),
        }

    def arrive(self, request: web.Request) -> tuple[ReceivedRequest, Passage]:
        """Count a request whose headers are complete."""
        self._received += 1
        self._in_flight += 1
        received = ReceivedRequest(
            method=request.method,
            target=request.raw_path,
            headers=request.headers,
            body=b"",
            arrived=time.monotonic(),
            in_flight=self._in_flight,
        )
        if self._keep_requests:
            self.requests.append(received)
        return received, self.recent.arrive(request)

    def leave(self, passage: Passage) -> None:
        """Note that a request is over."""
        self._in_flight -= 1
        passage.over = True
        self.recent.changed(passage)

    def process(self, parameters: dict[str, str]) -> int:
        """Remember a processed call.

        :return: its position among the processed calls, from 0
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.calls.append({"parameters": parameters, "received_at": now})
        return len(self.calls) - 1

    def refuse(self, status: int) -> None:
        """Count a request that the sandbox refuses by its own rules, rather than by a fault."""
        self.refused[str(status)] += 1

    def strike(self, kind: str) -> None:
        """Count a fault of this kind."""
        self._faults[kind] += 1

    def answer(self, status: int, *, says_ok: bool) -> None:
        """Count a complete answer to a caller that was still connected.

        :param says_ok: whether its Status is OK
        """
        self._answered[str(status)] += 1
        self._answered_ok += says_ok
