"""The page for the person at this machine: its files, its live feed, and the faults that it can change."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypedDict

from aiohttp import hdrs, web
from pydantic import BaseModel, ConfigDict, ValidationError

from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.pages import page_files
from airflow_provider_impactcall.sandbox import guard, views
from airflow_provider_impactcall.sandbox.credentials import read_basic
from airflow_provider_impactcall.sandbox.faults import FAULTS
from airflow_provider_impactcall.sandbox.journal import Counts, Journal
from airflow_provider_impactcall.sandbox.measures import MEASURES, Measures
from airflow_provider_impactcall.sandbox.plan import LONGEST_LATENCY, FaultPlan
from airflow_provider_impactcall.sandbox.recent import KEPT

MOST_FOUND = 50

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class State(TypedDict):
    """The state that the page shows beside the requests.

    :param counts: the counts of ``GET /counts``
    :param refused: the number of refused requests by status, without those that met a fault
    :param faults: the rates by kind, 0 to 1; without the kinds that are off
    :param scripted: the number of next requests whose fault a script decides, before any rate counts
    """

    counts: Counts
    refused: dict[str, int]
    faults: dict[str, float]
    latency_ms: float
    seed: int
    scripted: int


class _Change(BaseModel):
    """The changes that the page may ask for. A rate of 0 switches its kind off; settings that are not named stay."""

    model_config = ConfigDict(extra="forbid", strict=True)

    faults: dict[str, float] = {}
    latency_ms: float | None = None


class Page:
    """Shows live what the sandbox does, and lets a person change its faults.

    :param credentials: the user and password to ask for; with None, the page asks for none
    :param host: the host that the sandbox was told to listen on
    :param measures: the limits of the page
    """

    def __init__(
        self,
        journal: Journal,
        plan: FaultPlan,
        *,
        credentials: tuple[str, str] | None,
        host: str,
        measures: Measures = MEASURES,
    ) -> None:
        self._journal = journal
        self._plan = plan
        self._credentials = credentials
        self._host = host
        self._measures = measures
        self._pages = 0

    def routes(self) -> list[web.RouteDef]:
        """All routes except the page itself, which browsers get at ``/``."""
        return [
            web.get("/page/feed", self.own(self._feed), allow_head=False),
            web.get("/page/requests", self.own(self._find)),
            web.get(r"/page/requests/{number:[0-9]{1,18}}", self.own(self._request)),
            web.get(r"/page/calls/{place:[0-9]{1,18}}", self.own(self._call)),
            web.get("/page/faults", self.own(self._faults)),
            web.patch("/page/faults", self.own(self._change)),
            web.get(r"/page/{file:[a-z]+\.[a-z]+}", self.own(self._file)),
        ]

    def for_person(self, handler: Handler, *, may_be_linked: bool = False) -> Handler:
        """The handler, protected from other sites' pages.

        :param may_be_linked: whether a link on another site may lead to it
        """

        async def answer(request: web.Request) -> web.StreamResponse:
            refusal = guard.refusal(request, self._host, may_be_linked=may_be_linked)
            return await handler(request) if refusal is None else refusal

        return answer

    def own(self, handler: Handler, *, may_be_linked: bool = False) -> Handler:
        """The handler as a part of the page: it requires the credentials, and sends the page's headers."""

        async def answer(request: web.Request) -> web.StreamResponse:
            answer = await handler(request) if self._admits(request) else _unauthorized()
            if not answer.prepared:
                answer.headers.update(_HEADERS)
            return answer

        return self.for_person(answer, may_be_linked=may_be_linked)

    async def show(self, _: web.Request) -> web.Response:
        """The page itself."""
        return _static("index.html")

    async def _file(self, request: web.Request) -> web.Response:
        name = request.match_info["file"]
        return _static(name) if name in _files() else _not_found("There is no such file")

    def _admits(self, request: web.Request) -> bool:
        return self._credentials in (None, read_basic(request.headers.get(hdrs.AUTHORIZATION, "")))

    @property
    def _state(self) -> State:
        return {
            "counts": self._journal.counts,
            "refused": dict(self._journal.refused),
            "faults": dict(self._plan.rates),
            "latency_ms": self._plan.latency * 1000,
            "seed": self._plan.seed,
            "scripted": len(self._plan.script),
        }

    async def _feed(self, request: web.Request) -> web.StreamResponse:
        if self._pages == self._measures.pages:
            return _error(503, f"The sandbox serves {self._measures.pages} open pages at most; close one")
        answer = web.StreamResponse(headers={**_HEADERS, hdrs.CONTENT_TYPE: "text/event-stream"})
        self._pages += 1
        try:
            await answer.prepare(request)
            async for message in self._messages(numbers=_numbers(request)):
                # A page that reads slowly delays only itself here, and nothing is queued for it.
                async with asyncio.timeout(self._measures.patience):
                    await answer.write(message)
        except (ConnectionError, TimeoutError):
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._pages -= 1
        return answer

    async def _messages(self, *, numbers: bool) -> AsyncIterator[bytes]:
        """Server-sent events: first the whole state, then each change."""
        recent, plan = self._journal.recent, self._plan
        known, emptied = (-1, -1), -1
        written = time.monotonic()
        while True:
            version = recent.version, plan.version
            afresh = emptied != recent.emptied
            if afresh:
                known, emptied = (0, -1), recent.emptied
            if version != known:
                changed = [views.of_request(each, numbers=numbers) for each in recent.since(known[0])]
                known, written = version, time.monotonic()
                news = {"state": self._state, "requests": changed, "kept": KEPT}
                yield _event("all" if afresh else "news", news)
            elif time.monotonic() - written >= self._measures.heartbeat:
                written = time.monotonic()
                yield b": still here\n\n"
            await asyncio.sleep(self._measures.news)

    async def _find(self, request: web.Request) -> web.Response:
        """The requests whose CallSessionId contains a text, in any case, and processed calls of older requests."""
        text, numbers = request.query.get("CallSessionId", "").lower(), _numbers(request)
        requests = self._journal.recent.since(0)
        found: list[views.RequestView] = [
            views.of_request(each, numbers=numbers)
            for each in reversed(requests)
            if text in dict(each.pairs).get("CallSessionId", "").lower()
        ]
        remembered = {each.processed for each in requests}
        calls = self._journal.calls
        for place in range(len(calls) - 1, -1, -1):
            if len(found) > MOST_FOUND:
                break
            if place % self._measures.stride == 0:
                await asyncio.sleep(0)
            if place not in remembered and text in calls[place]["parameters"]["CallSessionId"].lower():
                found.append(views.of_call(calls[place], place, numbers=numbers))
        return web.json_response({"requests": found[:MOST_FOUND], "more": len(found) > MOST_FOUND})

    async def _request(self, request: web.Request) -> web.Response:
        passage = self._journal.recent.find(int(request.match_info["number"]))
        if passage is None:
            return _not_found(f"The request is no longer among the latest {KEPT}")
        return web.json_response(views.details_of_request(passage, numbers=_numbers(request)))

    async def _call(self, request: web.Request) -> web.Response:
        place, calls = int(request.match_info["place"]), self._journal.calls
        if place >= len(calls):
            return _not_found("The call has been forgotten")
        return web.json_response(views.details_of_call(calls[place], place, numbers=_numbers(request)))

    async def _faults(self, _: web.Request) -> web.Response:
        kinds = [
            {"name": fault.name, "sentence": fault.sentence, "processed": fault.processed} for fault in FAULTS.values()
        ]
        state = self._state
        return web.json_response(
            {
                "faults": state["faults"],
                "latency_ms": state["latency_ms"],
                "longest_latency_ms": LONGEST_LATENCY * 1000,
                "seed": state["seed"],
                "kinds": kinds,
            }
        )

    async def _change(self, request: web.Request) -> web.Response:
        # A browser sends JSON to another site only after a CORS preflight, which the sandbox never allows.
        if request.content_type != "application/json":
            return _error(415, "The change must be application/json")
        try:
            change = _Change.model_validate_json(await request.read())
            self._plan.change(
                {kind: rate for kind, rate in {**self._plan.rates, **change.faults}.items() if rate != 0},
                self._plan.latency if change.latency_ms is None else change.latency_ms / 1000,
            )
        except ValidationError as error:
            return _error(
                400, "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
            )
        except InvalidOption as error:
            return _error(400, str(error))
        return await self._faults(request)


def _numbers(request: web.Request) -> bool:
    return request.query.get("numbers") == "shown"


def _event(kind: str, data: Mapping[str, Any]) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n".encode()


@cache
def _files() -> Mapping[str, tuple[bytes, str]]:
    return page_files(Path(__file__).with_name("static"))


def _static(name: str) -> web.Response:
    body, content_type = _files()[name]
    return web.Response(body=body, content_type=content_type, charset="utf-8")


def _unauthorized() -> web.Response:
    challenge = {hdrs.WWW_AUTHENTICATE: 'Basic realm="Sandbox", charset="UTF-8"'}
    return web.Response(status=401, text="Give the user and the password of the sandbox.\n", headers=challenge)


def _not_found(detail: str) -> web.Response:
    return _error(404, detail)


def _error(status: int, detail: str) -> web.Response:
    return web.json_response({"detail": detail}, status=status)
