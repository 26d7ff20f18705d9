"""Exports the ledger's calls for analysts: to a table of the warehouse, or to a file."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperator, Context

from airflow_provider_impactcall.defaults import DEFAULT_CONN_ID
from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.operators.correcting import as_airflow_says_it
from airflow_provider_impactcall.operators.rendered import refuse_missing

if TYPE_CHECKING:
    from airflow_provider_impactcall.delivery.ledger.selection import Selection
    from airflow_provider_impactcall.delivery.ledger.store import Ledger
    from airflow_provider_impactcall.integration.selections import Several

log = logging.getLogger(__name__)


class ExportLedgerOperator(BaseOperator):
    """Writes what became of calls to a table or to a file. The ledger stays as it is.

    A **table** is made if it is missing, and written by key. Each run writes the calls that were updated since the
    newest moment that the table has of the namespace (``updated_at``). It writes the oldest first, page by page: after
    an interruption, the next run continues where this one stopped. A table has only calls, without the rows that were
    rejected here (*invalid*). Ledgers may share a table only if their namespaces differ: by default, all that send to
    impact.com have the same namespace.

    A **file** is written anew each time, with everything that is selected. The file is complete or absent.

    :param sql_conn_id: the connection of a database whose hook is a ``DbApiHook`` with a SQLAlchemy engine (templated)
    :param hook_params: further parameters of the hook's constructor, as Airflow's own SQL operators have them
        (templated)
    :param table: ``table`` or ``schema.table`` in this database (templated)
    :param path: or a file, local or any ``ObjectStoragePath``: CSV, JSON Lines or Parquet if it ends in ``.csv``,
        ``.jsonl`` or ``.ndjson``, ``.parquet`` (templated)
    :param state: one or several of the states that ``impactcall list`` takes: a list, or a text of several, separated
        by commas or line breaks; None for all. In a table, a call that was written once is kept up to date in any state
        (templated)
    :param since: only what changed at this time or later: a datetime or ISO 8601, in UTC if it has no offset. For a
        table, it replaces the newest moment that the table has (templated)
    :param until: only what changed before this time, likewise (templated)
    :param impactcall_conn_id: the connection that the calls were delivered with (templated)
    :param ledger_conn_id: as the delivering task has it (templated)
    :param ledger_namespace: as the delivering task has it (templated)
    """

    template_fields: Sequence[str] = (
        *("sql_conn_id", "hook_params", "table", "path", "state", "since", "until"),
        *("impactcall_conn_id", "ledger_conn_id", "ledger_namespace"),
    )

    def __init__(
        self,
        *,
        sql_conn_id: str | None = None,
        hook_params: Mapping[str, Any] | None = None,
        table: str | None = None,
        path: str | None = None,
        state: Several = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        impactcall_conn_id: str = DEFAULT_CONN_ID,
        ledger_conn_id: str | None = None,
        ledger_namespace: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sql_conn_id = sql_conn_id
        self.hook_params = hook_params
        self.table = table
        self.path = path
        self.state = state
        self.since = since
        self.until = until
        self.impactcall_conn_id = impactcall_conn_id
        self.ledger_conn_id = ledger_conn_id
        self.ledger_namespace = ledger_namespace

    def execute(self, context: Context) -> dict[str, int]:
        """Export the calls.

        :return: ``exported``, and how many of them by state, including ``invalid``; and ``changed``, delivered calls
            that came again with other content. For a table, only what this run wrote
        :raises AirflowFailException: an option or a connection is wrong, the table lacks columns, or a person has to
            migrate the ledger
        :raises AirflowException: the ledger, the table's database or the object store cannot be reached; the pages that
            were written before that are kept
        """
        # Not at the top: every parse of a DAG file would pay for them.
        from airflow_provider_impactcall.delivery.ledger.selection import CHANGED, INVALID, STATES
        from airflow_provider_impactcall.hooks.ledger import ImpactCallLedgerHook

        at = (self.impactcall_conn_id, self.ledger_conn_id or None, self.ledger_namespace or None)
        with as_airflow_says_it():
            refuse_missing(self, "ledger_namespace")
            selection = self._selection()
            with ImpactCallLedgerHook(*at).ledger() as ledger:
                counts = self._into_file(ledger, selection) if self.path else self._into_table(ledger, selection)
        by_state = {state: counts[state] for state in (*STATES, INVALID)}
        exported = {"exported": sum(by_state.values()), **by_state, CHANGED: counts[CHANGED]}
        log.info("Exported: %s", exported)
        return exported

    def _selection(self) -> Selection:
        from airflow_provider_impactcall.delivery.ledger.selection import INVALID, Selection
        from airflow_provider_impactcall.integration.selections import selection_of

        if bool(self.path) == bool(self.table) or bool(self.table) != bool(self.sql_conn_id):
            raise InvalidOption("give either sql_conn_id and table, or path")
        if not any((self.state, self.since, self.until)):
            return Selection()
        selection = selection_of(state=self.state, since=self.since, until=self.until)
        if self.table and INVALID in selection.states:
            raise InvalidOption("state: a table has calls only, and rows that are invalid are not calls; give a path")
        return selection

    def _into_file(self, ledger: Ledger, selection: Selection) -> Counter[str]:
        from airflow_provider_impactcall.delivery.ledger.listing import Listing
        from airflow_provider_impactcall.integration.export_files import write_file

        counts: Counter[str] = Counter()
        write_file(str(self.path), _counted(Listing(ledger).each(selection), counts))
        return counts

    def _into_table(self, ledger: Ledger, selection: Selection) -> Counter[str]:
        from airflow_provider_impactcall.integration.calls_table import calls_table
        from airflow_provider_impactcall.integration.exports import TableExport

        with calls_table(str(self.sql_conn_id), str(self.table), self.hook_params) as table:
            export = TableExport(ledger, table, selection.states)
            try:
                export.run(selection.since, selection.until)
            except BaseException:
                log.info("Exported before it was interrupted: %s", dict(export.counts))
                raise
        return export.counts


def _counted(rows: Iterable[Mapping[str, Any]], counts: Counter[str]) -> Iterator[Mapping[str, Any]]:
    for row in rows:
        counts[row["state"]] += 1
        counts["changed"] += row.get("came_again_at") is not None
        yield row
