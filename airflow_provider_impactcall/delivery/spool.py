"""Keeps rows on disk, so that a slow endpoint never holds a warehouse's cursor open."""

from __future__ import annotations

import os
import pickle
import tempfile
from array import array
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from functools import cached_property
from io import BytesIO
from itertools import accumulate, islice, repeat
from struct import Struct
from types import TracebackType
from typing import Any
from uuid import UUID

from airflow_provider_impactcall.records.columns import is_short
from airflow_provider_impactcall.records.unreadable import UnreadableValue

_Entry = tuple[int | None, Any]
"""The number of a row's shape and the row's values; or None and the item itself."""

_Group = tuple[int, Sequence[Any]]
"""Rows that become a block: the number of their shape and the values of each row; or ``_MIXED``, and entries."""

# Small blocks make it cheap to read one row by its place. Large blocks share the fixed cost among more rows. What is
# written at once stays in the processor's cache.
_ROWS_A_BLOCK = 64
_BLOCKS_A_WRITE = 2
_MOST_SHAPES = 1024
# In place of a shape's number: the block holds entries; or it holds entries that are each pickled separately.
_MIXED, _APART = -1, -2
_offset = Struct("<Q")
# The opcode that names a class, and types whose values can always be read back. A datetime may have any time zone.
_CLASS = b"\x93"
_READABLE = frozenset((str, int, float, bool, type(None), bytes, date, timedelta, Decimal, UUID))


class Block:
    """Neighbouring rows of a spool.

    :param columns: the columns that all these rows have; None if they differ, or if some are not rows
    :param count: how many rows these are
    :param written: the pickled columns
    :param items: without ``columns``, the rows
    """

    def __init__(
        self, columns: tuple[Any, ...] | None, count: int, written: bytes = b"", items: Sequence[Any] = ()
    ) -> None:
        self.columns = columns
        self._count = count
        self._written = written
        self._items = items

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Any]:
        columns = self.columns
        return iter(self.rows) if columns is None else (dict(zip(columns, row)) for row in self.rows)  # noqa: B905

    @cached_property
    def rows(self) -> Sequence[Any]:
        """The values of each row; without ``columns``, the rows."""
        return self._items if self.columns is None else [*self.values(range(len(self.columns)))]

    def values(self, places: Iterable[int]) -> Iterable[tuple[Any, ...]]:
        """Of each row, the values of these columns alone: the others are not unpickled.

        :param places: of the columns, from 0
        """
        columns = _unpickled(self._written, places)
        return zip(*columns, strict=True) if columns else repeat((), self._count)

    def row(self, place: int) -> Any:
        """A whole row, by its place in this block, from 0."""
        row = self.rows[place]
        return row if self.columns is None else dict(zip(self.columns, row))  # noqa: B905 - see Spool.write


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
        # For each block, the number of its rows' shape, or _MIXED or _APART.
        self._kinds = array("i")
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

        def groups() -> Iterator[_Group]:
            while block := [*map(tuple, islice(each, _ROWS_A_BLOCK))]:
                if not fitting.issuperset(map(len, block)):
                    raise ValueError(next(len(values) for values in block if len(values) not in fitting), *fitting)
                yield number, block

        self._store(groups())

    def add(self, rows: Iterable[Any]) -> None:
        """Add rows of any type, and items that stand for rows."""
        entries = map(self._entry, rows)

        def groups() -> Iterator[_Group]:
            while block := [*islice(entries, _ROWS_A_BLOCK)]:
                number = block[0][0]
                if number is None or any(other != number for other, _ in block):
                    yield _MIXED, block
                else:
                    yield number, [values for _, values in block]

        self._store(groups())

    def __len__(self) -> int:
        return self._firsts[-1]

    def __iter__(self) -> Iterator[Any]:
        for block in self.blocks():
            yield from block

    def blocks(self) -> Iterator[Block]:
        """All rows in their order."""
        return map(self._read, range(len(self._kinds)))

    def by_place(self) -> Callable[[int], Any]:
        """A function that gives a row by its place, from 0, any number of times. Rows near the last one cost less, as
        their block is held in memory.

        Called twice for one row, it may give the same value objects, not copies. It raises an :class:`IndexError` if
        there is no such row.
        """
        held, block = -1, Block((), 0)

        def row(place: int) -> Any:
            nonlocal held, block
            if not 0 <= place < len(self):
                raise IndexError(place)
            number = bisect_right(self._firsts, place) - 1
            if number != held:
                held, block = number, self._read(number)
            return block.row(place - self._firsts[number])

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

    def _read(self, number: int) -> Block:
        begin, kind = self._begins[number], self._kinds[number]
        count = self._firsts[number + 1] - self._firsts[number]
        written = os.pread(self._file.fileno(), self._begins[number + 1] - begin, begin)
        if kind >= 0:
            return Block(self._shapes[kind], count, written)
        if kind == _MIXED:
            [entries] = _unpickled(written, [0])
        else:
            entries = _unpickled(written, range(count))
        return Block(None, count, items=[self._row(*entry) for entry in entries])

    def _store(self, groups: Iterator[_Group]) -> None:
        while some := [*islice(groups, _BLOCKS_A_WRITE)]:
            written = [*map(_written, some)]
            self._file.seek(self._begins[-1])
            self._file.write(b"".join([text for _, text in written]))
            self._file.flush()
            for (_, rows), (kind, text) in zip(some, written, strict=True):
                self._firsts.append(self._firsts[-1] + len(rows))
                self._begins.append(self._begins[-1] + len(text))
                self._kinds.append(kind)


