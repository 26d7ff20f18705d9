"""The rows of one call become one, each row still ends in one outcome, and no row that is alone is touched."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_impactcall.delivery.items import Call, Item, Rejected, Skipped
from airflow_provider_impactcall.delivery.joining import joined
from airflow_provider_impactcall.delivery.reading import read
from airflow_provider_impactcall.delivery.spool import Spool
from airflow_provider_impactcall.records import PARAMETERS, CallMapping
from airflow_provider_impactcall.records.columns import OpenedRow
from airflow_provider_impactcall.records.sources import Row
from airflow_provider_impactcall.records.unreadable import UnreadableRow, UnreadableValue
from airflow_provider_impactcall.records.vendors import Filter, Join, VendorPreset, latest, reads
from tests import examples

EARLIER = "left out, and by none of the filters"
FILTERS = (
    Filter("an outbound call", "direction", ("outbound",)),
    Filter("a call that has not ended", "state", ("ringing",), unfinished=True),
)


def preset(join: Join | None) -> VendorPreset:
    """A vendor whose columns are named like impact.com's parameters."""
    return VendorPreset(
        name="example",
        title="Example",
        facts=(),
        mapping={name: name for name in PARAMETERS},
        known_by=("CallSessionId",),
        filters=FILTERS,
        join=join,
    )


BY_TIME = latest("updated_at")


def items(rows: Any, join: Join | None = BY_TIME) -> list[Item]:
    """What the rows become."""
    return list(read(rows, CallMapping(vendor=preset(join))))


def cities(found: Sequence[Item]) -> dict[int, Any]:
    """By row, the city of a call, or why it is none."""

    def told(item: Item) -> str | None:
        match item:
            case Call():
                return item.record.City
            case Rejected():
                return "rejected"
            case Skipped():
                return item.reason if item.reason in [each.reason for each in FILTERS] else EARLIER

    return {item.row: told(item) for item in found}


def test_the_last_version_of_a_call_counts() -> None:
    rows = [
        examples.call("a", City="first", updated_at="2026-01-01"),
        examples.call("b", City="only"),
        examples.call("a", City="third", updated_at="2026-01-03"),
        examples.call("a", City="second", updated_at="2026-01-02"),
    ]
    assert cities(items(rows)) == {1: EARLIER, 2: "only", 3: "third", 4: EARLIER}


def test_without_a_time_the_last_of_the_input_counts() -> None:
    rows = [examples.call("a", City=city) for city in ("first", "last")]
    assert cities(items(rows)) == {1: EARLIER, 2: "last"}


@pytest.mark.parametrize(("later", "earlier"), [(1000, 999), (1751906685, 1751906684), (1751906684561, 1751906683)])
def test_epochs_sort_as_numbers(later: int, earlier: int) -> None:
    rows = [examples.call("a", City=str(at), updated_at=at) for at in (later, earlier)]
    assert cities(items(rows)) == {1: str(later), 2: EARLIER}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_a_version_before_the_end_never_takes_the_place_of_the_call(order: tuple[int, ...]) -> None:
    rows = [
        examples.call("a", City="first", updated_at="2026-01-01"),
        examples.call("a", City="last", updated_at="2026-01-02"),
        examples.call("a", City="ringing", updated_at="2026-01-03", state="ringing"),
    ]
    found = cities(items([rows[place] for place in order]))
    assert [found[order.index(place) + 1] for place in range(3)] == [EARLIER, "last", "a call that has not ended"]


def test_versions_before_the_end_alone_are_left_out() -> None:
    rows = [examples.call("a", City=city, state="ringing") for city in ("first", "second")]
    assert cities(items(rows)) == {1: EARLIER, 2: "a call that has not ended"}


def test_times_of_a_change_sort_as_times() -> None:
    rows = [
        examples.call("a", City="later", updated_at="2026-01-01T10:00:00-05:00"),
        examples.call("a", City="earlier", updated_at="2026-01-01T14:59:59Z"),
    ]
    assert cities(items(rows)) == {1: "later", 2: EARLIER}


def test_the_same_row_twice_is_left_to_be_a_duplicate() -> None:
    assert [type(item) for item in items([examples.call("a"), examples.call("a")])] == [Call, Call]


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("is_spooled", [False, True])
@pytest.mark.parametrize(
    ("value", "same"),
    [(float("nan"), Call), (pd.NaT, Call), (numpy.array(["a", "b"]), Skipped), ([float("nan")], Call)],
)
def test_versions_with_values_that_are_not_equal_to_themselves(
    value: Any, same: type[Item], is_spooled: bool, again: bool
) -> None:
    earlier, later = (examples.call("a", City=city, tags=value) for city in ("first", "second"))
    rows = [later if again else earlier, {**later, "tags": copy(value)}]
    with Spool() as spool:
        spool.add(rows)
        found = items(spool if is_spooled else rows)
    assert [type(item) for item in found] == [same if again else Skipped, Call]
    assert isinstance(found[1], Call)
    assert found[1].record.City == "second"


