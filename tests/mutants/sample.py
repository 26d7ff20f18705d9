"""What is committed: the sample, the subjects' modules and tests, and the reasons of survivors."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SAMPLE = HERE / "sample.json"


class Mutant(NamedTuple):
    """One change of one function.

    :param function: its qualified name in its module, or the name that a statement of a module assigns
    :param operator: cosmic-ray's
    :param before: the lines that it changes, without the indentation that all of the function has
    :param after: what they become
    :param nth: which one, where a function has the same line several times, or the operator changes it the same
    """

    function: str
    operator: str
    before: str
    after: str
    nth: int


@dataclass(frozen=True)
class Subject:
    """Rules that belong together.

    :param modules: where they stand, by a name that stays when a module is moved
    :param tests: what is to notice a change of them, the quickest first
    :param mutants: how many are drawn
    :param leave_out: patterns of functions that hold no rule of the subject
    :param only: patterns of those that do
    """

    name: str
    modules: list[str]
    tests: list[str]
    mutants: int
    leave_out: tuple[str, ...] = ()
    only: tuple[str, ...] = ("*",)

    def takes(self, function: str) -> bool:
        """Whether a function holds a rule of it."""
        return _fits(function, self.only) and not _fits(function, self.leave_out)


@dataclass(frozen=True)
class Drawn:
    """A mutant of the sample."""

    subject: str
    module: str
    mutant: Mutant

    @property
    def name(self) -> str:
        """Short, and the same as long as the mutant is."""
        digest = hashlib.blake2b(json.dumps([self.module, *self.mutant]).encode(), digest_size=3).hexdigest()
        return f"{self.subject}-{digest}"


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def paths() -> dict[str, list[str]]:
    """The files that each module is in."""
    table: dict[str, list[str]] = tomllib.loads((HERE / "subjects.toml").read_text())["modules"]
    return table


def subjects() -> dict[str, Subject]:
    table = tomllib.loads((HERE / "subjects.toml").read_text())["subjects"]
    return {name: Subject(name, **values) for name, values in table.items()}


def survivors() -> dict[str, str]:
    """Why a mutant may stay unnoticed, by its name."""
    return {name: each["reason"] for name, each in tomllib.loads((HERE / "survivors.toml").read_text()).items()}


def drawn() -> list[Drawn]:
    return [
        Drawn(subject, each["module"], Mutant(**{name: each[name] for name in Mutant._fields}))
        for subject, mutants in json.loads(SAMPLE.read_text()).items()
        for each in mutants
    ]


def save(sample: list[Drawn]) -> None:
    by_subject: dict[str, list[dict[str, str | int]]] = {}
    for each in sample:
        by_subject.setdefault(each.subject, []).append({"module": each.module, **each.mutant._asdict()})
    SAMPLE.write_text(json.dumps(by_subject, indent=1, ensure_ascii=False) + "\n")
