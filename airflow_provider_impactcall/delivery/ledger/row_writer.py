"""Writes dead letters, changed calls and counts of rows to the ledger: the event loop collects them, a thread writes.

A failure here never affects a call: groups that cannot be written are counted, and logged at the end.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from airflow_provider_impactcall.delivery.clock import SYSTEM_CLOCK, Clock
from airflow_provider_impactcall.delivery.identity import DIGEST_BYTES, Claim, digest, identify, key_of
from airflow_provider_impactcall.delivery.items import MOST_DEAD_LETTERS, Call, Item, Rejected, Traces
from airflow_provider_impactcall.delivery.ledger.dead_letters import (
    DeadLetter,
    RunRow,
    count_rows,
    discard_letters,
    discard_marks,
    has_letters,
    has_marks,
    keep_letters,
    keyed_digest,
    known_secret,
    letters_of,
    mark_changed,
    marks_before,
    secret_of,
    session_key,
)
from airflow_provider_impactcall.delivery.ledger.entries import look_up
from airflow_provider_impactcall.delivery.ledger.rules import as_known
from airflow_provider_impactcall.delivery.ledger.schema import Now
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.ledger.transactions import repeatedly
from airflow_provider_impactcall.delivery.outcome import Outcome, ReasonCode, RowOutcome
from airflow_provider_impactcall.phone_like import looks_like_id, looks_like_phone_number

log = logging.getLogger(__name__)

_GROUP = 500
_MOST_SECONDS = 1.0
# That wait for a database that does not answer: 16,000 rows.
_MOST_GROUPS = 32
_MOST_REASONS = 200

_INVALID = (ReasonCode.INVALID, ReasonCode.WITHOUT_KEY, ReasonCode.UNRECORDABLE)
"""The codes of rows that the ledger cannot hold as calls."""


@dataclass
class _Group:
    """Rows that are written in one transaction."""

    began: float
    invalid: list[tuple[Item, Outcome]] = field(default_factory=list)
    changed: list[Call] = field(default_factory=list)
    delivered: list[tuple[Call, RowOutcome]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.invalid) + len(self.changed) + len(self.delivered)


class RowWriter:
    """One run's dead letters, changed calls and counts of rows. A context manager; use it once.

    On entry it looks whether the ledger has dead letters and changed calls. On exit it waits until all is written, for
    a minute at most.

    :param ledger: prepared
    :param run_id: of a run that was started
    :param key: the parameters that tell two calls apart
    :param clock: measures how long a group has waited
    :param interrupt: set once the run must stop: its end then waits only as long as it waits for requests in flight
    :param most_letters: how many rows are kept as dead letters; the others are only counted
    :ivar invalid: how many rows were rejected here, by the code of their first problem
    """

    def __init__(
        self,
        ledger: Ledger,
        run_id: str,
        key: Sequence[str],
        *,
        clock: Clock = SYSTEM_CLOCK,
        interrupt: threading.Event | None = None,
        most_letters: int = MOST_DEAD_LETTERS,
    ) -> None:
        self.invalid: Counter[str] = Counter()
        self._ledger = ledger
        self._run_id = run_id
        self._key = tuple(key)
        self._monotonic = clock.monotonic
        self._interrupt = interrupt or threading.Event()
        self._left = most_letters
        self._rows: Counter[RunRow] = Counter()
        self._kept: Counter[RunRow] = Counter()
        self._group = _Group(self._monotonic())
        self._writing: list[Future[None]] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="impactcall-rows")
        self._secret = b""
        self._has_letters = False
        self._has_marks = False
        self._began = 0.0
        self._refused: Exception | None = None
        self._lost = 0
        self._why = "it did not answer in time"

    def __enter__(self) -> RowWriter:
        with self._ledger.reading() as connection:
            self._has_letters = has_letters(connection, self._ledger.namespace)
            self._has_marks = has_marks(connection, self._ledger.namespace)
            self._began = connection.execute(sa.select(Now())).scalar_one()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._forget_written()
        if self._group:
            self._hand_over(partial(self._write, self._group))
        if self._rows:
            counts = {each: (rows, self._kept[each]) for each, rows in self._rows.items()}
            count = partial(count_rows, run_id=self._run_id, counts=counts)
            self._writing.append(self._thread.submit(self._repeatedly, count))
        # A database that does not answer delays the end of a run no longer than the run's calls may.
        stopped = kind is not None or self._interrupt.is_set()
        wait(self._writing, self._ledger.timings.grace if stopped else self._ledger.timings.patience)
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._forget_written()
        self._lost += len(self._writing)
        if self._lost:
            log.error(
                "The ledger could not keep what became of some rows (%s); groups of them: %d", self._why, self._lost
            )

    def note(self, row: Item, outcome: Outcome) -> None:
        """Take note of how a row ended. Quick, and never waits."""
        if outcome.state is RowOutcome.DELIVERED and not (self._has_letters or self._has_marks):
            return  # First, and not among the cases below, as nearly all rows end so.
        match outcome.state:
            case RowOutcome.REJECTED if outcome.code in _INVALID:
                self._note_invalid(row, outcome)
            case RowOutcome.FILTERED:
                self._count(RunRow(outcome.state.value, outcome.code.value, "", outcome.reason))
            case RowOutcome.CHANGED if isinstance(row, Call):
                self._group.changed.append(row)
                if self._has_letters and outcome.code is ReasonCode.DELIVERED_BEFORE:
                    self._group.delivered.append((row, outcome.state))
            case RowOutcome.DELIVERED | RowOutcome.ALREADY_DELIVERED if isinstance(row, Call) and (
                self._has_letters or self._has_marks
            ):
                self._group.delivered.append((row, outcome.state))
            case _:
                return
        aged = self._group and self._monotonic() - self._group.began > _MOST_SECONDS
        if aged or len(self._group) >= _GROUP:
            full, self._group = self._group, _Group(self._monotonic())
            self._forget_written()
            if len(self._writing) < _MOST_GROUPS:
                self._hand_over(partial(self._write, full))
            else:
                self._lost += 1

    def _note_invalid(self, row: Item, outcome: Outcome) -> None:
        # The same input may deliver this row's call later: from now on, deliveries look for dead letters.
        self._has_letters = True
        parameter, code = _problems(row, outcome)[0]
        self.invalid[code] += 1
        reason = RunRow(outcome.state.value, code, parameter, "")
        self._count(reason)
        if self._left > 0 and (isinstance(row, Call) or (isinstance(row, Rejected) and row.traces is not None)):
            self._left -= 1
            self._kept[reason] += 1
            self._group.invalid.append((row, outcome))

    def _count(self, reason: RunRow) -> None:
        if reason in self._rows or len(self._rows) < _MOST_REASONS:
            self._rows[reason] += 1
        else:
            self._rows[RunRow(reason.outcome, reason.reason_code, "", "")] += 1

    def _hand_over(self, write: Callable[[], None]) -> None:
        self._writing.append(self._thread.submit(self._unless_lost, write))

    def _unless_lost(self, write: Callable[[], None]) -> None:
        # The database refused an earlier group for a long time: writing the groups behind it would only delay the run.
        if self._refused is not None:
            raise self._refused
        try:
            write()
        except Exception as error:
            self._refused = error
            raise

    def _repeatedly(self, act: Callable[..., None]) -> None:
        repeatedly(self._ledger.engine, act, self._ledger.timings.turn)

    def _forget_written(self) -> None:
        """Forget the groups that are written, and count those that could not be."""
        left: list[Future[None]] = []
        for each in self._writing:
            if not each.done():
                left.append(each)
            elif (error := each.exception()) is not None:
                self._lost += 1
                self._why = type(error).__name__
        self._writing = left
        if not left:
            self._refused = None  # Nothing waits: for the next group, the database may be back.

    def _write(self, group: _Group) -> None:
        if group.invalid or group.changed:
            self._repeatedly(partial(self._keep, group))
        if group.delivered:
            self._discard(group.delivered)

    def _keep(self, group: _Group, connection: Connection) -> None:
        # Read again each time: a secret that was made in a failed transaction is not in the ledger.
        self._secret = secret_of(connection)
        namespace = self._ledger.namespace
        moment: float = connection.execute(sa.select(Now())).scalar_one()
        letters: dict[str, DeadLetter] = {}
        for row, outcome in group.invalid:
            key, letter = self._letter(row, outcome)
            times = letters[key].times + 1 if key in letters else 1
            letters[key] = letter._replace(times=times)
        keep_letters(connection, namespace, self._run_id, moment, letters)
        changed: dict[str, tuple[int, int]] = {}
        claims = list(map(self._claim_of, group.changed))
        entries = look_up(connection, [key for claim in claims if claim.as_given is not None for key in claim.keys])
        for claim in (as_known(claim, entries) for claim in claims):
            changed[claim.key] = (claim.fingerprint, changed.get(claim.key, (0, 0))[1] + 1)
        mark_changed(connection, namespace, moment, changed)

    def _discard(self, delivered: Sequence[tuple[Call, RowOutcome]]) -> None:
        keys_of = [(self._claim_of(call).keys, state) for call, state in delivered]
        keys = {key for keys, _ in keys_of for key in keys}
        as_sent = {key for keys, state in keys_of if state is not RowOutcome.CHANGED for key in keys}
        # Read first: nearly always there is nothing to discard, and a writing transaction delays the runs that deliver.
        with self._ledger.reading() as connection:
            self._secret = self._secret or known_secret(connection) or b""
            known_by = {self._session_key(call.record.CallProvider, call.record.CallSessionId) for call, _ in delivered}
            mended = letters_of(connection, keys, known_by) if self._has_letters else set()
            outdated = marks_before(connection, as_sent, self._began) if self._has_marks else set()
        if mended:
            self._repeatedly(partial(discard_letters, keys=mended))
        if outdated:
            self._repeatedly(partial(discard_marks, keys=outdated, began=self._began))

    def _claim_of(self, call: Call) -> Claim:
        return call.claim or identify(self._ledger.namespace, self._key, call.record)

    def _letter(self, row: Item, outcome: Outcome) -> tuple[str, DeadLetter]:
        """A row as a dead letter, with its key."""
        namespace = self._ledger.namespace
        traces = row.traces if isinstance(row, Rejected) else None
        if isinstance(row, Call):
            parameters = row.record.sent
            traces = Traces(parameters, digest([*parameters, *parameters.values()], DIGEST_BYTES))
        legible, content = traces or Traces({}, digest([str(row.row)], DIGEST_BYTES))
        key = key_of(namespace, self._key, legible) or keyed_digest(self._secret, namespace.encode() + content)
        provider, session_id, media_id = map(legible.get, ("CallProvider", "CallSessionId", "MediaId"))
        # If a row is unrecordable, one of these values may be the value that the database cannot hold.
        shown = outcome.code is not ReasonCode.UNRECORDABLE
        return key, DeadLetter(
            known_as=(provider, session_id) if shown and provider and session_id else None,
            session_key=self._session_key(provider, session_id) if provider and session_id else None,
            call_session_id=session_id if shown and session_id and looks_like_id(session_id) else None,
            # looks_like_id would refuse a number of seven digits, which a partner's id may be.
            media_id=media_id if shown and media_id and not looks_like_phone_number(media_id) else None,
            problems=_problems(row, outcome),
            reason=outcome.reason,
            row=row.row,
        )

    def _session_key(self, provider: str, session_id: str) -> str:
        return session_key(self._secret, self._ledger.namespace, provider, session_id)


def _problems(row: Item, outcome: Outcome) -> Sequence[tuple[str, str]]:
    if isinstance(row, Rejected):
        return [(problem.parameter, problem.code.value) for problem in row.problems]
    return [("row", outcome.code.value)]
