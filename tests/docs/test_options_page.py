"""The tables of options hold each option of the signatures, with its default, and whether it is a template field."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import BaseOperator

from airflow_provider_impactcall.integration.connection import Extra
from airflow_provider_impactcall.integration.options import DeliveryOptions, RowOptions
from airflow_provider_impactcall.operators.corrections import CorrectSelectedOperator
from airflow_provider_impactcall.operators.impactcall import DeliverCallsOperator
from airflow_provider_impactcall.operators.ledger import (
    AcceptChangesOperator,
    AdoptCallsOperator,
    CorrectLedgerOperator,
    DismissRowsOperator,
    FollowActionsOperator,
    PurgeLedgerOperator,
    ReconcileCallsOperator,
    RequeueCallsOperator,
    ResolveCallsOperator,
)
from tests.documentation import ROOT
from tests.tables import table

pytestmark = pytest.mark.airflow

PAGE = (ROOT / "docs" / "operators.md").read_text()
CONNECTION = (ROOT / "docs" / "connection.md").read_text()
OPTIONS = re.findall(
    r"^\| `(\w+)` \| (.+?) \| (yes)? ?\|", PAGE.partition("## Options")[2].partition("\n## ")[0], re.MULTILINE
)
# Its own name is a method of Airflow's.
FIELD_OF = {"dry_run": "dry_run_only"}
# Their defaults are read from Airflow's configuration as their class is made.
CONFIGURED = {"deferrable": "[operators] default_deferrable"}


def defaults(of: Any) -> dict[str, Any]:
    """The options that a class takes by name, with their defaults."""
    parameters = inspect.signature(of.__init__).parameters.values()
    return {each.name: each.default for each in parameters if each.kind is each.KEYWORD_ONLY}


def in_words(default: Any) -> str:
    """A default as the tables have it."""
    if default is None:
        return "none"
    if isinstance(default, tuple) and isinstance(default[0], str):
        return ", ".join(f"`{name}`" for name in default)
    return f"{default:g}" if type(default) in (int, float) else f"`{default}`"


def test_each_option_is_there_in_its_order() -> None:
    assert [name for name, *_ in OPTIONS] == list(defaults(DeliverCallsOperator))


def test_the_page_has_each_option_of_a_delivery_with_its_default() -> None:
    of_all = [*fields(RowOptions), *fields(DeliveryOptions)]
    of_tasks = {"impactcall_conn_id", "max_rejected", "max_unknown", "max_changed", "deferrable", "on_empty"}
    assert [name for name, *_ in OPTIONS if name not in of_tasks] == [field.name for field in of_all]
    actual = defaults(DeliverCallsOperator)
    with table() as row:
        for field in of_all:
            with row(field.name):
                assert actual[field.name] == field.default


def test_each_option_is_what_the_page_says() -> None:
    with table() as row:
        for name, default, templated in OPTIONS:
            with row(name):
                actual = CONFIGURED.get(name, defaults(DeliverCallsOperator)[name])
                # What None stands for is said in place of it.
                assert default == in_words(actual) or (actual is None and not re.fullmatch(r"[\d`'\"]+", default))
                assert bool(templated) is (FIELD_OF.get(name, name) in DeliverCallsOperator.template_fields)


@pytest.mark.parametrize(
    "operator", [ReconcileCallsOperator, FollowActionsOperator, AdoptCallsOperator, PurgeLedgerOperator]
)
def test_options_of_corrections(operator: type[BaseOperator]) -> None:
    (row,) = re.findall(rf"^\| `{operator.__name__}` \| (.+?) \|", PAGE, re.MULTILINE)
    named = set(re.findall(r"`(\w+)`", row)) - {"timedelta"}
    if "the same without" in row:
        (first,) = re.findall(r"^\| `ReconcileCallsOperator` \| (.+?) \|", PAGE, re.MULTILINE)
        named = set(re.findall(r"`(\w+)`", first)) - {"api_conn_id"}
    of_all = set(inspect.signature(CorrectLedgerOperator.__init__).parameters) - {"self", "kwargs", "why"}
    own: set[str] = set()
    classes: tuple[Any, ...] = operator.__mro__
    for each in classes:
        if each is not BaseOperator and each.__module__.startswith("airflow_provider_impactcall"):
            parameters = inspect.signature(inspect.unwrap(each.__init__)).parameters.values()
            own.update(parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY)
    assert named == {name for name in own if name in _OPTIONS_OF_CORRECTIONS} - of_all


def test_options_of_what_a_person_selects() -> None:
    section = PAGE.partition("### What a person selects")[2]
    shown = dict(re.findall(r"^\| `(\w+)` \| (none|required|`\w+`) \|", section, re.MULTILINE))
    actual = {**defaults(CorrectSelectedOperator), **defaults(CorrectLedgerOperator)}
    assert shown == {
        name: "required" if default is inspect.Parameter.empty else in_words(default)
        for name, default in actual.items()
    }
    assert {FIELD_OF.get(name, name) for name in shown} == set(CorrectSelectedOperator.template_fields)
    with table() as row:
        for operator in (RequeueCallsOperator, ResolveCallsOperator, AcceptChangesOperator, DismissRowsOperator):
            with row(operator.__name__):
                (own,) = re.findall(rf"^\| `{operator.__name__}` \| .+? \| (?:`(\w+)`.*)?\|$", section, re.MULTILINE)
                assert {name for name in ("may_arrive_twice", "outcome") if name in defaults(operator)} == {own} - {""}


_OPTIONS_OF_CORRECTIONS = {
    *("why", "sql", "sql_conn_id", "parameters", "hook_params", "mapping", "constants", "timezone", "vendor"),
    *("prefiltered", "nulls", "key"),
    *("since", "until", "keep_amounts"),
    *("api_conn_id", "older_than", "impactcall_conn_id", "ledger_conn_id", "ledger_namespace"),
}


def test_each_field_of_the_connection() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \|", CONNECTION.partition("## Extra")[2], re.MULTILINE)
    shown = {name: default.strip("`").lower() for name, default in rows if name in Extra.model_fields}
    actual = {name: field.default for name, field in Extra.model_fields.items()}
    assert shown == {
        name: "none" if default is None else f"{default:g}" if type(default) in (int, float) else str(default).lower()
        for name, default in actual.items()
    }
