"""The programs of ``.ci``, as modules."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

from tests import lanes
from tests.documentation import ROOT

pytest_itemcollected = lanes.pure


@pytest.fixture
def matrix(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / ".ci"))
    return import_module("matrix")


@pytest.fixture
def prose(matrix: Any) -> Any:
    return import_module("prose")


@pytest.fixture
def ci(matrix: Any) -> Any:
    return import_module("run")
