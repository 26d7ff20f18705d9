"""A proxy before the endpoint: its credentials, and its tunnel to an endpoint that speaks TLS."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import dataclass, field
from typing import Any, Self, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from yarl import URL

from airflow_provider_impactcall.exceptions import InvalidOption

_LONGEST_HEAD = 65_536


class NoTunnel(ConnectionError):
    """The proxy made no connection.

    :param status: the HTTP status of the proxy's answer, or None
    """

    def __init__(self, status: int | None = None) -> None:
        super().__init__()
        self.status = status


class UntrustedProxy(ConnectionError):
    """The certificate of a proxy that speaks TLS is not trusted."""


@dataclass(frozen=True)
class Proxy:
    """A proxy.

    :param host: its name or address
    :param tls: whether the proxy itself speaks TLS
    :param authorization: the Proxy-Authorization header's value, or None without credentials
    :param credentials: its user and password, as far as it has them; their words never appear in a reason
    """

    host: str
    port: int
    tls: bool
    authorization: str | None = field(default=None, repr=False)
    credentials: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def of(cls, url: str) -> Self:
        """The proxy of a URL.

        :param url: ``http://`` or ``https://``, with or without credentials
        :raises InvalidOption: if the URL has no host
        """
        parts = URL(url)
        if parts.raw_host is None or parts.port is None:
            raise InvalidOption("the proxy's URL has no host")
        credentials = tuple(filter(None, (parts.user, parts.password)))
        return cls(parts.raw_host, parts.port, parts.scheme == "https", _authorization(parts), credentials)


def _authorization(parts: URL) -> str | None:
    if parts.user is None and parts.password is None:
        return None
    credentials = f"{parts.user or ''}:{parts.password or ''}"
    try:
        # Latin-1, as requests and aiohttp encode a proxy's credentials; the endpoint's are in UTF-8.
        encoded = credentials.encode("latin-1")
    except UnicodeEncodeError:
        encoded = credentials.encode()
    return "Basic " + base64.b64encode(encoded).decode("ascii")


class Carrier:
    """Wraps a TLS transport so that it can carry a second TLS layer: asyncio's own transport fails when it is aborted.

    Up to Python 3.12, asyncio calls a method of the transport with one argument too many (``SSLProtocol._abort``). An
    untrusted certificate in the inner layer would then raise a ``TypeError``, and fill the log.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _force_close(self, _: Exception | None) -> None:
        self._transport.abort()


class Tunnel(asyncio.Protocol):
    """A connection to a proxy, from the CONNECT request until the proxy's answer.

    :ivar transport: the open connection, once there is one
    """

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._outcome: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self._parser = HttpResponseParser(self)
        self._read = 0
        self._status = 0
        self._surplus = False

    async def open(self, request: bytes) -> None:
        """Ask for the tunnel, and wait until it is open.

        :param request: the CONNECT request
        :raises OSError: if there is no tunnel; :class:`NoTunnel` if the proxy says so
        """
        self.transport.write(request)
        failure = await self._outcome
        if failure is not None:
            raise failure

    # Callbacks of the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._read += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:  # After a 101, which nobody asked for.
            self._end(NoTunnel(self._parser.get_status_code()))
            return
        except HttpParserError:
            self._surplus = True
        if self._status:
            # Bytes before our TLS handshake do not come from an endpoint that speaks TLS.
            made = self._status < 300 and not self._surplus
            self._end(None if made else NoTunnel(self._status))
        elif self._surplus or self._read > _LONGEST_HEAD:
            self._end(NoTunnel())

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or NoTunnel())

    def _end(self, failure: Exception | None) -> None:
        if not self._outcome.done():
            self._outcome.set_result(failure)

    # Callbacks of the parser, which expects these names. The answer that opens a tunnel has no body, whatever its
    # headers say (RFC 9110, 9.3.6).

    def on_headers_complete(self) -> None:
        """The end of the head; interim answers are skipped."""
        status = self._parser.get_status_code()
        if status >= 200:
            self._status = status

    def on_body(self, _: bytes) -> None:
        """Bytes after the head."""
        self._surplus = True
