"""Sources: every form that is read, everything that is refused before the first row, and what is said of a row."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider_impactcall.exceptions import InvalidOption, ProblemCode
from airflow_provider_impactcall.records import CallMapping, normalize
from airflow_provider_impactcall.records.readers import Reader
from airflow_provider_impactcall.records.sources import reader_of
from airflow_provider_impactcall.records.vendors import VendorPreset
from tests.effort import scaled
from tests.facts import named
from tests.facts import unfit as said_of
from tests.records import test_any_rows as odd
from tests.records.rows import CALLER, coded_problems_of, good_row, problems_of, wire_text

FORMS = (
    "(a source has 'constant'; 'first_of'; 'rounded_down'; 'derived_else'; 'from' and 'values'; 'from' and 'lookup'; "
    "the last two may have 'default')"
)
NONE = "must be a column name, a callable of the row, or a dict such as {'constant': ...}, and is "
NO_TABLE = "must be a dict with at least one entry, and "

CALL = {
    "from_number": CALLER,
    "caller": {"geo": {"city": "Springfield", "zip": "02139"}, "tags": ["new", {"name": "mobile"}]},
    "text": json.dumps({"geo": {"city": "Shelbyville"}, "tags": ["new", ["deep"]]}),
    "json.in.json": "the column itself",
    "nothing": None,
    "empty": "",
    "status": "No-Answer",
    "number": "+1 (303) 555-0191",
    "media": 20000,
    "answered": True,
}


def read(source: Any, row: Mapping[str, Any] = CALL) -> Any:
    return reader_of(source).read(row)


def complaint(source: Any, **options: Any) -> str:
    with pytest.raises(InvalidOption) as raised:
        CallMapping({"City": source}, **options)
    return str(raised.value).removeprefix("mapping: City ")


def unfit(source: Any, row: Mapping[str, Any] = CALL) -> str:
    with pytest.raises(normalize.UnfitValue) as raised:
        read(source, row)
    return str(raised.value)


class TestColumnsAndPaths:
    @pytest.mark.parametrize(("nulls", "expected"), [(["Springfield"], None), (["Shelbyville"], "Springfield")])
    def test_a_word_that_stands_for_nothing_within_json(self, nulls: list[str], expected: str | None) -> None:
        assert reader_of("caller.geo.city", nulls=nulls).read(CALL) == expected

    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            ("from_number", CALLER),
            ("nowhere", None),
            ("nothing", None),
            ("caller.geo.city", "Springfield"),
            ("caller.geo", {"city": "Springfield", "zip": "02139"}),
            ("caller.tags.0", "new"),
            ("caller.tags.1.name", "mobile"),
            ("caller.tags.-2", "new"),
            ("text.geo.city", "Shelbyville"),
            ("text.tags.1.0", "deep"),
            ("json.in.json", "the column itself"),
        ],
    )
    def test_lead_to_a_value(self, source: str, expected: Any) -> None:
        assert read(source) == expected

    @pytest.mark.parametrize(
        "source",
        [
            "caller.geo.country",
            "caller.geo.city.name",
            "caller.tags.2",
            "caller.tags.-3",
            "caller.tags.first",
            "caller.tags.0.name",
            "nothing.at.all",
            "nowhere.at.all",
            "from_number.area",
            "media.id",
            "caller..city",
            "caller.",
            ".caller",
        ],
    )
    def test_that_lead_nowhere_give_nothing(self, source: str) -> None:
        assert read(source) is None

    @pytest.mark.parametrize("text", ["{", "[1, 2", '{"city": ', "[" * 100_000, "{]", "[NaN", '["' + "1" * 5000 + '"'])
    def test_text_that_is_no_json_has_nothing_in_it(self, text: str) -> None:
        assert read("text.city", {"text": text}) is None

    def test_a_path_through_json_text_inside_of_json_text(self) -> None:
        assert read("outer.inner.city", {"outer": json.dumps({"inner": json.dumps({"city": "Springfield"})})}) == (
            "Springfield"
        )

    def test_a_path_begins_at_a_column_in_any_case_unless_a_column_has_the_whole_name(self) -> None:
        row = good_row({"GEO": {"city": "Oslo"}})
        assert wire_text(row, mapping={"City": "geo.City"})["City"] == "Oslo"
        assert wire_text({**row, "Geo.City": "Bergen"}, mapping={"City": "geo.City"})["City"] == "Bergen"

    def test_a_step_is_found_in_another_style_beside_a_key_that_is_no_text(self) -> None:
        assert read("geo.city", {"geo": {5: "Oslo", "City": "Bergen"}}) == "Bergen"

    def test_a_row_without_the_column_says_so(self) -> None:
        facts = ("'campaing'", "'CampaignId'")
        found = problems_of(good_row({"CampaignId": None}), mapping={"CampaignId": "campaing"})
        assert said_of(found, *facts) == [("CampaignId", *facts)]
        found = problems_of(good_row({"caller": {}}), mapping={"CampaignId": "caller.id"})
        assert said_of(found, "'caller'", "'caller.id'") == [("CampaignId",)]

    def test_columns_without_a_required_parameter_s_name_say_so_before_any_row(self) -> None:
        columns = [*(name for name in good_row() if name != "MediaId"), "Media Ident", "of another kind"]
        (problem,) = CallMapping().problems_with(columns)
        assert named(problem, "MediaId", "'Media Ident'", "'of another kind'") == ["MediaId", "'Media Ident'"]
        (problem,) = CallMapping().problems_with([name for name in columns if name != "Media Ident"])
        assert named(problem, "MediaId", "None", "'of another kind'") == ["MediaId"]


class TestConstantsAndFirstOf:
    @pytest.mark.parametrize("value", [4000, "", None, [], {"from": "status"}, "from_number"])
    def test_a_constant_is_what_it_is_whatever_it_looks_like(self, value: Any) -> None:
        assert read({"constant": value}) is value

    @pytest.mark.parametrize(
        ("sources", "expected"),
        [
            (["from_number"], CALLER),
            (["nothing", "empty", "nowhere", "from_number", "media"], CALLER),
            (("nothing", "text.geo.zip", {"constant": "00000"}), "00000"),
            (["nothing", "empty"], None),
            (["nothing", {"first_of": ["empty", "media"]}], 20000),
            (["nothing", lambda row: row["media"] + 1], 20001),
            ([{"from": "nothing", "lookup": {"a": 1}}, {"from": "media", "lookup": {20000: 7}}], 7),
        ],
    )
    def test_the_first_that_is_there(self, sources: Any, expected: Any) -> None:
        assert read({"first_of": sources}) == expected

    @pytest.mark.parametrize("absent", [None, "", float("nan"), pd.NA, pd.NaT, [], [None]])
    def test_what_is_absent_is_not_there(self, absent: Any) -> None:
        assert read({"first_of": ["a", "b"]}, {"a": absent, "b": 0}) == 0

    def test_a_word_without_a_value_is_no_reason_to_go_on(self) -> None:
        """Else a new word of the vendor's would silently count as whatever comes next."""
        source = {"first_of": [{"from": "status", "values": {"completed": "ANSWER"}}, {"constant": "CANCEL"}]}
        assert "'No-Answer'" in unfit(source)


