"""The states of a call are one table: the documentation's table and picture, and the page's labels, are as the code."""

from __future__ import annotations

import re

from airflow_provider_impactcall.delivery.ledger.selection import LISTED
from airflow_provider_impactcall.delivery.ledger.states import TRANSITIONS
from airflow_provider_impactcall.delivery.outcome import CallState, RowOutcome
from tests.documentation import OPERATING, ROOT

NEW = "(new)"
POSSIBLE = {
    (NEW if source is None else source.value, target.value)
    for causes in TRANSITIONS.values()
    for source, target in causes.items()
}


def test_the_documentation_has_each_transition_and_no_other() -> None:
    table = OPERATING.read_text().partition("| what happens | from | to |")[2].partition("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    documented = [
        (source.strip("`"), target.strip("`")) for _, sources, target in rows for source in sources.split(", ")
    ]
    written = [
        (NEW if source is None else source.value, target.value)
        for causes in TRANSITIONS.values()
        for source, target in causes.items()
    ]
    assert sorted(documented) == sorted(written)


def test_the_picture_draws_each_state_and_no_way_that_there_is_not() -> None:
    drawn = re.findall(r'data-way="(\w+) (\w+)"', (ROOT / "docs/images/life-of-a-call.svg").read_text())
    ways = {(NEW if source == "new" else source, target) for source, target in drawn}
    assert ways <= POSSIBLE
    assert {target for _, target in ways} == set(CallState)


def test_the_page_names_each_state_and_each_outcome() -> None:
    script = (ROOT / "airflow_provider_impactcall/plugins/static/words.js").read_text()
    named = re.findall(r"^  (\w+):", script.partition("const STATES = {")[2].partition("};")[0], re.MULTILINE)
    assert sorted(named) == sorted({*LISTED, *RowOutcome})
