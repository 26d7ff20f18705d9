"""The ledger's tables, and the clock of their database. :mod:`.migrations` creates and changes the tables."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from airflow_provider_impactcall.delivery.outcome import ENDS

LONGEST_REASON = 250
LONGEST_ACTOR = 250

tables = sa.MetaData()
_moment = sa.Float(53)


def _table(name: str, metadata: sa.MetaData, *items: sa.schema.SchemaItem) -> sa.Table:
    # Else MySQL and MariaDB take A-1, a-1 and Á-1 for equal, and can hold only what the server's defaults allow.
    return sa.Table(name, metadata, *items, mysql_engine="InnoDB", mysql_charset="utf8mb4", mysql_collate="utf8mb4_bin")


migrated = _table(
    "impactcall_migration",
    tables,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("applied_at", _moment, nullable=False),
)
"""One row per migration that the ledger has; a new ledger has all of them from the start."""

marks = _table("impactcall_schema", tables, sa.Column("version", sa.Integer, primary_key=True, autoincrement=False))
"""Read by versions of this package from before its first release: they refuse a ledger with a mark above 3."""

runs = _table(
    "impactcall_run",
    tables,
    sa.Column("run_id", sa.String(32), primary_key=True),
    sa.Column("namespace", sa.String(255), nullable=False),
    sa.Column("source", sa.String(500), nullable=False),
    sa.Column("config", sa.String(32), nullable=False),
    sa.Column("lease_until", _moment, nullable=False),
    sa.Column("started_at", _moment, nullable=False),
    sa.Column("ended_at", _moment),
    sa.Column("stop_code", sa.String(32)),
    sa.Column("stop", sa.String(LONGEST_REASON)),
    *(sa.Column(f"{end}_rows", sa.Integer) for end in ENDS),
    sa.Column("kind", sa.String(16)),
    sa.Column("actor", sa.String(LONGEST_ACTOR)),
    sa.Column("why", sa.String(LONGEST_REASON)),
)
"""One row per run: a delivery (``kind`` is NULL), or a change that a person made, with who and why."""

calls = _table(
    "impactcall_call",
    tables,
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
    sa.Column("reason_code", sa.String(32)),
    sa.Column("status", sa.Integer),
    sa.Column("reason", sa.String(LONGEST_REASON), nullable=False),
    sa.Column("uncertain", sa.Boolean, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("deaths", sa.Integer, nullable=False),
    sa.Column("fence", sa.Integer, nullable=False),
    sa.Column("run_id", sa.String(32), nullable=False),
    sa.Column("first_at", _moment, nullable=False),
    sa.Column("changed_at", _moment, nullable=False),
    sa.Column("first_answer", sa.Integer),
)
"""One row per call: what identifies the call, its own values as they were sent last, and its state. ``first_answer`` is
NULL if the call's events have its whole history. If not, the call was sent once, and only this row records that: 0
while it is open, then the answer's status.
"""

events = _table(
    "impactcall_event",
    tables,
    sa.Column("event_id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("key", sa.String(32), nullable=False, index=True),
    sa.Column("at", _moment, nullable=False),
    sa.Column("fence", sa.Integer, nullable=False),
    sa.Column("run_id", sa.String(32)),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("reason_code", sa.String(32)),
    sa.Column("status", sa.Integer),
    sa.Column("reason", sa.String(LONGEST_REASON), nullable=False),
    sa.Column("actor", sa.String(LONGEST_ACTOR)),
)
"""One row per event of a call, only ever added; ``actor`` is the person who caused the event, if a person did."""

dead_letters = _table(
    "impactcall_dead_letter",
    tables,
    sa.Column("key", sa.String(32), primary_key=True),
    sa.Column("session_key", sa.String(32), index=True),
    sa.Column("namespace", sa.String(255), nullable=False),
    sa.Column("CallSessionId", sa.Text),
    sa.Column("MediaId", sa.String(64)),
    sa.Column("reason_code", sa.String(32), nullable=False),
    sa.Column("parameter", sa.String(64), nullable=False),
    sa.Column("reason", sa.String(LONGEST_REASON), nullable=False),
    sa.Column("problems", sa.Text, nullable=False),
    sa.Column("row", sa.Integer, nullable=False, quote=True),
    sa.Column("run_id", sa.String(32), nullable=False),
    sa.Column("first_at", _moment, nullable=False),
    sa.Column("last_at", _moment, nullable=False),
    sa.Column("times", sa.Integer, nullable=False),
    sa.Column("dismissed_at", _moment),
    # A hash index on PostgreSQL, like the index of the calls.
    sa.Index("ix_impactcall_dead_letter_session_id", "CallSessionId", postgresql_using="hash", mysql_length=64),
    # With all columns by which dead letters are counted.
    sa.Index(
        "ix_impactcall_dead_letter_last",
        *("namespace", "last_at", "reason_code", "parameter", "MediaId", "dismissed_at"),
        mysql_length={"namespace": 64},
    ),
    # In the order in which they are grouped: sorting a million rows for that takes SQLite seconds.
    sa.Index(
        "ix_impactcall_dead_letter_why",
        *("namespace", "reason_code", "parameter", "last_at", "dismissed_at"),
        mysql_length={"namespace": 64},
    ),
)
"""One row per dead letter: a row of an input that is not a valid call. It is deleted once its call is delivered.

