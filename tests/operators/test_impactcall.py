from __future__ import annotations

import inspect
import json
import re
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, AirflowSkipException

from airflow_provider_impactcall.decorators.impactcall import ImpactCallDecoratedOperator
from airflow_provider_impactcall.operators.impactcall import ImpactCallOperator
from airflow_provider_impactcall.operators.retries import CallsNotSent
from airflow_provider_impactcall.sandbox import Sandbox
from airflow_provider_impactcall.transfers.sql_to_impactcall import SqlToImpactCallOperator
from tests.delivery import raw_server
from tests.examples import call, calls, connection, session_ids

OPTIONS = {
    "impactcall_conn_id": "impactcall_default",
    "mapping": None,
    "constants": None,
    "timezone": None,
    "key": ("CampaignId", "ActionTrackerId", "CallProvider", "CallSessionId"),
    "on_unknown": "hold",
    "ledger_conn_id": None,
    "ledger_namespace": None,
    "retry_statuses": (429, 500, 503),
    "max_rejected": 0,
    "max_unknown": 0,
    "max_changed": None,
    "max_wait": 60,
    "deferrable": False,
    "on_empty": "succeed",
    "limit": None,
    "dry_run": False,
    "rejects_path": None,
    "concurrency": None,
    "requests_per_second": None,
    "requests_per_hour": None,
}
ENDS = ("delivered", "already_delivered", "changed", "duplicate", "filtered", "rejected", "unknown", "not_sent")
COUNTS = ("rows", *ENDS)


class TaskInstance:
    """As much of a task instance as an operator may use."""

    start_date: datetime | None = None

    def __init__(self) -> None:
        self.pushed: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.pushed[key] = value


def deliver(rows: Any, **options: Any) -> dict[str, Any]:
    return ImpactCallOperator(task_id="deliver", calls=rows, **options).execute({})


def failure_of(rows: Any, kind: type[BaseException], **options: Any) -> tuple[str, dict[str, Any]]:
    """The message and the XComs of a task that has to fail in this way, and in no way derived from it."""
    instance = TaskInstance()
    context: Any = {"ti": instance}
    with pytest.raises(kind) as caught:
        ImpactCallOperator(task_id="deliver", calls=rows, **options).execute(context)
    assert caught.type is kind
    return str(caught.value), instance.pushed


def adds_up(report: dict[str, Any]) -> bool:
    return bool(report["rows"] == sum(report[name] for name in ENDS))


@pytest.mark.parametrize("operator", [ImpactCallOperator, SqlToImpactCallOperator, ImpactCallDecoratedOperator])
def test_every_option_is_a_named_keyword_parameter_with_its_documented_default(operator: type) -> None:
    parameters = inspect.signature(operator).parameters
    found = {name: parameters[name].default for name in OPTIONS}
    assert found == OPTIONS
    assert all(parameters[name].kind is inspect.Parameter.KEYWORD_ONLY for name in OPTIONS)


def test_default_args_reach_the_options() -> None:
    operator = ImpactCallOperator(task_id="deliver", calls=[], default_args={"max_rejected": 0.25, "max_wait": 5})
    assert (operator.max_rejected, operator.max_wait) == (0.25, 5)


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises((TypeError, AirflowException), match="max_rejectd"):
        ImpactCallOperator(task_id="deliver", calls=[], max_rejectd=1)


@pytest.mark.short
def test_returns_the_counts_and_no_row(sandbox: Sandbox) -> None:
    rows = [*calls(3), call("call-0"), call("call-1", City="Boston")]
    report = deliver(rows)
    assert list(report) == [*COUNTS, "seconds", "rejects"]
    assert {name: report[name] for name in COUNTS if report[name]} == {
        "rows": 5,
        "delivered": 3,
        "duplicate": 1,
        "changed": 1,
    }
    assert report["rejects"] is None
    assert session_ids(sandbox) == ["call-0", "call-1", "call-2"]
    json.dumps(report)


def generator() -> Iterator[dict[str, Any]]:
    yield from calls(3)


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param(calls(3), id="list"),
        pytest.param(tuple(calls(3)), id="tuple"),
        pytest.param(generator(), id="generator"),
        pytest.param([calls(2), [], calls(3)[2:]], id="lists-of-a-mapped-upstream"),
        pytest.param([[calls(1)], (call("call-1"), [call("call-2")])], id="nested-deeper"),
        pytest.param({row["CallSessionId"]: row for row in calls(3)}.values(), id="view"),
    ],
)
def test_takes_rows_in_any_shape(sandbox: Sandbox, rows: Any) -> None:
    assert deliver(rows)["delivered"] == 3
    assert session_ids(sandbox) == ["call-0", "call-1", "call-2"]


