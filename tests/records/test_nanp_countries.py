"""The country of a NANP number is the one that phonenumbers finds, by all that its first six digits can be."""

from __future__ import annotations

from random import Random

import phonenumbers
import pytest

from airflow_provider_impactcall.records import normalize
from tests.effort import scaled

FIRST, END = 200_000, 1_000_000
"""Of six digits: no area code begins with 0 or 1."""


def by_the_library(number: str) -> str | None:
    """The country of ten digits, read by phonenumbers alone."""
    region = phonenumbers.region_code_for_number(phonenumbers.parse(f"+1{number}"))
    return region if region in phonenumbers.SUPPORTED_REGIONS else None


def differing(numbers: list[str]) -> list[tuple[str, str | None, str | None]]:
    found = ((each, normalize.country_of(each), by_the_library(each)) for each in numbers)
    return [each for each in found if each[1] != each[2]]


def test_numbers_of_any_area_code() -> None:
    random = Random(19)
    numbers = [f"{random.randrange(FIRST, END)}{random.randrange(10_000):04}" for _ in range(scaled(20_000))]
    assert differing(numbers) == []
    assert {normalize.country_of(each) for each in numbers} >= {"US", "CA", None}


def test_one_number_of_every_area_code() -> None:
    """And in each form in which a number leaves."""
    for code in range(FIRST // 1000, END // 1000):
        number = f"{code}5550142"
        assert normalize.country_of(number) == normalize.country_of(f"+1{number}") == by_the_library(number)


def test_numbers_that_no_area_code_begins() -> None:
    random = Random(19)
    assert differing([f"{random.randrange(FIRST):06}{random.randrange(10_000):04}" for _ in range(scaled(4000))]) == []


@pytest.mark.long
def test_all_six_digits_that_a_number_can_begin_with() -> None:
    random = Random(19)
    numbers = [f"{first}{random.randrange(10_000):04}" for first in range(FIRST, END)]
    assert differing(numbers) == []
