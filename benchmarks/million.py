"""A million rows from PostgreSQL, in flat memory and at a steady pace: ``python -m benchmarks.million``.

Two deliveries run in their own processes: one of 10,000 rows, to find the minimum, and one of all rows. The clock is
unreliable on a shared machine: compare the CPU time of a row at the beginning and at the end.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from benchmarks.databases import DATABASES, database
from benchmarks.delivering import ENDPOINT, TENTHS, WAREHOUSE, Course
from benchmarks.endpoints import Endpoints, NotInstalled, endpoints
from benchmarks.processes import environment, told
from benchmarks.results import load_average, markdown_table, measured_on, write_section
from benchmarks.rows import Rows
from benchmarks.senders import LEDGER, LOGIN, PASSWORD
from benchmarks.stage import stored
from benchmarks.vendor_rows import KINDS
from tests.databases import as_connection, empty_database

HEADINGS = {"vendor": "A million rows", "plain": "A million plain rows"}
MORE_MEMORY, SLOWER = 40, 0.10

_ROWS_A_COPY = 50_000


@dataclass(frozen=True)
class Result:
    """Two deliveries with a ledger in the same kind of database.

    :param few: the delivery of so many rows that the process has all its parts in memory
    :param all: the delivery of all rows
    """

    ledger: str
    few: Course
    all: Course

    @property
    def more_memory(self) -> float:
        """How many MB more all rows take than the few rows."""
        return self.all.peak - self.few.peak

    @property
    def slower(self) -> tuple[float, float]:
        """How much longer the last tenth took than the first: by the clock, and in CPU."""
        return self.all.wall[-1] / self.all.wall[0] - 1, self.all.cpu[-1] / self.all.cpu[0] - 1

    def cells(self) -> tuple[str, ...]:
        wall, cpu = self.slower
        tenth = self.all.rows / TENTHS
        return (
            self.ledger,
            f"{self.all.rows / sum(self.all.wall):,.0f}",
            f"{tenth / self.all.wall[0]:,.0f}",
            f"{tenth / self.all.wall[-1]:,.0f} ({-wall / (1 + wall):+.0%})",
            f"{self.all.cpu[0] / tenth * 1e6:,.0f}",
            f"{self.all.cpu[-1] / tenth * 1e6:,.0f} ({cpu:+.0%})",
            f"{self.few.peak:.0f}",
            f"{self.all.peak:.0f} ({self.more_memory:+.0f})",
        )


HEAD = (
    "ledger",
    "rows/s",
    "in the first tenth",
    "in the last",
    "us of CPU a row in the first tenth",
    "in the last",
    "peak MB of the few",
    "of all",
)


@contextmanager
def warehouse(folder: Path, rows: Rows, count: int) -> Iterator[sa.URL]:
    """Run a PostgreSQL server, and give the URL of a database with a table of this number of calls."""
    with database("postgresql", folder) as url:
        filled = empty_database(sa.make_url(url))
        engine = sa.create_engine(filled)
        columns = ", ".join(f'"{name}" {_type(value)}' for name, value in rows.row(0).items())
        with closing(engine.raw_connection()) as connection, closing(connection.cursor()) as cursor:
            cursor.execute(f"CREATE TABLE calls ({columns})")
            for first in range(0, count, _ROWS_A_COPY):
                text = io.StringIO()
                some = rows.of(min(_ROWS_A_COPY, count - first), first)
                csv.writer(text).writerows(stored(each).values() for each in some)
                text.seek(0)
                cursor.copy_expert("COPY calls FROM STDIN WITH CSV", text)
            connection.commit()
        engine.dispose()
        yield filled


def _type(value: object) -> str:
    return _TYPES.get(type(value), "text")


_TYPES = {
    bool: "boolean",
    int: "bigint",
    float: "double precision",
    datetime: "timestamptz",
    dict: "json",
    list: "json",
}


def delivered(
    folder: Path, source: sa.URL, to: Endpoints, rows: Rows, ledger: str, count: int, concurrency: int
) -> Course:
    """Deliver this number of rows of the table with a new ledger, in its own process."""
    before = to.answered()
    conn_id = LEDGER if ledger == "postgresql" else "embedded"
    with tempfile.TemporaryDirectory(prefix="home-", dir=folder) as home:
        settings = _settings(Path(home), source, to.prompt)
        if ledger == "postgresql":
            settings[f"AIRFLOW_CONN_{LEDGER.upper()}"] = as_connection(empty_database(source))
        arguments = (conn_id, rows.name, str(count), str(concurrency))
        course = Course(**told("-m", "benchmarks.delivering", *arguments, env=settings))
    came = to.answered() - before
    if came != count:
        raise RuntimeError(f"{count} calls were to be sent, and {came} requests came")
    return course


def _settings(home: Path, source: sa.URL, origin: str) -> dict[str, str]:
    endpoint: Mapping[str, str] = {"conn_type": "impactcall", "host": origin, "login": LOGIN, "password": PASSWORD}
    connections = {WAREHOUSE: as_connection(source), ENDPOINT: json.dumps(endpoint)}
    return environment(home, **{f"AIRFLOW_CONN_{name.upper()}": value for name, value in connections.items()})


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.million", description=__doc__)
    parser.add_argument("--rows", choices=KINDS, default="vendor", help="default: %(default)s")
    parser.add_argument("--calls", type=int, default=1_000_000, help="default: %(default)s")
    parser.add_argument("--few", type=int, default=10_000, help="rows to compare with (default: %(default)s)")
    parser.add_argument("--concurrency", type=int, default=64, help="default: %(default)s")
    parser.add_argument("--ledger", choices=DATABASES, action="append", help="where it is (default: sqlite)")
    options = parser.parse_args()
    load, rows = load_average(), KINDS[options.rows]
    try:
        with endpoints() as to:
            ledgers = options.ledger or ["sqlite"]
            results = measured(rows, to, ledgers, options.few, options.calls, options.concurrency)
    except NotInstalled as problem:
        sys.exit(str(problem))
    if options.rows in HEADINGS:
        command = f"python -m benchmarks.million {' '.join(sys.argv[1:])}".strip()
        head = measured_on(command, load, ["psycopg2-binary"], [f"nginx {to.version}"])
        write_section(HEADINGS[options.rows], f"{head}\n\n{counted(rows, results, options.concurrency)}")


def measured(rows: Rows, to: Endpoints, ledgers: Sequence[str], few: int, every: int, concurrency: int) -> list[Result]:
    """Deliver a few rows and all rows, with a ledger in each of these databases."""
    results = []
    with tempfile.TemporaryDirectory(prefix="impactcall-million-") as name:
        folder = Path(name)
        with warehouse(folder, rows, every) as source:
            for ledger in ledgers:
                courses = (delivered(folder, source, to, rows, ledger, count, concurrency) for count in (few, every))
                results.append(Result(ledger, *courses))
                print(" | ".join(results[-1].cells()), flush=True)
    return results


def counted(rows: Rows, results: Sequence[Result], concurrency: int) -> str:
    """The measurements in words and figures."""
    aims = (
        f"{rows.title}: {results[0].all.rows:,}, {concurrency} requests in flight; the few are "
        f"{results[0].few.rows:,}. Aims: at most {MORE_MEMORY} MB more than the few take, and the last tenth within "
        f"{SLOWER:.0%} of the first."
    )
    return f"{aims}\n\n{markdown_table(HEAD, [result.cells() for result in results])}"


if __name__ == "__main__":
    main()
