"""The page of mappings lists each parameter that every call needs, with the words of its status."""

from __future__ import annotations

import re

from airflow_provider_impactcall.records.call_record import PARAMETERS
from airflow_provider_impactcall.records.kinds import CallStatus
from tests.documentation import ROOT


def test_each_required_parameter_is_in_the_table() -> None:
    page = (ROOT / "docs" / "mapping.md").read_text()
    table = page.partition("### What every call needs\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.+?) \| (.+) \|$", table, re.MULTILINE)
    listed = {name for parameters, _ in cells for name in re.findall(r"`(\w+)`", parameters)}
    assert listed == {name for name, each in PARAMETERS.items() if each.required} | {"CallStatus"}
    (words,) = [value for parameters, value in cells if parameters == "`CallStatus`"]
    assert set(re.findall(r"`(\w+)`", words)) == set(CallStatus)
