from __future__ import annotations

import pickle
import threading
from datetime import UTC, datetime
from decimal import Decimal
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


@pytest.mark.parametrize("value", [Unpicklable(), threading.Lock(), lambda: None])
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


def test_a_row_that_does_not_fit_its_columns_is_an_error() -> None:
    with Spool(["a", "b"]) as spool:
        spool.write([(1,)])
        with pytest.raises(ValueError, match="zip"):
            list(spool)


def test_the_file_is_gone_afterwards() -> None:
    with Spool(["a"]) as spool:
        spool.write([(1,)])
    with pytest.raises(ValueError, match="closed"):
        list(spool)


def test_it_reads_a_chunk_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    loads = 0
    real = pickle.load

    def counted(file: Any) -> Any:
        nonlocal loads
        loads += 1
        return real(file)

    with Spool(["a"]) as spool:
        for start in range(0, 100, 10):
            spool.write([(number,) for number in range(start, start + 10)])
        monkeypatch.setattr(pickle, "load", counted)
        rows = iter(spool)
        next(rows)
        assert loads == 1
        assert [row["a"] for row in rows] == list(range(1, 100))
        assert loads == 10
