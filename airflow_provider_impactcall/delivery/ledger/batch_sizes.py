"""How many rows people's queries, corrections and migrations read or write at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

KEYS_A_QUERY = 500
"""How many keys a statement names at most."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class BatchSizes:
    """Numbers of rows. The defaults are measured; tests have others.

    :param keys: held in memory: 10 MB. For more calls, the whole ledger is walked through
    :param walked: calls in one step of that walk
    :param purged: calls forgotten in one transaction. On SQLite and a busy machine it takes half a second, in which
        nobody else can write; a lease, which must be renewed in time, lasts ten seconds
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
"""The default."""


def in_parts(keys: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """The keys in parts, each of as many as a statement may name."""
    return (keys[start : start + KEYS_A_QUERY] for start in range(0, len(keys), KEYS_A_QUERY))
