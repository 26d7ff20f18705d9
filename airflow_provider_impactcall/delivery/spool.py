"""Rows on disk, so that a slow endpoint never holds a warehouse's cursor open."""

from __future__ import annotations

import os
import pickle
import struct
import tempfile
from array import array
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from io import SEEK_END, BytesIO
from itertools import islice
from types import TracebackType
from typing import Any

from airflow_provider_impactcall.records.columns import is_short
from airflow_provider_impactcall.records.unreadable import UnreadableValue

_Entry = tuple[int | None, Any]
"""A row as it is written: the number of its shape and its values, or None and whatever it is."""

# Few enough to stay in a processor's cache while they are written, or read.
_ROWS_A_CHUNK = 128
_MOST_SHAPES = 1024
_ENDS = struct.Struct("=QQ")
_END = _ENDS.size // 2
# A pickle of this protocol says by number what it refers to, so that one more can follow it in a stream that is
# read to its end by one unpickler; those of later protocols count.
_NUMBERED = 3


class Spool:
    """Rows in a private file without a name, gone with the process: read as often as wanted, and any one by its place.

    A row that is a dict is kept by its values, and its columns once for all rows that have the same. A mapping of any
    other type becomes a dict. What is not a row is kept as it is.

    :param columns: the names of all columns, in the order of what :meth:`write` is given; none if rows have columns of
        their own. May be set later where rows are only added.
    """

    def __init__(self, columns: Collection[str] = ()) -> None:
        self.columns = columns
        self._file = tempfile.TemporaryFile(prefix="impactcall-")  # noqa: SIM115 - closed by __exit__
        # Of each chunk of rows the place of the first, and where it begins in the file; and at last of what would be
        # next. A chunk is its rows, and then where each ends.
        self._firsts = array("Q", [0])
        self._begins = array("Q", [0])
        self._shapes: list[tuple[Any, ...]] = []
        self._numbers: dict[tuple[Any, ...], int] = {}

    def write(self, rows: Iterable[Sequence[Any]]) -> None:
        """Add rows, each with a value a column.

        :raises ValueError: if one has more values, or fewer
        """
        columns = tuple(self.columns)
        number = self._numbers.get(columns)
        if number is None:
            number = self._new_shape(columns)
        count = len(columns)

        def entries() -> Iterator[_Entry]:
            for row in rows:
                values = tuple(row)
                if len(values) != count:
                    raise ValueError(len(values), count)
                yield number, values

        self._store(entries())

    def add(self, rows: Iterable[Any]) -> None:
        """Add rows of any type, and what stands for rows."""
        self._store(map(self._entry, rows))

    def __len__(self) -> int:
        return self._firsts[-1]

    def __iter__(self) -> Iterator[Any]:
        for chunk in range(len(self._firsts) - 1):
            begin = self._begins[chunk]
            self._file.seek(begin)
            stream = BytesIO(self._file.read(self._begins[chunk + 1] - begin))
            load = pickle.Unpickler(stream).load  # noqa: S301 - written below, to a file that nobody else can open
            for _ in range(self._firsts[chunk + 1] - self._firsts[chunk]):
                number, values = load()
                yield values if number is None else dict(zip(self._shapes[number], values))  # noqa: B905 - see write

    def __getitem__(self, place: int) -> Any:
        """A row by its place, from 0; without a look at any other.

        :raises IndexError: if there are not so many
        """
        if not 0 <= place < len(self):
            raise IndexError(place)
        chunk = bisect_right(self._firsts, place) - 1
        first, begin = self._firsts[chunk], self._begins[chunk]
        ends = self._begins[chunk + 1] - _END * (self._firsts[chunk + 1] - first + 1)
        descriptor = self._file.fileno()
        start, end = _ENDS.unpack(os.pread(descriptor, _ENDS.size, ends + _END * (place - first)))
        number, values = pickle.loads(os.pread(descriptor, end - start, begin + start))  # noqa: S301 - as above
        return values if number is None else dict(zip(self._shapes[number], values))  # noqa: B905 - see write

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def _entry(self, row: Any) -> _Entry:
        if type(row) is not dict:
            if not isinstance(row, Mapping):
                return None, row
            try:
                row = dict(row)
            except Exception:
                return None, row  # It fetches its values, and fails at that: which is said when it is read as a call.
        columns = tuple(row)
        number = self._numbers.get(columns)
        if number is None:
            if len(self._shapes) >= _MOST_SHAPES or not all(type(each) is str for each in columns):
                return None, row
            if not is_short(columns):
                return None, row
            number = self._new_shape(columns)
        return number, tuple(row.values())

    def _new_shape(self, columns: tuple[Any, ...]) -> int:
        number = self._numbers[columns] = len(self._shapes)
        self._shapes.append(columns)
        return number

    def _store(self, entries: Iterator[_Entry]) -> None:
        while chunk := list(islice(entries, _ROWS_A_CHUNK)):
            stream, ends = BytesIO(), array("Q", [0])
            pickler = _quick(stream)
            for entry in chunk:
                try:
                    pickler.dump(entry)
                except Exception:
                    # Drivers bring types of their own, and what pickle raises for them is anything.
                    stream.seek(ends[-1])
                    stream.truncate()
                    stream.write(_with_care(entry))
                    pickler = _quick(stream)
                ends.append(stream.tell())
            self._file.seek(0, SEEK_END)
            self._file.write(stream.getbuffer())
            self._file.write(ends)
            self._file.flush()
            self._firsts.append(self._firsts[-1] + len(chunk))
            self._begins.append(self._file.tell())


def _quick(stream: BytesIO) -> pickle.Pickler:
    """A pickler that does not look for what a row holds twice: it takes half the time, as does what reads it again."""
    pickler = pickle.Pickler(stream, pickle.HIGHEST_PROTOCOL)
    pickler.fast = True
    return pickler


def _with_care(entry: _Entry) -> bytes:
    """An entry that could not be written at once: values that hold themselves, or that cannot be written at all."""
    number, content = entry
    if number is not None:
        content = tuple(bytes(value) if isinstance(value, memoryview) else value for value in content)
    try:
        return pickle.dumps((number, content), _NUMBERED)
    except Exception:
        if number is not None:
            content = tuple(map(_storable, content))
        elif type(content) is dict:
            content = {column: _storable(value) for column, value in content.items()}
    return pickle.dumps((number, _storable(content)), _NUMBERED)


def _storable(value: Any) -> Any:
    """The value, or an :class:`.UnreadableValue` if it cannot be written to disk; a call that needs it is invalid."""
    try:
        pickle.dumps(value, _NUMBERED)
    except Exception:
        return UnreadableValue(f"is of a type that cannot be written to disk ({type(value).__name__})")
    return value
