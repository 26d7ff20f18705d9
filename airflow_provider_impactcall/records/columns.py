"""Finds the column of a row that a name means, and the value that a path leads to in a column of JSON.

Tools that load rows rename columns: to upper case, to snake case, and flattened, with ``a__b`` or ``a.b`` for ``b``
within ``a``. So names are compared in a form that such tools do not change.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Generic, NamedTuple, TypeVar

from airflow_provider_impactcall.exceptions import ProblemCode
from airflow_provider_impactcall.records import normalize
from airflow_provider_impactcall.records.column_names import in_their_style, may_be_shown
from airflow_provider_impactcall.records.unreadable import UnreadableValue

Row = Mapping[str, Any]

_T = TypeVar("_T")

ABSENT = object()
"""The value of a column that a row does not have."""

_PLACE = re.compile(r"-?[0-9]{1,9}")
_LEVELS = re.compile(r"__|\.")
_STYLE = re.compile(r"[\W_]+")
# Longer texts are not cached: they are not column names, or paths seldom lead into them.
_SHORT = 256
_SHORT_KEYS = 1024
_SHORT_JSON = 256 * 1024
_SHORT_HEADER = 16 * 1024


class OpenedRow(dict[str, Any]):
    """A row that has each requested column under its requested name too.

    :param row: the values by column, and by requested name
    :param aliases: the real column by requested name
    :param within: the column of JSON in which the call was found, if any
    """

    def __init__(self, row: Row, aliases: Mapping[str, str], within: str | None = None) -> None:
        super().__init__(row)
        self.aliases = aliases
        self.within = within


class FromValues(NamedTuple, Generic[_T]):
    """Reads rows of one shape (the same columns) from the values of a few columns, so that no dict has to be made.

    :param places: the places of these columns in a row
    :param read: takes the values of these columns, in this order; gives None if it needs the whole row
    """

    places: Sequence[int]
    read: Callable[[Sequence[Any]], _T | None]


class Found(NamedTuple):
    """The columns that requested names mean.

    :param aliases: the column by requested name, for names that differ from their column
    :param doubts: the possible columns, by each name that could mean several columns
    :param columns: all columns of the row
    """

    aliases: Mapping[str, str]
    doubts: Mapping[str, Sequence[str]]
    columns: Sequence[Any]

    def problems(self) -> Sequence[str]:
        """Each doubt, in words."""
        problems = [
            f"has two columns that could be meant by {name!r}: {' and '.join(in_their_style(meant, self.columns))}"
            for name, meant in self.doubts.items()
        ]
        return problems  # noqa: RET504 - a test reads the texts that are given this name


def styled(name: str) -> str:
    """A name without its style: without case and word separators, and with a dot before each level of nesting.

    A leading underscore stays: a loader names its own columns so, such as ``_id`` beside ``id``.
    """
    return _styled_again(name) if len(name) <= _SHORT else _styled(name)


def _styled(name: str) -> str:
    bare = name.strip().casefold()
    words = [part if _PLACE.fullmatch(part) else _STYLE.sub("", part) for part in _LEVELS.split(bare.lstrip("_"))]
    return ("_" if bare.startswith("_") else "") + ".".join(filter(None, words))


_styled_again = lru_cache(maxsize=8192)(_styled)


def is_short(columns: Iterable[Any]) -> bool:
    """Whether a result for these columns may be cached by their names."""
    return sum(len(str(column)) for column in columns) <= _SHORT_HEADER


def in_any_style(names: Iterable[str], columns: Iterable[Any], others: Iterable[Any] = ()) -> Found:
    """The columns that names mean. The style of names and columns does not matter.

    :param names: the requested names; for a path, its first column is requested too
    :param others: further columns, for names that fit none of ``columns``
    """
    wanted = with_heads(names)
    columns, others = list(columns), list(others)
    own = set(wanted)
    aliases: dict[str, str] = {}
    doubts: dict[str, Sequence[str]] = {}
    for there in (_by_style(columns), _by_style(others)):
        left = [name for name in wanted if name not in aliases and name not in doubts]
        taken: set[str] = set()
        # A second pass takes nested names as if they had one level. That is less sure, so it comes last.
        for flat in (False, True):
            by_style = _flattened(there) if flat else there
            for name in left:
                style = styled(name).replace(".", "") if flat else styled(name)
                meant = [each for each in by_style.get(style, ()) if each == name or each not in own]
                if flat:
                    meant = [each for each in meant if each not in taken]
                if not meant or name in aliases or name in doubts:
                    continue
                if len(meant) > 1:
                    doubts[name] = meant
                else:
                    aliases[name] = meant[0]
            taken = set(aliases.values()).union(*doubts.values())
    aliases = {name: column for name, column in aliases.items() if name != column}
    return Found(aliases, doubts, [*columns, *others])


def unwrapped(columns: Iterable[Any], wrapper: str) -> Mapping[str, Sequence[str]]:
    """The columns that a loader made from an object in one column, by their names in that object.

    Example: of an object ``call``, the column ``call__uuid`` by the name ``uuid``.

    :param wrapper: the column that held the object
    """
    found: dict[str, list[str]] = {}
    for column in columns:
        head, *inner = _LEVELS.split(column, maxsplit=1) if isinstance(column, str) else [""]
        if inner and inner[0] and styled(head) == styled(wrapper):
            found.setdefault(inner[0], []).append(column)
    return found


def in_any_case(names: Iterable[str], columns: Sequence[Any], aliases: Mapping[str, str]) -> Found:
    """The columns whose names differ from the requested names only in case. An exact match is not listed.

    :param aliases: the real column, by a column that only repeats it under another name
    """
    known = set(columns)
    by_case: dict[str, list[str]] = {}
    for column in columns:
        if isinstance(column, str):
            by_case.setdefault(column.casefold(), []).append(column)
    found: dict[str, str] = {}
    doubts: dict[str, Sequence[str]] = {}
    for name in names:
        head = name.partition(".")[0]
        if name in known or head in known:
            continue
        for each in dict.fromkeys((name, head)):
            meant = by_case.get(each.casefold(), ())
            apart = [column for column in meant if aliases.get(column) not in meant]
            if len(apart) > 1:
                doubts[each] = apart
            elif apart:
                found[each] = apart[0]
            if apart:
                break
    return Found(found, doubts, columns)


def with_heads(names: Iterable[str]) -> Sequence[str]:
    """The names, and for each path also its first column."""
    return list(dict.fromkeys(part for name in names for part in (name, name.partition(".")[0])))


def is_among(column: str, columns: Collection[str]) -> bool:
    """Whether the columns contain this column or, for a dotted path, the path's first column."""
    return column in columns or column.partition(".")[0] in columns


