"""Ledgers as earlier versions of the tables left them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from airflow_provider_impactcall.defaults import DEFAULT_KEY
from airflow_provider_impactcall.delivery.identity import identify
from airflow_provider_impactcall.delivery.ledger.migrations import MIGRATIONS, Migration
from airflow_provider_impactcall.delivery.ledger.rules import Settlement
from airflow_provider_impactcall.delivery.ledger.schema import INDEXES
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import Attempt, AttemptResult, ReasonCode
from airflow_provider_impactcall.records import CallRecord
from tests import examples

NAMESPACE = "https://calls.example.com"
CLAIM = identify(NAMESPACE, DEFAULT_KEY, CallRecord.of(examples.call("a")))

_ADDED = {
    "impactcall_run": ("kind", "actor", "why", "stop_code"),
    "impactcall_call": ("first_answer", "reason_code", "status"),
    "impactcall_event": ("reason_code",),
}
"""The columns that version 1 did not have."""


def names_of(ledger_url: str) -> list[str]:
    """The migrations that a ledger in such a database has."""
    dialect = sa.engine.make_url(ledger_url).get_backend_name()
    return [migration.name for migration in MIGRATIONS if migration.dialect in (None, dialect)]


def prepared(ledger_url: str, migrations: Sequence[Migration] = MIGRATIONS) -> Ledger:
    """A ledger with these migrations applied."""
    ledger = Ledger(sa.create_engine(ledger_url), NAMESPACE, migrations=migrations)
    ledger.prepare()
    return ledger


def as_version_1_left_it(ledger_url: str, *, but_for: Sequence[str] = ()) -> None:
    """A ledger of version 1, in which a run delivered one call.

    :param but_for: later columns that it has nevertheless
    """
    ledger = prepared(ledger_url)
    run_id = ledger.start("dag/task", "")
    ledger.record(run_id, [CLAIM], [], resend=False)
    answer = Attempt(AttemptResult.DELIVERED, ReasonCode.OK, "200 Status OK", 200)
    ledger.record(run_id, [], [Settlement(CLAIM.key, 1, answer)], resend=False)
    with ledger.writing() as connection:
        for index in INDEXES:
            if index.name == "impactcall_call_undone":
                index.drop(connection)
        for table, columns in _ADDED.items():
            for column in columns:
                if column not in but_for:
                    connection.execute(sa.text(f"ALTER TABLE {table} DROP COLUMN {column}"))
        for name in ("rate_account", "rate_run", "rate_ended", "migration"):
            connection.execute(sa.text(f"DROP TABLE impactcall_{name}"))
        connection.execute(sa.text("UPDATE impactcall_schema SET version = 1"))
    ledger.close()


def newest_mark(connection: Connection) -> int:
    """The number that versions 1 to 3 compare with the newest version that they know. They refuse a greater number."""
    return int(connection.execute(sa.text("SELECT max(version) FROM impactcall_schema")).scalar_one())


version_3 = sa.MetaData()
"""The tables of version 3, as its code had them. Never change them."""

_moment = sa.Float(53)
_serial = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_ENDS = ("delivered", "already_delivered", "changed", "duplicate", "filtered", "rejected", "unknown", "not_sent")

sa.Table("impactcall_schema", version_3, sa.Column("version", sa.Integer, primary_key=True))
sa.Table(
    "impactcall_run",
    version_3,
    sa.Column("run_id", sa.String(32), primary_key=True),
    sa.Column("namespace", sa.String(255), nullable=False),
    sa.Column("source", sa.String(500), nullable=False),
    sa.Column("config", sa.String(32), nullable=False),
    sa.Column("lease_until", _moment, nullable=False),
    sa.Column("started_at", _moment, nullable=False),
    sa.Column("ended_at", _moment),
    sa.Column("stop", sa.String(250)),
    *(sa.Column(f"{end}_rows", sa.Integer) for end in _ENDS),
    sa.Column("kind", sa.String(16)),
    sa.Column("actor", sa.String(250)),
    sa.Column("why", sa.String(250)),
)
sa.Table(
    "impactcall_call",
    version_3,
    sa.Column("key", sa.String(32), primary_key=True),
    sa.Column("namespace", sa.String(255), nullable=False),
    sa.Column("CallSessionId", sa.Text, nullable=False),
    sa.Column("CampaignId", sa.String(64), nullable=False),
    sa.Column("ActionTrackerId", sa.String(64), nullable=False),
    sa.Column("CallProvider", sa.String(64), nullable=False),
    sa.Column("MediaId", sa.String(64), nullable=False),
    sa.Column("EventDate", sa.String(32), nullable=False),
    sa.Column("fingerprint", sa.Integer, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("reason", sa.String(250), nullable=False),
    sa.Column("uncertain", sa.Boolean, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("deaths", sa.Integer, nullable=False),
    sa.Column("fence", sa.Integer, nullable=False),
    sa.Column("run_id", sa.String(32), nullable=False),
    sa.Column("first_at", _moment, nullable=False),
    sa.Column("changed_at", _moment, nullable=False),
    sa.Column("first_answer", sa.Integer),
    sa.Index("impactcall_call_undelivered", "state", "changed_at", "namespace", "reason"),
)
sa.Table(
    "impactcall_event",
    version_3,
    sa.Column("event_id", _serial, primary_key=True, autoincrement=True),
    sa.Column("key", sa.String(32), nullable=False, index=True),
    sa.Column("at", _moment, nullable=False),
    sa.Column("fence", sa.Integer, nullable=False),
    sa.Column("run_id", sa.String(32)),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("status", sa.Integer),
    sa.Column("reason", sa.String(250), nullable=False),
    sa.Column("actor", sa.String(250)),
)
sa.Table(
    "impactcall_rate_account",
    version_3,
    sa.Column("account", sa.String(32), primary_key=True),
    sa.Column("keep", _moment, nullable=False),
)
sa.Table(
    "impactcall_rate_run",
    version_3,
    sa.Column("run_id", sa.String(32), primary_key=True),
    sa.Column("account", sa.String(32), nullable=False, index=True),
    *(sa.Column(name, _moment, nullable=False) for name in ("timeout", "since", "asks_by")),
    *(sa.Column(name, sa.Integer, nullable=False) for name in ("turn", "held", "waiting")),
)
sa.Table(
    "impactcall_rate_ended",
    version_3,
    sa.Column("id", _serial, primary_key=True, autoincrement=True),
    sa.Column("account", sa.String(32), nullable=False),
    sa.Column("at", _moment, nullable=False),
    sa.Column("places", sa.Integer, nullable=False),
    sa.Index("ix_impactcall_rate_ended", "account", "at"),
)


@dataclass(frozen=True)
class Told:
    """A call of version 3 by its state and its reason, and what a migration makes of these."""

    state: str
    reason: str
    code: str | None
    status: int | None = None


TOLD = (
    Told("delivered", "200 Status OK", "ok", 200),
    Told("delivered", "resolve by alice: 429 is what she saw", "resolved"),
    Told("delivered", "adopt by alice: sent by hand", "adopted"),
    Told("delivered", "reconcile by dag/task: nightly", "reconciled"),
    Told("rejected", "400 MediaId is wrong", "refused", 400),
    Told("rejected", "403", "refused", 403),
    Told("rejected", "409 there is one", "refused", 409),
    Told("rejected", "413", "refused", 413),
    Told("rejected", "414", "refused", 414),
    Told("rejected", "422 no", "refused", 422),
    Told("rejected", "200 Status ERROR; CallerId", "refused_in_answer", 200),
    Told("rejected", "the request would hold 9000 bytes of parameters; the connection's ...", "too_long"),
    Told("unknown", "no complete answer (TimeoutError)", "no_answer"),
    Told("unknown", "502", "no_verdict", 502),
    Told("unknown", "408", "no_verdict", 408),
    Told("unknown", "200 without a Status of OK or ERROR", "no_verdict", 200),
    Told("unknown", "429", "retry_later", 429),
    Told("unknown", "422 no", "in_doubt", 422),
    Told("unknown", "the run that sent it ended before it knew what came of it", "run_died"),
    Told("unknown", "the run was stopped before an answer came", "run_stopped"),
    Told("not_sent", "the run was stopped before it left", "run_stopped"),
    Told("not_sent", "the task was asked to stop; try again as soon as that has changed", "run_stopped"),
    Told("not_sent", "no connection (ClientConnectorError)", "no_connection"),
    Told("not_sent", "the proxy made no connection (502)", "no_connection"),
    Told("not_sent", "429", "retry_later", 429),
    Told("not_sent", "502", "retry_later", 502),
    Told("not_sent", "the endpoint asked to wait before it left", "held_back"),
    Told("not_sent", "the endpoint asks to wait (503); try again at 2026-11-26T10:00:00Z", "endpoint_asks_to_wait"),
    Told("not_sent", "the limit of 10 an hour is used up; try again at 2026-11-26T10:00:00Z", "rate_limit_used_up"),
    Told("not_sent", "400 MediaId is wrong", "refused", 400),
    Told("not_sent", "200 Status ERROR", "refused_in_answer", 200),
    Told("not_sent", "401, the credentials are refused", "setup_refused", 401),
    Told("not_sent", "403, the account may not send these calls", "forbidden", 403),
    Told("not_sent", "302, the endpoint redirects, and a redirected call would be lost", "setup_refused", 302),
    Told("not_sent", "the first 20 calls were all refused; the last: 400", "all_refused"),
    Told("not_sent", "the endpoint's certificate is refused", "certificate_refused"),
    Told("not_sent", "the proxy refuses its credentials", "setup_refused"),
    Told("not_sent", "the lease on the ledger ran out, as it was not renewed in time: another ...", "lease_lost"),
    Told("not_sent", "the ledger cannot be used (OperationalError); try again ...", "ledger_unusable"),
    Told("not_sent", "no call could be settled within 60 s (503)", "no_progress"),
    Told("not_sent", "100 calls in a row got no answer that says what came of them", "no_progress"),
    Told("not_sent", "requeue by alice: mended", "requeued"),
    Told("not_sent", "5000 words that no version said", None),
    Told("requeued", "requeue by bob: 500 is what he saw", "requeued"),
    Told("requeued", "429", "retry_later", 429),
    Told("open", "", None),
)
"""Everything that version 3 kept of a call."""

STOP = "401, the credentials are refused; try again as soon as that has changed"

PERSONS = {
    "requeue": "requeued",
    "resolve": "resolved",
    "adopt": "adopted",
    "reconcile": "reconciled",
    "elsewise": None,
}
"""People's changes, by the kind of run, and what a migration makes of their events."""


