"""``@task.impactcall``: a function that returns calls."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from airflow.providers.common.compat.sdk import (
    Context,
    DecoratedOperator,
    TaskDecorator,
    determine_kwargs,
    task_decorator_factory,
)

from airflow_provider_impactcall.operators.impactcall import DeliverCallsOperator
from airflow_provider_impactcall.operators.redaction import Templates, redact, reveal
from airflow_provider_impactcall.operators.signature import names_options_of

if TYPE_CHECKING:
    from airflow_provider_impactcall.delivery.outcome import ReportValue


class ImpactCallDecoratedOperator(DecoratedOperator, DeliverCallsOperator):
    """Delivers the calls that a function returns.

    :param python_callable: returns rows: any iterable of dicts, or the path of a file, or paths among the rows, as
        :meth:`.ImpactCallHook.deliver` takes them
    :param op_args: the function's positional arguments (templated, and never shown)
    :param op_kwargs: the function's keyword arguments (templated, and never shown)
    :param kwargs: every option of :class:`~airflow_provider_impactcall.operators.impactcall.DeliverCallsOperator`,
        and of Airflow's ``BaseOperator``
    """

    template_fields: Sequence[str] = (*DecoratedOperator.template_fields, *DeliverCallsOperator.template_fields)
    custom_operator_name = "@task.impactcall"

    @names_options_of(DeliverCallsOperator)
    def __init__(self, *, python_callable: Callable[..., Any], **kwargs: Any) -> None:
        super().__init__(python_callable=python_callable, **kwargs)

    @property
    def op_args(self) -> list[Any]:
        """The positional arguments, each hidden unless it is a reference."""
        return self._op_args

    @op_args.setter
    def op_args(self, arguments: Collection[Any]) -> None:
        self._op_args = [redact(argument, Templates.ALL) for argument in arguments]

    @property
    def op_kwargs(self) -> dict[str, Any]:
        """The keyword arguments, each hidden unless it is a reference."""
        return self._op_kwargs

    @op_kwargs.setter
    def op_kwargs(self, arguments: Mapping[str, Any]) -> None:
        self._op_kwargs = {name: redact(argument, Templates.ALL) for name, argument in arguments.items()}

    def execute(self, context: Context) -> dict[str, ReportValue]:
        """Call the function, and deliver what it returns. See :meth:`DeliverCallsOperator.deliver`."""
        arguments = [reveal(argument) for argument in self.op_args]
        named = {name: reveal(argument) for name, argument in self.op_kwargs.items()}
        wanted = determine_kwargs(self.python_callable, arguments, ChainMap(named, cast("dict[str, Any]", context)))
        return self.deliver(self.python_callable(*arguments, **wanted), context)


def impactcall_task(python_callable: Callable[..., Any] | None = None, **kwargs: Any) -> TaskDecorator:
    """``@task.impactcall(**options)``: turns a function that returns rows into a task that delivers them.

    :param python_callable: the function
    :param kwargs: every option of :class:`ImpactCallDecoratedOperator`
    """
    return task_decorator_factory(
        python_callable=python_callable, decorated_operator_class=ImpactCallDecoratedOperator, **kwargs
    )
