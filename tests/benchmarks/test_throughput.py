"""The comparison compares what it says: everyone sends the same calls, each once."""

from __future__ import annotations

import importlib.util
import os
import shutil
import ssl
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

import pytest

from airflow_provider_impactcall.delivery.wire.endpoint import PATH
from benchmarks import profile
from benchmarks.endpoints import NotInstalled, endpoints, programs
from benchmarks.senders import SENDERS, Job, timed
from benchmarks.stage import Contender, Pass, Stage, To, stage
from benchmarks.targets import TARGETS
from benchmarks.throughput import Measured, Results, contenders, measure, present
from benchmarks.vendor_rows import KINDS, VENDORS

CALLS = 130  # more than are sent before the clock starts, or are in flight
LATER: tuple[To, ...] = ("slow", "tls")


@pytest.fixture(scope="module")
def shared() -> Iterator[Stage]:
    try:
        programs()
    except NotInstalled as problem:
        pytest.skip(str(problem))
    with stage(KINDS["vendor"], profile.rows_of(CALLS), postgresql=True) as running:
        yield running


def of(sender: str, to: To = "prompt") -> Contender:
    (found,) = [each for each in contenders(CALLS, CALLS, CALLS) if (each.sender, each.to) == (sender, to)]
    return found


@pytest.fixture(params=[*SENDERS, "wrk"])
def contender(request: pytest.FixtureRequest) -> Contender:
    needs = {"dlt_destination": "dlt", "bare_aiohttp_on_uvloop": "uvloop"}.get(request.param)
    if needs is not None and importlib.util.find_spec(needs) is None:
        pytest.skip(f"{needs} is not installed: make bench does that")
    if request.param == "wrk" and shutil.which("wrk") is None:
        pytest.skip("Debian's wrk is not installed")
    return of(request.param)


