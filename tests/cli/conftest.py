"""The console script in this process, and a ledger with a call in each of its usual states."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import pytest

from airflow_provider_impactcall.cli.__main__ import main
from airflow_provider_impactcall.delivery.ledger.selection import LISTED
from airflow_provider_impactcall.hooks.impactcall import ImpactCallHook
from airflow_provider_impactcall.sandbox import Sandbox
from tests import examples, lanes

pytest_itemcollected = lanes.airflow

SCRIPT = {"delivered": "ok", "rejected": "400-errors", "unknown": "502-after-processing"}
WHY = ("--why", "ticket 4711", "--actor", "alice")


@dataclass(frozen=True)
class Done:
    """The result of a command."""

    status: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """What it printed, as the JSON that it must be."""
        rows: list[dict[str, Any]] = json.loads(self.out)
        return rows

    @property
    def counts(self) -> list[list[str]]:
        """The numbers in each line that it printed, with the state that a number belongs to."""
        return numbers(self.out)


def numbers(text: str) -> list[list[str]]:
    """The numbers in each line, with the state that follows a number: a reworded line says the same."""
    return [re.findall(rf"\b\d+(?: (?:{'|'.join(LISTED)})\b)?", line) for line in text.splitlines()]


Command = Callable[..., Done]


@pytest.fixture
def impactcall(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Command]:
    """Runs a command; ``stdin`` is the typed or piped input, or a stream. No caller's number may be in the output."""
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "")  # Commands set it for their whole process.
    printed: list[str] = []

    def run(*arguments: str, stdin: str | TextIO = "") -> Done:
        typed = tmp_path / "stdin"
        typed.write_text(stdin if isinstance(stdin, str) else "")
        status: Any = 0
        capsys.readouterr()
        with typed.open() as stream, monkeypatch.context() as patched:
            patched.setattr("sys.stdin", stream if isinstance(stdin, str) else stdin)
            try:
                main(arguments)
            except SystemExit as ended:
                status = ended.code or 0
        out, err = capsys.readouterr()
        printed.extend((out, err))
        return Done(status, out, err)

    yield run
    text = "".join(printed)
    assert "Traceback" not in text
    assert [canary for canary in (examples.CALLER, "555-0177", "canary-") if canary in text] == []


@pytest.fixture
def ledger(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The sandbox that three calls were sent to, each named after its outcome."""
    monkeypatch.setenv("AIRFLOW_CONN_IMPACTCALL_DEFAULT", examples.connection(sandbox, concurrency=1))
    sandbox.script = list(SCRIPT.values())
    report = ImpactCallHook().deliver([examples.call(state) for state in SCRIPT])
    assert (report.delivered, report.rejected, report.unknown) == (1, 1, 1)
    return sandbox


def states(impactcall: Command) -> dict[str, str]:
    """Each call's state."""
    return {row["CallSessionId"]: row["state"] for row in impactcall("list", "-o", "json").rows}
