"""Three ways to deliver calls without an intent, each as good as possible: ``python -m benchmarks.peers``.

The peers send with the package's own :class:`Endpoint`, eight calls at once. They repeat a call until it is answered
with Status OK; like tools of their kind, they take a missing answer as a failure. They differ in what they remember.

Arguments: a name of :data:`MEMORIES`, the endpoint's URL, a folder for the memory, the number of calls, a prefix of
their ids. A peer may be killed at any moment, and run again.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Protocol

from airflow_provider_impactcall.delivery.outcome import AttemptResult
from airflow_provider_impactcall.delivery.wire.endpoint import Endpoint
from airflow_provider_impactcall.records import CallRecord
from tests.examples import LOGIN, PASSWORD, calls

CONCURRENCY = 8
TIMEOUT = 3.0
ROWS_A_CHECKPOINT = 100
# More than CONCURRENCY, so that calls that pause after a failure do not hold up others.
_IN_HAND = 64
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0


class Memory(Protocol):
    """The knowledge that a restart has."""

    def batches(self, count: int) -> Iterator[Iterable[int]]:
        """The calls that are left, in batches; the next batch is requested when the one before is delivered."""

    async def delivered(self, number: int) -> None:
        """Record that a call was answered with Status OK. Its place among the eight is free after this."""


class Nothing:
    """Every restart sends everything."""

    def __init__(self, folder: Path) -> None:
        pass

    def batches(self, count: int) -> Iterator[Iterable[int]]:
        yield range(count)

    async def delivered(self, number: int) -> None:
        pass


class Checkpoint:
    """The position, written through to the disk after every hundred rows."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "position"
        self._next = folder / "position.next"

    def batches(self, count: int) -> Iterator[Iterable[int]]:
        position = int(self._file.read_text()) if self._file.exists() else 0
        for start in range(position, count, ROWS_A_CHECKPOINT):
            end = min(start + ROWS_A_CHECKPOINT, count)
            yield range(start, end)
            with self._next.open("w") as file:
                file.write(str(end))
                file.flush()
                os.fsync(file.fileno())
            self._next.replace(self._file)

    async def delivered(self, number: int) -> None:
        pass


class OutcomeLedger:
    """Commits each delivered call before its place is free for another; calls that wait are committed together."""

    def __init__(self, folder: Path) -> None:
        self._database = sqlite3.connect(folder / "outcomes.db", isolation_level=None, check_same_thread=False)
        for statement in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL"):
            self._database.execute(statement)
        self._database.execute("CREATE TABLE IF NOT EXISTS delivered (number INTEGER PRIMARY KEY)")
        self._waiting: list[tuple[int]] = []
        self._turn = asyncio.Lock()

    def batches(self, count: int) -> Iterator[Iterable[int]]:
        delivered = {number for (number,) in self._database.execute("SELECT number FROM delivered")}
        yield [number for number in range(count) if number not in delivered]

    async def delivered(self, number: int) -> None:
        self._waiting.append((number,))
        async with self._turn:
            if (number,) in self._waiting:
                group, self._waiting = self._waiting, []
                await asyncio.to_thread(self._commit, group)

    def _commit(self, group: list[tuple[int]]) -> None:
        with closing(self._database.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            cursor.executemany("INSERT INTO delivered VALUES (?)", group)
            cursor.execute("COMMIT")


MEMORIES: Mapping[str, Callable[[Path], Memory]] = {
    "nothing": Nothing,
    "checkpoint": Checkpoint,
    "outcomes": OutcomeLedger,
}


async def deliver(memory: Memory, endpoint: Endpoint, records: list[CallRecord]) -> None:
    """Send each call that is left, until it is answered with Status OK.

    :raises RuntimeError: for an answer that repeating would not change; this benchmark's faults give no such answer
    """
    places = asyncio.Semaphore(CONCURRENCY)
    random = Random()

    async def work(numbers: Iterator[int]) -> None:
        for number in numbers:
            failures = 0
            while (pause := await try_once(number)) is not None:
                failures += 1
                await asyncio.sleep(max(pause, random.uniform(0, min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**failures))))

    async def try_once(number: int) -> float | None:
        """None once it is delivered, else the seconds that the endpoint asks to wait."""
        async with places:
            attempt = await connections.send(endpoint.request(records[number]))
            if attempt.result is AttemptResult.DELIVERED:
                await memory.delivered(number)
                return None
        if attempt.result in (AttemptResult.REJECTED, AttemptResult.ABORT):
            raise RuntimeError(attempt.reason)
        return attempt.retry_after or 0.0

    async with endpoint.connections(CONCURRENCY) as connections:
        for batch in memory.batches(len(records)):
            numbers = iter(batch)
            async with asyncio.TaskGroup() as workers:
                for _ in range(_IN_HAND):
                    workers.create_task(work(numbers))


def main(name: str, url: str, folder: str, count: str, prefix: str) -> None:
    records = [CallRecord.of(call) for call in calls(int(count), prefix)]
    asyncio.run(deliver(MEMORIES[name](Path(folder)), Endpoint(url, LOGIN, PASSWORD, timeout=TIMEOUT), records))


if __name__ == "__main__":
    main(*sys.argv[1:])
