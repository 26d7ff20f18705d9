"""What a delivery opens is closed again, whichever step fails; and it ends in an order that can be relied on."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
import sqlalchemy as sa
from airflow.providers.common.compat.sdk import AirflowException, ObjectStoragePath
from fsspec.implementations.memory import MemoryFileSystem
from sqlalchemy.exc import OperationalError

from airflow_provider_impactcall.delivery.ledger.edits import Author
from airflow_provider_impactcall.delivery.outcome import DeliveryReport
from airflow_provider_impactcall.exceptions import InvalidOption, LedgerUnusable
from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from airflow_provider_impactcall.hooks.ledger import ImpactCallLedgerHook
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples

attach = import_module(f"airflow{'' if version('apache-airflow').startswith('2.') else '.sdk'}.io.store").attach


class Connections(set[int]):
    """Those to the ledger that are open, in use or in a pool.

    :ivar opened: how many were
    """

    opened = 0


@pytest.fixture
def connections() -> Iterator[Connections]:
    there = Connections()

    def note(connection: Any, *_: Any) -> None:
        if any("impactcall_ledger" in str(file) for _, _, file in connection.execute("PRAGMA database_list")):
            there.add(id(connection))
            there.opened += 1

    def forget(connection: Any, *_: Any) -> None:
        there.discard(id(connection))

    sa.event.listen(sa.pool.Pool, "connect", note)
    sa.event.listen(sa.pool.Pool, "close", forget)
    yield there
    sa.event.remove(sa.pool.Pool, "connect", note)
    sa.event.remove(sa.pool.Pool, "close", forget)


@contextmanager
def failing(beginning: str, error: Exception | None = None) -> Iterator[None]:
    """A database that refuses the statements that begin so."""

    def refuse(_: Any, __: Any, statement: str, *___: Any) -> None:
        if " ".join(statement.split()).startswith(beginning):
            raise error or OperationalError(statement, {}, Exception("refused"))

    sa.event.listen(sa.engine.Engine, "before_cursor_execute", refuse)
    try:
        yield
    finally:
        sa.event.remove(sa.engine.Engine, "before_cursor_execute", refuse)


def is_open(path: Path) -> bool:
    """Whether this process has a file open."""
    numbers = Path("/proc/self/fd").iterdir()
    return str(path) in [os.readlink(number) for number in numbers if number.is_symlink()]


def test_a_delivery_leaves_no_connection_open(sandbox: Sandbox, connections: Connections) -> None:
    assert ImpactCallHook().deliver(examples.calls(2)).delivered == 2
    assert connections.opened > 0, "else there is nothing to be seen"
    assert connections == set()


@pytest.mark.parametrize("dry_run", [False, True])
def test_rejects_that_cannot_be_opened(
    dry_run: bool, sandbox: Sandbox, connections: Connections, tmp_path: Path
) -> None:
    with pytest.raises(InvalidOption, match="rejects_path"):
        ImpactCallHook().deliver(examples.calls(1), rejects_path=str(tmp_path), dry_run=dry_run)
    assert connections == set()
    assert sandbox.counts["requests"] == 0


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="Linux says which files a process has open")
def test_a_run_that_cannot_be_started(sandbox: Sandbox, connections: Connections, tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.jsonl"
    reports: list[DeliveryReport] = []
    seen: list[bool] = []
    with failing("INSERT INTO impactcall_run "), pytest.raises(LedgerUnusable, match="OperationalError"):
        ImpactCallHook().deliver(examples.calls(1), rejects_path=str(rejects), on_report=reports.append)
    assert (connections, is_open(rejects)) == (set(), False)
    assert sandbox.counts["requests"] == 0
    assert reports == [], "there was no run"
    ImpactCallHook().deliver(
        examples.calls(1), rejects_path=str(rejects), on_settled=lambda *_: seen.append(is_open(rejects))
    )
    assert seen == [True], "else there is nothing to be seen"


@pytest.mark.parametrize("beginning", ["CREATE TABLE", "SELECT", "PRAGMA"])
def test_a_ledger_that_cannot_be_opened(beginning: str, sandbox: Sandbox, connections: Connections) -> None:
    with failing(beginning), pytest.raises(LedgerUnusable, match="OperationalError"):
        ImpactCallHook().deliver(examples.calls(1))
    assert connections == set()


@pytest.mark.parametrize("dry_run", [False, True])
def test_rows_that_cannot_be_read(dry_run: bool, sandbox: Sandbox, connections: Connections, tmp_path: Path) -> None:
    def rows() -> Iterator[dict[str, Any]]:
        yield examples.call("a")
        raise RuntimeError("as a driver may")

    reports: list[DeliveryReport] = []
    rejects = tmp_path / "rejects.jsonl"
    with pytest.raises(RuntimeError, match="as a driver may"):
        ImpactCallHook().deliver(rows(), dry_run=dry_run, rejects_path=str(rejects), on_report=reports.append)
    assert connections == set()
    assert [report.rejects for report in reports] == [str(rejects)]


@pytest.mark.parametrize("dry_run", [False, True])
def test_the_file_of_rejects_is_complete_when_the_report_is_given(
    dry_run: bool, sandbox: Sandbox, connections: Connections, tmp_path: Path
) -> None:
    rejects = tmp_path / "rejects.jsonl"
    lines: list[int] = []

    def count(report: DeliveryReport) -> None:
        lines.extend([len(rejects.read_text().splitlines()), report.rejected])
        raise LookupError("as a listener should not")

    rows = [examples.call(str(number), CallerId="x") for number in range(3)]
    with pytest.raises(LookupError):
        ImpactCallHook().deliver(rows, dry_run=dry_run, rejects_path=str(rejects), on_report=count)
    assert lines == [3, 3]
    assert connections == set()


def test_a_connection_that_is_spelled_otherwise_sends_no_call_again(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ImpactCallHook().deliver(examples.calls(2)).delivered == 2
    fields = json.loads(examples.connection(sandbox))
    host = f"HTTP://{sandbox.host}.:{sandbox.port}/"
    monkeypatch.setenv("AIRFLOW_CONN_IMPACTCALL_DEFAULT", json.dumps({**fields, "host": host, "port": None}))
    assert ImpactCallHook().deliver(examples.calls(2)).already_delivered == 2
    assert ImpactCallLedgerHook().adopt(examples.calls(2), Author("me", "a test")).already_delivered == 2
    assert len(sandbox.calls) == 2


@pytest.mark.parametrize("dry_run", [False, True])
def test_the_first_run_of_a_namespace_warns_if_the_ledger_has_others(
    sandbox: Sandbox, dry_run: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def warned(namespace: str, *, dry_run: bool = False) -> list[str]:
        caplog.clear()
        ImpactCallHook().deliver(examples.calls(1), ledger_namespace=namespace, dry_run=dry_run)
        return [text for each in caplog.records if "namespace" in (text := each.getMessage()) and "run=" not in text]

    assert warned("first") == []
    assert warned("first", dry_run=dry_run) == []
    [warning] = warned("second", dry_run=dry_run)
    assert "second" in warning
    assert "first" in warning


def test_a_ledger_that_is_refused_at_the_end_costs_no_report(
    sandbox: Sandbox, connections: Connections, caplog: pytest.LogCaptureFixture
) -> None:
    """As a connection that is opened again then, and comes without the TLS that it asks for."""
    reports: list[DeliveryReport] = []
    with failing("UPDATE impactcall_run SET lease_until=?, ended_at", InvalidOption("asks for TLS")):
        assert ImpactCallHook().deliver(examples.calls(2), on_report=reports.append).delivered == 2
    assert [report.delivered for report in reports] == [2]
    assert "The ledger could not keep this run's counts (InvalidOption)" in caplog.text
    assert connections == set()


@pytest.mark.parametrize("kind", [str, Path, ObjectStoragePath])
def test_the_report_has_the_path_of_the_rejects_as_text(sandbox: Sandbox, tmp_path: Path, kind: Any) -> None:
    file = str(tmp_path / "rejects.jsonl")
    report = ImpactCallHook().deliver([{}], rejects_path=kind(file))
    assert json.loads(json.dumps(report.as_dict()))["rejects"].removeprefix("file://") == file
    assert len(Path(file).read_text().splitlines()) == 1


class Store(MemoryFileSystem):  # type: ignore[misc]
    """An object store that raises what it is told to."""

    protocol = "rejectsstore"
    error: ClassVar[Exception]

    def _open(self, *_: Any, **__: Any) -> Any:
        raise self.error


class StoreError(Exception):
    """As object stores have them: of no type that is known here."""


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        *((kind(examples.PASSWORD), AirflowException) for kind in (StoreError, TimeoutError, ConnectionError, OSError)),
        *((kind(examples.PASSWORD), InvalidOption) for kind in (PermissionError, FileNotFoundError, ValueError)),
        (OSError(errno.EROFS, examples.PASSWORD), InvalidOption),
    ],
    ids=repr,
)
def test_a_store_of_rejects_that_cannot_be_reached_may_be_tried_again(
    sandbox: Sandbox, error: Exception, raised: type[Exception]
) -> None:
    fsspec.register_implementation("rejectsstore", Store, clobber=True)
    attach(protocol="rejectsstore", alias="rejectsstore", fs=Store())
    Store.error = error
    with pytest.raises(raised, match="rejects_path") as caught:
        ImpactCallHook().deliver(examples.calls(1), rejects_path="rejectsstore://bucket/rejects.jsonl")
    assert type(caught.value) is raised
    assert examples.PASSWORD not in str(caught.value)
    assert sandbox.counts["requests"] == 0
