from __future__ import annotations

import asyncio
import faulthandler
import os
import pickle
import re
import signal
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from typing import Any

import pandas
import pytest

from airflow_provider_impactcall.delivery.duplicates import Duplicates
from airflow_provider_impactcall.delivery.engine.engine import Engine
from airflow_provider_impactcall.delivery.engine.pacing import Pacing
from airflow_provider_impactcall.delivery.items import Item
from airflow_provider_impactcall.delivery.outcome import (
    Attempt,
    AttemptResult,
    DeliveryReport,
    Outcome,
    ReasonCode,
    RowOutcome,
)
from airflow_provider_impactcall.delivery.runner import run
from airflow_provider_impactcall.delivery.shapes import flattened
from airflow_provider_impactcall.delivery.timings import Timings
from airflow_provider_impactcall.delivery.wire.connections import Connections
from airflow_provider_impactcall.delivery.wire.endpoint import Endpoint
from airflow_provider_impactcall.delivery.wire.request import Request
from airflow_provider_impactcall.delivery.wire.route import Route
from airflow_provider_impactcall.exceptions import DeliveryAborted, InvalidOption
from airflow_provider_impactcall.records import CallMapping, CallRecord
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples
from tests.delivery import canary
from tests.delivery.ledgers import a_run_of, in_a_file
from tests.delivery.raw_server import endpoint

HANGS = 60.0


class Delivery:
    """One run against a sandbox, and what it settled."""

    def __init__(self, sandbox: Sandbox, **options: Any) -> None:
        self.endpoint = endpoint(sandbox.url)
        self.settled: dict[int, Outcome] = {}
        self.options = options
        self.ledger = in_a_file()

    def note(self, row: Item, outcome: Outcome) -> None:
        assert row.row not in self.settled
        self.settled[row.row] = outcome

    def run(self, rows: Any, note: Callable[[Item, Outcome], None] | None = None) -> DeliveryReport:
        interrupt = threading.Event()
        engine = Engine(
            duplicates=Duplicates(), pacing=Pacing(), on_settled=note or self.note, interrupt=interrupt, **self.options
        )
        return run(engine, self.endpoint, a_run_of(self.ledger), rows, CallMapping(), interrupt)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before and "sandbox" not in thread.name]
    assert left == []


def within(seconds: float, work: Callable[[], Any]) -> Any:
    """What a piece of work returns or raises; a failed test, and no hanging one, if it does not end."""
    result: list[Any] = []

    def note() -> None:
        try:
            result.append((work(), None))
        except BaseException as error:
            result.append((None, error))

    thread = threading.Thread(target=note, daemon=True)
    thread.start()
    thread.join(seconds)
    assert result, "it hangs"
    value, error = result[0]
    if error is not None:
        raise error
    return value


# What rows may be


class Lazy(Sequence[Any]):
    """Airflow's mapped upstreams arrive as such: a sequence that is no list."""

    def __init__(self, items: list[Any]) -> None:
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, place: Any) -> Any:
        return self._items[place]


@pytest.mark.parametrize(
    "shape",
    [
        lambda rows: rows,
        tuple,
        iter,
        lambda rows: (row for row in rows),
        lambda rows: [rows[:1], rows[1:]],
        lambda rows: [[rows[:1]], [], [[], [rows[1:]]]],
        Lazy,
        lambda rows: Lazy([Lazy(rows[:2]), Lazy(rows[2:])]),
        lambda rows: {row["CallSessionId"]: row for row in rows}.values(),
        lambda rows: [CallRecord.of(row) for row in rows],
        lambda rows: pandas.DataFrame(rows).to_dict("records"),
        lambda rows: [(row for row in rows)],
    ],
)
def test_rows_of_any_shape(shape: Callable[[list[dict[str, Any]]], Any], sandbox: Sandbox) -> None:
    rows = [canary.row(number) for number in range(3)]
    report = Delivery(sandbox).run(shape(rows))
    assert (report.rows, report.delivered) == (3, 3)
    assert examples.session_ids(sandbox) == [row["CallSessionId"] for row in rows]


@pytest.mark.parametrize("row", [canary.row(), CallRecord.of(canary.row())])
def test_one_row_is_one_row(row: Any, sandbox: Sandbox) -> None:
    assert Delivery(sandbox).run(row).delivered == 1


