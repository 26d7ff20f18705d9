"""The page that follows one row names modules, types, functions and threads as the code has them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.documentation import ROOT
from tests.tables import table

PACKAGE = ROOT / "airflow_provider_impactcall"
TEXT = (ROOT / "docs" / "how-it-works.md").read_text()
NAMED = re.findall(r"`([^`]+)`", TEXT)
THREAD = re.compile(r'(?:thread_name_prefix=|ThreadWorker\()"([^"]+)"')


def defined_in(file: Path) -> set[str]:
    """What a module defines: classes, functions, methods as ``Class.method``, and names that are assigned."""
    names: set[str] = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
        elif isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            functions = (each for each in node.body if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)))
            names.update(f"{node.name}.{each.name}" for each in functions)
    return names


DEFINED = {
    name
    for room in ("records", "delivery", "integration")
    for file in (PACKAGE / room).rglob("*.py")
    for name in defined_in(file)
} | defined_in(PACKAGE / "exceptions.py")


def test_each_module_is_there() -> None:
    modules = {name for name in NAMED if name.endswith(".py") and not name.startswith("tests/")}
    assert len(modules) > 15
    assert [name for name in sorted(modules) if not (PACKAGE / name).is_file()] == []


def test_each_type_and_each_function_is_there() -> None:
    types = {name for name in NAMED if re.fullmatch(r"[A-Z][a-z]\w+|TRANSITIONS", name)}
    functions = {name.removesuffix("()") for name in NAMED if name.endswith("()")}
    assert len(types) > 20
    assert len(functions) > 10
    assert sorted((types | functions) - DEFINED) == []


def test_a_function_of_a_module_is_in_it() -> None:
    said = re.findall(r"`(\w+)\(\)` of `([\w/]+\.py)`", TEXT)
    assert len(said) > 3
    with table() as row:
        for name, module in said:
            with row(module):
                assert name in defined_in(PACKAGE / module)


def test_each_thread_is_there_and_starts_where_the_page_says() -> None:
    started = {
        (name, file.relative_to(PACKAGE).as_posix())
        for file in (PACKAGE / "delivery").rglob("*.py")
        for name in THREAD.findall(file.read_text())
    }
    assert set(re.findall(r"^\| `(impactcall[\w-]*)` \|.*\| `([\w/]+\.py)` \|$", TEXT, re.MULTILINE)) == started
