"""Files that this package makes: for its own user alone, whatever the umask, and never through a link."""

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
    """A new file that only its owner may read and write, open for writing.

    :return: its descriptor
    :raises FileExistsError: if there is anything of that name, be it a link that leads nowhere
    :raises OSError: if it cannot be made
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, _MODE)
    os.fchmod(descriptor, _MODE)  # The umask may have taken more away.
    return descriptor


def create_beside(path: Path) -> tuple[Path, int]:
    """A new file in the folder of another, under a name that nobody could know before.

    :return: the file, and its descriptor
    :raises OSError: if it cannot be made
    """
    beside = path.with_name(f".{path.name[:64]}.{secrets.token_hex(16)}.part")
    return beside, create(beside)


def open_or_create(option: str, path: Path) -> int:
    """A file to be written from its beginning, new if there is none; the mode of one that is there is left alone.

    :param option: the option that names the file, for the message
    :return: its descriptor
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
    """A file to write, which takes the place and the mode of the one of that name only once all is written.

    :raises InvalidOption: if it cannot be written, or is a link
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
    """Have a file there, empty if it is new; the mode of one that is there is left alone.

    :raises OSError: if it cannot be made
    """
    target = Path(os.path.realpath(path))
    try:
        os.close(create(target))
    except FileExistsError:
        warn_of_mode(target)


def warn_of_mode(path: Path) -> None:
    """Say in the log if a file is there that others than its owner may read or write."""
    mode = path.stat().st_mode
    if stat.S_ISREG(mode) and mode & 0o077:
        log.warning(
            "%s may be read by others than its owner (mode %s): chmod 600 ends that", path.name, f"{mode & 0o777:o}"
        )
