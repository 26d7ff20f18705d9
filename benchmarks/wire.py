"""Measures the package's wire alone: the minimum of the event loop and its sockets, and the package's own connections.

This module has all code that depends on how the package makes and sends a request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any
from urllib.parse import urlencode, urlsplit

from airflow_provider_impactcall.delivery.outcome import Attempt, AttemptResult
from airflow_provider_impactcall.delivery.wire.endpoint import PATH, Endpoint
from airflow_provider_impactcall.delivery.wire.request import Request
from airflow_provider_impactcall.records import CallRecord
from benchmarks.endpoints import ANSWER

ENCODING: Callable[..., Any] = Endpoint.request


def encoded(endpoint: Endpoint, records: Sequence[CallRecord]) -> list[Request]:
    """The request of each call."""
    return [endpoint.request(record) for record in records]


async def send(endpoint: Endpoint, records: Sequence[CallRecord], concurrency: int) -> None:
    """Make the requests of these calls, then send them.

    :param concurrency: requests in flight at once
    :raises RuntimeError: if one is not answered with Status OK
    """
    requests = encoded(endpoint, records)
    async with endpoint.connections(concurrency) as connections:
        await _all(connections.send, requests, concurrency)


async def _all(send_one: Callable[[Request], Awaitable[Attempt]], each: Sequence[Request], concurrency: int) -> None:
    remaining = iter(each)

    async def work() -> None:
        for one in remaining:
            attempt = await send_one(one)
            if attempt.result is not AttemptResult.DELIVERED:
                raise RuntimeError(attempt.reason)

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(work())


async def exchange(origin: str, records: Sequence[CallRecord], concurrency: int) -> None:
    """Write a request for each call and wait for its answer without parsing it: the minimum for any client."""
    address = urlsplit(origin).netloc
    host, _, port = address.partition(":")
    head = f"Host: {address}\r\nContent-Length: 0\r\n\r\n"
    requests = iter(
        [f"POST {PATH}?{urlencode(record.parameters())} HTTP/1.1\r\n{head}".encode("ascii") for record in records]
    )
    loop = asyncio.get_running_loop()
    each = [
        await loop.create_connection(lambda: _Exchange(requests, loop.create_future()), host, int(port))
        for _ in range(concurrency)
    ]
    await asyncio.gather(*(protocol.ended for _, protocol in each))


class _Exchange(asyncio.Protocol):
    """A connection that sends the next request as soon as the last one is answered.

    :param ended: set once there are no more requests
    """

    def __init__(self, requests: Iterator[bytes], ended: asyncio.Future[None]) -> None:
        self.ended = ended
        self._requests = requests

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        # The answer comes in one piece, and ends with its body.
        if data.endswith(_END):
            self._next()

    def connection_lost(self, exception: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(exception or RuntimeError("the endpoint closed a connection"))

    def _next(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self.ended.set_result(None)
            self._transport.close()
        else:
            self._transport.write(request)


_END = ANSWER.encode("ascii")
