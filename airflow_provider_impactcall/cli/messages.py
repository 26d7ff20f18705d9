"""Messages of the commands to a person, on standard error: each is one line without control characters."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from airflow_provider_impactcall.records.printable import printable

_PACKAGE = "airflow_provider_impactcall"


class _OneLine(logging.Formatter):
    """A message as one line without control characters."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        return printable(super().format(record))


@contextmanager
def only_our_messages() -> Iterator[None]:
    """Shows only this package's own logged warnings, as plain lines on standard error."""
    ours = logging.StreamHandler()
    ours.setLevel(logging.WARNING)
    ours.setFormatter(_OneLine("impactcall: %(message)s"))
    ours.addFilter(logging.Filter(_PACKAGE))
    root, package = logging.getLogger(), logging.getLogger(_PACKAGE)
    loggers = [root, *(each for each in root.manager.loggerDict.values() if isinstance(each, logging.Logger))]
    before = [(logger, logger.handlers) for logger in loggers if logger.handlers]
    level = package.level
    try:
        for logger, _ in before:
            logger.handlers = [logging.NullHandler()]
        root.handlers = [ours]
        package.setLevel(logging.WARNING)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.handlers = []
        for logger, handlers in before:
            logger.handlers = handlers
        package.setLevel(level)


def say(text: str) -> None:
    """Write a line for a person to standard error."""
    print(f"impactcall: {printable(text)}", file=sys.stderr)


def agreed() -> bool:
    """Ask a person whether to go on."""
    print("Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def leave(status: int, text: str) -> NoReturn:
    """End the process with this status, and say why."""
    say(" ".join(text.splitlines()))  # An error's text may have several lines.
    raise SystemExit(status)
