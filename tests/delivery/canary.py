"""Values that must never be in a log or an error, and a fixture that looks for them after every test."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from tests import examples

WORD = "kanarienvogel"
CALLER = "2125550142"
RECORDING = f"https://recordings.example.com/{WORD}.mp3?a=b&c=d"


def row(session_id: object = 1, **changes: Any) -> dict[str, Any]:
    """A valid row in which every private value is a canary, also its id: logs do not need the id either."""
    private = {"CallerId": CALLER, "CallRecording": RECORDING, "City": WORD, "SubId1": WORD}
    return examples.call(f"{WORD}-{session_id}", **(private | changes))


def found_in(text: str) -> list[str]:
    """The canaries in a text."""
    folded = text.casefold()
    return [canary for canary in (WORD, CALLER, CALLER[3:], examples.LOGIN, "canary-p", "pässw") if canary in folded]


class _Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture(autouse=True)
def no_canary_in_logs() -> Iterator[list[str]]:
    """The log so far, of any logger, at DEBUG and with tracebacks. After the test, no canary may be in it."""
    records, root = _Records(), logging.getLogger()
    level = root.level
    root.addHandler(records)
    root.setLevel(logging.DEBUG)
    try:
        yield records.lines
    finally:
        root.removeHandler(records)
        root.setLevel(level)
    assert [line for line in records.lines if found_in(line)] == []
