"""Reads one HTTP response from bytes as they come. No socket, no event loop; how the bytes are split does not matter.

The parser is llhttp, through httptools, with all of its leniency flags off. This module refuses the responses that
llhttp accepts but that should not be believed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from httptools import HttpParserError, HttpResponseParser

from airflow_provider_impactcall.delivery.outcome import Attempt
from airflow_provider_impactcall.delivery.wire.coding import decoded

LONGEST_HEAD = 65_536
"""Most bytes before the body begins, interim answers included."""
LONGEST_ANSWER = 65_536
"""Most bytes of a body that are kept."""
LONGEST_READ = 1_048_576
"""Most bytes of an answer that are read. A longer answer is not an answer to a call."""
KEPT_FOR = 4.0
"""Seconds that an idle connection is kept: servers in common use close it after 5 s or more."""

_MOST_LINES = 256
_BLANKS = b" \t"
# We use this part of the keep-alive time that a server grants. The server counts from its answer, and the next request
# takes time to arrive.
_USED_OF_GRANTED = 0.75
_GRANTED = re.compile(rb"(?:^|[,\s])timeout\s*=\s*\"?([0-9]{1,6})", re.IGNORECASE)


class BrokenAnswer(ValueError):
    """The bytes are not an answer that can be believed, or not a whole one."""


class Headers(Mapping[str, str]):
    """Header lines by name, in upper or lower case; the first line, if several have the same name."""

    def __init__(self, lines: list[tuple[bytes, bytes]]) -> None:
        self._lines = lines

    def __getitem__(self, name: str) -> str:
        wanted = name.lower().encode("latin-1")
        for each, value in self._lines:
            if each.lower() == wanted:
                return value.decode("latin-1")
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name.decode("latin-1").lower() for name, _ in self._lines))

    def __len__(self) -> int:
        return len(list(iter(self)))


class Answer:
    """The answer to one request. Feed it the bytes that come until it is complete, and none after that.

    A complete answer never changes, but for its verdict: it may be the answer to several requests.

    :ivar complete: whether the whole answer has come
    :ivar status: the HTTP status; zero until the head has come. Interim answers (1xx) are skipped
    :ivar body: the decoded body, at most its first 64 kB; set once the answer is complete
    :ivar kept_for: seconds that the connection may be kept for another request; zero if it may not be kept
    :ivar verdict: what the answer decides, once it was judged, if that is the same for every call
    """

    __slots__ = (
        "_body", "_coding", "_length", "_lines", "_measured", "_over", "_parser", "_read",
        "body", "complete", "kept_for", "status", "verdict",
    )  # fmt: skip

    def __init__(self) -> None:
        self.complete = False
        self.status = 0
        self.body = b""
        self.kept_for = 0.0
        self.verdict: Attempt | None = None
        self._lines: list[tuple[bytes, bytes]] = []
        self._body = bytearray()
        self._length = 0
        self._read = 0
        self._measured = False
        self._coding = b""
        # One parser for each answer: a parser would carry an answer's last trailer into the next answer's head.
        # Answer and parser refer to each other only until the answer ends: garbage collection of cycles is slow.
        self._parser = HttpResponseParser(self)
        self._over = False

    @property
    def headers(self) -> Headers:
        """The header lines, without trailers."""
        return Headers(self._lines)

    def feed(self, data: bytes) -> bool:
        """Read the bytes that came.

        :returns: whether the answer is complete
        :raises BrokenAnswer: if they are not part of an answer that can be believed
        """
        bound = LONGEST_READ if self.status else LONGEST_HEAD
        room = bound - self._read
        if len(data) <= room:
            self._read += len(data)
            self._parse(data)
            return self.complete
        self._read = bound
        self._parse(data[:room])
        if self.complete:
            self.kept_for = 0.0
        elif self.status and bound < LONGEST_READ:
            return self.feed(data[room:])
        else:
            raise self._broken()
        return True

    def end(self) -> None:
        """Note the end of the connection. It completes an answer that states no length.

        :raises BrokenAnswer: if the answer is not complete even so
        """
        if self.complete:
            return
        if not self.status or self._measured or self._over:
            raise self._broken()
        self._let_go()
        self.kept_for = 0.0
        self._finish()

    def _parse(self, data: bytes) -> None:
        if self._over:
            self.kept_for = 0.0
            return
        parser = self._parser
        try:
            parser.feed_data(data)
        except HttpParserError:
            # Bytes after a complete answer are ignored, and the connection is not used again.
            self.kept_for = 0.0
            if not self.complete:
                raise self._broken() from None

    def _broken(self) -> BrokenAnswer:
        self._let_go()
        return BrokenAnswer()

    def _let_go(self) -> None:
        if not self._over:
            self._over = True
            del self._parser

    # Callbacks of the parser, which expects these names. Their exceptions reach feed() as an HttpParserError.

    def on_message_begin(self) -> None:
        """An answer begins; after a complete answer, this is an error."""
        if self.complete:
            raise BrokenAnswer

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header line, or a trailer."""
        if not self.status:
            if len(self._lines) == _MOST_LINES:
                raise BrokenAnswer
            self._lines.append((name, value))

    def on_headers_complete(self) -> None:
        """The head's end."""
        status = self._parser.get_status_code()
        if status < 200:
            if status < 100 or status == 101:
                raise BrokenAnswer
            self._lines.clear()
            return
        version = self._parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise BrokenAnswer
        self._read_lines(version)
        self.status = status

    def _read_lines(self, version: str) -> None:
        """Read from the header lines how the body is coded and how long the connection is kept."""
        self.kept_for = KEPT_FOR
        transfer, codings = [], []
        for name, value in self._lines:
            name = name.lower()
            if name == b"content-length":
                self._measured = True
            elif name == b"transfer-encoding":
                transfer.append(value.strip(_BLANKS).lower())
            elif name == b"content-encoding":
                codings.append(value.strip(_BLANKS).lower())
            elif name == b"keep-alive" and (granted := _GRANTED.search(value)) is not None:
                self.kept_for = min(self.kept_for, int(granted[1]) * _USED_OF_GRANTED)
        if transfer:
            # With any other transfer coding, the body would stay coded, or its end would be uncertain.
            if transfer != [b"chunked"]:
                raise BrokenAnswer
            self._measured = True
            if version == "1.0":
                self.kept_for = 0.0
        self._coding = b", ".join(codings)

    def on_body(self, data: bytes) -> None:
        """A part of the body."""
        room = LONGEST_ANSWER - self._length
        self._length += len(data)
        if room > 0:
            self._body += data[:room]

    def on_message_complete(self) -> None:
        """The end of the answer, or of an interim answer."""
        if not self.status:
            return
        if not self._parser.should_keep_alive():
            self.kept_for = 0.0
        self._let_go()
        self._finish()

    def _finish(self) -> None:
        body = bytes(self._body)
        if self._coding:
            try:
                body = decoded(body, self._coding, LONGEST_ANSWER, whole=self._length <= LONGEST_ANSWER)
            except ValueError:
                self.kept_for = 0.0
                raise BrokenAnswer from None
        self.body = body
        self.complete = True
