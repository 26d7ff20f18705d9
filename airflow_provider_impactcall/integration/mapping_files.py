"""Loads the option ``mapping``: from its file, if it names one, and with the tables of its lookups.

Errors name the line or the row, never a value: a table may hold phone numbers.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from os import PathLike
from pathlib import Path
from typing import Any

import yaml
from airflow.providers.common.compat.sdk import AirflowException, ObjectStoragePath

from airflow_provider_impactcall.exceptions import ImpactCallError, InvalidOption
from airflow_provider_impactcall.integration.connection import Extra
from airflow_provider_impactcall.integration.options import RowOptions
from airflow_provider_impactcall.integration.paths import refuse_credentials, shown
from airflow_provider_impactcall.integration.sql import drained
from airflow_provider_impactcall.records import CallMapping, normalize
from airflow_provider_impactcall.records.options import DEEPEST, MOST_PARTS, is_small, refuse_large
from airflow_provider_impactcall.records.sources import Source

try:
    from yaml import CBaseLoader as _BaseLoader
except ImportError:  # PyYAML was built without libyaml, and takes fifteen times as long
    from yaml import BaseLoader as _BaseLoader  # type: ignore[assignment]

ENDINGS = (".yaml", ".yml", ".json")
"""The endings of a mapping's file."""

_Path = Path | ObjectStoragePath
_PATHS = (str, PathLike, ObjectStoragePath)
_QUERY = {"sql", "sql_conn_id"}
_HOOK_PARAMS = "hook_params"
_TRUTHS = {"true": True, "false": False}
_NULLS = ("", "~", "null", "Null", "NULL")
_SHOWN = 5


def mapping_of(options: RowOptions, extra: Extra) -> CallMapping:
    """How rows become calls, by the options of a delivery and the conventions of its connection.

    :raises InvalidOption: with everything that is wrong with the mapping, or with its file or tables
    :raises AirflowException: if a storage or a database fails; a retry may succeed
    """
    return CallMapping(
        loaded(options.mapping),
        options.constants,
        options.timezone,
        extra.caller_id_format,
        extra.defaults,
        options.vendor,
        prefiltered=options.prefiltered,
        nulls=options.nulls,
    )


def loaded(mapping: Mapping[str, Source] | str | PathLike[str] | None) -> Mapping[str, Source] | None:
    """A mapping with everything outside it loaded: its own file, and the tables of its lookups.

    A file ends in ``.yaml``, ``.yml`` or ``.json``. In YAML everything is text (``no`` is a word, 02139 keeps its zero)
    except an unquoted ``null`` or ``~``, which means no value. A lookup may be the path of a ``.csv`` file with a
    header and two columns, the key's and the value's, or ``{"sql": "SELECT number, media_id FROM partners",
    "sql_conn_id": "warehouse"}``, whose ``sql`` may be the path of a ``.sql`` file. Relative paths in a file begin in
    the file's folder. Rows without a key are left out of a table.

    :param mapping: what the option may be: a source by parameter name, the path (or URL) of a file of them, or None
    :raises InvalidOption: with everything that is wrong with the file or the tables
    :raises AirflowException: if a storage or a database fails; a retry may succeed
    """
    beside = None
    if isinstance(mapping, _PATHS):
        path = _path("mapping", mapping, *ENDINGS)
        mapping, beside = _read(path), path.parent
    elif isinstance(mapping, Mapping):
        refuse_large(mapping)
    else:
        return mapping
    problems: list[str] = []
    whole = {}
    for name, source in mapping.items():
        found: list[str] = []
        whole[name] = _with_tables(source, beside, found)
        problems += [f"mapping: {name} has a lookup that cannot be used: {problem}" for problem in found]
    if problems:
        raise InvalidOption("; ".join(problems))
    return whole


def _with_tables(source: Any, beside: _Path | None, problems: list[str]) -> Any:
    """A source with the tables of all lookups in it, however deep.

    :param problems: what is wrong with a table is added here
    """
    if not isinstance(source, Mapping):
        return source
    whole = dict(source)
    if "lookup" in source:
        try:
            whole["lookup"] = _table(source["lookup"], beside)
        except InvalidOption as error:
            problems.append(str(error))
    if "from" in source:
        whole["from"] = _with_tables(source["from"], beside, problems)
    if "rounded_down" in source:
        whole["rounded_down"] = _with_tables(source["rounded_down"], beside, problems)
    if isinstance(source.get("first_of"), (list, tuple)):
        whole["first_of"] = [_with_tables(each, beside, problems) for each in source["first_of"]]
    return whole


