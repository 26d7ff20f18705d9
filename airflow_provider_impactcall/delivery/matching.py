"""Finds the action of each call in impact.com's list, and what it proves.

An action does not name the call's id, or any other value that only this call has. The two share campaign, action
tracker, caller and the second of the call. Several calls may share all four: then only the number of their actions is
compared. If that decides nothing, the match is ambiguous, and never guessed.
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
CREATE TABLE call (identity BLOB, key TEXT, campaign TEXT, tracker TEXT, at INTEGER, in_doubt INTEGER,
    PRIMARY KEY (key, identity)) WITHOUT ROWID;
CREATE TABLE action (action_id TEXT PRIMARY KEY, identity BLOB, state TEXT, created REAL, locking REAL, cleared REAL,
    payout TEXT, amount TEXT, currency TEXT) WITHOUT ROWID;
CREATE TABLE other (campaign TEXT, tracker TEXT, at INTEGER, PRIMARY KEY (campaign, tracker, at)) WITHOUT ROWID;
CREATE INDEX call_identity ON call (identity);
CREATE INDEX action_identity ON action (identity);
"""
_CALL = "INSERT OR IGNORE INTO call VALUES (?, ?, ?, ?, ?, ?)"
# The last state of an action in the list counts: it may have changed between two pages.
_ACTION = "INSERT OR REPLACE INTO action VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_OTHER = "INSERT OR IGNORE INTO other SELECT ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM call WHERE key = ?)"
_FOUND = """
SELECT call.key, call.in_doubt,
    (SELECT count(*) FROM call AS alike WHERE alike.identity = call.identity) AS calls,
    (SELECT count(*) FROM action AS listed WHERE listed.identity = call.identity) AS actions,
    EXISTS (SELECT 1 FROM other
        WHERE other.campaign = call.campaign AND other.tracker = call.tracker AND other.at = call.at) AS others,
    call.identity
FROM call ORDER BY call.key
"""
_SPANS = """
SELECT campaign, min(at), max(at) FROM call
WHERE EXISTS (SELECT 1 FROM action WHERE action.identity = call.identity) GROUP BY campaign ORDER BY campaign
"""
_LISTED = "SELECT action_id, state, created, locking, cleared, payout, amount, currency FROM action WHERE "
_OF_IDENTITY = f"{_LISTED} identity = ?"
_OF_ID = f"{_LISTED} action_id = ?"


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
    :param delivered: whether its delivery is proven: there are at least as many actions as calls that they could be of
    :param action: the call's own action, if it is certain which one that is
    :param ambiguous: whether actions are listed that may be of this call or of another one
    """

    key: str
    in_doubt: bool
    delivered: bool
    action: Listed | None
    ambiguous: bool


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

    def add(self, key: str, identity: CallIdentity, *, in_doubt: bool) -> None:
        """Add a call of the input, whatever its state in the ledger. A repeated key is the same call."""
        of_call = (identity.campaign_id, identity.action_tracker_id, identity.at)
        self._database.execute(_CALL, (self._digest(identity), key, *of_call, in_doubt))

    def listed(self, actions: Iterable[Action]) -> None:
        """Add actions of the list. A repeated id is the same action."""
        self._database.executemany(_ACTION, map(self._row, actions))

    def spans(self) -> list[tuple[str, int, int]]:
        """Each campaign that has calls with an action, with the times of the first and the last such call, in seconds
        since 1970-01-01 UTC.
        """
        return self._database.execute(_SPANS).fetchall()

    def beside(self, campaign_id: str, others: Iterable[tuple[str, str, int]]) -> None:
        """Add other calls of a campaign that impact.com may have: an action may be of a call outside the input.

        :param others: key, action tracker and second of each call; calls of the input are ignored
        """
        rows = ((campaign_id, tracker, at, key) for key, tracker, at in others)
        self._database.executemany(_OTHER, rows)

    def matches(self) -> Iterator[Match]:
        """What the list tells about each call, ordered by key. Add all calls and actions first.

        Calls may share an identity. As many actions as calls then prove all of them. Fewer actions prove only that some
        of them were delivered, but not which.
        """
        with closing(self._database.execute(_FOUND)) as found:
            for key, rows in groupby(found, lambda row: row[0]):
                yield self._match(key, list(rows))

    def action(self, action_id: str) -> Listed | None:
        """An action of the list by its id; None if it was not read."""
        row = self._database.execute(_OF_ID, (action_id,)).fetchone()
        return None if row is None else _listed(*row)

    def _match(self, key: str, rows: list[tuple[str, int, int, int, int, bytes]]) -> Match:
        """The match of one call. It has several identities if the input has it with several times or callers."""
        with_actions = [row for row in rows if row[3] > 0]
        proving = [row for row in with_actions if row[3] >= row[2] and not row[4]]
        action = None
        if len(with_actions) == 1 and proving and proving[0][2:4] == (1, 1):
            (found,) = self._database.execute(_OF_IDENTITY, (proving[0][5],)).fetchall()
            action = _listed(*found)
        return Match(key, bool(rows[0][1]), bool(proving), action, bool(with_actions) and action is None)

    def _row(self, action: Action) -> tuple[object, ...]:
        dates = (action.created_at, action.locking_at, action.cleared_at)
        return (action.action_id, self._digest(action.identity), action.state.value, *dates, *action.money)

    def _digest(self, identity: CallIdentity) -> bytes:
        campaign, tracker, caller, at = identity.campaign_id, identity.action_tracker_id, identity.caller, identity.at
        return digest((self._secret, campaign, tracker, caller, str(at)), 16)


def _listed(action_id: str, state: str, created: Any, locking: Any, cleared: Any, *money: str | None) -> Listed:
    return Listed(action_id, ActionState(state), created, locking, cleared, Money(*money))
