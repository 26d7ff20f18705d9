"""Figures of several repeats, and what they are to reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.results import markdown_table


@dataclass(frozen=True)
class Figure:
    """What was measured, once a repeat.

    :param values: in the order of the repeats
    """

    values: tuple[float, ...]

    @classmethod
    def ratio(cls, ones: Sequence[float], others: Sequence[float]) -> Figure:
        """The ratios of one to another, each of the same repeat."""
        return cls(tuple(one / other for one, other in zip(ones, others, strict=True)))

    @property
    def middle(self) -> float:
        return median(self.values)

    @property
    def repeats(self) -> str:
        """Each value, in the order in which they were measured."""
        return ", ".join(map(self._shown, self.values))

    def __str__(self) -> str:
        """The median, and in brackets the least and the most."""
        return f"{self._shown(self.middle)} ({self._shown(min(self.values))} to {self._shown(max(self.values))})"

    def _shown(self, value: float) -> str:
        # By the median, so that all values of a figure look alike.
        return f"{value:,.{0 if abs(self.middle) >= 100 else 1 if abs(self.middle) >= 10 else 2}f}"


@dataclass(frozen=True)
class Target:
    """What a figure is to reach.

    :param key: what a benchmark gives the figure by
    :param now: what it was when the targets were set
    :param required: None for a figure that is for information
    :param goal: None as well
    :param at_most: both are upper bounds
    """

    key: str
    text: str
    now: str = ""
    required: float | None = None
    goal: float | None = None
    at_most: bool = False

    def verdict(self, figure: Figure) -> str:
        """By the median."""
        if self.required is None or self.goal is None:
            return "for information"
        if self._reaches(figure, self.goal):
            return "goal met"
        return "met" if self._reaches(figure, self.required) else "**not met**"

    def line(self, figure: Figure | None) -> tuple[str, ...]:
        """A row of :func:`table`; a figure that was not measured has one, too."""
        bounds = (_bound(self.required), _bound(self.goal))
        if figure is None:
            return self.text, self.now, *bounds, "not measured", "", ""
        return self.text, self.now, *bounds, str(figure), self.verdict(figure), figure.repeats

    def _reaches(self, figure: Figure, bound: float) -> bool:
        return figure.middle <= bound if self.at_most else figure.middle >= bound


HEAD = ("", "before", "required", "goal", "measured", "", "each repeat")


def table(targets: Sequence[Target], figures: dict[str, Figure]) -> str:
    """Each target with what was measured of it, a Markdown table."""
    return markdown_table(HEAD, [target.line(figures.get(target.key)) for target in targets])


def _bound(value: float | None) -> str:
    return "" if value is None else f"{value:,g}"
