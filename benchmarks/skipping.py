"""How fast calls that were delivered before are skipped: ``python -m benchmarks.skipping``.

A task that reads the last three days every hour skips nearly all rows. This benchmark measures that cost.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from statistics import median
from typing import Any, TypeVar
from unittest.mock import patch

import sqlalchemy as sa

from airflow_provider_impactcall.defaults import DEFAULT_KEY
from airflow_provider_impactcall.delivery.identity import Claim, identify
from airflow_provider_impactcall.delivery.ledger.schema import calls as ledger_calls
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import CallState, DeliveryReport, ReasonCode
from airflow_provider_impactcall.delivery.spool import Spool
from airflow_provider_impactcall.records import CallMapping, CallRecord
from benchmarks.databases import DATABASES, database
from benchmarks.processes import environment
from benchmarks.ratios import Figure
from benchmarks.results import load_average, measured_on, write_section
from benchmarks.rows import Rows
from benchmarks.stage import stored
from benchmarks.vendor_rows import KINDS
from tests.databases import as_connection

T = TypeVar("T")

# Nothing listens there: a call that is not skipped fails the benchmark instead of passing as a slow one.
NOWHERE = "http://127.0.0.1:9"
CONN_ID, LEDGER = "skipping", "skipping_ledger"
KEYS_A_QUERY = 500
ROWS_AN_INSERT = 10_000
ROWS_A_FETCH = 1000
SAMPLE = 100_000
WARM = 1000
HEADINGS = {"vendor": "Skipping what the ledger knows", "plain": "Skipping what the ledger knows, plain rows"}


@dataclass(frozen=True)
class Spent:
    """The time of an action.

    :param wall: seconds by the clock
    :param cpu: seconds of this process's CPU, without a database server's
    """

    wall: float
    cpu: float


@dataclass(frozen=True)
class Result:
    """The time for all rows together, one value for each repeat.

    :param rows: rows in each repeat; each repeat has its own rows
    :param whole: :meth:`.ImpactCallHook.deliver`: mapping, duplicates, ledger, report
    :param peer: a loop on the database's own driver that looks up the same keys, and does nothing else
    :param sample: the number of rows with which the parts were measured
    :param rooms: the time of each part alone, with the sample
    """

    database: str
    rows: int
    sample: int
    whole: list[Spent] = field(default_factory=list)
    peer: list[Spent] = field(default_factory=list)
    rooms: dict[str, float] = field(default_factory=dict)

    @property
    def figure(self) -> Figure:
        """Rows a second by the clock."""
        return Figure(tuple(self.rows / each.wall for each in self.whole))

    @property
    def figure_of_cpu(self) -> Figure:
        """Rows a second of this process's CPU; other work on the machine hardly changes it."""
        return Figure(tuple(self.rows / each.cpu for each in self.whole))

    def __str__(self) -> str:
        whole = median(each.cpu for each in self.whole) / self.rows
        cpu = {name: seconds / self.sample for name, seconds in self.rooms.items()}
        cpu["the rest (handing over, event loop, lease)"] = whole - sum(cpu.values())
        peer = Figure(tuple(self.rows / each.wall for each in self.peer))
        ratio = Figure.ratio(self.figure.values, peer.values)
        lines = [
            f"{self.database}: {self.figure} rows/s end to end, the peer {peer}, ratio {ratio.middle:.3f}",
            f"  in each repeat: {self.figure.repeats}",
            f"  {'end to end':<44} {whole * 1e6:>7.1f} us of CPU a row",
        ]
        lines += [
            f"  {room:<44} {seconds * 1e6:>7.1f} us of CPU a row {seconds / whole:>7.1%}"
            for room, seconds in cpu.items()
        ]
        return "\n".join(lines)


