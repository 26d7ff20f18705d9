"""The hook of a SQL connection, for reading a warehouse and for the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException, BaseHook
from airflow.providers.common.sql.hooks.sql import DbApiHook

from airflow_provider_impactcall.exceptions import InvalidOption

# For these connection types, Airflow's default hook is not the SQL hook.
_OF_SQL = {
    "databricks": ("airflow.providers.databricks.hooks.databricks_sql", "DatabricksSqlHook"),
    "google_cloud_platform": ("airflow.providers.google.cloud.hooks.bigquery", "BigQueryHook"),
}


def sql_hook(option: str, conn_id: str, hook_params: Mapping[str, Any] | None = None) -> DbApiHook:
    """The hook of a SQL connection.

    :param option: the option that names the connection, for the message
    :param hook_params: further parameters of the hook's constructor, as Airflow's own SQL operators have them
    :raises InvalidOption: if it is not a SQL connection, or its hook does not take the parameters
    """
    return hook_of(option, BaseHook.get_connection(conn_id), hook_params)


def hook_of(option: str, connection: Any, hook_params: Mapping[str, Any] | None = None) -> DbApiHook:
    """The hook of a connection that was read already. See :func:`sql_hook`."""
    if not isinstance(hook_params, (Mapping, type(None))):
        raise InvalidOption("hook_params must be a dict of parameters of the connection's hook")
    named = f"the connection {connection.conn_id!r}"
    params = dict(hook_params or {})
    try:
        hook = _constructed(connection, params)
    except TypeError as error:
        if not params:
            raise
        names = ", ".join(map(repr, params))
        raise InvalidOption(f"hook_params: the hook of {named} does not take all of {names} ({error})") from None
    except (AirflowException, ImportError, AttributeError) as error:
        raise InvalidOption(
            f"{option}: {named} is of the type {connection.conn_type!r}, whose hook is not found "
            f"({type(error).__name__}); is the provider of its database installed?"
        ) from None
    if not isinstance(hook, DbApiHook):
        raise InvalidOption(f"{option}: {named} is not a SQL database connection")
    return hook


def _constructed(connection: Any, params: dict[str, Any]) -> Any:
    if connection.conn_type not in _OF_SQL:
        return connection.get_hook(hook_params=params)
    module, name = _OF_SQL[connection.conn_type]
    hook: Any = getattr(import_module(module), name)
    return hook(**{hook.conn_name_attr: connection.conn_id}, **params)
