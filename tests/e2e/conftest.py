"""One running Airflow for all tests that need its scheduler."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import airflow
import pytest
import sqlalchemy as sa

from tests import lanes
from tests.e2e.standalone import Standalone, standalone

pytest_itemcollected = lanes.long

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The search for what no test may leave behind comes last. No other test comes between two tests that need the same
    Airflow.
    """
    items.sort(key=lambda item: (_HERE in item.path.parents, item.path.name == "test_nothing_private.py"))


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory, postgres: sa.engine.URL) -> Iterator[Standalone]:
    if airflow.__version__.startswith("2."):
        pytest.skip("Airflow 2 has another REST API")
    with standalone(tmp_path_factory.mktemp("standalone"), postgres) as running:
        yield running
