"""A blocking HTTP request whose answer is bounded in size and time, as a delivery's is: requests bounds neither.

Its timeout is for each part that arrives, so that an answer in drips never ends, and it unzips whatever comes.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from threading import Timer
from typing import Any, NamedTuple

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

_CHUNK = 16 * 1024
# What says nothing at all for so long has a clearer error by itself.
_MARGIN = 0.2

_deadline: ContextVar[float] = ContextVar("deadline")
"""Until when the answer that is being read may last, by the monotonic clock."""


class Answer(NamedTuple):
    """An answer, read to its end.

    :param body: decompressed, and no more of it than was asked for
    :param whole: whether that is all of it
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool


class _Final(requests.Response):
    """An answer that requests takes for no redirect: it would read the body of one without any bound."""

    @property
    def is_redirect(self) -> bool:
        return False


class BoundedAdapter(HTTPAdapter):
    """Ends an answer whose head has not come within the request's timeout, and has no redirect followed."""

    def build_response(self, *args: Any) -> requests.Response:
        """The answer, before its body is read."""
        response = super().build_response(*args)
        response.__class__ = _Final
        return response

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """The pools of connections, of those below."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Likewise, of a proxy."""
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = _POOLS
        return manager


def exchange(
    session: requests.Session,
    method: str,
    url: str,
    *,
    seconds: float,
    most_bytes: int,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request and its answer; a session with a :class:`BoundedAdapter` mounted. Redirects are not followed.

    :param seconds: for connecting, and then for the whole answer
    :param most_bytes: of its body, decompressed; the rest is read, and left out
    :raises OSError: if no whole answer came within that time; its text may hold the URL
    :raises ValueError: if the URL is not valid
    """
    with session.request(method, url, headers=headers, timeout=seconds, allow_redirects=False, stream=True) as response:
        body, length = bytearray(), 0
        deadline = _deadline.get(time.monotonic() + seconds)
        with _cut_off(lambda: response.raw.fileno(), deadline - time.monotonic()):
            for chunk in response.iter_content(_CHUNK):
                length += len(chunk)
                body += chunk[: max(most_bytes - len(body), 0)]
                if time.monotonic() > deadline:
                    raise TimeoutError
        return Answer(response.status_code, response.headers, bytes(body), length == len(body))


@contextmanager
def _cut_off(fileno: Any, seconds: float) -> Iterator[None]:
    """Within it, what a socket is waiting for ends after so many seconds.

    :raises TimeoutError: if it was cut off
    """
    over = []

    def end() -> None:
        over.append(True)
        # Its other users, such as TLS, notice an end of what is sent.
        with suppress(OSError, ValueError), socket.socket(fileno=os.dup(fileno())) as same:
            same.shutdown(socket.SHUT_RDWR)

    timer = Timer(max(seconds, 0) + _MARGIN, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception:
        if over:
            raise TimeoutError from None
        raise
    finally:
        timer.cancel()
    if over:
        raise TimeoutError


class _Timely:
    """A connection whose answers begin and go on as long as a request's timeout says, and no longer."""

    sock: Any

    def getresponse(self, *args: Any, **options: Any) -> Any:
        """The answer's head."""
        sock = self.sock
        seconds = sock.gettimeout()
        if seconds is None:
            return super().getresponse(*args, **options)  # type: ignore[misc]
        _deadline.set(time.monotonic() + seconds)
        with _cut_off(sock.fileno, seconds):
            return super().getresponse(*args, **options)  # type: ignore[misc]


class _TimelyHTTPConnection(_Timely, HTTPConnection):
    pass


class _TimelyHTTPSConnection(_Timely, HTTPSConnection):
    pass


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _TimelyHTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _TimelyHTTPSConnection


_POOLS = {"http": _HTTPPool, "https": _HTTPSPool}
