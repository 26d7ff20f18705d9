"""The first page of the documentation, followed from an empty folder with a ledger in MariaDB and calls in DuckDB."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests import start_here
from tests.documentation import START
from tests.servers import mariadb

pytestmark = pytest.mark.databases

# Of the page's task, what is another's where the calls are in a database.
CALLS_IN_A_DATABASE = {
    "from airflow_provider_impactcall.operators.impactcall import ImpactCallOperator": (
        "from airflow_provider_impactcall.transfers.sql_to_impactcall import SqlToImpactCallOperator"
    ),
    "    ImpactCallOperator(": "    SqlToImpactCallOperator(",
    'calls=f"{DAGS}/calls.csv"': 'sql="SELECT * FROM calls", sql_conn_id="warehouse"',
}

LOAD = """
import duckdb
with duckdb.connect("warehouse.duckdb") as warehouse:
    file = "read_csv('airflow/dags/calls.csv', types={'started': 'TIMESTAMPTZ', 'seconds': 'INTEGER'})"
    warehouse.execute(f"CREATE OR REPLACE TABLE calls AS SELECT * FROM {file}")
"""
"""The page's file as a table, each time that the page has added to it."""


def in_databases(command: str) -> str:
    """A command of the page, for calls that are in the table of a warehouse."""
    if command.startswith("cat > airflow/dags/first_calls.py"):
        for written, instead in CALLS_IN_A_DATABASE.items():
            assert command.count(written) == 1, f"the page's task has no {written}"
            command = command.replace(written, instead)
    if "airflow/dags/calls.csv <<" in command:
        return f"{command}\npython load.py"
    return command.replace("check airflow/dags/calls.csv", "check --sql-conn-id warehouse --sql 'SELECT * FROM calls'")


@pytest.fixture
def ledger() -> Iterator[sa.engine.URL]:
    """An empty database of a MariaDB server of its own."""
    with mariadb() as port:
        url = sa.engine.make_url(f"mysql+pymysql://root@127.0.0.1:{port}")
        server = sa.create_engine(url)
        with server.begin() as connection:
            connection.exec_driver_sql("CREATE DATABASE ledger CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
        server.dispose()
        yield url.set(database="ledger")


def test_with_a_ledger_in_mariadb_and_calls_in_duckdb(ledger: sa.engine.URL, tmp_path: Path) -> None:
    (tmp_path / "load.py").write_text(LOAD)
    mysql = {"conn_type": "mysql", "host": ledger.host, "port": ledger.port, "login": "root", "schema": "ledger"}
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))},
        "AIRFLOW_CONN_LEDGER": json.dumps(mysql),
        "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "duckdb", "host": str(tmp_path / "warehouse.duckdb")}),
        "AIRFLOW__IMPACTCALL__LEDGER_CONN_ID": "ledger",
    }
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    done = start_here.run(tmp_path, path, environment, in_databases)
    assert len(done) > 20
    assert sum("python load.py" in command or "--sql-conn-id" in command for command, _, _ in done) == 3
    for command, shown, printed in done:
        lines = {" ".join(line.split()) for line in printed.splitlines()}
        wanted = [" ".join(line.split()) for line in shown.splitlines() if line.strip("=+")]
        assert [line for line in wanted if line not in lines] == [], (command, printed)
    log = "".join(printed for _, _, printed in done)
    said = re.findall(
        r"`(\d+ rows are [^`]+|rows=[^`]+)`|^(impact\.com calls: .+) \.\.\.$", START.read_text(), re.MULTILINE
    )
    assert len(said) == 3
    assert [text for text in map("".join, said) if text not in log] == [], log[-5000:]
    assert not (tmp_path / "airflow" / "impactcall_ledger.db").exists()
    engine = sa.create_engine(ledger)
    with closing(engine.connect()) as connection:
        states = connection.exec_driver_sql("SELECT CallSessionId, state FROM impactcall_call ORDER BY 1").all()
    engine.dispose()
    assert [tuple(row) for row in states] == [(f"A-{number}", "delivered") for number in range(1, 8)]
