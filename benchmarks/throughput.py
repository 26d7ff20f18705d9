"""Calls a second and CPU a call, compared with peers: ``python -m benchmarks.throughput``.

All contenders send the same calls to the same endpoint, once in each round, each in its own process. Every second round
has the opposite order. Ratios compare with the bare aiohttp loop of the same round.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.endpoints import LATENCY, NotInstalled
from benchmarks.ratios import Figure
from benchmarks.results import load_average, markdown_table, measured_on, write_section
from benchmarks.stage import Contender, Pass, Stage, To, stage
from benchmarks.vendor_rows import KINDS

HEADINGS = {"vendor": "Throughput", "plain": "Throughput, plain rows"}
PACKAGES = ("uvloop", "requests", "httptools", "dlt")
BARE, OURS, OURS_ON_POSTGRESQL = "bare_aiohttp", "ours", "ours_on_postgresql"

_MODULES = {"dlt_destination": "dlt", "bare_aiohttp_on_uvloop": "uvloop"}
_WRK_REQUESTS = 1000


@dataclass(frozen=True)
class Measured:
    """The measurements of a contender in each round."""

    contender: Contender
    passes: list[Pass] = field(default_factory=list)

    @property
    def rates(self) -> list[float]:
        return [each.rate for each in self.passes]

    @property
    def cpu(self) -> list[float]:
        return [each.cpu for each in self.passes if each.cpu is not None]


@dataclass(frozen=True)
class Results:
    """The measurements of all contenders.

    :param measured: the bare loop is always among them
    :param mapped: calls a second of the mapped HttpOperator; None if it was left out
    """

    measured: Sequence[Measured]
    mapped: float | None
    concurrency: int

    def of(self, sender: str, to: To = "prompt") -> Measured | None:
        """The measurements of a sender with this server of the endpoint; None if it was not measured."""
        found = (each for each in self.measured if (each.contender.sender, each.contender.to) == (sender, to))
        return next(found, None)

    def figures(self) -> Mapping[str, Figure]:
        """The package compared with its peers, by the keys of :data:`benchmarks.targets.TARGETS`."""
        return dict(self._figures())

    def _figures(self) -> Iterator[tuple[str, Figure]]:
        ours = self.of(OURS)
        beside_bare: Sequence[tuple[str, To, str, str]] = (
            (OURS, "prompt", "rate", "cpu"),
            (OURS_ON_POSTGRESQL, "prompt", "rate_postgresql", "cpu_postgresql"),
            (OURS, "slow", "rate_late", "cpu_late"),
            (OURS, "tls", "rate_tls", "cpu_tls"),
        )
        for sender, to, rate, cpu in beside_bare:
            one, bare = self.of(sender, to), self.of(BARE, to)
            if one is not None and bare is not None:
                yield rate, Figure.ratio(one.rates, bare.rates)
                yield cpu, Figure.ratio(one.cpu, bare.cpu)
        if ours is None:
            return
        for sender in ("http_hook", "dlt_destination"):
            if (peer := self.of(sender)) is not None:
                yield sender, Figure.ratio(ours.rates, peer.rates)
        if self.mapped is not None:
            yield "mapped_operator", Figure.ratio(ours.rates, [self.mapped] * len(ours.rates))

    def __str__(self) -> str:
        latency = f"{LATENCY * 1000:.0f} ms of latency"
        parts = []
        for to, what in (("prompt", "no latency"), ("slow", latency), ("tls", "no latency, over TLS")):
            lines = [self._line(each) for each in self.measured if each.contender.to == to]
            if to == "prompt" and self.mapped is not None:
                ratio = self.mapped / median(self._bare("prompt").rates)
                lines.append(("mapped HttpOperator, real scheduler", f"{self.mapped:.2f}", f"{ratio:.5f}", "", "", ""))
            if lines:
                head = ("", "calls/s", "to bare aiohttp", "CPU us a call", "to bare aiohttp", "calls/s in each round")
                parts += [f"{self.concurrency} in flight, {what}:", markdown_table(head, lines)]
        return "\n\n".join(parts)

    def _line(self, each: Measured) -> tuple[str, ...]:
        bare = self._bare(each.contender.to)
        return (
            each.contender.title,
            f"{median(each.rates):,.0f}",
            str(Figure.ratio(each.rates, bare.rates)),
            f"{median(each.cpu):,.0f}" if each.cpu else "",
            str(Figure.ratio(each.cpu, bare.cpu)) if each.cpu else "",
            ", ".join(f"{rate:,.0f}" for rate in each.rates),
        )

    def _bare(self, to: To) -> Measured:
        found = self.of(BARE, to)
        if found is None:
            raise RuntimeError("the bare loop was not measured, and all others are compared with it")
        return found


def contenders(calls: int, slow: int, late: int) -> list[Contender]:
    """All contenders except the mapped HttpOperator.

    :param calls: calls in each round
    :param slow: calls in each round for contenders that send one after the other
    :param late: calls in each round to the endpoint that answers late
    """
    return [
        Contender("wrk (the ceiling)", "wrk", _WRK_REQUESTS),
        Contender("bare aiohttp loop on uvloop", "bare_aiohttp_on_uvloop", calls),
        Contender("this package, ledger on PostgreSQL", OURS_ON_POSTGRESQL, calls),
        Contender("bare aiohttp loop", BARE, calls),
        Contender("this package, ledger on SQLite", OURS, calls),
        Contender("requests session loop", "requests_session", slow),
        Contender("HttpHook loop", "http_hook", slow),
        # More calls, so that dlt's start, a second or more, counts for little.
        Contender("dlt custom destination", "dlt_destination", 3 * slow),
        Contender("bare aiohttp loop", BARE, late, to="slow"),
        Contender("this package, ledger on SQLite", OURS, late, to="slow"),
        Contender("bare aiohttp loop", BARE, calls, to="tls"),
        Contender("this package, ledger on SQLite", OURS, calls, to="tls"),
    ]


def present(each: Sequence[Contender]) -> list[Contender]:
    """The contenders that this machine can measure. For the others, standard error says what is missing."""
    found = []
    for contender in each:
        if (missing := _missing(contender.sender)) is None:
            found.append(contender)
        else:
            print(f"NOT MEASURED: {contender}: {missing}", file=sys.stderr, flush=True)
    return found


def _missing(sender: str) -> str | None:
    module = _MODULES.get(sender)
    if module is not None and importlib.util.find_spec(module) is None:
        return f"{module} is not installed; make bench installs it"
    if sender == "wrk" and shutil.which("wrk") is None:
        return "install Debian's wrk, the ceiling of this benchmark"
    return None


def measure(
    shared: Stage, each: Sequence[Contender], rounds: int, mapped_calls: int, *, checked: bool = True
) -> Results:
    """Run every contender once in each round, in turn, so that other work on the machine affects all equally.

    :param mapped_calls: calls of the mapped HttpOperator, which runs once; 0 leaves it out
    :param checked: whether a few requests of each contender are compared beforehand; requests are counted in any case
    """
    for contender in each:
        if checked and contender.to == "prompt":
            shared.check(contender)
    measured = {contender: Measured(contender) for contender in each}
    for number in range(rounds):
        for contender in reversed(each) if number % 2 else each:
            passed = shared.passed(contender)
            measured[contender].passes.append(passed)
            cpu = "" if passed.cpu is None else f", {passed.cpu:,.0f} us of CPU a call"
            print(f"round {number + 1}: {contender}: {passed.rate:,.0f} calls/s{cpu}", flush=True)
    mapped = shared.mapped(mapped_calls) if mapped_calls else None
    if mapped is not None:
        print(f"mapped HttpOperator: {mapped:.2f} calls/s", flush=True)
    return Results([*measured.values()], mapped, shared.concurrency)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    whole: dict[str, Any] = {"type": int, "help": "%(metavar)s (default: %(default)s)"}
    parser.add_argument("--rows", choices=KINDS, default="vendor", help="(default: %(default)s)")
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
    chosen = {*(options.only or [each.sender for each in everyone]), BARE}
    senders = present([each for each in everyone if each.sender in chosen])
    load = load_average()
    try:
        with stage(KINDS[options.rows], max(options.calls, options.late), postgresql=True) as shared:
            results = measure(shared, senders, options.rounds, 0 if options.only else options.mapped)
    except NotInstalled as problem:
        sys.exit(str(problem))
    print(f"\n{results}")
    if not options.only and options.rows in HEADINGS:
        command = " ".join(["python -m benchmarks.throughput", *sys.argv[1:]])
        head = measured_on(command, load, PACKAGES, [f"nginx {shared.endpoints.version}"])
        counts = counted(shared, options.rounds, options.calls, options.slow, options.late)
        write_section(HEADINGS[options.rows], f"{head}\n{counts}\n\n{results}")


def counted(shared: Stage, rounds: int, calls: int, slow: int, late: int) -> str:
    """The measurement in words."""
    return (
        f"{shared.rows.title}; {rounds} rounds of {calls:,} calls; {slow:,} for those who send one after "
        f"the other (dlt three times as many), {late:,} with latency. Medians, and of ratios the least and the most."
    )


if __name__ == "__main__":
    main()
