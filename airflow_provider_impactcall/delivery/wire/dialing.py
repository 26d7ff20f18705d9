"""TCP connections to one host: its name's addresses are used for 10 s, and are tried as RFC 8305 (Happy Eyeballs)
says.

asyncio's own implementation leaks a socket if it is cancelled just as it connects (Python 3.11 and 3.12).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest
from typing import Any, NamedTuple

# Seconds that an address is tried alone, before the next one is tried in parallel (RFC 8305, 5).
_HEAD_START = 0.25
# Seconds that a DNS answer is used. A load balancer may take its addresses out of service within a minute.
_KNOWN_FOR = 10.0


class Address(NamedTuple):
    """The address that a socket connects to."""

    family: int
    sockaddr: tuple[Any, ...]


class Dialler:
    """Makes connections to one host, on one event loop.

    :param host: a name, or an address without brackets
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._addresses: list[Address] = []
        self._known_until = 0.0
        self._lookup: asyncio.Task[list[Address]] | None = None
        self._dialled = 0

    async def dial(self) -> socket.socket:
        """A connected socket.

        :raises OSError: if the name has no address, or none of its addresses accepts a connection
        :raises ValueError: if the name is not a valid host name
        """
        addresses = await self._known()
        self._dialled += 1
        return await connected(list(in_turn(addresses, self._dialled - 1)))

    async def _known(self) -> list[Address]:
        loop = asyncio.get_running_loop()
        if loop.time() >= self._known_until:
            # All waiting callers share one lookup: it goes on when one of them is cancelled.
            if self._lookup is None:
                self._lookup = loop.create_task(self._look_up())
                self._lookup.add_done_callback(self._looked_up)
            return await asyncio.shield(self._lookup)
        return self._addresses

    async def _look_up(self) -> list[Address]:
        loop = asyncio.get_running_loop()
        try:
            found = socket.getaddrinfo(
                self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
            )
        except socket.gaierror:
            found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        self._addresses = list(dict.fromkeys(Address(family, sockaddr) for family, _, _, _, sockaddr in found))
        self._known_until = loop.time() + _KNOWN_FOR
        return self._addresses

    def _looked_up(self, lookup: asyncio.Task[list[Address]]) -> None:
        self._lookup = None
        if not lookup.cancelled():
            lookup.exception()  # Marks the exception as retrieved: the task that asked may have ended.


def in_turn(addresses: Sequence[Address], turn: int) -> Iterator[Address]:
    """The addresses in the order in which to try them: IPv6 and IPv4 alternate, the system's preferred family first.

    Within a family, each turn begins with the next address.
    """
    families: dict[int, list[Address]] = {}
    for address in addresses:
        families.setdefault(address.family, []).append(address)
    turned = [each[turn % len(each) :] + each[: turn % len(each)] for each in families.values()]
    return (address for address in chain.from_iterable(zip_longest(*turned)) if address is not None)


async def connected(addresses: Sequence[Address]) -> socket.socket:
    """The first connection that one of these addresses accepts.

    :raises OSError: if none accepts one; the first failure
    """
    if len(addresses) == 1:
        return await _connected(addresses[0])
    remaining = list(reversed(addresses))
    tasks: set[asyncio.Task[socket.socket]] = set()
    pending: set[asyncio.Task[socket.socket]] = set()
    failures: list[BaseException] = []
    try:
        while remaining or pending:
            if remaining:
                pending.add(asyncio.create_task(_connected(remaining.pop())))
                tasks |= pending
            done, pending = await asyncio.wait(
                pending, timeout=_HEAD_START if remaining else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                failure = task.exception()
                if failure is None:
                    tasks.discard(task)
                    return task.result()
                failures.append(failure)
    finally:
        for task in tasks:
            task.cancel()
            task.add_done_callback(_close)
    raise failures[0] if failures else OSError("the name has no address")


async def _connected(address: Address) -> socket.socket:
    made = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        await asyncio.get_running_loop().sock_connect(made, address.sockaddr)
    except BaseException:
        made.close()
        raise
    return made


def _close(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()