``key`` is the call's key, if the row has one; if not, a digest of the row's values with the ledger's own secret.
``session_key`` is such a digest of ``CallProvider`` and ``CallSessionId``; NULL if the row does not have both.
``CallSessionId`` and ``MediaId`` are NULL unless they can be shown. ``reason_code`` and ``parameter`` come from the
first problem, and ``problems`` is a JSON list of all: ``[[parameter, code], ...]``. ``row``, ``run_id`` and ``last_at``
say where and when the row was read last, ``times`` how often it was read. ``dismissed_at`` is when a person dismissed
it: it is no longer listed.
"""

changed_calls = _table(
    "impactcall_changed_call",
    tables,
    sa.Column("key", sa.String(32), primary_key=True),
    sa.Column("namespace", sa.String(255), nullable=False),
    sa.Column("fingerprint", sa.Integer, nullable=False),
    sa.Column("first_at", _moment, nullable=False),
    sa.Column("last_at", _moment, nullable=False),
    sa.Column("times", sa.Integer, nullable=False),
    sa.Index("ix_impactcall_changed_call_last", "namespace", "last_at", mysql_length={"namespace": 64}),
)
"""One row per call that came again with other content than it was sent with: the mark *changed*. The row says when that
was first and last, how often, and the fingerprint of the content that came last. The mark counts only for a delivered
call, and is deleted once the call comes as it was sent."""

call_actions = _table(
    "impactcall_action",
    tables,
    sa.Column("key", sa.String(32), primary_key=True),
    sa.Column("namespace", sa.String(255), nullable=False),
    sa.Column("CampaignId", sa.String(64), nullable=False),
    sa.Column("MediaId", sa.String(64), nullable=False),
    sa.Column("delivered_at", _moment, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("action_id", sa.String(64)),
    sa.Column("created_at", _moment),
    sa.Column("locking_at", _moment),
    sa.Column("cleared_at", _moment),
    sa.Column("payout", sa.String(32)),
    sa.Column("amount", sa.String(32)),
    sa.Column("currency", sa.String(3)),
    sa.Column("first_at", _moment, nullable=False),
    sa.Column("changed_at", _moment, nullable=False),
    # One action belongs to one call. Many calls have no action: NULL.
    sa.Index("ix_impactcall_action_id", "action_id", "namespace", unique=True),
    # With all columns by which actions are counted.
    sa.Index(
        "ix_impactcall_action_counts",
        *("namespace", "delivered_at", "MediaId", "CampaignId", "state", "cleared_at"),
        mysql_length={"namespace": 64},
    ),
)
"""One row per delivered call that was looked for among impact.com's actions: what became of it there.

``state`` is an :class:`.ActionState`. ``CampaignId``, ``MediaId`` and ``delivered_at`` are copies of the call's values,
which do not change once it is delivered. ``action_id`` and the times after it are the action's, as impact.com says.
``payout``, ``amount`` and ``currency`` are NULL unless somebody asked for them to be kept. ``first_at`` is when the
call was first looked for; ``changed_at`` is when what became of it last changed."""

action_readings = _table(
    "impactcall_action_reading",
    tables,
    sa.Column("namespace", sa.String(255), primary_key=True),
    sa.Column("CampaignId", sa.String(64), primary_key=True),
    sa.Column("updates_until", _moment, nullable=False),
)
"""One row per campaign whose actions are followed: until when their updates were read, by the reader's clock,
or by the database's if that is earlier."""

