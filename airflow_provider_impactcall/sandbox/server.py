"""The sandbox as an object: start it, change its faults, read its counts, and stop it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Self

from aiohttp import web
from aiohttp.http import HttpProcessingError
from yarl import URL

from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.sandbox.actions import DEFAULT_PAGE_SIZE
from airflow_provider_impactcall.sandbox.application import MAX_TARGET_BYTES, CallDataApplication
from airflow_provider_impactcall.sandbox.decisions import Decisions
from airflow_provider_impactcall.sandbox.journal import Counts, Journal, ProcessedCall, ReceivedRequest
from airflow_provider_impactcall.sandbox.measures import MEASURES, Measures
from airflow_provider_impactcall.sandbox.plan import FaultPlan

# When the sandbox stops, requests in flight get this time to finish: a request that hangs would never finish.
_GRACE_SECONDS = 0.1
# aiohttp answers 400 to a target over its own limit. So that limit is far above the sandbox's, which answers 414.
_PARSER_LINE_BYTES = 128 * MAX_TARGET_BYTES
_MAX_HEADER_BYTES = 128 * 1024


class Sandbox:
    """A stand-in for impact.com's Call Data API on this machine.

    Use it as an async context manager, or as ``with Sandbox().in_thread() as sandbox`` from code without
    an event loop.

    :param host: the address to listen on
    :param port: the port to listen on; 0 picks a free one
    :param user: the only user that may send requests; without it, any Basic credentials are accepted
    :param password: that user's password
    :param latency: seconds before each answer; the call is processed before this wait
    :param faults: by kind of fault, the share of requests that meet it, 0 to 1 (see ``FAULTS``)
    :param seed: the same seed and rates give the same faults, in the order of the requests
    :param keep_requests: whether to fill :attr:`requests`; switch it off if memory matters
    :param actions_page_size: actions on a page of their list if the request does not say
    :param settle_after: seconds after which an action is approved automatically; after the same time again it is
        cleared. None leaves each action pending until :meth:`decide` is called
    :param reversed_share: the share of actions that are reversed instead, 0 to 1
    :param measures: delays of slow faults, and limits of the page
    :raises InvalidOption: for an unknown kind of fault, rates that add up to over 1, a password without a user, a page
        size below 1, or a latency that is negative or over an hour
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        user: str | None = None,
        password: str | None = None,
        latency: float = 0.0,
        faults: Mapping[str, float] | None = None,
        seed: int = 0,
        keep_requests: bool = True,
        actions_page_size: int = DEFAULT_PAGE_SIZE,
        settle_after: float | None = None,
        reversed_share: float = 0.0,
        measures: Measures = MEASURES,
    ) -> None:
        if user is None and password is not None:
            raise InvalidOption("a password needs a user")
        self.host = host
        self.port = port
        self._journal = Journal(keep_requests=keep_requests)
        self._plan = FaultPlan(faults or {}, seed, latency)
        self._decisions = Decisions(self._journal, settle_after, reversed_share)
        self._application = CallDataApplication(
            self._journal,
            self._plan,
            self._decisions,
            credentials=None if user is None else (user, password or ""),
            host=host,
            actions_page_size=actions_page_size,
            measures=measures,
        )
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Scheme, host and port, such as ``http://127.0.0.1:8900``; the port is known once it runs."""
        return str(URL.build(scheme="http", host=self.host, port=self.port))

    @property
    def calls(self) -> list[ProcessedCall]:
        """The calls that were processed, whatever the answer was. ``GET /calls`` shows them."""
        return self._journal.calls

    @property
    def counts(self) -> Counts:
        """The numbers of requests, calls, answers and faults. ``GET /counts`` shows them."""
        return self._journal.counts

    @property
    def requests(self) -> list[ReceivedRequest]:
        """Every request to the endpoint as it arrived, unless ``keep_requests`` is off."""
        return self._journal.requests

    @property
    def faults(self) -> Mapping[str, float]:
        """The rates by kind. They may be replaced at any time."""
        return self._plan.rates

    @faults.setter
    def faults(self, rates: Mapping[str, float]) -> None:
        self._plan.rates = rates

    @property
    def latency(self) -> float:
        """Seconds before each answer. They may be replaced at any time."""
        return self._plan.latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        self._plan.latency = seconds

    @property
    def script(self) -> Sequence[str]:
        """The kinds of fault for the next requests, one each, before any rate counts; ``ok`` is a normal answer.

        Read it to see the remaining kinds. It may be replaced at any time.
        """
        return self._plan.script

    @script.setter
    def script(self, kinds: Sequence[str]) -> None:
        self._plan.script = kinds

    def decide(self, state: str, numbers: Collection[int] | None = None) -> int:
        """Make actions approved, reversed, cleared, or pending again; ``PATCH /actions`` does the same.

        :param state: ``APPROVED``, ``REVERSED``, ``CLEARED`` (approved, and released for payment) or ``PENDING``
        :param numbers: the numbers of their calls in :attr:`calls`, from 1; None for all calls
        :return: how many of these calls exist
        :raises InvalidOption: for another state
        """
        return self._decisions.decide(state, numbers)

    def reset(self) -> None:
        """Forget all calls, counts and requests; ``DELETE /calls`` does the same."""
        self._journal.reset()

    async def start(self) -> None:
        """Start to listen.

        :raises OSError: if the address is in use, or does not belong to this machine
        """
        runner = web.AppRunner(
            self._application.build(),
            access_log=None,
            logger=_logger(),
            handler_cancellation=True,
            shutdown_timeout=_GRACE_SECONDS,
            max_line_size=_PARSER_LINE_BYTES,
            max_field_size=_MAX_HEADER_BYTES,
        )
        await runner.setup()
        self._runner = runner
        try:
            await web.TCPSite(runner, self.host, self.port).start()
        except OSError:
            await self.stop()
            raise
        self.port = runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening, and end the requests in flight."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @contextmanager
    def in_thread(self) -> Iterator[Self]:
        """Serve from a thread with an event loop of its own."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="impactcall-sandbox", daemon=True)
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self.start(), loop).result()
            try:
                yield self
            finally:
                asyncio.run_coroutine_threadsafe(self.stop(), loop).result()
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()


def _logger() -> logging.Logger:
    logger = logging.getLogger(__name__)
    logger.addFilter(_without_unreadable_requests)
    return logger


def _without_unreadable_requests(record: logging.LogRecord) -> bool:
    # aiohttp logs a request that it cannot parse. The log would quote the request, with callers' numbers.
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))
