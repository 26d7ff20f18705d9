"""The prose linter finds each habit it has a rule for, where a person would look, and lets plain sentences pass."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.documentation import ROOT

# Each breaks one rule.
PLANTED = {
    "is-no": "The text is no number.",
    "is-none": "A source that is none is refused.",
    "old-word": "It is closed, lest it leak.",
    "whoever": "Ask whoever runs the proxy.",
    "that-of": "The host is that of the connection.",
    "nor": "It is read once. Nor does it grow.",
    "not-to": "Such a call is not to be sent.",
    "what-subject": "What is longer is cut.",
    "double-negation": "A call is never sent without a record.",
    "long-sentence": f"The run {'sends a call and ' * 9}ends.",
}
PLAIN = [
    "There is no ledger.",
    "None if there is none.",
    "It is no longer read.",
    "What is a preset?",
    "A call that was sent twice is reported.",
    "`is no number` is what it says.",
]


def rules(prose: Any, file: str, source: str) -> list[str]:
    return [each.rule for each in prose.broken_rules(file, source)]


def test_each_rule_has_a_planted_sentence(prose: Any) -> None:
    assert set(prose.BETTER) == set(PLANTED)


@pytest.mark.parametrize(("rule", "sentence"), PLANTED.items(), ids=PLANTED)
def test_each_rule_finds_its_habit(prose: Any, rule: str, sentence: str) -> None:
    assert rules(prose, "page.md", f"# Title\n\n{sentence}\n") == [rule]
    assert rules(prose, "module.py", f'"""A module.\n\n{sentence}\n"""\n') == [rule]


@pytest.mark.parametrize("sentence", PLAIN)
def test_plain_sentences_pass(prose: Any, sentence: str) -> None:
    assert rules(prose, "page.md", sentence) == []


@pytest.mark.parametrize(
    ("source", "line"),
    [
        (
            '"""A module."""\n\n\ndef f():\n    """F.\n\n    :param x: a text that\n        is no number\n    """\n',
            8,
        ),
        ("x = 1\n# A text that\n# is no number\n", 3),
        ("x = 1  # is no number of ours\n", 1),
        ('raise ValueError("the text is no number")\n', 1),
        ('\nraise ValueError(f"{name}: is no number")\n', 2),
    ],
    ids=["parameter", "comment", "comment-behind-code", "message", "message-with-a-value"],
)
def test_a_module_is_read_where_people_read(prose: Any, source: str, line: int) -> None:
    assert [(each.rule, each.line) for each in prose.broken_rules("module.py", source)] == [("is-no", line)]


@pytest.mark.parametrize(
    ("page", "line"),
    [
        ("```\nis no number\n```\n\n- An item that\n  is no number\n", 6),
        ("| a | is no number |\n|---|---|\n", 1),
        ("[is no\nnumber](x.md)\n", 1),
    ],
    ids=["item", "cell", "link"],
)
def test_a_page_is_read_without_its_code(prose: Any, page: str, line: int) -> None:
    assert [(each.rule, each.line) for each in prose.broken_rules("page.md", page)] == [("is-no", line)]


def test_a_rule_may_be_broken_as_often_as_before_and_no_more(prose: Any) -> None:
    findings = [
        *prose.broken_rules("a.md", "It is no number."),
        *prose.broken_rules("b.md", "It is no number."),
    ]
    assert prose.complaints(findings, {"is-no": {"a.md": 1, "b.md": 1}}) == []
    assert prose.complaints(findings, {"is-no": {"a.md": 2}}) == [], "a sentence that moved"
    first, *places = prose.complaints(findings, {"is-no": {"a.md": 1}})
    assert first.startswith("is-no: 2, allowed are 1; ")
    assert [place.split(":")[0].strip() for place in places] == ["b.md"], "only what is new"


def test_the_numbers_only_fall(prose: Any) -> None:
    allowed = {"is-no": {"a.md": 2}, "nor": {"a.md": 1}, "whoever": {"a.md": 1}}
    found = {"is-no": {"a.md": 1}, "whoever": {"a.md": 5}, "that-of": {"a.md": 1}}
    assert prose.lowered(found, allowed) == {"is-no": {"a.md": 1}, "whoever": {"a.md": 1}}


def test_what_is_allowed_is_of_rules_that_there_are(prose: Any) -> None:
    allowed = json.loads((ROOT / ".ci" / "prose.json").read_text(encoding="utf-8"))
    assert set(allowed) <= set(prose.BETTER)
