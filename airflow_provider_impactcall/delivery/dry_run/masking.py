"""Masks a call's caller and recording, also where another text of the call repeats them."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote, urlsplit

# A number may be written without its area code, but not with fewer digits.
_LOCAL_DIGITS = 7
_SHOWN_DIGITS = 2
_BETWEEN = r"(?:%[0-9A-Fa-f]{2}|&#?[0-9A-Za-z]{1,8};|[^0-9A-Za-z%]){0,4}"
# What countries write before a national number. Germany writes it within an international one too: +49 (0)30.
_TRUNK = f"(?:[01]{_BETWEEN})?"
# Digits right before a number are taken for a part of it, such as a country code.
_BEFORE = r"\+?[0-9]{0,15}"
_LEAST_PATH = 4


class Private:
    """The private values of a call, found in any spelling.

    :param caller: the caller's number, found by its digits
    :param recording: the recording's URL, found by its host or its path, with or without its scheme
    """

    def __init__(self, caller: str, recording: str | None) -> None:
        digits = re.sub("[^0-9]", "", caller)
        self._number = re.compile(_BEFORE + _pattern(digits))
        self._hidden = "*" * (len(digits) - _SHOWN_DIGITS) + digits[-_SHOWN_DIGITS:]
        self._url = recording or ""
        self._marks = _marks(self._url)

    def masked(self, value: str) -> str:
        """The value, with two digits of the caller's number. For a value about the recording: the length of its URL."""
        if self._marks and any(mark in seen for seen in _spellings(value) for mark in self._marks):
            return f"(a URL of {len(self._url)} characters)"
        # Digits of any script become ASCII digits. The length stays, so that positions stay the same.
        digits = "".join(str(unicodedata.decimal(each)) if each.isdecimal() else each for each in value)
        shown: list[str] = []
        end = 0
        for found in self._number.finditer(digits):
            shown += (value[end : found.start()], self._hidden)
            end = found.end()
        return "".join([*shown, value[end:]])


def _pattern(digits: str) -> str:
    """Finds a number by its last digits, and by as many of the others as are there."""
    others = ""
    for digit in digits[:-_LOCAL_DIGITS]:
        others = f"(?:{others}{_TRUNK}{digit}{_BETWEEN})?"
    return others + _BETWEEN.join(digits[-_LOCAL_DIGITS:])


def _marks(recording: str) -> list[str]:
    bare = (recording.partition("://")[2] or recording).lstrip("/")
    try:
        parts = urlsplit(f"//{bare}")
        host, path = parts.hostname or "", parts.path.strip("/")
    except ValueError:
        host, path = "", ""
    # A path of one part without a file extension is usually an id, which other columns may hold for its own sake.
    # A host without a dot, such as "pbx" or a bucket, may be a word of other columns.
    telling = (host if "." in host else "", path if "/" in path or "." in path else "")
    marks = [bare.casefold(), *(mark.casefold() for mark in telling if len(mark) >= _LEAST_PATH)]
    return [mark for mark in dict.fromkeys(marks) if mark]


def _spellings(value: str) -> tuple[str, str]:
    return value.casefold(), unquote(unquote(value)).casefold()
