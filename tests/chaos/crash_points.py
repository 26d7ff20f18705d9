"""The moments of a delivery at which it may die, and a process that kills itself at one of them.

The package's functions are wrapped from outside; the package has no hooks for this.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import signal
from asyncio.selector_events import _SelectorSocketTransport  # type: ignore[attr-defined]
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event

from airflow_provider_impactcall.delivery.engine.circuit_breaker import CircuitBreaker
from airflow_provider_impactcall.delivery.engine.pacing import Pacing
from airflow_provider_impactcall.delivery.identity import Claim
from airflow_provider_impactcall.delivery.ledger.rules import Settlement
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import Attempt, AttemptResult
from airflow_provider_impactcall.delivery.wire.connection import Connection
from airflow_provider_impactcall.delivery.wire.connections import Connections


@dataclass(frozen=True)
class Point:
    """A moment at which a delivery is killed. The figures are for a delivery that sends its calls one by one.

    :param name: names the moment
    :param passing: at which pass of this moment the delivery is killed, from 1
    :param open: how many calls may be open in the ledger at that moment. Beside the call in flight, the next call is
        claimed already: the transaction that settles a call also claims the call after the next.
    :param processed: how many of these the endpoint may have processed: whether a call in flight is processed during a
        transaction is chance
    :param quiet: with many calls at a time, this moment is passed only before any call is taken or after all were
        settled
    :param faults: what the endpoint answers first
    """

    name: str
    passing: int = 3
    open: Collection[int] = (0,)
    processed: Collection[int] = (0,)
    quiet: bool = False
    faults: tuple[str, ...] = ()


_REFUSED = ("400-errors",) * 3
_TWO = (2,)

POINTS = (
    Point("the tables are there", passing=1, quiet=True),
    Point("the run is started", passing=1, quiet=True),
    Point("the rows are looked up, and none is taken", passing=1, quiet=True),
    Point("before the intent's transaction", open=_TWO, processed=(1, 2), quiet=True),
    Point("before the intent's commit", open=_TWO, processed=(1, 2), quiet=True),
    Point("after the intent's commit", open=_TWO, processed=(0, 1)),
    Point("before a byte leaves", open=_TWO, processed=(0, 1)),
    Point("the request has left", open=_TWO, processed=(0, 1, 2)),
    Point("it is processed, and the answer unread", open=_TWO, processed=(1, 2)),
    Point("it is answered, and nothing recorded", open=_TWO, processed=(1, 2)),
    Point("before the outcome's commit", open=_TWO, processed=(1, 2)),
    Point("after the outcome's commit", open=_TWO, processed=(0, 1)),
    Point("before the commit of a lease's renewal", passing=1, open=_TWO, processed=(1,), faults=("slow",)),
    Point("after the commit of a lease's renewal", passing=2, open=_TWO, processed=(1,), faults=("slow",)),
    Point("in a back-off's rest", passing=2, open=_TWO, faults=("500",) * 3),
    # What was claimed is given back: by chance, that is recorded by then.
    Point("in a wait that the endpoint asks for", passing=1, open=(0, 2), faults=("ok", "429-retry-after")),
    Point("a refusal is held back, and not recorded", passing=2, open=_TWO, faults=_REFUSED),
    Point("a refusal that is held back is recorded as not sent", open=_TWO, processed=(0, 1), faults=_REFUSED),
    Point(
        "refusals are confirmed by a delivery, and not recorded", passing=1, open=_TWO, processed=(1,), faults=_REFUSED
    ),
    Point("a confirmed refusal is recorded", passing=1, open=_TWO, processed=(0, 1), faults=_REFUSED),
    Point("refusals are confirmed by the end of the input", passing=1, quiet=True, faults=("400-errors",) * 99),
    Point("everything is settled, and the run is not ended", passing=1, quiet=True),
    Point("before the commit of the run's end", passing=1, quiet=True),
    Point("the run is ended", passing=1, quiet=True),
)


def arm(name: str, passing: int, say: Callable[[str], object]) -> None:
    """Have this process kill itself at the given pass of a point.

    :param say: called with the point's name just before
    """
    passings = count(1)

    def passed(point: str) -> None:
        if point == name and next(passings) == passing:
            say(name)
            os.kill(os.getpid(), signal.SIGKILL)

    _Wraps(passed)


def _commits_each(connection: sa.engine.Connection) -> bool:
    """Whether each statement is a transaction, and SQLAlchemy's commit comes after it."""
    driver: Any = connection.connection.dbapi_connection
    return connection.dialect.name == "postgresql" and bool(driver.autocommit)


