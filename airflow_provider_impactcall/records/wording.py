"""Facts about sources that need no row: their columns, their words in documentation, and how words are compared."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_impactcall.records import normalize

_LONGEST_WORD = 64
_DIGITS_OF_A_NUMBER = 7
_MOST_WORDS = 1024
_remembered: dict[str, str] = {}


def folded(word: Any) -> str:
    """A word in the form in which words are compared: in one case, with spaces for ``-`` and ``_``.

    A vendor's API and webhooks may write the same word in different ways.
    """
    if type(word) is str:
        found = _remembered.get(word)
        if found is not None:
            return found
    elif isinstance(word, bool):
        return "true" if word else "false"
    text = normalize.text(word)
    found = " ".join(normalize.bare(text).casefold().replace("-", " ").replace("_", " ").split())
    if may_be_kept(text):
        if len(_remembered) >= _MOST_WORDS:
            _remembered.clear()
        _remembered[text] = found
    return found


def may_be_kept(word: str) -> bool:
    """Whether a word may stay in memory: it must be short, with fewer digits than a phone number has."""
    return len(word) <= _LONGEST_WORD and sum(map(str.isdigit, word)) < _DIGITS_OF_A_NUMBER


def names_in(source: Any) -> Iterator[str]:
    """The columns that a source asks for, needed or optional. A function names its own with :func:`.reads`."""
    if isinstance(source, str):
        yield source
    elif isinstance(source, Mapping):
        yield from names_in(source.get("from"))
        yield from names_in(source.get("rounded_down"))
        first_of = source.get("first_of")
        for each in first_of if isinstance(first_of, (list, tuple)) else ():
            yield from names_in(each)
    elif callable(source):
        yield from getattr(source, "columns", ())


def tells_columns(source: Any) -> bool:
    """Whether :func:`names_in` gives every column that a source asks for. False if a function does not name its own."""
    if callable(source):
        return hasattr(source, "columns")
    if not isinstance(source, Mapping):
        return True
    first_of = source.get("first_of")
    inner = (source.get("from"), source.get("rounded_down"), *(first_of if isinstance(first_of, (list, tuple)) else ()))
    return all(map(tells_columns, inner))


def adds(source: Any) -> bool:
    """Whether a source adds words to the preset's table, and so asks for the columns of the preset's source."""
    return isinstance(source, Mapping) and "values" in source and "from" not in source


def derives(source: Any) -> bool:
    """Whether a source may be a country that is derived from its phone number (``derived_else``)."""
    if not isinstance(source, Mapping):
        return False
    first_of = source.get("first_of")
    return "derived_else" in source or (isinstance(first_of, (list, tuple)) and any(map(derives, first_of)))


def in_words(source: Any) -> str:
    """A source in words, for documentation: names in double backticks; for a function, its docstring's first part."""
    if isinstance(source, str):
        return f"``{source}``"
    if callable(source):
        sentence = (inspect.getdoc(source) or "a function of the row").partition("\n\n")[0]
        said = " ".join(sentence.split()).removesuffix(".")
        return said[:1].lower() + said[1:] if said[1:2].islower() else said
    if "constant" in source:
        return f"always ``{source['constant']}``"
    if "first_of" in source:
        return ", else ".join(map(in_words, source["first_of"]))
    if "rounded_down" in source:
        return f"{in_words(source['rounded_down'])}, rounded down"
    if "derived_else" in source:
        return f"the country that the number shows, else ``{source['derived_else']}``"
    if "lookup" in source:
        return f"by {in_words(source['from'])}, from a table"
    words: dict[Any, list[str]] = {}
    for word, value in source["values"].items():
        words.setdefault(value, []).append(f"``{word}``")
    table = [f"{', '.join(each)} → ``{value}``" for value, each in words.items()]
    if "default" in source:
        default = source["default"]
        table.append("any other is not sent" if default is None else f"any other → ``{default}``")
    return f"{in_words(source['from'])}: {'; '.join(table)}"
