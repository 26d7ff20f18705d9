"""A dry run says what a delivery does, and sends nothing; what it shows holds nothing private."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from airflow_provider_impactcall.defaults import DEFAULT_KEY
from airflow_provider_impactcall.delivery.dry_run.dry_run import DryRun
from airflow_provider_impactcall.delivery.dry_run.input_warnings import WarningCode
from airflow_provider_impactcall.delivery.dry_run.page import page_of
from airflow_provider_impactcall.delivery.duplicates import Duplicates
from airflow_provider_impactcall.delivery.identity import identify
from airflow_provider_impactcall.delivery.ledger.corrections import Corrections
from airflow_provider_impactcall.delivery.ledger.edits import Author
from airflow_provider_impactcall.delivery.ledger.queries import CallQueries
from airflow_provider_impactcall.delivery.ledger.rules import Settlement
from airflow_provider_impactcall.delivery.ledger.run_queries import last_runs
from airflow_provider_impactcall.delivery.ledger.selection import Selection
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import Attempt, CallState, DeliveryReport, Outcome, ReasonCode
from airflow_provider_impactcall.delivery.reading import read
from airflow_provider_impactcall.delivery.wire.endpoint import Endpoint
from airflow_provider_impactcall.records import CallMapping
from airflow_provider_impactcall.records.unreadable import UnreadableValue
from tests import examples
from tests.delivery.ledgers import in_memory
from tests.delivery.scripted import NO_ANSWER, NO_CONNECTION, OK, REFUSED

YESTERDAY = datetime.now(UTC) - timedelta(days=1)
LEFT: dict[CallState, Attempt] = {
    CallState.DELIVERED: OK,
    CallState.REJECTED: REFUSED,
    CallState.UNKNOWN: NO_ANSWER,
    CallState.NOT_SENT: NO_CONNECTION,
    CallState.REQUEUED: NO_ANSWER,
}
"""The attempt that leaves a call in a state, or that a person's correction goes out from."""


def call(session_id: str, **changes: Any) -> dict[str, Any]:
    """A call of yesterday."""
    return examples.call(session_id, **{"EventDate": YESTERDAY, **changes})


def check(
    rows: Any,
    ledger: Ledger | None = None,
    *,
    resend: bool = False,
    limits: tuple[Any, Any] = (None, None),
    **options: Any,
) -> DryRun:
    """A dry run, checked for what must hold in each."""
    mapping = CallMapping(**options)
    findings = DryRun(mapping, Endpoint("https://calls.example.com"), *limits)
    settled: dict[int, Outcome] = {}

    def note(item: Any, outcome: Outcome) -> None:
        assert item.row not in settled
        settled[item.row] = outcome

    findings.run(
        read(rows, mapping, findings.watch), Duplicates(), ledger or in_memory(), resend=resend, on_settled=note
    )
    assert sorted(settled) == list(range(1, findings.report.rows + 1))
    assert findings.report.rows == findings.report.accounted
    shown = page_of(findings) + json.dumps(findings.as_dict())
    for private in (examples.CALLER, "555-0177", "5550177", examples.RECORDING, "canary"):
        assert private not in shown
    return findings


def warned(rows: Any, **options: Any) -> list[tuple[str, int]]:
    """What a dry run warns of, as codes and counts."""
    return [(each.code.value, each.count) for each in check(rows, **options).warnings]


def in_state(state: CallState, session_id: str, ledger: Ledger) -> None:
    """Have the ledger know a call, as an earlier run left it."""
    claim = identify(ledger.namespace, DEFAULT_KEY, CallMapping().record(call(session_id)))
    run_id = ledger.start("test", "")
    ledger.record(run_id, [claim], [], resend=False)
    if state in LEFT:
        ledger.record(run_id, [], [Settlement(claim.key, 1, LEFT[state])], resend=False)
    if state is CallState.REQUEUED:
        Corrections(ledger).requeue(Selection(call_session_ids=(session_id,)), Author("alice", "test"))


