"""People's queries about the runs of a ledger."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement

from airflow_provider_impactcall.delivery.ledger.periods import Period, moment_of, zulu
from airflow_provider_impactcall.delivery.ledger.queries import readable
from airflow_provider_impactcall.delivery.ledger.schema import Now, calls, dead_letters, runs
from airflow_provider_impactcall.delivery.ledger.selection import Selection
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import ENDS

_MOST_RUNS = 50
_SHOWN = tuple(column for column in runs.c if column.name not in ("config", "lease_until"))

_AFTER_ITS_END, _AFTER_ITS_LEASE = timedelta(minutes=1), timedelta(days=1)


@dataclass(frozen=True)
class RunSelection:
    """Which runs: those for which every given condition holds.

    :param namespace: of the run's calls
    :param period: in which the run began
    :param run_ids: any of these; empty for all
    :param source: the task that sent or corrected, as ``dag/task/run/try``, or the beginning of this, up to a ``/``
    :param dag_run: a DAG's id and the id of one of its DAG runs; selects the runs of all its tasks
    """

    namespace: str | None = None
    period: Period | None = None
    run_ids: Collection[str] = ()
    source: str | None = None
    dag_run: tuple[str, str] | None = None

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        """The conditions for the runs."""
        if self.namespace is not None:
            yield runs.c.namespace == self.namespace
        if self.period is not None:
            yield from self.period.has(runs.c.started_at)
        if self.run_ids:
            yield runs.c.run_id.in_(tuple(self.run_ids))
        if self.source is not None:
            of_tasks = (runs.c.source, runs.c.actor)
            yield sa.or_(*(sa.or_(who == self.source, _begins(who, f"{self.source}/")) for who in of_tasks))
        if self.dag_run is not None:
            dag_id, run_id = self.dag_run
            of_run = []
            for who in (runs.c.source, runs.c.actor):
                # The slash before the task is cut off: a task may have the id of another DAG run.
                of_task = sa.func.substr(who, len(dag_id) + 2, type_=sa.String())
                of_run.append(sa.and_(_begins(who, f"{dag_id}/"), of_task.contains(f"/{run_id}/", autoescape=True)))
            yield sa.or_(*of_run)


def has_runs(ledger: Ledger) -> bool:
    """Whether the ledger has a run of its namespace."""
    query = sa.select(runs.c.run_id).where(runs.c.namespace == ledger.namespace).limit(1)
    with ledger.reading() as connection:
        return connection.execute(query).first() is not None


def namespaces(ledger: Ledger) -> list[str]:
    """The namespaces that a ledger has runs of; the one of the last run first.

    :param ledger: of any namespace
    """
    last = sa.func.max(runs.c.started_at)
    with ledger.reading() as connection:
        query = sa.select(runs.c.namespace).group_by(runs.c.namespace).order_by(last.desc())
        return list(connection.execute(query).scalars())


def namespaces_of_call(ledger: Ledger, call_session_id: str) -> set[str]:
    """The namespaces that have a call of this id, or a dead letter that nobody has dismissed.

    :param ledger: of any namespace
    """
    of_calls = sa.select(calls.c.namespace).where(calls.c.CallSessionId == call_session_id)
    of_letters = sa.select(dead_letters.c.namespace).where(
        dead_letters.c.CallSessionId == call_session_id, dead_letters.c.dismissed_at.is_(None)
    )
    with ledger.reading() as connection:
        return {found for query in (of_calls, of_letters) for found in connection.execute(query.distinct()).scalars()}


def of_one_run(ledger: Ledger, selection: Selection, run_id: str) -> tuple[str, Selection | None]:
    """A selection of what a run changed last, limited to the time in which the run can have changed it: an index has
    the calls by that time, and not by their run.

    :param ledger: of any namespace
    :return: the run's namespace, and the selection, or None if the ledger does not have the run
    """
    columns = (runs.c.namespace, runs.c.started_at, runs.c.ended_at, runs.c.lease_until)
    with ledger.reading() as connection:
        row = connection.execute(sa.select(*columns).where(runs.c.run_id == run_id)).first()
    if row is None:
        return "", None
    namespace, started_at, ended_at, lease_until = row
    if ended_at is None and not lease_until:  # A person's change, under way.
        return namespace, replace(selection, run_id=run_id)
    # A run that is taken for dead may only have lost its lease, and may still record an answer.
    last = moment_of(max(started_at, ended_at or 0.0, lease_until)) + (
        _AFTER_ITS_LEASE if ended_at is None else _AFTER_ITS_END
    )
    until = last if selection.until is None else min(last, selection.until)
    return namespace, replace(selection, run_id=run_id, until=until)


def last_runs(ledger: Ledger, limit: int) -> list[dict[str, Any]]:
    """The runs that began last, of every namespace, by column."""
    query = sa.select(*_SHOWN).order_by(runs.c.started_at.desc()).limit(limit)
    with ledger.reading() as connection:
        rows = [readable(row) for row in connection.execute(query).mappings()]
    return [{**row, "kind": row["kind"] or "deliver"} for row in rows]


def latest_runs(ledger: Ledger, selection: RunSelection) -> Iterator[dict[str, Any]]:
    """The last 50 runs, as :func:`each_run` gives them."""
    return islice(each_run(ledger, selection, _MOST_RUNS), _MOST_RUNS)


def each_run(ledger: Ledger, selection: RunSelection, at_once: int = 1_000) -> Iterator[dict[str, Any]]:
    """All the runs, the one that began last first, with their counts by the names of :data:`ENDS`, in short
    transactions.

    ``seconds`` is how long the run took, None if it has not ended; ``alive`` is whether it is under way. A delivery
    without ``seconds`` that is not alive has died; for a person's change, this is not known.

    :param ledger: of any namespace
    :param at_once: how many a transaction reads
    """
    query = sa.select(*_SHOWN, (runs.c.lease_until > Now()).label("alive")).where(*selection.conditions())
    query = query.order_by(runs.c.started_at.desc(), runs.c.run_id).limit(at_once)
    before: tuple[ColumnElement[bool], ...] = ()
    while True:
        with ledger.reading() as connection:
            found = connection.execute(query.where(*before)).mappings().all()
        yield from map(_run, found)
        if len(found) < at_once:
            return
        last_at, last = found[-1]["started_at"], found[-1]["run_id"]
        before = (
            runs.c.started_at <= last_at,
            sa.or_(runs.c.started_at < last_at, runs.c.run_id > last),
        )


def _run(row: Any) -> dict[str, Any]:
    ended, began = row["ended_at"], row["started_at"]
    return {
        "run_id": row["run_id"],
        "kind": row["kind"] or "deliver",
        **{name: row[name] for name in ("source", "namespace")},
        "started_at": zulu(moment_of(began)),
        "ended_at": None if ended is None else zulu(moment_of(ended)),
        "seconds": None if ended is None else round(max(ended - began, 0.0), 3),
        "alive": bool(row["alive"]),
        **{name: row[name] for name in ("stop_code", "stop", "actor", "why")},
        **{end: row[f"{end}_rows"] for end in ENDS},
    }


def _begins(column: sa.Column[Any], text: str) -> ColumnElement[bool]:
    # Not LIKE: on SQLite, LIKE ignores upper and lower case.
    return sa.func.substr(column, 1, len(text)) == text
