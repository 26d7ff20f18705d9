"""Which old calls a purge keeps, on SQLite and on PostgreSQL."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from airflow_provider_impactcall.defaults import DEFAULT_KEY
from airflow_provider_impactcall.delivery.identity import identify
from airflow_provider_impactcall.delivery.ledger.batch_sizes import BatchSizes
from airflow_provider_impactcall.delivery.ledger.corrections import Corrections
from airflow_provider_impactcall.delivery.ledger.dead_letters import mark_changed
from airflow_provider_impactcall.delivery.ledger.edits import Author
from airflow_provider_impactcall.delivery.ledger.listing import Listing
from airflow_provider_impactcall.delivery.ledger.purge import purge, purgeable, so_long_ago
from airflow_provider_impactcall.delivery.ledger.selection import Selection
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.records import CallRecord
from tests import examples
from tests.delivery.mixed import NAMESPACE, OK, attempted, move, read_by_a_run

ALICE = Author("alice", "of that age")
DAY = 86_400


def test_calls_that_were_read_since_are_kept(ledger: Ledger) -> None:
    """A query that has just read them will read them again, and they would be sent again."""
    names = {"forgotten", "marked long ago", "marked", "accepted"}
    attempted(ledger, OK, *names)
    move(ledger, list(names), 500 * DAY)
    before = so_long_ago(ledger, timedelta(days=400))
    with ledger.writing() as connection:
        key = identify(NAMESPACE, DEFAULT_KEY, CallRecord.of(examples.call("marked long ago"))).key
        mark_changed(connection, NAMESPACE, before.timestamp() - 1, {key: (99_999, 1)})
    read_by_a_run(ledger, [examples.call(name, TalkDuration=1) for name in ("marked", "accepted")])
    assert Corrections(ledger).accept(Selection(call_session_ids=["accepted"]), ALICE) == 1
    assert purgeable(ledger, before) == {"delivered": 2, "kept": 2}
    purged = purge(ledger, before, ALICE, BatchSizes(purged=2))
    assert (purged["delivered"], purged["kept"]) == (2, 2)
    kept = {row["CallSessionId"] for row in Listing(ledger).each(Selection(states=["delivered"]))}
    assert kept == names - {"forgotten", "marked long ago"}
    assert purgeable(ledger, before) == {"kept": 2}
    assert purge(ledger, before, ALICE)["kept"] == 2


@pytest.mark.parametrize("days", [0.5, 400, 1e6])
def test_an_age_is_one_by_the_clock_of_the_database(tmp_path: Path, days: float) -> None:
    since_1970 = 10_000  # In days: the date of this machine is another.
    engine = sa.create_engine(f"sqlite:///{tmp_path}/own.db")

    def of_1997(connection: sa.engine.interfaces.DBAPIConnection, _: object) -> None:
        connection.create_function("julianday", 1, lambda _: 2440587.5 + since_1970)

    sa.event.listen(engine, "connect", of_1997)
    with closing(Ledger(engine, NAMESPACE)) as ledger:
        ago = so_long_ago(ledger, timedelta(days=days))
    assert ago == datetime.fromtimestamp(max(since_1970 - days, 0.0) * DAY, UTC)
