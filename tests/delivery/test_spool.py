from __future__ import annotations

import threading
import tracemalloc
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_impactcall.delivery.reading import mapped
from airflow_provider_impactcall.delivery.spool import Spool
from airflow_provider_impactcall.records import CallMapping
from airflow_provider_impactcall.records.unreadable import UnreadableValue
from tests.delivery import canary

VALUES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()


@given(st.lists(st.lists(st.tuples(VALUES, VALUES), max_size=5), max_size=5))
def test_what_was_written_is_read_in_order_as_often_as_wanted(chunks: list[list[tuple[Any, Any]]]) -> None:
    rows = [{"a": a, "b": b} for chunk in chunks for a, b in chunk]
    with Spool(["a", "b"]) as spool:
        for chunk in chunks:
            spool.write(chunk)
        assert len(spool) == len(rows)
        assert list(spool) == rows
        assert list(spool) == rows


def test_the_types_of_a_database_survive() -> None:
    values = (Decimal("1.50"), datetime(2026, 9, 10, tzinfo=UTC), UUID(int=5), memoryview(b"ab"), None)
    with Spool([str(number) for number in range(5)]) as spool:
        spool.write([values])
        assert list(*spool) == ["0", "1", "2", "3", "4"]
        assert list(next(iter(spool)).values()) == [*values[:3], b"ab", None]


class Unpicklable:
    def __reduce__(self) -> Any:
        raise RuntimeError(canary.WORD)


class Unread(Exception):
    """An error as many are written: it is pickled, and then not made again."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what}: {why}")


class Zone(tzinfo):
    """A time zone that needs its name to be made again."""

    def __init__(self, name: str) -> None:
        self._name = name

    def utcoffset(self, _: datetime | None) -> timedelta:
        return timedelta(0)

    dst = utcoffset

    def tzname(self, _: datetime | None) -> str:
        return self._name


UNSTORABLE = [
    *(Unpicklable(), threading.Lock(), lambda: None),
    *(Unread("a", canary.WORD), [Unread("a", canary.WORD)], datetime(2026, 9, 10, tzinfo=Zone("UTC"))),
]


class Failing(Mapping[str, Any]):
    """A row that fetches its values, and fails at that."""

    def __getitem__(self, column: str) -> Any:
        raise RuntimeError(canary.WORD)

    def __iter__(self) -> Iterator[str]:
        yield "a"

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize("value", UNSTORABLE)
def test_a_value_that_cannot_be_stored_costs_only_the_calls_that_need_it(value: Any) -> None:
    good, bad, ignored = canary.row(1), canary.row(2), canary.row(3)
    columns = [*good, "Other"]
    with Spool(columns) as spool:
        spool.write(
            [
                [*good.values(), 1],
                [value if name == "City" else bad[name] for name in good] + [2],
                [*ignored.values(), value],
            ]
        )
        rows = list(spool)
        items = list(mapped(enumerate(rows, start=1), CallMapping()))
    assert isinstance(rows[1]["City"], UnreadableValue)
    assert rows[0] == {**good, "Other": 1}
    assert [type(item).__name__ for item in items] == ["Call", "Rejected", "Call"]


@pytest.mark.parametrize("value", UNSTORABLE)
def test_what_is_no_row_may_be_impossible_to_store(value: Any) -> None:
    with Spool() as spool:
        spool.add([value, "text", None])
        assert [type(each) for each in spool] == [UnreadableValue, str, type(None)]


def test_values_after_one_that_cannot_be_stored_are_their_own() -> None:
    """What is written with more care is read by what reads the rest."""
    twice = "twice in a row"
    rows: list[Any] = [[twice, twice, number] for number in range(10)]
    with Spool(["a", "b", "c"]) as spool:
        spool.write([[*row[:2], Unpicklable()] if row[2] in (3, 4, 7) else row for row in rows])
        assert [(row["a"], row["b"]) for row in spool] == [(twice, twice)] * 10
        assert [row["c"] for row in spool if type(row["c"]) is int] == [0, 1, 2, 5, 6, 8, 9]


def test_a_value_that_holds_itself_survives() -> None:
    value: dict[str, Any] = {"name": "x"}
    value["self"] = value
    with Spool() as spool:
        spool.add([{"a": 0, "b": value}, {"a": 1, "b": value}])
        for row in (*spool, spool.by_place()(1)):
            assert row["b"]["self"]["self"]["name"] == "x"


class Word(str):
    """Text of a driver's own type."""


def test_values_beside_one_that_cannot_be_stored_keep_their_types() -> None:
    held = {"name": "x"}
    rows: list[list[Any]] = [
        [held, Word("x"), bytearray(b"ab")],
        [held, memoryview(b"ab"), True],
        [Unpicklable(), 1.5, Decimal(2)],
    ]
    with Spool(["a", "b", "c"]) as spool:
        spool.write(rows)
        found = [[*row.values()] for row in spool]
        assert [[*spool.by_place()(place).values()] for place in range(3)] == found
    assert found[:2] == [[held, Word("x"), bytearray(b"ab")], [held, b"ab", True]]
    assert [type(value) for value in found[0]] == [dict, Word, bytearray]
    assert [type(value) for value in found[2]] == [UnreadableValue, float, Decimal]
    assert found[0][0] is not found[1][0]


