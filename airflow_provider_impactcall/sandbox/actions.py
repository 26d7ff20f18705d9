"""impact.com's list of actions, in which a client reads back which calls became actions.

Only a call that pays becomes an action: a call that is missing from the list may still have arrived.
"""

from __future__ import annotations

import math
import re
import time
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aiohttp import hdrs, web

from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.sandbox import answers, guard
from airflow_provider_impactcall.sandbox.credentials import read_basic
from airflow_provider_impactcall.sandbox.decisions import Decisions, Standing
from airflow_provider_impactcall.sandbox.journal import Journal, ProcessedCall

PATH = "/Advertisers/{account}/Actions"
DEFAULT_PAGE_SIZE = 20_000
REQUESTS_PER_HOUR = 1_000

_SMALLEST_PAGE = 2_000
_MOST_PAGES = 10
_WHEN_NOT_ASKED = timedelta(days=7)
_LONGEST_RANGE = timedelta(days=45)
_OLDEST_START = timedelta(days=3 * 365 + 1)
_HOUR = 3600.0
_BY_UPDATE, _BY_EVENT = ("StartDate", "EndDate"), ("ActionDateStart", "ActionDateEnd")
_PARAMETERS = ("CampaignId", *_BY_UPDATE, *_BY_EVENT, "PageSize", "Page")
# The partner's payout for a call, and the time after which an action cannot be changed any more.
_PAYOUT, _CURRENCY = "25.00", "USD"
_LOCKED_AFTER = timedelta(days=30)
_DIGITS = re.compile(r"[0-9]{1,18}")


class Actions:
    """Lists the calls that became actions, by the time of the event or by the time of the last update.

    :param decisions: the state of each action
    :param page_size: actions on a page if the request does not say
    :param password: the password that an account must give; with None, any password is accepted
    :param host: the host that the sandbox was told to listen on
    :raises InvalidOption: for a page size below 1
    """

    def __init__(
        self, journal: Journal, decisions: Decisions, page_size: int, *, password: str | None, host: str
    ) -> None:
        if page_size < 1:
            raise InvalidOption("actions_page_size must be at least 1")
        self._journal = journal
        self._decisions = decisions
        self._page_size = page_size
        self._password = password
        self._host = host
        self._recent: defaultdict[str, deque[float]] = defaultdict(deque)

    async def list(self, request: web.Request) -> web.Response:
        """A page of the actions, or the reason for a refusal."""
        # The list shows callers' numbers, as the page does, so it has the same guard.
        kept_out = guard.refusal(request, self._host)
        if kept_out is not None:
            return kept_out
        account = request.match_info["account"]
        user, password = read_basic(request.headers.get(hdrs.AUTHORIZATION, "")) or (None, "")
        if user != account or self._password not in (None, password):
            return answers.unauthorized(request)
        wait = self._wait(account)
        if wait:
            return answers.too_many(request, REQUESTS_PER_HOUR, wait)
        try:
            asked = _read(request, self._page_size)
            found = [
                (number, call, standing)
                for number, call in enumerate(self._journal.calls, start=1)
                if asked.pays(call) and asked.takes(call, standing := self._decisions.standing(number, call))
            ]
            pages = asked.pages(len(found))
        except _Refusal as refusal:
            return answers.not_listed(request, str(refusal))
        more = asked.page < pages
        about = {
            "page": str(asked.page),
            "numpages": str(pages),
            "pagesize": str(asked.page_size),
            "total": str(len(found)),
            "nextpageuri": str(request.rel_url.update_query(Page=str(asked.page + 1))) if more else "",
        }
        first = (asked.page - 1) * asked.page_size
        on_page = [_action(*each) for each in found[first : first + asked.page_size]]
        return answers.listed(request, about, on_page)

    def _wait(self, account: str) -> int:
        """The whole seconds until the account may ask again. If it is 0, this request is counted."""
        now, recent = time.monotonic(), self._recent[account]
        while recent and recent[0] <= now - _HOUR:
            recent.popleft()
        if len(recent) == REQUESTS_PER_HOUR:
            return math.ceil(recent[0] + _HOUR - now)
        recent.append(now)
        return 0


class _Refusal(Exception):
    """The problem of a request; it never quotes the request's values."""


