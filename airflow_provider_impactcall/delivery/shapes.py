"""Recognizes what people pass instead of rows: values without names, a page of an API, columns, JSON text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from datetime import date, time, timedelta
from decimal import Decimal
from itertools import chain, islice
from numbers import Number
from typing import Any
from uuid import UUID

from airflow_provider_impactcall.exceptions import CallLeftOut, InvalidCall, InvalidOption, ProblemCode
from airflow_provider_impactcall.records import CallMapping, CallRecord, normalize
from airflow_provider_impactcall.records.column_names import may_be_shown
from airflow_provider_impactcall.records.sources import Row
from airflow_provider_impactcall.records.unreadable import UnreadableRow

_CELLS = (str, bytes, Number, Decimal, date, time, timedelta, UUID, type(None))
# At least one of the first so many items has to be a row.
_LOOKED_AT = 100
_DEEPEST = 3
# These parameters tell a call from all others. A dict that lacks all three may be something else.
_IDENTITY = frozenset({"CallSessionId", "CallerId", "EventDate"})
_OF_A_PAGE = re.compile(
    r"(current|first|last|next|prev|previous|num|number|per|start|end)?_?(page|pages|paging|pagination|pageinfo|total|"
    r"offset|limit|count|cursor|links|hasmore|has_more|next|previous)(_.+|number|size|uri|url|s)?",
    re.IGNORECASE,
)


class Shapeless(UnreadableRow):
    """An item in the place of a row that has no names a mapping could read."""


def flattened(rows: Iterable[Any]) -> Iterator[Any]:
    """The rows of nested iterables: the result of a mapped upstream task is a sequence of its tasks' results.

    A row of any type that names its values (``keys()``, or ``_asdict()``) becomes a dict. A list or tuple of values
    becomes a :class:`Shapeless`.
    """
    for row in rows:
        if type(row) is dict or isinstance(row, (Mapping, CallRecord, str, bytes)):  # the common case first, for speed
            yield row
        elif (table := _of_a_table(row)) is not None:
            yield Shapeless(table)
        elif names_values(row):
            yield _as_dict(row)
        elif not isinstance(row, Iterable):
            yield row
        elif (values := _without_names(row)) is not None:
            yield Shapeless(
                f"is {values} values without names; give dicts by column name, such as dict(zip(columns, row)), or let "
                "SqlToImpactCallOperator read the query"
            )
        else:
            yield from flattened(row)


def names_values(row: Any) -> bool:
    """Whether it is one row whose values have names, such as a database client's row or a named tuple."""
    return any(callable(_attribute(row, method)) for method in ("keys", "_asdict")) and not isinstance(row, type)


def iterable(rows: Any) -> Iterable[Any]:
    """An iterable of rows; a single row becomes a tuple of one row.

    :raises InvalidOption: at once, if ``rows`` neither holds rows nor is a row
    """
    if rows is None:
        return ()
    if isinstance(rows, (str, bytes)):
        raise InvalidOption(f"the calls must be dicts by column name, and are {_as_text(rows)}")
    if (table := _of_a_table(rows)) is not None:
        raise InvalidOption(f"the calls: what is given {table}")
    if isinstance(rows, (Mapping, CallRecord)) or names_values(rows):
        return (rows,)
    if not isinstance(rows, Iterable):
        raise InvalidOption(f"the calls must be dicts by column name, and are of type {type(rows).__name__}")
    return rows


def with_names(rows: Iterable[Any], mapping: CallMapping) -> Iterable[Any]:
    """The rows, if at least one of the first hundred items is a row. Single items that are not rows are rejected alone.

    :param rows: as :func:`flattened` gives them. If they can be read again, and begin with a row, they are returned
        unchanged
    :raises InvalidOption: if the first hundred items hold no row, but something that is recognized: the message says
        what to pass instead
    """
    each = iter(rows)
    waiting: list[Any] = []
    first = None
    for row in islice(each, _LOOKED_AT):
        problem = _problem_with(row, mapping)
        if problem is None and isinstance(row, (Mapping, CallRecord)):
            return chain(waiting, [row], each) if waiting or each is rows else rows
        first = first or problem
        waiting.append(row if problem is None or isinstance(row, UnreadableRow) else UnreadableRow(problem))
    if first is not None:
        raise InvalidOption(f"the calls: what is given as a row {first}")
    return chain(waiting, each)


def _problem_with(row: Any, mapping: CallMapping) -> str | None:
    """What an item is instead of a row; None if it is a row."""
    if isinstance(row, Shapeless):
        return row.problem
    if isinstance(row, (str, bytes)):
        return f"is {_as_text(row)}"
    return _of_many(row, mapping) if isinstance(row, Mapping) else None