class TestValues:
    WORDS = MappingProxyType({"completed": "ANSWER", "no answer": "CANCEL", "true": "FAILURE", "5": "CONGESTION"})

    @pytest.mark.parametrize(
        ("word", "expected"),
        [
            ("completed", "ANSWER"),
            ("COMPLETED", "ANSWER"),
            (" completed\n", "ANSWER"),
            ("no answer", "CANCEL"),
            ("no-answer", "CANCEL"),
            ("No_Answer", "CANCEL"),
            ("NO   ANSWER", "CANCEL"),
            (True, "FAILURE"),
            (5, "CONGESTION"),
            (5.0, "CONGESTION"),
            ("", None),
            (None, None),
        ],
    )
    def test_a_word_is_one_in_any_spelling(self, word: Any, expected: Any) -> None:
        assert read({"from": "w", "values": self.WORDS}, {"w": word}) == expected
        spelled = {"Completed": "ANSWER", "NO-ANSWER": "CANCEL", True: "FAILURE", 5: "CONGESTION"}
        assert read({"from": "w", "values": spelled}, {"w": word}) == expected

    @pytest.mark.parametrize(
        ("word", "shown"),
        [
            ("ringing", "'ringing'"),
            ("in-progress", "'in-progress'"),
            ("hangup: caller", "'hangup: caller'"),
            ("complete", "'complete'"),
            ("hunterpassword", 14),
            ("Alice Example", 13),
            ("call Alice", 10),
            (CALLER, 12),
            ("https://recordings.example.com/7731.mp3", 39),
            (7, "int"),
            ("w" * 32, 32),
        ],
    )
    def test_a_word_that_the_table_lacks_is_named_if_it_is_nothing_but_a_word(self, word: Any, shown: object) -> None:
        row = good_row({"w": word})
        found = problems_of(row, mapping={"CallStatus": {"from": "w", "values": self.WORDS}})
        assert said_of(found, shown) == [("CallStatus", shown)]
        assert (str(word) in found[0][1]) is (str(word) in str(shown))

    def test_a_default_is_for_what_the_table_lacks(self) -> None:
        source = {"from": "w", "values": self.WORDS, "default": "INCOMPLETE"}
        assert [read(source, {"w": word}) for word in ("completed", "ringing", None)] == [
            "ANSWER",
            "INCOMPLETE",
            "INCOMPLETE",
        ]
        assert read({**source, "default": None}, {"w": "ringing"}) is None

    def test_what_is_no_word_at_all_has_its_reason(self) -> None:
        assert named(unfit({"from": "caller", "values": self.WORDS}), "dict")

    def test_a_word_of_another_source(self) -> None:
        source = {"from": {"first_of": ["nothing", "status"]}, "values": {"no answer": "CANCEL"}}
        assert wire_text(good_row(CALL), mapping={"CallStatus": source})["CallStatus"] == "CANCEL"


