"""Which database the delivery ledger is in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from airflow.configuration import get_airflow_home
from airflow.providers.common.compat.sdk import conf
from sqlalchemy.exc import SQLAlchemyError

from airflow_provider_impactcall.delivery.ledger.indexing import build_missing
from airflow_provider_impactcall.delivery.ledger.schema import VERSION, version_of
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.private_files import make
from airflow_provider_impactcall.exceptions import InvalidOption, LedgerUnusable
from airflow_provider_impactcall.integration.sql import sql_hook

EMBEDDED = "embedded"
_LONGEST_NAMESPACE = 255
_ONE_MACHINE = ("LocalExecutor", "SequentialExecutor")


def open_ledger(ledger_conn_id: str | None, namespace: str) -> Ledger:
    """The ledger, its tables created, and its indexes if nobody has to wait for them.

    :param ledger_conn_id: a SQL connection, or ``embedded``: a SQLite file in the Airflow home. None takes
        ``[impactcall] ledger_conn_id``, or ``embedded`` where all workers share one machine
    :raises InvalidOption: if there is none, and workers of several machines would not know of each other
    :raises LedgerUnusable: if it cannot be reached, or a newer version of this package made it
    """
    if not 0 < len(namespace) <= _LONGEST_NAMESPACE:
        raise InvalidOption(f"ledger_namespace must have at most {_LONGEST_NAMESPACE} characters")
    conn_id = ledger_conn_id or configured()
    engine = _embedded() if conn_id == EMBEDDED else sql_hook("ledger_conn_id", conn_id).get_sqlalchemy_engine()
    _keep_private(engine)
    ledger = Ledger(engine, namespace)
    with reachable():
        ledger.prepare()
    build_missing(ledger)
    return ledger


def existing_ledger(conn_id: str) -> Ledger | None:
    """The ledger to look at, of no namespace, or None if no delivery has made one yet. Nothing is written.

    :param conn_id: a SQL connection, or ``embedded``
    :raises InvalidOption: if the connection is none of a SQL database
    :raises LedgerUnusable: if it cannot be reached, or another version of this package made it
    """
    if conn_id == EMBEDDED:
        if not _embedded_file().exists():
            return None  # To connect would make it.
        engine = _embedded()
    else:
        engine = sql_hook("ledger_conn_id", conn_id).get_sqlalchemy_engine(engine_kwargs={"pool_pre_ping": True})
    with reachable():
        try:
            version = version_of(engine)
        finally:
            engine.dispose()
    if version is None:
        return None
    if version != VERSION:
        raise LedgerUnusable(
            f"the ledger is of version {version}, and this package knows {VERSION}: "
            + ("update it" if version > VERSION else "its next delivery brings the ledger up to that")
        )
    return Ledger(engine, "")


@contextmanager
def reachable() -> Iterator[None]:
    """Turns what a database raises into an error of ours, as its text may hold the connection's details.

    :raises LedgerUnusable: instead
    """
    try:
        yield
    except SQLAlchemyError as error:
        raise LedgerUnusable(f"the ledger cannot be reached ({type(error).__name__})") from None


def configured() -> str:
    """The connection id of the configured ledger, or ``embedded``.

    :raises InvalidOption: if there is none, and workers of several machines would not know of each other
    """
    conn_id: str = conf.get("impactcall", "ledger_conn_id", fallback="") or _default()
    return conn_id


def _default() -> str:
    executors = [name.strip().rpartition(".")[2] for name in conf.get("core", "executor", fallback="").split(",")]
    beyond = [name.rpartition(":")[2] for name in executors if name and name.rpartition(":")[2] not in _ONE_MACHINE]
    if beyond:
        raise InvalidOption(
            f"no ledger: with {', '.join(beyond)}, workers of other machines would not know what this one sent. Set "
            "[impactcall] ledger_conn_id to a SQL connection, or to 'embedded' if there is only one machine"
        )
    return EMBEDDED


def _keep_private(engine: sa.Engine) -> None:
    """Have the file of a SQLite database there before SQLite makes it by the umask; what SQLite adds has its mode.

    :raises LedgerUnusable: if it cannot be made
    """
    file = engine.url.database
    if engine.url.get_backend_name() != "sqlite" or not file or file.startswith((":", "file:")):
        return
    try:
        make(Path(file))
    except OSError as error:
        raise LedgerUnusable(f"the ledger cannot be reached ({type(error).__name__})") from None


def _embedded() -> sa.Engine:
    file = _embedded_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    return sa.create_engine(f"sqlite:///{file}")


def _embedded_file() -> Path:
    return Path(get_airflow_home()) / "impactcall_ledger.db"
