"""What a run does to the tables: it records which calls it sends, and their outcomes. Blocking; no threads here."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from operator import attrgetter

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import IntegrityError

from airflow_provider_impactcall.delivery.identity import Claim
from airflow_provider_impactcall.delivery.ledger.entries import Changes, Entry, locked, look_up, new_calls
from airflow_provider_impactcall.delivery.ledger.migrations import MIGRATIONS, Migration, migrate
from airflow_provider_impactcall.delivery.ledger.mysql import never_ping, settle_sessions
from airflow_provider_impactcall.delivery.ledger.namesakes import NEWEST, alike, namesakes
from airflow_provider_impactcall.delivery.ledger.postgresql import never_prepare, refuse_other_encodings
from airflow_provider_impactcall.delivery.ledger.rules import DIED, FIRST, Decision, Send, Settlement, decide
from airflow_provider_impactcall.delivery.ledger.schema import (
    LONGEST_REASON,
    UNDELIVERED,
    Now,
    calls,
    runs,
)
from airflow_provider_impactcall.delivery.ledger.sqlite import make_durable
from airflow_provider_impactcall.delivery.ledger.statements import Delivered, statements_of
from airflow_provider_impactcall.delivery.ledger.states import PENDING, SETTLED_AS, TRANSITIONS, Cause, cause_of
from airflow_provider_impactcall.delivery.ledger.transactions import committing, reading, writing
from airflow_provider_impactcall.delivery.outcome import ENDS, AttemptResult, CallState, DeliveryReport, ReasonCode
from airflow_provider_impactcall.delivery.timings import TIMINGS, Timings

_IS_KNOWN = attrgetter("is_known")


class _NotAsTrusted(Exception):
    """A call is not as this run left it, or the run no longer holds its lease."""


class Ledger:
    """The tables in one database, for the calls of one namespace.

    :param engine: any SQLAlchemy engine; SQLite, PostgreSQL and MariaDB are proven
    :param namespace: keeps its calls apart from the calls of other namespaces; by default, the endpoint's origin
    :param timings: the lease, and all other waits of the ledger's users. The runs that renew a lease and the runs that
        wait for its end must have the same lease
    :param migrations: that its tables may have, and that :meth:`prepare` applies
    """

    def __init__(
        self, engine: Engine, namespace: str, timings: Timings = TIMINGS, migrations: Sequence[Migration] = MIGRATIONS
    ) -> None:
        self.engine = engine
        self.namespace = namespace
        self.timings = timings
        self._migrations = migrations
        if engine.dialect.name == "sqlite":
            make_durable(engine)
        never_ping(engine)
        settle_sessions(engine)
        never_prepare(engine)
        refuse_other_encodings(engine)

    def prepare(self) -> None:
        """Create the tables, or bring the tables of an earlier version up to date. See :func:`.migrations.migrate`.

        :raises LedgerUnfit: before anything is created, if the database cannot hold every call
        :raises LedgerUnusable: if a newer version of this package made the tables
        """
        migrate(self.engine, self.timings, self._migrations)

    def close(self) -> None:
        """Close the connections to the database."""
        self.engine.dispose()

    def start(self, source: str, config: str) -> str:
        """Begin a run and its lease.

        :param source: who sends, such as DAG, task and run id
        :param config: a digest of what the run was told to do
        :return: the run's id
        """
        run_id = uuid.uuid4().hex
        with self.writing() as connection:
            connection.execute(
                sa.insert(runs).values(
                    run_id=run_id,
                    namespace=self.namespace,
                    source=source[:500],
                    config=config,
                    lease_until=Now() + self.timings.lease,
                    started_at=Now(),
                )
            )
        return run_id

    def end(self, run_id: str, report: DeliveryReport) -> None:
        """Keep a run's counts, and give up its lease."""
        counts = {f"{end}_rows": getattr(report, end) for end in ENDS}
        stop = report.stop
        why = {} if stop is None else {"stop_code": stop.code.value, "stop": str(stop)[:LONGEST_REASON]}
        with self.writing() as connection:
            connection.execute(
                sa.update(runs).where(runs.c.run_id == run_id).values(ended_at=Now(), lease_until=0.0, **why, **counts)
            )

    def oldest_undelivered(self) -> float:
        """Seconds since the ledger first had the oldest call that is still to be delivered, or may not have been.

        Rejected calls do not count: waiting does not deliver them. Reads only the rows of the calls that count.

        :return: zero if there is no such call
        """
        query = sa.select(Now() - sa.func.min(calls.c.first_at)).where(
            UNDELIVERED, calls.c.state.in_([state.value for state in PENDING]), calls.c.namespace == self.namespace
        )
        with self.reading() as connection:
            age: float | None = connection.execute(query).scalar()
        return 0.0 if age is None else max(0.0, age)

    def look_up(self, keys: Sequence[str]) -> dict[str, Entry]:
        """What the ledger holds of these calls."""
        with self.reading() as connection:
            return look_up(connection, keys)

    def namesakes(self, call_session_ids: Sequence[str]) -> dict[str, list[Mapping[str, str]]]:
        """See :func:`.namesakes.namesakes`."""
        with self.reading() as connection:
            return namesakes(connection, self.namespace, call_session_ids)

    def alike(self, call_session_ids: Sequence[str], newest: int = NEWEST) -> int:
        """See :func:`.namesakes.alike`."""
        with self.reading() as connection:
            return alike(connection, self.namespace, call_session_ids, newest)

    def record(
        self, run_id: str, claims: Sequence[Claim], settlements: Sequence[Settlement], *, resend: bool
    ) -> tuple[list[Decision] | None, list[CallState]]:
        """Renew the lease, settle the calls that were sent, and open the calls to be sent: durably, all or nothing.

        Safe to repeat when nobody knows whether it was committed.

        :return: one decision per claim, or None if the lease had run out: then no call was opened, but all were
            settled. And one state per settlement, the call's state from now on: another run may know more of the call
        """
        with suppress(_NotAsTrusted, IntegrityError):
            # Nearly all groups are calls that were never seen, and first deliveries with one answer.
            delivered = None if any(map(_IS_KNOWN, claims)) else _delivered_alike(settlements)
            if delivered is not None:
                self._advance(run_id, claims, delivered)
                return [FIRST] * len(claims), [CallState.DELIVERED] * len(settlements)
            with self.writing() as connection:
                return self._record(connection, run_id, claims, settlements, resend=resend, trusting=True)
        with self.writing() as connection:
            return self._record(connection, run_id, claims, settlements, resend=resend, trusting=False)

    def _advance(self, run_id: str, claims: Sequence[Claim], delivered: Delivered) -> None:
        """As :meth:`record`, for calls that were never seen and first deliveries, in as few statements as the database
        allows.

        :raises _NotAsTrusted: if the run does not hold its lease, or a call is not as this run left it
        :raises IntegrityError: if another run has taken a call
        """
        statements = statements_of(self.engine)
        transaction = committing if statements.advances_at_once else writing
        new = new_calls(claims, self.namespace, run_id)
        with transaction(self.engine) as connection:
            if not statements.advance(connection, run_id, self.timings.lease, delivered, new):
                raise _NotAsTrusted

    def _record(
        self,
        connection: Connection,
        run_id: str,
        claims: Sequence[Claim],
        settlements: Sequence[Settlement],
        *,
        resend: bool,
        trusting: bool,
    ) -> tuple[list[Decision] | None, list[CallState]]:
        """As :meth:`record`, within a transaction.

        :param trusting: the optimistic path, without a read: take calls that were never seen as still absent, and calls
            that this run opened as unchanged. The write verifies both
        :raises _NotAsTrusted: if the write finds that they are not; the transaction must not be committed then
        :raises IntegrityError: the same
        """
        held, moment = statements_of(connection).renew(connection, run_id, self.timings.lease)
        changes = Changes(run_id, self.namespace, moment)
        trusted = [trusting and settlement.is_first_delivery for settlement in settlements]
        asked = [settlement.key for settlement, known in zip(settlements, trusted, strict=True) if not known]
        asked += [claim.key for claim in claims if claim.is_known or not trusting]
        entries: dict[str, Entry] = {}
        if asked:
            # All are locked together: two runs that change the same calls wait for each other and do not deadlock.
            entries = locked(connection, {*asked, *(settlement.key for settlement in settlements)}, run_id)
        states = []
        for settlement, known in zip(settlements, trusted, strict=True):
            if known:
                changes.deliver(settlement.key, settlement.attempt)
                states.append(CallState.DELIVERED)
            else:
                states.append(_settle(changes, entries, settlement, resend=resend))
        decisions = [_take(changes, entries, claim, resend=resend) for claim in claims] if held else None
        if not changes.write(connection):
            raise _NotAsTrusted
        return decisions, states

    def writing(self) -> AbstractContextManager[Connection]:
        """A transaction: all of it is durable once the context ends, or none of it."""
        return writing(self.engine)

    def reading(self) -> AbstractContextManager[Connection]:
        """A transaction that only reads; on SQLite it does not wait for a writer."""
        return reading(self.engine)


