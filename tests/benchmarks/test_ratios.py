"""Verdicts are by the median of ratios, each of one round, and each round's is shown."""

from __future__ import annotations

import pytest

from benchmarks.ratios import Figure, Target, table
from benchmarks.targets import FULL, PARTS, QUICK, TARGETS, Sizes, chosen, known, mapping

RATE = Target("rate", "calls/s", "0.33", required=0.9, goal=1.2)
CPU = Target("cpu", "CPU", "3", required=1.2, goal=0.8, at_most=True)


def test_a_ratio_is_of_one_round() -> None:
    figure = Figure.ratio([800, 2000, 700], [1000, 4000, 1000])
    assert figure.values == (0.8, 0.5, 0.7)
    assert figure.middle == 0.7
    assert str(figure) == "0.70 (0.50 to 0.80)"
    assert figure.repeats == "0.80, 0.50, 0.70"


def test_rounds_that_do_not_match_are_no_ratio() -> None:
    with pytest.raises(ValueError, match="shorter"):
        Figure.ratio([1, 2], [1])


@pytest.mark.parametrize(
    ("target", "value", "verdict"),
    [
        (RATE, 0.89, "**not met**"),
        (RATE, 0.9, "met"),
        (RATE, 1.2, "goal met"),
        (CPU, 1.21, "**not met**"),
        (CPU, 1.2, "met"),
        (CPU, 0.8, "goal met"),
        (Target("tls", "over TLS"), 0.1, "for information"),
    ],
)
def test_a_figure_is_judged_by_its_median(target: Target, value: float, verdict: str) -> None:
    assert target.verdict(Figure((0.0, value, 9.0))) == verdict


def test_the_table_has_every_target_and_every_repeat() -> None:
    head, _, rate, cpu = table([RATE, CPU], {"rate": Figure((1.0, 1300.0, 1500.0))}).splitlines()
    assert head.endswith("| each repeat |")
    assert rate == "| calls/s | 0.33 | 0.9 | 1.2 | 1,300 (1 to 1,500) | goal met | 1, 1,300, 1,500 |"
    assert cpu == "| CPU | 3 | 1.2 | 0.8 | not measured |  |  |"


def test_targets_have_keys_of_their_own() -> None:
    assert len({target.key for target in TARGETS}) == len(TARGETS)
    assert all((target.required is None) == (target.goal is None) for target in TARGETS)


def test_in_a_hurry_the_long_parts_are_left_out() -> None:
    assert [*chosen(FULL, [])] == [*PARTS]
    assert [*chosen(QUICK, [])] == ["sending", "mapping", "skipping"]
    assert [*chosen(QUICK, ["mapping"])] == ["mapping"]


def test_a_part_says_what_it_came_to() -> None:
    few = Sizes(2, 1, 1, 1, 0, rows=5, known=1, ledger=1, databases=(), seconds=0, million=0)
    part = mapping(few)
    assert [len(figure.values) for figure in part.figures.values()] == [2]
    assert part.figures.keys() <= {target.key for target in TARGETS}
    assert part.text.startswith("5 rows of each vendor, 2 rounds:")


def test_skipping_is_told_by_the_clock_and_of_cpu() -> None:
    few = Sizes(2, 1, 1, 1, 0, rows=1, known=20, ledger=100, databases=("sqlite",), seconds=0, million=0)
    part = known(few)
    assert [*part.figures] == ["skipping", "skipping_cpu"]
    assert [len(figure.values) for figure in part.figures.values()] == [2, 2]
    assert part.figures.keys() <= {target.key for target in TARGETS}
