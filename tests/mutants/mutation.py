"""The mutants of a function, made by cosmic-ray, and identified by their change."""

from __future__ import annotations

import ast
import difflib
import re
import textwrap
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.provider import OperatorProvider

from tests.mutants.sample import Mutant

# Of replacements that any test notices alike, as a + that becomes a - or a >>, one is enough.
_BINARY = (
    "Add_Sub Sub_Add Mul_Div Div_Mul FloorDiv_Mul Mod_FloorDiv Pow_Mul LShift_RShift RShift_LShift BitOr_BitAnd "
    "BitAnd_BitOr BitXor_BitAnd"
)
_COMPARISON = "Eq_NotEq NotEq_Eq Lt_LtE Lt_GtE LtE_Lt LtE_Gt Gt_GtE Gt_LtE GtE_Gt GtE_Lt Is_IsNot IsNot_Is"
_OPERATORS = (
    *(f"ReplaceBinaryOperator_{each}" for each in _BINARY.split()),
    *(f"ReplaceComparisonOperator_{each}" for each in _COMPARISON.split()),
    *("ReplaceUnaryOperator_Delete_Not", "ReplaceUnaryOperator_Delete_USub", "AddNot", "ReplaceAndWithOr"),
    *("ReplaceOrWithAnd", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceBreakWithContinue"),
    *("ReplaceContinueWithBreak", "ExceptionReplacer", "NumberReplacer", "RemoveDecorator", "ZeroIterationForLoop"),
)
# Without one of these a module cannot be imported or used at all, or does the same.
_DECORATORS = frozenset(
    {"asynccontextmanager", "cached_property", "classmethod", "contextmanager", "lru_cache", "property", "wraps"}
)
_PROVIDER = OperatorProvider()


class Function(NamedTuple):
    """A function, or a statement of a module that assigns a name.

    :param first: the index of its first line
    :param lines: all its lines, unchanged
    """

    name: str
    first: int
    lines: list[str]


def functions_of(module: str) -> dict[str, Function]:
    """The functions of a module's text by qualified name, and its statements by the name that they assign."""
    lines = module.splitlines()
    return {name: Function(name, first, lines[first:end]) for name, first, end in _places(ast.parse(module).body)}


def _places(body: list[ast.stmt], within: str = "") -> Iterator[tuple[str, int, int]]:
    for node in body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
                yield within + node.name, first - 1, node.end_lineno or first
            case ast.ClassDef():
                yield from _places(node.body, f"{within}{node.name}.")
            case ast.Assign(targets=[ast.Name(id=name), *_]) | ast.AnnAssign(target=ast.Name(id=name)) if not within:
                yield name, node.lineno - 1, node.end_lineno or node.lineno


def mutants_of(function: Function, operators: tuple[str, ...] = _OPERATORS) -> Iterator[tuple[Mutant, list[str]]]:
    """The mutants of a function that change its behaviour, each with the function's changed lines."""
    indentation = len(function.lines[0]) - len(function.lines[0].lstrip())
    text = textwrap.dedent("\n".join(function.lines)) + "\n"
    disguised = _disguised(text)
    nodes = list(ast_nodes(get_ast(disguised)))
    original = _told_apart_by(text)
    found: Counter[tuple[str, str, str]] = Counter()
    for name in operators:
        operator = _PROVIDER[name]()
        for occurrence in range(sum(len(list(operator.mutation_positions(node))) for node in nodes)):
            mutated = mutate_code(disguised, operator, occurrence)
            if mutated is None:
                continue
            mutated = _undisguised(mutated)
            before, after = _difference(text, mutated)
            nth = found[name, before, after]
            found[name, before, after] += 1
            if _told_apart_by(mutated) not in (original, None):
                lines = textwrap.indent(mutated, " " * indentation).splitlines()
                yield Mutant(function.name, name, before, after, nth), lines


def mutated(module: str, mutant: Mutant) -> str | None:
    """A module's text with one mutant in it, or None if the module no longer has the line."""
    function = functions_of(module).get(mutant.function)
    if function is None:
        return None
    for each, lines in mutants_of(function, (mutant.operator,)):
        if each == mutant:
            whole = module.splitlines()
            whole[function.first : function.first + len(function.lines)] = lines
            return "\n".join(whole) + "\n"
    return None


def _difference(before: str, after: str) -> tuple[str, str]:
    was, becomes = before.splitlines(), after.splitlines()
    changed = [each for each in difflib.SequenceMatcher(None, was, becomes, False).get_opcodes() if each[0] != "equal"]
    if not changed:
        return "", ""
    first, last = changed[0], changed[-1]
    return "\n".join(was[first[1] : last[2]]), "\n".join(becomes[first[3] : last[4]])


# parso, by which cosmic-ray reads, knows no match statement. What it reads instead has the same operators.
def _disguised(text: str) -> str:
    text = re.sub(r"^( *)match (.+):$", r"\1with match__, \2:", text, flags=re.MULTILINE)
    text = re.sub(r"^( *)case (.+) if (.+):$", r"\1with case__, \2 if \3 else end__:", text, flags=re.MULTILINE)
    return re.sub(r"^( *)case (.+):$", r"\1with case__, \2:", text, flags=re.MULTILINE)


def _undisguised(text: str) -> str:
    text = re.sub(r"^( *)with match__,(.+):$", r"\1match\2:", text, flags=re.MULTILINE)
    return re.sub(r"^( *)with case__,(.+?)(?: else end__)?:$", r"\1case\2:", text, flags=re.MULTILINE)


def _told_apart_by(text: str) -> str | None:
    """The part of a function's text that decides its behaviour, or None if the text is not Python."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return None
    return ast.dump(_Bare().visit(tree))


class _Bare(ast.NodeTransformer):
    """Leaves out annotations, docstrings, texts with values in them, log lines, and decorators that change nothing."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._function(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant(None)
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        return ast.Constant("")

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        match node.value:
            case ast.Constant() | ast.Call(func=ast.Attribute(value=ast.Name(id="log"))):
                return ast.Pass()
        return self.generic_visit(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        node.returns = None
        given = node.args
        # How they may be given, by name or by place, is for whoever types the call, and for mypy.
        given.args = [*given.posonlyargs, *given.args, *given.kwonlyargs]
        given.defaults = [*given.defaults, *(each for each in given.kw_defaults if each is not None)]
        given.posonlyargs, given.kwonlyargs, given.kw_defaults = [], [], []
        node.decorator_list = [each for each in node.decorator_list if _name_of(each) not in _DECORATORS]
        return self.generic_visit(node)


def _name_of(decorator: ast.expr) -> str:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    return called.id if isinstance(called, ast.Name) else ""