def _delivered_alike(settlements: Sequence[Settlement]) -> Delivered | None:
    """The calls, if each was delivered by its very first attempt, and all got the same answer; None if not."""
    if not settlements:
        return Delivered((), None, "")
    answer = settlements[0].attempt
    status, reason = answer.status, answer.reason
    for settlement in settlements:
        attempt = settlement.attempt
        if not settlement.is_first_delivery or attempt.status != status or attempt.reason != reason:
            return None
    return Delivered([key for key, _, _ in settlements], status, reason)


def _settle(changes: Changes, entries: dict[str, Entry], settlement: Settlement, *, resend: bool) -> CallState:
    """Record the outcome of an attempt, and return the state of its call from now on."""
    key, fence, attempt = settlement
    in_doubt = attempt.result is AttemptResult.UNKNOWN
    entry = entries.get(key)
    if entry is None:  # A person has purged the call.
        changes.note(key, fence, attempt.result, attempt.code, attempt.reason, attempt.status)
        return SETTLED_AS[cause_of(attempt.result, uncertain=in_doubt, resend=resend)]
    uncertain = entry.uncertain or in_doubt
    cause = cause_of(attempt.result, uncertain=uncertain, resend=resend)
    end = SETTLED_AS[cause]
    mine = entry.fence == fence
    if mine and (entry.state, entry.reason_code, entry.status) == (end, attempt.code, attempt.status):
        return entry.state  # A repetition: the first transaction was committed after all.
    changes.note(key, fence, attempt.result, attempt.code, attempt.reason, attempt.status)
    # An answer is true even after the lease ran out; a delivery also if another attempt has begun since.
    if entry.state not in TRANSITIONS[cause] or not (mine or cause is Cause.OK):
        return entry.state
    why = {"reason_code": attempt.code.value, "status": attempt.status, "reason": attempt.reason}
    entries[key] = changes.change(key, entry, state=end, **why, uncertain=uncertain)
    return end


