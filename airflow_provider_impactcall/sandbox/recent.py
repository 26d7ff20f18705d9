"""The latest requests and what came of each, for the page.

They are remembered whether or not a page is open, so remembering costs the endpoint next to nothing: what a page
shows of a request is read only when a page asks, and nobody is told of news. Pages look for them.
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

# A full record is 4.2 kB. Of a longer request its problems are kept, and not its parameters.
_LONGEST = 16 * 1024
_MOST_PROBLEMS = 100
_LONGEST_NAME = 100


@dataclass(eq=False)
class Passage:
    """A request to the endpoint, on its way through the sandbox.

    :param number: counts the requests, from 1
    :param at: when it arrived, as epoch in seconds
    :param target: path and query string, still percent-encoded
    :param body: empty too if it was never read
    :param content_type: what the body is
    :param too_long: whether it was too long for its parameters to be kept
    :param problems: why it was refused, at most 100 of the reasons
    :param wrong: how many reasons there were
    :param fault: the kind of fault that it met, or None
    :param processed: the place of its call among the processed ones, from 0, or None
    :param status: of the answer, once that is complete
    :param over: whether nothing more can come of it
    :param version: of :class:`Recent` when it changed last
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
        """The body has arrived."""
        if self.too_long or len(self.target) + len(body) > _LONGEST:
            self.target, self.too_long = "", True
        else:
            self.body, self.content_type = body, content_type
        self.__dict__.pop("pairs", None)

    def refuse(self, problems: Sequence[Complaint]) -> None:
        """It is refused, for these reasons."""
        self.wrong = len(problems)
        kept = problems[:_MOST_PROBLEMS]
        self.problems = tuple(Complaint(problem.parameter[:_LONGEST_NAME], problem.message) for problem in kept)

    @cached_property
    def pairs(self) -> list[tuple[str, str]]:
        """Its parameters in the order of their arrival, as far as they have arrived."""
        return read_pairs(self.target, self.body, self.content_type)


class Recent:
    """The latest requests, oldest first.

    ``version`` grows with each change of any of them, and ``emptied`` counts how often they were forgotten.
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
        """Something has come of it."""
        self.version += 1
        passage.version = self.version

    def forget(self) -> None:
        """Forget them all. Their numbers are not given again."""
        # A new one, and not an empty one: the old may be read at this moment, by another thread.
        self._passages = deque(maxlen=KEPT)
        self.emptied += 1
        self.version += 1

    def since(self, version: int) -> list[Passage]:
        """Those that have changed since that version; since 0, all."""
        return [passage for passage in self._passages if passage.version > version]

    def find(self, number: int) -> Passage | None:
        """The request of that number, if it is one of them."""
        return next((passage for passage in self._passages if passage.number == number), None)
