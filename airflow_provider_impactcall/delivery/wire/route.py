"""The route to the endpoint, and a connection along it: TCP, the proxy's tunnel, TLS. No byte of a call leaves yet."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar, cast

from airflow_provider_impactcall import __version__
from airflow_provider_impactcall.delivery.wire.connection import Connection, HungUp
from airflow_provider_impactcall.delivery.wire.dialing import Dialler
from airflow_provider_impactcall.delivery.wire.proxy import Carrier, Proxy, Tunnel, UntrustedProxy

USER_AGENT = f"airflow-provider-impactcall/{__version__}"

_Made = TypeVar("_Made", bound=asyncio.Protocol)


@dataclass(frozen=True)
class Route:
    """The route to the endpoint.

    :param host: the endpoint's name or address, without brackets
    :param tls: the TLS context for the endpoint; None if the endpoint does not speak TLS
    :param proxy: the proxy on the route, or None
    :param proxy_tls: the TLS context for the proxy; None if the proxy does not speak TLS
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    proxy: Proxy | None = None
    proxy_tls: ssl.SSLContext | None = None

    async def connect(self, factory: Callable[[], Connection]) -> Connection:
        """Open a connection that a request can be written to.

        :raises ssl.SSLCertVerificationError: if the endpoint's certificate is not trusted
        :raises UntrustedProxy: if the proxy's certificate is not trusted
        :raises OSError: if no connection is made; :class:`NoTunnel` if the proxy says so
        :raises ValueError: if the host is not a valid name
        """
        if self.proxy is not None:
            return await self._by(self.proxy, factory)
        return await self._dialled(factory, self.host, self.tls)

    @cached_property
    def _dialler(self) -> Dialler:
        there: Route | Proxy = self.proxy or self
        return Dialler(there.host, there.port)

    async def _by(self, proxy: Proxy, factory: Callable[[], Connection]) -> Connection:
        try:
            if self.tls is None:
                return await self._dialled(factory, proxy.host, self.proxy_tls)
            tunnel = await self._dialled(Tunnel, proxy.host, self.proxy_tls)
        except ssl.SSLCertVerificationError:
            raise UntrustedProxy from None
        try:
            await tunnel.open(self._connect(proxy))
            return await self._secured(tunnel.transport, factory(), self.tls)
        except BaseException:
            tunnel.transport.abort()
            raise

    def _connect(self, proxy: Proxy) -> bytes:
        """The CONNECT request, with the proxy's credentials and without the endpoint's."""
        host = f"[{self.host}]" if ":" in self.host else self.host.rstrip(".")
        lines = [f"CONNECT {host}:{self.port} HTTP/1.1", f"Host: {host}:{self.port}", f"User-Agent: {USER_AGENT}"]
        if proxy.authorization is not None:
            lines.append(f"Proxy-Authorization: {proxy.authorization}")
        return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("ascii")

    async def _secured(
        self, transport: asyncio.Transport, connection: Connection, context: ssl.SSLContext
    ) -> Connection:
        """A connection that speaks TLS through a tunnel."""
        carrier = transport if self.proxy_tls is None else cast("asyncio.Transport", Carrier(transport))
        secured = await asyncio.get_running_loop().start_tls(
            carrier, connection, context, server_hostname=_server_name(self.host)
        )
        if secured is None or connection.closed:
            raise HungUp
        # start_tls() does not call connection_made() for its protocol.
        connection.connection_made(secured)
        return connection

    async def _dialled(self, factory: Callable[[], _Made], host: str, context: ssl.SSLContext | None) -> _Made:
        name = None if context is None else _server_name(host)
        sock = await self._dialler.dial()
        _, made = await asyncio.get_running_loop().create_connection(
            factory, sock=sock, ssl=context, server_hostname=name
        )
        return made


def _server_name(host: str) -> str:
    """The name that the certificate must be for: without the final dot, which only DNS knows."""
    return host.rstrip(".")
