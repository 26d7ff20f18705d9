"""How many requests an account may make, counted over all runs that share a ledger's database: the rule, and how a run
changes the tables. Blocking; starts no threads.

A request holds a permit from the moment it leaves until one window after its answer. The endpoint counted it at some
unknown moment in between, so a shorter time could let one request too many into a window there. This costs throughput
where answers are slow: with a limit of 2 a second and answers after a second, one request a second leaves.

A run takes its permits ahead, each with the moment from which it may be used. So one transaction serves many requests,
and a permit is used the moment it is free. All moments are by the database's clock.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from airflow_provider_impactcall.delivery.ledger.schema import Now, rate_accounts, rate_ended, rate_runs, runs
from airflow_provider_impactcall.delivery.ledger.store import Ledger

AHEAD_SECONDS = 0.2
"""A permit may be taken so many seconds before it is free; an ended request must be noted within the same time."""

_LONGEST_SLEEP = 5.0
# Grace period after the time at which a run said that it would ask again; after it, other runs take its share.
_GRACE_SECONDS = 1.0
# SQLite's clock counts whole milliseconds, rounded down.
_TICK = 0.002
# Requests that ended within 10 ms share a row. Requests that ended more than 10 s ago have one row for each second.
_TOGETHER = 0.01
_A_WHILE = 10.0
_AN_HOUR = 3600.0


@dataclass(frozen=True)
class RateLimit:
    """At most so many requests in any window of time, as the endpoint counts them.

    :param requests: how many, rounded down. Below one, the window grows instead: 0.5 in 1 s is 1 in 2 s
    :param seconds: the length of the window
    """

    requests: float
    seconds: float

    @property
    def permits(self) -> int:
        """Requests that any window may hold."""
        return max(1, int(self.requests))

    @property
    def window(self) -> float:
        """The length of the window, in seconds."""
        return self.seconds / min(1.0, self.requests)

    def __str__(self) -> str:
        return f"{self.requests:g} requests in {self.seconds:g} s"


class Waiting(NamedTuple):
    """Another run that waits for permits.

    :param wanted: how many permits it waits for
    :param since: when it last got a permit, or began to wait
    """

    wanted: int
    since: float


class Usage(NamedTuple):
    """The permits of an account at one moment.

    :param now: the moment; all moments are by one clock
    :param held: permits that runs have in hand: taken, and not yet answered
    :param ended: when requests ended, and how many ended then; the oldest first
    :param others: the other runs that wait
    """

    now: float
    held: int
    ended: Sequence[tuple[float, int]]
    others: Sequence[Waiting] = ()


class Grant(NamedTuple):
    """What a run gets.

    :param starts: for each permit, the moment from which it may be used
    :param free_at: when the next permit that the run lacks will be free. Infinite if only the end of a request can free
        one, or if the run lacks none
    :param used_up: the limit that the next permit waits for
    :param ask_at: when the run should ask again
    """

    starts: Sequence[float]
    free_at: float
    used_up: str
    ask_at: float


def grant(limits: Sequence[RateLimit], usage: Usage, wanted: int, since: float) -> Grant:
    """The permits that a run gets: those that are free soon, as long as the other waiting runs keep their share. Pure.

    The run that has waited longest goes first. No run gets more than its share while others want theirs.

    :param limits: all of them hold at once
    :param since: when the run last got a permit, or began to wait
    """
    used = [_Used(limit, usage) for limit in limits]
    share = math.ceil(min(limit.permits for limit in limits) / (1 + len(usage.others)))
    parts = [(other.since, min(other.wanted, share)) for other in usage.others]
    first = sum(part for waited, part in parts if waited < since)
    all_others = sum(part for _, part in parts)
    moments = [max(each.free_at(permit) for each in used) for permit in range(1, wanted + all_others + 1)]
    free = bisect_left(moments, usage.now + AHEAD_SECONDS)
    given = max(0, min(wanted, free - first, max(share, free - all_others)))
    if given == wanted:
        return Grant(moments[:given], math.inf, "", usage.now)
    free_at, used_up = max((each.free_at(given + 1), each.description) for each in used)
    if free_at == math.inf:
        ask_in = AHEAD_SECONDS
    else:
        ask_in = min(max(free_at - AHEAD_SECONDS - usage.now, AHEAD_SECONDS / 2), _LONGEST_SLEEP)
    return Grant(moments[:given], free_at, used_up, usage.now + ask_in)


class _Used:
    """How far one limit is used."""

    def __init__(self, limit: RateLimit, usage: Usage) -> None:
        self.description = str(limit)
        self._permits = limit.permits
        self._window = limit.window
        self._now = usage.now
        self._held = usage.held
        self._ended = [each for each in usage.ended if each[0] + self._window > usage.now]
        self._ended_until = list(accumulate(permits for _, permits in self._ended))

    def free_at(self, more: int) -> float:
        """When so many more permits can be in hand.

        At that moment, all permits in hand count, and of the ended requests only those that its window still holds.
        """
        if self._held + more > self._permits:
            return math.inf
        ended = self._ended_until[-1] if self._ended_until else 0
        in_the_way = self._held + more + ended - self._permits
        if in_the_way <= 0:
            return self._now
        return self._ended[bisect_left(self._ended_until, in_the_way)][0] + self._window


class Request(NamedTuple):
    """A run's report and its wish, for one transaction. It may be repeated if nobody knows whether it was committed.

    :param turn: its number; a repetition keeps the number
    :param ended: when requests ended, by the run's own clock; the same at each repetition
    :param held: permits that the run has in hand, without those of ``ended``
    :param wanted: how many more permits it can use
    :param last: whether it is the run's last request for permits
    :param tidy: whether to also remove what is older than every window
    """

    turn: int
    ended: Sequence[float] = ()
    held: int = 0
    wanted: int = 0
    last: bool = False
    tidy: bool = False


class Permits:
    """One run's access to the permits of its account.

    :param ledger: prepared; its namespace does not matter here
    :param run_id: of a run that was started
    :param account: a digest of what identifies the account at impact.com
    :param limits: at least one
    :param timeout: seconds in which each request ends. The permits of a dead run may be in use for so long after the
        end of its lease
    """

    def __init__(self, ledger: Ledger, run_id: str, account: str, limits: Sequence[RateLimit], timeout: float) -> None:
        self._ledger = ledger
        self._run_id = run_id
        self._account = account
        self._limits = limits
        self._timeout = timeout
        self._longest = max(limit.window for limit in limits)

    def exchange(self, request: Request, clock: Callable[[], float]) -> Grant:
        """Note which requests ended, and take permits, in one transaction.

        :param clock: the run's own clock, in seconds
        :return: what the run gets, by the run's own clock
        """
        with self._ledger.writing() as connection:
            kept = self._lock(connection)
            before = clock()
            now = connection.execute(sa.select(Now())).scalar_one()
            after = clock()
            known = {row.run_id: row for row in connection.execute(_RUNS, {"account": self._account})}
            own = known.pop(self._run_id, None)
            if request.ended and (own is None or own.turn != request.turn):
                self._note(connection, [now - (before - at) + _TICK for at in request.ended])
            if request.tidy:
                self._tidy(connection, now, kept)
            if request.last:
                connection.execute(sa.delete(rate_runs).where(rate_runs.c.run_id == self._run_id))
                return Grant((), math.inf, "", math.inf)
            since = own.since if own is not None and own.waiting else now
            usage = self._usage(connection, now, request.held, list(known.values()))
            given = grant(self._limits, usage, request.wanted, since)
            row = {
                "account": self._account,
                "timeout": self._timeout,
                "turn": request.turn,
                "held": request.held + len(given.starts),
                "waiting": request.wanted - len(given.starts),
                "since": now if given.starts else since,
                "asks_by": given.ask_at + _GRACE_SECONDS,
            }
            if own is None:
                connection.execute(sa.insert(rate_runs).values(run_id=self._run_id, **row))
            else:
                connection.execute(sa.update(rate_runs).where(rate_runs.c.run_id == self._run_id).values(**row))
        # The database's clock was read before `after`: a moment that is counted from there is never too early.
        return Grant(
            [after + start - now for start in given.starts],
            after + given.free_at - now,
            given.used_up,
            after + given.ask_at - now,
        )

    def _lock(self, connection: Connection) -> float:
        """Lock the account until the transaction ends.

        :return: seconds for which the account's ended requests are kept
        """
        of_account = rate_accounts.c.account == self._account
        kept = connection.execute(sa.select(rate_accounts.c.keep).where(of_account).with_for_update()).scalar()
        needed = max(self._longest, kept or _AN_HOUR)
        if kept is None:
            connection.execute(sa.insert(rate_accounts).values(account=self._account, keep=needed))
        elif kept < needed:
            connection.execute(sa.update(rate_accounts).where(of_account).values(keep=needed))
        return needed

    def _note(self, connection: Connection, ended: Sequence[float]) -> None:
        together = Counter(math.ceil(at / _TOGETHER) for at in ended)
        rows = [{"account": self._account, "at": at * _TOGETHER, "places": n} for at, n in sorted(together.items())]
        connection.execute(sa.insert(rate_ended), rows)

    def _usage(self, connection: Connection, now: float, held: int, others: Sequence[Any]) -> Usage:
        query = sa.select(rate_ended.c.at, rate_ended.c.places).where(
            rate_ended.c.account == self._account, rate_ended.c.at > now - self._longest
        )
        ended = [(at, permits) for at, permits in connection.execute(query)]
        waiting = []
        for other in others:
            if (other.lease_until or 0.0) > now:
                held += other.held
                if other.waiting and other.asks_by > now:
                    waiting.append(Waiting(other.waiting, other.since))
            elif other.held:
                ended.append((_gone_at(other), other.held))
        return Usage(now, held, sorted(ended), waiting)

    def _tidy(self, connection: Connection, now: float, kept: float) -> None:
        of_account = rate_ended.c.account == self._account
        connection.execute(sa.delete(rate_ended).where(of_account, rate_ended.c.at < now - kept))
        # A window that reaches so far back does not need fractions of a second.
        fraction = sa.cast(rate_ended.c.at, sa.BigInteger) != rate_ended.c.at
        fine = sa.select(rate_ended.c.at).where(of_account, rate_ended.c.at < now - _A_WHILE, fraction)
        seconds = {math.ceil(at) for at in connection.execute(fine).scalars()}
        for second in sorted(seconds):
            within = (of_account, rate_ended.c.at > second - 1, rate_ended.c.at <= second)
            permits = connection.execute(sa.select(sa.func.sum(rate_ended.c.places)).where(*within)).scalar_one()
            connection.execute(sa.delete(rate_ended).where(*within))
            connection.execute(
                sa.insert(rate_ended).values(account=self._account, at=float(second), places=int(permits))
            )
        gone = _RUNS.where(sa.func.coalesce(runs.c.lease_until, 0.0) <= now)
        for row in connection.execute(gone, {"account": self._account}).all():
            if _gone_at(row) < now - kept:
                connection.execute(sa.delete(rate_runs).where(rate_runs.c.run_id == row.run_id))


_RUNS = (
    sa.select(rate_runs, runs.c.lease_until, runs.c.ended_at)
    .select_from(rate_runs.outerjoin(runs, runs.c.run_id == rate_runs.c.run_id))
    .where(rate_runs.c.account == sa.bindparam("account"))
)
"""The runs of an account, with their leases."""


def _gone_at(row: Any) -> float:
    """The latest moment at which the last request of a run without a lease can have ended."""
    if row.ended_at is not None:
        return float(row.ended_at)
    return float(row.lease_until + row.timeout) if row.lease_until is not None else -math.inf
