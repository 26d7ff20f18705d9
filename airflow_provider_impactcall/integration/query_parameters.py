"""How each database's driver wants query parameters written, and the message if they are written in another style."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from airflow_provider_impactcall.exceptions import InvalidOption


class Style(NamedTuple):
    """How a database's driver, as Airflow's hook opens it, wants a parameter written.

    :param database: its name
    :param named: a parameter of a dict, with ``day`` as its name; None if the driver takes no dict
    :param positional: a parameter of a list; None if the driver takes no list
    """

    database: str
    named: str | None
    positional: str | None


_OF_FORMAT = ("%(day)s", "%s")
_POSTGRESQL = Style("PostgreSQL", *_OF_FORMAT)
_MYSQL = Style("MySQL", *_OF_FORMAT)
STYLES = {
    "sqlite3": Style("SQLite", ":day", "?"),
    "psycopg": _POSTGRESQL,
    "psycopg2": _POSTGRESQL,
    "MySQLdb": _MYSQL,
    "pymysql": _MYSQL,
    "mysql": _MYSQL,
    "snowflake": Style("Snowflake", *_OF_FORMAT),
    "airflow.providers.google": Style("BigQuery", "%(day)s", None),
    "duckdb": Style("DuckDB", "$day", "?"),
    "_duckdb": Style("DuckDB", "$day", "?"),
    "trino": Style("Trino", None, "?"),
    "databricks": Style("Databricks", ":day", "?"),
}
"""By the module of a DB-API connection's class, or the first part of the module's name."""

_NAMED = {
    ":day": r"(?<![:\w]):{}\b",
    "%(day)s": r"%\({}\)s",
    "$day": r"\${}\b",
    "@day": r"@{}\b",
    "{{day}}": r"\{{\{{\s*{}\s*\}}\}}",
}
_POSITIONAL = {"?": r"\?", "%s": r"%s", "$1": r"\$1\b", ":1": r"(?<![:\w]):1\b"}
# A driver of this style reads a literal percent sign as the beginning of a parameter.
_LONE_PERCENT = re.compile(r"(?<!%)(?:%%)*%(?![%(sbt])")


def style_of(connection: Any) -> Style | None:
    """The style of a connection's driver; None if the driver is not in :data:`STYLES`."""
    module = type(connection).__module__
    return next((style for name, style in STYLES.items() if f"{module}.".startswith(f"{name}.")), None)


@contextmanager
def parameters_explained(connection: Any, sql: str, parameters: Any) -> Iterator[None]:
    """Within this context, a query whose parameters are in another driver's style fails with the name of the right
    style.

    :raises InvalidOption: in place of the driver's or the server's error: each retry would fail again
    """
    try:
        yield
    except Exception:
        problem = _misfit(style_of(connection), sql, parameters) if parameters else None
        if problem is None:
            raise
        raise InvalidOption(f"parameters: {problem}") from None


def _misfit(style: Style | None, sql: str, parameters: Any) -> str | None:
    if style is None:
        return None
    if _OF_FORMAT[0] == style.named and _LONE_PERCENT.search(sql):
        return f"in a query with parameters, {style.database} needs a literal percent sign written as %%"
    if isinstance(parameters, Mapping):
        return _misnamed(style, sql, [name for name in parameters if isinstance(name, str)])
    return _misplaced(style, sql)


def _misnamed(style: Style, sql: str, names: list[str]) -> str | None:
    if style.named is None:
        return f"{style.database} takes a list of them, and has each written as {style.positional}, in their order"
    for name in names:
        for other, pattern in _NAMED.items():
            if other != style.named and re.search(pattern.format(re.escape(name)), sql):
                right, wrong = (each.replace("day", name) for each in (style.named, other))
                return f"{style.database} has a parameter written as {right}, and the query has {wrong}"
    return None


def _misplaced(style: Style, sql: str) -> str | None:
    if style.positional is None:
        return f"{style.database} takes a dict of them, and has each written by its name, as {style.named}"
    if re.search(_POSITIONAL[style.positional], sql):
        return None
    for other, pattern in _POSITIONAL.items():
        if re.search(pattern, sql):
            return f"{style.database} has the parameters of a list written as {style.positional}, and not as {other}"
    return None
