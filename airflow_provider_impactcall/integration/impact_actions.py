"""impact.com's list of actions, read for calls of a ledger with the account's ordinary API credentials."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from airflow_provider_impactcall.delivery.actions import DEFAULT_ORIGIN, CallIdentity, ReadBack, second_of
from airflow_provider_impactcall.delivery.ledger.call_actions import CallActions
from airflow_provider_impactcall.delivery.ledger.queries import CallQueries
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.matching import Matching, Other
from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.integration.connection import account, connection_of, unsafe

log = logging.getLogger(__name__)

MARGIN = timedelta(days=1)
"""Clocks differ, and a date may be read in another time zone."""

# impact.com: at most three years ago
_LONGEST_AGO = timedelta(days=3 * 365)


@contextmanager
def list_of_actions(api_conn_id: str) -> Iterator[ReadBack]:
    """The list of actions of a connection's account.

    :param api_conn_id: login is the AccountSID, password the AuthToken, host empty for ``https://api.impact.com``
    :raises InvalidOption: if the connection is wrong
    """
    from airflow_provider_impactcall.integration.session import session

    api = account(connection_of(api_conn_id), DEFAULT_ORIGIN).endpoint
    for problem in unsafe(api):
        log.warning("%s", problem)
    with session(api) as prepared:
        yield ReadBack(prepared, api.origin, api.login, api.timeout)


class EventTime:
    """When the calls that are looked for took place.

    :param since: at this time or later; None for any
    :param until: before this time; None for any
    :raises InvalidOption: if the times have no offset, or no time is between them
    """

    def __init__(self, since: datetime | None, until: datetime | None) -> None:
        if any(moment is not None and moment.tzinfo is None for moment in (since, until)):
            raise InvalidOption("since and until must have an offset from UTC")
        if since is not None and until is not None and since >= until:
            raise InvalidOption("since must be before until")
        self._since = -math.inf if since is None else since.timestamp()
        self._until = math.inf if until is None else until.timestamp()

    def has(self, at: int) -> bool:
        """Whether a call of this second is looked for."""
        return self._since <= at < self._until


class EventSpans:
    """For each campaign: when the first and the last call that are looked for took place."""

    def __init__(self) -> None:
        self._now = datetime.now(UTC)
        self._earliest, self._latest = self._now - _LONGEST_AGO, self._now + MARGIN
        self._spans: dict[str, tuple[int, int]] = {}
        self._beyond = 0

    def note(self, identity: CallIdentity) -> bool:
        """Take note of a call that is looked for; whether impact.com lists actions of its time."""
        listed = self._earliest.timestamp() < identity.at < self._latest.timestamp()
        if listed:
            first, last = self._spans.get(identity.campaign_id, (identity.at, identity.at))
            self._spans[identity.campaign_id] = min(first, identity.at), max(last, identity.at)
        else:
            self._beyond += 1
        return listed

    def read(self, reader: ReadBack, matching: Matching) -> None:
        """Read the actions of all campaigns' spans into the matching.

        :raises ReadBackFailed: if the list cannot be read to its end
        """
        if self._beyond:
            log.warning("%d calls are of the future, or too long ago for impact.com to list them", self._beyond)
        for campaign_id, span in sorted(self._spans.items()):
            first, last = (datetime.fromtimestamp(at, UTC) for at in span)
            since = max(self._earliest, first - MARGIN)
            # The future has no actions, but this machine's clock may be late.
            until = max(min(last + MARGIN, self._now), last)
            matching.listed(reader.actions(campaign_id, since, until))


def read_updates(reader: ReadBack, actions: CallActions, campaign_ids: Collection[str], until: datetime) -> int:
    """Keep what changed of campaigns' known actions since their updates were read last, whenever the calls took place.
    If a campaign's updates were never read, there is nothing to read: its actions are as they were listed.

    :param until: when this run began to read, by this machine's clock
    :return: how many actions changed
    :raises ReadBackFailed: if a list cannot be read to its end; the next run reads it from where the last one ended
    """
    changed = 0
    for campaign_id in sorted(campaign_ids):
        read = actions.updates_until(campaign_id)
        if read is not None:
            # By a clock that was wrong once, the last reading may be in the future.
            since = max(until - _LONGEST_AGO, min(datetime.fromtimestamp(read, UTC), until) - MARGIN)
            changed += actions.update(reader.updates(campaign_id, since, until))
        actions.note_updates_until(campaign_id, until.timestamp())
    return changed


def note_others(ledger: Ledger, matching: Matching) -> None:
    """Tell the matching how the ledger's calls were sent. An action may belong to a call that is not in the input, or
    is there with other content by now: the ledger keeps no caller to tell them apart.
    """
    queries = CallQueries(ledger)
    for campaign_id, *span in matching.spans():
        first, last = (datetime.fromtimestamp(at, UTC).date() for at in span)
        # In its own UTC offset, a call may be of the day before or after.
        others = queries.possibly_arrived(campaign_id, first - MARGIN, last + MARGIN)
        matching.beside(campaign_id, _as_sent(campaign_id, others))


def _as_sent(campaign_id: str, others: Iterable[tuple[str, str, str, int | None]]) -> Iterator[Other]:
    unreadable = 0
    for key, tracker_id, event_date, fingerprint in others:
        at = second_of(event_date)
        unreadable += at is None
        yield Other(key, tracker_id, at, fingerprint)
    if unreadable:
        log.warning(
            "%d calls of campaign %s have a time that cannot be read in the ledger: any action of their action "
            "trackers may belong to them",
            unreadable,
            campaign_id,
        )
