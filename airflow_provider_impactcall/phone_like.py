"""Tells whether a value looks like a phone number, or like another value that must not be shown. Imports no library."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

# What is written between the digits of a number.
_MARKS = r"()\[\]./ \-\u2010-\u2015"
_WRITTEN = re.compile(
    rf"(?:tel:|sip:|callto:)?\+?[0-9{_MARKS}]{{7,25}}(?:(?:x|ext\.?|#) ?[0-9]{{1,6}})?", re.IGNORECASE
)
# Within a longer text, also between marks that are seldom written, and characters that are not seen.
_HELD = re.compile(rf"\d(?:[{_MARKS}_\t\u00ad\u00b7\u200b-\u200f\u2027\u2044\u2060\u2212\u2215\ufeff]{{0,4}}\d){{6}}")
_DATE = re.compile(r"\b(?:19|20)[0-9]{2}([-/])(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12][0-9]|3[01])\b")
# Separators of several numbers in one text, as in an array or IN; and what LIKE or quotes put around a number.
_BETWEEN = re.compile(r"[,;|\r\n]")
_AROUND = " \t%_*'\"{}"
# Dates and times have as many digits, and a person who examines a run needs to see them.
_DAY = re.compile(
    r"(?:19|20)[0-9]{2}[-./]?(?:0[1-9]|1[0-2])(?:[-./]?(?:0[1-9]|[12][0-9]|3[01])"
    r"(?:[ .]?(?:[01][0-9]|2[0-3])(?:[0-5][0-9]){0,2}(?:\.?[0-9]+)?)?)?"
)
_LEAST_DIGITS, _LEAST_BARE_DIGITS, _MOST_DIGITS = 7, 10, 15
_EPOCH_DIGITS = (10, 13)
_ID = re.compile(r"[0-9A-Za-z](?:[0-9A-Za-z._-]*[0-9A-Za-z])?")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_NUMBER_WITHIN = re.compile(r"[0-9](?:[._-]?[0-9]){9}")
# Also a number without its area code, a number of another country, or an IP address.
_NUMBER_ALONE = re.compile(r"[0-9](?:[._-]?[0-9]){6,}|[0-9]+(?:\.[0-9]+){3}")
_HOST = re.compile(r"^www\.|\.[a-z]{2,}$", re.IGNORECASE)


def looks_like_phone_number(value: Any) -> bool:
    """Whether text or a whole number could be a phone number or several, and is not a day, a time or an epoch."""
    if isinstance(value, (float, Decimal)):
        value = format(value, "f").partition(".")[0]
    elif isinstance(value, bytes):
        value = value.decode("ascii", errors="replace")
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return False
    return any(map(_is_one, _BETWEEN.split(unicodedata.normalize("NFKC", str(value)))))


def _is_one(text: str) -> bool:
    text = text.strip(_AROUND)
    if not _WRITTEN.fullmatch(text) or _DAY.fullmatch(text):
        return False
    digits = re.sub("[^0-9]", "", text)
    bare = digits == text
    if bare and len(digits) in _EPOCH_DIGITS and digits.startswith("1"):
        return False  # No area code of North America begins with 1.
    return (_LEAST_BARE_DIGITS if bare else _LEAST_DIGITS) <= len(digits) <= _MOST_DIGITS


def holds_phone_number(text: str) -> bool:
    """Whether a text, such as a message or a query, has what may be a phone number: seven digits, in any script, with
    few marks between them. A date is not taken for one; 1000000 and an IP address are.
    """
    return _HELD.search(_DATE.sub("", unicodedata.normalize("NFKC", text))) is not None


def names_of_phone_numbers(parameters: Any) -> Iterator[str]:
    """The names (or places, from 1) of the parameters that look like a phone number, or hold one."""
    if isinstance(parameters, Mapping):
        named = [(str(name), value) for name, value in parameters.items()]
    elif isinstance(parameters, (list, tuple)):
        named = [(str(place), value) for place, value in enumerate(parameters, start=1)]
    else:
        return
    for name, value in named:
        if looks_like_phone_number(value) or any(True for _ in names_of_phone_numbers(value)):
            yield name


def looks_like_id(text: str) -> bool:
    """Whether text can be shown as the id of a call: it has only letters, digits and ``._-``, and does not look like a
    phone number, a URL or an IP address. A row whose columns are shifted has such a value in place of its id.

    Seven digits or more without a letter are taken for a phone number, though some vendors have such ids.
    """
    if _UUID.fullmatch(text):
        return True
    private = _NUMBER_WITHIN.search(text) or _NUMBER_ALONE.fullmatch(text) or _HOST.search(text)
    return bool(_ID.fullmatch(text)) and not private
