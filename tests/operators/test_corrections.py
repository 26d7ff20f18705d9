"""Requeue, resolve, accept and dismiss, as tasks over a real ledger."""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from airflow.providers.common.compat.sdk import DAG, AirflowException, AirflowFailException
from sqlalchemy.exc import DatabaseError

from airflow_provider_impactcall.delivery.ledger.batch_sizes import KEYS_A_QUERY
from airflow_provider_impactcall.delivery.ledger.listing import Listing
from airflow_provider_impactcall.delivery.ledger.queries import CallQueries
from airflow_provider_impactcall.delivery.ledger.run_queries import last_runs
from airflow_provider_impactcall.delivery.ledger.selection import Selection
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from airflow_provider_impactcall.hooks.ledger import ImpactCallLedgerHook
from airflow_provider_impactcall.operators.ledger import (
    AcceptChangesOperator,
    DismissRowsOperator,
    RequeueCallsOperator,
    ResolveCallsOperator,
)
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples
from tests.delivery.mixed import NAMESPACE, NO_ANSWER, REFUSED, attempted, fill

OPERATORS = [RequeueCallsOperator, ResolveCallsOperator, AcceptChangesOperator, DismissRowsOperator]
ALICE: Any = {"dag_run": SimpleNamespace(triggering_user_name="alice")}
NOBODY: Any = {}
YESTERDAY = datetime.now(UTC) - timedelta(days=1)
SELECTORS = ("call_session_ids", "state", "reason_code", "run_id", "since", "until", "reason", "status", "media_ids",
             "campaign_ids")  # fmt: skip


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """The embedded ledger, with a call in every state."""
    fields = {"conn_type": "impactcall", "host": NAMESPACE, "login": "a", "password": "b"}
    monkeypatch.setenv("AIRFLOW_CONN_IMPACTCALL_DEFAULT", json.dumps(fields))
    with ImpactCallLedgerHook().ledger() as ledger:
        fill(ledger)
        yield ledger


def states(ledger: Ledger) -> dict[str, str]:
    return {row["CallSessionId"]: row["state"] for row in CallQueries(ledger).each(Selection())}


def requeue(context: Any = NOBODY, **options: Any) -> dict[str, int]:
    return RequeueCallsOperator(task_id="requeue", **{"why": "a test", **options}).execute(context)


def resolve(context: Any = NOBODY, **options: Any) -> dict[str, int]:
    given = {"why": "a test", "outcome": "delivered", **options}
    return ResolveCallsOperator(task_id="resolve", **given).execute(context)


def refused(act: Any, **options: Any) -> str:
    with pytest.raises(AirflowFailException) as error:
        act(**options)
    return str(error.value)


def test_rejected_calls_are_sent_again_and_the_others_left_alone(ledger: Ledger) -> None:
    before = states(ledger)
    assert requeue(state="rejected") == {"selected": 1, "selected_rejected": 1, "changed": 1}
    assert states(ledger) == {**before, "rejected": "not_sent"}


def test_calls_that_may_have_arrived_are_requeued_only_if_someone_says_so(ledger: Ledger) -> None:
    before = states(ledger)
    for options in ({"state": "unknown"}, {"since": "2020-01-01"}, {"call_session_ids": "rejected, died"}):
        assert "may_arrive_twice" in refused(requeue, **options)
    assert states(ledger) == before
    counts = {"selected": 3, "selected_rejected": 1, "selected_unknown": 2, "changed": 3}
    assert requeue(since="2020-01-01", may_arrive_twice="true") == counts
    assert states(ledger) == {**before, "rejected": "not_sent", "unknown": "requeued", "died": "requeued"}


def test_what_someone_learnt_is_recorded(ledger: Ledger) -> None:
    before = states(ledger)
    assert resolve(call_session_ids=["unknown"]) == {"selected": 1, "selected_unknown": 1, "changed": 1}
    assert resolve(outcome="not_delivered", state=["unknown", "requeued"], at_most="2")["changed"] == 2
    assert states(ledger) == {**before, "unknown": "delivered", "died": "not_sent", "requeued": "not_sent"}
    # One that an answer proved is selected, and stays as it is.
    taken_back = resolve(outcome="not_delivered", state="delivered", since="2020-01-01")
    assert taken_back == {"selected": 3, "selected_delivered": 3, "changed": 1}


