"""``python -m tests.mutants.draw``: draws the sample anew, from a seed. The same sample is measured before and after a
change.
"""

from __future__ import annotations

from itertools import chain, zip_longest
from random import Random

from tests.mutants.mutation import functions_of, mutants_of
from tests.mutants.sample import ROOT, Drawn, Subject, paths, save, subjects

SEED = 14


def draw(subject: Subject, random: Random) -> list[Drawn]:
    """One mutant of each of so many lines, all equally likely; with too few lines, a second mutant of a line."""
    places = paths()
    by_line: dict[tuple[str, str, str], list[Drawn]] = {}
    for module in subject.modules:
        for path in places[module]:
            for function in functions_of((ROOT / path).read_text()).values():
                if subject.takes(function.name):
                    for mutant, _ in mutants_of(function):
                        place = module, function.name, mutant.before.partition("\n")[0]
                        by_line.setdefault(place, []).append(Drawn(subject.name, module, mutant))
    lines = list(by_line.values())
    random.shuffle(lines)
    for line in lines:
        random.shuffle(line)
    in_turn = [each for each in chain.from_iterable(zip_longest(*lines)) if each is not None]
    return sorted(in_turn[: subject.mutants], key=lambda each: (each.module, each.mutant))


def main() -> None:
    sample: list[Drawn] = []
    for subject in subjects().values():
        found = draw(subject, Random(f"{SEED} {subject.name}"))
        print(f"{subject.name:16} {len(found):4}")
        sample += found
    save(sample)


if __name__ == "__main__":
    main()