class _Wraps:
    """Every function that passes a point."""

    def __init__(self, passed: Callable[[str], None]) -> None:
        self._passed = passed
        self._in_flight = 0
        self._judging = False
        self._ending = False
        self._recorded: tuple[Sequence[Claim], Sequence[Settlement]] | None = None
        self._asked_to_wait = False
        _wrap(Ledger, "prepare", after=lambda _: passed("the tables are there"))
        _wrap(Ledger, "start", after=lambda _: passed("the run is started"))
        _wrap(Ledger, "look_up", after=lambda _: passed("the rows are looked up, and none is taken"))
        _wrap(Ledger, "record", before=self._before_record, after=self._after_record)
        event.listen(sa.engine.Engine, "commit", self._at_commit)
        event.listen(sa.engine.Engine, "before_cursor_execute", self._at_statement)
        _wrap(Connections, "send", before=self._before_send, after=self._after_send)
        for name in {"write", "writelines"} & vars(_SelectorSocketTransport).keys():
            _wrap(_SelectorSocketTransport, name, after=lambda _: passed("the request has left"))
        _wrap(Connection, "data_received", before=lambda *_: passed("it is processed, and the answer unread"))
        _wrap(Pacing, "back_off", before=lambda *_: passed("in a back-off's rest"))
        _wrap(asyncio, "timeout", before=self._before_timeout)
        _wrap(CircuitBreaker, "judge", before=self._before_judge, after=self._after_judge)
        _wrap(CircuitBreaker, "confirm", after=self._after_confirm)
        _wrap(Ledger, "end", before=self._before_end, after=lambda _: passed("the run is ended"))

    def _before_record(self, _: Ledger, run_id: str, claims: Any, settlements: Any, **__: Any) -> None:
        self._recorded = claims, settlements
        if claims:
            self._passed("before the intent's transaction")

    def _at_commit(self, connection: sa.engine.Connection) -> None:
        if not _commits_each(connection):
            self._before_commit()

    def _at_statement(self, connection: sa.engine.Connection, *_: object) -> None:
        if _commits_each(connection):
            self._before_commit()

    def _before_commit(self) -> None:
        if self._ending:
            self._passed("before the commit of the run's end")
        if self._recorded is not None:
            self._pass_what_is_recorded("before")

    def _after_record(self, _: object) -> None:
        self._pass_what_is_recorded("after")
        assert self._recorded is not None
        attempts = [settlement.attempt for settlement in self._recorded[1]]
        if any(attempt.result is AttemptResult.NOT_SENT and attempt.status == 400 for attempt in attempts):
            self._passed("a refusal that is held back is recorded as not sent")
        if any(attempt.result is AttemptResult.REJECTED for attempt in attempts):
            self._passed("a confirmed refusal is recorded")
        self._recorded = None

    def _pass_what_is_recorded(self, when: str) -> None:
        assert self._recorded is not None
        claims, settlements = self._recorded
        if claims:
            self._passed(f"{when} the intent's commit")
        if settlements:
            self._passed(f"{when} the outcome's commit")
        if self._in_flight and not claims and not settlements:
            self._passed(f"{when} the commit of a lease's renewal")

    def _before_send(self, *_: object) -> None:
        self._in_flight += 1
        self._passed("before a byte leaves")

    def _after_send(self, attempt: Attempt) -> None:
        self._in_flight -= 1
        self._asked_to_wait |= attempt.status == 429
        self._passed("it is answered, and nothing recorded")

    def _before_timeout(self, seconds: float | None) -> None:
        # A wait of the second that was asked for, and none of the short ones that the event loop is full of.
        if self._asked_to_wait and seconds is not None and 0.5 < seconds <= 1.0:
            self._passed("in a wait that the endpoint asks for")

    def _before_judge(self, *_: object) -> None:
        self._judging = True

    def _after_judge(self, verdicts: Sequence[Any]) -> None:
        self._judging = False
        if not verdicts:
            self._passed("a refusal is held back, and not recorded")

    def _after_confirm(self, confirmed: Sequence[Any]) -> None:
        if confirmed:
            by = "a delivery, and not recorded" if self._judging else "the end of the input"
            self._passed(f"refusals are confirmed by {by}")

    def _before_end(self, *_: object) -> None:
        self._ending = True
        self._passed("everything is settled, and the run is not ended")


def _wrap(
    owner: Any, name: str, before: Callable[..., None] | None = None, after: Callable[[Any], None] | None = None
) -> None:
    inner = getattr(owner, name)

    def enter(*arguments: Any, **named: Any) -> None:
        if before is not None:
            before(*arguments, **named)

    def leave(result: Any) -> Any:
        if after is not None:
            after(result)
        return result

    if inspect.iscoroutinefunction(inner):

        @functools.wraps(inner)
        async def wrapped(*arguments: Any, **named: Any) -> Any:
            enter(*arguments, **named)
            return leave(await inner(*arguments, **named))

    else:

        @functools.wraps(inner)
        def wrapped(*arguments: Any, **named: Any) -> Any:
            enter(*arguments, **named)
            return leave(inner(*arguments, **named))

    setattr(owner, name, wrapped)
