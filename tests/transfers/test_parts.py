"""The ways to cut a backlog that docs/scale.md shows: each row is in exactly one part, whatever its id."""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import pytest
import sqlalchemy as sa

from tests.databases import empty_database
from tests.documentation import ROOT, blocks

PAGE = ROOT / "docs" / "scale.md"
IDS = [*(f"CA{number:x}" for number in range(2_000)), "RGB-7Z", "é", "-2147483648", " ", "", None]
PARTS = 8


def expression(database: str) -> str:
    (found,) = re.findall(rf"^\| {database} \| `([^`]+)`", PAGE.read_text(), re.MULTILINE)
    return str(found)


@pytest.fixture
def in_postgresql(postgres: sa.engine.URL) -> Iterator[sa.Connection]:
    engine = sa.create_engine(empty_database(postgres))
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE calls (call_session_id TEXT)"))
        connection.execute(sa.text("INSERT INTO calls VALUES (:id)"), [{"id": each} for each in IDS])
        yield connection
    engine.dispose()


@pytest.fixture
def in_sqlite() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE calls (call_session_id TEXT)")
        connection.executemany("INSERT INTO calls VALUES (?)", [(each,) for each in IDS])
        yield connection


def check_even(parts: Counter[int]) -> None:
    assert parts.keys() == set(range(PARTS)), "no row is in none, as its part were NULL"
    assert parts.total() == len(IDS)
    assert min(parts.values()) > len(IDS) / PARTS / 2


def test_by_hash_in_postgresql(in_postgresql: sa.Connection) -> None:
    found = in_postgresql.execute(sa.text(f"SELECT {expression('PostgreSQL')} FROM calls")).scalars()
    check_even(Counter(found))


def test_the_smallest_number_of_postgresql_has_a_part(in_postgresql: sa.Connection) -> None:
    """HASHTEXT may give it, and ABS refuses it."""
    of_smallest = re.sub(r"HASHTEXT\(COALESCE\(\w+, ''\)\)", "(-2147483648)", expression("PostgreSQL"))
    assert in_postgresql.execute(sa.text(f"SELECT {of_smallest}")).scalar() in range(PARTS)


def test_by_row_in_sqlite(in_sqlite: sqlite3.Connection) -> None:
    check_even(Counter(part for (part,) in in_sqlite.execute(f"SELECT {expression('SQLite')} FROM calls")))


def test_by_the_last_character_in_both(in_sqlite: sqlite3.Connection, in_postgresql: sa.Connection) -> None:
    queries = blocks(PAGE, "sql")
    assert len(queries) == 3
    for found in (
        [in_sqlite.execute(query).fetchall() for query in queries],
        [in_postgresql.execute(sa.text(query)).fetchall() for query in queries],
    ):
        assert all(found)
        assert Counter(call for part in found for (call,) in part) == Counter(IDS)
