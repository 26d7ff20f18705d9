"""Rows in, report out: reads and maps in the caller's thread, sends on an event loop in a thread of its own.

So a caller's generator runs in the thread that made it: database connections and Airflow's context are bound to a
thread. And a signal that interrupts the caller never interrupts a request.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Sized
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial
from typing import Any

from airflow_provider_impactcall.delivery.engine.attempts import Attempts
from airflow_provider_impactcall.delivery.engine.engine import Engine
from airflow_provider_impactcall.delivery.items import Item
from airflow_provider_impactcall.delivery.ledger.writer import LedgerWriter
from airflow_provider_impactcall.delivery.outcome import DeliveryReport
from airflow_provider_impactcall.delivery.reading import read
from airflow_provider_impactcall.delivery.wire.endpoint import Endpoint
from airflow_provider_impactcall.records import CallMapping

log = logging.getLogger(__name__)

_ROWS_AHEAD = 1000

_BATCH = 500
# Each batch costs a ledger query. So a batch waits so long for more rows and, while rows come, up to so many times.
_LINGER_SECONDS = 0.005
_MOST_LINGERING = 8
# The reading thread blocks at most so long: a signal that comes just before it blocks is handled once it runs again.
_REACH_SECONDS = 0.5


def run(
    engine: Engine,
    endpoint: Endpoint,
    writer: LedgerWriter,
    rows: Any,
    mapping: CallMapping,
    interrupt: threading.Event,
    attempts: Attempts | None = None,
) -> DeliveryReport:
    """Deliver every row and report.

    :param rows: as :func:`read` takes them
    :param interrupt: the engine's event; set here when the calling thread is interrupted, as by a signal or a timeout
    :param attempts: sums how long the attempts take
    :raises DeliveryAborted: when nothing can be delivered until a person changes something
    :raises InvalidOption: if ``rows`` does not hold rows
    :raises Exception: any error of reading ``rows``, after the rows that were read before it have been delivered
    """
    handover = _Handover()
    items = read(rows, mapping, key=writer.key, identify=writer.identify)
    with ThreadPoolExecutor(1, thread_name_prefix="impactcall") as thread:
        try:
            delivery = thread.submit(asyncio.run, _deliver(engine, endpoint, writer, handover, attempts or Attempts()))
            delivery.add_done_callback(lambda _: handover.abandon())
            try:
                for item in items:
                    if not handover.put(item):
                        break  # The delivery has failed, and says why.
                    if engine.stopped and not isinstance(rows, Sized):
                        engine.report.unread = True
                        break  # A generator may run for hours, and none of its rows would be sent.
            except Exception:
                handover.end()
                _await(delivery)
                raise
            handover.end()
            _await(delivery)
            return delivery.result()
        except Exception:
            raise
        except BaseException:
            interrupt.set()
            raise
        finally:
            handover.end()


def _await(delivery: Future[DeliveryReport]) -> None:
    """Wait for the delivery's end, in steps, so that a signal can interrupt the wait."""
    while not delivery.done():
        wait([delivery], _REACH_SECONDS)


class _Handover:
    """A queue of rows from the reading thread to the event loop, which takes all ready rows as a batch.

    A row costs only an append: the loop is woken only while it waits for rows. :meth:`end` never blocks, and may be
    called twice: it must work while the reading thread is being interrupted.
    """

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._abandoned = False
        # Wakes the event loop, while it waits for rows.
        self._call: Callable[[], object] | None = None

    def put(self, item: Item) -> bool:
        """Add a row, as soon as there is room. False if no more rows are taken."""
        if len(self._items) >= _ROWS_AHEAD:
            with self._changed:
                while not (self._abandoned or len(self._items) < _ROWS_AHEAD):
                    self._changed.wait(_REACH_SECONDS)
        if self._abandoned:
            return False
        self._items.append(item)
        if self._call is not None:
            self._tell()
        return True

    def end(self) -> None:
        """Say that no more rows come."""
        self._ended = True
        self._tell()

    def abandon(self) -> None:
        """Say that no more rows are taken: without this, a reading thread that waits for room would never end."""
        with self._changed:
            self._abandoned = True
            self._changed.notify()

    def _tell(self) -> None:
        call, self._call = self._call, None
        if call is not None:
            with suppress(RuntimeError):  # The event loop may be closed.
                call()

    async def batches(self) -> AsyncIterator[list[Item]]:
        loop, told = asyncio.get_running_loop(), asyncio.Event()
        while True:
            told.clear()
            self._call = partial(loop.call_soon_threadsafe, told.set)
            if not self._items and not self._ended:  # Checked after _call is set, so that no row is missed.
                await told.wait()
            self._call = None
            await self._linger()
            if not self._items:
                if self._ended:
                    return
                continue
            batch = [self._items.popleft() for _ in range(min(len(self._items), _BATCH))]
            with self._changed:
                self._changed.notify()
            yield batch

    async def _linger(self) -> None:
        """Wait a moment for more rows, so that the batch becomes larger."""
        for _ in range(_MOST_LINGERING):
            before = len(self._items)
            if self._ended or before >= _BATCH:
                return
            await asyncio.sleep(_LINGER_SECONDS)
            if len(self._items) - before < _BATCH // 50:
                return


async def _deliver(
    engine: Engine, endpoint: Endpoint, writer: LedgerWriter, handover: _Handover, attempts: Attempts
) -> DeliveryReport:
    try:
        async with endpoint.connections(engine.concurrency) as connections, writer:
            may_leave = engine.may_leave
            return await engine.run(
                lambda call: connections.send(endpoint.request(call), may_leave),
                writer,
                handover.batches(),
                attempts=attempts,
            )
    finally:
        handover.end()  # After a failure, batches() may still wait for rows, and the event loop would wait for it.
