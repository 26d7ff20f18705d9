"""Reads impact.com's own list of actions: what became of calls that pay.

A listed call was delivered. An unlisted call may have been delivered, too: only a call that pays becomes an action.
:mod:`.matching` finds the action of each call. This module only reads actions.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode, urljoin, urlsplit

import requests
from urllib3.util.retry import Retry

from airflow_provider_impactcall.delivery.outcome import ActionState
from airflow_provider_impactcall.delivery.wire.bounded import BoundedAdapter, exchange
from airflow_provider_impactcall.delivery.wire.endpoint import HEADERS
from airflow_provider_impactcall.delivery.wire.response import wait_asked_for
from airflow_provider_impactcall.exceptions import InvalidOption, ReadBackFailed
from airflow_provider_impactcall.records import CallRecord, normalize

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

DEFAULT_ORIGIN = "https://api.impact.com"
DEFAULT_PAGE_SIZE = 5_000
"""Actions on a page. impact.com allows 2,000 to 20,000, and at most ten pages. Pages of 5,000 take 15 MB, and few
requests.
"""

_BY_EVENT = ("ActionDateStart", "ActionDateEnd")
_BY_UPDATE = ("StartDate", "EndDate")
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_LONGEST_WINDOW = timedelta(days=45)
_SHORTEST_WINDOW = timedelta(hours=1)
# impact.com refuses a range of more than ten pages. This bound stops a cycle of pages that link to each other.
_MOST_PAGES = 100
# A page of 20,000 actions, the most that impact.com allows, is smaller.
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
_STATES = {"PENDING": ActionState.PENDING, "APPROVED": ActionState.APPROVED, "REVERSED": ActionState.REVERSED}
_ID = re.compile(r"[!-~]{1,64}")
_MONEY = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,9})?")
_CURRENCY = re.compile(r"[A-Za-z]{3}")
_ACCOUNT = re.compile(r"(/Advertisers/)[^/?#\s'\"]*", re.IGNORECASE)
_LOGGERS_OF_PATHS = ("urllib3.connection", "urllib3.connectionpool", "urllib3.util.retry")


@dataclass(frozen=True, slots=True)
class CallIdentity:
    """The values that an action shares with the call that it came from.

    :param caller: the digits of the caller's number; for a NANP number, its last ten
    :param at: when the call took place, in seconds since 1970-01-01 UTC
    """

    campaign_id: str
    action_tracker_id: str
    caller: str = field(repr=False)
    at: int

    @classmethod
    def of_call(cls, call: CallRecord) -> CallIdentity:
        """The identity that this call's action has."""
        return cls(str(call.CampaignId), str(call.ActionTrackerId), _digits(call.CallerId), _epoch(call.EventDate))


class Money(NamedTuple):
    """The value of an action, as impact.com writes it; None for a value that it does not give.

    :param payout: what the partner gets
    :param amount: the amount of the sale
    :param currency: the currency of both, three letters
    """

    payout: str | None = None
    amount: str | None = None
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """An action that a call became. Times are seconds since 1970-01-01 UTC; None for a time that is not set yet.

    :param action_id: impact.com's id of the action
    :param locking_at: when the action is locked: it can no longer be changed
    :param cleared_at: when the action was released for payment
    """

    action_id: str
    identity: CallIdentity
    state: ActionState
    created_at: float | None = None
    locking_at: float | None = None
    cleared_at: float | None = None
    money: Money = field(default=Money(), repr=False)


