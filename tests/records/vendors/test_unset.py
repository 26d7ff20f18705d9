"""A column that is unset is so in every form: left out, NULL, empty text, and what pandas writes for it."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from airflow_provider_impactcall.exceptions import CallLeftOut, InvalidCall
from tests.records.vendors.payloads import load, wire
from tests.tables import table

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


def what_comes_of(row: dict[str, Any], vendor: str) -> Any:
    try:
        return wire(row, vendor, prefiltered=("direction", "ended"))
    except CallLeftOut as left_out:
        return left_out.reason
    except InvalidCall as invalid:
        return [problem.parameter for problem in invalid.problems]


@pytest.mark.parametrize(("vendor", "row"), ROWS, ids=[vendor for vendor, _ in ROWS])
def test_unset(vendor: str, row: dict[str, Any]) -> None:
    with table() as each:
        for column in (name for name in row if name not in MEANT):
            with each(column):
                without = what_comes_of({name: value for name, value in row.items() if name != column}, vendor)
                for unset in (None, "", float("nan"), pd.NA, pd.NaT):
                    assert what_comes_of({**row, column: unset}, vendor) == without, unset
