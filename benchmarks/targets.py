"""The targets of the hot path, each figure compared with a peer of the same run: ``python -m benchmarks.targets``.

Runs one benchmark after the other on vendors' rows. Each writes its own section, and a table of all is another section.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks import million, scaling, skipping, throughput, vendor_mapping
from benchmarks.endpoints import NotInstalled, endpoints
from benchmarks.ratios import Figure, Target, table
from benchmarks.results import load_average, measured_on, write_section
from benchmarks.stage import stage
from benchmarks.vendor_rows import CALLRAIL

HEADING = "What the hot path is to reach"
ROWS = CALLRAIL

TARGETS = (
    Target("rate", "64 in flight, no latency: calls/s to the bare aiohttp loop", "0.33", 0.9, 1.2),
    Target("cpu", "CPU a call to the bare loop's", "3.0 to 3.2", 1.2, 0.8, at_most=True),
    Target("rate_postgresql", "the same with the ledger on PostgreSQL: calls/s to the bare loop", "0.26", 0.6, 0.9),
    Target("cpu_postgresql", "and CPU a call to the bare loop's"),
    Target("http_hook", "calls/s to the HttpHook loop", "3.7", 8, 12),
    Target("dlt_destination", "calls/s to dlt", "3.1", 7, 10),
    Target("mapped_operator", "calls/s to the mapped HttpOperator", "1,300", 2500, 4000),
    Target("rate_late", "50 ms of latency: calls/s to the bare loop", "0.53 to 0.64", 0.92, 0.98),
    Target("cpu_late", "and CPU a call to the bare loop's"),
    Target("mapping", "mapping a vendor's row, to plain pydantic on the same rows", "40", 6, 3, at_most=True),
    Target("skipping", "known calls skipped, rows a second", "2,900", 12_000, 20_000),
    Target("skipping_cpu", "and rows a second of CPU"),
    Target("skipping_postgresql", "the same with the ledger on PostgreSQL, rows a second"),
    Target("skipping_postgresql_cpu", "and rows a second of CPU, the server's aside"),
    Target("scaling_8", "two mapped tasks to one, 50 ms of latency, 8 in flight a task", "1.8 to 2.0", 1.8, 1.95),
    Target("scaling_64", "the same, 64 in flight a task", "1.8 to 2.0", 1.8, 1.95),
    Target("memory", "a million rows: MB of peak memory over that of 10,000", "36", 40, 20, at_most=True),
    Target("rate_tls", "over TLS: calls/s to the bare aiohttp loop"),
    Target("cpu_tls", "over TLS: CPU a call to the bare loop's"),
)


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    :param calls: calls of a sender in each round
    :param slow: calls of a sender that sends one after the other
    :param late: calls of a sender with 50 ms of latency
    :param mapped: calls of the mapped HttpOperator; 0 leaves it out
    :param rows: rows of each vendor that are mapped in each round
    :param known: calls that are skipped in each repeat
    :param ledger: calls that the ledger knows
    :param databases: the ledger's databases, for known calls and for two tasks
    :param seconds: the least time of a task when two are compared with one; 0 leaves this out
    :param million: rows for the measurement of memory; 0 leaves this out
    :param few: rows to compare the memory with
    :param checked: whether all senders' requests are compared beforehand
    """

    rounds: int
    calls: int
    slow: int
    late: int
    mapped: int
    rows: int
    known: int
    ledger: int
    databases: Sequence[str]
    seconds: float
    million: int
    few: int = 10_000
    checked: bool = True


FULL = Sizes(
    rounds=5,
    calls=20_000,
    slow=2_000,
    late=12_800,
    mapped=40,
    rows=10_000,
    known=100_000,
    ledger=1_000_000,
    databases=("sqlite", "postgresql"),
    seconds=8,
    million=1_000_000,
)
QUICK = Sizes(
    rounds=3,
    calls=4_000,
    slow=300,
    late=3_840,
    mapped=0,
    rows=2_000,
    known=10_000,
    ledger=50_000,
    databases=("sqlite",),
    seconds=0,
    million=0,
    checked=False,
)


@dataclass(frozen=True)
class Part:
    """The results of one benchmark.

    :param figures: the figures by the keys of :data:`TARGETS`
    :param heading: the heading of its own section
    :param text: the text of that section
    """

    figures: Mapping[str, Figure]
    heading: str
    text: str


