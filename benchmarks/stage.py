"""The set-up in which senders are measured: an endpoint, a warehouse, a PostgreSQL server and the contenders."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple
from urllib.parse import urlencode

import sqlalchemy as sa

from airflow_provider_impactcall.delivery.wire.endpoint import PATH
from benchmarks import mapped_operator
from benchmarks.databases import database
from benchmarks.endpoints import LATENCY, Endpoints, Request, endpoints
from benchmarks.processes import environment, told
from benchmarks.rows import Rows
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

To = Literal["prompt", "slow", "tls"]
"""A server of :class:`.Endpoints`."""

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
    """The measurements of one contender in one round.

    :param rate: calls a second by the clock
    :param cpu: microseconds of the sending process's CPU a call; None if unknown
    """

    rate: float
    cpu: float | None


@dataclass(frozen=True)
class Contender:
    """A way to send.

    :param sender: its name in :mod:`benchmarks.senders`, or ``wrk``
    :param calls: calls in each round
    :param to: the server that it sends to
    """

    title: str
    sender: str
    calls: int
    to: To = "prompt"

    def __str__(self) -> str:
        where = {"prompt": "", "slow": f", {LATENCY * 1000:.0f} ms", "tls": ", TLS"}
        return f"{self.title}{where[self.to]}"


@dataclass(frozen=True)
class Stage:
    """What all contenders share.

    :param folder: the folder for their files
    :param rows: the kind of all rows
    :param warehouse: a SQLite file with these rows in the table ``calls``
    :param postgresql: the URL of a server's first database; None without a server
    """

    folder: Path
    endpoints: Endpoints
    rows: Rows
    warehouse: Path
    postgresql: sa.URL | None
    concurrency: int

    def passed(self, contender: Contender) -> Pass:
        """Have a contender send its calls.

        :raises RuntimeError: if the endpoint received another number of requests
        """
        origin = getattr(self.endpoints, contender.to)
        before = self.endpoints.answered()
        if contender.sender == "wrk":
            count, rate = self._wrk(contender.calls, origin, _WRK_SECONDS)
            cpu = None
            # wrk ends when its time is up, with requests still in flight.
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
        """Have a contender send a few calls, and compare each request.

        :raises RuntimeError: if a request differs from the requests that all contenders send
        """
        if contender.sender == "wrk":
            self._wrk(_CHECKED, self.endpoints.logged, 1)
            self.compare(contender, set(self.endpoints.requests()), _CHECKED)
        else:
            few = replace(contender, calls=_CHECKED)
            self.spent(few, self.endpoints.logged)
            self.compare(contender, self.endpoints.requests(), _warm(few) + few.calls)

    def compare(self, contender: Contender, came: Iterable[Request], calls: int) -> None:
        """Check that these requests are the first ``calls`` calls, each once.

        :raises RuntimeError: if they are not
        """
        expected = Counter(
            Request("POST", PATH, tuple(sorted(parameters.items())), AUTHORIZATION, 200)
            for parameters in self._parameters(calls)
        )
        more, fewer = Counter(came) - expected, expected - Counter(came)
        if more or fewer:
            example = next(iter(more or fewer))
            raise RuntimeError(f"{contender}: {more.total()} requests too many, {fewer.total()} missing; {example}")

    def mapped(self, calls: int) -> float:
        """Calls a second of a mapped HttpOperator; its requests are compared too."""
        if self.postgresql is None:
            raise RuntimeError("the mapped HttpOperator needs PostgreSQL")
        folder = self.folder / "mapped"
        folder.mkdir()
        rate = mapped_operator.calls_a_second(folder, self.postgresql, self.endpoints.logged, self._parameters(calls))
        self.compare(Contender("mapped HttpOperator", "mapped", calls), self.endpoints.requests(), calls)
        return rate

    def spent(self, contender: Contender, origin: str) -> Spent:
        """The time of a sender in its own process, with a new Airflow home and a new ledger."""
        job = Job(origin, _warm(contender), contender.calls, self.concurrency, self.rows.name)
        with tempfile.TemporaryDirectory(prefix="sender-", dir=self.folder) as home:
            settings = self.environment(contender.sender, Path(home), origin)
            given = json.dumps(asdict(job))
            return Spent(
                **told("-m", "benchmarks.senders", contender.sender, env=settings, given=given, timeout=_LONGEST)
            )

    def environment(self, sender: str, home: Path, origin: str) -> dict[str, str]:
        """A sender's environment: connections to warehouse, ledger and endpoint, and a folder for its files."""
        address = {"host": origin, "login": LOGIN, "password": PASSWORD}
        trust = {"verify": str(self.endpoints.certificate)} if origin == self.endpoints.tls else {}
        connections = {
            WAREHOUSE: json.dumps({"conn_type": "sqlite", "host": str(self.warehouse)}),
            ENDPOINT: json.dumps({"conn_type": "impactcall", **address, "extra": trust}),
            HTTP: json.dumps({"conn_type": "http", **address}),
        }
        if sender == "ours_on_postgresql":
            if self.postgresql is None:
                raise RuntimeError(f"{sender} needs PostgreSQL")
            connections[LEDGER] = as_connection(empty_database(self.postgresql))
        return environment(
            home,
            **{f"AIRFLOW_CONN_{name.upper()}": connection for name, connection in connections.items()},
            # For aiohttp; no other peer sends over TLS.
            SSL_CERT_FILE=str(self.endpoints.certificate),
            DLT_DATA_DIR=str(home),
            RUNTIME__DLTHUB_TELEMETRY="false",
        )

    def _wrk(self, calls: int, origin: str, seconds: int) -> tuple[int, float]:
        """Have wrk send these calls in a loop: how many requests were answered, and how many a second."""
        script, paths = self.folder / "wrk.lua", self.folder / "paths"
        script.write_text(_WRK_SCRIPT, encoding="utf-8")
        sent = (f"{PATH}?{urlencode(parameters)}\n" for parameters in self._parameters(calls))
        paths.write_text("".join(sent), encoding="utf-8")
        command = ["wrk", "-t1", f"-c{self.concurrency}", f"-d{seconds}s", "-s", str(script), origin]
        command += ["--", str(paths), AUTHORIZATION]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        words = said.split()
        if "Non-2xx" in said or "errors:" in words:
            raise RuntimeError(f"wrk met errors: {said}")
        return int(words[words.index("requests") - 1]), float(words[words.index("Requests/sec:") + 1])

    def _parameters(self, calls: int) -> list[dict[str, str]]:
        """The parameters of the first ``calls`` calls."""
        return parameters_of(Job("", warm=0, calls=calls, concurrency=1, rows=self.rows.name))


