"""What the package can say: the texts of its errors, of calls' reasons and of its log, read from the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import product
from pathlib import Path

from tests.documentation import ROOT

PACKAGE = ROOT / "airflow_provider_impactcall"
_LEVELS = ("info", "warning", "error")
_ERRORS = ("CallsNotSent", "AirflowFailException", "AirflowSkipException", "say")
# Which argument of these holds the text.
_TEXT_OF = {
    "Attempt": 2,
    "Outcome": 2,
    "Problem": 2,
    "Stop": 1,
    "Wait": 1,
    "UnreadableRow": 0,
    "UnreadableValue": 0,
    "Shapeless": 0,
    "given_up": 2,
}
_NAMES = ("problem", "problems", "reason", "message", "wait", "_MISCONFIGURED", "_REASONS", "DIED", "NO_KEY",
          "LEASE_RAN_OUT", "LOOK_LIKE_VALUES")  # fmt: skip
# What these return is part of a text.
_FUNCTIONS = ("_lacks", "_unreadable", "_without_source", "_of_many", "_dict_of_dicts", "_of_a_table",
              "_as_text", "_instead", "_no_path", "_untold", "_unset", "no_parameter")  # fmt: skip
_GAP = "\0"
_LEAST_LETTERS = 6


@lru_cache(maxsize=1)
def messages() -> dict[str, str]:
    """Each text, with a NUL where a value is filled in, and the module that has it. The sandbox is left out, as it has
    its own page.
    """
    found: dict[str, str] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        room = file.relative_to(PACKAGE)
        if room.parts[0] != "sandbox":
            for text in _of_module(file):
                if sum(map(str.isalpha, text)) >= _LEAST_LETTERS:
                    found.setdefault(text, str(room))
    return found


def pattern(text: str) -> re.Pattern[str]:
    """A pattern that matches the text with any values filled in."""
    return re.compile(".*".join(re.escape(part) for part in text.split(_GAP)), re.DOTALL)


def _of_module(file: Path) -> Iterator[str]:
    tree = ast.parse(file.read_text())
    constants: dict[str, ast.expr] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            constants[statement.targets[0].id] = statement.value
    for node in ast.walk(tree):
        for expression in _spoken(node):
            yield from _texts(expression, constants)


def _spoken(node: ast.AST) -> Iterator[ast.expr]:
    """The expressions of a statement or a call that become a text which people read."""
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        if getattr(node.exc.func, "id", "") != "TypeError":  # a mistake in this package
            yield from node.exc.args[:1]
    elif isinstance(node, ast.FunctionDef) and node.name in _FUNCTIONS:
        for each in ast.walk(node):
            if isinstance(each, ast.Return) and each.value is not None:
                yield from each.value.elts if isinstance(each.value, ast.List) else [each.value]
    elif isinstance(node, ast.Assign):
        yield from _assigned(node.targets[0], node.value)
    elif isinstance(node, ast.AugAssign):
        yield from _assigned(node.target, node.value)
    elif isinstance(node, ast.Return) and isinstance(node.value, ast.Tuple) and len(node.value.elts) == 2:
        yield node.value.elts[1]
    elif isinstance(node, ast.Call):
        of = node.func.value if isinstance(node.func, ast.Attribute) else None
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        written_to = {"log": _LEVELS, "problems": ("append",)}.get(getattr(of, "id", ""), ())
        if name in written_to or name in _ERRORS:
            yield from node.args[:1]
        elif name in _TEXT_OF:
            yield from node.args[_TEXT_OF[name] : _TEXT_OF[name] + 1]
            yield from (keyword.value for keyword in node.keywords if keyword.arg == "reason")


def _assigned(target: ast.expr, value: ast.expr) -> Iterator[ast.expr]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for each, part in zip(target.elts, value.elts, strict=True):
            yield from _assigned(each, part)
    elif isinstance(target, ast.Name) and target.id in _NAMES:
        match value:
            case ast.Dict(values=values):
                yield from values
            case ast.IfExp(body=ast.List(elts=elements)) | ast.List(elts=elements):
                yield from elements
            case ast.ListComp(elt=element):
                yield element
            case _:
                yield value


def _texts(expression: ast.expr, constants: Mapping[str, ast.expr]) -> list[str]:
    """All texts that an expression can produce."""
    match expression:
        case ast.Constant(value=str(text)):
            return [re.sub(r"%[dsr]|%\.\df", _GAP, text)]
        case ast.JoinedStr(values=parts):
            return _joined([_texts(part, constants) for part in parts])
        case ast.FormattedValue(value=ast.Name(id=name)) if name.isupper() and name in constants:
            return _texts(constants[name], constants)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _joined([_texts(left, constants), _texts(right, constants)])
        case ast.IfExp(body=body, orelse=orelse):
            return [*_texts(body, constants), *_texts(orelse, constants)]
        case ast.BoolOp(values=values):
            return [text for value in values for text in _texts(value, constants)]
        case ast.Call(func=ast.Attribute(attr="get"), args=[_, otherwise]):
            return [_GAP, *_texts(otherwise, constants)]
        case ast.Name(id=name) if name in constants:
            return _texts(constants[name], constants)
        case _:
            return [_GAP]


def _joined(parts: list[list[str]]) -> list[str]:
    return ["".join(combination) for combination in product(*parts)]
