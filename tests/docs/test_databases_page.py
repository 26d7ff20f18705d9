"""The databases that were tried, as the documentation says, are tried with the versions that it says."""

from __future__ import annotations

import re

from tests.documentation import ROOT


def test_versions_are_those_that_the_tests_install() -> None:
    page = (ROOT / "docs" / "operators.md").read_text()
    section = page.partition("### Databases that were tried\n")[2].partition("\n## ")[0]
    shown = dict(re.findall(r"`([a-z][\w.-]+)` (\d[\w.]*\d)", section))
    lines = (ROOT / "constraints" / "databases.txt").read_text().splitlines()
    installed = dict(line.split("==") for line in lines if "==" in line)
    assert len(shown) >= 8
    assert shown == {name: installed.get(name) for name in shown}
