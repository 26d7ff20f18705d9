"""The documentation's pages, and the code in them."""

from __future__ import annotations

import ast
import inspect
import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
START = ROOT / "docs" / "index.md"
OPERATING = ROOT / "docs" / "operating.md"
FOLLOWING = ROOT / "docs" / "following.md"
DRY_RUN = ROOT / "docs" / "dry-run.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md")), ROOT / "benchmarks" / "README.md"]


def blocks(page: Path, language: str) -> list[str]:
    """The code of a page in one language."""
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), flags=re.DOTALL)


def sessions(page: Path) -> Iterator[tuple[list[str], list[str]]]:
    """The commands of a page, each split into words as a shell does, with the output lines that the page shows."""
    for block in blocks(page, "console"):
        for shown in re.split(r"^\$ ", block.replace("\\\n", ""), flags=re.MULTILINE)[1:]:
            command, *printed = shown.splitlines()
            yield shlex.split(command, comments=True), printed


def commands(page: Path, *program: str) -> list[list[str]]:
    """The arguments of each command of a page that begins with these words."""
    found = [words for words, _ in sessions(page)]
    return [words[len(program) :] for words in found if words[: len(program)] == list(program)]


def docstrings(file: Path) -> list[str]:
    """All docstrings of a Python file, including the strings below attributes."""
    return [
        inspect.cleandoc(node.value.value)
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]


def literal_blocks(docstring: str) -> list[str]:
    """The code of a docstring: the indented lines below a line that ends with two colons."""
    found = re.findall(r"::\n\n((?:(?: {4}.*)?\n)+)", f"{docstring}\n")
    return [textwrap.dedent(block) for block in found]
