"""The rows of one call brought together: its legs, its later corrections."""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from airflow_provider_impactcall.delivery.items import Skipped
from airflow_provider_impactcall.delivery.spool import storable
from airflow_provider_impactcall.exceptions import Problem, ProblemCode
from airflow_provider_impactcall.records.columns import OpenedRow, Row
from airflow_provider_impactcall.records.vendors import Join, VendorPreset

# A row of no known call is one by itself: SQLite tells a number from every text.
_BY_CALL = """
    SELECT call, number, content
    FROM (SELECT *, MIN(number) OVER (PARTITION BY call) AS first FROM
          (SELECT number, COALESCE(call, number) AS call, content FROM input))
    ORDER BY first, number
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

    All are read, to a private file without a name, before the first is given.

    :param opened: opens a row; as the preset does if None
    :return: each row, or in its place a :class:`.Skipped`, if another stands for it, or an :class:`Unjoined`
    """
    with closing(sqlite3.connect("")) as database:
        database.execute("CREATE TABLE input (number INTEGER PRIMARY KEY, call TEXT, content BLOB)")
        database.executemany("INSERT INTO input VALUES (?, ?, ?)", _stored(rows, preset, opened or preset.opened))
        for _, members in groupby(database.execute(_BY_CALL), key=itemgetter(0)):
            numbers, contents = zip(*((number, content) for _, number, content in members), strict=True)
            found = [pickle.loads(content) for content in contents]  # noqa: S301 - from a file that is only ours
            yield from zip(numbers, found if len(found) == 1 else _one_call(numbers, found, preset, join), strict=True)


def _stored(
    rows: Iterable[Any], preset: VendorPreset, open_row: Callable[[Row], Row]
) -> Iterator[tuple[int, str | None, bytes]]:
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, Mapping):
            yield number, None, pickle.dumps(storable(row))
            continue
        try:
            opened = open_row(row)
        except Exception:
            # It fetches its values, and fails at that: which is said when it is read as a call.
            yield number, None, pickle.dumps(storable(row))
            continue
        if not isinstance(opened, OpenedRow):
            opened = OpenedRow(opened, {})
        try:
            content = pickle.dumps(opened)
        except Exception:
            for column, value in opened.items():
                opened[column] = storable(value)
            content = pickle.dumps(opened)
        yield number, preset.call_of(opened), content


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