def test_one_dict_is_one_call(sandbox: Sandbox) -> None:
    assert deliver(call("only"))["delivered"] == 1


def test_rejected_rows_fail_the_task_after_the_good_ones_were_delivered(sandbox: Sandbox, tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.jsonl"
    rows = [call("good"), call("bad", CallStatus=None, CampaignId="x"), {"CallSessionId": 7}, "no row"]
    message, pushed = failure_of(rows, AirflowFailException, rejects_path=str(rejects))
    assert session_ids(sandbox) == ["good"]
    assert "max_rejected" in message
    assert "max_unknown" not in message
    assert "rejected=3" in message
    report = pushed["report"]
    assert (report["delivered"], report["rejected"], report["rejects"]) == (1, 3, str(rejects))
    assert adds_up(report)
    lines = [json.loads(line) for line in rejects.read_text().splitlines()]
    assert [(line["row"], line["CallSessionId"]) for line in lines] == [(2, "bad"), (3, "7"), (4, None)]
    assert [reason.partition(" ")[0] for reason in lines[0]["reasons"]] == ["CampaignId", "CallStatus"]
    assert len(lines[1]["reasons"]) == 10


@pytest.mark.parametrize(
    ("max_rejected", "fails"),
    [(0, True), (1, True), (2, False), (0.19, True), (0.2, False), (1.0, False), ("2", False), ("0.2", False)],
)
def test_a_count_or_a_share_of_rejected_rows_is_tolerated(
    sandbox: Sandbox, max_rejected: float | str, fails: bool
) -> None:
    rows = [*calls(8), {}, {}]
    if fails:
        failure_of(rows, AirflowFailException, max_rejected=max_rejected)
    else:
        assert deliver(rows, max_rejected=max_rejected)["rejected"] == 2
    assert len(sandbox.calls) == 8


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"max_rejected": True}, "max_rejected"),
        ({"max_rejected": -1}, "max_rejected"),
        ({"max_rejected": 1.5}, "max_rejected"),
        ({"max_rejected": "many"}, "max_rejected"),
        ({"max_unknown": False}, "max_unknown"),
        ({"max_changed": 1.5, "max_rejected": "many"}, "max_changed max_rejected"),
        ({"max_wait": "long"}, "max_wait"),
        ({"limit": True}, "limit"),
        ({"limit": "ten"}, "limit"),
        ({"dry_run": "perhaps"}, "dry_run"),
        ({"deferrable": "perhaps"}, "deferrable"),
        ({"on_empty": "explode"}, "on_empty"),
        ({"on_unknown": "explode"}, "on_unknown"),
        ({"ledger_conn_id": "impactcall_default"}, "ledger_conn_id"),
        ({"rejects_path": "/no/such/folder/rejects.jsonl"}, "rejects_path"),
        ({"limit": ""}, "limit"),
        ({"key": None}, "key"),
        ({"key": [["CallSessionId"]]}, "key"),
        ({"retry_statuses": None}, "retry_statuses"),
        ({"concurrency": 0}, "concurrency"),
        ({"requests_per_second": -2}, "requests_per_second"),
        ({"requests_per_hour": 0}, "requests_per_hour"),
        ({"retry_statuses": [200]}, "retry_statuses"),
        ({"key": ["Caller"]}, "key"),
        ({"key": []}, "key"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"mapping": {"CallerID": "from"}}, "mapping CallerID CallerId"),
        ({"mapping": {"City": 3}}, "mapping City"),
        ({"mapping": {"City": "c"}, "constants": {"City": "x"}}, "City mapping constants"),
    ],
)
def test_a_wrong_option_fails_the_task_for_good_before_anything_is_sent(
    sandbox: Sandbox, options: dict[str, Any], named: str
) -> None:
    message, _ = failure_of(calls(2), AirflowFailException, **options)
    assert [name for name in named.split() if name not in message] == []
    assert not sandbox.requests