class TestValuesOfAPreset:
    PRESET = VendorPreset(
        "example",
        "Example",
        (),
        {"CallStatus": {"from": "status", "values": {"completed": "ANSWER", "busy": "CANCEL"}, "default": "FAILURE"}},
        ("CallSessionId",),
    )

    def test_are_added_to_and_replaced_in_any_spelling(self) -> None:
        source = {"values": {"voice-mail": "NO_TRANSFER_ATTEMPT", "BUSY": "CONGESTION"}}
        options: dict[str, Any] = {"constants": {k: v for k, v in good_row().items() if k != "CallStatus"}}
        mapping = CallMapping({"CallStatus": source}, vendor=self.PRESET, **options)
        found = {
            word: mapping.record({"CallSessionId": "id", "status": word}).CallStatus
            for word in ("completed", "Voice mail", "busy", "ringing")
        }
        assert found == {
            "completed": "ANSWER",
            "Voice mail": "NO_TRANSFER_ATTEMPT",
            "busy": "CONGESTION",
            "ringing": "FAILURE",
        }

    @pytest.mark.parametrize(
        ("word", "kind"),
        [(None, "nothing"), (b"x", "bytes")],
    )
    def test_a_key_that_is_no_word_is_refused(self, word: Any, kind: str) -> None:
        with pytest.raises(InvalidOption) as raised:
            CallMapping(
                {"CallStatus": {"values": {word: "ANSWER"}}}, good_row({"CallStatus": None}), vendor=self.PRESET
            )
        facts = ["mapping", "CallStatus", "values", kind]
        assert named(str(raised.value), *facts) == facts


