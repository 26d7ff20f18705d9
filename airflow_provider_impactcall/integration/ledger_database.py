"""The database of a shared ledger: which kinds can hold one, and how to open it as Airflow's own hook does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from copy import deepcopy
from functools import partial
from typing import Any, NoReturn, cast

import sqlalchemy as sa
from airflow.providers.common.compat.sdk import AirflowException, BaseHook
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import SQLAlchemyError

from airflow_provider_impactcall.delivery.ledger.mysql import settle_sessions
from airflow_provider_impactcall.delivery.ledger.postgresql import never_prepare, refuse_other_encodings
from airflow_provider_impactcall.exceptions import ImpactCallError, InvalidOption, LedgerUnusable
from airflow_provider_impactcall.integration.sql_hooks import hook_of

_DIALECTS = {"sqlite": "sqlite", "postgres": "postgresql", "mysql": "mysql"}
"""SQLAlchemy's dialects, by Airflow's connection type."""

_REFUSED = {
    "athena": "Amazon Athena",
    "databricks": "Databricks",
    "duckdb": "DuckDB",
    "gcpbigquery": "Google BigQuery",
    "generic": "a database of a kind that a 'generic' connection does not tell",
    "google_cloud_platform": "Google BigQuery",
    "jdbc": "a database behind JDBC",
    "mssql": "Microsoft SQL Server",
    "odbc": "a database behind ODBC",
    "oracle": "Oracle",
    "presto": "Presto",
    "redshift": "Amazon Redshift",
    "snowflake": "Snowflake",
    "trino": "Trino",
}
"""Names of databases, by Airflow's connection type. They are refused without opening anything or needing a driver."""

_DRIVERS = {
    "psycopg": "postgresql+psycopg",
    "psycopg2": "postgresql+psycopg2",
    "MySQLdb": "mysql+mysqldb",
    "mysql": "mysql+mysqlconnector",
    "pymysql": "mysql+pymysql",
}
"""SQLAlchemy's names for dialect and driver, by the driver's package."""

_CLIENTS = {"mysqlclient": "MySQLdb", "mysql-connector-python": "mysql", "pymysql": "pymysql"}
"""The packages of MySQL's drivers, by their names in a connection's extra."""

# The fields of a MySQL connection's extra that are not passed to the driver unchanged.
_OF_MYSQLS_HOOK = ("aws_conn_id", "charset", "client", "cursor", "iam", "local_infile", "ssl", "ssl_mode")
_MODES_WITHOUT_TLS = ("disable", "disabled", "allow", "prefer", "preferred")
_OF_TLS = (
    *("sslcert", "sslrootcert"),
    *("ssl", "ssl_ca", "ssl_capath", "ssl_cert", "ssl_verify_cert", "ssl_verify_identity"),
)


def ledger_engine(conn_id: str, *, pre_ping: bool = False) -> Engine:
    """The engine for the ledger of a SQL connection. When it is returned, a server was reached and nothing was written.

    :param conn_id: the Airflow connection
    :param pre_ping: SQLAlchemy's ``pool_pre_ping``
    :raises InvalidOption: if its database cannot hold a ledger, or the connection cannot be opened as it says, or it
        asks for TLS and the server was reached without TLS
    :raises LedgerUnusable: if the database cannot be reached
    """
    connection: Any = BaseHook.get_connection(conn_id)
    if connection.conn_type in _REFUSED:
        _refuse(conn_id, _REFUSED[connection.conn_type])
    hook: Any = hook_of("ledger_conn_id", connection)
    extra = connection.extra_dejson
    dialect = _DIALECTS.get(connection.conn_type) or _dialect(hook, conn_id, connection.conn_type)
    if dialect == "sqlite":
        return cast("Engine", hook.get_sqlalchemy_engine(engine_kwargs={"pool_pre_ping": pre_ping}))
    if dialect == "postgresql":
        hook = _with_query(hook, connection)
        return _Postgres(conn_id, extra, hook.get_conn).engine(pre_ping=pre_ping)
    if dialect not in ("mysql", "mariadb"):
        _refuse(conn_id, dialect)
    with _opening(conn_id):
        mysql = sa.create_engine(f"{_DRIVERS[_CLIENTS[extra.get('client', 'mysqlclient')]]}://").dialect
    return _Mysql(conn_id, extra, partial(_open_mysql, mysql, hook, connection)).engine(pre_ping=pre_ping)


