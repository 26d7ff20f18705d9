"""Each benchmark writes its own section of the results, and leaves those of the others alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.results import load_average, markdown_table, measured_on, write_section


def test_a_section_takes_the_place_of_the_one_before_it(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    write_section("Mapping", "first\n\n### In detail\n\nmore", path)
    write_section("Skipping", "second", path)
    write_section("Mapping", "third\n", path)
    head, *sections = path.read_text(encoding="utf-8").split("\n## ")
    assert head.startswith("# Results\n")
    assert sections == ["Mapping\n\nthird\n", "Skipping\n\nsecond\n"]


@pytest.mark.parametrize(("heading", "body"), [("two\nlines", "text"), (" ", "text"), ("one", "text\n\n## another\n")])
def test_a_section_cannot_break_the_file(tmp_path: Path, heading: str, body: str) -> None:
    path = tmp_path / "RESULTS.md"
    with pytest.raises(ValueError, match="head"):
        write_section(heading, body, path)
    assert not path.exists()


def test_it_says_on_what_machine_it_was_measured() -> None:
    text = measured_on(
        "python -m benchmarks.mapping", load_average(), packages=["no-such-package"], servers=["nginx 1"]
    )
    assert text.startswith("`python -m benchmarks.mapping`, 20")
    for part in (" cores (", "Python 3.", "apache-airflow ", "aiohttp ", "no-such-package not installed, nginx 1."):
        assert part in text


def test_a_table_is_markdown() -> None:
    assert markdown_table(["way", "rows/s"], [["plain", "1"]]) == "| way | rows/s |\n| --- | ---: |\n| plain | 1 |"
