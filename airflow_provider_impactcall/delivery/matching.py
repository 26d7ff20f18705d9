"""Finds the action of each call in impact.com's list, and what it proves.

An action does not name the call's id, or any other value that only this call has. The two share campaign, action
tracker, caller and the second of the call: the call's identity. Several calls may share it: then only the number of
their actions is compared, and only if none of the calls may have two actions. If that decides nothing, the match is
ambiguous, and never guessed.

The identity is of the call as the input has it. The ledger knows how the call was sent: the fingerprint of its content,
and its second, but not its caller. A call that was not sent as the input has it counts twice: with its identity, and as
a call of the second that it was sent with, and of any caller.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from itertools import groupby
from typing import Any, NamedTuple, Self

from airflow_provider_impactcall.delivery.actions import Action, CallIdentity, Money
from airflow_provider_impactcall.delivery.identity import digest
from airflow_provider_impactcall.delivery.outcome import ActionState

_TABLES = """
CREATE TABLE call (identity BLOB, key TEXT, campaign TEXT, tracker TEXT, at INTEGER, fingerprint INTEGER,
    in_doubt INTEGER, arrived INTEGER, once INTEGER, PRIMARY KEY (key, identity)) WITHOUT ROWID;
CREATE TABLE action (action_id TEXT PRIMARY KEY, identity BLOB, state TEXT, created REAL, locking REAL, cleared REAL,
    payout TEXT, amount TEXT, currency TEXT) WITHOUT ROWID;
CREATE TABLE other (campaign TEXT, tracker TEXT, at INTEGER, key TEXT,
    PRIMARY KEY (campaign, tracker, at, key)) WITHOUT ROWID;
CREATE INDEX call_identity ON call (identity, once);
CREATE INDEX action_identity ON action (identity);
"""
# Of a call that the input has several times, a delivery sends the first row.
_CALL = "INSERT OR IGNORE INTO call VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
# The last state of an action in the list counts: it may have changed between two pages.
_ACTION = "INSERT OR REPLACE INTO action VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_OTHER = """
INSERT OR IGNORE INTO other SELECT ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM call
    WHERE call.key = ? AND call.campaign = ? AND call.tracker = ? AND call.at = ? AND call.fingerprint = ?)
"""
_ANY_SECOND = -(1 << 62)
# The others of an identity are not among its calls: these are counted already.
_FOUND = f"""
SELECT call.key, call.identity, call.in_doubt, call.arrived,
    (SELECT count(*) FROM call AS alike WHERE alike.identity = call.identity) AS calls,
    (SELECT count(*) FROM call AS alike WHERE alike.identity = call.identity AND NOT alike.once) AS repeatable,
    (SELECT count(*) FROM action AS listed WHERE listed.identity = call.identity) AS actions,
    EXISTS (SELECT 1 FROM other
        WHERE other.campaign = call.campaign AND other.tracker = call.tracker AND other.at IN (call.at, {_ANY_SECOND})
            AND NOT EXISTS (SELECT 1 FROM call AS alike
                WHERE alike.key = other.key AND alike.identity = call.identity)) AS others
