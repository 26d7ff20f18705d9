"""What mapping and validating a row costs, compared with plain pydantic: ``python -m benchmarks.mapping``.

Both turn a row with 20 parameters into a valid object, or give every reason why they cannot. The package's object also
has the form that impact.com takes: names in any style are recognized, times have their offset, phone numbers have one
form, countries are derived. :mod:`benchmarks.vendor_mapping` measures vendors' rows.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, Field, NonNegativeInt, PositiveInt, model_validator

from airflow_provider_impactcall.records import CallMapping
from airflow_provider_impactcall.records.call_record import PARAMETERS
from airflow_provider_impactcall.records.sources import Source
from airflow_provider_impactcall.records.vendors import VendorPreset
from airflow_provider_impactcall.records.vendors.preset import Filter
from benchmarks import vendor_mapping
from benchmarks.ratios import Figure
from benchmarks.results import load_average, markdown_table, measured_on, write_section
from benchmarks.rows import row, rows
from benchmarks.vendor_mapping import cpu_of

HEADING = "What mapping a plain row costs"
PEER = "plain pydantic"

Text64 = Annotated[str, Field(min_length=1, max_length=64)]
Country = Annotated[str, Field(pattern="^[A-Z]{2}$")]


class Call(BaseModel):
    """The same 20 parameters, as an engineer would write them for these rows alone."""

    campaign_id: PositiveInt
    media_id: PositiveInt
    event_date: AwareDatetime
    action_tracker_id: PositiveInt
    call_provider: Text64
    call_session_id: Annotated[str, Field(min_length=1)]
    caller_id: Annotated[str, Field(pattern=r"^\d{10}$")]
    called_phone_number: Annotated[str, Field(pattern=r"^\+?[\d() .-]{10,20}$")]
    call_duration: NonNegativeInt
    talk_duration: NonNegativeInt
    call_status: Literal["ANSWER", "CANCEL", "INCOMPLETE", "FAILURE", "CONGESTION", "IVR_DROPOFF"]
    caller_phone_number_country: Country
    called_phone_number_country: Country
    sub_id1: Text64 | None = None
    sub_id2: Text64 | None = None
    click_id: str | None = None
    city: str | None = None
    region: str | None = None
    zip: str | None = None
    repeat_caller: str | None = None

    @model_validator(mode="after")
    def talk_is_part_of_the_call(self) -> Call:
        """impact.com: talk time never exceeds call time."""
        if self.talk_duration > self.call_duration:
            raise ValueError("talk_duration must not exceed call_duration")
        return self


@dataclass(frozen=True)
class Contender:
    """A way to read rows.

    :param read: turns one row into an object; an exception fails the benchmark, as all rows are valid
    :param rows: the same calls, in the columns that it reads
    """

    title: str
    read: Callable[[Mapping[str, Any]], Any]
    rows: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Result:
    """A contender's seconds of CPU for all rows, one number for each round."""

    contender: Contender
    seconds: Sequence[float]

    def line(self, peer: Result) -> tuple[str, ...]:
        """Microseconds and rows a second of CPU, and the ratio to the peer of the same round."""
        count, taken = len(self.contender.rows), median(self.seconds)
        ratio = Figure.ratio(self.seconds, peer.seconds)
        return self.contender.title, f"{taken / count * 1e6:.2f}", f"{count / taken:,.0f}", str(ratio), ratio.repeats


HEAD = ("way", "CPU us a row", "rows/s", "to plain pydantic", "in each round")


def contenders(count: int) -> list[Contender]:
    """Plain pydantic, and the package's mapping in each of its forms."""
    read = list(rows(count))
    columns = dict(zip(row(0), _parameters(row(0)), strict=True))
    renamed = [{f"c_{name}": value for name, value in each.items()} for each in read]
    payloads = [_payload(each) for each in read]
    texts = [{"payload": json.dumps(each, default=str)} for each in payloads]
    sources = {**_SOURCES, **_rest(columns)}
    named: dict[str, Source] = {parameter: f"c_{column}" for column, parameter in columns.items()}
    return [
        Contender(PEER, Call.model_validate, read),
        Contender("CallMapping, by name", CallMapping().record, read),
        Contender("CallMapping, a mapping of columns", CallMapping(named).record, renamed),
        Contender("CallMapping, paths and tables", CallMapping(sources).record, payloads),
        Contender("the same, a preset's", CallMapping(vendor=_preset(columns)).record, payloads),
        Contender("the same, from JSON text", CallMapping(_within("payload", sources)).record, texts),
    ]


