"""Calls a second with a ledger in another zone or region: ``python -m benchmarks.distances``.

The same calls are delivered with the ledger in each database. Each database is reached through a port that delays each
packet by half of a round trip. Every round also measures a ledger in a SQLite file, which has no distance.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import sqlalchemy as sa

from airflow_provider_impactcall.sandbox import Sandbox
from benchmarks.databases import database
from benchmarks.delivering import ENDPOINT, WAREHOUSE, Course
from benchmarks.processes import environment, told
from benchmarks.results import load_average, markdown_table, measured_on, write_section
from benchmarks.stage import fill
from benchmarks.vendor_rows import KINDS
from tests.databases import empty_database
from tests.distance import Distance
from tests.examples import LOGIN, PASSWORD
from tests.servers import mariadb

HEADING = "A ledger at a distance"
IN_FLIGHT = (8, 64)
ROUND_TRIPS = (0, 2, 20)  # ms
LEDGERS = ("sqlite", "postgresql", "mariadb")
_LEDGER, _ROWS = "ledger", KINDS["plain"]
_DURABLE = "--innodb-flush-log-at-trx-commit=1"


@dataclass(frozen=True)
class Setting:
    """A case that is measured once in each round.

    :param milliseconds: the time of a round trip to the ledger
    """

    ledger: str
    in_flight: int
    milliseconds: int

    def __str__(self) -> str:
        return f"{self.ledger}, {self.in_flight} in flight, {self.milliseconds} ms"


@dataclass
class Servers:
    """The source of the calls, the endpoint, and the servers of the ledgers.

    :param postgresql: the URL of a PostgreSQL server on a socket
    :param mariadb: the port of a MariaDB server; None if it is left out
    """

    folder: Path
    sandbox: Sandbox
    postgresql: sa.URL
    mariadb: int | None

    def rate(self, setting: Setting, calls: int) -> float:
        """Calls a second of a delivery in its own process, with a new ledger."""
        with ExitStack() as stack:
            home = stack.enter_context(tempfile.TemporaryDirectory(prefix="home-", dir=self.folder))
            connections = {
                WAREHOUSE: {"conn_type": "sqlite", "host": str(self.folder / "warehouse.db")},
                ENDPOINT: {"conn_type": "impactcall", "host": self.sandbox.url, "login": LOGIN, "password": PASSWORD},
                _LEDGER: stack.enter_context(self._ledger(setting, Path(home))),
            }
            named = {f"AIRFLOW_CONN_{name.upper()}": json.dumps(each) for name, each in connections.items()}
            arguments = (_LEDGER, _ROWS.name, str(calls), str(setting.in_flight))
            settings = environment(Path(home), **named)
            course = Course(**told("-m", "benchmarks.delivering", *arguments, env=settings))
        return course.rows / sum(course.wall)

    @contextmanager
    def _ledger(self, setting: Setting, home: Path) -> Iterator[Mapping[str, object]]:
        """The Airflow connection of an empty database at this distance."""
        if setting.ledger == "sqlite":
            yield {"conn_type": "sqlite", "host": str(home / "ledger.db")}
            return
        server: int | str
        if setting.ledger == "postgresql":
            server = f"{self.postgresql.query['host']}/.s.PGSQL.5432"
            own = {"conn_type": "postgres", "login": self.postgresql.username}
            name = empty_database(self.postgresql).database
        else:
            assert self.mariadb is not None
            server, name = self.mariadb, f"ledger_{uuid.uuid4().hex}"
            own = {"conn_type": "mysql", "login": "root"}
            engine = sa.create_engine(f"mysql+mysqldb://root@127.0.0.1:{server}")
            with engine.begin() as connection:
                connection.exec_driver_sql(f"CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
            engine.dispose()
        with Distance(server, setting.milliseconds / 1000).in_thread() as way:
            yield {**own, "host": "127.0.0.1", "port": way.port, "schema": name}


@contextmanager
def servers(calls: int, ledgers: Sequence[str]) -> Iterator[Servers]:
    """Start everything that is needed to measure these ledgers, with a warehouse of this number of calls."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="impactcall-distances-")))
        fill(folder / "warehouse.db", _ROWS, calls)
        endpoint = Sandbox(user=LOGIN, password=PASSWORD, keep_requests=False).in_thread()
        postgresql = sa.make_url(stack.enter_context(database("postgresql", folder)))
        port = stack.enter_context(mariadb(_DURABLE)) if "mariadb" in ledgers else None
        yield Servers(folder, stack.enter_context(endpoint), postgresql, port)


@dataclass
class Results:
    """Calls a second of each setting in each round."""

    rates: dict[Setting, list[float]] = field(default_factory=dict)

    def __str__(self) -> str:
        ledgers = list(dict.fromkeys(setting.ledger for setting in self.rates))
        lines = []
        for in_flight in dict.fromkeys(setting.in_flight for setting in self.rates):
            for milliseconds in dict.fromkeys(setting.milliseconds for setting in self.rates):
                found = [self.rates.get(Setting(ledger, in_flight, milliseconds)) for ledger in ledgers]
                cells = ["" if each is None else f"{median(each):,.0f} ({_repeats(each)})" for each in found]
                lines.append([f"{in_flight} in flight, {milliseconds} ms", *cells])
        return markdown_table(["", *ledgers], lines)


def _repeats(rates: Sequence[float]) -> str:
    return ", ".join(f"{rate:,.0f}" for rate in rates)


def settings_of(ledgers: Sequence[str], round_trips: Sequence[int] = ROUND_TRIPS) -> list[Setting]:
    """The cases to measure with these ledgers; a SQLite file has no distance."""
    return [
        Setting(ledger, in_flight, milliseconds)
        for in_flight in IN_FLIGHT
        for milliseconds in round_trips
        for ledger in ledgers
        if ledger != "sqlite" or not milliseconds
    ]


def measure(running: Servers, settings: Sequence[Setting], rounds: int, calls: int) -> Results:
    """Measure each setting once in each round.

    :param calls: calls for each request in flight
    """
    results = Results({setting: [] for setting in settings})
    for number in range(rounds):
        for setting in settings:
            rate = running.rate(setting, calls * setting.in_flight)
            results.rates[setting].append(rate)
            print(f"round {number + 1}: {setting}: {rate:,.0f} calls/s", flush=True)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.distances", description=__doc__)
    parser.add_argument("--calls", type=int, default=40, help="for each in flight (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--dry", action="store_true", help="nothing is written to RESULTS.md")
    options = parser.parse_args()
    if min(options.calls, options.rounds) < 1:
        parser.error("--calls and --rounds must be at least 1")
    ledgers = list(LEDGERS)
    if importlib.util.find_spec("MySQLdb") is None:
        print("NOT MEASURED: mariadb: mysqlclient is not installed; make databases installs it", file=sys.stderr)
        ledgers.remove("mariadb")
    load = load_average()
    with servers(options.calls * max(IN_FLIGHT), ledgers) as running:
        results = measure(running, settings_of(ledgers), options.rounds, options.calls)
    print(f"\n{results}")
    if not options.dry:
        head = measured_on(
            " ".join(["python -m benchmarks.distances", *sys.argv[1:]]), load, ("psycopg", "mysqlclient")
        )
        counts = f"Calls a second, medians of {options.rounds} rounds of {options.calls} calls for each in flight."
        write_section(HEADING, f"{head}\n{counts}\n\n{results}")


if __name__ == "__main__":
    main()
