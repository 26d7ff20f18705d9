"""CSV and JSON Lines as people's programs write them: read where there is one way to, else refused at once."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_impactcall.delivery.ledger.edits import Author
from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from airflow_provider_impactcall.hooks.ledger import ImpactCallLedgerHook
from airflow_provider_impactcall.integration.files import opened, rows_of
from airflow_provider_impactcall.integration.text_files import CsvFormat
from airflow_provider_impactcall.operators.impactcall import ImpactCallOperator
from airflow_provider_impactcall.records.unreadable import UnreadableRow
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples
from tests.delivery import canary
from tests.facts import named, numbers


def read(folder: Path, written: str | bytes, name: str = "c.csv", **how: Any) -> list[Any]:
    path = folder / name
    path.write_bytes(written if isinstance(written, bytes) else written.encode())
    with opened(path, CsvFormat(**how)) as rows:
        return list(rows)


def refusal(folder: Path, written: str | bytes, name: str = "c.csv", **how: Any) -> str:
    with pytest.raises(InvalidOption) as raised:
        read(folder, written, name, **how)
    assert canary.found_in(str(raised.value)) == []
    before, path, said = str(raised.value).partition(str(folder / name))
    assert (before, bool(path)) == ("", True)
    return said


def numbers_of(bad: Any, folder: Path) -> set[int]:
    """What is said of a row in numbers: its line, and how many values."""
    assert isinstance(bad, UnreadableRow)
    before, path, after = bad.problem.partition(str(folder / "c.csv"))
    assert path
    return {*numbers(before), *numbers(after)}


AB = {"a": "1", "b": "2"}


@pytest.mark.parametrize(
    ("written", "rows"),
    [
        ("a,b,,\n1,2,,\n", [AB]),
        ("a,b,,\n1,2\n", [AB]),
        ("a,b, ,\n1,2, ,\n", [AB]),
        ("a,,b\n1,,2\n", [AB]),
        ("a,,,b,\n1,,,2,\n", [AB]),
        (",a,b\n0,1,2\n1,1,2\n", [AB, AB]),  # pandas' index
        ("a,b,\n1,2,\n\n1,2,\n", [AB, AB]),
        ("a,b\n", []),
        ("", []),
    ],
)
def test_columns_without_a_name_are_left_out(written: str, rows: list[Any], tmp_path: Path) -> None:
    assert read(tmp_path, written) == rows


@pytest.mark.parametrize("written", ["a,b,,\n1,2,x,\n", "a,b,\n1,Oslo, NO\n"])
def test_a_value_behind_the_last_name_rejects_its_row_alone(written: str, tmp_path: Path) -> None:
    """A comma too many moves values into other columns, and another partner would be paid."""
    bad, good = read(tmp_path, written + "1,2,\n")
    assert good == AB
    assert isinstance(bad, UnreadableRow)
    assert numbers_of(bad, tmp_path) == {2}


@pytest.mark.parametrize(
    ("written", "rows"),
    [
        ("a, b\n1, 2\n", [AB]),
        ("a,  b\n1,   2\n", [AB]),
        (' a , b \n1, "2"\n', [AB]),
        ('a, b\n"1", "x, ""y"""\n', [{"a": "1", "b": 'x, "y"'}]),
        ("a,b\n1, 2\n", [{"a": "1", "b": " 2"}]),  # The blanks of a text that has some.
        ("a, b,c\n1, 2,3\n", [{"a": "1", "b": " 2", "c": "3"}]),
        ("a\u00a0,\tb\n1,2\n", [AB]),
    ],
)
def test_blanks_after_commas(written: str, rows: list[Any], tmp_path: Path) -> None:
    assert read(tmp_path, written) == rows


