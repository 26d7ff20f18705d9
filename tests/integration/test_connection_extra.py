"""A connection's extra that is not a JSON object: an error wherever the connection is read, and nothing is sent."""

from __future__ import annotations

import ast
import json
import logging
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from types import SimpleNamespace
from typing import Any

import airflow
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowNotFoundException, Connection
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_impactcall.delivery.ledger.edits import Author
from airflow_provider_impactcall.exceptions import ImpactCallError, InvalidOption
from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from airflow_provider_impactcall.hooks.ledger import ImpactCallLedgerHook
from airflow_provider_impactcall.integration.connection import account
from airflow_provider_impactcall.operators.impactcall import ImpactCallOperator
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples
from tests.cli.conftest import Command, impactcall
from tests.delivery import canary
from tests.facts import named

__all__ = ["impactcall"]

_PYTHON, _NO_JSON, _LIST, _NUMBER, _TEXT = "Python's", "no JSON", "a list", "a number", "text"
NO_OBJECTS: dict[str, tuple[str, list[object]]] = {
    "{'caller_id_format': 'e164'}": (_PYTHON, []),
    "{'verify': True, 'cert': None}": (_PYTHON, []),
    '{"a": 1,}': (_NO_JSON, [1]),
    '{"a": 1': (_NO_JSON, [1]),
    '{"timeout": 5}\n{"timeout": 6}': (_NO_JSON, [2]),
    "a=b": (_NO_JSON, [1]),
    "campaign_id: 1000": (_NO_JSON, [1]),
    "campaign_id=1000&concurrency=2": (_NO_JSON, [1]),
    "// a note\n{}": (_NO_JSON, [1]),
    "[1]": (_LIST, []),
    '[{"campaign_id": 1000}]': (_LIST, []),
    "[]": (_LIST, []),
    "null": ("null", []),
    "true": ("true or false", []),
    "1000": (_NUMBER, []),
    "NaN": (_NUMBER, []),
    '""': (_TEXT, []),
    '"campaign_id"': (_TEXT, []),
    json.dumps(json.dumps({"campaign_id": 1000})): (_TEXT, []),
    '{"campaign_id": 1, "campaign_id": 2}': ("a key twice", ["'campaign_id'"]),
    '{"proxies": {"http": "a", "http": "b"}}': ("a key twice", ["'http'"]),
    " \n": ("blank", []),
    "\ufeff{}": (_NO_JSON, []),
}
"""What an extra may hold instead: the kind of trouble, and the line or the key that is named."""
if not airflow.__version__.startswith("2."):  # whose connections cannot be made of these
    NO_OBJECTS |= {"[" * 100_000: (_NO_JSON, []), '{"timeout": ' + "9" * 5000 + "}": (_NO_JSON, [])}

each = pytest.mark.parametrize("extra", NO_OBJECTS, ids=[repr(extra[:30]) for extra in NO_OBJECTS])
SAID = r"(?s)(?=.*\bimpactcall_default\b)(?=.*\bextra\b)"
"""The connection and the field of it."""
some = pytest.mark.parametrize("extra", ["{'campaign_id': 1000}", "a=b", "[1]", "null", '"x"'])


def of(extra: str, **fields: Any) -> Connection:
    return Connection(conn_id="the_one", conn_type="impactcall", extra=extra, **fields)


@cache
def refusal(extra: str) -> str:
    with pytest.raises(InvalidOption) as raised:
        account(of(extra))
    return str(raised.value)


def told(extra: str) -> str:
    """What is said of an extra, but for the place in it and the name of its key."""
    return re.sub(r"\d+|'(?!the_one)\w+'", "", refusal(extra))


