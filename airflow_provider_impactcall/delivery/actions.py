"""impact.com's own list of actions, and what it proves of calls whose fate is unknown.

A call that is listed was delivered. One that is not listed may have been, too: a call that does not pay never
becomes an action.
"""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

import requests
from urllib3.util.retry import Retry

from airflow_provider_impactcall.delivery.wire.bounded import BoundedAdapter, exchange
from airflow_provider_impactcall.delivery.wire.endpoint import HEADERS
from airflow_provider_impactcall.delivery.wire.response import wait_asked_for
from airflow_provider_impactcall.exceptions import InvalidOption, ReadBackFailed
from airflow_provider_impactcall.records import CallRecord, normalize

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

DEFAULT_ORIGIN = "https://api.impact.com"

_TIME = "%Y-%m-%dT%H:%M:%SZ"
_LONGEST_WINDOW = timedelta(days=45)
_SHORTEST_WINDOW = timedelta(hours=1)
# impact.com refuses what would be more than ten; the bound is for pages that lead back to each other.
_MOST_PAGES = 100
# 20,000 actions, the most that are on one, have less.
_LONGEST_PAGE = 32 * 1024 * 1024
_RETRIES = 5
_RETRY_STATUSES = (429, 500, 502, 503, 504)
_LONGEST_WAIT = 60.0
_REASONS = {
    400: "the request is refused, for a range of an hour too",
    401: "the credentials are refused",
    403: "the account may not list actions",
    404: "there is no list of actions at this address",
    429: "too many requests",
}
_ACCOUNT = re.compile(r"(/Advertisers/)[^/?#\s'\"]*", re.IGNORECASE)
_LOGGERS_OF_PATHS = ("urllib3.connection", "urllib3.connectionpool", "urllib3.util.retry")


@dataclass(frozen=True)
class CallIdentity:
    """What an action and the call that it came from have in common.

    :param caller: the number's digits, ten of a NANP number
    :param at: when the call took place, in seconds since 1970 UTC
    """

    campaign_id: str
    action_tracker_id: str
    caller: str = field(repr=False)
    at: int

    @classmethod
    def of_call(cls, call: CallRecord) -> CallIdentity:
        """The identity that an action of this call has."""
        return cls(str(call.CampaignId), str(call.ActionTrackerId), _digits(call.CallerId), _epoch(call.EventDate))


class ReadBack:
    """Reads the actions of an account. Blocking; each request is repeated up to five times, as none changes anything.

    :param session: with the account's ordinary API credentials, and its own certificates and proxies; what it gets
        from the origin is from then on repeated where it failed
    :param origin: scheme, host and port
    :param account_sid: whose actions; also the user of the credentials
    :param timeout: seconds to connect, and then for the whole answer
    """

    def __init__(self, session: requests.Session, origin: str, account_sid: str, timeout: float = 30.0) -> None:
        origin = origin.rstrip("/")
        self._session = session
        self._url = f"{origin}/Advertisers/{quote(account_sid, safe='')}/Actions"
        self._timeout = timeout
        session.mount(f"{origin}/", BoundedAdapter(max_retries=_patience()))
        for name in _LOGGERS_OF_PATHS:
            logging.getLogger(name).addFilter(_hide_account)

    def actions(self, campaign_id: str, since: datetime, until: datetime) -> Iterator[CallIdentity]:
        """The calls of a campaign that became actions, and were last updated in this time; each action once.

        An action that lacks a caller or a time with an offset, as those of no call do, is left out. A range that is
        refused is read in halves.

        :param since: with an offset, and at most three years ago
        :param until: with an offset
        :raises InvalidOption: for a time without an offset, or a range that ends before it starts
        :raises ReadBackFailed: while iterating, if the list cannot be read to its end
        """
        if since.utcoffset() is None or until.utcoffset() is None:
            raise InvalidOption("since and until must have an offset from UTC")
        if until < since:
            raise InvalidOption("until must not be before since")
        # In whole seconds, which every reader of ISO 8601 takes: the range may grow by that, and never shrinks.
        start, end = since.astimezone(UTC), until.astimezone(UTC) + timedelta(microseconds=999_999)
        return self._actions(campaign_id, start.replace(microsecond=0), end.replace(microsecond=0))

    def _actions(self, campaign_id: str, start: datetime, end: datetime) -> Iterator[CallIdentity]:
        seen: set[str] = set()
        for page in self._range(campaign_id, start, end):
            for action in page:
                action_id = str(action.get("Id") or "")
                if not action_id or action_id in seen:
                    continue
                seen.add(action_id)
                identity = _identity(action)
                if identity is not None:
                    yield identity

    def _range(self, campaign_id: str, start: datetime, end: datetime) -> Iterator[list[dict[str, Any]]]:
        """Every page, of windows as long as impact.com takes them."""
        ahead = [(start, end)]
        while ahead:
            start, end = ahead.pop()
            length = end - start
            if length > _LONGEST_WINDOW:
                middle = start + _LONGEST_WINDOW
            else:
                try:
                    # What a window gave before a later page of it was refused comes again with its halves.
                    yield from self._pages(campaign_id, start, end)
                    continue
                except ReadBackFailed as failure:
                    if failure.status != 400 or length <= _SHORTEST_WINDOW:
                        raise
                middle = (start + max(length / 2, _SHORTEST_WINDOW)).replace(microsecond=0)
            ahead += [(middle, end), (start, middle)]

    def _pages(self, campaign_id: str, start: datetime, end: datetime) -> Iterator[list[dict[str, Any]]]:
        asked = {"CampaignId": campaign_id, "StartDate": f"{start:{_TIME}}", "EndDate": f"{end:{_TIME}}"}
        url = f"{self._url}?{urlencode(asked)}"
        for _ in range(_MOST_PAGES):
            actions, following = self._get(url)
            yield actions
            if not following:
                return
            url = _next(url, following)
        raise ReadBackFailed(f"a range of more than {_MOST_PAGES} pages")

    def _get(self, url: str) -> tuple[list[dict[str, Any]], str]:
        """The actions of a page, and where the next page is."""
        try:
            answer = exchange(
                self._session, "GET", url, headers=HEADERS, seconds=self._timeout, most_bytes=_LONGEST_PAGE
            )
        except (OSError, ValueError) as error:  # RequestException is an OSError; the text of either may hold the URL
            raise ReadBackFailed(f"no whole answer ({type(error).__name__})") from None
        if not 200 <= answer.status < 300:
            raise ReadBackFailed(_REASONS.get(answer.status, "the list is not given"), answer.status)
        if not answer.whole:
            raise ReadBackFailed(f"a page of the list has more than {_LONGEST_PAGE} bytes", answer.status)
        try:
            document = json.loads(answer.body)
            actions, following = document["Actions"], document.get("@nextpageuri") or ""
        except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
            raise ReadBackFailed("what was answered is no list of actions", answer.status) from None
        readable = isinstance(actions, list) and all(isinstance(action, dict) for action in actions)
        if not readable or not isinstance(following, str):
            raise ReadBackFailed("what was answered is no list of actions", answer.status)
        return actions, following


