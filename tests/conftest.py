"""One Airflow home for the whole run, and a sandbox for each test that asks for one."""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import settings

# Machines are shared and noisy: no test is late. In CI, the same change gives the same examples.
settings.register_profile("impactcall", deadline=None, derandomize="CI" in os.environ)
# By hand, for minutes or hours: HYPOTHESIS_PROFILE=fuzz.
settings.register_profile("fuzz", settings.get_profile("impactcall"), derandomize=False, max_examples=100_000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "impactcall"))

# Airflow reads its home when it is first imported, so this comes before any import of it.
_HOME = tempfile.mkdtemp(prefix="impactcall-tests-")
atexit.register(shutil.rmtree, _HOME, ignore_errors=True)
for name in [name for name in os.environ if name.startswith("AIRFLOW")]:
    del os.environ[name]
os.environ.update(
    AIRFLOW_HOME=_HOME,
    AIRFLOW__CORE__LOAD_EXAMPLES="False",
    AIRFLOW__CORE__DAGS_FOLDER=str(Path(_HOME, "dags")),
    AIRFLOW__USAGE_DATA_COLLECTION__ENABLED="False",
)

from airflow_provider_impactcall.sandbox import Sandbox  # noqa: E402
from tests import examples  # noqa: E402
from tests.databases import embedded_postgres, empty_database  # noqa: E402


@pytest.fixture(autouse=True)
def own_ledger(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """An embedded ledger for each test: sandboxes come and go, and two may listen on the same port."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow-home")))


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that refuses connections, and that nobody else can take meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield int(bound.getsockname()[1])


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A running sandbox, with ``impactcall_default`` leading to it."""
    with Sandbox(user=examples.LOGIN, password=examples.PASSWORD).in_thread() as running:
        monkeypatch.setenv("AIRFLOW_CONN_IMPACTCALL_DEFAULT", examples.connection(running))
        yield running


@pytest.fixture(scope="session")
def postgres() -> Iterator[sa.engine.URL]:
    """A running PostgreSQL, by the URL of its first database."""
    with embedded_postgres() as server:
        yield sa.engine.make_url(server.get_uri()).set(drivername="postgresql+psycopg2")


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database for a ledger."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    server: sa.engine.URL = request.getfixturevalue("postgres")
    return empty_database(server).render_as_string(hide_password=False)
