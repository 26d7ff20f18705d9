"""Interprets the endpoint's answer. Pure: bytes in, the attempt out."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from airflow_provider_impactcall.defaults import RETRY_STATUSES
from airflow_provider_impactcall.delivery.outcome import Attempt, AttemptResult, ReasonCode
from airflow_provider_impactcall.delivery.wire.body import read
from airflow_provider_impactcall.delivery.wire.scrubbing import all_scrubbed

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


def attempt_of(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    retry_statuses: Collection[int] = RETRY_STATUSES,
    private: Iterable[str] = (),
) -> Attempt:
    """The attempt that one complete answer decides.

    :param status: HTTP status
    :param headers: response headers; the mapping itself must ignore upper and lower case
    :param body: the decompressed body: JSON (with impact.com's trailing comma), XML, HTML, plain text or empty
    :param retry_statuses: HTTP statuses that mean "not processed"
    :param private: the call's own values and the credentials; their words never appear in the reason
    """
    if status in retry_statuses:
        return Attempt(AttemptResult.AGAIN, ReasonCode.RETRY_LATER, f"{status}", status, wait_asked_for(headers))
    if 200 <= status < 300:
        return _of_success(status, body, private)
    if status in _REFUSED:
        return Attempt(
            AttemptResult.REJECTED, ReasonCode.REFUSED, _reason(status, read(body).messages, private), status
        )
    if status in _MISCONFIGURED:
        return Attempt(AttemptResult.ABORT, ReasonCode.SETUP_REFUSED, f"{status}, {_MISCONFIGURED[status]}", status)
    if 300 <= status < 400:
        return Attempt(
            AttemptResult.ABORT,
            ReasonCode.SETUP_REFUSED,
            f"{status}, the endpoint redirects, and a redirected call would be lost",
            status,
        )
    return Attempt(AttemptResult.UNKNOWN, ReasonCode.NO_VERDICT, f"{status}", status)


def _of_success(status: int, body: bytes, private: Iterable[str]) -> Attempt:
    said = read(body)
    if said.statuses == {"OK"}:
        return Attempt(AttemptResult.DELIVERED, ReasonCode.OK, f"{status} Status OK", status)
    if said.statuses == {"ERROR"}:
        reason = _reason(status, ("Status ERROR", *said.messages), private)
        return Attempt(AttemptResult.REJECTED, ReasonCode.REFUSED_IN_ANSWER, reason, status)
    return Attempt(AttemptResult.UNKNOWN, ReasonCode.NO_VERDICT, f"{status} without a Status of OK or ERROR", status)


def wait_asked_for(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """The seconds that an answer asks to wait: zero to 3,600, or None if no header can be read.

    Reads ``Retry-After``, ``RateLimit-Reset`` and ``X-RateLimit-Reset``, in this order. A value is seconds, an HTTP
    date or, from 10^9 on, an epoch: impact.com describes ``X-RateLimit-Reset`` as seconds left, and shows an epoch.

    :param now: the present time; by default the server's ``Date``, so that a wrong server clock does not matter
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


def _reason(status: int, messages: Sequence[str], private: Iterable[str]) -> str:
    said = all_scrubbed(messages, private)
    # A text without a letter, such as binary data, tells nothing.
    return f"{status} {said}" if re.search("[A-Za-z]", said) else f"{status}"
