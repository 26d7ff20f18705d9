"""What people ask of a ledger is found by its indexes. SQLite keeps no statistics: a big one has the same plans."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from airflow_provider_impactcall.delivery.ledger.queries import CallQueries
from airflow_provider_impactcall.delivery.ledger.selection import Selection
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import ReasonCode
from benchmarks.big_ledgers import answers
from benchmarks.filled import NAMESPACE, fill, session_id_of

CALLS = 2_000


def filled(url: str) -> Ledger:
    ledger = Ledger(sa.create_engine(url), NAMESPACE)
    ledger.prepare()
    fill(ledger.engine, CALLS)
    return ledger


def test_no_question_reads_a_whole_table_but_an_export_of_everything(tmp_path: Path) -> None:
    ledger = filled(f"sqlite:///{tmp_path}/ledger.db")
    found = {answer.question: answer.reads_all for answer in answers(ledger, CALLS)}
    ledger.close()
    assert [question for question, tables in found.items() if tables] == ["10,000 calls of an export"]
    assert len(found) > 20


@pytest.mark.parametrize("ledger_url", ["sqlite", "postgresql"], indirect=True)
def test_what_is_filled_is_a_ledger(ledger_url: str) -> None:
    ledger = filled(ledger_url)
    asked = CallQueries(ledger)
    counts = asked.count(Selection())
    assert counts.total() == CALLS * 49 // 50
    assert counts["delivered"] > 0.97 * counts.total()
    told = asked.history(Selection(call_session_ids=[session_id_of(7)]))
    assert told[0]["state"] == "open"
    assert len(told) >= 2
    rejected = asked.latest(Selection(states=["rejected"]), 1000)
    assert len(rejected) == counts["rejected"] > 0
    assert {call["reason_code"] for call in rejected} <= set(ReasonCode)
    ledger.close()
