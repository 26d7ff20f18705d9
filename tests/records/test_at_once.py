"""What is read without pydantic, for speed, is what pydantic makes of it: the same call, or the same reasons."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from airflow_provider_impactcall.records import PARAMETERS, CallRecord
from airflow_provider_impactcall.records.call_record import Conventions, _read_at_once
from tests.effort import scaled
from tests.records.rows import good_row
from tests.records.test_any_rows import DRIVER_VALUES, HOSTILE_VALUES, values
from tests.records.test_readers import vendor_texts

CONVENTIONS = [Conventions(), Conventions(caller_id_format="e164"), Conventions(timezone=UTC)]
some_values = st.one_of(values, vendor_texts)


def everything(record: CallRecord | None) -> Any:
    """All that a record is, each value with its type, in its order."""
    if record is None:
        return None
    sent = [(name, type(value), value) for name, value in vars(record).items()]
    return sent, record.model_fields_set, record.model_extra, record.__pydantic_private__


def assert_alike(given_values: dict[str, Any], conventions: Conventions) -> None:
    try:
        expected = CallRecord.model_validate(given_values, context=conventions)
    except ValidationError:
        expected = None
    found = _read_at_once(given_values, conventions)
    # The one way to differ: what pydantic's own types change is left to it.
    if found is not None or expected is None or {*map(type, given_values.values())} <= {int, str, datetime}:
        assert everything(found) == everything(expected)


@settings(max_examples=scaled(1250), deadline=None)
@given(st.dictionaries(st.sampled_from(list(PARAMETERS)), some_values, max_size=4), st.sampled_from(CONVENTIONS))
@example({"PhoneType": ""}, CONVENTIONS[0])
@example({"CallerId": "+7378742833"}, CONVENTIONS[0])
@example({"CallerId": "7378742833"}, CONVENTIONS[1])
@example({"CallerPhoneNumberCountry": None, "CallerId": "+80012345678"}, CONVENTIONS[0])
@example({"EventDate": datetime(2026, 9, 10)}, CONVENTIONS[2])
@example({"Colour": "red"}, CONVENTIONS[0])
def test_the_same_call_or_none(changes: dict[str, Any], conventions: Conventions) -> None:
    assert_alike(good_row(changes), conventions)


@given(st.dictionaries(st.sampled_from(list(PARAMETERS)), some_values, max_size=12), st.sampled_from(CONVENTIONS))
def test_the_same_of_values_that_are_hardly_a_call(given_values: dict[str, Any], conventions: Conventions) -> None:
    assert_alike(given_values, conventions)


def test_each_parameter_alone_with_each_odd_value() -> None:
    for odd in (*DRIVER_VALUES, *HOSTILE_VALUES):
        for name in PARAMETERS:
            assert_alike(good_row({name: odd}), CONVENTIONS[0])


@pytest.mark.parametrize("changes", [{}, {"CallerPhoneNumberCountry": "GB", "CallerId": "020 7946 0123"},
                                     {"EventDate": datetime(2026, 9, 10, tzinfo=UTC), "SaleAmount": 12.5}],
                         ids=str)  # fmt: skip
def test_good_calls_are_read_so(changes: dict[str, Any]) -> None:
    assert _read_at_once(good_row(changes), CONVENTIONS[0]) is not None