def test_every_way_that_a_row_can_end() -> None:
    ledger = in_memory()
    for state in CallState:
        in_state(state, f"was-{state}", ledger)
    in_state(CallState.DELIVERED, "was-other", ledger)
    rows = [
        call("new"),
        *(call(f"was-{state}") for state in ("delivered", "rejected", "unknown", "not_sent", "requeued", "open")),
        call("was-other", City="Elsewhere"),
        call("new"),
        call("invalid", CallerId="canary-no-number"),
    ]
    findings = check(rows, ledger)
    counts = {name: count for name, count in findings.report.as_dict().items() if count and name != "seconds"}
    assert counts == {
        "rows": 10,
        "already_delivered": 1,
        "changed": 1,
        "duplicate": 1,
        "rejected": 2,
        "unknown": 1,
        "not_sent": 4,
    }
    assert findings.would_send == 3
    assert ("not_sent", ReasonCode.OTHER_RUN) in {(each.outcome, each.reason_code) for each in findings.reasons}


def test_the_ledger_stays_as_it_is() -> None:
    ledger = in_memory()
    in_state(CallState.UNKNOWN, "lost", ledger)
    before = [(row["CallSessionId"], row["state"]) for row in CallQueries(ledger).each(Selection())]
    check([call("lost"), call("new")], ledger)
    assert [(row["CallSessionId"], row["state"]) for row in CallQueries(ledger).each(Selection())] == before
    assert len(last_runs(ledger, 10)) == 1


def test_a_request_that_is_too_long_would_be_rejected() -> None:
    """As the delivery rejects it, which asks the endpoint for the request first."""
    long = call("long", UserAgent="a" * 70_000)
    findings = check([call("new"), long])
    assert (findings.would_send, findings.report.rejected, len(findings.requests)) == (1, 1, 1)
    request = findings.endpoint.request(CallMapping().record(long))
    assert request.refused is not None
    assert [(each.outcome, each.reason_code, each.reason) for each in findings.reasons] == [
        ("rejected", request.refused.code, request.refused.reason)
    ]
    assert request.refused.code is ReasonCode.TOO_LONG


def test_and_stays_unknown_after_an_attempt_of_unknown_fate() -> None:
    ledger = in_memory()
    in_state(CallState.UNKNOWN, "lost", ledger)
    findings = check([call("lost", UserAgent="a" * 70_000)], ledger, resend=True)
    assert (findings.would_send, findings.report.unknown) == (0, 1)
    assert [each.reason_code for each in findings.reasons] == [ReasonCode.IN_DOUBT]


def test_with_resend_calls_of_unknown_fate_would_be_sent() -> None:
    ledger = in_memory()
    in_state(CallState.UNKNOWN, "lost", ledger)
    assert check([call("lost")], ledger).would_send == 0
    assert check([call("lost")], ledger, resend=True).would_send == 1


def test_reasons_come_with_the_first_rows_and_the_shape_of_what_is_wrong() -> None:
    rows = [call("good"), *(call(f"bad-{number}", CallerId="Call me 212") for number in range(5))]
    (reason,) = check(rows).reasons
    assert (reason.outcome, reason.reason_code, reason.rows) == ("rejected", "not_a_phone_number", 5)
    assert reason.reason.startswith("CallerId ")
    assert [(example.row, example.call_session_id) for example in reason.examples] == [
        (2, "bad-0"), (3, "bad-1"), (4, "bad-2"),
    ]  # fmt: skip
    assert {example.shape for example in reason.examples} == {"Aaaa aa 999"}


def test_a_value_that_could_not_be_read_has_no_shape() -> None:
    (reason,) = check([call("a", MediaId=UnreadableValue("is no number of Python's"))]).reasons
    assert (reason.reason_code, reason.reason) == ("unreadable", "MediaId is no number of Python's")
    assert reason.examples[0].shape is None


def test_a_missing_value_has_no_shape() -> None:
    for missing in (None, "", float("nan")):
        (reason,) = check([call("a", MediaId=missing)]).reasons
        assert (reason.reason_code, reason.examples[0].shape) == ("missing", None)