def _take(changes: Changes, entries: Mapping[str, Entry], claim: Claim, *, resend: bool) -> Decision:
    """Open a call, if it may be sent."""
    entry = entries.get(claim.key)
    decision = decide(entry, claim, changes.run_id, resend=resend)
    if entry is None:
        changes.open(claim)
        return decision
    died = entry.died and entry.run_id != changes.run_id
    if died:
        unknown = TRANSITIONS[Cause.DEATH][entry.state]
        changes.note(claim.key, entry.fence, unknown, ReasonCode.RUN_DIED, DIED, run_id=entry.run_id)
        if not isinstance(decision, Send):
            why = {"reason_code": ReasonCode.RUN_DIED.value, "status": None, "reason": DIED}
            changes.change(claim.key, entry, state=unknown, **why, deaths=entry.deaths + 1)
    if isinstance(decision, Send) and decision.fence != entry.fence:
        opened = TRANSITIONS[Cause.INTENT][entry.state]
        changes.note(claim.key, decision.fence, opened, None, "")
        changes.change(
            claim.key,
            entry,
            state=opened,
            reason_code=None,
            status=None,
            reason="",
            uncertain=decision.uncertain,
            deaths=entry.deaths + died,
            attempts=entry.attempts + 1,
            fence=decision.fence,
            run_id=changes.run_id,
            fingerprint=claim.fingerprint,
        )
        # A run's retries are many, and have one content. Another run's content may differ even if the fingerprints are
        # equal: these have only 16 bits.
        if entry.run_id != changes.run_id or entry.fingerprint != claim.fingerprint:
            changes.describe(claim)
    return decision
