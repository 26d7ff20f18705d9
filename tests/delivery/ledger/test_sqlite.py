"""How the file of a ledger on SQLite is opened."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from airflow_provider_impactcall.delivery.ledger.rules import Send
from airflow_provider_impactcall.delivery.ledger.sqlite import make_durable
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from tests.delivery.ledger.test_statements import NAMESPACE, claims_of

FULL = 2


def pragmas(file: Path) -> list[object]:
    """Journal mode and synchronous of a new connection to a ledger's file."""
    engine = sa.create_engine(f"sqlite:///{file}")
    make_durable(engine)
    try:
        with engine.connect() as connection:
            return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
    finally:
        engine.dispose()


def test_pages_that_change_often_are_gathered_in_the_log_longer_than_is_usual(tmp_path: Path) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'ledger.db'}")
    make_durable(engine)
    with engine.connect() as connection:
        ours = connection.exec_driver_sql("PRAGMA wal_autocheckpoint").scalar()
    engine.dispose()
    usual = sqlite3.connect(":memory:").execute("PRAGMA wal_autocheckpoint").fetchone()
    assert usual < (ours,)


def test_who_opens_a_new_file_waits_for_another_that_writes_to_it(tmp_path: Path) -> None:
    """SQLite's own time-out does not hold while a file is switched to write-ahead logging."""
    file = tmp_path / "ledger.db"
    other = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    other.execute("CREATE TABLE first (value)")
    ends = threading.Timer(0.2, other.execute, ["COMMIT"])
    ends.start()
    assert pragmas(file) == ["wal", FULL]
    ends.join()
    other.close()


def test_errors_are_sqlalchemys_and_the_connection_is_as_good_as_before(tmp_path: Path) -> None:
    file = tmp_path / "ledger.db"
    ledger = Ledger(sa.create_engine(f"sqlite:///{file}", poolclass=sa.pool.QueuePool, pool_size=1), NAMESPACE)
    ledger.prepare()
    run_id = ledger.start("test", "")
    with ledger.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout=0")
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(OperationalError, match="locked"):
        ledger.record(run_id, claims_of("a"), [], resend=False)
    other.execute("ALTER TABLE impactcall_call RENAME TO away")
    other.execute("COMMIT")
    with pytest.raises(OperationalError, match="no such table"):
        ledger.record(run_id, claims_of("a"), [], resend=False)
    other.execute("ALTER TABLE away RENAME TO impactcall_call")
    other.close()
    assert ledger.record(run_id, claims_of("a"), [], resend=False) == ([Send(1)], [])
    ledger.close()
