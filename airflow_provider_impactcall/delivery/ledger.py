"""Who was sent what, and what came of it: the rules, and what a run does to the tables. Blocking; no threads here."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from airflow_provider_impactcall.delivery.claims import digest
from airflow_provider_impactcall.delivery.outcome import ENDS, DeliveryReport, Outcome, State
from airflow_provider_impactcall.delivery.schema import LONGEST_REASON, Now, calls, create_or_migrate, events, runs
from airflow_provider_impactcall.records import CallRecord

LEASE_SECONDS = 10.0

_KEYS_A_QUERY = 500
_DEATHS_BEFORE_HOLD = 3

OPEN = "open"
"""A call's state from its intent to its outcome: a request is, or was, in flight."""

REQUEUED = "requeued"
"""A call's state from when a person asked for it to be sent though it may have been processed, until it is."""

LEASE_RAN_OUT = "the lease on the ledger ran out, as it was not renewed in time: another run may have taken over"


@dataclass(frozen=True)
class Claim:
    """A call that wants to be sent.

    :param key: what tells it from every other call of the namespace
    :param fingerprint: 16 bits of its content: tells a changed call but once in 65,536
    """

    key: str
    fingerprint: int
    call: CallRecord


@dataclass(frozen=True)
class Entry:
    """What the ledger holds of a call."""

    state: str
    reason: str
    fingerprint: int
    uncertain: bool
    attempts: int
    deaths: int
    fence: int
    run_id: str
    alive: bool


@dataclass(frozen=True)
class Decision:
    """What may be done with a call.

    :param state: the state that it ends in, or None if that is not settled yet
    :param fence: the number under which it may be sent, or None if it may not
    :param uncertain: an earlier attempt's fate is unknown
    :param reason: why it may not be sent
    """

    state: State | None = None
    fence: int | None = None
    uncertain: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Settlement:
    """What came of an attempt."""

    key: str
    fence: int
    outcome: Outcome


def identify(namespace: str, key: Sequence[str], call: CallRecord) -> Claim:
    """The claim for a call.

    :param key: the parameters that tell two calls apart, in any order
    """
    named = sorted(set(zip(key, call.key(key), strict=True)))
    identity = [namespace, *(part for pair in named for part in pair)]
    content = [part for pair in call.parameters().items() for part in pair]
    return Claim(digest(identity, 16).hex(), int.from_bytes(digest(content, 2)), call)


def decide(entry: Entry | None, claim: Claim, run_id: str, *, resend: bool) -> Decision:
    """What may be done with a call, given what the ledger holds of it. Pure: the rules of the promise are here."""
    if entry is None:
        return Decision(fence=1)
    send = Decision(fence=entry.fence + 1, uncertain=entry.uncertain)
    same = entry.fingerprint == claim.fingerprint
    match entry.state:
        case State.DELIVERED:
            return Decision(State.ALREADY_DELIVERED if same else State.CHANGED, reason="delivered by an earlier run")
        case State.REJECTED:
            return Decision(State.REJECTED, reason=f"rejected by an earlier run: {entry.reason}") if same else send
        case State.NOT_SENT | "requeued":
            return send
        case "open" if entry.run_id == run_id:
            return Decision(fence=entry.fence, uncertain=entry.uncertain)
        case "open" if entry.alive:
            return Decision(reason="another run is sending it")
        case "open":
            held = not resend or entry.deaths + 1 >= _DEATHS_BEFORE_HOLD
            died = "the run that sent it ended before it knew what came of it"
            return Decision(State.UNKNOWN, reason=died) if held else Decision(fence=entry.fence + 1, uncertain=True)
        case _:
            held = not resend or entry.deaths >= _DEATHS_BEFORE_HOLD
            again = Decision(fence=entry.fence + 1, uncertain=True)
            return Decision(State.UNKNOWN, reason=entry.reason) if held else again


