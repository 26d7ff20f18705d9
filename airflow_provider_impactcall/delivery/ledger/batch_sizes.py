"""How much people's questions and corrections, and migrations, read or write at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

KEYS_A_QUERY = 500
"""How many keys a statement names at most."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class BatchSizes:
    """So many, each. The defaults are measured; tests have others.

    :param keys: held in memory: 10 MB. Of more calls, the whole ledger is walked through
    :param walked: calls of a step of that walk
    :param purged: calls forgotten in one transaction: half a second, on a busy machine and SQLite, in which nobody else
        writes. A lease that is to be renewed lasts ten
    :param fetched: rows of a page
    :param exported: calls written to a table in one transaction: 5 MB, and few round trips to a distant warehouse
    :param migrated: rows changed in one transaction of a migration
    """

    keys: int = 100_000
    walked: int = 2_000
    purged: int = 500
    fetched: int = 1_000
    exported: int = 5_000
    migrated: int = 2_000


BATCH_SIZES = BatchSizes()
"""What everybody has who says nothing else."""


def in_parts(keys: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """As many at a time as a statement may name."""
    return (keys[start : start + KEYS_A_QUERY] for start in range(0, len(keys), KEYS_A_QUERY))
