"""Calls a second, and what a call costs, side by side with peers: ``python -m benchmarks.throughput``.

Everyone sends the same calls to the same endpoint, once a round, in turn, each in a process of its own. A ratio is to
the bare aiohttp loop of the same round.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple
from urllib.parse import urlencode

import sqlalchemy as sa

from airflow_provider_impactcall.delivery.wire.endpoint import PATH
from benchmarks import mapped_operator
from benchmarks.databases import database
from benchmarks.endpoints import LATENCY, Endpoints, NotInstalled, Request, endpoints
from benchmarks.processes import environment, told
from benchmarks.results import load_average, markdown_table, measured_on, write_section
from benchmarks.rows import row, rows
from benchmarks.senders import (
    AUTHORIZATION,
    ENDPOINT,
    HTTP,
    LEDGER,
    LOGIN,
    PASSWORD,
    WAREHOUSE,
    Job,
    Spent,
    parameters_of,
)
from tests.databases import as_connection, empty_database

HEADING = "Throughput"
_LONGEST = 600.0
_WARM = 100
_CHECKED = 20
_ROWS_AN_INSERT = 10_000

_WRK_SECONDS = 3
_WRK_REQUESTS = 1000
_WRK_SCRIPT = """\
local requests, sent = {}, 0
function init(arguments)
  for path in io.lines(arguments[1]) do
    requests[#requests + 1] = wrk.format("POST", path, {Authorization = arguments[2]})
  end
end
function request()
  sent = sent % #requests + 1
  return requests[sent]
end
"""


class Pass(NamedTuple):
    """What one contender came to in one round.

    :param rate: calls a second by the clock
    :param cpu: microseconds of the sending process's CPU a call; None if that is not known
    """

    rate: float
    cpu: float | None


@dataclass(frozen=True)
class Contender:
    """A way to send.

    :param sender: its name in :mod:`benchmarks.senders`, or ``wrk``
    :param calls: so many a round
    :param late: to the endpoint that answers after 50 ms
    """

    title: str
    sender: str
    calls: int
    late: bool = False

    def __str__(self) -> str:
        return f"{self.title}, {LATENCY * 1000:.0f} ms" if self.late else self.title


@dataclass(frozen=True)
class Measured:
    """What a contender came to in every round."""

    contender: Contender
    passes: list[Pass] = field(default_factory=list)

    @property
    def rates(self) -> list[float]:
        return [each.rate for each in self.passes]

    @property
    def cpu(self) -> list[float]:
        return [each.cpu for each in self.passes if each.cpu is not None]


class Ratio(NamedTuple):
    """The median of a ratio, the least and the most."""

    middle: float
    least: float
    most: float

    @classmethod
    def of(cls, ones: Sequence[float], others: Sequence[float]) -> Ratio:
        """Of one to another, each a number a round."""
        rounds = [one / other for one, other in zip(ones, others, strict=True)]
        return cls(median(rounds), min(rounds), max(rounds))

    def __str__(self) -> str:
        figures = 0 if self.middle >= 100 else 2
        return f"{self.middle:,.{figures}f} ({self.least:,.{figures}f} to {self.most:,.{figures}f})"


class Target(NamedTuple):
    """What is to be reached."""

    text: str
    ratio: Ratio
    bound: float
    at_most: bool = False

    @property
    def met(self) -> bool:
        return self.ratio.middle <= self.bound if self.at_most else self.ratio.middle >= self.bound

    def line(self) -> tuple[str, ...]:
        bound = f"at {'most' if self.at_most else 'least'} {self.bound:,g}"
        return self.text, bound, str(self.ratio), "met" if self.met else "**not met**"


@dataclass(frozen=True)
class Results:
    """What everyone came to.

    :param measured: by sender; the bare loop is always among them
    :param late: the same with the endpoint that answers late
    :param mapped: calls a second of the mapped HttpOperator; None if it was left out
    """

    measured: Mapping[str, Measured]
    late: Mapping[str, Measured]
    mapped: float | None
    concurrency: int

    def targets(self) -> Iterator[Target]:
        """Those that what was measured can speak of."""
        bare, ours = self.measured["bare_aiohttp"], self.measured.get("ours")
        on_postgresql = self.measured.get("ours_on_postgresql")
        if ours is not None:
            yield Target("calls/s to the bare loop", Ratio.of(ours.rates, bare.rates), 0.7)
            for peer, text, bound in (("http_hook", "the HttpHook loop", 5), ("dlt_destination", "dlt", 4)):
                if peer in self.measured:
                    yield Target(f"calls/s to {text}", Ratio.of(ours.rates, self.measured[peer].rates), bound)
            yield Target("CPU a call to the bare loop", Ratio.of(ours.cpu, bare.cpu), 1.5, at_most=True)
            if self.mapped is not None:
                mapped = Ratio.of(ours.rates, [self.mapped] * len(ours.rates))
                yield Target("calls/s to the mapped HttpOperator", mapped, 1000)
        if on_postgresql is not None:
            yield Target(
                "ledger on PostgreSQL: calls/s to the bare loop", Ratio.of(on_postgresql.rates, bare.rates), 0.5
            )
        if "ours" in self.late:
            text = f"{LATENCY * 1000:.0f} ms: calls/s to {self.concurrency} a {LATENCY * 1000:.0f} ms"
            yield Target(text, self._share(self.late["ours"]), 0.9)

    def __str__(self) -> str:
        bare = self.measured["bare_aiohttp"]
        prompt = [
            (
                each.contender.title,
                f"{median(each.rates):,.0f}",
                str(Ratio.of(each.rates, bare.rates)),
                f"{median(each.cpu):,.0f}" if each.cpu else "",
                str(Ratio.of(each.cpu, bare.cpu)) if each.cpu else "",
            )
            for each in self.measured.values()
        ]
        if self.mapped is not None:
            ratio = self.mapped / median(bare.rates)
            prompt.append(("mapped HttpOperator, real scheduler", f"{self.mapped:.2f}", f"{ratio:.5f}", "", ""))
        late = [
            (
                each.contender.title,
                f"{median(each.rates):,.0f}",
                str(self._share(each)),
                f"{median(each.cpu):,.0f}",
            )
            for each in self.late.values()
        ]
        parts = [
            f"{self.concurrency} in flight, no latency:",
            markdown_table(("", "calls/s", "to bare aiohttp", "CPU us a call", "to bare aiohttp"), prompt),
        ]
        if late:
            share = f"share of {self.concurrency / LATENCY:,.0f}"
            parts += [
                f"{self.concurrency} in flight, {LATENCY * 1000:.0f} ms of latency:",
                markdown_table(("", "calls/s", share, "CPU us a call"), late),
            ]
        targets = [target.line() for target in self.targets()]
        if targets:
            parts += [
                "This package, with its ledger on SQLite unless said:",
                markdown_table(("target", "", "measured", ""), targets),
            ]
        return "\n\n".join(parts)

    def _share(self, each: Measured) -> Ratio:
        return Ratio.of(each.rates, [self.concurrency / LATENCY] * len(each.rates))


def contenders(calls: int, slow: int, late: int) -> list[Contender]:
    """Everyone but the mapped HttpOperator.

    :param calls: a round
    :param slow: a round, for those who send one call after the other
    :param late: a round, to the endpoint that answers late
    """
    return [
        Contender("wrk (the ceiling)", "wrk", _WRK_REQUESTS),
        Contender("bare aiohttp loop on uvloop", "bare_aiohttp_on_uvloop", calls),
        Contender("bare aiohttp loop", "bare_aiohttp", calls),
        Contender("this package, ledger on SQLite", "ours", calls),
        Contender("this package, ledger on PostgreSQL", "ours_on_postgresql", calls),
        Contender("requests session loop", "requests_session", slow),
        Contender("HttpHook loop", "http_hook", slow),
        # So many that what dlt takes to start, a second or more, is little beside them.
        Contender("dlt custom destination", "dlt_destination", 3 * slow),
        Contender("bare aiohttp loop", "bare_aiohttp", late, late=True),
        Contender("this package, ledger on SQLite", "ours", late, late=True),
    ]


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
    concurrency: int

    def passed(self, contender: Contender) -> Pass:
        """Have a contender send its calls.

        :raises RuntimeError: if they are not what came
        """
        origin = self.endpoints.slow if contender.late else self.endpoints.prompt
        before = self.endpoints.answered()
        if contender.sender == "wrk":
            count, rate = self._wrk(contender.calls, origin, _WRK_SECONDS)
            cpu = None
            # It leaves when its time is up, whatever is in flight.
            allowed = range(count, count + self.concurrency + 1)
        else:
            spent = self.spent(contender, origin)
            rate, cpu = contender.calls / spent.wall, spent.cpu / contender.calls * 1e6
            allowed = range(contender.calls + _warm(contender), contender.calls + _warm(contender) + 1)
        came = self.endpoints.answered() - before
        if came not in allowed:
            raise RuntimeError(f"{contender}: {allowed[0]} requests were to be sent, and {came} came")
        return Pass(rate, cpu)

    def check(self, contender: Contender) -> None:
        """Have a contender send a few calls, and look at each request.

        :raises RuntimeError: if they are not what everyone sends
        """
        if contender.sender == "wrk":
            self._wrk(_CHECKED, self.endpoints.logged, 1)
            self.compare(contender, set(self.endpoints.requests()), _CHECKED)
        else:
            few = replace(contender, calls=_CHECKED)
            self.spent(few, self.endpoints.logged)
            self.compare(contender, self.endpoints.requests(), _warm(few) + few.calls)

    def compare(self, contender: Contender, came: Iterable[Request], calls: int) -> None:
        """Expect that these are the first so many calls, each once.

        :raises RuntimeError: if they are not
        """
        expected = Counter(
            Request("POST", PATH, tuple(sorted(parameters.items())), AUTHORIZATION, 200)
            for parameters in parameters_of(Job("", warm=0, calls=calls, concurrency=1))
        )
        more, fewer = Counter(came) - expected, expected - Counter(came)
        if more or fewer:
            example = next(iter(more or fewer))
            raise RuntimeError(f"{contender}: {more.total()} requests too many, {fewer.total()} missing; {example}")

    def mapped(self, calls: int) -> float:
        """Calls a second of a mapped HttpOperator; the requests are looked at as well."""
        if self.postgresql is None:
            raise RuntimeError("the mapped HttpOperator needs PostgreSQL")
        folder = self.folder / "mapped"
        folder.mkdir()
        rate = mapped_operator.calls_a_second(folder, self.postgresql, self.endpoints.logged, calls)
        self.compare(Contender("mapped HttpOperator", "mapped", calls), self.endpoints.requests(), calls)
        return rate

    def spent(self, contender: Contender, origin: str) -> Spent:
        """What a sender took in a process of its own, with an Airflow home and a ledger that are new."""
        job = Job(origin, _warm(contender), contender.calls, self.concurrency)
        with tempfile.TemporaryDirectory(prefix="sender-", dir=self.folder) as home:
            settings = self.environment(contender.sender, Path(home), origin)
            given = json.dumps(asdict(job))
            return Spent(
                **told("-m", "benchmarks.senders", contender.sender, env=settings, given=given, timeout=_LONGEST)
            )

    def environment(self, sender: str, home: Path, origin: str) -> dict[str, str]:
        """What leads a sender to the warehouse, a ledger and an endpoint, and keeps in a folder what it writes."""
        address = {"host": origin, "login": LOGIN, "password": PASSWORD}
        connections = {
            WAREHOUSE: json.dumps({"conn_type": "sqlite", "host": str(self.warehouse)}),
            ENDPOINT: json.dumps({"conn_type": "impactcall", **address}),
            HTTP: json.dumps({"conn_type": "http", **address}),
        }
        if sender == "ours_on_postgresql":
            if self.postgresql is None:
                raise RuntimeError(f"{sender} needs PostgreSQL")
            connections[LEDGER] = as_connection(empty_database(self.postgresql))
        return environment(
            home,
            **{f"AIRFLOW_CONN_{name.upper()}": connection for name, connection in connections.items()},
            DLT_DATA_DIR=str(home),
            RUNTIME__DLTHUB_TELEMETRY="false",
        )

    def _wrk(self, calls: int, origin: str, seconds: int) -> tuple[int, float]:
        """The requests that wrk has had answered, one call after the other over and over, and how many a second."""
        script, paths = self.folder / "wrk.lua", self.folder / "paths"
        script.write_text(_WRK_SCRIPT, encoding="utf-8")
        sent = parameters_of(Job(origin, warm=0, calls=calls, concurrency=1))
        paths.write_text("".join(f"{PATH}?{urlencode(parameters)}\n" for parameters in sent), encoding="utf-8")
        command = ["wrk", "-t1", f"-c{self.concurrency}", f"-d{seconds}s", "-s", str(script), origin]
        command += ["--", str(paths), AUTHORIZATION]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        words = said.split()
        if "Non-2xx" in said or "errors:" in words:
            raise RuntimeError(f"wrk met errors: {said}")
        return int(words[words.index("requests") - 1]), float(words[words.index("Requests/sec:") + 1])


def _warm(contender: Contender) -> int:
    return min(_WARM, contender.calls)


@contextmanager
def stage(calls: int, *, concurrency: int = 64, postgresql: bool = False) -> Iterator[Stage]:
    """An endpoint, a warehouse of so many calls beside those that are sent before the clock starts, and a PostgreSQL
    server if one is asked for.

    :raises NotInstalled: if a program is missing
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="impactcall-throughput-")))
        running = stack.enter_context(endpoints())
        server = sa.make_url(stack.enter_context(database("postgresql", folder))) if postgresql else None
        warehouse = folder / "warehouse.db"
        fill(warehouse, calls + _WARM)
        yield Stage(folder, running, warehouse, server, concurrency)


