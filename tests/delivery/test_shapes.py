"""What is given in the place of rows: read if it names its values, else refused at once with what to give instead."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections import UserDict, namedtuple
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import numpy
import pandas
import pyarrow
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_impactcall.delivery.items import Call, Item, Rejected
from airflow_provider_impactcall.delivery.reading import read
from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.records import CallMapping, CallRecord
from tests import examples
from tests.delivery import canary

GOOD = canary.row()
CELLS = tuple(GOOD.values())


def items(rows: Any, **options: Any) -> list[Item]:
    return list(read(rows, CallMapping(**options)))


def calls_in(rows: Any, **options: Any) -> list[str]:
    """The ids of the calls that rows are; none may be anything else."""
    found = []
    for item in items(rows, **options):
        assert isinstance(item, Call), item
        found.append(item.record.CallSessionId)
    return found


def refusal(rows: Any, **options: Any) -> str:
    with pytest.raises(InvalidOption, match=r"\bcalls\b") as raised:
        read(rows, CallMapping(**options))  # before anything is read as a call
    assert canary.found_in(str(raised.value)) == []
    return str(raised.value)


class Keyed:
    """As a client of a database has its rows: it is no Mapping, and iterating it gives values."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        self._row = row

    def keys(self) -> Any:
        return self._row.keys()

    def __getitem__(self, name: str) -> Any:
        return self._row[name]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._row.values())


class KeyedAlone(Keyed):
    """One that cannot be iterated."""

    __iter__ = None  # type: ignore[assignment]


class KeyedList(list):  # type: ignore[type-arg]
    """As psycopg2's DictRow: a list of values that has keys."""

    def __init__(self, row: Mapping[str, Any]) -> None:
        super().__init__(row.values())
        self._row = row

    def keys(self) -> Any:
        return self._row.keys()

    def __getitem__(self, name: Any) -> Any:
        return self._row[name] if isinstance(name, str) else super().__getitem__(name)


def of_sqlite(row: Mapping[str, Any]) -> Any:
    database = sqlite3.connect(":memory:")
    database.row_factory = sqlite3.Row
    named = ", ".join(f'? AS "{name}"' for name in row)
    return database.execute(f"SELECT {named}", list(row.values())).fetchone()


def of_sqlalchemy(row: Mapping[str, Any]) -> Any:
    selected = sa.select(*(sa.literal(value).label(name) for name, value in row.items()))
    return sa.create_engine("sqlite://").connect().execute(selected).fetchone()


KINDS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "dict": dict,
    "UserDict": UserDict,
    "keyed": Keyed,
    "keyed alone": KeyedAlone,
    "keyed list": KeyedList,
    "sqlite3": of_sqlite,
    "SQLAlchemy": of_sqlalchemy,
    "SQLAlchemy, by name": lambda row: of_sqlalchemy(row)._mapping,
    "named tuple": lambda row: namedtuple("Row", row)(**row),
    "pandas": pandas.Series,
    "record": CallRecord.of,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("given_as", ["one", "list", "tuple", "generator", "nested"])
def test_rows_that_name_their_values_are_rows(kind: str, given_as: str) -> None:
    row = KINDS[kind](GOOD)
    shapes = {"one": row, "list": [row, row], "tuple": (row,), "generator": (each for each in [row]), "nested": [[row]]}
    assert set(calls_in(shapes[given_as])) == {GOOD["CallSessionId"]}


def test_rows_of_asyncpg_name_their_values(postgres: sa.engine.URL) -> None:
    async def fetched() -> Any:
        host = postgres.host or postgres.query["host"]  # The folder of its socket.
        connection = await asyncpg.connect(host=host, user=postgres.username, database=postgres.database)
        named = ", ".join(f'${place}::text AS "{name}"' for place, name in enumerate(GOOD, start=1))
        try:
            return await connection.fetch(f"SELECT {named}", *map(str, GOOD.values()))
        finally:
            await connection.close()

    rows = asyncio.run(fetched())
    assert not isinstance(rows[0], Mapping)
    assert calls_in(rows) == calls_in(rows[0]) == [GOOD["CallSessionId"]]


def test_a_row_that_fails_as_its_names_are_read_costs_itself() -> None:
    class Broken(Keyed):
        def keys(self) -> Any:
            raise RuntimeError(canary.WORD)

    _, bad = items([GOOD, Broken(GOOD)])
    assert isinstance(bad, Rejected)
    assert (bad.problems[0].parameter, bad.problems[0].code) == ("row", "unreadable")
    assert "RuntimeError" in bad.problems[0].message
    assert canary.found_in(bad.problems[0].message) == []