@dataclass(frozen=True)
class _Asked:
    """The contents of a request for actions."""

    campaign: int
    by_event: bool
    start: datetime
    end: datetime
    page_size: int
    page: int

    def pays(self, call: ProcessedCall) -> bool:
        parameters = call["parameters"]
        # As impact.com does, an absent CallStatus counts as ANSWER.
        return parameters.get("CallStatus", "ANSWER") == "ANSWER" and int(parameters["CampaignId"]) == self.campaign

    def takes(self, call: ProcessedCall, standing: Standing) -> bool:
        moment = _in_time(call["parameters"]["EventDate"]) if self.by_event else standing.updated_at
        return self.start <= moment <= self.end

    def pages(self, total: int) -> int:
        if total > _MOST_PAGES * self.page_size:
            raise _Refusal(f"There are more than {_MOST_PAGES} pages of results; ask for a shorter range")
        pages = max(1, math.ceil(total / self.page_size))
        if self.page > pages:
            raise _Refusal("Page is after the last page")
        return pages


def _read(request: web.Request, page_size: int) -> _Asked:
    query = request.query
    for name in query:
        if name not in _PARAMETERS:
            raise _Refusal(f"The sandbox knows only the parameters {', '.join(_PARAMETERS)}")
        if len(query.getall(name)) > 1:
            raise _Refusal(f"{name} is given more than once")
    if "CampaignId" not in query:
        raise _Refusal("CampaignId is missing")
    by_event = any(name in query for name in _BY_EVENT)
    start, end = _range(query, by_event=by_event)
    return _Asked(
        campaign=_number(query, "CampaignId", least=0),
        by_event=by_event,
        start=start,
        end=end,
        page_size=_number(query, "PageSize", least=_SMALLEST_PAGE) if "PageSize" in query else page_size,
        page=_number(query, "Page", least=1) if "Page" in query else 1,
    )


def _range(query: Mapping[str, str], *, by_event: bool) -> tuple[datetime, datetime]:
    now = datetime.now(UTC)
    first, last = _BY_EVENT if by_event else _BY_UPDATE
    if by_event and any(name in query for name in _BY_UPDATE):
        raise _Refusal(f"{' and '.join(_BY_EVENT)} are an alternative to {' and '.join(_BY_UPDATE)}")
    if (first in query) != (last in query):
        raise _Refusal(f"{first} and {last} must be given both, or neither")
    if first not in query:
        return now - _WHEN_NOT_ASKED, now
    start, end = _moment(query, first), _moment(query, last)
    if end < start:
        raise _Refusal(f"{last} must not be before {first}")
    if end - start > _LONGEST_RANGE:
        raise _Refusal(f"{first} and {last} must be at most {_LONGEST_RANGE.days} days apart")
    if start < now - _OLDEST_START:
        raise _Refusal(f"{first} must be at most 3 years ago")
    return start, end


def _moment(query: Mapping[str, str], name: str) -> datetime:
    try:
        return _in_time(query[name])
    except ValueError:
        raise _Refusal(f"{name} must be in ISO 8601 (a + that is not sent as %2B arrives as a space)") from None


def _in_time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _number(query: Mapping[str, str], name: str, *, least: int) -> int:
    if not _DIGITS.fullmatch(query[name]) or int(query[name]) < least:
        raise _Refusal(f"{name} must be a whole number of {least} or more")
    return int(query[name])


def _action(number: int, call: ProcessedCall, standing: Standing) -> dict[str, str | int]:
    parameters = call["parameters"]
    campaign, tracker = parameters["CampaignId"], parameters["ActionTrackerId"]
    received = datetime.fromisoformat(call["received_at"])
    # impact.com writes ids as text or as numbers, so here is one of each.
    return {
        "Id": f"{campaign}.{tracker}.{number}",
        "CampaignId": campaign,
        "ActionTrackerId": int(tracker),
        "MediaPartnerId": parameters["MediaId"],
        "State": standing.state,
        "Payout": _PAYOUT,
        "Amount": parameters.get("SaleAmount", "0.00"),
        "Currency": _CURRENCY,
        "EventDate": _in_utc(parameters["EventDate"]),
        "CreationDate": _written(received),
        "LockingDate": _written(received + _LOCKED_AFTER),
        "ClearedDate": "" if standing.cleared_at is None else _written(standing.cleared_at),
        "CallerId": parameters["CallerId"],
    }


def _written(moment: datetime) -> str:
    return moment.replace(microsecond=0).isoformat().replace("+00:00", "Z")


def _in_utc(event_date: str) -> str:
    try:
        return datetime.fromisoformat(event_date).astimezone(UTC).isoformat().replace("+00:00", "Z")
    except OverflowError:  # the first and the last hours of the years 1 to 9999
        return event_date
