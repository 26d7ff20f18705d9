"""Adopt, reconcile and purge, as tasks over a real warehouse, ledger and endpoint."""

from __future__ import annotations

import inspect
import json
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_impactcall.delivery.ledger.corrections import Corrections
from airflow_provider_impactcall.delivery.ledger.edits import Author
from airflow_provider_impactcall.delivery.ledger.queries import CallQueries
from airflow_provider_impactcall.delivery.ledger.run_queries import last_runs
from airflow_provider_impactcall.delivery.ledger.schema import calls
from airflow_provider_impactcall.delivery.ledger.selection import Selection
from airflow_provider_impactcall.hooks.ledger import ImpactCallLedgerHook
from airflow_provider_impactcall.operators.ledger import (
    AdoptCallsOperator,
    MigrateLedgerOperator,
    PurgeLedgerOperator,
    ReconcileCallsOperator,
)
from airflow_provider_impactcall.sandbox import Sandbox
from airflow_provider_impactcall.transfers.sql_to_impactcall import SqlToImpactCallOperator
from tests import examples
from tests.delivery.ledger.earlier import as_version_3_left_it, names_of
from tests.operators.actions_scene import COLUMNS, SID, api, warehouse

__all__ = ["api", "warehouse"]

SQL = "SELECT * FROM calls ORDER BY CallSessionId"
OPTIONS: dict[str, Any] = {
    "sql": SQL,
    "sql_conn_id": "warehouse",
    "constants": {"CampaignId": 1000, "ActionTrackerId": 4000, "CallProvider": "ExampleVendor"},
}


def add(warehouse: sqlite3.Connection, *session_ids: str, **changes: Any) -> None:
    for number, session_id in enumerate(session_ids):
        row = examples.call(session_id, EventDate=f"2026-09-10T22:{number:02}:32-08:00", **changes)
        warehouse.execute(
            f"INSERT INTO calls VALUES ({', '.join('?' * len(COLUMNS))})", [row[name] for name in COLUMNS]
        )
    warehouse.commit()


def deliver(**options: Any) -> dict[str, Any]:
    return SqlToImpactCallOperator(
        task_id="deliver", max_unknown=100, max_rejected=100, **{**OPTIONS, **options}
    ).execute({})


def states() -> dict[str, str]:
    with ImpactCallLedgerHook().ledger() as ledger:
        return {row["CallSessionId"]: row["state"] for row in CallQueries(ledger).each(Selection())}


def test_what_another_tool_had_sent_is_adopted_and_only_the_rest_is_sent(
    warehouse: sqlite3.Connection, sandbox: Sandbox
) -> None:
    add(warehouse, "old-1", "old-2", "old-3")
    adopted = AdoptCallsOperator(task_id="adopt", why="sent by the old script", **OPTIONS).execute({})
    assert adopted == {"rows": 3, "adopted": 3, "already_delivered": 0, "in_flight": 0, "filtered": 0, "rejected": 0}
    add(warehouse, "new")
    report = deliver()
    assert (report["already_delivered"], report["delivered"]) == (3, 1)
    assert examples.session_ids(sandbox) == ["new"]
    again = AdoptCallsOperator(task_id="adopt", why="sent by the old script", **OPTIONS).execute({})
    assert (again["rows"], again["adopted"], again["already_delivered"]) == (4, 0, 4)


def test_a_row_that_cannot_be_adopted_fails_the_task_but_costs_no_other(warehouse: sqlite3.Connection) -> None:
    add(warehouse, "a", "b")
    add(warehouse, "bad", CallDuration="long")
    with pytest.raises(AirflowFailException, match="'rejected': 1"):
        AdoptCallsOperator(task_id="adopt", why="sent before", **OPTIONS).execute({})
    assert states() == {"a": "delivered", "b": "delivered"}