def test_a_dry_run_says_what_would_be_changed_and_changes_nothing(ledger: Ledger) -> None:
    before, runs = states(ledger), len(last_runs(ledger, 100))
    found = requeue(since="2020-01-01", dry_run="True", at_most=0)
    assert found == {"selected": 3, "selected_rejected": 1, "selected_unknown": 2, "changed": 0}
    assert (states(ledger), len(last_runs(ledger, 100))) == (before, runs)


def test_more_than_were_seen_are_refused(ledger: Ledger) -> None:
    options = {"outcome": "not_delivered", "state": "unknown"}
    seen = resolve(**options, dry_run=True)["selected"]
    attempted(ledger, NO_ANSWER, "later")
    before = states(ledger)
    refused(resolve, **options, at_most=seen)
    assert states(ledger) == before
    assert resolve(**options, at_most=f" {seen + 1} ")["changed"] == seen + 1


@pytest.mark.parametrize(
    ("options", "selected"),
    [
        ({"call_session_ids": "unknown"}, {"unknown"}),
        ({"call_session_ids": " unknown\r\n\n died,requeued, "}, {"unknown", "died", "requeued"}),
        ({"call_session_ids": iter(["unknown", "died"])}, {"unknown", "died"}),
        ({"media_ids": "20000", "state": "rejected"}, {"rejected"}),
        ({"media_ids": [10000], "state": "unknown,requeued"}, {"died", "requeued", "unknown"}),
        ({"campaign_ids": 2000}, {"unknown"}),
        ({"reason_code": "run_died"}, {"died"}),
        ({"reason": "TIMEOUT"}, {"unknown"}),
        ({"status": "400", "state": "rejected"}, {"rejected"}),
        ({"status": 0, "reason_code": "no_answer"}, {"unknown"}),
        ({"since": YESTERDAY, "until": "2999-01-01T00:00+01:00", "state": "not_sent"}, {"not_sent"}),
        ({"until": "2020-01-01"}, set()),
        ({"since": "2020-01-01", "state": "", "status": " ", "media_ids": ""}, {"died", "requeued", "unknown"}),
    ],
)
def test_what_selects(ledger: Ledger, options: dict[str, Any], selected: set[str]) -> None:
    before = states(ledger)
    assert resolve(**options)["changed"] == len(selected)
    assert states(ledger) == {**before, **dict.fromkeys(selected, "delivered")}


def test_the_calls_of_a_run(ledger: Ledger) -> None:
    run_id = attempted(ledger, NO_ANSWER, "of-a-run")
    assert resolve(run_id=run_id)["changed"] == 1
    assert states(ledger)["of-a-run"] == "delivered"


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("empty", [None, "", "  "])
def test_nothing_that_selects_is_refused(operator: Any, empty: Any) -> None:
    own = {"outcome": "delivered"} if operator is ResolveCallsOperator else {}
    task = operator(task_id="correct", why="a test", dry_run=True, **own, **dict.fromkeys(SELECTORS, empty))
    assert "call_session_ids" in refused(task.execute, context={})


def test_an_empty_list_does_not_select_everything(ledger: Ledger) -> None:
    before = states(ledger)
    empty: Any
    for empty in ([], ",\n", iter(())):
        assert "call_session_ids" in refused(resolve, call_session_ids=empty, state="unknown")
    assert states(ledger) == before


def test_all_that_is_wrong_is_said_at_once() -> None:
    wrong = {
        "why": " ",
        "outcome": "lost",
        "call_session_ids": [1.5],
        "state": "gone",
        "reason_code": "bad_luck",
        "since": "yesterday",
        "until": "0001-01-01T00:00+10:00",
        "status": "teapot",
        "media_ids": range(10_001),
        "campaign_ids": [],
        "at_most": "many",
        "dry_run": "perhaps",
    }
    said = refused(resolve, **wrong)
    assert [name for name in wrong if name not in said] == []
    assert "may_arrive_twice" in refused(requeue, state="rejected", may_arrive_twice="perhaps")


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_state_that_cannot_be_corrected_so(dry_run: bool) -> None:
    refused(requeue, state="delivered", dry_run=dry_run)
    refused(resolve, outcome="not_delivered", state="rejected", dry_run=dry_run)


