"""What this package writes as CSV is text to every spreadsheet, whatever separates its cells."""

from __future__ import annotations

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_impactcall.delivery.csv_cells import csv_lines

FORMULA = re.compile("[=+\\-@\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}\N{FULLWIDTH COMMERCIAL AT}]")


def written(*values: object) -> str:
    return "".join(csv_lines(["a"], [{"a": value} for value in values]))


def cells(text: str, delimiter: str = ",") -> list[str]:
    """The cells as a spreadsheet that splits at this delimiter sees them; quotes may have lost their meaning."""
    if delimiter == ",":
        return [cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row]
    return re.split(rf"[{delimiter}\r\n]", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        (" =1+1", " '=1+1"),
        ("\u00a0\u3000=1+1", "'\u00a0\u3000'=1+1"),
        ("\t=1+1", "'\t'=1+1"),
        ("\r\n=1+1", "'\r\n'=1+1"),
        ("\tx", "'\tx"),
        ("x;=1+1", "x;'=1+1"),
        ("x; =1+1", "x; '=1+1"),
        ("x,@y", "x,'@y"),
        ("x|-1", "x|'-1"),
        ("x\n=1+1", "x\n'=1+1"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ('x";"=1+1;', 'x";"\'=1+1;'),
        ('"=1+1', "\"'=1+1"),
        ('x| "" @y', 'x| "" \'@y'),
        ("x;\u200b=1+1", "x;\u200b'=1+1"),
        ("x;\ufeff=1+1", "x;\ufeff'=1+1"),
        ("x,\x1b-1", "x,\x1b'-1"),
        ("\ufe661+1", "'\ufe661+1"),
        ("a - b", "a - b"),
        ("2026-09-10T22:55:32-08:00", "2026-09-10T22:55:32-08:00"),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_a_text(text: str, expected: str) -> None:
    assert cells(written(text)) == ["a", expected]


def test_text_is_quoted_and_a_number_is_none() -> None:
    assert written("x", 5, -5, None, "005") == 'a\r\n"x"\r\n5\r\n-5\r\n""\r\n"005"\r\n'


@given(
    st.lists(st.sampled_from("=+-@\uff1d;,|\t\r\n \u00a0ax'\"0"), max_size=8).map("".join),
    st.sampled_from([",", ";", "\t", "|"]),
)
def test_no_text_begins_a_formula_in_any_cell(text: str, delimiter: str) -> None:
    for cell in cells(written(text), delimiter):
        assert not FORMULA.match(cell.lstrip().lstrip('"').lstrip()) or cell.lstrip().startswith('"'), cell
