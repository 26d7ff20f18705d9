"""Rows and phone numbers that a DAG's author wrote stay out of what Airflow stores and shows."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, cast

import pytest
from airflow.providers.common.compat.sdk import DAG, AirflowException, ObjectStoragePath, task

from airflow_provider_impactcall.operators.impactcall import ImpactCallOperator
from airflow_provider_impactcall.operators.redaction import redact, redact_phone_numbers, reveal
from airflow_provider_impactcall.phone_like import looks_like_phone_number, names_of_phone_numbers
from airflow_provider_impactcall.transfers.sql_to_impactcall import SqlToImpactCallOperator
from tests.delivery import canary

PHONES = [
    "2125550142", "+12125550142", "(212) 555-0142", "212-555-0142", "212.555.0142", "555-0142", "tel:+1-212-555-0142",
    "%2125550142", "2125550142%", "'+12125550142'", "2125550142,2125550143", "{+12125550142}", b"2125550142",
    "212\u2011555\u20110142", "212\u00a0555\u00a00142", "\uff12\uff11\uff12\uff15\uff15\uff15\uff10\uff11\uff14\uff12",
    "(212) 555-0142 x12", "[212] 555-0142", "callto:+12125550142", "2025015550", 2125550142.0, Decimal(2125550142),
    2125550142, 12125550142, "+49 30 901820", " 2125550142 ", "12125550142",
]  # fmt: skip
OTHERS = [
    "2026-09-10", "20260910", "2026-09-10T22:55:32", "2026-09-10 22:55:32", "2026-09", "2026.09.10", "20260910T000000",
    1789109732, "1789109732", 1789109732000, "1000",
    "2026091022", "20260910225532", "202609102255", "2026-09-10,2026-09-11",
    1e300, float("nan"), Decimal("Infinity"), b"\xff",
    4000, 3.5, True, None, "CA00001", "ANSWER", "", "{{ ds }}", date(2026, 9, 10),
    datetime(2026, 9, 10, tzinfo=UTC), 20260910, "2026-09-10 00:00:00.000000", "9" * 20,
]  # fmt: skip


@pytest.mark.parametrize("value", PHONES, ids=repr)
def test_what_looks_like_a_phone_number(value: Any) -> None:
    assert looks_like_phone_number(value)


@pytest.mark.parametrize("value", OTHERS, ids=repr)
def test_what_a_person_needs_to_see(value: Any) -> None:
    assert not looks_like_phone_number(value)
    assert redact_phone_numbers({"x": value}) == {"x": value}


@pytest.mark.parametrize(
    "given",
    [
        {"caller": PHONES[0], "day": "2026-09-10"},
        ["2026-09-10", PHONES[2]],
        ("2026-09-10", (PHONES[1], 1000)),
        {"callers": [PHONES[0], PHONES[3]], "day": "2026-09-10"},
    ],
)
def test_parameters_are_hidden_where_they_are_numbers_and_given_as_they_were(given: Any) -> None:
    hidden = redact_phone_numbers(given)
    assert "2026-09-10" in str(hidden)
    assert "555" not in str(hidden)
    assert reveal(hidden) == given
    assert type(reveal(hidden)) is type(given)


def test_a_query_s_parameters_are_warned_of_when_the_dag_is_parsed(caplog: pytest.LogCaptureFixture) -> None:
    with DAG("d", schedule=None):
        operator = SqlToImpactCallOperator(
            task_id="t", sql="SELECT 1", sql_conn_id="x", parameters={"caller\n": PHONES[2], "day": "{{ ds }}"}
        )
    [warned] = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warned.startswith("parameters: 'caller\\n' ")
    assert "555" not in warned
    assert "{{ ds }}" in str(operator.parameters)
    assert "555" not in str(operator.parameters)


def test_no_other_parameters_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with DAG("d", schedule=None):
        SqlToImpactCallOperator(task_id="t", sql="SELECT 1", sql_conn_id="x", parameters={"a": "{{ ds }}", "b": 4000})
        SqlToImpactCallOperator(task_id="u", sql="SELECT 1", sql_conn_id="x", parameters=["2026-09-10"])
        SqlToImpactCallOperator(task_id="v", sql="SELECT 1", sql_conn_id="x")
    assert caplog.records == []
    assert list(names_of_phone_numbers(None)) == []


def test_what_a_template_gave_is_hidden_too() -> None:
    with DAG("d", schedule=None):
        operator = SqlToImpactCallOperator(
            task_id="t", sql="SELECT 1", sql_conn_id="x", parameters={"caller": "{{ caller }}", "day": "{{ ds }}"}
        )
    operator.render_template_fields(cast("Any", {"caller": PHONES[0], "ds": "2026-09-10"}))
    assert "555" not in str(operator.parameters)
    assert "2026-09-10" in str(operator.parameters)
    assert reveal(operator.parameters) == {"caller": PHONES[0], "day": "2026-09-10"}


@pytest.mark.parametrize(
    "around",
    [
        lambda row, reference: [row, reference],
        lambda row, reference: [{**row, "more": reference}],
        lambda row, reference: [[row], (reference, row)],
        lambda row, reference: {**row, "SubId1": [reference, row["CallerId"]]},
    ],
)
def test_literal_rows_beside_a_reference_are_hidden(around: Any) -> None:
    @task
    def upstream() -> list[dict[str, Any]]:
        return []

    with DAG("d", schedule=None):
        reference = upstream()
        operator = ImpactCallOperator(task_id="t", calls=around(canary.row(), reference))
        assert "upstream" in str(operator.calls)
    assert canary.found_in(str(operator.calls)) == []
    assert operator.upstream_task_ids == {"upstream"}
    revealed = reveal(redact(around(canary.row(), "reference")))
    assert str(revealed) == str(around(canary.row(), "reference"))


def test_a_path_is_shown_without_its_password() -> None:
    assert "canary" not in repr(redact("sftp://user:canary-p@host/calls.csv"))
    assert repr(redact(Path("/data/calls.csv"))) == "/data/calls.csv"


DAYS = ("2026-09-10", "2026-09-11")


def of_days(operator: Any, field: str, names: str = "ds") -> list[Any]:
    """What two task instances of one process make of a field, each for its day: both begin before one renders."""
    copies = [operator.prepare_for_execution() for _ in DAYS]
    for each, day in zip(copies, DAYS, strict=True):
        each.render_template_fields(cast("Any", {names: day, "params": {names: day}}))
    return [reveal(getattr(each, field)) for each in copies]


@dataclass
class Feed:
    """Rows of a day, from an object with a template of its own."""

    template_fields: ClassVar = ("day",)

    day: str


@pytest.mark.parametrize(
    "calls_of",
    [
        lambda day: f"s3://bucket/{day}/calls.csv",
        lambda day: [f"s3://bucket/{day}/calls.csv", "more.csv"],
        lambda day: (f"s3://bucket/{day}/calls.csv", [f"{day}.csv"]),
        lambda day: [{"CallSessionId": "a"}, f"{day}.csv"],
        lambda day: [redact(f"{day}.csv"), {"CallSessionId": "a"}],
        lambda day: ObjectStoragePath(f"/data/{day}/calls.csv"),
        lambda day: Feed(day),
    ],
)
def test_each_task_instance_of_a_process_delivers_its_own_input(calls_of: Any) -> None:
    with DAG("d", schedule=None):
        operator = ImpactCallOperator(task_id="t", calls=calls_of("{{ ds }}"))
    assert of_days(operator, "calls") == [reveal(calls_of(day)) for day in DAYS]
    assert reveal(operator.calls) == reveal(calls_of("{{ ds }}")), "of the DAG itself"


def test_each_task_instance_of_a_process_has_its_own_arguments() -> None:
    with DAG("d", schedule=None):

        @task.impactcall
        def fetch(first: str, options: Any = None) -> None:
            return None

        operator = cast("Any", fetch("{{ ds }}", options={"day": ["{{ ds }}", 1]})).operator
    assert [reveal(each) for [each] in of_days(operator, "op_args")] == list(DAYS)
    assert of_days(operator, "op_kwargs") == [{"options": {"day": [day, 1]}} for day in DAYS]


def test_each_task_instance_of_a_process_has_its_own_parameters() -> None:
    with DAG("d", schedule=None):
        given = {"callers": f"{PHONES[0]},{{{{ ds }}}}"}
        operator = SqlToImpactCallOperator(task_id="t", sql="SELECT 1", sql_conn_id="x", parameters=given)
    assert of_days(operator, "parameters") == [{"callers": f"{PHONES[0]},{day}"} for day in DAYS]


def test_each_task_instance_of_a_process_has_its_own_parameter_of_the_run() -> None:
    with DAG("d", schedule=None) as dag:
        operator = ImpactCallOperator(task_id="t", calls=dag.param("path"))
        within = ImpactCallOperator(task_id="u", calls=[{"CallSessionId": dag.param("path")}])
    assert of_days(operator, "calls", "path") == list(DAYS)
    assert of_days(within, "calls", "path") == [[{"CallSessionId": day}] for day in DAYS]


def test_what_another_task_gave_is_no_template() -> None:
    given: list[Any] = ["{{ ds }}.csv", {"City": "{{ ds }}"}]
    operator = ImpactCallOperator(task_id="t", calls=given)
    unchanged = operator.render_template(operator.calls, cast("Any", {"ds": DAYS[0]}), seen_oids={id(given)})
    assert reveal(unchanged) == given


IN_ROWS = ["Save {{ pct }} now", "{% 2125550177", "{{ ds }}", "{# a #}", "}}"]


@pytest.mark.parametrize("shape", [lambda row: row, lambda row: [row], lambda row: [[row], (row,)]])
def test_a_row_is_no_template(shape: Any, caplog: pytest.LogCaptureFixture) -> None:
    rows = shape({**canary.row(), "SubId1": IN_ROWS[0], "more": IN_ROWS})
    operator = ImpactCallOperator(task_id="t", calls=rows)
    operator.render_template_fields(cast("Any", {"ds": DAYS[0]}))
    assert reveal(operator.calls) == rows
    [warned] = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert "sent as they are" in warned
    assert canary.found_in(caplog.text) == []


def test_a_row_beside_a_reference_is_no_template() -> None:
    @task
    def upstream() -> str:
        return "a"

    with DAG("d", schedule=None):
        row = redact({"SubId1": IN_ROWS[0], "City": upstream()})
    operator = ImpactCallOperator(task_id="t", calls=[])
    assert reveal(operator.render_template(row["SubId1"], cast("Any", {}))) == IN_ROWS[0]


@pytest.mark.parametrize("broken", ["{% 2125550177", "{{ 2125550177", "{{ nothing.of('2125550177') }}", "{{ 1 / 0 }}"])
def test_a_template_that_fails_shows_nothing_of_what_is_hidden(broken: str, caplog: pytest.LogCaptureFixture) -> None:
    with DAG("d", schedule=None):

        @task.impactcall
        def fetch(rows: Any) -> None:
            return None

        arguments = cast("Any", fetch([{**canary.row(), "SubId1": broken}])).operator
        text = ImpactCallOperator(task_id="t", calls=str(canary.row()) + broken)
    for operator in (arguments, text):
        with pytest.raises(AirflowException, match=r"its template cannot be rendered \(\w+Error\)") as raised:
            operator.render_template_fields(cast("Any", {}))
        said = caplog.text + "".join(traceback.format_exception(raised.value))
        assert "hidden" in said
        assert canary.found_in(said) == []
        assert "2125550177" not in said


def test_a_template_of_a_path_that_fails_says_which_path() -> None:
    operator = ImpactCallOperator(task_id="t", calls="s3://someone:canary-p@bucket/{{ nothing.day }}/calls.csv")
    with pytest.raises(AirflowException, match=r"s3://\*\*\*@bucket/\{\{ nothing.day \}\}/calls.csv: its") as raised:
        operator.render_template_fields(cast("Any", {}))
    assert "canary" not in str(raised.value)
