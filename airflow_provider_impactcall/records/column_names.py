"""Whether the names of an input's columns may be shown: those of a file without a header are its first row's values."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from typing import Any

LOOK_LIKE_VALUES = "the names of the columns look like values of calls: is the header missing?"

_LONGEST = 64
_DIGITS_IN_A_ROW = re.compile(r"\d{5}")
# A phone number without its country code, however it is written.
_DIGITS_OF_A_NUMBER = re.compile(r"\d([_. -]*\d){6}")
_MARKS = frozenset("_.- ")
# As in Ringba's tag:User:irclickid; a time has digits there, and a URL more.
_LEVELS = re.compile(r"(?<=[^\W\d_]):(?=[^\W\d_])")


def may_be_shown(columns: Iterable[str]) -> bool:
    """Whether all of these are names, as far as anyone can tell: if one is not, none of its input's may be shown.

    A name is letters (of any script), digits, ``_``, ``.``, ``-``, blanks, and ``:`` between two letters. It has at
    most 64 characters, at most four digits in a row, and not as many as a phone number has with nothing but those marks
    between them.
    """
    return all(map(_is_name, columns))


def labels(columns: Collection[str]) -> Mapping[str, str]:
    """What each of an input's columns is called in a message: its name if all may be shown, else its place, from 1."""
    if may_be_shown(columns):
        return {name: name or f"column {place}" for place, name in enumerate(columns, start=1)}
    return {name: f"column {place}" for place, name in enumerate(columns, start=1)}


def quoted(names: Iterable[Any], columns: Iterable[Any]) -> list[str]:
    """Some of an input's columns in a message: their names, in quotes, if those of all may be shown, else their places.

    :param columns: all of the input's
    """
    every = list(columns)
    if may_be_shown(map(str, every)):
        return [repr(name) for name in names]
    return [f"column {every.index(name) + 1}" for name in names]


def in_their_style(names: Iterable[str], columns: Iterable[Any]) -> list[str]:
    """Columns that differ from a name in a mapping by their style alone, so that none is a value, in a message.

    :param columns: all of the input's, of which others may be values
    """
    every = list(columns)
    return [repr(name) if _is_name(name) else f"column {every.index(name) + 1}" for name in names]


def label(name: str, otherwise: str) -> str:
    """A name that stands alone, or what it is called if it may not be shown."""
    return name if _is_name(name) else otherwise


def _is_name(name: str) -> bool:
    if len(name) > _LONGEST:
        return False
    if not all(each in _MARKS or unicodedata.category(each)[0] in "LMN" for each in _LEVELS.sub("", name)):
        return False
    # One digit may be of another script, or be written as a power.
    digits = "".join("0" if unicodedata.category(each)[0] == "N" else each for each in name)
    return _DIGITS_IN_A_ROW.search(digits) is None and _DIGITS_OF_A_NUMBER.search(digits) is None