@pytest.fixture
def broken(sandbox: Sandbox, extra: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A sandbox whose connection has that extra."""
    connection = json.loads(examples.connection(sandbox))
    monkeypatch.setenv("AIRFLOW_CONN_IMPACTCALL_DEFAULT", json.dumps({**connection, "extra": extra}))
    yield sandbox
    assert (sandbox.counts["requests"], sandbox.calls) == (0, [])


@each
def test_the_connection_and_the_trouble_are_named(extra: str) -> None:
    with pytest.raises(InvalidOption) as no:
        account(of(extra))
    trouble, facts = NO_OBJECTS[extra]
    assert named(refusal(extra), "'the_one'", "extra", *facts) == ["'the_one'", "extra", *facts]
    assert {kind for other, (kind, _) in NO_OBJECTS.items() if told(other) == told(extra)} == {trouble}
    assert no.value.__context__ is None  # that of a JSON decoder quotes the text


@pytest.mark.parametrize("extra", [None, "", "{}", " {} ", '\n{"campaign_id": 1000}'])
def test_an_empty_one_and_an_object_are_none_of_these(extra: str) -> None:
    assert account(of(extra)).endpoint.parameters_in == "query"


@given(st.text() | st.recursive(st.none() | st.booleans() | st.text() | st.floats(), st.lists).map(json.dumps))
def test_any_text_is_an_object_or_an_error_that_holds_none_of_it(extra: str) -> None:
    is_object = not extra
    with suppress(ValueError):
        is_object = is_object or isinstance(json.loads(extra), dict)
    said = None
    try:
        account(of(extra))
    except InvalidOption as error:
        said = str(error)
    assert is_object is (said is None)
    assert len(extra) < 12 or extra not in str(said)


@given(
    st.dictionaries(st.sampled_from(["campaign_id", "x", "é"]), st.integers(0, 9) | st.text() | st.none(), min_size=1)
)
def test_a_dict_as_python_writes_it_is_known_as_such(fields: dict[str, Any]) -> None:
    assert told(str(ast.literal_eval(repr(fields)))) == told("{'a': True}") != told("a=b")


@some
def test_a_task_fails_for_good(extra: str, broken: Sandbox) -> None:
    with pytest.raises((AirflowFailException, AirflowNotFoundException), match=SAID):
        ImpactCallOperator(task_id="t", calls=examples.calls(2)).execute({})


@some
def test_a_dry_run_and_a_single_call(extra: str, broken: Sandbox) -> None:
    hook = ImpactCallHook()
    for act in (hook.check, hook.deliver):
        with pytest.raises((InvalidOption, AirflowNotFoundException), match=SAID):
            act(examples.calls(1))
    with pytest.raises((InvalidOption, AirflowNotFoundException), match=SAID):
        hook.log_call(examples.call("a"))


@some
def test_test_answers_in_words(extra: str, broken: Sandbox) -> None:
    good, said = ImpactCallHook().test_connection()
    assert not good
    assert re.search(SAID, said)


@some
def test_adopting_and_reconciling(extra: str, broken: Sandbox) -> None:
    ledger = ImpactCallLedgerHook()
    for act in (ledger.adopt, ledger.reconcile):
        with pytest.raises((ImpactCallError, AirflowNotFoundException), match=SAID):
            act(examples.calls(1), Author("me", "a test"))


@some
@pytest.mark.parametrize(
    "arguments", [("check", "-"), ("list",), ("count",), ("adopt", "--file", "-", "--why", "x"), ("runs",)]
)
def test_the_commands(arguments: tuple[str, ...], extra: str, broken: Sandbox, impactcall: Command) -> None:
    done = impactcall(*arguments, stdin="CallSessionId\na\n")
    assert done.status == 1
    assert re.search(SAID, done.err)
    assert len(done.err.splitlines()) == 1


def test_a_connection_that_airflow_does_not_give_is_said_to_be_perhaps_of_such_an_extra() -> None:
    with pytest.raises(AirflowNotFoundException, match=r"(?s)(?=.*\bno_such\b)(?=.*\bextra\b)"):
        ImpactCallHook("no_such").get_conn()
    good, said = ImpactCallHook("no_such").test_connection()
    assert (good, "no_such" in said) == (False, True)


def test_a_row_of_airflows_database_that_airflow_itself_refuses() -> None:
    class Refused(SimpleNamespace):
        @property
        def extra(self) -> str:
            raise ValueError(f"Encountered non-JSON in `extra` field {canary.WORD}")

    with pytest.raises(InvalidOption, match=r"'c'.*\bextra\b") as raised:
        account(Refused(conn_id="c", conn_type="impactcall", host=None, login=None, password=None, port=None))
    assert canary.found_in(str(raised.value)) == []


@pytest.mark.parametrize(
    ("fields", "facts"),
    [
        ({"schema": "public"}, ["schema"]),
        ({"schema": "https"}, ["schema"]),
        ({"extra": {"request_per_second": 5}}, ["'request_per_second'", "requests_per_second"]),
        ({"extra": {"Campaign_ID": 5}}, ["'Campaign_ID'", "campaign_id"]),
        ({"extra": {"requests_per_hours": 5}}, ["'requests_per_hours'", "requests_per_hour"]),
        ({"extra": {"time_out": 5}}, ["'time_out'", "timeout"]),
        ({"extra": {"callerIdFormat": "e164"}}, ["'callerIdFormat'", "caller_id_format"]),
        ({"extra": {"Authorization": canary.WORD}}, ["'Authorization'"]),
    ],
)
def test_what_nothing_reads_is_said_once(
    fields: dict[str, Any],
    facts: list[str],
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    impactcall: Command,
) -> None:
    connection = {**json.loads(examples.connection(sandbox)), **fields}
    monkeypatch.setenv("AIRFLOW_CONN_IMPACTCALL_DEFAULT", json.dumps(connection))

    def times() -> int:
        found = sum(named(record.getMessage(), *facts) == facts for record in caplog.records)
        caplog.clear()
        return found

    with caplog.at_level(logging.WARNING):
        assert ImpactCallOperator(task_id="t", calls=examples.calls(2)).execute({})["delivered"] == 2
        assert times() == 1
        ImpactCallLedgerHook().adopt(examples.calls(1), Author("me", "a test"))
        assert times() == 1
        good, answer = ImpactCallHook().test_connection()
    assert (good, answer.count(facts[0]), named(answer, *facts)) == (True, 1, facts)
    assert canary.found_in(answer + caplog.text) == []
    file = "\n".join((",".join(examples.call("a")), ",".join(map(str, examples.call("a").values()))))
    shown = impactcall("check", "-", stdin=file).err
    assert (shown.count(facts[0]), named(shown, *facts)) == (1, facts)


def test_the_scheme_of_an_http_connection_is_read_as_such(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        account(Connection(conn_id="impact_api_default", conn_type="http", host="api.impact.com", schema="https"))
    assert caplog.records == []