@contextmanager
def _opening(conn_id: str) -> Iterator[None]:
    """Turns an error of a hook or driver into an error of this package, as its text may hold anything.

    :raises InvalidOption: if the connection cannot be opened as it says
    :raises LedgerUnusable: if its database cannot be reached
    """
    try:
        yield
    except ImpactCallError:
        raise
    except (
        *(AirflowException, AttributeError, ImportError, LookupError, RuntimeError),
        *(SQLAlchemyError, TypeError, ValueError),
    ) as error:
        raise InvalidOption(
            f"ledger_conn_id: the connection {conn_id!r} cannot be opened as it says ({type(error).__name__}): its "
            "driver is not installed, or does not know something in its extra"
        ) from None
    except Exception as error:
        raise LedgerUnusable(f"the ledger cannot be reached ({type(error).__name__})") from None


def _refuse(conn_id: str, database: str) -> NoReturn:
    raise InvalidOption(
        f"ledger_conn_id: the connection {conn_id!r} leads to {database}, and a ledger can only be in PostgreSQL, "
        "MariaDB, MySQL or SQLite: name a connection to one of these, such as to the server that Airflow's own "
        "database is on. The calls themselves may come from any database"
    )


def _dialect(hook: Any, conn_id: str, conn_type: str) -> str:
    """The dialect of a database whose connection type is not in ``_DIALECTS``."""
    engine = None
    # A driver or dialect that is missing, or made for another SQLAlchemy, can raise many kinds of errors.
    with suppress(Exception):
        engine = hook.get_sqlalchemy_engine()
    if engine is None:
        _refuse(conn_id, f"a database of the type {conn_type!r}")
    engine.dispose()
    return str(engine.dialect.name)


class _Server:
    """Opens connections to the server of a ledger, as its hook does. Refuses one without the TLS that was asked for.

    :param conn_id: the Airflow connection
    :param extra: its extra
    :param connect: opens a DB-API connection
    """

    reset_on_return: str | None = "rollback"
    """SQLAlchemy's ``pool_reset_on_return``."""

    def __init__(self, conn_id: str, extra: Mapping[str, Any], connect: Callable[[], Any]) -> None:
        self._conn_id = conn_id
        self._asks_for_tls = _asks_for_tls(extra)
        self._connect = connect
        self._opened_before: list[Any] = []
        self._dbapi: Any = None

    def engine(self, *, pre_ping: bool) -> Engine:
        """An engine for this server, of the driver that opens it.

        :raises InvalidOption: see :func:`ledger_engine`
        :raises LedgerUnusable: see :func:`ledger_engine`
        """
        with _opening(self._conn_id):
            first = self._opened()
            try:
                self.refuse_others(first)
                url = f"{_DRIVERS[_driver(first)]}://"
                engine = sa.create_engine(
                    url, creator=self._next, pool_pre_ping=pre_ping, pool_reset_on_return=self.reset_on_return
                )
                settle_sessions(engine)
                never_prepare(engine)
                refuse_other_encodings(engine)
            except BaseException:
                first.close()
                raise
            self._dbapi = engine.dialect.dbapi
            self._opened_before.append(first)
            return engine

    def refuse_others(self, opened: Any) -> None:
        """Refuse a database that speaks the same protocol and lacks what a ledger needs.

        :raises InvalidOption: if it is such a database
        """

    def settle(self, opened: Any) -> None:
        """Undo settings of a connection's extra that are meant for a warehouse and break a ledger."""

    def is_encrypted(self, opened: Any) -> bool:
        """Whether nobody on the way to the server can read along."""
        raise NotImplementedError

    def _next(self) -> Any:
        with suppress(IndexError):
            return self._opened_before.pop()  # Only one of several threads gets it.
        try:
            return self._opened()
        except (ImpactCallError, self._dbapi.Error):
            raise
        except Exception as error:
            # For example, the token service failed. The ledger takes this for a passing connection error.
            raise self._dbapi.OperationalError(type(error).__name__) from None

    def _opened(self) -> Any:
        opened = self._connect()
        try:
            self.settle(opened)
            if self._asks_for_tls and not self.is_encrypted(opened):
                raise InvalidOption(
                    f"ledger_conn_id: the connection {self._conn_id!r} asks for TLS, and its server was reached "
                    "without TLS: the server does not offer it, or the driver does not know the TLS settings in the "
                    "extra"
                )
        except BaseException:
            with suppress(Exception):
                opened.close()
            raise
        return opened