@pytest.mark.parametrize(
    ("options", "fails"),
    [({}, False), ({"max_changed": 0}, True), ({"max_changed": "0.5"}, False), ({"max_changed": 0.49}, True)],
)
def test_changed_calls_pass_unless_the_task_says_how_many_it_tolerates(
    sandbox: Sandbox, options: dict[str, Any], fails: bool
) -> None:
    deliver(calls(2))
    again = [call("call-0", TalkDuration=1), call("call-1")]
    if fails:
        message, pushed = failure_of(again, AirflowFailException, **options)
        assert "max_changed" in message
        assert pushed["report"]["changed"] == 1
    else:
        assert deliver(again, **options)["changed"] == 1
    assert len(sandbox.calls) == 2


def test_a_share_is_compared_without_rounding(sandbox: Sandbox) -> None:
    assert deliver([*calls(71), *[{}] * 29], max_rejected=0.29)["rejected"] == 29


def test_calls_without_any_parameter_of_the_key_are_rejected_and_not_taken_for_one_call(sandbox: Sandbox) -> None:
    _, pushed = failure_of(calls(3), AirflowFailException, key=["VendorEventId"])
    assert pushed["report"]["rejected"] == 3
    assert not sandbox.requests


def test_a_misspelt_column_is_never_replaced_by_the_connections_default(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_IMPACTCALL_DEFAULT", connection(sandbox, campaign_id=77))
    failure_of([call("a", campaign="1000")], AirflowFailException, mapping={"CampaignId": "campaing"})
    assert not sandbox.requests


def test_unknown_calls_fail_the_task_for_good(sandbox: Sandbox) -> None:
    sandbox.script = ["reset-after-processing", "502"]
    message, pushed = failure_of(calls(4), AirflowFailException, concurrency=1)
    assert (pushed["report"]["unknown"], pushed["report"]["delivered"]) == (2, 2)
    assert "max_unknown" in message
    assert "max_rejected" not in message
    assert "unknown=2" in message
    assert len(sandbox.requests) == 4, "under hold nothing is sent twice"


def test_unknown_calls_can_be_tolerated(sandbox: Sandbox) -> None:
    sandbox.script = ["502"]
    assert deliver(calls(4), concurrency=1, max_unknown=0.25)["unknown"] == 1


def test_refused_credentials_abort_and_burn_no_call(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = json.loads(connection(sandbox)) | {"password": "another"}
    monkeypatch.setenv("AIRFLOW_CONN_IMPACTCALL_DEFAULT", json.dumps(wrong))
    message, pushed = failure_of(calls(30), AirflowFailException)
    assert "setup_refused: 401" in message
    assert pushed["report"]["not_sent"] == pushed["report"]["rows"] == 30


def test_a_long_wait_that_the_endpoint_asks_for_releases_the_worker_and_says_when_to_come_back(
    sandbox: Sandbox,
) -> None:
    sandbox.script = ["ok", "429-retry-after-hour"]
    message, pushed = failure_of(calls(3), CallsNotSent, concurrency=1)
    assert (pushed["report"]["delivered"], pushed["report"]["not_sent"]) == (1, 2)
    assert "endpoint_asks_to_wait: " in message
    assert re.search(r"\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", message), "when to come back"


def test_an_unreachable_endpoint_is_tried_again_by_airflow(closed_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_IMPACTCALL_DEFAULT", raw_server.connection(f"http://127.0.0.1:{closed_port}"))
    message, pushed = failure_of(calls(3), CallsNotSent, max_wait=0.2)
    assert pushed["report"]["not_sent"] == 3
    assert "no_progress: " in message
    assert re.search(r"\b0\.2\b", message), "max_wait"


def test_limit_sends_so_many_and_the_rest_is_no_failure(sandbox: Sandbox) -> None:
    report = deliver([*calls(2), {}, *calls(6)], limit=3, max_rejected=1)
    assert (report["delivered"], report["duplicate"], report["not_sent"], report["rejected"]) == (3, 2, 3, 1)
    assert len(sandbox.calls) == 3


def test_dry_run_sends_nothing_and_never_fails_for_what_it_did_not_send(sandbox: Sandbox) -> None:
    report = deliver(calls(5), dry_run=True)
    assert (report["not_sent"], report["delivered"]) == (5, 0)
    assert not sandbox.requests


def test_a_dry_run_returns_its_warnings_and_how_long_sending_would_take(sandbox: Sandbox) -> None:
    report = deliver(calls(5), dry_run=True, requests_per_second=2)
    assert json.loads(json.dumps(report)) == report, "as XCom has it"
    assert set(report) == {*COUNTS, "seconds", "rejects", "warnings", "expected_seconds"}
    assert {"code": "one_partner", "count": 5} in report["warnings"]
    assert report["expected_seconds"] == 2.5
    assert deliver(calls(5), dry_run=True)["expected_seconds"] is None
    _, pushed = failure_of([*calls(5), {}], AirflowFailException, dry_run=True)
    assert {"code": "one_partner", "count": 5} in pushed["report"]["warnings"]
    assert set(deliver(calls(5))) == {*COUNTS, "seconds", "rejects"}, "of a delivery"


@pytest.mark.parametrize("nothing", [[], None, (), [[], []], iter(())])
def test_on_empty(sandbox: Sandbox, nothing: Any) -> None:
    assert deliver(nothing)["rows"] == 0


def test_on_empty_skips_or_fails(sandbox: Sandbox) -> None:
    failure_of([], AirflowSkipException, on_empty="skip")
    failure_of([], AirflowFailException, on_empty="fail")


def test_a_string_that_a_template_left_is_no_list_of_calls(sandbox: Sandbox) -> None:
    message, _ = failure_of("[{'CallerId': '2125550177'}]", AirflowFailException)
    assert "render_template_as_native_obj=True" in message
    assert "2125550177" not in message


def test_takes_the_path_of_a_file_and_shows_it(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in calls(3)))
    for shape in (str(path), path, f"file://{path}", [str(path)]):
        report = deliver(shape)
        assert report["delivered"] + report["already_delivered"] == 3
    assert session_ids(sandbox) == ["call-0", "call-1", "call-2"]

    shown = ImpactCallOperator(task_id="deliver", calls="s3://bucket/{{ ds }}/calls.csv.gz")
    assert str(shown.calls) == "s3://bucket/{{ ds }}/calls.csv.gz"
    shown.render_template_fields({"ds": "2026-09-10"})
    assert str(shown.calls) == "s3://bucket/2026-09-10/calls.csv.gz"


@pytest.mark.parametrize(
    "rows",
    ["[{'CallerId': '2125550177'}]", "{'CallRecording': 'https://r.example.com/a.csv", "2125550177\n.csv", "a b"],
)
def test_rows_as_text_are_not_shown(rows: str) -> None:
    assert str(ImpactCallOperator(task_id="deliver", calls=rows).calls) == "<str, hidden>"


def test_a_file_that_is_broken_fails_the_task_for_good_and_sends_nothing(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "calls.csv"
    path.write_text('CallerId\n2125550177\n"2125550177\n')
    message, pushed = failure_of(str(path), AirflowFailException)
    assert str(path) in message
    assert "line 3" in message
    assert "2125550177" not in message
    assert pushed == {}
    assert not sandbox.requests


def test_a_line_that_is_no_row_is_rejected_and_the_others_are_delivered(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    path.write_text(json.dumps(call("good")) + "\n2125550177\n" + json.dumps(call("also")))
    message, pushed = failure_of(str(path), AirflowFailException)
    assert "max_rejected" in message
    assert (pushed["report"]["delivered"], pushed["report"]["rejected"]) == (2, 1)
    assert session_ids(sandbox) == ["also", "good"]


def test_a_connection_fills_what_calls_lack(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_IMPACTCALL_DEFAULT",
        connection(
            sandbox, campaign_id="77", action_tracker_id=88, call_provider="Connection", caller_id_format="e164"
        ),
    )
    bare = call("bare", CampaignId=None, ActionTrackerId=float("nan"), CallProvider="")
    assert deliver([bare, call("full")])["delivered"] == 2
    sent = {each["parameters"]["CallSessionId"]: each["parameters"] for each in sandbox.calls}
    assert (sent["bare"]["CampaignId"], sent["bare"]["ActionTrackerId"]) == ("77", "88")
    assert (sent["bare"]["CallProvider"], sent["bare"]["CallerId"]) == ("Connection", "+12125550177")
    assert sent["full"]["CampaignId"] == "1000"


def test_a_second_run_sends_nothing_twice(sandbox: Sandbox) -> None:
    assert deliver(calls(5))["delivered"] == 5
    changed = [*calls(5), call("call-5"), call("call-0", City="elsewhere")]
    again = deliver([call("call-1", City="elsewhere"), *changed])
    found = {name: again[name] for name in COUNTS if again[name]}
    assert found == {"rows": 8, "delivered": 1, "already_delivered": 4, "changed": 3}
    assert len(sandbox.calls) == 6


def test_workers_of_several_machines_need_a_ledger_that_they_share(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    message, _ = failure_of(calls(1), AirflowFailException)
    assert "CeleryExecutor" in message
    assert "ledger_conn_id" in message
    assert not sandbox.requests
    assert deliver(calls(1), ledger_conn_id="embedded")["delivered"] == 1


def test_an_unreachable_ledger_is_tried_again_by_airflow_and_nothing_is_sent(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = {"conn_type": "postgres", "host": "127.0.0.1", "port": 9, "login": "someone", "password": "ledger-secret"}
    monkeypatch.setenv("AIRFLOW_CONN_AWAY", json.dumps(away))
    message, _ = failure_of(calls(1), AirflowException, ledger_conn_id="away")
    assert "(OperationalError)" in message
    assert "ledger-secret" not in message
    assert not sandbox.requests


def test_the_report_is_kept_when_reading_the_rows_fails(sandbox: Sandbox) -> None:
    def broken() -> Iterator[dict[str, Any]]:
        yield from calls(3)
        raise KeyError("a warehouse that went away")

    message, pushed = failure_of(broken(), KeyError)
    assert (pushed["report"]["rows"], pushed["report"]["delivered"]) == (3, 3)
    assert "a warehouse that went away" in message


def test_a_task_that_is_asked_to_stop_sends_nothing_more_and_may_be_retried(sandbox: Sandbox) -> None:
    operator = ImpactCallOperator(task_id="deliver", calls=None, concurrency=1)

    def rows() -> Iterator[dict[str, Any]]:
        yield from calls(3)
        while len(sandbox.calls) < 3:
            time.sleep(0.01)
        operator.on_kill()
        time.sleep(0.5)
        yield from calls(3, "later")

    operator.calls = rows()
    instance = TaskInstance()
    context: Any = {"ti": instance}
    with pytest.raises(AirflowException, match="run_stopped: "):
        operator.execute(context)
    assert instance.pushed["report"]["delivered"] == 3
    assert session_ids(sandbox) == ["call-0", "call-1", "call-2"]


def test_a_task_that_was_asked_to_stop_before_its_rows_were_read_sends_nothing(sandbox: Sandbox) -> None:
    operator = ImpactCallOperator(task_id="deliver", calls=calls(3))
    operator.on_kill()
    with pytest.raises(AirflowException, match="run_stopped: "):
        operator.execute({})
    assert not sandbox.requests


def test_airflows_own_dry_run_still_works() -> None:
    ImpactCallOperator(task_id="deliver", calls=[], dry_run=True).dry_run()


MISSING = "{{ params.missing }}"


def rendered(operator: Any, **params: Any) -> Any:
    """The operator as Airflow executes it."""
    operator.render_template_fields({"params": {"missing": None, **params}})
    return operator


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("limit", MISSING),
        ("ledger_namespace", MISSING),
        ("rejects_path", MISSING),
        ("vendor", MISSING),
        ("vendor", "{{ params.missing or '' }}"),
        ("constants", {"City": "Springfield", "SubId1": MISSING}),
    ],
)
def test_an_option_that_a_template_found_no_value_for_fails_before_anything_is_sent(
    sandbox: Sandbox, option: str, value: Any
) -> None:
    """Or no limit would hold, and a namespace of the name None would have every past call sent again."""
    options: dict[str, Any] = {option: value}
    with pytest.raises(AirflowFailException, match=rf"\b{option}\b") as raised:
        rendered(ImpactCallOperator(task_id="deliver", calls=calls(2), **options)).execute({})
    assert ("SubId1" in str(raised.value)) is (option == "constants")
    assert not sandbox.requests


def test_everything_that_a_template_found_no_value_for_is_named_at_once(sandbox: Sandbox) -> None:
    options: Any = dict.fromkeys(["limit", "ledger_namespace", "rejects_path", "vendor"], "None")
    message, _ = failure_of(calls(2), AirflowFailException, **options, constants={"City": "None"}, max_wait=-1)
    assert [name for name in [*options, "constants: City", "max_wait"] if name not in message] == []


def test_an_option_that_is_not_given_is_none_or_for_some_an_empty_text(sandbox: Sandbox) -> None:
    nothing: Any = dict.fromkeys(["limit", "ledger_namespace", "rejects_path", "vendor", "constants"])
    assert deliver(calls(1), **nothing)["delivered"] == 1
    empty: Any = dict.fromkeys(["ledger_namespace", "rejects_path"], "{{ params.missing or '' }}")
    operator = rendered(ImpactCallOperator(task_id="deliver", calls=calls(1), **empty))
    assert operator.execute({})["already_delivered"] == 1