class ReadBack:
    """Reads the actions of an account. Blocking. A failed request is repeated up to five times: it changes nothing.

    :param session: with the account's ordinary API credentials, and its own certificates and proxies. From now on, the
        session repeats failed requests to the origin
    :param origin: scheme, host and port
    :param account_sid: the account of the actions; also the user of the credentials
    :param timeout: seconds to connect, and then again for the whole answer
    :param page_size: actions on a page; None for the server's default
    """

    def __init__(
        self,
        session: requests.Session,
        origin: str,
        account_sid: str,
        timeout: float = 30.0,
        page_size: int | None = DEFAULT_PAGE_SIZE,
    ) -> None:
        origin = origin.rstrip("/")
        self._page_size = {} if page_size is None else {"PageSize": str(page_size)}
        self._session = session
        self._url = f"{origin}/Advertisers/{quote(account_sid, safe='')}/Actions"
        self._timeout = timeout
        session.mount(f"{origin}/", BoundedAdapter(max_retries=_patience()))
        for name in _LOGGERS_OF_PATHS:
            logging.getLogger(name).addFilter(_hide_account)

    def actions(self, campaign_id: str, since: datetime, until: datetime) -> Iterator[Action]:
        """The actions of a campaign's calls, for events that happened in this range of time.

        Actions without a caller, or without a time with an offset, are left out: they did not come from a call. A range
        that is refused is read in halves, so an action may come twice.

        :param since: with an offset from UTC, and at most three years ago
        :param until: with an offset from UTC
        :raises InvalidOption: for a time without an offset, or a range that ends before it starts
        :raises ReadBackFailed: while iterating, if the list cannot be read to its end
        """
        return self._actions(campaign_id, since, until, _BY_EVENT)

    def updates(self, campaign_id: str, since: datetime, until: datetime) -> Iterator[Action]:
        """The same for actions that were last updated in this range of time, whenever their events happened."""
        return self._actions(campaign_id, since, until, _BY_UPDATE)

    def _actions(
        self, campaign_id: str, since: datetime, until: datetime, filters: tuple[str, str]
    ) -> Iterator[Action]:
        if since.utcoffset() is None or until.utcoffset() is None:
            raise InvalidOption("since and until must have an offset from UTC")
        if until < since:
            raise InvalidOption("until must not be before since")
        # Whole seconds, which every parser of ISO 8601 accepts. The range may grow by this, but never shrinks.
        start, end = since.astimezone(UTC), until.astimezone(UTC) + timedelta(microseconds=999_999)
        pages = self._range(campaign_id, start.replace(microsecond=0), end.replace(microsecond=0), filters)
        return (action for page in pages for listed in page if (action := _action(listed)) is not None)

    def _range(
        self, campaign_id: str, start: datetime, end: datetime, filters: tuple[str, str]
    ) -> Iterator[list[dict[str, Any]]]:
        """Every page of the range, read in windows that are not longer than impact.com allows."""
        ahead = [(start, end)]
        while ahead:
            start, end = ahead.pop()
            length = end - start
            if length > _LONGEST_WINDOW:
                middle = start + _LONGEST_WINDOW
            else:
                try:
                    # If a later page is refused, the halves of the window give the earlier pages again.
                    yield from self._pages(campaign_id, start, end, filters)
                    continue
                except ReadBackFailed as failure:
                    if failure.status != 400 or length <= _SHORTEST_WINDOW:
                        raise
                middle = (start + max(length / 2, _SHORTEST_WINDOW)).replace(microsecond=0)
            ahead += [(middle, end), (start, middle)]

    def _pages(
        self, campaign_id: str, start: datetime, end: datetime, filters: tuple[str, str]
    ) -> Iterator[list[dict[str, Any]]]:
        first, last = filters
        asked = {"CampaignId": campaign_id, first: f"{start:{_TIME}}", last: f"{end:{_TIME}}", **self._page_size}
        url = f"{self._url}?{urlencode(asked)}"
        for _ in range(_MOST_PAGES):
            actions, following = self._get(url)
            yield actions
            if not following:
                return
            url = _next(url, following)
        raise ReadBackFailed(f"a range of more than {_MOST_PAGES} pages")

    def _get(self, url: str) -> tuple[list[dict[str, Any]], str]:
        """The actions of a page, and the URI of the next page."""
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
            raise ReadBackFailed("the answer is not a list of actions", answer.status) from None
        readable = isinstance(actions, list) and all(isinstance(action, dict) for action in actions)
        if not readable or not isinstance(following, str):
            raise ReadBackFailed("the answer is not a list of actions", answer.status)
        return actions, following


def _action(listed: Mapping[str, Any]) -> Action | None:
    action_id, identity = str(listed.get("Id") or ""), _identity(listed)
    if identity is None or not _ID.fullmatch(action_id):
        return None
    created, locking, cleared = (_moment(listed.get(name)) for name in ("CreationDate", "LockingDate", "ClearedDate"))
    payout, amount = (_as_written(_MONEY, listed.get(name)) for name in ("Payout", "Amount"))
    state = _STATES.get(str(listed.get("State")).strip().upper(), ActionState.OTHER)
    money = Money(payout, amount, _as_written(_CURRENCY, listed.get("Currency")))
    return Action(action_id, identity, state, created, locking, cleared, money)


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


def _moment(value: Any) -> float | None:
    # Unlike a call's time, this time may be in the future: an action may be locked only weeks from now.
    try:
        moment = datetime.fromisoformat(str(value).strip())
        return None if moment.tzinfo is None else moment.timestamp()
    except (ValueError, OverflowError):
        return None


def _as_written(form: re.Pattern[str], value: Any) -> str | None:
    text = "" if isinstance(value, bool) else str(value).strip()
    return text if form.fullmatch(text) else None


def _digits(number: str) -> str:
    digits = re.sub(r"[^0-9]", "", number)
    return digits[1:] if len(digits) == 11 and digits.startswith("1") else digits


def _epoch(event_date: str) -> int:
    return int(datetime.fromisoformat(event_date).timestamp())


def second_of(event_date: str) -> int | None:
    """The second of a time with an offset, since 1970-01-01 UTC; None if it cannot be read."""
    moment = _moment(event_date)
    return None if moment is None else int(moment)


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
    """Waits as long as an answer asks in any known header, but a minute at most."""

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
    # urllib3 logs every path at DEBUG, and the path of a repeated request as a warning. Paths contain the account.
    message = record.getMessage()
    hidden = _ACCOUNT.sub(r"\1***", message)
    if hidden != message:
        record.msg, record.args = hidden, None
    return True
