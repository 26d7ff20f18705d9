"""Makes files that only their owner can read or write, whatever the umask; never writes through a symbolic link."""

from __future__ import annotations

import logging
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from airflow_provider_impactcall.exceptions import InvalidOption

log = logging.getLogger(__name__)

_MODE = 0o600
_IS_A_LINK = "is a symbolic link, and links are not written through: give the path that it leads to"


def create(path: Path) -> int:
    """Make a new file that only its owner may read and write, and open it for writing.

    :return: the file's descriptor
    :raises FileExistsError: if the name exists, even as a link to nothing
    :raises OSError: if the file cannot be made
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _MODE)
    os.fchmod(descriptor, _MODE)  # The umask may have removed bits of the mode.
    return descriptor


def create_beside(path: Path) -> tuple[Path, int]:
    """Make a new file in the same folder as another, under a name that nobody can guess.

    :return: the new file's path, and its descriptor
    :raises OSError: if the file cannot be made
    """
    beside = path.with_name(f".{path.name[:64]}.{secrets.token_hex(16)}.part")
    return beside, create(beside)


def open_or_create(option: str, path: Path) -> int:
    """Open a file to write it from its beginning, and make it if it is missing. An existing file keeps its mode.

    :param option: the option that names the file, for the message
    :return: the file's descriptor
    :raises InvalidOption: if it is a link
    :raises OSError: if it cannot be opened or made
    """
    try:
        return create(path)
    except FileExistsError:
        if path.is_symlink():
            raise InvalidOption(f"{option} {_IS_A_LINK}") from None
        warn_of_mode(path)
        return os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC)


@contextmanager
def replacing(file: str) -> Iterator[IO[bytes]]:
    """Write a new version of a file: it replaces the file, and takes its mode, only once everything is written.

    :raises InvalidOption: if the file cannot be written, or is a link
    """
    path = Path(file)
    try:
        if path.is_symlink():
            raise InvalidOption(f"{file} {_IS_A_LINK}")
        if path.exists() and not path.is_file():  # A pipe or a device is written to, not replaced.
            with path.open("wb") as stream:
                yield stream
            return
        beside, descriptor = create_beside(path)
        try:
            with open(descriptor, "wb") as stream:
                yield stream
                stream.flush()
                os.fsync(descriptor)
                if path.exists():
                    os.fchmod(descriptor, path.stat().st_mode & 0o777)
                    warn_of_mode(path)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise InvalidOption(f"{file}: {error.strerror}") from None


def make(path: Path) -> None:
    """Make an empty file if it is missing. An existing file keeps its content and its mode.

    :raises OSError: if the file cannot be made
    """
    target = Path(os.path.realpath(path))
    try:
        os.close(create(target))
    except FileExistsError:
        warn_of_mode(target)


def warn_of_mode(path: Path) -> None:
    """Log a warning if other users than its owner may read or write a file."""
    mode = path.stat().st_mode
    if stat.S_ISREG(mode) and mode & 0o077:
        log.warning(
            "%s may be read by others than its owner (mode %s): chmod 600 ends that", path.name, f"{mode & 0o777:o}"
        )
