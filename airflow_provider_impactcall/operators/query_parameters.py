"""The parameters of an operator's query: a value that looks like a phone number is not shown."""

from __future__ import annotations

import logging
from typing import Any

from airflow_provider_impactcall.exceptions import InvalidOption
from airflow_provider_impactcall.operators.redaction import HiddenFields, redact_phone_numbers
from airflow_provider_impactcall.phone_like import names_of_phone_numbers

log = logging.getLogger(__name__)


class QueryParameters(HiddenFields):
    """An operator whose field ``parameters`` Airflow renders, stores and shows."""

    _parameters: Any = None

    @property
    def parameters(self) -> Any:
        """The query's parameters; those that look like phone numbers are hidden."""
        return self._parameters

    @parameters.setter
    def parameters(self, parameters: Any) -> None:
        self._parameters = redact_phone_numbers(parameters)


def text_of_query(sql: Any) -> str:
    """The query of an operator.

    :raises InvalidOption: if it is not text, such as a list of queries
    """
    if not isinstance(sql, str):
        raise InvalidOption(f"sql must be one query as text, and is {type(sql).__name__}")
    return sql


def warn_of_phone_numbers(parameters: Any) -> None:
    """Log the names of parameters that look like phone numbers."""
    for name in names_of_phone_numbers(parameters):
        log.warning(
            "parameters: %r looks like a phone number. It stands in the DAG's code, for all who may read that; "
            "select the calls by something else",
            name,
        )