@pytest.mark.parametrize("rows", [None, [], (), [[]], {}.values()])
def test_nothing_is_no_row(rows: Any, sandbox: Sandbox) -> None:
    assert Delivery(sandbox).run(rows).rows == 0


@pytest.mark.parametrize("rows", ["[{}]", b"x", 5, True, object(), pandas.DataFrame([canary.row()])])
def test_what_has_no_rows_is_an_error(rows: Any, sandbox: Sandbox) -> None:
    with pytest.raises(InvalidOption, match=r"\bcalls\b") as raised:
        Delivery(sandbox).run(rows)
    assert canary.found_in(str(raised.value)) == []


def test_what_is_no_row_among_rows_is_rejected(sandbox: Sandbox) -> None:
    delivery = Delivery(sandbox)
    report = delivery.run([canary.row(1), None, "text", 5, {}, canary.row(2)])
    assert (report.rows, report.delivered, report.rejected) == (6, 2, 4)
    assert [delivery.settled[row].state for row in (2, 3, 4, 5)] == [RowOutcome.REJECTED] * 4


def test_rows_are_numbered_from_one_across_nested_inputs() -> None:
    assert list(flattened([[{"a": 1}], [], ({"a": 2}, [{"a": 3}])])) == [{"a": 1}, {"a": 2}, {"a": 3}]


def test_a_source_that_is_bound_to_its_thread(sandbox: Sandbox) -> None:
    database = sqlite3.connect(":memory:")  # refuses every other thread
    row = canary.row()
    database.execute(f"CREATE TABLE calls ({', '.join(row)})")
    for number in range(50):
        values = canary.row(number).values()
        database.execute(f"INSERT INTO calls VALUES ({', '.join('?' * len(row))})", list(values))
    cursor = database.execute("SELECT * FROM calls")
    rows = (dict(zip(row, values, strict=True)) for values in cursor)
    assert Delivery(sandbox).run(rows).delivered == 50
    database.close()


def test_rows_are_read_and_mapped_in_the_caller_s_thread(sandbox: Sandbox) -> None:
    threads = set()

    def media(_: Any) -> int:
        threads.add(threading.current_thread())
        return 5

    engine = Engine(duplicates=Duplicates(), pacing=Pacing(), on_settled=lambda *_: None)
    writer = a_run_of(in_a_file())
    run(engine, endpoint(sandbox.url), writer, [canary.row()], CallMapping({"MediaId": media}), threading.Event())
    assert threads == {threading.current_thread()}


# A source that ends badly


class Stopped(BaseException):
    """As KeyboardInterrupt and Airflow's own timeouts are: no Exception."""


@pytest.mark.parametrize("error", [ValueError("no such table"), Stopped("timeout"), KeyboardInterrupt()])
@pytest.mark.parametrize("good", [0, 1, 30])
def test_a_source_that_raises_midway(error: BaseException, good: int, sandbox: Sandbox) -> None:
    delivery = Delivery(sandbox)

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(good):
            yield canary.row(number)
        raise error

    with pytest.raises(type(error)) as raised:
        within(HANGS, lambda: delivery.run(rows()))
    assert raised.value is error
    assert len(delivery.settled) == good, "what was read is settled: sent, or not sent"
    states = [outcome.state for outcome in delivery.settled.values()]
    assert states.count(RowOutcome.DELIVERED) == sandbox.counts["processed"]
    assert set(states) <= {RowOutcome.DELIVERED, RowOutcome.NOT_SENT}


def test_what_is_in_flight_when_the_source_raises_is_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    with Sandbox(latency=1.0).in_thread() as sandbox:  # An interrupt is seen within 0.2 s.
        delivery = Delivery(sandbox, concurrency=4)

        def rows() -> Iterator[dict[str, Any]]:
            for number in range(10):
                yield canary.row(number)
            while sandbox.counts["processed"] < 4:
                time.sleep(0.005)
            raise Stopped

        with pytest.raises(Stopped):
            within(HANGS, lambda: delivery.run(rows()))
        states = [delivery.settled[row].state for row in range(1, 11)]
        assert states == [RowOutcome.DELIVERED] * 4 + [RowOutcome.NOT_SENT] * 6
        assert sandbox.counts["processed"] == 4
        assert delivery.settled[10].code is ReasonCode.RUN_STOPPED


