"""A row, or a value of a row, that could not be read."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_impactcall.exceptions import ProblemCode


@dataclass(frozen=True)
class UnreadableRow:
    """Stands among the rows of a file for an item that is not a row. Only this item is rejected, not the other rows.

    :param problem: the item's place and its problem, to be read after the word ``row``; it never quotes the content
    :param code: the same for programs
    """

    problem: str
    code: ProblemCode = ProblemCode.NOT_A_ROW


@dataclass(frozen=True)
class UnreadableValue:
    """Stands in a row for a value that its source could not give. Only a call that needs this value is rejected.

    :param problem: the problem, to be read after a parameter's name; it never quotes the value
    """

    problem: str
