"""``impactcall ledger migrate``: what is to be done, and what was done, on the ledger of an earlier version."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import sqlalchemy as sa

from airflow_provider_impactcall.delivery.ledger.schema import INDEXES
from tests.cli.conftest import Command
from tests.databases import as_connection
from tests.delivery.ledger.earlier import as_version_3_left_it, names_of, prepared

MIGRATE = ("ledger", "migrate", "-o", "json")
EMBEDDED = "sqlite://"


def rows(state: str, *, indexes: bool, of: str = EMBEDDED) -> list[dict[str, str]]:
    """What the command says of a whole ledger.

    :param of: a database of its kind
    """
    steps = [("migration", name) for name in names_of(of)] + [("index", str(index.name)) for index in INDEXES] * indexes
    return [{"kind": kind, "name": name, "state": state} for kind, name in steps]


@pytest.fixture
def shared(ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The database of the configured ledger, empty."""
    monkeypatch.setenv("AIRFLOW__IMPACTCALL__LEDGER_CONN_ID", "ledger")
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", as_connection(sa.engine.make_url(ledger_url)))
    return ledger_url


def test_it_says_what_is_to_be_done_does_it_and_says_so(shared: str, impactcall: Command) -> None:
    as_version_3_left_it(shared)
    before = sa.inspect(sa.create_engine(shared)).get_table_names()
    for _ in range(2):
        looked = impactcall(*MIGRATE, "--dry-run")
        assert (looked.status, looked.rows) == (0, rows("to do", indexes=True, of=shared))
    assert sa.inspect(sa.create_engine(shared)).get_table_names() == before
    done = impactcall(*MIGRATE)
    assert (done.status, done.rows) == (0, rows("done", indexes=True, of=shared))
    for arguments in (MIGRATE, (*MIGRATE, "--dry-run")):
        again = impactcall(*arguments)
        assert (again.status, again.rows) == (0, [])
        assert len({*again.err.splitlines()} - {*done.err.splitlines()}) == 1, "that there is nothing"


def test_an_empty_database_gets_its_tables(shared: str, impactcall: Command) -> None:
    assert impactcall(*MIGRATE, "--dry-run").rows == rows("to do", indexes=False, of=shared)
    assert not sa.inspect(sa.create_engine(shared)).get_table_names()
    assert impactcall(*MIGRATE).rows == rows("done", indexes=False, of=shared)
    assert impactcall(*MIGRATE).rows == []


def test_a_look_makes_no_embedded_file(impactcall: Command) -> None:
    file = Path(os.environ["AIRFLOW_HOME"], "impactcall_ledger.db")
    assert impactcall(*MIGRATE, "--dry-run").rows == rows("to do", indexes=False)
    assert not file.exists()
    table = impactcall("ledger", "migrate", "--ledger-conn-id", "embedded").out
    assert all(name in table for name in names_of(EMBEDDED))
    assert file.stat().st_mode & 0o077 == 0


def test_a_look_makes_no_file_of_a_connection_either(
    impactcall: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "ledger.db"
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", as_connection(sa.engine.make_url(f"sqlite:///{file}")))
    looked = impactcall(*MIGRATE, "--dry-run", "--ledger-conn-id", "ledger")
    assert looked.rows == rows("to do", indexes=False)
    assert not file.exists()


def test_indexes_that_have_to_wait_for_a_delivery_are_told_of(impactcall: Command) -> None:
    """SQLite has one writer, and a delivery is not held up."""
    home = Path(os.environ["AIRFLOW_HOME"])
    home.mkdir(parents=True)
    url = f"sqlite:///{home}/impactcall_ledger.db"
    as_version_3_left_it(url)
    ledger = prepared(url)
    run_id = ledger.start("test", "")
    waiting = impactcall(*MIGRATE)
    assert waiting.status == 1
    assert {(row["kind"], row["state"]) for row in waiting.rows} == {("index", "to do")}
    with ledger.writing() as connection:
        connection.execute(sa.text("UPDATE impactcall_run SET lease_until = 0 WHERE run_id = :run"), {"run": run_id})
    done = impactcall(*MIGRATE)
    assert done.status == 0
    assert len({*waiting.err.splitlines()} - {*done.err.splitlines()}) == 1, "that it is to be run again"
    ledger.close()


def test_a_newer_ledger_is_refused(shared: str, impactcall: Command) -> None:
    ledger = prepared(shared)
    with ledger.writing() as connection:
        connection.execute(sa.text("INSERT INTO impactcall_migration VALUES ('0099_newer', 0.0)"))
    for arguments in (MIGRATE, (*MIGRATE, "--dry-run")):
        refused = impactcall(*arguments)
        assert refused.status == 1
        assert "0099_newer" in refused.err
    ledger.close()
