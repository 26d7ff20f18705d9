"""Mappings kept in files, and lookups whose tables lie in CSV files and databases. No value of a table is named."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, ObjectStoragePath
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_impactcall.cli.arguments import MAPPING_FILES
from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from airflow_provider_impactcall.integration.mapping_files import ENDINGS, loaded
from airflow_provider_impactcall.records import CallMapping
from airflow_provider_impactcall.sandbox import Sandbox
from tests.databases import as_connection, empty_database
from tests.delivery import canary
from tests.documentation import ROOT, blocks
from tests.examples import call
from tests.facts import named, numbers

DOCUMENTATION = ROOT / "docs" / "mapping.md"
YAML = """\
# What the warehouse calls them.
CallerId: from_number
Zip: {constant: 02139}
OptInSms: {constant: no}
CalledPhoneNumber: {constant: +13035550191}
EventDate: {first_of: [ended_at, started_at]}
CallStatus:
  from: status
  values:
    yes: ANSWER
    off: CANCEL
    voicemail: NO_TRANSFER_ATTEMPT
  default: ~
MediaId:
  from: tracking_number
  lookup: {3035550191: 20001, "3035550100": 20002}
"""
MAPPING = {
    "CallerId": "from_number",
    "Zip": {"constant": "02139"},
    "OptInSms": {"constant": "no"},
    "CalledPhoneNumber": {"constant": "+13035550191"},
    "EventDate": {"first_of": ["ended_at", "started_at"]},
    "CallStatus": {
        "from": "status",
        "values": {"yes": "ANSWER", "off": "CANCEL", "voicemail": "NO_TRANSFER_ATTEMPT"},
        "default": None,
    },
    "MediaId": {"from": "tracking_number", "lookup": {"3035550191": "20001", "3035550100": "20002"}},
}
PARTNERS = "tracking_number,media_id\n3035550191,20001\n(303) 555-0100,20002\n"
TABLE = {"3035550191": "20001", "(303) 555-0100": "20002"}
LOOKUP = ["mapping", "MediaId"]


def file(folder: Path, name: str, content: str | bytes) -> str:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def refusal(mapping: Any) -> str:
    with pytest.raises(InvalidOption) as raised:
        loaded(mapping)
    assert canary.found_in(str(raised.value)) == []
    return str(raised.value)


def by(lookup: Any) -> dict[str, Any]:
    return {"MediaId": {"from": "tracking_number", "lookup": lookup}}


def table_of(lookup: Any) -> Any:
    whole: Any = loaded(by(lookup))
    return whole["MediaId"]["lookup"]


class TestFiles:
    @pytest.mark.parametrize("ending", [*ENDINGS, ".YAML"])
    def test_are_the_mapping_that_they_hold(self, tmp_path: Path, ending: str) -> None:
        content = json.dumps(MAPPING) if ending == ".json" else YAML
        path = file(tmp_path, f"calls{ending}", content)
        ways: list[Any] = [path, Path(path), ObjectStoragePath(path), f"{path}"]
        for given_as in ways:
            assert loaded(given_as) == MAPPING

    def test_may_begin_with_a_byte_order_mark(self, tmp_path: Path) -> None:
        assert loaded(file(tmp_path, "a.yml", b"\xef\xbb\xbf" + YAML.encode())) == MAPPING
        assert loaded(file(tmp_path, "a.json", b"\xef\xbb\xbf" + json.dumps(MAPPING).encode())) == MAPPING

    @pytest.mark.parametrize(
        ("written", "read"),
        [
            ("no", "no"),
            ("on", "on"),
            ("true", "true"),
            ("0x1F", "0x1F"),
            ("02139", "02139"),
            ("1_000", "1_000"),
            ("1e3", "1e3"),
            ("22:55:32", "22:55:32"),
            ("2026-09-10", "2026-09-10"),
            ("+13035550191", "+13035550191"),
            (".5", ".5"),
            ("!!int 5", "5"),
            ("!!python/object:os.system x", "x"),
            ("=", "="),
            ("'null'", "null"),
            ('"~"', "~"),
            ("null", None),
            ("~", None),
            ("", None),
        ],
    )
    def test_in_yaml_everything_is_text_but_a_null(self, tmp_path: Path, written: str, read: Any) -> None:
        assert loaded(file(tmp_path, "a.yaml", f"City:\n  constant: {written}")) == {"City": {"constant": read}}

    def test_a_table_may_be_shared_with_an_anchor(self, tmp_path: Path) -> None:
        text = "City: {from: a, lookup: &table {x: 1}}\nRegion: {from: b, lookup: *table}"
        assert loaded(file(tmp_path, "a.yaml", text)) == {
            "City": {"from": "a", "lookup": {"x": "1"}},
            "Region": {"from": "b", "lookup": {"x": "1"}},
        }

    @pytest.mark.parametrize(
        ("name", "content", "facts"),
        [
            ("a.yaml", "", []),
            ("a.yaml", "# all of it is a comment", []),
            ("a.yaml", "{}", []),
            ("a.json", "null", []),
            ("a.yaml", "- CallerId", ["list"]),
            ("a.json", '"CallerId"', [8]),
            ("a.yaml", "CallerId: a\nCity: b\nCallerId: c", [3]),
            ("a.yaml", "City:\n  from: a\n  lookup:\n    1: 2\n    '1': 3", [5]),
            ("a.json", '{"City": {"constant": 1, "constant": 2}}', []),
            ("a.yaml", f"City: a\nZip: [{canary.CALLER}", [2, "YAML"]),
            ("a.yaml", f"City: *{canary.WORD}", [1, "YAML"]),
            ("a.yaml", "City: &x {from: *x}", [1, "YAML"]),
            ("a.yaml", "{[a]: b}", [1, "YAML"]),
            ("a.yaml", "a: b\n---\nc: d", [2, "YAML"]),
            ("a.yaml", "\ta: b", [1, "YAML"]),
            ("a.yaml", "a: \x01", ["YAML"]),
            ("a.yaml", "[" * 5000, [100_000, 50]),
            ("a.yaml", "City: " + "{a: " * 100_000, [100_000, 50]),
            ("a.yaml", "- " * 100_000, [100_000, 50]),
            ("a.json", f'{{"City":\n{canary.WORD}}}', [2, "JSON"]),
            ("a.json", "", [1, "JSON"]),
            ("a.json", '{"a": ' + "1" * 5000 + "}", ["JSON"]),
            ("a.json", "[" * 100_000, ["JSON"]),
            ("a.yaml", b"City: \xff", ["UTF-8"]),
            ("a.yaml", YAML.encode("utf-16"), ["UTF-8"]),
        ],
    )  # fmt: skip
    def test_that_are_no_mapping_are_refused_by_line_and_not_by_value(
        self, tmp_path: Path, name: str, content: str | bytes, facts: list[object]
    ) -> None:
        path = file(tmp_path, name, content)
        before, found, said = refusal(path).partition(path)
        assert named(f"{before}{found}", "mapping", path) == ["mapping", path]
        assert set(named(said, *facts, *range(1, 10), "YAML", "JSON", "UTF-8", 100_000)) == {
            *facts,
            *((8,) if "UTF-8" in facts else ()),
        }

    def test_that_cannot_be_read(self, tmp_path: Path) -> None:
        (tmp_path / "folder.json").mkdir()
        cases: list[tuple[Any, list[object]]] = [
            (f"{tmp_path}/no.yaml", ["mapping", f"{tmp_path}/no.yaml", "No such file or directory"]),
            (tmp_path / "folder.json", ["mapping", f"{tmp_path}/folder.json", "Is a directory"]),
            ("nostore://bucket/calls.yaml", ["bucket/calls.yaml", "ValueError"]),
            ("CallerId", ["mapping", *ENDINGS, 8]),
            (Path("calls.toml"), ["mapping", *ENDINGS, "PosixPath"]),
        ]
        for path, facts in cases:
            assert named(refusal(path), *facts) == facts

    def test_a_storage_that_fails_may_be_tried_again(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        def fail(*_: Any) -> None:
            raise ConnectionResetError(canary.WORD)

        path: Any = ObjectStoragePath(file(tmp_path, "a.yaml", YAML))
        monkeypatch.setattr(type(path), "open", fail)
        with pytest.raises(AirflowException, match=r"\bmapping\b.*\ba\.yaml\b.*\bConnectionResetError\b") as raised:
            loaded(path)
        assert canary.found_in(str(raised.value)) == []

    @pytest.mark.parametrize("other", [None, {}, 3, ["CallerId"], b"calls.yaml"])
    def test_what_is_no_path_is_left_to_the_mapping(self, other: Any) -> None:
        assert loaded(other) == other

    def test_the_commands_know_them_by_the_same_names(self) -> None:
        assert MAPPING_FILES == ENDINGS

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.text())
    def test_any_text_is_a_mapping_or_refused(self, tmp_path: Path, text: str) -> None:
        for ending in (".yaml", ".json"):
            path = file(tmp_path, f"any{ending}", text.encode("utf-8", "surrogatepass"))
            try:
                mapping = loaded(path)
            except InvalidOption as error:
                mapping = {"refused": str(error)}
            assert mapping


class TestCsv:
    def test_is_a_table_wherever_a_lookup_stands(self, tmp_path: Path) -> None:
        path = file(tmp_path, "partners.csv", PARTNERS)
        source = {"from": "number", "lookup": path}
        mapping: dict[str, Any] = {
            "MediaId": {"first_of": ["media_id", {"from": source, "lookup": {"20001": 7}}, source]},
            "SubId1": source | {"default": "none"},
            "City": "city",
        }
        read = {"from": "number", "lookup": TABLE}
        assert loaded(mapping) == {
            "MediaId": {"first_of": ["media_id", {"from": read, "lookup": {"20001": 7}}, read]},
            "SubId1": {**read, "default": "none"},
            "City": "city",
        }
        assert mapping["SubId1"] == {**source, "default": "none"}, "what was given is left as it was"

    @pytest.mark.parametrize(
        "content",
        [
            PARTNERS,
            b"\xef\xbb\xbf" + PARTNERS.encode(),
            PARTNERS.replace("\n", "\r\n"),
            PARTNERS.rstrip("\n"),
            PARTNERS + "\n\n3035550191,20001\n",
            '"tracking_number","media_id"\n"3035550191","20001"\n"(303) 555-0100","20002"\n',
            PARTNERS + ",20003\n",
        ],
    )
    def test_in_the_forms_that_are_written(self, tmp_path: Path, content: str | bytes) -> None:
        path = file(tmp_path, "partners.CSV", content)
        assert [table_of(path), table_of(Path(path)), table_of(ObjectStoragePath(path))] == [TABLE] * 3

    @pytest.mark.parametrize(
        ("content", "facts"),
        [
            ("", []),
            (f"{canary.CALLER},20001\n", []),
            ("a;b\n1;2\n", []),
            ("a,b,c\n1,2,3\n", []),
            ("a,b\n", []),
            ("a,b\n\n,1\n", []),
            (f"a,b\n{canary.CALLER},1\n2,3\n{canary.CALLER},{canary.WORD}\n", [4]),
            ("a,b\n1\n2,3,4\n", [2, 1, 3, 3]),
            ("a,b\nx\0,1\n", [2]),
            (f'a,b\n"{canary.WORD}"x,1\n', [2, "',' expected after '\"'"]),
            (f'a,b\n"{canary.WORD}', [2, "unexpected end of data"]),
            (b"a,b\n\xff,1\n", [8, "UTF-8"]),
            (PARTNERS.encode("utf-16"), [8, "UTF-8"]),
        ],
    )
    def test_that_is_no_table_is_refused_by_line_and_not_by_value(
        self, tmp_path: Path, content: str | bytes, facts: list[object]
    ) -> None:
        path = file(tmp_path, "partners.csv", content)
        before, found, said = refusal(by(path)).partition(path)
        assert named(f"{before}{found}", *LOOKUP, path) == [*LOOKUP, path]
        assert numbers(said) == [fact for fact in facts if isinstance(fact, int)]
        assert named(said, *facts) == facts

    def test_many_problems_are_counted(self, tmp_path: Path) -> None:
        path = file(tmp_path, "partners.csv", "a,b\n" + "1,2,3\n" * 12)
        said = refusal(by(path)).partition(path)[2]
        assert {*range(2, 7)} <= {*numbers(said)}
        assert numbers(said)[-1] == 12 - 5

    def test_all_that_is_wrong_with_all_tables_at_once(self, tmp_path: Path) -> None:
        said = refusal(
            {
                "MediaId": {"first_of": [{"from": "a", "lookup": f"{tmp_path}/no.csv"}, by("partners")["MediaId"]]},
                "CampaignId": {"from": {"from": "a", "lookup": {"sql": "SELECT 1"}}, "values": {"a": 1}},
            }
        )
        facts = (f"{tmp_path}/no.csv", "No such file or directory", ".csv", 8, "CampaignId", "'sql'", "'sql_conn_id'")
        assert named(said, *LOOKUP, *facts) == [*LOOKUP, *facts]
        assert (said.count("MediaId"), said.count("CampaignId")) == (2, 1)

    def test_lies_beside_the_file_of_the_mapping(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "tables").mkdir()
        absolute = file(tmp_path, "tables/partners.csv", PARTNERS)
        for written in ("tables/partners.csv", "./tables/partners.csv", absolute):
            path = file(tmp_path, "calls.yaml", f"MediaId: {{from: tracking_number, lookup: {written}}}")
            assert loaded(path) == loaded(Path(path)) == by(TABLE)
        monkeypatch.chdir(tmp_path)
        assert loaded("calls.yaml") == by(TABLE)
        assert table_of("tables/partners.csv") == TABLE

    @pytest.mark.parametrize("malformed", ["first_of", ["a"], {"first_of": "a"}, {"from": None, "first_of": None}])
    def test_a_source_that_is_none_is_left_to_the_mapping(self, malformed: Any) -> None:
        assert loaded({"City": malformed}) == {"City": malformed}


@pytest.fixture(params=["sqlite", "postgresql"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sa.Engine]:
    """A database with a table of partners, as the connection ``warehouse``."""
    url = sa.engine.make_url(f"sqlite:///{tmp_path}/warehouse.db")
    if request.param == "postgresql":
        url = empty_database(request.getfixturevalue("postgres"))
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", as_connection(url))
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE partners (number TEXT, media_id INTEGER, active INTEGER)"))
        connection.execute(
            sa.text("INSERT INTO partners VALUES ('3035550191', 20001, 1), ('+1 303-555-0100', 20002, 1), (NULL, 3, 0)")
        )
    yield engine
    engine.dispose()


def query(sql: object = "SELECT number, media_id FROM partners", **changes: Any) -> dict[str, Any]:
    return {"sql": sql, "sql_conn_id": "warehouse", **changes}


class TestQueries:
    def test_are_tables(self, warehouse: sa.Engine) -> None:
        assert table_of(query()) == {"3035550191": 20001, "+1 303-555-0100": 20002}
        mapping = CallMapping(loaded(by(query())))
        record = mapping.record(call("a", MediaId=None, tracking_number="(303) 555-0100"))
        assert record.MediaId == 20002

    def test_of_a_large_table(self, warehouse: sa.Engine) -> None:
        values = ", ".join(f"('partner-{number}', {number}, 1)" for number in range(5000))
        with warehouse.begin() as connection:
            connection.execute(sa.text(f"INSERT INTO partners VALUES {values}"))
        assert len(table_of(query())) == 5002

    def test_may_be_kept_in_a_file(self, warehouse: sa.Engine, tmp_path: Path) -> None:
        path = file(tmp_path, "partners.sql", "SELECT media_id AS key, number FROM partners WHERE number LIKE '3%'")
        assert table_of(query(path)) == {"20001": "3035550191"}
        text = "City: {from: a, lookup: {sql: partners.sql, sql_conn_id: warehouse}}"
        read = loaded(file(tmp_path, "calls.yaml", text)) or {}
        assert read["City"] == {"from": "a", "lookup": {"20001": "3035550191"}}

    @pytest.mark.parametrize(
        ("sql", "facts"),
        [
            ("SELECT * FROM partners", [3]),
            ("SELECT number FROM partners", [1]),
            ("SELECT number, number FROM partners", ["sql", "'number'", "AS"]),
            ("SELECT number, media_id FROM partners WHERE active = 2", []),
            ("SELECT number, media_id FROM partners WHERE number IS NULL", []),
            (f"SELECT '{canary.CALLER}' AS a, media_id FROM partners ORDER BY media_id", [2, 3]),
            ("no.sql", ["no.sql", "No such file or directory"]),
        ],
    )
    def test_that_give_no_table_are_refused_by_row_and_not_by_value(
        self, warehouse: sa.Engine, sql: str, facts: list[object]
    ) -> None:
        said = refusal(by(query(sql)))
        assert named(said, *LOOKUP, *facts) == [*LOOKUP, *facts]
        assert numbers(said) == [fact for fact in facts if isinstance(fact, int)]

    def test_a_database_that_fails_may_be_tried_again_and_is_not_quoted(self, warehouse: sa.Engine) -> None:
        sql = f"SELECT number, media_id FROM partners WHERE {canary.WORD} = '{canary.CALLER}'"
        with pytest.raises(AirflowException) as raised:
            loaded(by(query(sql)))
        assert not isinstance(raised.value, (InvalidOption, AirflowFailException))
        assert canary.found_in(str(raised.value)) == []

    @pytest.mark.parametrize(
        "wrong",
        [{"sql": "SELECT 1"}, {"sql_conn_id": "warehouse"}, query(sql_conn_id=None), query(sql=""), query(sql=3)],
    )
    def test_need_both_a_statement_and_a_connection(self, wrong: dict[str, Any]) -> None:
        facts = [*LOOKUP, "'sql'", "'sql_conn_id'"]
        assert named(refusal(by(wrong)), *facts) == facts

    def test_a_table_with_other_keys_is_a_table(self) -> None:
        table = {"sql": 1, "sql_conn_id": 2, "python": 3}
        assert table_of(table) == table

    def test_a_connection_of_another_kind_is_refused(self, sandbox: Sandbox) -> None:
        facts = [*LOOKUP, "sql_conn_id", "'impactcall_default'"]
        assert named(refusal(by(query(sql_conn_id="impactcall_default"))), *facts) == facts


def test_the_documented_file_is_a_mapping(tmp_path: Path) -> None:
    (text,), (partners,) = blocks(DOCUMENTATION, "yaml"), blocks(DOCUMENTATION, "csv")
    file(tmp_path, "partners.csv", partners)
    row = {
        "from_number": "2125550123",
        "tracking_number": "(303) 555-0100",
        "caller": {"geo": {"city": "Springfield"}},
        "status": "Off",
    }
    named = {"from_number": "CallerId", "tracking_number": "CalledPhoneNumber"}
    others = {
        name: value for name, value in call("a").items() if name not in (*named.values(), "CallStatus", "MediaId")
    }
    parameters = CallMapping(loaded(file(tmp_path, "calls.yaml", text))).record({**others, **row}).parameters()
    expected = {"CallerId": "2125550123", "CalledPhoneNumber": "3035550100", "MediaId": "20002", "City": "Springfield"}
    assert parameters == {**parameters, **expected, "Zip": "02139", "CallStatus": "FAILURE"}


class TestThroughTheHook:
    def test_a_file_with_a_table_beside_it(self, sandbox: Sandbox, tmp_path: Path) -> None:
        file(tmp_path, "partners.csv", PARTNERS)
        path = file(tmp_path, "calls.yaml", "MediaId: {from: tracking_number, lookup: partners.csv}")
        rows = [call("a", MediaId=1, tracking_number="+13035550100"), call("b", MediaId=1, tracking_number="nobody")]
        report = ImpactCallHook().deliver(rows, mapping=path)
        assert (report.delivered, report.rejected) == (1, 1)
        assert [each["parameters"]["MediaId"] for each in sandbox.calls] == ["20002"]

    def test_nothing_is_sent_with_a_table_that_cannot_be_right(self, sandbox: Sandbox, tmp_path: Path) -> None:
        path = file(tmp_path, "partners.csv", f"a,b\n{canary.CALLER},1\n{canary.CALLER},2\n")
        with pytest.raises(InvalidOption, match=rf"{re.escape(os.path.basename(path))}\b.*\b3\b"):
            ImpactCallHook().deliver([call("a", tracking_number=canary.CALLER)], mapping=by(path))
        assert not sandbox.requests

    def test_a_key_of_a_table_is_in_no_log(self, sandbox: Sandbox, tmp_path: Path) -> None:
        """The fixture of this folder looks into every logger, at DEBUG."""
        path = file(tmp_path, "partners.csv", f"number,media_id\n{canary.CALLER},20001\n{canary.WORD},20002\n")
        report = ImpactCallHook().deliver([canary.row(tracking_number=canary.CALLER[:-1])], mapping=by(path))
        assert report.rejected == 1
        assert canary.found_in(str(report)) == []


def _aliases(levels: int, each: int = 18) -> str:
    lines = ["a0: &a0 {values: {x: y}}"]
    lines += [f"a{n}: &a{n} {{first_of: [{', '.join([f'*a{n - 1}'] * each)}]}}" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        _aliases(9),
        _aliases(30, 2),
        "City: " + "{first_of: [" * 60 + "x" + "]}" * 60,
        "City: {from: x, values: {" + ", ".join(f"w{n}: v" for n in range(100_001)) + "}}",
    ],
    ids=["wide aliases", "aliases of two", "deep", "large"],
)
def test_a_mapping_file_is_bounded(text: str, tmp_path: Path) -> None:
    """Each alias of YAML's stands for all that it names: 18 of 18 of 18 are soon more than a machine has."""
    path = tmp_path / "mapping.yaml"
    path.write_text(text)
    with pytest.raises(InvalidOption, match=r"\bmapping\.yaml\b.*\b100000\b.*\b50\b"):
        loaded(str(path))


