"""Whether column names may be shown. In a file without a header, the "names" are the values of its first row."""

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
# Ringba has such names: tag:User:irclickid. A time has digits beside the colon, and a URL has slashes after it.
_LEVELS = re.compile(r"(?<=[^\W\d_]):(?=[^\W\d_])")


def may_be_shown(columns: Iterable[str]) -> bool:
    """Whether all of these look like names. If one does not, no column name of the input may be shown.

    A name has letters (of any script), digits, ``_``, ``.``, ``-``, blanks, and ``:`` between two letters. It has at
    most 64 characters, at most four digits in a row, and fewer digits than a phone number when only those marks stand
    between the digits.
    """
    return all(map(_is_name, columns))


def labels(columns: Collection[str]) -> Mapping[str, str]:
    """The label of each column of an input in a message: its name if all may be shown, else its position, from 1."""
    if may_be_shown(columns):
        return {name: name or f"column {place}" for place, name in enumerate(columns, start=1)}
    return {name: f"column {place}" for place, name in enumerate(columns, start=1)}


def quoted(names: Iterable[Any], columns: Iterable[Any]) -> list[str]:
    """Some columns of an input in a message: their quoted names if all names may be shown, else their positions.

    :param columns: all columns of the input
    """
    every = list(columns)
    if may_be_shown(map(str, every)):
        return [repr(name) for name in names]
    return [f"column {every.index(name) + 1}" for name in names]


def in_their_style(names: Iterable[str], columns: Iterable[Any]) -> list[str]:
    """Columns in a message that differ from a name in a mapping only in style, and so are names for sure.

    :param columns: all columns of the input; others of them may be values
    """
    every = list(columns)
    return [repr(name) if _is_name(name) else f"column {every.index(name) + 1}" for name in names]


def label(name: str, otherwise: str) -> str:
    """A single name, or ``otherwise`` if the name may not be shown."""
    return name if _is_name(name) else otherwise


def _is_name(name: str) -> bool:
    if len(name) > _LONGEST:
        return False
    if not all(each in _MARKS or unicodedata.category(each)[0] in "LMN" for each in _LEVELS.sub("", name)):
        return False
    # Digits may be of another script, or superscript.
    digits = "".join("0" if unicodedata.category(each)[0] == "N" else each for each in name)
    return _DIGITS_IN_A_ROW.search(digits) is None and _DIGITS_OF_A_NUMBER.search(digits) is None
