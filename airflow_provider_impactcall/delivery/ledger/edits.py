"""A person's change of the ledger: a run of its own, with who and why."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

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

LONGEST_SOURCE = 500
"""Of the characters of a source; a longer one is cut."""

log = logging.getLogger(__name__)

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


def first_began(ledger: Ledger, sources: Collection[str]) -> float | None:
    """When the first correction of these sources began, in seconds since 1970 by the ledger's clock; None if none
    did.
    """
    cut = [each[:LONGEST_SOURCE] for each in sources]
    # A delivery has no kind.
    of_sources = (runs.c.namespace == ledger.namespace, runs.c.source.in_(cut), runs.c.kind.is_not(None))
    with ledger.reading() as connection:
        began: float | None = connection.execute(sa.select(sa.func.min(runs.c.started_at)).where(*of_sources)).scalar()
    return began


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
        """A run that is not a delivery. If the ledger cannot keep its counts and its end, that is logged.

        :param ends: how many calls ended in each state, or are in it and were looked for or forgotten; and how many
            dead letters, as ``invalid``. Read when the context ends
        :raises Unrecordable: if the ledger cannot hold ``actor``, ``why`` or ``source`` of the author
        """
        run_id = uuid.uuid4().hex
        with values_told_of(), self._ledger.writing() as connection:
            connection.execute(
                sa.insert(runs).values(
                    run_id=run_id,
                    namespace=self._ledger.namespace,
                    source=(self.author.source or kind)[:LONGEST_SOURCE],
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
            end = sa.update(runs).where(runs.c.run_id == run_id).values(ended_at=Now(), **counts)
            try:
                self.repeatedly(partial(_execute, end))
            except SQLAlchemyError as error:
                # The changes are kept. If this failed the task, a retry would make them again, also to calls that were
                # sent again since.
                log.error("The ledger could not keep this run's counts (%s)", type(error).__name__)

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


def _execute(statement: sa.Update, connection: Connection) -> None:
    connection.execute(statement)
