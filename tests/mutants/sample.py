"""The committed files: the sample, the subjects' modules and tests, and the reasons of survivors."""

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
    :param operator: cosmic-ray's operator
    :param before: the lines that it changes, without the function's common indentation
    :param after: what they become
    :param nth: which change, if a function has the same line several times, or the operator changes it in the same way
    """

    function: str
    operator: str
    before: str
    after: str
    nth: int


@dataclass(frozen=True)
class Subject:
    """Rules that belong together.

    :param modules: the modules with these rules, by a name that stays when a module is moved
    :param tests: the tests that must notice a change of the rules, the quickest first
    :param mutants: how many are drawn
    :param leave_out: patterns of functions without a rule of the subject
    :param only: patterns of functions with a rule of the subject
    """

    name: str
    modules: list[str]
    tests: list[str]
    mutants: int
    leave_out: tuple[str, ...] = ()
    only: tuple[str, ...] = ("*",)

    def takes(self, function: str) -> bool:
        """Whether a function has a rule of this subject."""
        return _fits(function, self.only) and not _fits(function, self.leave_out)


@dataclass(frozen=True)
class Drawn:
    """A mutant of the sample."""

    subject: str
    module: str
    mutant: Mutant

    @property
    def name(self) -> str:
        """A short name, which stays the same as long as the mutant does."""
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