def _of_many(row: Row, mapping: CallMapping) -> str | None:
    """What a dict that holds many rows is; None if the dict is a row itself."""
    try:
        values = list(row.values())
        if len(values) > 1 and all(isinstance(value, Mapping) for value in values):
            return _dict_of_dicts(values, mapping)
        if len(values) > 1 and _are_columns(values):
            return "is columns, and not a row; give rows: df.to_dict('records')"
        inside = next(iter(_lists_in(row)), None)
        if inside is None:
            return None
        path, rows = inside
        problems = _problems(row, mapping)
        if not problems:
            return None
        better = bool(rows) and len(_problems(rows[0], mapping)) < len(problems)
        if better or (problems >= _IDENTITY and any(map(_OF_A_PAGE.fullmatch, filter(_is_text, row)))):
            named = may_be_shown(map(str, (*row, *path)))
            where = "".join(f"[{name!r}]" for name in path) if named else "[...]"
            return f"is a page of an API, and not a row; give the rows in it: calls=page{where}"
    except Exception:
        # An object may fail to fetch its values; the failure is reported when the object is read as a call.
        return None
    return None


def _dict_of_dicts(values: Sequence[Mapping[Any, Any]], mapping: CallMapping) -> str | None:
    first = values[0].keys()
    if first and all(isinstance(key, int) for key in first) and all(value.keys() == first for value in values):
        return "is columns, and not a row; give rows: df.to_dict('records')"
    if not any(_problems(value, mapping) for value in values[:2]):
        return "is a dict of rows, and not a row; give its values: list(calls.values())"
    return None


def _are_columns(values: Sequence[Any]) -> bool:
    """Whether each value is a list, all of them of one length."""
    return all(isinstance(value, (list, tuple)) for value in values) and len({len(value) for value in values}) == 1


def _lists_in(row: Row, deep: int = _DEEPEST) -> Iterator[tuple[tuple[Any, ...], Sequence[Any]]]:
    """The lists of dicts in a row, and its empty lists, each with its path of names; the least nested first."""
    for name, value in row.items():
        if isinstance(value, (list, tuple)) and (not value or isinstance(value[0], Mapping)):
            yield (name,), value
    for name, value in row.items():
        if deep > 1 and isinstance(value, Mapping):
            yield from (((name, *path), found) for path, found in _lists_in(value, deep - 1))


def _problems(row: Any, mapping: CallMapping) -> Set[str]:
    """The parameters that keep a row from being a call."""
    try:
        mapping.record(row)
    except InvalidCall as error:
        return {problem.parameter for problem in error.problems}
    except CallLeftOut:
        return frozenset()
    return frozenset()


def _of_a_table(value: Any) -> str | None:
    """Says of a table of pandas, Polars or Arrow what to pass instead; None if it is not a table."""
    if isinstance(value, type) or _attribute(value, "columns") is None:
        return None
    for method, instead in (("to_dicts", "df.to_dicts()"), ("to_pylist", "table.to_pylist()")):
        if _attribute(value, method) is not None:
            return f"is a table of many rows; pass its rows: {instead}"
    return "is a DataFrame; pass its rows: df.to_dict('records')" if _attribute(value, "to_dict") is not None else None


def _attribute(value: Any, name: str) -> Any:
    """An attribute; None if there is none. A row that looks its attributes up among its values may raise any error."""
    try:
        return getattr(value, name, None)
    except Exception:
        return None


def _as_dict(row: Any) -> Any:
    try:
        return row._asdict() if callable(_attribute(row, "_asdict")) else dict(row)
    except Exception as error:
        # Only the type: the error's text may quote the row's values.
        return UnreadableRow(f"cannot be read: {type(error).__name__}", ProblemCode.UNREADABLE)


def _without_names(row: Iterable[Any]) -> int | None:
    """The number of values of a row without names; None if the items are rows themselves."""
    if _attribute(row, "ndim") == 1 and (listed := _attribute(row, "tolist")) is not None:  # of numpy
        row = listed()
    if not isinstance(row, (list, tuple)) or not row or row[0] is None or not isinstance(row[0], _CELLS):
        return None
    named = sum(isinstance(value, (Mapping, CallRecord)) or names_values(value) for value in row)
    # A tuple with a row in it is a pair, such as an index and a row.
    return len(row) if 2 * named < len(row) + isinstance(row, tuple) else None


def _as_text(text: str | bytes) -> str:
    """Describes a text that was passed, without quoting it."""
    start = text[:64].lstrip()[:1]
    if start in ("{", "[", b"{", b"["):
        return "JSON text; pass what it holds: json.loads(text)"
    return normalize.described(text)


def _is_text(name: Any) -> bool:
    return isinstance(name, str)
