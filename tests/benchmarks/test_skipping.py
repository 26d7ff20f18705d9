"""What is skipped is known to the ledger, and in each repeat it is other calls."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from airflow_provider_impactcall.delivery.ledger.queries import CallQueries
from airflow_provider_impactcall.delivery.ledger.selection import Selection
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from benchmarks.skipping import NOWHERE, connected, counted, fill, measure, skip
from benchmarks.vendor_rows import KINDS


@pytest.mark.parametrize("name", ["vendor", "plain"])
def test_all_is_skipped_in_every_repeat(name: str, tmp_path: Path) -> None:
    rows = KINDS[name]
    result = measure("sqlite", f"sqlite:///{tmp_path}/ledger.db", rows, count=40, ledger_rows=200, repeats=2)
    assert [len(each) for each in (result.whole, result.peer, result.figure.values)] == [2, 2, 2]
    assert [*result.rooms] == ["reading", "mapping", "digests", "looking up"]
    assert "40 calls a repeat that a ledger of 200 knows" in counted(rows, [result], 200)


def test_what_the_ledger_does_not_know_is_no_result(tmp_path: Path) -> None:
    rows, url = KINDS["vendor"], f"sqlite:///{tmp_path}/ledger.db"
    with connected(url), closing(Ledger(sa.create_engine(url), NOWHERE)) as ledger:
        ledger.prepare()
        keys = fill(ledger, rows, 30, first=20)
        assert (len({*keys}), CallQueries(ledger).count(Selection()).total()) == (10, 30)
        assert skip(rows, rows.of(10, 20)) == 10
        with pytest.raises(RuntimeError, match="nothing was to be sent"):
            skip(rows, rows.of(11, 20))