def test_a_call_of_unknown_fate_is_proven_by_its_action(warehouse: sqlite3.Connection, sandbox: Sandbox) -> None:
    add(warehouse, "delivered", "arrived", "vanished")
    add(warehouse, "missed", CallStatus="CANCEL", CallerId="2125550199")
    sandbox.script = ["reset-after-processing", "ok", "reset-after-processing", "reset-before-reading"]
    assert deliver(concurrency=1)["unknown"] == 3
    found = ReconcileCallsOperator(task_id="reconcile", **OPTIONS).execute({})
    assert found == {"rows": 4, "filtered": 0, "rejected": 0, "unknown": 3, "proven": 1, "ambiguous": 0}
    assert states() == {"delivered": "delivered", "arrived": "delivered", "missed": "unknown", "vanished": "unknown"}
    report = deliver()
    assert (report["already_delivered"], report["unknown"]) == (2, 2)
    assert ReconcileCallsOperator(task_id="reconcile", **OPTIONS).execute({})["proven"] == 0


def test_calls_of_one_caller_in_one_second_are_told_apart_only_by_as_many_actions(
    warehouse: sqlite3.Connection, sandbox: Sandbox
) -> None:
    for session_id in ("first", "second"):
        add(warehouse, session_id)
    sandbox.script = ["reset-after-processing", "reset-before-reading"]
    deliver(concurrency=1)
    found = ReconcileCallsOperator(task_id="reconcile", **OPTIONS).execute({})
    assert (found["unknown"], found["proven"], found["ambiguous"]) == (2, 0, 2)
    assert set(states().values()) == {"unknown"}


def test_an_account_that_impact_refuses_changes_nothing_and_is_tried_again(
    warehouse: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox
) -> None:
    add(warehouse, "a")
    sandbox.script = ["reset-after-processing"]
    deliver()
    fields = {"conn_type": "http", "host": f"http://{sandbox.host}", "port": sandbox.port, "login": ""}
    monkeypatch.setenv("AIRFLOW_CONN_IMPACT_API_DEFAULT", json.dumps(fields))
    with pytest.raises(AirflowException, match=r"40[14]") as error:
        ReconcileCallsOperator(task_id="reconcile", **OPTIONS).execute({})
    assert not isinstance(error.value, AirflowFailException)
    assert states() == {"a": "unknown"}


def test_old_calls_are_purged(warehouse: sqlite3.Connection) -> None:
    add(warehouse, "a")
    deliver()
    assert PurgeLedgerOperator(task_id="purge", older_than=1).execute({}) == {"runs": 0}
    assert states() == {"a": "delivered"}
    with ImpactCallLedgerHook().ledger() as ledger:
        assert CallQueries(ledger).count(Selection(until=datetime.now(UTC) + timedelta(seconds=5))) == {"delivered": 1}


def test_the_age_of_a_call_is_no_matter_of_the_workers_clock(warehouse: sqlite3.Connection) -> None:
    """As if the date of this machine was two years ahead."""
    two_years = 730.0
    with _clocks_of_databases(lambda: time.time() / 86_400 - two_years):
        add(warehouse, "a")
        deliver()
        assert PurgeLedgerOperator(task_id="purge", older_than=400).execute({}) == {"runs": 0}
    assert PurgeLedgerOperator(task_id="purge", older_than=400).execute({})["delivered"] == 1


@contextmanager
def _clocks_of_databases(days: Callable[[], float]) -> Iterator[None]:
    """Within the context, each new connection to SQLite has this clock, in days since 1970."""

    def with_clock(connection: Any, _: Any) -> None:
        connection.create_function("julianday", 1, lambda _: days() + 2440587.5)

    sa.event.listen(sa.pool.Pool, "connect", with_clock)
    try:
        yield
    finally:
        sa.event.remove(sa.pool.Pool, "connect", with_clock)


@pytest.mark.parametrize("older_than", [0, -1, "a year", None, float("nan"), 1e300])
def test_an_age_that_is_none(older_than: Any) -> None:
    with pytest.raises(AirflowFailException, match=r"^older_than "):
        PurgeLedgerOperator(task_id="purge", older_than=older_than).execute({})


def test_nothing_is_corrected_without_a_reason() -> None:
    with pytest.raises(AirflowFailException, match=r"^why "):
        AdoptCallsOperator(task_id="adopt", why=" ", **OPTIONS).execute({})


@pytest.mark.parametrize("operator", [AdoptCallsOperator, ReconcileCallsOperator, PurgeLedgerOperator])
def test_every_option_is_named_and_every_templated_one_is_there(operator: Any) -> None:
    named = inspect.signature(operator).parameters
    assert set(operator.template_fields) <= named.keys()
    assert {"why", "ledger_conn_id", "ledger_namespace", "impactcall_conn_id"} <= named.keys()


