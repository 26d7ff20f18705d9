"""Whatever holds rows, into calls: flattened, the rows of one call joined, mapped."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from airflow_provider_impactcall.delivery.identity import DIGEST_BYTES, Claim, digest
from airflow_provider_impactcall.delivery.items import MOST_DEAD_LETTERS, Call, Item, Rejected, Skipped, Traces
from airflow_provider_impactcall.delivery.joining import Unjoined, joined
from airflow_provider_impactcall.delivery.shapes import flattened, iterable, with_names
from airflow_provider_impactcall.delivery.spool import Spool
from airflow_provider_impactcall.exceptions import CallLeftOut, InvalidCall, Problem
from airflow_provider_impactcall.records import CallMapping, CallRecord
from airflow_provider_impactcall.records.sources import Row
from airflow_provider_impactcall.records.unreadable import UnreadableRow

log = logging.getLogger(__name__)


TRACED = ("CallProvider", "CallSessionId", "MediaId")
"""What is read of an invalid row beside the parameters of the key."""


def read(
    rows: Any,
    mapping: CallMapping,
    watch: Callable[[Row], Row] | None = None,
    key: Sequence[str] | None = None,
    identify: Callable[[CallRecord], Claim] | None = None,
) -> Iterator[Item]:
    """Whatever holds rows, as :func:`mapped` gives them.

    :param rows: any iterable of dicts, of rows of any type that has ``keys()``, or of :class:`CallRecord`; iterables
        in it are flattened; one dict is one row; None is not a row
    :param watch: given each row just before it becomes a call; what it returns is read in its place
    :param key: the parameters that tell two calls apart, for invalid rows to have traces; None if they need none
    :param identify: gives each call its claim
    :raises InvalidOption: at once, if ``rows`` is nothing that has rows, or holds something else in their place
    """
    each = with_names(rows if isinstance(rows, Spool) else flattened(iterable(rows)), mapping)
    join = None if mapping.preset is None else mapping.preset.join
    if mapping.preset is None or join is None:
        return mapped(enumerate(each, start=1), mapping, watch, key, identify)
    return mapped(joined(each, mapping.preset, join, mapping), mapping, watch, key, identify)


def mapped(
    rows: Iterable[tuple[int, Any]],
    mapping: CallMapping,
    watch: Callable[[Row], Row] | None = None,
    key: Sequence[str] | None = None,
    identify: Callable[[CallRecord], Claim] | None = None,
) -> Iterator[Item]:
    """Each row as a call, as a rejection with every reason, or as one that is left out.

    Says in the log which columns ``mapping`` names that no row had and, unless the rows are watched, which calls the
    vendor's preset could not tell.

    :param rows: each with its number in the input, or what has come of it already
    """
    traced = () if key is None else tuple(dict.fromkeys((*key, *TRACED)))
    to_trace = MOST_DEAD_LETTERS if traced else 0
    for number, row in rows:
        if isinstance(row, Skipped):
            yield row
            continue
        if isinstance(row, Unjoined):
            traces = _traces(number, row.row, mapping, traced) if to_trace > 0 else None
            to_trace -= 1
            yield Rejected(number, row.call_session_id, (row.problem,), traces)
            continue
        if isinstance(row, UnreadableRow):
            problem = Problem("row", row.code, row.problem)
            yield Rejected(number, None, (problem,), Traces({}, digest([row.problem], DIGEST_BYTES)))
            continue
        try:
            record = mapping.record(row, watch)
            yield Call(number, record, None if identify is None else identify(record))
        except InvalidCall as error:
            traces = _traces(number, row, mapping, traced) if to_trace > 0 else None
            to_trace -= 1
            yield Rejected(number, error.call_session_id, error.problems, traces)
        except CallLeftOut as omitted:
            yield Skipped(number, omitted.call_session_id, omitted.reason)
    if unseen := mapping.unseen_columns:
        log.warning("mapping names columns that no row had: %s", ", ".join(map(repr, unseen)))
    if watch is None and (untold := mapping.untold):  # A caller with a watch reports it beside what was seen.
        log.warning("Calls of these kinds cannot be told, and are not left out: %s", "; ".join(untold))


def _traces(number: int, row: Any, mapping: CallMapping, names: Sequence[str]) -> Traces:
    """What an invalid row is known by."""
    values = mapping.values_of(row) if isinstance(row, Mapping) else {}
    return Traces(CallRecord.legible(values, names, mapping.conventions), _content(number, row, values))


def _content(number: int, row: Any, values: Mapping[str, Any]) -> bytes:
    """A digest of a row. What its mapping reads counts: other columns may hold when it was loaded."""
    # Known by its place: an item that is not a dict, and a row with a value that cannot be had, or that has no text.
    with suppress(Exception):
        if isinstance(row, Mapping):
            told = {name: value for name, value in values.items() if value is not None}
            told = told or {str(column): row[column] for column in row}
            return digest([json.dumps(told, sort_keys=True, default=str)], DIGEST_BYTES)
    return digest([str(number), *sorted(values)], DIGEST_BYTES)
