"""What people decide in Airflow: the correction DAG triggered as its form does, the DAG that asks answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import airflow
import pytest
from packaging.version import Version

from airflow_provider_impactcall.delivery.ledger.queries import CallQueries
from airflow_provider_impactcall.delivery.ledger.selection import Selection
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from tests.delivery.mixed import NO_ANSWER, REFUSED, attempted
from tests.e2e.standalone import Standalone

pytestmark = pytest.mark.e2e

CORRECTIONS, UNKNOWN_CALLS = "impactcall_corrections", "impactcall_unknown_calls"


@pytest.fixture
def ledger(running: Standalone) -> Iterator[Ledger]:
    """The ledger that the tasks find by their connection."""
    namespace = f"http://127.0.0.1:{running.endpoint_port}"
    with closing(Ledger(running.scene.ledger, namespace)) as ledger:
        ledger.prepare()
        yield ledger


def last_of(ledger: Ledger, session_id: str) -> tuple[str, str | None]:
    """What happened to a call last, and who did it."""
    last = CallQueries(ledger).history(Selection(call_session_ids=[session_id]))[-1]
    return last["state"], last["actor"]


def returned(running: Standalone, dag_id: str, run_id: str, task_id: str) -> list[Any]:
    found = [each for each in running.xcoms(dag_id, run_id) if each["task_id"] == task_id]
    return [each["value"] for each in found if each["key"] == "return_value"]


def test_a_dry_run_then_the_real_run_of_its_number(running: Standalone, ledger: Ledger) -> None:
    attempted(ledger, REFUSED, "decided-1", "decided-2")
    attempted(ledger, NO_ANSWER, "decided-3")
    running.switch_on(CORRECTIONS)
    form: dict[str, Any] = {"call_session_ids": "decided-1\ndecided-2, decided-3", "why": "ticket 4711"}

    def run(day: str, ended: str, **more: Any) -> Any:
        running.trigger(CORRECTIONS, day, **form, **more)
        running.wait_for_run(CORRECTIONS, day, ended)
        return returned(running, CORRECTIONS, day, "requeue")

    (seen,) = run("2026-09-01", "success")
    assert seen == {"selected": 3, "selected_rejected": 2, "selected_unknown": 1, "changed": 0}
    assert last_of(ledger, "decided-1") == ("rejected", None)
    assert run("2026-09-02", "failed", apply=3) == [], "one of them may arrive twice"
    assert run("2026-09-03", "failed", apply=2, may_arrive_twice=True) == [], "there are more"
    assert last_of(ledger, "decided-3") == ("unknown", None)
    (done,) = run("2026-09-04", "success", apply=seen["selected"], may_arrive_twice=True)
    assert done["changed"] == 3
    assert last_of(ledger, "decided-1") == last_of(ledger, "decided-2") == ("not_sent", running.user)
    assert last_of(ledger, "decided-3") == ("requeued", running.user)


@pytest.mark.skipif(Version(airflow.__version__) < Version("3.1"), reason="Airflow before 3.1 asks nobody")
def test_people_say_what_became_of_unknown_calls(running: Standalone, ledger: Ledger) -> None:
    answers = {"asked-1": "delivered", "asked-2": "not delivered", "asked-3": "leave"}
    attempted(ledger, NO_ANSWER, *answers)
    running.switch_on(UNKNOWN_CALLS)
    running.wait_until(lambda: running.runs(UNKNOWN_CALLS))
    run = running.runs(UNKNOWN_CALLS)[0]["dag_run_id"]

    def answer_until_it_ends() -> bool:
        for question in running.questions(UNKNOWN_CALLS, run):
            # Other tests leave calls unknown, too.
            running.answer(question, answers.get(asked_about(question), "leave"))
        return running.run_has_ended(UNKNOWN_CALLS, run)

    running.wait_until(answer_until_it_ends)
    assert running.run_state(UNKNOWN_CALLS, run) == "success"
    assert {session_id: last_of(ledger, session_id) for session_id in answers} == {
        "asked-1": ("delivered", running.user),
        "asked-2": ("not_sent", running.user),
        "asked-3": ("unknown", None),
    }
    states = {task["task_id"]: task["state"] for task in running.tasks(UNKNOWN_CALLS, run)}
    assert states["reconcile"] == "skipped", "there is no connection for it"


def asked_about(question: Mapping[str, Any]) -> str:
    words = (word.strip("?") for word in question["subject"].split())
    return next((word for word in words if word.startswith("asked-")), "")