class Ledger:
    """The tables in one database, for the calls of one namespace.

    :param engine: any SQLAlchemy engine; PostgreSQL and SQLite are proven
    :param namespace: calls of two namespaces never hide each other: the endpoint's origin, if nothing else is said
    """

    def __init__(self, engine: Engine, namespace: str) -> None:
        self.engine = engine
        self.namespace = namespace
        if engine.dialect.name == "sqlite":
            _make_durable(engine)

    def prepare(self) -> None:
        """Create the tables, or bring those of an earlier version up to this one. Two may do so at once.

        :raises LedgerUnusable: if a newer version of this package made them
        """
        for attempt in (1, 2):
            try:
                with self._transaction() as connection:
                    create_or_migrate(connection)
                return
            except (IntegrityError, ProgrammingError, OperationalError):
                if attempt == 2:  # The first time, another may have done it in the same moment.
                    raise

    def start(self, source: str, config: str) -> str:
        """Begin a run and its lease.

        :param source: who sends, such as DAG, task and run id
        :param config: a digest of what the run was told to do
        :return: the run's id
        """
        run_id = uuid.uuid4().hex
        with self._transaction() as connection:
            connection.execute(
                sa.insert(runs).values(
                    run_id=run_id,
                    namespace=self.namespace,
                    source=source[:500],
                    config=config,
                    lease_until=Now() + LEASE_SECONDS,
                    started_at=Now(),
                )
            )
        return run_id

    def end(self, run_id: str, report: DeliveryReport) -> None:
        """Keep a run's counts, and give up its lease."""
        counts = {f"{end}_rows": getattr(report, end) for end in ENDS}
        stop = None if report.stop is None else str(report.stop)[:LONGEST_REASON]
        with self._transaction() as connection:
            connection.execute(
                sa.update(runs)
                .where(runs.c.run_id == run_id)
                .values(ended_at=Now(), lease_until=0.0, stop=stop, **counts)
            )

    def look_up(self, keys: Sequence[str]) -> dict[str, Entry]:
        """What the ledger holds of these calls."""
        with self._transaction() as connection:
            return _entries(connection, keys)

    def record(
        self, run_id: str, claims: Sequence[Claim], settlements: Sequence[Settlement], *, resend: bool
    ) -> tuple[list[Decision] | None, list[str]]:
        """Renew the lease, settle what was sent, and take what is to be sent, all or nothing and durably.

        Safe to repeat when nobody knows whether it was committed.

        :return: a decision a claim, or None if the lease had run out: nothing was taken then, but all was settled;
            and a state a settlement, that of its call from now on: another run may know more of it
        """
        with self._transaction() as connection:
            held = connection.execute(
                sa.update(runs)
                .where(runs.c.run_id == run_id, runs.c.lease_until > Now())
                .values(lease_until=Now() + LEASE_SECONDS)
            ).rowcount
            keys = sorted({claim.key for claim in claims} | {settlement.key for settlement in settlements})
            entries = _entries(connection, keys, lock=True)
            moment = connection.execute(sa.select(Now())).scalar_one()
            changes = _Changes(run_id, self.namespace, moment, resend=resend)
            states = [changes.settle(entries[settlement.key], settlement) for settlement in settlements]
            decisions = [changes.take(entries.get(claim.key), claim) for claim in claims] if held else None
            changes.write(connection)
        return decisions, states

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self.engine.connect() as connection, connection.begin():
            yield connection


