"""The list of mutants, and what makes one of them; ``make mutants`` runs the tests against them."""

from __future__ import annotations

from tests.mutants.mutation import functions_of, mutants_of, mutated
from tests.mutants.sample import ROOT, drawn, paths, subjects, survivors

RULE = '''
def unrelated():
    return 1


class Rules:
    def decide(self, state: str | None, same: bool) -> bool:
        """Whether 1 + 1."""
        match state:
            case "open" if same:
                return True
            case _:
                return not same
'''


def test_the_sample_is_of_the_subjects_and_every_survivor_of_the_sample() -> None:
    sample, known, places = drawn(), subjects(), paths()
    names = [each.name for each in sample]
    assert len(names) == len(set(names)) <= 300
    assert {each.subject for each in sample} == known.keys()
    assert {each.module for each in sample} <= {module for each in known.values() for module in each.modules}
    assert survivors().keys() <= set(names)
    assert all(reason.endswith(".") for reason in survivors().values())
    needed = [
        *(path for each in known.values() for path in each.tests),
        *(path for each in places.values() for path in each),
    ]
    assert [path for path in needed if not (ROOT / path).exists()] == []


def test_mutants_change_what_a_function_does_and_no_annotation_and_no_docstring() -> None:
    found = {(each.before.strip(), each.after.strip()) for each, _ in mutants_of(functions_of(RULE)["Rules.decide"])}
    assert found == {
        ('case "open" if same:', 'case "open" if not same:'),
        ("return True", "return False"),
        ("return not same", "return  same"),
    }


def test_a_mutant_is_found_again_as_long_as_its_line_is_in_its_function() -> None:
    mutant = next(each for each, _ in mutants_of(functions_of(RULE)["Rules.decide"]) if each.operator == "AddNot")
    assert mutated(RULE, mutant) == RULE.replace("if same", "if not same")
    moved = RULE.replace("return 1", "return 2\n\n").replace("return True", "return bool(1)")
    assert mutated(moved, mutant) == moved.replace("if same", "if not same")
    assert mutated(RULE.replace("if same", "if same is True"), mutant) is None
    assert mutated(RULE.replace("def decide", "def decided"), mutant) is None
