"""People's queries about the dead letters of a ledger: rows that were rejected here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement

from airflow_provider_impactcall.delivery.ledger.batch_sizes import BATCH_SIZES, BatchSizes
from airflow_provider_impactcall.delivery.ledger.paging import dated, newest_first, now
from airflow_provider_impactcall.delivery.ledger.queries import readable
from airflow_provider_impactcall.delivery.ledger.schema import dead_letters
from airflow_provider_impactcall.delivery.ledger.selection import CALL_COLUMNS, INVALID, Selection
from airflow_provider_impactcall.delivery.ledger.store import Ledger

_SHOWN = (
    dead_letters.c.CallSessionId,
    dead_letters.c.MediaId,
    sa.literal(INVALID).label("state"),
    dead_letters.c.reason_code,
    dead_letters.c.reason,
    sa.literal(0).label("attempts"),
    dead_letters.c.run_id,
    dead_letters.c.first_at,
    dead_letters.c.last_at.label("changed_at"),
    dead_letters.c.key,
    dead_letters.c.problems,
    dead_letters.c.row,
    dead_letters.c.times,
)


class LetterQueries:
    """The dead letters of a ledger's namespace that are not dismissed, as people see them: in the columns of a call,
    with ``problems``, ``row`` and ``times``.

    :param batch_sizes: how much is read at once
    """

    def __init__(self, ledger: Ledger, batch_sizes: BatchSizes = BATCH_SIZES) -> None:
        self._ledger = ledger
        self._sizes = batch_sizes

    def latest_dated(self, selection: Selection, limit: int) -> list[tuple[float, dict[str, Any]]]:
        """The dead letters that were read last, each with the time of that reading, in seconds since 1970."""
        if not selection.includes(INVALID):
            return []
        with self._ledger.reading() as connection:
            rows = dated(connection, self._query(selection), dead_letters.c.last_at, dead_letters.c.key, limit)
        return [(moment, _shown(row)) for moment, row in rows]

    def newest(self, selection: Selection) -> Iterator[dict[str, Any]]:
        """All dead letters as they were when this began, the one that was read last first, in short transactions and
        little memory. A row that is read again meanwhile may be left out; no row comes twice.
        """
        if selection.includes(INVALID):
            order = (dead_letters.c.last_at, dead_letters.c.key)
            query = self._query(selection)
            yield from map(_shown, newest_first(self._ledger, query, *order, now(self._ledger), self._sizes.fetched))

    def versions(self, selection: Selection) -> Iterator[tuple[str, float]]:
        """Key and version of all dead letters, as :meth:`newest` gives them. The version is the time when the row was
        read last, in seconds since 1970.
        """
        if selection.includes(INVALID):
            order = (dead_letters.c.last_at, dead_letters.c.key)
            query = sa.select(dead_letters.c.key, dead_letters.c.last_at).where(*self._conditions(selection))
            for row in newest_first(self._ledger, query, *order, now(self._ledger), self._sizes.fetched):
                yield row["key"], row["last_at"]

    def count(self, selection: Selection) -> int:
        """How many dead letters are selected."""
        if not selection.includes(INVALID):
            return 0
        query = sa.select(sa.func.count()).select_from(dead_letters).where(*self._conditions(selection))
        with self._ledger.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def _query(self, selection: Selection) -> Any:
        return sa.select(*_SHOWN).where(*self._conditions(selection))

    def _conditions(self, selection: Selection) -> Iterator[ColumnElement[bool]]:
        namespace: ColumnElement[str] = dead_letters.c.namespace
        # concat("") keeps SQLite, which has no statistics, from reading the whole index of the namespace for an id.
        yield (namespace.concat("") if selection.call_session_ids else namespace) == self._ledger.namespace
        yield from letter_conditions(selection)


def letter_conditions(selection: Selection) -> Iterator[ColumnElement[bool]]:
    """The conditions for the selected dead letters, in any namespace."""
    yield dead_letters.c.dismissed_at.is_(None)
    if not selection.includes(INVALID) or selection.status is not None or selection.campaign_ids or selection.actions:
        yield sa.false()
    if selection.reason is not None:
        yield sa.func.lower(dead_letters.c.reason).contains(selection.reason.lower(), autoescape=True)
    if selection.reason_code is not None:
        yield dead_letters.c.reason_code == str(selection.reason_code)
    yield from selection.run_of(dead_letters.c.run_id, dead_letters.c.last_at)
    yield from selection.period_of(dead_letters.c.last_at)
    if selection.call_session_ids:
        yield dead_letters.c.CallSessionId.in_(tuple(selection.call_session_ids))
    if selection.media_ids:
        yield dead_letters.c.MediaId.in_(tuple(selection.media_ids))


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    problems = [{"parameter": parameter, "code": code} for parameter, code in json.loads(row["problems"])]
    return {**dict.fromkeys(CALL_COLUMNS), **readable(row), "problems": problems}
