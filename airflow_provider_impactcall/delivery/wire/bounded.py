"""A blocking HTTP request whose answer is bounded in size and time, as a delivery's is. requests bounds neither.

The timeout of requests starts anew with each part that arrives, so a slow answer in small parts may never end. requests
also decompresses without a limit.
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
# Cut off a little later than the timeout: a server that sends nothing at all then causes the socket's clearer error.
_MARGIN = 0.2

_deadline: ContextVar[float] = ContextVar("deadline")
"""The latest moment at which the current answer may end, by the monotonic clock."""


class Answer(NamedTuple):
    """An answer, read to its end.

    :param body: decompressed, at most as many bytes as were asked for
    :param whole: whether this is the whole body
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    whole: bool


class _Final(requests.Response):
    """An answer that requests never takes as a redirect: it would read the body of a redirect without a limit."""

    @property
    def is_redirect(self) -> bool:
        return False


class BoundedAdapter(HTTPAdapter):
    """Ends an answer whose head has not come within the request's timeout. Follows no redirect."""

    def build_response(self, *args: Any) -> requests.Response:
        """The answer, before its body is read."""
        response = super().build_response(*args)
        response.__class__ = _Final
        return response

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Use the connection pools below."""
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Use the connection pools below for a proxy, too."""
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
    """Make one request and read its answer. Redirects are not followed.

    :param session: with a :class:`BoundedAdapter` mounted
    :param seconds: for connecting, and then again for the whole answer
    :param most_bytes: of the decompressed body; further bytes are read and dropped
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
    """Shut a socket down if this context lasts longer than so many seconds: whatever waits for the socket then ends.

    :raises TimeoutError: if the socket was shut down
    """
    over = []

    def end() -> None:
        over.append(True)
        # A shutdown works through TLS too: every reader of the socket sees the end of the stream.
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
    """A connection whose answers must begin, and end, within a request's timeout."""

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
