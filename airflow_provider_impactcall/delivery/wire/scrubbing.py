"""Removes private words from a text that someone else wrote about a call. The work is bounded for any text."""

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

# Only the beginning of a text is shown, so only the beginning is read. The rest would cost time on the event loop:
# answers of 64 kB once held up all other calls until they were unknown.
_WINDOW = 4096
_COMPARED = 2048
_MOST_MESSAGES = 20
_LONGEST_WORD = 64
# So many first letters of a private word, at least and at most, show that a longer word contains it.
_LEAST_CORE, _LONGEST_CORE = 4, 12
# The letter of an escape such as \n (in a quoted JSON text) would merge with the word after it into another word.
_ESCAPE = re.compile(r"\\(u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|[A-Za-z])")
# Python refuses to convert a number of thousands of digits. No character's number has nine digits.
_NO_CHARACTER = re.compile(r"&#[xX]?[0-9A-Fa-f]{9,};?")
# Characters that a person does not see within a word: soft hyphens, those without width, every other byte of UTF-16.
_UNSEEN = re.compile("[\0\u00ad\u200b-\u200f\u2060-\u2064\ufeff]")
_WORD = re.compile(r"[A-Za-z0-9]+")
# Single letters are not private words. Random ids contain all letters, so "Not a number" would differ between calls.
_LETTERS = re.compile(r"[a-z]{2,}")


def scrubbed(message: str, private: Iterable[str]) -> str:
    """A message of the endpoint without the words that may be the call's own: at most 200 ASCII characters.

    A word of a private value becomes ``*``, and so does a word that contains such a word or is a part of one. Every
    word with a digit becomes ``*``, as phone numbers have too many spellings to search for. So does a word of more than
    64 letters. Single letters, other words and names of parameters stay.

    Only the first 4,096 characters of a message are read, without a word that is cut off there. They are compared with
    the first 2,048 characters of each private value.

    :param private: the values that must not be shown, such as a city, a recording's URL or the password
    """
    return _shown(message, _Known(private))[:LONGEST]


def all_scrubbed(messages: Sequence[str], private: Iterable[str]) -> str:
    """Several messages, each scrubbed as by :func:`scrubbed`, in 200 characters; a long one leaves room for others."""
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
    """The words of the private values, prepared for comparing other words with them."""

    def __init__(self, private: Iterable[str]) -> None:
        spellings = "\n".join(each for value in private for each in _spellings(value[:_COMPARED]))
        self._words = set(_LETTERS.findall(spellings.casefold()))
        self._joined = "\n".join(self._words)
        self._cores = {word[:_LONGEST_CORE] for word in self._words if len(word) >= _LEAST_CORE}
        self._lengths: defaultdict[str, set[int]] = defaultdict(set)
        for core in self._cores:
            self._lengths[core[:_LEAST_CORE]].add(len(core))

    def hidden(self, word: str) -> str:
        """The word itself, or ``*`` if it may be private."""
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
    """A private value unchanged, and as an endpoint may spell it: without escapes, and without accents."""
    decoded = _decoded(value)
    yield value
    if decoded != value:
        yield decoded
    if not decoded.isascii():
        yield unicodedata.normalize("NFKD", decoded).encode("ascii", errors="ignore").decode()


def _beginning(message: str) -> str:
    """The part of a message that is read. A word or an escape that would be cut is left out: half a word is another."""
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
