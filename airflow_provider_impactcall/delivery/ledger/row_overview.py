"""The page's queries about rows that are not calls, and about calls that came again with other content.

Rows that were rejected here are counted as dead letters, by when they were read last. A run keeps a limited number of
dead letters and only counts its other rows. Those rows have a number of their own (``not_kept``): several runs may have
counted the same row.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql.elements import ColumnElement

from airflow_provider_impactcall.delivery.ledger.periods import Period, moment_of, zulu
from airflow_provider_impactcall.delivery.ledger.schema import changed_calls, dead_letters, run_rows, runs
from airflow_provider_impactcall.delivery.ledger.selection import CHANGED, MARKED, Selection
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import RowOutcome

MOST_CHANGED = 10_000
"""Changed calls are counted up to this number: each has to be looked up, and 200,000 take SQLite half a second."""

# Sentences are taken from so many rows, those that were read last: no index has sentences.
_READ_LAST = 5_000
_SENTENCES = 3
_MOST_REASONS = 200

_WITH_RUNS = runs.join(run_rows, run_rows.c.run_id == runs.c.run_id)

_Why = tuple[str, str]


@dataclass
class _Problem:
    """The rows of one code and parameter."""

    rows: int = 0
    not_kept: int = 0
    last_at: float = 0.0
    sentences: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "not_kept": self.not_kept,
            "last_at": zulu(moment_of(self.last_at)),
            "reasons": [sentence for sentence, _ in self.sentences.most_common(_SENTENCES)],
        }


class RowOverview:
    """What people see of the rows of a ledger's namespace. Times are ISO 8601 in UTC, with a ``Z``.

    :param ledger: prepared by the runs that deliver; nothing is written here
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._open = (dead_letters.c.namespace == ledger.namespace, dead_letters.c.dismissed_at.is_(None))

    def invalid(self, period: Period | None = None) -> int:
        """How many dead letters are not dismissed.

        :param period: in which they were read last; None for any time
        """
        with self._ledger.reading() as connection:
            return self._count(connection, () if period is None else period.has(dead_letters.c.last_at))

    def invalid_by(self, steps: Sequence[Period]) -> list[int]:
        """The same for each of these periods."""
        with self._ledger.reading() as connection:
            # One query per period, as for the calls.
            return [self._count(connection, step.has(dead_letters.c.last_at)) for step in steps]

    def invalid_by_partner(self, period: Period) -> Counter[str]:
        """The same by ``MediaId``, which is empty for rows without one that can be shown."""
        media_id = dead_letters.c.MediaId
        query = sa.select(media_id, sa.func.count()).where(*self._open, *period.has(dead_letters.c.last_at))
        counts: Counter[str] = Counter()
        with self._ledger.reading() as connection:
            for value, number in connection.execute(query.group_by(media_id)):
                counts[value or ""] += number
        return counts

    def not_kept(self, period: Period) -> int:
        """How many rows the runs of a period rejected, and only counted."""
        with self._ledger.reading() as connection:
            return sum(number for *_, number, _ in self._counted(connection, period))

    def problems(self, period: Period) -> list[dict[str, Any]]:
        """Why rows were rejected here, by the code and the parameter of the first problem of each, most rows first.

        :return: ``reason_code`` and ``parameter``. ``rows``: how many dead letters. ``not_kept``: how many more rows
            the runs of the period only counted. ``last_at``: when the last row was read. ``reasons``: the three most
            frequent sentences of the rows that were read last
        """
        letters, shown = dead_letters.c, (sa.func.count(), sa.func.max(dead_letters.c.last_at))
        why = (letters.reason_code, letters.parameter)
        of_period = (*self._open, *period.has(letters.last_at))
        found: dict[_Why, _Problem] = defaultdict(_Problem)
        with self._ledger.reading() as connection:
            for code, parameter, rows, last_at in connection.execute(
                sa.select(*why, *shown).where(*of_period).group_by(*why)
            ):
                found[code, parameter] = _Problem(rows, last_at=last_at)
            for code, parameter, sentence, rows in self._sentences(connection, of_period, found):
                # A problem may be new here: its row was written after the first query.
                if (code, parameter) in found:
                    found[code, parameter].sentences[sentence] += rows
            for code, parameter, not_kept, last_at in self._counted(connection, period):
                problem = found[code, parameter]
                problem.not_kept += not_kept
                problem.last_at = max(problem.last_at, last_at)
        return _most_first(found)

    def problems_of(self, run_ids: Collection[str]) -> list[dict[str, Any]]:
        """Why runs rejected rows, as :meth:`problems`, without sentences; ``rows`` is how many were kept."""
        found: dict[_Why, _Problem] = {}
        with self._ledger.reading() as connection:
            for row in connection.execute(_rejected_by(run_ids)).mappings():
                not_kept = int(row["number"] - row["kept"])
                found[row["reason_code"], row["parameter"]] = _Problem(int(row["kept"]), not_kept, row["last_at"])
        return _most_first(found)

    def filtered(self, period: Period) -> list[dict[str, Any]]:
        """Why the runs of a period left rows out on purpose, most rows first.

        :return: ``reason_code``; ``reason``; ``rows`` and ``runs``, how many; and ``last_at``, when the last run began
        """
        return self._filtered(sa.and_(runs.c.namespace == self._ledger.namespace, *period.has(runs.c.started_at)))

    def filtered_of(self, run_ids: Collection[str]) -> list[dict[str, Any]]:
        """The same for some runs."""
        return self._filtered(runs.c.run_id.in_(list(run_ids)))

    def changed(self, period: Period | None = None) -> tuple[int, bool]:
        """How many delivered calls came again with other content, at most :data:`MOST_CHANGED`, and whether there are
        more.

        :param period: in which they came again last; None for any time
        """
        since, until = (None, None) if period is None else (period.since, period.until)
        of_marks = Selection(states=(CHANGED,), since=since, until=until).of_marks(self._ledger.namespace)
        # The namespace of the marks, too: otherwise SQLite reads all calls to find their marks.
        some = (
            sa.select(changed_calls.c.key)
            .select_from(MARKED)
            .where(changed_calls.c.namespace == self._ledger.namespace)
        )
        some = some.where(*of_marks).limit(MOST_CHANGED + 1)
        with self._ledger.reading() as connection:
            number = int(connection.execute(sa.select(sa.func.count()).select_from(some.subquery())).scalar_one())
        return min(number, MOST_CHANGED), number > MOST_CHANGED

    def _count(self, connection: Connection, when: Sequence[ColumnElement[bool]]) -> int:
        query = sa.select(sa.func.count()).select_from(dead_letters).where(*self._open, *when)
        return int(connection.execute(query).scalar_one())

    def _sentences(
        self, connection: Connection, of_period: Sequence[ColumnElement[bool]], found: dict[_Why, _Problem]
    ) -> Iterator[tuple[str, str, str, int]]:
        """Sentences by code and parameter, each with its number of rows.

        The sentences come from the rows that were read last. For a problem that none of those rows has, they come from
        the last rows of that problem.
        """
        shown = (dead_letters.c.reason_code, dead_letters.c.parameter, dead_letters.c.reason)
        last = sa.select(*shown).where(*of_period).order_by(dead_letters.c.last_at.desc()).limit(_READ_LAST).subquery()
        told = list(connection.execute(sa.select(*last.c, sa.func.count()).group_by(*last.c)))
        yield from map(tuple, told)
        for code, parameter in found.keys() - {(each[0], each[1]) for each in told}:
            why = (dead_letters.c.reason_code == code, dead_letters.c.parameter == parameter)
            of_problem = (*self._open, *why, dead_letters.c.last_at == found[code, parameter].last_at)
            for (sentence,) in connection.execute(
                sa.select(dead_letters.c.reason).where(*of_problem).limit(_SENTENCES)
            ):
                yield code, parameter, sentence, 1

    def _counted(self, connection: Connection, period: Period) -> Iterator[tuple[str, str, int, float]]:
        """How many rows the runs of a period rejected and did not keep, by code and parameter, and when the last of
        these runs began.
        """
        shown = (sa.func.sum(run_rows.c.rows - run_rows.c.kept), sa.func.max(runs.c.started_at))
        why = (run_rows.c.reason_code, run_rows.c.parameter)
        query = (
            sa.select(*why, *shown)
            .select_from(_WITH_RUNS)
            .where(
                runs.c.namespace == self._ledger.namespace,
                *period.has(runs.c.started_at),
                run_rows.c.outcome == RowOutcome.REJECTED.value,
                run_rows.c.rows > run_rows.c.kept,
            )
        )
        for code, parameter, number, last_at in connection.execute(query.group_by(*why)):
            yield code, parameter, int(number), last_at

    def _filtered(self, of_runs: ColumnElement[bool]) -> list[dict[str, Any]]:
        rows, why = sa.func.sum(run_rows.c.rows), (run_rows.c.reason_code, run_rows.c.reason)
        shown = (rows.label("number"), sa.func.count(runs.c.run_id.distinct()).label("runs"))
        query = sa.select(*why, *shown, sa.func.max(runs.c.started_at).label("last_at")).select_from(_WITH_RUNS)
        query = query.where(of_runs, run_rows.c.outcome == RowOutcome.FILTERED.value).group_by(*why)
        with self._ledger.reading() as connection:
            found = connection.execute(query.order_by(rows.desc(), *why).limit(_MOST_REASONS)).mappings().all()
        return [
            {
                **{name: row[name] for name in ("reason_code", "reason", "runs")},
                "rows": int(row["number"]),
                "last_at": zulu(moment_of(row["last_at"])),
            }
            for row in found
        ]


def _rejected_by(run_ids: Collection[str]) -> Any:
    why = (run_rows.c.reason_code, run_rows.c.parameter)
    # Not named rows, which is a reserved word of MySQL.
    counts = (sa.func.sum(run_rows.c.rows).label("number"), sa.func.sum(run_rows.c.kept).label("kept"))
    query = sa.select(*why, *counts, sa.func.max(runs.c.started_at).label("last_at")).select_from(_WITH_RUNS)
    of_runs = (runs.c.run_id.in_(list(run_ids)), run_rows.c.outcome == RowOutcome.REJECTED.value)
    return query.where(*of_runs).group_by(*why)


def _most_first(found: dict[_Why, _Problem]) -> list[dict[str, Any]]:
    most = sorted(found.items(), key=lambda each: (-each[1].rows - each[1].not_kept, each[0]))
    return [{"reason_code": code, "parameter": parameter, **problem.as_dict()} for (code, parameter), problem in most][
        :_MOST_REASONS
    ]
