"""Blanks around what is no text mean nothing, and what a spreadsheet puts around text is known."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_impactcall.records import PARAMETERS, CallRecord
from tests.records.rows import good_row, problems_of, wire_text

BLANKS = [" ", "\t", "\n", "\r\n", "\N{NO-BREAK SPACE}", "\N{IDEOGRAPHIC SPACE}", "\N{ZERO WIDTH SPACE}", "\ufeff",
          "\N{NARROW NO-BREAK SPACE}", "\x0b", "\x1c", "\N{SOFT HYPHEN}", "\N{ARABIC LETTER MARK}", "\u202a",
          "\u202c", "\u202d", "\u2066", "\u2069", "\N{MONGOLIAN VOWEL SEPARATOR}", "\N{BRAILLE PATTERN BLANK}",
          "\N{HANGUL FILLER}", "\N{INVISIBLE SEPARATOR}"]  # fmt: skip
MEAN_NOTHING = {
    "CampaignId": "1000",
    "MediaId": "10000",
    "EventDate": "2026-09-10T22:55:32-08:00",
    "ActionTrackerId": "4000.0",
    "CallProvider": "Example Vendor",
    "CallSessionId": "A-1",
    "CallerId": "+12125550142",
    "CalledPhoneNumber": "(303) 555-0191",
    "CallDuration": "0:03:00",
    "TalkDuration": "PT2M",
    "AdId": "5",
    "CallStatus": "ANSWER",
    "CallerPhoneNumberCountry": "US",
    "CalledPhoneNumberCountry": "United States",
    "PhoneType": "Mobile",
    "IvrDuration": "7",
    "SaleAmount": "$1,234.50",
    "ReferenceId": "12.50",
    "VendorEventId": "E-1",
}
STAY = {
    "City": "Denver",
    "SubId1": "x",
    "ClickId": "abc:1",
    "Zip": "02139",
    "UserAgent": "Mozilla",
    "CallRecording": "u",
}
around = st.lists(st.sampled_from(BLANKS), max_size=3).map("".join)


@given(st.data())
def test_blanks_around_what_is_no_text_mean_nothing(data: st.DataObject) -> None:
    padded = {name: data.draw(around) + value + data.draw(around) for name, value in MEAN_NOTHING.items()}
    assert wire_text(good_row(padded)) == wire_text(good_row(MEAN_NOTHING))


@pytest.mark.parametrize("blank", BLANKS)
def test_blanks_around_text_stay(blank: str) -> None:
    padded = {name: f"{blank}{value}{blank}" for name, value in STAY.items()}
    assert wire_text(good_row(padded)).items() >= padded.items()


@pytest.mark.parametrize("blank", BLANKS)
@pytest.mark.parametrize("name", [name for name in MEAN_NOTHING if name != "PhoneType"])
def test_nothing_but_blanks_is_nothing(name: str, blank: str) -> None:
    nothing = problems_of(good_row({name: None}))
    found = problems_of(good_row({name: blank * 5}))
    assert [each for each, _ in found] == [each for each, _ in nothing]
    if not nothing and not name.endswith("Country"):
        assert name not in wire_text(good_row({name: blank}))


@pytest.mark.parametrize("name", STAY)
def test_text_of_nothing_but_blanks_stays(name: str) -> None:
    row = good_row({name: "  "})
    assert wire_text(row)[name] == wire_text(MappingProxyType(row))[name] == "  "


def test_a_column_of_a_fixed_width_is_an_unknown_type_of_phone() -> None:
    assert wire_text(good_row({"PhoneType": "        "}))["PhoneType"] == ""


ESCAPED = ["'{}", '="{}"', "\t{}", " '{}", "'\t{}", '="{}" ', ' ="{}"', "\t'{}\n", '=" {} "', "''{}"]


@pytest.mark.parametrize("escape", ESCAPED)
@pytest.mark.parametrize(
    "name", ["CallerId", "CalledPhoneNumber", "CallSessionId", "CallProvider", "VendorEventId", "MediaId", "CampaignId",
             "ActionTrackerId", "AdId"],
)  # fmt: skip
def test_what_a_spreadsheet_puts_around_a_number_or_an_id_is_taken_off(name: str, escape: str) -> None:
    plain = {**MEAN_NOTHING, "CalledPhoneNumber": "+13035550191"}
    assert wire_text(good_row({**plain, name: escape.format(plain[name])})) == wire_text(good_row(plain))


def test_text_keeps_what_a_spreadsheet_puts_around_it() -> None:
    assert (
        wire_text(good_row({"City": "'Aiea", "SubId1": '="x"'})).items() >= {"City": "'Aiea", "SubId1": '="x"'}.items()
    )


def test_a_lookup_and_a_table_of_words_know_a_padded_key() -> None:
    row = good_row({"tracking": "\t(303) 555-0191 ", "partner": " acme", "end": "done  "})
    mapping = {
        "MediaId": {"from": "tracking", "lookup": {"+13035550191": 7}},
        "AdId": {"from": "partner", "lookup": {"acme ": 8}},
        "CallStatus": {"from": "end", "values": {"Done": "ANSWER"}},
    }
    assert wire_text(row, mapping=mapping).items() >= {"MediaId": "7", "AdId": "8", "CallStatus": "ANSWER"}.items()


def test_a_record_tells_what_was_given_and_is_the_same_without_it() -> None:
    bare = CallRecord.of(good_row({"CallSessionId": "A-1"}))
    padded = CallRecord.of(good_row({"CallSessionId": " A-1", "CallProvider": "ExampleVendor\n"}))
    slow = CallRecord(**good_row({"CallSessionId": " A-1", "CallProvider": "ExampleVendor\n"}))
    assert padded == bare == slow
    assert hash(padded) == hash(bare)
    assert padded.as_given == slow.as_given == {"CallSessionId": " A-1", "CallProvider": "ExampleVendor\n"}
    assert bare.as_given == {}
    assert padded.parameters() == bare.parameters()
    assert set(PARAMETERS) >= set(padded.as_given)


@pytest.mark.parametrize("name", ["CallProvider", "CallSessionId", "VendorEventId"])
def test_one_padded_id_among_others_was_given_with_its_blanks(name: str) -> None:
    padded = {name: f" {MEAN_NOTHING[name]}"}
    assert CallRecord.of(good_row(padded)).as_given == padded


@pytest.mark.parametrize("value", [77, 77.0, "77"])
def test_an_id_that_is_a_number_was_given_as_it_leaves(value: Any) -> None:
    assert CallRecord.of(good_row({"CallSessionId": value})).as_given == {}


def test_columns_of_a_fixed_width() -> None:
    """As ``10_char_columns.jsonl`` of the field's."""
    row = json.loads(
        '{"CallSessionId": "C-1", "MediaId": "10000     ", "EventDate": "2026-11-20T10:00:00Z          ", '
        '"CallerId": "+12125550123        ", "CalledPhoneNumber": "3035550191", "CallDuration": "100     ", '
        '"TalkDuration": 60, "CallStatus": "ANSWER    "}'
    )
    assert problems_of({**good_row(), **row}) == []