FROM call ORDER BY call.key
"""  # noqa: S608
_SPANS = """
SELECT campaign, min(at), max(at) FROM call
WHERE EXISTS (SELECT 1 FROM action WHERE action.identity = call.identity) GROUP BY campaign ORDER BY campaign
"""
_LISTED = "SELECT action_id, state, created, locking, cleared, payout, amount, currency FROM action WHERE "
_OF_IDENTITY = f"{_LISTED} identity = ?"
_OF_ID = f"{_LISTED} action_id = ?"


class Fate(NamedTuple):
    """What the ledger knows of a call when it is looked up; by default, that it was never sent.

    :param in_doubt: whether its fate is unknown
    :param delivered: whether it is delivered
    :param attempts: how often it was sent
    """

    in_doubt: bool = False
    delivered: bool = False
    attempts: int = 0

    @property
    def arrived(self) -> bool:
        """Whether impact.com has the call, or may have it."""
        return self.in_doubt or self.delivered

    @property
    def once(self) -> bool:
        """Whether it has one action at most. A delivered call may have been sent by other means too."""
        return self.in_doubt and self.attempts <= 1


class Other(NamedTuple):
    """A call that impact.com may have, as it was sent.

    :param at: its second, since 1970-01-01 UTC; None if it cannot be read, and may be any
    :param fingerprint: of its content; None if it is not known
    """

    key: str
    action_tracker_id: str
    at: int | None
    fingerprint: int | None


class Listed(NamedTuple):
    """An action, without the values that it shares with its call."""

    action_id: str
    state: ActionState
    created_at: float | None
    locking_at: float | None
    cleared_at: float | None
    money: Money


class Match(NamedTuple):
    """What the list tells about a call.

    :param in_doubt: whether the call's fate is unknown to the ledger
    :param delivered: whether its delivery is proven: there are more actions than the other calls can have
    :param action: the call's own action, if it is certain which one that is
    :param ambiguous: whether actions are listed that may be of this call or of another one
    :param arrived: whether impact.com had the call, or may have had it, when it was looked up. Only then were the
        actions of its time asked for
    """

    key: str
    in_doubt: bool
    delivered: bool
    action: Listed | None
    ambiguous: bool
    arrived: bool = True


class _Found(NamedTuple):
    """A call with one of its identities.

    :param calls: how many have this identity
    :param repeatable: how many of these may have several actions
    :param actions: how many have this identity
    :param others: whether calls of unknown callers share the second
    """

    key: str
    identity: bytes
    in_doubt: int
    arrived: int
    calls: int
    repeatable: int
    actions: int
    others: int

    @property
    def proves(self) -> bool:
        alone = self.calls == 1 or self.repeatable == 0
        return alone and self.actions >= self.calls and not self.others


class Matching:
    """Calls and actions, side by side, in a temporary SQLite file without a name. Memory holds only a few MB of them,
    for any number. A caller is stored only in a digest with a random secret of this object.
    """

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._secret = secrets.token_hex(16)
        self._database.executescript(f"PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; {_TABLES}")
        self._database.execute("BEGIN")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def add(self, key: str, identity: CallIdentity, fingerprint: int, fate: Fate) -> None:
        """Add a call of the input, whatever its state in the ledger. A repeated key is the same call.

        :param fingerprint: of the call's content, as the input has it
        """
        of_call = (identity.campaign_id, identity.action_tracker_id, identity.at, fingerprint)
        of_fate = (fate.in_doubt, fate.arrived, fate.once)
        self._database.execute(_CALL, (self._digest(identity), key, *of_call, *of_fate))

    def listed(self, actions: Iterable[Action]) -> None:
        """Add actions of the list. A repeated id is the same action."""
        self._database.executemany(_ACTION, map(self._row, actions))

    def spans(self) -> list[tuple[str, int, int]]:
        """Each campaign that has calls with an action, with the times of the first and the last such call, in seconds
        since 1970-01-01 UTC.
        """
        return self._database.execute(_SPANS).fetchall()

    def beside(self, campaign_id: str, others: Iterable[Other]) -> None:
        """Add the calls of a campaign that impact.com may have: an action may be of a call outside the input, or of a
        call as it was sent. Add all calls of the input first.

        :param others: calls that were sent as the input has them are ignored
        """

        def rows() -> Iterator[tuple[object, ...]]:
            for key, tracker, at, fingerprint in others:
                of_call = (campaign_id, tracker, _ANY_SECOND if at is None else at)
                yield (*of_call, key, key, *of_call, fingerprint)

        self._database.executemany(_OTHER, rows())

    def matches(self) -> Iterator[Match]:
        """What the list tells about each call, ordered by key. Add all calls and actions first.

        Calls may share an identity. If all of them are in doubt and were sent once, as many actions as calls prove all
        of them: each has one action at most. Fewer actions prove only that some of them were delivered, but not which.
        If one of them is delivered, or was sent more than once, it may have several of the actions, and none of the
        others is proven.
        """
        with closing(self._database.execute(_FOUND)) as found:
            for key, rows in groupby(map(_Found._make, found), lambda row: row.key):
                yield self._match(key, list(rows))

    def action(self, action_id: str) -> Listed | None:
        """An action of the list by its id; None if it was not read."""
        row = self._database.execute(_OF_ID, (action_id,)).fetchone()
        return None if row is None else _listed(*row)

    def _match(self, key: str, rows: list[_Found]) -> Match:
        """The match of one call. It has several identities if the input has it with several times or callers."""
        with_actions = [row for row in rows if row.actions > 0]
        proving = [row for row in with_actions if row.proves]
        action = None
        if len(with_actions) == 1 and proving and proving[0].calls == proving[0].actions == 1:
            (found,) = self._database.execute(_OF_IDENTITY, (proving[0].identity,)).fetchall()
            action = _listed(*found)
        ambiguous = bool(with_actions) and action is None
        arrived = all(row.arrived for row in rows)
        return Match(key, bool(rows[0].in_doubt), bool(proving), action, ambiguous, arrived)

    def _row(self, action: Action) -> tuple[object, ...]:
        dates = (action.created_at, action.locking_at, action.cleared_at)
        return (action.action_id, self._digest(action.identity), action.state.value, *dates, *action.money)

    def _digest(self, identity: CallIdentity) -> bytes:
        campaign, tracker, caller, at = identity.campaign_id, identity.action_tracker_id, identity.caller, identity.at
        return digest((self._secret, campaign, tracker, caller, str(at)), 16)


def _listed(action_id: str, state: str, created: Any, locking: Any, cleared: Any, *money: str | None) -> Listed:
    return Listed(action_id, ActionState(state), created, locking, cleared, Money(*money))
