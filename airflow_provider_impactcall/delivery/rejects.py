"""Collects what a person may have to act on: a line in a file for each rejected row, and the most frequent reasons."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection
from itertools import islice
from types import TracebackType
from typing import TextIO

from airflow_provider_impactcall.delivery.items import Call, Item, Rejected
from airflow_provider_impactcall.delivery.outcome import Outcome, ReasonCode, RowOutcome
from airflow_provider_impactcall.exceptions import Problem, ProblemCode

_DISTINCT_REASONS = 1000
_TO_ACT_ON = (RowOutcome.REJECTED, RowOutcome.UNKNOWN, RowOutcome.CHANGED, RowOutcome.NOT_SENT)
_NOTEWORTHY = (*_TO_ACT_ON, RowOutcome.FILTERED)


class Rejects:
    """Writes down every rejected row: its number, its ``CallSessionId`` and every reason, and nothing else of the row.
    For rows that are unknown, changed, filtered or not sent, it only counts the reasons.

    A line has the keys ``row``, ``CallSessionId``, ``reason_code`` (a :class:`.ReasonCode`), ``reasons`` (sentences)
    and ``problems``: for each problem of an invalid row, its ``parameter`` and its ``code`` (a :class:`.ProblemCode`).

    A file that cannot be written must never stop a call. Its error is kept in ``failure``. It may have any type, as
    object stores have exceptions of their own.

    :param lines: the file, with one line of JSON for each row, or None; closed when the context ends
    """

    def __init__(self, lines: TextIO | None = None) -> None:
        self.failure: Exception | None = None
        self._lines = lines
        self._reasons: Counter[tuple[RowOutcome, ReasonCode | ProblemCode, str]] = Counter()

    def note(self, row: Item, outcome: Outcome) -> None:
        """Note a row, if a person may have to act on it."""
        if outcome.state not in _NOTEWORTHY:
            return
        problems: tuple[Problem, ...] = row.problems if isinstance(row, Rejected) else ()
        reasons: list[tuple[ReasonCode | ProblemCode, str]] = [(problem.code, str(problem)) for problem in problems]
        reasons = reasons or [(outcome.code, outcome.reason)]
        for code, reason in reasons:
            reason_of = (outcome.state, code, reason)
            if reason_of in self._reasons or len(self._reasons) < _DISTINCT_REASONS:
                self._reasons[reason_of] += 1
        if outcome.state is not RowOutcome.REJECTED:
            return
        if self._lines is None or self.failure is not None:
            return
        try:
            line = {
                "row": row.row,
                "CallSessionId": row.record.CallSessionId if isinstance(row, Call) else row.call_session_id,
                "reason_code": outcome.code,
                "reasons": [reason for _, reason in reasons],
                "problems": [{"parameter": problem.parameter, "code": problem.code} for problem in problems],
            }
            self._lines.write(json.dumps(line) + "\n")
        except Exception as error:
            self.failure = error

    def __enter__(self) -> Rejects:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if self._lines is not None:
                self._lines.close()  # Flushes the buffer. An object store writes its file only here.
        except Exception as failure:
            self.failure = self.failure or failure

    def commonest(
        self, states: Collection[RowOutcome] = _TO_ACT_ON, count: int = 10
    ) -> list[tuple[RowOutcome, str, int]]:
        """The most frequent reasons: how the rows ended, the reason with its code in front, and the number of rows.

        For an invalid row, the code is the code of a problem.
        """
        reasons = (
            (state, f"{code}: {reason}", rows)
            for (state, code, reason), rows in self._reasons.most_common()
            if state in states
        )
        return list(islice(reasons, count))
