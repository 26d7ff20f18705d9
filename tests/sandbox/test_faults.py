from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import aiohttp
import pytest

from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.sandbox import FAULTS, Moment, Sandbox
from airflow_provider_impactcall.sandbox.measures import Measures

from .wire import CALL, PATH, Ask, Reply, a_call, basic, until

OK = b'{"Status": "OK",}'
NUMBER = "8055550000"
RECORDING = "https://example.com/rec/1.wav"


class Seen(NamedTuple):
    """What a caller sees of a fault whose answer is whole."""

    processed: bool
    status: int
    holds: Callable[[Reply], object] = lambda reply: reply.json["Status"] == "ERROR"
    says_ok: bool = False


async def has_met_a_fault(sandbox: Sandbox) -> None:
    async def met() -> object:
        return sandbox.counts["faults"]

    await until(met)


def _in_two_seconds(moment: datetime) -> bool:
    return 0 < moment.timestamp() - time.time() <= 2


def _hangs_up(reply: Reply, raw: bytes) -> bool:
    return reply.raw == raw and not reply.reset


WHOLE = {
    "429-retry-after": Seen(False, 429, lambda r: r.headers["retry-after"] == "1"),
    "429-retry-after-date": Seen(
        False, 429, lambda r: _in_two_seconds(parsedate_to_datetime(r.headers["retry-after"]))
    ),
    "429-retry-after-minutes": Seen(False, 429, lambda r: r.headers["retry-after"] == "120"),
    "429-retry-after-hour": Seen(False, 429, lambda r: r.headers["retry-after"] == "3600"),
    "429-x-ratelimit-reset": Seen(
        False,
        429,
        lambda r: (
            _in_two_seconds(datetime.fromtimestamp(int(r.headers["x-ratelimit-reset"]), UTC))
            and r.headers["x-ratelimit-remaining"] == "0"
        ),
    ),
    "429-ratelimit-reset": Seen(False, 429, lambda r: r.headers["ratelimit-reset"] == "1"),
    "429-bare": Seen(False, 429, lambda r: not re.search("reset|retry", " ".join(r.headers))),
    "429-garbage": Seen(False, 429, lambda r: r.headers["retry-after"] == "soon"),
    "500": Seen(False, 500),
    "500-after-processing": Seen(True, 500),
    "502": Seen(False, 502, lambda r: r.body.startswith(b"<!DOCTYPE html>")),
    "502-after-processing": Seen(True, 502, lambda r: r.body.startswith(b"<!DOCTYPE html>")),
    "503": Seen(False, 503, lambda r: r.headers["retry-after"] == "1"),
    "504": Seen(False, 504, lambda r: r.body.startswith(b"<!DOCTYPE html>")),
    "504-after-processing": Seen(True, 504, lambda r: r.body.startswith(b"<!DOCTYPE html>")),
    "408": Seen(False, 408),
    "400-errors": Seen(False, 400, lambda r: set(r.json["Errors"][0]) == {"Field", "Message"}),
    "400-errors-lower-case": Seen(False, 400, lambda r: set(r.json["errors"][0]) == {"field", "level", "message"}),
    "400-echo": Seen(False, 400, lambda r: NUMBER in r.json["Message"] and RECORDING in r.json["Message"]),
    "403": Seen(False, 403),
    "302": Seen(False, 302, lambda r: r.headers["location"] == "/moved"),
    "200-status-error": Seen(False, 200),
    "200-html": Seen(False, 200, lambda r: r.headers["content-type"].startswith("text/html")),
    "200-xml-ok": Seen(True, 200, lambda r: b"<Status>OK</Status>" in r.body, says_ok=True),
    "200-empty": Seen(True, 200, lambda r: r.body == b""),
    "slow": Seen(True, 200, lambda r: r.body == OK, says_ok=True),
    "drip": Seen(True, 200, lambda r: r.body == OK, says_ok=True),
}
CUT = {
    "reset-before-reading": (False, lambda reply: reply.reset and reply.raw == b""),
    "reset-after-processing": (True, lambda reply: reply.reset and reply.raw == b""),
    "eof-after-processing": (True, lambda reply: _hangs_up(reply, b"")),
    "truncated-headers": (True, lambda reply: _hangs_up(reply, b"HTTP/1.1 200 OK\r\nContent-Type: applica")),
    "truncated-body": (
        True,
        lambda reply: reply.body == OK and int(reply.headers["content-length"]) > len(reply.body) and not reply.reset,
    ),
}
HANGS = {"hang-before-processing": False, "hang-after-processing": True}


