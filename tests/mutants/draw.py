"""``python -m tests.mutants.draw``: draws mutants from a seed, in place of those whose line no longer exists.

The other mutants of the sample stay, so that the same mutants are measured before and after a change.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, zip_longest
from random import Random

from tests.mutants.mutation import functions_of, mutants_of
from tests.mutants.sample import ROOT, Drawn, Subject, drawn, paths, save, subjects

SEED = 14


def draw(subject: Subject, sample: list[Drawn], random: Random) -> list[Drawn]:
    """The subject's mutants: those of the sample whose line exists, and new ones up to the subject's number.

    New mutants are of lines that have none yet, all equally likely; with too few lines, a line gets a second mutant.
    """
    by_line: dict[tuple[str, str, str], list[Drawn]] = {}
    for each in possible(subject):
        by_line.setdefault((each.module, each.mutant.function, each.mutant.before.partition("\n")[0]), []).append(each)
    known = set(sample)
    kept = [each for line in by_line.values() for each in line if each in known]
    lines = list(by_line.values())
    random.shuffle(lines)
    for line in lines:
        random.shuffle(line)
        line.sort(key=known.__contains__, reverse=True)
    in_turn = [each for each in chain.from_iterable(zip_longest(*lines)) if each is not None and each not in known]
    return sorted(kept + in_turn[: subject.mutants - len(kept)], key=lambda each: (each.module, each.mutant))


def possible(subject: Subject) -> Iterator[Drawn]:
    """All mutants of the subject's rules."""
    places = paths()
    for module in subject.modules:
        for path in places[module]:
            for function in functions_of((ROOT / path).read_text()).values():
                if subject.takes(function.name):
                    for mutant, _ in mutants_of(function):
                        yield Drawn(subject.name, module, mutant)


def main() -> None:
    sample = drawn()
    redrawn: list[Drawn] = []
    for subject in subjects().values():
        found = draw(subject, sample, Random(f"{SEED} {subject.name}"))
        print(f"{subject.name:16} {len(found):4}, of which {len(set(found) - set(sample))} are new")
        redrawn += found
    save(redrawn)


if __name__ == "__main__":
    main()
