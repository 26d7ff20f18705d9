"""Joins the rows of one call: its legs, its later corrections."""

from __future__ import annotations

import sqlite3
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import cache
from itertools import compress, groupby
from operator import itemgetter
from typing import Any, NamedTuple, Protocol

from airflow_provider_impactcall.delivery.items import Skipped
from airflow_provider_impactcall.delivery.spool import Spool
from airflow_provider_impactcall.exceptions import Problem, ProblemCode
from airflow_provider_impactcall.records.columns import FromValues, OpenedRow, Row, hint
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

# So many calls are looked at together to find those that come again.
_MOST_AT_ONCE = 250_000


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

    def call_from(self, columns: tuple[Any, ...]) -> FromValues[str] | None:
        """Gives the call of rows with these columns; None if a row has to be opened."""


Ways = Callable[[tuple[Any, ...]], FromValues[Any] | None]
"""Says how rows with these columns are read from their values; None if they are not."""


def joined(
    rows: Iterable[Any], preset: VendorPreset, join: Join, opener: Opener | None = None, ways: Ways | None = None
) -> Iterator[tuple[int, Any]]:
    """The rows with their numbers in the input. Rows of one call come together, joined by the vendor's preset.

    All rows are read into a private file without a name before the first is given. A :class:`.Spool` already is such a
    file, and is read twice instead.

    :param opener: opens the rows; the preset if None
    :param ways: see :func:`each_read`
    :return: each row, or what it was read as; or in its place a :class:`.Skipped` if another row stands for it, or an
        :class:`Unjoined`
    """
    opener = opener or preset
    with ExitStack() as stack:
        if isinstance(rows, Spool):
            spool = rows
        else:
            spool = stack.enter_context(Spool())
            spool.add(rows)
        doubtful = _perhaps_repeated(_calls(spool, preset, opener))
        if not any(doubtful):
            yield from enumerate(each_read(spool, opener, ways), start=1)
            return
        index = stack.enter_context(closing(sqlite3.connect("")))
        index.executescript(_TABLE)
        calls = compress(enumerate(_calls(spool, preset, opener), start=1), doubtful)
        index.executemany("INSERT INTO rows VALUES (?, ?)", (each for each in calls if each[1] is not None))
        index.executescript(_SEVERAL)
        yield from _together(spool, opener, index, preset, join, ways)


def each_read(
    spool: Spool, opener: Opener | None, ways: Ways | None = None, left_out: Sequence[int] | None = None
) -> Iterator[Any]:
    """The rows of a spool; in place of an ordinary row, what it was read as.

    :param opener: opens the other rows; None to leave them as they are
    :param ways: how ordinary rows are read; None to read none
    :param left_out: for each row, 1 if only None is needed in its place; None if there is no such row
    """
    way_of, first = cache(ways or _no_way), 0
    left_out = left_out or bytes(len(spool))
    for block in spool.blocks():
        way = None if block.columns is None else way_of(block.columns)
        if way is None:
            for row in block:
                yield row if opener is None else _open(row, opener)
        else:
            out, each = left_out[first : first + len(block)], block.values(way.places)
            found: Iterator[Any] = map(way.read, each)
            if any(out):
                found = (None if is_out else way.read(values) for is_out, values in zip(out, each, strict=True))
            for place, read in enumerate(found):
                if read is not None or out[place]:
                    yield read
                else:
                    row = block.row(place)
                    yield row if opener is None else _open(row, opener)
        first += len(block)


def _no_way(_: tuple[Any, ...]) -> None:
    """Says that no rows are read from their values."""


def _perhaps_repeated(calls: Iterable[str | None]) -> bytearray:
    """For each row, 1 if another row may be of its call, else 0. Takes nine bytes a row."""
    hashes = array("q", map(hash, calls))
    found = bytearray(len(hashes))
    parts = len(hashes) // _MOST_AT_ONCE + 1
    for part in range(parts):
        some = [each for each in hashes if each % parts == part]
        if len(set(some)) < len(some):
            repeated = {each for each, count in Counter(some).items() if count > 1}
            for place, each in enumerate(hashes):
                if each in repeated:
                    found[place] = 1
    return found


def _calls(spool: Spool, preset: VendorPreset, opener: Opener) -> Iterator[str | None]:
    """The call of each row; None if it is not known."""
    for block in spool.blocks():
        way = None if block.columns is None else opener.call_from(block.columns)
        if way is not None:
            yield from map(way.read, block.values(way.places))
        else:
            for row in block:
                yield _call_of(row, preset, opener)


def _call_of(row: Any, preset: VendorPreset, opener: Opener) -> str | None:
    if type(row) is not dict:
        return None
    try:
        return preset.call_of(opener.opened(row))
    except Exception:
        return None  # Its problem is reported when the row is read.


def _open(row: Any, opener: Opener) -> Any:
    if type(row) is not dict:
        return row
    try:
        return opener.opened(row)
    except Exception:
        return row  # Its problem is reported when the row is read.


def _together(
    spool: Spool, opener: Opener, index: sqlite3.Connection, preset: VendorPreset, join: Join, ways: Ways | None
) -> Iterator[tuple[int, Any]]:
    """The rows. Later rows of a call follow directly after the first row of the call."""
    is_one_of_several = bytearray(len(spool))
    for _, number in index.execute(_OF_SEVERAL):
        is_one_of_several[number - 1] = 1
    groups = ([number for _, number in members] for _, members in groupby(index.execute(_OF_SEVERAL), itemgetter(0)))
    numbers = next(groups, [0])
    # Each holds the block of its last row: first rows are near each other, and so are most others.
    first_at, other_at = spool.by_place(), spool.by_place()
    for number, row in enumerate(each_read(spool, opener, ways, is_one_of_several), start=1):
        if number == numbers[0]:
            members = [first_at(number - 1), *(other_at(other - 1) for other in numbers[1:])]
            opened = (_open(member, opener) for member in members)
            together = [each if isinstance(each, OpenedRow) else OpenedRow(each, {}) for each in opened]
            yield from zip(numbers, _one_call(numbers, together, preset, join), strict=True)
            numbers = next(groups, [0])
        elif not is_one_of_several[number - 1]:
            yield number, row


def _one_call(numbers: Sequence[int], rows: Sequence[Any], preset: VendorPreset, join: Join) -> Iterator[Any]:
    call = preset.call_of(rows[0])
    results: Sequence[Any]
    try:
        results = _joined(rows, preset, join)
    except Exception as error:
        # Only the type: the error's text may quote the rows.
        message = f"could not be joined with the others of its call: {type(error).__name__}"
        if column := _missing_column(error, rows, preset):
            message = f"{message}; a row of the call has no column {column}"
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


def _missing_column(error: Exception, rows: Sequence[Any], preset: VendorPreset) -> str | None:
    """The column that a join looked for in vain. None if this was another error, or if the preset does not name the
    column: the key of a ``KeyError`` may be a value of the row.
    """
    wanted = error.args[0] if isinstance(error, KeyError) and error.args else None
    if not isinstance(wanted, str) or wanted not in preset.names_with(preset.mapping.values()):
        return None
    lacking = next((row for row in rows if wanted not in row), None)
    return None if lacking is None else f"{wanted!r}{hint(wanted, lacking)}"


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