def test_everyone_sends_the_same_calls_each_once(
    shared: Stage, contender: Contender, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if contender.sender == "wrk":
        shared.check(contender)
        return
    for name, value in shared.environment(contender.sender, tmp_path, shared.endpoints.logged).items():
        monkeypatch.setenv(name, value)
    job = Job(shared.endpoints.logged, warm=30, calls=CALLS - 30, concurrency=shared.concurrency, rows=shared.rows.name)
    spent = timed(SENDERS[contender.sender](job), job)
    assert min(spent.wall, spent.cpu) > 0
    shared.compare(contender, shared.endpoints.requests(), CALLS)


def test_calls_that_do_not_come_are_no_result(shared: Stage) -> None:
    with endpoints() as others:
        elsewhere = replace(shared, endpoints=replace(others, prompt=shared.endpoints.prompt))
        with pytest.raises(RuntimeError, match="230 requests were to be sent, and 0 came"):
            elsewhere.passed(of("bare_aiohttp"))


def test_other_calls_are_no_result(shared: Stage) -> None:
    for parameters in ({"City": "New York"}, {}):
        with urlopen(HttpRequest(f"{shared.endpoints.logged}{PATH}?{urlencode(parameters)}", method="POST")):
            pass
    with pytest.raises(RuntimeError, match=r"bare aiohttp loop: 2 requests too many, 2 missing; .*City"):
        shared.compare(of("bare_aiohttp"), shared.endpoints.requests(), 2)


def test_the_endpoint_counts_every_request_and_answers_late_where_it_should(shared: Stage) -> None:
    before = shared.endpoints.answered()
    trust = ssl.create_default_context(cafile=shared.endpoints.certificate)
    for server in ("prompt", "slow", "tls", "logged"):
        origin = getattr(shared.endpoints, server)
        posted = HttpRequest(f"{origin}{PATH}?Zip=&City=New+York", method="POST")
        with urlopen(posted, context=trust if server == "tls" else None) as answer:
            assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
            assert answer.read() == b'{"Status": "OK"}'
        with pytest.raises(HTTPError, match="404"):
            urlopen(f"{origin}/elsewhere", context=trust if server == "tls" else None)
    assert shared.endpoints.answered() == before + 8
    (request,) = shared.endpoints.requests()
    assert request.parameters == (("City", "New York"), ("Zip", ""))
    assert shared.endpoints.requests() == []


def test_a_round_measures_everyone(shared: Stage) -> None:
    beside = [of(sender, to) for to in LATER for sender in ("ours", "bare_aiohttp")]
    results = measure(shared, [of("bare_aiohttp"), *beside], rounds=1, mapped_calls=0, checked=False)
    assert [len(measured.passes) for measured in results.measured] == [1] * 5
    late = results.of("ours", "slow")
    assert late is not None
    assert max(late.rates) < 64 / 0.05
    assert results.figures().keys() == {"rate_late", "cpu_late", "rate_tls", "cpu_tls"}
    assert str(results).count("| bare aiohttp loop | ") == 3


def test_the_order_is_turned_round_in_every_other_round(shared: Stage) -> None:
    order: list[str] = []

    class Noting(Stage):
        def passed(self, contender: Contender) -> Pass:
            order.append(contender.sender)
            return Pass(1.0, 1.0)

    noting = Noting(**{field.name: getattr(shared, field.name) for field in fields(shared)})
    measure(noting, [of("bare_aiohttp"), of("ours")], rounds=3, mapped_calls=0, checked=False)
    assert order == ["bare_aiohttp", "ours", "ours", "bare_aiohttp", "bare_aiohttp", "ours"]


def test_figures_are_ratios_to_the_peer_of_the_same_round() -> None:
    def measured(sender: str, *passes: Pass) -> Measured:
        return Measured(of(sender), list(passes))

    results = Results(
        [
            measured("bare_aiohttp", Pass(1000, 100), Pass(4000, 200), Pass(1000, 100)),
            measured("ours", Pass(800, 160), Pass(2000, 200), Pass(700, 140)),
            measured("ours_on_postgresql", Pass(400, 100), Pass(4000, 100), Pass(400, 100)),
            measured("http_hook", Pass(100, 100), Pass(100, 100), Pass(100, 100)),
        ],
        0.5,
        64,
    )
    assert {key: figure.values for key, figure in results.figures().items()} == {
        "rate": (0.8, 0.5, 0.7),
        "cpu": (1.6, 1.0, 1.4),
        "rate_postgresql": (0.4, 1.0, 0.4),
        "cpu_postgresql": (1.0, 0.5, 1.0),
        "http_hook": (8, 20, 7),
        "mapped_operator": (1600, 4000, 1400),
    }
    assert results.figures().keys() <= {target.key for target in TARGETS}
    assert "| this package, ledger on SQLite | 800 | 0.70 (0.50 to 0.80) | 160 | 1.40 (1.00 to 1.60) |" in str(results)


def test_a_peer_that_is_missing_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", "")
    assert present([of("wrk"), of("bare_aiohttp")]) == [of("bare_aiohttp")]
    assert capsys.readouterr().err == (
        "NOT MEASURED: wrk (the ceiling): install Debian's wrk, the ceiling of this benchmark\n"
    )


@pytest.mark.parametrize("name", VENDORS)
def test_rows_of_a_vendor_arrive_as_they_are(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Though a database has text for what is nested, and numbers for flags."""
    with stage(KINDS[name], 10) as few:
        for variable, value in few.environment("ours", tmp_path, few.endpoints.logged).items():
            monkeypatch.setenv(variable, value)
        job = Job(few.endpoints.logged, warm=0, calls=10, concurrency=few.concurrency, rows=name)
        timed(SENDERS["ours"](job), job)
        few.compare(of("ours"), few.endpoints.requests(), 10)


def test_the_parts_of_a_call_add_up_to_the_whole(shared: Stage) -> None:
    found = profile.measure(shared, CALLS)
    parts = list(found.parts())
    assert sum(seconds for *_, seconds in parts) == pytest.approx(found.whole)
    assert {thread for thread, *_ in parts} == {profile.READING, profile.LEDGER, profile.LOOP, profile.OTHERS}
    # By its name, each thread is found.
    assert min(found.threads[each] for each in (profile.READING, profile.LEDGER, profile.LOOP)) > 0
    assert f"| **the whole pipeline** |  | {found.whole / CALLS * 1e6:,.1f} | 100.0% |" in str(found)
    assert "AIRFLOW_CONN_WAREHOUSE" not in os.environ