@contextmanager
def interrupted(when: Callable[[], bool]) -> Iterator[None]:
    """A signal to the main thread, as soon as that holds, whose handler raises; and another one if it then hangs."""

    def raise_it(number: int, _: object) -> None:
        if number == signal.SIGUSR1:
            raise Stopped
        faulthandler.dump_traceback()
        raise AssertionError("it hangs")

    def interrupt() -> None:
        while not when():
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGUSR1)

    old = {number: signal.signal(number, raise_it) for number in (signal.SIGUSR1, signal.SIGALRM)}
    signal.setitimer(signal.ITIMER_REAL, HANGS)
    other = threading.Thread(target=interrupt, daemon=True)
    other.start()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        other.join()
        for number, handler in old.items():
            signal.signal(number, handler)


def test_an_interrupt_while_there_is_no_room_stops_at_once() -> None:
    """If ending waited for room, hundreds of calls more would be sent first."""
    with Sandbox(latency=0.2).in_thread() as sandbox:
        delivery = Delivery(sandbox, concurrency=2)
        read: list[float] = []

        def rows() -> Iterator[dict[str, Any]]:
            for number in range(100_000):
                read.append(time.monotonic())
                yield canary.row(number)

        def no_room() -> bool:
            return len(read) > 1000 and time.monotonic() - read[-1] > 0.1

        with pytest.raises(Stopped), interrupted(no_room):
            delivery.run(rows())
        states = [outcome.state for outcome in delivery.settled.values()]
        assert states.count(RowOutcome.DELIVERED) == sandbox.counts["processed"] < 100
        assert len(states) >= len(read) - 1, "what was read is settled, but for the row in the hand"


@pytest.mark.parametrize(("count", "fails"), [(1000, False), (900, True)])
def test_an_interrupt_while_the_last_calls_are_sent(count: int, fails: bool) -> None:
    """Be it that the source has come to its end, or that it has failed."""
    with Sandbox(latency=0.1).in_thread() as sandbox:
        delivery = Delivery(sandbox, concurrency=2)
        read = threading.Event()

        def rows() -> Iterator[dict[str, Any]]:
            yield from (canary.row(number) for number in range(count))
            read.set()
            if fails:
                raise ValueError("page 7 is missing")

        with pytest.raises(Stopped), interrupted(lambda: read.is_set() and sandbox.counts["processed"] >= 4):
            delivery.run([rows()])
        states = [outcome.state for outcome in delivery.settled.values()]
        assert len(states) == count
        assert 4 <= states.count(RowOutcome.DELIVERED) == sandbox.counts["processed"] < 100
        assert states.count(RowOutcome.NOT_SENT) == count - states.count(RowOutcome.DELIVERED)


# An engine that ends badly


def slowly(count: int, started: threading.Event) -> Iterator[dict[str, Any]]:
    """Rows that come when the first was settled, so that the delivery waits for rows when it fails."""
    yield canary.row(0)
    started.wait(HANGS)
    time.sleep(0.05)
    for number in range(1, count):
        yield canary.row(number)


@pytest.mark.parametrize("count", [1, 2, 3, 5000])
@pytest.mark.parametrize("slow", [True, False])
def test_a_listener_that_raises_ends_the_run_and_hangs_nowhere(count: int, slow: bool, sandbox: Sandbox) -> None:
    started = threading.Event()

    def note(*_: Any) -> None:
        started.set()
        raise ZeroDivisionError

    rows: Iterable[Any] = slowly(count, started) if slow else [canary.row(number) for number in range(count)]
    with pytest.raises(ExceptionGroup) as raised:
        within(HANGS, lambda: Delivery(sandbox).run(rows, note))
    assert raised.group_contains(ZeroDivisionError)
    assert sandbox.counts["requests"] < 20


def test_an_endpoint_that_cannot_even_be_prepared_hangs_nowhere(sandbox: Sandbox) -> None:
    delivery = Delivery(sandbox)
    delivery.endpoint = Endpoint("https://calls.example.com", verify="/no/such/file.pem")
    read = 0

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal read
        for number in range(100_000):
            read = number
            yield canary.row(number)

    with pytest.raises(InvalidOption):
        within(HANGS, lambda: delivery.run(rows()))
    assert read < 5000, "and the rest of the source is left alone"