def as_version_3_left_it(ledger_url: str, told: Sequence[Told] = TOLD, kinds: Sequence[str] = tuple(PERSONS)) -> None:
    """A ledger of version 3: calls, each with an event that says the same, runs, and people's changes.

    :param kinds: of people's changes
    """
    engine = sa.create_engine(ledger_url)
    version_3.create_all(engine)
    tables = {name.removeprefix("impactcall_"): table for name, table in version_3.tables.items()}
    lease = {"lease_until": 0.0, "started_at": 1.0, "ended_at": 2.0, "delivered_rows": 3, "stop": STOP}
    runs = [
        {"run_id": f"run-{kind}", "namespace": NAMESPACE, "source": "dag/task", "config": "", **lease, "kind": kind}
        for kind in (None, *kinds)
    ]
    calls, events = [], []
    for number, each in enumerate(told):
        first_answer = 200 if each.reason == "200 Status OK" else 0 if each.state == "open" else None
        known = {"namespace": NAMESPACE, "CallSessionId": f"call-{number}", "fingerprint": number, "uncertain": False}
        shown = dict.fromkeys(("CampaignId", "ActionTrackerId", "CallProvider", "MediaId", "EventDate"), "1")
        kept = {"key": f"{number:032x}", "state": each.state, "reason": each.reason, "run_id": "run-None", "fence": 1}
        moments = {"first_at": 1.0, "changed_at": 2.0 + number, "first_answer": first_answer}
        calls.append({**known, **shown, **kept, "attempts": 1, "deaths": 0, **moments})
        if first_answer is None:
            events.append({**kept, "at": 2.0, "status": each.status, "actor": None})
    for kind in kinds:
        by_person = {"key": f"{0:032x}", "state": "delivered", "status": None, "actor": "alice", "fence": 1, "at": 3.0}
        events.append({**by_person, "run_id": f"run-{kind}", "reason": "429 is what she saw"})
    with engine.begin() as connection:
        connection.execute(sa.insert(tables["run"]), runs)
        connection.execute(sa.insert(tables["call"]), calls)
        connection.execute(sa.insert(tables["event"]), events)
        connection.execute(sa.insert(tables["rate_account"]).values(account="a" * 32, keep=3600.0))
        connection.execute(sa.insert(tables["schema"]), [{"version": version} for version in (1, 2, 3)])
    engine.dispose()


def held(connection: Connection) -> dict[str, list[tuple[object, ...]]]:
    """What a ledger still has of version 3's content, by table."""
    return {
        name: sorted((tuple(row) for row in connection.execute(sa.select(table))), key=repr)
        for name, table in version_3.tables.items()
        if name != "impactcall_schema"
    }