def named_row(row: Any) -> Any:
    """A row of any type with column names, as a mapping; any other value unchanged.

    :raises Exception: any error of the row itself when its values are read
    """
    if isinstance(row, Mapping):
        return row
    if callable(getattr(row, "_asdict", None)):  # a named tuple, or SQLAlchemy's row
        return row._asdict()
    if not isinstance(row, type) and callable(getattr(row, "keys", None)):
        return {name: row[name] for name in row.keys()}  # noqa: SIM118 - it need not be iterable
    return row


def near(name: str, columns: Iterable[Any]) -> str | None:
    """The column whose name is most similar to a name; None if no column is similar."""
    by_style = {styled(column): column for column in columns if isinstance(column, str)}
    found = difflib.get_close_matches(styled(name), by_style, n=1, cutoff=0.7)
    return by_style[found[0]] if found else None


def hint(name: str, columns: Iterable[Any]) -> str:
    """A proposal to be read after a name that no column has: the most similar column. ``''`` if no column is similar,
    or if column names must not be shown.
    """
    every = list(columns)
    found = near(name, every) if may_be_shown(map(str, every)) else None
    return "" if found is None else f" (did you mean {found!r}?)"


def but_nulls(value: Any, nulls: Collection[str]) -> Any:
    """The value; None if it is a word that stands for nothing, such as ``NULL``."""
    return None if isinstance(value, str) and normalize.bare(value) in nulls else value


def led_to(value: Any, steps: Sequence[str]) -> Any:
    """The value at the end of a path; None if there is none. A key may differ in style if only one key fits."""
    for step in steps:
        if type(value) is not dict:
            if value is None or type(value) is UnreadableValue:
                return value  # An unreadable value stays: its reader reports it.
            value = from_json(value)
        if type(value) is dict or isinstance(value, Mapping):  # the common case, for speed
            inner = value.get(step, ABSENT)
            value = _in_other_style(value, step) if inner is ABSENT else inner
        elif isinstance(value, (list, tuple)) and _PLACE.fullmatch(step) and -len(value) <= int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def object_in(value: Any) -> Mapping[str, Any] | None:
    """The value if it is a JSON object, or the object in its JSON text; None for any other value."""
    found = from_json(value)
    return found if isinstance(found, Mapping) else None


def from_json(value: Any) -> Any:
    """The list or object in a value of JSON text; any other value unchanged."""
    if type(value) is dict:  # the common case, for speed
        return value
    if type(value) is str and len(value) <= _SHORT_JSON and value[:1] == "{":  # the next common one
        return _parsed_again(value)
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        text = normalize.plain(value)
        return _parsed_again(text) if len(text) <= _SHORT_JSON else normalize.json_of(text)
    return value


# Cached: several paths of a mapping lead into the same text of a row, one after the other.
_parsed_again = lru_cache(maxsize=4)(normalize.json_of)


def _in_other_style(value: Mapping[Any, Any], step: str) -> Any:
    keys = tuple(value)
    try:
        short = len("".join(keys)) <= _SHORT_KEYS
    except TypeError:  # one of them is not text
        short = False
    meant = _meant_again(keys, step) if short else _meant(keys, step)
    if len(meant) > 1:
        raise normalize.UnfitValue(
            f"has two keys that could be meant by {step!r}: {' and '.join(in_their_style(meant, value))}",
            ProblemCode.AMBIGUOUS_COLUMN,
        )
    return value[meant[0]] if meant else None


def _meant(keys: tuple[Any, ...], step: str) -> Sequence[str]:
    style = styled(step)
    return [key for key in keys if isinstance(key, str) and styled(key) == style]


# Cached: objects of one kind have the same keys in row after row.
_meant_again = lru_cache(maxsize=512)(_meant)


def _by_style(columns: Iterable[Any]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for column in columns:
        if isinstance(column, str):
            found.setdefault(styled(column), []).append(column)
    return found


def _flattened(by_style: Mapping[str, list[str]]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for style, columns in by_style.items():
        found.setdefault(style.replace(".", ""), []).extend(columns)
    return found
