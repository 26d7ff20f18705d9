"""What of a message is no wording: the names, values, numbers and remedies in it. Their sentence may change."""

from __future__ import annotations

import re
from collections.abc import Iterable


def named(said: str, *facts: object) -> list[object]:
    """Those of the facts that stand in a text as words of their own."""
    return [fact for fact in facts if re.search(rf"(?<!\w){re.escape(str(fact))}(?!\w)", said)]


def numbers(said: str) -> list[int]:
    """Each number of a text, in its order."""
    return [int(digits) for digits in re.findall(r"\d+", said)]


def unfit(problems: Iterable[tuple[str, str]], *facts: object) -> list[tuple[object, ...]]:
    """Of each problem the parameter, and those of the facts that stand in what is said of it."""
    return [(parameter, *named(said, *facts)) for parameter, said in problems]