def sending(sizes: Sizes) -> Part:
    """Calls a second and CPU a call, compared with all peers."""
    each = throughput.contenders(sizes.calls, sizes.slow, sizes.late)
    # With --quick, only the contenders in the table of targets.
    left_out = () if sizes.mapped else ("wrk", "bare_aiohttp_on_uvloop", "requests_session")
    senders = throughput.present([one for one in each if one.sender not in left_out])
    with stage(ROWS, max(sizes.calls, sizes.late), postgresql=True) as shared:
        results = throughput.measure(shared, senders, sizes.rounds, sizes.mapped, checked=sizes.checked)
        counts = throughput.counted(shared, sizes.rounds, sizes.calls, sizes.slow, sizes.late)
    return Part(results.figures(), throughput.HEADINGS["vendor"], f"{counts}\n\n{results}")


def mapping(sizes: Sizes) -> Part:
    """Vendors' rows into records, compared with plain pydantic."""
    reads = vendor_mapping.measure(sizes.rows, sizes.rounds)
    text = f"{sizes.rows:,} rows of each vendor, {sizes.rounds} rounds:\n\n{vendor_mapping.table(reads)}"
    return Part({"mapping": vendor_mapping.figure(reads)}, vendor_mapping.HEADING, text)


def known(sizes: Sizes) -> Part:
    """Skipping calls that the ledger knows."""
    results = [skipping.measured(kind, ROWS, sizes.known, sizes.ledger, sizes.rounds) for kind in sizes.databases]
    keys = {"sqlite": "skipping", "postgresql": "skipping_postgresql"}
    figures = {keys[result.database]: result.figure for result in results}
    figures |= {f"{keys[result.database]}_cpu": result.figure_of_cpu for result in results}
    return Part(figures, skipping.HEADINGS["vendor"], skipping.counted(ROWS, results, sizes.ledger))


def two_tasks(sizes: Sizes) -> Part:
    """Two tasks compared with one."""
    with endpoints() as running:
        compared = scaling.measured(ROWS, running, sizes.databases, (8, 64), sizes.seconds, sizes.rounds)
    figures = {f"scaling_{each.concurrency}": each.ratio for each in compared if each.ledger == "sqlite"}
    return Part(figures, scaling.HEADINGS["vendor"], scaling.counted(ROWS, compared))


def memory(sizes: Sizes) -> Part:
    """The memory of a million rows compared with ten thousand."""
    with endpoints() as running:
        (result,) = results = million.measured(ROWS, running, ("sqlite",), sizes.few, sizes.million, 64)
    figures = {"memory": Figure((result.more_memory,))}
    return Part(figures, million.HEADINGS["vendor"], million.counted(ROWS, results, 64))


PARTS: Mapping[str, Callable[[Sizes], Part]] = {
    "sending": sending,
    "mapping": mapping,
    "skipping": known,
    "scaling": two_tasks,
    "memory": memory,
}


def chosen(sizes: Sizes, only: Sequence[str]) -> Mapping[str, Callable[[Sizes], Part]]:
    """The parts to measure: those with these names, or without names all that the sizes include."""
    left_out = {name for name, size in (("scaling", sizes.seconds), ("memory", sizes.million)) if not size}
    return {name: part for name, part in PARTS.items() if (name in only if only else name not in left_out)}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.targets", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="minutes: fewer repeats of less; writes nothing to RESULTS.md"
    )
    parser.add_argument("--only", action="append", choices=PARTS, default=[], help="only this part; may be repeated")
    options = parser.parse_args()
    if options.quick and {"scaling", "memory"} & {*options.only}:
        parser.error("--quick leaves out scaling and memory")
    sizes = QUICK if options.quick else FULL
    load = load_average()
    figures: dict[str, Figure] = {}
    command = " ".join(["python -m benchmarks.targets", *sys.argv[1:]])
    try:
        for name, measure in chosen(sizes, options.only).items():
            busy = load_average()
            part = measure(sizes)
            figures.update(part.figures)
            text = f"{measured_on(command, busy, throughput.PACKAGES)}\n\n{part.text}"
            print(f"\n## {name}: {part.heading}\n\n{text}\n", flush=True)
            if not options.quick:
                write_section(part.heading, text)
    except NotInstalled as problem:
        sys.exit(str(problem))
    text = (
        f"{measured_on(command, load, throughput.PACKAGES)}\n{ROWS.title}, ledger on SQLite unless said. A ratio is of "
        "one round, and the figure is the median of all rounds, with the least and the most.\n\n"
        f"{table(TARGETS, figures)}"
    )
    print(f"\n## {HEADING}\n\n{text}")
    if not (options.quick or options.only):
        write_section(HEADING, text)


if __name__ == "__main__":
    main()