def test_a_row_may_look_its_attributes_up_among_its_values() -> None:
    class Attributes(Keyed):
        def __getattr__(self, name: str) -> Any:
            return self[name]

    assert [type(item) for item in items([GOOD, Attributes(GOOD)])] == [Call, Call]


WITHOUT_NAMES: dict[str, Any] = {
    "lists": [["CA1", 10000, "2026-11-20T10:00:00Z", "2125550123"], ["CA2", 10000, "2026-11-20T10:01:00Z", "1"]],
    "tuples of fetchall": [CELLS, CELLS],
    "a generator": (CELLS for _ in range(3)),
    "a mapped upstream's": [[list(CELLS)], [list(CELLS)]],
    "with a header": [list(GOOD), list(CELLS)],
    "of one": [("CA1",)],
    "with JSON in a cell": [["CA1", {"city": "Oslo"}, 5, None]],
    "with a list in a cell": [["CA1", ["a", "b"], 5]],
    "numbers alone": [(1, Decimal(2), 3.5)],
    "of numpy": numpy.array([[1, 2], [3, 4]]),
    "of a frame": pandas.DataFrame([{"a": 1, "b": 2}]).values.tolist(),
    "of itertuples": pandas.DataFrame([GOOD]).itertuples(name=None),
    "pairs with an index": pandas.DataFrame([GOOD]).iterrows(),
    "items of a dict": {"CA1": GOOD}.items(),
    "after nothing": [[], None, CELLS],
    "very many": (CELLS for _ in range(10**9)),
}


@pytest.mark.parametrize("name", WITHOUT_NAMES)
def test_rows_without_names_are_refused_at_once(name: str) -> None:
    assert "SqlToImpactCallOperator" in refusal(WITHOUT_NAMES[name]), "what to use for them"


INSIDE = [GOOD, canary.row(2)]
PAGES: dict[str, tuple[Any, str]] = {
    "CallRail": ({"page": 1, "per_page": 100, "total_pages": 1, "total_records": 1, "calls": INSIDE}, "page['calls']"),
    "Twilio": ({"calls": INSIDE, "first_page_uri": "/x", "end": 49, "page": 0, "uri": "/y"}, "page['calls']"),
    "Ringba": ({"isSuccessful": True, "report": {"records": INSIDE, "totalCount": 2}}, "page['report']['records']"),
    "bare": ({"data": INSIDE}, "page['data']"),
    "with links": ({"links": {"next": None}, "results": INSIDE, "meta": {"total": 2}}, "page['results']"),
    "nothing on it": ({"calls": [], "page": 1, "total_entries": 0}, "page['calls']"),
    "rows that need a mapping": ({"leads": [{"lead_id": 1}], "page_number": 1, "total_leads": 1}, "page['leads']"),
    "a name with a space": ({"the calls": INSIDE, "page": 1}, "page['the calls']"),
    "a name that may be a value": ({"303-555-0199": INSIDE, "page": 1}, "page[...]"),
    "beside a name that may be a value": ({"calls": INSIDE, "page": 1, "+13035550199": 1}, "page[...]"),
    "a list of pages": ([{"calls": INSIDE, "page": 1}, {"calls": INSIDE, "page": 2}], "page['calls']"),
    "a generator of pages": (({"calls": INSIDE, "page": n} for n in range(3)), "page['calls']"),
}


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_an_api_is_refused_with_what_to_give(name: str) -> None:
    page, remedy = PAGES[name]
    assert refusal(page).endswith(f"calls={remedy}")


CALLRAIL = {
    **{
        "id": "CAL1",
        "answered": True,
        "customer_phone_number": "+12125550123",
        "tracking_phone_number": "+13035550191",
    },
    **{"duration": 5, "start_time": "2026-11-20T11:27:48-05:00", "direction": "inbound"},
}
FROM_CONSTANTS = {"MediaId": 10000, "CampaignId": 1, "ActionTrackerId": 2, "CallProvider": "x"}


def test_a_page_of_a_vendors_calls_and_one_that_holds_only_calls_to_leave_out() -> None:
    for call in (CALLRAIL, {**CALLRAIL, "direction": "outbound"}):
        page = {"page": 1, "calls": [call], "total_records": 1}
        assert refusal(page, vendor="callrail", constants=FROM_CONSTANTS).endswith("calls=page['calls']")
    # Else the preset would take the first of them for the call.
    by_id = {"CAL1": CALLRAIL, "CAL2": {**CALLRAIL, "id": "CAL2"}}
    assert "list(calls.values())" in refusal(by_id, vendor="callrail", constants=FROM_CONSTANTS)


