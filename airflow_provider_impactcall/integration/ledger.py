"""Which database the delivery ledger is in."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from airflow.configuration import get_airflow_home
from airflow.providers.common.compat.sdk import conf
from sqlalchemy.exc import SQLAlchemyError

from airflow_provider_impactcall.delivery.ledger.indexing import build_missing, missing
from airflow_provider_impactcall.delivery.ledger.migrations import Standing, standing
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.private_files import make
from airflow_provider_impactcall.exceptions import InvalidOption, LedgerOutdated, LedgerUnusable
from airflow_provider_impactcall.integration.ledger_database import ledger_engine

log = logging.getLogger(__name__)

EMBEDDED = "embedded"
_LONGEST_NAMESPACE = 255
_ONE_MACHINE = ("LocalExecutor", "SequentialExecutor")


def open_ledger(ledger_conn_id: str | None, namespace: str) -> Ledger:
    """Open the ledger. An empty database gets its tables, and the embedded file is migrated to this version.

    :param ledger_conn_id: a SQL connection, or ``embedded``: a SQLite file in the Airflow home. None takes
        ``[impactcall] ledger_conn_id``, or ``embedded`` if the executor runs tasks on its own machine
    :raises InvalidOption: if none is configured and workers on several machines could not share one; or the connection
        cannot have a ledger, see :func:`.ledger_engine`
    :raises LedgerOutdated: if an earlier version of this package made it, and it is not the embedded file
    :raises LedgerUnfit: if its database cannot hold every call
    :raises LedgerUnusable: if it cannot be reached, or a newer version of this package made it
    """
    if not 0 < len(namespace) <= _LONGEST_NAMESPACE:
        raise InvalidOption(f"ledger_namespace must have at most {_LONGEST_NAMESPACE} characters")
    conn_id = ledger_conn_id or configured()
    engine = _engine(conn_id)
    _keep_private(engine)
    ledger = Ledger(engine, namespace)
    try:
        with reachable():
            if conn_id == EMBEDDED:
                ledger.prepare()
            else:
                found = standing(ledger.engine)
                _refuse_older(found, conn_id)
                if found.empty:
                    ledger.prepare()
                    # A task of an earlier version may have made the tables in the same moment.
                    _refuse_older(standing(ledger.engine), conn_id)
        if conn_id == EMBEDDED:
            build_missing(ledger)
    except BaseException:
        ledger.close()
        raise
    return ledger


def warn_of_new(ledger_conn_id: str | None) -> None:
    """Log a warning if a delivery is the first one of the embedded ledger, and nobody chose this ledger: its calls may
    have been sent from another machine.

    :param ledger_conn_id: as for :func:`open_ledger`
    :raises InvalidOption: likewise
    """
    if not (ledger_conn_id or _chosen()) and _default() == EMBEDDED:
        log.warning(
            "The ledger is new and empty: it knows no call that was sent before. If several machines or pods run "
            "tasks, or the Airflow home is not kept, calls are sent twice: set [impactcall] ledger_conn_id"
        )


@dataclass(frozen=True)
class Migrated:
    """The steps that brought a ledger up to this version, and the steps still to be done.

    :param migrations: names of the migrations that were applied
    :param indexes: names of the indexes that were built
    :param pending: names of the migrations still to be applied
    :param missing: names of the indexes still to be built
    """

    migrations: Sequence[str] = ()
    indexes: Sequence[str] = ()
    pending: Sequence[str] = ()
    missing: Sequence[str] = ()


def migrate_ledger(ledger_conn_id: str | None, *, dry_run: bool = False) -> Migrated:
    """Migrate a ledger in any database to this version. An empty database gets its tables.

    Deliveries may run meanwhile. An interrupted migration continues where it stopped.

    :param ledger_conn_id: a SQL connection, or ``embedded``. None takes the configured one
    :param dry_run: only report what would be done
    :raises InvalidOption: if none is configured, or the connection cannot have one, see :func:`.ledger_engine`
    :raises LedgerUnfit: if its database cannot hold every call
    :raises LedgerUnusable: if it cannot be reached, or a newer version of this package made it
    """
    conn_id = ledger_conn_id or configured()
    engine = _engine(conn_id)
    if dry_run and (file := _file_of(engine)) is not None and not file.exists():
        return Migrated(pending=standing(sa.create_engine("sqlite://")).pending)  # Connecting would make the file.
    if not dry_run:
        _keep_private(engine)
    with closing(Ledger(engine, "")) as ledger, reachable():
        before = standing(ledger.engine)
        lacking = [] if before.empty else missing(ledger)
        if dry_run:
            return Migrated(pending=before.pending, missing=lacking)
        try:
            ledger.prepare()
        except SQLAlchemyError as error:
            raise LedgerUnusable(
                f"the tables could not be changed ({type(error).__name__}): another transaction holds them, or the "
                "database's account may not change them; run the command again"
            ) from None
        build_missing(ledger)
        left = missing(ledger)
        return Migrated(before.pending, [name for name in lacking if name not in left], missing=left)


def existing_ledger(conn_id: str) -> Ledger | None:
    """The ledger for reading, without a namespace; None if no delivery has made one yet. Nothing is written.

    :param conn_id: a SQL connection, or ``embedded``
    :raises InvalidOption: if the connection cannot have one, see :func:`.ledger_engine`
    :raises LedgerOutdated: if an earlier version of this package made it
    :raises LedgerUnfit: if its database cannot hold every call
    :raises LedgerUnusable: if it cannot be reached, or a newer version of this package made it
    """
    if conn_id == EMBEDDED:
        if not _embedded_file().exists():
            return None  # Connecting would make the file.
        engine = _embedded()
    else:
        engine = ledger_engine(conn_id, pre_ping=True)
    with reachable():
        try:
            found = standing(engine)
        finally:
            engine.dispose()
    if found.empty:
        return None
    _refuse_older(found, conn_id)
    return Ledger(engine, "")


@contextmanager
def reachable() -> Iterator[None]:
    """Turns a database's error into an error of this package, as its text may hold the connection's details.

    :raises LedgerUnusable: instead
    """
    try:
        yield
    except SQLAlchemyError as error:
        raise LedgerUnusable(f"the ledger cannot be reached ({type(error).__name__})") from None


def configured() -> str:
    """The connection id of the configured ledger, or ``embedded``.

    :raises InvalidOption: if none is configured and workers on several machines could not share one
    """
    return _chosen() or _default()


def _chosen() -> str:
    conn_id: str = conf.get("impactcall", "ledger_conn_id", fallback="")
    return conn_id


def _refuse_older(found: Standing, conn_id: str) -> None:
    if found.older:
        command = shlex.join(["impactcall", "ledger", "migrate", "--ledger-conn-id", conn_id])
        raise LedgerOutdated(f"an earlier version of this package made the ledger: run {command}")


def _default() -> str:
    executors = [name.strip().rpartition(".")[2] for name in conf.get("core", "executor", fallback="").split(",")]
    beyond = [name.rpartition(":")[2] for name in executors if name and name.rpartition(":")[2] not in _ONE_MACHINE]
    if beyond:
        raise InvalidOption(
            f"no ledger: with {', '.join(beyond)}, workers of other machines would not know what this one sent. Set "
            "[impactcall] ledger_conn_id to a SQL connection, or to 'embedded' if there is only one machine"
        )
    return EMBEDDED


def _engine(conn_id: str) -> sa.Engine:
    return _embedded() if conn_id == EMBEDDED else ledger_engine(conn_id)


def _keep_private(engine: sa.Engine) -> None:
    """Make the file of a SQLite database private before SQLite makes it with the umask. SQLite gives its other files
    the same mode.

    :raises LedgerUnusable: if it cannot be made
    """
    file = _file_of(engine)
    if file is None:
        return
    try:
        make(file)
    except OSError as error:
        raise LedgerUnusable(f"the ledger cannot be reached ({type(error).__name__})") from None


def _file_of(engine: sa.Engine) -> Path | None:
    """The file of a SQLite database, if it has one of its own."""
    file = engine.url.database
    if engine.url.get_backend_name() != "sqlite" or not file or file.startswith((":", "file:")):
        return None
    return Path(file)


def _embedded() -> sa.Engine:
    file = _embedded_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    return sa.create_engine(f"sqlite:///{file}")


def _embedded_file() -> Path:
    return Path(get_airflow_home()) / "impactcall_ledger.db"