@pytest.fixture
def failing() -> Iterator[Callable[[str, int], None]]:
    """Has the database fail for good, once so many transactions with a statement that begins so have been committed."""
    begins, left = "", 0
    told = False

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        nonlocal told
        if begins and not left:
            raise DatabaseError(statement, None, Exception("the server is gone"))
        told = told or bool(begins and statement.startswith(begins))

    def count(_: Any) -> None:
        nonlocal told, left
        left -= told
        told = False

    def fail(statement: str, commits: int) -> None:
        nonlocal begins, left
        begins, left = statement, commits

    sa.event.listen(sa.engine.Engine, "before_cursor_execute", note)
    sa.event.listen(sa.engine.Engine, "commit", count)
    yield fail
    sa.event.remove(sa.engine.Engine, "before_cursor_execute", note)
    sa.event.remove(sa.engine.Engine, "commit", count)


def test_a_task_that_changed_a_part_is_not_retried(ledger: Ledger, failing: Callable[[str, int], None]) -> None:
    attempted(ledger, REFUSED, *(f"call-{number}" for number in range(KEYS_A_QUERY + 1)))
    failing("UPDATE impactcall_call ", 1)
    said = refused(requeue, state="rejected")
    failing("", 0)
    changed = CallQueries(ledger).count(Selection(run_id=last_runs(ledger, 1)[0]["run_id"]))
    assert changed == {"not_sent": KEYS_A_QUERY}
    assert f": {KEYS_A_QUERY} calls or rows were changed, and 0 more" in said


def test_a_task_that_changed_nothing_is_retried(ledger: Ledger, failing: Callable[[str, int], None]) -> None:
    before = states(ledger)
    failing("INSERT INTO impactcall_run ", 1)
    with pytest.raises(AirflowException) as error:
        requeue(state="rejected")
    failing("", 0)
    assert not isinstance(error.value, AirflowFailException)
    assert states(ledger) == before


