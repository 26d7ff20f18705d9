"""Brings a table of calls up to date with the ledger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from math import inf, nextafter
from typing import Any

from airflow_provider_impactcall.delivery.ledger.batch_sizes import BATCH_SIZES, BatchSizes
from airflow_provider_impactcall.delivery.ledger.paging import now
from airflow_provider_impactcall.delivery.ledger.selection import CHANGED
from airflow_provider_impactcall.delivery.ledger.store import Ledger
from airflow_provider_impactcall.delivery.ledger.updates import CallUpdates
from airflow_provider_impactcall.integration.calls_table import CallsTable
from airflow_provider_impactcall.integration.export_files import moment_of

_NEVER = datetime.fromtimestamp(0.0, UTC)
_MOMENTS = ("first_at", "changed_at", "came_again_at", "updated_at")


class TableExport:
    """Writes the calls that the table lacks or has in an older state, in short transactions and little memory.

    The oldest update comes first, and each page is committed: an interrupted export continues where it stopped. A call
    that is up to date in the table is not written again.

    :param states: only calls in these states; ``changed`` stands for calls with that mark. A call that the table
        already has is kept up to date in any state. Empty for all calls
    :param batch_sizes: how much is read and written at once
    :ivar counts: how many calls were written, by state, and ``changed``: how many of them have that mark
    """

    def __init__(
        self, ledger: Ledger, table: CallsTable, states: Collection[str] = (), batch_sizes: BatchSizes = BATCH_SIZES
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._updates = CallUpdates(ledger, batch_sizes)
        self._ledger = ledger
        self._table = table
        self._states = frozenset(states)
        self._page = batch_sizes.exported

    def run(self, since: datetime | None = None, until: datetime | None = None) -> None:
        """Export the calls that were updated in a span of time.

        :param since: its first moment; None for the table's newest moment less a margin, as a change becomes visible
            only some time after its moment
        :param until: the first moment after it; None for now
        """
        newest = self._table.newest(self._ledger.namespace) or _NEVER
        first = newest.timestamp() - self._updates.margin if since is None else since.timestamp()
        # Changes during this export are left to the next one: the table must be complete up to its newest moment.
        after_now = nextafter(now(self._ledger), inf)
        end = after_now if until is None else min(after_now, until.timestamp())
        updates = self._updates.oldest_first(first, end)
        while page := [_row(call) for call in islice(updates, self._page)]:
            # The table cannot have a call that is newer than its newest moment: skip the look-up.
            self._write(page, look=bool(self._states) or page[0]["updated_at"] <= newest)
        for page in self._unmarked(end):
            # The table has all of them, some of the same moment: a mark may be older than its call's delivery.
            self._write(page, look=False)

    def _unmarked(self, end: float) -> Iterator[list[dict[str, Any]]]:
        """Pages of calls that are marked in the table, but no longer in the ledger: a person accepted the change.
        Accepting does not update the call itself.
        """
        last = ""
        while keys := self._table.marked(self._ledger.namespace, last, self._page):
            last = keys[-1]
            found = self._updates.of_keys(keys)
            unmarked = [_row(call) for call in found if call["came_again_at"] is None and call["updated_at"] < end]
            if unmarked:
                yield unmarked

    def _write(self, page: Sequence[Mapping[str, Any]], *, look: bool) -> None:
        # If a call came twice, its later state counts.
        rows = {row["key"]: row for row in page}
        if look:
            held = self._table.held(list(rows))
            rows = {
                key: row
                for key, row in rows.items()
                if (key in held or self._is_wanted(row)) and held.get(key) != row["updated_at"]
            }
        if not rows:
            return
        self._table.write(list(rows.values()))
        self.counts.update(row["state"] for row in rows.values())
        self.counts[CHANGED] += sum(row["came_again_at"] is not None for row in rows.values())

    def _is_wanted(self, row: Mapping[str, Any]) -> bool:
        marked = row["came_again_at"] is not None
        return not self._states or row["state"] in self._states or (marked and CHANGED in self._states)


def _row(call: Mapping[str, Any]) -> dict[str, Any]:
    moments = {name: None if call[name] is None else datetime.fromtimestamp(call[name], UTC) for name in _MOMENTS}
    return {**call, **moments, "EventDate": moment_of(call["EventDate"])}
