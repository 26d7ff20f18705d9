"""Migrates a ledger of an earlier version with a task, where there is no shell for the command."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException, BaseOperator, Context

from airflow_provider_impactcall.operators.correcting import as_airflow_says_it

log = logging.getLogger(__name__)


class MigrateLedgerOperator(BaseOperator):
    """Does what ``impactcall ledger migrate`` does. Run it once after an update; deliveries may run meanwhile.

    :param ledger_conn_id: as the delivering tasks have it; ``[impactcall] ledger_conn_id`` if None (templated)
    """

    template_fields: Sequence[str] = ("ledger_conn_id",)

    def __init__(self, *, ledger_conn_id: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ledger_conn_id = ledger_conn_id

    def execute(self, context: Context) -> dict[str, list[str]]:
        """Migrate the ledger.

        :return: names of the ``migrations`` that were applied, the ``indexes`` that were built, the migrations still
            ``pending``, and the indexes still ``missing``
        :raises AirflowFailException: there is no such ledger, or a newer version of this package made it
        :raises AirflowException: the ledger cannot be reached or changed, or indexes are still missing because
            deliveries are running: the next try continues where this one stopped
        """
        # Not at the top: every parse of a DAG file would pay for it.
        from airflow_provider_impactcall.integration.ledger import migrate_ledger

        with as_airflow_says_it():
            came_to = migrate_ledger(self.ledger_conn_id or None)
        log.info("Migrated: %s", came_to)
        if came_to.missing:
            raise AirflowException(
                "indexes are still missing, as deliveries are under way, another process builds them, or the database "
                "refused: the next try builds them"
            )
        return {name: list(names) for name, names in asdict(came_to).items()}
