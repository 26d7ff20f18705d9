"""What a person may have to act on: a line a rejected row in a file, and the commonest reasons for the log."""

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
    """Takes note of every rejected row: its number, its ``CallSessionId`` and every reason, nothing else of it. Of
    rows that are unknown, changed, filtered or not sent, it counts the reasons.

    A line has the keys ``row``, ``CallSessionId``, ``reason_code`` (a :class:`.ReasonCode`), ``reasons`` (sentences)
    and ``problems``: of each problem of an invalid row its ``parameter`` and its ``code`` (a :class:`.ProblemCode`).

    A file that cannot be written is never worth a call: what goes wrong with it is kept in ``failure``, and is
    an exception of any type, as object stores have their own.

    :param lines: where each is written as a line of JSON, or None; closed on leaving the context
    """

    def __init__(self, lines: TextIO | None = None) -> None:
        self.failure: Exception | None = None
        self._lines = lines
        self._reasons: Counter[tuple[RowOutcome, ReasonCode | ProblemCode, str]] = Counter()

    def note(self, row: Item, outcome: Outcome) -> None:
        """Take note of a row, if it is one of those."""
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
                self._lines.close()  # Writes what is buffered; an object store's file is written only here.
        except Exception as failure:
            self.failure = self.failure or failure

    def commonest(
        self, states: Collection[RowOutcome] = _TO_ACT_ON, count: int = 10
    ) -> list[tuple[RowOutcome, str, int]]:
        """The commonest reasons, each begun with its code (of an invalid row, that of a problem), with what it led to
        and the number of rows that it was given for.
        """
        reasons = (
            (state, f"{code}: {reason}", rows)
            for (state, code, reason), rows in self._reasons.most_common()
            if state in states
        )
        return list(islice(reasons, count))
