"""A SQL connection's hook, for what reads a warehouse and for what keeps the ledger."""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.sdk import BaseHook
from airflow.providers.common.sql.hooks.sql import DbApiHook

from airflow_provider_impactcall.exceptions import InvalidOption


def sql_hook(option: str, conn_id: str) -> DbApiHook:
    """The hook of a SQL connection.

    :param option: the option that names the connection, for the message
    :raises InvalidOption: if it is one of something else
    """
    connection: Any = BaseHook.get_connection(conn_id)
    hook = connection.get_hook()
    if not isinstance(hook, DbApiHook):
        raise InvalidOption(f"{option}: the connection {conn_id!r} is none of a SQL database")
    return hook
