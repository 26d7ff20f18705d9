"""A table of calls in a person's own database, whichever it is: made if it is missing, and written by key."""

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
"""Writes rows by their key, which no two of them share, within a transaction."""

_WITH_UPSERTS = ("sqlite", "postgresql", "mysql", "mariadb")
_WITHOUT_ZONE = ("sqlite", "mysql", "mariadb")


class _SnowflakeMoment(UserDefinedType):  # type: ignore[type-arg] # SQLAlchemy 1.4 has no type for it
    """The dialect of Snowflake makes a time without a zone of a time with one."""

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
                # Else to the second, and a call would seem to have changed since it was written.
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
    # Redshift counts bytes. SQL Server compares no TEXT, and has such a type of up to 4,000 characters.
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
    """A table that holds calls as a ledger has them, a row a call.

    :param engine: of its database; its owner, the caller, disposes of it
    :param name: ``table`` or ``schema.table``; of any characters, as it is always quoted where it must be
    :param upsert: how rows are written by key; None for the database's own way where it is known, else
        :func:`delete_and_insert`
    :raises InvalidOption: if the name is not one
    """

    def __init__(self, engine: Engine, name: str, upsert: Upsert | None = None) -> None:
        schema, table = _parts(name)
        self._engine = engine
        self._upsert = upsert
        # Of MySQL's character sets, only these four bytes hold every id.
        of_mysql: Any = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
        self._table = sa.Table(table, sa.MetaData(), *columns(), schema=schema, **of_mysql)

    def prepare(self) -> None:
        """Create the table, or see that the one that is there has all the columns.

        :raises InvalidOption: with the columns that it lacks
        :raises AirflowException: if the database does not do it
        """
        with self._transaction() as connection:
            found = sa.inspect(connection)
            name, schema = self._table.name, self._table.schema
            if found.has_table(name, schema=schema):
                there = [str(column["name"]) for column in found.get_columns(name, schema=schema)]
                # Other databases find a column in any case, or say its name in one of their own.
                exact = connection.dialect.name == "postgresql" and not _is_redshift(connection)
                fold = str if exact else str.casefold
                self._refuse_lacking(set(map(fold, there)), fold)
                return
            if _has_upserts(connection):
                # What it is asked for at each export. Other databases have no indexes, or need none.
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
        """Which of these calls the table has, and as updated when."""
        found: dict[str, datetime | None] = {}
        with self._transaction() as connection:
            for part in in_parts(keys):
                query = sa.select(self._table.c.key, self._table.c.updated_at).where(self._table.c.key.in_(part))
                found.update(dict(connection.execute(query).all()))
        return found

    def marked(self, namespace: str, after: str, limit: int) -> list[str]:
        """The keys of calls that came again with other content, as far as the table knows, in their order.

        :param after: the key before the first of them
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
                f"table: the table that is there lacks {', '.join(lacking)}: add these columns, name another table, or "
                "drop it, and it is made and filled anew"
            )


@contextmanager
def calls_table(sql_conn_id: str, name: str, hook_params: Mapping[str, Any] | None = None) -> Iterator[CallsTable]:
    """A table of calls, which is there and has all its columns within the context.

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
    """Within it, what a driver raises is said by its name alone: its words quote values, and connections.

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
    """Write rows by key in any database: those that are there go, and all are inserted, in one transaction."""
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
    """How the database writes rows by key. It knows a key by a constraint, which a table that was there may lack."""
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
    """Whether it is Redshift. A connection to PostgreSQL leads there too, and it has no upserts and no indexes."""
    if connection.dialect.name != "postgresql":
        return connection.dialect.name == "redshift"
    return "redshift" in str(connection.execute(sa.select(sa.func.version())).scalar()).lower()


def _key_is_unique(connection: Connection, table: sa.Table) -> bool:
    found = sa.inspect(connection)
    constraints = [found.get_pk_constraint(table.name, schema=table.schema)["constrained_columns"]]
    constraints += [each["column_names"] for each in found.get_unique_constraints(table.name, schema=table.schema)]
    indexes = found.get_indexes(table.name, schema=table.schema)
    # One of a part of the rows is not enough.
    whole = [each for each in indexes if each["unique"] and not any("where" in key for key in _options(each))]
    return ["key"] in [*constraints, *(each["column_names"] for each in whole)]


def _options(index: Any) -> Sequence[str]:
    return list(index.get("dialect_options", {}))


def _parts(name: str) -> tuple[str | None, str]:
    *schema, table = name.split(".")
    # SQLAlchemy looks for its own marks of parameters in names too.
    fit = all(part.strip() and part.isprintable() and not set("%[") & set(part) for part in (*schema, table))
    if len(schema) > 1 or not fit:
        raise InvalidOption(
            "table must be the name of a table, or the names of a schema and a table with a dot between, without % or ["
        )
    return (schema[0] if schema else None), table
