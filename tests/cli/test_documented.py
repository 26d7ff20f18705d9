"""The documentation's commands, run in its order: they print what it shows."""

from __future__ import annotations

import csv
import json
import os
import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_provider_impactcall.delivery.ledger.schema import calls, dead_letters
from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples
from tests.cli.conftest import Command, states
from tests.documentation import DRY_RUN, FOLLOWING, OPERATING, README, blocks, commands, sessions
from tests.records.vendors.payloads import PAYLOADS, load

DAY = 24 * 60 * 60


def a_call(number: int, **changes: Any) -> dict[str, Any]:
    """The page's call of that number, which was made in that second."""
    return examples.call(f"CA{number:03}", **{"EventDate": f"2026-09-10T22:55:{number:02}-08:00", **changes})


@pytest.fixture
def endpoint(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """The sandbox as impact.com, for calls and for actions, and a folder for the files that commands name."""
    connection = json.loads(examples.connection(sandbox, concurrency=1))
    monkeypatch.setenv("AIRFLOW_CONN_IMPACTCALL_DEFAULT", json.dumps(connection))
    monkeypatch.setenv("AIRFLOW_CONN_IMPACT_API_DEFAULT", json.dumps(connection | {"login": "IRabc123", "extra": {}}))
    monkeypatch.setenv("LOGNAME", "alice")
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.chdir(tmp_path_factory.mktemp("files"))
    return sandbox


def lines_of(*texts: str) -> list[str]:
    """What was printed, or is shown to be, without what no two runs have in common, and without the question."""
    text = re.sub(r"\d{4}-\d\d-\d\dT[\d:]+\.\d{3}\+00:00", "TIME", "\n".join(texts).replace("Go on? [y/N] ", ""))
    text = re.sub(r"\b[0-9a-f]{32}\b", "ID", text)
    squeezed = [re.sub(r"[ =]{2,}", " ", line).strip() for line in text.splitlines()]
    return sorted(line for line in squeezed if line not in ("", "y"))


def test_operating(endpoint: Sandbox, impactcall: Command) -> None:
    made = [a_call(number) for number in range(7)]
    endpoint.script = ["ok", "ok", "ok", "400-errors", "502-after-processing", "reset-before-reading", "502"]
    report = ImpactCallHook().deliver([*made, a_call(0, TalkDuration=7), a_call(7, CallDuration=None)])
    assert (report.delivered, report.changed, report.rejected, report.unknown) == (3, 1, 2, 3)
    before = [*(a_call(number) for number in range(10, 20)), a_call(20, CallerId="x", EventDate="yesterday")]
    for name, rows in {"calls-of-the-week.jsonl": made, "before.jsonl": before}.items():
        Path(name).write_text("\n".join(map(json.dumps, rows)))
    runs: list[str] = []
    for words, shown in sessions(OPERATING):
        if words[1] == "runs":
            runs = shown
        if words[1] == "purge":
            assert lines_of(impactcall("runs").out) == lines_of(*runs), "that of all that the page does"
            grow_old()
        done = impactcall(*words[1:], stdin="y\n")
        assert done.status == int("and were not adopted" in done.err)
        assert words[1] == "runs" or lines_of(done.out, done.err) == lines_of(*shown), words
    assert runs


def test_following(endpoint: Sandbox, impactcall: Command) -> None:
    made = [a_call(number, MediaId=20000 if number < 2 else 10000) for number in range(6)]
    made.append(a_call(6, CallStatus="CANCEL"))
    assert ImpactCallHook().deliver(made).delivered == 7
    Path("calls-of-the-week.jsonl").write_text("\n".join(map(json.dumps, made)))
    for number, (words, shown) in enumerate(sessions(FOLLOWING)):
        done = impactcall(*words[1:])
        assert (done.status, lines_of(done.out, done.err)) == (0, lines_of(*shown)), words
        if number == 0:
            endpoint.decide("APPROVED", [1, 2, 3])
            endpoint.decide("CLEARED", [1])
            endpoint.decide("REVERSED", [4])


def test_dry_run(impactcall: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ids = {"campaign_id": 1000, "action_tracker_id": 4000, "call_provider": "ExampleVendor", "requests_per_hour": 1000}
    monkeypatch.setenv("AIRFLOW_CONN_IMPACTCALL_DEFAULT", json.dumps({"conn_type": "impactcall", "extra": ids}))
    monkeypatch.chdir(tmp_path)
    Path("messy.csv").write_text(blocks(DRY_RUN, "csv")[0])
    Path("messy.yaml").write_text(blocks(DRY_RUN, "yaml")[0])
    for vendor in PAYLOADS:
        Path(f"{vendor}.jsonl").write_text(json.dumps(load(PAYLOADS[vendor])))
    shown = list(sessions(DRY_RUN))
    assert {words[2] for words, _ in shown} == {"messy.csv", *(f"{vendor}.jsonl" for vendor in PAYLOADS)}
    for words, printed in shown:
        done = impactcall(*words[1:])
        assert [*done.out.splitlines(), *done.err.splitlines()] == printed, words
        assert done.status == int("would be rejected" in done.err)


def test_readme(endpoint: Sandbox, impactcall: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [examples.call("CA123"), a_call(1, CallerId="2125550143"), a_call(2)]
    endpoint.script = ["502", "502-after-processing", "400-errors"]
    assert ImpactCallHook().deliver(rows).unknown == 2
    with closing(sqlite3.connect("warehouse.db")) as warehouse:
        warehouse.execute(f"CREATE TABLE finished_calls ({', '.join(rows[0])})")
        values = [tuple(row.values()) for row in rows]
        warehouse.executemany(f"INSERT INTO finished_calls VALUES ({', '.join('?' * len(rows[0]))})", values)
        warehouse.commit()
    monkeypatch.setenv(
        "AIRFLOW_CONN_WAREHOUSE", json.dumps({"conn_type": "sqlite", "host": str(Path("warehouse.db").resolve())})
    )
    Path("finished_calls.sql").write_text("SELECT * FROM finished_calls")
    (mapping,) = [shown for words, shown in sessions(README) if words == ["cat", "map.yaml"]]
    Path("map.yaml").write_text("\n".join(mapping))
    column_of = dict(line.split(": ") for line in mapping)
    row = {**examples.call("CA200"), "EventDate": "2026-09-10 22:55:32"}
    with Path("calls.csv").open("w", newline="") as file:
        csv.writer(file).writerows([[column_of.get(name, name) for name in row], row.values()])
    shown = commands(README, "airflow", "impactcall")
    done = {arguments[0]: impactcall(*arguments, stdin="y\n") for arguments in shown}
    assert {name: (each.status, each.err.count("Go on?")) for name, each in done.items()} == {
        "check": (0, 0),
        "list": (0, 0),
        "history": (0, 0),
        "reconcile": (0, 0),
        "resolve": (0, 1),
        "requeue": (0, 1),
    }
    assert states(impactcall) == {"CA123": "delivered", "CA001": "delivered", "CA002": "not_sent"}


def grow_old() -> None:
    """What 401 days do to the calls and dead letters of the embedded ledger."""
    ledger = sa.create_engine(f"sqlite:///{os.environ['AIRFLOW_HOME']}/impactcall_ledger.db")
    with ledger.begin() as connection:
        connection.execute(sa.update(calls).values(changed_at=time.time() - 401 * DAY))
        connection.execute(sa.update(dead_letters).values(last_at=time.time() - 401 * DAY))
    ledger.dispose()
