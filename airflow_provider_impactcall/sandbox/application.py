"""The endpoint for calls, the list of actions, and the pages for the person at this machine."""

from __future__ import annotations

import asyncio

from aiohttp import hdrs, web

from airflow_provider_impactcall.sandbox import actions, answers
from airflow_provider_impactcall.sandbox.credentials import read_basic
from airflow_provider_impactcall.sandbox.decisions import Decisions
from airflow_provider_impactcall.sandbox.faults import NO_FAULT, Fault, Moment
from airflow_provider_impactcall.sandbox.journal import Journal, ReceivedRequest
from airflow_provider_impactcall.sandbox.measures import KEY, MEASURES, Measures
from airflow_provider_impactcall.sandbox.page import Page
from airflow_provider_impactcall.sandbox.plan import FaultPlan
from airflow_provider_impactcall.sandbox.recent import Passage
from airflow_provider_impactcall.sandbox.validation import FORM, Complaint, find_problems, read_pairs

ENDPOINT = "/calldata/logCallData"
MAX_TARGET_BYTES = 128 * 1024
MAX_BODY_BYTES = 2 * 1024 * 1024

_WELCOME = f"""A stand-in for impact.com's Call Data API.

POST   {ENDPOINT}           takes a call, in the query string or as a form
GET    {actions.PATH}  the processed calls that became actions, for the user {{account}}
PATCH  /actions                        makes actions approved, reversed, cleared or pending
GET    /calls                          the calls that it processed
GET    /counts                         the numbers of requests, calls, answers and faults
DELETE /calls                          forgets all calls and counts

In a browser this address is a page that shows calls as they arrive.
"""


class CallDataApplication:
    """Answers requests.

    A call is processed before the plan's latency, so a caller that disconnects during the wait does not undo it.

    :param credentials: user and password; with None, any Basic credentials are accepted
    :param host: the host that the sandbox was told to listen on
    :param decisions: the state of each action
    :param actions_page_size: actions on a page of their list if the request does not say
    :param measures: delays of slow faults, and limits of the page
    """

    def __init__(
        self,
        journal: Journal,
        plan: FaultPlan,
        decisions: Decisions,
        *,
        credentials: tuple[str, str] | None,
        host: str,
        actions_page_size: int = actions.DEFAULT_PAGE_SIZE,
        measures: Measures = MEASURES,
    ) -> None:
        self._journal = journal
        self._plan = plan
        self._decisions = decisions
        self._credentials = credentials
        self._page = Page(journal, plan, credentials=credentials, host=host, measures=measures)
        self._measures = measures
        self._actions = actions.Actions(
            journal, decisions, actions_page_size, password=None if credentials is None else credentials[1], host=host
        )

    def build(self) -> web.Application:
        """A new aiohttp application; an application can be served only once."""
        application = web.Application(client_max_size=MAX_BODY_BYTES)
        application[KEY] = self._measures
        application.add_routes(
            [
                web.post(ENDPOINT, self._log_call),
                # impact.com's OpenAPI documents GET, too.
                web.get(ENDPOINT, self._log_call, allow_head=False),
                web.get(actions.PATH, self._actions.list, allow_head=False),
                web.patch("/actions", self._page.for_person(self._decisions.change)),
                web.get("/", self._home),
                web.get("/calls", self._page.for_person(self._list_calls, may_be_linked=True)),
                web.delete("/calls", self._page.for_person(self._forget)),
                web.get("/counts", self._page.for_person(self._count, may_be_linked=True)),
                *self._page.routes(),
            ]
        )
        return application

    async def _log_call(self, request: web.Request) -> web.StreamResponse:
        received, passage = self._journal.arrive(request)
        fault = self._plan.next_fault()
        try:
            refusal = await self._take(request, received, passage, fault)
            if refusal is not None:
                self._journal.refuse(refusal.status)
            elif fault is not NO_FAULT:
                self._journal.strike(fault.name)
                passage.fault = fault.name
            self._journal.recent.changed(passage)
            await asyncio.sleep(self._plan.latency)
            answer = await fault.answer(request) if refusal is None else refusal
            # A fault may have closed the connection. Then there is no complete answer to count.
            if request.transport is not None and not request.transport.is_closing():
                self._journal.answer(answer.status, says_ok=refusal is None and fault.says_ok)
                passage.status = answer.status
            return answer
        finally:
            self._journal.leave(passage)

    async def _take(
        self, request: web.Request, received: ReceivedRequest, passage: Passage, fault: Fault
    ) -> web.Response | None:
        """Read and process the request as far as the fault allows.

        :return: the refusal, or None if the request is not refused
        """
        if fault.moment is Moment.BEFORE_READING:
            return None
        try:
            received.body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            passage.refuse([Complaint("body", f"has more than {MAX_BODY_BYTES} bytes")])
            return answers.body_too_long(request, MAX_BODY_BYTES)
        passage.read(received.body, request.content_type)
        if fault.moment is Moment.BEFORE_PROCESSING:
            return None
        return self._process(request, received.body, passage)

    def _process(self, request: web.Request, body: bytes, passage: Passage) -> web.Response | None:
        # This method never waits, so a call is processed completely even if its caller disconnects after the last byte.
        if len(request.raw_path) > MAX_TARGET_BYTES:
            passage.refuse([Complaint("request target", f"has more than {MAX_TARGET_BYTES} bytes")])
            return answers.target_too_long(request, MAX_TARGET_BYTES)
        if not self._admits(request.headers.get(hdrs.AUTHORIZATION, "")):
            passage.refuse(
                [Complaint("Authorization", "is missing, unreadable, or not what the sandbox was told to expect")]
            )
            return answers.unauthorized(request)
        pairs = read_pairs(request.raw_path, body, request.content_type)
        problems = find_problems(pairs)
        if body and request.content_type != FORM:
            problems.insert(0, Complaint("body", f"is not read: it is {request.content_type}, and not {FORM}"))
        if problems:
            passage.refuse(problems)
            return answers.refused(request, problems)
        passage.processed = self._journal.process(dict(pairs))
        return None

    def _admits(self, authorization: str) -> bool:
        credentials = read_basic(authorization)
        return credentials is not None and self._credentials in (None, credentials)

    async def _home(self, request: web.Request) -> web.StreamResponse:
        # Only browsers ask for HTML by default. Scripts and curl get text that a terminal can show.
        wants_page = "text/html" in request.headers.get(hdrs.ACCEPT, "").lower()
        handler = self._page.own(self._page.show, may_be_linked=True) if wants_page else self._welcome
        answer = await handler(request)
        answer.headers[hdrs.VARY] = hdrs.ACCEPT
        return answer

    async def _welcome(self, _: web.Request) -> web.Response:
        return web.Response(text=_WELCOME)

    async def _list_calls(self, _: web.Request) -> web.Response:
        return web.json_response(self._journal.calls)

    async def _forget(self, _: web.Request) -> web.Response:
        self._journal.reset()
        return web.Response(status=204)

    async def _count(self, _: web.Request) -> web.Response:
        return web.json_response(self._journal.counts)
