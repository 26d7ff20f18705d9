"""A ledger as years of use leave it: a realistic mixture of calls, written by the database itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from airflow_provider_impactcall.delivery.ledger.schema import (
    calls,
    changed_calls,
    dead_letters,
    events,
    run_rows,
    runs,
)
from airflow_provider_impactcall.delivery.outcome import ReasonCode
from airflow_provider_impactcall.exceptions import ProblemCode

NAMESPACE = "https://calls.example.com"
CHECKED = "http://127.0.0.1:8900"
RUNS = 20_000
PARTNERS = 500
CAMPAIGNS = 3
SECONDS = 548 * 86_400
LAST = 1_795_000_000
"""When the last call was made, in seconds since 1970; the first was 18 months earlier."""

_CALLS_AN_INSERT = 500_000
_REJECTED = (
    (ReasonCode.REFUSED, 400, "400 CallerId is not a valid phone number"),
    (ReasonCode.REFUSED, 400, "400 MediaId is not a partner of this campaign"),
    (ReasonCode.REFUSED, 400, "400 ActionTrackerId is not active"),
    (ReasonCode.REFUSED, 409, "409 this call was logged before"),
    (ReasonCode.REFUSED, 422, "422 EventDate is in the future"),
    (ReasonCode.REFUSED_IN_ANSWER, 200, "200 Status ERROR; the phone number is not assigned"),
    (ReasonCode.REFUSED_IN_ANSWER, 200, "200 Status ERROR; EventDate; older than impact.com takes calls"),
    (ReasonCode.TOO_LONG, None, "the request would hold 70000 bytes of parameters"),
)
_UNKNOWN = (
    (ReasonCode.NO_ANSWER, None, "no complete answer (TimeoutError)"),
    (ReasonCode.NO_VERDICT, 502, "502"),
    (ReasonCode.NO_ANSWER, None, "no complete answer (ServerDisconnectedError)"),
)
_BY_STATE = {
    "delivered": ((ReasonCode.OK, 200, "200 Status OK"),),
    "rejected": _REJECTED,
    "unknown": _UNKNOWN,
    "not_sent": ((ReasonCode.RETRY_LATER, 503, "503"),),
    "requeued": ((ReasonCode.REQUEUED, None, "requeue by alice: asked for again"),),
    "open": ((None, None, ""),),
}

# Of ten thousand: 9,800 delivered, 100 rejected, 50 unknown, 35 not sent, 14 requeued, 1 open.
_MIXED = """
    SELECT n, h, {first} + n * {apart} AS at,
           CASE WHEN h < 9800 THEN 'delivered' WHEN h < 9900 THEN 'rejected' WHEN h < 9950 THEN 'unknown'
                WHEN h < 9985 THEN 'not_sent' WHEN h < 9999 THEN 'requeued' ELSE 'open' END AS state
    FROM (SELECT n, n * 2654435761 % 4294967296 % 10000 AS h FROM ({numbers}) AS numbers) AS hashed"""

_CALLS = """
INSERT INTO impactcall_call (key, namespace, "CallSessionId", "CampaignId", "ActionTrackerId", "CallProvider",
    "MediaId", "EventDate", fingerprint, state, reason_code, status,
    reason, uncertain, attempts, deaths, fence, run_id, first_at, changed_at, first_answer)
SELECT md5('call' || n), CASE WHEN n % 50 = 49 THEN '{checked}' ELSE '{namespace}' END, 'CA' || md5('id' || n),
       {text}(1000 + n % {campaigns}), '4000', 'ExampleVendor', {text}(20000 + n * 7919 % {partners}), {event_date},
       n % 65536, state, {reason_code}, {status}, {reason},
       {false}, CASE WHEN h % 50 = 0 THEN 2 ELSE 1 END, 0, 1, md5('run' || (n * {runs} / {total})), at,
       at + CASE WHEN state IN ('delivered', 'open') THEN 0.05 ELSE 30.0 END,
       CASE WHEN state = 'delivered' AND h % 50 > 0 THEN 200 END
