"""The page of errors has each text that the package can say, and none that it cannot."""

from __future__ import annotations

import re
from itertools import chain

import pytest

from airflow_provider_impactcall.delivery.outcome import ReasonCode
from airflow_provider_impactcall.delivery.wire.response import attempt_of
from airflow_provider_impactcall.exceptions import InvalidCall, ProblemCode
from airflow_provider_impactcall.records import CallRecord
from tests.documentation import ROOT
from tests.messages import messages, pattern
from tests.records.test_bad_rows import BAD_ROWS
from tests.tables import table

PAGE = ROOT / "docs" / "errors.md"
TEXT = PAGE.read_text()
ROWS = [line.removeprefix("| ").split(" | ") for line in TEXT.splitlines() if line.startswith("| `")]
CODES = {code for row in ROWS for code in re.findall(r"`(\w+)`", row[0]) if code in tuple(ReasonCode)}
# The sentences of a row stand beside its code, or first.
SHOWN = [text for row in ROWS for text in re.findall(r"^`([^`]+)`$", row[1 if row[0].strip("`") in CODES else 0])]
# The sentences of each problem code, below a paragraph that says what it means.
SECTIONS = {
    code: re.findall(r"^\| `([^`]+)`", section, re.MULTILINE)
    for code, section in re.findall(r"^### `(\w+)`\n\n(?=[^|])(.+?)(?=^#)", TEXT, re.MULTILINE | re.DOTALL)
}
# Made of a count and of the names of options.
PUT_TOGETHER = re.compile(r"… rows are (rejected|unknown|changed), and max_\1 is …\. rows=… …")


# An answer's reason begins with its status.
STATUS = re.compile(r"^(\d{3}|…), ")


def spells(text: re.Pattern[str], shown: str) -> bool:
    """Whether the page shows a text of the code's."""
    return any(text.fullmatch(each) for each in (shown, STATUS.sub("", shown)))


def test_each_reason_code_is_on_the_page() -> None:
    assert set(ReasonCode) == CODES


def test_each_problem_code_has_a_section() -> None:
    assert [*SECTIONS] == [*ProblemCode]


def test_what_is_said_of_a_bad_row_is_in_the_section_of_its_code() -> None:
    shown = {code: [pattern(each.replace("…", "\0")) for each in sentences] for code, sentences in SECTIONS.items()}
    with table() as row:
        for case in chain.from_iterable(BAD_ROWS.values()):
            for _, code, message in case.problems:
                with row((case.name, code)):
                    assert any(each.fullmatch(message) for each in shown[code])


def test_what_the_package_says_is_on_the_page() -> None:
    said = {text: pattern(text) for text in sorted(messages())}
    lacking = [
        text.replace("\0", "…") for text, spelled in said.items() if not any(spells(spelled, shown) for shown in SHOWN)
    ]
    assert said
    assert not lacking, "\n".join(["docs/errors.md lacks", *lacking])


def test_what_the_page_says_is_said_by_the_package() -> None:
    said = [pattern(text) for text in messages()]
    unsaid = [
        shown for shown in SHOWN if not any(spells(text, shown) for text in said) and not PUT_TOGETHER.fullmatch(shown)
    ]
    assert SHOWN
    assert not unsaid, "\n".join(["docs/errors.md has what no code says", *unsaid])


def test_the_texts_that_are_looked_for_are_those_that_are_said() -> None:
    """One of an answer, and one of a row: else the page could be compared with nothing."""
    said = [attempt_of(401, {}, b"").reason]
    with pytest.raises(InvalidCall) as invalid:
        CallRecord.of({"CallerId": "anonymous"})
    said += [problem.message for problem in invalid.value.problems]
    assert len(said) > 8
    for text in said:
        assert any(pattern(shown.replace("…", "\0")).fullmatch(text) for shown in SHOWN), text
