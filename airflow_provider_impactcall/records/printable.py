"""Text for people, on a terminal or in a log: without what would move a cursor, end a line or turn the text around."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""The text, with each character that cannot be printed as the escape that Python writes for it (``\x1b``)."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
