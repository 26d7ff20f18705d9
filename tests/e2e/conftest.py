"""One running Airflow for all tests that need its scheduler."""

from __future__ import annotations

from collections.abc import Iterator

import airflow
import pytest

from tests.e2e.standalone import Standalone, standalone


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    if airflow.__version__.startswith("2."):
        pytest.skip("Airflow 2 has another REST API")
    with standalone(tmp_path_factory.mktemp("standalone")) as running:
        yield running
