"""Whatever holds rows, into calls: flattened, the rows of one call joined, mapped."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from airflow_provider_impactcall.delivery.items import Call, Item, Rejected, Skipped
from airflow_provider_impactcall.delivery.joining import joined
from airflow_provider_impactcall.delivery.shapes import flattened, iterable, with_names
from airflow_provider_impactcall.exceptions import CallLeftOut, InvalidCall, Problem
from airflow_provider_impactcall.records import CallMapping
from airflow_provider_impactcall.records.sources import Row
from airflow_provider_impactcall.records.unreadable import UnreadableRow

log = logging.getLogger(__name__)


def read(rows: Any, mapping: CallMapping, watch: Callable[[Row], Row] | None = None) -> Iterator[Item]:
    """Whatever holds rows, as :func:`mapped` gives them.

    :param rows: any iterable of dicts, of rows of any type that has ``keys()``, or of :class:`CallRecord`; iterables
        in it are flattened; one dict is one row; None is no row
    :param watch: given each row just before it becomes a call; what it returns is read in its place
    :raises InvalidOption: at once, if ``rows`` is nothing that has rows, or holds something else in their place
    """
    each = with_names(flattened(iterable(rows)), mapping)
    join = None if mapping.preset is None else mapping.preset.join
    if mapping.preset is None or join is None:
        return mapped(enumerate(each, start=1), mapping, watch)
    return mapped(joined(each, mapping.preset, join, mapping.opened), mapping, watch)


def mapped(
    rows: Iterable[tuple[int, Any]], mapping: CallMapping, watch: Callable[[Row], Row] | None = None
) -> Iterator[Item]:
    """Each row as a call, as a rejection with every reason, or as one that is left out.

    Says in the log which columns ``mapping`` names that no row had and, unless the rows are watched, which calls the
    vendor's preset could not tell.

    :param rows: each with its number in the input, or what has come of it already
    """
    for number, row in rows:
        if isinstance(row, (Skipped, Rejected)):
            yield row
            continue
        if isinstance(row, UnreadableRow):
            yield Rejected(number, None, (Problem("row", row.code, row.problem),))
            continue
        try:
            yield Call(number, mapping.record(row, watch))
        except InvalidCall as error:
            yield Rejected(number, error.call_session_id, error.problems)
        except CallLeftOut as omitted:
            yield Skipped(number, omitted.call_session_id, omitted.reason)
    if unseen := mapping.unseen_columns:
        log.warning("mapping names columns that no row had: %s", ", ".join(map(repr, unseen)))
    if watch is None and (untold := mapping.untold):  # Whoever watches, says so beside what was seen.
        log.warning("Calls of these kinds cannot be told, and are not left out: %s", "; ".join(untold))