def _written(group: _Group) -> tuple[int, bytes]:
    """What kind of block a group becomes, and its bytes."""
    number, rows = group
    try:
        # By column, as few columns of a row are ever read.
        return number, _with_offsets(_pickled([rows] if number == _MIXED else zip(*rows, strict=True)))
    except Exception:
        # Drivers have types of their own, for which pickle may raise any exception.
        entries = rows if number == _MIXED else [(number, values) for values in rows]
        return _APART, _with_offsets([*map(_with_care, entries)])


def _pickled(parts: Iterable[Any]) -> list[bytes]:
    """Parts that are each pickled separately.

    :raises Exception: if a value cannot be written, or cannot be read back
    """
    stream, pickled = BytesIO(), []
    pickler = pickle.Pickler(stream, pickle.HIGHEST_PROTOCOL)
    # Fast mode does not look for objects that rows hold twice. Writing and reading then take half the time.
    pickler.fast = True
    for part in parts:
        pickler.dump(part)
        pickled.append(text := stream.getvalue())
        if _CLASS in text and not _READABLE.issuperset(map(type, part)):
            pickle.loads(text)  # noqa: S301 - what was just written
        stream.seek(0)
        stream.truncate()
    return pickled


def _with_offsets(pickled: Sequence[bytes]) -> bytes:
    """Where each part begins, and the parts."""
    offsets = accumulate(map(len, pickled), initial=len(pickled) * _offset.size)
    return b"".join([*map(_offset.pack, islice(offsets, len(pickled))), *pickled])


def _unpickled(written: bytes, places: Iterable[int]) -> list[Any]:
    """Some of the parts that :func:`_with_offsets` joined."""
    each = memoryview(written)
    offsets = [_offset.unpack_from(each, place * _offset.size)[0] for place in places]
    return [pickle.loads(each[offset:]) for offset in offsets]  # noqa: S301 - from a file that nobody else can open


def _with_care(entry: _Entry) -> bytes:
    """Pickle one entry of a block that could not be written as a whole: some entry of it has a value that contains
    itself, or that cannot be pickled and read back.
    """
    number, content = entry
    if number is not None:
        content = tuple(bytes(value) if isinstance(value, memoryview) else value for value in content)
    try:
        return _checked((number, content))
    except Exception:
        if number is not None:
            content = tuple(map(_storable, content))
        elif type(content) is dict:
            content = {column: _storable(value) for column, value in content.items()}
    return pickle.dumps((number, _storable(content)), pickle.HIGHEST_PROTOCOL)


def _checked(value: Any) -> bytes:
    text = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    pickle.loads(text)  # noqa: S301 - what was just written
    return text


def _storable(value: Any) -> Any:
    """The value, or an :class:`.UnreadableValue` if it cannot be written to disk and read back; a call that needs it is
    invalid.
    """
    try:
        _checked(value)
    except Exception:
        return UnreadableValue(f"is of a type that cannot be written to disk ({type(value).__name__})")
    return value
