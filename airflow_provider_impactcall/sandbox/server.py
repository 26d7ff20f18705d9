"""The sandbox as something to start, steer, ask and stop."""

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

# What is in flight when the sandbox stops may take so long to finish; a request that hangs never would.
_GRACE_SECONDS = 0.1
# aiohttp answers 400 to a target over its limit; this is where its limit cannot get in the way of a 414.
_PARSER_LINE_BYTES = 128 * MAX_TARGET_BYTES
_MAX_HEADER_BYTES = 128 * 1024


class Sandbox:
    """A stand-in for impact.com's Call Data API on this machine.

    Use it as an async context manager, or as ``with Sandbox().in_thread() as sandbox`` from code without
    an event loop.

    :param host: the address to listen on
    :param port: the port to listen on; 0 picks a free one
    :param user: the only user let in; without one any Basic credentials do
    :param password: that user's
    :param latency: seconds before each answer; a call is processed before them
    :param faults: the share of requests, 0 to 1, by the kind of fault that meets them (see ``FAULTS``)
    :param seed: the same seed and rates give the same faults, by the order of the requests
    :param keep_requests: whether :attr:`requests` fills; off for runs whose memory matters
    :param actions_page_size: actions on a page of their list when the request does not say
    :param settle_after: seconds after which an action is approved by itself, and as many again after which it is
        cleared; None leaves each pending until :meth:`decide` is called
    :param reversed_share: how many actions are reversed instead, 0 to 1
    :param measures: how slow it is where it is slow, and how much its page gets
    :raises InvalidOption: for an unknown kind of fault, for rates that add up to over 1, for a
        password without a user, for a page of no actions, or for a latency that
        is negative or over an hour
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
        """The calls that were processed, whatever was answered; what ``GET /calls`` shows."""
        return self._journal.calls

    @property
    def counts(self) -> Counts:
        """How many requests, calls, answers and faults; what ``GET /counts`` shows."""
        return self._journal.counts

    @property
    def requests(self) -> list[ReceivedRequest]:
        """Every request to the endpoint as it arrived, unless ``keep_requests`` is off."""
        return self._journal.requests

    @property
    def faults(self) -> Mapping[str, float]:
        """The rates by kind; may be replaced at any time."""
        return self._plan.rates

    @faults.setter
    def faults(self, rates: Mapping[str, float]) -> None:
        self._plan.rates = rates

    @property
    def latency(self) -> float:
        """Seconds before each answer; may be replaced at any time."""
        return self._plan.latency

    @latency.setter
    def latency(self, seconds: float) -> None:
        self._plan.latency = seconds

    @property
    def script(self) -> Sequence[str]:
        """The kinds that meet the next requests, one each, before any rate counts; ``ok`` stands for a normal answer.

        What is left of it can be read, and it may be replaced at any time.
        """
        return self._plan.script

    @script.setter
    def script(self, kinds: Sequence[str]) -> None:
        self._plan.script = kinds

    def decide(self, state: str, numbers: Collection[int] | None = None) -> int:
        """Have actions approved, reversed or cleared, or pending again; ``PATCH /actions`` does the same.

        :param state: ``APPROVED``, ``REVERSED``, ``CLEARED`` (approved, and released for payment) or ``PENDING``
        :param numbers: of their calls in :attr:`calls`, from 1; None for all that are there
        :return: how many there are of these
        :raises InvalidOption: for another state
        """
        return self._decisions.decide(state, numbers)

    def reset(self) -> None:
        """Forget all calls, counts and requests; ``DELETE /calls`` does the same."""
        self._journal.reset()

    async def start(self) -> None:
        """Listen.

        :raises OSError: if the address is taken or not this machine's
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
        """Stop listening, and end what is still in flight."""
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
    # aiohttp logs a request that it cannot parse, and quotes it, callers' numbers included.
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))