def fill(warehouse: Path, calls: int) -> None:
    """A table of so many calls, as :func:`benchmarks.rows.rows` has them; SQLite has text for a time."""
    columns = [
        sa.Column(name, sa.Integer if isinstance(value, int) else sa.Text) for name, value in _stored(row(0)).items()
    ]
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


def measure(shared: Stage, each: Sequence[Contender], rounds: int, mapped_calls: int) -> Results:
    """Every contender once a round, in turn, so that other work on the machine falls on all alike.

    :param mapped_calls: for the mapped HttpOperator, which sends once; 0 leaves it out
    """
    for contender in each:
        if not contender.late:
            shared.check(contender)
    measured = {contender: Measured(contender) for contender in each}
    for number in range(rounds):
        start = number % len(each)
        for contender in (*each[start:], *each[:start]):
            passed = shared.passed(contender)
            measured[contender].passes.append(passed)
            cpu = "" if passed.cpu is None else f", {passed.cpu:,.0f} us of CPU a call"
            print(f"round {number + 1}: {contender}: {passed.rate:,.0f} calls/s{cpu}", flush=True)
    mapped = shared.mapped(mapped_calls) if mapped_calls else None
    if mapped is not None:
        print(f"mapped HttpOperator: {mapped:.2f} calls/s", flush=True)
    return Results(
        {contender.sender: result for contender, result in measured.items() if not contender.late},
        {contender.sender: result for contender, result in measured.items() if contender.late},
        mapped,
        shared.concurrency,
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    whole: dict[str, Any] = {"type": int, "help": "%(metavar)s (default: %(default)s)"}
    parser.add_argument("--calls", default=20_000, metavar="calls a round", **whole)
    parser.add_argument("--slow", default=2_000, metavar="the same for those who send one after the other", **whole)
    parser.add_argument("--late", default=12_800, metavar="the same with 50 ms of latency", **whole)
    parser.add_argument("--rounds", default=5, metavar="rounds", **whole)
    parser.add_argument("--mapped", default=40, metavar="calls of the mapped HttpOperator; 0 leaves it out", **whole)
    parser.add_argument(
        "--only",
        action="append",
        choices=dict.fromkeys(each.sender for each in contenders(1, 1, 1)),
        help="only this sender, and the bare aiohttp loop; may be repeated; nothing is written to RESULTS.md",
    )
    options = parser.parse_args()
    if min(options.calls, options.slow, options.late, options.rounds, options.mapped + 1) < 1:
        parser.error("--calls, --slow, --late and --rounds must be at least 1, and --mapped at least 0")
    everyone = contenders(options.calls, options.slow, options.late)
    chosen = {*(options.only or [each.sender for each in everyone]), "bare_aiohttp"}
    load = load_average()
    try:
        if "wrk" in chosen and shutil.which("wrk") is None:
            raise NotInstalled("install Debian's wrk: it is the ceiling of this benchmark")
        with stage(max(options.calls, options.late), postgresql=True) as shared:
            version = shared.endpoints.version
            senders = [each for each in everyone if each.sender in chosen]
            results = measure(shared, senders, options.rounds, 0 if options.only else options.mapped)
    except NotInstalled as problem:
        sys.exit(str(problem))
    print(f"\n{results}")
    if not options.only:
        command = " ".join(["python -m benchmarks.throughput", *sys.argv[1:]])
        head = measured_on(command, load, ["uvloop", "requests", "dlt"], [f"nginx {version}"])
        counts = (
            f"{options.rounds} rounds of {options.calls:,} calls; {options.slow:,} for those who send one after the "
            f"other (dlt three times as many), {options.late:,} with latency. Medians, and of ratios the least and the "
            "most."
        )
        write_section(HEADING, f"{head}\n{counts}\n\n{results}")


if __name__ == "__main__":
    main()
