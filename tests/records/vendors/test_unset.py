"""A column that is unset is so in every form: left out, NULL, empty text, and what pandas writes for it."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from airflow_provider_impactcall.exceptions import CallLeftOut, InvalidCall
from tests.records.vendors.payloads import load, wire

ROWS = [
    ("callrail", load("callrail_call")),
    ("callrail", load("callrail_webhook")),
    ("twilio", {**load("twilio_call"), "direction": "inbound", "parent_call_sid": None}),
    ("invoca", load("invoca_transaction")),
    ("whatconverts", load("whatconverts_lead")),
    ("calltrackingmetrics", load("calltrackingmetrics_call")),
    ("retreaver", {**load("retreaver_call"), "afid": "20001"}),
    ("ringba", load("ringba_call")),
]
MEANT = {"mobile"}  # Invoca's '' is a word: of an unknown type.
COLUMNS = [(vendor, row, column) for vendor, row in ROWS for column in row if column not in MEANT]


def what_comes_of(row: dict[str, Any], vendor: str) -> Any:
    try:
        return wire(row, vendor, prefiltered=("direction", "ended"))
    except CallLeftOut as left_out:
        return left_out.reason
    except InvalidCall as invalid:
        return [problem.parameter for problem in invalid.problems]


@pytest.mark.parametrize(("vendor", "row", "column"), COLUMNS)
def test_unset(vendor: str, row: dict[str, Any], column: str) -> None:
    without = what_comes_of({name: value for name, value in row.items() if name != column}, vendor)
    for unset in (None, "", float("nan"), pd.NA, pd.NaT):
        assert what_comes_of({**row, column: unset}, vendor) == without, unset
