"""What the ledger holds of calls: looked up, and changed, each in one statement for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from airflow_provider_impactcall.delivery.claims import Claim
from airflow_provider_impactcall.delivery.outcome import State
from airflow_provider_impactcall.delivery.schema import LONGEST_REASON, Now, calls, events, runs

OPEN = "open"
"""A call's state from its intent to its outcome: a request is, or was, in flight."""

REQUEUED = "requeued"
"""A call's state from when a person asked for it to be sent though it may have been processed, until it is."""

DIED = "the run that sent it ended before it knew what came of it"

KEYS_A_QUERY = 500

ALIVE = sa.func.coalesce(runs.c.lease_until, 0.0) > Now()
"""Whether the run of a call holds its lease; of calls joined with :data:`WITH_RUNS`."""

WITH_RUNS = calls.outerjoin(runs, runs.c.run_id == calls.c.run_id)

_SHOWN = ("CallSessionId", "CampaignId", "ActionTrackerId", "CallProvider", "MediaId", "EventDate")
_CHANGING = ("state", "reason", "uncertain", "attempts", "deaths", "fence", "run_id", "fingerprint", "changed_at")
_KEPT = ("key", "state", "reason", "fingerprint", "uncertain", "attempts", "deaths", "fence", "run_id")


class Entry(NamedTuple):
    """What the ledger holds of a call."""

    state: str
    reason: str
    fingerprint: int
    uncertain: bool
    attempts: int
    deaths: int
    fence: int
    run_id: str
    alive: bool

    @property
    def died(self) -> bool:
        """Whether the run that sent it ended before it knew what came of it."""
        return self.state == OPEN and not self.alive

    @property
    def unsettled(self) -> bool:
        """Whether it may have been processed, and nobody knows."""
        return self.died or self.state in (State.UNKNOWN, REQUEUED)


def look_up(connection: Connection, keys: Sequence[str], *, lock: bool = False) -> dict[str, Entry]:
    """The entries of these calls, by key; of calls that were never seen there is none.

    :param lock: nobody else may change them until the transaction ends
    """
    found: dict[str, Entry] = {}
    for start in range(0, len(keys), KEYS_A_QUERY):
        of_keys = calls.c.key.in_(keys[start : start + KEYS_A_QUERY])
        if lock:
            # First, by itself: a statement that had to wait sees the row anew, but the run beside it as it was. What
            # others inserted meanwhile is not locked, and must not be seen: our own insertion fails, and is repeated.
            locking = sa.select(calls.c.key).where(of_keys).order_by(calls.c.key).with_for_update()
            of_keys = calls.c.key.in_(connection.execute(locking).scalars().all())
        query = sa.select(*(calls.c[name] for name in _KEPT), ALIVE.label("alive")).select_from(WITH_RUNS)
        for key, *values in connection.execute(query.where(of_keys)):
            found[key] = Entry(*values)
    return found


class Changes:
    """What one transaction does to the calls, gathered so that each statement is sent once for all of them.

    :param run_id: whose changes they are
    :param moment: when, by the database's clock
    :param actor: the person who makes them, if one does
    """

    def __init__(self, run_id: str, namespace: str, moment: float, actor: str | None = None) -> None:
        self.run_id = run_id
        self._namespace = namespace
        self._moment = moment
        self._actor = actor
        self._new: list[dict[str, Any]] = []
        self._changed: list[dict[str, Any]] = []
        self._events: list[dict[str, Any]] = []

    def add(self, claim: Claim, state: str, reason: str, *, attempts: int, fence: int) -> None:
        """A call that was never seen."""
        shown = {name: str(getattr(claim.call, name)) for name in _SHOWN}
        self._new.append(
            shown
            | {
                "key": claim.key,
                "namespace": self._namespace,
                "fingerprint": claim.fingerprint,
                "state": str(state),
                "reason": reason[:LONGEST_REASON],
                "uncertain": False,
                "attempts": attempts,
                "deaths": 0,
                "fence": fence,
                "run_id": self.run_id,
                "first_at": self._moment,
                "changed_at": self._moment,
            }
        )

    def change(self, key: str, entry: Entry, **changes: Any) -> None:
        """Other values for a call, by column."""
        values = {name: getattr(entry, name) for name in _CHANGING if name != "changed_at"} | changes
        row = {f"new_{name}": value for name, value in values.items()}
        row["new_reason"] = row["new_reason"][:LONGEST_REASON]
        self._changed.append(row | {"of_key": key, "new_changed_at": self._moment})

    def note(
        self, key: str, fence: int, state: str, reason: str, status: int | None = None, run_id: str | None = None
    ) -> None:
        """An event in a call's history."""
        self._events.append(
            {
                "key": key,
                "at": self._moment,
                "fence": fence,
                "run_id": run_id or self.run_id,
                "state": str(state),
                "status": status,
                "reason": reason[:LONGEST_REASON],
                "actor": self._actor,
            }
        )

    def write(self, connection: Connection) -> None:
        """Send them to the database."""
        if self._new:
            # In one order, so that two runs with the same new calls wait for each other and do not deadlock.
            connection.execute(sa.insert(calls), sorted(self._new, key=itemgetter("key")))
        if self._changed:
            bound: Mapping[str, Any] = {name: sa.bindparam(f"new_{name}") for name in _CHANGING}
            connection.execute(
                sa.update(calls).where(calls.c.key == sa.bindparam("of_key")).values(**bound), self._changed
            )
        if self._events:
            connection.execute(sa.insert(events), self._events)
