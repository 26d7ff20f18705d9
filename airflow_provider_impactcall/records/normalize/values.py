"""Parts that every reader needs: its error, its guard, and descriptions of a value that do not quote it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection
from datetime import datetime
from enum import Enum
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from airflow_provider_impactcall.exceptions import ProblemCode
from airflow_provider_impactcall.records.unreadable import UnreadableValue

_WORD = re.compile(r"[A-Za-z][A-Za-z _-]{0,30}(: [A-Za-z][A-Za-z _-]{0,30})?")

_MOST_COMPARED = 200
_NEAR = 0.75
# Words of vendors' documentation for a call's end, its direction and its source.
_USUAL = frozenset({
    "abandoned", "active", "after", "agent", "answer", "answered", "attempt", "blocked", "busy", "call", "callback",
    "caller", "canceled", "cancelled", "cause", "completed", "congestion", "connected", "declined", "desktop",
    "dial", "disconnected", "dropped", "ended", "error", "failed", "failure", "false", "finished", "forwarded",
    "free", "hangup", "hours", "human", "hung", "in", "inbound", "incoming", "initiated", "internal", "landline",
    "live", "lost", "machine", "missed", "mobile", "no", "none", "normal", "not", "null", "off", "on", "outbound",
    "outgoing", "parked", "paused", "pending", "progress", "queued", "received", "rejected", "ringing", "scheduled",
    "status", "success", "tablet", "timeout", "toll", "transfer", "transferred", "true", "unanswered",
    "unavailable", "unknown", "up", "voicemail", "voip", "yes",
})  # fmt: skip

_SOMETHING = frozenset({int, bool, datetime})

_P = ParamSpec("_P")
_T = TypeVar("_T")


class UnfitValue(ValueError):
    """The problem of a value, in this package's own words. They never quote the value.

    :param message: the words, to be read after a parameter's name
    :param code: the same for programs; a function of a mapping may leave it out
    :raises ValueError: if the code is not a :class:`.ProblemCode`
    """

    def __init__(self, message: str, code: ProblemCode = ProblemCode.MAPPING_FAILED) -> None:
        super().__init__(message)
        self.code = ProblemCode(code)


def misread(value: Any, code: ProblemCode) -> ProblemCode:
    """The problem code of a value that cannot be read.

    :param code: the code for text; for any other type the code is ``WRONG_TYPE``
    """
    return code if isinstance(value, str) else ProblemCode.WRONG_TYPE


def reader(read: Callable[Concatenate[Any, _P], _T]) -> Callable[Concatenate[Any, _P], _T]:
    """Wraps a function so that it raises only :class:`UnfitValue`.

    Some values run code of their own (a lazy string, a zone, a driver's type). This code may raise any error, and the
    error's text may quote the value.
    """

    @wraps(read)
    def guarded(value: Any, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        if type(value) is UnreadableValue:  # isinstance() trusts a fake __class__.
            raise UnfitValue(value.problem, ProblemCode.UNREADABLE)
        try:
            return read(plain(value), *args, **kwargs)
        except UnfitValue:
            raise
        except Exception as error:
            raise UnfitValue(f"cannot be read: {type(error).__name__}", ProblemCode.UNREADABLE) from None

    return guarded


def plain(value: Any) -> Any:
    """The value of an enum, and a subclass of ``str`` as plain ``str``: a subclass may print or compare differently."""
    if type(value) is str or type(value) is int:  # the common cases, for speed
        return value
    if isinstance(value, Enum):
        value = value.value
    return str.__str__(value) if isinstance(value, str) else value


def is_absent(value: Any) -> bool:
    """Whether a value counts as absent: ``None``, ``''``, NaN, NaT, pandas' ``NA``, or a list of only these."""
    if value is None or type(value) is str:  # the common cases, for speed
        return not value
    if type(value) in _SOMETHING:
        return False
    try:
        bare = plain(value)
        if isinstance(bare, (list, tuple)):
            return all(map(_is_nothing, bare))
        return _is_nothing(bare)
    except Exception:
        # An object that cannot be compared (an array, a signalling NaN) counts as a value.
        return False


def is_blank(value: Any) -> bool:
    """Whether a value is absent, or is text of only blanks."""
    if type(value) is str and value[:1].isascii() and value[:1].isalnum():
        return False
    return not bare(value) if isinstance(value, str) else is_absent(value)


def _is_nothing(value: Any) -> bool:
    if value is None or type(value).__name__ == "NAType":
        return True
    return value == "" if isinstance(value, str) else bool(value != value)


_WHITESPACE = "".join(letter for letter in map(chr, range(0x3001)) if letter.isspace())
# Characters that Unicode says are not shown, and letters that are shown as blanks. Text copied from a web page or a
# phone may have direction marks around it.
_INVISIBLE = (
    "\u00ad\u034f\u061c\u115f\u1160\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
    "\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\u2800\u3164\ufeff\uffa0"
)
BLANKS = _WHITESPACE + _INVISIBLE


_ESCAPES = ("'", "=")


def bare(value: str) -> str:
    """Text without blanks of any kind around it, such as the padding of a fixed-width column."""
    return str.strip(value, BLANKS)


def unescaped(value: str) -> str:
    """Text without blanks around it, and without a spreadsheet's marks for text, which stop it from becoming a number.

    The marks are an apostrophe or a tab before it, or a formula around it: ``'+12125550123``, ``="+12125550123"``.
    """
    found = bare(value)
    while found[:1] in _ESCAPES:
        if found.startswith("'"):
            inner = found[1:]
        elif len(found) >= len('=""') and found.startswith('="') and found.endswith('"'):
            inner = found[2:-1]
        else:
            break
        found = bare(inner)
    return found


def described(value: Any) -> str:
    """A value in a message: its type, and its length if it is text; ``nothing`` for None."""
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return f"text of {str.__len__(value)} characters"
    return f"a value of type {type(value).__name__}"


def word(value: Any, vocabulary: Collection[Any] = ()) -> str:
    """A value in a message about a fixed vocabulary. The word itself is shown if it is similar to a word of the
    vocabulary or to a usual word for calls. Any other word may come from the wrong column and be a name or a password.
    """
    if isinstance(value, str) and _WORD.fullmatch(bare(value)):
        words = _USUAL.union(*(_words(each) for each in vocabulary if isinstance(each, str)))
        if len(words) <= _MOST_COMPARED + len(_USUAL) and all(_is_near(each, words) for each in _words(bare(value))):
            return repr(bare(value))
    return described(value)


def _words(text: str) -> list[str]:
    return re.findall("[a-z]+", text.casefold())


def _is_near(written: str, words: Collection[str]) -> bool:
    return written in words or bool(difflib.get_close_matches(written, words, n=1, cutoff=_NEAR))
