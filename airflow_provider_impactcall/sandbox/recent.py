"""The latest requests and their outcomes, for the page.

They are remembered whether or not a page is open, so this must cost the endpoint almost nothing. The details of a
request are parsed only when a page asks for them. Pages poll for news; nothing is pushed to them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from aiohttp import web

from airflow_provider_impactcall.sandbox.validation import Complaint, read_pairs

KEPT = 200

# A full record is 4.2 kB. For a request longer than this limit, the problems are kept, but not the parameters.
_LONGEST = 16 * 1024
_MOST_PROBLEMS = 100
_LONGEST_NAME = 100


@dataclass(eq=False)
class Passage:
    """A request to the endpoint, on its way through the sandbox.

    :param number: the request's number, from 1
    :param at: the time of arrival, in seconds since the epoch
    :param target: path and query string, still percent-encoded
    :param body: the body; also empty if it was never read
    :param content_type: the content type of the body
    :param too_long: whether the request was too long to keep its parameters
    :param problems: the reasons of the refusal, at most 100
    :param wrong: the number of all reasons
    :param fault: the kind of fault that it met, or None
    :param processed: the position of its call among the processed calls, from 0, or None
    :param status: the answer's status, once the answer is complete
    :param over: whether the request has ended
    :param version: the version of :class:`Recent` at the request's last change
    """

    number: int
    at: float
    method: str
    target: str
    body: bytes = b""
    content_type: str = ""
    too_long: bool = False
    problems: tuple[Complaint, ...] = ()
    wrong: int = 0
    fault: str | None = None
    processed: int | None = None
    status: int | None = None
    over: bool = False
    version: int = 0

    def read(self, body: bytes, content_type: str) -> None:
        """Note that the body has arrived."""
        if self.too_long or len(self.target) + len(body) > _LONGEST:
            self.target, self.too_long = "", True
        else:
            self.body, self.content_type = body, content_type
        self.__dict__.pop("pairs", None)

    def refuse(self, problems: Sequence[Complaint]) -> None:
        """Note that the request is refused, for these reasons."""
        self.wrong = len(problems)
        kept = problems[:_MOST_PROBLEMS]
        self.problems = tuple(Complaint(problem.parameter[:_LONGEST_NAME], problem.message) for problem in kept)

    @cached_property
    def pairs(self) -> list[tuple[str, str]]:
        """The parameters that have arrived so far, in their order."""
        return read_pairs(self.target, self.body, self.content_type)


class Recent:
    """The latest requests, oldest first.

    ``version`` grows with each change of any request, and ``emptied`` counts how often all were forgotten.
    """

    def __init__(self) -> None:
        self.version = 0
        self.emptied = 0
        self._number = 0
        self._passages: deque[Passage] = deque(maxlen=KEPT)

    def arrive(self, request: web.Request) -> Passage:
        self._number += 1
        passage = Passage(self._number, time.time(), request.method, request.raw_path)
        if len(passage.target) > _LONGEST:
            passage.read(b"", "")
        self._passages.append(passage)
        self.changed(passage)
        return passage

    def changed(self, passage: Passage) -> None:
        """Note that a request has changed."""
        self.version += 1
        passage.version = self.version

    def forget(self) -> None:
        """Forget all requests. Their numbers are not used again."""
        # A new deque instead of clear(): another thread may be reading the old one at this moment.
        self._passages = deque(maxlen=KEPT)
        self.emptied += 1
        self.version += 1

    def since(self, version: int) -> list[Passage]:
        """The requests that have changed since a version; since 0, all."""
        return [passage for passage in self._passages if passage.version > version]

    def find(self, number: int) -> Passage | None:
        """The request with a number, or None if it is no longer remembered."""
        return next((passage for passage in self._passages if passage.number == number), None)
