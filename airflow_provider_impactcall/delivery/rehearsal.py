"""What a delivery would do, with nothing sent: what would leave, what would not and why, and what looks wrong.

It shows no caller's number and no recording's URL, and of a value that is wrong only the shape.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import Any

from airflow_provider_impactcall.delivery.claims import Claim, InputClaims, identify
from airflow_provider_impactcall.delivery.endpoint import Endpoint
from airflow_provider_impactcall.delivery.engine import Call, Item, Listener, Omission, Rejection, claim_of
from airflow_provider_impactcall.delivery.ledger import Ledger, decide
from airflow_provider_impactcall.delivery.masking import Private
from airflow_provider_impactcall.delivery.outcome import DeliveryReport, Outcome, State
from airflow_provider_impactcall.records import PARAMETERS, CallMapping, CallRecord, normalize
from airflow_provider_impactcall.records.column_names import LOOK_LIKE_VALUES, labels, may_be_shown
from airflow_provider_impactcall.records.sources import Row

WOULD_BE_SENT = "would be sent"

_BATCH = 500
_EXAMPLES = 3
_DISTINCT_REASONS = 1000
# Of rows with columns of their own, such as JSON by phone number, there may be as many as there are rows.
_MOST_COLUMNS = 10_000
_LONGEST_SHAPE = 40
_EXPLAINED = (State.REJECTED, State.FILTERED, State.CHANGED, State.DUPLICATE, State.UNKNOWN, State.NOT_SENT)
# impact.com: a call that is sent by FTP should not be older.
_OLD = timedelta(days=88)
# Fewer calls may well be alike.
_ALIKE = 5


@dataclass(frozen=True)
class Example:
    """A row that a reason was given for.

    :param row: its number in the input, from 1
    :param call_session_id: the call's id, if it has a readable one
    :param shape: what the wrong value looks like, with 9 for each digit and ``a`` or ``A`` for each letter
    """

    row: int
    call_session_id: str | None
    shape: str | None = None


@dataclass(frozen=True)
class Reason:
    """Why rows would not be sent.

    :param outcome: what they would end in
    :param reason: why
    :param rows: how many
    :param examples: the first of them
    """

    outcome: str
    reason: str
    rows: int
    examples: Sequence[Example]


class Rehearsal:
    """What came of a rehearsal.

    :ivar report: the counts, as a delivery has them; what would be sent is ``not_sent``
    :ivar would_send: how many calls would be sent
    :ivar requests: the parameters of the first, with what is private masked

    :param mapping: how a row becomes a call
    :param endpoint: where the calls would go
    :param requests_per_second: None for no limit of our own
    :param requests_per_hour: None for no limit of our own
    """

    def __init__(
        self,
        mapping: CallMapping,
        endpoint: Endpoint,
        requests_per_second: float | None = None,
        requests_per_hour: float | None = None,
    ) -> None:
        self.endpoint = endpoint
        self._limits = ((requests_per_second, 1), (requests_per_hour, 3600))
        self.report = DeliveryReport()
        self.would_send = 0
        self.requests: list[Mapping[str, str]] = []
        self._mapping = mapping
        self._row: Row = {}
        self._columns: dict[str, None] = {}
        self._read: set[str] = set()
        self._any_mapped = False
        self._rows_of: Counter[tuple[State, str]] = Counter()
        self._examples: dict[tuple[State, str], list[Example]] = defaultdict(list)
        self._looks = _Looks()

    def watch(self, row: Row) -> Row:
        """A row that is noticed when its columns are read; see :func:`~.reading.read`."""
        self._row = row
        if len(self._columns) < _MOST_COLUMNS:
            self._columns.update(dict.fromkeys(map(str, row)))
        return _Watched(row, self._read)

    def run(
        self, items: Iterable[Item], claims: InputClaims, ledger: Ledger, *, resend: bool, on_settled: Listener
    ) -> None:
        """Settle every row as a delivery would, but for the sending.

        :param items: rows that were watched
        :param ledger: is asked, and not changed
        :param resend: whether calls of unknown fate may be sent again
        :param on_settled: told of every row's outcome
        """
        started = datetime.now(UTC)
        rows = iter(items)
        settle = partial(self._settle, on_settled)
        while batch := list(islice(self._claimed(rows, claims, ledger.namespace, settle), _BATCH)):
            entries = ledger.look_up([claim.key for _, claim in batch])
            waiting = []
            for call, claim in batch:
                decision = decide(entries.get(claim.key), claim, "", resend=resend)
                if decision.state is not None:
                    settle(call, Outcome(decision.state, decision.reason))
                elif decision.fence is None:
                    settle(call, Outcome(State.NOT_SENT, decision.reason))
                else:
                    settle(call, Outcome(State.NOT_SENT, WOULD_BE_SENT))
                    waiting.append(call.record)
            if waiting and not self.would_send:
                self._looks.known_otherwise = _known_otherwise(ledger, waiting)
            self.would_send += len(waiting)
            self.requests += [_masked(record) for record in waiting[: _EXAMPLES - len(self.requests)]]
            self._looks.note(waiting)
        self.report.seconds = round((datetime.now(UTC) - started).total_seconds(), 3)

    @property
    def reasons(self) -> list[Reason]:
        """Why rows would not be sent, the commonest first."""
        return [
            Reason(state.value, reason, rows, self._examples[state, reason])
            for (state, reason), rows in self._rows_of.most_common()
        ]

    @property
    def unmapped_columns(self) -> list[str]:
        """The columns that nothing reads, in the order of the input; none if every row is left out.

        By their places (``column 7``) if the name of any column may be a value: see :mod:`~.records.column_names`.
        """
        if not self._any_mapped:
            return []
        return [label for name, label in labels(self._columns).items() if name not in self._read]

    @property
    def always_empty(self) -> list[str]:
        """The parameters that have a source, and that no call to be sent has."""
        sourced = self._mapping.sourced(self._columns)
        return [name for name in PARAMETERS if self.would_send and name in sourced - self._looks.present]

    @property
    def suspicions(self) -> list[str]:
        """What the input, and the calls to be sent, have about them that is seldom right."""
        headless = [] if may_be_shown(self._columns) else [LOOK_LIKE_VALUES]
        return [*headless, *self._looks.suspicions()]

    @property
    def seconds_at_rate_limit(self) -> float | None:
        """How long the sending would take at the strictest rate limit; None without any."""
        waits = [self.would_send / rate * window for rate, window in self._limits if rate]
        return round(max(waits), 1) if waits else None

    def as_dict(self) -> dict[str, Any]:
        """All of it as data, for JSON."""
        return {
            "would_send": self.would_send,
            **{name: value for name, value in self.report.as_dict().items() if name != "rejects"},
            "reasons": [asdict(reason) for reason in self.reasons],
            "unmapped_columns": self.unmapped_columns,
            "always_empty": self.always_empty,
            "suspicions": self.suspicions,
            "seconds_at_rate_limit": self.seconds_at_rate_limit,
            "url": self.endpoint.url,
            "parameters_in": self.endpoint.parameters_in,
            "requests": self.requests,
        }

    def _claimed(
        self, rows: Iterator[Item], claims: InputClaims, namespace: str, settle: Callable[[Item, Outcome], None]
    ) -> Iterator[tuple[Call, Claim]]:
        for row in rows:
            self.report.rows += 1
            self._any_mapped = self._any_mapped or not isinstance(row, Omission)
            claimed = claim_of(row, claims, partial(identify, namespace, claims.key))
            if isinstance(claimed, Outcome):
                settle(row, claimed)
            else:
                yield claimed

    def _settle(self, on_settled: Listener, row: Item, outcome: Outcome) -> None:
        self.report.count(outcome.state)
        on_settled(row, outcome)
        if outcome.state not in _EXPLAINED or outcome.reason == WOULD_BE_SENT:
            return
        if isinstance(row, Rejection):
            values = self._mapping.values_of(self._row) if self._room_for(row) else {}
            for problem in row.problems:
                shape = shape_of(values[problem.parameter]) if problem.parameter in values else None
                self._explain(outcome.state, str(problem), Example(row.row, row.call_session_id, shape))
        else:
            session_id = row.record.CallSessionId if isinstance(row, Call) else row.call_session_id
            self._explain(outcome.state, outcome.reason, Example(row.row, session_id))

    def _room_for(self, row: Rejection) -> bool:
        return any(len(self._examples[State.REJECTED, str(problem)]) < _EXAMPLES for problem in row.problems)

    def _explain(self, state: State, reason: str, example: Example) -> None:
        explained = (state, reason)
        if explained not in self._rows_of and len(self._rows_of) >= _DISTINCT_REASONS:
            return
        self._rows_of[explained] += 1
        if len(self._examples[explained]) < _EXAMPLES:
            self._examples[explained].append(example)


class _Watched(Mapping[str, Any]):
    """A row that keeps which of its columns were read."""

    def __init__(self, row: Row, read: set[str]) -> None:
        self._row = row
        self._noted = read

    def __getitem__(self, column: str) -> Any:
        value = self._row[column]
        self._noted.add(column)
        return value

    def __contains__(self, column: object) -> bool:
        return column in self._row

    def __iter__(self) -> Iterator[str]:
        return iter(self._row)

    def __len__(self) -> int:
        return len(self._row)


class _Looks:
    """What calls look like as a whole."""

    def __init__(self) -> None:
        self.present: set[str] = set()
        self.known_otherwise: Counter[str] = Counter()
        self._calls = 0
        self._future = 0
        self._old = 0
        self._only_talk = 0
        self._fractional = 0
        self._statuses: Counter[str] = Counter()
        self._partners: set[int] = set()

    def note(self, records: Iterable[CallRecord]) -> None:
        now = datetime.now(UTC)
        for record in records:
            self._calls += 1
            self.present.update(name for name, value in vars(record).items() if value is not None)
            at = datetime.fromisoformat(record.EventDate)
            self._future += at > now
            self._old += at < now - _OLD
            self._only_talk += record.TalkDuration == record.CallDuration
            self._fractional += record.CallSessionId.endswith(".0")
            self._statuses[record.CallStatus] += 1
            self._partners.add(record.MediaId)

    def suspicions(self) -> Iterator[str]:
        if self._future:
            yield f"calls of the future: {self._future}. Is their time zone right?"
        if self._old:
            yield f"calls older than {_OLD.days} days: {self._old}. impact.com advises against sending such"
        if self._fractional:
            yield f"CallSessionIds that end in .0: {self._fractional}. Read as numbers, they are other calls without it"
        if self._calls >= _ALIKE:
            if list(self._statuses) == ["ANSWER"]:
                yield "every call is an ANSWER: are there no missed ones, or does CallStatus not tell them?"
            if len(self._partners) == 1:
                yield "every call has the same MediaId: one partner is credited with all of them"
            if self._only_talk == self._calls:
                yield "TalkDuration equals CallDuration in every call: is it the time of actual talk?"
        for names, calls in self.known_otherwise.most_common():
            yield (
                f"calls that the ledger has under another {names}: {calls} of the first {_BATCH}. Under this one they "
                "are others to it, and would be sent again"
            )


def _known_otherwise(ledger: Ledger, records: Sequence[CallRecord]) -> Counter[str]:
    """How many of these calls the ledger has by their ``CallSessionId``, by what of their other ids differs there."""
    known = ledger.namesakes([record.CallSessionId for record in records])
    found: Counter[str] = Counter()
    for record in records:
        for other in known.get(record.CallSessionId, ()):
            differing = [name for name, value in other.items() if str(getattr(record, name)) != value]
            if differing:
                found[" and ".join(differing)] += 1
                break
    return found


def _masked(record: CallRecord) -> dict[str, str]:
    """The parameters that leave; of the caller's number, wherever it stands, two digits, and of the recording none."""
    parameters = record.parameters()
    private = Private(parameters["CallerId"], parameters.get("CallRecording"))
    return {name: value if name == "CallSessionId" else private.masked(value) for name, value in parameters.items()}


def shape_of(value: Any) -> str:
    """What a value looks like: with 9 for each digit, and ``a`` or ``A`` for each letter; its type if it is no text."""
    if isinstance(value, (bool, bytes, Mapping)) or not isinstance(value, (str, int, float)):
        return normalize.described(value)
    text = str(value)
    return "".join(map(_drawn, text[:_LONGEST_SHAPE])) + ("..." if len(text) > _LONGEST_SHAPE else "")


def _drawn(character: str) -> str:
    if character.isdigit():
        return "9"
    return ("A" if character.isupper() else "a") if character.isalpha() else character
