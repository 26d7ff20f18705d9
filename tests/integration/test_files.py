"""Calls from files: the same calls as from dicts, and of a file that is broken none at all."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from airflow.providers.common.compat.sdk import ObjectStoragePath
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import assume, given
from hypothesis import strategies as st
from pyarrow import parquet

from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from airflow_provider_impactcall.integration import files
from airflow_provider_impactcall.records import normalize
from airflow_provider_impactcall.records.unreadable import UnreadableRow
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples, facts
from tests.delivery import canary
from tests.facts import named

attach = import_module(f"airflow{'' if version('apache-airflow').startswith('2.') else '.sdk'}.io.store").attach

ENDINGS = [".jsonl", ".ndjson", ".csv", ".gz", ".parquet"]
GIVE_FILES = ["sorted(glob.glob('calls/*.csv'))", "ObjectStoragePath(...).glob('*.csv')", ".csv"]
JSON_LINES = [*ENDINGS, "jq -c '.[]'"]
LISTED = ["calls=['a.csv', 'b.csv']", ".csv"]
REMEDIES = {*GIVE_FILES, *JSON_LINES, *LISTED}
"""What to give instead, by what was given."""
NAMES = ["c.jsonl", "c.NDJSON", "c.csv", "c.jsonl.gz", "c.ndjson.gz", "c.Csv.Gz", "c.parquet"]


def remedies(said: str, *others: str) -> set[object]:
    """Those of all remedies, and of others, that a text has."""
    return {each for each in {*REMEDIES, *others} if str(each) in said}


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_json_lines(rows: Sequence[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def content(name: str, rows: Sequence[Mapping[str, Any]]) -> bytes:
    """A file of that name with these rows, as others would write it."""
    name = name.lower()
    if name.endswith(".parquet"):
        stream = io.BytesIO()
        parquet.write_table(pa.Table.from_pylist(list(rows)), stream)
        return stream.getvalue()
    written = (as_csv if ".csv" in name else as_json_lines)(rows).encode()
    return gzip.compress(written) if name.endswith(".gz") else written


def file(folder: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> Path:
    path = folder / name
    path.write_bytes(content(name, rows))
    return path


def text(folder: Path, name: str, *lines: str) -> str:
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def parameters(sandbox: Sandbox) -> dict[str, Any]:
    """What the sandbox processed, parameter by parameter, by call."""
    return {processed["parameters"]["CallSessionId"]: processed["parameters"] for processed in sandbox.calls}


def counts(report: Any) -> dict[str, int]:
    return {name: count for name, count in report.counts().items() if count}


@pytest.fixture(autouse=True)
def no_open_file() -> Iterator[None]:
    def open_files() -> set[str]:
        found = set()
        for number in os.listdir("/proc/self/fd"):
            try:
                found.add(os.readlink(f"/proc/self/fd/{number}"))
            except FileNotFoundError:
                continue
        return {each for each in found if "/pytest-" in each or ("impactcall-" in each and "(deleted)" in each)}

    before = open_files()
    yield
    assert open_files() - before == set()


class TestDelivered:
    @pytest.mark.parametrize("name", NAMES)
    def test_as_the_same_rows_given_as_dicts(self, name: str, sandbox: Sandbox, tmp_path: Path) -> None:
        rows = [
            canary.row(1),
            canary.row(2, City='Zürich, "Kreis 4"\nunten ', CallDuration=7, TalkDuration=0),
            canary.row(1),
            canary.row(3, CampaignId=""),
            canary.row(4, CampaignId=None),
            canary.row(5),
        ]
        if name.endswith("parquet"):
            rows = [{**row, "CampaignId": row["CampaignId"] or None} for row in rows]
        path = file(tmp_path, name, rows)
        with Sandbox(user=examples.LOGIN, password=examples.PASSWORD).in_thread() as other:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("AIRFLOW_CONN_IMPACTCALL_DEFAULT", examples.connection(other))
                given_as_dicts = ImpactCallHook().deliver(rows)
            expected = parameters(other)
        report = ImpactCallHook().deliver(str(path))
        assert counts(report) == counts(given_as_dicts)
        assert counts(report) == {"rows": 6, "delivered": 3, "duplicate": 1, "rejected": 2}
        assert parameters(sandbox) == expected
        assert expected[f"{canary.WORD}-2"]["City"] == 'Zürich, "Kreis 4"\nunten '

    @pytest.mark.parametrize("name", NAMES)
    @pytest.mark.parametrize(
        "shape", [str, Path, lambda path: f"file://{path}", lambda path: ObjectStoragePath(f"file://{path}")]
    )
    def test_by_a_path_of_any_kind(
        self, shape: Callable[[Path], Any], name: str, sandbox: Sandbox, tmp_path: Path
    ) -> None:
        path = file(tmp_path, name, [canary.row(1), canary.row(2)])
        assert ImpactCallHook().deliver(shape(path)).delivered == 2

    @pytest.mark.parametrize("name", NAMES)
    def test_from_an_object_store(self, name: str, sandbox: Sandbox) -> None:
        attach("memory", fs=MemoryFileSystem())
        url = f"memory://bucket/{name}"
        with ObjectStoragePath(url).open("wb") as stream:  # type: ignore[no-untyped-call]
            stream.write(content(name, [canary.row(1), canary.row(2)]))
        assert ImpactCallHook().deliver(url).delivered == 2

    def test_by_a_path_of_the_working_directory(
        self, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file(tmp_path, "calls.csv", [canary.row(1)])
        monkeypatch.chdir(tmp_path)
        assert ImpactCallHook().deliver("calls.csv").delivered == 1

    @pytest.mark.parametrize(
        "shape",
        [
            lambda a, b, row: [a, b, row],
            lambda a, b, row: (str(a), str(b), [[row]]),
            lambda a, b, row: iter([a, b, [row]]),
            lambda a, b, row: [(each for each in (row,)), b, str(a)],
            lambda a, b, row: {"a": a, "b": b, "row": row}.values(),
        ],
    )
    def test_among_rows(self, shape: Callable[..., Any], sandbox: Sandbox, tmp_path: Path) -> None:
        first = file(tmp_path, "a.csv", [canary.row(1), canary.row(2)])
        second = file(tmp_path, "b.parquet", [canary.row(3), canary.row(2)])
        report = ImpactCallHook().deliver(shape(first, second, canary.row(4)))
        assert counts(report) == {"rows": 5, "delivered": 4, "duplicate": 1}

    @pytest.mark.parametrize(
        "shape",
        [
            lambda path: [["CA1", path]],
            lambda path: [[Path(path)]],
            lambda path: iter([[path]]),
            lambda path: [(each for each in (path,))],
            lambda path: ([[[path]]],),
        ],
    )
    def test_what_lies_deeper_than_the_outermost_sequence_is_no_path(
        self, shape: Callable[..., Any], sandbox: Sandbox, tmp_path: Path
    ) -> None:
        """A cell of nested rows that ends in .csv opens nothing."""
        given = shape(str(file(tmp_path, "a.csv", [canary.row(1)])))
        rejected = 0
        with suppress(InvalidOption):  # which says what the first rows are, if none of them is one
            rejected = ImpactCallHook().deliver(given).rejected
        assert rejected < 2
        assert not sandbox.requests

    @pytest.mark.parametrize(
        "url",
        [
            "sftp://user:canary-p@host.example/calls.csv",
            "ftp://user:canary-p%40x@host.example:21/a/calls.jsonl",
            "s3://key:canary-p/x+y@bucket/calls.parquet",
            "sftp://user:at@canary-p@host.example/calls.csv",
            "sftp://:canary-p@host.example/calls.csv",
        ],
    )
    @pytest.mark.parametrize("given", ["calls", "among", "mapping", "rejects_path", "lookup"])
    def test_no_password_of_a_url_is_repeated(
        self, given: str, url: str, sandbox: Sandbox, no_canary_in_logs: list[str]
    ) -> None:
        from airflow_provider_impactcall.operators.redaction import Redacted

        rows: Any = {"calls": url, "among": [url, canary.row()]}.get(given, [canary.row()])
        by_option: dict[str, dict[str, Any]] = {
            "mapping": {"mapping": f"{url}.yaml"},
            "rejects_path": {"rejects_path": url},
            "lookup": {"mapping": {"City": {"from": "x", "lookup": url.rpartition(".")[0] + ".csv"}}},
        }
        options = by_option.get(given, {})
        with pytest.raises(InvalidOption, match=r"://\*\*\*@.*sftp://conn_id@host") as raised:
            ImpactCallHook().deliver(rows, **options)
        assert canary.found_in(f"{raised.value!r}") == []
        assert canary.found_in(repr(Redacted(url))) == []
        assert "://***@" in repr(Redacted(url))
        assert not sandbox.requests

    @pytest.mark.parametrize(
        "url", ["s3://conn_id@bucket/10:00@x.csv", "sftp://conn_id@host:22/a@b.csv", "http://h:80/a@b.csv"]
    )
    def test_a_connection_s_id_and_a_port_are_no_password(self, url: str) -> None:
        from airflow_provider_impactcall.integration.paths import refuse_credentials, shown

        refuse_credentials(url)
        assert shown(url) == url

    def test_nor_is_one_of_a_path_object_or_of_a_query(self) -> None:
        from airflow_provider_impactcall.integration.paths import refuse_credentials, shown

        path = Path("sftp://user:canary-p@host.example/calls.csv")
        assert shown(path) == "sftp:/***@host.example/calls.csv"
        with pytest.raises(InvalidOption, match=r"sftp:/\*\*\*@host\.example/calls\.csv.*sftp://conn_id@host"):
            refuse_credentials(path)
        assert (
            shown("https://host.example/calls.csv?X-Signature=canary-p&a=b.csv") == "https://host.example/calls.csv?***"
        )
        assert shown("s3://bucket/calls-?.csv") == "s3://bucket/calls-?.csv"

    def test_a_row_with_a_value_like_a_path_is_a_row(self, sandbox: Sandbox, tmp_path: Path) -> None:
        missing = str(tmp_path / "missing.csv")
        assert ImpactCallHook().deliver(canary.row(1, City=missing)).delivered == 1
        assert ImpactCallHook().deliver([[canary.row(2, City=missing)]]).delivered == 1

    @pytest.mark.parametrize("name", NAMES[:-1])
    def test_nothing_of_an_empty_file(self, name: str, sandbox: Sandbox, tmp_path: Path) -> None:
        zipped = name.lower().endswith("gz")
        for written in (b"", b"\n\n"):
            (tmp_path / name).write_bytes(gzip.compress(written) if zipped else written)
            assert ImpactCallHook().deliver(str(tmp_path / name), mapping={"City": "town"}).rows == 0

    def test_the_last_of_two_values_of_a_key(self, sandbox: Sandbox, tmp_path: Path) -> None:
        line = json.dumps(canary.row(1)).removesuffix("}") + ', "SubId2": "first", "SubId2": "last"}'
        assert ImpactCallHook().deliver(text(tmp_path, "calls.jsonl", line)).delivered == 1
        assert parameters(sandbox)[f"{canary.WORD}-1"]["SubId2"] == "last"

    def test_nothing_of_a_header_alone(self, sandbox: Sandbox, tmp_path: Path) -> None:
        path = tmp_path / "calls.parquet"
        columns = list(canary.row())
        parquet.write_table(pa.table({column: pa.array([], pa.string()) for column in columns}), path)
        assert ImpactCallHook().deliver(path).rows == 0
        assert ImpactCallHook().deliver(text(tmp_path, "calls.csv", ",".join(columns))).rows == 0

    def test_a_header_that_lacks_what_every_call_needs_sends_nothing(self, sandbox: Sandbox, tmp_path: Path) -> None:
        columns = [column for column in canary.row() if column != "MediaId"]
        with pytest.raises(InvalidOption, match=r"\bMediaId\b"):
            ImpactCallHook().deliver(text(tmp_path, "calls.csv", ",".join(columns)))

    @pytest.mark.parametrize("name", ["c.csv", "c.jsonl", "c.csv.gz"])
    def test_a_mark_of_the_byte_order_and_any_end_of_line(self, name: str, sandbox: Sandbox, tmp_path: Path) -> None:
        for ending in ("\n", "\r\n", "\r"):
            written = (as_csv if "csv" in name else as_json_lines)([canary.row(ending.encode().hex())])
            marked = ("\ufeff" + ending.join(written.splitlines())).encode()
            (tmp_path / name).write_bytes(gzip.compress(marked) if name.endswith(".gz") else marked)
            assert ImpactCallHook().deliver(tmp_path / name).delivered == 1, ending

    def test_what_json_has_and_other_formats_have_not(self, sandbox: Sandbox, tmp_path: Path) -> None:
        line = json.dumps(canary.row(1, CampaignId=float("nan"), City=float("nan"), Zip=None))
        report = ImpactCallHook().deliver(text(tmp_path, "c.jsonl", line), constants={"CampaignId": 7})
        assert report.delivered == 1
        assert set(parameters(sandbox)[f"{canary.WORD}-1"]) & {"City", "Zip"} == set()

    @pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
    def test_times_and_durations_of_parquet(self, unit: str, sandbox: Sandbox, tmp_path: Path) -> None:
        at = datetime(2026, 9, 10, 22, 55, 32, tzinfo=UTC)
        columns = {name: [value] for name, value in canary.row(1).items()} | {
            "EventDate": pa.array([at], pa.timestamp(unit, "America/New_York")),
            "TalkDuration": pa.array([timedelta(seconds=12)], pa.duration(unit)),
        }
        parquet.write_table(pa.table(columns), tmp_path / "c.parquet")
        assert ImpactCallHook().deliver(tmp_path / "c.parquet").delivered == 1
        sent = parameters(sandbox)[f"{canary.WORD}-1"]
        assert (sent["EventDate"], sent["TalkDuration"]) == ("2026-09-10T18:55:32-04:00", "12")

    def test_times_finer_than_python_s_lose_no_call(self, sandbox: Sandbox, tmp_path: Path) -> None:
        moment = pa.array([1_757_544_932_123_456_789], pa.int64()).cast(pa.timestamp("ns", "UTC"))
        columns = {name: [value] for name, value in canary.row(1).items()} | {"EventDate": moment}
        parquet.write_table(pa.table(columns), tmp_path / "c.parquet")
        assert ImpactCallHook().deliver(tmp_path / "c.parquet").delivered == 1
        assert parameters(sandbox)[f"{canary.WORD}-1"]["EventDate"] == "2025-09-10T22:55:32+00:00"


class TestBadLines:
    """They cost none of the good rows beside them."""

    def reasons(self, path: str, rejects: Path, **options: Any) -> tuple[dict[str, Any], list[tuple[int, str]]]:
        report = ImpactCallHook().deliver(path, rejects_path=str(rejects), **options)
        lines = [json.loads(line) for line in rejects.read_text().splitlines()]
        assert canary.found_in(json.dumps([line["reasons"] for line in lines])) == []
        return counts(report), [(line["row"], line["reasons"][0]) for line in lines]

    def placed(self, lines: list[tuple[int, str]], path: str) -> list[tuple[int, str, list[int]]]:
        """Of each row the place, what is wrong with it, and the numbers that are said of it beside the path."""
        assert [row for row, reason in lines if path not in reason] == []
        return [(row, said.split()[0], sorted(facts.numbers(said.replace(path, "")))) for row, said in lines]

    def test_of_json(self, sandbox: Sandbox, tmp_path: Path) -> None:
        good = [json.dumps(canary.row(number)) for number in range(3)]
        bad = [
            f'["{canary.CALLER}"]',
            f'{{"CallerId": "{canary.CALLER}"',
            f'"{canary.WORD}"',
            "9" * 5000,
            "[" * 100_000,
        ]
        path = text(tmp_path, "c.jsonl", good[0], bad[0], "", *bad[1:], good[1], "\t", good[2])
        found, lines = self.reasons(path, tmp_path / "rejects.jsonl")
        assert found == {"rows": 8, "delivered": 3, "rejected": 5}
        numbers = (2, 4, 5, 6, 7)
        assert self.placed(lines, path) == [(row, "row", [n]) for row, n in enumerate(numbers, start=2)]

    def test_of_csv(self, sandbox: Sandbox, tmp_path: Path) -> None:
        header, first, second = (
            as_csv([canary.row(1, City="two\nlines"), canary.row(2)]).split("\r\n", 1)[0],
            *[as_csv([canary.row(number, City="two\nlines")]).split("\r\n", 1)[1].rstrip() for number in (1, 2)],
        )
        path = text(tmp_path, "c.csv", header, first, canary.WORD, "", f"{second},{canary.CALLER}", second)
        found, lines = self.reasons(path, tmp_path / "rejects.jsonl")
        assert found == {"rows": 4, "delivered": 2, "rejected": 2}
        assert self.placed(lines, path) == [(2, "row", [1, 4, 14]), (3, "row", [6, 14, 15])]

    def test_of_parquet(self, sandbox: Sandbox, tmp_path: Path) -> None:
        good = int(datetime(2026, 9, 10, tzinfo=UTC).timestamp())
        rows = [canary.row(number) for number in range(1500)]
        columns = {name: [row[name] for row in rows] for name in rows[0]} | {
            "EventDate": pa.array([good if n != 1200 else 10**12 for n in range(1500)], pa.timestamp("s", "UTC"))
        }
        path = tmp_path / "c.parquet"
        parquet.write_table(pa.table(columns), path)
        found, lines = self.reasons(str(path), tmp_path / "rejects.jsonl", dry_run=True)
        assert found == {"rows": 1500, "not_sent": 1499, "rejected": 1}
        ((row, reason),) = lines
        assert (row, reason.split()[0], named(reason, "OverflowError")) == (1201, "EventDate", ["OverflowError"])

    @pytest.mark.parametrize("zone", ["Foo/Bar", "GMT+5", "+99:00", "America"])
    def test_of_parquet_in_an_unknown_zone(self, zone: str, sandbox: Sandbox, tmp_path: Path) -> None:
        """Only a time that a call needs costs the call."""
        at, later = (datetime(2026, 9, 10, hour, tzinfo=UTC) for hour in (12, 13))
        columns = {name: [value] * 2 for name, value in canary.row(1).items()} | {
            "CallSessionId": ["a", "b"],
            "EventDate": [at.isoformat()] * 2,
            "created": pa.array([at, later], pa.timestamp("ns", zone)),
            "day": pa.array([at, None], pa.timestamp("us", zone)),
        }
        path = tmp_path / "c.parquet"
        parquet.write_table(pa.table(columns), path)
        assert ImpactCallHook().deliver(path).delivered == 2
        mapping = {"EventDate": {"first_of": ["day", "EventDate"]}}
        found, lines = self.reasons(str(path), tmp_path / "rejects.jsonl", dry_run=True, mapping=mapping)
        assert found["rejected"] == 1
        ((row, reason),) = lines
        assert (row, reason.split()[0]) == (1, "EventDate")  # pyarrow raises an error of pytz, if that is installed


def broken(tmp_path: Path) -> Mapping[str, tuple[bytes, list[object]]]:
    """Files that are broken after 2,000 good rows, and what each complaint names beside the file."""
    rows = [canary.row(number) for number in range(2000)]
    plain, lines = as_csv(rows).encode(), as_json_lines(rows).encode()
    whole = content("c.parquet", rows)
    twice = pa.table([pa.array(["a"]), pa.array(["b"])], names=["CallerId", "CallerId"])
    stream = io.BytesIO()
    parquet.write_table(twice, stream)
    corrupt = bytearray(whole)
    corrupt[100:-2000] = b"\xff" * len(corrupt[100:-2000])
    return {
        "quote.csv": (
            plain + f'"{canary.WORD}\n{canary.WORD}\n'.encode(),
            [2002, "unexpected end of data"],
        ),
        "quoted.csv": (plain + f'"{canary.WORD}"x\n'.encode(), [2002, "',' expected after '\"'"]),
        "latin.csv": (
            plain + f"{canary.WORD}\xfc\n".encode("latin-1"),
            [2002, "UTF-8", "csv_encoding"],
        ),
        "latin.jsonl": (lines + f"{canary.WORD}\xfc\n".encode("latin-1"), [2001, "UTF-8"]),
        "utf-16.csv": (as_csv(rows).encode("utf-16"), [1, "UTF-8", "csv_encoding"]),
        "long.jsonl": (lines + b"x" * 17_000_000, [2001, 16777216]),
        "header.csv": (f"{canary.WORD},{canary.WORD}\na,b\n".encode(), []),
        "cut.csv.gz": (gzip.compress(plain)[:-2000], ["gzip"]),
        "cut.jsonl.gz": (gzip.compress(lines)[:-4], ["gzip"]),
        "garbled.csv.gz": (gzip.compress(plain)[:2000] + b"\x00" * 3000, ["gzip"]),
        "not.csv.gz": (plain, ["gzip"]),
        "nothing.csv.gz": (b"", ["gzip"]),
        "nothing.jsonl.gz": (b"", ["gzip"]),
        "cut.parquet": (whole[:-3000], ["ArrowInvalid"]),
        "empty.parquet": (b"", ["ArrowInvalid"]),
        "corrupt.parquet": (bytes(corrupt), ["OSError"]),
        "twice.parquet": (stream.getvalue(), []),
    }


class TestBrokenFiles:
    """Nothing of one is sent, and nothing of what is beside it."""

    @pytest.mark.parametrize("name", broken(Path()))
    def test_is_said_by_name_and_line(self, name: str, sandbox: Sandbox, tmp_path: Path) -> None:
        written, complaint = broken(tmp_path)[name]
        every = {fact for _, each in broken(tmp_path).values() for fact in each}
        path = tmp_path / name
        path.write_bytes(written)
        good = file(tmp_path, "good.csv", [canary.row("good")])
        for calls in (path, f"file://{path}", [canary.row("other"), good, path]):
            with pytest.raises(InvalidOption) as raised:
                ImpactCallHook().deliver(calls)
            shown = calls if isinstance(calls, str) else path
            path_of, _, said = str(raised.value).partition(name)
            assert f"{path_of}{name}" == f"{shown}"
            assert set(named(said, *every)) == set(complaint)
            assert canary.found_in(str(raised.value)) == []
            assert raised.value.__suppress_context__ or raised.value.__context__ is None
        assert not sandbox.requests

    @pytest.mark.parametrize(
        ("calls", "item", "remedy"),
        [
            (lambda good, home: [[good]], 1, LISTED),
            (lambda good, home: [(good, Path(good)), [good]], 1, LISTED),
            (lambda good, home: [good, [[good]]], 2, LISTED),
            (lambda good, home: iter([[good], [good]]), 1, LISTED),
            (lambda good, home: [home], 1, GIVE_FILES),
            (lambda good, home: (good, f"{home}/"), 2, GIVE_FILES),
            (lambda good, home: iter([home, good]), 1, GIVE_FILES),
            (lambda good, home: [good, f"{home}/*"], 2, GIVE_FILES),
            (lambda good, home: [good, f"{good}.json"], 2, JSON_LINES),
            (lambda good, home: [good, '{"CallSessionId": "c1"}'], 2, ENDINGS),
        ],
    )
    def test_a_list_that_is_no_list_of_paths_is_refused_at_once(
        self, calls: Callable[[str, str], Any], item: int, remedy: list[str], sandbox: Sandbox, tmp_path: Path
    ) -> None:
        good = str(file(tmp_path, "good.csv", [canary.row(1)]))
        with pytest.raises(InvalidOption) as raised:
            ImpactCallHook().deliver(calls(good, str(tmp_path)))
        assert facts.numbers(str(raised.value)) == [item]
        assert remedies(str(raised.value)) == set(remedy)
        assert not sandbox.requests

    def test_rows_beside_what_is_none_are_sent(self, sandbox: Sandbox, tmp_path: Path) -> None:
        good = str(file(tmp_path, "good.csv", [canary.row(1)]))
        for rows in ([canary.row(1), [good]], [canary.row(2), str(tmp_path)]):
            report = ImpactCallHook().deliver(rows)
            assert (report.delivered, report.rejected) == (1, 1)

    @pytest.mark.parametrize(
        ("path", "remedy"),
        [
            ("missing.csv", ["No such file or directory"]),
            ("folder.csv", GIVE_FILES),
            ("calls-*.csv", GIVE_FILES),
            ("calls.json", JSON_LINES),
            ("good.csv/calls.csv", ["Not a directory"]),
            ("calls.txt", ENDINGS),
            ("calls.parquet.gz", ENDINGS),
        ],
    )
    def test_what_cannot_be_read(self, path: str, remedy: list[str], sandbox: Sandbox, tmp_path: Path) -> None:
        (tmp_path / "folder.csv").mkdir()
        file(tmp_path, "good.csv", [canary.row(1)])
        for calls in (tmp_path / path, [canary.row(1), tmp_path / path]):
            with pytest.raises(InvalidOption) as raised:
                ImpactCallHook().deliver(calls)
            before, found, said = str(raised.value).partition(str(tmp_path / path))
            assert (before, bool(found)) == ("", True)
            assert remedies(said, "No such file or directory", "Not a directory") == set(remedy)
        assert not sandbox.requests

    @pytest.mark.parametrize("url", ["memory://nowhere/missing.csv", "nosuch://bucket/calls.csv"])
    def test_what_an_object_store_has_not(self, url: str, sandbox: Sandbox) -> None:
        attach("memory", fs=MemoryFileSystem())
        with pytest.raises(InvalidOption) as raised:
            ImpactCallHook().deliver(url)
        assert str(raised.value).startswith(url)

    @pytest.mark.parametrize(
        "calls", [f"[{{'CallRecording': '{canary.RECORDING}.csv'}}]\n", f"{canary.CALLER}", f"['{canary.WORD}.csv", ""]
    )
    def test_text_that_is_no_path(self, calls: str, sandbox: Sandbox) -> None:
        with pytest.raises(InvalidOption) as raised:
            ImpactCallHook().deliver(calls)
        assert remedies(str(raised.value), "render_template_as_native_obj=True") == {
            "render_template_as_native_obj=True",
            *ENDINGS,
        }
        assert canary.found_in(str(raised.value)) == []

    def test_parquet_without_pyarrow(self, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = file(tmp_path, "c.parquet", [canary.row(1)])
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(InvalidOption, match=r"pip install 'airflow-provider-impactcall\[parquet\]'"):
            ImpactCallHook().deliver(path)

    @pytest.mark.parametrize("name", ["c.csv", "c.parquet"])
    def test_a_misspelt_column_sends_nothing(self, name: str, sandbox: Sandbox, tmp_path: Path) -> None:
        path = file(tmp_path, name, [canary.row(1)])
        for calls in (path, [path, path]):
            with pytest.raises(InvalidOption, match=r"\bmapping\b.*'twon'.*'zip'"):
                ImpactCallHook().deliver(calls, mapping={"City": "twon", "Zip": "zip"})
        assert not sandbox.requests

    def test_a_column_that_json_lines_may_leave_out(self, sandbox: Sandbox, tmp_path: Path) -> None:
        path = file(tmp_path, "c.jsonl", [canary.row(1)])
        assert ImpactCallHook().deliver(path, mapping={"SubId2": "sub"}).delivered == 1

    def test_a_store_that_fails_is_no_wrong_option(self, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
        def slow_down(*_: Any, **__: Any) -> Any:
            raise TimeoutError("SlowDown")

        monkeypatch.setattr(ObjectStoragePath, "open", slow_down)
        with pytest.raises(TimeoutError):
            ImpactCallHook().deliver("memory://bucket/calls.csv")
        assert not sandbox.requests

    def test_what_a_generator_named_before_was_delivered(self, sandbox: Sandbox, tmp_path: Path) -> None:
        good = file(tmp_path, "good.csv", [canary.row(1)])
        reports: list[Any] = []
        with pytest.raises(InvalidOption, match=r"missing\.csv"):
            ImpactCallHook().deliver(iter([good, tmp_path / "missing.csv"]), on_report=reports.append)
        assert counts(reports[0]) == {"rows": 1, "delivered": 1}


# Properties

NAMED = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def read_back(path: Path) -> list[Any]:
    with files.opened(path) as rows:
        assert len(rows) == len(list(rows))
        return list(rows)


@given(st.lists(st.dictionaries(st.text(), JSON, max_size=5), max_size=5), st.booleans(), st.booleans())
def test_what_json_writes_as_lines_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], ascii_only: bool, zipped: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / ("rows.jsonl.gz" if zipped else "rows.jsonl")
    # Half a surrogate pair is no UTF-8, and JSON writes it only as an escape.
    lines = [json.dumps(row, ensure_ascii=ascii_only) for row in rows]
    written = "".join(f"{line}\n" for line in lines).encode(errors="replace")
    expected = [json.loads(line) for line in written.decode().split("\n") if line]
    path.write_bytes(gzip.compress(written) if zipped else written)
    assert read_back(path) == expected


@given(
    st.lists(NAMED.map(normalize.bare).filter(bool), min_size=1, max_size=5, unique=True).flatmap(
        lambda columns: st.tuples(
            st.just(columns),
            st.lists(
                st.lists(
                    st.text(st.characters(exclude_categories=["Cs"])), min_size=len(columns), max_size=len(columns)
                )
            ),
        )
    ),
    st.sampled_from(["excel", "unix"]),
)
def test_what_csv_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, table: tuple[list[str], list[list[str]]], dialect: str
) -> None:
    columns, rows = table
    assume(len(columns) > 1 or not re.search(r"[;\t|]", columns[0]))
    assume(not re.match(r"[\[{]|sep=", columns[0], re.IGNORECASE))
    path = tmp_path_factory.getbasetemp() / "rows.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, dialect).writerows([columns, *rows])
    given_back = [[None if normalize.bare(value) == r"\N" else value for value in row] for row in rows]
    assert read_back(path) == [dict(zip(columns, row, strict=True)) for row in given_back]


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_values_that_are_separated_otherwise_are_refused_at_once(separator: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidOption) as raised:
        read_back(Path(text(tmp_path, "c.csv", separator.join(canary.row()), "1")))
    assert f"csv_delimiter={separator!r}" in str(raised.value)


def test_a_list_of_objects_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match=r"\bc\.jsonl\b"):
        read_back(Path(text(tmp_path, "c.jsonl", "[", '{"a": 1}', "]")))


@given(st.binary(max_size=300), st.sampled_from(NAMES))
def test_any_bytes_are_rows_or_one_error(tmp_path_factory: pytest.TempPathFactory, written: bytes, name: str) -> None:
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(written)
    # Any other exception is a failure.
    with suppress(InvalidOption):
        assert all(isinstance(row, (dict, UnreadableRow)) for row in read_back(path))


# Memory

PEAK = """
import sys
from airflow_provider_impactcall.integration.files import opened

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))