@pytest.mark.parametrize("other", [{}, {"b": 1}, {"a": Unpicklable()}])
def test_rows_are_read_as_they_lie(other: dict[str, Any]) -> None:
    rows: list[Any] = [*({"a": number} for number in range(100)), other, "text"]
    with Spool() as spool:
        spool.add(rows)
        found: list[Any] = []
        for block in spool.blocks():
            found += [*block]
        assert found == [*spool]
        assert next(spool.blocks()).columns == ("a",)
    assert found[:100] == rows[:100]
    assert found[-1] == "text"


def test_rows_that_could_not_be_written_are_not_there() -> None:
    def failing() -> Iterator[tuple[int]]:
        yield from ((number,) for number in range(100))
        raise RuntimeError

    with Spool(["a"]) as spool:
        with pytest.raises(RuntimeError):
            spool.write(failing())
        known = len(spool)
        spool.write([(100,)])
        assert [row["a"] for row in spool] == [*range(known), 100]


KEYS = st.sampled_from(["a", "b", "C", "d d"]) | st.integers(0, 3) | st.none()
ROWS = st.dictionaries(KEYS, VALUES, max_size=4) | st.text(max_size=3) | st.none() | st.lists(st.integers(), max_size=2)


@given(st.lists(st.lists(ROWS, max_size=5), max_size=5), st.integers(0, 300))
def test_rows_of_any_kind_are_read_in_order_and_by_their_places(parts: list[list[Any]], many: int) -> None:
    with Spool() as spool:
        for part in [*parts, [{"a": number, "b": str(number)} for number in range(many)]]:
            spool.add(part)
        rows = [row for part in parts for row in part]
        assert [*spool][: len(rows)] == rows
        assert [spool.by_place()(place) for place in range(len(spool))] == [*spool]
        row_at = spool.by_place()
        assert [row_at(place) for place in reversed(range(len(spool)))] == [*spool][::-1]
        assert [type(row) for row in spool] == [type(spool.by_place()(place)) for place in range(len(spool))]
        for place in (-1, len(spool)):
            with pytest.raises(IndexError):
                spool.by_place()(place)


def test_the_order_of_columns_is_a_row_s_own() -> None:
    rows = [{"a": 1, "b": 2}, {"b": 3, "a": 4}, {"a": 5}]
    with Spool() as spool:
        spool.add(rows)
        assert [[*row.items()] for row in spool] == [[*row.items()] for row in rows]


def test_a_mapping_becomes_a_dict_and_one_that_fails_is_kept() -> None:
    with Spool() as spool:
        spool.add([MappingProxyType({"a": 1}), Failing(), OrderedDict(a=2)])
        rows = [*spool]
    assert [type(row) for row in rows] == [dict, Failing, dict]
    assert [rows[0], rows[2]] == [{"a": 1}, {"a": 2}]


def test_rows_of_ever_new_columns_are_rows() -> None:
    rows = [{f"column {number}": number} for number in range(1500)]
    rows += [{"long" * 10_000: 1}, {"a": 1}, *rows[:3]]
    with Spool() as spool:
        spool.add(rows)
        assert [*spool] == rows


@pytest.mark.parametrize("values", [(), (1,), (1, 2, 3)])
def test_a_row_that_does_not_fit_its_columns_is_an_error(values: tuple[int, ...]) -> None:
    with Spool(["a", "b"]) as spool, pytest.raises(ValueError, match=f"{len(values)}, 2"):
        spool.write([values])


def test_the_file_is_gone_afterwards() -> None:
    with Spool(["a"]) as spool:
        spool.write([(1,)])
    with pytest.raises(ValueError, match="closed"):
        list(spool)


def test_it_reads_a_chunk_at_a_time() -> None:
    with Spool(["a"]) as spool:
        for number in range(100):
            spool.write([(str(number) * 10_000,)])
        tracemalloc.start()
        try:
            assert sum(1 for _ in spool) == 100
            assert tracemalloc.get_traced_memory()[1] < 500_000
        finally:
            tracemalloc.stop()


def test_readers_do_not_disturb_each_other() -> None:
    with Spool(["a"]) as spool:
        spool.write([(number,) for number in range(500)])
        for number, (one, other) in enumerate(zip(spool, spool, strict=True)):
            assert one == other == spool.by_place()(number) == {"a": number}
            assert spool.by_place()(499 - number) == {"a": 499 - number}


def test_few_columns_of_a_block_are_read() -> None:
    rows: list[Any] = [*({"a": number, "b": str(number), "c": [number]} for number in range(300)), {}, {}, "text"]
    with Spool() as spool:
        spool.add(rows)
        blocks = [*spool.blocks()]
    known = [block for block in blocks if block.columns == ("a", "b", "c")]
    few = [values for block in known for values in block.values([2, 0])]
    assert few[:250] == [([number], number) for number in range(250)]
    assert all([*block.values([])] == [()] * len(block) for block in blocks if block.columns is not None)
    assert [row for block in blocks for row in block] == rows
    assert [block.row(place) for block in blocks for place in range(len(block))] == rows
