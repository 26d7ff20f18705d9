"""The documentation's code runs as it stands there, and what it names and links to is there.

Its ``impactcall`` commands are run in tests/cli, the sandbox's in tests/sandbox, and its first page as a whole in
tests/packaging.
"""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from airflow_provider_impactcall.sandbox import FAULTS
from tests.documentation import (
    PAGES,
    README,
    ROOT,
    START,
    blocks,
    commands,
    docstrings,
    literal_blocks,
    sessions,
)
from tests.tables import table

CODE = [ROOT / folder for folder in ("airflow_provider_impactcall", "benchmarks", "dags", "demo")]
MODULES = [path for folder in CODE for path in sorted(folder.rglob("*.py"))]
BLOCKS = [
    pytest.param(block, id=f"{page.name}-{number}")
    for page in PAGES
    for number, block in enumerate(blocks(page, "python"))
]
DOCSTRING_BLOCKS = [
    pytest.param(path, block, id=f"{path.relative_to(ROOT)}-{number}")
    for path in MODULES
    # To parse a file takes longer than to see that no line of it leads to code.
    if "::\n" in path.read_text()
    for number, block in enumerate(block for text in docstrings(path) for block in literal_blocks(text))
]
PROGRAMS = [
    ("cat", "map.yaml"),
    ("make",),
    ("pip", "install"),
    ("airflow", "connections"),
    ("airflow", "impactcall"),
    ("impactcall",),
    ("python", "-m", "airflow_provider_impactcall.sandbox"),
]


@pytest.mark.airflow
@pytest.mark.parametrize("block", BLOCKS)
def test_block_runs(block: str) -> None:
    exec(compile(block, "documentation", "exec"), {})


@pytest.mark.airflow
@pytest.mark.parametrize(("path", "block"), DOCSTRING_BLOCKS)
async def test_block_of_a_docstring_runs(path: Path, block: str) -> None:
    """With the names of its module, as its reader has them."""
    module = import_module(".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
    code = compile(block, str(path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if inspect.isawaitable(running := eval(code, dict(vars(module)))):
        await running


def test_there_are_blocks() -> None:
    assert len(BLOCKS) >= 3
    assert len(DOCSTRING_BLOCKS) >= 1
    others = re.compile(r"^\s*(>>>|```|\.\. code)", re.MULTILINE)
    assert [str(path) for path in MODULES if any(map(others.search, docstrings(path)))] == [], "code that is not run"


def test_every_command_is_of_a_program_that_a_test_runs() -> None:
    shown = [words for page in PAGES if page != START for words, _ in sessions(page)]
    assert len(shown) > 10
    assert [words for words in shown if not any(tuple(words[: len(each)]) == each for each in PROGRAMS)] == []


def test_make_has_every_target_that_is_named() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))
    named = {words[0] for words in commands(README, "make")}
    for page in (*PAGES, ROOT / ".ci" / "run"):
        named.update(re.findall(r"(?:`|run |py )make ([a-z0-9-]+)", page.read_text()))
    assert {"demo", "test", "e2e", "soak", "bench"} <= named <= targets


def test_what_is_installed_is_this_package() -> None:
    name = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["name"]
    assert commands(README, "pip", "install") == [[name]]


def test_links_lead_somewhere() -> None:
    with table() as row:
        for page in PAGES:
            with row(page.relative_to(ROOT)):
                linked = [link for link in re.findall(r"\]\(([^)#]+)", page.read_text()) if "://" not in link]
                assert [link for link in linked if not (page.parent / link).exists()] == []


def test_files_that_are_named_are_there() -> None:
    """The site has no links to what is not in it, and names it by its path."""
    folders = "airflow_provider_impactcall|benchmarks|constraints|dags|demo|tests"
    with table() as row:
        for page in PAGES:
            with row(page.relative_to(ROOT)):
                named = re.findall(rf"`((?:{folders})/[^`\s]*)`", page.read_text())
                assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_site_has_every_page() -> None:
    navigation = re.sub(r"(?m)^ *#.*", "", (ROOT / "mkdocs.yml").read_text())
    shown = re.findall(r"[\w/-]+\.md", navigation)
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")}
    assert len(shown) == len(set(shown))
    assert set(shown) == pages


def test_both_places_count_the_faults() -> None:
    for page in (README, ROOT / "docs" / "sandbox.md"):
        assert re.findall(r"(\d+) kinds", page.read_text()) == [str(len(FAULTS))], page.name


def test_the_first_page_is_short() -> None:
    assert len(README.read_text().splitlines()) < 150


def test_both_places_promise_the_same() -> None:
    def promise(page: Path) -> str:
        return page.read_text().partition("## What is promised\n\n")[2].partition("\n\n")[0].replace("> ", "")

    assert promise(README).startswith("Every row read ends")
    assert promise(README) == promise(ROOT / "docs" / "guarantees.md")


def test_each_proof_of_the_promise_has_tests() -> None:
    promise = README.read_text().partition("## What is promised")[2].partition("\n## ")[0]
    proofs = re.findall(r"\((tests/[^)]+\.py)\)", promise)
    assert len(proofs) > 10
    for proof in proofs:
        assert re.search(r"def test_|TestCase", (ROOT / proof).read_text()), proof
