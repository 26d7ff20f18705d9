"""Lints the prose that readers of every country read: `python .ci/prose.py`, which `make lint-prose` runs.

It reads the pages (README, CHANGELOG, docs), and the package's docstrings, comments and texts of more than two words,
such as messages and the commands' help. `prose.json` says how often each file still breaks each rule. A rule may be
broken less often than that, never more often. A rule that is not in the file must not be broken. `--write` lowers the
numbers, `--list RULE` shows each place.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import re
import sys
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "airflow_provider_impactcall"
PAGES = ("README.md", "CHANGELOG.md", "docs/**/*.md")
MOST_WORDS = 35
"""The most words of a sentence. Readers of a second language lose the subject of a longer sentence."""

Counts = dict[str, dict[str, int]]
"""By rule and file, how often the file breaks the rule."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A habit of writing that costs readers.

    :param name: its name in `prose.json` and `--list`
    :param pattern: what breaks the rule; a text is searched without its code and links
    :param better: what to write instead
    """

    name: str
    pattern: re.Pattern[str]
    better: str


def _rule(name: str, pattern: str, better: str) -> Rule:
    return Rule(name, re.compile(pattern, re.MULTILINE), better)


_START = r"(?:\A|(?<=[.!?:] )|(?<=[.!?:]\n))"
_NOT = r"(?:[Nn]ot|[Nn]ever|[Nn]othing|[Nn]obody|[Nn]either)"
_VERB = r"(?:is|are|was|were|has|have|had|do|does|can|cannot|may|must|will|would)"
_BE = r"(?:[Ii]s|[Aa]re|[Ww]as|[Ww]ere|be|been)"

RULES = (
    _rule(
        "is-no",
        rf"(?<![Tt]here )(?<![Tt]here will )\b{_BE} no (?!longer\b|more\b|one\b|matter\b)(?=[\w*'\"(])",
        'write "is not a ...": the verb then says at once that the sentence denies something',
    ),
    _rule(
        "is-none",
        rf"(?<![Tt]here )(?<![Tt]here will )\b{_BE} none\b(?! the )",
        'repeat the noun: "is not a number", "is not one of the 50 parameters"',
    ),
    _rule(
        "old-word",
        r"(?i)\b(?:lest|whence|whereof|thereof|wherein|therein|whereby|hitherto|forthwith|albeit|whosoever)\b",
        'use a word of today: "so that ... not", "from which", "in which"',
    ),
    _rule(
        "whoever",
        r"(?i)\b(?:whoever|whomever)\b",
        'name the person or the part: "the caller", "the person who", "the process that"',
    ),
    _rule(
        "that-of",
        r"\b(?:is|are|as|than|with|from|to|by|of|and|or|in|for) (?:that|those) of\b(?! which)",
        'repeat the noun: "the connection\'s host", "the row\'s value"',
    ),
    _rule(
        "nor",
        rf"{_START}(?:Neither|Nor) (?:is|are|was|were|do|does|did|has|have|had|can|may|must|will)\b",
        'put the subject first: "The ledger does not ... either"',
    ),
    _rule(
        "not-to",
        rf"\b{_BE} (?:not|never) to (?!blame\b)[a-z]+",
        'say who must not: "must not ...", "do not ..."',
    ),
    _rule(
        "what-subject",
        rf"{_START}What\b(?:[^.:;?]*?\b{_VERB}\b){{2}}(?![^.:]*\?)",
        'name the thing: "Rows that ...", not "What is ..."',
    ),
    _rule(
        "double-negation",
        rf"\b(?:{_NOT}|no \w+|none)\b(?: [\w'-]+){{0,3}} (?:without|not|never|unless|nothing)\b",
        "say what does happen: two negations in one clause are read twice",
    ),
)
LONG = "long-sentence"
BETTER = {rule.name: rule.better for rule in RULES} | {
    LONG: f"make two sentences of one with more than {MOST_WORDS} words, the subject first in each",
}


@dataclass(frozen=True, slots=True)
class Prose:
    """A paragraph, a cell of a table, a docstring's part, a comment or a message, and the line where it begins."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    rule: str
    file: str
    line: int
    excerpt: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.rule}: {self.excerpt}"


def without_code(text: str) -> str:
    """A text with one word in place of each code, link and reference. Its lines keep their numbers."""
    text = re.sub(r"(``?)(?!`)[^`]+?\1", lambda code: "Code" + "\n" * code[0].count("\n"), text)
    text = re.sub(r":\w+:Code", "Code", text)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return re.sub(r"https?://\S+", "Link", text)


def of_markdown(source: str) -> Iterator[Prose]:
    """The paragraphs, items, headings and cells of a page, without its blocks of code."""
    source = re.sub(r"^( *)(```|~~~).*?^ *\2 *$", lambda block: "\n" * block[0].count("\n"), source, flags=re.M | re.S)
    source = re.sub(r"<!--.*?-->", lambda comment: "\n" * comment[0].count("\n"), source, flags=re.S)
    start, lines = 0, list[str]()
    for number, line in enumerate([*source.split("\n"), ""], 1):
        begins = re.match(r"\s*(?:[-*+] |\d+\. |#+ |> |\|)", line)
        if lines and (begins or not line.strip()):
            yield Prose(start, without_code("\n".join(lines)))
            lines = []
        if line.lstrip().startswith("|"):
            for cell in re.split(r"(?<!\\)\|", line):
                if cell.strip(" -:"):
                    yield Prose(number, without_code(cell.strip()))
        elif line.strip():
            start = start if lines else number
            lines.append(line.strip().removeprefix(begins[0].strip()).strip() if begins else line.strip())


