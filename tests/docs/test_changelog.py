"""The files that the changelog is made of have names by which they are found: another one would be passed over."""

from __future__ import annotations

import re
import tomllib

from tests.documentation import ROOT

SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["towncrier"]
FOLDER = ROOT / SETTINGS["directory"]
KINDS = [each["directory"] for each in SETTINGS["type"]]


def test_each_fragment_is_one_that_is_taken() -> None:
    name = re.compile(rf"\+[a-z0-9-]+\.({'|'.join(KINDS)})\.md")
    others = [file.name for file in FOLDER.iterdir() if not name.fullmatch(file.name)]
    assert others == ["README.md"]


def test_each_fragment_is_one_entry() -> None:
    """Its bullet is added, and so are the title of its kind and what indents its lines."""
    texts = {file.name: file.read_text() for file in FOLDER.glob("+*.md")}
    assert [name for name, text in texts.items() if not text.strip() or re.search(r"^[-*#]|\n\n", text)] == []


def test_there_is_a_place_for_what_they_say() -> None:
    assert (ROOT / "CHANGELOG.md").read_text().count(SETTINGS["start_string"]) == 1


def test_the_kinds_are_explained() -> None:
    explained = (FOLDER / "README.md").read_text()
    assert [kind for kind in KINDS if f"`{kind}`" not in explained] == []
