"""The documentation's Python runs as it stands there, and what it links to is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md")), ROOT / "benchmarks" / "README.md"]
BLOCKS = [
    pytest.param(block, id=f"{page.name}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL))
]


@pytest.mark.parametrize("block", BLOCKS)
def test_block_runs(block: str) -> None:
    exec(compile(block, "documentation", "exec"), {})


def test_there_are_blocks() -> None:
    assert len(BLOCKS) >= 3


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    linked = [link for link in re.findall(r"\]\(([^)#]+)", page.read_text()) if "://" not in link]
    assert [link for link in linked if not (page.parent / link).exists()] == []


def test_each_proof_of_the_promise_has_tests() -> None:
    promise = README.read_text().partition("## What is promised")[2].partition("\n## ")[0]
    proofs = re.findall(r"\((tests/[^)]+\.py)\)", promise)
    assert len(proofs) > 10
    for proof in proofs:
        assert re.search(r"def test_|TestCase", (ROOT / proof).read_text()), proof