def of_python(source: str) -> Iterator[Prose]:
    """The docstrings, comments and texts of more than two words of a module."""
    tree = ast.parse(source)
    docstrings = {
        id(node.value): (node.value.lineno, node.value.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    }
    for line, text in docstrings.values():
        yield from _of_docstring(line, text)
    # ast.walk is breadth first: it reaches a text before its parts.
    read = set(docstrings)
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            read.update(id(part) for part in ast.walk(node) if isinstance(part, ast.Constant))
            parts = [str(part.value) if isinstance(part, ast.Constant) else "Value" for part in node.values]
            yield from _of_text(node.lineno, "".join(parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in read:
            yield from _of_text(node.lineno, node.value)
    yield from _of_comments(source)


def _of_docstring(line: int, text: str) -> Iterator[Prose]:
    for paragraph in re.finditer(r"(?:(?!\n[ \t]*\n|\n[ \t]*:[a-z]+[^:\n]*:).)+", text, re.S):
        said = re.sub(r"^\s*:[a-z]+[^:\n]*:(?!`)", lambda field: "\n" * field[0].count("\n"), paragraph[0])
        said = re.sub(r"\n[ \t]+", "\n", said)
        before = text[: paragraph.start()].count("\n") + said[: len(said) - len(said.lstrip())].count("\n")
        if said.strip():
            yield Prose(line + before, without_code(said.strip()))


def _of_text(line: int, text: str) -> Iterator[Prose]:
    if len(text.split()) > 2 and not re.match(r"\s*(?:SELECT|INSERT|UPDATE|DELETE|CREATE|<)\b", text):
        yield Prose(line, without_code(text.strip()))


def _of_comments(source: str) -> Iterator[Prose]:
    start, lines, last = 0, list[str](), -1
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        said = re.sub(r"^#+ ?(?:noqa\S*(?: [A-Z0-9]+)? ?|type: ignore\S* ?|pragma: no cover ?)?-? ?", "", token.string)
        alone = not token.line[: token.start[1]].strip()
        if lines and not (alone and token.start[0] == last + 1):
            yield Prose(start, without_code("\n".join(lines)))
            lines = []
        start = start if lines else token.start[0]
        lines.append(said)
        last = token.start[0] if alone else -1
    if lines:
        yield Prose(start, without_code("\n".join(lines)))


def broken_rules(file: str, source: str) -> Iterator[Finding]:
    """Where a file breaks a rule.

    :param file: its path below the root; the ending says how to read the file
    """
    for prose in of_markdown(source) if file.endswith(".md") else of_python(source):
        for rule in RULES:
            # To a rule, a line's end is a space. Both are one character, so places stay right.
            for match in rule.pattern.finditer(prose.text.replace("\n", " ")):
                yield Finding(rule.name, file, *_place(prose, match.start(), match.end()))
        for sentence in re.finditer(r"(?:(?![.!?][)\"']*\s).)+", prose.text, re.S):
            if len(re.findall(r"[\w'-]+", sentence[0])) > MOST_WORDS:
                yield Finding(LONG, file, *_place(prose, sentence.start() + 1, sentence.start() + 60))


def _place(prose: Prose, start: int, end: int) -> tuple[int, str]:
    excerpt = prose.text[max(0, start - 30) : end + 30].replace("\n", " ").strip()
    return prose.line + prose.text[:start].count("\n"), excerpt


def files() -> list[Path]:
    """The files that are linted."""
    pages = [path for pattern in PAGES for path in ROOT.glob(pattern)]
    return sorted([*pages, *(ROOT / PACKAGE).rglob("*.py")])


def counted(findings: Sequence[Finding]) -> Counts:
    """How many findings there are, by rule and file."""
    counts: Counts = {}
    for (rule, file), number in sorted(Counter((each.rule, each.file) for each in findings).items()):
        counts.setdefault(rule, {})[file] = number
    return counts


def complaints(findings: Sequence[Finding], allowed: Counts) -> list[str]:
    """Each rule that is broken more often than allowed, with the places in the files that break it more often.

    A rule's sum is compared: a sentence may move from one file into another.
    """
    found = counted(findings)
    lines = []
    for rule in BETTER:
        now, before = found.get(rule, {}), allowed.get(rule, {})
        if sum(now.values()) > sum(before.values()):
            lines.append(f"{rule}: {sum(now.values())}, allowed are {sum(before.values())}; {BETTER[rule]}")
            more = {file for file, number in now.items() if number > before.get(file, 0)}
            lines += [f"  {each}" for each in findings if each.rule == rule and each.file in more]
    return lines


def lowered(found: Counts, allowed: Counts) -> Counts:
    """The numbers allowed from now on: what was found, for each rule that is not broken more often than allowed."""
    return {
        rule: now if sum(now.values()) <= sum(allowed[rule].values()) else allowed[rule]
        for rule, now in found.items()
        if rule in allowed
    }


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="lower the numbers of prose.json to what is found")
    parser.add_argument("--list", metavar="RULE", choices=[*BETTER, "all"], help="show what breaks this rule")
    parser.add_argument("--counts", action="store_true", help="show how often each rule is broken")
    options = parser.parse_args(arguments)
    kept = ROOT / ".ci" / "prose.json"
    allowed: Counts = json.loads(kept.read_text(encoding="utf-8"))
    findings = [
        finding
        for path in files()
        for finding in broken_rules(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
    ]
    found = counted(findings)
    if options.list:
        print(*(each for each in findings if options.list in (each.rule, "all")), sep="\n")
    if options.counts:
        print(*(f"{sum(found.get(rule, {}).values()):5} {rule}" for rule in BETTER), sep="\n")
    if options.write:
        kept.write_text(json.dumps(lowered(found, allowed), indent=1) + "\n", encoding="utf-8")
    lines = complaints(findings, allowed)
    print(*lines, sep="\n", end="\n" if lines else "")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