def test_the_task_is_kept_as_who_did_it_and_no_caller_is_logged(
    warehouse: sqlite3.Connection,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    for name, value in (("DAG_ID", "nightly"), ("TASK_ID", "reconcile"), ("DAG_RUN_ID", "r1"), ("TRY_NUMBER", "1")):
        monkeypatch.setenv(f"AIRFLOW_CTX_{name}", value)
    add(warehouse, "a")
    sandbox.script = ["reset-after-processing"]
    deliver()
    ReconcileCallsOperator(task_id="reconcile", **OPTIONS).execute({})
    with ImpactCallLedgerHook().ledger() as ledger:
        last = CallQueries(ledger).history(Selection())[-1]
    assert (last["state"], last["actor"]) == ("delivered", "nightly/reconcile/r1/1")
    assert "'proven': 1" in caplog.text
    for private in (examples.CALLER, SID, "token"):
        assert private not in caplog.text


def test_the_person_who_triggered_the_run_is_kept_beside_the_task(
    warehouse: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = "nightly/adopt/r1/1"
    for name, value in zip(("DAG_ID", "TASK_ID", "DAG_RUN_ID", "TRY_NUMBER"), task.split("/"), strict=True):
        monkeypatch.setenv(f"AIRFLOW_CTX_{name}", value)
    add(warehouse, "a")
    by_hand: Any = {"dag_run": SimpleNamespace(triggering_user_name="alice")}
    scheduled: Any = {"dag_run": SimpleNamespace(triggering_user_name=None)}
    before_3_1: Any = {"dag_run": SimpleNamespace()}
    for context, given, kept in (
        (by_hand, {}, "alice"),
        (by_hand, {"actor": ""}, "alice"),
        (by_hand, {"actor": "bob"}, "bob"),
        (scheduled, {}, task),
        (before_3_1, {}, task),
    ):
        AdoptCallsOperator(task_id="adopt", why="sent before", **{**OPTIONS, **given}).execute(context)
        with ImpactCallLedgerHook().ledger() as ledger:
            (run,) = last_runs(ledger, 1)
        assert (run["actor"], run["source"]) == (kept, task)


def test_an_action_of_a_call_that_is_not_among_the_rows_proves_nothing(
    warehouse: sqlite3.Connection, sandbox: Sandbox
) -> None:
    """One caller, one second: the first call arrived, the second did not, and only the second is asked for."""
    add(warehouse, "first")
    add(warehouse, "second")
    sandbox.script = ["ok", "reset-before-reading"]
    deliver(concurrency=1)
    only_second = {**OPTIONS, "sql": "SELECT * FROM calls WHERE CallSessionId = 'second'"}
    found = ReconcileCallsOperator(task_id="reconcile", **only_second).execute({})
    assert (found["unknown"], found["proven"], found["ambiguous"]) == (1, 0, 1)
    assert states() == {"first": "delivered", "second": "unknown"}


def reconciled(**options: Any) -> tuple[int, int, int]:
    """How many calls were unknown, proven and ambiguous."""
    found = ReconcileCallsOperator(task_id="reconcile", **{**OPTIONS, **options}).execute({})
    return found["unknown"], found["proven"], found["ambiguous"]


def requeue_first() -> None:
    with ImpactCallLedgerHook().ledger() as ledger:
        assert Corrections(ledger).requeue(Selection(call_session_ids=["first"]), Author("alice", "once more")) == 1


def change(warehouse: sqlite3.Connection, session_id: str, **values: Any) -> None:
    for name, value in values.items():
        warehouse.execute(f"UPDATE calls SET {name} = ? WHERE CallSessionId = ?", (value, session_id))
    warehouse.commit()


@pytest.mark.parametrize(
    "now",
    [{"EventDate": "2026-09-10T23:59:59-08:00"}, {"CallerId": "2125550188"}],
    ids=["another time", "another caller"],
)
@pytest.mark.parametrize("accepted", [False, True])
def test_an_action_of_a_call_that_has_changed_since_proves_no_other(
    warehouse: sqlite3.Connection, sandbox: Sandbox, now: dict[str, str], accepted: bool
) -> None:
    """One caller, one second: the first call arrived, and the second did not. The first has other values by now."""
    add(warehouse, "first")
    add(warehouse, "second")
    sandbox.script = ["ok", "reset-before-reading"]
    deliver(concurrency=1)
    change(warehouse, "first", **now)
    if accepted:
        assert deliver()["changed"] == 1
        with ImpactCallLedgerHook().ledger() as ledger:
            assert Corrections(ledger).accept(Selection(), Author("alice", "mended in the warehouse")) == 1
        assert deliver()["already_delivered"] == 1
    assert reconciled() == (1, 0, 1)
    assert states() == {"first": "delivered", "second": "unknown"}


def test_an_action_of_a_call_that_was_sent_again_with_another_time_proves_no_other(
    warehouse: sqlite3.Connection, sandbox: Sandbox
) -> None:
    """The ledger knows the time that was sent last."""
    add(warehouse, "first", "second")
    sandbox.script = ["400-errors", "reset-before-reading"]
    deliver(concurrency=1)
    change(warehouse, "first", EventDate="2026-09-10T22:01:32-08:00")
    assert deliver()["delivered"] == 1
    assert reconciled(sql="SELECT * FROM calls WHERE CallSessionId = 'second'") == (1, 0, 1)


def test_two_actions_of_one_call_prove_no_other(warehouse: sqlite3.Connection, sandbox: Sandbox) -> None:
    """One caller, one second: the first call arrived twice, and the second did not."""
    add(warehouse, "first")
    add(warehouse, "second")
    sandbox.script = ["reset-after-processing", "reset-before-reading"]
    deliver(concurrency=1)
    requeue_first()
    sandbox.script = ["reset-after-processing"]
    deliver()
    assert examples.session_ids(sandbox) == ["first", "first"], "under hold, after a person's requeue"
    assert reconciled() == (2, 0, 2)
    requeue_first()
    assert deliver()["delivered"] == 1
    assert reconciled() == (1, 0, 1)
    assert states() == {"first": "delivered", "second": "unknown"}


def test_calls_of_one_caller_in_one_second_that_were_sent_once_are_proven_together(
    warehouse: sqlite3.Connection, sandbox: Sandbox
) -> None:
    for session_id in ("first", "second"):
        add(warehouse, session_id)
    sandbox.script = ["reset-after-processing"] * 2
    deliver(concurrency=1)
    assert reconciled() == (2, 2, 0)


def test_a_call_whose_time_cannot_be_read_costs_the_proof_of_its_tracker_alone(
    warehouse: sqlite3.Connection, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    """An older ledger may have one; it may be of any second."""
    add(warehouse, "arrived", "old")
    sandbox.script = ["reset-after-processing", "ok"]
    deliver(concurrency=1)

    def with_old(**values: str) -> tuple[int, int, int]:
        with ImpactCallLedgerHook().ledger() as ledger, ledger.writing() as connection:
            connection.execute(sa.update(calls).where(calls.c.CallSessionId == "old").values(values))
        return reconciled(sql="SELECT * FROM calls WHERE CallSessionId = 'arrived'")

    assert with_old(EventDate="2026-09-10 25:61") == (1, 0, 1)
    assert with_old(EventDate="2026-09-10T22:00:32") == (1, 0, 1), "nobody knows of what zone"
    warned = [record.args for record in caplog.records if "impact_actions" in record.name and record.args]
    assert warned == [(1, "1000")] * 2
    assert with_old(ActionTrackerId="4001") == (1, 1, 0)


@pytest.mark.parametrize("odd", ["0001-01-02T00:00:00+00:00", "2999-09-10T22:55:32-08:00"])
def test_a_call_of_a_time_that_no_call_has_costs_no_other_its_proof(
    warehouse: sqlite3.Connection, sandbox: Sandbox, odd: str
) -> None:
    add(warehouse, "arrived", "odd")
    warehouse.execute("UPDATE calls SET EventDate = ? WHERE CallSessionId = 'odd'", (odd,))
    warehouse.commit()
    sandbox.script = ["reset-after-processing"]
    deliver(concurrency=1)
    found = ReconcileCallsOperator(task_id="reconcile", **OPTIONS).execute({})
    assert (found["proven"], found["rejected"]) == (1, 1)
    assert states() == {"arrived": "delivered"}


@pytest.mark.parametrize("odd", ["1991-01-02T00:00:00+00:00", "2019-09-10T22:55:32-08:00"])
def test_a_call_of_an_odd_time_costs_no_other_its_proof(
    warehouse: sqlite3.Connection, sandbox: Sandbox, odd: str, caplog: pytest.LogCaptureFixture
) -> None:
    add(warehouse, "arrived", "odd")
    warehouse.execute("UPDATE calls SET EventDate = ? WHERE CallSessionId = 'odd'", (odd,))
    warehouse.commit()
    sandbox.script = ["reset-after-processing", "reset-before-reading"]
    deliver(concurrency=1)
    assert ReconcileCallsOperator(task_id="reconcile", **OPTIONS).execute({})["proven"] == 1
    assert states() == {"arrived": "delivered", "odd": "unknown"}
    (warned,) = [
        record.args for record in caplog.records if record.levelname == "WARNING" and "impact_actions" in record.name
    ]
    assert warned == (1,), "the calls that impact.com does not list"


def test_calls_without_a_parameter_of_the_key_are_not_adopted_as_one(warehouse: sqlite3.Connection) -> None:
    add(warehouse, "a", "b")
    with pytest.raises(
        AirflowFailException, match="'adopted': 0, 'already_delivered': 0, 'in_flight': 0, 'filtered': 0, 'rejected': 2"
    ):
        AdoptCallsOperator(task_id="adopt", why="sent before", key=["SubId1"], **OPTIONS).execute({})


def test_a_task_of_a_long_name_can_correct_too(warehouse: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CTX_DAG_ID", "d" * 250)
    monkeypatch.setenv("AIRFLOW_CTX_TASK_ID", "t" * 250)
    add(warehouse, "a")
    assert AdoptCallsOperator(task_id="adopt", why="sent before", **OPTIONS).execute({})["adopted"] == 1


def test_a_parameter_that_looks_like_a_phone_number_is_not_shown(
    warehouse: sqlite3.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    add(warehouse, "a", CallerId=examples.CALLER)
    given = {**OPTIONS, "sql": "SELECT * FROM calls WHERE CallerId = :caller"}
    task = AdoptCallsOperator(task_id="adopt", why="sent before", parameters={"caller": examples.CALLER}, **given)
    assert examples.CALLER not in str(task.parameters) + caplog.text
    warned = [record.args for record in caplog.records if record.name.endswith("operators.query_parameters")]
    assert warned == [("caller",)]
    assert task.execute({})["adopted"] == 1


def test_a_ledger_of_an_earlier_version_is_migrated_by_a_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path}/earlier.db"
    as_version_3_left_it(url)
    monkeypatch.setenv("AIRFLOW_CONN_EARLIER", json.dumps({"conn_type": "sqlite", "host": f"{tmp_path}/earlier.db"}))
    migrate = MigrateLedgerOperator(task_id="migrate", ledger_conn_id="earlier")
    assert migrate.execute({})["migrations"] == names_of(url)
    assert not any(migrate.execute({}).values())
    with pytest.raises(AirflowFailException):
        MigrateLedgerOperator(task_id="migrate", ledger_conn_id="impactcall_default").execute({})


@pytest.mark.parametrize(
    "given", [{"ledger_namespace": "None"}, {"vendor": "None"}, {"vendor": ""}, {"constants": {"City": "None"}}]
)
def test_an_option_that_a_template_found_no_value_for_adopts_nothing(
    warehouse: sqlite3.Connection, given: dict[str, Any]
) -> None:
    [option] = given
    with pytest.raises(AirflowFailException, match=rf"\b{option}\b"):
        AdoptCallsOperator(task_id="adopt", why="sent before", **{**OPTIONS, **given}).execute({})
    assert AdoptCallsOperator(task_id="adopt", why="sent before", **OPTIONS).execute({})["already_delivered"] == 0


def test_a_query_that_is_not_text_adopts_nothing(warehouse: sqlite3.Connection) -> None:
    sql: Any = ["SELECT 1"]
    with pytest.raises(AirflowFailException, match="sql must be one query as text, and is list"):
        AdoptCallsOperator(task_id="adopt", why="sent before", **{**OPTIONS, "sql": sql}).execute({})