run_rows = _table(
    "impactcall_run_row",
    tables,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("run_id", sa.String(32), nullable=False, index=True),
    sa.Column("outcome", sa.String(16), nullable=False),
    sa.Column("reason_code", sa.String(32), nullable=False),
    sa.Column("parameter", sa.String(64), nullable=False),
    sa.Column("reason", sa.String(LONGEST_REASON), nullable=False),
    sa.Column("rows", sa.Integer, nullable=False, quote=True),
    sa.Column("kept", sa.Integer, nullable=False),
)
"""How many rows of a run never became calls, by outcome and reason: ``filtered`` rows by their reason, ``rejected``
rows by code and parameter of their first problem. ``kept`` is how many of them were kept as dead letters."""

secrets = _table(
    "impactcall_secret",
    tables,
    sa.Column("name", sa.String(32), primary_key=True),
    sa.Column("value", sa.String(64), nullable=False),
)
"""The secrets of keyed digests: without the secret, nobody can undo a digest by trying all phone numbers."""

rate_accounts = _table(
    "impactcall_rate_account",
    tables,
    sa.Column("account", sa.String(32), primary_key=True),
    sa.Column("keep", _moment, nullable=False),
)
"""One row per account with a rate limit: a run locks it to take permits. ``keep``: its longest window, in seconds."""

rate_runs = _table(
    "impactcall_rate_run",
    tables,
    sa.Column("run_id", sa.String(32), primary_key=True),
    sa.Column("account", sa.String(32), nullable=False, index=True),
    sa.Column("timeout", _moment, nullable=False),
    sa.Column("turn", sa.Integer, nullable=False),
    sa.Column("held", sa.Integer, nullable=False),
    sa.Column("waiting", sa.Integer, nullable=False),
    sa.Column("since", _moment, nullable=False),
    sa.Column("asks_by", _moment, nullable=False),
)
"""One row per run with a rate limit: the places of its account that it holds, and how many more it waits for."""

rate_ended = _table(
    "impactcall_rate_ended",
    tables,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("account", sa.String(32), nullable=False),
    sa.Column("at", _moment, nullable=False),
    sa.Column("places", sa.Integer, nullable=False),
    sa.Index("ix_impactcall_rate_ended", "account", "at"),
)
"""When requests of an account with a rate limit ended, and how many."""

UNDELIVERED = calls.c.state != sa.literal_column("'delivered'")
"""True for few calls. Their partial index serves only queries with exactly this condition, without a parameter."""

INDEXES = (
    # A hash index on PostgreSQL: a B-tree cannot hold an id that is longer than a third of a page.
    sa.Index("impactcall_call_session", calls.c.CallSessionId, postgresql_using="hash", mysql_length=64),
    # A column in which most calls are equal never comes first: SQLite has no statistics, and would take it for rare.
    sa.Index(
        "impactcall_call_undone",
        *(calls.c.state, calls.c.changed_at, calls.c.namespace),
        *(calls.c.reason_code, calls.c.status, calls.c.reason),
        postgresql_where=UNDELIVERED,
        sqlite_where=UNDELIVERED,
    ),
    # With all columns by which calls are counted: reading half a million rows for a count takes SQLite many seconds.
    sa.Index(
        "impactcall_call_changed",
        *(calls.c.changed_at, calls.c.namespace, calls.c.state, calls.c.CampaignId, calls.c.MediaId),
    ),
    # A call that is sent by itself is a run of its own, so there may be millions of runs, too.
    sa.Index("impactcall_run_started", runs.c.started_at, runs.c.namespace),
)
"""The indexes that make people's queries quick; no delivery needs them. A new ledger has them from the start; for an
older one, see :mod:`.indexing`.

The three indexes of calls cost time and space with every call. Without them, SQLite writes 6.5 kB and takes 103 us of
CPU per delivered call, in groups of 64. The first index adds as many bytes again, as ids come in random order, and
27 us; the second adds 8 %, the third 9 %, and each 5 us. PostgreSQL writes 2.9 kB a call; each index adds 5 to 12 %.
"""


class Now(FunctionElement):  # type: ignore[type-arg] # SQLAlchemy 1.4, Airflow 2.11's, has no type for it
    """The database's own clock, in seconds since 1970: the clocks of workers differ."""

    type = _moment
    inherit_cache = True


@compiles(Now, "postgresql")
def _postgresql_now(*_: Any, **__: Any) -> str:
    return "EXTRACT(EPOCH FROM clock_timestamp())::double precision"


@compiles(Now, "sqlite")
def _sqlite_now(*_: Any, **__: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(Now, "mysql")
@compiles(Now, "mariadb")
def _mysql_now(*_: Any, **__: Any) -> str:
    return "UNIX_TIMESTAMP(SYSDATE(6))"
