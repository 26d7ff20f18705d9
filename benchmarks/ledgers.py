"""What each strategy of remembering costs under faults and kills: ``python -m benchmarks.ledgers``.

The same calls are delivered to a sandbox once with each strategy. With each strategy, the n-th request meets the same
fault, and kill -9 comes after the same numbers of requests. After every kill the delivery runs again, until it is done.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import sqlalchemy as sa

from airflow_provider_impactcall.delivery.ledger.schema import calls as ledger_calls
from airflow_provider_impactcall.sandbox import Sandbox
from tests.examples import LOGIN, PASSWORD

ROOT = Path(__file__).resolve().parent.parent
PREFIX = "call"
LATENCY = 0.03
# Two ask for a retry; with four, no answer says what came of the call. With three of the six, the call is processed.
KINDS = ("429-bare", "500", "reset-before-reading", "reset-after-processing", "502-after-processing", "truncated-body")
# The last kill comes while every strategy still has calls to send.
_KILLED_WITHIN = 0.9
_CALLS_A_KILL = 50
_LONGEST_RUN = 300.0
_POLL = 0.001


@dataclass(frozen=True)
class Strategy:
    """A strategy of remembering which calls were sent.

    :param module: the module that runs as a process
    :param name: for a peer, its first argument; for the package, the option ``on_unknown``
    """

    title: str
    module: str
    name: str

    @property
    def is_ours(self) -> bool:
        return self.module == "benchmarks.ours"

    def command(self, url: str, folder: Path, count: int) -> list[str]:
        told = (url, ledger_url(folder), self.name) if self.is_ours else (self.name, url, str(folder))
        return [sys.executable, "-m", self.module, *told, str(count), PREFIX]

    def reported(self, folder: Path) -> set[str]:
        """The calls that it reports as not, or maybe not, delivered. A peer reports none: it repeats all calls."""
        if not self.is_ours:
            return set()
        engine = sa.create_engine(ledger_url(folder))
        with engine.connect() as connection:
            query = sa.select(ledger_calls.c.CallSessionId).where(ledger_calls.c.state != "delivered")
            session_ids = set(connection.execute(query).scalars())
        engine.dispose()
        return session_ids


STRATEGIES = (
    Strategy("no ledger", "benchmarks.peers", "nothing"),
    Strategy("checkpoint every 100 rows", "benchmarks.peers", "checkpoint"),
    Strategy("outcome-only ledger", "benchmarks.peers", "outcomes"),
    Strategy("intent + hold (the default)", "benchmarks.ours", "hold"),
    Strategy("intent + resend", "benchmarks.ours", "resend"),
)


@dataclass(frozen=True)
class Line:
    """The result of a strategy.

    :param too_many: processed requests beyond one for each call
    :param lost: calls that were never processed, and that were not reported
    :param held: calls of unknown fate, which were reported and not sent again
    :param held_processed: the held calls that had been processed
    """

    title: str
    too_many: int
    lost: int
    held: int
    held_processed: int
    kills: int
    seconds: float

    def __str__(self) -> str:
        held = f"{self.held} ({self.held_processed} had arrived)" if self.held else "0"
        return f"| {self.title} | {self.too_many:,} | {self.lost} | {held} | {self.kills} | {self.seconds:.0f} |"


HEAD = "| strategy | sends too many | lost | held | kills | seconds |\n|---|---:|---:|---:|---:|---:|"


def table(strategies: Iterable[Strategy], calls: int, kills: int, faults: float, seed: int) -> Iterator[Line]:
    """Deliver the same calls with each strategy, through the same faults and kills."""
    points = kill_points(calls, kills, seed)
    for strategy in strategies:
        rates = dict.fromkeys(KINDS, faults / len(KINDS))
        endpoint = Sandbox(user=LOGIN, password=PASSWORD, latency=LATENCY, faults=rates, seed=seed, keep_requests=False)
        with tempfile.TemporaryDirectory(prefix="impactcall-ledgers-") as folder, endpoint.in_thread() as sandbox:
            yield measure(strategy, sandbox, Path(folder), calls, points)


def kill_points(calls: int, kills: int, seed: int) -> list[int]:
    """Numbers of requests, far enough apart that every process sends some before it is killed."""
    random = Random(seed)
    apart = calls * _KILLED_WITHIN / max(kills, 1)
    return [round(apart * (number + random.uniform(0.3, 0.9))) for number in range(kills)]


def measure(strategy: Strategy, sandbox: Sandbox, folder: Path, calls: int, points: Sequence[int]) -> Line:
    started = time.monotonic()
    command = strategy.command(sandbox.url, folder, calls)
    kills = sum(killed(start(command), sandbox, point) for point in points)
    last = start(command)
    try:
        out, err = last.communicate(timeout=_LONGEST_RUN)
    finally:
        last.kill()
    if last.returncode != 0:
        raise RuntimeError(f"{strategy.title}: ended with {last.returncode}: {err[-3000:]}")
    seconds = time.monotonic() - started
    processed = Counter(call["parameters"]["CallSessionId"] for call in sandbox.calls)
    reported = strategy.reported(folder)
    if strategy.is_ours and (unknown := json.loads(out.splitlines()[-1])["unknown"]) != len(reported):
        raise RuntimeError(f"{strategy.title}: reports {unknown} unknown, and its ledger holds {len(reported)}")
    return Line(
        strategy.title,
        too_many=processed.total() - len(processed),
        lost=sum(f"{PREFIX}-{number}" not in processed.keys() | reported for number in range(calls)),
        held=len(reported),
        held_processed=len(reported & processed.keys()),
        kills=kills,
        seconds=seconds,
    )


def start(command: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def killed(process: subprocess.Popen[str], sandbox: Sandbox, point: int) -> bool:
    """Kill the process once the sandbox has had this number of requests in all. False if it ended before."""
    while sandbox.counts["requests"] < point and process.poll() is None:
        time.sleep(_POLL)
    done = process.poll() is not None
    process.kill()
    process.communicate()
    return not done


def ledger_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'ledger.db'}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ledgers", description=__doc__)
    parser.add_argument("--calls", type=int, default=3000, help="default: %(default)s")
    parser.add_argument("--kills", type=int, default=12, help="default: %(default)s")
    parser.add_argument("--faults", type=float, default=0.06, help="the share of requests (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the faults and the kills (default: %(default)s)")
    options = parser.parse_args()
    if not 0 <= options.kills * _CALLS_A_KILL <= options.calls:
        parser.error(f"there must be {_CALLS_A_KILL} calls a kill or more")
    print(HEAD, flush=True)
    for line in table(STRATEGIES, options.calls, options.kills, options.faults, options.seed):
        print(line, flush=True)


if __name__ == "__main__":
    main()
