from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from airflow_provider_impactcall.exceptions import InvalidCall
from airflow_provider_impactcall.records import CallRecord
from airflow_provider_impactcall.records.column_names import in_their_style, label, labels, may_be_shown, quoted
from airflow_provider_impactcall.records.columns import is_short
from tests.examples import CALLER, RECORDING, call
from tests.tables import table

NAMES = [
    "CallerId", "caller_id", "CALLER ID", "caller.number", "from-number", "a__b", "q4_2026", "utm_2026_09", "col10",
    "numéro de l'appelant".replace("'", " "), "номер", "電話番号", "फ़ोन", "x" * 64, "", "2026", "7",
    "tag:User:irclickid", "tag:Address:Zip 5",
]  # fmt: skip
VALUES = [
    CALLER, f"+1{CALLER}", "(303) 555-0199", "303-555-0199", "303 555 0199", "303.555.0199", "303_555_0199", "555-0199",
    "303 - 555 - 0199", "303--555--0199", "303 . 555 . 0199",
    "5550199", "\u0663\u0660\u0663\u0665\u0665\u0665\u0660", "\uff13\uff10\uff13\uff15\uff15\uff15\uff10", RECORDING,
    "recordings.example.com/a.mp3", "2026-09-10T22:55:32-08:00", "2026-09-10",
    "12345", "CA00001", "alice@example.com", "a\nb", "a\x1b[31mb", "a\tb", "x" * 65, "a\u202eb", "a'b", "{", "a,b",
    "22:55:32", "tel:3035550199", "https://example.com", "Note: x", ":a", "a:",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_name(name: str) -> None:
    assert may_be_shown([name])
    assert labels(["a", name]) == {"a": "a", name: name or "column 2"}


@pytest.mark.parametrize("value", VALUES)
def test_what_may_be_a_value_hides_every_name_beside_it(value: str) -> None:
    assert not may_be_shown(["CallerId", value])
    assert labels(["CallerId", "City", value]) == {"CallerId": "column 1", "City": "column 2", value: "column 3"}
    assert label(value, "a parameter") == "a parameter"


@pytest.mark.parametrize("value", VALUES)
def test_the_name_of_what_is_no_parameter_is_shown_only_if_it_is_one(value: str) -> None:
    with pytest.raises(InvalidCall) as invalid:
        CallRecord.of({**call("a"), value: 1})
    (problem,) = invalid.value.problems
    assert problem.parameter == label(value, "a parameter")
    assert not value.strip() or value not in str(invalid.value)


def test_and_a_name_is() -> None:
    with pytest.raises(InvalidCall, match=r"^caller_id\b.*\bCallerId\b"):
        CallRecord.of({**call("a"), "caller_id": 1})


def test_some_of_an_inputs_columns() -> None:
    """As names or places: of all that are told, or one by one where what is told cannot be a value."""
    columns = ["id", "valid_to", "City", 7]
    beside_a_value = ["id", CALLER, "City", "city"]
    cases: list[tuple[Callable[..., list[str]], list[Any], Iterable[Any], list[str]]] = [
        (quoted, ["valid_to", "id"], columns, ["'valid_to'", "'id'"]),
        (quoted, [7], columns, ["7"]),
        (quoted, [], columns, []),
        (quoted, ["City", "id"], beside_a_value, ["column 3", "column 1"]),
        (quoted, [CALLER], beside_a_value, ["column 2"]),
        (quoted, ["City"], ["City", 2125550177], ["column 1"]),
        (in_their_style, ["City", "city"], beside_a_value, ["'City'", "'city'"]),
        (in_their_style, ["City", CALLER], beside_a_value, ["'City'", "column 2"]),
        (in_their_style, ["a'b"], {"x": 1, "a'b": 2}, ["column 2"]),
    ]
    with table() as row:
        for function, names, among, shown in cases:
            with row((function.__name__, names, among)):
                assert function(names, iter(among)) == shown


def test_what_is_remembered_by_its_columns() -> None:
    cases: list[tuple[list[Any], bool]] = [
        ([], True),
        (["x" * 16_384], True),
        (["x" * 16_385], False),
        (["x" * 64] * 256, True),
        ([*["x" * 64] * 256, "y"], False),
        ([*["x" * 64] * 255, "x" * 57, None, 123], True),
        ([*["x" * 64] * 255, "x" * 57, None, 1234], False),
    ]
    with table() as row:
        for columns, short in cases:
            with row((len(columns), short)):
                assert is_short(columns) is short
