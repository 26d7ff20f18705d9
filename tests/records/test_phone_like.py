from __future__ import annotations

import pytest

from airflow_provider_impactcall.phone_like import holds_phone_number, looks_like_id


@pytest.mark.parametrize(
    "text",
    [
        "CA0a12b34c56d7e8f9",
        "46DC-A7A1D1F5C0DE",
        "call-48391234",
        "483912",
        "550e8400-e29b-41d4-a716-446655440000",
        "call_7",
        "a",
        "7",
    ],
)
def test_ids_can_be_shown(text: str) -> None:
    assert looks_like_id(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "2125550142", "+1 212-555-0142", "call-212.555.0142", "tel:2125550142", "555-0142", "612345678"),
        *("example.com:8080", "10.0.0.1", "2001:db8::1"),
        *("recordings.example.com", "www.example", "https://recordings.example.com/1", "a/b"),
        *("someone@example.com", "12 Main Street", "ends-", "Stra\u00dfe"),
    ],
)
def test_what_may_be_a_number_a_url_or_an_address_cannot(text: str) -> None:
    assert not looks_like_id(text)


@pytest.mark.parametrize(
    "number",
    [
        *("2125550142", "555-0142", "212/555/0142", "030/901820", "212 - 555 - 0142", "(212) - 555 - 0142"),
        *("[212]555.0142", "212\u2010555\u20130142", "212\u00a0555\u202f0142", "212\u22125550142", "212\u200b5550142"),
        *("\uff12\uff11\uff12\uff15\uff15\uff15\uff10", "\u0662\u0661\u0662\u0665\u0665\u0665\u0660"),
    ],
)
def test_a_number_is_found_in_a_text(number: str) -> None:
    assert holds_phone_number(f"no such caller: '{number}' on line 7")


@pytest.mark.parametrize(
    "text",
    ["nothing", "line 12:8", "since 2026-09-10 22:55:32", "since 2026/09/10", "IN (1, 2, 3, 4, 5, 6, 7)", "555014"],
)
def test_and_other_digits_are_none(text: str) -> None:
    assert not holds_phone_number(text)
