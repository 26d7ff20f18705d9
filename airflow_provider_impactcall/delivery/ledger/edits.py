"""A person's change of the ledger: a run of its own, with who and why."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from airflow_provider_impactcall.delivery.ledger.entries import (
    Changes,
)
from airflow_provider_impactcall.delivery.ledger.schema import (
    LONGEST_ACTOR,
    LONGEST_REASON,
    Now,
    runs,
)
from airflow_provider_impactcall.delivery.ledger.selection import INVALID
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.ledger.transactions import repeatedly
from airflow_provider_impactcall.delivery.ledger.unrecordable import values_told_of
from airflow_provider_impactcall.delivery.outcome import ENDS, CallState
from airflow_provider_impactcall.exceptions import InvalidOption

_T = TypeVar("_T")


@dataclass(frozen=True)
class Author:
    """Who changes the ledger, and why; both are kept.

    :param source: the task that does it for the actor, written as a delivery's source; None if there is no task
    :raises InvalidOption: if ``actor`` or ``why`` is blank or too long
    """

    actor: str
    why: str
    source: str | None = None

    def __post_init__(self) -> None:
        for name, text, longest in (("actor", self.actor, LONGEST_ACTOR), ("why", self.why, LONGEST_REASON)):
            if not text.strip() or len(text) > longest:
                raise InvalidOption(f"{name} must be given, in at most {longest} characters")


class Edit:
    """How a person changes the ledger: in short transactions, which give way to the transactions of live runs.

    :param author: who, and why
    """

    def __init__(self, ledger: Ledger, author: Author) -> None:
        self._ledger = ledger
        self.namespace = ledger.namespace
        self.author = author

    @contextmanager
    def run(self, kind: str, ends: Mapping[str, int]) -> Iterator[str]:
        """A run that is not a delivery.

        :param ends: how many calls ended in each state, and how many dead letters as ``invalid``; read when the context
            ends
        :raises Unrecordable: if the ledger cannot hold ``actor``, ``why`` or ``source`` of the author
        """
        run_id = uuid.uuid4().hex
        with values_told_of(), self._ledger.writing() as connection:
            connection.execute(
                sa.insert(runs).values(
                    run_id=run_id,
                    namespace=self._ledger.namespace,
                    source=(self.author.source or kind)[:500],
                    config="",
                    lease_until=0.0,
                    started_at=Now(),
                    kind=kind,
                    actor=self.author.actor,
                    why=self.author.why,
                )
            )
        try:
            yield run_id
        finally:
            counts = {f"{end}_rows": ends.get(end, 0) for end in ENDS}
            counts["unknown_rows"] += ends.get(CallState.REQUEUED, 0)
            # A delivery counts invalid rows as rejected, too.
            counts["rejected_rows"] += ends.get(INVALID, 0)
            with self._ledger.writing() as connection:
                connection.execute(sa.update(runs).where(runs.c.run_id == run_id).values(ended_at=Now(), **counts))

    def repeatedly(self, act: Callable[[Connection], _T]) -> _T:
        """Do it in a transaction; repeat it if it collides with a live run's transaction.

        :raises Unrecordable: without another attempt, if the ledger cannot hold a value
        """

        def told_of(connection: Connection) -> _T:
            with values_told_of():
                return act(connection)

        return repeatedly(self._ledger.engine, told_of, self._ledger.timings.turn)

    def changes(self, connection: Connection, run_id: str) -> Changes:
        """Collects what one transaction of this edit does to the calls."""
        moment = connection.execute(sa.select(Now())).scalar_one()
        return Changes(run_id, self._ledger.namespace, moment, self.author.actor)