class TestLookup:
    NUMBERS = MappingProxyType({"303-555-0191": 1, "+44 20 7946 0958": 2, "partner-7": 3, 4000: 4, "3035550100": 5})

    @pytest.mark.parametrize(
        ("key", "expected"),
        [
            ("303-555-0191", 1),
            ("3035550191", 1),
            (3035550191, 1),
            (13035550191.0, 1),
            ("+1 (303) 555-0191", 1),
            ("1-303-555-0191", 1),
            ("+442079460958", 2),
            ("partner-7", 3),
            (" partner-7 ", 3),
            ("4000", 4),
            (4000, 4),
            (303.0e7 + 5550100, 5),
            (None, None),
            ("", None),
        ],
    )
    def test_a_key_in_any_form_of_a_phone_number(self, key: Any, expected: Any) -> None:
        assert read({"from": "k", "lookup": self.NUMBERS}, {"k": key}) == expected

    @pytest.mark.parametrize("key", ["Partner-7", "partner -7", "partner-8", "3035550192", "02079460958"])
    def test_any_other_key_is_the_same_letter_for_letter(self, key: str) -> None:
        assert named(unfit({"from": "k", "lookup": self.NUMBERS}, {"k": key}), "'k'", "lookup") == ["'k'", "lookup"]

    def test_a_key_that_it_lacks_is_never_named(self) -> None:
        """It may be a caller's number that stands in the wrong column."""
        facts = ("'CallerId'", "lookup", good_row()["CallerId"])
        one = {"from": "CallerId", "lookup": self.NUMBERS}
        assert said_of(problems_of(good_row(), mapping={"MediaId": one}), *facts) == [
            ("MediaId", "'CallerId'", "lookup")
        ]
        both = {"from": {"first_of": ["nothing", "CallerId"]}, "lookup": self.NUMBERS}
        assert said_of(problems_of(good_row(), mapping={"MediaId": both}), *facts) == [("MediaId", "lookup")]

    @pytest.mark.parametrize("other", ["+13035550191", "(303) 555-0191", "13035550191", "3035550191 x1", 3035550191])
    def test_a_number_with_two_values_is_refused_in_whatever_forms(self, other: Any) -> None:
        with pytest.raises(InvalidOption, match=r"\blookup\b"):
            reader_of({"from": "k", "lookup": {"3035550191": 1, other: 2}})
        assert read({"from": "k", "lookup": {"3035550191": 1, other: 1}}, {"k": "303-555-0191"}) == 1

    def test_a_default(self) -> None:
        source = {"from": "k", "lookup": self.NUMBERS, "default": 9}
        assert [read(source, {"k": key}) for key in ("3035550191", "nobody", None)] == [1, 9, 9]

    @pytest.mark.parametrize("table", ["lookup", "values"])
    @pytest.mark.parametrize(
        ("key", "columns"),
        [
            ("numbre", ["'numbre'", "'number'"]),
            ("answered_by.name", ["'answered_by.name'"]),
            ({"first_of": ["numbre", "medai"]}, ["'numbre'", "'number'", "'medai'", "'media'"]),
            ({"from": "zzz", "values": {"a": "b"}}, ["'zzz'"]),
            ({"rounded_down": "zzz"}, ["'zzz'"]),
        ],
    )
    @pytest.mark.parametrize("default", ["leave out", 9])
    def test_a_default_never_stands_for_a_column_that_is_not_there(
        self, table: str, key: Any, columns: list[str], default: Any
    ) -> None:
        source = {"from": key, table: {"a": 1}, "default": default}
        assert re.findall(r"'[\w.]+'", unfit(source)) == columns
        for name in ("MediaId", "SubId1"):
            assert problems_of(good_row(CALL), mapping={name: source})[0][0] == name

    def test_a_default_stands_for_what_one_of_several_columns_could_hold(self) -> None:
        either = {"from": {"first_of": ["number", "other"]}, "lookup": {"a": 1}, "default": 9}
        assert [read(either, row) for row in ({"number": None}, {"other": "b"}, {"number": "a"})] == [9, 9, 1]
        deeper = {"from": "caller.partner", "lookup": {"a": 1}, "default": 9}
        assert read(deeper) == 9
        unknown = {"from": lambda row: row.get("k"), "lookup": {"a": 1}, "default": 9}
        assert read(unknown, {}) == 9
        assert read({"from": "zzz", "values": {"a": 1}, "default": None}) is None

    def test_the_nearest_column_is_named_of_any_source(self) -> None:
        for source in ({"from": "numbr", "lookup": {"1": 1}}, {"rounded_down": "numbr"}):
            found = problems_of(good_row(CALL), mapping={"CallDuration": source})
            assert said_of(found, "'numbr'", "'number'") == [("CallDuration", "'numbr'", "'number'")]

    def test_a_lookup_of_what_a_lookup_gives(self) -> None:
        source = {"from": {"from": "number", "lookup": {"3035550191": "acme"}}, "lookup": {"acme": 20001}}
        assert wire_text(good_row(CALL), mapping={"MediaId": source})["MediaId"] == "20001"


