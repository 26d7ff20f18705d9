"""The calls that were updated since a moment, the oldest update first: to keep a copy of the ledger's calls current."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import merge
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.selectable import FromClause

from airflow_provider_impactcall.delivery.ledger.batch_sizes import BATCH_SIZES, BatchSizes, in_parts
from airflow_provider_impactcall.delivery.ledger.entries import ALIVE
from airflow_provider_impactcall.delivery.ledger.schema import UNDELIVERED, calls, changed_calls, runs
from airflow_provider_impactcall.delivery.ledger.selection import MARKED, SHOWN, WITH_MARKS
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.outcome import CallState

_DIED = sa.and_(calls.c.state == CallState.OPEN.value, sa.not_(ALIVE))
# A run that ends gives its lease up; a run that dies lets it run out.
_DIED_AT = sa.case(
    (runs.c.lease_until > 0.0, runs.c.lease_until), else_=sa.func.coalesce(runs.c.ended_at, calls.c.changed_at)
)
_DIED_SINCE = sa.and_(_DIED, calls.c.changed_at < _DIED_AT)
_MARKED_SINCE = changed_calls.c.last_at > calls.c.changed_at

_UPDATED_AT = sa.case((_DIED_SINCE, _DIED_AT), (_MARKED_SINCE, changed_calls.c.last_at), else_=calls.c.changed_at)

_COLUMNS = (
    *SHOWN,
    calls.c.namespace,
    _UPDATED_AT.label("updated_at"),
)

_CAUSED_AT = "caused_at"


@dataclass(frozen=True)
class _Cause:
    """A cause for which a call's row is updated. For each cause, an index has the rows in order of time.

    :param at: when it happened
    :param holds: the conditions for calls whose last update had this cause
    """

    at: ColumnElement[Any]
    source: FromClause
    holds: tuple[ColumnElement[bool], ...]


_CAUSES = (
    _Cause(calls.c.changed_at, WITH_MARKS, (calls.c.changed_at == _UPDATED_AT,)),
    _Cause(changed_calls.c.last_at, MARKED, (changed_calls.c.namespace == calls.c.namespace, _MARKED_SINCE)),
    # UNDELIVERED, so that the small index of undelivered calls is used.
    _Cause(_DIED_AT, WITH_MARKS, (UNDELIVERED, _DIED_SINCE)),
)


class CallUpdates:
    """The calls of a ledger's namespace, each with the time of its last update (``updated_at``).

    A call is updated when it changes; when it comes again with other content and is marked *changed*; and when the run
    that has it open dies. All moments are seconds since 1970, by the database's clock. Beside ``updated_at`` and
    ``namespace``, a call has ``came_again_at`` and ``came_again_times``, which are None unless it is marked.

    :param batch_sizes: how much is read at once
    """

    def __init__(self, ledger: Ledger, batch_sizes: BatchSizes = BATCH_SIZES) -> None:
        self._ledger = ledger
        self._sizes = batch_sizes

    @property
    def margin(self) -> float:
        """How many seconds after its moment a change may still become visible.

        A moment is taken within the transaction that writes it; others see the change only after the commit. A run
        whose transaction takes longer than the lease has lost the lease. A run whose database fails for longer than its
        patience has ended. So nothing is committed later than lease and patience together, as long as the process runs.
        A process that is frozen between a statement and its commit may commit later: then read again from an earlier
        moment.
        """
        return self._ledger.timings.lease + self._ledger.timings.patience

    def oldest_first(self, since: float, until: float) -> Iterator[dict[str, Any]]:
        """The calls that were updated in a period, the oldest update first, in short transactions and little memory.

        A call that is updated meanwhile may come twice, the later state after the earlier one, or only in the next
        period.

        :param since: the first moment of the period
        :param until: the first moment after the period
        """
        return merge(
            *(self._of_cause(cause, since, until) for cause in _CAUSES),
            key=lambda row: (row["updated_at"], row["key"]),
        )

    def of_keys(self, keys: Sequence[str]) -> Iterator[dict[str, Any]]:
        """These calls as they are now; those that were purged are left out."""
        for part in in_parts(keys):
            query = sa.select(*_COLUMNS).select_from(WITH_MARKS).where(calls.c.key.in_(part))
            with self._ledger.reading() as connection:
                page = connection.execute(query).mappings().all()
            yield from map(_plain, page)

    def _of_cause(self, cause: _Cause, since: float, until: float) -> Iterator[dict[str, Any]]:
        # Not updated_at: the clock moves on, and that may be the moment of another cause than the one that orders them.
        columns = (*_COLUMNS, cause.at.label(_CAUSED_AT))
        known = sa.select(*columns).select_from(cause.source).where(calls.c.namespace == self._ledger.namespace)
        known = known.where(*cause.holds, cause.at < until).order_by(cause.at, calls.c.key).limit(self._sizes.exported)
        last_at, last = since, ""
        while True:
            after = (cause.at >= last_at, sa.or_(cause.at > last_at, calls.c.key > last))
            with self._ledger.reading() as connection:
                page = connection.execute(known.where(*after)).mappings().all()
            if not page:
                return
            last_at, last = page[-1][_CAUSED_AT], page[-1]["key"]
            yield from map(_plain, page)


def _plain(row: Any) -> dict[str, Any]:
    # As plain str: SQLAlchemy's column names are a subclass of str.
    return {str(name): value for name, value in row.items() if name != _CAUSED_AT}
