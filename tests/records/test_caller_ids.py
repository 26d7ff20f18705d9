"""What a call is matched by: the form of ``CallerId`` stays as it was, release after release."""

from __future__ import annotations

import json
from pathlib import Path

import phonenumbers
import pytest

from airflow_provider_impactcall.records import normalize
from tests.tables import table

FORMS = phonenumbers.PhoneNumberFormat
COUNTRIES = [
    "AR", "AT", "AU", "BE", "BR", "CH", "CL", "CN", "CO", "CZ", "DE", "DK", "EG", "ES", "FI", "FR", "GB", "GR", "HK",
    "IE", "IL", "IN", "IT", "JP", "KR", "MA", "MX", "NG", "NL", "NO", "NZ", "PL", "PT", "RO", "SE", "SG", "TR", "UA",
    "VN", "ZA",
]  # fmt: skip

# A line is [written, country, format, CallerId], with null for a value that is refused. A line may be added and never
# changed or taken out: a caller who left in one form yesterday and in another today is two callers to impact.com.
# The numbers are reserved for fiction, or the ones by which phonenumbers shows the form of a country's numbers.
GOLDEN = [json.loads(line) for line in Path(__file__).with_name("caller_ids.golden").read_text().splitlines()]


def test_numbers_leave_in_the_form_in_which_they_always_left() -> None:
    with table() as row:
        for written, country, form, expected in GOLDEN:
            with row((written, country, form)):
                if expected is None:
                    with pytest.raises(normalize.UnfitValue):
                        normalize.phone_number(written, country, form)
                else:
                    assert normalize.phone_number(written, country, form) == expected
                    assert normalize.phone_number(expected, country, form) == expected


def test_the_golden_file_is_whole() -> None:
    assert len(GOLDEN) >= 378
    assert len({json.dumps(line[:3]) for line in GOLDEN}) == len(GOLDEN)
    assert {country for _, country, _, _ in GOLDEN} >= {*COUNTRIES, "US", "CA", "JM", "JE", None}


@pytest.mark.parametrize("kind", [phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE])
def test_numbers_leave_as_phonenumbers_writes_them_with_and_without_an_extension(kind: int) -> None:
    with table() as row:
        for country in COUNTRIES:
            with row(country):
                number = phonenumbers.example_number_for_type(country, kind)
                assert number is not None
                expected = phonenumbers.format_number(number, FORMS.E164)
                extended = phonenumbers.PhoneNumber()
                extended.merge_from(number)
                extended.extension = "42"
                for form in (FORMS.E164, FORMS.INTERNATIONAL, FORMS.NATIONAL, FORMS.RFC3966):
                    for each in (number, extended):
                        written = phonenumbers.format_number(each, form)
                        assert normalize.phone_number(written, country) == expected
                        if form != FORMS.NATIONAL:
                            assert normalize.phone_number(written) == expected
                assert normalize.phone_number(f"sip:{expected}@example.com;user=phone") == expected
                assert normalize.country_of(expected) == country


def test_the_1_of_mexicos_mobile_numbers_is_left_out() -> None:
    """phonenumbers refuses it since Mexico gave it up, in 2019; before, it left the 1 out."""
    with table() as row:
        for written, country in [
            ("+52 1 55 0000 0123", None),
            ("+52 1 55 0000 0123", "MX"),
            ("+5215500000123", None),
            ("(+52) 1 55 0000-0123 x42", None),
            ("sip:+5215500000123@example.com", None),
            ("521 55 0000 0123", "MX"),
        ]:
            with row((written, country)):
                assert normalize.phone_number(written, country) == "+525500000123"
        for written, country in [
            ("5215500000123", None),
            ("5215500000123", "US"),
            ("+5215500000123", "US"),
            ("+5215500000123456", None),
        ]:
            with row((written, country)), pytest.raises(normalize.UnfitValue):
                normalize.phone_number(written, country)


NO_MARKS = [None, "", "2125550142", "+442079460018", "alice", "anonymous?", "+26669668", [], {}, float("nan"), True,
            b"anonymous", "x" * 1000, "sip:alice@anonymous.invalid", "+351 266 696 687", object()]  # fmt: skip


def test_what_is_no_anonymous_caller_s_mark() -> None:
    with table() as row:
        for value in NO_MARKS:
            with row(repr(value)):
                assert normalize.is_anonymous(value) is False


def test_marks_with_an_extension_are_marks_too() -> None:
    for value in ("+7378742833 x42", "+266696687,,1", "sip:+86282452253;ext=1@example.com"):
        assert normalize.is_anonymous(value) is True
        with pytest.raises(normalize.UnfitValue, match="anonymous caller"):
            normalize.phone_number(value)
