"""How fast calls that were delivered before are skipped: ``python -m benchmarks.skipping``.

A task that reads the last three days every hour skips nearly all of it, so this is what a wide window costs.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from airflow_provider_impactcall.delivery.duplicates import Duplicates
from airflow_provider_impactcall.delivery.engine import Engine
from airflow_provider_impactcall.delivery.identity import Claim, identify
from airflow_provider_impactcall.delivery.ledger.schema import calls as ledger_calls
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.ledger.writer import LedgerWriter
from airflow_provider_impactcall.delivery.outcome import CallState, DeliveryReport, ReasonCode
from airflow_provider_impactcall.delivery.pacing import Pacing
from airflow_provider_impactcall.delivery.runner import run
from airflow_provider_impactcall.delivery.spool import Spool
from airflow_provider_impactcall.delivery.wire.endpoint import Endpoint
from airflow_provider_impactcall.records import CallMapping, CallRecord
from benchmarks.databases import DATABASES, database
from benchmarks.results import load_average, measured_on, write_section
from benchmarks.rows import row, rows, session_id

T = TypeVar("T")

NAMESPACE = "https://calls.example.com"
# Nothing listens there: a call that is not skipped fails the benchmark instead of passing as a slow one.
NOWHERE = "http://127.0.0.1:9"
KEYS_A_QUERY = 500
ROWS_AN_INSERT = 10_000
ROWS_A_FETCH = 1000
SAMPLE = 100_000
TARGET = 20_000
HEADING = "Skipping what the ledger knows"
TRIES = 3


@dataclass(frozen=True)
class Spent:
    """The least of several tries, each: other work on the machine only ever adds to them.

    :param wall: seconds by the clock
    :param cpu: seconds of this process, so without a database server's
    """

    wall: float
    cpu: float


@dataclass(frozen=True)
class Result:
    """What it took for all rows together.

    :param whole: ``delivery.runner.run``: mapping, duplicates, ledger, report
    :param sample: so many of the rows were enough to measure the rest by
    :param rooms: parts of it, each done alone with the sample
    :param peer: a loop on the database's own driver that asks for the sample's keys, and does nothing else
    """

    database: str
    rows: int
    whole: Spent
    sample: int
    rooms: Mapping[str, Spent]
    peer: Spent

    def __str__(self) -> str:
        cpu = {name: room.cpu / self.sample * self.rows for name, room in self.rooms.items()}
        cpu["the rest (handing over, event loop, lease)"] = self.whole.cpu - sum(cpu.values())
        rate, peer = self.rows / self.whole.wall, self.sample / self.peer.wall
        lines = [
            f"{self.database}: {rate:,.0f} rows/s end to end (target {TARGET:,}), the peer {peer:,.0f}, "
            f"ratio {rate / peer:.3f}",
            f"  {'end to end':<44} {self.whole.cpu / self.rows * 1e6:>7.1f} us of CPU a row",
        ]
        lines += [
            f"  {room:<44} {seconds / self.rows * 1e6:>7.1f} us of CPU a row {seconds / self.whole.cpu:>7.1%}"
            for room, seconds in cpu.items()
        ]
        return "\n".join(lines)


def measure(kind: str, url: str, count: int, ledger_rows: int) -> Result:
    """Fill a ledger, and deliver the last of its calls again."""
    ledger = Ledger(sa.create_engine(url), NAMESPACE)
    try:
        ledger.prepare()
        fill(ledger, ledger_rows, count)
        sample = min(count, SAMPLE)
        read = list(rows(sample, first=ledger_rows - sample))
        skip(ledger, read)  # imports, caches and the database's own are warm, for the package and for the peer
        with spooled(rows(count, first=ledger_rows - count)) as spool:
            whole, report = least(lambda: skip(ledger, spool))
        if report.already_delivered != count:
            raise RuntimeError(f"nothing was to be sent, and the report says {report}")
        with spooled(read) as spool:
            reading, _ = least(lambda: deque(spool, maxlen=0))
        mapping, records = least(lambda: list(map(CallMapping().record, read)))
        digests, claims = least(lambda: digested(records))
        batches = list(batched([claim.key for claim in claims], KEYS_A_QUERY))
        looking_up, found = least(lambda: sum(len(ledger.look_up(keys)) for keys in batches))
        peer, found_by_peer = least(lambda: asked(ledger.engine, batches))
        if not found == found_by_peer == sample:
            raise RuntimeError(f"{sample} calls are in the ledger; it shows {found}, and the peer {found_by_peer}")
    finally:
        ledger.engine.dispose()
    rooms = {"reading": reading, "mapping": mapping, "digests": digests, "looking up": looking_up}
    return Result(kind, count, whole, sample, rooms, peer)


def spooled(read: Iterable[dict[str, Any]]) -> Spool:
    """These rows on disk, as the hook has those of a query."""
    spool = Spool(list(row(0)))
    remaining = iter(read)
    while some := list(islice(remaining, ROWS_A_FETCH)):
        spool.write(list(each.values()) for each in some)
    return spool


def fill(ledger: Ledger, count: int, mapped: int) -> None:
    """Have so many calls delivered by an earlier run, in the order in which they came."""
    run_id = ledger.start("benchmark", "")
    delivered = (entry(claim, run_id) for claim in claims_of(count, mapped))
    with ledger.engine.begin() as connection:
        while some := list(islice(delivered, ROWS_AN_INSERT)):
            connection.execute(sa.insert(ledger_calls), some)
    ledger.end(run_id, DeliveryReport())
    if ledger.engine.dialect.name == "postgresql":
        with ledger.engine.begin() as connection:
            connection.exec_driver_sql(f"ANALYZE {ledger_calls.name}")


def claims_of(count: int, mapped: int) -> Iterator[Claim]:
    """Of :func:`rows`; all but the last so many, which nobody asks for, differ from the first in their id alone."""
    key, mapping = Duplicates().key, CallMapping()
    first = mapping.record(row(0)).parameters()
    for number in range(count - mapped):
        yield identify(NAMESPACE, key, CallRecord.of({**first, "CallSessionId": session_id(number)}))
    for each in rows(mapped, first=count - mapped):
        yield identify(NAMESPACE, key, mapping.record(each))


def entry(claim: Claim, run_id: str) -> dict[str, Any]:
    shown = ("CallSessionId", "CampaignId", "ActionTrackerId", "CallProvider", "MediaId", "EventDate")
    return {name: str(getattr(claim.call, name)) for name in shown} | {
        "key": claim.key,
        "namespace": NAMESPACE,
        "fingerprint": claim.fingerprint,
        "state": CallState.DELIVERED.value,
        "reason_code": ReasonCode.OK.value,
        "status": 200,
        "reason": "200 Status OK",
        "uncertain": False,
        "attempts": 1,
        "deaths": 0,
        "fence": 1,
        "run_id": run_id,
        "first_at": 1_790_000_000.0,
        "changed_at": 1_790_000_001.0,
    }


def skip(ledger: Ledger, read: Iterable[dict[str, Any]]) -> DeliveryReport:
    """Deliver these rows as the hook does."""
    claims, interrupt = Duplicates(), threading.Event()
    run_id = ledger.start("benchmark", "")
    engine = Engine(duplicates=claims, pacing=Pacing(max_wait=1), on_settled=lambda *_: None, interrupt=interrupt)
    writer = LedgerWriter(ledger, run_id, claims.key, resend=False)
    report = run(engine, Endpoint(NOWHERE, timeout=1), writer, read, CallMapping(), interrupt)
    ledger.end(run_id, report)
    return report


def digested(records: Sequence[CallRecord]) -> list[Claim]:
    """What tells these calls apart in their input, and in the ledger."""
    input_claims = Duplicates()
    claims = [identify(NAMESPACE, input_claims.key, record) for record in records]
    if any(input_claims.state_of(claim) is not None for claim in claims):
        raise RuntimeError("every row is another call")
    return claims


def asked(engine: sa.Engine, batches: Sequence[Sequence[str]]) -> int:
    """How many of these keys the database has, asked by its own driver, without SQLAlchemy."""
    mark = "?" if engine.dialect.name == "sqlite" else "%s"
    found = 0
    with closing(engine.raw_connection()) as connection, closing(connection.cursor()) as cursor:
        for keys in batches:
            marks = ",".join([mark] * len(keys))
            cursor.execute(f"SELECT key, state, fingerprint FROM {ledger_calls.name} WHERE key IN ({marks})", keys)
            found += len(dict.fromkeys(key for key, *_ in cursor.fetchall()))
        connection.rollback()
    return found


def batched(keys: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))


def least(act: Callable[[], T]) -> tuple[Spent, T]:
    tries = []
    for _ in range(TRIES):
        wall, cpu = time.perf_counter(), time.process_time()
        result = act()
        tries.append(Spent(time.perf_counter() - wall, time.process_time() - cpu))
    return Spent(min(each.wall for each in tries), min(each.cpu for each in tries)), result


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.skipping", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="calls that are skipped (default: %(default)s)")
    parser.add_argument("--ledger", type=int, default=1_000_000, help="calls in the ledger (default: %(default)s)")
    parser.add_argument("--database", choices=DATABASES, action="append", help="only this one (default: both)")
    options = parser.parse_args()
    if not 0 < options.rows <= options.ledger:
        parser.error("--rows must be at least 1 and at most --ledger")
    load, results = load_average(), []
    for kind in options.database or DATABASES:
        with tempfile.TemporaryDirectory(prefix="impactcall-skipping-") as folder, database(kind, Path(folder)) as url:
            results.append(measure(kind, url, options.rows, options.ledger))
            print(results[-1], flush=True)
    command = f"python -m benchmarks.skipping {' '.join(sys.argv[1:])}".strip()
    told = "\n".join(map(str, results))
    what = f"{options.rows:,} calls that a ledger of {options.ledger:,} knows; the parts alone with {SAMPLE:,} of them."
    write_section(HEADING, f"{measured_on(command, load, ['psycopg2-binary'])}\n\n{what}\n\n```text\n{told}\n```")


if __name__ == "__main__":
    main()
