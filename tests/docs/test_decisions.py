"""The decision records: their form, their index, and the tests that they name."""

from __future__ import annotations

import re

from tests.documentation import ROOT
from tests.tables import table

FOLDER = ROOT / "docs" / "adr"
INDEX = FOLDER / "README.md"
RECORDS = sorted(FOLDER.glob("[0-9]*.md"))
SECTIONS = ["Context", "Decision", "Consequences", "What would violate it", "Where it is, and what holds it"]
MOST_LINES = 70


def test_each_is_short_and_has_the_sections() -> None:
    with table() as row:
        for record in RECORDS:
            with row(record.name):
                text = record.read_text()
                assert re.findall(r"^## (.+)$", text, re.MULTILINE) == SECTIONS
                assert len(text.splitlines()) <= MOST_LINES


def test_the_index_has_each_by_its_number_and_its_title() -> None:
    listed = re.findall(r"^\| (\d+) \| \[(.+)\]\((.+)\) \|$", INDEX.read_text(), re.MULTILINE)
    titles = [record.read_text().partition("\n")[0] for record in RECORDS]
    assert [(f"# {number}. {title}", page) for number, title, page in listed] == [
        (title, record.name) for title, record in zip(titles, RECORDS, strict=True)
    ]
    assert [record.name[:4] for record in RECORDS] == [f"{number:04}" for number in range(1, len(RECORDS) + 1)]


def test_each_test_that_is_named_is_in_a_file_that_is_named() -> None:
    with table() as row:
        for record in RECORDS:
            with row(record.name):
                text = record.read_text()
                files = {ROOT / name for name in re.findall(r"`(tests/[^`]+\.py)`", text)}
                there = "".join(file.read_text() for file in files)
                named = re.findall(r"`(test_\w+)`", text)
                assert named, "nothing holds it"
                assert [name for name in named if f"def {name}(" not in there] == []
