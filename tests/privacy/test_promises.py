"""Every sentence on privacy has a test, and no test is named that there is none of."""

from __future__ import annotations

import ast
import re

import pytest

from tests.documentation import ROOT
from tests.privacy.promises import GUARANTEES, README


def test_what_is_promised_is_what_is_proven() -> None:
    page = (ROOT / "docs" / "guarantees.md").read_text()
    section = page.partition("## What is private\n")[2].partition("\n## ")[0]
    assert [" ".join(each.split()) for each in re.findall(r"^- (.+(?:\n  .+)*)", section, re.MULTILINE)] == list(
        GUARANTEES
    )


def test_the_readme_s_list_too() -> None:
    text = " ".join((ROOT / "README.md").read_text().split())
    listed = text.partition("recording URL or credential in ")[2].partition(";")[0]
    assert re.split(r", | or ", listed) == list(README)


@pytest.mark.parametrize("test", sorted({each for tests in (*GUARANTEES.values(), *README.values()) for each in tests}))
def test_a_named_test_is_there(test: str) -> None:
    file, _, name = test.partition("::")
    tree = ast.parse((ROOT / file).read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, functions)}
    assert name.startswith("test_")
