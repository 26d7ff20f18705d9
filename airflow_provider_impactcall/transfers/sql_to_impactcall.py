"""Delivers the calls that a warehouse query returns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowFailException, Context

from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.operators.impactcall import DeliverCallsOperator
from airflow_provider_impactcall.operators.query_parameters import QueryParameters, text_of_query, warn_of_phone_numbers
from airflow_provider_impactcall.operators.redaction import reveal
from airflow_provider_impactcall.operators.signature import names_options_of

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

    from airflow_provider_impactcall.delivery.outcome import ReportValue


class SqlToImpactCallOperator(QueryParameters, DeliverCallsOperator):
    """Delivers the calls that a query returns, one call a row.

    The result is read with a server-side cursor where the database has one. It is spooled to disk before the first call
    is sent, so that the warehouse does not wait for the endpoint.

    :param sql: one query, or the path of a ``.sql`` file (templated). The query need not mark the rows that it reads:
        the ledger knows what was sent. It also cannot change rows where the hook can turn autocommit off: its
        transaction is rolled back
    :param sql_conn_id: the connection of a database whose hook is a ``DbApiHook``, or a connection to Databricks or
        Google Cloud (BigQuery), of which the SQL hook is used (templated)
    :param parameters: the query's parameters, in the driver's own style: a dict for ``%(day)s`` of PostgreSQL, MySQL,
        Snowflake and BigQuery, ``:day`` of SQLite and Databricks, ``$day`` of DuckDB; a list for ``?`` of Trino
        (templated). A parameter that looks like a phone number is never shown, and logs a warning, as it is in the
        DAG's code; days and times are shown
    :param hook_params: further parameters of the hook's constructor, as Airflow's own SQL operators have them
        (templated)
    :param kwargs: every option of :class:`~airflow_provider_impactcall.operators.impactcall.DeliverCallsOperator`,
        and of Airflow's ``BaseOperator``
    """

    template_fields: Sequence[str] = (
        *("sql", "sql_conn_id", "parameters", "hook_params"),
        *DeliverCallsOperator.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"sql": "sql", "parameters": "json"}
    template_ext: Sequence[str] = (".sql",)

    @names_options_of(DeliverCallsOperator)
    def __init__(
        self,
        *,
        sql: str,
        sql_conn_id: str,
        parameters: Mapping[str, Any] | Iterable[Any] | None = None,
        hook_params: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sql = sql
        self.sql_conn_id = sql_conn_id
        warn_of_phone_numbers(parameters)
        self.parameters = parameters
        self.hook_params = hook_params

    def execute(self, context: Context) -> dict[str, ReportValue]:
        """Read the rows, then deliver them. See :meth:`DeliverCallsOperator.deliver` for the rest.

        :raises AirflowFailException: also if the query does not return rows, or returns two columns of one name
        """
        from airflow_provider_impactcall.integration.sql import drained

        try:
            with drained(self.sql_conn_id, text_of_query(self.sql), reveal(self.parameters), self.hook_params) as rows:
                return self.deliver(rows, context)
        except InvalidOption as error:
            raise AirflowFailException(str(error)) from None

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage | None:
        """As for every operator, with the tables of the query.

        :param task_instance: likewise
        """
        from airflow_provider_impactcall.integration.lineage import with_tables

        told = super().get_openlineage_facets_on_complete(task_instance)
        return with_tables(told, self.sql_conn_id, self.sql, self.hook_params)
