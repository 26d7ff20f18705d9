from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from enum import Enum
from typing import Any

import pytest
import sqlalchemy as sa

from airflow_provider_impactcall.delivery.ledger.store import Ledger
from tests import lanes
from tests.delivery.mixed import NAMESPACE

pytest_itemcollected = lanes.ledger


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    """An empty ledger, on each database."""
    with closing(Ledger(sa.create_engine(ledger_url), NAMESPACE)) as ledger:
        ledger.prepare()
        yield ledger


@pytest.fixture(autouse=True)
def no_member_of_an_enum_reaches_a_driver() -> Iterator[None]:
    """A driver may convert a value by the name of its class, as MySQL's own does."""

    def look(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        rows = parameters if isinstance(parameters, list) else [parameters]
        for row in rows:
            for value in row.values() if isinstance(row, dict) else row:
                assert not isinstance(value, Enum), statement

    sa.event.listen(sa.engine.Engine, "before_cursor_execute", look)
    yield
    sa.event.remove(sa.engine.Engine, "before_cursor_execute", look)
