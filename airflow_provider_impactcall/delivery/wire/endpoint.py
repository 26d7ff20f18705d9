"""Where calls go: the endpoint, its requests, and the connections to it."""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Literal
from urllib.parse import quote

from yarl import URL

from airflow_provider_impactcall.defaults import DEFAULT_ORIGIN, RETRY_STATUSES
from airflow_provider_impactcall.delivery.identity import digest
from airflow_provider_impactcall.delivery.outcome import Attempt, AttemptResult, ReasonCode
from airflow_provider_impactcall.delivery.wire import tls
from airflow_provider_impactcall.delivery.wire.connections import Connections
from airflow_provider_impactcall.delivery.wire.proxy import Proxy
from airflow_provider_impactcall.delivery.wire.request import Request
from airflow_provider_impactcall.delivery.wire.route import USER_AGENT, Route
from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.records import CallRecord

ParametersIn = Literal["query", "form"]

PATH = "/calldata/logCallData"
HEADERS = {"Accept": "application/json"}
FORM = "application/x-www-form-urlencoded"

# No HTTP server in common use reads a request line of more (most stop at 8 kB, 16 kB or 32 kB), and one that
# stops reading resets the connection: the call's fate would be unknown where it can be plain.
_LONGEST = {"query": 65_536, "form": 1_048_576}


@dataclass(frozen=True)
class Endpoint:
    """Where calls go, and how.

    :param origin: scheme, host and port, without a path
    :param login: the special credentials' name, from impact.com's CSM
    :param password: the special credentials' secret
    :param parameters_in: ``query`` (the URL, with an empty body) or ``form`` (the body, which keeps callers'
        numbers out of proxies' logs)
    :param timeout: seconds for a whole request, from connecting to the answer's last byte
    :param verify: True for the system's certificates, the path of a file or folder of others, False for any at all
    :param cert: a client certificate's file, or its file and its key's
    :param proxy: the proxy's URL
    :param retry_statuses: answers taken as "not processed"
    """

    origin: str = DEFAULT_ORIGIN
    login: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    parameters_in: ParametersIn = "query"
    timeout: float = 30.0
    verify: bool | str = True
    cert: str | tuple[str, str] | None = None
    proxy: str | None = field(default=None, repr=False)
    retry_statuses: Collection[int] = RETRY_STATUSES

    @cached_property
    def url(self) -> str:
        """Where a call is posted."""
        return self.origin + PATH

    @cached_property
    def account(self) -> str:
        """A digest of what impact.com knows the account by, however its address is spelled."""
        return digest([str(URL(self.origin).origin()), self.login], 16).hex()

    @cached_property
    def authorization(self) -> str:
        """The Authorization header: HTTP Basic over UTF-8, where most clients' default is Latin-1."""
        return "Basic " + base64.b64encode(f"{self.login}:{self.password}".encode()).decode("ascii")

    def request(self, call: CallRecord) -> Request:
        """The bytes that leave for a call. Any thread may ask for them."""
        encoded = encode(call.sent)
        if len(encoded) > _LONGEST[self.parameters_in]:
            remedy = "; the connection's parameters_in=form takes more" if self.parameters_in == "query" else ""
            reason = f"the request would hold {len(encoded)} bytes of parameters{remedy}"
            return Request(call, b"", Attempt(AttemptResult.REJECTED, ReasonCode.TOO_LONG, reason))
        before, after = self._around
        if self.parameters_in == "form":
            return Request(call, f"{before}{len(encoded)}{after}{encoded}".encode("ascii"))
        return Request(call, f"{before}{encoded}{after}".encode("ascii"))

    @cached_property
    def _around(self) -> tuple[str, str]:
        """What of a request stands before the parameters, or their length, and what after."""
        url = URL(self.url)
        target, host = url.raw_path, url.host_port_subcomponent or ""
        headers = {
            "Host": host,
            **HEADERS,
            "Accept-Encoding": "gzip, deflate",
            "Authorization": self.authorization,
            "User-Agent": USER_AGENT,
        }
        if self._proxy is not None and url.scheme == "http":
            target = f"http://{host}{target}"
            if self._proxy.authorization is not None:
                headers["Proxy-Authorization"] = self._proxy.authorization
        if self.parameters_in == "form":
            # Its length is the last line.
            return f"POST {target} HTTP/1.1\r\n{_lines(headers | {'Content-Type': FORM})}Content-Length: ", "\r\n\r\n"
        return f"POST {target}?", f" HTTP/1.1\r\n{_lines(headers | {'Content-Length': '0'})}\r\n"

    @asynccontextmanager
    async def connections(self, most: int) -> AsyncIterator[Connections]:
        """The connections to the endpoint, which are closed at the end.

        :param most: requests that the caller has in flight at once, at most
        :raises InvalidOption: if a file that ``verify`` or ``cert`` names cannot be loaded
        """
        connections = Connections(self._route(), most, self.timeout, self.retry_statuses, self._credentials)
        try:
            yield connections
        finally:
            await connections.close()

    @cached_property
    def _proxy(self) -> Proxy | None:
        return None if self.proxy is None else Proxy.of(self.proxy)

    @property
    def _credentials(self) -> tuple[str, ...]:
        return self.login, self.password, self.authorization

    def _route(self) -> Route:
        url = URL(self.origin)
        if url.raw_host is None or url.port is None:
            raise InvalidOption("the endpoint's origin has no host")
        proxy = self._proxy
        encrypted, proxy_encrypted = url.scheme == "https", proxy is not None and proxy.tls
        context = None
        # To load the system's certificates takes longer than to send a hundred calls.
        if encrypted or proxy_encrypted or self.cert or isinstance(self.verify, str):
            context = tls.context(self.verify, self.cert)
        return Route(
            url.raw_host,
            url.port,
            context if encrypted else None,
            proxy=proxy,
            proxy_tls=context if proxy_encrypted else None,
        )


def _lines(headers: Mapping[str, str]) -> str:
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])


def encode(parameters: Mapping[str, str]) -> str:
    """The parameters, percent-encoded to the last reserved byte, as a query or a form carries them."""
    values = _BETWEEN.join(parameters.values())
    if not values.isascii() or values.count(_BETWEEN) >= len(parameters):
        return "&".join([f"{name}={quote(value, safe='', errors='strict')}" for name, value in parameters.items()])
    # All at once, and first the signs that many values have: few are left to be taken one by one.
    for sign, escape in _COMMON:
        values = values.replace(sign, escape)
    return _form(tuple(parameters)) % tuple(_replaced(_escaped, values).split(_BETWEEN))


@lru_cache(maxsize=256)
def _form(names: tuple[str, ...]) -> str:
    return "&".join([f"{name}=%s" for name in names])


def _escaped(reserved: re.Match[str]) -> str:
    return _ESCAPES[reserved[0]]


_BETWEEN = "\0"
# By RFC 3986, all but these is to be quoted.
_replaced = re.compile(r"[^A-Za-z0-9_.~%\0-]").sub
_ESCAPES = {chr(code): f"%{code:02X}" for code in range(128)}
# The percent sign is the first, as the others bring it along.
_COMMON = [(sign, _ESCAPES[sign]) for sign in "%:/+ "]
