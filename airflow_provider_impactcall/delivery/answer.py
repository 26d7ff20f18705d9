"""What the endpoint's answer means. Pure: bytes in, outcome out."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import unquote
from xml.etree import ElementTree

from airflow_provider_impactcall.defaults import RETRY_STATUSES
from airflow_provider_impactcall.delivery.outcome import Outcome, State
from airflow_provider_impactcall.records import PARAMETERS

_REFUSED = frozenset({400, 403, 409, 413, 414, 422})
_MISCONFIGURED = {
    401: "the credentials are refused",
    402: "the account may not use this endpoint",
    404: "there is nothing at this address",
    405: "the endpoint takes no POST",
    407: "the proxy refuses its credentials",
    415: "the endpoint does not take this form; see parameters_in",
}
_LONGEST_WAIT = 3600.0
_EPOCH_FROM = 10**9
_WAIT_HEADERS = ("Retry-After", "RateLimit-Reset", "X-RateLimit-Reset")
# A letter of an escape (as in a quoted JSON text) would make a word of its own with the word that follows it.
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|[A-Za-z])")


class _Said(NamedTuple):
    """What a body says: every value of its Status, and its messages."""

    statuses: frozenset[str]
    messages: tuple[str, ...]


def outcome_of(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    retry_statuses: Collection[int] = RETRY_STATUSES,
    private: Iterable[str] = (),
) -> Outcome:
    """The outcome of one complete answer.

    :param status: HTTP status
    :param headers: response headers, looked up in any case by the mapping itself
    :param body: the whole body, decompressed; JSON (with impact.com's trailing comma), XML, HTML or empty
    :param retry_statuses: statuses taken as "not processed"
    :param private: the call's own values and the credentials; no word of them survives in the reason
    """
    if status in retry_statuses:
        return Outcome(State.AGAIN, f"{status}", status, wait_asked_for(headers))
    if 200 <= status < 300:
        return _of_success(status, body, private)
    if status in _REFUSED:
        return Outcome(State.REJECTED, _reason(status, _read(body).messages, private), status)
    if status in _MISCONFIGURED:
        return Outcome(State.ABORT, f"{status}, {_MISCONFIGURED[status]}", status)
    if 300 <= status < 400:
        return Outcome(State.ABORT, f"{status}, the endpoint redirects, and a redirected call would be lost", status)
    return Outcome(State.UNKNOWN, f"{status}", status)


def _of_success(status: int, body: bytes, private: Iterable[str]) -> Outcome:
    said = _read(body)
    if said.statuses == {"OK"}:
        return Outcome(State.DELIVERED, f"{status} Status OK", status)
    if said.statuses == {"ERROR"}:
        return Outcome(State.REJECTED, _reason(status, ("Status ERROR", *said.messages), private), status)
    return Outcome(State.UNKNOWN, f"{status} without a Status of OK or ERROR", status)


def wait_asked_for(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """The seconds that an answer asks to wait: zero to 3,600, or None if it says nothing that makes sense.

    Reads ``Retry-After``, ``RateLimit-Reset`` and ``X-RateLimit-Reset``, in this order, each as seconds, as an
    HTTP date or, from 10^9 on, as an epoch (impact.com describes the last as seconds left and prints an epoch).

    :param now: the present time; by default the server's ``Date``, so that its clock may be wrong
    """
    moment = now or _http_date(headers.get("Date", "")) or datetime.now(UTC)
    for header in _WAIT_HEADERS:
        asked = _seconds_until(headers.get(header, "").strip(), moment)
        if asked is not None:
            return min(max(asked, 0.0), _LONGEST_WAIT)
    return None


def _seconds_until(text: str, now: datetime) -> float | None:
    if re.fullmatch(r"[0-9]{1,15}(\.[0-9]+)?", text):
        number = float(text)
        return number - now.timestamp() if number >= _EPOCH_FROM else number
    moment = _http_date(text)
    return None if moment is None else (moment - now).total_seconds()


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # the second for a year or an offset of twenty digits
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@lru_cache(maxsize=16)  # Nearly all answers are the same few bytes.
def _read(body: bytes) -> _Said:
    text = body.decode("utf-8-sig", errors="replace").strip()
    return _read_xml(text) if text.startswith("<") else _read_json(text)


def _read_json(text: str) -> _Said:
    try:
        # impact.com's page prints {"Status": "OK",}, which is not JSON.
        document = json.loads(re.sub(r",(\s*[}\]])", r"\1", text), object_pairs_hook=list)
        pairs = document if isinstance(document, list) else []
        statuses = [str(value) for name, value in _named(pairs) if name == "status"]
        return _said(statuses, _messages(pairs))
    except (ValueError, RecursionError):
        return _Said(frozenset(), ())


def _messages(document: Any) -> Iterable[str]:
    for name, value in _named(document):
        if name in ("field", "message") and isinstance(value, str):
            yield value
        elif name == "errors" and isinstance(value, list):
            for error in value:
                yield from _messages(error)


def _named(pairs: Any) -> Iterable[tuple[str, Any]]:
    """The members of a JSON object, with their names in lower case: impact.com spells them both ways."""
    for pair in pairs if isinstance(pairs, list) else ():
        if isinstance(pair, tuple):
            yield pair[0].casefold(), pair[1]


def _read_xml(text: str) -> _Said:
    if re.search(r"<!\s*(DOCTYPE|ENTITY)", text, re.IGNORECASE):  # HTML, or an attempt to make the parser expand
        return _Said(frozenset(), ())
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - documents with entities were refused above
    except ElementTree.ParseError:
        return _Said(frozenset(), ())
    statuses = [child.text or "" for child in root if _local(child) == "status"]
    return _said(statuses, (part.text or "" for part in root.iter() if _local(part) in ("field", "message")))


def _local(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2].casefold()


def _said(statuses: Iterable[str], messages: Iterable[str]) -> _Said:
    return _Said(frozenset(status.strip().upper() for status in statuses), tuple(messages))


def _reason(status: int, messages: Iterable[str], private: Iterable[str]) -> str:
    said = "; ".join(scrubbed(message, private) for message in messages if message.strip())
    return f"{status} {said}" if said else f"{status}"


def scrubbed(message: str, private: Iterable[str]) -> str:
    """A message of the endpoint without anything that may be the call's own: at most 200 ASCII characters.

    Kept are words of letters that neither stand in a private value nor hold or extend a word of one; every
    word with a digit in it becomes ``*``, as phone numbers come in too many spellings to be searched for.
    Names of parameters stay.

    :param private: the values that may not survive, such as a city, a recording's URL or the password
    """
    words = {word for value in private for word in re.findall(r"[a-z]+", value.casefold())}

    def shown(match: re.Match[str]) -> str:
        word = match.group()
        folded = word.casefold()
        if folded in words:
            return "*"
        if word in PARAMETERS:
            return word
        if not folded.isalpha():
            return "*"
        kin = ((len(folded) > 2 and folded in known) or (len(known) > 3 and known in folded) for known in words)
        return "*" if any(kin) else word

    plain = _ESCAPE.sub(" ", html.unescape(unquote(message))).encode("ascii", errors="replace").decode()
    return re.sub(r"[^ -~]", " ", re.sub(r"[A-Za-z0-9]+", shown, plain))[:200]