def test_a_row_without_an_id_is_alone() -> None:
    rows = [examples.call("a"), examples.call("", City="x"), examples.call("", City="y"), "no row at all", None]
    found = items(rows)
    assert [type(item) for item in found] == [Call, Rejected, Rejected, Rejected, Rejected]
    assert [item.row for item in found] == [1, 2, 3, 4, 5]


def test_ids_that_look_like_row_numbers_are_ids() -> None:
    assert [type(item) for item in items([examples.call("2"), examples.call("1")])] == [Call, Call]


def test_a_join_that_fails_rejects_its_rows_and_no_other() -> None:
    def failing(rows: Sequence[Row]) -> Sequence[Row | str]:
        raise KeyError(examples.CALLER)

    found = items([examples.call("a"), examples.call("b"), examples.call("a")], failing)
    assert {item.row: type(item) for item in found} == {1: Rejected, 2: Call, 3: Rejected}
    problems = [problem for item in found if isinstance(item, Rejected) for problem in item.problems]
    assert [(problem.parameter, problem.code) for problem in problems] == [("row", "mapping_failed")] * 2
    assert all("KeyError" in problem.message for problem in problems)


@pytest.mark.parametrize(
    ("looked_for", "shown"),
    [
        ("updated_at", "'updated_at' (did you mean 'updated'?)"),
        ("Jane Doe", None),
        ("City", None),
        (examples.CALLER, None),
        (("updated_at",), None),
    ],
    ids=["missing", "value", "there", "number", "unusual"],
)
def test_a_column_that_a_join_misses_is_named_if_the_join_says_that_it_reads_it(
    looked_for: Any, shown: str | None
) -> None:
    @reads("updated_at", "City")
    def failing(rows: Sequence[Row]) -> Sequence[Row | str]:
        raise KeyError(looked_for)

    found = items([examples.call("a", City="x", updated=1), examples.call("a", City="y")], failing)
    problems = [problem.message for item in found if isinstance(item, Rejected) for problem in item.problems]
    said = "could not be joined with the others of its call: KeyError"
    assert problems == [f"{said}; a row of the call has no column {shown}" if shown else said] * 2


def test_rows_that_a_join_fails_for_are_known_by_what_they_hold() -> None:
    mapping = CallMapping(vendor=preset(lambda _: []))
    traces = [
        item.traces
        for item in read([examples.call("a"), examples.call("a", City="x")], mapping, key=("CallSessionId",))
        if isinstance(item, Rejected)
    ]
    assert [each and each.legible["CallSessionId"] for each in traces] == ["a", "a"]
    assert len({each and each.content for each in traces}) == 2


@pytest.mark.parametrize("results", [[], ["left out"], ["left out"] * 3])
def test_a_join_that_forgets_a_row_rejects_them_all(results: list[str]) -> None:
    found = items([examples.call("a", City="x"), examples.call("a")], lambda rows: results)
    assert [type(item) for item in found] == [Rejected, Rejected]


def test_what_is_filtered_is_left_out_with_its_reason_and_id() -> None:
    (found,) = items([examples.call("a", direction="Outbound")])
    assert found == Skipped(1, "a", "an outbound call")


def test_a_value_that_cannot_be_stored_costs_only_the_call_that_needs_it() -> None:
    found = items([examples.call("a", City=lambda: 1), examples.call("b", extra=lambda: 1), examples.call("c")])
    assert [type(item) for item in found] == [Rejected, Call, Call]


def test_rows_are_read_before_the_first_is_given() -> None:
    read_so_far = []

    def rows() -> Iterator[Row]:
        for name in ("a", "b", "c"):
            read_so_far.append(name)
            yield examples.call(name)

    next(iter(read(rows(), CallMapping(vendor=preset(latest())))))
    assert read_so_far == ["a", "b", "c"]


@given(ids=st.lists(st.sampled_from(["a", "b", "c", "", None]), max_size=12), cities=st.data())
def test_every_row_ends_once_and_every_call_is_there(ids: list[str | None], cities: st.DataObject) -> None:
    rows = [examples.call("x", CallSessionId=name, City=cities.draw(st.sampled_from("uvw"))) for name in ids]
    found = items(rows)
    assert sorted(item.row for item in found) == list(range(1, len(rows) + 1))
    delivered = {item.record.CallSessionId for item in found if isinstance(item, Call)}
    assert delivered == {name for name in ids if name}
    for item in found:
        if isinstance(item, Call):
            last = max(place for place, name in enumerate(ids) if name == item.record.CallSessionId)
            assert item.record.City == rows[last]["City"]


