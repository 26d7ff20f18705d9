"""The facts of a message: the names, values, numbers and remedies in it. The wording around them may change."""

from __future__ import annotations

import re
from collections.abc import Iterable


def named(said: str, *facts: object) -> list[object]:
    """The facts that a text has as separate words."""
    return [fact for fact in facts if re.search(rf"(?<!\w){re.escape(str(fact))}(?!\w)", said)]


def numbers(said: str) -> list[int]:
    """Each number of a text, in its order."""
    return [int(digits) for digits in re.findall(r"\d+", said)]


def unfit(problems: Iterable[tuple[str, str]], *facts: object) -> list[tuple[object, ...]]:
    """For each problem: the parameter, and the facts that its sentence has."""
    return [(parameter, *named(said, *facts)) for parameter, said in problems]
