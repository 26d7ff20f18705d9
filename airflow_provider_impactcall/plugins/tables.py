"""Rows as CSV that a spreadsheet may open."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

_ROWS_A_CHUNK = 1_000
# Also as full-width letters, which spreadsheets of East Asia take for the same.
_FORMULAS = "=+-@＝＋－＠"


def csv_lines(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A header and a line a row, some at a time.

    A text that a spreadsheet would take for a formula gets a ``'`` before it.
    """
    head: list[Sequence[Any]] = [columns]
    remaining = iter(rows)
    # The header goes with the first rows: nothing is written before it is known that there is an answer.
    while (some := list(islice(remaining, _ROWS_A_CHUNK))) or head:
        yield _lines([*head, *([_cell(row[column]) for column in columns] for row in some)])
        head = []


def _lines(rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value and (value[0] in _FORMULAS or not value[0].isprintable()):
        return f"'{value}"
    return value
