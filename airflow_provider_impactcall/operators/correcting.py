"""The base of tasks that correct the delivery ledger: where the ledger is, who corrects it, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, BaseOperator, Context

from airflow_provider_impactcall.defaults import DEFAULT_CONN_ID
from airflow_provider_impactcall.exceptions import InvalidOption, LedgerUnfit, LedgerUnusable, ReadBackFailed
from airflow_provider_impactcall.operators.rendered import refuse_missing

if TYPE_CHECKING:
    from airflow_provider_impactcall.delivery.ledger.edits import Author
    from airflow_provider_impactcall.hooks.ledger import ImpactCallLedgerHook

_T = TypeVar("_T")


class CorrectLedgerOperator(BaseOperator):
    """The base of operators that correct the delivery ledger: where the ledger is, who corrects it, and why.

    :param why: the reason, kept with each change (templated)
    :param impactcall_conn_id: the connection that the calls were delivered with (templated)
    :param ledger_conn_id: as the delivering task has it (templated)
    :param ledger_namespace: as the delivering task has it (templated)
    :param actor: who made the change, as the ledger keeps it. If None or empty: the person who triggered the run, where
        Airflow names that person (3.1 and later), else the task (templated)
    """

    template_fields: Sequence[str] = ("why", "impactcall_conn_id", "ledger_conn_id", "ledger_namespace", "actor")

    def __init__(
        self,
        *,
        why: str,
        impactcall_conn_id: str = DEFAULT_CONN_ID,
        ledger_conn_id: str | None = None,
        ledger_namespace: str | None = None,
        actor: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.why = why
        self.impactcall_conn_id = impactcall_conn_id
        self.ledger_conn_id = ledger_conn_id
        self.ledger_namespace = ledger_namespace
        self.actor = actor

    def correct(self, context: Context, act: Callable[[ImpactCallLedgerHook, Author], _T]) -> _T:
        """Have the ledger corrected.

        :param context: Airflow's, of the task
        :raises AirflowFailException: an option or a connection is wrong, or a person has to migrate the ledger
        :raises AirflowException: the ledger or impact.com cannot be reached; what was changed before that is kept
        """
        with as_airflow_says_it():
            return act(self.hook(), self.author(context))

    def hook(self) -> ImpactCallLedgerHook:
        """The hook for the ledger that the options name.

        :raises InvalidOption: if a template found no value for ``ledger_namespace``
        """
        refuse_missing(self, "ledger_namespace")
        # Not at the top: every parse of a DAG file would pay for it.
        from airflow_provider_impactcall.hooks.ledger import ImpactCallLedgerHook

        return ImpactCallLedgerHook(self.impactcall_conn_id, self.ledger_conn_id or None, self.ledger_namespace or None)

    def author(self, context: Context) -> Author:
        """Who corrects the ledger, and why.

        :param context: Airflow's, of the task
        :raises InvalidOption: if ``why`` or ``actor`` is blank or too long
        """
        from airflow_provider_impactcall.delivery.ledger.edits import Author
        from airflow_provider_impactcall.delivery.ledger.schema import LONGEST_ACTOR
        from airflow_provider_impactcall.integration.source import source

        task = source()
        return Author(self.actor or (_person(context) or task)[:LONGEST_ACTOR], self.why, task)


@contextmanager
def as_airflow_says_it() -> Iterator[None]:
    """Within this context, errors are raised so that Airflow retries only where a retry may help.

    :raises AirflowFailException: for an error that a person has to correct
    :raises AirflowException: if something cannot be reached
    """
    try:
        yield
    except (InvalidOption, LedgerUnfit) as error:
        raise AirflowFailException(str(error)) from None
    except (LedgerUnusable, ReadBackFailed) as error:
        raise AirflowException(str(error)) from None


def _person(context: Context) -> str | None:
    """The person who triggered the run, if any; Airflow before 3.1 does not say."""
    return getattr(context.get("dag_run"), "triggering_user_name", None)