class TestComputed:
    def test_what_a_function_of_the_row_returns(self) -> None:
        assert read(lambda row: row["media"] * 2) == 40000

    def test_of_what_it_raises_only_the_type_is_said(self) -> None:
        found = problems_of(good_row(), mapping={"City": lambda row: row[row["CallerId"]]})
        assert said_of(found, "KeyError", good_row()["CallerId"]) == [("City", "KeyError")]

    def test_one_that_counts_the_row_unfit_says_why(self) -> None:
        def refuse(row: Any) -> None:
            raise normalize.UnfitValue("is of a test line")

        assert coded_problems_of(good_row(), mapping={"City": refuse}) == [
            ("City", "mapping_failed", "is of a test line")
        ]

    def test_one_may_say_the_code_too(self) -> None:
        def refuse(row: Any) -> None:
            raise normalize.UnfitValue("is of another century", ProblemCode.OUT_OF_RANGE)

        assert coded_problems_of(good_row(), mapping={"City": refuse}) == [
            ("City", "out_of_range", "is of another century")
        ]

    def test_one_that_says_a_code_which_there_is_not_has_failed(self) -> None:
        def refuse(row: Any) -> None:
            raise normalize.UnfitValue("is of another century", "century")  # type: ignore[arg-type]

        ((name, code, _),) = coded_problems_of(good_row(), mapping={"City": refuse})
        assert (name, code) == ("City", "mapping_failed")


class TestRefusedBeforeTheFirstRow:
    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ("", "must not be empty"),
            (None, NONE + "nothing"),
            (3, NONE + "a value of type int"),
            (["from_number"], NONE + "a value of type list"),
            ({}, f"has keys that do not go together {FORMS}"),
            ({"from": "status"}, f"has keys that do not go together {FORMS}"),
            ({"lookup": {"a": 1}}, f"has keys that do not go together {FORMS}"),
            ({"constant": 1, "default": 2}, f"has keys that do not go together {FORMS}"),
            ({"constant": 1, "from": "a"}, f"has keys that do not go together {FORMS}"),
            ({"first_of": ["a"], "default": 2}, f"has keys that do not go together {FORMS}"),
            ({"from": "a", "values": {"a": 1}, "lookup": {"a": 1}}, f"has keys that do not go together {FORMS}"),
            ({"default": 1}, f"has keys that do not go together {FORMS}"),
            ({"constent": 1}, f"has the key 'constent'; did you mean 'constant'? {FORMS}"),
            ({"form": "a", "look_up": {}}, (
                f"has the key 'form'; did you mean 'from'?, has the key 'look_up'; did you mean 'lookup'? {FORMS}"
            )),
            ({"zzz": 1}, f"has the key 'zzz' {FORMS}"),
            ({1: "a"}, f"has the key 1 {FORMS}"),
            ({"first_of": []}, "first_of must be a list of sources, and is a value of type list"),
            ({"first_of": "a, b"}, "first_of must be a list of sources, and is text of 4 characters"),
            ({"first_of": {"a", "b"}}, "first_of must be a list of sources, and is a value of type set"),
            ({"first_of": ["a", "", None]}, f"first_of: source 2 must not be empty, first_of: source 3 {NONE}nothing"),
            ({"rounded_down": ""}, "rounded_down must not be empty"),
            ({"derived_else": "Nowhere"}, (
                "derived_else must be a country such as US, USA or United States, and is text of 7 characters"
            )),
            ({"from": "a", "values": {}}, f"values {NO_TABLE}has none"),
            ({"from": "a", "values": ["b"]}, f"values {NO_TABLE}is a value of type list"),
            ({"from": "a", "lookup": None}, f"lookup {NO_TABLE}is nothing"),
            ({"from": "a", "lookup": CALLER}, f"lookup {NO_TABLE}is text of 12 characters"),
            ({"from": "", "lookup": {}}, f"from must not be empty, lookup {NO_TABLE}has none"),
            ({"from": {"from": 7, "values": {"a": 1}}, "lookup": {"a": 1}}, f"from from {NONE}a value of type int"),
            ({"from": "a", "lookup": {None: 1}}, "has a key in its lookup that must be text, and is nothing"),
            ({"from": "a", "lookup": {True: 1}}, (
                "has a key in its lookup that must be text, and is a value of type bool; map it to the words that you "
                "want sent"
            )),
            ({"from": "a", "values": {"No Answer": 1, "no-answer": 2}}, "has two values for 'no-answer' in its values"),
            ({"from": "a", "lookup": {5: 1, "5": 2}}, "has two values for text of 1 characters in its lookup"),
            ({"values": {"a": 1}}, (
                "has values but no 'from' for their column: only an addition to a vendor's table may leave it out"
            )),
        ],
    )  # fmt: skip
    def test_with_its_reason(self, source: Any, message: str) -> None:
        assert complaint(source) == message

    def test_two_spellings_of_a_word_may_mean_the_same(self) -> None:
        assert read({"from": "status", "values": {"No Answer": 1, "no-answer": 1}}) == 1

    def test_everything_in_a_mapping_at_once(self) -> None:
        with pytest.raises(InvalidOption) as raised:
            CallMapping({"City": "", "Regoin": "r", "Zip": {"constent": 1}, "SubId1": "s"}, {"SubId1": "x", "cti": 1})
        assert str(raised.value) == (
            "mapping: 'Regoin' is not one of impact.com's 50 parameters; did you mean Region?; "
            "constants: 'cti' is not one of impact.com's 50 parameters; "
            "SubId1 is in mapping and in constants; "
            "mapping: City must not be empty; "
            f"mapping: Zip has the key 'constent'; did you mean 'constant'? {FORMS}"
        )


