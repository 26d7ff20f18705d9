from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_impactcall.sandbox import FAULTS, Sandbox
from airflow_provider_impactcall.sandbox.__main__ import main
from tests.documentation import README, ROOT, commands

from .wire import Ask, a_call, basic, until

COMMAND = [sys.executable, "-m", "airflow_provider_impactcall.sandbox"]


@contextmanager
def serving(*arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    with subprocess.Popen(
        [*COMMAND, "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | environment,
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().decode()
        finally:
            process.kill()


def address_in(line: str) -> Sandbox:
    match = re.match(r"Sandbox for impact\.com's Call Data API on http://127\.0\.0\.1:([1-9][0-9]*) ", line)
    assert match, line
    return Sandbox(port=int(match[1]))  # Never started: the test's client only asks it for the port.


def test_serves_as_told_and_stops_at_sigterm() -> None:
    options = ["--user", "u", "--fault", "403=0.5", "--fault", "500-after-processing=0.5"]
    with serving(*options, "--seed", "3", "--latency", "5", IMPACTCALL_SANDBOX_PASSWORD="p") as (process, line):
        address = address_in(line)
        ask = a_call()
        ask.headers = {"Authorization": basic("u", "p")}

        async def talk() -> tuple[list[int], dict[str, Any]]:
            statuses = [(await ask.of(address)).status for _ in range(12)]
            return statuses, (await Ask(method="GET", path="/counts").of(address)).json

        statuses, counts = asyncio.run(talk())
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=5)

    assert set(statuses) == {403, 500}
    assert counts["processed"] == statuses.count(500)
    assert (process.returncode, out, err) == (0, b"", b"")


@pytest.mark.parametrize("way", ["variable", "file", "argument"])
def test_a_password_that_is_no_argument_is_nowhere_to_be_read(way: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_text("pässword\n")
    options = {
        "variable": [],
        "file": ["--password-file", str(tmp_path / "password")],
        "argument": ["--password", "pässword"],
    }
    environment = {"IMPACTCALL_SANDBOX_PASSWORD": "pässword" if way == "variable" else "of another"}
    with serving("--user", "u", *options[way], **environment) as (process, line):
        ask = a_call()
        ask.headers = {"Authorization": basic("u", "pässword")}
        assert asyncio.run(ask.of(address_in(line))).status == 200
        ask.headers = {"Authorization": basic("u", "of another")}
        assert asyncio.run(ask.of(address_in(line))).status == 401
        shown = Path(f"/proc/{process.pid}/cmdline").read_bytes().decode()
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=5)
    assert ("pässword" in shown) == (way == "argument")
    assert (b"--password-file" in err) == (way == "argument")
    assert "pässword".encode() not in err


@pytest.mark.parametrize("documented", [README, ROOT / "docs" / "sandbox.md"], ids=lambda page: page.name)
def test_serves_as_documented(documented: Path) -> None:
    """But for the port, which may be taken here."""
    (options,) = commands(documented, *("python", "-m", "airflow_provider_impactcall.sandbox"))
    with serving(*options, "--port", "0") as (_, line):
        assert address_in(line).port > 0


def test_stops_at_sigint_while_a_request_hangs() -> None:
    with serving("--fault", "hang-after-processing=1") as (process, line):
        address = address_in(line)

        async def hang() -> None:
            _, writer = await asyncio.open_connection("127.0.0.1", address.port)
            writer.write(a_call().bytes())

            async def processed() -> object:
                return (await Ask(method="GET", path="/calls").of(address)).json

            await until(processed)
            process.send_signal(signal.SIGINT)
            writer.close()

        asyncio.run(hang())
        out, err = process.communicate(timeout=5)

    assert (process.returncode, out, err) == (0, b"", b"")


def test_help_lists_every_fault_and_whether_it_processes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    text = capsys.readouterr().out
    for kind, fault in FAULTS.items():
        mark = "processed" if fault.processed else "-"
        assert re.search(rf"^  {kind} +{mark} +{re.escape(fault.meaning)}$", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fault", "nonsense=0.1"], "truncated-body"),
        (["--fault", "500"], "KIND=RATE"),
        (["--fault", "500=often"], "KIND=RATE"),
        (["--fault", "500=2"], "0 to 1"),
        (["--reversed", "2"], "0 to 1"),
        (["--settle-after", "-1"], "settle_after"),
        (["--fault", "500=0.6", "--fault", "503=0.6"], "at most 1"),
        (["--password", "p"], "user"),
        (["--password-file", "/no/such/file"], "--password-file cannot be read (FileNotFoundError)"),
        (["--password-file", "/no/such/file", "--password", "p"], "not allowed with"),
    ],
)
def test_impossible_options(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert message in capsys.readouterr().err


def test_a_taken_port_is_told_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    with Sandbox().in_thread() as sandbox, pytest.raises(SystemExit, match="1"):
        main(["--port", str(sandbox.port)])
    assert f"cannot listen on {sandbox.url}: " in capsys.readouterr().err
