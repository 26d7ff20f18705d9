"""Where the time of a call goes, in microseconds of CPU: ``python -m benchmarks.profile``.

The whole is a delivery like that of :mod:`benchmarks.throughput`: a warehouse query sent to nginx with the ledger on
SQLite. Each thread's CPU clock is read. Then each part of a thread is run again alone; the difference is shown as the
rest, so the parts add up to the whole. No profiler runs, as it would make small functions look expensive. The first
calls, which are not measured, show in which thread a part runs.
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
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import TypeVar
from unittest.mock import patch

from airflow_provider_impactcall.defaults import DEFAULT_KEY
from airflow_provider_impactcall.delivery.identity import identify
from airflow_provider_impactcall.delivery.items import Call
from airflow_provider_impactcall.delivery.reading import read
from airflow_provider_impactcall.delivery.spool import Spool
from airflow_provider_impactcall.delivery.wire.endpoint import Endpoint
from airflow_provider_impactcall.records import CallMapping
from benchmarks import wire
from benchmarks.endpoints import NotInstalled
from benchmarks.results import load_average, markdown_table, measured_on, write_section
from benchmarks.senders import LOGIN, PASSWORD, WAREHOUSE, Job, bare_aiohttp, ours
from benchmarks.stage import Stage, stage
from benchmarks.vendor_rows import KINDS

T = TypeVar("T")

HEADINGS = {"vendor": "Where the time of a call goes", "plain": "Where the time of a call goes, plain rows"}
_WARM = 100
_TRIES = 3
_SQL = "SELECT * FROM calls LIMIT ? OFFSET ?"

# Threads by the beginnings of their names.
READING, LEDGER, LOOP, OTHERS = "reading", "ledger", "event loop", "others"
_THREADS = {"MainThread": READING, "impactcall-ledger": LEDGER, "impactcall_": LOOP}


@dataclass(frozen=True)
class Profile:
    """Seconds of CPU for all calls together.

    :param threads: the time of each thread in the whole delivery
    :param rooms: the time of each part alone, by its thread
    :param logging: the time of log records in the whole delivery, in all threads
    :param bare: the time of the bare aiohttp loop, for comparison
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
        """Thread, part and seconds; together they are the whole, with nothing counted twice."""
        rest = {
            READING: "handing rows over, starting, ending; the rest",
            LEDGER: "the ledger: deciding, SQL, commits",
            LOOP: "engine: pacing, waiting for the ledger, settling, counting; the rest",
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
    """Deliver this number of calls, then run each part alone; each try has new rows.

    :param shared: its warehouse has :func:`rows_of` rows
    """
    job = Job(shared.endpoints.prompt, _WARM, calls, shared.concurrency, shared.rows.name)
    firsts = iter(range(_WARM, rows_of(calls), calls))
    with patch.dict(os.environ, shared.environment("ours", shared.folder, job.origin)):
        deliveries = [_delivered(shared, job, next(firsts)) for _ in range(_TRIES)]
        tries = [Alone.of(shared, job, next(firsts)) for _ in range(_TRIES)]
    threads, logs, places = min(deliveries, key=lambda each: sum(each[0].values()))
    alone = {name: min(each.seconds[name] for each in tries) for name in tries[0].seconds}
    rooms: dict[str, dict[str, float]] = {READING: {}, LEDGER: {}, LOOP: {}, OTHERS: {}}
    for name in (_READ, _MAP):
        rooms[READING][name] = alone[name]
    for name in (_IDENTIFY, _ENCODE):
        rooms[places.get(name, LOOP)][name] = alone[name]
    rooms[LOOP][_EXCHANGE] = alone[_EXCHANGE]
    rooms[LOOP][_SEND] = alone[_SEND] - alone[_ENCODE] - alone[_EXCHANGE]
    return Profile(calls, threads, rooms, logs, alone[_BARE])


def rows_of(calls: int) -> int:
    """How many rows are needed so that each try has its own."""
    return 2 * _TRIES * calls + _WARM


_READ = "reading from SQL, spooling to disk"
_MAP = "rows back from disk, those of a call together; mapping and validation"
_IDENTIFY = "identity: key and fingerprint"
_ENCODE = "encoding the request"
_EXCHANGE = "event loop and sockets: bytes to and fro"
_SEND = "wire: all else of sending, understanding the answer"
_BARE = "bare"


@dataclass(frozen=True)
class Alone:
    """Each part run without the others.

    :param seconds: seconds of CPU, by part
    """

    seconds: Mapping[str, float]

    @classmethod
    def of(cls, shared: Stage, job: Job, first: int) -> Alone:
        """Run each part with as many rows of the warehouse as the job has calls, from row ``first`` on."""
        seconds: dict[str, float] = {}

        def took(name: str, act: Callable[[], T]) -> T:
            before = time.process_time()
            result = act()
            seconds[name] = time.process_time() - before
            return result

        mapping, endpoint = CallMapping(**shared.rows.options), Endpoint(job.origin, LOGIN, PASSWORD)
        with ExitStack() as stack:
            spool = took(_READ, lambda: stack.enter_context(_drained(job, first)))
            items = took(_MAP, lambda: [*read(spool, mapping)])
        records = [item.record for item in items if isinstance(item, Call)]
        took(_IDENTIFY, lambda: [identify(job.origin, DEFAULT_KEY, record) for record in records])
        took(_ENCODE, lambda: wire.encoded(endpoint, records))
        took(_EXCHANGE, lambda: asyncio.run(wire.exchange(job.origin, records, job.concurrency)))
        took(_SEND, lambda: asyncio.run(wire.send(endpoint, records, job.concurrency)))
        bare = bare_aiohttp(job)
        bare(0, job.warm)
        took(_BARE, lambda: bare(job.warm, job.calls))
        return cls(seconds)


def _delivered(shared: Stage, job: Job, first: int) -> tuple[dict[str, float], float, Mapping[str, str]]:
    """Run a whole delivery with a new ledger: the time of its threads and log records, and the threads of its parts."""
    new = tempfile.TemporaryDirectory(prefix="ledger-", dir=shared.folder)
    with new as home, patch.dict(os.environ, AIRFLOW_HOME=home):
        send = ours(job)
        places = _places({_IDENTIFY: identify, _ENCODE: wire.ENCODING}, lambda: send(0, job.warm))
        with _clocks() as (threads, logs):
            send(first, job.calls)
    return threads, sum(logs), places


def _places(functions: Mapping[str, Callable[..., object]], act: Callable[[], object]) -> Mapping[str, str]:
    """In which kind of thread each of these functions is called while ``act`` runs; uncalled functions are left out."""
    names = {function.__code__: name for name, function in functions.items()}
    found: dict[str, str] = {}

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and (name := names.get(frame.f_code)) is not None:
            found.setdefault(name, _kind(threading.current_thread()))

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return found


def _kind(thread: threading.Thread) -> str:
    return next((kind for name, kind in _THREADS.items() if thread.name.startswith(name)), OTHERS)


@contextmanager
def _clocks() -> Iterator[tuple[dict[str, float], list[float]]]:
    """The time of each kind of thread within the context, and the time of each log record."""
    threads: dict[str, float] = dict.fromkeys((READING, LEDGER, LOOP, OTHERS), 0.0)
    logs: list[float] = []
    run, handle = threading.Thread.run, logging.Logger.handle

    def clocked_run(thread: threading.Thread) -> None:
        try:
            run(thread)
        finally:
            threads[_kind(thread)] += time.thread_time()

    def clocked_handle(logger: logging.Logger, record: logging.LogRecord) -> None:
        before = time.thread_time()
        handle(logger, record)
        logs.append(time.thread_time() - before)

    with patch.object(threading.Thread, "run", clocked_run), patch.object(logging.Logger, "handle", clocked_handle):
        whole, mine = time.process_time(), time.thread_time()
        yield threads, logs
        whole, mine = time.process_time() - whole, time.thread_time() - mine
    threads[READING] += mine
    # Time that no clock measured, such as the ends of threads.
    threads[OTHERS] = whole - sum(seconds for kind, seconds in threads.items() if kind != OTHERS)


def _drained(job: Job, first: int) -> AbstractContextManager[Spool]:
    from airflow_provider_impactcall.integration.sql import drained

    return drained(WAREHOUSE, _SQL, (job.calls, first))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("--rows", choices=KINDS, default="vendor", help="(default: %(default)s)")
    parser.add_argument("--calls", type=int, default=10_000, help="calls that are delivered (default: %(default)s)")
    options = parser.parse_args()
    if options.calls < 1:
        parser.error("--calls must be at least 1")
    load, rows = load_average(), KINDS[options.rows]
    try:
        with stage(rows, rows_of(options.calls)) as shared:
            profile = measure(shared, options.calls)
    except NotInstalled as problem:
        sys.exit(str(problem))
    print(profile)
    if options.rows in HEADINGS:
        command = " ".join(["python -m benchmarks.profile", *sys.argv[1:]])
        head = measured_on(command, load, servers=[f"nginx {shared.endpoints.version}"])
        what = f"{rows.title}; {options.calls:,} calls, the least of {_TRIES} tries of each part."
        write_section(HEADINGS[options.rows], f"{head}\n{what}\n\n{profile}")


if __name__ == "__main__":
    main()
