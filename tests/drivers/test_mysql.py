"""MariaDB as a source and as a ledger, by each client that Airflow's hook has, and with PyMySQL."""

from __future__ import annotations

import json
import re
import traceback
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException

from airflow_provider_impactcall.delivery.ledger.edits import Author
from airflow_provider_impactcall.exceptions import LedgerUnfit, LedgerUnusable
from airflow_provider_impactcall.hooks.ledger import ImpactCallLedgerHook
from airflow_provider_impactcall.integration.ledger import existing_ledger
from airflow_provider_impactcall.integration.ledger_database import ledger_engine
from airflow_provider_impactcall.integration.sql import drained
from airflow_provider_impactcall.operators.impactcall import ImpactCallOperator
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples
from tests.delivery import canary
from tests.drivers.conftest import Deliver, statements
from tests.servers import Certificate, mariadb

pytestmark = pytest.mark.databases

CLIENTS = ["mysqlclient", "pymysql", "mysql-connector-python"]
OF_THE_HOOK = ["mysqlclient", "mysql-connector-python"]
Connect = Callable[..., None]


@pytest.fixture(scope="module")
def encrypted(certificate: Certificate) -> Iterator[int]:
    """A MariaDB server with TLS, by its port."""
    with mariadb(f"--ssl-cert={certificate.certificate}", f"--ssl-key={certificate.key}") as port:
        yield port


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Connect:
    """Has a connection lead to a database of its own on a server."""

    def connected(name: str, port: int, *made: str, login: str = "root", **extra: Any) -> None:
        server = sa.create_engine(f"mysql+pymysql://root@127.0.0.1:{port}")
        database = f"test_{uuid.uuid4().hex}"
        with server.begin() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {database} CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
            connection.exec_driver_sql(f"USE {database}")
            for statement in made:
                connection.exec_driver_sql(statement)
        server.dispose()
        whole = {"conn_type": "mysql", "host": "127.0.0.1", "port": port, "login": login, "schema": database}
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps({**whole, "extra": extra}))

    return connected


def into_ledger() -> dict[str, Any]:
    return ImpactCallOperator(task_id="t", calls=[examples.call("A-1")], ledger_conn_id="ledger").execute({})


def cipher() -> str:
    engine = ledger_engine("ledger")
    with engine.connect() as connection:
        found = connection.execute(sa.text("SHOW SESSION STATUS LIKE 'Ssl_cipher'")).one()
    engine.dispose()
    return str(found[1])


TLS = [{"ssl_mode": "REQUIRED"}, {"ssl_ca": "{ca}"}, {"ssl": {"ca": "{ca}"}}, {"ssl": '{{"ca": "{ca}"}}'}]


def with_ca(extra: dict[str, Any], certificate: Certificate) -> dict[str, Any]:
    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: filled(each) for name, each in value.items()}
        return value.format(ca=certificate.certificate)

    return {name: filled(value) for name, value in extra.items()}


@pytest.mark.parametrize("extra", TLS, ids=["mode", "path", "dict", "text"])
def test_a_ledger_that_asks_for_tls_is_not_reached_without(
    extra: dict[str, Any], client: str, connect: Connect, in_clear: int, certificate: Certificate, sandbox: Sandbox
) -> None:
    """Client libraries connect in clear to a server that has no TLS, or say that it has none."""
    connect("ledger", in_clear, client=client, **with_ca(extra, certificate))
    with pytest.raises(AirflowException, match=r"\bledger\w*\b.*\b(TLS|OperationalError|InterfaceError)\b"):
        into_ledger()
    assert not sandbox.requests


@pytest.mark.parametrize("extra", TLS[1:], ids=["path", "dict", "text"])
def test_a_ledger_is_reached_with_tls(
    extra: dict[str, Any], client: str, connect: Connect, encrypted: int, certificate: Certificate, sandbox: Sandbox
) -> None:
    connect("ledger", encrypted, client=client, **with_ca(extra, certificate))
    assert cipher()
    assert into_ledger()["delivered"] == 1


@pytest.mark.parametrize(
    ("client", "extra"),
    [
        ("mysqlclient", {}),
        ("pymysql", {}),
        ("mysql-connector-python", {"verify_cert": True}),
    ],
)
def test_a_certificate_of_another_authority_is_refused(
    client: str, extra: dict[str, Any], connect: Connect, encrypted: int, another: Certificate
) -> None:
    connect("ledger", encrypted, client=client, ssl=extra | {"ca": str(another.certificate)})
    with pytest.raises(LedgerUnusable):
        ledger_engine("ledger")


