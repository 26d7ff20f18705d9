"""What holds of every file of the tests and benchmarks, whoever wrote it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

import pytest

from tests.documentation import ROOT

PACKAGE = "airflow_provider_impactcall"
FILES = sorted(path for folder in ("tests", "benchmarks") for path in (ROOT / folder).rglob("*.py"))

_SETTERS = ("setattr", "delattr", "object", "multiple", "patch")
"""The last parts of the names of what replaces an attribute: of monkeypatch, of unittest.mock, and the builtins."""


def guarded(name: str) -> bool:
    """Whether a name is private, or a constant's."""
    return (name.startswith("_") and not name.endswith("__")) or (name.isupper() and len(name) > 1)


def replacements(source: str) -> Iterator[tuple[int, str]]:
    """Each private name or constant of the package that code replaces, and in which line."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, (ast.Call, ast.stmt))]
    ours = _names_of_the_package(nodes)
    for node in nodes:
        for owner, name in _replaced(node):
            if guarded(name.rpartition(".")[2]) and _is_ours(owner, ours):
                yield node.lineno, name


def _names_of_the_package(nodes: Sequence[ast.AST]) -> set[str]:
    """What is imported of the package, by the names that the file has for it, and what is bound to parts of that."""
    ours: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == PACKAGE:
            ours.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Import):
            of_package = (alias for alias in node.names if alias.name.partition(".")[0] == PACKAGE)
            ours.update(alias.asname or alias.name.partition(".")[0] for alias in of_package)
    for node in nodes:
        # A loop over modules, or an object that a class of the package made.
        if isinstance(node, ast.For):
            bound, value = [node.target], node.iter
        elif isinstance(node, ast.Assign):
            bound, value = node.targets, node.value
        elif isinstance(node, (ast.With, ast.AsyncWith)):
            for item in node.items:
                if item.optional_vars is not None and _mentions(item.context_expr, ours):
                    ours.update(name.id for name in ast.walk(item.optional_vars) if isinstance(name, ast.Name))
            continue
        else:
            continue
        if _mentions(value, ours):
            ours.update(target.id for target in bound if isinstance(target, ast.Name))
    return ours


def _mentions(node: ast.AST, names: set[str]) -> bool:
    return any(isinstance(each, ast.Name) and each.id in names for each in ast.walk(node))


def _is_ours(owner: ast.expr | None, ours: set[str]) -> bool:
    if isinstance(owner, ast.Constant):
        return str(owner.value).partition(".")[0] == PACKAGE
    return owner is not None and _mentions(owner, ours)


def _replaced(node: ast.AST) -> Iterator[tuple[ast.expr | None, str]]:
    """Whose attribute is replaced here, and its name."""
    if isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Delete)):
        targets = node.targets if isinstance(node, (ast.Assign, ast.Delete)) else [node.target]
        for target in targets:
            if isinstance(target, ast.Attribute) and not _is_self(target.value):
                yield target.value, target.attr
    if not isinstance(node, ast.Call) or not node.args:
        return
    called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if called not in _SETTERS:
        return
    owner, *rest = node.args
    if isinstance(owner, ast.Constant) and isinstance(owner.value, str):
        yield owner, owner.value
    for name in rest[:1]:
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            yield owner, name.value
    if called == "multiple":
        yield from ((owner, keyword.arg) for keyword in node.keywords if keyword.arg is not None)


def _is_self(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def test_no_test_sets_a_private_name_or_a_constant_of_the_package() -> None:
    """Time, sizes and collaborators are arguments: what a test replaces behind a module's back proves nothing of it."""
    found = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in FILES
        for line, name in replacements(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    "planted",
    [
        "monkeypatch.setattr(books, '_RENEW', 1.0)",
        "monkeypatch.setattr(books, 'LEASE', 1.0)",
        "monkeypatch.setattr(books.LedgerWriter, '_record', None)",
        "monkeypatch.setattr('airflow_provider_impactcall.delivery.ledger.writer._RENEW', 1.0)",
        "patch('airflow_provider_impactcall.delivery.ledger.writer.LEASE', 1.0)",
        "patch.object(books, '_RENEW', 1.0)",
        "mock.patch.multiple(books, _RENEW=1.0)",
        "setattr(books, '_RENEW', 1.0)",
        "delattr(books, '_RENEW')",
        "books._RENEW = 1.0",
        "for module in (books, other):\n    module.LEASE = 1.0",
        "made = books.LedgerWriter()\nmade._lost = True",
        "with books.LedgerWriter() as made:\n    monkeypatch.setattr(made._ledger, '_x', 1)",
    ],
)
def test_one_that_does_is_found(planted: str) -> None:
    source = f"from {PACKAGE}.delivery import books\n{planted}\n"
    assert len(list(replacements(source))) == 1


@pytest.mark.parametrize(
    "allowed",
    [
        "monkeypatch.setattr(pickle, '_load', None)",
        "monkeypatch.setenv('AIRFLOW_HOME', 'x')",
        "class Own(books.LedgerWriter):\n    def __init__(self):\n        self._own = 1",
        "sandbox.latency = 0.3",
    ],
)
def test_what_is_not_the_package_s_is_left_alone(allowed: str) -> None:
    assert list(replacements(f"from {PACKAGE}.delivery import books\n{allowed}\n")) == []