def test_columns_that_nothing_reads_are_named_and_those_of_functions_are_not() -> None:
    rows = [call("a", talk=3, agent="x", notes="y")]
    del rows[0]["TalkDuration"]
    findings = check(rows, mapping={"TalkDuration": lambda row: row["talk"]})
    assert findings.unmapped_columns == ["agent", "notes"]


def test_parameters_that_are_always_empty_are_named() -> None:
    findings = check([call("a", City="", Zip=None, SubId1="x")], mapping={"Region": "state"})
    assert findings.always_empty == ["City", "Region", "Zip"]
    assert check([], mapping={"Region": "state"}).always_empty == []


@pytest.mark.parametrize(
    ("changes", "code", "count"),
    [
        ({"EventDate": datetime.now(UTC) + timedelta(hours=5)}, "calls_of_the_future", 6),
        ({"EventDate": datetime.now(UTC) - timedelta(days=89)}, "calls_too_old", 6),
        ({"CallStatus": "ANSWER"}, "every_call_answered", 6),
        ({"MediaId": 5}, "one_partner", 6),
        ({"CallSessionId": "77.0"}, "ids_end_in_zero", 1),
        ({"CallDuration": 7, "TalkDuration": 7}, "talk_is_whole_call", 6),
    ],
)
def test_what_is_seldom_right_is_warned_of(changes: dict[str, Any], code: str, count: int) -> None:
    usual = [
        call(f"call-{number}", MediaId=number, CallStatus=status, CallDuration=number + 9, TalkDuration=number)
        for number, status in enumerate(["ANSWER", "CANCEL"] * 3)
    ]
    assert check(usual).warnings == []
    assert warned([{**row, **changes} for row in usual]) == [(code, count)]


def test_the_result_has_each_code_once_and_no_sentence() -> None:
    """Of values that end in .0 there is a warning for each parameter, and their names are columns of the input."""
    findings = check([call("a", Zip="2139.0", SubId1="7.0"), call("b", Zip="2140.0")], limits=(2, None))
    codes = [warning.code for warning in findings.warnings]
    assert codes == [WarningCode.VALUES_END_IN_ZERO] * 2
    assert findings.as_dict()["warnings"] == [
        {"code": warning.code, "count": warning.count, "warning": warning.warning} for warning in findings.warnings
    ]
    result = findings.report.as_dict()
    assert result["warnings"] == [{"code": "values_end_in_zero", "count": 3}]
    assert result["expected_seconds"] == findings.as_dict()["expected_seconds"] == 1.0
    assert list(result) == [*DeliveryReport().as_dict(), "warnings", "expected_seconds"]


def test_a_dry_run_whose_rows_end_early_says_what_it_saw() -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield from (call(f"call-{number}", CallStatus="ANSWER") for number in range(500))
        raise ConnectionError

    mapping = CallMapping()
    findings = DryRun(mapping, Endpoint("https://calls.example.com"), 2)
    with pytest.raises(ConnectionError):
        findings.run(
            read(rows(), mapping, findings.watch), Duplicates(), in_memory(), resend=False, on_settled=lambda *_: None
        )
    result = findings.report.as_dict()
    assert (result["rows"], result["expected_seconds"]) == (500, 250.0)
    assert {"code": "every_call_answered", "count": 500} in cast("list[Any]", result["warnings"])


def test_a_provider_under_which_the_ledger_does_not_know_the_calls_is_said() -> None:
    ledger = in_memory()
    for name in ("a", "b"):
        in_state(CallState.DELIVERED, name, ledger)
    assert check([call("a"), call("b")], ledger).warnings == []
    renamed = check([call(name, CallProvider="Renamed") for name in ("a", "b", "c")], ledger)
    assert renamed.would_send == 3
    (warning,) = renamed.warnings
    assert (warning.code, warning.count) == (WarningCode.KNOWN_UNDER_OTHER_KEY, 2)
    assert "CallProvider" in warning.warning


