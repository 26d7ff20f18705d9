"""Statements about many calls at once, in each database's own SQL: one round trip each, for any number of calls.

The driver executes them directly. SQLAlchemy compiles a statement that names keys anew at each execution, takes three
times as long as the driver to insert 32 calls into SQLite, and updates row by row on PostgreSQL.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple, Protocol, TypeAlias

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Dialect, Engine
from sqlalchemy.types import TypeEngine

from airflow_provider_impactcall.delivery.ledger.batch_sizes import KEYS_A_QUERY, in_parts
from airflow_provider_impactcall.delivery.ledger.schema import LONGEST_REASON, Now, calls, runs
from airflow_provider_impactcall.delivery.ledger.sqlite import by_driver
from airflow_provider_impactcall.delivery.outcome import CallState, ReasonCode

# As a string: in SQLAlchemy 1.4, a column's class takes no type.
Columns: TypeAlias = "tuple[sa.Column[Any], ...]"
Row = tuple[Any, ...]

_RENEWED = "lease_until = {now} + {mark}"
_IS_HELD = f"{runs.name}.run_id = {{mark}} AND lease_until > {{now}}"
_RENEW = f"UPDATE {runs.name} SET {_RENEWED} WHERE {_IS_HELD}"  # noqa: S608
_AS_OPENED = f"state = '{CallState.OPEN.value}' AND first_answer = 0 AND {calls.name}.run_id = {{mark}}"
_DELIVERED = (
    f"state = '{CallState.DELIVERED.value}', reason_code = '{ReasonCode.OK.value}', status = {{mark}}, "
    "reason = {mark}, first_answer = {mark}, changed_at = "
)
_DELIVER = f"UPDATE {calls.name} SET {_DELIVERED}{{mark}} WHERE {_AS_OPENED} AND "  # noqa: S608


class Delivered(NamedTuple):
    """Calls that were delivered at their first attempt, and the answer that each of them got."""

    keys: Sequence[str]
    status: int | None
    reason: str

    @property
    def answer(self) -> Row:
        """The answer, as the columns ``status``, ``reason`` and ``first_answer`` hold it."""
        return (self.status or 0, self.reason[:LONGEST_REASON], self.status or 0)


class NewCalls(NamedTuple):
    """Calls that were never seen.

    :param columns: of their rows; the last two are ``first_at`` and ``changed_at``
    :param rows: for each call, the values of the first columns
    :param common: the values of the other columns but the last two, the same for all calls
    """

    columns: Columns
    rows: Sequence[Row]
    common: Row


class Executing(Protocol):
    """A connection of SQLAlchemy's, or a driver in its place."""

    def exec_driver_sql(self, statement: str, parameters: Any = ..., /) -> Any:
        """Execute a statement."""


def statements_of(connection: Connection | Engine) -> Statements:
    """The statements for a connection's database."""
    return _of_dialect(connection.dialect)


