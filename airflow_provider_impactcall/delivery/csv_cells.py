"""Writes rows as CSV that is safe to open in a spreadsheet: the one rule for all CSV of this package."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

_ROWS_A_CHUNK = 1_000
# A spreadsheet computes a cell that begins with =, +, - or @; in East Asia also with their full-width forms. A cell may
# also begin after a character that is a separator in another country, and after blanks. Quotes count as
# blanks, as they may enclose such a cell; invisible characters count as blanks, too.
_FORMULA = re.compile(r'(^|[;,|\t\r\n\v\f])([\s"\x00-\x1f\x7f\u200b-\u200f\u2060\ufeff]*)([=+\-@＝＋－＠﹦﹢﹣﹫])')


def csv_lines(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], end: str = "\r\n") -> Iterator[str]:
    """A header, and one line for each row, in chunks of up to 1,000 rows. All text of a row is quoted.

    A text that a spreadsheet would take for a formula gets a ``'`` before it, and so does a text that begins
    with an unprintable character.

    :param columns: this package's own names, which need no quotes
    :param end: the end of a line
    """
    head = ",".join(columns) + end
    remaining = iter(rows)
    # The header goes with the first rows: if the query fails, nothing was written.
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