def read(path):
    with opened(path) as rows:
        return sum(1 for row in rows)

small, large = sys.argv[1:]
assert read(small) == 3_000
before = peak()
assert read(large) == 300_000
print("grown by", peak() - before)
"""


def write_many(path: Path, count: int) -> Path:
    row = canary.row(1)
    if path.suffix == ".parquet":
        columns = {name: pa.array([value] * count) for name, value in row.items()}
        columns["CallSessionId"] = pa.array([f"call-{number}" for number in range(count)])
        parquet.write_table(pa.table(columns), path)
        return path
    rows = (row | {"CallSessionId": f"call-{number}"} for number in range(count))
    with gzip.open(path, "wt", newline="") if path.suffix == ".gz" else path.open("w", newline="") as stream:
        if "csv" in path.name:
            writer = csv.DictWriter(stream, list(row))
            writer.writeheader()
            writer.writerows(rows)
        else:
            stream.writelines(json.dumps(each) + "\n" for each in rows)
    return path


FORMATS = ["c.jsonl", "c.csv.gz", "c.parquet"]


@pytest.mark.parametrize("name", FORMATS)
def test_python_holds_no_more_of_a_longer_file(name: str, tmp_path: Path) -> None:
    def most(count: int) -> float:
        path = write_many(tmp_path / f"{count}-{name}", count)
        tracemalloc.start()
        try:
            with files.opened(path) as rows:
                assert sum(1 for _ in rows) == count
            return tracemalloc.get_traced_memory()[1] / 1e6
        finally:
            tracemalloc.stop()

    most(10)  # What is imported then stays.
    few, many = most(2_000), most(8_000)
    # A chunk of 1,000 rows is 3 MB, and all rows of the longer file are 10.
    assert many < few + 0.5, f"{few} MB, and {many}"


# All of these rows in memory are more than 300 MB. Arrow's allocator keeps up to 30 MB, however many rows there are.
@pytest.mark.long
@pytest.mark.parametrize(("name", "most"), zip(FORMATS, [10, 10, 60], strict=True))
def test_memory_is_flat(name: str, most: float, tmp_path: Path) -> None:
    small, large = write_many(tmp_path / f"small-{name}", 3_000), write_many(tmp_path / f"large-{name}", 300_000)
    done = subprocess.run([sys.executable, "-c", PEAK, small, large], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    grown = float(done.stdout.rpartition("grown by")[2])
    assert grown < most, f"{grown} MB more for a hundred times the rows"