def proven(
    calls: Mapping[CallIdentity, Collection[str]], unknown: Collection[str], actions: Iterable[CallIdentity]
) -> tuple[set[str], set[str]]:
    """What actions prove of calls whose fate is unknown.

    Calls may share an identity. Then they are proven only by as many actions as there are calls; by fewer, it is known
    that some of them were delivered, and not which.

    :param calls: the keys of every call of the input by identity, whatever is known of them
    :param unknown: the keys of the calls whose fate is unknown
    :param actions: each action once
    :return: the keys of unknown fate that are proven delivered, and those that are ambiguous
    """
    listed = Counter(action for action in actions if action in calls)
    delivered: set[str] = set()
    ambiguous: set[str] = set()
    for identity, count in listed.items():
        keys = set(calls[identity])
        (delivered if count >= len(keys) else ambiguous).update(keys.intersection(unknown))
    return delivered, ambiguous


def _identity(action: Mapping[str, Any]) -> CallIdentity | None:
    try:
        caller = _digits(normalize.text(action.get("CallerId")))
        if not caller:
            return None
        return CallIdentity(
            str(normalize.integer(action.get("CampaignId"))),
            str(normalize.integer(action.get("ActionTrackerId"))),
            caller,
            _epoch(normalize.event_date(action.get("EventDate"))),
        )
    except ValueError:
        return None


def _digits(number: str) -> str:
    digits = re.sub(r"[^0-9]", "", number)
    return digits[1:] if len(digits) == 11 and digits.startswith("1") else digits


def _epoch(event_date: str) -> int:
    return int(datetime.fromisoformat(event_date).timestamp())


def _next(url: str, following: str) -> str:
    try:
        target = urljoin(url, following)
        stays = urlsplit(target)[:2] == urlsplit(url)[:2]
    except ValueError:
        stays = False
    if not stays:
        raise ReadBackFailed("the next page is said to be at another origin")
    return target


class _Patience(Retry):
    """Waits as long as an answer asks, in whichever header, but never longer than a minute."""

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        asked = wait_asked_for(response.headers)
        return None if asked is None else min(asked, _LONGEST_WAIT)


def _patience() -> Retry:
    return _Patience(
        total=_RETRIES,
        backoff_factor=0.5,
        status_forcelist=_RETRY_STATUSES,
        allowed_methods={"GET"},
        raise_on_status=False,
    )


def _hide_account(record: logging.LogRecord) -> bool:
    # urllib3 logs paths at DEBUG, and those that it repeats as warnings; the account is a part of them.
    message = record.getMessage()
    hidden = _ACCOUNT.sub(r"\1***", message)
    if hidden != message:
        record.msg, record.args = hidden, None
    return True
