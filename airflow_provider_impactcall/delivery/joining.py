"""The rows of one call brought together: its legs, its later corrections."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from airflow_provider_impactcall.delivery.items import Skipped
from airflow_provider_impactcall.delivery.spool import Spool
from airflow_provider_impactcall.exceptions import Problem, ProblemCode
from airflow_provider_impactcall.records.columns import OpenedRow, Row
from airflow_provider_impactcall.records.vendors import Join, VendorPreset

# In a file without a name that nobody reads after a crash.
_TABLE = """
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    CREATE TABLE rows (number INTEGER PRIMARY KEY, call TEXT NOT NULL);
"""
# An index that is made at once is sorted in files, and takes no more memory for more rows.
_SEVERAL = """
    CREATE INDEX by_call ON rows (call, number);
    CREATE TABLE several (first INTEGER PRIMARY KEY, call TEXT NOT NULL);
    INSERT INTO several SELECT MIN(number), call FROM rows GROUP BY call HAVING COUNT(*) > 1;
"""
_OF_SEVERAL = """
    SELECT first, number FROM several CROSS JOIN rows ON rows.call = several.call ORDER BY first, number
"""


class Unjoined(NamedTuple):
    """A row that could not be joined with the others of its call, and so is none.

    :param call_session_id: the call's id, if it has a readable one
    """

    row: Row
    call_session_id: str | None
    problem: Problem


def joined(
    rows: Iterable[Any], preset: VendorPreset, join: Join, opened: Callable[[Row], Row] | None = None
) -> Iterator[tuple[int, Any]]:
    """The rows with their numbers in the input, those of one call together and as the vendor's preset joins them.

    All are read before the first is given, to a private file without a name; but a :class:`.Spool` is one, and is read
    twice.

    :param opened: opens a row; as the preset does if None
    :return: each row, or in its place a :class:`.Skipped`, if another stands for it, or an :class:`Unjoined`
    """
    opened = opened or preset.opened
    opens = partial(_open, opened=opened)
    with ExitStack() as stack:
        if isinstance(rows, Spool):
            spool = rows
        else:
            spool = stack.enter_context(Spool())
            spool.add(rows)
        index = stack.enter_context(closing(sqlite3.connect("")))
        index.executescript(_TABLE)
        index.executemany("INSERT INTO rows VALUES (?, ?)", _calls(spool, preset, opened))
        index.executescript(_SEVERAL)
        if index.execute("SELECT 1 FROM several LIMIT 1").fetchone() is None:
            yield from enumerate(map(opens, spool), start=1)
        else:
            yield from _together(spool, opens, index, preset, join)


def _calls(rows: Iterable[Any], preset: VendorPreset, opened: Callable[[Row], Row]) -> Iterator[tuple[int, str]]:
    """Each row that is of a known call, by its number, and the call."""
    for number, row in enumerate(rows, start=1):
        if type(row) is dict:
            try:
                call = preset.call_of(opened(row))
            except Exception:  # noqa: S112 - what is wrong with it is said when it is read as a call
                continue
            if call is not None:
                yield number, call


def _open(row: Any, opened: Callable[[Row], Row]) -> Any:
    if type(row) is not dict:
        return row
    try:
        return opened(row)
    except Exception:
        return row  # What is wrong with it is said when it is read as a call.


def _together(
    spool: Spool, opens: Callable[[Any], Any], index: sqlite3.Connection, preset: VendorPreset, join: Join
) -> Iterator[tuple[int, Any]]:
    """The rows, each that is not the first of its call at the place of that one."""
    is_later = bytearray(len(spool) + 1)
    for first, number in index.execute(_OF_SEVERAL):
        is_later[number] = first != number
    groups = ([number for _, number in members] for _, members in groupby(index.execute(_OF_SEVERAL), itemgetter(0)))
    numbers = next(groups)
    for number, row in enumerate(map(opens, spool), start=1):
        if number == numbers[0]:
            others = (opens(spool[other - 1]) for other in numbers[1:])
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
        # Only the type: what it says may quote the rows.
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
    """What a join makes of the rows. One that is unfinished is left to it only if all are."""
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