def _warm(contender: Contender) -> int:
    return min(_WARM, contender.calls)


@contextmanager
def stage(rows: Rows, calls: int, *, concurrency: int = 64, postgresql: bool = False) -> Iterator[Stage]:
    """An endpoint, a warehouse of ``calls`` calls and the warm-up calls, and a PostgreSQL server if asked for.

    :raises NotInstalled: if a program is missing
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="impactcall-throughput-")))
        running = stack.enter_context(endpoints())
        server = sa.make_url(stack.enter_context(database("postgresql", folder))) if postgresql else None
        warehouse = folder / "warehouse.db"
        fill(warehouse, rows, calls + _WARM)
        yield Stage(folder, running, rows, warehouse, server, concurrency)


def fill(warehouse: Path, rows: Rows, calls: int) -> None:
    """Make a table of ``calls`` calls in a new SQLite file."""
    columns = [sa.Column(name, _TYPES.get(type(value), sa.Text)) for name, value in stored(rows.row(0)).items()]
    table = sa.Table("calls", sa.MetaData(), *columns)
    engine = sa.create_engine(f"sqlite:///{warehouse}")
    table.create(engine)
    for first in range(0, calls, _ROWS_AN_INSERT):
        some = [stored(each) for each in rows.of(min(_ROWS_AN_INSERT, calls - first), first)]
        with engine.begin() as connection:
            connection.execute(table.insert(), some)
    engine.dispose()


_TYPES: Mapping[type, Any] = {bool: sa.Boolean, int: sa.BigInteger, float: sa.Float}


def stored(each: Mapping[str, Any]) -> dict[str, Any]:
    """A row as SQLite holds it: times and nested values are text."""
    return {name: _as_text(value) if isinstance(value, _TEXTS) else value for name, value in each.items()}


_TEXTS = (datetime, dict, list)


def _as_text(value: object) -> str:
    return str(value) if isinstance(value, datetime) else json.dumps(value)
