"""A warehouse query into delivered calls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowFailException, Context
from airflow.providers.common.sql.hooks.sql import DbApiHook

from airflow_provider_impactcall.delivery.spool import Spool
from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.hooks.sql import sql_hook
from airflow_provider_impactcall.operators.impactcall import DeliverCallsOperator, names_options

_ROWS_A_FETCH = 1000


class SqlToImpactCallOperator(DeliverCallsOperator):
    """Delivers the calls that a query returns, one a row.

    The result is read with a server-side cursor where the database has one, and drained to disk before the
    first call is sent, so that the warehouse is not kept waiting for the endpoint.

    :param sql: one query, or the path of a ``.sql`` file (templated). Its transaction is rolled back: it cannot mark
        what it reads, and need not, as the ledger knows what was sent
    :param sql_conn_id: the connection of a database whose hook is a ``DbApiHook`` (templated)
    :param parameters: the query's parameters, in the driver's own style (templated)
    :param kwargs: every option of :class:`~airflow_provider_impactcall.operators.impactcall.DeliverCallsOperator`,
        and of Airflow's ``BaseOperator``
    """

    template_fields: Sequence[str] = ("sql", "sql_conn_id", "parameters", *DeliverCallsOperator.template_fields)
    template_fields_renderers: ClassVar[dict[str, str]] = {"sql": "sql", "parameters": "json"}
    template_ext: Sequence[str] = (".sql",)

    @names_options
    def __init__(
        self,
        *,
        sql: str,
        sql_conn_id: str,
        parameters: Mapping[str, Any] | Iterable[Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sql = sql
        self.sql_conn_id = sql_conn_id
        self.parameters = parameters

    def execute(self, context: Context) -> dict[str, int | float | str | None]:
        """Read the rows, then deliver them. See :meth:`DeliverCallsOperator.deliver` for the rest.

        :raises AirflowFailException: also if the query gives no rows, or two columns of one name
        """
        try:
            hook = sql_hook("sql_conn_id", self.sql_conn_id)
            with _drained(hook, self.sql, self.parameters) as rows:
                self.log.info("%d rows read", len(rows))
                return self.deliver(rows, context)
        except InvalidOption as error:
            raise AirflowFailException(str(error)) from None


@contextmanager
def _drained(hook: DbApiHook, sql: str, parameters: Any) -> Iterator[Spool]:
    with closing(hook.get_conn()) as connection, closing(_cursor(connection)) as cursor:
        # Not DbApiHook.run, which has the driver hold the whole result, and logs the parameters.
        cursor.execute(sql, parameters) if parameters else cursor.execute(sql)
        # psycopg2 knows the columns of a server-side cursor only once rows were fetched.
        rows = cursor.fetchmany(_ROWS_A_FETCH) if cursor.description is not None or _is_named(cursor) else []
        spool = Spool(_columns(cursor))
        while rows:
            spool.write(_values(row, spool.columns) for row in rows)
            rows = cursor.fetchmany(_ROWS_A_FETCH)
    with spool:
        yield spool


def _cursor(connection: Any) -> Any:
    """A cursor that leaves the result on the server, where the driver's own would hold all of it in memory."""
    match type(connection).__module__.partition(".")[0]:
        case "psycopg" | "psycopg2":
            return connection.cursor("airflow_provider_impactcall")
        case "MySQLdb":
            from MySQLdb.cursors import SSCursor

            return connection.cursor(SSCursor)
        case "pymysql":
            from pymysql.cursors import SSCursor

            return connection.cursor(SSCursor)
        case _:
            return connection.cursor()


def _is_named(cursor: Any) -> bool:
    return getattr(cursor, "name", None) is not None


def _columns(cursor: Any) -> list[str]:
    if cursor.description is None:
        raise InvalidOption("sql is no query: it returns no rows")
    columns = [column[0] for column in cursor.description]
    repeated = [name for name, count in Counter(columns).items() if count > 1]
    if repeated:
        raise InvalidOption(f"sql has two columns named {', '.join(map(repr, repeated))}; name them apart with AS")
    return columns


def _values(row: Any, columns: Sequence[str]) -> Sequence[Any]:
    # The connection's extra may ask for a dict cursor.
    return [row[column] for column in columns] if isinstance(row, Mapping) else row