def _table(lookup: Any, beside: _Path | None) -> Any:
    if isinstance(lookup, _PATHS):
        return _from_csv(_path("it", lookup, ".csv", beside=beside))
    if isinstance(lookup, Mapping) and lookup and lookup.keys() <= {*_QUERY, _HOOK_PARAMS}:
        return _from_query(lookup, beside)
    return lookup


def _from_csv(path: _Path) -> Mapping[str, Any]:
    lines = csv.reader(StringIO(_text(path), newline=""), strict=True)
    try:
        header = next(lines, [])
        if len(header) != 2 or not all(any(map(str.isalpha, name)) for name in header):
            # A first line of numbers is an entry: taken for a header, it would be lost.
            raise InvalidOption(f"{shown(path)} must begin with a header of two names, the key's and the value's")
        return _without_doubt(shown(path), ((f"line {lines.line_num}", values) for values in lines if values))
    except csv.Error as error:
        raise InvalidOption(f"{shown(path)}, line {lines.line_num}: is not CSV: {error}") from None


def _from_query(query: Mapping[str, Any], beside: _Path | None) -> Mapping[str, Any]:
    if not query.keys() >= _QUERY or not all(isinstance(query[name], str) and query[name] for name in _QUERY):
        raise InvalidOption("a query has both 'sql' and 'sql_conn_id', as text")
    sql = query["sql"]
    if sql.endswith(".sql"):
        sql = _text(_path("sql", sql, ".sql", beside=beside))
    try:
        with drained(query["sql_conn_id"], sql, hook_params=_hook_params(query.get(_HOOK_PARAMS))) as rows:
            if len(rows.columns) != 2:
                raise InvalidOption(f"its query must give two columns, key and value, and gives {len(rows.columns)}")
            return _without_doubt(
                "its query", ((f"row {number}", list(row.values())) for number, row in enumerate(rows, start=1))
            )
    except (ImpactCallError, AirflowException):
        raise
    except Exception as error:
        # A driver's text may quote a value.
        raise AirflowException(
            f"mapping: the query of a lookup failed ({type(error).__name__}); the database's own client says why"
        ) from None


def _hook_params(given: Any) -> Any:
    if not isinstance(given, Mapping):
        return given
    # In a YAML file, every scalar is text.
    return {name: _TRUTHS.get(value, value) if isinstance(value, str) else value for name, value in given.items()}


def _without_doubt(name: str, entries: Iterable[tuple[str, Sequence[Any]]]) -> Mapping[str, Any]:
    """The table of these entries, with one value for a key.

    :param name: their source, for the error
    :param entries: each with its place in the source
    """
    table: dict[str, Any] = {}
    problems = []
    for place, entry in entries:
        if len(entry) != 2:
            problems.append(f"{place} has {len(entry)} values, and must have two, a key and its value")
        elif any(isinstance(value, str) and value != value.strip() for value in entry):
            problems.append(f"{place} has spaces around its key or its value")
        elif not normalize.is_absent(entry[0]):
            try:
                key = normalize.text(entry[0])
            except normalize.UnfitValue as error:
                problems.append(f"{place} has a key that {error}")
            else:
                if table.setdefault(key, entry[1]) != entry[1]:
                    problems.append(f"{place} has another value for a key that was there before")
    if problems:
        more = f", and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise InvalidOption(f"{name}: {', '.join(problems[:_SHOWN])}{more}")
    if not table:
        raise InvalidOption(f"{name} has no entries")
    return table