def measure(kind: str, url: str, rows: Rows, count: int, ledger_rows: int, repeats: int) -> Result:
    """Fill a ledger, and deliver some of its calls again, different ones in each repeat.

    :param kind: the kind of database
    :param url: the URL of an empty database
    :param count: calls that are delivered again in each repeat
    :param ledger_rows: calls in the ledger
    """
    sample = min(count, SAMPLE)
    result = Result(kind, count, sample)
    # The last calls of the ledger are delivered again; the first of these warm up package, peer and database.
    firsts = [ledger_rows - (repeats - number) * count for number in range(repeats)]
    warm = min(WARM, count)
    with connected(url), closing(Ledger(sa.create_engine(url), NOWHERE)) as ledger:
        ledger.prepare()
        keys = fill(ledger, rows, ledger_rows, first=firsts[0] - warm)
        skip(rows, [*map(stored, rows.of(warm, firsts[0] - warm))])
        asked(ledger.engine, keys[:warm])
        for number, first in enumerate(firsts):
            with spooled(rows, count, first) as spool:
                these = keys[first - firsts[0] + warm :][:count]
                both = [(result.whole, lambda: skip(rows, spool)), (result.peer, lambda: asked(ledger.engine, these))]  # noqa: B023 - called here
                for spent, act in reversed(both) if number % 2 else both:
                    taken, found = timed(act)
                    if found != count:
                        raise RuntimeError(f"{count} calls are in the ledger, and {found} were found")
                    spent.append(taken)
        # Other rows again, so that no part has seen their callers.
        with spooled(rows, sample, ledger_rows) as spool:
            result.rooms["reading"] = timed(lambda: deque(spool, maxlen=0))[0].cpu
            record = CallMapping(**rows.options).record
            taken, records = timed(lambda: list(map(record, spool)))
            result.rooms["mapping"] = taken.cpu - result.rooms["reading"]
        result.rooms["digests"] = timed(lambda: digested(records))[0].cpu
        batches = [*batched(keys[-sample:], KEYS_A_QUERY)]
        result.rooms["looking up"] = timed(lambda: [ledger.look_up(each) for each in batches])[0].cpu
    return result


@contextmanager
def connected(url: str) -> Iterator[None]:
    """Give this process connections to the ledger in this database, and to an endpoint that does not exist."""
    with tempfile.TemporaryDirectory(prefix="impactcall-skipping-home-") as home:
        settings = environment(Path(home))
        settings[f"AIRFLOW_CONN_{LEDGER.upper()}"] = as_connection(sa.make_url(url))
        settings[f"AIRFLOW_CONN_{CONN_ID.upper()}"] = json.dumps({"conn_type": "impactcall", "host": NOWHERE})
        with patch.dict(os.environ, settings):
            yield


@contextmanager
def spooled(rows: Rows, count: int, first: int) -> Iterator[Spool]:
    """These rows on disk, as the hook keeps a query's rows."""
    with Spool([*rows.row(0)]) as spool:
        remaining = map(stored, rows.of(count, first))
        while some := list(islice(remaining, ROWS_A_FETCH)):
            spool.write([*each.values()] for each in some)
        yield spool


def fill(ledger: Ledger, rows: Rows, count: int, first: int) -> list[str]:
    """Record ``count`` calls as delivered by an earlier run, in the order of their rows.

    :param first: the calls from this number on are looked up later; the calls before it are never looked up, and differ
        only in their keys
    :return: the keys of the calls that are looked up later
    """
    run_id = ledger.start("benchmark", "")
    record = CallMapping(**rows.options).record
    asked_for = [identify(NOWHERE, DEFAULT_KEY, record(each)) for each in rows.of(count - first, first)]
    one = entry(asked_for[0], run_id)
    others = ({**one, "key": _some_key(number)} for number in range(first))
    entries = chain(others, (entry(claim, run_id) for claim in asked_for))
    with ledger.engine.begin() as connection:
        while some := [*islice(entries, ROWS_AN_INSERT)]:
            connection.execute(sa.insert(ledger_calls), some)
    ledger.end(run_id, DeliveryReport())
    if ledger.engine.dialect.name == "postgresql":
        with ledger.engine.begin() as connection:
            connection.exec_driver_sql(f"ANALYZE {ledger_calls.name}")
    return [claim.key for claim in asked_for]


