"""Migrates a ledger of version 1, 2 or 3, from before the first release, to the ledger of that release.

This module stays as it was when that release was made. The package's sentences and codes may have changed since; this
must not change what the migration does.
"""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from airflow_provider_impactcall.delivery.ledger.batch_sizes import in_parts
from airflow_provider_impactcall.delivery.ledger.schema import Now, calls, events, marks, runs, tables
from airflow_provider_impactcall.delivery.ledger.steps import Steps

log = logging.getLogger(__name__)

MARK = 4
"""The mark that versions 1 to 3 of the tables take for a newer version, and refuse."""

_ADDED: Sequence[tuple[str, sa.Column[Any]]] = (
    ("impactcall_run", sa.Column("kind", sa.String(16))),
    ("impactcall_run", sa.Column("actor", sa.String(250))),
    ("impactcall_run", sa.Column("why", sa.String(250))),
    ("impactcall_run", sa.Column("stop_code", sa.String(32))),
    ("impactcall_call", sa.Column("first_answer", sa.Integer)),
    ("impactcall_call", sa.Column("reason_code", sa.String(32))),
    ("impactcall_call", sa.Column("status", sa.Integer)),
    ("impactcall_event", sa.Column("reason_code", sa.String(32))),
)
"""The columns that the tables of version 1 lack; the tables of versions 2 and 3 have some of them."""

_REPLACED = sa.Index(
    "impactcall_call_undelivered", sa.Table("impactcall_call", sa.MetaData(), sa.Column("state", sa.String(16))).c.state
)
"""An index of version 3; another index, with more columns, has taken its place."""

_STATUS = re.compile(r"([1-5]\d\d)(?!\d)")
_REFUSED = (400, 403, 409, 413, 414, 422)
_ASKS_TO_RETRY = (429, 500, 503)

_SENTENCES: Sequence[tuple[str, str]] = (
    (r"the run that sent it ended before it knew what came of it", "run_died"),
    (r"the run was stopped before ", "run_stopped"),
    (r"the task was asked to stop", "run_stopped"),
    (r"no complete answer \(", "no_answer"),
    (r"no connection \(", "no_connection"),
    (r"the proxy made no connection \(", "no_connection"),
    (r"the request would hold \d+ bytes of parameters", "too_long"),
    (r"the endpoint asked to wait before it left", "held_back"),
    (r"the endpoint asks to wait \(", "endpoint_asks_to_wait"),
    (r"the limit of .* is used up", "rate_limit_used_up"),
    (r"no call could be settled within ", "no_progress"),
    (r"\d+ calls in a row got no answer that says what came of them", "no_progress"),
    (r"the lease on the ledger ran out", "lease_lost"),
    (r"the ledger cannot be used \(", "ledger_unusable"),
    (r"the endpoint's certificate is refused", "certificate_refused"),
    (r"the proxy refuses its credentials", "setup_refused"),
    (r"the first \d+ calls were all refused; the last: ", "all_refused"),
    (r"requeue by ", "requeued"),
    (r"resolve by ", "resolved"),
    (r"adopt by ", "adopted"),
    (r"reconcile by ", "reconciled"),
)
"""How those reasons of versions 1 to 3 begin that are not about an answer, and their codes."""

_BY_PERSONS: Mapping[str, str] = {
    "requeue": "requeued",
    "resolve": "resolved",
    "adopt": "adopted",
    "reconcile": "reconciled",
}
"""The codes of what people did, by the kind of the run. The reason of such an event is the person's own words."""


