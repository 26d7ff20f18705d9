"""Rows on disk, so that a slow endpoint never holds a warehouse's cursor open."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any

from airflow_provider_impactcall.records.unreadable import UnreadableValue


class Spool:
    """Rows in a private file without a name, gone with the process.

    :param columns: the names of a row's values
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = tuple(columns)
        self._file = tempfile.TemporaryFile(prefix="impactcall-")  # noqa: SIM115 - closed by __exit__
        self._rows = 0

    def write(self, rows: Iterable[Sequence[Any]]) -> None:
        """Add rows, each with a value a column."""
        chunk = [tuple(bytes(value) if isinstance(value, memoryview) else value for value in row) for row in rows]
        try:
            stored = pickle.dumps(chunk)
        except Exception:
            # Drivers bring types of their own, and what pickle raises for them is anything.
            stored = pickle.dumps([tuple(storable(value) for value in row) for row in chunk])
        self._file.write(stored)
        self._rows += len(chunk)

    def __len__(self) -> int:
        return self._rows

    def __iter__(self) -> Iterator[dict[str, Any]]:
        self._file.seek(0)
        read = 0
        while read < self._rows:
            chunk = pickle.load(self._file)  # noqa: S301 - written above, to a file that nobody else can open
            for row in chunk:
                yield dict(zip(self.columns, row, strict=True))
            read += len(chunk)

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()


def storable(value: Any) -> Any:
    """The value, or an :class:`.UnreadableValue` if it cannot be written to disk; a call that needs it is invalid."""
    try:
        pickle.dumps(value)
    except Exception:
        return UnreadableValue(f"is of a type that cannot be written to disk ({type(value).__name__})")
    return value
