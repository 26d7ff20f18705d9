"""Rows of a ledger by one of their times, the newest first, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from airflow_provider_impactcall.delivery.ledger.schema import Now
from airflow_provider_impactcall.delivery.ledger.store import Ledger

_MOMENT = "moment"


def dated(
    connection: Connection, query: Any, moment: sa.Column[Any], key: sa.Column[Any], limit: int
) -> list[tuple[float, dict[str, Any]]]:
    """The newest rows of a query, each by column and with its time.

    :param query: selects ``key`` too, which puts rows of the same time in order
    """
    ordered = query.add_columns(moment.label(_MOMENT)).order_by(moment.desc(), key).limit(limit)
    rows = [dict(row) for row in connection.execute(ordered).mappings()]
    return [(row.pop(_MOMENT), row) for row in rows]


def newest_first(
    ledger: Ledger, query: Any, moment: sa.Column[Any], key: sa.Column[Any], began: float, at_once: int
) -> Iterator[dict[str, Any]]:
    """All rows of a query as they were at a time, in short transactions and little memory. A row whose own time changes
    meanwhile may be left out; no row comes twice.

    :param query: selects ``key`` too, which puts rows of the same time in order
    :param began: the time, as :func:`now` tells it
    :param at_once: how many a transaction reads
    """
    last_at, last = began, ""
    while True:
        before = (moment <= last_at, sa.or_(moment < last_at, key > last))
        with ledger.reading() as connection:
            page = dated(connection, query.where(*before), moment, key, at_once)
        if not page:
            return
        yield from (row for _, row in page)
        last_at, last = page[-1][0], page[-1][1]["key"]


def now(ledger: Ledger) -> float:
    """The time by the database's clock, in seconds since 1970."""
    with ledger.reading() as connection:
        moment: float = connection.execute(sa.select(Now())).scalar_one()
    return moment