@pytest.mark.parametrize(
    ("line", "separator"),
    [
        ("sep=,", ","),
        ("sep=;", ";"),
        ("SEP=|", "|"),
        ('"sep=;"', ";"),
        ("sep=\t", "\t"),
        (r"sep=\t", "\t"),
        ("sep=;;;", ";"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("how", [{}, {"delimiter": "|"}])
def test_a_first_line_that_names_the_separator(
    line: str, separator: str, end: str, how: dict[str, str], tmp_path: Path
) -> None:
    written = end.join([line, f"a{separator}b", f"1{separator}2", f"1{separator}2{separator}3", ""])
    good, bad = read(tmp_path, "\ufeff" + written, **how)
    assert good == AB
    assert numbers_of(bad, tmp_path) == {4, 3, 2}


@pytest.mark.parametrize("line", ["sep=", "sep=x"])
def test_a_first_line_that_names_none(line: str, tmp_path: Path) -> None:
    assert refusal(tmp_path, f"{line}\na,b\n") != refusal(tmp_path, ",,\n1,2,3\n")


@given(
    st.sampled_from(",;\t|^~\x01 "),
    st.sampled_from(["utf-8", "utf-8-sig", "cp1252", "latin-1", "utf-16", "utf-16-le", "utf-32"]),
    st.lists(st.lists(st.text(st.sampled_from('aé"; ,|\t\n^~\x01'), max_size=5), min_size=2, max_size=2), max_size=4),
)
def test_what_is_written_in_any_form_is_read_in_it(
    tmp_path_factory: pytest.TempPathFactory, delimiter: str, encoding: str, rows: Sequence[Sequence[str]]
) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([["name", "prénom"], *rows])
    found = read(
        tmp_path_factory.getbasetemp(), text.getvalue().encode(encoding), delimiter=delimiter, encoding=encoding
    )
    assert found == [dict(zip(("name", "prénom"), row, strict=True)) for row in rows]


@pytest.mark.parametrize("delimiter", ["", ";;", "x", "5", '"', "\n", None, 5])
def test_a_delimiter_that_is_none(delimiter: Any, sandbox: Sandbox) -> None:
    for act in (ImpactCallHook().deliver, ImpactCallHook().check):
        with pytest.raises(InvalidOption, match="csv_delimiter"):
            act(examples.calls(1), csv_delimiter=delimiter)
    assert not sandbox.requests


@pytest.mark.parametrize("encoding", ["no-such", "", "base64", "rot13", 5, None, "utf\0"])
def test_an_encoding_that_is_none(encoding: Any, sandbox: Sandbox) -> None:
    with pytest.raises(InvalidOption, match="csv_encoding"):
        ImpactCallHook().deliver(examples.calls(1), csv_encoding=encoding)
    assert not sandbox.requests


@pytest.mark.parametrize(
    ("written", "encoding", "line"),
    [
        ("a,b\né,2\n".encode("cp1252"), "UTF-8", 2),
        (b"a,b\n\x81,2\n", "cp1252", 2),
        ("a,b\n".encode("utf-16-le")[:-1], "utf-16-le", 1),
        (b"a,b\n", "utf-32", 1),
    ],
)
def test_bytes_of_another_encoding(written: bytes, encoding: str, line: int, tmp_path: Path) -> None:
    facts = [line, encoding, "csv_encoding"]
    assert named(refusal(tmp_path, written, encoding=encoding), *facts) == facts


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        (r"\N", None),
        (r" \N ", None),
        (r'"\N"', None),
        (r"\n", r"\n"),
        (r"\N.", r"\N."),
        (r"x\N", r"x\N"),
        ("NULL", "NULL"),
    ],
)
def test_the_mark_of_nothing_that_databases_write(cell: str, value: str | None, tmp_path: Path) -> None:
    assert read(tmp_path, f"a,b\n{cell},2\n") == [{"a": value, "b": "2"}]


PRETTY = json.dumps(canary.row(), indent=2)


@pytest.mark.parametrize(
    "written",
    [
        PRETTY,
        f"\n\n{PRETTY}\n{PRETTY}\n",
        json.dumps(canary.row(), indent=0),
        json.dumps(canary.row(), indent="\t").replace("{\n", "{", 1),
        json.dumps({"calls": [canary.row()] * 3}, indent=1),
        json.dumps({"calls": [canary.row()] * 300}, indent=1).replace("{\n", "{", 1),
        PRETTY[:100],
    ],
)
def test_an_object_over_many_lines_is_refused_at_once(written: str, tmp_path: Path) -> None:
    said = refusal(tmp_path, written, "c.jsonl")
    assert named(said, ".jsonl", "jq -c .") == [".jsonl", "jq -c ."]


@pytest.mark.parametrize("first", ['{"a": 1', '{"a": 1}}', "x", '"{"', "{}{}", '{"a": [', "5"])
def test_a_first_line_that_is_no_object_costs_itself_alone(first: str, tmp_path: Path) -> None:
    bad, *good = read(tmp_path, f"{first}\n" + '{"a": 1}\n' * 300, "c.jsonl")
    assert isinstance(bad, UnreadableRow)
    assert good == [{"a": 1}] * 300


@pytest.mark.parametrize("written", ["[\n{}\n]", "\n  [{}]", '[["a"]]'])
def test_a_list_is_refused_at_once(written: str, tmp_path: Path) -> None:
    assert refusal(tmp_path, written, "c.jsonl") != refusal(tmp_path, PRETTY, "c.jsonl")


@pytest.mark.parametrize("written", [PRETTY, json.dumps(canary.row()), "[\n  {}]", '[["a", 1]]', ' [ "a"]'])
def test_json_that_is_read_as_csv_is_refused_at_once(written: str, tmp_path: Path) -> None:
    assert ".jsonl" in refusal(tmp_path, written)


def test_a_header_without_a_name(tmp_path: Path) -> None:
    assert refusal(tmp_path, ",,\n1,2,3\n") != refusal(tmp_path, "id, id\n1,2\n")


FOLDERS = [
    "{folder}",
    "{folder}/",
    "file://{folder}",
    "{folder}/*.csv",
    "{folder}/calls-2026-??.csv",
    "{folder}/c[12].jsonl",
]


@pytest.mark.parametrize("named", FOLDERS)
@pytest.mark.parametrize("shape", [str, Path])
def test_a_folder_or_a_pattern_is_answered_with_what_to_give(
    named: str, shape: Any, sandbox: Sandbox, tmp_path: Path
) -> None:
    (tmp_path / "calls.csv").write_text("a\n1\n")
    if shape is Path and "://" in named:
        pytest.skip("a local path is no URL")
    path = named.format(folder=tmp_path)
    for calls in (shape(path), [shape(path)]) if shape is Path else (path,):
        with pytest.raises(InvalidOption, match=r"sorted\(glob\.glob\('calls/\*\.csv'\)\)"):
            ImpactCallHook().deliver(calls)
    with pytest.raises(InvalidOption, match=r"sorted\(glob\.glob"), rows_of(path):
        pass
    assert not sandbox.requests


@pytest.mark.parametrize("how", [{}, {"csv_delimiter": ";", "csv_encoding": "cp1252"}])
def test_the_options_reach_every_way_to_a_file(how: dict[str, Any], sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "c.csv"
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(canary.row()), delimiter=how.get("csv_delimiter", ","))
    writer.writeheader()
    writer.writerows(canary.row(number, City="Zürich") for number in range(2))
    path.write_bytes(text.getvalue().encode(how.get("csv_encoding", "utf-8")))
    assert ImpactCallHook().check(str(path), **how).would_send == 2
    assert ImpactCallLedgerHook().adopt(iter([path]), Author("me", "a test"), **how).adopted == 2
    assert ImpactCallOperator(task_id="t", calls=[path], ledger_namespace="n", **how).execute({})["delivered"] == 2
    assert {each["parameters"]["City"] for each in sandbox.calls} == {"Zürich"}