def test_a_second_try_leaves_alone_what_was_sent_again_since_the_first(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The first was killed after it had changed something; Airflow does not ask why, and retries it."""

    def attempt(number: int, run_id: str = "manual__1") -> dict[str, int]:
        for name, value in {"DAG_ID": "d", "TASK_ID": "t", "DAG_RUN_ID": run_id, "TRY_NUMBER": str(number)}.items():
            monkeypatch.setenv(f"AIRFLOW_CTX_{name}", value)
        return resolve(outcome="not_delivered", call_session_ids="unknown,died")

    assert attempt(1)["changed"] == 2
    attempted(ledger, NO_ANSWER, "unknown", CampaignId=2000)
    assert states(ledger)["unknown"] == "unknown", "it was sent once more"
    assert attempt(2) == {"selected": 0, "changed": 0}
    assert states(ledger)["unknown"] == "unknown"
    assert "An earlier try began at 20" in caplog.text
    assert attempt(1, "manual__2")["changed"] == 1, "another run of the DAG is another decision"


def test_a_delivery_of_the_same_task_is_no_earlier_decision(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function that delivers, and then corrects what is left: its first try failed in between."""
    for name, value in {"DAG_ID": "d", "TASK_ID": "t", "DAG_RUN_ID": "r", "TRY_NUMBER": "2"}.items():
        monkeypatch.setenv(f"AIRFLOW_CTX_{name}", value)
    attempted(ledger, NO_ANSWER, "new", source="d/t/r/1")
    assert resolve(outcome="not_delivered", call_session_ids="new")["changed"] == 1


def test_a_changed_call_is_accepted_until_it_changes_again(sandbox: Sandbox) -> None:
    hook, ledger_hook = ImpactCallHook(), ImpactCallLedgerHook()
    hook.deliver([examples.call("a"), examples.call("b")])
    mended = [examples.call("a", CallDuration=999), examples.call("b", CallDuration=999)]
    assert hook.deliver(mended).changed == 2
    accept = AcceptChangesOperator(task_id="accept", why="impact.com was told", call_session_ids="a")
    assert accept.execute(ALICE) == {"selected": 1, "selected_changed": 1, "changed": 1}
    again = hook.deliver(mended)
    assert (again.already_delivered, again.changed) == (1, 1)
    with ledger_hook.ledger() as ledger:
        assert history(ledger, "a")["actor"] == "alice"
    assert hook.deliver([examples.call("a", CallDuration=998)]).changed == 1


def test_a_row_that_nobody_will_mend_is_dismissed(sandbox: Sandbox) -> None:
    bad = [examples.call("a", CallDuration="long"), examples.call("b", MediaId=None)]
    assert ImpactCallHook().deliver(bad).rejected == 2
    dismiss = DismissRowsOperator(task_id="dismiss", why="of a test", state="invalid", media_ids="10000")
    assert dismiss.execute(NOBODY) == {"selected": 1, "selected_invalid": 1, "changed": 1}
    with ImpactCallLedgerHook().ledger() as ledger:
        assert Listing(ledger).count(Selection(states=["invalid"])) == {"invalid": 1}
    assert dismiss.execute(NOBODY) == {"selected": 0, "changed": 0}


@pytest.mark.parametrize("operator", [AcceptChangesOperator, DismissRowsOperator])
def test_a_call_is_neither_accepted_nor_dismissed(ledger: Ledger, operator: Any) -> None:
    refused(operator(task_id="correct", why="a test", state="rejected").execute, context={})
    nothing = operator(task_id="correct", why="a test", since="2020-01-01").execute({})
    assert nothing == {"selected": 0, "changed": 0}


def history(ledger: Ledger, session_id: str) -> dict[str, Any]:
    return CallQueries(ledger).history(Selection(call_session_ids=[session_id]))[-1]


def test_who_did_it(ledger: Ledger) -> None:
    resolve(ALICE, call_session_ids="unknown")
    assert history(ledger, "unknown")["actor"] == "alice"
    resolve(ALICE, call_session_ids="died", actor="bob")
    assert history(ledger, "died")["actor"] == "bob"


def test_a_long_name_of_a_person_or_a_task(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DAG_ID", "TASK_ID", "DAG_RUN_ID"):
        monkeypatch.setenv(f"AIRFLOW_CTX_{name}", name * 40)
    person: Any = {"dag_run": SimpleNamespace(triggering_user_name="p" * 500)}
    assert resolve(call_session_ids="unknown")["changed"] == resolve(person, call_session_ids="died")["changed"] == 1


def test_no_id_is_returned_or_logged(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    attempted(ledger, NO_ANSWER, "an-id-of-its-own")
    returned = resolve(call_session_ids="an-id-of-its-own")
    assert {type(number) for number in returned.values()} == {int}
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("airflow_provider_impactcall")]
    assert ours
    assert "an-id-of-its-own" not in "\n".join(ours) + str(returned)


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_option_is_named_and_templated(operator: Any) -> None:
    named = inspect.signature(operator).parameters
    own = {name for name, each in named.items() if each.kind is each.KEYWORD_ONLY}
    assert {*SELECTORS, "why", "actor", "at_most", "dry_run", "ledger_conn_id", "ledger_namespace"} <= own
    # Its own name is a method of Airflow's.
    templated = {"dry_run" if name == "dry_run_only" else name for name in operator.template_fields}
    assert templated == own & templated
    assert {"outcome", "may_arrive_twice", *SELECTORS, "why", "actor", "at_most", "dry_run"} & own <= templated


def test_templates_and_default_args() -> None:
    with DAG("corrections", schedule=None, default_args={"why": "nightly", "at_most": 5}) as dag:
        task = RequeueCallsOperator(
            task_id="requeue",
            call_session_ids=["{{ params.first }}", "b"],
            since="{{ params.since }}",
            dry_run="{{ not params.apply }}",
            actor="{{ params.who }}",
        )
        mapped = ResolveCallsOperator.partial(task_id="resolve", outcome="delivered", dry_run=True)
        mapped.expand(call_session_ids=["a", "b"])
    context: Any = {"params": {"first": "a", "since": "2026-09-10", "apply": 0, "who": "alice"}}
    task.render_template_fields(context, dag.get_template_env())
    assert (task.call_session_ids, task.since, task.actor) == (["a", "b"], "2026-09-10", "alice")
    assert (task.dry_run_only, task.why, task.at_most) == ("True", "nightly", 5)
