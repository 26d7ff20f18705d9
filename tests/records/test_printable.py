from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_impactcall.records.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x9b2J", r"\x9b2J"),
        ("a\u202eb\u2028c", r"a\u202eb\u2028c"),
        ("\x00\x7f\ud800", r"\x00\x7f\ud800"),
        ("caf\u00e9 \u96fb\u8a71 'a' \"b\" \\n", "caf\u00e9 \u96fb\u8a71 'a' \"b\" \\n"),
    ],
)
def test_what_cannot_be_printed_is_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(st.characters(exclude_characters="\\'")))
def test_the_text_can_be_told_from_what_is_printed(text: str) -> None:
    assert printable(text).isprintable()
    assert ast.literal_eval(f"'{printable(text)}'") == text
