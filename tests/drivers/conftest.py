from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_impactcall.transfers.sql_to_impactcall import SqlToImpactCallOperator
from tests import examples, lanes
from tests.delivery.canary import no_canary_in_logs
from tests.servers import mariadb

__all__ = ["no_canary_in_logs"]

pytest_itemcollected = lanes.long

CALL = {name: str(value) for name, value in examples.call("A-1").items()} | {"day": "2026-09-10"}
"""A row of the table ``calls`` of a warehouse."""

Statements = list[str]
Deliver = Callable[..., dict[str, Any]]


def statements(quote: str, kind: str) -> Statements:
    """The statements that make a table ``calls`` of one call.

    :param quote: the quote around names
    :param kind: the type of the table's columns
    """
    columns = ", ".join(f"{quote}{name}{quote} {kind}" for name in CALL)
    values = ", ".join(f"'{value}'" for value in CALL.values())
    return [f"CREATE TABLE calls ({columns})", f"INSERT INTO calls VALUES ({values})"]


@pytest.fixture
def deliver() -> Deliver:
    """Delivers the calls of a query on the connection ``warehouse``."""

    def delivered(sql: str, parameters: Any = None, **options: Any) -> dict[str, Any]:
        operator = SqlToImpactCallOperator(
            task_id="t", sql=sql, sql_conn_id="warehouse", parameters=parameters, **options
        )
        return operator.execute({})

    return delivered


@pytest.fixture(scope="session")
def in_clear() -> Iterator[int]:
    """A MariaDB server without TLS, by its port."""
    with mariadb("--skip-ssl") as port:
        yield port