FROM ({mixed}) AS mixed ORDER BY n"""

_EVENTS = """
INSERT INTO impactcall_event (key, at, fence, run_id, state, reason_code, status, reason)
SELECT md5('call' || n), at + step * 0.05, 1, md5('run' || (n * {runs} / {total})),
       CASE WHEN step = 0 THEN 'open' WHEN step = 1 AND steps = 3 THEN 'again' ELSE state END,
       CASE WHEN step = 0 THEN NULL WHEN step = 1 AND steps = 3 THEN 'retry_later' ELSE {reason_code} END,
       CASE WHEN step = 0 THEN NULL WHEN step = 1 AND steps = 3 THEN 503 ELSE {status} END,
       CASE WHEN step = 0 THEN '' WHEN step = 1 AND steps = 3 THEN '503' ELSE {reason} END
FROM (SELECT *, CASE WHEN h % 50 = 0 THEN 3 ELSE 2 END AS steps FROM ({mixed}) AS mixed) AS counted,
     (SELECT 0 AS step UNION ALL SELECT 1 UNION ALL SELECT 2) AS steps
WHERE step < steps AND NOT (state = 'delivered' AND h % 50 > 0) ORDER BY n, step"""

_RUNS = """
INSERT INTO impactcall_run (run_id, namespace, source, config, lease_until, started_at, ended_at, rows_rows_)
SELECT md5('run' || n), '{namespace}', 'calls/deliver', '', 0, {first} + n * {apart}, {first} + n * {apart} + 60,
       {zeros}
FROM ({numbers}) AS numbers"""

# A tenth as many as calls. Of every twenty, a person has dismissed one.
_LETTERS = """
INSERT INTO impactcall_dead_letter (key, session_key, namespace, "CallSessionId", "MediaId", reason_code, parameter,
    reason, problems, {row}, run_id, first_at, last_at, times, dismissed_at)
SELECT md5('row' || n), md5('session' || n), '{namespace}', 'CA' || md5('row id' || n),
       {text}(20000 + n * 7919 % {partners}), '{missing}',
       CASE n % 3 WHEN 0 THEN 'CallDuration' WHEN 1 THEN 'CallerId' ELSE 'EventDate' END, 'a sentence of ' || n % 7,
       '[["CallDuration", "{missing}"]]', n % 10000 + 1, md5('run' || (n * {runs} / {total})),
       {first} + n * {apart} - 86400, {first} + n * {apart}, 2, CASE WHEN n % 20 = 0 THEN {first} + n * {apart} END
FROM ({numbers}) AS numbers WHERE n % 10 = 0"""

# Of every thousand calls, one that is delivered came again with other content.
_MARKS = """
INSERT INTO impactcall_changed_call (key, namespace, fingerprint, first_at, last_at, times)
SELECT key, namespace, fingerprint + 1, changed_at + 86400, changed_at + 86400, 1
FROM impactcall_call WHERE state = 'delivered' AND fingerprint % 1000 = 0"""

_RUN_ROWS = """
INSERT INTO impactcall_run_row (run_id, outcome, reason_code, parameter, reason, {rows}, kept)
SELECT md5('run' || n), CASE step WHEN 0 THEN 'filtered' ELSE 'rejected' END,
       CASE step WHEN 0 THEN 'filtered' ELSE '{missing}' END, CASE step WHEN 0 THEN '' ELSE 'CallDuration' END,
       CASE step WHEN 0 THEN 'an outbound call' ELSE '' END, 60, 50
