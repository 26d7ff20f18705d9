"""A table of calls in any database of the user: made if it is missing, and written by key."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from airflow.providers.common.compat.sdk import AirflowException
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import Connection, Dialect, Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.types import TypeDecorator, TypeEngine, UserDefinedType

from airflow_provider_impactcall.delivery.ledger.batch_sizes import in_parts
from airflow_provider_impactcall.exceptions import ImpactCallError, InvalidOption
from airflow_provider_impactcall.integration.sql_hooks import sql_hook

Upsert = Callable[[Connection, sa.Table, Sequence[Mapping[str, Any]]], None]
"""Writes rows by their unique keys, within a transaction."""

_WITH_UPSERTS = ("sqlite", "postgresql", "mysql", "mariadb")
_WITHOUT_ZONE = ("sqlite", "mysql", "mariadb")


class _SnowflakeMoment(UserDefinedType):  # type: ignore[type-arg] # SQLAlchemy 1.4 has no type for it
    """Snowflake's dialect would make a time without a zone of a time with a zone."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        return "TIMESTAMP_TZ"


class _Moment(TypeDecorator):  # type: ignore[type-arg] # the same
    """A time with its zone, which is always UTC; in a database that has no zones, the time in UTC."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        match dialect.name:
            case "mysql" | "mariadb":
                # The default is precise to the second: a call would seem to have changed since it was written.
                return dialect.type_descriptor(mysql.DATETIME(fsp=6))
            case "snowflake":
                return dialect.type_descriptor(_SnowflakeMoment())
            case _:
                return dialect.type_descriptor(sa.DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=None) if dialect.name in _WITHOUT_ZONE else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _text(characters: int) -> Any:
    # Redshift counts bytes. SQL Server cannot compare TEXT; its NVARCHAR has up to 4,000 characters.
    return sa.Unicode(4 * characters)


def columns() -> list[sa.Column[Any]]:
    """The columns of such a table."""
    return [
        sa.Column("key", sa.String(32), primary_key=True),
        sa.Column("namespace", sa.Unicode(255), nullable=False),
        sa.Column("CallSessionId", _text(1000)),
        *(sa.Column(name, _text(64)) for name in ("CampaignId", "ActionTrackerId", "CallProvider", "MediaId")),
        sa.Column("EventDate", _Moment),
        sa.Column("state", sa.String(16)),
        sa.Column("reason_code", sa.String(32)),
        sa.Column("status", sa.Integer),
        sa.Column("reason", _text(250)),
        sa.Column("attempts", sa.Integer),
        sa.Column("run_id", sa.String(32)),
        sa.Column("first_at", _Moment),
        sa.Column("changed_at", _Moment),
        sa.Column("came_again_at", _Moment),
        sa.Column("came_again_times", sa.Integer),
        sa.Column("updated_at", _Moment),
        sa.Column("exported_at", _Moment),
    ]


class CallsTable:
    """A table that holds calls as a ledger has them, one row for each call.

    :param engine: the engine of its database; the caller disposes of it
    :param name: ``table`` or ``schema.table``; of any characters except ``%`` and ``[``, as it is quoted where
        necessary
    :param upsert: how rows are written by key; None for the database's own way where it is known, else
        :func:`delete_and_insert`
    :raises InvalidOption: if the name cannot be a table's
    """

    def __init__(self, engine: Engine, name: str, upsert: Upsert | None = None) -> None:
        schema, table = _parts(name)
        self._engine = engine
        self._upsert = upsert
        # Of MySQL's character sets, only utf8mb4 holds every id.
        of_mysql: Any = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
        self._table = sa.Table(table, sa.MetaData(), *columns(), schema=schema, **of_mysql)

    def prepare(self) -> None:
        """Create the table, or check that the existing table has all the columns.

        :raises InvalidOption: with the columns that it lacks
        :raises AirflowException: if the database fails
        """
        with self._transaction() as connection:
            found = sa.inspect(connection)
            name, schema = self._table.name, self._table.schema
            if found.has_table(name, schema=schema):
                there = [str(column["name"]) for column in found.get_columns(name, schema=schema)]
                # Other databases find a column's name in any case, or report it in their own case.
                exact = connection.dialect.name == "postgresql" and not _is_redshift(connection)
                fold = str if exact else str.casefold
                self._refuse_lacking(set(map(fold, there)), fold)
                return
            if _has_upserts(connection):
                # Each export queries these columns. Other databases have no indexes, or need none.
                for column in (self._table.c.updated_at, self._table.c.came_again_at):
                    sa.Index(None, column, self._table.c.namespace)
            self._table.create(connection)

    def newest(self, namespace: str) -> datetime | None:
        """When the calls of a namespace were updated last, as far as the table knows; None if it has none of them."""
        updated_at = self._table.c.updated_at
        query = sa.select(updated_at).where(self._table.c.namespace == namespace, updated_at.is_not(None))
        with self._transaction() as connection:
            moment: datetime | None = connection.execute(query.order_by(updated_at.desc()).limit(1)).scalar()
        return moment

    def held(self, keys: Sequence[str]) -> dict[str, datetime | None]:
        """The calls of these keys that the table has, each with its ``updated_at``."""
        found: dict[str, datetime | None] = {}
        with self._transaction() as connection:
            for part in in_parts(keys):
                query = sa.select(self._table.c.key, self._table.c.updated_at).where(self._table.c.key.in_(part))
                found.update(dict(connection.execute(query).all()))
        return found

    def marked(self, namespace: str, after: str, limit: int) -> list[str]:
        """The keys of calls that came again with other content, as far as the table knows, in their order.

        :param after: only keys after this one
        """
        columns = self._table.c
        query = sa.select(columns.key).where(
            columns.namespace == namespace, columns.came_again_at.is_not(None), columns.key > after
        )
        with self._transaction() as connection:
            return list(connection.execute(query.order_by(columns.key).limit(limit)).scalars())

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write calls by their keys, in one transaction.

        :param rows: a value for each column but ``exported_at``, no two of one key; times as aware datetimes
        """
        names = [column.name for column in self._table.c if column.name != "exported_at"]
        exported_at = datetime.now(UTC)
        written = [{name: row[name] for name in names} | {"exported_at": exported_at} for row in rows]
        with self._transaction() as connection:
            self._upsert = self._upsert or _upsert_of(connection, self._table)
            self._upsert(connection, self._table, written)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """A transaction; see :func:`_unquoted`."""
        with _unquoted(), self._engine.begin() as connection:
            yield connection

    def _refuse_lacking(self, there: Collection[str], fold: Callable[[str], str]) -> None:
        lacking = [column.name for column in self._table.c if fold(column.name) not in there]
        if lacking:
            raise InvalidOption(
                f"table: the existing table lacks {', '.join(lacking)}: add these columns, name another table, or drop "
                "this one to have it made and filled again"
            )


@contextmanager
def calls_table(sql_conn_id: str, name: str, hook_params: Mapping[str, Any] | None = None) -> Iterator[CallsTable]:
    """A table of calls that exists, with all its columns, within the context.

    :param sql_conn_id: the connection of a database whose hook is a ``DbApiHook`` with a SQLAlchemy engine
    :param name: ``table`` or ``schema.table``
    :param hook_params: further parameters of the hook's constructor
    :raises InvalidOption: if the connection has no such engine, or the table lacks columns
    :raises AirflowException: if the database cannot be reached
    """
    hook = sql_hook("sql_conn_id", sql_conn_id, hook_params)
    with _unquoted():
        try:
            engine = hook.get_sqlalchemy_engine()
        except (ImportError, SQLAlchemyError, NotImplementedError, AttributeError, TypeError, ValueError) as error:
            raise InvalidOption(
                f"sql_conn_id: there is no SQLAlchemy engine for the connection {sql_conn_id!r} "
                f"({type(error).__name__}); is the SQLAlchemy dialect of its database installed?"
            ) from None
    try:
        table = CallsTable(engine, name)
        table.prepare()
        yield table
    finally:
        engine.dispose()


@contextmanager
def _unquoted() -> Iterator[None]:
    """Within this context, a driver's error is raised by its class name alone: its text quotes values and connections.

    :raises AirflowException: instead
    """
    try:
        yield
    except ImpactCallError:
        raise
    except Exception as error:
        raise AirflowException(
            f"the table of calls could not be read or written ({type(error).__name__}); its database's log says why"
        ) from None


def delete_and_insert(connection: Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows by key in any database: delete those that exist, then insert all, in one transaction."""
    for keys in in_parts([row["key"] for row in rows]):
        connection.execute(sa.delete(table).where(table.c.key.in_(keys)))
    connection.execute(sa.insert(table), list(rows))


def _insert_or_update(insertion: Any) -> Upsert:
    """The upsert of PostgreSQL and SQLite.

    :param insertion: the dialect's own ``insert``
    """

    def upsert(connection: Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
        insert = insertion(table)
        changes = {column.name: insert.excluded[column.name] for column in table.c if not column.primary_key}
        connection.execute(insert.on_conflict_do_update(index_elements=[table.c.key], set_=changes), list(rows))

    return upsert


def insert_or_update_of_mysql(connection: Connection, table: sa.Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows by key in MySQL and MariaDB."""
    insert = mysql.insert(table)
    changes = {column.name: insert.inserted[column.name] for column in table.c if not column.primary_key}
    connection.execute(insert.on_duplicate_key_update(changes), list(rows))


def _upsert_of(connection: Connection, table: sa.Table) -> Upsert:
    """How the database writes rows by key. An upsert needs a constraint on the key, which a table may lack."""
    if not _has_upserts(connection) or not _key_is_unique(connection, table):
        return delete_and_insert
    match connection.dialect.name:
        case "sqlite":
            return _insert_or_update(sqlite.insert)
        case "postgresql":
            return _insert_or_update(postgresql.insert)
        case _:
            return insert_or_update_of_mysql


def _has_upserts(connection: Connection) -> bool:
    return connection.dialect.name in _WITH_UPSERTS and not _is_redshift(connection)


def _is_redshift(connection: Connection) -> bool:
    """Whether the database is Redshift, which has no upserts and no indexes. A PostgreSQL connection may lead to it."""
    if connection.dialect.name != "postgresql":
        return connection.dialect.name == "redshift"
    return "redshift" in str(connection.execute(sa.select(sa.func.version())).scalar()).lower()


def _key_is_unique(connection: Connection, table: sa.Table) -> bool:
    found = sa.inspect(connection)
    constraints = [found.get_pk_constraint(table.name, schema=table.schema)["constrained_columns"]]
    constraints += [each["column_names"] for each in found.get_unique_constraints(table.name, schema=table.schema)]
    indexes = found.get_indexes(table.name, schema=table.schema)
    # A partial index is not enough.
    whole = [each for each in indexes if each["unique"] and not any("where" in key for key in _options(each))]
    return ["key"] in [*constraints, *(each["column_names"] for each in whole)]


def _options(index: Any) -> Sequence[str]:
    return list(index.get("dialect_options", {}))


def _parts(name: str) -> tuple[str | None, str]:
    *schema, table = name.split(".")
    # SQLAlchemy reads these characters in a name as marks of parameters.
    fit = all(part.strip() and part.isprintable() and not set("%[") & set(part) for part in (*schema, table))
    if len(schema) > 1 or not fit:
        raise InvalidOption(
            "table must be the name of a table, or the names of a schema and a table with a dot between, without % or ["
        )
    return (schema[0] if schema else None), table