def _some_key(number: int) -> str:
    return hashlib.blake2b(b"%d" % number, digest_size=16).hexdigest()


def entry(claim: Claim, run_id: str) -> dict[str, Any]:
    shown = ("CallSessionId", "CampaignId", "ActionTrackerId", "CallProvider", "MediaId", "EventDate")
    return {name: str(getattr(claim.call, name)) for name in shown} | {
        "key": claim.key,
        "namespace": NOWHERE,
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


def skip(rows: Rows, read: Iterable[Mapping[str, Any]]) -> int:
    """Deliver these rows, and count those that were delivered before."""
    from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook

    report = ImpactCallHook(CONN_ID).deliver(read, ledger_conn_id=LEDGER, max_wait=1, **rows.options)
    if report.already_delivered != report.rows:
        raise RuntimeError(f"nothing was to be sent, and the report says {report}")
    return report.already_delivered


def digested(records: Sequence[CallRecord]) -> list[Claim]:
    """The keys and fingerprints of these calls."""
    return [identify(NOWHERE, DEFAULT_KEY, record) for record in records]


def asked(engine: sa.Engine, keys: Sequence[str]) -> int:
    """How many of these keys the database has, by its own driver, without SQLAlchemy."""
    mark = "?" if engine.dialect.name == "sqlite" else "%s"
    found = 0
    with closing(engine.raw_connection()) as connection, closing(connection.cursor()) as cursor:
        for some in batched(keys, KEYS_A_QUERY):
            marks = ",".join([mark] * len(some))
            cursor.execute(f"SELECT key, state, fingerprint FROM {ledger_calls.name} WHERE key IN ({marks})", some)
            found += len(dict.fromkeys(key for key, *_ in cursor.fetchall()))
        connection.rollback()
    return found


def batched(keys: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))


def timed(act: Callable[[], T]) -> tuple[Spent, T]:
    wall, cpu = time.perf_counter(), time.process_time()
    result = act()
    return Spent(time.perf_counter() - wall, time.process_time() - cpu), result


def measured(kind: str, rows: Rows, count: int, ledger_rows: int, repeats: int) -> Result:
    """Like :func:`measure`, in a new database."""
    with tempfile.TemporaryDirectory(prefix="impactcall-skipping-") as folder, database(kind, Path(folder)) as url:
        return measure(kind, url, rows, count, ledger_rows, repeats)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.skipping", description=__doc__)
    whole: dict[str, Any] = {"type": int, "help": "%(metavar)s (default: %(default)s)"}
    parser.add_argument("--rows", choices=KINDS, default="vendor", help="(default: %(default)s)")
    parser.add_argument("--calls", default=200_000, metavar="calls that are skipped, a repeat", **whole)
    parser.add_argument("--ledger", default=1_000_000, metavar="calls in the ledger", **whole)
    parser.add_argument("--repeats", default=3, metavar="repeats", **whole)
    parser.add_argument("--database", choices=DATABASES, action="append", help="only this one (default: both)")
    options = parser.parse_args()
    if not 0 < options.calls * options.repeats + WARM <= options.ledger:
        parser.error(f"all repeats have calls of their own, and --ledger must hold them, and {WARM} more")
    load, results, rows = load_average(), [], KINDS[options.rows]
    for kind in options.database or DATABASES:
        results.append(measured(kind, rows, options.calls, options.ledger, options.repeats))
        print(results[-1], flush=True)
    if options.rows in HEADINGS:
        command = " ".join(["python -m benchmarks.skipping", *sys.argv[1:]])
        head = measured_on(command, load, ["psycopg2-binary"])
        write_section(HEADINGS[options.rows], f"{head}\n\n{counted(rows, results, options.ledger)}")


def counted(rows: Rows, results: Sequence[Result], ledger_rows: int) -> str:
    """The measurements in words and figures."""
    told = "\n".join(map(str, results))
    what = f"{rows.title}; {results[0].rows:,} calls a repeat that a ledger of {ledger_rows:,} knows."
    return f"{what}\n\n```text\n{told}\n```"


if __name__ == "__main__":
    main()
