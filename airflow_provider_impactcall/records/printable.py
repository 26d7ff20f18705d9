"""Text that is safe on a terminal or in a log: no character moves the cursor, ends the line or reverses the text."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""The text, with Python's escape (such as ``\x1b``) in place of each character that cannot be printed."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)
