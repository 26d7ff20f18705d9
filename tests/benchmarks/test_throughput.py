"""The comparison compares what it says: everyone sends the same calls, each once; and its verdicts are right."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
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
from benchmarks.throughput import Contender, Measured, Pass, Ratio, Results, Stage, Target, contenders, measure, stage

CALLS = 130  # more than are sent before the clock starts, or are in flight


@pytest.fixture(scope="module")
def shared() -> Iterator[Stage]:
    try:
        programs()
    except NotInstalled as problem:
        pytest.skip(str(problem))
    with stage(CALLS, postgresql=True) as running:
        yield running


def of(sender: str) -> Contender:
    (found,) = [each for each in contenders(CALLS, CALLS, CALLS) if each.sender == sender and not each.late]
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
    job = Job(shared.endpoints.logged, warm=30, calls=CALLS - 30, concurrency=shared.concurrency)
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
    for origin in (shared.endpoints.prompt, shared.endpoints.slow, shared.endpoints.logged):
        with urlopen(HttpRequest(f"{origin}{PATH}?Zip=&City=New+York", method="POST")) as answer:
            assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
            assert answer.read() == b'{"Status": "OK"}'
        with pytest.raises(HTTPError, match="404"):
            urlopen(f"{origin}/elsewhere")
    assert shared.endpoints.answered() == before + 6
    (request,) = shared.endpoints.requests()
    assert request.parameters == (("City", "New York"), ("Zip", ""))
    assert shared.endpoints.requests() == []


def test_a_round_measures_everyone_and_judges(shared: Stage) -> None:
    late = replace(of("ours"), late=True)
    results = measure(shared, [of("bare_aiohttp"), late], rounds=1, mapped_calls=0)
    assert [len(each.passes) for each in (*results.measured.values(), *results.late.values())] == [1] * 2
    assert max(results.late["ours"].rates) < 64 / 0.05
    assert [target.bound for target in results.targets()] == [0.9]
    assert "| bare aiohttp loop | " in str(results)


def test_targets_are_judged_by_the_median_of_ratios_within_a_round() -> None:
    def measured(sender: str, *passes: Pass) -> Measured:
        return Measured(of(sender), list(passes))

    results = Results(
        {
            "bare_aiohttp": measured("bare_aiohttp", Pass(1000, 100), Pass(4000, 200), Pass(1000, 100)),
            "ours": measured("ours", Pass(800, 160), Pass(2000, 200), Pass(700, 140)),
            "ours_on_postgresql": measured("ours_on_postgresql", Pass(400, 100), Pass(4000, 100), Pass(400, 100)),
            "http_hook": measured("http_hook", Pass(100, 100), Pass(100, 100), Pass(100, 100)),
        },
        {},
        0.5,
        64,
    )
    bare, hook, cpu, mapped, postgresql = results.targets()
    assert bare == Target("calls/s to the bare loop", Ratio(0.7, 0.5, 0.8), 0.7)
    assert (bare.met, hook.met, mapped.met, postgresql.met) == (True, True, True, False)
    assert cpu.ratio == Ratio(1.4, 1.0, 1.6)
    assert cpu.met
    assert postgresql.line()[1:] == ("at least 0.5", "0.40 (0.40 to 1.00)", "**not met**")
    assert mapped.line()[1:] == ("at least 1,000", "1,600 (1,400 to 4,000)", "met")


def test_the_parts_of_a_call_add_up_to_the_whole(shared: Stage) -> None:
    found = profile.measure(shared, CALLS)
    parts = list(found.parts())
    assert sum(seconds for *_, seconds in parts) == pytest.approx(found.whole)
    assert {thread for thread, *_ in parts} == {profile.READING, profile.LEDGER, profile.LOOP, profile.OTHERS}
    # By its name, each thread is found.
    assert min(found.threads[each] for each in (profile.READING, profile.LEDGER, profile.LOOP)) > 0
    assert f"| **the whole pipeline** |  | {found.whole / CALLS * 1e6:,.1f} | 100.0% |" in str(found)
    assert "AIRFLOW_CONN_WAREHOUSE" not in os.environ