FROM ({numbers}) AS numbers, (SELECT 0 AS step UNION ALL SELECT 1) AS steps"""

_FILLED = (calls, events, runs, dead_letters, changed_calls, run_rows)


def fill(engine: Engine, total: int) -> None:
    """Write so many calls, each with two events or three, over 18 months, and a tenth as many dead letters, into the
    empty tables of a ledger.

    :param engine: of a ledger that was prepared; on PostgreSQL and SQLite
    """
    sqlite = engine.dialect.name == "sqlite"
    with engine.connect() as connection, connection.begin():
        found = sa.inspect(connection)
        made = {table: [each["name"] for each in found.get_indexes(table.name)] for table in _FILLED}
    for names in made.values():
        _execute(engine, *(f"DROP INDEX {name}" for name in names))
    if not sqlite:
        _execute(engine, "ALTER TABLE impactcall_call DROP CONSTRAINT impactcall_call_pkey")
    values = _values(sqlite, total)
    counts = [column.name for column in runs.c if column.name.endswith("_rows")]
    run_values = values | {"apart": SECONDS / RUNS, "zeros": ", ".join("0" for _ in counts)}
    _execute(
        engine, _RUNS.replace("rows_rows_", ", ".join(counts)).format(**run_values, numbers=_numbers(sqlite, 0, RUNS))
    )
    for first in range(0, total, _CALLS_AN_INSERT):
        mixed = _MIXED.format(**values, numbers=_numbers(sqlite, first, min(first + _CALLS_AN_INSERT, total)))
        letters = _LETTERS.format(**values, numbers=_numbers(sqlite, first, min(first + _CALLS_AN_INSERT, total)))
        _execute(engine, _CALLS.format(**values, mixed=mixed), _EVENTS.format(**values, mixed=mixed), letters)
    _execute(engine, _MARKS, _RUN_ROWS.format(**values, numbers=_numbers(sqlite, 0, RUNS)))
    if not sqlite:
        _execute(engine, "ALTER TABLE impactcall_call ADD PRIMARY KEY (key)")
    with _fast(engine) as connection:
        for table in made:
            for index in table.indexes:
                index.create(connection)
    if not sqlite:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")


def key_of(number: int) -> str:
    """The key of the call of this number, from 0."""
    return hashlib.md5(f"call{number}".encode()).hexdigest()


def session_id_of(number: int) -> str:
    """The ``CallSessionId`` of the call of this number."""
    return "CA" + hashlib.md5(f"id{number}".encode()).hexdigest()


def run_id_of(number: int) -> str:
    """The run of this number, from 0 to :data:`RUNS`."""
    return hashlib.md5(f"run{number}".encode()).hexdigest()


def _values(sqlite: bool, total: int) -> dict[str, Any]:
    def by_state(place: int) -> str:
        cases = " ".join(
            f"WHEN '{state}' THEN {one_of([why[place] for why in whys])}" for state, whys in _BY_STATE.items()
        )
        return f"CASE state {cases} END"

    def one_of(values: Sequence[str | int | None]) -> str:
        if len(values) == 1:
            return _literal(values[0])  # PostgreSQL takes a CASE of nothing but NULL for text.
        cases = " ".join(f"WHEN {number} THEN {_literal(value)}" for number, value in enumerate(values))
        return f"CASE n / 10 % {len(values)} {cases} END"

    iso = "strftime('%Y-%m-%dT%H:%M:%SZ', at, 'unixepoch')"
    return {
        "first": LAST - SECONDS,
        "apart": SECONDS / total,
        "total": total,
        "runs": RUNS,
        "partners": PARTNERS,
        "campaigns": CAMPAIGNS,
        "namespace": NAMESPACE,
        "missing": ProblemCode.MISSING.value,
        "row": '"row"',
        "rows": '"rows"',
        "checked": CHECKED,
        **dict(zip(("reason_code", "status", "reason"), map(by_state, range(3)), strict=True)),
        "text": "" if sqlite else "text",
        "false": "0" if sqlite else "false",
        "event_date": iso
        if sqlite
        else "to_char(to_timestamp(at) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')",
    }


def _literal(value: str | int | None) -> str:
    return "NULL" if value is None else str(value) if isinstance(value, int) else f"'{value}'"


def _numbers(sqlite: bool, first: int, end: int) -> str:
    if not sqlite:
        return f"SELECT n FROM generate_series({first}::bigint, {end - 1}) AS series(n)"
    return (
        f"WITH RECURSIVE series(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM series WHERE n < {end - 1}) "
        "SELECT n FROM series"
    )


def _execute(engine: Engine, *statements: str) -> None:
    with _fast(engine) as connection:
        for statement in statements:
            connection.exec_driver_sql(statement.replace("%", "%%") if engine.dialect.name != "sqlite" else statement)


@contextmanager
def _fast(engine: Engine) -> Iterator[Connection]:
    """A transaction. What is lost if the machine fails meanwhile is only a benchmark's."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            raw: Any = connection.connection
            raw.create_function("md5", 1, lambda text: hashlib.md5(text.encode()).hexdigest(), deterministic=True)
            for pragma in ("cache_size=-1500000", "synchronous=OFF"):
                raw.execute(f"PRAGMA {pragma}")
        with connection.begin():
            if engine.dialect.name == "postgresql":
                for setting in ("synchronous_commit = off", "maintenance_work_mem = '1GB'", "work_mem = '256MB'"):
                    connection.exec_driver_sql(f"SET LOCAL {setting}")
            yield connection
