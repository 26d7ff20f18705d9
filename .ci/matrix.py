#!/usr/bin/env python3
"""Which lanes of the tests run with which Airflow and which Python. ``.ci/matrix.py`` prints this as a table.

``pure`` needs no Airflow: it runs on each Python, and with the lowest versions at night. ``ledger`` runs with
SQLAlchemy 1.4, which comes with Airflow 2, and with SQLAlchemy 2. ``airflow`` runs with each Airflow that behaves
differently. ``short`` is a part of ``airflow``: a delivery through the operator, the transfer and the decorator,
parsing, and what Airflow knows of the provider. ``wheel`` is a part of ``long``, whose other tests run once.
"""

from __future__ import annotations

import subprocess
from contextlib import suppress
from typing import NamedTuple

LANES = ("pure", "ledger", "airflow", "long")
"""Each test is in one lane."""


class Cell(NamedTuple):
    """One Airflow and one Python, with the markers of the tests that run there."""

    airflow: str
    """A version, or "lowest": the lowest version of every dependency that pyproject.toml allows."""
    python: str
    markers: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.airflow}-python{self.python}"


HOME = Cell("3.3.2", "3.11", LANES)
"""The environment that make installs by itself: `make test` runs the first three lanes there, `make long e2e browser
soak` the last.
"""

OTHERS = (
    Cell("3.1.8", "3.13", ("pure", "airflow", "wheel")),
    Cell("2.11.2", "3.11", ("ledger", "airflow", "wheel")),
    Cell("lowest", "3.11", ("ledger", "airflow", "wheel")),
    Cell("3.2.2", "3.12", ("pure", "short", "wheel")),
    Cell("3.0.6", "3.12", ("short", "wheel")),
)

CELLS = (HOME, *OTHERS)


def command(cell: Cell, markers: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The command that tests a cell of ``OTHERS``, which has an environment of its own.

    :param markers: other markers than the cell's
    """
    return (
        "make",
        "test",
        f"LANE={' or '.join(markers or cell.markers)}",
        f"AIRFLOW={cell.airflow}",
        f"PYTHON={interpreter(cell.python)}",
        f"VENV=.venv-{cell.name}",
    )


def interpreter(python: str) -> str:
    """A Python's path, or its name if it is not found. pyenv's ``python3.12`` does not lead to every Python that it
    has.
    """
    name = f"python{python}"
    with suppress(OSError, subprocess.CalledProcessError):
        return _output(name, "-c", "import sys; print(sys.executable)")
    with suppress(OSError, subprocess.CalledProcessError):
        return f"{_output('pyenv', 'prefix', _output('pyenv', 'latest', python))}/bin/{name}"
    return name


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    print(f"{'Airflow':8} {'Python':7} tests")
    print(*(f"{cell.airflow:8} {cell.python:7} {' '.join(cell.markers)}" for cell in CELLS), sep="\n")
