"""What OpenLineage is told about a delivery: tables as inputs, campaigns at impact.com as outputs, and the counts.

OpenLineage's provider is optional: it is imported only within functions, and without it nothing is told. Of a call's
values, only the campaign's id is told. A query whose text may quote a value is left out.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from airflow_provider_impactcall.delivery.dry_run.report import DryRunReport
from airflow_provider_impactcall.delivery.items import Call, Item, Listener
from airflow_provider_impactcall.delivery.outcome import DeliveryReport, Outcome, RowOutcome
from airflow_provider_impactcall.integration.connection import account, connection_of
from airflow_provider_impactcall.integration.driver_errors import may_quote_a_value
from airflow_provider_impactcall.integration.sql_hooks import hook_of

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage

log = logging.getLogger(__name__)

RUN_FACET = "impactcall_delivery"
"""The run facet with the report's counts."""
ALL_CALLS = "calls"
"""The name of an endpoint's dataset if no campaign is known, as for an asset without a path."""
MOST_CAMPAIGNS = 100
"""An input with more campaigns is told as one dataset, with all calls of its endpoint."""

# Query parameters in the style of PostgreSQL and MySQL. OpenLineage's parser reads them in no dialect; it reads
# SQLite's style in every dialect.
_PARAMETER = re.compile(r"%(?:\((\w+)\))?s")
_TEXT_OR_NUMBER = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\b[0-9]{7,}\b""")


class Delivered:
    """What a task keeps of its delivery for OpenLineage, which asks when the task has ended.

    :ivar reports: the reports of what was delivered; empty if the task failed before that
    :ivar campaigns: how many calls the last run delivered, by campaign, including campaigns with none
    """

    def __init__(self) -> None:
        self.reports: list[DeliveryReport] = []
        self.campaigns: Counter[str] = Counter()

    @property
    def listener(self) -> Listener | None:
        """Takes note of how each row ends; None without OpenLineage's provider, to save the time for each row."""
        return self.settled if find_spec("airflow.providers.openlineage") is not None else None

    def settled(self, row: Item, outcome: Outcome) -> None:
        """Take note of how a row ended."""
        if isinstance(row, Call) and len(self.campaigns) <= MOST_CAMPAIGNS:
            self.campaigns[row.record.sent["CampaignId"]] += outcome.state is RowOutcome.DELIVERED


def of_delivery(
    impactcall_conn_id: str,
    delivered: Delivered,
    constants: Mapping[str, Any] | None = None,
    *,
    inlets: Iterable[Any] = (),
    outlets: Iterable[Any] = (),
) -> OperatorLineage | None:
    """The lineage of a delivery; None without OpenLineage's provider.

    :param constants: the option; its campaign is told if no call was read
    :param inlets: the task's own; OpenLineage leaves them out if an operator reports lineage itself
    :param outlets: likewise
    """
    try:
        from airflow.providers.openlineage.extractors import OperatorLineage
        from airflow.providers.openlineage.extractors.manager import ExtractorManager
        from openlineage.client.facet_v2 import RunFacet
    except ImportError:
        return None
    report = delivered.reports[-1] if delivered.reports else None
    outputs = [] if isinstance(report, DryRunReport) else _campaigns(impactcall_conn_id, delivered, constants)
    facets = {}
    if report is not None:
        facets[RUN_FACET] = RunFacet().with_additional_properties(**report.counts(), seconds=report.seconds)
    known = {(each.namespace, each.name) for each in outputs}
    sources, targets = (
        [dataset for each in assets if (dataset := ExtractorManager.convert_to_ol_dataset(each)) is not None]
        for assets in (inlets, outlets)
    )
    outputs += [each for each in targets if (each.namespace, each.name) not in known]
    return OperatorLineage(inputs=sources, outputs=outputs, run_facets=facets)