class Statements:
    """Statements in which each key, and each value of a row, is a parameter of its own.

    :param dialect: the database's
    """

    mark = "%s"
    """The placeholder of a parameter."""

    locks = True
    """Whether rows must be locked. This is not needed where only one transaction at a time can write."""

    advances_at_once = False
    """Whether :meth:`advance` is one statement, which is atomic by itself."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._name = dialect.identifier_preparer.format_column
        self._key = self._name(calls.c.key)
        self._deliver = _DELIVER.format(mark=self.mark)
        now = str(Now().compile(dialect=dialect))
        self._renew = _RENEW.format(now=now, mark=self.mark)
        self._renew_and_tell = f"{self._renew} RETURNING {now}"
        self._ask_the_time = f"SELECT {now}"
        # In SQLAlchemy 1.4, dialects do not have this attribute.
        self._tells_what_it_updated: bool = getattr(dialect, "update_returning", dialect.name == "postgresql")

    def renew(self, connection: Executing, run_id: str, lease: float) -> tuple[bool, float]:
        """Renew the lease of a run, if the run still holds it.

        :param lease: in seconds
        :return: whether the run holds it, and the time by the database's clock
        """
        of_run = (lease, run_id)
        if self._tells_what_it_updated:
            told = connection.exec_driver_sql(self._renew_and_tell, of_run).fetchall()
            held = bool(told)
        else:
            told, held = [], connection.exec_driver_sql(self._renew, of_run).rowcount == 1
        ((moment,),) = told or connection.exec_driver_sql(self._ask_the_time).fetchall()
        return held, moment

    def advance(self, connection: Connection, run_id: str, lease: float, delivered: Delivered, new: NewCalls) -> bool:
        """Renew the lease of a run, record calls as delivered if they are as the run opened them, and insert others.

        :return: whether the run holds its lease, and the calls are as it opened them; if not, the transaction must not
            be committed
        """
        return self._step_by_step(connection, run_id, lease, delivered, new)

    def _step_by_step(
        self, connection: Executing, run_id: str, lease: float, delivered: Delivered, new: NewCalls
    ) -> bool:
        held, moment = self.renew(connection, run_id, lease)
        if not held or not self.deliver(connection, run_id, delivered, moment):
            return False
        self.insert_new(connection, new, moment)
        return True

    def select(
        self, connection: Connection, query: sa.Select[Any], keys: Sequence[str], *, locking: bool = False
    ) -> Sequence[Row]:
        """The rows of calls.

        :param query: of calls, without a condition and without parameters
        :param locking: lock the rows until the transaction ends, in the order of their keys
        """
        end = f" ORDER BY {calls.name}.{self._key} FOR UPDATE" if locking else ""
        statement = f"{_text(query, self._dialect)} WHERE {self._among(len(keys))}{end}"
        return connection.exec_driver_sql(statement, self._parameters(keys)).all()

    def deliver(self, connection: Executing, run_id: str, delivered: Delivered, moment: float) -> bool:
        """Record calls as delivered if they are as the run opened them: sent once, and still without an outcome.

        :return: whether all of them were so
        """
        keys = delivered.keys
        if not keys:
            return True
        parameters = (*delivered.answer, moment, run_id, *self._parameters(keys))
        found: int = connection.exec_driver_sql(self._deliver + self._among(len(keys)), parameters).rowcount
        return found == len(keys)

    def insert_new(self, connection: Executing, new: NewCalls, moment: float) -> None:
        """Insert calls that were never seen."""
        self.insert(connection, new.columns, new.rows, (*new.common, moment, moment))

    def insert(self, connection: Executing, columns: Columns, rows: Sequence[Row], common: Row = ()) -> None:
        """Insert rows into a table.

        :param columns: of one table
        :param rows: values of the first of these columns; a row's first value is never None
        :param common: values of the other columns, the same for all rows
        """
        if rows:
            marks = ", ".join([f"({self._marks(len(columns))})"] * len(rows))
            values = chain.from_iterable((*row, *common) for row in rows)
            connection.exec_driver_sql(f"{_insertion(columns, self._dialect)} VALUES {marks}", tuple(values))

    def change(self, connection: Connection, columns: Columns, rows: Sequence[Row]) -> None:
        """Give calls other values.

        :param columns: of calls, the key first
        :param rows: for each call, the values of these columns
        """
        if rows:
            key, *names = map(self._name, columns)
            values = ", ".join(f"{name} = {self.mark}" for name in names)
            statement = f"UPDATE {calls.name} SET {values} WHERE {key} = {self.mark}"  # noqa: S608
            connection.exec_driver_sql(statement, [(*row[1:], row[0]) for row in rows])

    def _marks(self, count: int) -> str:
        return ", ".join([self.mark] * count)

    def _among(self, count: int) -> str:
        """The condition that a call's key is one of so many."""
        return f"{calls.name}.{self._key} IN ({self._marks(count)})"

    def _parameters(self, keys: Sequence[str]) -> Row:
        """The parameters of that condition."""
        return tuple(keys)


_MOST_AT_ONCE = 64
"""The most rows of a statement: SQLite before 3.32 takes at most 999 parameters."""
_PLACES = 4
"""A statement has places for a multiple of so many rows."""


