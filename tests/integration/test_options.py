"""Options validate themselves, and are the same as objects, as keywords and as an operator's parameters."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_impactcall.delivery.ledger.edits import Author
from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from airflow_provider_impactcall.hooks.ledger import ImpactCallLedgerHook
from airflow_provider_impactcall.integration.options import (
    DeliveryKeywords,
    DeliveryOptions,
    RowKeywords,
    RowOptions,
)
from airflow_provider_impactcall.operators.impactcall import DeliverCallsOperator, ImpactCallOperator
from airflow_provider_impactcall.operators.ledger import CorrectFromSqlOperator
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples
from tests.facts import named

WRONG_OF_ROWS: dict[str, Any] = {"csv_delimiter": ";;", "csv_encoding": "nope", "timezone": "Mars/Olympus", "key": []}
WRONG_OF_DELIVERY: dict[str, Any] = {
    "on_unknown": "explode",
    "dry_run": "yes",
    "retry_statuses": [200],
    "requests_per_second": 0,
    "requests_per_hour": -1,
    "max_wait": -1,
    "concurrency": 2.5,
    "limit": -1,
}
AUTHOR = Author("me", "a test")


def annotations_of(kind: Any) -> dict[str, str]:
    """The types of a class's fields, as they are written."""
    return {name: getattr(each, "__forward_arg__", each) for name, each in kind.__annotations__.items()}


def test_the_keywords_are_the_fields_and_have_their_types() -> None:
    rows, delivery = annotations_of(RowOptions), annotations_of(DeliveryOptions)
    assert annotations_of(RowKeywords) == rows
    assert annotations_of(DeliveryKeywords) == rows | delivery
    assert not set(rows) & set(delivery), "a keyword has one place to go"


@pytest.mark.parametrize("kind", [RowKeywords, DeliveryKeywords])
def test_no_keyword_has_to_be_given(kind: Any) -> None:
    assert kind.__required_keys__ == frozenset()


def test_the_operators_have_each_field_with_its_default() -> None:
    of_rows = {field.name: field.default for field in fields(RowOptions)}
    of_delivery = {field.name: field.default for field in fields(DeliveryOptions)}
    for operator, defaults in (
        (DeliverCallsOperator, of_rows | of_delivery),
        (CorrectFromSqlOperator, {name: of_rows[name] for name in of_rows if not name.startswith("csv_")}),
    ):
        parameters = inspect.signature(inspect.unwrap(operator.__init__)).parameters
        assert {name: parameters[name].default for name in defaults} == defaults


@pytest.mark.parametrize("options", [RowOptions(), DeliveryOptions()])
def test_what_was_validated_stays_as_it_is(options: RowOptions | DeliveryOptions) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(options, fields(options)[0].name, None)


@pytest.mark.parametrize(("kind", "wrong"), [(RowOptions, WRONG_OF_ROWS), (DeliveryOptions, WRONG_OF_DELIVERY)])
def test_all_that_is_wrong_is_said_at_once(kind: Callable[..., Any], wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption) as raised:
        kind(**wrong)
    assert named(str(raised.value), *wrong) == list(wrong)


def test_the_rejects_path_holds_no_password() -> None:
    with pytest.raises(InvalidOption, match=re.escape("sftp://***@host/rejects.jsonl")) as raised:
        DeliveryOptions(rejects_path="sftp://user:secret@host/rejects.jsonl")
    assert "secret" not in str(raised.value)


class TestKeywords:
    def test_all_that_is_wrong_is_said_at_once(self) -> None:
        with pytest.raises(InvalidOption) as raised:
            ImpactCallHook().deliver([], **WRONG_OF_DELIVERY, **WRONG_OF_ROWS)
        for name in (*WRONG_OF_ROWS, *WRONG_OF_DELIVERY):
            assert name in str(raised.value)

    @pytest.mark.parametrize(
        "call",
        [
            lambda **options: ImpactCallHook().deliver([], **options),
            lambda **options: ImpactCallHook().log_call({}, **options),
            lambda **options: ImpactCallHook().check([], **options),
            lambda **options: ImpactCallLedgerHook().adopt([], AUTHOR, **options),
            lambda **options: ImpactCallLedgerHook().reconcile([], AUTHOR, **options),
        ],
        ids=["deliver", "log_call", "check", "adopt", "reconcile"],
    )
    def test_one_that_there_is_not_is_named(self, call: Callable[..., Any]) -> None:
        with pytest.raises(TypeError, match=r"\(\) got an unexpected keyword argument 'concurency'"):
            call(concurency=1, key=["CallSessionId"])

    @pytest.mark.parametrize("given", [True, False])
    def test_a_check_is_a_dry_run_whatever_is_said(self, given: bool) -> None:
        with pytest.raises(TypeError, match=r"check\(\) got an unexpected keyword argument 'dry_run'"):
            ImpactCallHook().check([], dry_run=given)

    def test_options_of_a_delivery_are_none_of_a_correction(self) -> None:
        options: Any = {"on_unknown": "hold"}
        with pytest.raises(TypeError, match=r"adopt\(\) got an unexpected keyword argument 'on_unknown'"):
            ImpactCallLedgerHook().adopt([], AUTHOR, **options)


def test_a_task_says_all_that_is_wrong_at_once(sandbox: Sandbox) -> None:
    own: dict[str, Any] = {"max_rejected": "many", "max_unknown": -1, "on_empty": "dance"}
    wrong = {**own, **WRONG_OF_ROWS, **WRONG_OF_DELIVERY, "limit": "all"}
    with pytest.raises(AirflowFailException) as raised:
        ImpactCallOperator(task_id="deliver", calls=examples.calls(1), **wrong).execute({})
    for name in wrong:
        assert name in str(raised.value)
    assert sandbox.counts["requests"] == 0


def test_options_as_objects_do_what_keywords_do(sandbox: Sandbox) -> None:
    rows = [examples.call("a", CallSessionId=None) | {"id": number} for number in range(3)]
    row_options = RowOptions(mapping={"CallSessionId": "id"})
    hook = ImpactCallHook()
    assert hook.check_with(rows, row_options, DeliveryOptions(limit=2)).would_send == 3
    assert hook.deliver_with(rows, row_options, DeliveryOptions(dry_run=True)).not_sent == 3
    assert sandbox.counts["requests"] == 0
    assert hook.deliver_with(rows, row_options, DeliveryOptions(limit=2)).delivered == 2
    assert ImpactCallLedgerHook().adopt_with(rows, AUTHOR, row_options).adopted == 1
    assert hook.deliver(rows, mapping={"CallSessionId": "id"}).already_delivered == 3


def test_numbers_of_a_data_frame_are_numbers() -> None:
    numpy = pytest.importorskip("numpy")
    options = DeliveryOptions(
        limit=numpy.int64(5), max_wait=numpy.float64(2.5), retry_statuses=list(numpy.array([429]))
    )
    assert (options.limit, options.max_wait, list(options.retry_statuses)) == (5, 2.5, [429])
