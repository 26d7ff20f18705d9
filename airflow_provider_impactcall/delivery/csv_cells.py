"""Rows as CSV that a spreadsheet may open: the one rule for all that this package writes as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

_ROWS_A_CHUNK = 1_000
# What a cell may begin with for a spreadsheet to compute it, also as the full-width letters that those of East Asia
# take for the same. A cell begins where a spreadsheet of another country sees a separator, too, and after any blanks.
# Quotes there, which such a spreadsheet takes for those of a cell, count as blanks, and so do invisible characters.
_FORMULA = re.compile(r'(^|[;,|\t\r\n\v\f])([\s"\x00-\x1f\x7f\u200b-\u200f\u2060\ufeff]*)([=+\-@＝＋－＠﹦﹢﹣﹫])')


def csv_lines(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], end: str = "\r\n") -> Iterator[str]:
    """A header and a line a row, some at a time. All text of a row is quoted.

    A text that a spreadsheet would take for a formula gets a ``'`` before it, and so does a text that begins
    with what cannot be printed.

    :param columns: words of ours, which need no quotes
    :param end: of a line
    """
    head = ",".join(columns) + end
    remaining = iter(rows)
    # The header goes with the first rows: nothing is written before it is known that there is an answer.
    while (some := list(islice(remaining, _ROWS_A_CHUNK))) or head:
        yield head + _lines(([row[column] for column in columns] for row in some), end)
        head = ""


def _lines(rows: Iterable[Sequence[Any]], end: str) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator=end, quoting=csv.QUOTE_NONNUMERIC).writerows(map(_cells, rows))
    return text.getvalue()


def _cells(values: Iterable[Any]) -> list[Any]:
    return [_cell(value) if isinstance(value, str) else value for value in values]


def _cell(text: str) -> str:
    harmless = _FORMULA.sub(r"\1\2'\3", text)
    return f"'{harmless}" if harmless and not harmless[0].isprintable() else harmless
