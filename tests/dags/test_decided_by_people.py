"""The samples by which people decide, in a real Airflow, as far as they get without a person.

``tests/e2e`` has people: there, one triggers them through the REST API and answers what they ask.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import airflow
import pytest
import sqlalchemy as sa
from packaging.version import Version

from airflow_provider_impactcall.delivery.ledger.queries import CallQueries
from airflow_provider_impactcall.delivery.ledger.schema import runs
from airflow_provider_impactcall.delivery.ledger.selection import Selection
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.hooks.ledger import ImpactCallLedgerHook
from airflow_provider_impactcall.operators.ledger import ResolveCallsOperator
from tests.dags.test_sample_dags import DAGS
from tests.dags.test_without_logical_date import loaded
from tests.delivery.mixed import NAMESPACE, NO_ANSWER, REFUSED, attempted
from tests.real_airflow import LentAirflow, ResidentAirflow

CORRECTIONS, UNKNOWN_CALLS = "impactcall_corrections", "impactcall_unknown_calls"
CONNECTION = json.dumps({"conn_type": "impactcall", "host": NAMESPACE, "login": "a", "password": "b"})
VERSION = Version(airflow.__version__)


@pytest.fixture(scope="module")
def lent(resident: ResidentAirflow, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LentAirflow]:
    samples = [DAGS / f"{name}.py" for name in (CORRECTIONS, UNKNOWN_CALLS)]
    with resident.lent(tmp_path_factory.mktemp("decided"), samples) as airflow:
        yield airflow


@pytest.fixture
def ledger(lent: LentAirflow, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """The embedded ledger of that Airflow, empty."""
    for file in lent.home.glob("impactcall_ledger.db*"):
        file.unlink()
    monkeypatch.setenv("AIRFLOW_HOME", str(lent.home))
    monkeypatch.setenv("AIRFLOW_CONN_IMPACTCALL_DEFAULT", CONNECTION)
    with ImpactCallLedgerHook().ledger() as ledger:
        yield ledger


def run(lent: LentAirflow, dag_id: str, day: str, *arguments: str) -> dict[str, str]:
    """The states of a DAG's tasks after a run for a day, however it ends."""
    lent.run("dags", "test", dag_id, day, *arguments, AIRFLOW_CONN_IMPACTCALL_DEFAULT=CONNECTION)
    of_newest = "run_id = (SELECT run_id FROM dag_run WHERE dag_id = ? ORDER BY id DESC LIMIT 1) AND dag_id = ?"
    found = lent.query(f"SELECT task_id, state FROM task_instance WHERE {of_newest}", dag_id, dag_id)
    return dict(found)


def states(ledger: Ledger) -> dict[str, str]:
    return {row["CallSessionId"]: row["state"] for row in CallQueries(ledger).each(Selection())}


def test_each_answer_of_the_form_has_a_task_and_each_of_its_fields_an_option() -> None:
    sample = loaded(CORRECTIONS)
    params = sample.dag.params
    assert {*sample.WHAT, "what_to_do"} == set(sample.dag.task_ids)
    assert set(params) == {*sample.WHICH, "what", "state", "why", "may_arrive_twice", "apply"}
    task = sample.dag.get_task("requeue")
    read = {name for name in params for field in task.template_fields if f"params.{name}" in str(getattr(task, field))}
    assert read == set(params) - {"what"}


def test_only_what_was_chosen_is_done(lent: LentAirflow, ledger: Ledger) -> None:
    attempted(ledger, NO_ANSWER, "a", "b", "c")
    attempted(ledger, REFUSED, "d")
    form = {
        "what": "resolve_as_delivered",
        "call_session_ids": "a\nb,d",
        "state": "unknown",
        "since": "2020-01-01T00:00:00+00:00",
        "why": "ticket 4711",
        "apply": 2,
    }
    others = dict.fromkeys(loaded(CORRECTIONS).WHAT, "skipped")
    found = run(lent, CORRECTIONS, "2026-11-01", "--conf", json.dumps(form))
    assert found == {**others, "what_to_do": "success", "resolve_as_delivered": "success"}
    assert states(ledger) == {"a": "delivered", "b": "delivered", "c": "unknown", "d": "rejected"}


def test_an_answer_is_about_the_attempt_that_was_asked_about(ledger: Ledger) -> None:
    attempted(ledger, NO_ANSWER, "a")
    first = question()
    assert resolve(first) == 1
    attempted(ledger, NO_ANSWER, "a")
    assert states(ledger) == {"a": "unknown"}, "it was sent once more"
    assert resolve(first) == 0
    assert resolve(question()) == 1


def test_an_answer_counts_where_a_run_noted_meanwhile_that_the_one_before_died(ledger: Ledger) -> None:
    """Such as the retry of a task whose worker was killed. It sends nothing."""
    attempted(ledger, None, "a")
    with ledger.writing() as connection:
        connection.execute(sa.update(runs).values(lease_until=1.0))
    asked = question()
    assert attempted(ledger, NO_ANSWER, "a") != asked["run_id"]
    assert question()["run_id"] == asked["run_id"]
    assert question()["body"] != asked["body"], "the time of the change is another one"
    assert resolve(asked) == 1


def question() -> dict[str, Any]:
    sample = loaded(UNKNOWN_CALLS)
    (call,) = sample.still_unknown.function()
    asked: dict[str, Any] = sample.question.function(call)
    return asked


def resolve(asked: Mapping[str, Any]) -> int:
    which = {name: asked[name] for name in ("call_session_ids", "campaign_ids", "run_id")}
    options = {**which, "state": "unknown", "outcome": "not_delivered", "at_most": 1}
    changed: int = ResolveCallsOperator(task_id="resolve", why="answered", **options).execute({})["changed"]
    return changed


def test_where_nothing_is_unknown_nobody_is_asked(lent: LentAirflow, ledger: Ledger) -> None:
    found = run(lent, UNKNOWN_CALLS, "2026-11-01")
    if Version("3.1") > VERSION:
        assert found == {"ask": "failed"}
    else:
        assert found.pop("are_calls_unknown") == "success"
        assert set(found) >= {"reconcile", "still_unknown", "settle.ask", "settle.resolve"}
        assert set(found.values()) == {"skipped"}