QUICK = Measures(slow=0.1, drip=0.005)


def test_every_fault_is_exercised_here() -> None:
    assert WHOLE.keys() | CUT.keys() | HANGS.keys() == FAULTS.keys()


def test_the_table_says_what_these_tests_expect() -> None:
    processed = {kind: seen.processed for kind, seen in WHOLE.items()}
    processed |= {kind: seen[0] for kind, seen in CUT.items()} | HANGS
    assert {kind: fault.processed for kind, fault in FAULTS.items()} == processed
    assert {kind for kind, fault in FAULTS.items() if fault.says_ok} == {"slow", "drip", "200-xml-ok"}


@pytest.mark.parametrize(("kind", "seen"), WHOLE.items(), ids=WHOLE)
async def test_faults_with_a_whole_answer(kind: str, seen: Seen) -> None:
    async with Sandbox(faults={kind: 1}, measures=QUICK) as sandbox:
        reply = await a_call(CallerId=NUMBER, CallRecording=RECORDING).of(sandbox)

    assert reply.status == seen.status
    assert seen.holds(reply)
    assert sandbox.counts == {
        "requests": 1,
        "processed": int(seen.processed),
        "answered_ok": int(seen.says_ok),
        "answered": {str(seen.status): 1},
        "faults": {kind: 1},
    }


@pytest.mark.parametrize(("kind", "processed", "holds"), [(kind, *seen) for kind, seen in CUT.items()], ids=CUT)
async def test_faults_that_destroy_the_connection(
    kind: str, processed: bool, holds: Callable[[Reply], object], caplog: pytest.LogCaptureFixture
) -> None:
    async with Sandbox(faults={kind: 1}) as sandbox:
        reply = await a_call().of(sandbox)

    assert holds(reply)
    assert sandbox.counts == {
        "requests": 1,
        "processed": int(processed),
        "answered_ok": 0,
        "answered": {},
        "faults": {kind: 1},
    }
    assert caplog.text == ""


@pytest.mark.parametrize(("kind", "processed"), HANGS.items())
async def test_faults_that_never_answer(kind: str, processed: bool, caplog: pytest.LogCaptureFixture) -> None:
    async with Sandbox(faults={kind: 1}) as sandbox:
        hanging = asyncio.create_task(a_call().of(sandbox))
        await has_met_a_fault(sandbox)
        _, still = await asyncio.wait([hanging], timeout=0.2)
        assert still
        hanging.cancel()

    assert sandbox.counts == {
        "requests": 1,
        "processed": int(processed),
        "answered_ok": 0,
        "answered": {},
        "faults": {kind: 1},
    }
    assert caplog.text == ""


async def test_a_hanging_request_ends_when_its_caller_leaves() -> None:
    async with Sandbox() as sandbox:
        sandbox.script = ["hang-before-processing"]
        hanging = asyncio.create_task(a_call().of(sandbox))
        await has_met_a_fault(sandbox)
        hanging.cancel()

        async def alone() -> bool:
            await a_call().of(sandbox)
            return sandbox.requests[-1].in_flight == 1

        await until(alone)


async def test_a_hanging_request_does_not_hold_up_the_end(caplog: pytest.LogCaptureFixture) -> None:
    async with Sandbox(faults={"hang-after-processing": 1}) as sandbox:
        hanging = asyncio.create_task(a_call().of(sandbox))
        await has_met_a_fault(sandbox)
        started = time.monotonic()

    assert time.monotonic() - started < 1
    assert (await hanging).raw == b""
    assert caplog.text == ""


async def test_a_fault_before_reading_leaves_the_body_unread() -> None:
    body = b"CampaignId=1&" * 100_000
    async with Sandbox(faults={"reset-before-reading": 1}) as sandbox:
        reply = await Ask(body=body, headers={"Content-Type": "application/x-www-form-urlencoded"}).of(sandbox)

    assert reply.reset
    assert sandbox.requests[0].body == b""


