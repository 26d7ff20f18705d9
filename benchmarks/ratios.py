"""Figures of several repeats, and their targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.results import markdown_table


@dataclass(frozen=True)
class Figure:
    """A figure that was measured once in each repeat.

    :param values: in the order of the repeats
    """

    values: tuple[float, ...]

    @classmethod
    def ratio(cls, ones: Sequence[float], others: Sequence[float]) -> Figure:
        """The ratio of one to the other in each repeat."""
        return cls(tuple(one / other for one, other in zip(ones, others, strict=True)))

    @property
    def middle(self) -> float:
        return median(self.values)

    @property
    def repeats(self) -> str:
        """Each value, in the order in which they were measured."""
        return ", ".join(map(self._shown, self.values))

    def __str__(self) -> str:
        """The median, and in brackets the lowest and the highest."""
        return f"{self._shown(self.middle)} ({self._shown(min(self.values))} to {self._shown(max(self.values))})"

    def _shown(self, value: float) -> str:
        # The median decides the digits, so that all values of a figure have the same form.
        return f"{value:,.{0 if abs(self.middle) >= 100 else 1 if abs(self.middle) >= 10 else 2}f}"


@dataclass(frozen=True)
class Target:
    """The target of a figure.

    :param key: the key under which a benchmark gives the figure
    :param now: the figure when the targets were set
    :param required: the least that is required; None for a figure that is only for information
    :param goal: the value to aim at; None like ``required``
    :param at_most: ``required`` and ``goal`` are upper bounds
    """

    key: str
    text: str
    now: str = ""
    required: float | None = None
    goal: float | None = None
    at_most: bool = False

    def verdict(self, figure: Figure) -> str:
        """Whether the median reaches the target."""
        if self.required is None or self.goal is None:
            return "for information"
        if self._reaches(figure, self.goal):
            return "goal met"
        return "met" if self._reaches(figure, self.required) else "**not met**"

    def line(self, figure: Figure | None) -> tuple[str, ...]:
        """A row of :func:`table`, also for a figure that was not measured."""
        bounds = (_bound(self.required), _bound(self.goal))
        if figure is None:
            return self.text, self.now, *bounds, "not measured", "", ""
        return self.text, self.now, *bounds, str(figure), self.verdict(figure), figure.repeats

    def _reaches(self, figure: Figure, bound: float) -> bool:
        return figure.middle <= bound if self.at_most else figure.middle >= bound


HEAD = ("", "before", "required", "goal", "measured", "", "each repeat")


def table(targets: Sequence[Target], figures: dict[str, Figure]) -> str:
    """Each target with its measured figure, as a Markdown table."""
    return markdown_table(HEAD, [target.line(figures.get(target.key)) for target in targets])


def _bound(value: float | None) -> str:
    return "" if value is None else f"{value:,g}"
