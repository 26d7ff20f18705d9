"""A database far away: a relay to its server that delays each packet and counts round trips."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Distance:
    """A port on 127.0.0.1 that leads to a server.

    :param server: its port on 127.0.0.1, or the path of its socket
    :param seconds: seconds of a round trip; a packet is held for half of them each way
    """

    server: int | str
    seconds: float = 0.0
    port: int = field(init=False, default=0)
    trips: int = field(init=False, default=0)
    """How often a client sent something after the server's last answer. Data sent in one go is one trip, however long.
    """
    clients: list[_Client] = field(init=False, default_factory=list)

    @contextmanager
    def in_thread(self) -> Iterator[Distance]:
        """Within this context, the port is open."""
        self._loop = loop = asyncio.new_event_loop()
        server = loop.run_until_complete(loop.create_server(lambda: _Client(self), "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            loop.call_soon_threadsafe(server.close)
            self.cut()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    def cut(self) -> None:
        """End all connections that are open now."""
        done = threading.Event()

        def cut() -> None:
            for each in self.clients:
                each.transport.abort()
            self.clients.clear()
            done.set()

        self._loop.call_soon_threadsafe(cut)
        done.wait()


class _End(asyncio.Protocol):
    """One end of a connection. Data from this end goes to the other end."""

    other: _End
    transport: asyncio.Transport

    def __init__(self, distance: Distance) -> None:
        self.distance = distance
        self.early: list[bytes] | None = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        for data in self.early or ():
            transport.write(data)
        self.early = None

    def data_received(self, data: bytes) -> None:
        asyncio.get_running_loop().call_later(self.distance.seconds / 2, self.other.send, data)

    def connection_lost(self, error: Exception | None) -> None:
        asyncio.get_running_loop().call_later(self.distance.seconds / 2, self.other.close)

    def send(self, data: bytes) -> None:
        if self.early is None:
            self.transport.write(data)
        else:
            self.early.append(data)

    def close(self) -> None:
        if self.early is None:
            self.transport.close()


class _Client(_End):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.other = _Server(self.distance)
        self.other.other = self
        self.is_answered = True
        self.distance.clients.append(self)
        loop = asyncio.get_running_loop()
        where = self.distance.server
        self.connecting = loop.create_task(
            loop.create_unix_connection(lambda: self.other, where)
            if isinstance(where, str)
            else loop.create_connection(lambda: self.other, "127.0.0.1", where)
        )

    def data_received(self, data: bytes) -> None:
        self.distance.trips += self.is_answered
        self.is_answered = False
        super().data_received(data)


class _Server(_End):
    other: _Client

    def data_received(self, data: bytes) -> None:
        self.other.is_answered = True
        super().data_received(data)
