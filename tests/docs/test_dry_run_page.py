"""The page of dry runs has each code that a warning can have, and none that it cannot."""

from __future__ import annotations

import re

from airflow_provider_impactcall.delivery.dry_run.input_warnings import WarningCode
from tests.documentation import DRY_RUN


def test_each_code_of_a_warning_is_on_the_page() -> None:
    section = DRY_RUN.read_text().partition("\n## Warnings\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.+?) \|", section, re.MULTILINE)
    assert [code for cell in cells for code in re.findall(r"`(\w+)`", cell)] == list(WarningCode)
