"""Calls a second, and what a call costs, side by side with peers: ``python -m benchmarks.throughput``.

Everyone sends the same calls to the same endpoint, once a round, in turn, each in a process of its own. A ratio is to
the bare aiohttp loop of the same round.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

import sqlalchemy as sa

from benchmarks.databases import database
from benchmarks.endpoints import Endpoints, NotInstalled, endpoints
from benchmarks.results import markdown_table
from benchmarks.rows import row, rows
from benchmarks.senders import ENDPOINT, HTTP, LEDGER, LOGIN, PASSWORD, WAREHOUSE, Job, Spent
from tests.databases import as_connection, empty_database

HEADING = "Throughput"
_ROOT = Path(__file__).resolve().parent.parent
_LONGEST = 600.0
_WARM = 100
_ROWS_AN_INSERT = 10_000


@dataclass(frozen=True)
class Contender:
    """A way to send, and how much of it a round can bear.

    :param sender: its name in :mod:`benchmarks.senders`
    :param pace: ``fast``, ``slow`` (sends a tenth of the calls), or ``latency`` (to the endpoint that answers late)
    """

    title: str
    sender: str
    pace: str = "fast"


OURS = Contender("this package, ledger on SQLite", "ours")
OURS_ON_POSTGRESQL = Contender("this package, ledger on PostgreSQL", "ours_on_postgresql")
BARE = Contender("bare aiohttp loop", "bare_aiohttp")
UVLOOP = Contender("bare aiohttp loop on uvloop", "bare_aiohttp_on_uvloop")
OURS_LATE = Contender("this package, ledger on SQLite", "ours", "latency")
BARE_LATE = Contender("bare aiohttp loop", "bare_aiohttp", "latency")
CONTENDERS = (OURS, OURS_ON_POSTGRESQL, BARE, UVLOOP, OURS_LATE, BARE_LATE)


@dataclass(frozen=True)
class Sizes:
    """How many calls everyone sends a round.

    :param calls: those who are fast
    :param slow: those who send one call after the other
    :param latency: to the endpoint that answers late
    """

    calls: int
    slow: int
    latency: int
    concurrency: int = 64

    def of(self, contender: Contender) -> int:
        return {"fast": self.calls, "slow": self.slow, "latency": self.latency}[contender.pace]


@dataclass(frozen=True)
class Ratio:
    """Of one to another, a round a number."""

    rounds: Sequence[float]

    @property
    def middle(self) -> float:
        return median(self.rounds)

    def __str__(self) -> str:
        return f"{self.middle:.2f} ({min(self.rounds):.2f} to {max(self.rounds):.2f})"


@dataclass(frozen=True)
class Measured:
    """What a contender took, a round an entry.

    :param calls: sent a round
    """

    calls: int
    rounds: list[Spent] = field(default_factory=list)

    @property
    def rates(self) -> list[float]:
        """Calls a second by the clock."""
        return [self.calls / spent.wall for spent in self.rounds]

    @property
    def cpu(self) -> list[float]:
        """Microseconds of CPU a call."""
        return [spent.cpu / self.calls * 1e6 for spent in self.rounds]

    def faster_than(self, other: Measured) -> Ratio:
        return Ratio([mine / theirs for mine, theirs in zip(self.rates, other.rates, strict=True)])

    def dearer_than(self, other: Measured) -> Ratio:
        return Ratio([mine / theirs for mine, theirs in zip(self.cpu, other.cpu, strict=True)])


@dataclass(frozen=True)
class Stage:
    """What all contenders share.

    :param folder: for what they write
    :param warehouse: a SQLite file with the table ``calls``
    :param postgresql: the URL of a server's first database, if one is to be had
    """

    folder: Path
    endpoints: Endpoints
    warehouse: Path
    postgresql: sa.URL | None

    def spent(self, contender: Contender, origin: str, calls: int, concurrency: int) -> Spent:
        """Have a contender send its calls in a process of its own, with an Airflow home and a ledger that are new."""
        job = Job(origin, min(_WARM, calls), calls, concurrency)
        with tempfile.TemporaryDirectory(prefix="sender-", dir=self.folder) as home:
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.senders", contender.sender],
                env=self._environment(Path(home), contender, origin),
                input=json.dumps(asdict(job)),
                capture_output=True,
                text=True,
                cwd=_ROOT,
                timeout=_LONGEST,
                check=False,
            )
        if done.returncode != 0:
            raise RuntimeError(f"{contender.title}: ended with {done.returncode}: {done.stderr[-3000:]}")
        return Spent(**json.loads(done.stdout.splitlines()[-1]))

    def _environment(self, home: Path, contender: Contender, origin: str) -> Mapping[str, str]:
        address = {"host": origin, "login": LOGIN, "password": PASSWORD}
        settings = {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            f"AIRFLOW_CONN_{WAREHOUSE.upper()}": json.dumps({"conn_type": "sqlite", "host": str(self.warehouse)}),
            f"AIRFLOW_CONN_{ENDPOINT.upper()}": json.dumps({"conn_type": "impactcall", **address}),
            f"AIRFLOW_CONN_{HTTP.upper()}": json.dumps({"conn_type": "http", **address}),
        }
        if contender.sender == OURS_ON_POSTGRESQL.sender:
            if self.postgresql is None:
                raise RuntimeError("this contender needs PostgreSQL")
            settings[f"AIRFLOW_CONN_{LEDGER.upper()}"] = as_connection(empty_database(self.postgresql))
        return {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | settings


@contextmanager
def stage(calls: int, *, postgresql: bool) -> Iterator[Stage]:
    """An endpoint, a warehouse of so many calls and, if asked for, a PostgreSQL server."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="impactcall-throughput-")))
        running = stack.enter_context(endpoints())
        server = sa.make_url(stack.enter_context(database("postgresql", folder))) if postgresql else None
        warehouse = folder / "warehouse.db"
        fill(warehouse, calls)
        yield Stage(folder, running, warehouse, server)


