"""One connection to the endpoint: one request at a time, its answer, and whether another request can follow."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable
from typing import cast

from airflow_provider_impactcall.delivery.wire.answer import Answer, BrokenAnswer

_PIECE = 65_536
# An event loop's timer may fire early, by the resolution of its clock.
_EARLY = 0.001
# Most bytes of an answer that is remembered.
_REMEMBERED = 4096


class HungUp(ConnectionError):
    """The other end closed the connection."""


class Connection(asyncio.Protocol):
    """A connection, as a protocol of the event loop.

    The connection is closed when bytes come while no request is in flight: they are never an answer. It is also closed
    after an answer that does not let it be kept, after bytes that are not an answer, and when a request's time is up.

    :ivar closed: whether it can no longer be used
    :ivar answered: how many of its requests were answered
    :ivar unheard: whether it broke while a request was in flight, before the first byte of the answer
    :ivar unsent: whether the last answer came before the whole request had left; the connection is then closed
    :ivar tls: the version of TLS that it speaks, such as ``TLSv1.3``; None if it speaks none
    :ivar idle_until: until when it may be kept without a request, by the event loop's clock
    """

    __slots__ = (
        "_answer", "_deadline", "_last", "_last_bytes", "_loop", "_lost", "_paused", "_poller", "_rest", "_timer",
        "_transport", "_waiter", "answered", "closed", "idle_until", "tls", "unheard", "unsent",
    )  # fmt: skip

    def __init__(self, loop: asyncio.AbstractEventLoop, lost: Callable[[Connection], None]) -> None:
        """Prepare a connection, which is not open yet.

        :param lost: called once the connection is closed, if it was ever open
        """
        self.closed = False
        self.answered = 0
        self.unheard = False
        self.unsent = False
        self.tls: str | None = None
        self.idle_until = 0.0
        self._loop = loop
        self._lost = lost
        self._poller: select.poll | None = None
        # The answer in arrival: None until its first bytes come.
        self._answer: Answer | None = None
        # The last answer that came in one piece, and its bytes, if they are few.
        self._last: Answer | None = None
        self._last_bytes = b""
        self._waiter: asyncio.Future[Answer | Exception] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._rest: memoryview | None = None
        self._paused = False

    def begin(self, data: bytes, deadline: float) -> asyncio.Future[Answer | Exception]:
        """Write a request. From here on, some of it may have left.

        :param data: the whole request
        :param deadline: when the whole answer has to be there, by the event loop's clock
        :returns: the complete answer, or the exception that says why there is none
        """
        waiter: asyncio.Future[Answer | Exception] = self._loop.create_future()
        self._waiter = waiter
        self._deadline = deadline
        # All requests of a connection share one timer, as nearly all are answered in time.
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._check_time)
        if len(data) <= _PIECE:
            self._transport.write(data)
        else:
            self._rest = memoryview(data)
            self._write_on()
        return waiter

    @property
    def untouched(self) -> bool:
        """Whether the connection is open and no byte came since the last answer, not even to the socket's buffer."""
        return not self.closed and not (self._poller is not None and self._poller.poll(0))

    def abort(self) -> None:
        """Close the connection at once, without TLS's closing handshake, which a server may leave unanswered.

        A request in flight gets no answer.
        """
        self._close()
        self._transport.abort()

    # Callbacks of the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        secured = transport.get_extra_info("ssl_object")
        if secured is not None:
            self.tls = secured.version()
        socket = transport.get_extra_info("socket")
        if socket is not None:
            self._poller = select.poll()
            self._poller.register(socket.fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        if self._waiter is None:
            self.abort()
            return
        answer = self._answer
        is_first = answer is None
        if answer is None:
            # For speed: most answers of a server are the same bytes as the last one, until the second in their date
            # changes. Only a whole answer in one piece is compared, so nothing of it is ever read into the next one.
            if self._last is not None and data == self._last_bytes:
                self._end(self._last)
                return
            answer = self._answer = Answer()
        try:
            if answer.feed(data):
                if is_first and len(data) <= _REMEMBERED:
                    self._last, self._last_bytes = answer, data
                self._end(answer)
        except BrokenAnswer as broken:
            self._end(broken)

    def eof_received(self) -> None:
        if self._waiter is None:
            self.abort()
            return
        answer = self._answer
        if answer is None:
            self._end(HungUp())
            return
        try:
            answer.end()
        except BrokenAnswer:
            self._end(HungUp())
        else:
            self._end(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiter is not None:
            self._end(HungUp() if exc is None else exc)
        self._close()
        self._lost(self)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._write_on()

    def _close(self) -> None:
        self.closed = True
        waiter = self._waiter
        self._waiter = self._answer = self._rest = None
        if waiter is not None and not waiter.done():
            waiter.set_result(HungUp())
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _write_on(self) -> None:
        while self._rest is not None and not self._paused and not self._transport.is_closing():
            piece, rest = self._rest[:_PIECE], self._rest[_PIECE:]
            self._rest = rest if len(rest) else None
            self._transport.write(piece)

    def _check_time(self) -> None:
        self._timer = None
        if self._waiter is None:
            return
        if self._deadline > self._loop.time() + _EARLY:
            self._timer = self._loop.call_at(self._deadline, self._check_time)
        else:
            self._end(TimeoutError())

    def _end(self, outcome: Answer | Exception) -> None:
        """End the request in flight with its answer, or with the reason why there is none."""
        waiter = self._waiter
        unheard = self._answer is None
        self._answer = self._waiter = None
        if isinstance(outcome, Exception):
            self.unheard = unheard
            self.abort()
        else:
            self.answered += 1
            if self._rest is not None or self._transport.get_write_buffer_size():
                self.unsent = True
                self.abort()
            elif not outcome.kept_for:
                self.abort()
        if waiter is not None and not waiter.done():
            waiter.set_result(outcome)
