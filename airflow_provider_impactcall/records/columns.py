"""Which column of a row a name means, and what a path leads to in a column of JSON.

Tools that load rows rename columns: to upper case, to snake case, and flattened, with ``a__b`` or ``a.b`` for ``b``
within ``a``. So a name is compared without what such tools change.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from airflow_provider_impactcall.exceptions import ProblemCode
from airflow_provider_impactcall.records import normalize
from airflow_provider_impactcall.records.column_names import in_their_style, may_be_shown
from airflow_provider_impactcall.records.unreadable import UnreadableValue

Row = Mapping[str, Any]

ABSENT = object()
"""Stands for a column that a row does not have."""

_PLACE = re.compile(r"-?[0-9]{1,9}")
_LEVELS = re.compile(r"__|\.")
_STYLE = re.compile(r"[\W_]+")
# A longer text is not a column's name, or paths seldom lead into it: it must not stay in memory.
_SHORT = 256
_SHORT_KEYS = 1024
_SHORT_JSON = 256 * 1024
_SHORT_HEADER = 16 * 1024


class OpenedRow(dict[str, Any]):
    """A row in which each column that is asked for also stands under the name that it is asked for by.

    :param row: what it holds, under those names too
    :param aliases: the column that is meant, by such a name
    :param within: the column of JSON that the call was found in, if it was in one
    """

    def __init__(self, row: Row, aliases: Mapping[str, str], within: str | None = None) -> None:
        super().__init__(row)
        self.aliases = aliases
        self.within = within


class Found(NamedTuple):
    """Which columns names mean.

    :param aliases: the column that is meant, by each name that is not a column's own
    :param doubts: the columns that could be meant, by each name that could mean several
    :param columns: all columns that there are
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
    """A name without its style: case and what parts its words, with a dot before each level of nesting.

    A line before the first word stays: such columns are a loader's own, as ``_id`` beside ``id``.
    """
    return _styled_again(name) if len(name) <= _SHORT else _styled(name)


def _styled(name: str) -> str:
    bare = name.strip().casefold()
    words = [part if _PLACE.fullmatch(part) else _STYLE.sub("", part) for part in _LEVELS.split(bare.lstrip("_"))]
    return ("_" if bare.startswith("_") else "") + ".".join(filter(None, words))


_styled_again = lru_cache(maxsize=8192)(_styled)


def is_short(columns: Iterable[Any]) -> bool:
    """Whether what is found out about columns may be remembered by their names."""
    return sum(len(str(column)) for column in columns) <= _SHORT_HEADER


def in_any_style(names: Iterable[str], columns: Iterable[Any], others: Iterable[Any] = ()) -> Found:
    """The columns that names mean, whatever the style of either.

    :param names: as they are asked for; of a path, the column that it begins with is asked for too
    :param others: columns that are meant only by a name which none of ``columns`` could be meant by
    """
    wanted = with_heads(names)
    columns, others = list(columns), list(others)
    own = set(wanted)
    aliases: dict[str, str] = {}
    doubts: dict[str, Sequence[str]] = {}
    for there in (_by_style(columns), _by_style(others)):
        left = [name for name in wanted if name not in aliases and name not in doubts]
        taken: set[str] = set()
        # Nested names are also written as if they had one level, which is less sure.
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
    """The columns that a loader made of an object in a column (``call__uuid`` of ``call``), by their names in it.

    :param wrapper: the column that the object was in
    """
    found: dict[str, list[str]] = {}
    for column in columns:
        head, *inner = _LEVELS.split(column, maxsplit=1) if isinstance(column, str) else [""]
        if inner and inner[0] and styled(head) == styled(wrapper):
            found.setdefault(inner[0], []).append(column)
    return found


def in_any_case(names: Iterable[str], columns: Sequence[Any], aliases: Mapping[str, str]) -> Found:
    """The columns that names mean which differ from them in case alone. A name that is a column's own means that one.

    :param aliases: columns that are others under another name
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
    """Names, and of each path also the column that it begins with."""
    return list(dict.fromkeys(part for name in names for part in (name, name.partition(".")[0])))


def is_among(column: str, columns: Collection[str]) -> bool:
    """Whether a column is there, or the one that a dotted path begins with."""
    return column in columns or column.partition(".")[0] in columns


def named_row(row: Any) -> Any:
    """A row of any type that has names, as a mapping; anything else as it is.

    :raises Exception: whatever the row raises when it is asked for its values
    """
    if isinstance(row, Mapping):
        return row
    if callable(getattr(row, "_asdict", None)):  # a named tuple, or SQLAlchemy's row
        return row._asdict()
    if not isinstance(row, type) and callable(getattr(row, "keys", None)):
        return {name: row[name] for name in row.keys()}  # noqa: SIM118 - it need not be iterable
    return row


def near(name: str, columns: Iterable[Any]) -> str | None:
    """The column that looks most like a name; None if none comes near."""
    by_style = {styled(column): column for column in columns if isinstance(column, str)}
    found = difflib.get_close_matches(styled(name), by_style, n=1, cutoff=0.7)
    return by_style[found[0]] if found else None


def hint(name: str, columns: Iterable[Any]) -> str:
    """The nearest column, to be read after a name that no column has; nothing if none comes near, or may be shown."""
    every = list(columns)
    found = near(name, every) if may_be_shown(map(str, every)) else None
    return "" if found is None else f" (did you mean {found!r}?)"


def but_nulls(value: Any, nulls: Collection[str]) -> Any:
    """A value, or None in the place of a word that stands for nothing."""
    return None if isinstance(value, str) and normalize.bare(value) in nulls else value


def led_to(value: Any, steps: Sequence[str]) -> Any:
    """What a path leads to; None if it leads nowhere. A key may be of another style if no other could be meant."""
    for step in steps:
        if type(value) is not dict:
            if value is None or type(value) is UnreadableValue:
                return value  # Nobody knows whether there is anything in it.
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
    """The JSON object that a value is or, being text, holds; None if there is none."""
    found = from_json(value)
    return found if isinstance(found, Mapping) else None


def from_json(value: Any) -> Any:
    """The list or object that a value holds, being JSON text; any other value as it is."""
    if type(value) is dict:  # the common case, for speed
        return value
    if type(value) is str and len(value) <= _SHORT_JSON and value[:1] == "{":  # the next common one
        return _parsed_again(value)
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        text = normalize.plain(value)
        return _parsed_again(text) if len(text) <= _SHORT_JSON else normalize.json_of(text)
    return value


# Remembered, since the paths of a mapping lead into the same text of a row one by one.
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


# Objects of one kind have the same keys in row after row.
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
