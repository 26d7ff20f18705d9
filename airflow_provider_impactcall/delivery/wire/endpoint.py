"""Where calls go: the endpoint, its requests, and the connections to it."""

from __future__ import annotations

import base64
import string
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

# No HTTP server in common use reads a longer request line; most stop at 8 kB, 16 kB or 32 kB. A server that stops
# reading resets the connection, and the call would be unknown. The fate of a call that is refused here is certain.
_LONGEST = {"query": 65_536, "form": 1_048_576}


@dataclass(frozen=True)
class Endpoint:
    """Where calls go, and how.

    :param origin: scheme, host and port, without a path
    :param login: the login of the special credentials, from impact.com's CSM
    :param password: the password of the special credentials
    :param parameters_in: ``query`` (in the URL, with an empty body) or ``form`` (in the body, which keeps callers'
        numbers out of proxies' logs)
    :param timeout: seconds for a whole request, from connecting to the answer's last byte
    :param verify: True to trust the system's certificates, the path of a file or folder of other certificates, or False
        to trust any certificate
    :param cert: the path of a client certificate, or the paths of the certificate and of its key
    :param proxy: the proxy's URL
    :param retry_statuses: HTTP statuses that mean "not processed"
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
        """The URL that a call is posted to."""
        return self.origin + PATH

    @cached_property
    def account(self) -> str:
        """A digest of what identifies the account at impact.com; spellings of one origin give the same digest."""
        return digest([str(URL(self.origin).origin()), self.login], 16).hex()

    @cached_property
    def authorization(self) -> str:
        """The Authorization header: HTTP Basic in UTF-8; most clients default to Latin-1."""
        return "Basic " + base64.b64encode(f"{self.login}:{self.password}".encode()).decode("ascii")

    def request(self, call: CallRecord) -> Request:
        """The request for a call. Any thread may call this."""
        encoded = encode(call.sent)
        if len(encoded) > _LONGEST[self.parameters_in]:
            remedy = "; the connection's parameters_in=form takes more" if self.parameters_in == "query" else ""
            reason = f"the request would hold {len(encoded)} bytes of parameters{remedy}"
            return Request(call, b"", Attempt(AttemptResult.REJECTED, ReasonCode.TOO_LONG, reason))
        before, after = self._around
        if self.parameters_in == "form":
            return Request(call, b"%b%d%b%b" % (before, len(encoded), after, encoded))
        return Request(call, before + encoded + after)

    @cached_property
    def _around(self) -> tuple[bytes, bytes]:
        """The parts of a request before and after its parameters; for ``form``, before and after their length."""
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
            # The header with the length is the last one.
            before = f"POST {target} HTTP/1.1\r\n{_lines(headers | {'Content-Type': FORM})}Content-Length: "
            return before.encode("ascii"), b"\r\n\r\n"
        after = f" HTTP/1.1\r\n{_lines(headers | {'Content-Length': '0'})}\r\n"
        return f"POST {target}?".encode("ascii"), after.encode("ascii")

    @asynccontextmanager
    async def connections(self, most: int) -> AsyncIterator[Connections]:
        """The connections to the endpoint, which are closed when the context ends.

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
        credentials: tuple[str, ...] = self.login, self.password, self.authorization
        if self._proxy is not None and self._proxy.authorization is not None:
            credentials += (*self._proxy.credentials, self._proxy.authorization)
        return credentials

    def _route(self) -> Route:
        url = URL(self.origin)
        if url.raw_host is None or url.port is None:
            raise InvalidOption("the endpoint's origin has no host")
        proxy = self._proxy
        encrypted, proxy_encrypted = url.scheme == "https", proxy is not None and proxy.tls
        context = None
        # Loading the system's certificates takes longer than sending a hundred calls: load them only if needed.
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


def encode(parameters: Mapping[str, str]) -> bytes:
    """The parameters for a query or a form, with every reserved byte percent-encoded."""
    names = tuple(parameters)
    text = _form(names) % tuple(parameters.values())
    if not text.isascii() or text.count(_AND) >= len(names) or text.count(_IS) > len(names):
        pairs = [f"{name}={quote(value, safe='', errors='strict')}" for name, value in parameters.items()]
        return "&".join(pairs).encode("ascii")
    # For speed: encode all values at once, one sign after the other. Only few signs occur. The percent sign comes
    # first, as the escapes of the others contain it.
    encoded = text.encode("ascii").replace(b"%", b"%25")
    for code in set(encoded.translate(None, _KEPT)):
        encoded = encoded.replace(*_ESCAPES[code])
    return encoded.translate(_SEPARATED)


@lru_cache(maxsize=256)
def _form(names: tuple[str, ...]) -> str:
    return _AND.join([f"{name}{_IS}%s" for name in names])


# Stand for "&" and "=" until the values are encoded.
_AND, _IS = "\0", "\1"
_SEPARATED = bytes.maketrans(b"\0\1", b"&=")
# RFC 3986: every other byte has to be percent-encoded.
_KEPT = (string.ascii_letters + string.digits + "-._~%" + _AND + _IS).encode("ascii")
_ESCAPES = [(bytes([code]), b"%%%02X" % code) for code in range(128)]
