"""Calls from JSON Lines and CSV. Errors name the line, never a value."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import chain, count, islice
from typing import IO, Any

from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.integration.options import RowOptions, delimiter_of, encoding_of
from airflow_provider_impactcall.records import normalize
from airflow_provider_impactcall.records.unreadable import UnreadableRow

ROWS_A_CHUNK = 1000

FileRow = Mapping[str, Any] | UnreadableRow
# The columns that all rows have, or None if each row has its own; and the rows.
Contents = tuple[Collection[str] | None, Iterator[FileRow]]
Reader = Callable[[IO[bytes], str], Contents]

_LONGEST_LINE = 16 * 1024 * 1024
# How far to look ahead for a JSON object that takes many lines.
_LOOKED_AT_LINES = 200
_LOOKED_AT_CHARACTERS = 64 * 1024
_UTF_8 = "utf-8"
_SEPARATORS = ";\t|,"
# A first line that names the separator for Excel. A program that saves the file again may add quotes or separators.
_SEPARATOR_LINE = re.compile(r'"?sep=(?P<said>\\t|[^"\r\n]?)"?[,;|\t ]*\r?\n?', re.IGNORECASE)
_JSON = re.compile(r'\s*(\{|\[\s*([\[{"\]]|$))')
# What MySQL, PostgreSQL and Snowflake write for NULL.
_NOTHING = r"\N"


@dataclass(frozen=True)
class CsvFormat:
    r"""How CSV files are written.

    :param delimiter: what separates values, one character; ``\t``, as text, is a tab. A file's own first line ``sep=;``
        has precedence
    :param encoding: Python's name for the encoding of their text
    :raises InvalidOption: naming the option that is wrong
    """

    delimiter: str = RowOptions.csv_delimiter
    encoding: str = RowOptions.csv_encoding

    def __post_init__(self) -> None:
        object.__setattr__(self, "delimiter", delimiter_of(self.delimiter))
        encoding_of(self.encoding)

    @classmethod
    def of(cls, options: RowOptions) -> CsvFormat:
        """As the options of a delivery say."""
        return cls(options.csv_delimiter, options.csv_encoding)

    def read(self, stream: IO[bytes], name: str) -> Contents:
        r"""The rows of a CSV file with a header.

        Names are read without the blanks around them, and columns without a name are left out. ``\N`` means no value.

        :raises InvalidOption: if it is not a CSV file
        """
        csv.field_size_limit(max(csv.field_size_limit(), _LONGEST_LINE))
        lines = _lines(stream, name, self.encoding, "; csv_encoding says what it is")
        first = next(lines, "")
        if _JSON.match(first):
            raise InvalidOption(f"{name}: holds JSON, and is read as CSV; {_AS_JSON_LINES}")
        delimiter, before = self.delimiter, 0
        if (separator := _SEPARATOR_LINE.fullmatch(first)) is not None:
            delimiter, before = _said(separator, name), 1
            first = next(lines, "")
        spaced = _is_spaced(first, delimiter)
        parsed = csv.reader(chain([first], lines), delimiter=delimiter, skipinitialspace=spaced, strict=True)
        records = _records(parsed, name, before)
        _, header = next(records, (0, []))
        columns = _Columns(header, name, delimiter)
        return columns.names, (columns.row(number, values) for number, values in records)


class _Columns:
    """The columns of a CSV file, and its records as rows of them."""

    def __init__(self, header: Sequence[str], name: str, delimiter: str) -> None:
        self._file = name
        self._width = len(header)
        self._named = [(place, found) for place, text in enumerate(header) if (found := normalize.bare(text))]
        self.names = [text for _, text in self._named]
        # Where the columns without a name at the end begin: a comma too many moves a value there.
        self._behind = self._named[-1][0] + 1 if self._named else 0
        if header and not self._named:
            raise InvalidOption(f"{name}: its header names no column")
        if repeated(self.names):
            # The message leaves out the name: if the header is missing, the name is a call's value.
            raise InvalidOption(f"{name}: two columns of one name in its header")
        other = next((each for each in _SEPARATORS if each != delimiter and each in "".join(header)), None)
        if self._width == 1 and other is not None:
            raise InvalidOption(
                f"{name}: its header is one column, and has {other!r} in it; give csv_delimiter={other!r}"
            )

    def row(self, number: int, values: Sequence[str]) -> FileRow:
        if not self._behind <= len(values) <= self._width:
            return UnreadableRow(
                f"on line {number} of {self._file} has {len(values)} values, and the header has {self._width} columns"
            )
        if self._behind < len(values) and any(map(str.strip, values[self._behind :])):
            return UnreadableRow(
                f"on line {number} of {self._file} has a value behind the last column with a name; name its column, or "
                "put what has a separator in it in quotes"
            )
        if _NOTHING in "\0".join(values):
            return {name: _unless_nothing(values[place]) for place, name in self._named}
        if len(self.names) == len(values):
            return dict(zip(self.names, values, strict=True))
        return {name: values[place] for place, name in self._named}


def json_lines(stream: IO[bytes], name: str) -> Contents:
    """The rows of a file with a JSON object on each line.

    :raises InvalidOption: if it holds one list, or its objects take many lines each
    """
    return None, _objects(_lines(stream, name, _UTF_8), name)


def repeated(columns: Collection[str]) -> bool:
    """Whether two columns have one name."""
    return len(set(columns)) < len(columns)


_AS_JSON_LINES = "JSON Lines (.jsonl) has an object on each line, as jq -c . writes them"


def _objects(lines: Iterator[str], name: str) -> Iterator[FileRow]:
    numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
    first = list(islice(numbered, 1))
    ahead: Sequence[tuple[int, str]] = []
    if first and _object(line := first[0][1]) is None:
        # Instead of a rejection for each line, which would look like rejected calls.
        if line.lstrip().startswith("["):
            raise InvalidOption(f"{name}: begins with a list, and JSON Lines has an object on each line")
        ahead = _ahead(numbered)
        if _takes_many_lines(line, [each for _, each in ahead]):
            raise InvalidOption(f"{name}: its first object takes more than one line; {_AS_JSON_LINES}")
    for number, line in chain(first, ahead, numbered):
        row = _object(line)
        yield UnreadableRow(f"on line {number} of {name} is not a JSON object") if row is None else row


def _object(line: str) -> Mapping[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _ahead(numbered: Iterator[tuple[int, str]]) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    characters = 0
    for number, line in islice(numbered, _LOOKED_AT_LINES):
        found.append((number, line))
        characters += len(line)
        if characters > _LOOKED_AT_CHARACTERS:
            break
    return found


def _takes_many_lines(first: str, following: Sequence[str]) -> bool:
    """Whether an object begins on a line and ends on another."""
    if not first.lstrip().startswith("{"):
        return False
    if first.strip() == "{":
        return True
    first = first.lstrip()
    try:
        _, end = json.JSONDecoder().raw_decode("".join([first, *following]))
    except (ValueError, RecursionError):
        # The object is cut off, or longer than the look-ahead.
        return len(following) >= _LOOKED_AT_LINES and not any(map(_object, following))
    return end > len(first)


def _lines(stream: IO[bytes], name: str, encoding: str, remedy: str = "") -> Iterator[str]:
    # A file may begin with a byte order mark, as Excel's files do.
    read = "utf-8-sig" if re.sub("[-_ ]", "", encoding).lower() in ("utf8", "u8") else encoding
    text = TextIOWrapper(stream, encoding=read, errors="surrogateescape", newline="")
    called = encoding.upper() if read == "utf-8-sig" else encoding
    for number in count(1):
        try:
            line = text.readline(_LONGEST_LINE)
            if not line.isascii():
                line.encode()
        except UnicodeError:
            raise InvalidOption(f"{name}, line {number}: is not {called}{remedy}") from None
        if not line:
            return
        if len(line) == _LONGEST_LINE:
            raise InvalidOption(f"{name}, line {number}: is longer than {_LONGEST_LINE} characters")
        yield line.removeprefix("\ufeff") if number == 1 else line


def _records(reader: Any, name: str, before: int) -> Iterator[tuple[int, list[str]]]:
    """The records that are not empty, each with the line that it begins on.

    :param before: how many lines of the file the reader was not given
    """
    while True:
        number = reader.line_num + 1 + before
        try:
            values = next(reader, None)
        except csv.Error as error:
            raise InvalidOption(f"{name}, line {number}: is not CSV: {error}") from None
        if values is None:
            return
        if values:
            yield number, values


def _said(separator: re.Match[str], name: str) -> str:
    said = separator["said"]
    if not said or said.isalnum():
        raise InvalidOption(f"{name}: its first line, sep=, names no separator")
    return "\t" if said == r"\t" else said


def _is_spaced(header: str, delimiter: str) -> bool:
    """Whether a blank follows each separator of a header. All lines of such a file then have these blanks."""
    parts = header.split(delimiter)[1:]
    return bool(parts) and all(part.startswith(" ") for part in parts if part.strip())


def _unless_nothing(value: str) -> str | None:
    return None if normalize.bare(value) == _NOTHING else value
