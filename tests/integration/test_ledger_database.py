"""Which databases a ledger can be in, and that one is opened as Airflow's own hook opens it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, BaseHook
from airflow.providers.postgres.hooks.postgres import PostgresHook
from airflow.providers.sqlite.hooks.sqlite import SqliteHook

from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.exceptions import InvalidOption, LedgerUnfit, LedgerUnusable
from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from airflow_provider_impactcall.integration.ledger import existing_ledger, migrate_ledger, open_ledger
from airflow_provider_impactcall.integration.ledger_database import ledger_engine
from airflow_provider_impactcall.operators.impactcall import ImpactCallOperator
from airflow_provider_impactcall.operators.ledger import MigrateLedgerOperator, PurgeLedgerOperator
from airflow_provider_impactcall.plugins.shared_ledger import SharedLedger
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples
from tests.databases import as_connection, empty_database
from tests.facts import named
from tests.servers import Certificate, PostgresRelay

REFUSED = {
    "athena": "Athena",
    "databricks": "Databricks",
    "duckdb": "DuckDB",
    "gcpbigquery": "BigQuery",
    "generic": "generic",
    "google_cloud_platform": "BigQuery",
    "jdbc": "JDBC",
    "mssql": "SQL Server",
    "odbc": "ODBC",
    "oracle": "Oracle",
    "presto": "Presto",
    "redshift": "Redshift",
    "snowflake": "Snowflake",
    "trino": "Trino",
}
KINDS = ["PostgreSQL", "MariaDB", "MySQL", "SQLite"]
"""What a ledger can be in, as the message says it."""

Connect = Callable[..., PostgresRelay]


def deliver(**options: Any) -> dict[str, Any]:
    operator = ImpactCallOperator(task_id="t", calls=[examples.call("A-1")], ledger_conn_id="ledger", **options)
    return operator.execute({})


@pytest.mark.parametrize("conn_type", REFUSED)
def test_a_database_that_no_ledger_can_be_in_is_refused_by_name_and_for_good(
    conn_type: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whether its provider and its driver are installed or not, and before anything is made or sent."""
    host = tmp_path / "warehouse.duckdb"
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({"conn_type": conn_type, "host": str(host)}))
    facts = ["ledger_conn_id", "'ledger'", REFUSED[conn_type], *KINDS]
    with pytest.raises(AirflowFailException) as raised:
        deliver()
    assert named(str(raised.value), *facts) == facts
    assert not sandbox.requests
    assert not host.exists()


ASKED: dict[str, Callable[[], object]] = {
    "dry run": lambda: ImpactCallHook().check([examples.call("A-1")], ledger_conn_id="ledger"),
    "existing": lambda: existing_ledger("ledger"),
    "migrate": lambda: migrate_ledger("ledger"),
    "migrate, dry run": lambda: migrate_ledger("ledger", dry_run=True),
}


@pytest.mark.parametrize("asked", ASKED)
def test_it_is_refused_whoever_asks(asked: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({"conn_type": "snowflake"}))
    with pytest.raises(InvalidOption, match=r"\bSnowflake\b"):
        ASKED[asked]()


@pytest.mark.parametrize("operator", [MigrateLedgerOperator, PurgeLedgerOperator])
def test_tasks_that_correct_a_ledger_refuse_it_for_good(
    operator: Any, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({"conn_type": "trino"}))
    options = {"older_than": 400} if operator is PurgeLedgerOperator else {}
    with pytest.raises(AirflowFailException, match=r"\bTrino\b"):
        operator(task_id="t", ledger_conn_id="ledger", **options).execute({})


def test_the_page_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({"conn_type": "mssql"}))
    monkeypatch.setenv("AIRFLOW__IMPACTCALL__LEDGER_CONN_ID", "ledger")
    with closing(SharedLedger()) as page, pytest.raises(LedgerUnusable, match=r"\bSQL Server\b"), page.opened():
        pass


@pytest.mark.parametrize("conn_type", ["impactcall", "clickhouse"])
def test_a_connection_that_is_not_of_sql_is_refused_for_good(
    conn_type: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({"conn_type": conn_type}))
    with pytest.raises(AirflowFailException, match=r"\bledger_conn_id\b.*'ledger'"):
        deliver()
    assert not sandbox.requests


