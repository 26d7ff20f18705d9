"""What a copy of the calls is kept up to date by, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from airflow_provider_impactcall.defaults import DEFAULT_KEY
from airflow_provider_impactcall.delivery.identity import identify
from airflow_provider_impactcall.delivery.items import Call
from airflow_provider_impactcall.delivery.ledger.batch_sizes import BatchSizes
from airflow_provider_impactcall.delivery.ledger.dead_letters import mark_changed
from airflow_provider_impactcall.delivery.ledger.rules import Settlement
from airflow_provider_impactcall.delivery.ledger.schema import Now, calls, runs
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.ledger.updates import CallUpdates
from airflow_provider_impactcall.delivery.reading import read
from airflow_provider_impactcall.records import CallMapping
from tests import examples
from tests.delivery.scripted import OK


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with closing(Ledger(sa.create_engine(ledger_url), "https://calls.example.com")) as ledger:
        ledger.prepare()
        yield ledger


def changed(ledger: Ledger, ago: Sequence[float], *, answered: bool = True) -> list[str]:
    """The keys of calls that a run of its own has sent, or delivered, so many seconds ago."""
    run_id, claims = ledger.start("test", ""), []
    for item in read([examples.call(f"{seconds} s ago") for seconds in ago], CallMapping()):
        assert isinstance(item, Call)
        claims.append(identify(ledger.namespace, DEFAULT_KEY, item.record))
    ledger.record(run_id, claims, [], resend=False)
    if answered:
        ledger.record(run_id, [], [Settlement(claim.key, 1, OK) for claim in claims], resend=False)
    with ledger.writing() as connection:
        for claim, seconds in zip(claims, ago, strict=True):
            then = sa.update(calls).where(calls.c.key == claim.key).values(changed_at=Now() - seconds)
            connection.execute(then)
    return [claim.key for claim in claims]


def now(ledger: Ledger) -> float:
    with ledger.reading() as connection:
        return float(connection.execute(sa.select(Now())).scalar_one())


def test_all_that_changes_what_a_call_says_comes_in_the_order_of_its_time(ledger: Ledger) -> None:
    changed(ledger, [10, 30, 50, 70])
    [marked, marked_before] = changed(ledger, [90, 5])
    changed(ledger, [80], answered=False)
    with ledger.writing() as connection:
        moment = connection.execute(sa.select(Now())).scalar_one()
        mark_changed(connection, ledger.namespace, moment - 20, {marked: (99_999, 2), marked_before: (99_999, 1)})
        died = sa.update(runs).where(runs.c.run_id.in_(sa.select(calls.c.run_id).where(calls.c.state == "open")))
        connection.execute(died.values(lease_until=moment - 40))
    changed(Ledger(ledger.engine, "https://other.example.com"), [15])
    for size in (1, 2, 100):
        updates = CallUpdates(ledger, BatchSizes(exported=size))
        found = list(updates.oldest_first(0.0, now(ledger)))
        assert [row["CallSessionId"] for row in found] == [
            *("70 s ago", "50 s ago", "80 s ago", "30 s ago", "90 s ago", "10 s ago", "5 s ago")
        ]
        assert [row["updated_at"] for row in found] == sorted(row["updated_at"] for row in found)
        told = {row["CallSessionId"]: (row["state"], row["came_again_times"]) for row in found}
        assert told["80 s ago"] == ("unknown", None)
        assert (told["90 s ago"], told["5 s ago"]) == (("delivered", 2), ("delivered", 1))
        [first, *rest, last] = found
        assert list(updates.oldest_first(first["updated_at"], last["updated_at"])) == [first, *rest]
        assert sorted(row["key"] for row in updates.of_keys([marked, "nobody's"])) == [marked]


def test_calls_of_one_moment_each_come_once(ledger: Ledger) -> None:
    keys, moment = changed(ledger, range(7)), now(ledger) - 10
    with ledger.writing() as connection:
        connection.execute(sa.update(calls).values(changed_at=moment))
    found = CallUpdates(ledger, BatchSizes(exported=3)).oldest_first(moment, now(ledger))
    assert [row["key"] for row in found] == sorted(keys)


def test_a_call_of_a_live_run_is_open(ledger: Ledger) -> None:
    changed(ledger, [10], answered=False)
    [row] = CallUpdates(ledger).oldest_first(0.0, now(ledger))
    assert (row["state"], row["updated_at"]) == ("open", row["changed_at"])


def test_no_call_is_skipped_where_a_lease_runs_out_while_calls_are_read(tmp_path: Path) -> None:
    """The database's clock moves on within a statement, also between its conditions and the columns that it returns."""
    clock = _Clock()
    engine = sa.create_engine(f"sqlite:///{tmp_path}/own.db")
    sa.event.listen(engine, "connect", lambda connection, _: connection.create_function("julianday", 1, clock.days))
    with closing(Ledger(engine, "https://calls.example.com")) as ledger:
        ledger.prepare()
        changed(ledger, [90], answered=False)
        delivered = set(changed(ledger, [80, 70, 60]))
        with ledger.writing() as connection:
            in_flight = sa.select(calls.c.run_id).where(calls.c.state == "open")
            lease = {"lease_until": clock.moment + 5}
            connection.execute(sa.update(runs).where(runs.c.run_id.in_(in_flight)).values(**lease))
        until, asked = clock.moment, 1
        while asked:
            clock.leap(60.0, after=asked)
            found = {row["key"] for row in CallUpdates(ledger, BatchSizes(exported=1)).oldest_first(0.0, until)}
            assert delivered <= found, f"the lease ran out after the clock was asked {asked - 1} times"
            asked = asked + 1 if clock.leapt else 0
        assert clock.asked > 5


class _Clock:
    """A clock of a database that stands still, and leaps once."""

    def __init__(self) -> None:
        self.moment = 1_800_000_000.0
        self.leap(0.0, after=0)

    def leap(self, seconds: float, after: int) -> None:
        """Leap when it is asked for the time once more than so often."""
        self.asked, self._seconds, self._after = 0, seconds, after

    @property
    def leapt(self) -> bool:
        return self.asked >= self._after

    def days(self, _: str) -> float:
        self.asked += 1
        moment = self.moment + (self._seconds if self.leapt else 0.0)
        return 2440587.5 + moment / 86_400
