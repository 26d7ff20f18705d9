"""The dry run: what a delivery would send, what it would not send and why, and warnings. Nothing is sent.

Callers' numbers and recordings' URLs are never shown. Of a wrong value, only its shape is shown.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping, Sequence, ValuesView
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import Any

from airflow_provider_impactcall.delivery.claims import claim_of
from airflow_provider_impactcall.delivery.dry_run.input_warnings import InputWarning, InputWarnings, WarningCode
from airflow_provider_impactcall.delivery.dry_run.masking import Private
from airflow_provider_impactcall.delivery.dry_run.report import DryRunReport
from airflow_provider_impactcall.delivery.duplicates import Duplicates
from airflow_provider_impactcall.delivery.identity import Claim, identify
from airflow_provider_impactcall.delivery.items import Call, Item, Listener, Rejected, Skipped
from airflow_provider_impactcall.delivery.ledger.rules import Send, Settled, Wait, as_known, decide
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import Outcome, ReasonCode, RowOutcome
from airflow_provider_impactcall.delivery.wire.endpoint import Endpoint
from airflow_provider_impactcall.exceptions import ProblemCode
from airflow_provider_impactcall.records import PARAMETERS, CallMapping, CallRecord, normalize
from airflow_provider_impactcall.records.column_names import LOOK_LIKE_VALUES, labels, may_be_shown
from airflow_provider_impactcall.records.columns import OpenedRow, Row
from airflow_provider_impactcall.records.unreadable import UnreadableValue

_NOT_HAD = UnreadableValue("")

_BATCH = 500
_EXAMPLES = 3
# Of the rows that are left out, so many are looked at: as a rule, such rows are alike.
_LOOKED_AT = 100
_DISTINCT_REASONS = 1000
# Rows may have columns of their own, such as JSON with phone numbers as keys: then there are as many columns as rows.
_MOST_COLUMNS = 10_000
_LONGEST_SHAPE = 40
_EXPLAINED = (
    *(RowOutcome.REJECTED, RowOutcome.FILTERED, RowOutcome.CHANGED),
    *(RowOutcome.DUPLICATE, RowOutcome.UNKNOWN, RowOutcome.NOT_SENT),
)

_Why = tuple[RowOutcome, ReasonCode | ProblemCode, str]


@dataclass(frozen=True)
class Example:
    """A row that a reason was given for.

    :param row: its number in the input, from 1
    :param call_session_id: the call's id, if it has a readable one
    :param shape: what the wrong value looks like, with 9 for each digit and ``a`` or ``A`` for each letter; None if
        there is no value
    """

    row: int
    call_session_id: str | None
    shape: str | None = None


@dataclass(frozen=True)
class Reason:
    """A reason why rows would not be sent.

    :param outcome: how the rows would end
    :param reason_code: why: a :class:`.ReasonCode`; for an invalid row, the :class:`.ProblemCode` of one problem
    :param reason: the same as a sentence
    :param rows: how many rows
    :param examples: the first of these rows
    """

    outcome: str
    reason_code: str
    reason: str
    rows: int
    examples: Sequence[Example]


class DryRun:
    """A dry run and its findings.

    :ivar report: the same counts as a delivery's; calls that would be sent count as ``not_sent``
    :ivar would_send: how many calls would be sent
    :ivar requests: the parameters of the first calls, with private values masked

    :param mapping: how a row becomes a call
    :param endpoint: where the calls would go
    :param requests_per_second: our own rate limit; None for no limit
    :param requests_per_hour: our own rate limit; None for no limit
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
        self.report = DryRunReport()
        self.would_send = 0
        self.requests: list[Mapping[str, str]] = []
        self._mapping = mapping
        self._row: Row = {}
        self._columns: dict[str, None] = {}
        self._read: set[str] = set()
        self._left_out = 0
        self._rows_of: Counter[_Why] = Counter()
        self._examples: dict[_Why, list[Example]] = defaultdict(list)
        self._warnings = InputWarnings(mapping.conventions.get("timezone"))

    def watch(self, row: Row) -> Row:
        """An opened row that notes which of its columns are read; see :func:`~.reading.read`."""
        self._row = row
        aliases: Mapping[str, str] = {}
        if isinstance(row, OpenedRow):
            aliases = row.aliases
            self._read.update([] if row.within is None else [row.within])
        if len(self._columns) < _MOST_COLUMNS:
            self._columns.update(dict.fromkeys(str(column) for column in row if column not in aliases))
        # If a value may come from one of several columns, the later ones are read only if the first is empty.
        self._read.update(aliases.get(name, name) for name in self._mapping.asked_for.intersection(row))
        return _Watched(row, aliases, self._read)

    def run(
        self, items: Iterable[Item], duplicates: Duplicates, ledger: Ledger, *, resend: bool, on_settled: Listener
    ) -> None:
        """Settle every row as a delivery would, but send nothing.

        :param items: rows that were watched
        :param ledger: read, and not changed
        :param resend: whether calls of unknown fate may be sent again
        :param on_settled: told of every row's outcome
        """
        started = datetime.now(UTC)
        try:
            self._run(iter(items), duplicates, ledger, resend, partial(self._settle, on_settled))
        finally:
            self.report.seconds = round((datetime.now(UTC) - started).total_seconds(), 3)
            self.report.warnings = self.warnings
            self.report.expected_seconds = self.expected_seconds

    def _run(
        self,
        rows: Iterator[Item],
        duplicates: Duplicates,
        ledger: Ledger,
        resend: bool,
        settle: Callable[[Item, Outcome], None],
    ) -> None:
        while batch := list(islice(self._claimed(rows, duplicates, ledger.namespace, settle), _BATCH)):
            entries = ledger.look_up([key for _, claim in batch for key in claim.keys])
            waiting = []
            for call, given in batch:
                claim = as_known(given, entries)
                decision = decide(entries.get(claim.key), claim, "", resend=resend)
                match decision:
                    case Settled(outcome):
                        settle(call, outcome)
                    case Wait(code, reason):
                        settle(call, Outcome(RowOutcome.NOT_SENT, code, reason))
                    case Send(_, uncertain):
                        outcome = self._sent(call.record, uncertain)
                        settle(call, outcome)
                        if outcome.code is ReasonCode.DRY_RUN:
                            waiting.append(call.record)
            if waiting and not self.would_send:
                self._warnings.ask(ledger, waiting)
            self.would_send += len(waiting)
            self.requests += [_masked(record) for record in waiting[: _EXAMPLES - len(self.requests)]]
            self._warnings.note(waiting)

    @property
    def reasons(self) -> list[Reason]:
        """Why rows would not be sent, the most frequent reason first."""
        return [
            Reason(outcome.value, code.value, reason, rows, self._examples[outcome, code, reason])
            for (outcome, code, reason), rows in self._rows_of.most_common()
        ]

    @property
    def unmapped_columns(self) -> list[str]:
        """The columns that no name of the mapping or the preset asks for, in the order of the input.

        If any column's name may be a value, all are shown by their places, such as ``column 7``: see
        :mod:`~.records.column_names`.
        """
        return [label for name, label in labels(self._columns).items() if name not in self._read]

    @property
    def always_empty(self) -> list[str]:
        """The parameters that have a source, but no value in any call to be sent."""
        sourced = self._mapping.sourced(self._columns)
        return [name for name in PARAMETERS if self.would_send and name in sourced - self._warnings.present]

    @property
    def warnings(self) -> list[InputWarning]:
        """The warnings about the input and the calls to be sent."""
        rows = self.report.rows
        found = list(self._warnings.found())
        if not may_be_shown(self._columns):
            found.insert(0, InputWarning(WarningCode.COLUMNS_LOOK_LIKE_VALUES, rows, LOOK_LIKE_VALUES))
        for each in self._mapping.untold:
            told = f"calls that cannot be recognized, and are not left out: {each}"
            found.append(InputWarning(WarningCode.CALLS_NOT_TOLD, rows, told))
        return found

    @property
    def expected_seconds(self) -> float | None:
        """How long the sending would take at the strictest rate limit; None without any."""
        waits = [self.would_send / rate * window for rate, window in self._limits if rate]
        return round(max(waits), 1) if waits else None

    def as_dict(self) -> dict[str, Any]:
        """All findings as data, for JSON."""
        return {
            "would_send": self.would_send,
            **self.report.counts(),
            "seconds": self.report.seconds,
            "reasons": [asdict(reason) for reason in self.reasons],
            "unmapped_columns": self.unmapped_columns,
            "always_empty": self.always_empty,
            "warnings": [asdict(warning) for warning in self.warnings],
            "expected_seconds": self.expected_seconds,
            "url": self.endpoint.url,
            "parameters_in": self.endpoint.parameters_in,
            "requests": self.requests,
        }

    def _claimed(
        self, rows: Iterator[Item], duplicates: Duplicates, namespace: str, settle: Callable[[Item, Outcome], None]
    ) -> Iterator[tuple[Call, Claim]]:
        for row in rows:
            self.report.rows += 1
            if isinstance(row, Skipped):
                self._note_left_out()
            if isinstance(row, Call):
                self._warnings.note_id(row.record)
            claimed = claim_of(row, duplicates, partial(identify, namespace, duplicates.key))
            if isinstance(claimed, Outcome):
                settle(row, claimed)
            else:
                yield claimed

    def _sent(self, record: CallRecord, uncertain: bool) -> Outcome:
        """The outcome of a call that may be sent: a request can be too long."""
        refused = self.endpoint.request(record).refused
        if refused is None:
            return Outcome(RowOutcome.NOT_SENT, ReasonCode.DRY_RUN, "would be sent")
        proven = refused.proves(beside_doubt=uncertain)
        return Outcome(RowOutcome.UNKNOWN if uncertain else RowOutcome.REJECTED, proven.code, proven.reason)

    def _note_left_out(self) -> None:
        """Read from a row that is left out the columns that would have been read, had it not been left out."""
        self._left_out += 1
        if self._left_out > _LOOKED_AT or self._mapping.preset is None:
            return
        self._mapping.values_of(self._row, self.watch)
        for each in self._mapping.preset.filters:
            with suppress(Exception):  # The row itself reports that a filter failed.
                each.leaves_out(self.watch(self._row))

    def _settle(self, on_settled: Listener, row: Item, outcome: Outcome) -> None:
        self.report.count(outcome.state)
        on_settled(row, outcome)
        if outcome.state not in _EXPLAINED or outcome.code is ReasonCode.DRY_RUN:
            return
        if isinstance(row, Rejected):
            values = self._mapping.values_of(self._row) if self._room_for(row) else {}
            for problem in row.problems:
                value = values.get(problem.parameter, _NOT_HAD)
                shown = type(value) is not UnreadableValue and not normalize.is_absent(value)
                shape = shape_of(value) if shown else None
                self._explain((outcome.state, problem.code, str(problem)), Example(row.row, row.call_session_id, shape))
        else:
            session_id = row.record.CallSessionId if isinstance(row, Call) else row.call_session_id
            self._explain((outcome.state, outcome.code, outcome.reason), Example(row.row, session_id))

    def _room_for(self, row: Rejected) -> bool:
        reasons = ((RowOutcome.REJECTED, problem.code, str(problem)) for problem in row.problems)
        return any(len(self._examples[reason]) < _EXAMPLES for reason in reasons)

    def _explain(self, explained: _Why, example: Example) -> None:
        if explained not in self._rows_of and len(self._rows_of) >= _DISTINCT_REASONS:
            return
        self._rows_of[explained] += 1
        if len(self._examples[explained]) < _EXAMPLES:
            self._examples[explained].append(example)


