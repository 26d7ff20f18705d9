"""The first page of the documentation as a shell script, which writes its files and runs its commands in order."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from demo.up import free_port
from tests.documentation import START

_BLOCK = re.compile(r"^(?:`(?P<file>[^`\n]+)`:\n\n)?```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_END = "-- end of a command --"


def steps(page: Path = START) -> Iterator[tuple[str, str]]:
    """The page's commands, each with the output that the page shows; and its files, as commands that write them."""
    for block in _BLOCK.finditer(page.read_text()):
        if block["file"]:
            yield f"cat > {shlex.quote(block['file'])} <<'FILE'\n{block['text']}FILE", ""
        elif block["language"] == "console":
            for shown in re.split(r"^\$ ", block["text"], flags=re.MULTILINE)[1:]:
                yield _parted(shown.replace("\\\n", ""))


def run(
    folder: Path, path: str, environment: Mapping[str, str], changed: Callable[[str], str] = str
) -> list[tuple[str, str, str]]:
    """Each command with the output that the page shows and the real output. Commands that install are left out, and the
    sandbox gets a free port.

    :param folder: empty
    :param path: for ``PATH``: above all, the folder of Airflow
    :param changed: gives the command to run in place of a command of the page
    """
    port = str(free_port(0))
    done = [
        (changed(command), shown)
        for command, shown in steps()
        if "pip install" not in command and ".venv" not in command
    ]
    script = "\n".join(f"{command.replace('8900', port)}\necho '{_END}'" for command, _ in done)
    (folder / "script").write_text(f"{script}\nwait\n")
    # Into a file: what runs on in the background would keep a pipe open.
    with (folder / "printed").open("w") as printed:
        shell = subprocess.Popen(
            ["bash", "script"],
            cwd=folder,
            env={**environment, "PATH": path, "COLUMNS": "400"},
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        shell.wait(timeout=1800)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)  # The sandbox, if the page was not followed to its end.
    texts = (folder / "printed").read_text().split(f"{_END}\n")
    return [(command, shown, text) for (command, shown), text in zip(done, texts, strict=False)]


def _parted(shown: str) -> tuple[str, str]:
    """A command, and the output that the page shows. The lines of a here-document belong to the command."""
    first, _, rest = shown.partition("\n")
    word = re.search(r"<<'(\w+)'", first)
    if word is None:
        return first, rest
    body, _, rest = rest.partition(f"\n{word[1]}\n")
    return f"{first}\n{body}\n{word[1]}", rest
