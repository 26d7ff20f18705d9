from __future__ import annotations

import io
import json
from typing import TextIO

import pytest

from airflow_provider_impactcall.delivery.items import Rejected
from airflow_provider_impactcall.delivery.outcome import Outcome, ReasonCode, RowOutcome
from airflow_provider_impactcall.delivery.rejects import Rejects
from airflow_provider_impactcall.exceptions import Problem, ProblemCode
from tests.delivery.scripted import a_call

WRONG = Problem("Zip", ProblemCode.WRONG_TYPE, "is wrong")
INVALID = Rejected(7, "a-7", (Problem("MediaId", ProblemCode.MISSING, "is missing"), WRONG))
NOT_VALID = Outcome(RowOutcome.REJECTED, ReasonCode.INVALID, "MediaId is missing; Zip is wrong")
DELIVERED = Outcome(RowOutcome.DELIVERED, ReasonCode.OK, "200 Status OK", 200)
REFUSED = Outcome(RowOutcome.REJECTED, ReasonCode.REFUSED, "400 Validation Failed", 400)
NO_VERDICT = Outcome(RowOutcome.UNKNOWN, ReasonCode.NO_VERDICT, "502", 502)


class _Full(io.StringIO):
    """A disk that is full, or a bucket that is not there."""

    def __init__(self, error: Exception, *, at_once: bool) -> None:
        super().__init__()
        self._error = error
        self._at_once = at_once

    def write(self, text: str) -> int:
        if self._at_once:
            raise self._error
        return super().write(text)

    def close(self) -> None:
        if not self.closed:
            super().close()
            raise self._error


def test_a_line_a_rejected_row_with_every_reason_and_nothing_else() -> None:
    lines = io.StringIO()
    rejects = Rejects(lines)
    rejects.note(INVALID, NOT_VALID)
    rejects.note(a_call(8, "x"), REFUSED)
    rejects.note(a_call(9), DELIVERED)
    rejects.note(a_call(10), NO_VERDICT)
    assert [json.loads(line) for line in lines.getvalue().splitlines()] == [
        {
            "row": 7,
            "CallSessionId": "a-7",
            "reason_code": "invalid",
            "reasons": ["MediaId is missing", "Zip is wrong"],
            "problems": [{"parameter": "MediaId", "code": "missing"}, {"parameter": "Zip", "code": "wrong_type"}],
        },
        {
            "row": 8,
            "CallSessionId": "kanarienvogel-x",
            "reason_code": "refused",
            "reasons": ["400 Validation Failed"],
            "problems": [],
        },
    ]


def test_the_commonest_reasons() -> None:
    rejects = Rejects()
    for _ in range(3):
        rejects.note(INVALID, NOT_VALID)
    rejects.note(Rejected(1, None, (WRONG,)), NOT_VALID)
    rejects.note(a_call(2), NO_VERDICT)
    rejects.note(a_call(3), DELIVERED)
    assert rejects.commonest(count=1) == [(RowOutcome.REJECTED, "wrong_type: Zip is wrong", 4)]
    assert sorted(rejects.commonest()) == [
        (RowOutcome.REJECTED, "missing: MediaId is missing", 3),
        (RowOutcome.REJECTED, "wrong_type: Zip is wrong", 4),
        (RowOutcome.UNKNOWN, "no_verdict: 502", 1),
    ]


def test_reasons_that_are_all_different_do_not_fill_the_memory() -> None:
    rejects = Rejects()
    for number in range(5000):
        problem = Problem("row", ProblemCode.NOT_A_ROW, f"is wrong in way {number}")
        rejects.note(Rejected(number, None, (problem,)), NOT_VALID)
    assert len(rejects.commonest(count=10_000)) == 1000


class StoreError(Exception):
    """What an object store's client raises is no OSError."""


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), StoreError("AccessDenied")])
@pytest.mark.parametrize("at_once", [True, False])
def test_a_file_that_cannot_be_written_is_noted_and_never_raised(error: Exception, at_once: bool) -> None:
    file: TextIO = _Full(error, at_once=at_once)
    with Rejects(file) as rejects:
        rejects.note(INVALID, NOT_VALID)
        rejects.note(INVALID, NOT_VALID)
    assert rejects.failure is error
    assert file.closed
    assert {reason: rows for _, reason, rows in rejects.commonest()} == {
        "wrong_type: Zip is wrong": 2,
        "missing: MediaId is missing": 2,
    }
