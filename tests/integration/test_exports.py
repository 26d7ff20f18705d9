"""What became of calls, in a table of a person's own database: SQLite and PostgreSQL."""

from __future__ import annotations

import traceback
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from airflow.providers.common.compat.sdk import AirflowException
from sqlalchemy.dialects import mysql

from airflow_provider_impactcall.defaults import DEFAULT_KEY
from airflow_provider_impactcall.delivery.identity import identify
from airflow_provider_impactcall.delivery.items import Call
from airflow_provider_impactcall.delivery.ledger.batch_sizes import BatchSizes
from airflow_provider_impactcall.delivery.ledger.corrections import Corrections
from airflow_provider_impactcall.delivery.ledger.dead_letters import mark_changed
from airflow_provider_impactcall.delivery.ledger.edits import Author
from airflow_provider_impactcall.delivery.ledger.rules import Settlement
from airflow_provider_impactcall.delivery.ledger.schema import Now, calls, runs
from airflow_provider_impactcall.delivery.ledger.selection import Selection
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import Attempt
from airflow_provider_impactcall.delivery.reading import read
from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.integration.calls_table import CallsTable, Upsert, delete_and_insert
from airflow_provider_impactcall.integration.exports import TableExport
from airflow_provider_impactcall.records import CallMapping
from tests import examples
from tests.databases import empty_database
from tests.delivery import canary
from tests.delivery.scripted import OK, REFUSED
from tests.facts import named

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
COLUMNS = {
    *("key", "namespace", "CallSessionId", "CampaignId", "ActionTrackerId", "CallProvider", "MediaId", "EventDate"),
    *("state", "reason_code", "status", "reason", "attempts", "run_id", "first_at", "changed_at", "came_again_at"),
    *("came_again_times", "updated_at", "exported_at"),
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A ledger that has its tables."""
    url = f"sqlite:///{tmp_path_factory.mktemp('ledger')}/own.db"
    with closing(Ledger(sa.create_engine(url), "")) as ledger:
        ledger.prepare()
    return url


@pytest.fixture
def ledger(prepared: str) -> Iterator[Ledger]:
    """A ledger of a namespace in which there is nothing."""
    with closing(Ledger(sa.create_engine(prepared), f"https://{uuid.uuid4().hex}.example.com")) as ledger:
        yield ledger


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.engine.Engine]:
    if request.param == "sqlite":
        url = sa.engine.make_url(f"sqlite:///{tmp_path_factory.mktemp('warehouse')}/own.db")
    else:
        url = empty_database(request.getfixturevalue("postgres"))
    engine = sa.create_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def warehouse(database: sa.engine.Engine) -> Iterator[sa.engine.Engine]:
    """A database without tables."""
    yield database
    tables = sa.MetaData()
    tables.reflect(database)
    tables.drop_all(database)


def sent(ledger: Ledger, *session_ids: str, attempt: Attempt | None = OK, **changes: Any) -> list[str]:
    """Calls that a run has sent, the one after the other; without an answer yet, if there is no attempt."""
    run_id, keys = ledger.start("test", ""), []
    for session_id in session_ids:
        [item] = read([examples.call(session_id, **changes)], CallMapping())
        assert isinstance(item, Call)
        claim = identify(ledger.namespace, DEFAULT_KEY, item.record)
        ledger.record(run_id, [claim], [], resend=False)
        if attempt is not None:
            ledger.record(run_id, [], [Settlement(claim.key, 1, attempt)], resend=False)
        keys.append(claim.key)
    return keys


def came_again(ledger: Ledger, key: str, ago: float = 0.0) -> None:
    with ledger.writing() as connection:
        moment = connection.execute(sa.select(Now())).scalar_one()
        mark_changed(connection, ledger.namespace, moment - ago, {key: (99_999, 1)})


def moved(ledger: Ledger, key: str, seconds: float) -> None:
    """As if the call had changed so many seconds later."""
    with ledger.writing() as connection:
        changed = sa.update(calls).where(calls.c.key == key).values(changed_at=calls.c.changed_at + seconds)
        connection.execute(changed)


def export(
    ledger: Ledger,
    warehouse: sa.engine.Engine,
    name: str = "calls",
    *,
    upsert: Upsert | None = None,
    states: tuple[str, ...] = (),
    page: int = 5_000,
    **period: Any,
) -> dict[str, int]:
    table = CallsTable(warehouse, name, upsert)
    table.prepare()
    exporting = TableExport(ledger, table, states, BatchSizes(exported=page))
    exporting.run(**period)
    return {state: count for state, count in exporting.counts.items() if count}


def held(warehouse: sa.engine.Engine, name: str = "calls", schema: str | None = None) -> dict[str, Mapping[str, Any]]:
    """The rows of the table, as anyone reads it."""
    table = sa.Table(name, sa.MetaData(), autoload_with=warehouse, schema=schema)
    with warehouse.connect() as connection:
        rows = list(connection.execute(sa.select(table)).mappings())
    found: dict[str, Mapping[str, Any]] = {row["CallSessionId"]: dict(row) for row in rows}
    assert len(found) == len(rows), "no call is there twice"
    return found


@contextmanager
def failing(engine: sa.engine.Engine, when: Callable[[str], bool]) -> Iterator[None]:
    """A database that goes away at a statement."""

    def refuse(_: Any, __: Any, statement: str, *___: Any) -> None:
        if when(statement):
            raise ConnectionError(canary.WORD)

    sa.event.listen(engine, "before_cursor_execute", refuse)
    try:
        yield
    finally:
        sa.event.remove(engine, "before_cursor_execute", refuse)


def test_a_call_is_there_with_what_became_of_it_and_nothing_private(
    ledger: Ledger, warehouse: sa.engine.Engine
) -> None:
    sent(ledger, "a", EventDate="2026-09-10T22:55:32-08:00", CallerId=canary.CALLER, MediaId=77)
    sent(ledger, "b", attempt=REFUSED)
    sent(ledger, "c", attempt=None)
    assert export(ledger, warehouse) == {"delivered": 1, "rejected": 1, "open": 1}
    rows = held(warehouse)
    assert set(rows["a"]) == COLUMNS
    assert {name: rows["a"][name] for name in ("state", "reason_code", "MediaId", "attempts", "namespace")} == {
        "state": "delivered",
        "reason_code": "ok",
        "MediaId": "77",
        "attempts": 1,
        "namespace": ledger.namespace,
    }
    assert rows["b"]["state"] == "rejected"
    assert canary.found_in(str(rows)) == []
    ago = datetime.now(UTC).replace(tzinfo=None) - rows["a"]["changed_at"].astimezone(UTC).replace(tzinfo=None)
    called = rows["a"]["EventDate"]
    if warehouse.dialect.name == "postgresql":
        assert called == datetime(2026, 9, 11, 6, 55, 32, tzinfo=UTC)
        assert timedelta(0) <= ago < timedelta(minutes=5)
    else:
        assert called == datetime(2026, 9, 11, 6, 55, 32), "SQLite has no zones: it is in UTC"


@pytest.mark.parametrize("upsert", [None, delete_and_insert], ids=["own", "delete and insert"])
def test_each_export_writes_what_has_changed_and_nothing_else(
    ledger: Ledger, warehouse: sa.engine.Engine, upsert: Upsert | None
) -> None:
    sent(ledger, "a", "b", attempt=None)
    assert export(ledger, warehouse, upsert=upsert) == {"open": 2}
    before = held(warehouse)
    assert export(ledger, warehouse, upsert=upsert) == {}
    assert held(warehouse) == before
    sent(ledger, "c")
    with ledger.writing() as connection:
        changed = {"state": "rejected", "changed_at": calls.c.changed_at + 0.001}
        connection.execute(
            sa.update(calls)
            .where(calls.c.namespace == ledger.namespace, calls.c.CallSessionId == "a")
            .values(**changed)
        )
    assert export(ledger, warehouse, upsert=upsert) == {"rejected": 1, "delivered": 1}
    assert {name: row["state"] for name, row in held(warehouse).items()} == {
        "a": "rejected",
        "b": "open",
        "c": "delivered",
    }


@pytest.mark.parametrize("upsert", [None, delete_and_insert], ids=["own", "delete and insert"])
def test_what_was_interrupted_goes_on_where_it_stopped(
    ledger: Ledger, warehouse: sa.engine.Engine, upsert: Upsert | None
) -> None:
    names = [f"call-{number}" for number in range(7)]
    for hours, key in enumerate(sent(ledger, *reversed(names))):
        moved(ledger, key, -3600.0 * hours - 3600)  # The one that was sent last has changed first.
    written: list[str] = []

    def is_third_page(statement: str) -> bool:
        if statement.startswith("INSERT"):
            written.append(statement)
        return len(written) == 3

    with failing(warehouse, is_third_page), pytest.raises(AirflowException) as raised:
        export(ledger, warehouse, upsert=upsert, page=2)
    assert canary.found_in("".join(traceback.format_exception(raised.value))) == []
    assert sorted(held(warehouse)) == names[:4], "the oldest"
    assert export(ledger, warehouse, upsert=upsert, page=2) == {"delivered": 3}
    assert sorted(held(warehouse)) == names


def test_a_change_that_others_see_late_is_not_missed(ledger: Ledger, warehouse: sa.engine.Engine) -> None:
    sent(ledger, "newest")
    export(ledger, warehouse)
    [key] = sent(ledger, "late")
    moved(ledger, key, -ledger.timings.lease)
    assert export(ledger, warehouse) == {"delivered": 1}
    assert set(held(warehouse)) == {"newest", "late"}


def test_a_mark_is_a_change_and_so_is_its_end(ledger: Ledger, warehouse: sa.engine.Engine) -> None:
    [key] = sent(ledger, "a")
    moved(ledger, key, -86_400)
    sent(ledger, "b")
    assert export(ledger, warehouse) == {"delivered": 2}
    came_again(ledger, key)
    assert export(ledger, warehouse) == {"delivered": 1, "changed": 1}
    row = held(warehouse)["a"]
    assert row["came_again_times"] == 1
    assert row["came_again_at"] == row["updated_at"] > row["changed_at"]
    assert export(ledger, warehouse) == {}
    assert Corrections(ledger).accept(Selection(call_session_ids=["a"]), Author("alice", "seen")) == 1
    assert export(ledger, warehouse) == {"delivered": 1}
    row = held(warehouse)["a"]
    assert (row["came_again_at"], row["came_again_times"]) == (None, None)
    assert row["updated_at"] == row["changed_at"]
    assert export(ledger, warehouse) == {}


def test_a_mark_from_before_the_delivery_ends_too(ledger: Ledger, warehouse: sa.engine.Engine) -> None:
    """A second row of the same input is marked while the first waits to be sent."""
    [key] = sent(ledger, "a")
    came_again(ledger, key, ago=3600)
    assert export(ledger, warehouse) == {"delivered": 1, "changed": 1}
    row = held(warehouse)["a"]
    assert row["came_again_at"] < row["changed_at"] == row["updated_at"]
    Corrections(ledger).accept(Selection(call_session_ids=["a"]), Author("alice", "seen"))
    assert export(ledger, warehouse) == {"delivered": 1}
    assert held(warehouse)["a"]["came_again_at"] is None
    assert export(ledger, warehouse) == {}


@pytest.mark.parametrize("ended", [False, True], ids=["its lease ran out", "it ended"])
def test_a_call_whose_run_died_becomes_unknown(ledger: Ledger, warehouse: sa.engine.Engine, ended: bool) -> None:
    [key] = sent(ledger, "a", attempt=None)
    moved(ledger, key, -86_400)
    sent(ledger, "b")
    assert export(ledger, warehouse) == {"open": 1, "delivered": 1}
    with ledger.writing() as connection:
        end = {"lease_until": 0.0, "ended_at": Now() - 0.01} if ended else {"lease_until": Now() - 0.01}
        connection.execute(sa.update(runs).where(runs.c.namespace == ledger.namespace).values(**end))
    assert export(ledger, warehouse) == {"unknown": 1}
    assert (held(warehouse)["a"]["state"], held(warehouse)["a"]["reason_code"]) == ("unknown", "run_died")
    assert export(ledger, warehouse) == {}


def test_some_states_alone_and_what_becomes_of_those_calls(ledger: Ledger, warehouse: sa.engine.Engine) -> None:
    [key] = sent(ledger, "refused", attempt=REFUSED)
    [marked, _] = sent(ledger, "marked", "delivered")
    came_again(ledger, marked)
    assert export(ledger, warehouse, states=("rejected", "changed")) == {"rejected": 1, "delivered": 1, "changed": 1}
    assert set(held(warehouse)) == {"refused", "marked"}
    with ledger.writing() as connection:
        mended = {"state": "delivered", "changed_at": calls.c.changed_at + 0.001}
        connection.execute(sa.update(calls).where(calls.c.key == key).values(**mended))
    assert export(ledger, warehouse, states=("rejected", "changed")) == {"delivered": 1}
    assert held(warehouse)["refused"]["state"] == "delivered"


def test_a_time_of_its_own(ledger: Ledger, warehouse: sa.engine.Engine) -> None:
    names = ["ten days", "five days", "one day"]
    for days, key in zip((10, 5, 1), sent(ledger, *names), strict=True):
        moved(ledger, key, -86_400.0 * days)
    ago = {days: datetime.now(UTC) - timedelta(days=days) for days in (7, 3)}
    assert export(ledger, warehouse, since=ago[7], until=ago[3]) == {"delivered": 1}
    assert set(held(warehouse)) == {"five days"}
    assert export(ledger, warehouse, since=ago[7]) == {"delivered": 1}, "five days is as it was"
    assert set(held(warehouse)) == {"five days", "one day"}
    assert export(ledger, warehouse, since=LONG_AGO) == {"delivered": 1}


def test_namespaces_share_a_table(ledger: Ledger, warehouse: sa.engine.Engine) -> None:
    other = Ledger(ledger.engine, f"{ledger.namespace}/other")
    [key] = sent(other, "theirs")
    moved(other, key, -86_400)
    sent(ledger, "ours")
    export(ledger, warehouse)
    assert export(other, warehouse) == {"delivered": 1}
    assert {row["namespace"] for row in held(warehouse).values()} == {ledger.namespace, other.namespace}


def test_a_time_that_is_none_is_null(ledger: Ledger, warehouse: sa.engine.Engine) -> None:
    sent(ledger, "odd", "even")
    with ledger.writing() as connection:
        odd = sa.update(calls).where(calls.c.namespace == ledger.namespace, calls.c.CallSessionId == "odd")
        connection.execute(odd.values(EventDate="0001-01-01T00:00:00+05:00"))
    assert export(ledger, warehouse) == {"delivered": 2}
    assert held(warehouse)["odd"]["EventDate"] is None


def test_a_table_that_lacks_columns_is_refused_by_their_names(ledger: Ledger, warehouse: sa.engine.Engine) -> None:
    export(ledger, warehouse)
    with warehouse.begin() as connection:
        connection.execute(sa.text('ALTER TABLE calls RENAME COLUMN "MediaId" TO partner'))
        connection.execute(sa.text("ALTER TABLE calls RENAME COLUMN came_again_times TO times"))
        connection.execute(sa.text("ALTER TABLE calls ADD COLUMN note VARCHAR(10)"))
    with pytest.raises(InvalidOption) as raised:
        export(ledger, warehouse)
    assert named(str(raised.value), *sorted(COLUMNS), "note", "partner") == ["MediaId", "came_again_times"]
    with warehouse.begin() as connection:
        connection.execute(sa.text('ALTER TABLE calls RENAME COLUMN partner TO "MediaId"'))
        connection.execute(sa.text("ALTER TABLE calls RENAME COLUMN times TO came_again_times"))
    sent(ledger, "a")
    assert export(ledger, warehouse) == {"delivered": 1}


def test_a_table_without_a_key_has_each_call_once_too(ledger: Ledger, warehouse: sa.engine.Engine) -> None:
    export(ledger, warehouse)
    with warehouse.begin() as connection:
        connection.execute(sa.text("CREATE TABLE loose AS SELECT * FROM calls"))
    sent(ledger, "a")
    assert export(ledger, warehouse, "loose") == {"delivered": 1}
    assert export(ledger, warehouse, "loose", since=LONG_AGO) == {}
    sent(ledger, "b")
    assert export(ledger, warehouse, "loose") == {"delivered": 1}
    with warehouse.connect() as connection:
        assert sorted(connection.execute(sa.text('SELECT "CallSessionId" FROM loose')).scalars()) == ["a", "b"]


def test_a_name_is_only_ever_a_name(ledger: Ledger, warehouse: sa.engine.Engine) -> None:
    with warehouse.begin() as connection:
        connection.execute(sa.text("CREATE TABLE victim (a INTEGER)"))
    [key] = sent(ledger, "a")
    came_again(ledger, key)
    names = ['x"; DROP TABLE victim; --', "it's; `y`", "select", "Größe 1:a", "x" * 60]
    for name in names:
        assert export(ledger, warehouse, name)["delivered"] == 1
        assert export(ledger, warehouse, name, upsert=delete_and_insert, since=LONG_AGO) == {}
        assert set(held(warehouse, name)) == {"a"}
    assert set(sa.inspect(warehouse).get_table_names()) == {*names, "victim"}


def test_a_table_of_a_schema(ledger: Ledger, warehouse: sa.engine.Engine) -> None:
    schema = "main"
    if warehouse.dialect.name == "postgresql":
        schema = 'Mart"s'
        with warehouse.begin() as connection:
            connection.execute(sa.schema.CreateSchema(schema))
    sent(ledger, "a")
    assert export(ledger, warehouse, f"{schema}.calls") == {"delivered": 1}
    assert set(held(warehouse, "calls", schema)) == {"a"}
    assert export(ledger, warehouse, f"{schema}.calls") == {}


@pytest.mark.parametrize("name", ["", " ", "a.", ".a", "a.b.c", "a\nb", "50%(key)s", "__[POSTCOMPILE_key_1]"])
def test_what_is_not_a_name(name: str) -> None:
    with pytest.raises(InvalidOption):
        CallsTable(sa.create_engine("sqlite://"), name)


def test_no_word_of_a_database_is_repeated(ledger: Ledger, warehouse: sa.engine.Engine) -> None:
    export(ledger, warehouse)
    with warehouse.begin() as connection:
        connection.execute(sa.text("CREATE TABLE strict AS SELECT * FROM calls"))
        connection.execute(sa.text('CREATE UNIQUE INDEX one_each ON strict ("CampaignId")'))
    sent(ledger, canary.WORD, "b")
    with pytest.raises(AirflowException) as raised:
        export(ledger, warehouse, "strict")
    assert "IntegrityError" in str(raised.value)
    assert canary.found_in("".join(traceback.format_exception(raised.value))) == []
    assert held(warehouse, "strict") == {}, "all of a page, or nothing"


def test_what_is_sent_to_mysql() -> None:
    """No server of it can be had here: that the statements are its own, and its columns exact."""
    from airflow_provider_impactcall.integration.calls_table import columns, insert_or_update_of_mysql

    table = sa.Table("calls", sa.MetaData(), *columns())
    said: list[str] = []

    class Recording:
        def execute(self, statement: Any, rows: Any) -> None:
            said.append(str(statement.compile(dialect=mysql.dialect())))

    recording: Any = Recording()
    insert_or_update_of_mysql(recording, table, [dict.fromkeys(COLUMNS)])
    assert "ON DUPLICATE KEY UPDATE" in said[0]
    assert "`key` = " not in said[0]
    created = str(sa.schema.CreateTable(table).compile(dialect=mysql.dialect()))
    assert "updated_at DATETIME(6)" in created
