"""One call on the wire: the request, and what can be proven of it when no answer comes."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import aiohttp
from yarl import URL

from airflow_provider_impactcall.defaults import DEFAULT_ORIGIN, RETRY_STATUSES
from airflow_provider_impactcall.delivery.identity import digest
from airflow_provider_impactcall.delivery.outcome import Attempt, AttemptResult, NothingLeft, ReasonCode
from airflow_provider_impactcall.delivery.wire.response import attempt_of
from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.records import CallRecord

ParametersIn = Literal["query", "form"]

PATH = "/calldata/logCallData"
HEADERS = {"Accept": "application/json"}
FORM = "application/x-www-form-urlencoded"

# No HTTP server in common use reads a request line of more (most stop at 8 kB, 16 kB or 32 kB), and one that
# stops reading resets the connection: the call's fate would be unknown where it can be plain.
_LONGEST = {"query": 65_536, "form": 1_048_576}
LONGEST_ANSWER = 65_536
"""Bytes of an answer that are looked at."""
_KEEP_ALIVE = 4.0


_connected: ContextVar[bool] = ContextVar("connected")
"""Whether the request that is being made has its connection."""


class _Connector(aiohttp.TCPConnector):
    """Takes note of when a request has its connection: from then on, some of it may have left.

    aiohttp's tracing tells the same, and adds a quarter to what a request costs (measured with aiohttp 3.14).
    """

    async def connect(self, *args: Any, **kwargs: Any) -> Any:
        connection = await super().connect(*args, **kwargs)
        _connected.set(True)
        return connection


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

    @asynccontextmanager
    async def session(self) -> AsyncIterator[aiohttp.ClientSession]:
        """The connections to the endpoint, for as many requests at once as the caller makes."""
        async with aiohttp.ClientSession(
            connector=_Connector(limit=0, ssl=self._tls(), keepalive_timeout=_KEEP_ALIVE),
            timeout=aiohttp.ClientTimeout(total=self.timeout),
            headers=HEADERS,
            cookie_jar=aiohttp.DummyCookieJar(),
        ) as session:
            yield session

    async def send(self, session: aiohttp.ClientSession, call: CallRecord) -> Attempt:
        """Post one call once, and say what came of it. Never raises for what happens on the wire.

        :raises NothingLeft: if it is cancelled before any of it can have left
        """
        parameters = call.parameters()
        encoded = encode(parameters)
        if len(encoded) > _LONGEST[self.parameters_in]:
            remedy = "; the connection's parameters_in=form takes more" if self.parameters_in == "query" else ""
            reason = f"the request would hold {len(encoded)} bytes of parameters{remedy}"
            return Attempt(AttemptResult.REJECTED, ReasonCode.TOO_LONG, reason)
        _connected.set(False)
        try:
            async with session.post(**self._request(encoded), proxy=self.proxy, allow_redirects=False) as response:
                body = await _read(response)
        except asyncio.CancelledError:
            if _connected.get():
                raise
            raise NothingLeft from None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return _of_failure(error, left=_connected.get())
        return attempt_of(
            response.status,
            response.headers,
            body,
            retry_statuses=self.retry_statuses,
            private=chain(parameters.values(), (self.login, self.password, self.authorization)),
        )

    def _request(self, encoded: str) -> Mapping[str, Any]:
        # With each request, since aiohttp gives a session's own headers to the proxy as well.
        headers = {"Authorization": self.authorization}
        if self.parameters_in == "form":
            return {"url": self.url, "data": encoded.encode("ascii"), "headers": {**headers, "Content-Type": FORM}}
        # Encoded already: yarl would leave + as it is, and the endpoint would read it as a space.
        return {"url": URL(f"{self.url}?{encoded}", encoded=True), "headers": headers}

    def _tls(self) -> ssl.SSLContext | bool:
        if self.origin.startswith("http://") and not (self.proxy or self.cert or isinstance(self.verify, str)):
            return True  # To load the system's certificates takes longer than to send a hundred calls.
        try:
            return self._tls_context()
        except OSError as error:
            problem = f"verify or cert names a file that cannot be loaded ({type(error).__name__})"
            raise InvalidOption(f"the connection's {problem}") from None

    def _tls_context(self) -> ssl.SSLContext:
        if not isinstance(self.verify, str):
            context = ssl.create_default_context()
        elif Path(self.verify).is_dir():
            context = ssl.create_default_context(capath=self.verify)
        else:
            context = ssl.create_default_context(cafile=self.verify)
        if self.verify is False:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.cert:
            certificate, key = (self.cert, None) if isinstance(self.cert, str) else self.cert
            # Without a password, an encrypted key would make OpenSSL ask for one on the terminal, and wait.
            context.load_cert_chain(certificate, key, password="")
        return context


def encode(parameters: Mapping[str, str]) -> str:
    """The parameters, percent-encoded to the last reserved byte, as a query or a form carries them."""
    return "&".join([f"{name}={_quoted(value)}" for name, value in parameters.items()])


def _quoted(value: str) -> str:
    # Most values have nothing to quote, and finding that out so takes a twentieth of the time.
    return value if value.isascii() and value.isalnum() else quote(value, safe="", errors="strict")


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body to its end, as only a whole answer counts, but no more of it in memory than an answer can need."""
    body = bytearray(await response.content.readany())
    while not response.content.at_eof():
        chunk = await response.content.readany()
        body += chunk[: max(LONGEST_ANSWER - len(body), 0)]
    return bytes(body[:LONGEST_ANSWER])


def _of_failure(error: Exception, *, left: bool) -> Attempt:
    """What is proven of a request that got no complete answer; the error's text may hold the URL, so only its type."""
    kind = type(error).__name__
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return Attempt(AttemptResult.ABORT, ReasonCode.CERTIFICATE_REFUSED, "the endpoint's certificate is refused")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        if error.status == 407:
            return Attempt(AttemptResult.ABORT, ReasonCode.SETUP_REFUSED, "the proxy refuses its credentials")
        reason = f"the proxy made no connection ({error.status})"
        return Attempt(AttemptResult.NOT_SENT, ReasonCode.NO_CONNECTION, reason)
    if isinstance(error, aiohttp.ClientConnectorError) or not left:
        return Attempt(AttemptResult.NOT_SENT, ReasonCode.NO_CONNECTION, f"no connection ({kind})")
    return Attempt(AttemptResult.UNKNOWN, ReasonCode.NO_ANSWER, f"no complete answer ({kind})")
