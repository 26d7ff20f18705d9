"""One Airflow home for the whole run, and a sandbox for each test that asks for one."""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import settings

from tests.effort import PROFILE, scaled

# Without a deadline, as machines are shared and noisy. In CI, the same change gives the same examples.
settings.register_profile(PROFILE, deadline=None, derandomize="CI" in os.environ, max_examples=scaled(100))
settings.load_profile(PROFILE)

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
from tests import examples, lanes  # noqa: E402
from tests.databases import (  # noqa: E402
    LEDGER_DATABASES,
    embedded_postgres,
    empty_database,
    mariadb_server,
    mariadb_server_as_mysql,
)
from tests.real_airflow import ResidentAirflow  # noqa: E402
from tests.servers import Certificate  # noqa: E402

_HOMES = itertools.count()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """One worker more than cores: a quarter of the time, a worker waits for a server, a database or a limit.

    ``PYTEST_XDIST_AUTO_NUM_WORKERS``, which pytest-xdist itself reads, has precedence.
    """
    if "PYTEST_XDIST_AUTO_NUM_WORKERS" in os.environ:
        return None
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that need the resident Airflow come first, so that one worker runs them all: other workers take from the
    end.
    """
    lanes.check(items)
    items.sort(key=lambda item: "resident" not in getattr(item, "fixturenames", ()))


@pytest.fixture(autouse=True)
def own_ledger(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """An embedded ledger for each test: sandboxes come and go, and two may listen on the same port.

    The folder is made only with the ledger: thousands of tests have no ledger.
    """
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path_factory.getbasetemp() / f"airflow-home-{next(_HOMES)}"))


@pytest.fixture(scope="session")
def resident(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ResidentAirflow]:
    """A running Airflow, which is lent to one test or module after the other."""
    with ResidentAirflow.started(tmp_path_factory.mktemp("resident")) as airflow:
        airflow.migrate()
        yield airflow


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that refuses connections, and that no other process can take meanwhile."""
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
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """The certificate of a database's server."""
    return Certificate.made(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="session")
def another(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate that no server has."""
    return Certificate.made(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="session")
def postgres() -> Iterator[sa.engine.URL]:
    """A running PostgreSQL, by the URL of its first database."""
    with embedded_postgres() as server:
        yield sa.engine.make_url(server.get_uri()).set(drivername="postgresql+psycopg2")


@pytest.fixture(scope="session")
def mariadb() -> Iterator[sa.engine.URL]:
    """A running MariaDB with its own defaults, by its URL."""
    with mariadb_server() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_as_mysql() -> Iterator[sa.engine.URL]:
    """A running MariaDB with MySQL's defaults, in New York, by its URL."""
    with mariadb_server_as_mysql() as server:
        yield server


@pytest.fixture(params=LEDGER_DATABASES)
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database for a ledger."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    server: sa.engine.URL = request.getfixturevalue("postgres" if request.param == "postgresql" else request.param)
    return empty_database(server).render_as_string(hide_password=False)