def test_the_first_requests_are_shown_without_the_caller_and_the_recording() -> None:
    rows = [call(f"call-{number}", SubId1=f"from {examples.CALLER}", SubId2=examples.RECORDING) for number in range(9)]
    requests = check(rows).requests
    assert [request["CallSessionId"] for request in requests] == ["call-0", "call-1", "call-2"]
    assert requests[0]["CallerId"] == "********77"
    assert requests[0]["SubId1"] == "from ********77"
    assert requests[0]["CallRecording"] == requests[0]["SubId2"] == f"(a URL of {len(examples.RECORDING)} characters)"
    assert requests[0]["CalledPhoneNumber"] == "3035550191"


def test_the_caller_is_masked_in_its_other_form_too() -> None:
    (request,) = check([call("a", SubId1=examples.CALLER)], caller_id_format="e164").requests
    assert (request["CallerId"], request["SubId1"]) == ("*********77", "*********77")


@pytest.mark.parametrize(
    ("limits", "seconds"),
    [((None, None), None), ((2, None), 5.0), ((None, 3600), 10.0), ((2, 3600), 10.0), ((0.5, 3600), 20.0)],
)
def test_how_long_it_takes_at_the_strictest_limit(limits: tuple[Any, Any], seconds: float | None) -> None:
    findings = check([call(f"call-{number}") for number in range(10)], limits=limits)
    assert findings.expected_seconds == findings.report.expected_seconds == seconds


def test_more_rows_than_one_question_to_the_ledger_holds() -> None:
    ledger = in_memory()
    in_state(CallState.DELIVERED, "call-1200", ledger)
    findings = check((call(f"call-{number}") for number in range(1300)), ledger)
    assert (findings.would_send, findings.report.already_delivered) == (1299, 1)
    assert len(findings.requests) == 3


def test_the_page_says_it_all() -> None:
    rows = [call(f"call-{number}", agent="x") for number in range(6)] + [call("bad", Zip=["a", ["b"]])]
    page = page_of(check(rows, limits=(None, 60)))
    for words in (
        "would be sent  6",
        "rejected       1",
        "6 min 0 s",
        "row 7, CallSessionId bad",
        "ANSWER",
        "\n  agent",
        "POST https://calls.example.com/calldata/logCallData, with these in the URL",
    ):
        assert words in page
    assert max(map(len, page.splitlines())) <= 120


def test_a_page_of_nothing() -> None:
    assert page_of(check([])) == "Rows\n  read           0\n  would be sent  0"


def test_a_page_that_anyone_may_read_holds_no_id_and_no_text_of_a_call() -> None:
    rows = [call("private-1", City="Springfield"), call("private-2", CallerId="canary-no-number")]
    findings = check(rows)
    page = page_of(findings, anyone=True)
    assert "private" not in page
    assert "Springfield" not in page
    assert "row 2, " in page
    assert re.search(r"City +Aaaaaaaaaaa\n", page)
    assert re.search(r"MediaId +10000\n", page)
    assert "private-1" in page_of(findings)


@pytest.mark.parametrize(
    "column",
    [examples.CALLER, "(212) 555-0177", "212-555-0177", examples.RECORDING, "canary\nrecording",
     "canary\x1b[31m", "Bob, Canary"],
)  # fmt: skip
def test_no_name_is_shown_of_columns_that_may_be_values(column: str) -> None:
    """A file without a header, or JSON by phone number: its names are callers' numbers and recordings' URLs."""
    findings = check([{**call("a"), "agent": "Bob", column: 1}, {**call("b"), "other": 2}])
    assert findings.unmapped_columns == ["column 13", "column 14", "column 15"]
    assert (findings.warnings[0].code, findings.warnings[0].count) == (WarningCode.COLUMNS_LOOK_LIKE_VALUES, 2)
    assert column not in page_of(findings)
    assert "agent" not in page_of(findings)


def test_names_are_kept_of_only_so_many_columns() -> None:
    findings = check({**call(str(number)), **{f"agent {number}.{n}": 1 for n in range(200)}} for number in range(60))
    assert 10_000 <= len(findings.unmapped_columns) <= 10_300
