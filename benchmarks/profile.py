"""Where the time of a call goes, in microseconds of CPU: ``python -m benchmarks.profile``.

The whole is a delivery as :mod:`benchmarks.throughput` makes it, a warehouse query sent to nginx with the ledger on
SQLite. Each thread's own clock says what it took. What a thread does is then done again without the rest, and what is
left over of the thread is named as such, so the parts add up to the whole. No profiler runs: one would make
small functions look dear.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from unittest.mock import patch

from airflow_provider_impactcall.defaults import DEFAULT_KEY
from airflow_provider_impactcall.delivery.duplicates import Duplicates
from airflow_provider_impactcall.delivery.identity import identify
from airflow_provider_impactcall.delivery.outcome import AttemptResult
from airflow_provider_impactcall.delivery.wire.connections import Connections
from airflow_provider_impactcall.delivery.wire.endpoint import Endpoint
from airflow_provider_impactcall.delivery.wire.response import attempt_of
from airflow_provider_impactcall.records import CallMapping, CallRecord
from benchmarks.endpoints import ANSWER, NotInstalled
from benchmarks.results import load_average, markdown_table, measured_on, write_section
from benchmarks.senders import LOGIN, PASSWORD, WAREHOUSE, Job, bare_aiohttp, ours
from benchmarks.throughput import Stage, stage

T = TypeVar("T")

HEADING = "Where the time of a call goes"
_WARM = 100
_TRIES = 3
_SQL = "SELECT * FROM calls LIMIT ? OFFSET ?"

# Threads by the beginnings of their names.
READING, LEDGER, LOOP, OTHERS = "reading", "ledger", "event loop", "others"
_THREADS = {"MainThread": READING, "impactcall-ledger": LEDGER, "impactcall_": LOOP}


@dataclass(frozen=True)
class Profile:
    """Seconds of CPU for all calls together.

    :param threads: what each thread took in the whole delivery
    :param rooms: what each part takes alone, by its thread
    :param logging: what log records took in the whole delivery, on all threads
    :param bare: what the bare aiohttp loop takes, for comparison
    """

    calls: int
    threads: Mapping[str, float]
    rooms: Mapping[str, Mapping[str, float]]
    logging: float
    bare: float

    @property
    def whole(self) -> float:
        return sum(self.threads.values())

    def parts(self) -> Iterator[tuple[str, str, float]]:
        """Thread, what it does, and seconds: all of the whole, and nothing twice."""
        rest = {
            READING: "handing rows over, starting, ending; the rest",
            LEDGER: "the ledger: deciding, SQL, commits",
            LOOP: "engine: pacing, waiting for the ledger, settling, counting; event loop; the rest",
            OTHERS: "threads that wait for rows",
        }
        for thread, taken in self.threads.items():
            rooms = self.rooms.get(thread, {})
            yield from ((thread, room, seconds) for room, seconds in rooms.items())
            yield thread, rest[thread], taken - sum(rooms.values())

    def __str__(self) -> str:
        lines = [
            *self.parts(),
            ("", "**the whole pipeline**", self.whole),
            ("", "the bare aiohttp loop, for comparison", self.bare),
        ]
        cells = [(part, thread, self._micro(taken), f"{taken / self.whole:.1%}") for thread, part, taken in lines]
        return (
            f"{markdown_table(('part', 'thread', 'CPU us a call', 'share'), cells)}\n\n"
            f"Log records took {self._micro(self.logging)} us a call, within the rests."
        )

    def _micro(self, seconds: float) -> str:
        return f"{seconds / self.calls * 1e6:,.1f}"


def measure(shared: Stage, calls: int) -> Profile:
    """Deliver so many calls, then do each part alone."""
    job = Job(shared.endpoints.prompt, _WARM, calls, shared.concurrency)
    with patch.dict(os.environ, shared.environment("ours", shared.folder, job.origin)):
        threads, logs = min((_delivered(shared, job) for _ in range(_TRIES)), key=lambda each: sum(each[0].values()))
        reading, rows = least(lambda: _read(job))
    record = CallMapping().record
    mapping, records = least(lambda: list(map(record, rows)))
    digests, _ = least(lambda: _digest(job.origin, records))
    endpoint = Endpoint(job.origin, LOGIN, PASSWORD)
    encoding, _ = least(lambda: _encode(endpoint, records))
    answering, _ = least(lambda: _understand(records))
    sending, _ = least(lambda: asyncio.run(_send(endpoint, records, job.concurrency)))
    bare = bare_aiohttp(job)
    bare(0, job.warm)
    compared, _ = least(lambda: bare(job.warm, calls))
    rooms = {
        READING: {"reading from SQL, spooling to disk and back": reading, "mapping and validation": mapping},
        LOOP: {
            "digests, and the search for duplicates": digests,
            "encoding": encoding,
            "HTTP": sending - encoding - answering,
            "understanding the answer": answering,
        },
    }
    return Profile(calls, threads, rooms, logs, compared)


def _delivered(shared: Stage, job: Job) -> tuple[dict[str, float], float]:
    """What the threads of a whole delivery took, and its log records; the ledger is new."""
    new = tempfile.TemporaryDirectory(prefix="ledger-", dir=shared.folder)
    with new as home, patch.dict(os.environ, AIRFLOW_HOME=home):
        send = ours(job)
        send(0, job.warm)
        with _clocks() as (threads, logs):
            send(job.warm, job.calls)
    return threads, sum(logs)


@contextmanager
def _clocks() -> Iterator[tuple[dict[str, float], list[float]]]:
    """What each thread takes meanwhile, by its kind, and what each log record does."""
    threads: dict[str, float] = dict.fromkeys((READING, LEDGER, LOOP, OTHERS), 0.0)
    logs: list[float] = []
    run, handle = threading.Thread.run, logging.Logger.handle

    def clocked_run(thread: threading.Thread) -> None:
        try:
            run(thread)
        finally:
            kinds = (kind for name, kind in _THREADS.items() if thread.name.startswith(name))
            threads[next(kinds, OTHERS)] += time.thread_time()

    def clocked_handle(logger: logging.Logger, record: logging.LogRecord) -> None:
        before = time.thread_time()
        handle(logger, record)
        logs.append(time.thread_time() - before)

    with patch.object(threading.Thread, "run", clocked_run), patch.object(logging.Logger, "handle", clocked_handle):
        whole, mine = time.process_time(), time.thread_time()
        yield threads, logs
        whole, mine = time.process_time() - whole, time.thread_time() - mine
    threads[READING] += mine
    # What no clock saw, such as the ends of threads.
    threads[OTHERS] = whole - sum(seconds for kind, seconds in threads.items() if kind != OTHERS)


def least(act: Callable[[], T]) -> tuple[float, T]:
    """The least seconds of CPU of several tries: other work on the machine only ever adds to them."""
    tries = []
    for _ in range(_TRIES):
        before = time.process_time()
        result = act()
        tries.append(time.process_time() - before)
    return min(tries), result


def _read(job: Job) -> list[dict[str, Any]]:
    from airflow_provider_impactcall.integration.sql import drained

    with drained(WAREHOUSE, _SQL, (job.calls, job.warm)) as spool:
        return list(spool)


def _digest(namespace: str, records: Sequence[CallRecord]) -> None:
    claims = Duplicates()
    if any(claims.state_of(identify(namespace, DEFAULT_KEY, record)) is not None for record in records):
        raise RuntimeError("every row is another call")


def _encode(endpoint: Endpoint, records: Sequence[CallRecord]) -> None:
    for record in records:
        endpoint.request(record)


def _understand(records: Sequence[CallRecord]) -> None:
    headers = {"Content-Type": "application/json"}
    for record in records:
        attempt = attempt_of(200, headers, ANSWER.encode(), private=record.parameters().values())
        if attempt.result is not AttemptResult.DELIVERED:
            raise RuntimeError("the endpoint's answer is Status OK")


async def _send(endpoint: Endpoint, records: Sequence[CallRecord], concurrency: int) -> None:
    each = iter(records)

    async def work(connections: Connections) -> None:
        for record in each:
            attempt = await connections.send(endpoint.request(record))
            if attempt.result is not AttemptResult.DELIVERED:
                raise RuntimeError(attempt.reason)

    async with endpoint.connections(concurrency) as connections, asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(work(connections))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000, help="calls that are delivered (default: %(default)s)")
    options = parser.parse_args()
    if options.calls < 1:
        parser.error("--calls must be at least 1")
    load = load_average()
    try:
        with stage(options.calls) as shared:
            profile = measure(shared, options.calls)
    except NotInstalled as problem:
        sys.exit(str(problem))
    print(profile)
    command = " ".join(["python -m benchmarks.profile", *sys.argv[1:]])
    head = measured_on(command, load, servers=[f"nginx {shared.endpoints.version}"])
    write_section(HEADING, f"{head}\n{options.calls:,} calls, the least of {_TRIES} tries of each part.\n\n{profile}")


if __name__ == "__main__":
    main()
