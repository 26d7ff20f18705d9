"""Writes what the benchmarks measured into ``RESULTS.md``: each benchmark has a section, and rewrites only that."""

from __future__ import annotations

import fcntl
import os
import platform
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")
_HEAD = """\
# Results

`make bench` writes this page, and each section names its script. [README.md](README.md) explains the benchmarks.
"""
_PACKAGES = ("apache-airflow", "aiohttp", "SQLAlchemy", "pydantic")


def write_section(heading: str, body: str, path: Path = RESULTS) -> None:
    """Write a section of the results: it replaces the section with the same heading, or is added after the others.

    The other sections stay as they are. Two benchmarks may write at the same time.

    :param heading: the section's title, without ``##``; it must be the same in each run
    :param body: Markdown, with headings of the third level at most; begin it with :func:`measured_on`
    :param path: the file; created if it does not exist
    :raises ValueError: for a heading of two lines, or a body that would begin another section
    """
    if "\n" in heading or not heading.strip():
        raise ValueError("heading must be one line of text")
    if re.search(r"^##? ", body, re.MULTILINE):
        raise ValueError(f"{heading}: its body must have no heading of the first or second level")
    with path.open("a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        head, *sections = re.split(r"^(?=## )", file.read() or _HEAD, flags=re.MULTILINE)
        section = f"## {heading}\n\n{body.strip()}\n"
        titles = [each.partition("\n")[0] for each in sections]
        if f"## {heading}" in titles:
            sections[titles.index(f"## {heading}")] = section
        else:
            sections.append(section)
        file.truncate(0)
        file.write("\n\n".join(part.strip() for part in (head, *sections)) + "\n")


def measured_on(command: str, load: float, packages: Sequence[str] = (), servers: Iterable[str] = ()) -> str:
    """The first lines of a section: the command, the date and the machine of the measurement.

    :param command: what was run, such as ``python -m benchmarks.mapping --rounds 5``
    :param load: :func:`load_average` at the start, which shows other work on the machine
    :param packages: distributions whose versions matter, in addition to Airflow, aiohttp, SQLAlchemy and pydantic
    :param servers: names and versions of the servers that took part, such as ``nginx 1.22.1``
    """
    versions = [f"Python {platform.python_version()}", *map(_version, (*_PACKAGES, *packages)), *servers]
    return (
        f"`{command}`, {datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores ({_processor()}), load {load:.1f} when it "
        f"began.\n{', '.join(versions)}."
    )


def load_average() -> float:
    """Processes that wanted to run in the last minute, on all cores together."""
    return os.getloadavg()[0]


def markdown_table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A Markdown table: the first column is text, the others are figures."""
    ruler = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ruler, *lines))


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} not installed"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