class _Watched(Mapping[str, Any]):
    """A row that notes which of its columns were read by name."""

    def __init__(self, row: Row, aliases: Mapping[str, str], read: set[str]) -> None:
        self._row = row
        self._aliases = aliases
        self._noted = read

    def __getitem__(self, column: str) -> Any:
        value = self._row[column]
        self._noted.add(self._aliases.get(column, column))
        return value

    def __contains__(self, column: object) -> bool:
        return column in self._row

    def __iter__(self) -> Iterator[str]:
        return iter(self._row)

    def __len__(self) -> int:
        return len(self._row)

    def items(self) -> ItemsView[str, Any]:
        """The row's items. Reading all of them does not count as reading a column by name."""
        return self._row.items()

    def values(self) -> ValuesView[Any]:
        """The row's values. Reading all of them does not count as reading a column by name."""
        return self._row.values()


def _masked(record: CallRecord) -> dict[str, str]:
    """The parameters that would leave, masked: two digits of the caller's number wherever it appears, no recording."""
    parameters = record.parameters()
    private = Private(parameters["CallerId"], parameters.get("CallRecording"))
    return {name: value if name == "CallSessionId" else private.masked(value) for name, value in parameters.items()}


def shape_of(value: Any) -> str:
    """A value's shape: 9 for each digit, ``a`` or ``A`` for each letter; its type if it is not text or a number."""
    if isinstance(value, (bool, bytes, Mapping)) or not isinstance(value, (str, int, float)):
        return normalize.described(value)
    text = str(value)
    return "".join(map(_drawn, text[:_LONGEST_SHAPE])) + ("..." if len(text) > _LONGEST_SHAPE else "")


def _drawn(character: str) -> str:
    if character.isdigit():
        return "9"
    return ("A" if character.isupper() else "a") if character.isalpha() else character
