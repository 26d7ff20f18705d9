"""Calls from a file, row by row. What is wrong with it is said by line, never by value: the rows hold callers."""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from itertools import islice
from typing import Any, TextIO

from airflow_provider_impactcall.delivery.spool import Spool
from airflow_provider_impactcall.exceptions import InvalidOption

STANDARD = "-"
"""The name that means standard input, or standard output."""

_ROWS_A_CHUNK = 1000
_LONGEST_VALUE = 16 * 1024 * 1024


def holds_json_lines(file: str) -> bool:
    """Whether a file's name says that it has a JSON object a line."""
    return file.lower().endswith((".jsonl", ".ndjson"))


@contextmanager
def rows_of(file: str) -> Iterator[Iterator[dict[str, Any]]]:
    """The rows of a CSV file with a header, or of JSON lines; read to the end before the first is given.

    :param file: its path, or ``-`` for standard input
    :raises InvalidOption: if it cannot be read
    """
    name = "standard input" if file == STANDARD else file
    with Spool(("row",)) as spool:
        try:
            # A file's own bytes may begin with a mark of their order, as those that Excel writes do.
            with open(sys.stdin.fileno() if file == STANDARD else file, "rb", closefd=file != STANDARD) as stream:
                text = TextIOWrapper(stream, encoding="utf-8-sig", newline="")
                rows = _json_lines(text, name) if holds_json_lines(file) else _csv_rows(text, name)
                while chunk := list(islice(rows, _ROWS_A_CHUNK)):
                    spool.write((row,) for row in chunk)
        except UnicodeDecodeError:
            raise InvalidOption(f"{name}: is not UTF-8") from None
        except OSError as error:
            raise InvalidOption(f"{name}: {error.strerror}") from None
        yield (stored["row"] for stored in spool)


def _csv_rows(text: TextIO, name: str) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(_LONGEST_VALUE)
    reader = csv.reader(text, strict=True)
    try:
        columns = next(reader, [])
        repeated = [column for column, count in Counter(columns).items() if count > 1]
        if not columns or repeated:
            raise InvalidOption(f"{name}: {'two columns of one name in its header' if repeated else 'has no header'}")
        for values in reader:
            if not values:
                continue
            if len(values) != len(columns):
                raise InvalidOption(
                    f"{name}, line {reader.line_num}: {len(values)} values, and the header has {len(columns)} columns"
                )
            yield dict(zip(columns, values, strict=True))
    except csv.Error as error:
        raise InvalidOption(f"{name}, line {reader.line_num}: is no CSV: {error}") from None


def _json_lines(text: TextIO, name: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise InvalidOption(f"{name}, line {number}: is no JSON object")
        yield row
