"""A row, or a value of one, that could not even be read."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_impactcall.exceptions import ProblemCode


@dataclass(frozen=True)
class UnreadableRow:
    """Stands among the rows of a file for an item that is not a row: this item is rejected, the rows beside it are not.

    :param problem: where it is and what is wrong with it, to be read after the word ``row``; never what it holds
    :param code: the same for programs
    """

    problem: str
    code: ProblemCode = ProblemCode.NOT_A_ROW


@dataclass(frozen=True)
class UnreadableValue:
    """Stands in a row for a value that its source could not give, so that it costs only a call that needs it.

    :param problem: what is wrong with it, to be read after a parameter's name; never what it is
    """

    problem: str
