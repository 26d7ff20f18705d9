"""A table in one test: each row is checked, and one failure lists all rows that differ.

pytest's subtests do the same with a report for each row, which costs more time than the row itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest


@contextmanager
def table() -> Iterator[Callable[[object], AbstractContextManager[None]]]:
    """Checks a row, by the name that a failure lists it with::

    with table() as row:
        for given, expected in ROWS:
            with row(given):
                assert found(given) == expected
    """
    rows = 0
    differ: list[str] = []

    @contextmanager
    def row(name: object) -> Iterator[None]:
        nonlocal rows
        rows += 1
        try:
            yield
        # What pytest.raises raises is no Exception.
        except (Exception, pytest.fail.Exception) as error:
            differ.append(f"{name}: {type(error).__name__}: {error}")

    yield row
    if not rows:
        pytest.fail("the table has no rows")
    if differ:
        pytest.fail("\n".join([f"{len(differ)} of {rows} rows differ", *differ]))