class _Postgres(_Server):
    def refuse_others(self, opened: Any) -> None:
        opened.autocommit = True
        with closing(opened.cursor()) as cursor:
            cursor.execute("SELECT version()")
            (version,) = cursor.fetchone()
        if isinstance(version, bytes):  # psycopg 3 decodes nothing of a SQL_ASCII database.
            version = version.decode("ascii", "replace")
        opened.autocommit = False
        if "redshift" in version.lower():
            _refuse(self._conn_id, _REFUSED["redshift"])
        if not version.startswith("PostgreSQL"):
            _refuse(self._conn_id, version.partition(" ")[0])

    def settle(self, opened: Any) -> None:
        if _driver(opened) == "psycopg":
            from psycopg.rows import tuple_row

            opened.row_factory = tuple_row
        else:
            opened.cursor_factory = None

    def is_encrypted(self, opened: Any) -> bool:
        # Asks the client: behind a pooler, the server sees another connection than this one.
        info = opened.pgconn if _driver(opened) == "psycopg" else opened.info
        return bool(info.ssl_in_use) or str(opened.info.host).startswith(("/", "@"))


class _Mysql(_Server):
    # MySQL's drivers would send a ROLLBACK after each COMMIT. The ledger ends every transaction itself.
    reset_on_return = None

    def is_encrypted(self, opened: Any) -> bool:
        # Asks the server: if a server has no TLS, client libraries connect without it, whatever they were told.
        with closing(opened.cursor()) as cursor:
            cursor.execute("SHOW SESSION STATUS LIKE 'Ssl_cipher'")
            found = cursor.fetchone()
        return bool(found and found[1])


def _with_query(hook: Any, connection: Any) -> Any:
    """The hook of a PostgreSQL connection that also applies ``sqlalchemy_query`` of its extra."""
    extra = connection.extra_dejson
    query = extra.get("sqlalchemy_query")
    if not query:
        return hook
    if not isinstance(query, dict):
        raise InvalidOption(
            f"ledger_conn_id: sqlalchemy_query in the extra of the connection {connection.conn_id!r} must be an object"
        )
    connection = deepcopy(connection)
    connection.extra = json.dumps({**query, **extra})
    return hook_of("ledger_conn_id", connection, {"connection": connection})


def _open_mysql(dialect: Any, hook: Any, connection: Any) -> Any:
    """Open a connection as MySQL's hook does, but not by its ``get_conn``. With ``get_conn``, the driver counts the
    rows that an UPDATE changes; SQLAlchemy and the ledger count the rows that it finds. The hook also does not know
    PyMySQL.
    """
    extra = connection.extra_dejson
    password, port = connection.password or None, connection.port or 3306
    if extra.get("iam"):
        password, port = hook.get_iam_token(connection)
    url = URL.create(
        f"mysql+{dialect.driver}",
        username=connection.login or None,
        password=password,
        host=connection.host or "localhost",
        port=int(port),
        database=getattr(hook, "schema", None) or connection.schema or None,
        query={name: str(value) for name, value in extra.items() if value and name not in _OF_MYSQLS_HOOK},
    )
    _, arguments = dialect.create_connect_args(url)
    arguments["charset"] = "utf8mb4"
    if tls := extra.get("ssl"):
        given = json.loads(tls) if isinstance(tls, str) else tls
        of_connector = dialect.driver == "mysqlconnector"
        arguments.update({f"ssl_{name}": value for name, value in given.items()} if of_connector else {"ssl": given})
    if dialect.driver == "mysqldb":
        if mode := extra.get("ssl_mode"):
            arguments["ssl_mode"] = mode
        if extra.get("iam"):
            arguments["read_default_group"] = "enable-cleartext-plugin"
    return dialect.connect(**arguments)


def _asks_for_tls(extra: Mapping[str, Any]) -> bool:
    query = extra.get("sqlalchemy_query")
    asked = {**(query if isinstance(query, dict) else {}), **extra}
    if mode := asked.get("sslmode") or asked.get("ssl_mode"):
        return str(mode).lower() not in _MODES_WITHOUT_TLS
    return any(asked.get(name) for name in _OF_TLS)


def _driver(opened: Any) -> str:
    return type(opened).__module__.partition(".")[0]
