"""A delivery of a number of calls with a ledger, in a process that can be killed, stopped or left alone.

It is forked from a process that has imported everything, so that it starts in milliseconds.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from airflow_provider_impactcall.defaults import DEFAULT_KEY
from airflow_provider_impactcall.delivery.duplicates import Duplicates
from airflow_provider_impactcall.delivery.engine.engine import Engine
from airflow_provider_impactcall.delivery.engine.pacing import Pacing
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.ledger.writer import LedgerWriter
from airflow_provider_impactcall.delivery.outcome import DeliveryReport
from airflow_provider_impactcall.delivery.rate_limit.limiter import Limiter
from airflow_provider_impactcall.delivery.rate_limit.permits import Permits, RateLimit
from airflow_provider_impactcall.delivery.runner import run
from airflow_provider_impactcall.delivery.timings import TIMINGS, Timings
from airflow_provider_impactcall.delivery.wire.endpoint import Endpoint
from airflow_provider_impactcall.records import CallMapping
from airflow_provider_impactcall.sandbox import Sandbox
from tests.chaos import crash_points
from tests.examples import LOGIN, PASSWORD, calls

NAMESPACE = "https://calls.example.com"

SHORT_LEASE = 1.5
"""For deliveries that have to wait until another counts as dead."""

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["tests.chaos.deliver"])


@dataclass(frozen=True)
class Delivery:
    """The calls to deliver, and how.

    :param prefix: of the calls' ids
    :param lease: in seconds, of a delivery in its own process
    :param per_second: the account's rate limit, or None
    :param timeout: seconds for a whole request
    """

    endpoint_url: str
    ledger_url: str
    prefix: str
    count: int
    on_unknown: str = "hold"
    concurrency: int = 8
    lease: float = TIMINGS.lease
    per_second: float | None = None
    timeout: float = 15.0


def deliver(delivery: Delivery, database: sa.Engine | None = None, timings: Timings = TIMINGS) -> DeliveryReport:
    """Deliver as the hook does.

    :param database: the ledger's database, if a test interferes with it
    """
    kept = Ledger(database or sa.create_engine(delivery.ledger_url), NAMESPACE, timings)
    kept.prepare()
    run_id = kept.start("chaos", "")
    endpoint = Endpoint(delivery.endpoint_url, LOGIN, PASSWORD, timeout=delivery.timeout)
    limiter = None
    if delivery.per_second is not None:
        limits = [RateLimit(delivery.per_second, 1.0)]
        limiter = Limiter(Permits(kept, run_id, endpoint.account, limits, delivery.timeout), timings)
    interrupt = threading.Event()
    sender = Engine(
        duplicates=Duplicates(),
        pacing=Pacing(limiter, max_wait=20, timings=timings),
        on_settled=lambda *_: None,
        interrupt=interrupt,
        concurrency=delivery.concurrency,
        timings=timings,
    )
    report = run(
        sender,
        endpoint,
        LedgerWriter(kept, run_id, DEFAULT_KEY, resend=delivery.on_unknown == "resend"),
        calls(delivery.count, delivery.prefix),
        CallMapping(),
        interrupt,
    )
    with suppress(SQLAlchemyError):
        kept.end(run_id, report)
    kept.engine.dispose()
    return report


class Child:
    """A delivery in a process of its own.

    :param dies_at: the crash point at which it kills itself, and at which pass of it, from 1
    """

    def __init__(self, delivery: Delivery, dies_at: tuple[str, int] | None = None) -> None:
        self._from_child, to_parent = _forks.Pipe(duplex=False)
        self._process = _forks.Process(target=_in_a_child, args=(delivery, to_parent, dies_at), daemon=True)
        self._process.start()
        to_parent.close()

    @property
    def running(self) -> bool:
        return self._process.is_alive()

    def signal(self, number: signal.Signals) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def ends(self, within: float) -> bool:
        """Wait so long for its end; whether it ended."""
        self._process.join(within)
        return not self.running

    def killed(self) -> None:
        """Kill it with SIGKILL, and wait until it is gone."""
        self.signal(signal.SIGKILL)
        self._process.join()

    def died_at(self, within: float = 60.0) -> str:
        """The crash point at which it killed itself."""
        said = self._last_words(within)
        assert self._process.exitcode == -signal.SIGKILL
        return str(said)

    def report(self, within: float = 120.0) -> dict[str, Any]:
        """What it reports in the end."""
        said = self._last_words(within)
        assert self._process.exitcode == 0
        assert isinstance(said, dict)
        return said

    def _last_words(self, within: float) -> Any:
        ends_by = time.monotonic() + within
        try:
            assert self._from_child.poll(within), "it came to no end"
            said = self._from_child.recv()
            self._process.join(max(0.0, ends_by - time.monotonic()))
        finally:
            if self.running:
                self.killed()
        return said


def killed_in_flight(child: Child, sandbox: Sandbox, after: int) -> bool:
    """Kill it after so many requests, surely with one in flight. False if it ended before."""
    wanted = sandbox.counts["requests"] + after
    while child.running:
        if sandbox.counts["requests"] >= wanted:
            child.signal(signal.SIGSTOP)
            in_flight = sandbox._journal._in_flight  # of a process that stands still, so nobody has read its answer
            if in_flight:
                child.killed()
                return True
            child.signal(signal.SIGCONT)
        time.sleep(0.002)
    return False


def _in_a_child(delivery: Delivery, to_parent: Connection, dies_at: tuple[str, int] | None) -> None:
    logging.getLogger("airflow_provider_impactcall").setLevel(logging.ERROR)
    timings = Timings(lease=delivery.lease, renewal=0.4, lease_margin=0.3)
    if dies_at is not None:
        crash_points.arm(*dies_at, to_parent.send)
    report = deliver(delivery, timings=timings)
    to_parent.send(report.as_dict() | {"given_up": report.given_up})
