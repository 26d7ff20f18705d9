"""What this package makes is its own user's alone, and no link leads it anywhere."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider_impactcall.delivery.private_files import create, create_beside, make, open_or_create, replacing
from airflow_provider_impactcall.exceptions import InvalidOption


@pytest.fixture(params=[0o000, 0o022, 0o777], ids=oct, autouse=True)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def existing(path: Path, of_mode: int = 0o644) -> Path:
    path.write_text("before")
    path.chmod(of_mode)
    return path


def test_a_new_file(tmp_path: Path) -> None:
    os.close(create(tmp_path / "a"))
    os.close(open_or_create("rejects_path", tmp_path / "b"))
    assert (mode(tmp_path / "a"), mode(tmp_path / "b")) == (0o600, 0o600)
    make(tmp_path / "c")
    assert mode(tmp_path / "c") == 0o600
    with replacing(str(tmp_path / "d")) as stream:
        stream.write(b"d")
    assert mode(tmp_path / "d") == 0o600


@pytest.mark.parametrize("leads_to", ["victim", "nowhere", "pipe", "."])
def test_no_link_is_followed(leads_to: str, tmp_path: Path) -> None:
    existing(tmp_path / "victim")
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)  # Who writes to a pipe waits for its reader.
    link = tmp_path / "link"
    link.symlink_to(tmp_path / leads_to)
    with pytest.raises(FileExistsError):
        create(link)
    with pytest.raises(InvalidOption, match=r"^rejects_path "):
        open_or_create("rejects_path", link)
    with pytest.raises(InvalidOption, match=re.escape(str(link))), replacing(str(link)):
        pytest.fail("it was followed")
    assert link.readlink() == tmp_path / leads_to
    assert (tmp_path / "victim").read_text() == "before"
    assert not (tmp_path / "nowhere").exists()
    os.close(reader)


def test_nobody_knows_the_name_of_what_becomes_a_file(tmp_path: Path) -> None:
    names = set()
    for _ in range(3):
        with replacing(str(tmp_path / "calls.csv")) as stream:
            stream.write(b"x")
            names |= {each.name for each in tmp_path.iterdir()} - {"calls.csv"}
    assert len(names) == 3
    assert not any(str(os.getpid()) == part for name in names for part in name.split("."))
    assert [each.name for each in tmp_path.iterdir()] == ["calls.csv"]


def test_a_long_name_too(tmp_path: Path) -> None:
    beside, descriptor = create_beside(tmp_path / ("x" * 250))
    os.close(descriptor)
    assert beside.parent == tmp_path


@pytest.mark.parametrize("of_mode", [0o644, 0o666, 0o640, 0o600])
def test_the_mode_of_a_file_that_is_there_is_left_alone_and_warned_about(
    of_mode: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = existing(tmp_path / "calls.csv", of_mode)
    with replacing(str(file)) as stream:
        stream.write(b"x")
    os.close(open_or_create("rejects_path", file))
    make(file)
    assert mode(file) == of_mode
    warned = [record.getMessage() for record in caplog.records]
    assert len(warned) == (3 if of_mode & 0o077 else 0)
    assert all("calls.csv" in each and f"{of_mode:o}" in each for each in warned)


def test_what_cannot_be_made_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="No such file"), replacing(str(tmp_path / "nowhere" / "calls.csv")):
        pytest.fail("it was made")
