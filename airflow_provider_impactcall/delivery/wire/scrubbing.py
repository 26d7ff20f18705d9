"""What may be shown of a text that someone else wrote about a call. Its work is bounded, whatever the text holds."""

from __future__ import annotations

import html
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import unquote

from airflow_provider_impactcall.records import PARAMETERS

LONGEST = 200
"""Characters that are shown at most."""

# What a person is shown comes from the beginning of a text; what lies behind would only take time, and it is the event
# loop's: answers of 64 kB once held up every other call until it was unknown.
_WINDOW = 4096
_COMPARED = 2048
_MOST_MESSAGES = 20
_LONGEST_WORD = 64
# Of a private word, what tells that a longer word has it in it.
_LEAST_CORE, _LONGEST_CORE = 4, 12
# A letter of an escape (as in a quoted JSON text) would make a word of its own with the word that follows it.
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|[A-Za-z])")
# Python refuses to read a number of thousands of digits, and no character has one of so many.
_NO_CHARACTER = re.compile(r"&#[xX]?[0-9A-Fa-f]{9,};?")
# They part no word for a person: soft hyphens, what has no width, and every other byte of UTF-16.
_UNSEEN = re.compile("[\0\u00ad\u200b-\u200f\u2060-\u2064\ufeff]")
_WORD = re.compile(r"[A-Za-z0-9]+")
# One letter alone tells nothing, and random ids hold them all: with it, "Not a number" would differ from call to call.
_LETTERS = re.compile(r"[a-z]{2,}")


def scrubbed(message: str, private: Iterable[str]) -> str:
    """A message of the endpoint without anything that may be the call's own: at most 200 ASCII characters.

    Kept are single letters, and words of letters that neither stand in a private value nor hold or extend a word of
    one; every word with a digit in it becomes ``*``, as phone numbers come in too many spellings to be searched for,
    and so does one of more than 64 letters. Names of parameters stay.

    Only the first 4,096 characters of a message are read, without the word that this cuts, and compared with the first
    2,048 of each private value.

    :param private: the values that may not survive, such as a city, a recording's URL or the password
    """
    return _shown(message, _Known(private))[:LONGEST]


def all_scrubbed(messages: Sequence[str], private: Iterable[str]) -> str:
    """Several messages, each as :func:`scrubbed` has it, in 200 characters; a long one leaves some for others."""
    known = _Known(private)
    room = LONGEST if len(messages) == 1 else LONGEST // 2
    shown = (_shown(message, known)[:room].strip() for message in messages[:_MOST_MESSAGES])
    return "; ".join(filter(None, shown))[:LONGEST].strip()


def _shown(message: str, known: _Known) -> str:
    plain = _plain(_beginning(message))
    shown: list[str] = []
    length = end = 0
    for word in _WORD.finditer(plain):
        shown += (plain[end : word.start()], known.hidden(word.group()))
        length += len(shown[-1]) + len(shown[-2])
        end = word.end()
        if length >= LONGEST:
            break
    return re.sub(r"[^ -~]", " ", "".join([*shown, plain[end : end + LONGEST]]))


class _Known:
    """The words that private values are made of, by what other words are held against them."""

    def __init__(self, private: Iterable[str]) -> None:
        spellings = "\n".join(each for value in private for each in _spellings(value[:_COMPARED]))
        self._words = set(_LETTERS.findall(spellings.casefold()))
        self._joined = "\n".join(self._words)
        self._cores = {word[:_LONGEST_CORE] for word in self._words if len(word) >= _LEAST_CORE}
        self._lengths: defaultdict[str, set[int]] = defaultdict(set)
        for core in self._cores:
            self._lengths[core[:_LEAST_CORE]].add(len(core))

    def hidden(self, word: str) -> str:
        """The word, or ``*`` in its place."""
        folded = word.casefold()
        if folded in self._words:
            return "*"
        if word in PARAMETERS:
            return word
        if not folded.isalpha() or len(folded) > _LONGEST_WORD:
            return "*"
        return "*" if (len(folded) > 2 and folded in self._joined) or self._has_core(folded) else word

    def _has_core(self, folded: str) -> bool:
        for start in range(len(folded) - _LEAST_CORE + 1):
            for length in self._lengths.get(folded[start : start + _LEAST_CORE], ()):
                if folded[start : start + length] in self._cores:
                    return True
        return False


def _spellings(value: str) -> Iterator[str]:
    """A private value as it is, and as an endpoint may spell it: without escapes, and without accents."""
    decoded = _decoded(value)
    yield value
    if decoded != value:
        yield decoded
    if not decoded.isascii():
        yield unicodedata.normalize("NFKD", decoded).encode("ascii", errors="ignore").decode()


def _beginning(message: str) -> str:
    """As much as is read of it; a word or an escape that this would cut is left out: half of it would be another."""
    if len(message) <= _WINDOW:
        return message
    end = _WINDOW
    while end and (message[end - 1].isalnum() or message[end - 1] in "%&#;\\_+"):
        end -= 1
    return message[:end]


def _plain(message: str) -> str:
    return _ESCAPE.sub(" ", _decoded(message)).encode("ascii", errors="replace").decode()


def _decoded(text: str) -> str:
    return _UNSEEN.sub("", html.unescape(_NO_CHARACTER.sub(" ", unquote(text))))
