"""Joins the rows of one call: its legs, its later corrections."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

from airflow_provider_impactcall.delivery.items import Skipped
from airflow_provider_impactcall.delivery.spool import Spool
from airflow_provider_impactcall.exceptions import Problem, ProblemCode
from airflow_provider_impactcall.records.columns import OpenedRow, Row
from airflow_provider_impactcall.records.vendors import Join, VendorPreset

# In a temporary file without a name: after a crash nobody can read it, so it need not be durable.
_TABLE = """
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    CREATE TABLE rows (number INTEGER PRIMARY KEY, call TEXT NOT NULL);
"""
# An index that is built after all inserts is sorted in files: its memory does not grow with the rows.
_SEVERAL = """
    CREATE INDEX by_call ON rows (call, number);
    CREATE TABLE several (first INTEGER PRIMARY KEY, call TEXT NOT NULL);
    INSERT INTO several SELECT MIN(number), call FROM rows GROUP BY call HAVING COUNT(*) > 1;
"""
_OF_SEVERAL = """
    SELECT first, number FROM several CROSS JOIN rows ON rows.call = several.call ORDER BY first, number
"""


class Unjoined(NamedTuple):
    """A row that could not be joined with the other rows of its call. So it is not a call.

    :param call_session_id: the call's id, if it has a readable one
    """

    row: Row
    call_session_id: str | None
    problem: Problem


class Opener(Protocol):
    """Opens rows: a vendor's preset, or a mapping that has one."""

    def opened(self, row: Row) -> Row:
        """A row with the call's own columns in it."""

    def opens(self, columns: tuple[Any, ...]) -> bool:
        """Whether opening may change a row with these columns."""

    def call_from(self, columns: tuple[Any, ...]) -> Callable[[Sequence[Any]], str | None] | None:
        """A function from the values of a row with these columns to its call; None if the row has to be opened."""


def joined(
    rows: Iterable[Any], preset: VendorPreset, join: Join, opener: Opener | None = None
) -> Iterator[tuple[int, Any]]:
    """The rows with their numbers in the input. Rows of one call come together, joined by the vendor's preset.

    All rows are read into a private file without a name before the first is given. A :class:`.Spool` already is such a
    file, and is read twice instead.

    :param opener: opens the rows; the preset if None
    :return: each row; or in its place a :class:`.Skipped` if another row stands for it, or an :class:`Unjoined`
    """
    opener = opener or preset
    with ExitStack() as stack:
        if isinstance(rows, Spool):
            spool = rows
        else:
            spool = stack.enter_context(Spool())
            spool.add(rows)
        index = stack.enter_context(closing(sqlite3.connect("")))
        index.executescript(_TABLE)
        index.executemany("INSERT INTO rows VALUES (?, ?)", _calls(spool, preset, opener))
        index.executescript(_SEVERAL)
        if index.execute("SELECT 1 FROM several LIMIT 1").fetchone() is None:
            yield from enumerate(_opened(spool, opener), start=1)
        else:
            yield from _together(spool, opener, index, preset, join)


def _calls(spool: Spool, preset: VendorPreset, opener: Opener) -> Iterator[tuple[int, str]]:
    """The number and the call of each row whose call is known."""
    first = 1
    for columns, rows in spool.blocks():
        call_of = None if columns is None else opener.call_from(columns)
        if call_of is None:
            call_of = partial(_call_of, columns, preset=preset, opener=opener)
        for number, row in enumerate(rows, first):
            call = call_of(row)
            if call is not None:
                yield number, call
        first += len(rows)


def _call_of(columns: Sequence[Any] | None, row: Any, preset: VendorPreset, opener: Opener) -> str | None:
    if columns is not None:
        row = dict(zip(columns, row))  # noqa: B905 - see Spool.blocks
    if type(row) is not dict:
        return None
    try:
        return preset.call_of(opener.opened(row))
    except Exception:
        return None  # Its problem is reported when the row is read.


def _opened(spool: Spool, opener: Opener) -> Iterator[Any]:
    for columns, rows in spool.blocks():
        if columns is None:
            for row in rows:
                yield _open(row, opener)
        elif opener.opens(columns):
            for values in rows:
                yield _open(dict(zip(columns, values)), opener)  # noqa: B905 - see Spool.blocks
        else:
            for values in rows:
                yield dict(zip(columns, values))  # noqa: B905 - see Spool.blocks


def _open(row: Any, opener: Opener) -> Any:
    if type(row) is not dict:
        return row
    try:
        return opener.opened(row)
    except Exception:
        return row  # Its problem is reported when the row is read.


def _together(
    spool: Spool, opener: Opener, index: sqlite3.Connection, preset: VendorPreset, join: Join
) -> Iterator[tuple[int, Any]]:
    """The rows. Later rows of a call follow directly after the first row of the call."""
    is_later = bytearray(len(spool) + 1)
    for first, number in index.execute(_OF_SEVERAL):
        is_later[number] = first != number
    groups = ([number for _, number in members] for _, members in groupby(index.execute(_OF_SEVERAL), itemgetter(0)))
    numbers, row_at = next(groups), spool.by_place()
    for number, row in enumerate(_opened(spool, opener), start=1):
        if number == numbers[0]:
            others = (_open(row_at(other - 1), opener) for other in numbers[1:])
            together = [each if isinstance(each, OpenedRow) else OpenedRow(each, {}) for each in (row, *others)]
            yield from zip(numbers, _one_call(numbers, together, preset, join), strict=True)
            numbers = next(groups, [0])
        elif not is_later[number]:
            yield number, row


def _one_call(numbers: Sequence[int], rows: Sequence[Any], preset: VendorPreset, join: Join) -> Iterator[Any]:
    call = preset.call_of(rows[0])
    results: Sequence[Any]
    try:
        results = _joined(rows, preset, join)
    except Exception as error:
        # Only the type: the error's text may quote the rows.
        message = f"could not be joined with the others of its call: {type(error).__name__}"
        problem = Problem("row", ProblemCode.MAPPING_FAILED, message)
        results = [Unjoined(row, call, problem) for row in rows]
    aliases = {name: column for row in rows for name, column in row.aliases.items()}
    for number, result in zip(numbers, results, strict=True):
        if isinstance(result, str):
            yield Skipped(number, call, result)
        elif isinstance(result, (OpenedRow, Unjoined)):
            yield result
        else:
            yield OpenedRow(result, aliases)


def _joined(rows: Sequence[Any], preset: VendorPreset, join: Join) -> Sequence[Any]:
    """The result of joining the rows. Unfinished rows are joined only if all rows are unfinished."""
    unfinished = [preset.unfinished(row) for row in rows]
    finished = [row for row, reason in zip(rows, unfinished, strict=True) if reason is None]
    given = finished or rows
    results = join(given) if len(given) > 1 else given
    if len(results) != len(given):
        raise ValueError("a join gives a result for each row")
    if not finished:
        return results
    kept = iter(results)
    return [next(kept) if reason is None else reason for reason in unfinished]