def test_rows_are_joined_where_words_stand_for_nothing() -> None:
    row = {**examples.call("a"), "City": "n/a"}
    [first, second] = read([row, dict(row)], CallMapping(vendor=preset(latest()), nulls=["n/a"]))
    assert isinstance(first, Call)
    assert isinstance(second, Call)
    assert first.record == second.record
    assert first.record.City is None


def merged(rows: Sequence[Row]) -> Sequence[Row | str]:
    """The first row with the cities of all; the others are left out. Fails for the call ``c``."""
    if rows[0]["CallSessionId"] == "c":
        raise KeyError("c")
    return [{**rows[0], "City": "+".join(str(row["City"]) for row in rows)}, *[EARLIER for _ in rows[1:]]]


NAMES = st.sampled_from(["a", "b", "c", " a", "2", "", None, 2, "\ud800", UnreadableValue("is no value")])
CITIES = st.sampled_from(["u", "v", 1, None])


def row_of(names: Sequence[str], name: Any, city: Any, state: str) -> dict[str, Any]:
    values = {"CallSessionId": name, "City": city, "state": state}
    return {column: values[column] for column in names}


COLUMNS = st.sampled_from(
    [("CallSessionId", "City", "state"), ("state", "City", "CallSessionId"), ("City", "CallSessionId")]
)
ROWS = st.builds(row_of, COLUMNS, NAMES, CITIES, st.sampled_from(["", "ringing"]))
DOUBTFUL = NAMES.map(lambda name: {"call_session_id": name, "CALLSESSIONID": name})
STYLED = st.builds(lambda row: {column.upper(): value for column, value in row.items()}, ROWS)
OTHERS = st.sampled_from([None, "text", 5, UnreadableRow("is none"), {}, {"x": 1}])


def expected(rows: Sequence[Any], opener: VendorPreset | CallMapping, vendor: VendorPreset) -> list[tuple[int, Any]]:
    """What :func:`joined` gives, all of it held in memory and looked through over and over."""
    found: list[Any] = []
    for row in rows:
        try:
            found.append(opener.opened(row) if isinstance(row, Mapping) else row)
        except Exception:
            found.append(UnreadableRow("cannot be opened"))
    calls = [vendor.call_of(row) if isinstance(row, Mapping) else None for row in found]
    results: list[tuple[int, Any]] = []
    for place, call in enumerate(calls):
        members = [each for each, other in enumerate(calls) if call is not None and other == call]
        if len(members) < 2:
            results.append((place + 1, rows[place] if isinstance(found[place], UnreadableRow) else found[place]))
        elif place == members[0]:
            results += zip([each + 1 for each in members], one_call([found[each] for each in members]), strict=True)
    return results


def one_call(rows: Sequence[Row]) -> Sequence[Any]:
    finished = [row for row in rows if row.get("state") != "ringing"]
    given = finished or rows
    try:
        each = iter(merged(given) if len(given) > 1 else given)
    except KeyError:
        return ["unjoined"] * len(rows)
    return ["a call that has not ended" if finished and row.get("state") == "ringing" else next(each) for row in rows]


def plainly(result: Any) -> Any:
    match result:
        case Skipped():
            return result.reason
        case tuple():
            return "unjoined"
    return dict(result) if isinstance(result, Mapping) else result


@given(st.lists(ROWS | STYLED | DOUBTFUL | OTHERS, max_size=12), st.booleans())
def test_it_is_what_a_simple_one_gives(rows: list[Any], is_spooled: bool) -> None:
    vendor = preset(merged)
    with Spool() as spool:
        spool.add(rows)
        found = [*joined(spool if is_spooled else iter(rows), vendor, merged)]
    assert [number for number, _ in found] == [number for number, _ in expected(rows, vendor, vendor)]
    assert [plainly(each) for _, each in found] == [plainly(each) for _, each in expected(rows, vendor, vendor)]


def with_words(words: bool, call: Any, wrapper: str | None) -> VendorPreset:
    return replace(preset(merged), blanks=("-none-",) if words else (), call=call, wrapper=wrapper)


@reads("CallSessionId", "City")
def id_or_city(row: Row) -> Any:
    return row.get("CallSessionId") or row.get("City")


CALLS = st.sampled_from(
    [
        *(None, "CallSessionId", "City", "nowhere", "state.id", {"first_of": ["City", "CallSessionId"]}, id_or_city),
        *({"from": "City", "values": {"u": "a", "v": "b"}}, {"constant": "a"}, lambda row: row["CallSessionId"]),
    ]
)
WORDS = NAMES | st.sampled_from(["-none-", " -none- ", '{"id": "a"}', '{"CallSessionId": "b"}', {"id": "c"}])
NAMED = ["CallSessionId", "call_session_id", "City", "CITY", "state", "x", "call__CallSessionId", "call__City", "call"]