paths = st.one_of(
    st.sampled_from(["a", "b", "c", "a.b", "a.0", "b.1.c", "c.a.b", "nowhere", "."]), st.text(min_size=1, max_size=5)
)
tables = st.dictionaries(
    st.one_of(st.text("ab-_ 0123456789+", max_size=12), st.integers(), st.decimals(allow_nan=False)),
    st.one_of(st.integers(), st.text(max_size=3), st.none()),
    min_size=1,
    max_size=4,
)


@st.composite
def values(draw: st.DrawFn) -> Any:
    """A strategy that can be shown, as one that is part of a recursive one has to be: some of these cannot."""
    return draw(odd.values)


def grown(sources: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    default = st.fixed_dictionaries({}, optional={"default": st.one_of(st.none(), st.integers())})
    return st.one_of(
        st.lists(sources, min_size=1, max_size=3).map(lambda several: {"first_of": several}),
        st.tuples(sources, st.sampled_from(["values", "lookup"]), tables, default).map(
            lambda parts: {"from": parts[0], parts[1]: parts[2], **parts[3]}
        ),
    )


data_only = st.recursive(st.one_of(paths, values().map(lambda value: {"constant": value})), grown, max_leaves=6)
nested = st.recursive(
    values(),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["a", "b", "c", "0"]), inner, max_size=3),
        st.dictionaries(st.sampled_from(["a", "b"]), st.integers(), max_size=2).map(json.dumps),
    ),
    max_leaves=6,
)


def compiled(source: Any) -> Reader | None:
    """None for one whose table has two values for a key, or a key that is no text: it is refused."""
    try:
        return reader_of(source)
    except InvalidOption:
        return None


@settings(max_examples=scaled(1250), deadline=None)
@given(data_only, st.dictionaries(st.sampled_from(["a", "b", "c"]), nested, max_size=3))
def test_a_source_that_is_data_raises_nothing_but_what_is_wrong_with_the_row(source: Any, row: Any) -> None:
    reader = compiled(source)
    if reader is not None:
        assert all(isinstance(column, str) for column in reader.columns())
        with suppress(normalize.UnfitValue):
            reader.read(row)


@settings(max_examples=scaled(500), deadline=None)
@given(st.dictionaries(st.sampled_from(["City", "MediaId", "CallStatus"]), data_only, max_size=3), nested)
def test_a_mapping_that_is_data_makes_of_a_row_a_call_or_its_reasons(mapping: Any, value: Any) -> None:
    if all(map(compiled, mapping.values())):
        for parameter, message in problems_of(good_row({"a": value, "b": CALLER}), mapping=mapping):
            assert parameter in mapping
            assert "raised" not in message


@given(st.from_regex(r"[A-Za-z][A-Za-z0-9 _-]{0,20}[A-Za-z0-9]", fullmatch=True), st.data())
def test_a_word_is_found_however_its_case_and_gaps_are_written(word: str, data: st.DataObject) -> None:
    gaps = {each: data.draw(st.sampled_from([" ", "-", "_", " - "])) for each in " -_"}
    written = "".join(gaps.get(each, data.draw(st.sampled_from([each.lower(), each.upper()]))) for each in word)
    assert read({"from": "w", "values": {word: 1}}, {"w": written}) == 1


@given(st.integers(100, 199), st.sampled_from(["303", "212", "415"]))
def test_a_number_is_found_in_every_usual_form(line: int, area: str) -> None:
    forms = ["{0}5550{1}", "1{0}5550{1}", "+1{0}5550{1}", "({0}) 555-0{1}", "{0}-555-0{1}", "+1 {0} 555 0{1}"]
    written = [form.format(area, line) for form in forms]
    for key in written:
        assert {read({"from": "k", "lookup": {key: 1}}, {"k": other}) for other in written} == {1}