def with_tables(
    lineage: OperatorLineage | None, sql_conn_id: str, sql: str, hook_params: Mapping[str, Any] | None = None
) -> OperatorLineage | None:
    """The lineage, with the tables that a query reads.

    :param lineage: what is told beside the tables
    :param sql_conn_id: the connection. Where its hook does not say what OpenLineage calls its database, the namespace
        is the type of the connection and its id, as in ``sqlite://warehouse``
    :param sql: the query
    :param hook_params: as for :func:`.hook_of`
    """
    if lineage is None:
        return None
    try:
        _add_tables(lineage, sql_conn_id, sql, hook_params)
    except Exception as error:
        # Each database and driver has errors of its own; their text may hold anything.
        log.info("OpenLineage is not told which tables the query reads (%s)", type(error).__name__)
    return lineage


def _campaigns(conn_id: str, delivered: Delivered, constants: Mapping[str, Any] | None) -> list[Any]:
    """A dataset for each campaign that calls went to."""
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics

    try:
        to = account(connection_of(conn_id))
    except Exception as error:
        log.info("OpenLineage is not told where calls go (%s)", type(error).__name__)
        return []
    rows: Mapping[Any, int] = delivered.campaigns
    if len(rows) > MOST_CAMPAIGNS:
        rows = {ALL_CALLS: delivered.reports[-1].delivered if delivered.reports else 0}
    elif len(rows) == 1 and delivered.reports:
        # After a wait, the report also counts what the runs before it delivered.
        rows = dict.fromkeys(rows, delivered.reports[-1].delivered)
    elif not rows:
        constant = constants.get("CampaignId") if isinstance(constants, Mapping) else None
        rows = {constant or to.extra.campaign_id or ALL_CALLS: 0}
    return [
        OutputDataset(
            namespace=to.endpoint.origin,
            name=str(campaign),
            outputFacets={"outputStatistics": statistics.OutputStatisticsOutputDatasetFacet(rowCount=count)},
        )
        for campaign, count in rows.items()
    ]


def _add_tables(lineage: OperatorLineage, sql_conn_id: str, sql: str, hook_params: Mapping[str, Any] | None) -> None:
    from airflow.providers.openlineage.sqlparser import SQLParser
    from airflow.providers.openlineage.utils.utils import should_use_external_connection
    from openlineage.client.event_v2 import Dataset
    from openlineage.client.facet_v2 import sql_job

    connection = connection_of(sql_conn_id)
    hook: Any = hook_of("sql_conn_id", connection, hook_params)
    is_shown = not may_quote_a_value(sql)
    if is_shown:
        lineage.job_facets["sql"] = sql_job.SQLJobFacet(query=SQLParser.normalize_sql(sql))
    legible = _legible(sql)
    database = None
    with suppress(AttributeError):
        # A custom hook may lack this method, which Airflow's hooks have.
        database = hook.get_openlineage_database_info(connection)
    if database is None:
        parsed = SQLParser("generic").parse(SQLParser.split_sql_string(legible))
        namespace = f"{connection.conn_type}://{sql_conn_id}"
        names = sorted(table.qualified_name for table in parsed.in_tables) if parsed is not None else []
        lineage.inputs += [Dataset(namespace=namespace, name=name) for name in names]
        return
    parser = SQLParser(hook.get_openlineage_database_dialect(connection), hook.get_openlineage_default_schema())
    found = parser.generate_openlineage_metadata_from_sql(
        sql=legible,
        hook=hook,
        database_info=database,
        sqlalchemy_engine=hook.get_sqlalchemy_engine(),
        use_connection=should_use_external_connection(hook),
    )
    lineage.inputs += found.inputs
    if is_shown:
        # For a query that the parser cannot read, these facets hold the query's text.
        lineage.run_facets.update(found.run_facets)


def _legible(sql: str) -> str:
    """A query as the parser can read it, without texts and numbers that may be a call's value: the parser logs it at
    DEBUG.
    """
    text = _TEXT_OR_NUMBER.sub(lambda found: "0" if may_quote_a_value(found[0]) else found[0], sql)
    return _PARAMETER.sub(lambda found: f":{found[1] or 'value'}", text)
