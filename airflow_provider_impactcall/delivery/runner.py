"""Rows in, report out: reads and maps in the caller's thread, sends on an event loop in a thread of its own.

A caller's generator thus runs where it was made (database connections and Airflow's context are bound to a
thread), and a signal that interrupts the caller never cuts through a request.
"""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from airflow_provider_impactcall.delivery.endpoint import Endpoint
from airflow_provider_impactcall.delivery.engine import Call, Engine, Rejection
from airflow_provider_impactcall.delivery.outcome import DeliveryReport
from airflow_provider_impactcall.exceptions import InvalidCall, InvalidOption
from airflow_provider_impactcall.records import CallMapping, CallRecord

_ROWS_AHEAD = 1000

_BATCH = 500

Item = Call | Rejection


def run(engine: Engine, endpoint: Endpoint, rows: Any, mapping: CallMapping) -> DeliveryReport:
    """Deliver every row and report.

    :param rows: any iterable of dicts or :class:`CallRecord`; iterables in it are flattened; one dict is one
        row; None is no row
    :raises DeliveryAborted: when nothing can be delivered until a person changes something
    :raises InvalidOption: if ``rows`` is nothing that has rows
    :raises Exception: whatever reading ``rows`` raises, after what is in flight has been settled
    """
    handover = _Handover()
    loop: Future[asyncio.AbstractEventLoop] = Future()
    items = mapped(flattened(_iterable(rows)), mapping)
    with ThreadPoolExecutor(1, thread_name_prefix="impactcall") as thread:
        delivery = thread.submit(asyncio.run, _deliver(engine, endpoint, handover, loop))
        try:
            try:
                for item in items:
                    handover.put(item)
            finally:
                handover.end()
            return delivery.result()
        except BaseException as error:
            if not delivery.done():
                loop.result().call_soon_threadsafe(partial(engine.stop, f"interrupted by {type(error).__name__}"))
            raise


def mapped(rows: Iterable[Any], mapping: CallMapping) -> Iterator[Item]:
    """Each row as a call, or as a rejection with every reason; numbered from 1."""
    for number, row in enumerate(rows, start=1):
        try:
            yield Call(number, mapping.record(row))
        except InvalidCall as error:
            yield Rejection(number, error.call_session_id, error.problems)


def flattened(rows: Iterable[Any]) -> Iterator[Any]:
    """The rows of rows of rows: a mapped upstream arrives as a sequence of its tasks' results."""
    for row in rows:
        if isinstance(row, (Mapping, CallRecord, str, bytes)) or not isinstance(row, Iterable):
            yield row
        else:
            yield from flattened(row)


def _iterable(rows: Any) -> Iterable[Any]:
    if rows is None:
        return ()
    if isinstance(rows, (Mapping, CallRecord)):
        return (rows,)
    if isinstance(rows, (str, bytes)) or not isinstance(rows, Iterable):
        raise InvalidOption(f"the calls must be rows (dicts by column name), and are of type {type(rows).__name__}")
    if hasattr(rows, "columns") and hasattr(rows, "to_dict"):
        raise InvalidOption("the calls are a DataFrame; pass its rows: df.to_dict('records')")
    return rows


class _Handover:
    """Rows on their way from the reading thread to the event loop, in batches of whatever is ready."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Item | None] = queue.Queue(_ROWS_AHEAD)
        self._ended = False

    def put(self, item: Item) -> None:
        self._queue.put(item)

    def end(self) -> None:
        self._queue.put(None)

    async def batches(self) -> AsyncIterator[list[Item]]:
        while not self._ended:
            batch = [await asyncio.to_thread(self._queue.get)]
            with suppress(queue.Empty):
                while len(batch) < _BATCH:
                    batch.append(self._queue.get_nowait())
            self._ended = batch[-1] is None
            yield [item for item in batch if item is not None]


async def _deliver(
    engine: Engine, endpoint: Endpoint, handover: _Handover, loop: Future[asyncio.AbstractEventLoop]
) -> DeliveryReport:
    loop.set_result(asyncio.get_running_loop())
    try:
        async with endpoint.session() as session:
            return await engine.run(partial(endpoint.send, session), handover.batches())
    finally:
        # After a failure, rows may be left, and the reading thread must not wait for room for ever.
        async for _ in handover.batches():
            pass
