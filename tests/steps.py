"""Measures work in steps of the interpreter, a count that is the same on a busy machine."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class TooManySteps(AssertionError):
    """More work than was allowed; the rest was not done."""


@contextmanager
def at_most(steps: int) -> Iterator[None]:
    """Within this context, Python code may take so many bytecodes.

    :raises TooManySteps: in the code that takes the first bytecode too many
    """
    taken = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal taken
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        taken += event == "opcode"
        if taken > steps:
            raise TooManySteps(f"more than {steps} steps")
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)