def _read(path: _Path) -> Mapping[str, Any]:
    """The mapping that a file holds."""
    try:
        text = _text(path)
    except InvalidOption as error:
        raise InvalidOption(f"mapping: {error}") from None
    is_json = path.suffix.lower() == ".json"
    try:
        mapping = json.loads(text, object_pairs_hook=_with_each_key_once) if is_json else _yaml(text)
        if not is_small(mapping):
            raise _TooLarge
    except _RepeatedKey as error:
        raise InvalidOption(f"mapping: {shown(path)}{_line(error.problem_mark, text)}: a key stands twice") from None
    except yaml.MarkedYAMLError as error:
        raise InvalidOption(f"mapping: {shown(path)}{_line(error.problem_mark, text)}: is not YAML") from None
    except json.JSONDecodeError as error:
        raise InvalidOption(f"mapping: {shown(path)}, line {error.lineno}: is not JSON") from None
    except _TooLarge:
        raise InvalidOption(f"mapping: {shown(path)}: has more than {MOST_PARTS} parts, or {DEEPEST} levels") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise InvalidOption(f"mapping: {shown(path)}: is not {'JSON' if is_json else 'YAML'}") from None
    if not isinstance(mapping, Mapping) or not mapping:
        holds = normalize.described(mapping) if mapping else "nothing"
        raise InvalidOption(f"mapping: {shown(path)} must hold a dict by parameter name, and holds {holds}")
    return mapping


def _yaml(text: str) -> Any:
    """What a text in YAML holds.

    :raises _TooLarge: before anything is built of it, as the builder recurses for each level
    """
    level = parts = 0
    for event in yaml.parse(text, _BaseLoader):
        parts += isinstance(event, yaml.NodeEvent)
        level += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if level > DEEPEST or parts > 2 * MOST_PARTS:  # keys are nodes too
            raise _TooLarge
    return yaml.load(text, _TextLoader)  # noqa: S506


class _TooLarge(Exception):
    """A file has more levels or parts than a mapping needs."""


class _RepeatedKey(yaml.MarkedYAMLError):
    """A key of a mapping stands twice, and only one of its values could count."""


class _TextLoader(_BaseLoader):
    """Reads every scalar except a null as text, and refuses a key that stands twice."""

    def construct_scalar(self, node: Any) -> Any:
        plain = isinstance(node, yaml.ScalarNode) and not node.style
        return None if plain and node.value in _NULLS else super().construct_scalar(node)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        mapping = super().construct_mapping(node, deep)
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node)
            if key in seen:
                raise _RepeatedKey(problem_mark=key_node.start_mark)
            seen.add(key)
        return mapping


def _with_each_key_once(pairs: Sequence[tuple[str, Any]]) -> Mapping[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _RepeatedKey
    return found


def _line(mark: yaml.Mark | None, text: str) -> str:
    # The mark of an unclosed bracket or quote is behind the last line.
    return "" if mark is None else f", line {min(mark.line + 1, len(text.splitlines()))}"


def _path(what: str, path: Any, *endings: str, beside: _Path | None = None) -> _Path:
    """A path with one of the endings.

    :param what: the subject of the error's sentence
    :param beside: the folder in which a relative path begins
    """
    written = str(path)
    refuse_credentials(path)
    if not written.lower().endswith(endings):
        kinds = " or ".join(endings)
        raise InvalidOption(f"{what} must be a dict, or the path of a {kinds} file, and is {normalize.described(path)}")
    if isinstance(path, ObjectStoragePath):
        return path
    if "://" in written:
        try:
            return ObjectStoragePath(written)
        except ValueError as error:
            raise InvalidOption(_unreadable(written, error)) from None
    return Path(path) if beside is None or Path(path).is_absolute() else beside / written


def _text(path: _Path) -> str:
    try:
        with path.open("rb") as file:
            return str(file.read(), "utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidOption(f"{shown(path)} is not UTF-8") from None
    except (
        FileNotFoundError,
        IsADirectoryError,
        NotADirectoryError,
        PermissionError,
        ImportError,
        ValueError,
    ) as error:
        raise InvalidOption(_unreadable(path, error)) from None
    except Exception as error:
        # Object stores have exceptions of their own.
        raise AirflowException(f"mapping: {_unreadable(path, error)}") from None


def _unreadable(path: Any, error: Exception) -> str:
    why = error.strerror if isinstance(error, OSError) else None
    hint = "; is the provider of its storage installed?" if isinstance(error, (ImportError, ValueError)) else ""
    return f"{shown(path)} cannot be read: {why or type(error).__name__}{hint}"