async def test_the_drip_arrives_byte_by_byte() -> None:
    arrivals = []
    async with Sandbox(faults={"drip": 1}, measures=Measures(drip=0.02)) as sandbox, aiohttp.ClientSession() as session:
        answer = session.post(
            sandbox.url + PATH, params=CALL, headers={"Authorization": basic(), "Accept": "application/json"}
        )
        async with answer as response:
            async for chunk in response.content.iter_any():
                arrivals.append(chunk)

    assert b"".join(arrivals) == OK
    assert len(arrivals) > len(OK) / 2


async def test_slow_is_slow() -> None:
    async with Sandbox(faults={"slow": 1}, measures=QUICK) as sandbox:
        started = time.monotonic()
        await a_call().of(sandbox)
    assert time.monotonic() - started >= 0.1


async def test_a_refused_call_never_meets_a_fault_after_processing() -> None:
    async with Sandbox(faults={"reset-after-processing": 1}) as sandbox:
        assert (await a_call(MediaId="x").of(sandbox)).status == 400
        assert (await Ask(headers={"Authorization": None}).of(sandbox)).status == 401

    assert (sandbox.counts["faults"], sandbox.calls) == ({}, [])


async def test_a_fault_before_processing_looks_at_nothing() -> None:
    async with Sandbox(user="u", password="p", faults={"503": 1}) as sandbox:
        assert (await Ask(headers={"Authorization": None}).of(sandbox)).status == 503


async def test_the_script_goes_before_the_rates() -> None:
    async with Sandbox(faults={"500": 1}) as sandbox:
        sandbox.script = ["ok", "429-bare", "ok"]
        statuses = [(await a_call().of(sandbox)).status for _ in range(2)]
        assert sandbox.script == ["ok"]
        statuses += [(await a_call().of(sandbox)).status for _ in range(2)]

    assert statuses == [200, 429, 200, 500]
    assert sandbox.counts["faults"] == {"429-bare": 1, "500": 1}


async def test_faults_can_change_at_run_time() -> None:
    async with Sandbox() as sandbox:
        before = (await a_call().of(sandbox)).status
        sandbox.faults = {"403": 1.0}
        after = (await a_call().of(sandbox)).status

    assert (before, after) == (200, 403)
    assert sandbox.faults == {"403": 1.0}


async def _statuses(seed: int, rates: dict[str, float]) -> list[int]:
    async with Sandbox(seed=seed, faults=rates) as sandbox:
        return [(await a_call().of(sandbox)).status for _ in range(40)]


async def test_a_seed_repeats_the_faults_request_by_request() -> None:
    rates = {"429-bare": 0.2, "500": 0.2, "403": 0.2}
    first = await _statuses(1, rates)
    assert first == await _statuses(1, dict(reversed(rates.items())))
    assert first != await _statuses(2, rates)
    assert set(first) == {200, 429, 500, 403}


def test_rates_are_kept() -> None:
    sandbox = Sandbox(faults={"500": 0.1, "reset-after-processing": 0.3}, seed=7)
    drawn = [sandbox._plan.next_fault().name for _ in range(10_000)]
    assert abs(drawn.count("500") - 1000) < 150
    assert abs(drawn.count("reset-after-processing") - 3000) < 250


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        ({"nonsense": 0.1}, "hang-before-processing"),
        ({"500": 1.1}, "0 to 1"),
        ({"500": -0.1}, "0 to 1"),
        ({"500": float("nan")}, "0 to 1"),
        ({"500": 0.6, "503": 0.5}, "at most 1"),
    ],
)
def test_impossible_rates(rates: dict[str, float], message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        Sandbox(faults=rates)
    sandbox = Sandbox(faults={"408": 0.5})
    with pytest.raises(InvalidOption, match=message):
        sandbox.faults = rates
    assert sandbox.faults == {"408": 0.5}


def test_rates_may_add_up_to_one() -> None:
    Sandbox(faults=dict.fromkeys(list(FAULTS)[:10], 0.1))


def test_a_script_of_unknown_kinds_is_refused() -> None:
    with pytest.raises(InvalidOption, match="nonsense"):
        Sandbox().script = ["ok", "nonsense"]


def test_names_and_meanings_fit_a_terminal() -> None:
    assert all(re.fullmatch(r"[a-z0-9-]{3,24}", kind) and len(fault.meaning) < 80 for kind, fault in FAULTS.items())
    assert {fault.moment for fault in FAULTS.values()} == set(Moment)