def take_over(steps: Steps) -> None:
    """Add the columns and tables that are missing, have earlier versions refuse the ledger, and fill the new columns.

    Earlier versions refuse the ledger before the columns are filled: what they wrote after that would stay without a
    code.
    """
    steps.create(table for table in tables.sorted_tables if table.name.startswith("impactcall_rate_"))
    for table, column in _ADDED:
        steps.add(table, column)
    if older := steps.repeatedly(_mark):
        log.warning(
            "Deliveries of an earlier version are under way: %d. Until they end, they keep to a rate limit of their "
            "own if they are of version 1 or 2. Calls that are undelivered, or that those deliveries record, have "
            "a reason code only after their next change",
            older,
        )
    for page in steps.walk(calls.c.key, calls.c.state, calls.c.reason, calls.c.reason_code, calls.c.status):
        unfilled = (row[:3] for row in page if row[3] is row[4] is None)
        # An earlier version changes a call without its code: the code would still be the former state's.
        final = (row for row in unfilled if not older or row[1] == "delivered")
        keys = [key for key, state, reason in final if any(told_by(state, reason))]
        if keys:
            steps.repeatedly(partial(_fill_calls, keys))
            steps.give_way()
    told = (events.c.state, events.c.reason, events.c.actor, runs.c.kind, events.c.reason_code)
    joined = events.outerjoin(runs, runs.c.run_id == events.c.run_id)
    for page in steps.walk(events.c.event_id, *told, of=joined):
        ids: defaultdict[str, list[int]] = defaultdict(list)
        for event_id, state, reason, actor, kind, known_code in page:
            code = told_by(state, reason)[0] if actor is None else _BY_PERSONS.get(kind or "")
            if code is not None and known_code is None:
                ids[code].append(event_id)
        if ids:
            steps.repeatedly(partial(_fill_events, ids))
            steps.give_way()
    for page in steps.walk(runs.c.run_id, runs.c.stop, runs.c.stop_code):
        stops: defaultdict[str, list[str]] = defaultdict(list)
        for run_id, stop, known_code in page:
            code = None if stop is None else told_by("not_sent", stop)[0]
            if code is not None and known_code is None:
                stops[code].append(run_id)
        if stops:
            steps.repeatedly(partial(_fill_runs, stops))
            steps.give_way()
    # Last, as a delivery that began before the mark would build the index again.
    steps.drop_index("impactcall_call", _REPLACED)


def _mark(connection: Connection) -> int:
    """Have earlier versions refuse the ledger.

    :return: how many of their deliveries are under way
    """
    version: int = connection.execute(sa.select(sa.func.max(marks.c.version))).scalar_one()
    if version < MARK:
        connection.execute(sa.insert(marks).values(version=MARK))
    under_way = sa.select(sa.func.count()).select_from(runs).where(runs.c.lease_until > Now())
    return int(connection.execute(under_way).scalar_one())


def _fill_calls(keys: Sequence[str], connection: Connection) -> None:
    for few in in_parts(keys):
        # Locked, as a delivery that is under way may change one of them at this moment.
        unfilled = (calls.c.key.in_(few), calls.c.reason_code.is_(None), calls.c.status.is_(None))
        locking = sa.select(calls.c.key, calls.c.state, calls.c.reason).where(*unfilled).order_by(calls.c.key)
        alike: defaultdict[tuple[str | None, int | None], list[str]] = defaultdict(list)
        for key, state, reason in connection.execute(locking.with_for_update()):
            alike[told_by(state, reason)].append(key)
        for (code, status), those in alike.items():
            connection.execute(sa.update(calls).where(calls.c.key.in_(those)).values(reason_code=code, status=status))


def _fill_events(ids: Mapping[str, Sequence[int]], connection: Connection) -> None:
    for code, those in ids.items():
        for few in in_parts(those):
            unfilled = (events.c.event_id.in_(few), events.c.reason_code.is_(None))
            connection.execute(sa.update(events).where(*unfilled).values(reason_code=code))


def _fill_runs(run_ids: Mapping[str, Sequence[str]], connection: Connection) -> None:
    for code, those in run_ids.items():
        for few in in_parts(those):
            unfilled = (runs.c.run_id.in_(few), runs.c.stop_code.is_(None))
            connection.execute(sa.update(runs).where(*unfilled).values(stop_code=code))


@lru_cache(maxsize=10_000)
def told_by(state: str, reason: str) -> tuple[str | None, int | None]:
    """The reason code and the answer's status, as far as a state and a reason of earlier versions show them."""
    for begins, code in _SENTENCES:
        if re.match(begins, reason):
            return code, None
    answer = _STATUS.match(reason)
    if answer is None:
        return None, None
    status, said = int(answer.group()), reason[answer.end() :]
    return _code_of_an_answer(state, status, said), status


def _code_of_an_answer(state: str, status: int, said: str) -> str:
    if said.startswith(", "):  # A person has to change something: the credentials, the address, the account.
        return "forbidden" if status == 403 else "setup_refused"
    if said.startswith(" without a Status of OK or ERROR"):
        return "no_verdict"
    if state == "delivered":
        return "ok"
    if status in _REFUSED or 200 <= status < 300:
        # If the call is unknown, an attempt before this one may have been processed.
        return "in_doubt" if state == "unknown" else "refused" if status in _REFUSED else "refused_in_answer"
    if status in _ASKS_TO_RETRY or state in ("not_sent", "requeued", "again"):
        return "retry_later"
    return "no_verdict"
