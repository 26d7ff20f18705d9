"""Plain text, fixed vocabularies, and booleans."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from string import ascii_letters, digits
from typing import Any
from uuid import UUID

from airflow_provider_impactcall.exceptions import ProblemCode
from airflow_provider_impactcall.records.normalize.numbers import TOO_LARGE, decimal, is_number, whole_number
from airflow_provider_impactcall.records.normalize.values import (
    UnfitValue,
    bare,
    described,
    is_absent,
    misread,
    plain,
    reader,
    unescaped,
    word,
)

_TRUE = frozenset({"true", "t", "yes", "y", "1"})
_FALSE = frozenset({"false", "f", "no", "n", "0"})
_TRUE_OR_FALSE = {**dict.fromkeys(_TRUE, True), **dict.fromkeys(_FALSE, False)}
_NUMBERS = (0, 1)
_BARE = frozenset(ascii_letters + digits)


def text(value: Any) -> str:
    """Text as it is, never trimmed or cut; numbers, dates and UUIDs in plain form.

    A whole float loses its ``.0``: pandas turns a column of ids with gaps into floats. Lists are joined with ``,``.

    :raises UnfitValue: for a boolean (impact.com defines no words for it), bytes, a nested object, a float too
        large to be exact, or text that cannot be UTF-8 or holds a NUL
    """
    if type(value) is str and value.isascii() and "\0" not in value:
        return value
    return str(value) if type(value) is int and -TOO_LARGE < value < TOO_LARGE else _text(value)


def listed_text(value: Any) -> str | None:
    """As :func:`text`, but the text of a JSON list (``["1", "2"]``), which loaders write, is read as that list.

    Blanks around it mean nothing. Any other text stays as it is, such as a JSON object, a list that is cut off, or a
    list nested too deeply to parse. The result is never a list's text, so reading the result again changes nothing.

    :return: None for an empty list, which counts as absent
    :raises UnfitValue: as :func:`text` does for that list: if it holds a boolean, an object or a list
    """
    spelled = text(value)
    while "[" in spelled and isinstance(items := json_of(bare(spelled)), list):
        if is_absent(items):
            return None
        spelled = text(items)
    return spelled


def json_of(spelled: str) -> Any:
    """The value of JSON text; None if it is not JSON, is nested too deeply, or has a number too long to read."""
    try:
        return json.loads(spelled)
    except (ValueError, RecursionError):
        return None


def identifier(value: Any) -> str:
    """The text of an id: as :func:`text`, but without blanks around it and without a spreadsheet's marks for text
    (``'A-1``, ``="A-1"``).

    :raises UnfitValue: as :func:`text` does
    """
    spelled = value if type(value) is str and value.isascii() and "\0" not in value else text(value)
    # For speed: nothing is around most ids. To look at the ends takes less than to look at each character.
    return spelled if spelled[:1] in _BARE and spelled[-1:] in _BARE else unescaped(spelled)


@reader
def _text(value: Any) -> str:
    if isinstance(value, str):
        spelled = value
    elif isinstance(value, (list, tuple)):
        return ",".join(_item(item) for item in value if not is_absent(item))
    elif isinstance(value, (bool, bytes, bytearray, memoryview, Mapping)):
        raise UnfitValue(
            f"must be text, and is {described(value)}; map it to the words that you want sent", ProblemCode.WRONG_TYPE
        )
    elif is_number(value):
        whole = None if isinstance(value, Decimal) else whole_number(value)
        spelled = format(decimal(value), "f") if whole is None else str(whole)
    elif isinstance(value, (date, datetime)) and not is_absent(value):
        spelled = plain(value.isoformat())
    elif isinstance(value, UUID):
        spelled = plain(str(value))
    else:
        raise UnfitValue(f"must be text, and is {described(value)}", ProblemCode.WRONG_TYPE)
    try:
        spelled.isascii() or spelled.encode("utf-8")
    except UnicodeEncodeError:
        raise UnfitValue(
            "holds a lone surrogate, which cannot be sent as UTF-8", ProblemCode.INVALID_CHARACTER
        ) from None
    if "\0" in spelled:
        raise UnfitValue("holds a NUL character, which databases refuse in text", ProblemCode.INVALID_CHARACTER)
    return spelled


def _item(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        raise UnfitValue("must be text or a list of it, and is a list that holds a list", ProblemCode.WRONG_TYPE)
    return text(value)


def one_of(value: Any, allowed: Sequence[str]) -> str:
    """One word of a fixed vocabulary, letter for letter; blanks around it mean nothing.

    :raises UnfitValue: for any other value
    """
    return value if type(value) is str and value in allowed else _one_of(value, allowed)


@reader
def _one_of(value: Any, allowed: Sequence[str]) -> str:
    found = bare(value) if isinstance(value, str) else None
    if found is None or found not in allowed:
        raise UnfitValue(
            f"must be one of {', '.join(map(repr, allowed))}, and is {word(value, allowed)}",
            misread(value, ProblemCode.UNKNOWN_WORD),
        )
    return found


def boolean(value: Any) -> bool:
    """A boolean from a boolean, 1 or 0, or ``true``, ``t``, ``yes``, ``y``, ``1`` and their opposites in any case.

    :raises UnfitValue: for any other value
    """
    if type(value) is bool or (type(value) is int and value in _NUMBERS):
        return bool(value)
    return _TRUE_OR_FALSE[value] if type(value) is str and value in _TRUE_OR_FALSE else _boolean(value)


@reader
def _boolean(value: Any) -> bool:
    if isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"):  # numpy's is not Python's bool
        return bool(value)
    if isinstance(value, str):
        spelled = bare(value).lower() if bare(value).isascii() else ""
    else:
        spelled = str(whole_number(value)) if is_number(value) else ""
    if spelled in _TRUE_OR_FALSE:
        return _TRUE_OR_FALSE[spelled]
    raise UnfitValue(f"must be true or false, and is {described(value)}", misread(value, ProblemCode.UNKNOWN_WORD))
