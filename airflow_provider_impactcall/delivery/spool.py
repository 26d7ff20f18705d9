"""Keeps rows on disk, so that a slow endpoint never holds a warehouse's cursor open."""

from __future__ import annotations

import os
import pickle
import tempfile
from array import array
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from io import BytesIO
from itertools import islice
from types import TracebackType
from typing import Any

from airflow_provider_impactcall.records.columns import is_short
from airflow_provider_impactcall.records.unreadable import UnreadableValue

_Entry = tuple[int | None, Any]
"""The number of a row's shape and the row's values; or None and the item itself."""

_Block = tuple[int, list[Any]]
"""Rows as they are written: the number of their shape and the values of each row; or ``_MIXED`` or ``_APART``, and
entries.
"""

# Small blocks make it cheap to read one row by its place. Large blocks share the fixed cost among more rows. What is
# written at once stays in the processor's cache.
_ROWS_A_BLOCK = 16
_BLOCKS_A_WRITE = 8
_MOST_SHAPES = 1024
# The block holds entries; or it holds entries that are each pickled separately.
_MIXED, _APART = -1, -2


class Spool:
    """Rows in a private file without a name, which vanishes with the process. They can be read any number of times, and
    each by its place.

    Of a dict, the values are kept; its columns are kept once for all rows with the same columns. A mapping of any other
    type becomes a dict. An item that is not a row is kept unchanged.

    :param columns: the names of all columns, in the order of the values that :meth:`write` gets; empty if rows have
        columns of their own. May be set later if rows are only added.
    """

    def __init__(self, columns: Collection[str] = ()) -> None:
        self.columns = columns
        self._file = tempfile.TemporaryFile(prefix="impactcall-")  # noqa: SIM115 - closed by __exit__
        # For each block, the place of its first row, and its offset in the file. The last items stand for the block
        # that would come next.
        self._firsts = array("Q", [0])
        self._begins = array("Q", [0])
        self._shapes: list[tuple[Any, ...]] = []
        self._numbers: dict[tuple[Any, ...], int] = {}

    def write(self, rows: Iterable[Sequence[Any]]) -> None:
        """Add rows, each with one value for each column.

        :raises ValueError: if a row has more or fewer values than there are columns
        """
        columns = tuple(self.columns)
        number = self._numbers.get(columns)
        if number is None:
            number = self._new_shape(columns)
        each, fitting = iter(rows), {len(columns)}

        def blocks() -> Iterator[_Block]:
            while block := [*map(tuple, islice(each, _ROWS_A_BLOCK))]:
                if not fitting.issuperset(map(len, block)):
                    raise ValueError(next(len(values) for values in block if len(values) not in fitting), *fitting)
                yield number, block

        self._store(blocks())

    def add(self, rows: Iterable[Any]) -> None:
        """Add rows of any type, and items that stand for rows."""
        entries = map(self._entry, rows)

        def blocks() -> Iterator[_Block]:
            while block := [*islice(entries, _ROWS_A_BLOCK)]:
                number = block[0][0]
                if number is None or any(other != number for other, _ in block):
                    yield _MIXED, block
                else:
                    yield number, [values for _, values in block]

        self._store(blocks())

    def __len__(self) -> int:
        return self._firsts[-1]

    def __iter__(self) -> Iterator[Any]:
        for columns, rows in self.blocks():
            if columns is None:
                yield from rows
            else:
                for values in rows:
                    yield dict(zip(columns, values))  # noqa: B905 - see write

    def blocks(self) -> Iterator[tuple[tuple[Any, ...] | None, Sequence[Any]]]:
        """All rows in their order, in blocks: the columns that all rows of the block have, and the values of each row;
        or None, and the rows.
        """
        for block in range(len(self._firsts) - 1):
            number, rows = self._read(block)
            if number < 0:
                yield None, [self._row(*entry) for entry in rows]
            else:
                yield self._shapes[number], rows

    def by_place(self) -> Callable[[int], Any]:
        """A function that gives a row by its place, from 0, any number of times. Rows near the last one cost less, as
        their block is held in memory.

        Called twice for one row, it may give the same value objects, not copies. It raises an :class:`IndexError` if
        there is no such row.
        """
        held, number, rows = -1, 0, list[Any]()

        def row(place: int) -> Any:
            nonlocal held, number, rows
            if not 0 <= place < len(self):
                raise IndexError(place)
            block = bisect_right(self._firsts, place) - 1
            if block != held:
                number, rows = self._read(block)
                held = block
            found = rows[place - self._firsts[block]]
            return self._row(*found) if number < 0 else self._row(number, found)

        return row

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
                return None, row  # It fails to fetch its values; the failure is reported when it is read as a call.
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

    def _row(self, number: int | None, content: Any) -> Any:
        return content if number is None else dict(zip(self._shapes[number], content))  # noqa: B905 - see write

    def _read(self, block: int) -> _Block:
        begin = self._begins[block]
        written = os.pread(self._file.fileno(), self._begins[block + 1] - begin, begin)
        number, rows = pickle.loads(written)  # noqa: S301 - written below, to a file that nobody else can open
        if number == _APART:
            rows = [pickle.loads(entry) for entry in rows]  # noqa: S301 - as above
        return number, rows

    def _store(self, blocks: Iterator[_Block]) -> None:
        while some := [*islice(blocks, _BLOCKS_A_WRITE)]:
            written = [*map(_written, some)]
            self._file.seek(self._begins[-1])
            self._file.write(b"".join(written))
            self._file.flush()
            for (_, rows), text in zip(some, written, strict=True):
                self._firsts.append(self._firsts[-1] + len(rows))
                self._begins.append(self._begins[-1] + len(text))


def _written(block: _Block) -> bytes:
    stream = BytesIO()
    pickler = pickle.Pickler(stream, pickle.HIGHEST_PROTOCOL)
    # Fast mode does not look for objects that rows hold twice. Writing and reading then take half the time.
    pickler.fast = True
    try:
        pickler.dump(block)
    except Exception:
        # Drivers have types of their own, for which pickle may raise any exception.
        number, rows = block
        entries = rows if number == _MIXED else [(number, values) for values in rows]
        return pickle.dumps((_APART, [*map(_with_care, entries)]), pickle.HIGHEST_PROTOCOL)
    return stream.getvalue()


def _with_care(entry: _Entry) -> bytes:
    """Pickle one entry of a block that could not be written as a whole: some entry of it has a value that contains
    itself, or that cannot be pickled.
    """
    number, content = entry
    if number is not None:
        content = tuple(bytes(value) if isinstance(value, memoryview) else value for value in content)
    try:
        return pickle.dumps((number, content), pickle.HIGHEST_PROTOCOL)
    except Exception:
        if number is not None:
            content = tuple(map(_storable, content))
        elif type(content) is dict:
            content = {column: _storable(value) for column, value in content.items()}
    return pickle.dumps((number, _storable(content)), pickle.HIGHEST_PROTOCOL)


def _storable(value: Any) -> Any:
    """The value, or an :class:`.UnreadableValue` if it cannot be written to disk; a call that needs it is invalid."""
    try:
        pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except Exception:
        return UnreadableValue(f"is of a type that cannot be written to disk ({type(value).__name__})")
    return value