@pytest.mark.parametrize(
    ("rows", "remedy"),
    [
        ({"CallSessionId": ["a", "b"], "MediaId": [1, 2]}, "df.to_dict('records')"),
        (pandas.DataFrame(INSIDE).to_dict(), "df.to_dict('records')"),
        (pandas.DataFrame(INSIDE).to_dict("list"), "df.to_dict('records')"),
        (pandas.DataFrame(INSIDE), "df.to_dict('records')"),
        ([pandas.DataFrame(INSIDE)], "df.to_dict('records')"),
        (pyarrow.Table.from_pylist([{"a": 1}]), "table.to_pylist()"),
        ({"a": GOOD, "b": GOOD}, "list(calls.values())"),
        (json.dumps(INSIDE), "json.loads(text)"),
        (json.dumps(GOOD).encode(), "json.loads(text)"),
        ([json.dumps(GOOD), json.dumps(GOOD)], "json.loads(text)"),
        ((json.dumps(GOOD).encode() for _ in range(3)), "json.loads(text)"),
        (["CA1", 10000, "2026-11-20T10:00:00Z"], " 3 "),
    ],
)
def test_what_else_is_no_row_is_refused_with_what_to_give(rows: Any, remedy: str) -> None:
    assert remedy in refusal(rows)


@pytest.mark.parametrize(
    "bad", [CELLS, list(CELLS), {"page": 1, "calls": INSIDE}, json.dumps(GOOD), {"a": GOOD, "b": GOOD}, "x", None]
)
@pytest.mark.parametrize("at", [0, 1, 50])
def test_among_rows_one_that_is_none_costs_itself_alone(bad: Any, at: int) -> None:
    rows: list[Any] = [canary.row(number) for number in range(60)]
    rows.insert(at, bad)
    found = items(iter(rows))
    assert len(found) == 61
    rejected = [item for item in found if isinstance(item, Rejected)]
    assert [item.row for item in rejected] == [at + 1]
    assert sum(isinstance(item, Call) for item in found) == 60
    assert canary.found_in(" ".join(map(str, rejected[0].problems))) == []


@pytest.mark.parametrize(
    "row",
    [
        {**GOOD, "tags": [{"name": "a"}], "milestones": []},
        {**GOOD, "page": 1, "calls": [GOOD]},
        {**GOOD, "CallerId": "", "tags": [{"id": 1}], "page_url": "x"},
        {"id": 1, "tags": [], "milestones": [{"x": 1}]},
        {"event": "ping"},
        {"a": {}, "b": {}},
        {},
    ],
)
def test_a_row_with_lists_in_it_is_a_row(row: dict[str, Any]) -> None:
    (item,) = items(row)
    assert isinstance(item, (Call, Rejected))


leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(GOOD)
trees = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
)


@given(st.lists(trees, max_size=5))
def test_any_shape_is_counted_row_by_row_or_refused_before_the_first(shape: Any) -> None:
    refused = ""
    try:
        found = list(read(shape, CallMapping()))
    except InvalidOption as error:
        refused = str(error)
    if refused:
        assert "calls" in refused
        assert canary.found_in(refused) == []
        return
    assert [item.row for item in found] == list(range(1, len(found) + 1))
    assert sum(isinstance(item, Call) for item in found) == _rows_like(GOOD, shape)


def _rows_like(row: dict[str, Any], shape: Any) -> int:
    """How often a row stands among lists; one in a list of values is a value of it."""
    count = 0
    for each in shape:
        if each is row:
            count += 1
        elif isinstance(each, list) and each:
            of_values = each[0] is not None and not isinstance(each[0], (list, dict))
            rows = sum(isinstance(value, dict) for value in each)
            count += 0 if of_values and 2 * rows < len(each) else _rows_like(row, each)
    return count


def test_an_object_without_names_is_rejected_as_it_was() -> None:
    _, bad = items([GOOD, SimpleNamespace(**examples.call("a"))])
    assert isinstance(bad, Rejected)
    assert (bad.problems[0].parameter, bad.problems[0].code) == ("row", "not_a_row")
    assert "dict" in bad.problems[0].message, "what it must be"