def test_no_call_is_in_doubt_where_no_request_can_be_made() -> None:
    """No header can hold the name of such a network interface."""
    settled: list[Outcome] = []
    engine = Engine(
        duplicates=Duplicates(), pacing=Pacing(max_wait=0.1), on_settled=lambda _, outcome: settled.append(outcome)
    )
    nowhere = Endpoint("http://[fe80::1%\N{LATIN SMALL LETTER U WITH DIAERESIS}]:9")
    rows = [canary.row(number) for number in range(3)]
    report = run(engine, nowhere, a_run_of(in_a_file()), rows, CallMapping(), threading.Event())
    assert (report.not_sent, report.given_up, len(settled)) == (3, 3, 3)
    assert all("no request could be made of it (UnicodeEncodeError)" in outcome.reason for outcome in settled)


def test_a_loop_that_cannot_be_made_hangs_nowhere(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(main: Any) -> None:
        main.close()
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("airflow_provider_impactcall.delivery.runner.asyncio.run", fail)
    with pytest.raises(OSError, match="Too many"):
        within(HANGS, lambda: Delivery(sandbox).run([canary.row(number) for number in range(5000)]))

    def broken() -> Iterator[Any]:
        raise Stopped
        yield

    with pytest.raises(Stopped):
        within(HANGS, lambda: Delivery(sandbox).run(broken()))


def test_an_abort_counts_the_rows_that_are_left_of_a_list() -> None:
    with Sandbox(user="someone", password="else").in_thread() as sandbox:
        delivery = Delivery(sandbox)
        with pytest.raises(DeliveryAborted) as raised:
            within(HANGS, lambda: delivery.run([canary.row(number) for number in range(3000)]))
        report = raised.value.report
        assert (report.rows, report.not_sent, len(delivery.settled)) == (3000, 3000, 3000)
        assert sandbox.counts["requests"] <= 8


def test_an_abort_reads_no_endless_generator_to_its_end() -> None:
    with Sandbox(user="someone", password="else").in_thread() as sandbox:
        delivery = Delivery(sandbox)
        with pytest.raises(DeliveryAborted) as raised:
            within(HANGS, lambda: delivery.run(canary.row(number) for number in count()))
        report = raised.value.report
        assert report.rows == report.not_sent == len(delivery.settled)
        assert report.unread
        assert pickle.loads(pickle.dumps(raised.value)).report.rows == report.rows


# Memory


class _SlowConnections(Connections):
    """Takes a millisecond a call, and no socket."""

    async def send(self, request: Request, may_leave: Callable[[], bool] = bool) -> Attempt:
        await asyncio.sleep(0.001)
        return Attempt(AttemptResult.DELIVERED, ReasonCode.OK, "200 Status OK", 200)


class _Slow(Endpoint):
    @asynccontextmanager
    async def connections(self, most: int) -> AsyncIterator[Connections]:
        yield _SlowConnections(Route("127.0.0.1", 9), most, self.timeout, (), ())


def test_a_slow_endpoint_holds_the_source_back(sandbox: Sandbox) -> None:
    """The rows that were read and are not settled are bounded, and so is the memory, whatever the input's length."""
    ahead = []
    delivery = Delivery(sandbox, concurrency=32)
    delivery.endpoint = _Slow()

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(10_000):
            ahead.append(number - len(delivery.settled))
            yield canary.row(number)

    report = delivery.run(rows())
    assert report.delivered == 10_000
    # A queue of 1,000, a batch of 500 and what is in flight, whose results may be noted a moment later.
    assert 500 < max(ahead) <= 1000 + 2 * 500 + 2 * 32


def test_progress_is_logged_with_what_is_left(no_canary_in_logs: list[str], sandbox: Sandbox) -> None:
    with Sandbox(latency=0.1).in_thread() as slow:
        Delivery(slow, total=2, timings=Timings(progress=0.02)).run([canary.row(1), canary.row(2)])
    told = [re.findall(r"\d+(?:\.\d+)?", line) for line in no_canary_in_logs if "delivery.engine.engine: " in line]
    assert told
    assert all(int(settled) + int(left) == 2 for settled, _a_second, left in told)