@pytest.mark.parametrize("extra", [{"cursor": "sscursor"}, {"cursor": "dictcursor"}, {"charset": "latin1"}])
def test_what_the_extra_asks_for_of_a_warehouse_does_a_ledger_no_harm(
    extra: dict[str, Any], client: str, connect: Connect, in_clear: int, sandbox: Sandbox
) -> None:
    connect("ledger", in_clear, client=client, **extra)
    assert into_ledger()["delivered"] == 1
    assert into_ledger()["already_delivered"] == 1
    engine = ledger_engine("ledger")
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT @@character_set_client")).scalar() == "utf8mb4"
    engine.dispose()


def test_each_connection_has_a_token_of_its_own(
    client: str, connect: Connect, in_clear: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token of IAM is valid for a quarter of an hour, and a run may take longer. The server takes no other one."""
    given: list[str] = []

    def token(_: Any, connection: Any) -> tuple[str, int]:
        given.append("token-of-iam")
        return given[-1], connection.port

    monkeypatch.setattr("airflow.providers.mysql.hooks.mysql.MySqlHook.get_iam_token", token)
    user = ("CREATE OR REPLACE USER of_iam IDENTIFIED BY 'token-of-iam'", "GRANT ALL ON *.* TO of_iam")
    connect("ledger", in_clear, *user, client=client, login="of_iam", iam=True)
    engine = ledger_engine("ledger")
    with engine.connect() as connection, engine.connect():
        assert str(connection.execute(sa.text("SELECT user()")).scalar()).startswith("of_iam@")
        assert len(given) == 2, "the first connection is not opened twice"
    engine.dispose()


@pytest.mark.parametrize("character_set", ["latin1", "utf8mb3"])
def test_a_database_that_cannot_hold_every_call_is_refused_for_good(
    character_set: str, client: str, connect: Connect, in_clear: int, sandbox: Sandbox
) -> None:
    connect("ledger", in_clear, f"ALTER DATABASE CHARACTER SET {character_set}", client=client)
    with pytest.raises(AirflowFailException, match=rf"\b{character_set}\b.* ALTER DATABASE CHARACTER SET utf8mb4 "):
        into_ledger()
    with pytest.raises(LedgerUnfit):
        existing_ledger("ledger")
    assert not sandbox.requests
    assert changed() == [], "nothing was made"


def test_so_is_a_table_of_a_ledger_that_is_there(
    client: str, connect: Connect, in_clear: int, sandbox: Sandbox
) -> None:
    """And what the message says to run mends it."""
    connect("ledger", in_clear, client=client)
    assert into_ledger()["delivered"] == 1
    changed("ALTER TABLE impactcall_call CONVERT TO CHARACTER SET latin1")
    with pytest.raises(AirflowFailException) as raised:
        into_ledger()
    [mends] = re.findall(r"\bALTER TABLE impactcall_call .*", str(raised.value))
    changed(mends)
    assert into_ledger()["already_delivered"] == 1


def test_a_value_that_a_ledger_cannot_hold_costs_its_call_alone(
    client: str, connect: Connect, in_clear: int, sandbox: Sandbox
) -> None:
    connect("ledger", in_clear, client=client)
    into_ledger()
    changed("ALTER TABLE impactcall_call MODIFY CallSessionId VARCHAR(40) NOT NULL")
    rows = [examples.call(session_id) for session_id in ["B-1", "x" * 41, "B-2"]]
    report = ImpactCallOperator(task_id="t", calls=rows, ledger_conn_id="ledger", max_rejected=1).execute({})
    assert (report["delivered"], report["rejected"]) == (2, 1)
    assert len(sandbox.requests) == 3
    adopted = [examples.call(session_id) for session_id in ["C-1", "y" * 41, "C-2"]]
    found = ImpactCallLedgerHook(ledger_conn_id="ledger").adopt(adopted, Author("ann", "sent before"))
    assert (found.rows, found.adopted, found.rejected) == (3, 2, 1)


def changed(*statements: str) -> list[str]:
    """The tables of the ledger's database, once these are executed."""
    engine = ledger_engine("ledger")
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
        found = sa.inspect(connection).get_table_names()
    engine.dispose()
    return found


def test_an_update_counts_the_rows_that_it_finds(client: str, connect: Connect, in_clear: int) -> None:
    """As the ledger needs it: one that changes nothing found its row all the same."""
    connect("ledger", in_clear, "CREATE TABLE one (a INT)", "INSERT INTO one VALUES (1)", client=client)
    engine = ledger_engine("ledger")
    with engine.begin() as connection:
        assert connection.execute(sa.text("UPDATE one SET a = 1")).rowcount == 1
    engine.dispose()


def test_a_client_that_there_is_not(connect: Connect, in_clear: int, sandbox: Sandbox) -> None:
    connect("ledger", in_clear, client="another")
    with pytest.raises(AirflowFailException, match=r"\bledger_conn_id\b.*'ledger'"):
        into_ledger()


@pytest.fixture(params=OF_THE_HOOK)
def warehouse(request: pytest.FixtureRequest, connect: Connect, in_clear: int) -> str:
    connect("warehouse", in_clear, *statements("`", "VARCHAR(200)"), client=request.param)
    return str(request.param)


@pytest.mark.parametrize(("named", "given"), [("%(day)s", {"day": "2026-09-10"}), ("%s", ["2026-09-10"])])
def test_parameters_in_its_style(named: str, given: Any, warehouse: str, deliver: Deliver, sandbox: Sandbox) -> None:
    assert deliver(f"SELECT * FROM calls WHERE day = {named}", given)["delivered"] == 1


@pytest.mark.parametrize("written", [":day", "$day", "{{day}}"])
def test_parameters_in_another(written: str, warehouse: str, deliver: Deliver, sandbox: Sandbox) -> None:
    with pytest.raises(AirflowFailException, match=r"\bparameters\b.* %\(day\)s,"):
        deliver(f"SELECT * FROM calls WHERE day = {written}", {"day": "2026-09-10"})
    with pytest.raises(AirflowFailException, match=r"\bparameters\b.* %s,"):
        deliver("SELECT * FROM calls WHERE day = ?", ["2026-09-10"])
    assert not sandbox.requests


def test_a_percent_sign_beside_parameters(warehouse: str, deliver: Deliver, sandbox: Sandbox) -> None:
    sql = "SELECT * FROM calls WHERE day = %(day)s AND CallProvider LIKE 'Example%'"
    if warehouse == "mysqlclient":
        with pytest.raises(AirflowFailException, match=r"\bparameters\b.*%%"):
            deliver(sql, {"day": "2026-09-10"})
        sql = sql.replace("Example%", "Example%%")
    assert deliver(sql, {"day": "2026-09-10"})["delivered"] == 1


@pytest.mark.parametrize(
    "rest",
    [
        f", {canary.CALLER}e300 * 1e10 AS x FROM calls",
        f", {canary.CALLER}e298 * 10 AS x FROM calls",
        f", CAST('{canary.CALLER}' AS SIGNED) * 9223372036854775807 AS x FROM calls",
        # Before any row.
        f" FROM calls WHERE EXP(1000 + LENGTH('{canary.WORD}')) > 0",
        # After 90 rows: the cursor of mysqlclient raises the error a second time when the cursor is closed.
        f", {canary.CALLER}e208 * POW(10, seq) AS x FROM calls, seq_1_to_2000",
    ],
)
def test_a_value_that_it_cannot_compute_is_not_quoted(
    rest: str, warehouse: str, deliver: Deliver, sandbox: Sandbox
) -> None:
    """MySQL calls it an OperationalError, and quotes the expression."""
    with pytest.raises(AirflowException) as raised:
        deliver(f"SELECT calls.*{rest}")
    assert canary.found_in("".join(traceback.format_exception(raised.value))) == []
    assert not sandbox.requests


def test_what_a_query_changes_is_rolled_back(warehouse: str) -> None:
    with drained("warehouse", "INSERT INTO calls (day) VALUES ('2026-09-11') RETURNING day") as rows:
        assert len(rows) == 1
    with drained("warehouse", "SELECT day FROM calls") as rows:
        assert [row["day"] for row in rows] == ["2026-09-10"]


def test_a_list_that_comes_as_the_text_of_one(warehouse: str, deliver: Deliver, sandbox: Sandbox) -> None:
    """As MySQL's drivers give JSON."""
    assert deliver("SELECT calls.*, JSON_ARRAY('1', '2') AS Keypresses FROM calls")["delivered"] == 1
    assert [each["parameters"]["Keypresses"] for each in sandbox.calls] == ["1,2"]


def test_pymysql_is_not_a_client_of_a_source(
    connect: Connect, in_clear: int, deliver: Deliver, sandbox: Sandbox
) -> None:
    """Of Airflow's hook, as the documentation says; a ledger's engine takes it."""
    connect("warehouse", in_clear, client="pymysql")
    with pytest.raises(ValueError, match=r"\bpymysql\b|\bclient\b"):
        deliver("SELECT 1")
    assert not sandbox.requests