@given(
    st.lists(st.sampled_from(NAMED), unique=True).map(tuple),
    st.data(),
    st.booleans(),
    CALLS,
    st.sampled_from([None, "call"]),
)
def test_a_call_is_told_from_values_as_from_the_opened_row(
    columns: tuple[str, ...], values: st.DataObject, words: bool, call: Any, wrapper: str | None
) -> None:
    row = {name: values.draw(WORDS) for name in columns}
    vendor = with_words(words, call, wrapper)
    call_from = vendor.call_from(columns)
    assert call_from is vendor.call_from(columns)
    if call_from is not None:
        asked_for = [[*row.values()][place] for place in call_from.places]
        assert call_from.read(asked_for) == vendor.call_of(vendor.opened(row))
    if not vendor.opens(columns):
        assert vendor.opened(row) is row


def test_what_many_columns_tell_is_not_remembered_for_ever() -> None:
    vendor = preset(merged)
    for columns in [("CallSessionId", f"column {number}") for number in range(1500)]:
        call_from = vendor.call_from(columns)
        assert call_from is not None
        assert call_from.places == [0]
        assert call_from.read(["a"]) == "a"
    long = ("CallSessionId", "long" * 10_000)
    assert vendor.call_from(long) is not vendor.call_from(long)


@given(st.lists(ROWS | STYLED, max_size=6), st.booleans())
def test_calls_are_brought_together_where_words_stand_for_nothing(rows: list[Any], of_the_vendor: bool) -> None:
    rows = [{**row, "City": row["City"] or "-none-"} if "City" in row else row for row in rows]
    vendor = with_words(of_the_vendor, None, None)
    constants = {name: "1" for name, parameter in PARAMETERS.items() if parameter.required and name != "CallSessionId"}
    mapping = CallMapping(vendor=vendor, constants=constants, nulls=None if of_the_vendor else ["-none-"])
    with Spool() as spool:
        spool.add(rows)
        found = [plainly(each) for _, each in joined(spool, vendor, merged, mapping)]
    assert found == [plainly(each) for _, each in expected(rows, mapping, vendor)]


def test_what_is_on_disk_is_read_as_often_as_wanted() -> None:
    rows = [examples.call(name, City=city) for name, city in ("ax", "by", "az")]
    with Spool(list(rows[0])) as spool:
        spool.write(list(row.values()) for row in rows)
        for _ in range(2):
            assert cities(items(spool)) == {1: EARLIER, 2: "y", 3: "z"}


def test_what_is_on_disk_and_no_row_costs_itself() -> None:
    with Spool() as spool:
        spool.add([{"a": [1, 2], "b": [3, 4]}, examples.call("a"), threading.Lock(), examples.call("a", City="x")])
        found = items(spool)
    assert {item.row: type(item) for item in found} == {1: Rejected, 2: Skipped, 3: Rejected, 4: Call}


class Fetching(Mapping[str, Any]):
    """A row that fetches its values, and fails at that."""

    def __getitem__(self, column: str) -> Any:
        raise RuntimeError(examples.CALLER)

    def __iter__(self) -> Iterator[str]:
        return iter(examples.call("a"))

    def __len__(self) -> int:
        return len(examples.call("a"))


def test_a_row_whose_values_cannot_be_had_costs_itself() -> None:
    found = items([examples.call("a"), Fetching(), examples.call("a", City="x")])
    assert {item.row: type(item) for item in found} == {1: Skipped, 2: Rejected, 3: Call}
    assert [problem.code for item in found if isinstance(item, Rejected) for problem in item.problems] == ["unreadable"]


def test_a_row_of_any_type_is_joined() -> None:
    rows = [MappingProxyType(examples.call("a")), MappingProxyType(examples.call("a", City="x"))]
    assert cities(items(rows)) == {1: EARLIER, 2: "x"}


def test_many_rows_of_calls_far_apart_come_together() -> None:
    many = 600
    rows = [examples.call(f"n{number % many}", City=str(number)) for number in range(2 * many)]
    found = [*joined(iter(rows), preset(BY_TIME), BY_TIME)]
    assert [number for number, _ in found] == [each for first in range(1, many + 1) for each in (first, first + many)]
    assert all(isinstance(result, Skipped) for _, result in found[::2])
    assert [result["City"] for _, result in found[1::2]] == [str(number) for number in range(many, 2 * many)]
    assert all(isinstance(result, OpenedRow) for _, result in found[1::2])