@pytest.mark.parametrize("dialect", ["mssql", None])
def test_the_database_of_a_type_of_ones_own_is_refused_by_its_dialect(
    dialect: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hook(SqliteHook):
        """Of a connection whose type nothing here knows. The driver of its dialect need not be there."""

        def get_sqlalchemy_engine(self, engine_kwargs: Any = None) -> Any:
            if dialect is None:
                raise NotImplementedError
            return sa.create_engine(f"{dialect}+pymssql://", module=SimpleNamespace(paramstyle="pyformat"))

    hook: Any = Hook
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps({"conn_type": "ours"}))
    # Airflow has several classes of connections: the one that is given here depends on its version.
    monkeypatch.setattr(type(BaseHook.get_connection("ledger")), "get_hook", lambda *_, **__: hook())
    with pytest.raises(InvalidOption, match=rf"leads to {dialect or 'a database of the type .ours.'}"):
        ledger_engine("ledger")


@pytest.fixture(params=["psycopg", "psycopg2"])
def driver(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each driver that Airflow's hook opens PostgreSQL with."""
    if request.param == "psycopg2":
        monkeypatch.setattr("airflow.providers.postgres.hooks.postgres.USE_PSYCOPG3", False)
    return str(request.param)


@pytest.fixture
def database(postgres: sa.engine.URL) -> sa.engine.URL:
    return empty_database(postgres)


@pytest.fixture
def connect(database: sa.engine.URL, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """Has the connection ``ledger`` lead to a database through a relay, with this extra."""
    relays = []

    def connected(certificate: Certificate | None = None, **extra: Any) -> PostgresRelay:
        running = PostgresRelay(str(database.query["host"]), certificate).in_thread()
        relays.append(running)
        relay = running.__enter__()
        connection = {"conn_type": "postgres", "host": "127.0.0.1", "port": relay.port, "login": database.username}
        whole = {**connection, "schema": database.database, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_LEDGER", json.dumps(whole))
        return relay

    yield connected
    for relay in relays:
        relay.__exit__(None, None, None)


def tables(database: sa.engine.URL) -> list[str]:
    engine = sa.create_engine(database)
    try:
        return sa.inspect(engine).get_table_names()
    finally:
        engine.dispose()


@pytest.mark.parametrize(
    "version",
    {
        "Redshift": "PostgreSQL 8.0.2 on i686-pc-linux-gnu, compiled by GCC gcc (GCC) 3.4.2, Redshift 1.0.12103",
        "CockroachDB": "CockroachDB CCL v24.1.0 (x86_64-pc-linux-gnu, built 2024/05/15)",
    }.items(),
    ids=lambda version: version[0],
)
def test_what_only_speaks_as_postgresql_does_is_refused_by_name(
    version: tuple[str, str], driver: str, connect: Connect, database: sa.engine.URL, sandbox: Sandbox
) -> None:
    """A server of PostgreSQL that says that it is Redshift: what else Redshift does cannot be had here."""
    engine = sa.create_engine(database)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE SCHEMA another"))
        connection.execute(sa.text(f"CREATE FUNCTION another.version() RETURNS text RETURN '{version[1]}'"))
        connection.execute(sa.text(f"ALTER DATABASE {database.database} SET search_path = another, pg_catalog, public"))
    engine.dispose()
    connect()
    with pytest.raises(AirflowFailException) as raised:
        deliver()
    assert named(str(raised.value), version[0], *KINDS) == [version[0], *KINDS]
    assert not sandbox.requests
    assert tables(database) == []


@pytest.fixture(params=["LATIN1", "SQL_ASCII"])
def encoding(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def not_utf8(encoding: str, postgres: sa.engine.URL, monkeypatch: pytest.MonkeyPatch) -> Iterator[sa.engine.URL]:
    """Has the connection ``ledger`` lead to a database of another encoding, which stays empty."""
    database = empty_database(postgres, encoding)
    monkeypatch.setenv("AIRFLOW_CONN_LEDGER", as_connection(database))
    monkeypatch.setenv("AIRFLOW__IMPACTCALL__LEDGER_CONN_ID", "ledger")
    yield database
    assert tables(database) == []


def test_a_database_that_cannot_hold_every_call_is_refused_for_good(
    encoding: str, driver: str, not_utf8: sa.engine.URL, sandbox: Sandbox
) -> None:
    """Before anything is made or sent, whoever asks, and with what would be right."""
    facts = [encoding, "ENCODING", "UTF8", "ledger_conn_id"]
    with pytest.raises(AirflowFailException) as raised:
        deliver()
    assert named(str(raised.value), *facts) == facts
    for task in (MigrateLedgerOperator(task_id="t"), PurgeLedgerOperator(task_id="t", older_than=400)):
        with pytest.raises(AirflowFailException, match=rf"\b{encoding}\b"):
            task.execute({})
    for asked in ASKED.values():
        with pytest.raises(LedgerUnfit, match=rf"\b{encoding}\b"):
            asked()
    with closing(SharedLedger()) as page, pytest.raises(LedgerUnusable, match=rf"\b{encoding}\b"), page.opened():
        pass
    assert not sandbox.requests


def test_a_ledger_of_ones_own_engine_is_not_prepared_there(encoding: str, not_utf8: sa.engine.URL) -> None:
    with closing(Ledger(sa.create_engine(not_utf8), "n")) as ledger, pytest.raises(LedgerUnfit, match=encoding):
        ledger.prepare()


def test_a_value_that_a_ledger_cannot_hold_costs_its_call_alone(
    driver: str, database: sa.engine.URL, connect: Connect, sandbox: Sandbox, tmp_path: Path
) -> None:
    """Somebody has made a column shorter: the others are delivered once, and the call's row says what it came to."""
    connect()
    deliver()
    engine = sa.create_engine(database)
    with engine.begin() as connection:
        connection.execute(sa.text('ALTER TABLE impactcall_call ALTER "CallSessionId" TYPE varchar(40)'))
    long, rejects = "x" * 41, tmp_path / "rejects.jsonl"
    ids = [f"B-{number}" for number in range(60)]
    rows = [examples.call(session_id) for session_id in [*ids[:30], long, *ids[30:]]]
    options = {"ledger_conn_id": "ledger", "rejects_path": str(rejects), "max_rejected": 1}
    report = ImpactCallOperator(task_id="t", calls=rows, **options).execute({})
    assert (report["delivered"], report["rejected"], report["unknown"], report["not_sent"]) == (60, 1, 0, 0)
    sent = Counter(call["parameters"]["CallSessionId"] for call in sandbox.calls)
    assert sent == Counter(["A-1", *ids])
    [row] = map(json.loads, rejects.read_text().splitlines())
    assert (row["row"], row["reason_code"], long in str(row["reasons"])) == (31, "unrecordable", False)
    with engine.connect() as connection:
        kept = connection.execute(sa.text('SELECT "CallSessionId", state FROM impactcall_call')).all()
        letters = connection.execute(sa.text("SELECT * FROM impactcall_dead_letter")).mappings().all()
    assert {row[0]: row[1] for row in kept} == dict.fromkeys(["A-1", *ids], "delivered")
    [letter] = letters
    assert (letter["reason_code"], letter["row"], letter["CallSessionId"]) == ("unrecordable", 31, None)
    assert not [value for value in letter.values() if long in str(value)]
    with engine.begin() as connection:
        connection.execute(sa.text('ALTER TABLE impactcall_call ALTER "CallSessionId" TYPE text'))
    again = ImpactCallOperator(task_id="t", calls=rows, **options).execute({})
    assert (again["delivered"], again["already_delivered"]) == (1, 60)
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM impactcall_dead_letter")).scalar() == 0
    engine.dispose()


@pytest.mark.parametrize(
    "extra", [{"sslmode": "require"}, {"sqlalchemy_query": {"sslmode": "require"}}, {"sslmode": "verify-full"}]
)
def test_a_ledger_that_asks_for_tls_is_not_reached_without(
    extra: dict[str, Any], driver: str, connect: Connect, database: sa.engine.URL, sandbox: Sandbox
) -> None:
    relay = connect(**extra)
    with pytest.raises(AirflowException, match=r"\bledger\b.*\bOperationalError\b") as raised:
        deliver()
    assert not isinstance(raised.value, AirflowFailException)
    assert relay.connections == 0
    assert not sandbox.requests
    assert tables(database) == []


def test_certificates_ask_for_tls_too(
    driver: str, connect: Connect, certificate: Certificate, sandbox: Sandbox, database: sa.engine.URL
) -> None:
    """libpq by itself takes a server without TLS, whatever certificates it is given, unless there is an sslmode."""
    connect(sslrootcert=str(certificate.certificate))
    with pytest.raises(AirflowFailException, match=r"\bledger_conn_id\b.*'ledger'.*\bTLS\b"):
        deliver()
    assert not sandbox.requests
    assert tables(database) == []


def test_whoever_does_not_ask_for_tls_needs_none(driver: str, connect: Connect, sandbox: Sandbox) -> None:
    connect(sslmode="prefer")
    assert deliver()["delivered"] == 1


@pytest.mark.parametrize("within", [None, "sqlalchemy_query"])
def test_a_ledger_is_reached_with_tls_and_the_certificate_checked(
    within: str | None, driver: str, connect: Connect, certificate: Certificate, another: Certificate, sandbox: Sandbox
) -> None:
    def extra(authority: Certificate) -> dict[str, Any]:
        given = {"sslmode": "verify-full", "sslrootcert": str(authority.certificate)}
        return given if within is None else {within: given}

    connect(certificate, **extra(certificate))
    assert deliver()["delivered"] == 1
    connect(certificate, **extra(another))
    with pytest.raises(AirflowException, match=r"\bOperationalError\b"):
        deliver()
    assert len(sandbox.calls) == 1


@pytest.mark.parametrize("cursor", ["dictcursor", "namedtuplecursor"])
def test_what_the_extra_asks_for_of_a_warehouse_does_a_ledger_no_harm(
    cursor: str, driver: str, connect: Connect, sandbox: Sandbox, database: sa.engine.URL
) -> None:
    connect(cursor=cursor, options="-c search_path=ledgers", application_name="ledger-of-calls")
    engine = sa.create_engine(database)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE SCHEMA ledgers"))
    assert deliver()["delivered"] == 1
    assert deliver()["already_delivered"] == 1
    assert "impactcall_call" in sa.inspect(engine).get_table_names("ledgers")
    engine.dispose()
    with closing(open_ledger("ledger", "n")) as ledger, ledger.reading() as reading:
        assert reading.execute(sa.text("SHOW application_name")).scalar() == "ledger-of-calls"


def test_each_connection_has_a_token_of_its_own(driver: str, connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of IAM is good for a quarter of an hour, and a run may take longer."""
    given: list[str] = []

    def token(_: PostgresHook, connection: Any) -> tuple[str, str, int]:
        given.append(f"token {len(given)}")
        return connection.login, given[-1], connection.port

    monkeypatch.setattr(PostgresHook, "get_iam_token", token)
    connect(iam=True)
    engine = ledger_engine("ledger")
    assert len(given) == 1
    with engine.connect(), engine.connect(), engine.connect():
        assert len(given) == 3, "the first connection is not opened twice"
    engine.dispose()


def test_a_token_that_cannot_be_had_for_a_moment_is_a_database_that_is_away(
    driver: str, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(iam=True)
    monkeypatch.setattr(PostgresHook, "get_iam_token", lambda _, given: (given.login, None, given.port))
    engine = ledger_engine("ledger")

    def away(*_: Any) -> Any:
        raise OSError(examples.PASSWORD)

    monkeypatch.setattr(PostgresHook, "get_iam_token", away)
    with engine.connect(), pytest.raises(sa.exc.OperationalError, match=r"\bOSError\b") as raised, engine.connect():
        pass
    assert examples.PASSWORD not in str(raised.value)
    with pytest.raises(LedgerUnusable, match=r"\bOSError\b"):
        ledger_engine("ledger")
    engine.dispose()


@pytest.mark.parametrize(
    ("extra", "fact"), [({"cursor": "no-such-cursor"}, "ValueError"), ({"sqlalchemy_query": "x=y"}, "sqlalchemy_query")]
)
def test_an_extra_that_cannot_be_right_fails_for_good(
    extra: dict[str, Any], fact: str, connect: Connect, sandbox: Sandbox
) -> None:
    connect(**extra)
    with pytest.raises(AirflowFailException, match=rf"\bledger_conn_id\b.*\b{fact}\b"):
        deliver()
    assert not sandbox.requests


def test_nothing_is_prepared_on_the_server_as_a_pooler_would_mix_it_up(driver: str, connect: Connect) -> None:
    connect()
    with closing(open_ledger("ledger", "n")) as ledger, ledger.reading() as connection:
        for _ in range(20):
            connection.execute(sa.text("SELECT :one"), {"one": 1})
        assert connection.execute(sa.text("SELECT count(*) FROM pg_prepared_statements")).scalar() == 0
