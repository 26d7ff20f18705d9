"""The rooms of the package: imports go one way and in no circle, and a module can be read in one sitting."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

from tests.documentation import ROOT

PACKAGE = "airflow_provider_impactcall"
MODULES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for file in sorted((ROOT / PACKAGE).rglob("*.py"))
}
# A room imports only from itself and from those before it; what is in none of them may import from all.
FLOORS = ("records", "delivery", "integration", "hooks")
MOST_LINES = 400


def imported_by(file: Path) -> Iterator[str]:
    """The modules of the package that a file imports, also within its functions, but for types alone."""
    tree = ast.parse(file.read_text())
    for_types = {
        id(node)
        for each in ast.walk(tree)
        if isinstance(each, ast.If) and ast.unparse(each.test) == "TYPE_CHECKING"
        for node in ast.walk(each)
    }
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in MODULES else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


IMPORTS = {
    name: {each for each in imported_by(file) if each in MODULES and each != name} for name, file in MODULES.items()
}


def floor(module: str) -> int:
    """The lower, the more may import it; what stands beside the rooms is below all, and their users above."""
    _, _, inner = module.partition(".")
    room = inner.partition(".")[0]
    if room in FLOORS:
        return FLOORS.index(room)
    return len(FLOORS) if "." in inner else -1


def test_no_import_goes_in_a_circle() -> None:
    # graphlib names the modules of a circle.
    assert set(TopologicalSorter(IMPORTS).static_order()) == MODULES.keys()


def test_nothing_imports_upwards() -> None:
    upwards = [
        f"{module} imports {other}"
        for module, others in IMPORTS.items()
        for other in sorted(others)
        if floor(module) >= 0 and floor(other) > floor(module)
    ]
    assert upwards == []


def test_records_and_delivery_import_no_airflow() -> None:
    of_airflow = [
        name
        for name, file in MODULES.items()
        if floor(name) in (0, 1)
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for each in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names])
        if each.partition(".")[0] == "airflow"
    ]
    assert of_airflow == []


def test_a_module_can_be_read_in_one_sitting() -> None:
    lines = {name: len(file.read_text().splitlines()) for name, file in MODULES.items()}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}
