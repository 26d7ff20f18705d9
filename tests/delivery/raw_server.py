"""Servers that answer exactly what a test wants, their certificates, and endpoints that lead to them."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

from airflow_provider_impactcall.delivery.outcome import Attempt
from airflow_provider_impactcall.delivery.wire.endpoint import Endpoint
from airflow_provider_impactcall.records import CallRecord
from tests import examples
from tests.delivery import canary

Talk = Callable[["RawServer", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def endpoint(origin: str, **options: Any) -> Endpoint:
    return Endpoint(origin, examples.LOGIN, examples.PASSWORD, **({"timeout": 10.0} | options))


def connection(origin: str, **extra: Any) -> str:
    """A connection, as Airflow's environment variables hold it."""
    fields = {"conn_type": "impactcall", "host": origin, "login": examples.LOGIN, "password": examples.PASSWORD}
    return json.dumps(fields | {"extra": {"timeout": 10} | extra})


async def send(endpoint: Endpoint, **changes: Any) -> Attempt:
    """One attempt to send one call, on a new connection; nothing private may be in its result."""
    async with endpoint.connections(1) as connections:
        attempt = await connections.send(endpoint.request(CallRecord.of(canary.row(**changes))))
    assert canary.found_in(attempt.reason) == []
    return attempt


def answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """A complete answer."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


OK = answer(b'{"Status": "OK",}', "200 OK", "Connection: close")


def says(raw: bytes) -> Talk:
    """Reads a request's head, writes these bytes and hangs up."""

    async def talk(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(raw)
        await writer.drain()

    return talk


async def relay(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, there: asyncio.StreamReader, back: asyncio.StreamWriter
) -> None:
    """Copies the bytes of two connections to each other until both have ended."""

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            target.write(data)
        target.close()

    try:
        await asyncio.gather(copy(reader, back), copy(there, writer))
    finally:
        back.transport.abort()


async def never_answers(server: RawServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads everything that comes, as long as the client stays."""
    while data := await reader.read(65_536):
        server.heads.append(data)


@dataclass
class RawServer:
    """A server on a free port of the loopback.

    :param talk: handles a connection, which is then closed
    :param tls: its certificate, if it speaks TLS
    """

    talk: Talk
    tls: ssl.SSLContext | None = None
    heads: list[bytes] = field(default_factory=list)
    connections: int = 0

    @property
    def port(self) -> int:
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        self._open: set[asyncio.StreamWriter] = set()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._open:
            writer.transport.abort()

    async def reached(self) -> None:
        """Wait until the first bytes of a request have come.

        :raises TimeoutError: after 10 s
        """
        async with asyncio.timeout(10):
            while not self.heads:  # noqa: ASYNC110 - a list has no event
                await asyncio.sleep(0.01)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        try:
            await self.talk(self, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()


def tls(files: tuple[str, str]) -> ssl.SSLContext:
    """The TLS context of a server with this certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*files)
    return context