class _OfSqlite(Statements):
    """SQLite runs in this process. A statement costs little beside its rows, but the driver releases Python's GIL for
    each row that it repeats the statement for. SQLite has one writer at a time.
    """

    mark = "?"
    locks = False

    def advance(self, connection: Connection, run_id: str, lease: float, delivered: Delivered, new: NewCalls) -> bool:
        with by_driver(connection) as driver:
            return self._step_by_step(driver, run_id, lease, delivered, new)

    def deliver(self, connection: Executing, run_id: str, delivered: Delivered, moment: float) -> bool:
        if len(delivered.keys) <= KEYS_A_QUERY:
            return super().deliver(connection, run_id, delivered, moment)
        # Each part checks its own calls; unless all are as opened, the transaction is not committed.
        parts = [delivered._replace(keys=keys) for keys in in_parts(delivered.keys)]
        return all(super(_OfSqlite, self).deliver(connection, run_id, part, moment) for part in parts)

    def insert(self, connection: Executing, columns: Columns, rows: Sequence[Row], common: Row = ()) -> None:
        """As :meth:`Statements.insert` says.

        The statements have few different texts, which the driver keeps compiled: with places for four rows, for eight,
        for twelve and so on. Unused places are NULL, and are not inserted.
        """
        for start in range(0, len(rows), _MOST_AT_ONCE):
            part = rows[start : start + _MOST_AT_ONCE]
            places = -(-len(part) // _PLACES) * _PLACES
            varying = len(columns) - len(common)
            nothing = (None,) * (varying * (places - len(part)))
            statement = _insertion_of_places(columns, varying, places, self._dialect)
            connection.exec_driver_sql(statement, (*common, *chain.from_iterable(part), *nothing))


class _OfPostgresql(Statements):
    """All keys, or all rows, are one parameter, as JSON.

    With one parameter per value, psycopg 2 takes four times as long, psycopg 3 twelve times, and the server one and a
    half times.
    """

    advances_at_once = True

    def __init__(self, dialect: Dialect) -> None:
        super().__init__(dialect)
        now = str(Now().compile(dialect=dialect))
        as_opened = f"{_AS_OPENED} AND {self._among(0)} ORDER BY {self._key} FOR UPDATE"
        renewed = f"{_RENEW} AND {{mark}} = (SELECT count(*) FROM opened) RETURNING {{now}} AS moment"  # noqa: S608
        delivered = f"UPDATE {calls.name} SET {_DELIVERED}moment FROM lease WHERE {self._among(0)}"  # noqa: S608
        # Everything depends on the row of lease, and that row on all calls being as they were opened.
        statement = (
            f"WITH opened AS (SELECT {self._key} FROM {calls.name} WHERE {as_opened}), lease AS ({renewed}), "  # noqa: S608
            f"delivered AS ({delivered}), inserted AS ({{insertion}}, lease) SELECT moment FROM lease"
        )
        self._advance = statement.replace("{now}", now).replace("{mark}", self.mark)

    def advance(self, connection: Connection, run_id: str, lease: float, delivered: Delivered, new: NewCalls) -> bool:
        (keys,) = self._parameters(delivered.keys)
        parameters = (run_id, keys, lease, run_id, len(delivered.keys), *delivered.answer, keys)
        insertion = self._insertion(new.columns, len(new.common), "moment", "moment")
        statement = self._advance.replace("{insertion}", insertion)
        parameters += (*new.common, json.dumps(new.rows))
        return connection.exec_driver_sql(statement, parameters).first() is not None

    def insert(self, connection: Executing, columns: Columns, rows: Sequence[Row], common: Row = ()) -> None:
        if rows:
            connection.exec_driver_sql(self._insertion(columns, len(common)), (*common, json.dumps(rows)))

    def _insertion(self, columns: Columns, common: int, *more: str) -> str:
        varying = _from_json(columns[: len(columns) - common - len(more)], self._dialect)
        values = ", ".join([*varying, *[self.mark] * common, *more])
        return f"{_insertion(columns, self._dialect)} SELECT {values} FROM {self._given}"  # noqa: S608

    def change(self, connection: Connection, columns: Columns, rows: Sequence[Row]) -> None:
        if rows:
            given = zip(map(self._name, columns), _from_json(columns, self._dialect), strict=True)
            key, *values = (f"{name} = {value}" for name, value in given)
            changes = ", ".join(values)
            statement = f"UPDATE {calls.name} SET {changes} FROM {self._given} WHERE {calls.name}.{key}"  # noqa: S608
            connection.exec_driver_sql(statement, (json.dumps(rows),))

    @property
    def _given(self) -> str:
        return f"json_array_elements({self.mark}::json) AS given"

    def _among(self, _: int) -> str:
        return f"{calls.name}.{self._key} = ANY (ARRAY(SELECT json_array_elements_text({self.mark}::json)))"

    def _parameters(self, keys: Sequence[str]) -> Row:
        return (json.dumps(keys),)


class _OfMysql(Statements):
    """MySQL and MariaDB: an UPDATE can change two tables, and returns one more number beside the count of rows."""

    def __init__(self, dialect: Dialect) -> None:
        super().__init__(dialect)
        now = str(Now().compile(dialect=dialect))
        renewed = f"lease_until = LAST_INSERT_ID(CAST({now} * 1000000 AS UNSIGNED)) / 1e6 + {self.mark}"
        held = _IS_HELD.format(now=now, mark=self.mark)
        self._renew = f"UPDATE {runs.name} SET {renewed} WHERE {held}"  # noqa: S608
        # By the calls' keys: the index of undelivered calls would lead to the calls of all runs.
        self._renew_and_deliver = (
            f"UPDATE {runs.name}, {calls.name} FORCE INDEX (PRIMARY) SET {renewed}, "  # noqa: S608
            f"{_DELIVERED.format(mark=self.mark)}{now} WHERE {held} AND {_AS_OPENED.format(mark=self.mark)} AND "
        )

    def renew(self, connection: Executing, run_id: str, lease: float) -> tuple[bool, float]:
        renewed = connection.exec_driver_sql(self._renew, (lease, run_id))
        if renewed.rowcount == 1:
            return True, renewed.lastrowid / 1e6
        return False, float(connection.exec_driver_sql(self._ask_the_time).scalar_one())

    def advance(self, connection: Connection, run_id: str, lease: float, delivered: Delivered, new: NewCalls) -> bool:
        keys = delivered.keys
        if not keys:
            return self._step_by_step(connection, run_id, lease, delivered, new)
        parameters = (lease, *delivered.answer, run_id, run_id, *self._parameters(keys))
        done = connection.exec_driver_sql(self._renew_and_deliver + self._among(len(keys)), parameters)
        if done.rowcount != 1 + len(keys):
            return False
        self.insert_new(connection, new, done.lastrowid / 1e6)
        return True

    def change(self, connection: Connection, columns: Columns, rows: Sequence[Row]) -> None:
        """As :meth:`Statements.change` says, with many rows in one round trip."""
        # In parts: for each row, the server searches the values of all rows.
        for start in range(0, len(rows), _MOST_AT_ONCE):
            part = rows[start : start + _MOST_AT_ONCE]
            by_key = " ".join([f"WHEN {self.mark} THEN {self.mark}"] * len(part))
            values = ", ".join(f"{self._name(column)} = CASE {self._key} {by_key} END" for column in columns[1:])
            given = chain.from_iterable((row[0], row[place]) for place in range(1, len(columns)) for row in part)
            statement = f"UPDATE {calls.name} SET {values} WHERE {self._among(len(part))}"  # noqa: S608
            connection.exec_driver_sql(statement, (*given, *self._parameters([row[0] for row in part])))


_KINDS = {"sqlite": _OfSqlite, "postgresql": _OfPostgresql, "mysql": _OfMysql, "mariadb": _OfMysql}


@lru_cache(maxsize=16)
def _of_dialect(dialect: Dialect) -> Statements:
    return _KINDS.get(dialect.name, Statements)(dialect)


@lru_cache(maxsize=32)
def _text(query: sa.Select[Any], dialect: Dialect) -> str:
    return str(query.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


@lru_cache(maxsize=32)
def _insertion(columns: Columns, dialect: Dialect, verb: str = "INSERT") -> str:
    names = ", ".join(map(dialect.identifier_preparer.format_column, columns))
    return f"{verb} INTO {columns[0].table.name} ({names})"


@lru_cache(maxsize=32)
def _insertion_of_places(columns: Columns, varying: int, places: int, dialect: Dialect) -> str:
    """On SQLite: so many rows of the first columns. The other columns have the same values in each row, given first."""
    values = ", ".join(["*", *"?" * (len(columns) - varying)])
    given = ", ".join([f"({', '.join('?' * varying)})"] * places)
    # OR FAIL: a conflict ends the whole transaction anyway, so the statement need not be undone by itself. To be able
    # to undo it, SQLite would first copy each page to another file.
    into = _insertion(columns, dialect, "INSERT OR FAIL")
    return f"{into} SELECT {values} FROM (VALUES {given}) WHERE column1 IS NOT NULL"  # noqa: S608


@lru_cache(maxsize=32)
def _from_json(columns: Columns, dialect: Dialect) -> list[str]:
    """The SQL of each value of a row that is a JSON list."""
    return [_as(column.type, f"given ->> {place}", dialect) for place, column in enumerate(columns)]


def _as(kind: TypeEngine[Any], text: str, dialect: Dialect) -> str:
    # A cast to a type with a length would truncate a text.
    return text if isinstance(kind, sa.String) else f"({text})::{kind.compile(dialect=dialect)}"