def fill(warehouse: Path, calls: int) -> None:
    """A table of so many calls, as :func:`benchmarks.rows.rows` has them; SQLite has text for a time."""
    example = _stored(row(0))
    columns = [sa.Column(name, sa.Integer if isinstance(value, int) else sa.Text) for name, value in example.items()]
    table = sa.Table("calls", sa.MetaData(), *columns)
    engine = sa.create_engine(f"sqlite:///{warehouse}")
    table.create(engine)
    for first in range(0, calls, _ROWS_AN_INSERT):
        some = [_stored(each) for each in rows(min(_ROWS_AN_INSERT, calls - first), first)]
        with engine.begin() as connection:
            connection.execute(table.insert(), some)
    engine.dispose()


def _stored(each: Mapping[str, object]) -> dict[str, object]:
    return {**each, "event_date": str(each["event_date"])}


def measure(stage: Stage, contenders: Sequence[Contender], sizes: Sizes, rounds: int) -> Mapping[Contender, Measured]:
    """Every contender once a round, in turn, so that other work on the machine falls on all alike."""
    results = {contender: Measured(sizes.of(contender)) for contender in contenders}
    for number in range(rounds):
        start = number % len(contenders)
        for contender in (*contenders[start:], *contenders[:start]):
            origin = stage.endpoints.slow if contender.pace == "latency" else stage.endpoints.prompt
            calls = results[contender].calls
            before = stage.endpoints.answered()
            spent = stage.spent(contender, origin, calls, sizes.concurrency)
            came = stage.endpoints.answered() - before - 1
            if came != calls + min(_WARM, calls):
                raise RuntimeError(f"{contender.title}: {calls} calls were to be sent, and {came} requests came")
            results[contender].rounds.append(spent)
            print(
                f"  round {number + 1}: {contender.title}{', 50 ms' if contender.pace == 'latency' else ''}: "
                f"{calls / spent.wall:,.0f} calls/s, {spent.cpu / calls * 1e6:,.0f} us of CPU a call",
                flush=True,
            )
    return results


def table(results: Mapping[Contender, Measured]) -> str:
    bare = results[BARE]
    lines = []
    for contender, measured in results.items():
        if contender.pace == "latency":
            continue
        lines.append(
            (
                contender.title,
                f"{median(measured.rates):,.0f}",
                f"{median(measured.cpu):,.0f}",
                str(measured.faster_than(bare)),
                str(measured.dearer_than(bare)),
            )
        )
    return markdown_table(("", "calls/s", "us of CPU a call", "calls/s to bare", "CPU to bare"), lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    parser.add_argument("--calls", type=int, default=20_000, help="calls a round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default: %(default)s)")
    parser.add_argument("--only", action="append", help="only this sender, by name, and the bare loop; may be repeated")
    options = parser.parse_args()
    contenders = [each for each in CONTENDERS if not options.only or each.sender in options.only or each is BARE]
    sizes = Sizes(options.calls, max(1, options.calls // 10), max(1, options.calls // 2))
    try:
        with stage(options.calls + _WARM, postgresql=OURS_ON_POSTGRESQL in contenders) as shared:
            results = measure(shared, contenders, sizes, options.rounds)
    except NotInstalled as problem:
        sys.exit(str(problem))
    print(table(results))


if __name__ == "__main__":
    main()
