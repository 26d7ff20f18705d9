"""The connections to the endpoint, and one attempt on one of them: what it proves, with or without an answer."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Collection, Iterator, Sequence

from airflow_provider_impactcall.delivery.outcome import Attempt, AttemptResult, HeldBack, NothingLeft, ReasonCode
from airflow_provider_impactcall.delivery.wire.answer import KEPT_FOR
from airflow_provider_impactcall.delivery.wire.connection import Connection, HungUp
from airflow_provider_impactcall.delivery.wire.proxy import NoTunnel, UntrustedProxy
from airflow_provider_impactcall.delivery.wire.request import Request
from airflow_provider_impactcall.delivery.wire.response import attempt_of
from airflow_provider_impactcall.delivery.wire.route import Route
from airflow_provider_impactcall.records import CallRecord

log = logging.getLogger(__name__)

# Turns of the event loop to wait for connections to close: in each turn, one layer of a connection closes.
_LONGEST_END = 100


class Connections:
    """A pool of connections: as many as there are requests in flight, made when they are needed, and used again.

    Suppose that a connection was used before, and breaks during its next request, before the first byte of an answer.
    Then the endpoint closes connections that it promised to keep. From then on each connection carries only one
    request: a call on a connection that the endpoint is just closing would be unknown.

    The pool belongs to the event loop in which it is made.
    """

    def __init__(
        self, route: Route, most: int, timeout: float, retry_statuses: Collection[int], credentials: Sequence[str]
    ) -> None:
        """An empty pool.

        :param most: requests in flight at once, at most
        :param timeout: seconds for a whole request, from connecting to the answer's last byte
        :param retry_statuses: HTTP statuses that mean "not processed"
        :param credentials: their words never appear in a reason
        """
        self._route = route
        self._most = most
        self._timeout = timeout
        self._retry_statuses = retry_statuses
        self._credentials = credentials
        self._loop = asyncio.get_running_loop()
        self._in_flight = 0
        self._used_once = False
        self._open: set[Connection] = set()
        # The connection used last is used next, so that surplus connections expire.
        self._idle: list[Connection] = []

    async def send(self, request: Request, may_leave: Callable[[], bool] = lambda: True) -> Attempt:
        """Send one request once, and return the attempt. A failure on the wire is part of the attempt, never raised.

        :param may_leave: whether the request may still leave. Asked only if a new connection had to be made, as that
            can take until the timeout; the caller has asked before
        :raises HeldBack: if it may not; the new connection is kept for another request
        :raises NothingLeft: if cancelled before any byte of the request can have left
        :raises asyncio.CancelledError: if cancelled later; the connection is closed
        :raises RuntimeError: if too many requests are in flight; no byte of this one has left
        """
        if request.refused is not None:
            return request.refused
        if self._in_flight >= self._most:
            raise RuntimeError
        # All in one coroutine, for speed: a second one would add its cost to every request.
        self._in_flight += 1
        try:
            now = self._loop.time()
            deadline = now + self._timeout
            connection = self._kept(now)
            if connection is None:
                try:
                    connection = await self._made(deadline)
                except asyncio.CancelledError:
                    raise NothingLeft from None
                except Exception as error:  # Whatever failed: no byte of the request was written.
                    return _of_no_connection(error)
                if not may_leave():
                    self._keep(connection, KEPT_FOR)
                    raise HeldBack
                # Only what follows a request can be its answer. Over TLS, bytes of TLS itself may have come.
                if connection.tls is None and not connection.untouched:
                    connection.abort()
                    reason = "the other end wrote or hung up before the request"
                    return Attempt(AttemptResult.NOT_SENT, ReasonCode.NO_CONNECTION, reason)
            try:
                came = await connection.begin(request.data, deadline)
            except asyncio.CancelledError:
                connection.abort()
                raise
        finally:
            self._in_flight -= 1
        if isinstance(came, Exception):
            if connection.unheard and connection.answered and not isinstance(came, TimeoutError):
                self._use_once()
            elif connection.unheard and connection.tls == "TLSv1.3" and _refuses_ours(came):
                # With TLS 1.3, the client writes before the server has judged its certificate. A server that refuses
                # it has passed nothing on. Before TLS 1.3, it may ask for the certificate once it read a request.
                return _OURS_REFUSED
            return Attempt(AttemptResult.UNKNOWN, ReasonCode.NO_ANSWER, f"no complete answer ({type(came).__name__})")
        if not connection.closed:
            self._keep(connection, came.kept_for)
            if came.verdict is not None:
                return came.verdict
        attempt = attempt_of(
            came.status,
            came.headers,
            came.body,
            retry_statuses=self._retry_statuses,
            private=self._private(request.record),
        )
        if attempt.result is AttemptResult.DELIVERED:
            if connection.unsent:
                reason = f"{attempt.reason} before the whole request had left"
                return Attempt(AttemptResult.UNKNOWN, ReasonCode.NO_VERDICT, reason, attempt.status)
            came.verdict = attempt  # The same for every call, as it holds no words of the answer.
        return attempt

    async def close(self) -> None:
        """Close all connections, and wait until they are gone. No request may be in flight."""
        for connection in list(self._open):
            connection.abort()
        for _ in range(_LONGEST_END):
            if not self._open:
                break
            await asyncio.sleep(0)

    def _kept(self, now: float) -> Connection | None:
        """An idle connection that is still usable, as far as can be told; None without one."""
        idle = self._idle
        while idle and idle[0].idle_until <= now:
            idle.pop(0).abort()
        while idle:
            connection = idle.pop()
            # Each answer grants its own time. The endpoint may also have closed the connection already, and the event
            # loop may not have read that yet.
            if connection.idle_until > now and connection.untouched:
                return connection
            connection.abort()
        return None

    def _keep(self, connection: Connection, seconds: float) -> None:
        if self._used_once:
            connection.abort()
            return
        connection.idle_until = self._loop.time() + seconds
        self._idle.append(connection)

    async def _made(self, deadline: float) -> Connection:
        async with asyncio.timeout_at(deadline):
            connection = await self._route.connect(lambda: Connection(self._loop, self._lost))
        if connection.closed:
            raise HungUp
        self._open.add(connection)
        return connection

    def _lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)

    def _use_once(self) -> None:
        if self._used_once:
            return
        self._used_once = True
        log.warning(
            "The endpoint closes connections that it said to keep: from now on, each request has one of its own"
        )
        for connection in self._idle:
            connection.abort()
        self._idle.clear()

    def _private(self, record: CallRecord) -> Iterator[str]:
        # A generator, as nearly all answers hold no word to compare.
        yield from record.sent.values()
        yield from self._credentials


_OURS_REFUSED = Attempt(
    AttemptResult.ABORT, ReasonCode.CERTIFICATE_REFUSED, "the client certificate is refused, or there is none"
)
# The alerts of TLS about the certificate of the end that receives them, as OpenSSL calls them.
_ALERTS = frozenset(
    {
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_REVOKED",
        "SSLV3_ALERT_CERTIFICATE_EXPIRED",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        "TLSV1_ALERT_UNKNOWN_CA",
        "TLSV1_ALERT_ACCESS_DENIED",
        "TLSV13_ALERT_CERTIFICATE_REQUIRED",
    }
)


def _refuses_ours(error: Exception) -> bool:
    """Whether the other end refuses the client certificate."""
    return isinstance(error, ssl.SSLError) and error.reason in _ALERTS


def _of_no_connection(error: Exception) -> Attempt:
    """What a request without a connection proves. Names only the error's type: its text may hold the address."""
    if isinstance(error, ssl.SSLCertVerificationError | UntrustedProxy):
        whose = "proxy" if isinstance(error, UntrustedProxy) else "endpoint"
        return Attempt(AttemptResult.ABORT, ReasonCode.CERTIFICATE_REFUSED, f"the {whose}'s certificate is refused")
    if _refuses_ours(error):
        return _OURS_REFUSED
    if isinstance(error, NoTunnel) and error.status is not None:
        if error.status == 407:
            return Attempt(AttemptResult.ABORT, ReasonCode.SETUP_REFUSED, "the proxy refuses its credentials")
        reason = f"the proxy made no connection ({error.status})"
        return Attempt(AttemptResult.NOT_SENT, ReasonCode.NO_CONNECTION, reason)
    return Attempt(AttemptResult.NOT_SENT, ReasonCode.NO_CONNECTION, f"no connection ({type(error).__name__})")
