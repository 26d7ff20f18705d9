"""What the text of a driver's error may show. Databases quote the values at which they fail."""

from __future__ import annotations

import re

from airflow_provider_impactcall.integration.drivers import number_of_mysql
from airflow_provider_impactcall.phone_like import holds_phone_number

# DB-API 2.0's errors about values. In the text of any other error, such as an unknown column, a phone number or a URL
# is a value.
_OF_VALUES = frozenset({"DataError", "IntegrityError", "InternalError"})
# DuckDB's errors about a query's text. It has no SQLSTATE, and its errors about values are ProgrammingErrors too.
_OF_NO_VALUE = frozenset({"BinderException", "CatalogException", "ParserException", "SyntaxException"})
# The classes of SQLSTATE about a query's text, rights, or the server itself. Any other error may be about a value,
# whatever its class: Snowflake raises a ProgrammingError for 22, and so does psycopg for a function's own error, P0.
_STATES_OF_NO_VALUE = (
    "02",
    "08",
    "0A",
    "21",
    "25",
    "26",
    "28",
    "34",
    "3D",
    "3F",
    "40",
    "42",
    "53",
    "54",
    "55",
    "57",
    "58",
    "HV",
)
# MySQL's error numbers about the same. A stored function's error is an OperationalError, and can come before any row.
_NUMBERS_OF_NO_VALUE = frozenset(
    {
        *(1040, 1041, 1044, 1045, 1046, 1049, 1052, 1053, 1054, 1055, 1064, 1065, 1066, 1109, 1111, 1140, 1142, 1143),
        *(1146, 1149, 1176, 1205, 1213, 1221, 1222, 1227, 1235, 1241, 1242, 1247, 1248, 1267, 1271, 1305, 1317, 1318),
        *(1356, 1370, 1582, 1583, 1584, 1630, 1969, 3024),
    }
)
_OF_MYSQLS_CLIENT = range(2000, 3000)
# Digits that are not a value: the prefix of each message of Connector/Python, and of Snowflake's driver.
_NO_VALUE = re.compile(r"^[0-9]{4,6} \([0-9A-Z]{5}\): ")
# Where a driver may begin to quote: SQLite's "JSON path error near 'x'" and "no such column: x".
_QUOTE = re.compile(r"""['"`\[({<:=\u00ab\u2018-\u201f]""")
# SQLite's own words behind a quote, as in 'near "x": syntax error' and "ambiguous column name: main.calls.id".
_OWN_WORDS = frozenset({"syntax", "error", "main"})


def may_quote_a_value(text: str) -> bool:
    """Whether a query's text, or an error about it, has what may be a phone number or a URL."""
    return "://" in text or holds_phone_number(_NO_VALUE.sub("", text))


def is_of_a_value(error: Exception) -> bool:
    """Whether an error of a query that has given no row yet is about a value, by its class or its code."""
    if any(kind.__name__ in _OF_VALUES for kind in type(error).__mro__):
        return True
    return _is_of_the_query(error) is False


def may_be_shown(error: Exception, sql: str) -> bool:
    """Whether the text of an error that is not known to be about a value can be shown.

    Without a code that says what it is about, each word from the first quote or colon on must be a word of the query.
    """
    text = str(error)
    if may_quote_a_value(text):
        return False
    return _is_of_the_query(error) is True or _quotes_only(text, sql)


def _is_of_the_query(error: Exception) -> bool | None:
    """Whether an error is about a query's text, rights, or the server itself; None if neither class nor code says."""
    number = number_of_mysql(error)
    if number is not None:
        return number in _NUMBERS_OF_NO_VALUE or number in _OF_MYSQLS_CLIENT
    # psycopg 2 calls it pgcode, psycopg 3 and Snowflake's driver sqlstate.
    state = getattr(error, "pgcode", None) or getattr(error, "sqlstate", None)
    if type(error).__module__ == "pyodbc" and error.args:
        state = error.args[0]
    if isinstance(state, str) and len(state) == 5:
        return state.startswith(_STATES_OF_NO_VALUE)
    return True if type(error).__name__ in _OF_NO_VALUE else None


def _quotes_only(text: str, sql: str) -> bool:
    """Whether all that a text may quote are words of a query."""
    quote = _QUOTE.search(text)
    return quote is None or _words(text[quote.start() :]) <= _words(sql) | _OWN_WORDS


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.casefold()))