class _Changes:
    """What one transaction does to the calls, gathered so that each statement is sent once for all of them."""

    def __init__(self, run_id: str, namespace: str, moment: float, *, resend: bool) -> None:
        self._resend = resend
        self._run_id = run_id
        self._namespace = namespace
        self._moment = moment
        self._new: list[dict[str, Any]] = []
        self._changed: list[dict[str, Any]] = []
        self._events: list[dict[str, Any]] = []

    def settle(self, entry: Entry, settlement: Settlement) -> str:
        """Note what came of an attempt; the state that its call is in from now on."""
        outcome = settlement.outcome
        uncertain = entry.uncertain or outcome.state is State.UNKNOWN
        state: str = State.NOT_SENT if outcome.state is State.AGAIN else outcome.state
        if uncertain and state == State.NOT_SENT and not self._resend:
            state = REQUEUED  # Under hold, only a person's word lets such a call leave: it holds until one has arrived.
        elif uncertain and state != State.DELIVERED:
            state = State.UNKNOWN
        this = entry.fence == settlement.fence
        if this and (entry.state, entry.reason) == (state, outcome.reason[:LONGEST_REASON]):
            return state  # It is repeated, and was committed after all.
        self._note(settlement.key, settlement.fence, outcome.state, outcome.reason, outcome.status)
        # A refusal that was held back is settled twice: as not sent, and once it is confirmed.
        mine = this and entry.state in (OPEN, State.UNKNOWN, State.NOT_SENT)
        # An answer that comes after the lease ran out still is the truth about a call.
        late_proof = outcome.state is State.DELIVERED and entry.state != State.DELIVERED
        if not (mine or late_proof):
            return entry.state
        self._change(settlement.key, entry, state=state, reason=outcome.reason, uncertain=uncertain)
        return state

    def take(self, entry: Entry | None, claim: Claim) -> Decision:
        decision = decide(entry, claim, self._run_id, resend=self._resend)
        dead = entry is not None and entry.state == OPEN and not entry.alive and entry.run_id != self._run_id
        if entry is not None and dead:
            self._note(claim.key, entry.fence, State.UNKNOWN, "the run that sent it ended", run_id=entry.run_id)
            if decision.fence is None:
                self._change(
                    claim.key,
                    entry,
                    state=State.UNKNOWN,
                    reason=decision.reason,
                    uncertain=entry.uncertain,
                    deaths=entry.deaths + 1,
                )
        if decision.fence is None or (entry is not None and decision.fence == entry.fence):
            return decision
        self._note(claim.key, decision.fence, OPEN, "")
        if entry is None:
            self._new.append(self._row(claim, decision.fence))
        else:
            self._change(
                claim.key,
                entry,
                state=OPEN,
                reason="",
                uncertain=decision.uncertain,
                deaths=entry.deaths + dead,
                attempts=entry.attempts + 1,
                fence=decision.fence,
                run_id=self._run_id,
                fingerprint=claim.fingerprint,
            )
        return decision

    def write(self, connection: Connection) -> None:
        if self._new:
            # In one order, so that two runs with the same new calls wait for each other and do not deadlock.
            connection.execute(sa.insert(calls), sorted(self._new, key=itemgetter("key")))
        if self._changed:
            bound: dict[str, Any] = {name: sa.bindparam(f"new_{name}") for name in _CHANGING}
            statement = sa.update(calls).where(calls.c.key == sa.bindparam("of_key")).values(**bound)
            connection.execute(statement, self._changed)
        if self._events:
            connection.execute(sa.insert(events), self._events)

    def _row(self, claim: Claim, fence: int) -> dict[str, Any]:
        shown = {name: str(getattr(claim.call, name)) for name in _SHOWN}
        return shown | {
            "key": claim.key,
            "namespace": self._namespace,
            "fingerprint": claim.fingerprint,
            "state": OPEN,
            "reason": "",
            "uncertain": False,
            "attempts": 1,
            "deaths": 0,
            "fence": fence,
            "run_id": self._run_id,
            "first_at": self._moment,
            "changed_at": self._moment,
        }

    def _change(self, key: str, entry: Entry, **changes: Any) -> None:
        values = {name: getattr(entry, name) for name in _CHANGING if name != "changed_at"} | changes
        row = {f"new_{name}": value for name, value in values.items()}
        row["new_reason"] = row["new_reason"][:LONGEST_REASON]
        self._changed.append(row | {"of_key": key, "new_changed_at": self._moment})

    def _note(
        self, key: str, fence: int, state: str, reason: str, status: int | None = None, run_id: str | None = None
    ) -> None:
        self._events.append(
            {
                "key": key,
                "at": self._moment,
                "fence": fence,
                "run_id": run_id or self._run_id,
                "state": str(state),
                "status": status,
                "reason": reason[:LONGEST_REASON],
            }
        )


_SHOWN = ("CallSessionId", "CampaignId", "ActionTrackerId", "CallProvider", "MediaId", "EventDate")
_CHANGING = ("state", "reason", "uncertain", "attempts", "deaths", "fence", "run_id", "fingerprint", "changed_at")


def _entries(connection: Connection, keys: Sequence[str], *, lock: bool = False) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    alive = sa.func.coalesce(runs.c.lease_until, 0.0) > Now()
    for start in range(0, len(keys), _KEYS_A_QUERY):
        of_keys = calls.c.key.in_(keys[start : start + _KEYS_A_QUERY])
        query = (
            sa.select(
                calls.c.key,
                calls.c.state,
                calls.c.reason,
                calls.c.fingerprint,
                calls.c.uncertain,
                calls.c.attempts,
                calls.c.deaths,
                calls.c.fence,
                calls.c.run_id,
                alive.label("alive"),
            )
            .select_from(calls.outerjoin(runs, runs.c.run_id == calls.c.run_id))
            .where(of_keys)
        )
        if lock:
            # First, by itself: a statement that had to wait sees the row anew, but the run beside it as it was.
            connection.execute(sa.select(calls.c.key).where(of_keys).order_by(calls.c.key).with_for_update()).all()
        for row in connection.execute(query).mappings():
            found[row["key"]] = Entry(**{name: value for name, value in row.items() if name != "key"})
    return found


def _make_durable(engine: Engine) -> None:
    """What SQLite needs to keep the promise: every commit on disk, and writers that wait for each other."""

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: Any) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=30000"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # sqlite3 would begin with the first write, and two that read first and then write would both fail.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
