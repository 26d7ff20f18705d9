"""The page of errors has each text that the package can say, and none that it cannot."""

from __future__ import annotations

import re

import pytest

from airflow_provider_impactcall.delivery.answer import outcome_of
from airflow_provider_impactcall.exceptions import InvalidCall
from airflow_provider_impactcall.records import CallRecord
from tests.documentation import ROOT
from tests.messages import messages, pattern

PAGE = ROOT / "docs" / "errors.md"
SHOWN = re.findall(r"^\| `(.+?)` \|", PAGE.read_text(), re.MULTILINE)
# Made of a count and of the names of options.
PUT_TOGETHER = re.compile(r"(.+) rows are (rejected|unknown), and max_(rejected|unknown) is .*")


# An answer's reason begins with its status.
STATUS = re.compile(r"^(\d{3}|…), ")


def spells(text: str, shown: str) -> bool:
    """Whether the page shows a text of the code's."""
    return any(pattern(text).fullmatch(each) for each in (shown, STATUS.sub("", shown)))


@pytest.mark.parametrize("text", sorted(messages()), ids=lambda text: text.replace("\0", "…")[:60])
def test_what_the_package_says_is_on_the_page(text: str) -> None:
    assert any(spells(text, shown) for shown in SHOWN), f"docs/errors.md lacks: {text!r}"


@pytest.mark.parametrize("shown", SHOWN, ids=lambda shown: shown[:60])
def test_what_the_page_says_is_said_by_the_package(shown: str) -> None:
    assert any(spells(text, shown) for text in messages()) or PUT_TOGETHER.fullmatch(shown), "no code says so"


def test_the_texts_that_are_looked_for_are_those_that_are_said() -> None:
    """One of an answer, and one of a row: else the page could be compared with nothing."""
    said = [outcome_of(401, {}, b"").reason]
    with pytest.raises(InvalidCall) as invalid:
        CallRecord.of({"CallerId": "anonymous"})
    said += [problem.message for problem in invalid.value.problems]
    assert len(said) > 8
    for text in said:
        assert any(pattern(shown.replace("…", "\0")).fullmatch(text) for shown in SHOWN), text
