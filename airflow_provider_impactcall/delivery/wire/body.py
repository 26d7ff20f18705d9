"""Reads the Status and the messages in the body of an answer: JSON or XML of any shape, HTML, plain text. Pure, and
its work is bounded.

impact.com's real error bodies are unknown, so no shape is assumed. If a body has members that usually hold a message
(``message``, ``detail``, ``errors``, ...), only these are its messages; else all of its text is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple
from xml.etree import ElementTree

_CACHED = 1024
_MOST_PARTS = 1000
# Names of members that hold a message, reduced to their letters in lower case: RFC 9457 has title and detail, OAuth has
# error_description, and so on.
_SAYING = frozenset({
    "cause", "causes", "description", "detail", "details", "error", "errordescription", "errormessage", "errormessages",
    "errors", "explanation", "fault", "faults", "faultstring", "field", "fields", "invalidparams", "issue", "issues",
    "message", "messages", "msg", "problem", "problems", "reason", "reasons", "text", "title", "usermessage",
    "validationerrors", "violations", "warning", "warnings",
})  # fmt: skip
# Members for programs, which tell a person nothing.
_SILENT = frozenset({
    "status", "statuscode", "type", "level", "severity", "instance", "timestamp", "time", "date", "path", "uri", "url",
    "requestid", "traceid", "schema",
})  # fmt: skip
_NOT_VISIBLE = re.compile(r"<(script|style)\b", re.IGNORECASE)


class Said(NamedTuple):
    """The content of a body: every value of its Status, and its messages."""

    statuses: frozenset[str]
    messages: tuple[str, ...]


def read(body: bytes) -> Said:
    """Read a body. Never raises.

    :param body: decompressed; the whole body, or its beginning
    """
    # Nearly all answers are the same few bytes; a long one is not worth its place in the cache.
    return _read_again(body) if len(body) <= _CACHED else _read(body)


def _read(body: bytes) -> Said:
    text = body.decode("utf-8-sig", errors="replace").strip()
    return _of_markup(text) if text.startswith("<") else _of_json(text)


_read_again = lru_cache(maxsize=16)(_read)


def _of_json(text: str) -> Said:
    try:
        # impact.com's page prints {"Status": "OK",}, which is not JSON.
        document = json.loads(re.sub(r",(\s*[}\]])", r"\1", text), object_pairs_hook=list)
    except (ValueError, RecursionError):
        return _said((), (text,))
    statuses = [
        value if isinstance(value, str) else "" for name, value in _members(document) if name.casefold() == "status"
    ]
    return _said(statuses, _preferred(_texts(document)))


def _texts(document: Any) -> Iterator[tuple[bool, str]]:
    """The texts of a document in their order, each with whether its name is a usual one for a message."""
    ahead: list[tuple[str, Any, bool]] = [("", document, isinstance(document, str))]
    for _ in range(_MOST_PARTS):
        if not ahead:
            return
        name, value, saying = ahead.pop()
        if isinstance(value, str):
            folded = _folded(name)
            yield saying, value if not folded or folded in _SAYING else f"{name}: {value}"
        elif isinstance(value, list):
            inner = [
                (each[0], each[1], saying or _folded(each[0]) in _SAYING)
                if isinstance(each, tuple)
                else (name, each, saying)
                for each in islice(value, _MOST_PARTS)
            ]
            ahead += [each for each in reversed(inner) if _folded(each[0]) not in _SILENT]


def _members(document: Any) -> Iterator[tuple[str, Any]]:
    for pair in document if isinstance(document, list) else ():
        if isinstance(pair, tuple):  # a member of an object, and not an item of a list
            yield pair


def _folded(name: str) -> str:
    """A name reduced to its letters, so that ``error_message`` equals ``errorMessage``; impact.com uses two styles."""
    return "".join(filter(str.isalpha, name[:64])).casefold()


def _of_markup(text: str) -> Said:
    if re.search(r"<!\s*(DOCTYPE|ENTITY)", text, re.IGNORECASE):  # HTML, or an attempt to make the parser expand
        return _said((), (_visible(text),))
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - documents with entities were refused above
    except (ElementTree.ParseError, ValueError, LookupError):  # the last for an encoding that Python does not know
        return _said((), (_visible(text),))
    if _local(root) == "html":
        return _said((), (_visible(text),))
    statuses = [child.text or "" for child in root if child.tag.rpartition("}")[2].casefold() == "status"]
    return _said(statuses, _preferred(_texts_of_elements(root)))


def _texts_of_elements(root: ElementTree.Element) -> Iterator[tuple[bool, str]]:
    for element in islice(root.iter(), _MOST_PARTS):
        name = _local(element)
        for attribute, value in element.attrib.items():
            if _folded(attribute) in _SAYING:
                yield True, value
        if element.text and name not in _SILENT:
            yield name in _SAYING, element.text


def _local(element: ElementTree.Element) -> str:
    return _folded(element.tag.rpartition("}")[2])


def _visible(page: str) -> str:
    """Roughly what a browser shows of a page's first thousand tags. One pass, which never goes back."""
    shown: list[str] = []
    at = 0
    for _ in range(_MOST_PARTS):
        if (start := page.find("<", at)) < 0:
            return " ".join([*shown, page[at:]])
        shown.append(page[at:start])
        end, length = page.find(">", start), 1
        if page.startswith("<!--", start):
            end, length = page.find("-->", start), 3
        elif (hidden := _NOT_VISIBLE.match(page, start)) is not None:
            closing = re.compile(f"</{hidden[1]}", re.IGNORECASE).search(page, start)
            end = -1 if closing is None else page.find(">", closing.start())
        if end < 0:
            break
        at = end + length
    return " ".join(shown)


def _preferred(texts: Iterable[tuple[bool, str]]) -> Iterable[str]:
    found = list(texts)
    return [text for saying, text in found if saying] or [text for _, text in found]


def _said(statuses: Iterable[str], messages: Iterable[str]) -> Said:
    plain = (" ".join(message.split()) for message in messages)
    return Said(frozenset(status.strip().upper() for status in statuses), tuple(dict.fromkeys(filter(None, plain))))
