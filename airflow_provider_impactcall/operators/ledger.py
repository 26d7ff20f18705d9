"""Tasks that work on the ledger after deliveries: adopt calls that were sent before, reconcile unknown calls, follow
delivered calls to their payout, purge old calls.

A person's decisions on single calls and rows are in :mod:`~airflow_provider_impactcall.operators.corrections`, and
exports are in :mod:`~airflow_provider_impactcall.operators.exports`.
:mod:`~airflow_provider_impactcall.operators.migration` brings the ledger of an earlier version up to this one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from airflow.providers.common.compat.sdk import AirflowFailException, Context

from airflow_provider_impactcall.defaults import DEFAULT_API_CONN_ID
from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.integration.options import RowOptions
from airflow_provider_impactcall.operators.correcting import CorrectLedgerOperator, as_airflow_says_it
from airflow_provider_impactcall.operators.corrections import (
    AcceptChangesOperator,
    DismissRowsOperator,
    RequeueCallsOperator,
    ResolveCallsOperator,
)
from airflow_provider_impactcall.operators.exports import ExportLedgerOperator
from airflow_provider_impactcall.operators.migration import MigrateLedgerOperator
from airflow_provider_impactcall.operators.query_parameters import QueryParameters, text_of_query, warn_of_phone_numbers
from airflow_provider_impactcall.operators.redaction import reveal
from airflow_provider_impactcall.operators.rendered import refuse_missing
from airflow_provider_impactcall.operators.signature import names_options_of

if TYPE_CHECKING:
    from airflow_provider_impactcall.delivery.ledger.edits import Author
    from airflow_provider_impactcall.hooks.ledger import ImpactCallLedgerHook
    from airflow_provider_impactcall.records.sources import Source

__all__ = [
    "AcceptChangesOperator",
    "AdoptCallsOperator",
    "CorrectFromSqlOperator",
    "CorrectLedgerOperator",
    "DismissRowsOperator",
    "ExportLedgerOperator",
    "FollowActionsOperator",
    "MigrateLedgerOperator",
    "PurgeLedgerOperator",
    "ReconcileCallsOperator",
    "RequeueCallsOperator",
    "ResolveCallsOperator",
]

log = logging.getLogger(__name__)

_T = TypeVar("_T")


class CorrectFromSqlOperator(QueryParameters, CorrectLedgerOperator):
    """The base of operators that need the calls themselves, which the ledger does not keep.

    :param sql: the query of the delivering task, for all calls of the time in question, or the path of a ``.sql`` file
        (templated)
    :param sql_conn_id: the connection of a database whose hook is a ``DbApiHook`` (templated)
    :param parameters: the query's parameters, in the driver's own style (templated)
    :param hook_params: as the delivering task has them (templated)
    :param mapping: as the delivering task has it
    :param constants: as the delivering task has it (templated)
    :param timezone: as the delivering task has it (templated)
    :param vendor: as the delivering task has it (templated)
    :param prefiltered: as the delivering task has it
    :param nulls: as the delivering task has it
    :param key: as the delivering task has it
    :param kwargs: every option of :class:`CorrectLedgerOperator`, and of Airflow's ``BaseOperator``
    """

    template_fields: Sequence[str] = (
        "sql",
        "sql_conn_id",
        "parameters",
        "hook_params",
        "constants",
        "timezone",
        "vendor",
        *CorrectLedgerOperator.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"sql": "sql", "parameters": "json"}
    template_ext: Sequence[str] = (".sql",)

    @names_options_of(CorrectLedgerOperator)
    def __init__(
        self,
        *,
        sql: str,
        sql_conn_id: str,
        parameters: Mapping[str, Any] | Iterable[Any] | None = None,
        hook_params: Mapping[str, Any] | None = None,
        mapping: Mapping[str, Source] | str | PathLike[str] | None = None,
        constants: Mapping[str, Any] | None = None,
        timezone: str | tzinfo | None = None,
        vendor: str | None = None,
        prefiltered: Collection[str] | None = None,
        nulls: Collection[str] | None = None,
        key: Sequence[str] = RowOptions.key,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sql = sql
        self.sql_conn_id = sql_conn_id
        warn_of_phone_numbers(parameters)
        self.parameters = parameters
        self.hook_params = hook_params
        self.mapping = mapping
        self.constants = constants
        self.timezone = timezone
        self.vendor = vendor
        self.prefiltered = prefiltered
        self.nulls = nulls
        self.key = key

    def correct_from_sql(
        self, context: Context, act: Callable[[ImpactCallLedgerHook, Any, Author, RowOptions], _T]
    ) -> _T:
        """Have the ledger corrected for the calls that the query returns.

        :param context: Airflow's, of the task
        :param act: a method of :class:`.ImpactCallLedgerHook` that takes rows, and the options as an object
        :raises AirflowFailException: as :meth:`correct` does
        :raises AirflowException: as :meth:`correct` does
        """

        def with_rows(hook: ImpactCallLedgerHook, author: Author) -> _T:
            from airflow_provider_impactcall.integration.sql import drained

            # Before the query, which may take long: a wrong option fails at once.
            refuse_missing(self, "vendor", "constants")
            options = RowOptions(
                mapping=self.mapping,
                constants=self.constants,
                timezone=self.timezone or None,
                vendor=self.vendor or None,
                prefiltered=self.prefiltered,
                nulls=self.nulls,
                key=self.key,
            )
            with drained(self.sql_conn_id, text_of_query(self.sql), reveal(self.parameters), self.hook_params) as rows:
                return act(hook, rows, author, options)

        return self.correct(context, with_rows)


class AdoptCallsOperator(CorrectFromSqlOperator):
    """Records as delivered the calls that another tool sent, for the day of the switch. Nothing is sent.

    Run it once over all calls that were sent before. Start to deliver only after that.
    """

    def execute(self, context: Context) -> dict[str, int]:
        """Adopt the calls.

        :return: ``rows``, and of them ``adopted``, ``already_delivered``, ``in_flight``, ``filtered`` and ``rejected``
        :raises AirflowFailException: also if rows are not valid calls, after all others were adopted
        """
        from airflow_provider_impactcall.hooks.ledger import ImpactCallLedgerHook

        adoption = self.correct_from_sql(context, ImpactCallLedgerHook.adopt_with).as_dict()
        log.info("Adopted: %s", adoption)
        if adoption["rejected"]:
            raise AirflowFailException(
                f"{adoption['rejected']} rows are not valid calls, and were not adopted: {adoption}"
            )
        return adoption


class ReconcileCallsOperator(CorrectFromSqlOperator):
    """Looks for calls of unknown fate among impact.com's actions, and records the calls found there as delivered.

    A call that is not among the actions may still have arrived: only a call that pays becomes an action.

    :param api_conn_id: a connection with the account's ordinary API credentials: login is the AccountSID, password the
        AuthToken, host empty for ``https://api.impact.com`` (templated)
    """

    template_fields: Sequence[str] = ("api_conn_id", *CorrectFromSqlOperator.template_fields)

    @names_options_of(CorrectFromSqlOperator)
    def __init__(
        self,
        *,
        api_conn_id: str = DEFAULT_API_CONN_ID,
        why: str = "found among impact.com's actions",
        **kwargs: Any,
    ) -> None:
        super().__init__(why=why, **kwargs)
        self.api_conn_id = api_conn_id

    def execute(self, context: Context) -> dict[str, int]:
        """Reconcile the calls.

        :return: ``rows``, ``filtered``, ``rejected``, and of calls ``unknown`` before, ``proven`` and ``ambiguous``
        """
        from airflow_provider_impactcall.hooks.ledger import ImpactCallLedgerHook

        reconcile = partial(ImpactCallLedgerHook.reconcile_with, api_conn_id=self.api_conn_id)
        reconciliation = self.correct_from_sql(context, reconcile).as_dict()
        log.info("Reconciled: %s", reconciliation)
        return reconciliation


class FollowActionsOperator(CorrectFromSqlOperator):
    """Looks for delivered calls among impact.com's actions, and keeps what became of each: pending, approved, cleared,
    reversed, or no action. Like :class:`ReconcileCallsOperator`, it also proves calls of unknown fate delivered.
    Nothing at impact.com is changed.

    Run it daily over the days whose calls may still become actions. Known actions of the same campaigns are brought up
    to date if they changed, whenever their calls took place.

    :param api_conn_id: as :class:`ReconcileCallsOperator` has it (templated)
    :param since: look for calls that took place at this time or later: a datetime or ISO 8601, in UTC if it has no
        offset; None for all calls of the query (templated)
    :param until: before this time, likewise (templated)
    :param keep_amounts: keep the payout, the amount and the currency of each action in the ledger too
    """

    template_fields: Sequence[str] = ("api_conn_id", "since", "until", *CorrectFromSqlOperator.template_fields)

    @names_options_of(CorrectFromSqlOperator)
    def __init__(
        self,
        *,
        api_conn_id: str = DEFAULT_API_CONN_ID,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        keep_amounts: bool = False,
        why: str = "followed to its payout",
        **kwargs: Any,
    ) -> None:
        super().__init__(why=why, **kwargs)
        self.api_conn_id = api_conn_id
        self.since = since
        self.until = until
        self.keep_amounts = keep_amounts

    def execute(self, context: Context) -> dict[str, int]:
        """Follow the calls.

        :return: ``rows``, ``filtered``, ``rejected``; of calls ``unknown`` before, ``proven``; of ``delivered`` calls
            ``pending``, ``approved``, ``cleared`` (of the approved ones), ``reversed``, ``other``, ``none`` and
            ``ambiguous``; and ``updated``, the number of other calls' known actions that changed
        """
        from airflow_provider_impactcall.integration.impact_actions import EventTime
        from airflow_provider_impactcall.integration.selections import moment_of

        with as_airflow_says_it():
            since = moment_of("since", self.since) if self.since else None
            until = moment_of("until", self.until) if self.until else None
            EventTime(since, until)  # Before the query, which may take long: wrong times fail at once.

        def follow(hook: ImpactCallLedgerHook, rows: Any, author: Author, options: RowOptions) -> dict[str, int]:
            return hook.follow_with(
                rows,
                author,
                options,
                api_conn_id=self.api_conn_id,
                since=since,
                until=until,
                keep_amounts=self.keep_amounts,
            ).as_dict()

        following = self.correct_from_sql(context, follow)
        log.info("Followed: %s", following)
        return following


class PurgeLedgerOperator(CorrectLedgerOperator):
    """Forgets calls that were settled long ago, with their history, and invalid rows that were read long ago. Calls of
    unknown fate are never forgotten.

    A delivered call that is forgotten and read again is sent again: keep calls for longer than any query reads back. A
    call of that age is kept if the ledger knows that it was read since: it came again with other content.

    :param older_than: a ``timedelta``, or days, by the clock of the ledger's database (templated)
    """

    template_fields: Sequence[str] = ("older_than", *CorrectLedgerOperator.template_fields)

    @names_options_of(CorrectLedgerOperator)
    def __init__(self, *, older_than: timedelta | float | str, why: str = "of that age", **kwargs: Any) -> None:
        super().__init__(why=why, **kwargs)
        self.older_than = older_than

    def execute(self, context: Context) -> dict[str, int]:
        """Purge the ledger.

        :return: how many calls were forgotten, by state, and ``runs``; if there were any, ``invalid`` rows that were
            forgotten, and calls of that age that were ``kept``
        """
        # Not at the top: every parse of a DAG file would wait for SQLAlchemy.
        from airflow_provider_impactcall.delivery.ledger.purge import purge, so_long_ago

        def forget(hook: ImpactCallLedgerHook, author: Author) -> dict[str, int]:
            age = _age(self.older_than)
            with hook.ledger() as ledger:
                return dict(purge(ledger, so_long_ago(ledger, age), author))

        purged = self.correct(context, forget)
        log.info("Purged: %s", purged)
        return purged


def _age(older_than: timedelta | float | str) -> timedelta:
    try:
        age = older_than if isinstance(older_than, timedelta) else timedelta(days=float(older_than))
    except (TypeError, ValueError, OverflowError):
        age = timedelta(0)
    if age <= timedelta(0):
        raise InvalidOption("older_than must be a timedelta or days, more than zero")
    return age