_SOURCES: Mapping[str, Source] = {
    "MediaId": {
        "from": "tracking.number",
        "lookup": {f"+1866555{number:04d}": 20000 + number for number in range(200)},
    },
    "CalledPhoneNumber": "tracking.number",
    "CallStatus": {"from": "status", "values": {"completed": "ANSWER", "busy": "CANCEL", "no-answer": "CANCEL"}},
    "City": {"first_of": ["geo.city", "billing_city"]},
    "Region": "geo.region",
    "Zip": "geo.zip",
}


def _rest(columns: Mapping[str, str]) -> Mapping[str, Source]:
    return {parameter: column for column, parameter in columns.items() if parameter not in _SOURCES}


def _within(column: str, source: Any) -> Any:
    """The same source, for rows that have all values in one column of JSON."""
    if isinstance(source, str):
        return f"{column}.{source}"
    if isinstance(source, list):
        return [_within(column, each) for each in source]
    tables = ("lookup", "values")
    return {name: each if name in tables else _within(column, each) for name, each in source.items()}


def _payload(each: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same call in a vendor's form: places and numbers are nested, and the status is the vendor's word."""
    nested = {"called_phone_number", "call_status", "city", "region", "zip", "media_id"}
    return {name: value for name, value in each.items() if name not in nested} | {
        "direction": "inbound",
        "status": "completed",
        "tracking": {"number": each["called_phone_number"]},
        "geo": {"city": None, "region": each["region"], "zip": each["zip"]},
        "billing_city": each["city"],
    }


def _preset(columns: Mapping[str, str]) -> VendorPreset:
    return VendorPreset(
        name="example",
        title="Example",
        facts=(),
        mapping={**_SOURCES, **_rest(columns)},
        known_by=("call_session_id",),
        filters=(Filter("an outbound call", "direction", ("outbound",)),),
    )


def _parameters(names: Iterable[str]) -> list[str]:
    by_folded = {name.lower(): name for name in PARAMETERS}
    return [by_folded[name.replace("_", "")] for name in names]


def measure(count: int, rounds: int) -> list[Result]:
    """Run every contender once in each round, in turn, so that other work on the machine affects all equally."""
    each = contenders(count)
    for contender in each:
        list(map(contender.read, contender.rows[:1000]))  # warms up the caches, also pydantic's own
    seconds: dict[str, list[float]] = {contender.title: [] for contender in each}
    for number in range(rounds):
        for contender in each[number % len(each) :] + each[: number % len(each)]:
            seconds[contender.title].append(cpu_of(contender.read, contender.rows))
    return [Result(contender, seconds[contender.title]) for contender in each]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mapping", description=__doc__)
    parser.add_argument("--rows", choices=("plain", "vendor"), action="append", help="only these (default: both)")
    parser.add_argument("--calls", type=int, default=100_000, help="plain rows a round (default: %(default)s)")
    parser.add_argument("--vendor-calls", type=int, default=10_000, help="of each vendor (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default: %(default)s)")
    options = parser.parse_args()
    if min(options.calls, options.vendor_calls, options.rounds) < 1:
        parser.error("--calls, --vendor-calls and --rounds must be at least 1")
    command = " ".join(["python -m benchmarks.mapping", *sys.argv[1:]])
    for kind in options.rows or ("vendor", "plain"):
        load = load_average()
        if kind == "vendor":
            heading, count = vendor_mapping.HEADING, f"{options.vendor_calls:,} rows of each vendor"
            found = vendor_mapping.table(vendor_mapping.measure(options.vendor_calls, options.rounds))
        else:
            heading, count = HEADING, f"{options.calls:,} plain rows"
            found = table(measure(options.calls, options.rounds))
        print(f"{found}\n", flush=True)
        write_section(heading, f"{measured_on(command, load)}\n\n{count}, {options.rounds} rounds:\n\n{found}")


def table(results: Sequence[Result]) -> str:
    """Each result compared with the first, which is the peer."""
    return markdown_table(HEAD, [result.line(results[0]) for result in results])


if __name__ == "__main__":
    main()
