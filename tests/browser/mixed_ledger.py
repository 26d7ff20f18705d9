"""A ledger as weeks of deliveries leave it: every outcome, several partners, and people's corrections."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any

import pytest

from airflow_provider_impactcall.delivery.ledger.corrections import Corrections
from airflow_provider_impactcall.delivery.ledger.edits import Author
from airflow_provider_impactcall.delivery.ledger.selection import Selection
from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from airflow_provider_impactcall.integration.ledger import open_ledger
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples

NAMESPACE = "https://twilio.ivr.impactradius.com"
PARTNERS = (10000, 10007, 10023, 1900431)
CAMPAIGNS = (41010, 41022)

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=alert()>"
CHANGED = "CA-delivered-then-changed"
INVALID = "CA-without-a-duration"
RELEASED = "CA-unknown-then-released"
RESOLVED = "CA-unknown-then-resolved"
STRANDED = "CA-unknown-for-weeks"
ALICE = Author("alice", "impact.com has no trace of it")

_FAULTS = {
    "400-errors": 0.04,
    "400-errors-lower-case": 0.02,
    "200-status-error": 0.015,
    "502-after-processing": 0.01,
    "reset-after-processing": 0.008,
}
_RUNS = 9
_CHANGED = 12
_BY_PARTNER = {"MediaId": {"from": "MediaId", "lookup": {str(each): each for each in PARTNERS}, "default": "leave out"}}
_HOURS_BETWEEN = 22


class MixedLedger:
    """Fills an Airflow's embedded ledger with the real hook, against a sandbox.

    :param airflow_home: the folder of the ledger
    :param sandbox: where the calls go
    """

    def __init__(self, airflow_home: Path, sandbox: Sandbox) -> None:
        self._file = airflow_home / "impactcall_ledger.db"
        self._home = airflow_home
        self._sandbox = sandbox
        self._random = Random(7)

    def fill(self) -> None:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("AIRFLOW_HOME", str(self._home))
            environment.setenv("AIRFLOW_CONN_IMPACTCALL_DEFAULT", examples.connection(self._sandbox, concurrency=1))
            self._deliver_for_weeks(environment)

    def _deliver_for_weeks(self, environment: pytest.MonkeyPatch) -> None:
        released, resolved, stranded = (examples.call(name, MediaId=10007) for name in (RELEASED, RESOLVED, STRANDED))
        self._sandbox.script = ["502-after-processing"] * 3
        self._run(environment, [released, resolved, stranded])
        self._pass(hours=14 * 24)
        corrections = Corrections(open_ledger("embedded", NAMESPACE))
        assert corrections.requeue(Selection(call_session_ids=[RELEASED]), ALICE) == 1
        assert corrections.resolve(Selection(call_session_ids=[RESOLVED]), ALICE, delivered=True) == 1
        self._pass(hours=1)
        self._run(environment, [released])
        for number in range(_RUNS):
            self._pass(hours=_HOURS_BETWEEN)
            self._sandbox.faults = _FAULTS
            self._run(environment, self._calls(30 + 11 * number))
            self._sandbox.faults = {}
        # A look-back reads the same rows again.
        bad, sold = self._bad_rows(), self._calls(_CHANGED - 1)
        sold.append(examples.call(CHANGED, MediaId=10007, CampaignId=41010))
        self._run(environment, [*bad, *sold])
        self._pass(hours=20)
        corrected = [{**row, "CallDuration": 200, "Amount": 49} for row in sold]
        self._run(environment, [*bad, *corrected, *self._left_out()], mapping=_BY_PARTNER)
        self._pass(hours=2)
        with refusing(HOSTILE) as url:
            environment.setenv("AIRFLOW_CONN_IMPACTCALL_DEFAULT", json.dumps({"conn_type": "impactcall", **url}))
            self._run(environment, self._calls(2))
        environment.setenv("AIRFLOW_CONN_IMPACTCALL_DEFAULT", examples.connection(self._sandbox, concurrency=1))
        self._sandbox.script = ["ok"] * 5 + ["429-retry-after-hour"]
        self._run(environment, self._calls(8))
        self._sandbox.script = []
        self._pass(hours=1)

    def _run(self, environment: pytest.MonkeyPatch, rows: Sequence[Mapping[str, Any]], **options: Any) -> None:
        day = f"scheduled__{datetime.now(UTC):%Y-%m-%dT06:00:00+00:00}"
        instance = {"DAG_ID": "impactcall_from_warehouse", "TASK_ID": "deliver_calls", "DAG_RUN_ID": day}
        for name, value in {**instance, "TRY_NUMBER": "1"}.items():
            environment.setenv(f"AIRFLOW_CTX_{name}", value)
        ImpactCallHook().deliver(rows, ledger_conn_id="embedded", ledger_namespace=NAMESPACE, max_wait=1, **options)

    def _bad_rows(self) -> list[dict[str, Any]]:
        """Rows of a neglected warehouse: each lacks a value, or has it in an unusual form."""
        wrong: Sequence[tuple[int, dict[str, Any]]] = (
            (31, {"CallDuration": None}),
            (9, {"CallerId": None}),
            (8, {"EventDate": "last Tuesday"}),
            (6, {"CallStatus": "hung up on"}),
            (4, {"CallDuration": "a while", "TalkDuration": "less"}),
        )
        rows = [{**call, **changes} for count, changes in wrong for call in self._calls(count)]
        # Without an id that can be shown.
        return [*rows, examples.call(INVALID, CallDuration=None), examples.call(examples.CALLER, CallDuration=None)]

    def _left_out(self) -> list[dict[str, Any]]:
        return [{**call, "MediaId": "in-house"} for call in self._calls(7)]

    def _calls(self, count: int) -> list[dict[str, Any]]:
        happened = datetime.now(UTC) - timedelta(hours=3)
        return [
            examples.call(
                f"CA{self._random.getrandbits(128):032x}",
                MediaId=self._random.choices(PARTNERS, (6, 3, 2, 1))[0],
                CampaignId=self._random.choices(CAMPAIGNS, (3, 1))[0],
                EventDate=f"{happened + timedelta(minutes=number):%Y-%m-%dT%H:%M:%S}-05:00",
                CallProvider="CallRail",
            )
            for number in range(count)
        ]

    def _pass(self, hours: float) -> None:
        """Let time pass: move everything that happened so far into the past by so much."""
        seconds = hours * 3600
        moments = {
            "impactcall_call": ("first_at", "changed_at"),
            "impactcall_event": ("at",),
            "impactcall_run": ("started_at", "ended_at", "lease_until"),
            "impactcall_dead_letter": ("first_at", "last_at"),
            "impactcall_changed_call": ("first_at", "last_at"),
        }
        with closing(sqlite3.connect(self._file)) as connection, connection:
            for table, columns in moments.items():
                earlier = ", ".join(f"{column} = {column} - :seconds" for column in columns)
                connection.execute(f"UPDATE {table} SET {earlier}", {"seconds": seconds})

    def ask(self, query: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """What the ledger itself says."""
        with closing(sqlite3.connect(f"file:{self._file}?mode=ro", uri=True)) as connection:
            return connection.execute(query, parameters).fetchall()


@contextmanager
def refusing(message: str) -> Iterator[dict[str, Any]]:
    """An endpoint that refuses every call with a message, as the host, port and credentials of a connection."""
    body = json.dumps({"Status": "ERROR", "Errors": [{"Field": "CallStatus", "Message": message}]}).encode()

    class Refusing(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(422)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield {"host": "http://127.0.0.1", "port": server.server_port, "login": "someone", "password": "something"}
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
