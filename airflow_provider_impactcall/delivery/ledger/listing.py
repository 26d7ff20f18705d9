"""Calls and dead letters of a ledger in one list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from airflow_provider_impactcall.delivery.ledger.action_queries import ACTION_COLUMNS, actions_of
from airflow_provider_impactcall.delivery.ledger.batch_sizes import BATCH_SIZES, KEYS_A_QUERY, BatchSizes
from airflow_provider_impactcall.delivery.ledger.letter_queries import LetterQueries
from airflow_provider_impactcall.delivery.ledger.queries import CallQueries
from airflow_provider_impactcall.delivery.ledger.selection import CALL_COLUMNS, CHANGED, INVALID, Selection
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import CallState

_OF_LETTERS = ("problems", "row", "times")

LISTED_COLUMNS = (*CALL_COLUMNS, *_OF_LETTERS, *ACTION_COLUMNS)
"""The columns of the list. ``problems`` is a list of ``{"parameter": ..., "code": ...}``; ``problems``, ``row`` and
``times`` are None for a call. The last columns say what became of a delivered call at impact.com."""


class Listing:
    """The calls and the dead letters of a ledger's namespace, as people see them: each by column
    (:data:`LISTED_COLUMNS`), times as ISO 8601 in UTC. A selection without states selects both. Dismissed dead letters
    are left out.

    :param batch_sizes: how much is read at once
    """

    def __init__(self, ledger: Ledger, batch_sizes: BatchSizes = BATCH_SIZES) -> None:
        self._ledger = ledger
        self._calls = CallQueries(ledger, batch_sizes)
        self._letters = LetterQueries(ledger, batch_sizes)

    def latest(self, selection: Selection, limit: int) -> list[dict[str, Any]]:
        """The calls and dead letters that changed, came again or were read last; the latest first."""
        found = self._calls.latest_dated(selection, limit) + self._letters.latest_dated(selection, limit)
        found.sort(key=lambda each: (-each[0], each[1]["key"]))
        return list(self._in_columns(row for _, row in found[:limit]))

    def newest(self, selection: Selection) -> Iterator[dict[str, Any]]:
        """All of them: state by state, in each state the newest first, in short transactions and little memory. A row
        that changes meanwhile may be left out; no row comes twice.
        """
        yield from self._in_columns(self._calls.newest(selection))
        yield from self._in_columns(self._letters.newest(selection))

    def each(self, selection: Selection) -> Iterator[dict[str, Any]]:
        """All of them, each once, in no particular order, in short transactions and little memory. Only a dead letter
        that is read again meanwhile may be left out.
        """
        yield from self._in_columns(self._calls.each(selection))
        yield from self._in_columns(self._letters.newest(selection))

    def count(self, selection: Selection) -> Counter[str]:
        """How many, by state, ``invalid`` and ``changed``. A changed call is counted as delivered, too, if it was
        delivered in the selected period.
        """
        counts = self._calls.count(selection)
        if not selection.states:
            counts.update(self._calls.count(replace(selection, states=(CHANGED,))))
        if letters := self._letters.count(selection):
            counts[INVALID] = letters
        return counts

    def total(self, selection: Selection) -> int:
        """How many, each once."""
        return self._calls.total(selection) + self._letters.count(selection)

    def _in_columns(self, rows: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """The same rows in :data:`LISTED_COLUMNS`, with what became of the calls at impact.com."""
        remaining = iter(rows)
        while page := list(islice(remaining, KEYS_A_QUERY)):
            delivered = [row["key"] for row in page if row["state"] == CallState.DELIVERED]
            actions = actions_of(self._ledger, delivered)
            for row in page:
                listed = {**row, **actions.get(row["key"], {})}
                yield {name: listed.get(name) for name in LISTED_COLUMNS}


def problems_in_words(problems: Sequence[Mapping[str, str]] | None) -> str | None:
    """The problems of a dead letter as text, for a cell of a table or of CSV; None for a call."""
    if problems is None:
        return None
    return ", ".join(f"{problem['parameter']}: {problem['code']}" for problem in problems)
