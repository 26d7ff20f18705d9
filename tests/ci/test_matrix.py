"""Each lane of the tests is run, with the versions that this package says it works with."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest

from tests.documentation import ROOT
from tests.lanes import LANES, PARTS_OF_LONG

MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z0-9-]+):", MAKEFILE, re.MULTILINE))
# What the short form has to show of each Airflow.
ROOMS = ("operators", "transfers", "decorators", "dags", "packaging")


def commands(plan: Any) -> list[list[str]]:
    return [list(job.command) for job in plan.jobs]


def pythons_with(matrix: Any, *markers: str) -> set[str]:
    return {cell.python for cell in matrix.CELLS if set(markers) & set(cell.markers)}


def airflows_with(matrix: Any, *markers: str) -> set[str]:
    return {cell.airflow for cell in matrix.CELLS if set(markers) & set(cell.markers)}


def test_each_lane_is_run(matrix: Any) -> None:
    assert set(matrix.LANES) == set(LANES)
    assert set(matrix.HOME.markers) == set(LANES)
    for cell in matrix.OTHERS:
        assert set(cell.markers) <= {*LANES, *PARTS_OF_LONG, "short"} - {"long"}, "what runs in one environment alone"


def test_pure_runs_on_each_python(matrix: Any) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pythons = {text.rpartition(" ")[2] for text in project["classifiers"] if re.search(r":: 3\.\d+$", text)}
    assert pythons_with(matrix, "pure") == pythons


def test_ledger_runs_on_both_sqlalchemys_and_the_lowest(matrix: Any) -> None:
    found = {}
    for airflow in airflows_with(matrix, "ledger"):
        pinned = (ROOT / "constraints" / f"airflow-{airflow}.txt").read_text()
        found[airflow] = re.findall(r"(?m)^sqlalchemy==(\d+)\.", pinned)
    assert "lowest" in found
    assert {tuple(majors) for majors in found.values()} == {("1",), ("2",)}


def test_airflow_runs_on_each_version_that_is_pinned_and_the_wheel_with_it(matrix: Any) -> None:
    pinned = {file.stem.partition("-")[2] for file in (ROOT / "constraints").glob("airflow-*.txt")}
    assert airflows_with(matrix, "airflow", "short") == pinned
    assert airflows_with(matrix, "airflow") >= {"3.3.2", "3.1.8", "2.11.2", "lowest"}
    assert airflows_with(matrix, "wheel", "long") == pinned
    (versions,) = re.findall(r"(?m)^VERSIONS := (.+)", MAKEFILE)
    assert {*versions.split(), "lowest"} == pinned


@pytest.mark.parametrize("room", ROOMS)
def test_the_short_form_has_tests_of(room: str) -> None:
    files = (ROOT / "tests" / room).rglob("test_*.py")
    assert any("mark.short" in file.read_text() for file in files)


@pytest.mark.parametrize("plan", ["ci", "matrix", "nightly"])
def test_each_job_of_make_is_a_target(ci: Any, plan: str) -> None:
    asked = [command[1] for command in commands(ci.PLANS[plan]) if command[0] == "make"]
    assert len(asked) >= 5
    assert set(asked) <= TARGETS


@pytest.mark.parametrize(("plan", "tests"), [("ci", "test"), ("nightly", "coverage")])
def test_each_part_of_the_long_lane_and_each_cell_is_run(ci: Any, matrix: Any, plan: str, tests: str) -> None:
    asked = commands(ci.PLANS[plan])
    assert {tests, "chaos", "e2e", "browser", "soak", "demo", "docs", "lint", "types"} <= {words[1] for words in asked}
    # What it installs beside the others would take a change's whole time.
    for part in ("databases", "events"):
        assert (plan == "nightly") is (part in {words[1] for words in asked})
    for cell in matrix.OTHERS:
        assert any({f"AIRFLOW={cell.airflow}", f"VENV=.venv-{cell.name}"} <= set(words) for words in asked)
    (rest,) = re.findall(r'(?m)-m "long and not \((.+)\)"', MAKEFILE)
    others = "".join(re.findall(r"(?m)^(?:e2e|browser|soak|databases-tests|events-tests): .*\n((?:\t.*\n)+)", MAKEFILE))
    assert all(re.search(rf"\b{part}\b", others) for part in rest.split(" or "))


def test_the_readmes_own_command_is_run(ci: Any) -> None:
    assert ["make", "test"] in commands(ci.PLANS["ci"])