def _nested(levels: int) -> Any:
    source: Any = "x"
    for number in range(levels):
        source = [{"first_of": [source]}, {"rounded_down": source}, {"from": source, "values": {"a": 1}}][number % 3]
    return source


def _circle() -> Any:
    source: dict[str, Any] = {"first_of": ["x"]}
    source["first_of"].append(source)
    return source


def _shared(levels: int) -> Any:
    source: Any = "x"
    for _ in range(levels):
        source = {"first_of": [source] * 18}
    return source


@pytest.mark.parametrize(
    "source",
    [_nested(3000), _nested(100_000), _circle(), _shared(9), {"first_of": ["x"] * 100_001}],
    ids=["3000 levels", "100000 levels", "a circle", "shared", "wide"],
)
def test_a_mapping_in_python_is_bounded_alike(source: Any, sandbox: Sandbox) -> None:
    for make in (loaded, CallMapping, lambda mapping: ImpactCallHook().check([{}], mapping=mapping)):
        with pytest.raises(InvalidOption, match=r"^mapping\b.*\b100000\b.*\b50\b"):
            make({"City": source})
    assert not sandbox.requests


def test_a_lookup_in_python_may_be_large() -> None:
    table = {str(number): number for number in range(100_001)}
    assert loaded({"SubId1": {"from": "k", "lookup": table}})
    assert CallMapping({"SubId1": _nested(20)})


@pytest.mark.parametrize("name", ["a\n1.yaml", "a\x1b[31m.json", "a\u202eb.yaml"])
def test_a_path_is_shown_printable(name: str, tmp_path: Path) -> None:
    shown = repr(name)[1:-1]
    for content in ("[", '{"City": 1, "City": 2}', "", b"\xff", "- a"):
        found = refusal(file(tmp_path, name, content))
        assert found.isprintable()
        assert f"{tmp_path}/{shown}" in found
    assert f"{tmp_path}/no{shown}" in refusal(f"{tmp_path}/no{name}")
    for content in ("a\n", "a,b\n1,2,3\n", 'a,b\n"1', b"\xff", "a,b\n"):
        found = refusal(by(file(tmp_path, f"{name}.csv", content)))
        assert found.isprintable()
        assert f"{shown}.csv" in found


def test_a_few_aliases_are_what_they_stand_for(tmp_path: Path) -> None:
    path = tmp_path / "mapping.yaml"
    path.write_text("City: &c {first_of: [a, b]}\nRegion: *c\n")
    assert loaded(str(path)) == {"City": {"first_of": ["a", "b"]}, "Region": {"first_of": ["a", "b"]}}
